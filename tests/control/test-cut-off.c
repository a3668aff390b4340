/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network falls apart and heals: who was cut off lost the lease, and the store is read by those
 * who were cut off with it before it is registered again. Nobody vanishes from a view that had him
 * all the time, and nobody who is really gone stays for long.
 */
#include "config.h"

#include "store-puppet.h"

#define SECOND G_GINT64_CONSTANT (1000000000)
#define NOTICE "a moment to register again"

static const Answer away_once[] = { GOOD, FAILS, GOOD };

/* The watch breaks, the store does not answer, and meanwhile forgets @ids. */
static void
cut_off (Scene *scene, const char *ids)
{
  g_auto (GStrv) all = g_strsplit (ids, ",", -1);

  puppet_end_watch (&scene->puppet);
  g_assert_true (scene->source->away);
  for (guint i = 0; all[i] != NULL; i++)
    {
      g_autofree char *key = g_strconcat (PREFIX, all[i], NULL);

      g_assert_true (g_tree_remove (scene->puppet.entries, key));
      scene->puppet.revision++;
    }
}

static void
heal (Scene *scene)
{
  while (!scene->source->live)
    scene_hurry (scene);
}

static void
come_back (Scene *scene, const char *id)
{
  puppet_set (&scene->puppet, id, NULL);
  puppet_tell (&scene->puppet, id, scene->puppet.revision, scene->puppet.revision);
}

static void
test_registered_again (void)
{
  Scene scene;

  scene_start_well (&scene, away_once, G_N_ELEMENTS (away_once));
  cut_off (&scene, "a,b");
  scene_assert_knows (&scene, "a,b");
  heal (&scene);
  scene_assert_knows (&scene, "a,b");
  scene_assert_says (&scene, "does not know 2 instances any more");
  come_back (&scene, "a");
  scene_assert_says (&scene, "does not know 1 instances any more");
  come_back (&scene, "b");
  scene_assert_knows (&scene, "a,b");
  g_assert_null (scene.source->notice);
  /* From now on they go when the store says so. */
  puppet_remove (&scene.puppet, "b");
  scene_assert_knows (&scene, "a");
  scene_clear (&scene);
}

static void
test_really_gone (void)
{
  Scene scene;

  scene_start_well (&scene, away_once, G_N_ELEMENTS (away_once));
  cut_off (&scene, "a,b");
  heal (&scene);
  come_back (&scene, "a");
  scene.now_ns += 4 * SECOND;
  for (guint i = 0; i < 3; i++) /* among its timers is the one that looks who is to go */
    scene_hurry (&scene);
  scene_assert_knows (&scene, "a,b");
  scene.now_ns += SECOND;
  while (scene.source->notice != NULL)
    scene_hurry (&scene);
  scene_assert_knows (&scene, "a");
  scene_clear (&scene);
}

/* A network that comes and goes keeps nobody for ever; but as long as it is away, all are kept. */
static void
test_cut_off_again (void)
{
  static const Answer script[] = { GOOD, FAILS, GOOD, FAILS, FAILS, GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  cut_off (&scene, "b");
  heal (&scene);
  scene_assert_knows (&scene, "a,b");
  scene.now_ns += 3 * SECOND;
  cut_off (&scene, "a");
  while (scene.puppet.n_ranges < 5)
    {
      scene.now_ns += 3 * SECOND;
      scene_hurry (&scene);
      scene_assert_knows (&scene, "a,b");
    }
  scene_assert_says (&scene, "away");
  heal (&scene);
  scene_assert_knows (&scene, "a");
  scene_assert_says (&scene, NOTICE);
  scene_clear (&scene);
}

/* Without a fault the store's word counts at once; with one it does not shorten the moment. */
static void
test_read_again (void)
{
  Scene scene;

  scene_start_well (&scene, away_once, G_N_ELEMENTS (away_once));
  cut_off (&scene, "b");
  heal (&scene);
  g_assert_true (g_tree_remove (scene.puppet.entries, PREFIX "a"));
  scene.puppet.revision++;
  commy_source_refresh (scene.source);
  scene_assert_knows (&scene, "b");
  scene_assert_says (&scene, "does not know 1 instances any more");
  scene_clear (&scene);
}

/* What is in the store comes first, and what cannot be read there is not missing. */
static void
test_no_room (void)
{
  Scene scene;

  scene_start_well (&scene, away_once, G_N_ELEMENTS (away_once));
  cut_off (&scene, "a");
  puppet_set (&scene.puppet, "b", "{");
  for (guint i = 0; i < MOST - 2; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%06u", i);

      puppet_set (&scene.puppet, id, NULL);
    }
  g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance b*");
  heal (&scene);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (g_hash_table_size (scene.source->instances), ==, MOST - 1);
  g_assert_true (g_hash_table_contains (scene.source->instances, "a"));
  g_assert_false (g_hash_table_contains (scene.source->instances, "b"));
  scene_clear (&scene);

  scene_start_well (&scene, away_once, G_N_ELEMENTS (away_once));
  cut_off (&scene, "a,b");
  for (guint i = 0; i < MOST; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%06u", i);

      puppet_set (&scene.puppet, id, NULL);
    }
  heal (&scene);
  g_assert_cmpuint (g_hash_table_size (scene.source->instances), ==, MOST);
  g_assert_false (g_hash_table_contains (scene.source->instances, "a"));
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/cut-off/who-registers-again-never-vanishes", test_registered_again);
  g_test_add_func ("/control/cut-off/who-does-not-goes-after-a-moment", test_really_gone);
  g_test_add_func ("/control/cut-off/again-and-again-keeps-nobody-for-ever", test_cut_off_again);
  g_test_add_func ("/control/cut-off/without-a-fault-the-store-is-believed", test_read_again);
  g_test_add_func ("/control/cut-off/what-the-store-has-comes-first", test_no_room);
  return g_test_run ();
}
