/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How "weighted", "random" and "least-connections" share calls out: against their definitions,
 * with chance from fixed seeds.
 */
#include "config.h"

#include "balancer-rig.h"

#include <string.h>

static void
set_weights (BalancerRig *rig, gsize n, guint32 most)
{
  for (gsize i = 0; i < n; i++)
    rig->members[i].weight = 1 + (guint32) (balancer_rig_random (rig) % most);
}

static guint
sum_of_weights (const BalancerRig *rig, gsize n)
{
  guint sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += rig->members[i].weight;
  return sum;
}

/* --- weighted --- */

static void
assert_cycle (BalancerRig *rig, gsize n)
{
  guint counts[BALANCER_RIG_MEMBERS] = { 0 };

  for (guint left = sum_of_weights (rig, n); left > 0; left--)
    counts[balancer_rig_pick (rig, 0, NULL)]++;
  for (gsize i = 0; i < n; i++)
    g_assert_cmpuint (counts[i], ==, rig->members[i].weight);
}

static void
test_exact (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);

  for (gsize n = 1; n <= 200; n += 7)
    {
      set_weights (rig, n, 20);
      balancer_rig_update (rig, n, balancer_rig_random (rig));
      for (guint before = (guint) (balancer_rig_random (rig) % 50); before > 0; before--)
        balancer_rig_pick (rig, 0, NULL); /* any window of a cycle's length, not the first only */
      for (int cycle = 0; cycle < 3; cycle++)
        assert_cycle (rig, n);
    }
}

static void
test_spread (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);
  guint in_a_row = 0, most = 0;

  rig->members[0].weight = 5;
  balancer_rig_update (rig, 6, 3); /* 5, 1, 1, 1, 1, 1 */
  for (int i = 0; i < 100; i++)
    {
      in_a_row = balancer_rig_pick (rig, 0, NULL) == 0 ? in_a_row + 1 : 0;
      most = MAX (most, in_a_row);
    }
  /* Its turns are a fifth of a cycle apart; the others' may all lie between two of them. */
  g_assert_cmpuint (most, <, 5);
}

static void
test_extreme (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);

  rig->members[0].weight = 1000;
  balancer_rig_update (rig, 1000, 5);
  assert_cycle (rig, 1000);
  assert_cycle (rig, 1000);
}

static void
test_weights_change (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);

  balancer_rig_update (rig, 4, 1);
  for (int round = 0; round < 20; round++)
    {
      for (guint i = 0; i < 5; i++)
        balancer_rig_pick (rig, 0, NULL);
      set_weights (rig, 4, 9);
      balancer_rig_update (rig, 4, balancer_rig_random (rig));
      assert_cycle (rig, 4);
    }
}

/* Where members change all the time no cycle ends: the shares are right nevertheless. */
static void
test_restless (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);
  guint counts[3] = { 0 };

  rig->members[0].weight = 6;
  rig->members[1].weight = 3;
  for (int i = 0; i < 5000; i++)
    {
      balancer_rig_update (rig, 3, balancer_rig_random (rig));
      for (int j = 0; j < 4; j++)
        counts[balancer_rig_pick (rig, 0, NULL)]++;
    }
  g_assert_cmpfloat_with_epsilon (counts[0] / 20000.0, 0.6, 0.03);
  g_assert_cmpfloat_with_epsilon (counts[1] / 20000.0, 0.3, 0.03);
}

static void
test_no_burst (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("weighted", NULL);
  guint64 excluded = 1;
  guint counts[3] = { 0 };

  rig->members[0].weight = 2;
  balancer_rig_update (rig, 3, 9);
  for (int i = 0; i < 1000; i++)
    counts[balancer_rig_pick (rig, 0, &excluded)]++;
  g_assert_cmpuint (counts[0], ==, 0);
  g_assert_cmpuint (counts[1], ==, 500);
  for (int i = 0; i < 8; i++)
    counts[balancer_rig_pick (rig, 0, NULL)]++;
  g_assert_cmpuint (counts[0], >=, 3);
  g_assert_cmpuint (counts[0], <=, 5);
}

/* --- random --- */

static void
count_random (BalancerRig *rig, gsize n, const guint64 *excluded, guint *counts)
{
  memset (counts, 0, BALANCER_RIG_MEMBERS * sizeof *counts);
  for (gsize i = 0; i < 1000 * n; i++)
    counts[balancer_rig_pick (rig, 0, excluded)]++;
}

static void
test_chance (gconstpointer most_weight)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("random", NULL);
  guint counts[BALANCER_RIG_MEMBERS];

  for (gsize n = 2; n <= 1000; n = n * 3 - 1)
    {
      double deviation;

      set_weights (rig, n, GPOINTER_TO_UINT (most_weight));
      balancer_rig_update (rig, n, n);
      count_random (rig, n, NULL, counts);
      deviation = balancer_rig_deviation (rig, counts);
      g_test_message ("%u members: %.2f", (guint) n, deviation);
      g_assert_cmpfloat (deviation, <, 3.3);
      g_assert_cmpfloat (deviation, >, -3.3); /* more even than chance is not by chance */
    }
}

