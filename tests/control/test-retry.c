/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sends calls again: retries, their budget, hedges; and the deadlines and service times that
 * they look at.
 */
#include "config.h"

#include "control/commy-deadline.h"
#include "control/commy-hedge.h"
#include "control/commy-retry.h"
#include "tests/control/chance.h"

#include <stdlib.h>

static const CommyRetryPolicy usual = {
  .attempts = 3,
  .backoff_ns = 20 * MS,
  .backoff_max_ns = SECOND,
  .budget_share = 0.2,
  .budget_reserve = 10,
};

static CommyRetryVerdict
decide (CommyRetryBudget *budget, guint n, CommyOutcome outcome, gboolean idempotent, gint64 left)
{
  gint64 at = 0;
  CommyRetryVerdict verdict = commy_retry_decide (&usual, budget, n, outcome, idempotent, FALSE,
                                                  START, START + left, 0, &at);

  g_assert_true ((verdict == COMMY_RETRY_YES) == (at > START));
  return verdict;
}

/* Who failed needs a rest; the others do not. */
static void
test_elsewhere (void)
{
  CommyRetryBudget budget = { 0 };
  gint64 at = 0;

  g_assert_cmpint (commy_retry_decide (&usual, &budget, 1, COMMY_OUTCOME_FAILED, TRUE, TRUE, START,
                                       START + SECOND, 0, &at),
                   ==, COMMY_RETRY_YES);
  g_assert_cmpint (at, ==, START);
  g_assert_cmpint (commy_retry_decide (&usual, &budget, 2, COMMY_OUTCOME_FAILED, TRUE, TRUE, START,
                                       START + SECOND, 0, &at),
                   ==, COMMY_RETRY_YES);
  g_assert_cmpint (at, >, START);
}

static void
test_safe (void)
{
  CommyRetryBudget budget = { 0 };

  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_OK, TRUE, SECOND), ==, COMMY_RETRY_SUCCEEDED);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_ANSWERED, TRUE, SECOND), ==,
                   COMMY_RETRY_ANSWERED);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_FAILED, FALSE, SECOND), ==,
                   COMMY_RETRY_UNSAFE);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_FAILED, TRUE, SECOND), ==, COMMY_RETRY_YES);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_NOT_SENT, FALSE, SECOND), ==, COMMY_RETRY_YES);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_LIMITED, FALSE, SECOND), ==, COMMY_RETRY_YES);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_TOO_OFTEN, FALSE, SECOND), ==,
                   COMMY_RETRY_YES);
  g_assert_cmpint (decide (&budget, 3, COMMY_OUTCOME_FAILED, TRUE, SECOND), ==,
                   COMMY_RETRY_ATTEMPTS);
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_FAILED, TRUE, 16 * MS), ==,
                   COMMY_RETRY_DEADLINE);
  g_assert_cmpuint (budget.retries.sums[0], ==, 4);
}

static void
test_backoff (void)
{
  static const gint64 means[] = { 20, 40, 80, 160, 320, 640, 1000, 1000 };

  for (guint i = 0; i < G_N_ELEMENTS (means); i++)
    {
      g_assert_cmpint (commy_retry_backoff (&usual, i + 1, 0), ==, means[i] * MS * 8 / 10);
      g_assert_cmpint (commy_retry_backoff (&usual, i + 1, G_MAXUINT64), <=,
                       means[i] * MS * 12 / 10);
      g_assert_cmpint (commy_retry_backoff (&usual, i + 1, G_MAXUINT64), >,
                       means[i] * MS * 11 / 10);
    }
  g_assert_cmpint (commy_retry_backoff (&usual, G_MAXUINT, 0), ==, 800 * MS);
}

static void
test_reserve (void)
{
  CommyRetryBudget budget = { 0 };

  for (guint i = 0; i < 100; i++)
    g_assert_true (commy_retry_budget_withdraw (&budget, &usual, START));
  g_assert_cmpint (decide (&budget, 1, COMMY_OUTCOME_FAILED, TRUE, SECOND), ==, COMMY_RETRY_BUDGET);
  g_assert_false (commy_retry_budget_withdraw (&budget, &usual, START + 8 * SECOND));
  g_assert_false (commy_retry_budget_withdraw (&budget, &usual, START + 10 * SECOND - 1));
  g_assert_true (commy_retry_budget_withdraw (&budget, &usual, START + 12 * SECOND));
}

