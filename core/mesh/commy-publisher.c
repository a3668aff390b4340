/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A publisher: an endpoint like a service, whose callers are its subscribers, and one buffer for
 * all of them. What becomes of a publication on its way to one of them is commy-reader.c's.
 */
#include "config.h"

#include "mesh/commy-publisher-private.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"

#include <string.h>
#include <unistd.h>

G_DEFINE_FINAL_TYPE (CommyPublisher, commy_publisher, G_TYPE_OBJECT)

enum
{
  PROP_SUBSCRIBERS = 1,
};

/* --- life --- */

static gboolean
is_here (CommyPublisher *self)
{
  return self->thread == g_thread_self () || commy_worker_is_home (self->worker->worker);
}

static void
unref_here (gpointer data)
{
  g_object_unref (data);
}

/* Inside the worker. */
static void
let_go (CommyPublisher *self)
{
  CommyServiceMethod *method;

  if (self->service == NULL)
    return;
  method = g_hash_table_lookup (self->service->methods, COMMY_TOPIC_METHOD);
  method->user_data = NULL;
  commy_mesh_remove_topic (self->mesh, self->service);
  commy_service_stop (self->service, NULL, NULL, NULL);
  g_clear_object (&self->service);
}

/* The last reference may go on any thread, the readers belong to the worker: there it comes again.
 */
static void
commy_publisher_dispose (GObject *object)
{
  CommyPublisher *self = COMMY_PUBLISHER (object);

  if (self->worker != NULL && !commy_worker_is_inherited (self->worker->worker))
    {
      if (is_here (self))
        commy_publisher_close (self);
      else
        commy_worker_post (self->worker->worker, unref_here, g_object_ref (self));
    }
  G_OBJECT_CLASS (commy_publisher_parent_class)->dispose (object);
}

static void
commy_publisher_finalize (GObject *object)
{
  CommyPublisher *self = COMMY_PUBLISHER (object);

  commy_post_queue_clear (&self->history);
  commy_post_unref (self->spare);
  commy_post_unref (self->building);
  commy_pool_unref (self->pool);
  g_ptr_array_unref (self->readers);
  commy_topic_counts_unref (self->counts);
  g_free (self->endpoint);
  g_free (self->topic);
  /* A forked child touches nothing that its parent uses. */
  if (self->mesh->pid == getpid ())
    {
      g_clear_pointer (&self->worker, commy_mesh_worker_unref);
      g_clear_object (&self->mesh);
    }
  G_OBJECT_CLASS (commy_publisher_parent_class)->finalize (object);
}

static void
commy_publisher_get_property (GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  if (id == PROP_SUBSCRIBERS)
    g_value_set_uint (value, commy_publisher_get_subscribers (COMMY_PUBLISHER (object)));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
}

