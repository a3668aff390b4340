/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry on the mesh thread: a range, then a watch from its revision, for every service
 * that somebody uses. When the store goes away the last snapshot stays, marked stale, and the
 * range is tried again every second.
 */
#include "config.h"

#include "control/commy-registry.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"

#include <string.h>

#define PREFIX "services/"
#define LEASE_TTL_NS G_GINT64_CONSTANT (2000000000)
#define RETRY_MS 1000u

typedef struct
{
  CommyRegistryFunc func;
  gpointer data;
} Waiter;

typedef struct
{
  CommyRegistry *registry;
  char *service;
  char *prefix;
  GHashTable *instances; /* id -> CommyInstance */
  gint64 revision;
  guint watch;      /* 0: none */
  gboolean ranging; /* a range is under way */
  GSource *retry;
  GArray *waiters;
} Watched;

struct _CommyRegistry
{
  CommyPlugin *store;
  const CommyStoreOps *ops;
  GMainContext *context;
  gint64 lease;
  GHashTable *watched; /* service -> Watched */
  void (*survey) (gpointer data, CommySnapshot *snapshot);
  gpointer survey_data;
  GMutex lock;           /* of snapshots */
  GHashTable *snapshots; /* service -> CommySnapshot */
  guint32 epoch;         /* atomic */
};

typedef struct
{
  CommyRegistry *registry;
  CommyRegistryFunc func;
  CommyRegistryListFunc list_func;
  gpointer data;
  GPatternSpec *pattern;
} Operation;

static void start_range (Watched *watched);

/* --- snapshots --- */

static int
compare_instances (gconstpointer a, gconstpointer b)
{
  const CommyInstance *const *x = a;
  const CommyInstance *const *y = b;

  return strcmp ((*x)->id, (*y)->id);
}

static void
publish (Watched *watched, gboolean stale)
{
  CommyRegistry *self = watched->registry;
  CommySnapshot *snapshot = commy_snapshot_new (watched->service, watched->revision, stale);
  GHashTableIter iter;
  gpointer instance;

  g_hash_table_iter_init (&iter, watched->instances);
  while (g_hash_table_iter_next (&iter, NULL, &instance))
    g_ptr_array_add (snapshot->instances, commy_instance_ref (instance));
  g_ptr_array_sort (snapshot->instances, compare_instances);
  if (self->survey != NULL)
    self->survey (self->survey_data, snapshot);
  g_mutex_lock (&self->lock);
  g_hash_table_replace (self->snapshots, g_strdup (watched->service), snapshot);
  g_mutex_unlock (&self->lock);
  __atomic_add_fetch (&self->epoch, 1, __ATOMIC_RELEASE);
}

CommySnapshot *
commy_registry_lookup (CommyRegistry *self, const char *service)
{
  CommySnapshot *snapshot;

  g_mutex_lock (&self->lock);
  snapshot = g_hash_table_lookup (self->snapshots, service);
  if (snapshot != NULL)
    commy_snapshot_ref (snapshot);
  g_mutex_unlock (&self->lock);
  return snapshot;
}

