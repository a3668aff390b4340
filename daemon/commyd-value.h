/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value as the daemon's own store keeps it: who wrote it stands before it, so that a key and its
 * owner come and go together, whatever store is below.
 */
#pragma once

#include <glib.h>

/* (transfer full) */
GBytes *commyd_value_wrap (GBytes *value, guint32 uid);
/* The value alone, which shares the memory; NULL: commyd did not write this. (transfer full) */
GBytes *commyd_value_unwrap (GBytes *stored, guint32 *out_uid);