static void
commy_publisher_class_init (CommyPublisherClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = commy_publisher_dispose;
  object_class->finalize = commy_publisher_finalize;
  object_class->get_property = commy_publisher_get_property;
  /* Described in commy-topic.h, where the scanner looks. */
  g_object_class_install_property (object_class, PROP_SUBSCRIBERS,
                                   g_param_spec_uint ("subscribers", NULL, NULL, 0, G_MAXUINT, 0,
                                                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
commy_publisher_init (CommyPublisher *self)
{
  self->thread = g_thread_self ();
  self->readers = g_ptr_array_new_with_free_func (commy_reader_unref);
  self->counts = commy_topic_counts_new ();
}

CommyPublisher *
commy_publisher_new (CommyMesh *mesh, const char *topic, const CommyPublisherOptions *options)
{
  CommyPublisher *self;
  guint most;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), NULL);
  g_return_val_if_fail (topic != NULL, NULL);
  self = g_object_new (COMMY_TYPE_PUBLISHER, NULL);
  self->mesh = g_object_ref (mesh);
  self->topic = g_strdup (topic);
  self->endpoint = g_strconcat (COMMY_TOPIC_PREFIX, topic, NULL);
  self->options.timeout_us = -1;
  if (options != NULL)
    self->options = *options;
  if (self->options.timeout_us < 0)
    self->options.timeout_us
        = commy_config_get_duration (mesh->config, "limits", "publish-timeout") / 1000;
  commy_env_new_id (mesh->env, self->id);
  most = (guint) commy_config_get_int (mesh->config, "limits", "topic-history");
  commy_post_queue_init (&self->history, MIN (self->options.history, most),
                         commy_config_get_size (mesh->config, "limits", "topic-memory"));
  return self;
}

/* --- subscribers --- */

static void
tell_subscribers (CommyPublisher *self)
{
  guint n = self->readers->len;

  if (self->walking > 0 || self->told == n || commy_worker_in_sync (self->worker->worker))
    return;
  self->told = n;
  g_object_notify (G_OBJECT (self), "subscribers");
}

void
commy_publisher_sweep (CommyPublisher *self)
{
  if (self->walking > 0)
    return;
  for (guint i = self->readers->len; i-- > 0;)
    if (((CommyReader *) self->readers->pdata[i])->ended)
      g_ptr_array_remove_index_fast (self->readers, i);
  __atomic_store_n (&self->counts->peers, self->readers->len, __ATOMIC_RELAXED);
  tell_subscribers (self);
}

static void
refuse (CommyInvocation *invocation, const GError *error)
{
  CommyPipe *pipe = commy_invocation_get_stream (invocation)->pipe;

  commy_pipe_abort (pipe, (guint32) error->code, commy_error_bare (error));
  commy_invocation_return_value (invocation, NULL);
}

static gboolean
may_subscribe (CommyPublisher *self,
               CommyInvocation *invocation,
               CommySubscribeRequest *request,
               GError **error)
{
  guint most;

  if (self == NULL || self->closed)
    {
      commy_set_error (error, COMMY_ERROR_LEAVING, "the publisher was closed");
      return FALSE;
    }
  if (!commy_subscribe_request_read (commy_invocation_get_parameters (invocation), request, error))
    return FALSE;
  most = (guint) commy_config_get_int (self->mesh->config, "limits", "subscribers");
  if (self->readers->len < most)
    return TRUE;
  commy_ledger_add (&self->mesh->ledger, COMMY_DROP_BUSY, 1, self->endpoint);
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%s has %u subscribers already (limit \"subscribers\" of its publisher)",
                   self->topic, most);
  return FALSE;
}

static void
on_subscribe (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (CommyPublisher) self = data != NULL ? g_object_ref (data) : NULL;
  g_autoptr (GError) error = NULL;
  CommySubscribeRequest request;
  CommyReader *reader;

  if (!may_subscribe (self, invocation, &request, &error))
    {
      refuse (invocation, error);
      return;
    }
  reader = commy_reader_new (self, invocation, &request);
  g_ptr_array_add (self->readers, reader);
  commy_publisher_sweep (self);
}

/* --- starting and closing --- */

gboolean
commy_publisher_check (CommyPublisher *self, GError **error)
{
  if (!commy_mesh_check_joined (self->mesh, error))
    return FALSE;
  if (self->thread != g_thread_self ())
    commy_set_error (error, COMMY_ERROR_WRONG_THREAD,
                     "the publisher of %s belongs to the thread that made it", self->topic);
  else if (self->closed)
    commy_set_error (error, COMMY_ERROR_LEAVING, "the publisher of %s was closed", self->topic);
  else if (self->walking > 0)
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "a publication of %s is under way: publish from outside of it", self->topic);
  else if (self->worker == NULL)
    self->worker = commy_mesh_dup_worker_here (self->mesh, error);
  else
    return TRUE;
  return self->worker != NULL && !self->closed && self->thread == g_thread_self ()
         && self->walking == 0;
}

static gboolean
prepare (CommyPublisher *self, GError **error)
{
  if (!commy_publisher_check (self, error))
    return FALSE;
  if (self->service != NULL)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "the publisher of %s is started already", self->topic);
      return FALSE;
    }
  if (!commy_topic_name_is_valid (self->topic))
    {
      g_autofree char *shown = g_strescape (self->topic, NULL);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%.64s\" is no name for a topic (letters, digits, '_', '-' in parts "
                       "joined by '.')",
                       shown);
      return FALSE;
    }
  self->service
      = commy_service_new_for_topic (self->mesh, self->endpoint, self->worker, self->counts);
  commy_service_handle_stream (self->service, COMMY_TOPIC_METHOD, COMMY_STREAM_KIND_SERVER,
                               on_subscribe, self, NULL);
  commy_mesh_add_topic (self->mesh, self->service);
  return TRUE;
}

