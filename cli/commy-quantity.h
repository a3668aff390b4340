/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sizes and times as people write and read them.
 */
#pragma once

#include <glib.h>

/* "64", "4k", "1M", "64KiB", "2GiB"; k, M and G are the binary ones. */
gboolean commy_quantity_parse_size (const char *text, guint64 *out_bytes);
/* "2s", "250ms", "50us", "10m", "1h": always with the unit. Above 0. */
gboolean commy_quantity_parse_time (const char *text, gint64 *out_us);

/* (transfer full): "278 ns", "14.1 us", "2.6 ms", "3 s" */
char *commy_quantity_format_ns (double ns);
/* (transfer full): "64 B", "4 KiB", "1.5 MiB" */
char *commy_quantity_format_size (guint64 bytes);
