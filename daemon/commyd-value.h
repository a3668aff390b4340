/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value as the daemon's own store keeps it: who wrote it, and under which lease, stands before
 * it, so that a key and what is known of it come and go together, whatever store is below.
 */
#pragma once

#include <glib.h>

typedef struct
{
  guint32 uid;
  gint64 lease; /* of the daemon, not of the store below; 0: none */
  guint64 boot; /* of the kernel under which it was written */
} CommydStamp;

/* (transfer full) */
GBytes *commyd_value_wrap (GBytes *value, const CommydStamp *stamp);
/* The value alone, which shares the memory; NULL: commyd did not write this. (transfer full) */
GBytes *commyd_value_unwrap (GBytes *stored, CommydStamp *out_stamp);
