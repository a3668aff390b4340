/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formula is Envoy's admission control, which is that of Google's "Handling Overload" (Site
 * Reliability Engineering, chapter 21) with a share in the place of the multiplier K.
 */
#include "config.h"

#include "control/commy-throttle.h"

#include "control/commy-chance.h"

#define WINDOW_NS (30 * G_GINT64_CONSTANT (1000000000))
#define MOST 0.8 /* some must pass, or nobody would notice that the service is well again */

double
commy_throttle_get_share (CommyThrottle *throttle, const CommyThrottlePolicy *policy, gint64 now_ns)
{
  double all, share;

  if (!policy->enabled)
    return 0;
  commy_tally_advance (&throttle->tally, WINDOW_NS, now_ns);
  all = (double) throttle->tally.sums[0];
  share = (all - (double) throttle->tally.sums[1] / policy->success) / (all + 1);
  return CLAMP (share, 0, MOST);
}

gboolean
commy_throttle_admit (CommyThrottle *throttle,
                      const CommyThrottlePolicy *policy,
                      gint64 now_ns,
                      guint64 random)
{
  const double share = commy_throttle_get_share (throttle, policy, now_ns);

  if (policy->enabled)
    commy_tally_add (&throttle->tally, WINDOW_NS, now_ns, 0, 1);
  return share <= 0 || commy_chance (random) >= share;
}

void
commy_throttle_accept (CommyThrottle *throttle, const CommyThrottlePolicy *policy, gint64 now_ns)
{
  if (policy->enabled)
    commy_tally_add (&throttle->tally, WINDOW_NS, now_ns, 1, 1);
}
