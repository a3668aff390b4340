/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A subscription: a feed for every publisher whose topic matches, and the application's function,
 * which runs in the context where it was made.
 */
#include "config.h"

#include "mesh/commy-subscription-private.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"

#include <string.h>
#include <unistd.h>

G_DEFINE_FINAL_TYPE (CommySubscription, commy_subscription, G_TYPE_OBJECT)

typedef struct
{
  GSource source;
  CommySubscription *subscription; /* borrowed: it destroys the source */
} DeliverySource;

enum
{
  PUBLISHER_ADDED,
  PUBLISHER_REMOVED,
  LOST,
  N_SIGNALS
};

static const char *const signal_names[N_SIGNALS]
    = { "publisher-added", "publisher-removed", "lost" };

/* --- life --- */

static gboolean
is_here (CommySubscription *self)
{
  return self->thread == g_thread_self () || commy_worker_is_home (self->watcher->worker->worker);
}

static void
unref_here (gpointer data)
{
  g_object_unref (data);
}

/* The last reference may go on any thread, the feeds belong to the worker: there it comes again. */
static void
commy_subscription_dispose (GObject *object)
{
  CommySubscription *self = COMMY_SUBSCRIPTION (object);
  CommyWorker *worker = self->watcher->worker->worker;

  if (!self->closed && !commy_worker_is_inherited (worker))
    {
      if (is_here (self))
        commy_subscription_close (self);
      else
        commy_worker_post (worker, unref_here, g_object_ref (self));
    }
  G_OBJECT_CLASS (commy_subscription_parent_class)->dispose (object);
}

static void
commy_subscription_finalize (GObject *object)
{
  CommySubscription *self = COMMY_SUBSCRIPTION (object);

  /* A forked child touches nothing that its parent uses. */
  if (self->mesh->pid == getpid ())
    {
      g_clear_pointer (&self->feeds, g_hash_table_unref);
      commy_topic_watcher_unref (self->watcher);
      commy_subscribe_options_free (self->options);
      g_clear_object (&self->mesh);
    }
  G_OBJECT_CLASS (commy_subscription_parent_class)->finalize (object);
}

static void
commy_subscription_class_init (CommySubscriptionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = commy_subscription_dispose;
  object_class->finalize = commy_subscription_finalize;
  /* Described in commy-topic.h, where the scanner looks. */
  g_signal_new (signal_names[PUBLISHER_ADDED], COMMY_TYPE_SUBSCRIPTION, G_SIGNAL_RUN_LAST, 0, NULL,
                NULL, NULL, G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
  g_signal_new (signal_names[PUBLISHER_REMOVED], COMMY_TYPE_SUBSCRIPTION, G_SIGNAL_RUN_LAST, 0,
                NULL, NULL, NULL, G_TYPE_NONE, 3, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_ERROR);
  g_signal_new (signal_names[LOST], COMMY_TYPE_SUBSCRIPTION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 4, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_UINT64, G_TYPE_STRING);
}

static void
drop_feed (gpointer data)
{
  commy_feed_close (data);
  commy_feed_unref (data);
}

static void
commy_subscription_init (CommySubscription *self)
{
  self->thread = g_thread_self ();
  self->feeds = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, drop_feed);
}

/* --- what is scheduled --- */

/* (transfer full): what the application does meanwhile may change them */
static GPtrArray *
dup_feeds (CommySubscription *self)
{
  GPtrArray *feeds = g_ptr_array_new_with_free_func (commy_feed_unref);
  GHashTableIter iter;
  gpointer feed;

  g_hash_table_iter_init (&iter, self->feeds);
  while (g_hash_table_iter_next (&iter, NULL, &feed))
    g_ptr_array_add (feeds, commy_feed_ref (feed));
  return feeds;
}

static gboolean
dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  g_autoptr (CommySubscription) self = g_object_ref (((DeliverySource *) source)->subscription);
  CommyWorker *worker = commy_worker_hold (self->watcher->worker->worker);
  g_autoptr (GPtrArray) feeds = dup_feeds (self);

  g_source_set_ready_time (source, -1);
  commy_worker_enter (worker);
  for (guint i = 0; i < feeds->len; i++)
    {
      CommyFeed *feed = feeds->pdata[i];

      if (feed->scheduled && feed->subscription != NULL)
        commy_feed_deliver (feed);
    }
  commy_worker_exit (worker);
  commy_worker_release (worker);
  return G_SOURCE_CONTINUE;
}

