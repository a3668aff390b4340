/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much memory a piece of code asks for, by any way through malloc(): for tests of what hostile
 * bytes cost. One thread at a time.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* From now on is counted, from 0. */
void memory_count_start (void);
/* The bytes that were asked for since; what was given back in between is not taken off. */
gsize memory_count_stop (void);

G_END_DECLS