static void
forget_service (CommyPublisher *self)
{
  commy_worker_enter (self->worker->worker);
  let_go (self);
  commy_worker_exit (self->worker->worker);
}

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GTask) task = data;
  CommyPublisher *self = g_task_get_source_object (task);
  GError *error = NULL;

  if (commy_service_start_finish (COMMY_SERVICE (source), result, &error))
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (self->service == COMMY_SERVICE (source))
    forget_service (self);
  g_task_return_error (task, error);
}

void
commy_publisher_start (CommyPublisher *self,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (COMMY_IS_PUBLISHER (self));
  task = g_task_new (self, cancellable, callback, user_data);
  if (prepare (self, &error))
    {
      commy_service_start (self->service, cancellable, on_started, task);
      return;
    }
  g_task_return_error (task, error);
  g_object_unref (task);
}

gboolean
commy_publisher_start_finish (CommyPublisher *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

gboolean
commy_publisher_start_sync (CommyPublisher *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), FALSE);
  if (!prepare (self, error))
    return FALSE;
  if (commy_service_start_sync (self->service, cancellable, error))
    return TRUE;
  forget_service (self);
  return FALSE;
}

static void
close_here (gpointer data)
{
  commy_publisher_close (data);
  g_object_unref (data);
}

void
commy_publisher_close (CommyPublisher *self)
{
  CommyWorker *worker;

  g_return_if_fail (COMMY_IS_PUBLISHER (self));
  if (self->closed || self->worker == NULL)
    {
      self->closed = TRUE;
      return;
    }
  if (!is_here (self))
    {
      commy_worker_post (self->worker->worker, close_here, g_object_ref (self));
      return;
    }
  worker = commy_worker_hold (self->worker->worker);
  g_object_ref (self);
  self->closed = TRUE;
  commy_worker_enter (worker);
  self->walking++;
  for (guint i = 0; i < self->readers->len; i++)
    commy_reader_end (self->readers->pdata[i], COMMY_DROP_STOPPING, 0, NULL);
  self->walking--;
  g_clear_pointer (&self->pool, commy_pool_unref);
  let_go (self);
  commy_publisher_sweep (self);
  commy_worker_exit (worker);
  g_object_unref (self);
  commy_worker_release (worker);
}

/* --- publishing --- */

/* A thread without a main context: nobody else moves its channels. */
void
commy_publisher_turn (CommyPublisher *self)
{
  CommyWorker *worker = self->worker->worker;

  if (!commy_worker_is_attached (worker))
    commy_worker_turn (worker);
  commy_publisher_sweep (self);
}

void
commy_publisher_spread (CommyPublisher *self, CommyPost *post, gboolean flush)
{
  CommyWorker *worker = self->worker->worker;
  gint64 deadline_ns = commy_env_now (self->mesh->env) + self->options.timeout_us * 1000;
  CommyPost *spare;

  post->sequence = self->counts->published + 1;
  commy_worker_enter_sync (worker);
  if (post->size >= COMMY_POOL_FROM && post->buffer == NULL)
    commy_post_set_pool (post, commy_publisher_get_pool (self));
  self->walking++;
  commy_topic_count (&self->counts->published, 1);
  for (guint i = 0; i < self->readers->len; i++)
    commy_reader_offer (self->readers->pdata[i], post, deadline_ns);
  for (guint i = 0; flush && i < self->readers->len; i++)
    commy_reader_flush (self->readers->pdata[i]);
  spare = commy_post_queue_remember (&self->history, post);
  self->walking--;
  commy_worker_leave_sync (worker);
  if (spare != NULL && spare->buffer != NULL && spare->shared == NULL && self->spare == NULL)
    self->spare = g_steal_pointer (&spare);
  commy_post_unref (spare);
  if (flush)
    commy_publisher_turn (self);
}