/* lint: allow-static GLib takes it writable; nothing writes it */
static GSourceFuncs source_funcs = { NULL, NULL, dispatch, NULL, NULL, NULL };

void
commy_subscription_schedule (CommySubscription *self, CommyFeed *feed)
{
  feed->scheduled = TRUE;
  g_source_set_ready_time (self->source, 0);
}

static void
attach (CommySubscription *self)
{
  self->source = g_source_new (&source_funcs, sizeof (DeliverySource));
  ((DeliverySource *) self->source)->subscription = self;
  g_source_set_name (self->source, "commy subscription");
  g_source_attach (self->source, commy_worker_get_context (self->watcher->worker->worker));
}

/* --- what feeds tell --- */

static void
release_user_data (CommySubscription *self)
{
  GDestroyNotify destroy = g_steal_pointer (&self->destroy);

  if (destroy != NULL)
    destroy (self->user_data);
}

/* The application runs between these; its data lives until the last of them is over. */
static void
enter_application (CommySubscription *self)
{
  g_object_ref (self);
  self->delivering++;
}

static void
leave_application (CommySubscription *self)
{
  if (--self->delivering == 0 && self->closed)
    release_user_data (self);
  g_object_unref (self);
}

void
commy_subscription_give (CommySubscription *self, CommyPublication *publication)
{
  commy_topic_count (&self->watcher->counts->published, 1);
  enter_application (self);
  self->func (self, publication, self->user_data);
  leave_application (self);
}

void
commy_subscription_tell_lost (CommySubscription *self,
                              CommyFeed *feed,
                              guint64 count,
                              CommyDrop reason)
{
  commy_topic_count (&self->watcher->counts->dropped, count);
  enter_application (self);
  g_signal_emit_by_name (self, signal_names[LOST], feed->topic, feed->publisher, count,
                         commy_drop_to_string (reason));
  leave_application (self);
}

void
commy_subscription_tell_added (CommySubscription *self, CommyFeed *feed)
{
  enter_application (self);
  g_signal_emit_by_name (self, signal_names[PUBLISHER_ADDED], feed->topic, feed->publisher);
  leave_application (self);
}

void
commy_subscription_tell_removed (CommySubscription *self, CommyFeed *feed, const GError *error)
{
  enter_application (self);
  g_signal_emit_by_name (self, signal_names[PUBLISHER_REMOVED], feed->topic,
                         feed->publisher != NULL ? feed->publisher : "", error);
  leave_application (self);
}

/* --- publishers come and go --- */

static char *
key_of (const char *topic, const char *instance)
{
  return g_strconcat (topic, "/", instance, NULL);
}

void
commy_subscription_drop_feed (CommySubscription *self, CommyFeed *feed)
{
  g_autofree char *key = key_of (feed->topic, feed->instance);

  g_hash_table_remove (self->feeds, key);
}

static gboolean
is_listed (const CommySnapshot *snapshot, const char *instance)
{
  for (guint i = 0; i < snapshot->instances->len; i++)
    if (strcmp (((CommyInstance *) snapshot->instances->pdata[i])->id, instance) == 0)
      return TRUE;
  return FALSE;
}

static void
look_at_feeds (CommySubscription *self, const CommySnapshot *snapshot, const char *topic)
{
  g_autoptr (GPtrArray) feeds = dup_feeds (self);

  for (guint i = 0; i < feeds->len; i++)
    {
      CommyFeed *feed = feeds->pdata[i];

      if (strcmp (feed->topic, topic) == 0
          && commy_feed_set_known (feed, is_listed (snapshot, feed->instance)))
        commy_subscription_drop_feed (self, feed);
    }
}

/* On the worker, with each new snapshot. */
static void
on_snapshot (gpointer data, CommySnapshot *snapshot)
{
  CommySubscription *self = data;
  const char *topic = commy_topic_of_endpoint (snapshot->service);

  if (self->closed)
    return;
  look_at_feeds (self, snapshot, topic);
  for (guint i = 0; i < snapshot->instances->len; i++)
    {
      const CommyInstance *instance = snapshot->instances->pdata[i];
      g_autofree char *key = key_of (topic, instance->id);

      if (!g_hash_table_contains (self->feeds, key))
        g_hash_table_insert (self->feeds, g_steal_pointer (&key),
                             commy_feed_new (self, topic, instance->id));
    }
}

