/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sliding window's arithmetic.
 */
#include "config.h"

#include "control/commy-tally.h"

#include <string.h>

void
commy_tally_clear (CommyTally *tally)
{
  memset (tally, 0, sizeof *tally);
}

void
commy_tally_advance (CommyTally *tally, gint64 window_ns, gint64 now_ns)
{
  const gint64 bucket = now_ns / MAX (window_ns / COMMY_TALLY_BUCKETS, 1);
  const gint64 behind = bucket - tally->bucket;

  if (behind <= 0)
    return;
  for (gint64 i = 0; i < MIN (behind, COMMY_TALLY_BUCKETS); i++)
    {
      guint32 *old = tally->counts[(bucket - i) % COMMY_TALLY_BUCKETS];

      tally->sums[0] -= old[0];
      tally->sums[1] -= old[1];
      old[0] = old[1] = 0;
    }
  tally->bucket = bucket;
}

void
commy_tally_add (CommyTally *tally, gint64 window_ns, gint64 now_ns, guint which, guint32 n)
{
  guint32 *newest;

  commy_tally_advance (tally, window_ns, now_ns);
  newest = tally->counts[tally->bucket % COMMY_TALLY_BUCKETS];
  n = MIN (n, G_MAXUINT32 - newest[which]);
  newest[which] += n;
  tally->sums[which] += n;
}
