/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store as a source: a range, then a watch from its revision. When the store goes away what
 * it said last stays, with a notice, and the range is tried again every second. What a store says
 * is not believed blindly: an answer that is older than what was seen, or that does not come, is
 * told in the notice, and changes out of order have all of it read again.
 *
 * Who is cut off from the store for longer than his lease loses it, and comes back with those who
 * looked for him: what is missing when the store is read after it was away is kept for a moment, so
 * that its owner can register it anew first. It was called all the time that the store was away.
 */
#include "config.h"

#include "control/commy-source.h"

#include "base/commy-error-private.h"

#include <string.h>

#define PREFIX COMMY_SERVICES_PREFIX
#define RETRY_MS 1000u
#define PATIENCE_MS 15000u
#define NS_PER_US 1000
#define NS_PER_MS 1000000
/* So often an answer may be older than what was seen; then the store was set back. */
#define OLDER_MOST 10u
/* So long is kept what is missing after the store was away: the second until its owner looks for
 * it, and twice what one member may take to answer, for what has to be asked then. */
#define GRACE_NS G_GINT64_CONSTANT (5000000000)

typedef struct
{
  CommySource source;
  CommyPlugin *store;
  const CommyStoreOps *ops;
  const CommyEnv *env;
  GMainContext *context;
  char *service;
  char *prefix;
  guint watch;          /* 0: none */
  gint64 read_revision; /* of the last range */
  gint64 told_revision; /* of the last that the watch told */
  GSource *retry;
  GSource *patience;      /* until the answer is overdue; NULL: it is, or none is awaited */
  GSource *calm;          /* since it was read again because of its watch */
  guint n_older;          /* answers in turn that were older than what was seen */
  GHashTable *unreadable; /* ids of records that say nothing */
  guint most;             /* of both, together with the instances */
  GHashTable *missed;     /* id -> gint64: until when it is kept although the store lacks it */
  GSource *grace;         /* until the first of them goes; NULL: there is none, or it is away */
  gboolean is_full;       /* some were left out */
  gboolean told_full;     /* in the log */
  CommyRefusals told;     /* of those */
  gboolean is_freed;      /* while the store was being asked */
} StoreSource;

static void start_range (StoreSource *self);

static void
end_timer (GSource **timer)
{
  if (*timer == NULL)
    return;
  g_source_destroy (*timer);
  g_clear_pointer (timer, g_source_unref);
}

static void
begin_timer (StoreSource *self, GSource **timer, guint ms, GSourceFunc func)
{
  if (*timer != NULL)
    return;
  *timer = g_timeout_source_new (ms);
  g_source_set_callback (*timer, func, self, NULL);
  g_source_attach (*timer, self->context);
}

/* --- reading records --- */

/* "services/NAME/ID" -> name and id. */
static gboolean
split_key (const char *key, char **out_service, const char **out_id)
{
  const char *name = key + strlen (PREFIX);
  const char *slash;

  if (!g_str_has_prefix (key, PREFIX) || (slash = strchr (name, '/')) == NULL || slash[1] == '\0')
    return FALSE;
  *out_service = g_strndup (name, (gsize) (slash - name));
  *out_id = slash + 1;
  return TRUE;
}

CommyInstance *
commy_source_store_read (const CommyStoreEntry *entry, GError **error)
{
  g_autofree char *service = NULL;
  CommyInstance *instance;
  const char *id;
  gsize size;
  const char *text;

  if (!split_key (entry->key, &service, &id) || entry->value == NULL)
    return NULL;
  text = g_bytes_get_data (entry->value, &size);
  instance = commy_instance_read (id, service, text, size, error);
  if (instance != NULL)
    instance->lease = entry->lease;
  return instance;
}

void
commy_source_store_tell (CommyRefusals *told, const GError *error)
{
  guint untold;
  gboolean tells = commy_refusals_add (told, FALSE, g_get_monotonic_time () * NS_PER_US, &untold);

  if (untold > 0)
    g_warning ("%u more records of the store could not be read, of which nothing was told", untold);
  if (tells)
    g_warning ("%s", error->message);
}

static gboolean
has_room (const StoreSource *self)
{
  return g_hash_table_size (self->source.instances) + g_hash_table_size (self->unreadable)
         < self->most;
}

