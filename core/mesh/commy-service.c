/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service: its methods, where their handlers run, offering and stopping. The mesh thread
 * does what concerns the store; handlers run on the service's workers.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "control/commy-resilience.h"
#include "mesh/commy-farewell.h"
#include "mesh/commy-interface-check.h"
#include "mesh/commy-node-report.h"
#include "mesh/commy-service-private.h"

#include <string.h>
#include <unistd.h>

#define DRAIN_MS 5000u /* a drain of the mesh says otherwise */
#define NS_PER_MS G_GINT64_CONSTANT (1000000)

G_DEFINE_FINAL_TYPE (CommyService, commy_service, G_TYPE_OBJECT)

static void
method_free (gpointer data)
{
  CommyServiceMethod *method = data;

  if (method->destroy != NULL)
    method->destroy (method->user_data);
  g_clear_pointer (&method->in_type, g_variant_type_free);
  g_clear_pointer (&method->out_type, g_variant_type_free);
  g_clear_pointer (&method->stream_in, g_variant_type_free);
  g_clear_pointer (&method->stream_out, g_variant_type_free);
  commy_shed_free (method->shed);
  commy_service_rate_free (method->rate);
  g_free (method->name);
  g_free (method);
}

static void
commy_service_finalize (GObject *object)
{
  CommyService *self = COMMY_SERVICE (object);

  if (self->mesh->pid != getpid ())
    {
      /* A forked child touches nothing that its parent uses. */
      G_OBJECT_CLASS (commy_service_parent_class)->finalize (object);
      return;
    }
  g_hash_table_unref (self->methods);
  g_clear_pointer (&self->describe, method_free);
  commy_service_rate_free (self->rate);
  g_ptr_array_unref (self->threads);
  g_ptr_array_unref (self->stop_tasks);
  g_clear_pointer (&self->instance, commy_instance_unref);
  g_clear_pointer (&self->interface, g_dbus_interface_info_unref);
  commy_service_facts_clear (&self->facts);
  commy_topic_counts_unref (self->counts);
  g_clear_pointer (&self->home, commy_mesh_worker_unref);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self->name);
  if (!self->internal)
    g_clear_object (&self->mesh);
  G_OBJECT_CLASS (commy_service_parent_class)->finalize (object);
}

static void
commy_service_class_init (CommyServiceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = commy_service_finalize;
}

/* --- making --- */

static void
commy_service_init (CommyService *self)
{
  g_mutex_init (&self->lock);
  self->workers = -1;
  self->drain_ms = DRAIN_MS;
  self->methods = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, method_free);
  self->threads = g_ptr_array_new_with_free_func (commy_service_thread_free);
  self->stop_tasks = g_ptr_array_new_with_free_func (g_object_unref);
}

/* What clients ask that were written for another interface. */
static void
on_describe (CommyService *self, CommyInvocation *invocation, gpointer data)
{
  g_autofree char *xml = commy_node_report_dup_xml (self->interface);

  commy_invocation_return_value (invocation, g_variant_new ("(s)", xml));
}

CommyService *
commy_service_new_internal (CommyMesh *mesh,
                            const char *name,
                            GDBusInterfaceInfo *interface,
                            GMainContext *context)
{
  CommyService *self = g_object_new (COMMY_TYPE_SERVICE, NULL);

  self->internal = context == mesh->context;
  self->mesh = self->internal ? mesh : g_object_ref (mesh);
  self->name = g_strdup (name);
  self->context = g_main_context_ref (context);
  self->rate = commy_service_rate_new (mesh->config, name, NULL);
  if (interface == NULL)
    return self;
  self->interface = g_dbus_interface_info_ref (interface);
  self->describe = g_new0 (CommyServiceMethod, 1);
  self->describe->name = g_strdup (COMMY_INTERFACE_METHOD);
  self->describe->func = on_describe;
  return self;
}

