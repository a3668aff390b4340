/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "consistent-hash", ring and Maglev: the same key to the same member, even shares,
 * few keys move when members come and go, and a bound is held.
 */
#include "config.h"

#include "balancer-rig.h"

#include <string.h>

#define KEYS 20000

static const char *const ring[] = { "algorithm", "ring", NULL };
static const char *const maglev[] = { "algorithm", "maglev", NULL };
static const char *const bounded_ring[] = { "algorithm", "ring", "bound", "125", NULL };
static const char *const bounded_maglev[] = { "algorithm", "maglev", "bound", "125", NULL };

static BalancerRig *
new_rig (gconstpointer params)
{
  return balancer_rig_new ("consistent-hash", params);
}

static guint64
key_number (guint i)
{
  return (i + 1) * G_GUINT64_CONSTANT (0xd1342543de82ef95);
}

/* Whose each key is, by id. */
static const char **
map_keys (BalancerRig *rig)
{
  const char **owners = g_new (const char *, KEYS);

  for (guint i = 0; i < KEYS; i++)
    owners[i] = rig->members[balancer_rig_pick (rig, key_number (i), NULL)].id;
  return owners;
}

static double
share_moved (const char **before, const char **after)
{
  guint moved = 0;

  for (guint i = 0; i < KEYS; i++)
    moved += before[i] != after[i];
  return moved / (double) KEYS;
}

static void
test_same (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);
  g_autoptr (BalancerRig) other = new_rig (params);

  /* Another client, with other chance, that sees the members in another order. */
  other->seed = 77;
  for (guint i = 0; i < 50; i++)
    other->members[i].id = other->ids[49 - i];
  balancer_rig_update (rig, 50, 1);
  balancer_rig_update (other, 50, 2);
  for (guint i = 0; i < 2000; i++)
    {
      gssize a = balancer_rig_pick (rig, key_number (i), NULL);
      gssize b = balancer_rig_pick (other, key_number (i), NULL);

      g_assert_cmpstr (rig->members[a].id, ==, other->members[b].id);
      g_assert_cmpint (balancer_rig_pick (rig, key_number (i), NULL), ==, a);
    }
}

/* Weights too: every share within 30 % of what it should be (160 points: 8 % each is usual). */
static void
test_shares (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);

  for (gsize n = 2; n <= 50; n *= 5)
    {
      g_autofree guint *counts = g_new0 (guint, n);
      double weights = 0;

      for (gsize i = 0; i < n; i++)
        {
          rig->members[i].weight = 10 * (1 + i % 3);
          weights += rig->members[i].weight;
        }
      balancer_rig_update (rig, n, 1);
      for (guint i = 0; i < 1000 * n; i++)
        counts[balancer_rig_pick (rig, key_number (i), NULL)]++;
      for (gsize i = 0; i < n; i++)
        g_assert_cmpfloat_with_epsilon (
            counts[i] / (1000.0 * (double) n) * weights / rig->members[i].weight, 1, 0.3);
    }
}

/* Maglev's slots are even to one, where the ring is not. */
static void
test_even (void)
{
  g_autoptr (BalancerRig) rig = new_rig (maglev);
  guint counts[10] = { 0 };

  balancer_rig_update (rig, 10, 1);
  for (guint i = 0; i < 10 * KEYS; i++)
    counts[balancer_rig_pick (rig, key_number (i), NULL)]++;
  g_assert_cmpfloat (balancer_rig_deviation (rig, counts), <, 3.3);
}

/* At most 1/n and 5 % of the keys move; on the ring to the one that came, or from the one that
 * went, only. */
static void
test_movement (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);

  for (gsize n = 3; n <= 99; n += 32)
    {
      g_autofree const char **before = NULL, **more = NULL, **less = NULL;
      double came, went;

      balancer_rig_update (rig, n, 1);
      before = map_keys (rig);
      balancer_rig_update (rig, n + 1, 2);
      more = map_keys (rig);
      balancer_rig_update (rig, n, 3);
      rig->members[0].id = rig->ids[n - 1]; /* the first is gone, the last has its place */
      balancer_rig_update (rig, n - 1, 4);
      less = map_keys (rig);
      rig->members[0].id = rig->ids[0];
      came = share_moved (before, more);
      went = share_moved (before, less);
      g_test_message ("%u members: one came: %.2f %%, one went: %.2f %%, 1/n %.2f %%", (guint) n,
                      100 * came, 100 * went, 100.0 / (double) n);
      g_assert_cmpfloat (came, >, 0);
      g_assert_cmpfloat (came, <=, 1.0 / (double) (n + 1) + 0.05);
      g_assert_cmpfloat (went, <=, 1.0 / (double) n + 0.05);
      for (guint i = 0; params == ring && i < KEYS; i++)
        {
          g_assert_true (more[i] == before[i] || more[i] == rig->ids[n]);
          g_assert_true (less[i] == before[i] || before[i] == rig->ids[0]);
        }
    }
}

