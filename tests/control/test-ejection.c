/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ejection over sets of 2 to 50 instances: who goes out, how soon, who never does. The figures
 * are printed: how long until a bad one is found, and how often a good one is by mistake.
 */
#include "config.h"

#include "control/commy-beta-binomial.h"
#include "control/commy-ejection.h"
#include "tests/control/chance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 50u

static const CommyEjectionPolicy usual = {
  .enabled = TRUE,
  .failures = 5,
  .interval_ns = 10 * SECOND,
  .difference = 0.1,
  .time_ns = 30 * SECOND,
  .time_max_ns = 300 * SECOND,
  .share = 0.5,
};

typedef struct
{
  CommyEjection ejection;
  CommyEjectionHost hosts[MOST];
  guint n;
  gint64 now;
} Set;

static Set
make_set (guint n)
{
  Set set = { .n = n, .now = START };

  commy_ejection_check (&set.ejection, &usual, set.hosts, n, set.now);
  return set;
}

static void
tell (Set *set, guint index, CommyOutcome outcome)
{
  commy_ejection_tell (&set->ejection, &usual, set->hosts, set->n, index, outcome, set->now);
}

static void
end_interval (Set *set)
{
  set->now += usual.interval_ns;
  commy_ejection_check (&set->ejection, &usual, set->hosts, set->n, set->now);
}

/* So many of each, mixed, so that none are in a row. */
static void
tell_share (Set *set, guint index, guint passed, guint failed)
{
  const guint n = passed + failed;

  for (guint i = 0; i < n; i++)
    tell (set, index,
          (i + 1) * failed / n > i * failed / n ? COMMY_OUTCOME_FAILED : COMMY_OUTCOME_OK);
}

/* --- the distribution --- */

static double
slow_tail (guint n, guint k, guint failed, guint passed)
{
  double sum = 0;

  for (guint x = k; x <= n; x++)
    sum += exp (lgamma (n + 1) - lgamma (x + 1) - lgamma (n - x + 1) + lgamma (x + failed + 1)
                + lgamma (n - x + passed + 1) - lgamma (n + failed + passed + 2)
                + lgamma (failed + passed + 2) - lgamma (failed + 1) - lgamma (passed + 1));
  return sum;
}

static void
test_tail (void)
{
  for (guint n = 1; n <= 12; n++)
    for (guint k = 0; k <= n + 1; k++)
      {
        /* Of nobody else is known anything: every number is as likely. */
        const double even = k > n ? 0 : (n - k + 1.0) / (n + 1.0);

        g_assert_cmpfloat_with_epsilon (commy_beta_binomial_tail (n, k, 0, 0), even, 1e-12);
        g_assert_cmpfloat_with_epsilon (commy_beta_binomial_tail (n, k, 3, 40),
                                        slow_tail (n, k, 3, 40), 1e-12);
      }
  g_assert_cmpfloat_with_epsilon (commy_beta_binomial_tail (10, 10, 0, 10), 2.8350e-6, 1e-9);
  /* Large ones end, and are no nonsense. */
  g_assert_cmpfloat (commy_beta_binomial_tail (G_MAXUINT32, G_MAXUINT32 / 2, 1, G_MAXUINT32), <,
                     1e-300);
  g_assert_cmpfloat (commy_beta_binomial_tail (1000000, 1, 500000, 500000), >, 0.999);
}

/* --- failures in a row --- */

static void
test_row (gconstpointer data)
{
  Set set = make_set (GPOINTER_TO_UINT (data));
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < set.n; i++)
    tell (&set, i, COMMY_OUTCOME_OK);
  for (guint i = 0; i < 4; i++)
    tell (&set, 1, COMMY_OUTCOME_FAILED);
  g_assert_false (set.hosts[1].out);
  tell (&set, 1, COMMY_OUTCOME_NOT_SENT);
  g_assert_true (set.hosts[1].out);
  g_assert_true (commy_ejection_explain (&set.hosts[1], set.now + 9 * SECOND, text));
  g_assert_cmpstr (text->str, ==, "ejected for 21 s (5 failures)");
  g_assert_false (commy_ejection_explain (&set.hosts[0], set.now, text));
}

