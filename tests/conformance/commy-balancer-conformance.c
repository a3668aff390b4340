/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of balancers: see the header.
 */
#include "config.h"

#include "commy-balancer-conformance.h"

#include <string.h>

#define N_MEMBERS 130 /* more than two words of exclusion bits */
#define N_WORDS ((N_MEMBERS + 63) / 64)

typedef struct
{
  CommyTestHost *host;
  const CommyBalancerOps *ops;
  gpointer instance;
  gpointer state;
  char ids[N_MEMBERS][16];
  CommyBalancerMember members[N_MEMBERS];
  CommyBalancerSnapshot snapshot;
} Scene;

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommyConformanceOptions *options;
  void (*test) (Scene *scene);
} Case;

static gpointer
new_state (const Scene *scene)
{
  return g_malloc0 (MAX (scene->ops->state_size, 1));
}

static void
free_state (const Scene *scene, gpointer state)
{
  if (scene->ops->clear != NULL)
    scene->ops->clear (state);
  g_free (state);
}

static void
update (Scene *scene, gsize n_members, guint64 seed)
{
  scene->snapshot.n_members = n_members;
  scene->ops->update (scene->instance, scene->state, &scene->snapshot, seed);
}

static gboolean
is_excluded (const guint64 *excluded, gsize index)
{
  return excluded != NULL && ((excluded[index / 64] >> (index % 64)) & 1) != 0;
}

static gssize
pick (Scene *scene, guint64 key, const guint64 *excluded)
{
  gssize index = scene->ops->pick (scene->state, &scene->snapshot, key, excluded);

  g_assert_cmpint (index, >=, -1);
  g_assert_cmpint (index, <, (gssize) scene->snapshot.n_members);
  g_assert_false (index >= 0 && is_excluded (excluded, (gsize) index));
  return index;
}

static void
report (Scene *scene, gssize index, gint64 latency_ns, gboolean failed)
{
  if (scene->ops->report != NULL && index >= 0)
    scene->ops->report (scene->state, (gsize) index, latency_ns, failed);
}

static void
test_picks_a_member (Scene *scene)
{
  for (gsize n = 1; n <= N_MEMBERS; n++)
    {
      update (scene, n, n * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
      for (gsize i = 0; i < 2 * n; i++)
        g_assert_cmpint (pick (scene, 0, NULL), >=, 0);
    }
}

/* Where one is left, that one is found wherever it stands. */
static void
test_finds_the_last (Scene *scene)
{
  update (scene, N_MEMBERS, 1);
  for (gsize left = 0; left < N_MEMBERS; left++)
    {
      guint64 excluded[N_WORDS];

      memset (excluded, 0xff, sizeof excluded);
      excluded[left / 64] &= ~(G_GUINT64_CONSTANT (1) << (left % 64));
      g_assert_cmpint (pick (scene, 0, excluded), ==, (gssize) left);
      g_assert_cmpint (pick (scene, left + 1, excluded), ==, (gssize) left);
    }
}

static void
test_all_excluded (Scene *scene)
{
  guint64 all[N_WORDS];

  memset (all, 0xff, sizeof all);
  for (gsize n = 1; n <= N_MEMBERS; n += 43)
    {
      update (scene, n, n);
      g_assert_cmpint (pick (scene, 0, all), ==, -1);
      g_assert_cmpint (pick (scene, 77, all), ==, -1);
      g_assert_cmpint (pick (scene, 0, NULL), >=, 0);
    }
}

static void
test_members_come_and_go (Scene *scene)
{
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);

  g_test_message ("seed %u (from the program's --seed)", seed);
  for (int i = 0; i < 500; i++)
    {
      gsize n = (gsize) g_rand_int_range (rand, 1, N_MEMBERS + 1);

      for (gsize j = 0; j < n; j++)
        {
          scene->members[j].weight = (guint32) g_rand_int_range (rand, 1, 100);
          scene->members[j].in_flight = (guint32) g_rand_int_range (rand, 0, 1000);
        }
      update (scene, n, g_rand_int (rand));
      for (int j = 0; j < 20; j++)
        {
          gssize index = pick (scene, g_rand_int (rand), NULL);

          g_assert_cmpint (index, >=, 0);
          report (scene, index, g_rand_int (rand), g_rand_boolean (rand));
        }
    }
  g_rand_free (rand);
}

static void
test_reports_of_any_kind (Scene *scene)
{
  static const gint64 times[] = { 0, 1, -1, G_MAXINT64, G_MININT64, 1000000 };

  update (scene, 3, 9);
  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    for (int failed = 0; failed < 2; failed++)
      {
        report (scene, pick (scene, 0, NULL), times[i], failed);
        g_assert_cmpint (pick (scene, 0, NULL), >=, 0);
      }
}

/* Clients share the instance, never their state. */
static void
test_clients_are_apart (Scene *scene)
{
  gpointer other = new_state (scene);
  gpointer own = scene->state;

  update (scene, 5, 1);
  scene->state = other;
  update (scene, 2, 2);
  for (int i = 0; i < 20; i++)
    {
      scene->state = own;
      scene->snapshot.n_members = 5;
      g_assert_cmpint (pick (scene, 0, NULL), >=, 0);
      scene->state = other;
      scene->snapshot.n_members = 2;
      g_assert_cmpint (pick (scene, 0, NULL), >=, 0);
    }
  scene->state = own;
  free_state (scene, other);
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  Scene scene = { .ops = test->descriptor->ops };
  g_autoptr (GError) error = NULL;

  scene.host = commy_test_host_new (NULL, test->descriptor);
  if (test->options != NULL)
    commy_conformance_prepare (test->options, scene.host);
  scene.instance = commy_test_host_start (scene.host, &error);
  g_assert_no_error (error);
  scene.state = new_state (&scene);
  for (gsize i = 0; i < N_MEMBERS; i++)
    {
      g_snprintf (scene.ids[i], sizeof scene.ids[i], "member-%u", (guint) i);
      scene.members[i] = (CommyBalancerMember){ scene.ids[i], 1, 0 };
    }
  scene.snapshot = (CommyBalancerSnapshot){ sizeof scene.snapshot, scene.members, 1 };
  test->test (&scene);
  free_state (&scene, scene.state);
  commy_test_host_stop (scene.host);
  g_assert_cmpuint (commy_test_host_count_sources (scene.host), ==, 0);
  commy_test_host_free (scene.host);
}

void
commy_balancer_conformance_add (const CommyPluginDescriptor *descriptor,
                                const CommyConformanceOptions *options)
{
  static const struct
  {
    const char *name;
    void (*test) (Scene *scene);
  } cases[] = {
    { "picks-a-member-that-is-there", test_picks_a_member },
    { "finds-the-last-that-is-not-excluded", test_finds_the_last },
    { "all-excluded-is-said", test_all_excluded },
    { "members-come-and-go", test_members_come_and_go },
    { "reports-of-any-kind", test_reports_of_any_kind },
    { "clients-are-apart", test_clients_are_apart },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path
          = g_strdup_printf ("/balancer/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ descriptor, options, cases[i].test };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
