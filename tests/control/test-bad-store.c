/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stores that answer badly: late, never, twice, nothing, from an older revision, out of order, with
 * records that say nothing, with watches that end again and again. A store of the test's own does
 * what each row says; discovery must end with what the store has, or with a notice that says why
 * not, and who waits must always get an answer.
 */
#include "config.h"

#include "control/commy-registry.h"
#include "store-puppet.h"

#include <gio/gio.h>
#include <string.h>

/* --- the first answer --- */

typedef struct
{
  const char *name;
  Answer script[2];
  const char *first_notice; /* after the first answer; NULL: all is well */
  const char *first_error;  /* what who waits is told; NULL: all is well */
} Row;

static const Row rows[] = {
  { "good", { GOOD }, NULL, NULL },
  { "an-error-first", { FAILS, GOOD }, "away", "as the row says" },
  { "nothing-first", { EMPTY, GOOD }, "away", "empty" },
  { "twice", { TWICE, GOOD }, NULL, NULL },
};

/* Whatever comes first: in the end the store's content is known, and nothing says otherwise. */
static void
test_first_answer (gconstpointer data)
{
  const Row *row = data;
  Scene scene;

  if (row->script[0] == TWICE)
    g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*answers twice*");
  scene_init (&scene, row->script, G_N_ELEMENTS (row->script));
  commy_source_refresh (scene.source);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (scene.settled, ==, 1);
  if (row->first_notice != NULL)
    scene_assert_says (&scene, row->first_notice);
  if (row->first_error != NULL)
    g_assert_nonnull (strstr (scene.error, row->first_error));
  else
    g_assert_null (scene.error);
  while (!scene.source->live)
    scene_hurry (&scene);
  scene_assert_knows (&scene, "a");
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

/* --- silence --- */

static void
test_silence (void)
{
  static const Answer script[] = { LATE, GOOD };
  Scene scene;

  scene_init (&scene, script, G_N_ELEMENTS (script));
  commy_source_refresh (scene.source);
  g_assert_cmpuint (scene.settled, ==, 0);
  scene_hurry (&scene);
  g_assert_cmpuint (scene.settled, ==, 1);
  g_assert_nonnull (strstr (scene.error, "silent"));
  scene_assert_says (&scene, "away");
  commy_source_refresh (scene.source); /* who asks now does not wait for it */
  g_assert_cmpuint (scene.settled, ==, 2);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 1);
  puppet_answer (&scene.puppet, &scene.puppet.late, scene.puppet.revision);
  scene_assert_knows (&scene, "a");
  g_assert_null (scene.source->notice);
  g_assert_true (scene.source->live);
  scene_clear (&scene);
}

static void
test_answer_to_nobody (void)
{
  static const Answer script[] = { LATE, GOOD };
  Scene scene;
  Asked late;

  scene_init (&scene, script, G_N_ELEMENTS (script));
  commy_source_refresh (scene.source);
  late = scene.puppet.late;
  commy_source_free (scene.source);
  puppet_answer (&scene.puppet, &late, scene.puppet.revision);
  g_tree_unref (scene.puppet.entries);
}

/* --- revisions --- */

