/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The puppet's answers, and the source's timers.
 */
#include "config.h"

#include "store-puppet.h"

#include <gio/gio.h>
#include <string.h>

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

void
puppet_answer (Puppet *self, const Asked *asked, gint64 revision)
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
      puppet_answer (self, &asked, self->revision);
      break;
    case TWICE:
      puppet_answer (self, &asked, self->revision);
      puppet_answer (self, &asked, self->revision);
      break;
    case EMPTY:
      done (user_data, NULL, NULL);
      break;
    case LATE:
      self->late = asked;
      break;
    case OLDER:
      puppet_answer (self, &asked, self->revision - 5);
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

void
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

void
puppet_set (Puppet *self, const char *id, const char *text)
{
  g_tree_replace (self->entries, g_strconcat (PREFIX, id, NULL),
                  text != NULL ? g_strdup (text) : record (id));
  self->revision++;
}

void
puppet_tell (Puppet *self, const char *id, gint64 mod_revision, gint64 revision)
{
  g_autofree char *key = g_strconcat (PREFIX, id, NULL);
  const char *text = g_tree_lookup (self->entries, key);
  g_autoptr (GBytes) value = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;
  const CommyStoreEntry entry = { .key = key, .value = value, .mod_revision = mod_revision };

  g_assert_nonnull (self->event);
  self->event (self->event_data, &entry, 1, revision, NULL);
}

void
puppet_end_watch (Puppet *self)
{
  g_autoptr (GError) error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_STORE, "compacted");
  CommyStoreWatchEventFunc event = self->event;

  g_assert_nonnull (event);
  self->event = NULL;
  event (self->event_data, NULL, 0, self->revision, error);
}

/* --- a source of it --- */

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

static gint64
scene_now (gpointer data)
{
  return ((Scene *) data)->now_ns;
}

void
scene_init (Scene *self, const Answer *script, guint n_script)
{
  const CommySourceListener listener
      = { .changed = on_changed, .settled = on_settled, .data = self };

  *self = (Scene){ .now_ns = 1, .env = { .now_ns = scene_now, .data = self } };
  puppet_init (&self->puppet, script, n_script);
  puppet_set (&self->puppet, "a", NULL);
  self->source = commy_source_store_new (&self->puppet.plugin, &self->env,
                                         g_main_context_default (), SERVICE, MOST, &listener);
}

void
scene_clear (Scene *self)
{
  commy_source_free (self->source);
  g_assert_null (self->puppet.event); /* what is gone watches nothing */
  g_tree_unref (self->puppet.entries);
  g_free (self->error);
}

/* Until the source is live again: its timers run out at once. */
void
scene_hurry (Scene *self)
{
  GSource *timer = g_main_context_find_source_by_user_data (NULL, self->source);

  g_assert_nonnull (timer);
  g_source_set_ready_time (timer, 0);
  g_main_context_iteration (NULL, TRUE);
}

void
scene_wait_out (Scene *self)
{
  self->now_ns += 5 * G_GINT64_CONSTANT (1000000000);
  while (self->source->notice != NULL)
    scene_hurry (self);
}

void
scene_assert_knows (Scene *self, const char *ids)
{
  g_auto (GStrv) all = g_strsplit (ids, ",", -1);

  g_assert_cmpuint (g_hash_table_size (self->source->instances), ==, g_strv_length (all));
  for (guint i = 0; all[i] != NULL; i++)
    g_assert_true (g_hash_table_contains (self->source->instances, all[i]));
}

void
scene_assert_says (Scene *self, const char *part)
{
  g_assert_nonnull (self->source->notice);
  if (strstr (self->source->notice, part) == NULL)
    g_error ("the notice does not say \"%s\" but: %s", part, self->source->notice);
}

void
scene_start_well (Scene *scene, const Answer *script, guint n_script)
{
  scene_init (scene, script, n_script);
  commy_source_refresh (scene->source);
  scene_assert_knows (scene, "a");
  puppet_set (&scene->puppet, "b", NULL);
  puppet_tell (&scene->puppet, "b", scene->puppet.revision, scene->puppet.revision);
  scene_assert_knows (scene, "a,b");
}

void
puppet_remove (Puppet *self, const char *id)
{
  g_autofree char *key = g_strconcat (PREFIX, id, NULL);

  g_assert_true (g_tree_remove (self->entries, key));
  self->revision++;
  puppet_tell (self, id, self->revision, self->revision);
}
