/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stores that answer badly: late, never, twice, nothing, from an older revision, out of order, with
 * records that say nothing, with watches that end again and again. A store of the test's own does
 * what each row says; discovery must end with what the store has, or with a notice that says why
 * not, and who waits must always get an answer.
 */
#include "config.h"

#include "control/commy-registry.h"
#include "control/commy-source.h"
#include "plugin/commy-plugin-private.h"

#include <gio/gio.h>
#include <string.h>

#define SERVICE "org.example.Test"
#define PREFIX "services/" SERVICE "/"

/* --- the puppet --- */

/* What it does instead of what it should, from question to question; the last of a script stays. */
typedef enum
{
  GOOD,
  TWICE,   /* two of them */
  EMPTY,   /* neither a result nor an error */
  LATE,    /* when the case says so */
  OLDER,   /* from before what was seen */
  FAILS,   /* an error */
  STRANGE, /* entries of somebody else, and without a key */
} Answer;

typedef struct
{
  CommyStoreDoneFunc done;
  gpointer user_data;
} Asked;

typedef struct
{
  CommyPlugin plugin;
  GTree *entries; /* key to text */
  gint64 revision;
  const Answer *script;
  guint n_script;
  guint n_ranges;
  Asked late;
  CommyStoreWatchEventFunc event; /* NULL: nobody watches */
  gpointer event_data;
  guint last_watch;
  guint n_watches;
} Puppet;

static char *
record (const char *id)
{
  g_autoptr (CommyInstance) instance = commy_instance_new (id, SERVICE);

  instance->node = g_strdup ("0123456789abcdef0123456789abcdef");
  instance->host = g_strdup ("host");
  instance->host_id = g_strdup ("an-id");
  instance->interface_name = g_strdup (SERVICE);
  instance->serializers = g_strsplit ("json", ",", -1);
  return commy_instance_write (instance);
}

static gboolean
append_entry (gpointer key, gpointer value, gpointer data)
{
  const CommyStoreEntry entry = { .key = key,
                                  .value = g_bytes_new (value, strlen (value)),
                                  .create_revision = 1,
                                  .mod_revision = 1 };

  g_array_append_val ((GArray *) data, entry);
  return FALSE;
}

static void
entry_clear (gpointer entry)
{
  g_bytes_unref (((CommyStoreEntry *) entry)->value);
}

static void
answer_well (Puppet *self, const Asked *asked, gint64 revision)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  CommyStoreResult result
      = { .struct_size = sizeof result, .succeeded = TRUE, .revision = revision };

  g_array_set_clear_func (entries, entry_clear);
  g_tree_foreach (self->entries, append_entry, entries);
  result.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  result.n_entries = entries->len;
  asked->done (asked->user_data, &result, NULL);
}

static void
answer_strangely (Puppet *self, const Asked *asked)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("{}", 2);
  const CommyStoreEntry entries[] = { { .key = NULL, .value = value, .mod_revision = 1 },
                                      { .key = "services/other/a", .value = value },
                                      { .key = "\xff\xfe", .value = NULL },
                                      { .key = PREFIX, .value = value },
                                      { .key = PREFIX "a/b/c", .value = value } };
  const CommyStoreResult result = { .struct_size = sizeof result,
                                    .revision = self->revision,
                                    .entries = entries,
                                    .n_entries = G_N_ELEMENTS (entries) };

  asked->done (asked->user_data, &result, NULL);
}

static void
puppet_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  const Asked asked = { done, user_data };
  g_autoptr (GError) error = NULL;
  const Answer answer = self->script[MIN (self->n_ranges, self->n_script - 1)];

  self->n_ranges++;
  switch (answer)
    {
    case GOOD:
      answer_well (self, &asked, self->revision);
      break;
    case TWICE:
      answer_well (self, &asked, self->revision);
      answer_well (self, &asked, self->revision);
      break;
    case EMPTY:
      done (user_data, NULL, NULL);
      break;
    case LATE:
      self->late = asked;
      break;
    case OLDER:
      answer_well (self, &asked, self->revision - 5);
      break;
    case FAILS:
      g_set_error_literal (&error, COMMY_ERROR, COMMY_ERROR_STORE, "as the row says");
      done (user_data, NULL, error);
      break;
    case STRANGE:
      answer_strangely (self, &asked);
      break;
    }
}

static guint
puppet_watch (gpointer instance,
              const char *prefix,
              gint64 from_revision,
              CommyStoreWatchEventFunc event,
              gpointer user_data)
{
  Puppet *self = instance;

  g_assert_null (self->event); /* one source has one watch */
  self->event = event;
  self->event_data = user_data;
  self->n_watches++;
  return ++self->last_watch;
}

static void
puppet_unwatch (gpointer instance, guint watch)
{
  Puppet *self = instance;

  g_assert_cmpuint (watch, <=, self->last_watch);
  self->event = NULL;
}

