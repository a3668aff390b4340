/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trails to be compared: what they say of peers, calls and policies, sorted, with counts of calls,
 * and without what each path has another name for.
 */
#pragma once

#include <glib.h>

/* Of all processes that wrote into the folder. */
void trail_tally_append (const char *dir, GString *out);

typedef struct
{
  const char *pattern; /* a regular expression */
  const char *word;    /* what takes its place */
} TrailWords;

/* One after the other. (transfer full) */
char *trail_dup_replaced (const char *text, const TrailWords *words, gsize n_words);