static void
test_limited (void)
{
  Set set = make_set (2);

  tell (&set, 0, COMMY_OUTCOME_OK);
  for (guint i = 0; i < 100; i++)
    {
      tell (&set, 0, COMMY_OUTCOME_OK);
      tell (&set, 1, i % 2 == 0 ? COMMY_OUTCOME_LIMITED : COMMY_OUTCOME_ABANDONED);
    }
  g_assert_false (set.hosts[1].out);
  end_interval (&set);
  g_assert_false (set.hosts[1].out);
}

/* Where all who are in have too much to do, who is out is let in, whatever it did. */
static void
test_all_limited (void)
{
  Set set = make_set (2);

  tell (&set, 0, COMMY_OUTCOME_OK);
  for (guint i = 0; i < 5; i++)
    tell (&set, 1, COMMY_OUTCOME_FAILED);
  end_interval (&set);
  g_assert_true (set.hosts[1].out);
  tell (&set, 0, COMMY_OUTCOME_LIMITED);
  end_interval (&set);
  g_assert_false (set.hosts[1].out);
}

static void
test_last_one (gconstpointer data)
{
  Set set = make_set (GPOINTER_TO_UINT (data));
  const guint most = MAX (set.n / 2, 1);
  guint n_out = 0;

  for (guint i = 0; i < set.n; i++)
    tell (&set, i, COMMY_OUTCOME_OK);
  for (guint round = 0; round < 20; round++)
    for (guint i = 0; i < set.n; i++)
      tell (&set, i, COMMY_OUTCOME_FAILED);
  for (guint i = 0; i < set.n; i++)
    n_out += set.hosts[i].out;
  g_assert_cmpuint (n_out, ==, set.ejection.n_out);
  g_assert_cmpuint (n_out, <=, set.n == 1 ? 0 : most);
  g_assert_cmpuint (n_out, <, set.n);
}

static void
test_share_holds (gconstpointer data)
{
  Set set = make_set (GPOINTER_TO_UINT (data));

  for (guint round = 0; round < 20; round++)
    for (guint i = 0; i < set.n; i++)
      tell (&set, i, i == 0 ? COMMY_OUTCOME_OK : COMMY_OUTCOME_FAILED);
  g_assert_cmpuint (set.ejection.n_out, ==, MAX (set.n / 2, 1));
  g_assert_false (set.hosts[0].out);
}

static void
test_all_bad (gconstpointer data)
{
  Set set = make_set (GPOINTER_TO_UINT (data));

  for (guint interval = 0; interval < 5; interval++)
    {
      for (guint round = 0; round < 100; round++)
        for (guint i = 0; i < set.n; i++)
          tell (&set, i, COMMY_OUTCOME_FAILED);
      end_interval (&set);
      g_assert_cmpuint (set.ejection.n_out, ==, 0);
    }
  g_assert_cmpuint (set.ejection.n_ejections, ==, 0);
}

/* One went out before it was seen that the others are no better. */
static void
test_all_become_bad (void)
{
  Set set = make_set (3);

  for (guint i = 0; i < 3; i++)
    tell (&set, i, COMMY_OUTCOME_OK);
  for (guint i = 0; i < 5; i++)
    tell (&set, 0, COMMY_OUTCOME_FAILED);
  g_assert_true (set.hosts[0].out);
  end_interval (&set);
  for (guint i = 0; i < 10; i++)
    {
      tell (&set, 1, COMMY_OUTCOME_FAILED);
      tell (&set, 2, COMMY_OUTCOME_FAILED);
    }
  end_interval (&set);
  g_assert_cmpuint (set.ejection.n_out, ==, 0);
}

/* --- comparing --- */

static void
test_compared (gconstpointer data)
{
  Set set = make_set (GPOINTER_TO_UINT (data));
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < set.n; i++)
    tell_share (&set, i, i == 1 ? 60 : 99, i == 1 ? 40 : 1);
  g_assert_cmpuint (set.ejection.n_out, ==, 0);
  end_interval (&set);
  for (guint i = 0; i < set.n; i++)
    g_assert_cmpint (set.hosts[i].out, ==, i == 1);
  g_assert_true (commy_ejection_explain (&set.hosts[1], set.now, text));
  g_assert_cmpstr (text->str, ==, "ejected for 30 s (40% failed, of the others 1%)");
}

/* Where 1.9 standard deviations below the mean find nobody. */
static void
test_two_of_five (void)
{
  Set set = make_set (5);

  for (guint i = 0; i < 5; i++)
    tell_share (&set, i, i < 2 ? 50 : 99, i < 2 ? 50 : 1);
  end_interval (&set);
  for (guint i = 0; i < 5; i++)
    g_assert_cmpint (set.hosts[i].out, ==, i < 2);
}

