/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store is watched for names of topics; each that a subscription wants is then a service to
 * the registry, with all its sources, and every snapshot of it goes to whom it concerns.
 */
#include "config.h"

#include "mesh/commy-topics.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"
#include "control/commy-source.h"

#include <string.h>

struct _CommyTopics
{
  CommyMesh *mesh;
  CommySource *source;  /* of all topics in the store */
  GHashTable *fixed;    /* names with endpoints in the keyfile */
  GHashTable *there;    /* names in the store now */
  GHashTable *followed; /* names the registry was asked for */
  guint most;
  gboolean is_full; /* and the log says so */
};

typedef struct
{
  CommyTopicWatcher *watcher; /* reference */
  CommySnapshot *snapshot;    /* reference */
} News;

/* --- watchers --- */

CommyTopicWatcher *
commy_topic_watcher_ref (CommyTopicWatcher *watcher)
{
  g_atomic_ref_count_inc (&watcher->refs);
  return watcher;
}

void
commy_topic_watcher_unref (gpointer data)
{
  CommyTopicWatcher *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_weak_ref_clear (&self->subscription);
  commy_topic_counts_unref (self->counts);
  commy_mesh_worker_unref (self->worker);
  g_free (self->pattern);
  g_free (self);
}

/* (transfer full): those of now, as the mesh's lock is not for long */
static GPtrArray *
dup_watchers (CommyMesh *mesh)
{
  GPtrArray *watchers = g_ptr_array_new_with_free_func (commy_topic_watcher_unref);

  g_mutex_lock (&mesh->lock);
  for (guint i = 0; i < mesh->watchers->len; i++)
    g_ptr_array_add (watchers, commy_topic_watcher_ref (mesh->watchers->pdata[i]));
  g_mutex_unlock (&mesh->lock);
  return watchers;
}

gboolean
commy_mesh_subscribes_on (CommyMesh *mesh, const char *topic, CommyMeshWorker *worker)
{
  gboolean found = FALSE;

  g_mutex_lock (&mesh->lock);
  for (guint i = 0; i < mesh->watchers->len && !found; i++)
    {
      CommyTopicWatcher *watcher = mesh->watchers->pdata[i];

      found = watcher->worker == worker && commy_topic_pattern_matches (watcher->pattern, topic);
    }
  g_mutex_unlock (&mesh->lock);
  return found;
}

/* --- telling --- */

static void
tell_here (gpointer data)
{
  News *news = data;
  g_autoptr (GObject) subscription = g_weak_ref_get (&news->watcher->subscription);

  if (subscription != NULL)
    news->watcher->changed (subscription, news->snapshot);
  commy_snapshot_unref (news->snapshot);
  commy_topic_watcher_unref (news->watcher);
  g_free (news);
}

static void
tell (CommyTopicWatcher *watcher, CommySnapshot *snapshot)
{
  News *news = g_new (News, 1);

  news->watcher = commy_topic_watcher_ref (watcher);
  news->snapshot = commy_snapshot_ref (snapshot);
  commy_worker_post (watcher->worker->worker, tell_here, news);
}

static void
tell_all (CommyTopics *self, CommySnapshot *snapshot)
{
  const char *topic = commy_topic_of_endpoint (snapshot->service);
  g_autoptr (GPtrArray) watchers = topic != NULL ? dup_watchers (self->mesh) : NULL;

  for (guint i = 0; watchers != NULL && i < watchers->len; i++)
    {
      CommyTopicWatcher *watcher = watchers->pdata[i];

      if (commy_topic_pattern_matches (watcher->pattern, topic))
        tell (watcher, snapshot);
    }
}

static void
on_snapshot (gpointer data, CommySnapshot *snapshot)
{
  tell_all (data, snapshot);
}

/* --- following --- */

/* Whether the store could be asked shows in the snapshot, and it is asked again. */
static void
on_ensured (gpointer data, const GError *error)
{
}

