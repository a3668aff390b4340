/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Subsets and slow start: that subsets of many clients spread over all instances, that they hardly
 * move, and what share a young instance gets.
 */
#include "config.h"

#include "control/commy-chance.h"
#include "control/commy-slow-start.h"
#include "control/commy-subset.h"
#include "tests/control/chance.h"

#include <stdlib.h>
#include <string.h>

/* --- subsets --- */

static void
fill (CommySubsetItem *items, guint n, guint64 seed)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *id = g_strdup_printf ("instance-%u", i);

      items[i] = (CommySubsetItem){ 0, commy_subset_score (seed, id) };
    }
}

static gint
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  const CommySubsetItem *items = data;
  const CommySubsetItem *x = &items[*(const guint *) a], *y = &items[*(const guint *) b];

  if (x->rank != y->rank)
    return x->rank < y->rank ? -1 : 1;
  return x->score < y->score ? -1 : x->score > y->score;
}

/* Against sorting all of them. */
static void
test_first_ones (void)
{
  CommySimRandom random = { 3 };

  for (guint round = 0; round < 300; round++)
    {
      const guint n = commy_sim_random_below (&random, 60),
                  k = commy_sim_random_below (&random, 70);
      CommySubsetItem items[60];
      guint all[60], chosen[70];

      for (guint i = 0; i < n; i++)
        {
          items[i] = (CommySubsetItem){ commy_sim_random_below (&random, 3),
                                        commy_sim_random_next (&random) };
          all[i] = i;
        }
      g_qsort_with_data (all, (gint) n, sizeof *all, compare, items);
      g_assert_cmpuint (commy_subset_choose (items, n, k, chosen), ==, MIN (n, k));
      for (guint i = 0; i < MIN (n, k); i++)
        g_assert_cmpuint (chosen[i], ==, all[i]);
    }
}

#define CLIENTS 1000u
#define INSTANCES 100u
#define SIZE 20u

/* 1,000 clients with 20 of 100 each: every instance should have 200 clients; the standard deviation
 * of chance is 12.6, and 5 of these are 63. */
static void
test_spread (void)
{
  CommySubsetItem items[INSTANCES];
  guint counts[INSTANCES] = { 0 }, chosen[SIZE], least = G_MAXUINT, most = 0;

  for (guint c = 0; c < CLIENTS; c++)
    {
      fill (items, INSTANCES, c);
      g_assert_cmpuint (commy_subset_choose (items, INSTANCES, SIZE, chosen), ==, SIZE);
      for (guint i = 0; i < SIZE; i++)
        counts[chosen[i]]++;
    }
  for (guint i = 0; i < INSTANCES; i++)
    {
      least = MIN (least, counts[i]);
      most = MAX (most, counts[i]);
    }
  g_test_message ("clients of an instance: %u to %u, 200 on average", least, most);
  g_assert_cmpuint (least, >=, 200 - 63);
  g_assert_cmpuint (most, <=, 200 + 63);
}

static guint
count_differences (const guint *a, guint n_a, const guint *b, guint n_b)
{
  guint n = 0;

  for (guint i = 0; i < n_b; i++)
    {
      gboolean is_new = TRUE;

      for (guint k = 0; k < n_a; k++)
        is_new = is_new && a[k] != b[i];
      n += is_new;
    }
  return n;
}

/* One more, anywhere, of any rank; seen the other way round, one goes. */
static void
test_movement (void)
{
  CommySimRandom random = { 11 };

  for (guint round = 0; round < 500; round++)
    {
      const guint n = 1 + commy_sim_random_below (&random, INSTANCES - 1);
      CommySubsetItem items[INSTANCES];
      guint before[SIZE], after[SIZE], n_before, n_after;

      fill (items, n, commy_sim_random_next (&random));
      for (guint i = 0; i < n; i++)
        items[i].rank = commy_sim_random_below (&random, 4);
      n_before = commy_subset_choose (items, n - 1, SIZE, before);
      n_after = commy_subset_choose (items, n, SIZE, after);
      g_assert_cmpuint (count_differences (before, n_before, after, n_after), <=, 1);
      g_assert_cmpuint (count_differences (after, n_after, before, n_before), <=, 1);
    }
}

static void
test_same_everywhere (void)
{
  /* Another answer would split a mesh of different versions. */
  g_assert_cmpuint (commy_subset_score (1, "a"), ==, commy_subset_score (1, "a"));
  g_assert_cmpuint (commy_subset_score (1, "a"), !=, commy_subset_score (2, "a"));
  g_assert_cmpuint (commy_subset_score (1, "a"), !=, commy_subset_score (1, "b"));
}

/* --- slow start --- */

static const CommySlowStartPolicy minute = { .window_ns = 60 * SECOND, .aggression = 1 };