static int
compare_text (gconstpointer a, gconstpointer b, gpointer unused)
{
  return strcmp (a, b);
}

static void
puppet_init (Puppet *self, const Answer *script, guint n_script)
{
  memset (self, 0, sizeof *self);
  self->entries = g_tree_new_full (compare_text, NULL, g_free, g_free);
  self->revision = 10;
  self->script = script;
  self->n_script = n_script;
  self->plugin.instance = self;
  self->plugin.ops.store.range = puppet_range;
  self->plugin.ops.store.watch = puppet_watch;
  self->plugin.ops.store.unwatch = puppet_unwatch;
}

static void
puppet_set (Puppet *self, const char *id, const char *text)
{
  g_tree_replace (self->entries, g_strconcat (PREFIX, id, NULL),
                  text != NULL ? g_strdup (text) : record (id));
  self->revision++;
}

/* Tells of one key, changed at @mod_revision, when the store is at @revision. */
static void
puppet_tell (Puppet *self, const char *id, gint64 mod_revision, gint64 revision)
{
  g_autofree char *key = g_strconcat (PREFIX, id, NULL);
  const char *text = g_tree_lookup (self->entries, key);
  g_autoptr (GBytes) value = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;
  const CommyStoreEntry entry = { .key = key, .value = value, .mod_revision = mod_revision };

  g_assert_nonnull (self->event);
  self->event (self->event_data, &entry, 1, revision, NULL);
}

static void
puppet_end_watch (Puppet *self)
{
  g_autoptr (GError) error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_STORE, "compacted");
  CommyStoreWatchEventFunc event = self->event;

  g_assert_nonnull (event);
  self->event = NULL;
  event (self->event_data, NULL, 0, self->revision, error);
}

/* --- a source of it --- */

typedef struct
{
  Puppet puppet;
  CommySource *source;
  guint settled;
  char *error; /* of the last time */
} Scene;

static void
on_changed (gpointer data)
{
}

static void
on_settled (gpointer data, const GError *error)
{
  Scene *self = data;

  self->settled++;
  g_free (self->error);
  self->error = error != NULL ? g_strdup (error->message) : NULL;
}

#define MOST 1500u /* instances; the flood of unreadable ones fits */

static void
scene_init (Scene *self, const Answer *script, guint n_script)
{
  const CommySourceListener listener
      = { .changed = on_changed, .settled = on_settled, .data = self };

  self->settled = 0;
  self->error = NULL;
  puppet_init (&self->puppet, script, n_script);
  puppet_set (&self->puppet, "a", NULL);
  self->source = commy_source_store_new (&self->puppet.plugin, g_main_context_default (), SERVICE,
                                         MOST, &listener);
}

static void
scene_clear (Scene *self)
{
  commy_source_free (self->source);
  g_assert_null (self->puppet.event); /* what is gone watches nothing */
  g_tree_unref (self->puppet.entries);
  g_free (self->error);
}

/* Until the source is live again: its timers run out at once. */
static void
hurry (Scene *self)
{
  GSource *timer = g_main_context_find_source_by_user_data (NULL, self->source);

  g_assert_nonnull (timer);
  g_source_set_ready_time (timer, 0);
  g_main_context_iteration (NULL, TRUE);
}

static void
assert_knows (Scene *self, const char *ids)
{
  g_auto (GStrv) all = g_strsplit (ids, ",", -1);

  g_assert_cmpuint (g_hash_table_size (self->source->instances), ==, g_strv_length (all));
  for (guint i = 0; all[i] != NULL; i++)
    g_assert_true (g_hash_table_contains (self->source->instances, all[i]));
}

static void
assert_says (Scene *self, const char *part)
{
  g_assert_nonnull (self->source->notice);
  if (strstr (self->source->notice, part) == NULL)
    g_error ("the notice does not say \"%s\" but: %s", part, self->source->notice);
}

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
    assert_says (&scene, row->first_notice);
  if (row->first_error != NULL)
    g_assert_nonnull (strstr (scene.error, row->first_error));
  else
    g_assert_null (scene.error);
  while (!scene.source->live)
    hurry (&scene);
  assert_knows (&scene, "a");
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
  hurry (&scene);
  g_assert_cmpuint (scene.settled, ==, 1);
  g_assert_nonnull (strstr (scene.error, "silent"));
  assert_says (&scene, "away");
  commy_source_refresh (scene.source); /* who asks now does not wait for it */
  g_assert_cmpuint (scene.settled, ==, 2);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 1);
  answer_well (&scene.puppet, &scene.puppet.late, scene.puppet.revision);
  assert_knows (&scene, "a");
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
  answer_well (&scene.puppet, &late, scene.puppet.revision);
  g_tree_unref (scene.puppet.entries);
}

/* --- revisions --- */

static void
start_well (Scene *scene, const Answer *script, guint n_script)
{
  scene_init (scene, script, n_script);
  commy_source_refresh (scene->source);
  assert_knows (scene, "a");
  puppet_set (&scene->puppet, "b", NULL);
  puppet_tell (&scene->puppet, "b", scene->puppet.revision, scene->puppet.revision);
  assert_knows (scene, "a,b");
}