CommyService *
commy_service_new_for_topic (CommyMesh *mesh,
                             const char *endpoint,
                             CommyMeshWorker *home,
                             CommyTopicCounts *counts)
{
  CommyService *self
      = commy_service_new_internal (mesh, endpoint, NULL, commy_worker_get_context (home->worker));

  self->counts = commy_topic_counts_ref (counts);
  self->home = commy_mesh_worker_ref (home);
  return self;
}

CommyService *
commy_service_new (CommyMesh *mesh, const char *name, GDBusInterfaceInfo *interface)
{
  g_autoptr (GMainContext) context = NULL;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), NULL);
  g_return_val_if_fail (name != NULL, NULL);
  context = g_main_context_ref_thread_default ();
  return commy_service_new_internal (mesh, name, interface, context);
}

static GVariantType *
tuple_of (GDBusArgInfo **args)
{
  GString *text = g_string_new ("(");
  GVariantType *type;

  for (guint i = 0; args != NULL && args[i] != NULL; i++)
    g_string_append (text, args[i]->signature);
  g_string_append_c (text, ')');
  type = g_variant_type_new (text->str);
  g_string_free (text, TRUE);
  return type;
}

/* The type of messages that an annotation of the method names. */
static GVariantType *
annotated_type (CommyServiceMethod *method, const char *annotation)
{
  const char *text = g_dbus_annotation_info_lookup (method->info->annotations, annotation);

  if (text == NULL)
    return NULL;
  if (g_variant_type_string_is_valid (text))
    return g_variant_type_new (text);
  g_critical ("%s: \"%s\" of %s is not a type", method->name, text, annotation);
  return NULL;
}

static void
read_annotations (CommyServiceMethod *method)
{
  const char *text = g_dbus_annotation_info_lookup (method->info->annotations, "org.commy.Stream");

  if (g_strcmp0 (text, "client") == 0)
    method->kind = COMMY_STREAM_KIND_CLIENT;
  else if (g_strcmp0 (text, "server") == 0)
    method->kind = COMMY_STREAM_KIND_SERVER;
  else if (g_strcmp0 (text, "both") == 0)
    method->kind = COMMY_STREAM_KIND_BOTH;
  else if (text != NULL)
    g_critical ("%s: org.commy.Stream is client, server or both, not \"%s\"", method->name, text);
  method->stream_in = annotated_type (method, "org.commy.Stream.In");
  method->stream_out = annotated_type (method, "org.commy.Stream.Out");
}

static CommyServiceMethod *
add_method (CommyService *self, const char *name, gpointer user_data, GDestroyNotify destroy)
{
  CommyServiceMethod *method = g_new0 (CommyServiceMethod, 1);
  const CommyDeadlinePolicy deadline
      = commy_resilience_read_deadline (self->mesh->config, self->name, name);

  method->name = g_strdup (name);
  method->user_data = user_data;
  method->destroy = destroy;
  method->shed = commy_shed_new (&deadline);
  method->rate = commy_service_rate_new (self->mesh->config, self->name, name);
  if (self->interface != NULL)
    method->info = g_dbus_interface_info_lookup_method (self->interface, name);
  if (method->info != NULL)
    {
      method->in_type = tuple_of (method->info->in_args);
      method->out_type = tuple_of (method->info->out_args);
      read_annotations (method);
    }
  g_hash_table_replace (self->methods, method->name, method);
  return method;
}

void
commy_service_handle (CommyService *self,
                      const char *method,
                      CommyCallFunc func,
                      gpointer user_data,
                      GDestroyNotify destroy)
{
  g_return_if_fail (COMMY_IS_SERVICE (self) && method != NULL && func != NULL);
  g_return_if_fail (self->state == COMMY_SERVICE_IDLE);
  add_method (self, method, user_data, destroy)->func = func;
}

