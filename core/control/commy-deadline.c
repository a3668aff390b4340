/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arithmetic of deadlines.
 */
#include "config.h"

#include "control/commy-deadline.h"

gint64
commy_deadline_get_left (gint64 deadline_ns, gint64 now_ns, gint64 round_trip_ns)
{
  gint64 left;

  if (deadline_ns == G_MAXINT64)
    return G_MAXINT64;
  if (__builtin_sub_overflow (deadline_ns, now_ns, &left)
      || __builtin_sub_overflow (left, round_trip_ns, &left))
    return 0;
  return MAX (left, 0);
}

gboolean
commy_deadline_can_meet (const CommyDeadlinePolicy *policy,
                         CommyServiceTime *times,
                         gint64 left_ns,
                         guint ahead,
                         guint workers)
{
  double needed;

  if (left_ns <= 0)
    return FALSE;
  if (!policy->shed || left_ns == G_MAXINT64)
    return TRUE;
  needed = (double) commy_service_time_get (times, policy->quantile);
  needed += (double) commy_service_time_get_mean (times) * ahead / MAX (workers, 1);
  return needed <= (double) left_ns;
}
