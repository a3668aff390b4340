/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asynchronous calls: the same steps as a synchronous call, each begun where the one before it
 * ended, on the client's worker.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"
#include "mesh/commy-interface-check.h"

#include <string.h>

typedef struct
{
  gatomicrefcount refs;
  CommyClient *client; /* reference: keeps the worker */
  GTask *task;         /* NULL once it returned */
  CommyRequest request;
  guint attempts;
  gboolean refreshed;
  gboolean ensured;          /* it went to the registry, and so did all that were begun before it */
  gboolean awaits;           /* it goes to see what an instance says of its interface, */
  CommyExpectation *awaited; /* which is held against this */
  GError *last;
  CommyChannel *channel; /* while sent */
  guint32 stream;
  CommyStack stack;
  CommyPeer *peer; /* from the pick until the answer: its call is under way */
  CommyTurn turn;
  gboolean sampled;
  gboolean pending;  /* the channel expects the answer */
  gboolean finished; /* the result is set */
  gint64 started_ns;
  guint began; /* iteration of the worker's context */
  gulong cancel_handler;
  GSource *deadline; /* while no channel watches it; NULL: none */
  gpointer result;
  GDestroyNotify result_free;
  GUnixFDList *result_handles; /* of the answer, or NULL */
  GError *result_error;
  GError *ensure_error;
} AsyncCall;

static void async_step (AsyncCall *call);
static void
async_finish (AsyncCall *call, gpointer result, GDestroyNotify result_free, GError *error);

static void
drop_peer (AsyncCall *call)
{
  if (call->peer == NULL)
    return;
  commy_peer_end (call->peer);
  g_clear_pointer (&call->peer, commy_peer_unref);
}

static void
async_unref (gpointer data)
{
  AsyncCall *call = data;

  if (!g_atomic_ref_count_dec (&call->refs))
    return;
  commy_request_clear (&call->request);
  g_clear_error (&call->last);
  g_clear_error (&call->result_error);
  g_clear_error (&call->ensure_error);
  g_clear_object (&call->result_handles);
  g_clear_pointer (&call->channel, commy_channel_unref);
  drop_peer (call);
  g_clear_pointer (&call->awaited, commy_expectation_unref);
  g_clear_object (&call->client);
  g_free (call);
}

static void
async_return (gpointer data)
{
  AsyncCall *call = data;
  g_autoptr (GTask) task = g_steal_pointer (&call->task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (call->cancel_handler != 0)
    g_cancellable_disconnect (cancellable, call->cancel_handler);
  call->cancel_handler = 0;
  if (call->deadline != NULL)
    g_source_destroy (call->deadline);
  g_clear_pointer (&call->deadline, g_source_unref);
  if (call->result_handles != NULL)
    g_task_set_task_data (task, g_steal_pointer (&call->result_handles), g_object_unref);
  if (call->result_error != NULL)
    g_task_return_error (task, g_steal_pointer (&call->result_error));
  else
    g_task_return_pointer (task, call->result, call->result_free);
  async_unref (call);
}

/* Ends the call; the callback may have to wait. */
static void
async_finish (AsyncCall *call, gpointer result, GDestroyNotify result_free, GError *error)
{
  CommyWorker *worker = call->client->worker->worker;

  if (call->finished)
    {
      g_clear_error (&error);
      if (result != NULL)
        result_free (result);
      return;
    }
  call->finished = TRUE;
  call->result = result;
  call->result_free = result_free;
  call->result_error = error;
  commy_worker_complete (worker, call->began, async_return, call);
}

static gboolean
on_async_deadline (gpointer data)
{
  AsyncCall *call = data;
  CommyWorker *worker = commy_worker_ref (call->client->worker->worker);
  GError *error = NULL;

  commy_worker_enter (worker);
  if (!call->finished && !call->pending)
    {
      commy_set_error (&error, COMMY_ERROR_DEADLINE,
                       "%s.%s: the deadline passed before it was sent", call->client->service,
                       call->request.method);
      async_finish (call, NULL, NULL, error);
    }
  commy_worker_exit (worker);
  commy_worker_unref (worker);
  return G_SOURCE_REMOVE;
}

/* The store or a connection is waited for: neither knows of this call's deadline. */
static void
async_watch_deadline (AsyncCall *call)
{
  if (call->deadline != NULL)
    return;
  g_atomic_ref_count_inc (&call->refs);
  call->deadline = g_timeout_source_new (0);
  g_source_set_ready_time (call->deadline, call->request.deadline_ns / 1000 + 1);
  g_source_set_callback (call->deadline, on_async_deadline, call, async_unref);
  g_source_attach (call->deadline, commy_worker_get_context (call->client->worker->worker));
}

static void
async_failed (AsyncCall *call, const GError *error, gboolean sent)
{
  drop_peer (call);
  if (call->last == NULL || !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE))
    {
      g_clear_error (&call->last);
      call->last = g_error_copy (error);
    }
  else
    {
      async_finish (call, NULL, NULL, g_error_copy (call->last));
      return;
    }
  if (++call->attempts < COMMY_CLIENT_MAX_ATTEMPTS
      && commy_client_may_retry (&call->request, error, sent))
    async_step (call);
  else
    async_finish (call, NULL, NULL, g_error_copy (call->last));
}

