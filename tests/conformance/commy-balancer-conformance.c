/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of balancers: see the header.
 */
#include "config.h"

#include "commy-balancer-conformance.h"

#include <malloc.h>
#include <string.h>

#define N_MEMBERS 1000
#define SOME 130 /* more than two words of exclusion bits */
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
  gssize index;

  /* Each pick has a time and chance of its own. */
  scene->snapshot.now_ns += 1000;
  scene->snapshot.random = (scene->snapshot.random + 1) * G_GUINT64_CONSTANT (0xd1342543de82ef95);
  index = scene->ops->pick (scene->state, &scene->snapshot, key, excluded);

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
  for (gsize n = 1; n <= N_MEMBERS; n += 1 + n / 3)
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
  update (scene, SOME, 1);
  for (gsize left = 0; left < SOME; left++)
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
  for (gsize n = 1; n <= SOME; n += 37)
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
  for (int i = 0; i < 200; i++)
    {
      gsize n = (gsize) g_rand_int_range (rand, 1, i % 50 == 0 ? N_MEMBERS + 1 : SOME);

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

/* One member gets everything, whatever it is told to be. */
static void
test_single (Scene *scene)
{
  static const guint32 extremes[] = { 0, 1, 1000, G_MAXUINT32 };

  for (gsize i = 0; i < G_N_ELEMENTS (extremes); i++)
    {
      scene->members[0].weight = scene->members[0].in_flight = extremes[i];
      update (scene, 1, i);
      for (guint64 key = 0; key < 20; key++)
        {
          g_assert_cmpint (pick (scene, key, NULL), ==, 0);
          report (scene, 0, 1000, key % 2 == 0);
        }
    }
}

static void
test_any_weight_and_load (Scene *scene)
{
  static const guint32 extremes[] = { 0, 1, 1000, G_MAXUINT32 };

  for (gsize i = 0; i < 64; i++)
    {
      scene->members[i].weight = extremes[i % 4];
      scene->members[i].in_flight = extremes[i / 4 % 4];
    }
  update (scene, 64, 1);
  for (guint64 key = 0; key < 500; key++)
    {
      gssize index = pick (scene, key, NULL);

      g_assert_cmpint (index, >=, 0);
      report (scene, index, (gint64) key, FALSE);
    }
}

/* A core that knows no time and chance: the fields after the first three are not there. */
static void
test_old_core (Scene *scene)
{
  scene->snapshot.struct_size = G_STRUCT_OFFSET (CommyBalancerSnapshot, now_ns);
  update (scene, 10, 1);
  for (guint64 key = 0; key < 100; key++)
    g_assert_cmpint (pick (scene, key, NULL), >=, 0);
}

/* What picks and reports need was taken when the members changed. Under a sanitizer the numbers
 * stand still. */
static void
test_takes_no_memory (Scene *scene)
{
  struct mallinfo2 before;

  update (scene, N_MEMBERS, 1);
  for (guint64 key = 0; key < 100; key++)
    report (scene, pick (scene, key, NULL), 1000, FALSE);
  before = mallinfo2 ();
  for (guint64 key = 0; key < 5000; key++)
    report (scene, pick (scene, key, NULL), 1000, key % 7 == 0);
  g_assert_cmpuint (mallinfo2 ().uordblks, ==, before.uordblks);
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
    { "a-single-member-gets-everything", test_single },
    { "any-weight-and-load", test_any_weight_and_load },
    { "a-core-without-time-and-chance", test_old_core },
    { "picks-and-reports-take-no-memory", test_takes_no_memory },
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
