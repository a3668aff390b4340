/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The breaker's states. Rules and figures are Linkerd's (reference/circuit-breaking): failures in
 * a row or a share of successes over an exact window; what was refused for load counts for the
 * share only, but fails the call that tries.
 */
#include "config.h"

#include "control/commy-breaker.h"

#include "base/commy-units.h"
#include "control/commy-chance.h"

#define JITTER 0.5 /* of the penalty, added: those who opened together do not try together */

CommyBreakerState
commy_breaker_get_state (const CommyBreaker *breaker, gint64 now_ns)
{
  if (!breaker->open)
    return COMMY_BREAKER_CLOSED;
  return now_ns < breaker->until_ns ? COMMY_BREAKER_OPEN : COMMY_BREAKER_HALF_OPEN;
}

gboolean
commy_breaker_admits (const CommyBreaker *breaker, const CommyBreakerPolicy *policy, gint64 now_ns)
{
  if (breaker->in_flight >= policy->max_in_flight)
    return FALSE;
  return !breaker->open || (now_ns >= breaker->until_ns && !breaker->trying);
}

guint32
commy_breaker_begin (CommyBreaker *breaker, gint64 now_ns)
{
  breaker->in_flight++;
  if (!breaker->open)
    return breaker->era;
  if (now_ns < breaker->until_ns || breaker->trying)
    return breaker->era - 1;
  breaker->trying = TRUE;
  return breaker->era;
}

static void
open_it (CommyBreaker *breaker, const CommyBreakerPolicy *policy, gint64 now_ns, guint64 random)
{
  double penalty = (double) policy->penalty_ns;

  for (guint i = 0; i < breaker->n_penalties && penalty < (double) policy->penalty_max_ns; i++)
    penalty *= 2;
  penalty = MIN (penalty, (double) policy->penalty_max_ns);
  penalty *= 1 + JITTER * commy_chance (random);
  /* Of an instance that fails its trial: since the first time. */
  if (!breaker->open)
    breaker->since_ns = now_ns;
  breaker->n_penalties++;
  breaker->open = TRUE;
  breaker->trying = FALSE;
  breaker->until_ns = now_ns + (gint64) penalty;
  breaker->era++;
}

static void
close_it (CommyBreaker *breaker)
{
  commy_tally_clear (&breaker->tally);
  breaker->open = FALSE;
  breaker->trying = FALSE;
  breaker->row = 0;
  breaker->n_penalties = 0;
  breaker->era++;
}

static void
end_trial (CommyBreaker *breaker,
           const CommyBreakerPolicy *policy,
           CommyOutcome outcome,
           gint64 now_ns,
           guint64 random)
{
  breaker->trying = FALSE;
  if (outcome == COMMY_OUTCOME_OK)
    close_it (breaker);
  else if (outcome != COMMY_OUTCOME_ABANDONED)
    open_it (breaker, policy, now_ns, random);
}

static gboolean
is_to_open (CommyBreaker *breaker, const CommyBreakerPolicy *policy)
{
  const guint64 *sums = breaker->tally.sums;
  const guint64 n = sums[0] + sums[1];

  breaker->row_seen = breaker->row >= policy->failures ? breaker->row : 0;
  breaker->seen[0] = sums[0];
  breaker->seen[1] = sums[1];
  return breaker->row_seen > 0
         || (n >= policy->volume && (double) sums[0] < policy->success * (double) n);
}

void
commy_breaker_end (CommyBreaker *breaker,
                   const CommyBreakerPolicy *policy,
                   guint32 era,
                   CommyOutcome outcome,
                   gint64 now_ns,
                   guint64 random)
{
  breaker->in_flight--;
  if (!policy->enabled || era != breaker->era)
    return;
  if (outcome == COMMY_OUTCOME_ANSWERED)
    outcome = COMMY_OUTCOME_OK;
  if (breaker->open)
    {
      end_trial (breaker, policy, outcome, now_ns, random);
      return;
    }
  if (outcome == COMMY_OUTCOME_ABANDONED)
    return;
  commy_tally_add (&breaker->tally, policy->window_ns, now_ns, outcome != COMMY_OUTCOME_OK, 1);
  if (outcome == COMMY_OUTCOME_OK)
    breaker->row = 0;
  else if (outcome != COMMY_OUTCOME_LIMITED)
    breaker->row++;
  if (outcome != COMMY_OUTCOME_OK && is_to_open (breaker, policy))
    open_it (breaker, policy, now_ns, random);
}

void
commy_breaker_pass (CommyBreaker *breaker,
                    const CommyBreakerPolicy *policy,
                    guint32 n,
                    gint64 now_ns)
{
  if (!policy->enabled || breaker->open)
    return;
  commy_tally_add (&breaker->tally, policy->window_ns, now_ns, 0, n);
  breaker->row = 0;
}

gboolean
commy_breaker_explain (const CommyBreaker *breaker,
                       const CommyBreakerPolicy *policy,
                       gint64 now_ns,
                       GString *text)
{
  g_autofree char *since = commy_format_duration ((double) (now_ns - breaker->since_ns));
  const guint64 n = breaker->seen[0] + breaker->seen[1];

  if (commy_breaker_admits (breaker, policy, now_ns))
    return FALSE;
  if (!breaker->open)
    g_string_append_printf (text, "%u calls under way", breaker->in_flight);
  else if (breaker->row_seen > 0)
    g_string_append_printf (text, "open since %s (%u failures)", since, breaker->row_seen);
  else
    g_string_append_printf (text, "open since %s (%.0f%% of %" G_GUINT64_FORMAT " calls succeeded)",
                            since, n > 0 ? 100.0 * (double) breaker->seen[0] / (double) n : 0, n);
  if (breaker->open && now_ns >= breaker->until_ns)
    g_string_append (text, ", one call tries");
  return TRUE;
}