/* However sure it is that they differ: 2 % is not worth an instance. */
static void
test_small_difference (void)
{
  Set set = make_set (3);

  for (guint i = 0; i < 3; i++)
    {
      set.hosts[i].passed = i == 0 ? 980000 : 999000;
      set.hosts[i].failed = i == 0 ? 20000 : 1000;
    }
  end_interval (&set);
  g_assert_cmpuint (set.ejection.n_out, ==, 0);
}

static void
test_few_calls (void)
{
  Set set = make_set (3);

  for (guint i = 0; i < 3; i++)
    tell_share (&set, i, i == 0 ? 1 : 3, i == 0 ? 3 : 0);
  end_interval (&set);
  g_assert_cmpuint (set.ejection.n_out, ==, 0);
}

/* --- time --- */

static void
test_time_grows (void)
{
  Set set = make_set (2);
  gint64 expected = 30 * SECOND;

  for (guint i = 0; i < 15; i++)
    {
      tell (&set, 0, COMMY_OUTCOME_OK);
      for (guint k = 0; k < 5; k++)
        tell (&set, 1, COMMY_OUTCOME_FAILED);
      g_assert_true (set.hosts[1].out);
      g_assert_cmpint (set.hosts[1].until_ns - set.now, ==, expected);
      g_assert_cmpint (commy_ejection_get_next (&set.ejection, set.hosts, 2), <=,
                       set.hosts[1].until_ns);
      /* Nothing is told meanwhile, so no interval is a good one. */
      set.now = set.hosts[1].until_ns - 1;
      commy_ejection_check (&set.ejection, &usual, set.hosts, 2, set.now);
      g_assert_true (set.hosts[1].out);
      set.now++;
      commy_ejection_check (&set.ejection, &usual, set.hosts, 2, set.now);
      g_assert_false (set.hosts[1].out);
      expected = MIN (expected + 30 * SECOND, 300 * SECOND);
    }
}

static void
test_time_decays (void)
{
  Set set = make_set (2);

  set.hosts[1].n_times = 4;
  for (guint i = 0; i < 3; i++)
    {
      tell (&set, 0, COMMY_OUTCOME_OK);
      tell (&set, 1, COMMY_OUTCOME_OK);
      end_interval (&set);
    }
  for (guint k = 0; k < 5; k++)
    tell (&set, 1, COMMY_OUTCOME_FAILED);
  g_assert_cmpint (set.hosts[1].until_ns - set.now, ==, 60 * SECOND);
}

static void
test_disabled (void)
{
  CommyEjectionPolicy policy = usual;
  Set set = { .n = 3, .now = START };

  policy.enabled = FALSE;
  for (guint i = 0; i < 100; i++)
    {
      commy_ejection_tell (&set.ejection, &policy, set.hosts, 3, 0, COMMY_OUTCOME_OK, set.now);
      g_assert_false (commy_ejection_tell (&set.ejection, &policy, set.hosts, 3, 1,
                                           COMMY_OUTCOME_FAILED, set.now));
    }
  g_assert_false (
      commy_ejection_check (&set.ejection, &policy, set.hosts, 3, set.now + 1000 * SECOND));
}

/* --- figures --- */

/* By Poisson, which for few failures of many calls is near enough, and fast. */
static guint
draw_failures (CommySimRandom *random, double mean)
{
  const double limit = exp (-mean);
  double product = commy_sim_random_share (random);
  guint n = 0;

  for (; product > limit; n++)
    product *= commy_sim_random_share (random);
  return n;
}

/* What the rule of 1.9 standard deviations would say of the same interval. */
static gboolean
deviates (const Set *set)
{
  double rates[MOST], mean = 0, square = 0;

  for (guint i = 0; i < set->n; i++)
    {
      rates[i] = (double) set->hosts[i].passed / (set->hosts[i].passed + set->hosts[i].failed);
      mean += rates[i] / set->n;
    }
  for (guint i = 0; i < set->n; i++)
    square += (rates[i] - mean) * (rates[i] - mean) / set->n;
  for (guint i = 0; i < set->n; i++)
    if (rates[i] < mean - 1.9 * sqrt (square))
      return TRUE;
  return FALSE;
}

