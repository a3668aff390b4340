/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two counts over a window that slides: what happened in the last n seconds, exact to a tenth of
 * them. A burst and the same number of events spread out count the same, which an average that
 * decays does not give (Linkerd left its moving average for this reason). Pure; no allocation.
 */
#pragma once

#include <glib.h>

#define COMMY_TALLY_BUCKETS 10

typedef struct
{
  guint32 counts[COMMY_TALLY_BUCKETS][2];
  guint64 sums[2]; /* of all buckets */
  gint64 bucket;   /* number of the newest one: time divided by its width */
} CommyTally;

/* Zeroed memory is an empty one. @window_ns must be the same in all calls. A clock that steps back
 * counts into the newest bucket. */
void commy_tally_add (CommyTally *tally, gint64 window_ns, gint64 now_ns, guint which, guint32 n);
/* Forgets what has left the window, after which `sums` are right. */
void commy_tally_advance (CommyTally *tally, gint64 window_ns, gint64 now_ns);
void commy_tally_clear (CommyTally *tally);