guint32
commy_registry_get_epoch (CommyRegistry *registry)
{
  return __atomic_load_n (&registry->epoch, __ATOMIC_ACQUIRE);
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

static CommyInstance *
read_entry (const CommyStoreEntry *entry)
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
apply_entry (Watched *watched, const CommyStoreEntry *entry)
{
  CommyInstance *instance;
  const char *id = entry->key + strlen (watched->prefix);

  if (!g_str_has_prefix (entry->key, watched->prefix))
    return;
  instance = entry->value != NULL ? read_entry (entry) : NULL;
  if (instance != NULL)
    g_hash_table_replace (watched->instances, g_strdup (id), instance);
  else
    g_hash_table_remove (watched->instances, id);
}

/* --- watching --- */

static void
answer_waiters (Watched *watched, const GError *error)
{
  g_autoptr (GArray) waiters = g_steal_pointer (&watched->waiters);

  watched->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  for (guint i = 0; i < waiters->len; i++)
    {
      Waiter *waiter = &g_array_index (waiters, Waiter, i);

      waiter->func (waiter->data, error);
    }
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  Watched *watched = user_data;

  if (error != NULL)
    {
      g_message ("discovery of %s reads the store again: %s", watched->service, error->message);
      watched->watch = 0;
      publish (watched, TRUE);
      start_range (watched);
      return;
    }
  for (gsize i = 0; i < n_entries; i++)
    apply_entry (watched, &entries[i]);
  watched->revision = revision;
  if (n_entries > 0)
    publish (watched, FALSE);
}

static gboolean
on_retry (gpointer data)
{
  Watched *watched = data;

  g_clear_pointer (&watched->retry, g_source_unref);
  start_range (watched);
  return G_SOURCE_REMOVE;
}

static void
retry_later (Watched *watched)
{
  if (watched->retry != NULL)
    return;
  watched->retry = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (watched->retry, on_retry, watched, NULL);
  g_source_attach (watched->retry, watched->registry->context);
}

static void
on_range (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Watched *watched = user_data;
  CommyRegistry *self = watched->registry;

  watched->ranging = FALSE;
  if (error != NULL)
    {
      g_message ("the store does not answer for %s: %s", watched->service, error->message);
      publish (watched, TRUE);
      retry_later (watched);
      answer_waiters (watched, error);
      return;
    }
  g_hash_table_remove_all (watched->instances);
  for (gsize i = 0; i < result->n_entries; i++)
    apply_entry (watched, &result->entries[i]);
  watched->revision = result->revision;
  publish (watched, FALSE);
  if (watched->watch == 0)
    watched->watch = self->ops->watch (self->store->instance, watched->prefix, watched->revision,
                                       on_events, watched);
  answer_waiters (watched, NULL);
}

static void
start_range (Watched *watched)
{
  CommyRegistry *self = watched->registry;

  if (watched->ranging)
    return;
  watched->ranging = TRUE;
  self->ops->range (self->store->instance, watched->prefix, on_range, watched);
}

static void
watched_free (gpointer data)
{
  Watched *watched = data;
  CommyRegistry *self = watched->registry;

  if (watched->watch != 0)
    self->ops->unwatch (self->store->instance, watched->watch);
  if (watched->retry != NULL)
    {
      g_source_destroy (watched->retry);
      g_source_unref (watched->retry);
    }
  g_hash_table_unref (watched->instances);
  g_array_unref (watched->waiters);
  g_free (watched->service);
  g_free (watched->prefix);
  g_free (watched);
}

static Watched *
watched_new (CommyRegistry *self, const char *service)
{
  Watched *watched = g_new0 (Watched, 1);

  watched->registry = self;
  watched->service = g_strdup (service);
  watched->prefix = g_strdup_printf (PREFIX "%s/", service);
  watched->instances = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify) commy_instance_unref);
  watched->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  g_hash_table_insert (self->watched, watched->service, watched);
  return watched;
}

void
commy_registry_ensure (
    CommyRegistry *self, const char *service, gboolean fresh, CommyRegistryFunc done, gpointer data)
{
  Watched *watched = g_hash_table_lookup (self->watched, service);
  Waiter waiter = { done, data };

  if (watched != NULL && watched->watch != 0 && !fresh)
    {
      done (data, NULL);
      return;
    }
  if (watched == NULL)
    watched = watched_new (self, service);
  g_array_append_val (watched->waiters, waiter);
  start_range (watched);
}

/* --- our own instances --- */

static void
operation_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;

  operation->func (operation->data, error);
  g_free (operation);
}

static void
lease_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;

  if (error == NULL)
    operation->registry->lease = result->lease;
  operation_done (user_data, result, error);
}

static Operation *
operation_new (CommyRegistry *self, CommyRegistryFunc func, gpointer data)
{
  Operation *operation = g_new0 (Operation, 1);

  operation->registry = self;
  operation->func = func;
  operation->data = data;
  return operation;
}