void
commy_service_handle_stream (CommyService *self,
                             const char *method,
                             CommyStreamKind kind,
                             CommyCallFunc func,
                             gpointer user_data,
                             GDestroyNotify destroy)
{
  CommyServiceMethod *entry;

  g_return_if_fail (COMMY_IS_SERVICE (self) && method != NULL && func != NULL);
  g_return_if_fail (kind >= COMMY_STREAM_KIND_CLIENT && kind <= COMMY_STREAM_KIND_BOTH);
  g_return_if_fail (self->state == COMMY_SERVICE_IDLE);
  entry = add_method (self, method, user_data, destroy);
  if (entry->kind != 0 && entry->kind != kind)
    g_critical ("%s: the interface says another kind of stream; it is followed", method);
  else
    entry->kind = kind;
  entry->func = func;
}

void
commy_service_handle_span (CommyService *self,
                           const char *method,
                           CommySpanFunc func,
                           gpointer user_data,
                           GDestroyNotify destroy)
{
  g_return_if_fail (COMMY_IS_SERVICE (self) && method != NULL && func != NULL);
  g_return_if_fail (self->state == COMMY_SERVICE_IDLE);
  add_method (self, method, user_data, destroy)->span_func = func;
}

void
commy_service_set_workers (CommyService *self, guint threads)
{
  g_return_if_fail (COMMY_IS_SERVICE (self));
  g_return_if_fail (self->state == COMMY_SERVICE_IDLE);
  self->workers = (gint) MIN (threads, COMMY_SERVICE_MAX_WORKERS);
}

const char *
commy_service_get_instance_id (CommyService *self)
{
  g_return_val_if_fail (COMMY_IS_SERVICE (self), NULL);
  return self->instance != NULL ? self->instance->id : NULL;
}

/* --- what channels ask --- */

static gpointer
on_resolve (gpointer data, const char *name)
{
  CommyService *self = data;
  gpointer method = g_hash_table_lookup (self->methods, name);

  /* A handler of the application's own goes first. */
  return method == NULL && strcmp (name, COMMY_INTERFACE_METHOD) == 0 ? self->describe : method;
}

static void
on_call (gpointer data, CommyChannel *channel, gpointer method, CommyIncoming *incoming)
{
  CommyService *self = data;
  CommyServiceMethod *entry = method;

  if (!commy_invocation_fits_kind (self, channel, entry, incoming))
    return;
  /* Clients ask by themselves what the interface is. */
  if (G_UNLIKELY (self->rate != NULL || entry->rate != NULL) && entry != self->describe
      && !commy_invocation_is_within_rate (self, channel, entry, incoming))
    return;
  if (entry->span_func != NULL)
    commy_span_call_dispatch (self, channel, entry, incoming);
  else
    commy_invocation_dispatch (self, channel, entry, incoming);
}

static void
on_cancelled (gpointer data, CommyChannel *channel, guint32 stream)
{
  /* The handler runs to its end; its answer meets nobody and is counted on the caller's side. */
}

static void
on_closed (gpointer data, CommyChannel *channel)
{
  /* A set-up that failed has made none. */
  if (channel != NULL)
    {
      commy_rate_caller_free (commy_channel_get_note (channel));
      commy_channel_set_note (channel, NULL);
    }
  g_object_unref (data);
}

static const CommyChannelHandler channel_handler = { on_resolve, on_call, on_cancelled, on_closed };

gboolean
commy_service_destination (CommyService *self, CommyDestination *out_destination)
{
  CommyServiceThread *thread = NULL;

  g_mutex_lock (&self->lock);
  if (self->threads->len > 0 && self->state != COMMY_SERVICE_STOPPING)
    thread = self->threads->pdata[self->next_thread++ % self->threads->len];
  g_mutex_unlock (&self->lock);
  if (thread == NULL)
    return FALSE;
  out_destination->worker = thread->worker->worker;
  out_destination->handler = &channel_handler;
  out_destination->handler_data = g_object_ref (self);
  return TRUE;
}

gboolean
commy_service_runs_only_on (CommyService *self, CommyMeshWorker *worker)
{
  gboolean only = TRUE;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->threads->len; i++)
    only &= ((CommyServiceThread *) self->threads->pdata[i])->worker == worker;
  g_mutex_unlock (&self->lock);
  return only;
}