/* Others get an excluded member's calls in proportion to their weights. */
static void
test_chance_of_rest (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("random", NULL);
  guint64 excluded = 1;
  guint counts[BALANCER_RIG_MEMBERS];
  double rest = 0;

  for (guint i = 0; i < 5; i++)
    rig->members[i].weight = i + 1;
  rig->members[0].weight = 30;
  balancer_rig_update (rig, 5, 1);
  count_random (rig, 5, &excluded, counts);
  g_assert_cmpuint (counts[0], ==, 0);
  for (guint i = 1; i < 5; i++)
    rest += counts[i];
  for (guint i = 1; i < 5; i++)
    g_assert_cmpfloat_with_epsilon (counts[i] / rest, (i + 1) / 14.0, 0.03);
}

/* --- least-connections --- */

static void
test_less_busy (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("least-connections", NULL);

  rig->members[0].in_flight = 7;
  rig->members[1].in_flight = 6;
  balancer_rig_update (rig, 2, 1);
  for (int i = 0; i < 50; i++)
    g_assert_cmpint (balancer_rig_pick (rig, 0, NULL), ==, 1);
  rig->members[0].weight = 2; /* (7 + 1) / 2 is less than (6 + 1) / 1 */
  balancer_rig_update (rig, 2, 1);
  for (int i = 0; i < 50; i++)
    g_assert_cmpint (balancer_rig_pick (rig, 0, NULL), ==, 0);
}

/* The busiest of n is never taken; with equal loads everybody is, equally often. */
static void
test_two_choices (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("least-connections", NULL);
  guint counts[BALANCER_RIG_MEMBERS] = { 0 };

  balancer_rig_update (rig, 10, 1);
  for (int i = 0; i < 10000; i++)
    counts[balancer_rig_pick (rig, 0, NULL)]++;
  g_assert_cmpfloat (balancer_rig_deviation (rig, counts), <, 3.3);
  memset (counts, 0, sizeof counts);
  for (guint i = 0; i < 10; i++)
    rig->members[i].in_flight = i;
  for (int i = 0; i < 10000; i++)
    counts[balancer_rig_pick (rig, 0, NULL)]++;
  /* Of the 45 pairs, number i is the less busy one of 9 - i. */
  for (guint i = 0; i < 10; i++)
    g_assert_cmpfloat_with_epsilon (counts[i] / 10000.0, (9 - i) / 45.0, 0.02);
}

/* Balls into bins: the fullest of n has log log n more than the mean, where one choice leaves
 * log n / log log n. */
static void
test_fullest (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("least-connections", NULL);
  guint32 fullest = 0;

  balancer_rig_update (rig, 1000, 1);
  for (guint i = 0; i < 1000; i++)
    rig->members[balancer_rig_pick (rig, 0, NULL)].in_flight++;
  for (guint i = 0; i < 1000; i++)
    fullest = MAX (fullest, rig->members[i].in_flight);
  g_assert_cmpuint (fullest, <=, 4); /* by one choice 5 to 7 */
}

/* In proportion to the weights as calls pile up. */
static void
test_weights_fill (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("least-connections", NULL);

  for (guint i = 0; i < 10; i++)
    rig->members[i].weight = i < 5 ? 1 : 3;
  balancer_rig_update (rig, 10, 1);
  for (guint i = 0; i < 20000; i++)
    rig->members[balancer_rig_pick (rig, 0, NULL)].in_flight++;
  for (guint i = 0; i < 10; i++)
    g_assert_cmpfloat_with_epsilon (rig->members[i].in_flight / 20000.0, i < 5 ? 0.05 : 0.15,
                                    0.005);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/balancer/weighted/every-cycle-has-exact-shares", test_exact);
  g_test_add_func ("/balancer/weighted/a-heavy-member-is-spread-over-the-cycle", test_spread);
  g_test_add_func ("/balancer/weighted/a-thousand-members-and-one-of-weight-1000", test_extreme);
  g_test_add_func ("/balancer/weighted/weights-may-change", test_weights_change);
  g_test_add_func ("/balancer/weighted/shares-are-right-when-no-cycle-ends", test_restless);
  g_test_add_func ("/balancer/weighted/who-was-excluded-gets-no-burst", test_no_burst);
  g_test_add_data_func ("/balancer/random/equal-members-by-chance", GUINT_TO_POINTER (1),
                        test_chance);
  g_test_add_data_func ("/balancer/random/weights-by-chance", GUINT_TO_POINTER (50), test_chance);
  g_test_add_func ("/balancer/random/the-rest-by-weight", test_chance_of_rest);
  g_test_add_func ("/balancer/least-connections/the-less-busy-for-its-weight", test_less_busy);
  g_test_add_func ("/balancer/least-connections/every-pair-is-as-likely", test_two_choices);
  g_test_add_func ("/balancer/least-connections/the-fullest-of-a-thousand", test_fullest);
  g_test_add_func ("/balancer/least-connections/calls-pile-up-by-weight", test_weights_fill);
  return g_test_run ();
}