/* Good ones of which 2 % of 100 calls fail in an interval. */
static void
test_false_ejections (gconstpointer data)
{
  const char *count = g_getenv ("COMMY_TEST_INTERVALS");
  const guint64 n_intervals
      = count != NULL ? g_ascii_strtoull (count, NULL, 10) : G_GUINT64_CONSTANT (1000000);
  Set set = make_set (GPOINTER_TO_UINT (data));
  CommySimRandom random = { 7 + set.n };
  guint64 n_deviating = 0, n_runs = n_intervals / set.n;

  for (guint64 run = 0; run < n_runs; run++)
    {
      for (guint i = 0; i < set.n; i++)
        {
          set.hosts[i].failed = MIN (draw_failures (&random, 2), 100);
          set.hosts[i].passed = 100 - set.hosts[i].failed;
        }
      n_deviating += deviates (&set);
      end_interval (&set);
    }
  g_test_message ("%u instances, %" G_GUINT64_FORMAT " comparisons: %" G_GUINT64_FORMAT
                  " false ejections; by 1.9 standard deviations in %.1f %% of intervals",
                  set.n, n_runs * set.n, set.ejection.n_ejections,
                  100.0 * (double) n_deviating / (double) n_runs);
  /* One in 10^7 would be as designed; at the usual length that is none. */
  g_assert_cmpuint (set.ejection.n_ejections, <=, n_runs * set.n / 5000000);
}

/* Calls one after the other, 20 a second to each, a good one fails 1 %: intervals until it is out.
 */
static void
test_detection (gconstpointer data)
{
  static const double shares[] = { 1, 0.5, 0.3 };
  const guint n = GPOINTER_TO_UINT (data);

  for (guint s = 0; s < G_N_ELEMENTS (shares); s++)
    {
      CommySimRandom random = { 99 };
      gint64 sum = 0, worst = 0;

      for (guint run = 0; run < 50; run++)
        {
          Set set = make_set (n);
          const gint64 begin = set.now;

          while (!set.hosts[0].out && set.now < begin + 1000 * SECOND)
            {
              set.now += 50 * MS;
              for (guint i = 0; i < n; i++)
                tell (&set, i,
                      commy_sim_random_share (&random) < (i == 0 ? shares[s] : 0.01)
                          ? COMMY_OUTCOME_FAILED
                          : COMMY_OUTCOME_OK);
              commy_ejection_check (&set.ejection, &usual, set.hosts, n, set.now);
            }
          sum += set.now - begin;
          worst = MAX (worst, set.now - begin);
        }
      g_test_message ("%u instances, one fails %.0f %%: out after %.1f s, at worst %.1f s", n,
                      100 * shares[s], (double) sum / 50 / 1e9, (double) worst / 1e9);
      g_assert_cmpint (worst, <=, shares[s] == 1 ? SECOND : 20 * SECOND);
    }
}

static void
add_sizes (const char *name, GTestDataFunc func)
{
  static const guint sizes[] = { 2, 3, 5, 50 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *path = g_strdup_printf ("/control/ejection/%s/%u", name, sizes[i]);

      g_test_add_data_func (path, GUINT_TO_POINTER (sizes[i]), func);
    }
}

#define ADD(path, test) g_test_add_func ("/control/ejection/" path, test)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("tail-is-that-of-the-definition", test_tail);
  add_sizes ("failures-in-a-row-eject", test_row);
  ADD ("load-is-no-fault", test_limited);
  ADD ("where-all-have-too-much-to-do-nobody-is-out", test_all_limited);
  add_sizes ("the-last-one-stays", test_last_one);
  add_sizes ("no-more-than-the-share-are-out", test_share_holds);
  add_sizes ("where-all-are-bad-nothing-happens", test_all_bad);
  ADD ("where-all-become-bad-all-come-back", test_all_become_bad);
  add_sizes ("the-worse-one-is-found", test_compared);
  ADD ("two-bad-ones-of-five-are-found", test_two_of_five);
  ADD ("a-small-difference-does-not-matter", test_small_difference);
  ADD ("few-calls-say-nothing", test_few_calls);
  ADD ("time-grows-with-each-ejection", test_time_grows);
  ADD ("good-intervals-shorten-the-time", test_time_decays);
  ADD ("can-be-switched-off", test_disabled);
  add_sizes ("good-ones-stay", test_false_ejections);
  add_sizes ("a-bad-one-is-found-in-time", test_detection);
  return g_test_run ();
}
