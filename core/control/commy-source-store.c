/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store as a source: a range, then a watch from its revision. When the store goes away what
 * it said last stays, with a notice, and the range is tried again every second. A watch that ends
 * is followed by a range at once, but one that ends again soon after waits that second, too.
 */
#include "config.h"

#include "control/commy-source.h"

#include <string.h>

#define PREFIX COMMY_SERVICES_PREFIX
#define RETRY_MS 1000u

typedef struct
{
  CommySource source;
  CommyPlugin *store;
  const CommyStoreOps *ops;
  GMainContext *context;
  char *service;
  char *prefix;
  guint watch; /* 0: none */
  GSource *retry;
  GSource *rest;     /* a range that a watch asked for was so lately that the next one waits */
  gboolean is_freed; /* while the store was being asked */
} StoreSource;

static void start_range (StoreSource *self);
static void read_again (StoreSource *self);

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
commy_source_store_read (const CommyStoreEntry *entry)
{
  g_autofree char *service = NULL;
  g_autoptr (GError) error = NULL;
  CommyInstance *instance;
  const char *id;
  gsize size;
  const char *text;

  if (!split_key (entry->key, &service, &id) || entry->value == NULL)
    return NULL;
  text = g_bytes_get_data (entry->value, &size);
  instance = commy_instance_read (id, service, text, size, &error);
  if (instance == NULL)
    g_warning ("%s", error->message);
  else
    instance->lease = entry->lease;
  return instance;
}

static void
apply_entry (StoreSource *self, const CommyStoreEntry *entry)
{
  CommyInstance *instance;
  const char *id = entry->key + strlen (self->prefix);

  if (!g_str_has_prefix (entry->key, self->prefix))
    return;
  instance = entry->value != NULL ? commy_source_store_read (entry) : NULL;
  if (instance != NULL)
    g_hash_table_replace (self->source.instances, g_strdup (id), instance);
  else
    g_hash_table_remove (self->source.instances, id);
}

/* --- watching --- */

static void
say_away (StoreSource *self)
{
  self->source.live = FALSE;
  commy_source_changed (&self->source, g_strdup ("the store is away; this is the last it said"));
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  StoreSource *self = user_data;

  if (error != NULL)
    {
      g_message ("discovery of %s reads the store again: %s", self->service, error->message);
      self->watch = 0;
      say_away (self);
      read_again (self);
      return;
    }
  for (gsize i = 0; i < n_entries; i++)
    apply_entry (self, &entries[i]);
  self->source.revision = revision;
  if (n_entries > 0)
    commy_source_changed (&self->source, NULL);
}

static gboolean
on_retry (gpointer data)
{
  StoreSource *self = data;

  g_clear_pointer (&self->retry, g_source_unref);
  start_range (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (StoreSource *self)
{
  if (self->retry != NULL)
    return;
  self->retry = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, self->context);
}

static gboolean
on_rested (gpointer data)
{
  StoreSource *self = data;

  g_clear_pointer (&self->rest, g_source_unref);
  return G_SOURCE_REMOVE;
}

/* A store that answers ranges and ends every watch must not be asked without end. */
static void
read_again (StoreSource *self)
{
  if (self->rest != NULL)
    {
      retry_later (self);
      return;
    }
  self->rest = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (self->rest, on_rested, self, NULL);
  g_source_attach (self->rest, self->context);
  start_range (self);
}

static void
on_range (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  StoreSource *self = user_data;

  if (self->is_freed)
    {
      g_free (self);
      return;
    }
  self->source.busy = FALSE;
  if (error != NULL)
    {
      g_message ("the store does not answer for %s: %s", self->service, error->message);
      say_away (self);
      retry_later (self);
      commy_source_settle (&self->source, error);
      return;
    }
  g_hash_table_remove_all (self->source.instances);
  for (gsize i = 0; i < result->n_entries; i++)
    apply_entry (self, &result->entries[i]);
  self->source.revision = result->revision;
  commy_source_changed (&self->source, NULL);
  if (self->watch == 0)
    self->watch = self->ops->watch (self->store->instance, self->prefix, self->source.revision,
                                    on_events, self);
  self->source.live = self->watch != 0;
  commy_source_settle (&self->source, NULL);
}

static void
start_range (StoreSource *self)
{
  if (self->source.busy)
    return;
  self->source.busy = TRUE;
  self->ops->range (self->store->instance, self->prefix, on_range, self);
}

static void
store_refresh (CommySource *source)
{
  start_range ((StoreSource *) source);
}

static void
end_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
store_free (CommySource *source)
{
  StoreSource *self = (StoreSource *) source;

  if (self->watch != 0)
    self->ops->unwatch (self->store->instance, self->watch);
  end_source (&self->retry);
  end_source (&self->rest);
  commy_source_clear (source);
  g_free (self->service);
  g_free (self->prefix);
  self->is_freed = TRUE;
  if (!self->source.busy)
    g_free (self);
}

static CommySource *
store_new (CommyPlugin *store,
           GMainContext *context,
           const char *what,
           char *prefix,
           const CommySourceListener *listener)
{
  static const CommySourceOps ops = { store_refresh, store_free };
  StoreSource *self = g_new0 (StoreSource, 1);

  commy_source_init (&self->source, &ops, listener);
  self->store = store;
  self->ops = &store->ops.store;
  self->context = context;
  self->service = g_strdup (what);
  self->prefix = prefix;
  return &self->source;
}

CommySource *
commy_source_store_new (CommyPlugin *store,
                        GMainContext *context,
                        const char *service,
                        const CommySourceListener *listener)
{
  return store_new (store, context, service, g_strdup_printf (PREFIX "%s/", service), listener);
}

CommySource *
commy_source_store_new_all (CommyPlugin *store,
                            GMainContext *context,
                            const char *beginning,
                            const CommySourceListener *listener)
{
  return store_new (store, context, beginning, g_strconcat (PREFIX, beginning, NULL), listener);
}