/* Whoever can write records writes as many as the store takes. */
static gboolean
is_left_out (StoreSource *self, const CommyStoreEntry *entry, const char *id)
{
  if (entry->value == NULL || has_room (self) || g_hash_table_contains (self->source.instances, id)
      || g_hash_table_contains (self->unreadable, id))
    return FALSE;
  if (!self->told_full)
    g_message ("the store has more than %u instances of %s (limit \"instances\"): others are left "
               "out",
               self->most, self->service);
  self->is_full = self->told_full = TRUE;
  return TRUE;
}

static void
apply_entry (StoreSource *self, const CommyStoreEntry *entry)
{
  g_autoptr (GError) error = NULL;
  CommyInstance *instance;
  const char *id;

  if (entry->key == NULL || !g_str_has_prefix (entry->key, self->prefix))
    return;
  id = entry->key + strlen (self->prefix);
  g_hash_table_remove (self->missed, id);
  if (is_left_out (self, entry, id))
    return;
  instance = entry->value != NULL ? commy_source_store_read (entry, &error) : NULL;
  if (error != NULL)
    commy_source_store_tell (&self->told, error);
  if (instance != NULL)
    g_hash_table_replace (self->source.instances, g_strdup (id), instance);
  else
    g_hash_table_remove (self->source.instances, id);
  if (instance == NULL && entry->value != NULL)
    g_hash_table_add (self->unreadable, g_strdup (id));
  else
    g_hash_table_remove (self->unreadable, id);
}

static void
say_changed (StoreSource *self)
{
  const guint n_unread = g_hash_table_size (self->unreadable);
  const guint n_missed = g_hash_table_size (self->missed);
  g_autoptr (GString) notice = g_string_new (NULL);

  if (self->is_full)
    g_string_append_printf (notice, "instances beyond %u are left out (limit \"instances\")",
                            self->most);
  if (n_unread > 0)
    g_string_append_printf (notice, "%s%u records of the store cannot be read: the log says why",
                            notice->len > 0 ? "; " : "", n_unread);
  if (n_missed > 0)
    g_string_append_printf (notice,
                            "%sthe store, which was away, does not know %u instances any more: "
                            "they have a moment to register again",
                            notice->len > 0 ? "; " : "", n_missed);
  commy_source_changed (&self->source, notice->len > 0 ? g_strdup (notice->str) : NULL);
}

/* --- watching --- */

static void
say_away (StoreSource *self)
{
  self->source.live = FALSE;
  self->source.away = TRUE;
  commy_source_changed (&self->source, g_strdup ("the store is away"));
}

static gboolean
on_calm (gpointer data)
{
  end_timer (&((StoreSource *) data)->calm);
  return G_SOURCE_REMOVE;
}

static void retry_later (StoreSource *self);

static void
stop_watching (StoreSource *self)
{
  if (self->watch != 0)
    self->ops->unwatch (self->store->instance, self->watch);
  self->watch = 0;
}

/* At once; but not again and again. */
static void
read_again (StoreSource *self, const char *why)
{
  g_message ("discovery of %s reads the store again: %s", self->service, why);
  stop_watching (self);
  say_away (self);
  if (self->calm != NULL)
    {
      retry_later (self);
      return;
    }
  begin_timer (self, &self->calm, RETRY_MS, on_calm);
  start_range (self);
}

/* Where one went, one that was left out may have room, or none is left out any more; but it is not
 * looked for them again and again. */
static void
look_for_others (StoreSource *self)
{
  if (!self->is_full)
    return;
  if (self->calm != NULL)
    {
      retry_later (self);
      return;
    }
  begin_timer (self, &self->calm, RETRY_MS, on_calm);
  start_range (self);
}

/* Not before what was told, and not after what the store says it is at. */
static gboolean
are_in_order (const StoreSource *self,
              const CommyStoreEntry *entries,
              gsize n_entries,
              gint64 revision)
{
  gint64 last = self->told_revision;

  for (gsize i = 0; i < n_entries; i++)
    {
      if (entries[i].mod_revision < last)
        return FALSE;
      last = entries[i].mod_revision;
    }
  return revision >= last;
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  StoreSource *self = user_data;
  gboolean went = FALSE;

  if (error != NULL)
    {
      self->watch = 0;
      read_again (self, error->message);
      return;
    }
  if (!are_in_order (self, entries, n_entries, revision))
    {
      read_again (self, "it told changes out of order");
      return;
    }
  self->told_revision = revision;
  self->source.revision = MAX (self->source.revision, revision);
  /* The range may have been read again since, and have seen some of it. */
  for (gsize i = 0; i < n_entries; i++)
    {
      went |= entries[i].value == NULL;
      if (entries[i].mod_revision > self->read_revision)
        apply_entry (self, &entries[i]);
    }
  if (n_entries > 0)
    say_changed (self);
  if (went)
    look_for_others (self);
}

