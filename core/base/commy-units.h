/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers with units, as people write them in keyfiles and on command lines, and back.
 */
#pragma once

#include <glib.h>

/* "64", "4k", "64KiB", "1MiB", "2GiB" (k, M, G are the binary ones) -> bytes. */
gboolean commy_parse_size (const char *text, guint64 *out_bytes);
/* "250", "120ns", "1.5us", "20ms", "2s" -> ns. */
gboolean commy_parse_duration (const char *text, gint64 *out_ns);
/* "12GiB/s", "1000MB/s", plain number: bytes per second. */
gboolean commy_parse_rate (const char *text, double *out_bytes_per_second);
/* "10%", "0.1". */
gboolean commy_parse_share (const char *text, double *out_share);

/* (transfer full): "278 ns", "14.1 us", "2.6 ms", "3 s" */
char *commy_format_duration (double ns);
/* (transfer full): "64 B", "4 KiB", "1.5 MiB" */
char *commy_format_size (guint64 bytes);

/* Levenshtein distance, at most @limit + 1. */
guint commy_edit_distance (const char *a, const char *b, guint limit);