static void
test_older_answer (void)
{
  static const Answer script[] = { GOOD, OLDER, GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  commy_source_refresh (scene.source);
  g_assert_nonnull (strstr (scene.error, "was seen already"));
  scene_assert_says (&scene, "away");
  scene_assert_knows (&scene, "a,b"); /* what was known stays */
  while (!scene.source->live)
    scene_hurry (&scene);
  scene_assert_knows (&scene, "a,b");
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

/* All of it was set back, from a backup: in time that is what counts. */
static void
test_set_back (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  scene.puppet.revision = 3;
  for (guint i = 0; i < 9; i++)
    {
      commy_source_refresh (scene.source);
      scene_assert_knows (&scene, "a,b");
    }
  commy_source_refresh (scene.source);
  g_assert_true (scene.source->live);
  scene_wait_out (&scene);
  scene_assert_knows (&scene, "a");
  puppet_set (&scene.puppet, "c", NULL);
  puppet_tell (&scene.puppet, "c", 4, 4);
  scene_assert_knows (&scene, "a,c");
  scene_clear (&scene);
}

/* --- watches --- */

static void
test_out_of_order (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  scene.puppet.revision += 2;
  puppet_tell (&scene.puppet, "b", scene.puppet.revision - 5, scene.puppet.revision);
  scene_wait_out (&scene);
  scene_assert_knows (&scene, "a"); /* it was read again */
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  g_assert_cmpuint (scene.puppet.n_watches, ==, 2);
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

/* A change after the revision that the store says it is at. */
static void
test_of_the_future (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  puppet_tell (&scene.puppet, "b", scene.puppet.revision + 9, scene.puppet.revision);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  scene_assert_knows (&scene, "a,b");
  scene_clear (&scene);
}

/* The range was read again while the watch still had older news: they change nothing. */
static void
test_news_of_before_the_range (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;
  gint64 before;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  before = scene.puppet.revision + 1;
  scene.puppet.revision += 2; /* b went and came */
  commy_source_refresh (scene.source);
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  puppet_tell (&scene.puppet, "b", before, before); /* it went */
  scene_assert_knows (&scene, "a,b");
  g_assert_cmpuint (scene.puppet.n_watches, ==, 1);
  scene_clear (&scene);
}

/* The first time it is read again at once, then with pauses, and there is a notice meanwhile. */
static void
test_ends_again_and_again (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  puppet_end_watch (&scene.puppet);
  g_assert_true (scene.source->live);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  puppet_end_watch (&scene.puppet);
  g_assert_false (scene.source->live);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  scene_assert_says (&scene, "away");
  scene_assert_knows (&scene, "a,b");
  while (!scene.source->live)
    scene_hurry (&scene);
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

/* --- records --- */

static void
test_unreadable (void)
{
  static const char *const texts[]
      = { "", "{", "{}", "@a{sv} {}", "\xff\xfe\x01", "{'node': <1>}", "[[[[[[[[[[[[[[[[[[[[" };
  static const Answer script[] = { GOOD };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      Scene scene;

      scene_start_well (&scene, script, G_N_ELEMENTS (script));
      puppet_set (&scene.puppet, "b", texts[i]);
      g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance b*");
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
      g_test_assert_expected_messages ();
      scene_assert_knows (&scene, "a");
      scene_assert_says (&scene, "1 records of the store cannot be read");
      puppet_set (&scene.puppet, "b", NULL);
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
      scene_assert_knows (&scene, "a,b");
      g_assert_null (scene.source->notice);
      scene_clear (&scene);
    }
}

/* Whoever may write a record does so in a loop. */
static void
test_unreadable_flood (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_start_well (&scene, script, G_N_ELEMENTS (script));
  for (guint i = 0; i < COMMY_REFUSALS_TOLD; i++)
    g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance b*");
  for (guint i = 0; i < 5 * COMMY_REFUSALS_TOLD; i++)
    {
      puppet_set (&scene.puppet, "b", "{");
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
    }
  g_test_assert_expected_messages (); /* and no more */
  scene_assert_says (&scene, "1 records of the store cannot be read");
  scene_clear (&scene);
}

static void
test_strange_keys (void)
{
  static const Answer script[] = { STRANGE };
  Scene scene;

  scene_init (&scene, script, G_N_ELEMENTS (script));
  g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance a/b/c*");
  commy_source_refresh (scene.source);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (g_hash_table_size (scene.source->instances), ==, 0);
  scene_assert_says (&scene, "cannot be read");
  scene_clear (&scene);
}

/* --- many changes make few snapshots --- */

typedef struct
{
  gint64 now_ns;
  guint snapshots;
  guint n; /* instances in the last one */
} Clock;

static gint64
clock_now (gpointer data)
{
  return ((Clock *) data)->now_ns;
}

/* Takes 10 ms. */
static void
on_survey (gpointer data, CommySnapshot *snapshot, const CommySnapshot *before)
{
  Clock *clock = data;

  clock->now_ns += 10 * 1000000;
  clock->snapshots++;
  clock->n = snapshot->instances->len;
}

static void
on_ensured (gpointer data, const GError *error)
{
  g_assert_no_error (error);
}

static void
test_many_changes (void)
{
  static const Answer script[] = { GOOD };
  g_autoptr (GError) error = NULL;
  CommyConfig *config = commy_config_load_text ("", 0, "nothing", &error);
  Clock clock = { .now_ns = 1000000000 };
  const CommyEnv env = { .now_ns = clock_now, .data = &clock };
  guint32 epoch = 0;
  CommyRegistry *registry;
  Puppet puppet;

  g_assert_no_error (error);
  puppet_init (&puppet, script, G_N_ELEMENTS (script));
  registry = commy_registry_new (&puppet.plugin, config, &env, g_main_context_default (), &epoch);
  commy_registry_set_surveyor (registry, on_survey, &clock);
  commy_registry_ensure (registry, SERVICE, FALSE, on_ensured, NULL);
  g_assert_cmpuint (clock.snapshots, ==, 1);
  clock.now_ns += 1000000000;
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%u", i);

      puppet_set (&puppet, id, NULL);
      puppet_tell (&puppet, id, puppet.revision, puppet.revision);
      g_assert_cmpuint (clock.snapshots, ==, 2); /* the first one shows at once */
    }
  while (clock.snapshots == 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (clock.snapshots, ==, 3);
  g_assert_cmpuint (clock.n, ==, 1000);
  puppet_set (&puppet, "x", NULL);
  puppet_tell (&puppet, "x", puppet.revision, puppet.revision);
  g_assert_cmpuint (clock.snapshots, ==, 3);
  commy_registry_ensure (registry, SERVICE, TRUE, on_ensured, NULL); /* who asks sees it */
  g_assert_cmpuint (clock.n, ==, 1001);
  commy_registry_free (registry);
  commy_config_unref (config);
  g_tree_unref (puppet.entries);
}

/* --- limits --- */

/* However many a store has: so many are known, that others are not is said, and where one of them
 * goes another one is taken. */
static void
test_too_many (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  scene_init (&scene, script, 1);
  for (guint i = 0; i < MOST + 10; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%06u", i);

      puppet_set (&scene.puppet, id, NULL);
    }
  commy_source_refresh (scene.source);
  g_assert_cmpuint (g_hash_table_size (scene.source->instances), ==, MOST);
  scene_assert_says (&scene, "beyond 1500 are left out (limit \"instances\")");
  g_assert_false (g_hash_table_contains (scene.source->instances, "i001501"));
  puppet_set (&scene.puppet, "z", NULL); /* nor by a change */
  puppet_tell (&scene.puppet, "z", scene.puppet.revision, scene.puppet.revision);
  g_assert_false (g_hash_table_contains (scene.source->instances, "z"));
  puppet_set (&scene.puppet, "a", NULL); /* one that is known may change */
  puppet_tell (&scene.puppet, "a", scene.puppet.revision, scene.puppet.revision);
  g_assert_true (g_hash_table_contains (scene.source->instances, "a"));
  puppet_remove (&scene.puppet, "i000001");
  puppet_remove (&scene.puppet, "i000002");
  puppet_remove (&scene.puppet, "i000004");
  while (!g_hash_table_contains (scene.source->instances, "i001501"))
    scene_hurry (&scene);
  for (guint i = 0; i < 9; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%06u", i + MOST);

      puppet_remove (&scene.puppet, id);
    }
  while (scene.source->notice != NULL)
    scene_hurry (&scene);
  g_assert_true (g_hash_table_contains (scene.source->instances, "z"));
  scene_clear (&scene);
}

static void
on_limited (gpointer data, const GError *error)
{
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_LIMITED);
  g_assert_nonnull (strstr (error->message, data));
}

static void
on_list (gpointer data, GPtrArray *instances, const GError *error)
{
  if (data != NULL)
    on_limited (data, error);
  else
    g_assert_no_error (error);
}

/* Names, which others may ask a node about, and lists. */
static void
test_too_many_names (void)
{
  static const Answer script[] = { GOOD };
  g_autoptr (GError) error = NULL;
  const char *text = "[limits]\nservices=3\ninstances=5\n";
  CommyConfig *config = commy_config_load_text (text, strlen (text), "a test", &error);
  Clock clock = { .now_ns = 1000000000 };
  const CommyEnv env = { .now_ns = clock_now, .data = &clock };
  guint32 epoch = 0;
  CommyRegistry *registry;
  Puppet puppet;

  g_assert_no_error (error);
  puppet_init (&puppet, script, G_N_ELEMENTS (script));
  registry = commy_registry_new (&puppet.plugin, config, &env, g_main_context_default (), &epoch);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *name = g_strdup_printf ("org.example.N%u", i);

      puppet.event = NULL; /* each name has a watch */
      commy_registry_ensure (registry, name, FALSE, on_ensured, NULL);
    }
  commy_registry_ensure (registry, SERVICE, FALSE, on_limited, (gpointer) "limit \"services\"");
  commy_registry_ensure (registry, "org.example.N1", FALSE, on_ensured, NULL); /* known */
  g_assert_true (commy_registry_forget (registry, "org.example.N2"));
  puppet.event = NULL;
  commy_registry_ensure (registry, SERVICE, FALSE, on_ensured, NULL);
  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%u", i);

      puppet_set (&puppet, id, NULL);
    }
  commy_registry_list (registry, NULL, on_list, NULL);
  puppet_set (&puppet, "one-more", NULL);
  commy_registry_list (registry, NULL, on_list, (gpointer) "limit \"instances\"");
  commy_registry_list (registry, "org.other.*", on_list, NULL);
  commy_registry_free (registry);
  commy_config_unref (config);
  g_tree_unref (puppet.entries);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *path = g_strconcat ("/bad-store/first-answer/", rows[i].name, NULL);

      g_test_add_data_func (path, &rows[i], test_first_answer);
    }
  g_test_add_func ("/bad-store/silence/is-told-and-a-late-answer-counts", test_silence);
  g_test_add_func ("/bad-store/silence/an-answer-to-nobody-harms-nobody", test_answer_to_nobody);
  g_test_add_func ("/bad-store/revision/an-older-answer-changes-nothing", test_older_answer);
  g_test_add_func ("/bad-store/revision/a-store-that-was-set-back-counts-in-time", test_set_back);
  g_test_add_func ("/bad-store/watch/out-of-order-is-read-again", test_out_of_order);
  g_test_add_func ("/bad-store/watch/of-the-future-is-read-again", test_of_the_future);
  g_test_add_func ("/bad-store/watch/news-of-before-the-range", test_news_of_before_the_range);
  g_test_add_func ("/bad-store/watch/that-ends-again-and-again", test_ends_again_and_again);
  g_test_add_func ("/bad-store/record/unreadable-ones-are-told", test_unreadable);
  /* attack: fill the log by records that cannot be read; defence: so many lines in a while, then
   * their number; test: /bad-store/record/a-flood-of-unreadable-ones-is-some-lines */
  g_test_add_func ("/bad-store/record/a-flood-of-unreadable-ones-is-some-lines",
                   test_unreadable_flood);
  g_test_add_func ("/bad-store/record/strange-keys", test_strange_keys);
  /* attack: fill the store with instances, or ask about ever more names, until a process has no
   * memory left; defence: so many of each are known, and what is beyond is said; test:
   * /bad-store/limits/instances-beyond-are-left-out-and-told */
  g_test_add_func ("/bad-store/limits/instances-beyond-are-left-out-and-told", test_too_many);
  g_test_add_func ("/bad-store/limits/names-and-lists", test_too_many_names);
  g_test_add_func ("/bad-store/changes/a-thousand-make-few-snapshots", test_many_changes);
  return g_test_run ();
}