static gboolean
on_retry (gpointer data)
{
  StoreSource *self = data;

  end_timer (&self->retry);
  start_range (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (StoreSource *self)
{
  begin_timer (self, &self->retry, RETRY_MS, on_retry);
}

/* --- what is missing --- */

static void await_missed (StoreSource *self);

/* While the store is away nothing goes. */
static gboolean
on_grace (gpointer data)
{
  StoreSource *self = data;
  const gint64 now_ns = commy_env_now (self->env);
  const guint n_before = g_hash_table_size (self->missed);
  GHashTableIter iter;
  gpointer id, until_ns;

  end_timer (&self->grace);
  if (self->source.away)
    return G_SOURCE_REMOVE;
  g_hash_table_iter_init (&iter, self->missed);
  while (g_hash_table_iter_next (&iter, &id, &until_ns))
    if (*(gint64 *) until_ns <= now_ns)
      {
        g_hash_table_remove (self->source.instances, id);
        g_hash_table_iter_remove (&iter);
      }
  await_missed (self);
  if (g_hash_table_size (self->missed) == n_before)
    return G_SOURCE_REMOVE;
  say_changed (self);
  look_for_others (self);
  return G_SOURCE_REMOVE;
}

static void
await_missed (StoreSource *self)
{
  gint64 first_ns = G_MAXINT64;
  GHashTableIter iter;
  gpointer until_ns;

  end_timer (&self->grace);
  g_hash_table_iter_init (&iter, self->missed);
  while (g_hash_table_iter_next (&iter, NULL, &until_ns))
    first_ns = MIN (first_ns, *(gint64 *) until_ns);
  if (first_ns != G_MAXINT64)
    begin_timer (self, &self->grace,
                 (guint) (MAX (first_ns - commy_env_now (self->env), 0) / NS_PER_MS + 1), on_grace);
}

/* Of those that were known @before. None is kept for longer because the store goes away again. */
static void
keep_missing (StoreSource *self, GHashTable *before, gboolean was_away)
{
  const gint64 now_ns = commy_env_now (self->env);
  GHashTableIter iter;
  gpointer id, instance;

  g_hash_table_iter_init (&iter, before);
  while (g_hash_table_iter_next (&iter, &id, &instance))
    {
      const gint64 *until_ns = g_hash_table_lookup (self->missed, id);
      const gint64 grace_ns = now_ns + GRACE_NS;

      if (g_hash_table_contains (self->source.instances, id)
          || g_hash_table_contains (self->unreadable, id))
        continue;
      if (until_ns == NULL && was_away)
        {
          g_hash_table_insert (self->missed, g_strdup (id), g_memdup2 (&grace_ns, sizeof grace_ns));
          until_ns = &grace_ns;
        }
      if (until_ns != NULL && *until_ns > now_ns && has_room (self))
        g_hash_table_insert (self->source.instances, g_strdup (id), commy_instance_ref (instance));
      else
        g_hash_table_remove (self->missed, id);
    }
  await_missed (self);
}

/* --- reading --- */

static void
fail (StoreSource *self, const GError *error)
{
  g_message ("the store does not answer for %s: %s", self->service, error->message);
  say_away (self);
  retry_later (self);
  commy_source_settle (&self->source, error);
}

/* Some member of the store was left behind; or all of it was set back, which shows in time. */
static gboolean
is_older (StoreSource *self, const CommyStoreResult *result, GError **error)
{
  if (result->revision >= self->source.revision || ++self->n_older >= OLDER_MOST)
    return FALSE;
  commy_set_error (error, COMMY_ERROR_STORE,
                   "the store answers from revision %" G_GINT64_FORMAT ", but %" G_GINT64_FORMAT
                   " was seen already",
                   result->revision, self->source.revision);
  return TRUE;
}

static void
take (StoreSource *self, const CommyStoreResult *result)
{
  g_autoptr (GHashTable) before = g_steal_pointer (&self->source.instances);

  self->source.instances = commy_source_new_instances ();
  g_hash_table_remove_all (self->unreadable);
  self->is_full = FALSE;
  for (gsize i = 0; i < result->n_entries; i++)
    apply_entry (self, &result->entries[i]);
  keep_missing (self, before, self->source.away);
  if (result->revision < self->source.revision)
    stop_watching (self);
  self->n_older = 0;
  self->read_revision = result->revision;
  self->source.revision = result->revision;
  self->source.away = FALSE;
  say_changed (self);
  if (self->watch == 0)
    {
      self->told_revision = result->revision;
      self->watch = self->ops->watch (self->store->instance, self->prefix, result->revision,
                                      on_events, self);
    }
  self->source.live = self->watch != 0;
  commy_source_settle (&self->source, NULL);
}

static void
on_range (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  StoreSource *self = user_data;
  g_autoptr (GError) older = NULL;

  if (self->is_freed)
    {
      g_free (self);
      return;
    }
  if (!self->source.busy)
    {
      g_warning ("the store answers twice for %s", self->service);
      return;
    }
  self->source.busy = FALSE;
  end_timer (&self->patience);
  if (error == NULL && result == NULL)
    commy_set_error (&older, COMMY_ERROR_STORE, "the store's answer is empty");
  if (error != NULL || older != NULL || is_older (self, result, &older))
    fail (self, error != NULL ? error : older);
  else
    take (self, result);
}

static void
say_overdue (StoreSource *self)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_STORE, "the store has been asked for %s and is silent",
                   self->service);
  say_away (self);
  commy_source_settle (&self->source, error);
}