/* What an excluded member has goes to many others, for all clients to the same ones; all else
 * stays. */
static void
test_excluded (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);
  g_autofree const char **before = NULL;
  guint64 excluded = 1;
  guint counts[20] = { 0 };
  guint heirs = 0;

  balancer_rig_update (rig, 20, 1);
  before = map_keys (rig);
  for (guint i = 0; i < KEYS; i++)
    {
      gssize index = balancer_rig_pick (rig, key_number (i), &excluded);

      if (before[i] == rig->ids[0])
        counts[index]++;
      else
        g_assert_true (rig->members[index].id == before[i]);
    }
  for (guint i = 1; i < 20; i++)
    heirs += counts[i] > 0;
  g_assert_cmpuint (heirs, >, 15);
}

static void
test_keyless (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);
  guint counts[8] = { 0 };

  balancer_rig_update (rig, 8, 1);
  for (guint i = 0; i < 4000; i++)
    counts[balancer_rig_pick (rig, 0, NULL)]++;
  for (guint i = 0; i < 8; i++)
    g_assert_cmpfloat_with_epsilon (counts[i] / 500.0, 1, 0.4);
}

/* One key that everybody wants: nobody ever has more than its bound; the owner has all of it. */
static void
test_bound (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);
  guint total = 0;
  gssize owner;

  for (guint i = 0; i < 10; i++)
    rig->members[i].weight = 1 + i % 2;
  balancer_rig_update (rig, 10, 1);
  owner = balancer_rig_pick (rig, 5, NULL);
  for (; total < 3000; total++)
    {
      gssize index = balancer_rig_pick (rig, 5, NULL);
      double bound = 1.25 * (total + 1) * rig->members[index].weight / 15;

      g_assert_cmpfloat (rig->members[index].in_flight, <, bound);
      rig->members[index].in_flight++;
    }
  g_assert_cmpfloat_with_epsilon (rig->members[owner].in_flight,
                                  1.25 * 3000 * rig->members[owner].weight / 15, 1);
  /* The calls end: the key is the owner's again. */
  for (guint i = 0; i < 10; i++)
    rig->members[i].in_flight = 0;
  g_assert_cmpint (balancer_rig_pick (rig, 5, NULL), ==, owner);
}

/* All that are left are full: still somebody is picked, the one with most room. */
static void
test_bound_of_rest (gconstpointer params)
{
  g_autoptr (BalancerRig) rig = new_rig (params);
  guint64 excluded = 0x7;

  for (guint i = 3; i < 6; i++)
    rig->members[i].in_flight = 100 + i;
  balancer_rig_update (rig, 6, 1);
  for (guint i = 0; i < 100; i++)
    g_assert_cmpint (balancer_rig_pick (rig, key_number (i), &excluded), ==, 3);
}

static void
test_bad_bound (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("balancer", "consistent-hash", &error);
  g_autoptr (CommyTestHost) host = NULL;

  g_assert_no_error (error);
  host = commy_test_host_new (NULL, descriptor);
  commy_test_host_set_param (host, "bound", "50");
  g_assert_null (commy_test_host_start (host, &error));
  g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PLUGIN_PARAM);
}

/* More members than slots were asked for; the most extreme of weights. */
static void
test_extremes (gconstpointer params)
{
  const char *const few[]
      = { "algorithm", ((const char *const *) params)[1], "slots", "101", "points", "1", NULL };
  g_autoptr (BalancerRig) rig = new_rig (few);
  guint heavy = 0;

  for (guint i = 0; i < 1000; i++)
    rig->members[i].weight = i == 500 ? 1000 : 1;
  balancer_rig_update (rig, 1000, 1);
  for (guint i = 0; i < 10000; i++)
    heavy += balancer_rig_pick (rig, key_number (i), NULL) == 500;
  g_assert_cmpfloat_with_epsilon (heavy / 10000.0, 0.5, 0.1);
}

#define ADD(path, params, test)                                            \
  G_STMT_START                                                             \
  {                                                                        \
    g_test_add_data_func ("/balancer/ring/" path, params##ring, test);     \
    g_test_add_data_func ("/balancer/maglev/" path, params##maglev, test); \
  }                                                                        \
  G_STMT_END

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("a-key-is-the-same-member's-for-all-clients", , test_same);
  ADD ("shares-are-by-weight", , test_shares);
  g_test_add_func ("/balancer/maglev/shares-are-even", test_even);
  ADD ("few-keys-move", , test_movement);
  ADD ("an-excluded-member's-keys-are-spread", , test_excluded);
  ADD ("calls-without-a-key-go-anywhere", , test_keyless);
  ADD ("a-bound-is-held", bounded_, test_bound);
  ADD ("a-bound-never-leaves-nobody", bounded_, test_bound_of_rest);
  ADD ("a-thousand-members-and-few-slots", , test_extremes);
  g_test_add_func ("/balancer/consistent-hash/a-bound-below-an-even-share-is-refused",
                   test_bad_bound);
  return g_test_run ();
}