static void
async_succeeded (AsyncCall *call, CommyChannel *channel, CommyIncoming *incoming)
{
  g_autoptr (GError) error = NULL;
  gpointer result;

  commy_client_finish_call (call->client, call->request.flavour, channel, &call->stack,
                            call->sampled, call->request.size, incoming, call->started_ns);
  if (call->request.flavour == COMMY_FLAVOUR_HANDLES)
    call->result_handles = g_steal_pointer (&incoming->handles);
  if (call->request.flavour != COMMY_FLAVOUR_BYTES)
    result = commy_value_from_incoming (channel, incoming, &error);
  else
    result = commy_bytes_from_incoming (channel, incoming, &error);
  async_finish (call, result,
                call->request.flavour == COMMY_FLAVOUR_BYTES ? (GDestroyNotify) g_bytes_unref
                                                             : (GDestroyNotify) g_variant_unref,
                g_steal_pointer (&error));
}

static void
on_async_answer (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  AsyncCall *call = data;

  call->pending = FALSE;
  drop_peer (call);
  commy_client_report (call->client, call->request.flavour, call->turn, call->started_ns, error);
  if (error != NULL)
    async_failed (call, error, sent);
  else
    async_succeeded (call, channel, incoming);
  async_unref (call);
}

/* The same for a stream, which is there once the path has taken the request. */
static void
async_open (AsyncCall *call)
{
  g_autoptr (GError) error = NULL;
  CommyChannel *channel = call->stack.path->channel;
  g_autoptr (CommyPipe) pipe = commy_pipe_open (channel, call->request.stream_deadline_ns, &error);

  if (pipe == NULL)
    async_failed (call, error, FALSE);
  else if (commy_request_send (&call->request, channel, call->stack.serializer, pipe->id, FALSE,
                               TRUE, &error)
           != COMMY_IO_OK)
    {
      commy_pipe_close (pipe);
      async_failed (call, error, FALSE);
    }
  else
    {
      CommyStream *stream = commy_stream_new_opened (call->client, &call->request, pipe,
                                                     call->stack.serializer, call->peer);

      drop_peer (call); /* the stream has a count of its own */
      async_finish (call, stream, g_object_unref, NULL);
    }
}

static void
async_send (AsyncCall *call)
{
  g_autoptr (GError) error = NULL;
  CommyChannel *channel = call->stack.path->channel;
  CommyIo io;

  call->started_ns = call->request.now_ns = commy_env_now (call->client->mesh->env);
  if (call->request.streams)
    {
      async_open (call);
      return;
    }
  call->sampled = commy_client_sample (call->client, &call->client->routes[call->request.flavour]);
  g_atomic_ref_count_inc (&call->refs);
  call->stream = commy_channel_expect (channel, call->request.deadline_ns, on_async_answer, call);
  if (call->stream == 0)
    {
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, &error);
      async_unref (call);
      async_failed (call, error, FALSE);
      return;
    }
  g_clear_pointer (&call->channel, commy_channel_unref);
  call->channel = commy_channel_ref (channel);
  call->pending = TRUE;
  io = commy_request_send (&call->request, channel, call->stack.serializer, call->stream,
                           call->sampled, TRUE, &error);
  if (io != COMMY_IO_OK)
    {
      if (!call->pending)
        return; /* the channel closed meanwhile and has told the call */
      call->pending = FALSE;
      commy_channel_forget (channel, call->stream);
      async_unref (call);
      async_failed (call, error, FALSE);
      return;
    }
  commy_channel_mark_sent (channel, call->stream);
  commy_worker_set_hot (call->client->worker->worker, channel);
  commy_worker_need_deadline (call->client->worker->worker, call->request.deadline_ns);
}

