/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The form of the backoff is gRPC's (proposal A6), that of the budget Finagle's (RetryBudget):
 * a share of the calls of a window. Its reserve is for clients with few calls, so it is not added
 * to the share as there: with it many clients together would amplify more than the share says.
 * Nor is there a window of both: a tally forgets a tenth of its window at a time, so that one
 * window for calls and retries lets through more than the share of some ten seconds that lie
 * otherwise. Calls are counted over those ten seconds at most, retries over at least those.
 */
#include "config.h"

#include "control/commy-retry.h"

#include "control/commy-chance.h"

#define BUDGET_WINDOW_NS (10 * G_GINT64_CONSTANT (1000000000)) /* Finagle's time to live */
/* All of its buckets but the newest, which has just begun, are the window. */
#define RETRIES_WINDOW_NS (BUDGET_WINDOW_NS / (COMMY_TALLY_BUCKETS - 1) * COMMY_TALLY_BUCKETS)
#define MULTIPLIER 2.0
#define JITTER 0.2 /* A6: U(0.8, 1.2) */

void
commy_retry_budget_deposit (CommyRetryBudget *budget, gint64 now_ns, guint32 n)
{
  commy_tally_add (&budget->calls, BUDGET_WINDOW_NS, now_ns, 0, n);
}

gboolean
commy_retry_budget_withdraw (CommyRetryBudget *budget,
                             const CommyRetryPolicy *policy,
                             gint64 now_ns)
{
  double allowed;

  commy_tally_advance (&budget->calls, BUDGET_WINDOW_NS, now_ns);
  commy_tally_advance (&budget->retries, RETRIES_WINDOW_NS, now_ns);
  allowed = MAX (policy->budget_share * (double) budget->calls.sums[0],
                 (double) policy->budget_reserve * (BUDGET_WINDOW_NS / 1e9));
  if ((double) budget->retries.sums[0] + 1 > allowed)
    return FALSE;
  commy_tally_add (&budget->retries, RETRIES_WINDOW_NS, now_ns, 0, 1);
  return TRUE;
}

gint64
commy_retry_backoff (const CommyRetryPolicy *policy, guint n, guint64 random)
{
  double wait = (double) policy->backoff_ns;

  for (guint i = 1; i < n && wait < (double) policy->backoff_max_ns; i++)
    wait *= MULTIPLIER;
  wait = MIN (wait, (double) policy->backoff_max_ns);
  return (gint64) (wait * (1 - JITTER + 2 * JITTER * commy_chance (random)));
}

const char *
commy_retry_verdict_to_string (CommyRetryVerdict verdict)
{
  static const char *const names[]
      = { "retried",          "succeeded", "answered", "not safe to repeat",
          "attempts used up", "deadline",  "budget" };

  return names[verdict];
}

static gboolean
is_safe (CommyOutcome outcome, gboolean idempotent)
{
  return idempotent || outcome == COMMY_OUTCOME_NOT_SENT || outcome == COMMY_OUTCOME_LIMITED
         || outcome == COMMY_OUTCOME_TOO_OFTEN;
}

CommyRetryVerdict
commy_retry_decide (const CommyRetryPolicy *policy,
                    CommyRetryBudget *budget,
                    guint n_attempts,
                    CommyOutcome outcome,
                    gboolean idempotent,
                    gboolean elsewhere,
                    gint64 now_ns,
                    gint64 deadline_ns,
                    guint64 random,
                    gint64 *out_at_ns)
{
  gint64 at;

  if (outcome == COMMY_OUTCOME_OK || outcome == COMMY_OUTCOME_ABANDONED)
    return COMMY_RETRY_SUCCEEDED;
  if (outcome == COMMY_OUTCOME_ANSWERED)
    return COMMY_RETRY_ANSWERED;
  if (!is_safe (outcome, idempotent))
    return COMMY_RETRY_UNSAFE;
  if (n_attempts >= policy->attempts)
    return COMMY_RETRY_ATTEMPTS;
  at = now_ns;
  if (n_attempts > 1 || !elsewhere)
    at += commy_retry_backoff (policy, n_attempts, random);
  if (at >= deadline_ns)
    return COMMY_RETRY_DEADLINE;
  /* Last, so that only what is really sent again is taken from it. */
  if (!commy_retry_budget_withdraw (budget, policy, now_ns))
    return COMMY_RETRY_BUDGET;
  *out_at_ns = at;
  return COMMY_RETRY_YES;
}