/* --- offering --- */

static void
fill_instance (CommyService *self, CommyInstance *instance)
{
  CommyMesh *mesh = self->mesh;
  guint n = commy_catalog_get_n_plugins (mesh->catalog);

  instance->node = g_strdup (mesh->node);
  instance->host = g_strdup (g_get_host_name ());
  instance->host_id = g_strdup (commy_env_host_id ());
  instance->interface_name = g_strdup (self->interface != NULL ? self->interface->name : "");
  if (self->interface != NULL)
    instance->interface_hash = commy_schema_to_hash (self->interface);
  instance->pid = getpid ();
  instance->started_s = g_get_real_time () / G_USEC_PER_SEC;
  instance->serializers = g_strdupv (mesh->setup.serializers);
  for (guint i = 0; i < mesh->listeners->len; i++)
    commy_instance_add_endpoint (instance, commy_listener_get_transport (mesh->listeners->pdata[i]),
                                 commy_listener_get_address (mesh->listeners->pdata[i]));
  for (guint i = 0; i < n; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (mesh->catalog, i);
      g_autofree char *reason = NULL;

      if (!plugin->has_note || plugin->note.kind != COMMY_PLUGIN_TRANSPORT
          || (plugin->note.flags & COMMY_PLUGIN_FLAG_HOOK) != 0)
        continue;
      if (plugin->deaf)
        {
          /* Programs that only call have no use for it; who offers something must hear of it. */
          if (self != mesh->node_service)
            g_message ("%s is not offered over %s, which %s", self->name, plugin->note.id,
                       plugin->reason);
          commy_instance_add_withheld (instance, plugin->note.id, plugin->reason);
        }
      if (plugin->state != COMMY_PLUGIN_STATE_DISABLED)
        continue;
      reason = g_strdup_printf ("denied there: %s", plugin->reason_origin != NULL
                                                        ? plugin->reason_origin
                                                        : plugin->reason);
      commy_instance_add_withheld (instance, plugin->note.id, reason);
    }
}

void
commy_service_offer_here (CommyService *self, CommyRegistryFunc done, gpointer data)
{
  g_autoptr (GError) error = NULL;
  char id[33];

  if (self->mesh->state != COMMY_MESH_JOINED && self->mesh->state != COMMY_MESH_JOINING)
    commy_set_error (&error, COMMY_ERROR_NOT_JOINED, "the mesh is not joined");
  else if (COMMY_FAILPOINT ("service-offer"))
    commy_set_error (&error, COMMY_ERROR_STORE, "fail point service-offer");
  else if (commy_service_start_threads (self, &error))
    {
      commy_env_new_id (self->mesh->env, id);
      self->instance = commy_instance_new (id, self->name);
      self->drain_ms = DRAIN_MS;
      fill_instance (self, self->instance);
      g_mutex_lock (&self->mesh->lock);
      g_hash_table_replace (self->mesh->offers, g_strdup (id), g_object_ref (self));
      g_mutex_unlock (&self->mesh->lock);
      commy_service_rate_follow (self); /* before anybody can know of it */
      commy_service_list_here (self, done, data);
      return;
    }
  done (data, error);
}

/* Clients of any thread look into the table. */
static void
take_back_offer (CommyService *self)
{
  g_mutex_lock (&self->mesh->lock);
  if (self->mesh->offers != NULL && self->instance != NULL)
    g_hash_table_remove (self->mesh->offers, self->instance->id);
  g_mutex_unlock (&self->mesh->lock);
  g_clear_pointer (&self->instance, commy_instance_unref);
}