static void
on_path (gpointer data, CommyPath *path, const GError *error)
{
  AsyncCall *call = data;

  if (call->finished)
    drop_peer (call);
  else if (error != NULL || !commy_path_is_up (path))
    {
      g_autoptr (GError) gone = NULL;

      if (error == NULL)
        commy_set_error (&gone, COMMY_ERROR_UNREACHABLE, "the channel closed at once");
      async_failed (call, error != NULL ? error : gone, FALSE);
    }
  else if (call->client->expectation != NULL && call->peer->instance->origin != NULL)
    {
      /* What it offers is known only now. */
      drop_peer (call);
      async_step (call);
    }
  else
    async_send (call);
  async_unref (call);
}

static void
async_after_ensure (gpointer data)
{
  AsyncCall *call = data;

  call->client->n_ensuring--;
  call->ensured = TRUE;
  if (call->ensure_error != NULL && !call->finished)
    {
      g_autoptr (GError) error = g_steal_pointer (&call->ensure_error);

      async_failed (call, error, FALSE);
    }
  else
    async_step (call);
  async_unref (call);
}

static void
async_ensured (gpointer data, const GError *error)
{
  AsyncCall *call = data;

  g_clear_error (&call->ensure_error);
  call->ensure_error = error != NULL ? g_error_copy (error) : NULL;
  commy_worker_post (call->client->worker->worker, async_after_ensure, call);
}

static void
async_ensure (gpointer data)
{
  AsyncCall *call = data;
  CommyClient *client = call->client;

  if (client->mesh->registry == NULL)
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      async_ensured (call, error);
      return;
    }
  if (call->awaited != NULL)
    commy_interface_checks_wait (client->mesh->interface_checks, call->awaited, async_ensured,
                                 call);
  else
    commy_registry_ensure (client->mesh->registry, client->service,
                           client->fresh || call->refreshed, async_ensured, call);
}

/* Whether the route is there; else something is under way or the call ended. */
static gboolean
async_route (AsyncCall *call)
{
  CommyClient *client = call->client;
  CommyRoute *route = &client->routes[call->request.flavour];
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autoptr (GError) error = NULL;
  /* Earlier ones are on their way back from the registry: this one goes behind them. */
  gboolean behind = client->n_ensuring > 0 && !call->ensured;
  gboolean missing;
  CommyRouteKey key;

  commy_client_key (client, &key);
  if (G_LIKELY (!behind) && (!client->fresh || call->refreshed)
      && commy_route_is_fresh (route, &key))
    return TRUE;
  snapshot = commy_registry_lookup (client->mesh->registry, client->service);
  missing = behind || snapshot == NULL || (client->fresh && !call->refreshed);
  call->awaits = FALSE;
  g_clear_pointer (&call->awaited, commy_expectation_unref);
  if (!missing)
    {
      if (commy_client_decide (client, call->request.flavour, call->request.size, &error))
        return TRUE;
      call->awaits = route->awaits;
      if (call->awaits && client->expectation != NULL)
        call->awaited = commy_expectation_ref (client->expectation);
      missing = g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE) && !call->refreshed;
    }
  if (missing || call->awaits)
    {
      if (missing && !behind)
        call->refreshed = snapshot != NULL || client->fresh;
      client->n_ensuring++;
      async_watch_deadline (call);
      g_atomic_ref_count_inc (&call->refs);
      commy_mesh_invoke (client->mesh, async_ensure, call);
    }
  else
    async_failed (call, error, FALSE);
  return FALSE;
}

static void
async_step (AsyncCall *call)
{
  CommyClient *client = call->client;
  GError *error = NULL;
  CommyPick picked;

  if (call->finished)
    return;
  if (commy_client_give_up (client, &call->request, g_task_get_cancellable (call->task), &error))
    {
      async_finish (call, NULL, NULL, error);
      return;
    }
  if (!commy_mesh_check_joined (client->mesh, &error))
    {
      async_finish (call, NULL, NULL, error);
      return;
    }
  if (!async_route (call))
    return;
  if (!commy_client_pick (client, &call->request, &picked))
    {
      commy_set_error (&error, COMMY_ERROR_NO_ROUTE, "no path to %s", client->service);
      async_finish (call, NULL, NULL, error);
      return;
    }
  call->stack = *picked.stack;
  call->turn = picked.turn;
  call->peer = commy_peer_ref (picked.member->peer);
  commy_peer_begin (call->peer);
  if (commy_path_is_up (call->stack.path))
    {
      async_send (call);
      return;
    }
  async_watch_deadline (call);
  g_atomic_ref_count_inc (&call->refs);
  commy_path_connect (call->stack.path, on_path, call);
}

