/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Switching without flapping: a rival takes over only if it is better by a margin, surely,
 * several times in a row, and not too soon. Failures and changes of policy do not ask here.
 */
#include "config.h"

#include "route/commy-route.h"

#include <math.h>

const char *
commy_switch_verdict_to_string (CommySwitchVerdict verdict)
{
  switch (verdict)
    {
    case COMMY_SWITCH_STAY_BEST:
      return "stays: is the best";
    case COMMY_SWITCH_STAY_MARGIN:
      return "stays: the rival is not better by the margin";
    case COMMY_SWITCH_STAY_UNSURE:
      return "stays: the difference is not certain";
    case COMMY_SWITCH_STAY_STREAK:
      return "stays: the rival was not better often enough in a row";
    case COMMY_SWITCH_STAY_DWELL:
      return "stays: too soon after the last switch";
    case COMMY_SWITCH_GO:
      return "switches";
    default:
      return "?";
    }
}

static CommySwitchVerdict
judge (const CommyDemand *demand,
       double incumbent_ns,
       double incumbent_sd,
       double rival_ns,
       double rival_sd)
{
  double noise = sqrt (incumbent_sd * incumbent_sd + rival_sd * rival_sd);

  if (!(rival_ns < incumbent_ns))
    return COMMY_SWITCH_STAY_BEST;
  if (!(rival_ns < (1 - demand->switch_margin) * incumbent_ns))
    return COMMY_SWITCH_STAY_MARGIN;
  if (!(log (incumbent_ns / rival_ns) > demand->switch_z * noise))
    return COMMY_SWITCH_STAY_UNSURE;
  return COMMY_SWITCH_GO;
}

CommySwitchVerdict
commy_switch_consider (CommySwitch *state,
                       const CommyDemand *demand,
                       double incumbent_ns,
                       double incumbent_sd,
                       double rival_ns,
                       double rival_sd)
{
  CommySwitchVerdict verdict = judge (demand, incumbent_ns, incumbent_sd, rival_ns, rival_sd);

  if (verdict != COMMY_SWITCH_GO)
    {
      state->streak = 0;
      return verdict;
    }
  if (state->streak < G_MAXUINT)
    state->streak++;
  if (state->streak < demand->switch_evaluations)
    return COMMY_SWITCH_STAY_STREAK;
  if (demand->now_ns - state->since_ns < demand->switch_dwell_ns)
    return COMMY_SWITCH_STAY_DWELL;
  state->since_ns = demand->now_ns;
  state->streak = 0;
  return COMMY_SWITCH_GO;
}