void
commy_registry_start (CommyRegistry *self, CommyRegistryFunc done, gpointer data)
{
  self->ops->grant (self->store->instance, LEASE_TTL_NS, lease_done,
                    operation_new (self, done, data));
}

void
commy_registry_add (CommyRegistry *self,
                    CommyInstance *instance,
                    CommyRegistryFunc done,
                    gpointer data)
{
  g_autofree char *key = g_strdup_printf (PREFIX "%s/%s", instance->service, instance->id);
  char *text = commy_instance_write (instance);
  g_autoptr (GBytes) value = g_bytes_new_take (text, strlen (text));
  CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = key, .value = value, .lease = self->lease };
  g_autoptr (GError) error = NULL;

  if (COMMY_FAILPOINT ("registry-add"))
    {
      commy_set_error (&error, COMMY_ERROR_STORE, "fail point registry-add");
      done (data, error);
      return;
    }
  self->ops->txn (self->store->instance, NULL, 0, &op, 1, operation_done,
                  operation_new (self, done, data));
}

void
commy_registry_remove (CommyRegistry *self,
                       CommyInstance *instance,
                       CommyRegistryFunc done,
                       gpointer data)
{
  g_autofree char *key = g_strdup_printf (PREFIX "%s/%s", instance->service, instance->id);
  CommyStoreOp op = { .kind = COMMY_STORE_DELETE, .key = key };

  self->ops->txn (self->store->instance, NULL, 0, &op, 1, operation_done,
                  operation_new (self, done, data));
}

/* --- listing --- */

static void
list_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  g_autoptr (GPtrArray) instances
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_instance_unref);

  for (gsize i = 0; error == NULL && i < result->n_entries; i++)
    {
      g_autoptr (CommyInstance) instance = read_entry (&result->entries[i]);

      if (instance != NULL
          && (operation->pattern == NULL
              || g_pattern_spec_match_string (operation->pattern, instance->service)))
        g_ptr_array_add (instances, g_steal_pointer (&instance));
    }
  operation->list_func (operation->data, instances, error);
  g_clear_pointer (&operation->pattern, g_pattern_spec_free);
  g_free (operation);
}

void
commy_registry_list (CommyRegistry *self,
                     const char *pattern,
                     CommyRegistryListFunc done,
                     gpointer data)
{
  Operation *operation = operation_new (self, NULL, data);

  operation->list_func = done;
  operation->pattern = pattern != NULL ? g_pattern_spec_new (pattern) : NULL;
  self->ops->range (self->store->instance, PREFIX, list_done, operation);
}

void
commy_registry_suspect (CommyRegistry *self, gint64 lease)
{
  if (lease != 0 && lease != self->lease)
    self->ops->suspect (self->store->instance, lease);
}

/* --- life --- */

void
commy_registry_set_surveyor (CommyRegistry *self,
                             void (*survey) (gpointer data, CommySnapshot *snapshot),
                             gpointer data)
{
  self->survey = survey;
  self->survey_data = data;
}

CommyRegistry *
commy_registry_new (CommyPlugin *store, GMainContext *context)
{
  CommyRegistry *self = g_new0 (CommyRegistry, 1);

  self->store = store;
  self->ops = &store->ops.store;
  self->context = context;
  /* Routes outlive a registry: one decided from the last must not look fresh. */
  self->epoch = g_random_int ();
  self->watched = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, watched_free);
  g_mutex_init (&self->lock);
  self->snapshots = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) commy_snapshot_unref);
  return self;
}

/* Who still waits for the store hears that nothing comes. */
static void
dismiss_waiters (CommyRegistry *self)
{
  g_autoptr (GList) all = g_hash_table_get_values (self->watched);
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  for (GList *l = all; l != NULL; l = l->next)
    answer_waiters (l->data, error);
}

void
commy_registry_free (CommyRegistry *self)
{
  if (self == NULL)
    return;
  dismiss_waiters (self);
  g_hash_table_unref (self->watched);
  g_hash_table_unref (self->snapshots);
  g_mutex_clear (&self->lock);
  g_free (self);
}