static gboolean
may_publish (CommyPublisher *self, gsize size, GError **error)
{
  gsize most = commy_config_get_size (self->mesh->config, "limits", "message");

  if (!commy_publisher_check (self, error))
    return FALSE;
  if (self->building != NULL)
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "a span of %s is reserved: commit or discard it first", self->topic);
  else if (size > most)
    commy_set_error (error, COMMY_ERROR_TOO_BIG,
                     "%" G_GSIZE_FORMAT " bytes are more than the limit \"message\" allows", size);
  else
    return TRUE;
  return FALSE;
}

gboolean
commy_publisher_publish (CommyPublisher *self, GVariant *value, GError **error)
{
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (CommyPost) post = NULL;

  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);
  sunk = g_variant_ref_sink (value);
  if (!may_publish (self, g_variant_get_size (sunk), error))
    return FALSE;
  if (commy_value_has_handles (sunk))
    {
      commy_set_error (error, COMMY_ERROR_TYPE,
                       "a publication of type %s carries handles, which topics do not take",
                       g_variant_get_type_string (sunk));
      return FALSE;
    }
  post = commy_post_new_value (sunk);
  commy_publisher_spread (self, post, TRUE);
  return TRUE;
}

gboolean
commy_publisher_publish_bytes (CommyPublisher *self, GBytes *bytes, GError **error)
{
  g_autoptr (CommyPost) post = NULL;

  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);
  if (!may_publish (self, g_bytes_get_size (bytes), error))
    return FALSE;
  post = commy_post_new_bytes (bytes);
  commy_publisher_spread (self, post, TRUE);
  return TRUE;
}

/* NULL: nobody waits for anything. */
static CommyReader *
find_busy (CommyPublisher *self)
{
  for (guint i = 0; i < self->readers->len; i++)
    {
      CommyReader *reader = self->readers->pdata[i];

      if (!reader->ended && !reader->unable && !commy_reader_is_idle (reader))
        return reader;
    }
  return NULL;
}

gboolean
commy_publisher_drain_sync (CommyPublisher *self, gint64 timeout_us, GError **error)
{
  CommyWorker *worker;
  CommyReader *reader;
  gint64 deadline_ns;

  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), FALSE);
  if (!commy_publisher_check (self, error))
    return FALSE;
  worker = self->worker->worker;
  deadline_ns = commy_env_now (self->mesh->env) + CLAMP (timeout_us, 0, G_MAXINT64 / 4000) * 1000;
  commy_worker_enter_sync (worker);
  self->walking++;
  while ((reader = find_busy (self)) != NULL && commy_reader_wait (reader, deadline_ns))
    commy_reader_pump (reader);
  for (guint i = 0; i < self->readers->len; i++)
    commy_reader_flush (self->readers->pdata[i]);
  self->walking--;
  commy_worker_leave_sync (worker);
  commy_publisher_turn (self);
  if (reader == NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_DEADLINE,
                   "the deadline passed while publications of %s waited for subscribers",
                   self->topic);
  return FALSE;
}

/* --- facts --- */

const char *
commy_publisher_get_topic (CommyPublisher *self)
{
  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), NULL);
  return self->topic;
}

guint
commy_publisher_get_subscribers (CommyPublisher *self)
{
  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), 0);
  return __atomic_load_n (&self->counts->peers, __ATOMIC_RELAXED);
}

guint64
commy_publisher_get_published (CommyPublisher *self)
{
  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), 0);
  return __atomic_load_n (&self->counts->published, __ATOMIC_RELAXED);
}

guint64
commy_publisher_get_dropped (CommyPublisher *self)
{
  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), 0);
  return __atomic_load_n (&self->counts->dropped, __ATOMIC_RELAXED);
}

GVariant *
commy_publisher_list_subscribers (CommyPublisher *self)
{
  GVariantBuilder builder;

  g_return_val_if_fail (COMMY_IS_PUBLISHER (self), NULL);
  g_return_val_if_fail (self->worker == NULL || is_here (self), NULL);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->readers->len; i++)
    {
      CommyReader *reader = self->readers->pdata[i];

      if (!reader->ended)
        g_variant_builder_add_value (&builder, commy_reader_describe (reader));
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
