/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "round-robin": how picks are distributed, and that nobody who is excluded is
 * ever picked.
 */
#include "config.h"

#include "../conformance/commy-test-host.h"

#define N_MEMBERS 130 /* more than two words of exclusion bits */

typedef struct
{
  CommyTestHost *host;
  const CommyBalancerOps *ops;
  gpointer instance;
  gpointer state;
  CommyBalancerMember members[N_MEMBERS];
  CommyBalancerSnapshot snapshot;
} Fixture;

static void
fixture_set_up (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("balancer", "round-robin", &error);

  g_assert_no_error (error);
  fixture->host = commy_test_host_new (NULL, descriptor);
  fixture->ops = descriptor->ops;
  fixture->instance = commy_test_host_start (fixture->host, &error);
  g_assert_no_error (error);
  fixture->state = g_malloc0 (fixture->ops->state_size);
  for (gsize i = 0; i < N_MEMBERS; i++)
    fixture->members[i] = (CommyBalancerMember){ "member", 1, 0 };
  fixture->snapshot.struct_size = sizeof fixture->snapshot;
  fixture->snapshot.members = fixture->members;
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer unused)
{
  g_free (fixture->state);
  commy_test_host_free (fixture->host);
}

static void
update (Fixture *fixture, gsize n_members, guint64 seed)
{
  fixture->snapshot.n_members = n_members;
  fixture->ops->update (fixture->instance, fixture->state, &fixture->snapshot, seed);
}

static gssize
pick (Fixture *fixture, const guint64 *excluded)
{
  gssize index = fixture->ops->pick (fixture->state, &fixture->snapshot, 0, excluded);

  g_assert_cmpint (index, >=, -1);
  g_assert_cmpint (index, <, (gssize) fixture->snapshot.n_members);
  return index;
}

static void
test_even (Fixture *fixture, gconstpointer unused)
{
  for (gsize n = 1; n <= N_MEMBERS; n++)
    {
      guint counts[N_MEMBERS] = { 0 };

      update (fixture, n, 5);
      for (gsize i = 0; i < 3 * n; i++)
        counts[pick (fixture, NULL)]++;
      for (gsize i = 0; i < n; i++)
        g_assert_cmpuint (counts[i], ==, 3);
    }
}

static void
test_seed_places (Fixture *fixture, gconstpointer unused)
{
  guint counts[7] = { 0 };

  for (guint64 seed = G_MAXUINT64 - 6; seed != 0; seed++)
    {
      g_free (fixture->state);
      fixture->state = g_malloc0 (fixture->ops->state_size);
      update (fixture, 7, seed);
      counts[pick (fixture, NULL)]++;
    }
  for (gsize i = 0; i < 7; i++)
    g_assert_cmpuint (counts[i], ==, 1);
}

static void
test_excluded (Fixture *fixture, gconstpointer unused)
{
  guint64 excluded[(N_MEMBERS + 63) / 64] = { 0 };
  guint counts[N_MEMBERS] = { 0 };
  gsize n_allowed = 0;

  for (gsize i = 0; i < N_MEMBERS; i++)
    if (i % 3 == 0)
      excluded[i / 64] |= G_GUINT64_CONSTANT (1) << (i % 64);
    else
      n_allowed++;
  update (fixture, N_MEMBERS, 0);
  for (gsize i = 0; i < 4 * n_allowed; i++)
    counts[pick (fixture, excluded)]++;
  for (gsize i = 0; i < N_MEMBERS; i++)
    g_assert_cmpuint (counts[i], ==, i % 3 == 0 ? 0 : 4);
}

static void
test_all_excluded (Fixture *fixture, gconstpointer unused)
{
  guint64 all[(N_MEMBERS + 63) / 64] = { G_MAXUINT64, G_MAXUINT64, G_MAXUINT64 };

  update (fixture, N_MEMBERS, 3);
  g_assert_cmpint (pick (fixture, all), ==, -1);
  g_assert_cmpint (pick (fixture, NULL), ==, 3); /* the failed pick moved nothing */
}

static void
test_single (Fixture *fixture, gconstpointer unused)
{
  guint64 excluded = 1;

  update (fixture, 1, 77);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (pick (fixture, NULL), ==, 0);
  g_assert_cmpint (pick (fixture, &excluded), ==, -1);
}

static void
test_members_change (Fixture *fixture, gconstpointer unused)
{
  update (fixture, 10, 0);
  for (int i = 0; i < 9; i++)
    pick (fixture, NULL);
  update (fixture, 3, 1); /* the turn was at member 9, which is gone */
  g_assert_cmpint (pick (fixture, NULL), ==, 0);
  update (fixture, 5, 4); /* growing keeps the turn */
  g_assert_cmpint (pick (fixture, NULL), ==, 1);
}

#define ADD(path, test) \
  g_test_add ("/balancer/round-robin/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("every-member-gets-the-same", test_even);
  ADD ("seed-places-the-start", test_seed_places);
  ADD ("excluded-is-never-picked-and-the-rest-stays-even", test_excluded);
  ADD ("all-excluded-is-none", test_all_excluded);
  ADD ("single-member", test_single);
  ADD ("members-may-change", test_members_change);
  return g_test_run ();
}