/* --- subscribing --- */

static gboolean
may_subscribe (CommyMesh *mesh, const char *pattern, GError **error)
{
  g_autofree char *shown = NULL;

  if (!commy_mesh_check_joined (mesh, error))
    return FALSE;
  if (commy_topic_pattern_is_valid (pattern))
    return TRUE;
  shown = g_strescape (pattern, NULL);
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "\"%.64s\" is no pattern of topics (letters, digits, '_', '-' in parts joined "
                   "by '.'; a part may be \"*\", the last one \"**\")",
                   shown);
  return FALSE;
}

static CommyTopicWatcher *
watcher_new (CommySubscription *self, const char *pattern, CommyMeshWorker *worker)
{
  CommyTopicWatcher *watcher = g_new0 (CommyTopicWatcher, 1);

  g_atomic_ref_count_init (&watcher->refs);
  watcher->pattern = g_strdup (pattern);
  watcher->worker = commy_mesh_worker_ref (worker);
  watcher->counts = commy_topic_counts_new ();
  watcher->changed = on_snapshot;
  g_weak_ref_init (&watcher->subscription, self);
  return watcher;
}

CommySubscription *
commy_mesh_subscribe (CommyMesh *mesh,
                      const char *pattern,
                      const CommySubscribeOptions *options,
                      CommyPublicationFunc func,
                      gpointer user_data,
                      GDestroyNotify destroy,
                      GError **error)
{
  g_autoptr (CommyMeshWorker) worker = NULL;
  CommySubscription *self;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), NULL);
  g_return_val_if_fail (pattern != NULL && func != NULL, NULL);
  if (may_subscribe (mesh, pattern, error))
    worker = commy_mesh_dup_worker_here (mesh, error);
  if (worker != NULL && !commy_worker_is_attached (worker->worker))
    {
      g_clear_pointer (&worker, commy_mesh_worker_unref);
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "this thread has no main context of its own: push one as thread default");
    }
  if (worker == NULL)
    {
      if (destroy != NULL)
        destroy (user_data);
      return NULL;
    }
  self = g_object_new (COMMY_TYPE_SUBSCRIPTION, NULL);
  self->mesh = g_object_ref (mesh);
  self->options
      = options != NULL ? commy_subscribe_options_copy (options) : commy_subscribe_options_new ();
  self->watcher = watcher_new (self, pattern, worker);
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  attach (self);
  if (commy_mesh_add_watcher (mesh, self->watcher, error))
    return self;
  g_object_unref (self);
  return NULL;
}

void
commy_subscription_close (CommySubscription *self)
{
  CommyWorker *worker;

  g_return_if_fail (COMMY_IS_SUBSCRIPTION (self));
  g_return_if_fail (is_here (self));
  if (self->closed)
    return;
  self->closed = TRUE;
  worker = commy_worker_hold (self->watcher->worker->worker);
  commy_mesh_remove_watcher (self->mesh, self->watcher);
  commy_worker_enter (worker);
  g_hash_table_remove_all (self->feeds);
  g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  if (self->delivering == 0)
    release_user_data (self);
  commy_worker_exit (worker);
  commy_worker_release (worker);
}

/* --- facts --- */

const char *
commy_subscription_get_pattern (CommySubscription *self)
{
  g_return_val_if_fail (COMMY_IS_SUBSCRIPTION (self), NULL);
  return self->watcher->pattern;
}

guint
commy_subscription_get_publishers (CommySubscription *self)
{
  g_return_val_if_fail (COMMY_IS_SUBSCRIPTION (self), 0);
  return __atomic_load_n (&self->watcher->counts->peers, __ATOMIC_RELAXED);
}

guint64
commy_subscription_get_received (CommySubscription *self)
{
  g_return_val_if_fail (COMMY_IS_SUBSCRIPTION (self), 0);
  return __atomic_load_n (&self->watcher->counts->published, __ATOMIC_RELAXED);
}

guint64
commy_subscription_get_lost (CommySubscription *self)
{
  g_return_val_if_fail (COMMY_IS_SUBSCRIPTION (self), 0);
  return __atomic_load_n (&self->watcher->counts->dropped, __ATOMIC_RELAXED);
}