static void
test_older_answer (void)
{
  static const Answer script[] = { GOOD, OLDER, GOOD };
  Scene scene;

  start_well (&scene, script, G_N_ELEMENTS (script));
  commy_source_refresh (scene.source);
  g_assert_nonnull (strstr (scene.error, "was seen already"));
  assert_says (&scene, "away");
  assert_knows (&scene, "a,b"); /* what was known stays */
  while (!scene.source->live)
    hurry (&scene);
  assert_knows (&scene, "a,b");
  g_assert_null (scene.source->notice);
  scene_clear (&scene);
}

/* All of it was set back, from a backup: in time that is what counts. */
static void
test_set_back (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  start_well (&scene, script, G_N_ELEMENTS (script));
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  scene.puppet.revision = 3;
  for (guint i = 0; i < 9; i++)
    {
      commy_source_refresh (scene.source);
      assert_knows (&scene, "a,b");
    }
  commy_source_refresh (scene.source);
  assert_knows (&scene, "a");
  g_assert_true (scene.source->live);
  puppet_set (&scene.puppet, "c", NULL);
  puppet_tell (&scene.puppet, "c", 4, 4);
  assert_knows (&scene, "a,c");
  scene_clear (&scene);
}

/* --- watches --- */

static void
test_out_of_order (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  start_well (&scene, script, G_N_ELEMENTS (script));
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  scene.puppet.revision += 2;
  puppet_tell (&scene.puppet, "b", scene.puppet.revision - 5, scene.puppet.revision);
  assert_knows (&scene, "a"); /* it was read again */
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

  start_well (&scene, script, G_N_ELEMENTS (script));
  puppet_tell (&scene.puppet, "b", scene.puppet.revision + 9, scene.puppet.revision);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  assert_knows (&scene, "a,b");
  scene_clear (&scene);
}

/* The range was read again while the watch still had older news: they change nothing. */
static void
test_news_of_before_the_range (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;
  gint64 before;

  start_well (&scene, script, G_N_ELEMENTS (script));
  before = scene.puppet.revision + 1;
  scene.puppet.revision += 2; /* b went and came */
  commy_source_refresh (scene.source);
  g_tree_remove (scene.puppet.entries, PREFIX "b");
  puppet_tell (&scene.puppet, "b", before, before); /* it went */
  assert_knows (&scene, "a,b");
  g_assert_cmpuint (scene.puppet.n_watches, ==, 1);
  scene_clear (&scene);
}

/* The first time it is read again at once, then with pauses, and there is a notice meanwhile. */
static void
test_ends_again_and_again (void)
{
  static const Answer script[] = { GOOD };
  Scene scene;

  start_well (&scene, script, G_N_ELEMENTS (script));
  puppet_end_watch (&scene.puppet);
  g_assert_true (scene.source->live);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  puppet_end_watch (&scene.puppet);
  g_assert_false (scene.source->live);
  g_assert_cmpuint (scene.puppet.n_ranges, ==, 2);
  assert_says (&scene, "away");
  assert_knows (&scene, "a,b");
  while (!scene.source->live)
    hurry (&scene);
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

      start_well (&scene, script, G_N_ELEMENTS (script));
      puppet_set (&scene.puppet, "b", texts[i]);
      g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance b*");
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
      g_test_assert_expected_messages ();
      assert_knows (&scene, "a");
      assert_says (&scene, "1 records of the store cannot be read");
      puppet_set (&scene.puppet, "b", NULL);
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
      assert_knows (&scene, "a,b");
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

  start_well (&scene, script, G_N_ELEMENTS (script));
  for (guint i = 0; i < COMMY_REFUSALS_TOLD; i++)
    g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*the record of instance b*");
  for (guint i = 0; i < 5 * COMMY_REFUSALS_TOLD; i++)
    {
      puppet_set (&scene.puppet, "b", "{");
      puppet_tell (&scene.puppet, "b", scene.puppet.revision, scene.puppet.revision);
    }
  g_test_assert_expected_messages (); /* and no more */
  assert_says (&scene, "1 records of the store cannot be read");
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
  assert_says (&scene, "cannot be read");
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

static void
puppet_remove (Puppet *self, const char *id)
{
  g_autofree char *key = g_strconcat (PREFIX, id, NULL);

  g_assert_true (g_tree_remove (self->entries, key));
  self->revision++;
  puppet_tell (self, id, self->revision, self->revision);
}

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
  assert_says (&scene, "beyond 1500 are left out (limit \"instances\")");
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
    hurry (&scene);
  for (guint i = 0; i < 9; i++)
    {
      g_autofree char *id = g_strdup_printf ("i%06u", i + MOST);

      puppet_remove (&scene.puppet, id);
    }
  while (scene.source->notice != NULL)
    hurry (&scene);
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
