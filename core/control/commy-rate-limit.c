/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bucket is kept by what is missing from it, so that zeroed memory is a full one.
 */
#include "config.h"

#include "control/commy-rate-limit.h"

#include <math.h>

static void
refill (CommyRateLimit *limit, const CommyRateLimitPolicy *policy, gint64 now_ns)
{
  double missing = limit->missing - (double) MAX (now_ns - limit->at_ns, 0) * policy->rate / 1e9;

  limit->missing = MAX (missing, 0);
  limit->at_ns = MAX (limit->at_ns, now_ns);
}

gboolean
commy_rate_limit_take (CommyRateLimit *limit,
                       const CommyRateLimitPolicy *policy,
                       gint64 now_ns,
                       gint64 *out_wait_ns)
{
  if (policy->rate <= 0)
    return TRUE;
  refill (limit, policy, now_ns);
  if (limit->missing + 1 <= policy->burst)
    {
      limit->missing += 1;
      return TRUE;
    }
  if (out_wait_ns != NULL)
    *out_wait_ns = (gint64) ceil ((limit->missing + 1 - policy->burst) / policy->rate * 1e9);
  return FALSE;
}

CommyRateLimitPolicy
commy_rate_limit_divide (const CommyRateLimitPolicy *policy, guint n)
{
  const guint parts = MAX (n, 1);

  return (CommyRateLimitPolicy){ .rate = policy->rate / parts,
                                 .burst = MAX (policy->burst / parts, 1) };
}

void
commy_rate_limit_resize (CommyRateLimit *limit,
                         const CommyRateLimitPolicy *from,
                         const CommyRateLimitPolicy *to,
                         gint64 now_ns)
{
  refill (limit, from, now_ns);
  if (to->burst > from->burst)
    limit->missing += to->burst - from->burst;
  /* More than all that is in it cannot be missing; who comes and goes often only loses his rest. */
  limit->missing = MIN (limit->missing, to->burst);
}

void
commy_rate_limit_drain (CommyRateLimit *limit, const CommyRateLimitPolicy *policy, gint64 now_ns)
{
  *limit = (CommyRateLimit){ .missing = policy->burst, .at_ns = now_ns };
}