/* Nothing of an offer that failed stays. */
static void
settle_start (CommyService *self, const GError *error)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new_with_free_func (commy_service_thread_free);

  if (error != NULL)
    take_back_offer (self);
  g_mutex_lock (&self->lock);
  if (error != NULL)
    {
      g_ptr_array_unref (threads);
      threads = g_steal_pointer (&self->threads);
      self->threads = g_ptr_array_new_with_free_func (commy_service_thread_free);
    }
  self->state = error == NULL ? COMMY_SERVICE_OFFERED : COMMY_SERVICE_IDLE;
  g_mutex_unlock (&self->lock);
}

static void
start_done (gpointer data, const GError *error)
{
  g_autoptr (GTask) task = data;
  CommyService *self = g_task_get_source_object (task);

  settle_start (self, error);
  if (error == NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, g_error_copy (error));
}

static void
start_here (gpointer data)
{
  GTask *task = data;

  commy_service_offer_here (g_task_get_source_object (task), start_done, task);
}

/* What can be known without the mesh thread. */
static gboolean
may_start (CommyService *self, GError **error)
{
  if (!commy_mesh_check_joined (self->mesh, error))
    return FALSE;
  if (self->counts == NULL
      && (!commy_service_name_is_valid (self->name) || g_str_has_prefix (self->name, "org.commy.")))
    {
      g_autofree char *shown = g_strescape (self->name, NULL);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%.64s\" is no name for a service (letters, digits, '_', '-' in parts "
                       "joined by '.'; org.commy. is reserved)",
                       shown);
      return FALSE;
    }
  if (self->state != COMMY_SERVICE_IDLE)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s is started already", self->name);
      return FALSE;
    }
  self->state = COMMY_SERVICE_STARTING;
  return TRUE;
}

void
commy_service_start (CommyService *self,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  GTask *task;
  GError *error = NULL;

  g_return_if_fail (COMMY_IS_SERVICE (self));
  task = g_task_new (self, cancellable, callback, user_data);
  if (may_start (self, &error))
    {
      commy_mesh_invoke (self->mesh, start_here, task);
      return;
    }
  g_task_return_error (task, error);
  g_object_unref (task);
}