static void
follow (CommyTopics *self, const char *topic)
{
  g_autofree char *endpoint = g_strconcat (COMMY_TOPIC_PREFIX, topic, NULL);
  g_autoptr (CommySnapshot) snapshot = NULL;

  if (g_hash_table_contains (self->followed, topic))
    return;
  if (g_hash_table_size (self->followed) >= self->most)
    {
      if (!self->is_full)
        g_message ("subscriptions follow %u topics (limit \"topics\"): %s and others are left out",
                   self->most, topic);
      self->is_full = TRUE;
      return;
    }
  g_hash_table_add (self->followed, g_strdup (topic));
  commy_registry_ensure (self->mesh->registry, endpoint, FALSE, on_ensured, NULL);
  /* A client may have asked for it before: then no new snapshot comes. */
  snapshot = commy_registry_lookup (self->mesh->registry, endpoint);
  if (snapshot != NULL)
    tell_all (self, snapshot);
}

static void
follow_for (CommyTopics *self, GHashTable *topics, CommyTopicWatcher *watcher)
{
  GHashTableIter iter;
  gpointer topic;

  g_hash_table_iter_init (&iter, topics);
  while (g_hash_table_iter_next (&iter, &topic, NULL))
    if (commy_topic_pattern_matches (watcher->pattern, topic))
      follow (self, topic);
}

/* Names that are gone: nobody publishes them, which subscriptions are told. */
static void
forget_gone (gpointer data)
{
  g_autoptr (CommyMesh) mesh = data;
  g_autoptr (GPtrArray) watchers = NULL;
  CommyTopics *self = mesh->topics;
  gboolean forgot = FALSE;
  GHashTableIter iter;
  gpointer topic;

  if (self == NULL)
    return;
  g_hash_table_iter_init (&iter, self->followed);
  while (g_hash_table_iter_next (&iter, &topic, NULL))
    {
      g_autofree char *endpoint = g_strconcat (COMMY_TOPIC_PREFIX, (char *) topic, NULL);
      g_autoptr (CommySnapshot) nobody = NULL;

      if (g_hash_table_contains (self->there, topic) || g_hash_table_contains (self->fixed, topic)
          || !commy_registry_forget (mesh->registry, endpoint))
        continue;
      nobody = commy_snapshot_new (endpoint, 0, NULL);
      tell_all (self, nobody);
      g_hash_table_iter_remove (&iter);
      forgot = TRUE;
    }
  if (!forgot || !self->is_full)
    return;
  /* There is room for those that were left out. */
  self->is_full = FALSE;
  watchers = dup_watchers (mesh);
  for (guint i = 0; i < watchers->len; i++)
    follow_for (self, self->there, watchers->pdata[i]);
}

/* --- the store --- */

static void
on_names (gpointer data)
{
  CommyTopics *self = data;
  g_autoptr (GPtrArray) watchers = dup_watchers (self->mesh);
  GHashTableIter iter;
  gpointer id;

  g_hash_table_remove_all (self->there);
  g_hash_table_iter_init (&iter, self->source->instances);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    {
      g_autofree char *topic = g_strndup (id, strcspn (id, "/"));

      if (commy_topic_name_is_valid (topic))
        g_hash_table_add (self->there, g_steal_pointer (&topic));
    }
  for (guint i = 0; i < watchers->len; i++)
    follow_for (self, self->there, watchers->pdata[i]);
  /* Not from inside what the store tells: its watches must not change under its hands. */
  commy_mesh_post (self->mesh, forget_gone, g_object_ref (self->mesh));
}

static void
on_settled (gpointer data, const GError *error)
{
}

/* --- life --- */

static GHashTable *
name_set (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

static void
read_keyfile (CommyTopics *self)
{
  CommyConfig *config = self->mesh->config;
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "service " COMMY_TOPIC_PREFIX);

  for (guint i = 0; i < groups->len; i++)
    {
      const char *topic = (const char *) groups->pdata[i] + strlen ("service " COMMY_TOPIC_PREFIX);

      if (commy_config_get (config, groups->pdata[i], "endpoints") != NULL
          && commy_topic_name_is_valid (topic))
        g_hash_table_add (self->fixed, g_strdup (topic));
    }
}