/* Whatever the calls do, over any window retries are at most a fifth of them. */
static void
test_share (void)
{
  CommySimRandom random = { 5 };
  CommyRetryPolicy policy = usual;
  CommyRetryBudget budget = { 0 };
  guint64 n_calls = 0, n_retries = 0;

  policy.budget_reserve = 0;
  for (gint64 at = 0; at < 100 * SECOND; at += MS)
    {
      guint n = commy_sim_random_below (&random, at / SECOND % 20 < 10 ? 3 : 1);

      for (guint i = 0; i < n; i++)
        commy_retry_budget_deposit (&budget, START + at, 1);
      n_calls += n;
      while (commy_retry_budget_withdraw (&budget, &policy, START + at))
        n_retries++;
    }
  g_assert_cmpuint (n_retries, <=, n_calls / 5);
  g_assert_cmpuint (n_retries, >=, n_calls / 6);
}

#define TENTHS 400u /* of a second */
#define TEN_SECONDS 100u

static guint
sum_of (const guint *counts, guint first, guint end)
{
  guint sum = 0;

  for (guint i = first; i < end; i++)
    sum += counts[i];
  return sum;
}

/* Wherever the ten seconds lie that end with a retry, and however many calls want one: those that
 * fail may all do so at once after a time in which none did. */
static void
test_any_ten_seconds (void)
{
  CommySimRandom random = { 7 };
  CommyRetryPolicy policy = usual;

  policy.budget_reserve = 0;
  for (guint phase = 0; phase < 10; phase++)
    {
      CommyRetryBudget budget = { 0 };
      guint calls[TENTHS] = { 0 }, retries[TENTHS] = { 0 };

      for (guint i = 0; i < TENTHS; i++)
        {
          const gint64 at = START + (phase + i) * (SECOND / 10);

          calls[i] = 10 + commy_sim_random_below (&random, 5);
          commy_retry_budget_deposit (&budget, at, calls[i]);
          while ((i + phase) / 50 % 3 != 0 && commy_retry_budget_withdraw (&budget, &policy, at))
            retries[i]++;
          if (i >= TEN_SECONDS && retries[i] > 0)
            g_assert_cmpuint (5 * sum_of (retries, i + 1 - TEN_SECONDS, i + 1), <=,
                              sum_of (calls, i + 1 - TEN_SECONDS, i + 1));
        }
      /* And nearly all of it is to be had. */
      g_assert_cmpuint (6 * sum_of (retries, 0, TENTHS), >=, sum_of (calls, 0, TENTHS) * 2 / 3);
    }
}

/* --- service times --- */