gboolean
commy_service_start_finish (CommyService *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

typedef struct
{
  CommyService *service;
  CommyLatch *latch;
} StartSync;

static void
start_sync_done (gpointer data, const GError *error)
{
  StartSync *start = data;
  CommyLatch *latch = start->latch;

  settle_start (start->service, error);
  g_object_unref (start->service);
  g_free (start);
  commy_latch_answer (latch, NULL, NULL, error);
}

static void
start_sync_here (gpointer data)
{
  StartSync *start = data;

  commy_service_offer_here (start->service, start_sync_done, start);
}

gboolean
commy_service_start_sync (CommyService *self, GCancellable *cancellable, GError **error)
{
  StartSync *start;
  CommyLatch *latch;

  g_return_val_if_fail (COMMY_IS_SERVICE (self), FALSE);
  if (!may_start (self, error))
    return FALSE;
  latch = commy_latch_new ();
  start = g_new0 (StartSync, 1);
  start->service = g_object_ref (self);
  start->latch = latch;
  commy_mesh_invoke (self->mesh, start_sync_here, start);
  return commy_latch_wait (latch, g_get_monotonic_time () + 10 * G_USEC_PER_SEC, cancellable, NULL,
                           error);
}

/* --- stopping --- */

void
commy_service_call_began (CommyService *self)
{
  __atomic_add_fetch (&self->in_flight, 1, __ATOMIC_RELAXED);
}

static void
finish_stop (gpointer data)
{
  CommyService *self = data;
  g_autoptr (GPtrArray) tasks = NULL;
  g_autoptr (GPtrArray) threads = NULL;

  g_clear_pointer (&self->farewell, commy_farewell_free);
  g_mutex_lock (&self->lock);
  if (self->state == COMMY_SERVICE_IDLE)
    {
      /* Two calls that ended at the same time, or the mesh was left meanwhile. */
      g_mutex_unlock (&self->lock);
      g_object_unref (self);
      return;
    }
  g_mutex_unlock (&self->lock);
  take_back_offer (self);
  /* Before the sweep: its posting wakes the handlers that wait for a stream. */
  __atomic_add_fetch (&self->stops, 1, __ATOMIC_RELEASE);
  commy_farewell_close (self);
  g_mutex_lock (&self->lock);
  tasks = g_steal_pointer (&self->stop_tasks);
  self->stop_tasks = g_ptr_array_new_with_free_func (g_object_unref);
  threads = g_steal_pointer (&self->threads);
  self->threads = g_ptr_array_new_with_free_func (commy_service_thread_free);
  self->state = COMMY_SERVICE_IDLE;
  g_mutex_unlock (&self->lock);
  g_clear_pointer (&threads, g_ptr_array_unref);
  for (guint i = 0; i < tasks->len; i++)
    g_task_return_boolean (tasks->pdata[i], TRUE);
  g_object_unref (self);
}

void
commy_service_call_ended (CommyService *self)
{
  __atomic_sub_fetch (&self->in_flight, 1, __ATOMIC_SEQ_CST);
}

static void
on_parted (gpointer data)
{
  finish_stop (g_object_ref (data));
}

static void
unregistered (gpointer data, const GError *error)
{
  CommyService *self = data;
  gboolean is_over;

  if (error != NULL)
    g_message ("%s could not be taken out of the store: %s", self->name, error->message);
  commy_farewell_tell (self);
  g_mutex_lock (&self->lock);
  is_over = self->state != COMMY_SERVICE_STOPPING;
  g_mutex_unlock (&self->lock);
  if (!is_over && self->drain_ms > 0)
    {
      self->farewell = commy_farewell_new (self, self->drain_ms * NS_PER_MS, on_parted);
      g_object_unref (self);
    }
  else
    finish_stop (self);
}

static void
stop_here (gpointer data)
{
  CommyService *self = data;

  /* It stays among the offers, so that leaving the mesh meanwhile ends it too. */
  if (self->mesh->registry == NULL || self->instance == NULL)
    {
      finish_stop (self);
      return;
    }
  if (!commy_service_unlist_here (self, stop_here))
    {
      g_object_unref (self);
      return;
    }
  commy_registry_remove (self->mesh->registry, self->instance, unregistered, self);
}

void
commy_service_stop (CommyService *self,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  GTask *task;
  gboolean begin;

  g_return_if_fail (COMMY_IS_SERVICE (self));
  task = g_task_new (self, cancellable, callback, user_data);
  g_mutex_lock (&self->lock);
  begin = self->state == COMMY_SERVICE_OFFERED;
  if (begin)
    self->state = COMMY_SERVICE_STOPPING;
  if (self->state == COMMY_SERVICE_STOPPING)
    g_ptr_array_add (self->stop_tasks, g_steal_pointer (&task));
  g_mutex_unlock (&self->lock);
  if (begin)
    commy_mesh_invoke (self->mesh, stop_here, g_object_ref (self));
  if (task != NULL)
    {
      g_task_return_boolean (task, TRUE);
      g_object_unref (task);
    }
}

gboolean
commy_service_stop_finish (CommyService *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
commy_service_announce_end_here (CommyService *self)
{
  g_mutex_lock (&self->lock);
  self->state = COMMY_SERVICE_STOPPING;
  g_mutex_unlock (&self->lock);
  commy_farewell_tell (self);
}

gboolean
commy_service_is_draining (CommyService *self)
{
  gboolean own = FALSE;
  gboolean draining;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->threads->len; i++)
    own |= ((CommyServiceThread *) self->threads->pdata[i])->own;
  draining = own && __atomic_load_n (&self->in_flight, __ATOMIC_RELAXED) > 0;
  g_mutex_unlock (&self->lock);
  return draining;
}

void
commy_service_abort_here (CommyService *self)
{
  g_mutex_lock (&self->lock);
  self->state = COMMY_SERVICE_STOPPING;
  g_mutex_unlock (&self->lock);
  finish_stop (g_object_ref (self));
}
