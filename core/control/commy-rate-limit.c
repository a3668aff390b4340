/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bucket is kept by what is missing from it, so that zeroed memory is a full one.
 */
#include "config.h"

#include "control/commy-rate-limit.h"

#include <math.h>

gboolean
commy_rate_limit_take (CommyRateLimit *limit,
                       const CommyRateLimitPolicy *policy,
                       gint64 now_ns,
                       gint64 *out_wait_ns)
{
  double missing;

  if (policy->rate <= 0)
    return TRUE;
  missing = limit->missing - (double) MAX (now_ns - limit->at_ns, 0) * policy->rate / 1e9;
  limit->missing = MAX (missing, 0);
  limit->at_ns = MAX (limit->at_ns, now_ns);
  if (limit->missing + 1 <= policy->burst)
    {
      limit->missing += 1;
      return TRUE;
    }
  if (out_wait_ns != NULL)
    *out_wait_ns = (gint64) ceil ((limit->missing + 1 - policy->burst) / policy->rate * 1e9);
  return FALSE;
}