static CommyTopics *
topics_new (CommyMesh *mesh)
{
  CommyTopics *self = g_new0 (CommyTopics, 1);
  const CommySourceListener listener = { .changed = on_names, .settled = on_settled, .data = self };

  self->mesh = mesh;
  self->most = (guint) commy_config_get_int (mesh->config, "limits", "topics");
  self->fixed = name_set ();
  self->there = name_set ();
  self->followed = name_set ();
  read_keyfile (self);
  commy_registry_set_listener (mesh->registry, on_snapshot, self);
  self->source = commy_source_store_new_all (
      mesh->store, mesh->env, mesh->context, COMMY_TOPIC_PREFIX,
      (guint) commy_config_get_int (mesh->config, "limits", "instances"), &listener);
  return self;
}

void
commy_topics_free (CommyTopics *self)
{
  if (self == NULL)
    return;
  commy_registry_set_listener (self->mesh->registry, NULL, NULL);
  commy_source_free (self->source);
  g_hash_table_unref (self->fixed);
  g_hash_table_unref (self->there);
  g_hash_table_unref (self->followed);
  g_free (self);
}

/* --- subscriptions come and go --- */

typedef struct
{
  CommyMesh *mesh;            /* reference */
  CommyTopicWatcher *watcher; /* reference */
} Coming;

static void
tell_what_is_known (CommyTopics *self, CommyTopicWatcher *watcher)
{
  GHashTableIter iter;
  gpointer topic;

  g_hash_table_iter_init (&iter, self->followed);
  while (g_hash_table_iter_next (&iter, &topic, NULL))
    {
      g_autofree char *endpoint = g_strconcat (COMMY_TOPIC_PREFIX, (char *) topic, NULL);
      g_autoptr (CommySnapshot) snapshot = NULL;

      if (!commy_topic_pattern_matches (watcher->pattern, topic))
        continue;
      snapshot = commy_registry_lookup (self->mesh->registry, endpoint);
      if (snapshot != NULL)
        tell (watcher, snapshot);
    }
}

static void
come_here (gpointer data)
{
  Coming *coming = data;
  CommyMesh *mesh = coming->mesh;

  if (mesh->registry != NULL)
    {
      gboolean first = mesh->topics == NULL;

      if (first)
        mesh->topics = topics_new (mesh);
      follow_for (mesh->topics, mesh->topics->fixed, coming->watcher);
      follow_for (mesh->topics, mesh->topics->there, coming->watcher);
      tell_what_is_known (mesh->topics, coming->watcher);
      if (first)
        commy_source_refresh (mesh->topics->source);
    }
  commy_topic_watcher_unref (coming->watcher);
  g_free (coming);
  g_object_unref (mesh);
}

gboolean
commy_mesh_add_watcher (CommyMesh *mesh, CommyTopicWatcher *watcher, GError **error)
{
  guint most = (guint) commy_config_get_int (mesh->config, "limits", "subscriptions");
  gboolean fits;
  Coming *coming;

  g_mutex_lock (&mesh->lock);
  fits = mesh->watchers->len < most;
  if (fits)
    g_ptr_array_add (mesh->watchers, commy_topic_watcher_ref (watcher));
  g_mutex_unlock (&mesh->lock);
  if (!fits)
    {
      commy_set_error (error, COMMY_ERROR_BUSY,
                       "the mesh has %u subscriptions (limit \"subscriptions\"): close one first",
                       most);
      return FALSE;
    }
  coming = g_new (Coming, 1);
  coming->mesh = g_object_ref (mesh);
  coming->watcher = commy_topic_watcher_ref (watcher);
  commy_mesh_invoke (mesh, come_here, coming);
  return TRUE;
}

void
commy_mesh_remove_watcher (CommyMesh *mesh, CommyTopicWatcher *watcher)
{
  gboolean found;

  g_mutex_lock (&mesh->lock);
  /* Its reference may be the last one of a worker, which takes the lock. */
  found = g_ptr_array_remove_fast (mesh->watchers, watcher);
  g_mutex_unlock (&mesh->lock);
  if (found)
    commy_topic_watcher_unref (watcher);
}