static void
async_cancelled (gpointer data)
{
  AsyncCall *call = data;
  GError *error = NULL;

  if (!call->finished)
    {
      if (call->pending)
        {
          call->pending = FALSE;
          commy_channel_forget (call->channel, call->stream);
          drop_peer (call);
          async_unref (call); /* the pending slot's */
        }
      commy_set_error (&error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
      async_finish (call, NULL, NULL, error);
    }
  async_unref (call);
}

static void
on_cancel_post (GCancellable *cancellable, AsyncCall *call)
{
  g_atomic_ref_count_inc (&call->refs);
  commy_worker_post (call->client->worker->worker, async_cancelled, call);
}

static void
async_start (gpointer data)
{
  AsyncCall *call = data;

  async_step (call);
  async_unref (call);
}

/* (transfer full) @task; @request is taken over, or empty where there is an @error (full). */
static void
start_call (CommyClient *self, GTask *task, const CommyRequest *request, GError *error)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  AsyncCall *call;
  CommyWorker *worker;

  g_task_set_check_cancellable (task, FALSE);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  if (!commy_worker_is_attached (self->worker->worker))
    {
      CommyRequest unused = *request;

      commy_request_clear (&unused);
      g_task_return_new_error (task, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                               "CMY0002: this thread has no main context of its own: push one as "
                               "thread default, or call synchronously");
      g_object_unref (task);
      return;
    }
  call = g_new0 (AsyncCall, 1);
  g_atomic_ref_count_init (&call->refs);
  call->client = g_object_ref (self);
  call->task = task;
  call->request = *request;
  call->began = commy_worker_get_iteration (self->worker->worker);
  commy_request_keep (&call->request);
  if (cancellable != NULL)
    call->cancel_handler
        = g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_post), call, NULL);
  g_atomic_ref_count_inc (&call->refs);
  worker = commy_worker_ref (self->worker->worker);
  commy_worker_enter (worker);
  async_start (call);
  commy_worker_exit (worker);
  commy_worker_unref (worker);
}

static void
call_async (CommyClient *self,
            const char *method,
            GVariant *parameters,
            GBytes *bytes,
            gboolean streams,
            const CommyCallOptions *options,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  GError *error = NULL;
  CommyRequest request;

  if (commy_client_check (self, &error)
      && commy_client_init_request (self, &request, method, sunk, bytes, options, &error)
      && streams)
    commy_request_open_stream (&request, self->timeout_ns);
  start_call (self, task, &request, error);
}

void
commy_client_call (CommyClient *self,
                   const char *method,
                   GVariant *parameters,
                   const CommyCallOptions *options,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  call_async (self, method, parameters, NULL, FALSE, options, cancellable, callback, user_data);
}

GVariant *
commy_client_call_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_client_call_with_unix_fd_list (CommyClient *self,
                                     const char *method,
                                     GVariant *parameters,
                                     GUnixFDList *fd_list,
                                     const CommyCallOptions *options,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  GError *error = NULL;
  CommyRequest request;
  GTask *task;

  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  g_return_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list));
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, commy_client_call_with_unix_fd_list);
  if (commy_client_check (self, &error))
    commy_client_init_request_with_handles (self, &request, method, sunk, fd_list, options, &error);
  start_call (self, task, &request, error);
}

GVariant *
commy_client_call_with_unix_fd_list_finish (CommyClient *self,
                                            GUnixFDList **out_fd_list,
                                            GAsyncResult *result,
                                            GError **error)
{
  GUnixFDList *handles;
  GVariant *value;

  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, commy_client_call_with_unix_fd_list),
                        NULL);
  handles = g_task_get_task_data (G_TASK (result));
  value = g_task_propagate_pointer (G_TASK (result), error);
  if (value != NULL && out_fd_list != NULL)
    *out_fd_list = handles != NULL ? g_object_ref (handles) : NULL;
  return value;
}

void
commy_client_call_bytes (CommyClient *self,
                         const char *method,
                         GBytes *bytes,
                         const CommyCallOptions *options,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL && bytes != NULL);
  call_async (self, method, NULL, bytes, FALSE, options, cancellable, callback, user_data);
}

GBytes *
commy_client_call_bytes_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_client_open_stream (CommyClient *self,
                          const char *method,
                          GVariant *parameters,
                          const CommyCallOptions *options,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  call_async (self, method, parameters, NULL, TRUE, options, cancellable, callback, user_data);
}

CommyStream *
commy_client_open_stream_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