static int
compare (gconstpointer a, gconstpointer b)
{
  const gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

static void
test_quantiles (void)
{
  static const double quantiles[] = { 0, 0.01, 0.5, 0.9, 0.99, 1 };
  const CommySimTimes shape = { COMMY_SIM_LOGNORMAL, 3e6, 1 };
  CommySimRandom random = { 11 };
  CommyServiceTime times = { 0 };
  gint64 all[5000];
  double sum = 0;

  for (guint i = 0; i < 5000; i++)
    {
      all[i] = commy_sim_random_time (&random, &shape);
      sum += (double) all[i];
      commy_service_time_add (&times, START, all[i]);
    }
  qsort (all, 5000, sizeof all[0], compare);
  for (guint i = 0; i < G_N_ELEMENTS (quantiles); i++)
    {
      const gint64 exact = all[(guint) MAX (quantiles[i] * 5000, 1) - 1];
      const gint64 told = commy_service_time_get (&times, quantiles[i]);

      g_assert_cmpint (told, >=, exact);
      g_assert_cmpint (told, <=, exact + exact / 16 + 64);
    }
  g_assert_cmpint (llabs (commy_service_time_get_mean (&times) - (gint64) (sum / 5000)), <=, 1);
}

static void
test_few_are_unknown (void)
{
  CommyServiceTime times = { 0 };

  for (guint i = 0; i < COMMY_SERVICE_TIME_ENOUGH - 1; i++)
    commy_service_time_add (&times, START, MS);
  g_assert_cmpint (commy_service_time_get (&times, 0.5), ==, 0);
  g_assert_cmpint (commy_service_time_get_mean (&times), ==, 0);
  commy_service_time_add (&times, START, G_MAXINT64);
  commy_service_time_add (&times, START, -5);
  g_assert_cmpint (commy_service_time_get (&times, 0.5), >=, MS);
  g_assert_cmpint (commy_service_time_get (&times, 0.5), <, 2 * MS);
  g_assert_cmpint (commy_service_time_get (&times, 1), >, SECOND);
}

static void
test_old_times_go (void)
{
  CommyServiceTime times = { 0 };
  gint64 now = START;

  for (guint i = 0; i < 1000; i++)
    commy_service_time_add (&times, now, 100 * MS);
  for (guint i = 0; i < 400; i++)
    commy_service_time_add (&times, now += 10 * MS, MS);
  g_assert_cmpint (commy_service_time_get (&times, 0.99), <, 2 * MS);
}

/* --- hedges --- */

static void
test_hedges (void)
{
  CommyHedgePolicy fixed = { 3, 5 * MS }, learnt = { 2, 0 }, none = { 1, 5 * MS };
  CommyServiceTime times = { 0 };

  g_assert_cmpint (commy_hedge_get_due (&fixed, &times, 1, TRUE, START), ==, START + 5 * MS);
  g_assert_cmpint (commy_hedge_get_due (&fixed, &times, 2, TRUE, START), ==, START + 5 * MS);
  g_assert_cmpint (commy_hedge_get_due (&fixed, &times, 3, TRUE, START), ==, G_MAXINT64);
  g_assert_cmpint (commy_hedge_get_due (&fixed, &times, 1, FALSE, START), ==, G_MAXINT64);
  g_assert_cmpint (commy_hedge_get_due (&none, &times, 1, TRUE, START), ==, G_MAXINT64);
  g_assert_cmpint (commy_hedge_get_due (&learnt, &times, 1, TRUE, START), ==, G_MAXINT64);
  for (guint i = 0; i < 100; i++)
    commy_service_time_add (&times, START, i < 94 ? MS : 40 * MS);
  g_assert_cmpint (commy_hedge_get_due (&learnt, &times, 1, TRUE, START), >=, START + 40 * MS);
  g_assert_cmpint (commy_hedge_get_due (&learnt, &times, 1, TRUE, START), <, START + 43 * MS);
}

/* --- deadlines --- */

static void
test_left (void)
{
  g_assert_cmpint (commy_deadline_get_left (START + SECOND, START, 10 * MS), ==, 990 * MS);
  g_assert_cmpint (commy_deadline_get_left (START + SECOND, START + SECOND, 0), ==, 0);
  g_assert_cmpint (commy_deadline_get_left (START, START + SECOND, 0), ==, 0);
  g_assert_cmpint (commy_deadline_get_left (G_MAXINT64, START, SECOND), ==, G_MAXINT64);
  g_assert_cmpint (commy_deadline_get_left (G_MININT64, START, SECOND), ==, 0);
  g_assert_cmpint (commy_deadline_get_left (G_MININT64 + START, START, SECOND), ==, 0);
  g_assert_cmpint (commy_deadline_get_left (START, START, G_MAXINT64), ==, 0);
}

static void
test_can_meet (void)
{
  const CommyDeadlinePolicy policy = { TRUE, 0.5 }, off = { FALSE, 0.5 };
  CommyServiceTime times = { 0 };

  /* Unknown: it may be fast. */
  g_assert_true (commy_deadline_can_meet (&policy, &times, 1, 1000, 1));
  for (guint i = 0; i < 100; i++)
    commy_service_time_add (&times, START, 10 * MS);
  g_assert_true (commy_deadline_can_meet (&policy, &times, 11 * MS, 0, 1));
  g_assert_false (commy_deadline_can_meet (&policy, &times, 9 * MS, 0, 1));
  g_assert_false (commy_deadline_can_meet (&policy, &times, 50 * MS, 8, 1));
  g_assert_true (commy_deadline_can_meet (&policy, &times, 50 * MS, 8, 4));
  g_assert_true (commy_deadline_can_meet (&policy, &times, G_MAXINT64, G_MAXUINT, 1));
  g_assert_true (commy_deadline_can_meet (&off, &times, 1, 1000, 1));
  /* What is over is over, shed or not. */
  g_assert_false (commy_deadline_can_meet (&off, &times, 0, 0, 1));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/retry/only-what-is-safe-is-sent-again", test_safe);
  g_test_add_func ("/control/retry/goes-elsewhere-at-once", test_elsewhere);
  g_test_add_func ("/control/retry/backoff-doubles-with-jitter", test_backoff);
  g_test_add_func ("/control/retry/reserve-lasts-and-comes-back", test_reserve);
  g_test_add_func ("/control/retry/share-is-never-exceeded", test_share);
  g_test_add_func ("/control/retry/any-ten-seconds-keep-the-share", test_any_ten_seconds);
  g_test_add_func ("/control/service-time/quantiles-are-near", test_quantiles);
  g_test_add_func ("/control/service-time/few-calls-say-nothing", test_few_are_unknown);
  g_test_add_func ("/control/service-time/old-times-are-forgotten", test_old_times_go);
  g_test_add_func ("/control/hedge/copies-are-due-when-calls-take-long", test_hedges);
  g_test_add_func ("/control/deadline/what-is-left-never-wraps", test_left);
  g_test_add_func ("/control/deadline/work-that-cannot-be-done-is-known", test_can_meet);
  return g_test_run ();
}
