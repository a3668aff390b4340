/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The schedule of hedges.
 */
#include "config.h"

#include "control/commy-hedge.h"

#define USUAL 0.95

gint64
commy_hedge_get_due (const CommyHedgePolicy *policy,
                     CommyServiceTime *times,
                     guint n_sent,
                     gboolean idempotent,
                     gint64 sent_ns)
{
  gint64 wait = policy->after_ns;

  if (!idempotent || n_sent >= policy->attempts)
    return G_MAXINT64;
  if (wait == 0)
    wait = commy_service_time_get (times, USUAL);
  /* While nothing is known every call would be sent twice. */
  return wait > 0 ? sent_ns + wait : G_MAXINT64;
}