static void
test_factor (void)
{
  const CommySlowStartPolicy fast = { .window_ns = 60 * SECOND, .aggression = 2 };
  const CommySlowStartPolicy off = { .window_ns = 0, .aggression = 1 };

  g_assert_cmpfloat (commy_slow_start_get_factor (&minute, -5 * SECOND), ==, 0.1);
  g_assert_cmpfloat (commy_slow_start_get_factor (&minute, 0), ==, 0.1);
  g_assert_cmpfloat (commy_slow_start_get_factor (&minute, 3 * SECOND), ==, 0.1);
  g_assert_cmpfloat_with_epsilon (commy_slow_start_get_factor (&minute, 30 * SECOND), 0.5, 1e-9);
  g_assert_cmpfloat (commy_slow_start_get_factor (&minute, 60 * SECOND), ==, 1);
  g_assert_cmpfloat (commy_slow_start_get_factor (&minute, G_MAXINT64), ==, 1);
  g_assert_cmpfloat_with_epsilon (commy_slow_start_get_factor (&fast, 15 * SECOND), 0.5, 1e-9);
  g_assert_cmpfloat (commy_slow_start_get_factor (&off, 0), ==, 1);
}

/* Records of clocks that are wrong. */
static void
test_birth (void)
{
  const gint64 wall_s = 1800000000;

  g_assert_cmpint (commy_slow_start_get_birth (wall_s - 10, wall_s, START), ==,
                   START - 10 * SECOND);
  g_assert_cmpint (commy_slow_start_get_birth (wall_s + 3600, wall_s, START), ==, START);
  g_assert_cmpint (commy_slow_start_get_birth (G_MAXINT64, wall_s, START), ==, START);
  g_assert_cmpint (commy_slow_start_get_birth (0, wall_s, START), <, START - 3600 * SECOND);
  g_assert_cmpint (commy_slow_start_get_birth (G_MININT64, wall_s, START), <,
                   START - 3600 * SECOND);
  g_assert_cmpint (commy_slow_start_get_birth (1, G_MAXINT64, START), <, START - 3600 * SECOND);
}

#define MEMBERS 5u

/* A turn each, as the simplest balancer does, and how many of @n picks each member got. */
static void
pick (CommySlowStart *slow, const guint64 *excluded, gint64 now_ns, guint n, guint counts[MEMBERS])
{
  CommySimRandom random = { 5 };

  memset (counts, 0, MEMBERS * sizeof *counts);
  for (guint i = 0; i < n; i++)
    {
      const guint64 *out = commy_slow_start_exclude (slow, &minute, excluded, now_ns,
                                                     commy_sim_random_next (&random));
      guint index = commy_sim_random_below (&random, MEMBERS);

      g_assert_true (out == NULL || (*out & 31) != 31);
      while (out != NULL && (*out >> index & 1) != 0)
        index = (index + 1) % MEMBERS;
      counts[index]++;
    }
}

static void
test_young_one (void)
{
  CommySlowStart slow = { 0 };
  const gint64 births[MEMBERS] = { START, START - 60 * SECOND, G_MININT64 / 2, 0, 0 };
  guint counts[MEMBERS];

  commy_slow_start_set_members (&slow, &minute, births, MEMBERS);
  pick (&slow, NULL, START + SECOND, 50000, counts);
  g_assert_cmpfloat_with_epsilon (counts[0] / 50000.0, 0.1 / MEMBERS, 0.005);
  pick (&slow, NULL, START + 30 * SECOND, 50000, counts);
  g_assert_cmpfloat_with_epsilon (counts[0] / 50000.0, 0.5 / MEMBERS, 0.01);
  g_assert_true (commy_slow_start_is_on (&slow, START + 60 * SECOND - 1));
  g_assert_false (commy_slow_start_is_on (&slow, START + 60 * SECOND));
  pick (&slow, NULL, START + 60 * SECOND, 50000, counts);
  g_assert_cmpfloat_with_epsilon (counts[0] / 50000.0, 1.0 / MEMBERS, 0.01);
  /* Where only it is left, it gets everything. */
  pick (&slow, &(guint64){ 30 }, START + SECOND, 100, counts);
  g_assert_cmpuint (counts[0], ==, 100);
  commy_slow_start_clear (&slow);
}

static void
test_all_young (void)
{
  CommySlowStart slow = { 0 };
  const gint64 births[MEMBERS] = { START, START, START, START, START };
  const CommySlowStartPolicy off = { .window_ns = 0, .aggression = 1 };

  commy_slow_start_set_members (&slow, &minute, births, MEMBERS);
  g_assert_null (commy_slow_start_exclude (&slow, &minute, NULL, START + SECOND, 1));
  commy_slow_start_set_members (&slow, &off, births, MEMBERS);
  g_assert_false (commy_slow_start_is_on (&slow, START));
  commy_slow_start_clear (&slow);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/subset/choose/the-first-by-rank-and-score", test_first_ones);
  g_test_add_func ("/subset/choose/thousand-clients-spread-evenly", test_spread);
  g_test_add_func ("/subset/choose/one-more-moves-one-entry", test_movement);
  g_test_add_func ("/subset/score/is-of-node-and-instance", test_same_everywhere);
  g_test_add_func ("/slow-start/factor/grows-with-age", test_factor);
  g_test_add_func ("/slow-start/birth/wrong-clocks-do-no-harm", test_birth);
  g_test_add_func ("/slow-start/pick/a-young-one-gets-its-part", test_young_one);
  g_test_add_func ("/slow-start/pick/where-all-are-young-all-are-equal", test_all_young);
  return g_test_run ();
}