static gboolean
on_overdue (gpointer data)
{
  StoreSource *self = data;

  end_timer (&self->patience);
  say_overdue (self);
  return G_SOURCE_REMOVE;
}

static void
start_range (StoreSource *self)
{
  if (self->source.busy)
    return;
  self->source.busy = TRUE;
  begin_timer (self, &self->patience, PATIENCE_MS, on_overdue);
  self->ops->range (self->store->instance, self->prefix, on_range, self);
}

/* A store that is overdue is not waited for once more; its answer counts when it comes. */
static void
store_refresh (CommySource *source)
{
  StoreSource *self = (StoreSource *) source;

  if (source->busy && self->patience == NULL)
    say_overdue (self);
  else
    start_range (self);
}

static void
store_free (CommySource *source)
{
  StoreSource *self = (StoreSource *) source;

  stop_watching (self);
  end_timer (&self->retry);
  end_timer (&self->patience);
  end_timer (&self->calm);
  end_timer (&self->grace);
  g_hash_table_unref (self->unreadable);
  g_hash_table_unref (self->missed);
  commy_source_clear (source);
  g_free (self->service);
  g_free (self->prefix);
  self->is_freed = TRUE;
  if (!self->source.busy)
    g_free (self);
}

static CommySource *
store_new (CommyPlugin *store,
           const CommyEnv *env,
           GMainContext *context,
           const char *what,
           char *prefix,
           guint most,
           const CommySourceListener *listener)
{
  static const CommySourceOps ops = { store_refresh, store_free };
  StoreSource *self = g_new0 (StoreSource, 1);

  commy_source_init (&self->source, &ops, listener);
  self->store = store;
  self->ops = &store->ops.store;
  self->env = env;
  self->context = context;
  self->unreadable = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->missed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->service = g_strdup (what);
  self->prefix = prefix;
  self->most = most;
  return &self->source;
}

CommySource *
commy_source_store_new (CommyPlugin *store,
                        const CommyEnv *env,
                        GMainContext *context,
                        const char *service,
                        guint most,
                        const CommySourceListener *listener)
{
  return store_new (store, env, context, service, g_strdup_printf (PREFIX "%s/", service), most,
                    listener);
}

CommySource *
commy_source_store_new_all (CommyPlugin *store,
                            const CommyEnv *env,
                            GMainContext *context,
                            const char *beginning,
                            guint most,
                            const CommySourceListener *listener)
{
  return store_new (store, env, context, beginning, g_strconcat (PREFIX, beginning, NULL), most,
                    listener);
}
