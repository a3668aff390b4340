/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of a client, synchronous and asynchronous: pick a stack, connect it if need be, send,
 * wait, and go to the next one where that is safe.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define MAX_ATTEMPTS 16u

/* --- what both ways share --- */

typedef struct
{
  CommyRouteMember *member;
  guint index;
  const CommyStack *stack;
} Pick;

static gboolean
pick (CommyClient *self, CommyRequest *request, Pick *out_pick)
{
  CommyRoute *route = &self->routes[request->flavour];

  out_pick->member = commy_route_pick (route, self->balancer, &out_pick->index);
  out_pick->stack = commy_route_member_stack (out_pick->member, request->size);
  return out_pick->stack->path != NULL;
}

static void
report (CommyClient *self, CommyFlavour flavour, guint index, gint64 latency_ns, gboolean failed)
{
  CommyRoute *route = &self->routes[flavour];

  if (route->balancer_state != NULL && index < route->n_members)
    self->balancer->ops.balancer.report (route->balancer_state, index, latency_ns, failed);
}

static void
finish_sample (CommyClient *self,
               CommyFlavour flavour,
               CommyChannel *channel,
               const CommyStack *stack,
               gboolean sampled,
               gsize request_size,
               const CommyIncoming *incoming,
               gint64 started_ns)
{
  gint64 took = commy_env_now (self->mesh->env) - started_ns;

  commy_histogram_add (&commy_channel_get_counters (channel)->call_ns, (guint64) MAX (took, 0));
  if (sampled && incoming->frame.has_dwell && stack->path->channel == channel)
    commy_client_learn (self, flavour, stack, request_size, incoming->frame.payload_size, took,
                        incoming->frame.dwell_ns);
}

/* --- synchronous --- */

static gboolean
give_up (CommyClient *self, CommyRequest *request, GCancellable *cancellable, GError **error)
{
  if (g_cancellable_is_cancelled (cancellable))
    commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
  else if (!commy_mesh_check_joined (self->mesh, error))
    return TRUE;
  else if (commy_env_now (self->mesh->env) >= request->deadline_ns)
    commy_set_error (error, COMMY_ERROR_DEADLINE, "%s.%s was not answered in time", self->service,
                     request->method);
  else
    return FALSE;
  return TRUE;
}

/* Sends, waiting for room if need be. */
static gboolean
send_sync (CommyClient *self,
           CommyRequest *request,
           CommyChannel *channel,
           CommyPlugin *serializer,
           guint32 stream,
           gboolean sampled,
           GCancellable *cancellable,
           GError **error)
{
  for (;;)
    {
      g_autoptr (GError) cause = NULL;
      guint32 kick_seen = commy_channel_kick_seen (channel);
      CommyIo io
          = commy_request_send (request, channel, serializer, stream, sampled, FALSE, &cause);

      if (io == COMMY_IO_OK)
        return TRUE;
      if (io != COMMY_IO_WOULD_BLOCK || request->one_way
          || !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_BUSY))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (give_up (self, request, cancellable, error))
        return FALSE;
      commy_channel_wait (channel, request->deadline_ns, TRUE, kick_seen);
      commy_channel_poll (channel);
    }
}

static void
await_answer (CommyClient *self,
              CommyRequest *request,
              CommyChannel *channel,
              guint32 stream,
              CommyWait *wait,
              GCancellable *cancellable)
{
  while (!wait->done)
    {
      guint32 kick_seen = commy_channel_kick_seen (channel);
      gboolean more;

      if (commy_channel_poll (channel) || wait->done)
        continue;
      if (give_up (self, request, cancellable, &wait->error))
        {
          commy_channel_forget (channel, stream);
          wait->done = TRUE;
          wait->sent = TRUE;
          return;
        }
      more = commy_channel_flush (channel) == COMMY_IO_WOULD_BLOCK;
      commy_channel_wait (channel, request->deadline_ns, more, kick_seen);
    }
}

/* One attempt on one channel. The answer is in @wait; FALSE with @error and @out_sent. */
static gboolean
exchange (CommyClient *self,
          CommyRequest *request,
          const Pick *picked,
          CommyChannel *channel,
          CommyWait *wait,
          GCancellable *cancellable,
          gboolean *out_sent,
          GError **error)
{
  gboolean sampled = commy_client_sample (self, &self->routes[request->flavour]);
  gint64 started = commy_env_now (self->mesh->env);
  guint32 stream
      = commy_channel_expect (channel, request->deadline_ns, commy_client_on_answer, wait);

  *out_sent = FALSE;
  if (stream == 0)
    {
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, error);
      return FALSE;
    }
  if (!send_sync (self, request, channel, picked->stack->serializer, stream, sampled, cancellable,
                  error))
    {
      commy_channel_forget (channel, stream);
      g_clear_error (&wait->error); /* the send's own error says more */
      return FALSE;
    }
  commy_channel_mark_sent (channel, stream);
  await_answer (self, request, channel, stream, wait, cancellable);
  *out_sent = wait->sent;
  if (wait->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&wait->error));
      return FALSE;
    }
  finish_sample (self, request->flavour, channel, picked->stack, sampled, request->size,
                 &wait->incoming, started);
  return TRUE;
}

static gboolean
attempt_sync (CommyClient *self,
              CommyRequest *request,
              GCancellable *cancellable,
              CommyWait *wait,
              CommyChannel **out_channel,
              gboolean *out_sent,
              GError **error)
{
  gint64 deadline_us = request->deadline_ns / 1000;
  gint64 started = commy_env_now (self->mesh->env);
  CommyPeer *peer;
  gboolean ok;
  Pick picked;

  *out_sent = FALSE;
  if (!commy_mesh_check_joined (self->mesh, error)
      || !commy_client_route_sync (self, request->flavour, request->size, deadline_us, cancellable,
                                   error))
    return FALSE;
  if (!pick (self, request, &picked))
    {
      commy_set_error (error, COMMY_ERROR_NO_ROUTE, "no path to %s", self->service);
      return FALSE;
    }
  if (!request->one_way && commy_client_would_deadlock (self, picked.member))
    {
      commy_set_error (error, COMMY_ERROR_WOULD_DEADLOCK,
                       "%s runs in this very context: call it asynchronously, or give it workers",
                       self->service);
      return FALSE;
    }
  if (!commy_path_connect_sync (picked.stack->path, deadline_us, cancellable, error))
    return FALSE;
  *out_channel = commy_channel_ref (picked.stack->path->channel);
  if (commy_channel_is_reserved (*out_channel))
    {
      commy_set_error (error, COMMY_ERROR_BUSY,
                       "a span is reserved on this path: exchange or discard it first");
      return FALSE;
    }
  if (request->one_way)
    return send_sync (self, request, *out_channel, picked.stack->serializer, 0, FALSE, NULL, error);
  peer = commy_peer_ref (picked.member->peer);
  peer->in_flight++;
  ok = exchange (self, request, &picked, *out_channel, wait, cancellable, out_sent, error);
  peer->in_flight--;
  commy_peer_unref (peer);
  /* Taking messages here disarmed the path: the loop must arm it again. */
  commy_worker_set_hot (self->worker->worker, *out_channel);
  report (self, request->flavour, picked.index, commy_env_now (self->mesh->env) - started, !ok);
  return ok;
}

static void
on_cancel_kick (GCancellable *cancellable, CommyWorker *worker)
{
  commy_worker_kick (worker);
}

/* The answer in @wait and the channel it came over (full), or FALSE. */
static gboolean
call_sync (CommyClient *self,
           CommyRequest *request,
           GCancellable *cancellable,
           CommyWait *wait,
           CommyChannel **out_channel,
           GError **error)
{
  g_autoptr (GError) last = NULL;
  CommyWorker *worker = self->worker->worker;
  gulong handler = 0;
  gboolean ok = FALSE;
  gboolean sent;

  commy_worker_enter_sync (worker);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_kick), worker, NULL);
  for (guint i = 0; i < MAX_ATTEMPTS && !ok; i++)
    {
      g_autoptr (GError) cause = NULL;

      g_clear_pointer (out_channel, commy_channel_unref);
      memset (wait, 0, sizeof *wait);
      ok = attempt_sync (self, request, cancellable, wait, out_channel, &sent, &cause);
      if (ok)
        break;
      /* With no path left, the reason the last one failed says more than "no route". */
      if (last == NULL || !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_NO_ROUTE))
        {
          g_clear_error (&last);
          last = g_steal_pointer (&cause);
        }
      else
        break;
      if (!commy_client_may_retry (request, last, sent)
          || give_up (self, request, cancellable, NULL))
        break;
    }
  if (handler != 0)
    g_cancellable_disconnect (cancellable, handler);
  commy_worker_leave_sync (worker);
  if (!commy_worker_is_attached (worker))
    commy_worker_turn (worker); /* nobody else does */
  if (!ok)
    g_propagate_error (error, g_steal_pointer (&last));
  return ok;
}

GVariant *
commy_client_call_sync (CommyClient *self,
                        const char *method,
                        GVariant *parameters,
                        const CommyCallOptions *options,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (CommyChannel) channel = NULL;
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  CommyRequest request;
  GVariant *value = NULL;
  CommyWait wait;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL, NULL);
  if (!commy_client_check (self, error)
      || !commy_request_init (&request, self->mesh->env, method, sunk, NULL, options,
                              self->timeout_ns, error))
    return NULL;
  if (call_sync (self, &request, cancellable, &wait, &channel, error))
    {
      value = commy_value_from_incoming (channel, &wait.incoming, error);
      commy_incoming_release (channel, &wait.incoming);
    }
  commy_request_clear (&request);
  return value;
}

GBytes *
commy_client_call_bytes_sync (CommyClient *self,
                              const char *method,
                              GBytes *bytes,
                              const CommyCallOptions *options,
                              GCancellable *cancellable,
                              GError **error)
{
  g_autoptr (CommyChannel) channel = NULL;
  CommyRequest request;
  GBytes *answer = NULL;
  CommyWait wait;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL && bytes != NULL, NULL);
  if (!commy_client_check (self, error)
      || !commy_request_init (&request, self->mesh->env, method, NULL, bytes, options,
                              self->timeout_ns, error))
    return NULL;
  if (call_sync (self, &request, cancellable, &wait, &channel, error))
    {
      answer = commy_bytes_from_incoming (channel, &wait.incoming, error);
      commy_incoming_release (channel, &wait.incoming);
    }
  commy_request_clear (&request);
  return answer;
}

gboolean
commy_client_send (CommyClient *self,
                   const char *method,
                   GVariant *parameters,
                   const CommyCallOptions *options,
                   GError **error)
{
  g_autoptr (CommyChannel) channel = NULL;
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  CommyRequest request;
  CommyWait wait;
  gboolean ok;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), FALSE);
  g_return_val_if_fail (method != NULL, FALSE);
  if (!commy_client_check (self, error)
      || !commy_request_init (&request, self->mesh->env, method, sunk, NULL, options,
                              self->timeout_ns, error))
    return FALSE;
  request.one_way = TRUE;
  ok = call_sync (self, &request, NULL, &wait, &channel, error);
  commy_request_clear (&request);
  return ok;
}

/* --- asynchronous --- */

typedef struct
{
  gatomicrefcount refs;
  CommyClient *client; /* reference: keeps the worker */
  GTask *task;         /* NULL once it returned */
  CommyRequest request;
  guint attempts;
  gboolean refreshed;
  GError *last;
  CommyChannel *channel; /* while sent */
  guint32 stream;
  CommyStack stack;
  CommyPeer *peer;
  guint index;
  gboolean sampled;
  gboolean pending;  /* the channel expects the answer */
  gboolean finished; /* the result is set */
  gint64 started_ns;
  gulong cancel_handler;
  GSource *deadline; /* while no channel watches it; NULL: none */
  gpointer result;
  GDestroyNotify result_free;
  GError *result_error;
  GError *ensure_error;
} AsyncCall;

static void async_step (AsyncCall *call);
static void
async_finish (AsyncCall *call, gpointer result, GDestroyNotify result_free, GError *error);

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
  g_clear_pointer (&call->channel, commy_channel_unref);
  g_clear_pointer (&call->peer, commy_peer_unref);
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
  if (call->result_error != NULL)
    g_task_return_error (task, g_steal_pointer (&call->result_error));
  else
    g_task_return_pointer (task, call->result, call->result_free);
  async_unref (call);
}

/* Ends the call; while a synchronous call is under way the callback waits. */
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
  if (commy_worker_in_sync (worker))
    commy_worker_defer (worker, async_return, call);
  else
    async_return (call);
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
  if (++call->attempts < MAX_ATTEMPTS && commy_client_may_retry (&call->request, error, sent))
    async_step (call);
  else
    async_finish (call, NULL, NULL, g_error_copy (call->last));
}

static void
async_succeeded (AsyncCall *call, CommyChannel *channel, CommyIncoming *incoming)
{
  g_autoptr (GError) error = NULL;
  gpointer result;

  finish_sample (call->client, call->request.flavour, channel, &call->stack, call->sampled,
                 call->request.size, incoming, call->started_ns);
  if (call->request.flavour == COMMY_FLAVOUR_VALUE)
    result = commy_value_from_incoming (channel, incoming, &error);
  else
    result = commy_bytes_from_incoming (channel, incoming, &error);
  async_finish (call, result,
                call->request.flavour == COMMY_FLAVOUR_VALUE ? (GDestroyNotify) g_variant_unref
                                                             : (GDestroyNotify) g_bytes_unref,
                g_steal_pointer (&error));
}

static void
on_async_answer (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  AsyncCall *call = data;

  call->pending = FALSE;
  call->peer->in_flight--;
  g_clear_pointer (&call->peer, commy_peer_unref);
  report (call->client, call->request.flavour, call->index,
          commy_env_now (call->client->mesh->env) - call->started_ns, error != NULL);
  if (error != NULL)
    async_failed (call, error, sent);
  else
    async_succeeded (call, channel, incoming);
  async_unref (call);
}

static void
async_send (AsyncCall *call)
{
  g_autoptr (GError) error = NULL;
  CommyChannel *channel = call->stack.path->channel;
  CommyIo io;

  call->sampled = commy_client_sample (call->client, &call->client->routes[call->request.flavour]);
  call->started_ns = commy_env_now (call->client->mesh->env);
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
  call->peer->in_flight++;
  call->pending = TRUE;
  io = commy_request_send (&call->request, channel, call->stack.serializer, call->stream,
                           call->sampled, TRUE, &error);
  if (io != COMMY_IO_OK)
    {
      if (!call->pending)
        return; /* the channel closed meanwhile and has told the call */
      call->pending = FALSE;
      commy_channel_forget (channel, call->stream);
      call->peer->in_flight--;
      g_clear_pointer (&call->peer, commy_peer_unref);
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
    g_clear_pointer (&call->peer, commy_peer_unref);
  else if (error != NULL || !commy_path_is_up (path))
    {
      g_autoptr (GError) gone = NULL;

      if (error == NULL)
        commy_set_error (&gone, COMMY_ERROR_UNREACHABLE, "the channel closed at once");
      g_clear_pointer (&call->peer, commy_peer_unref);
      async_failed (call, error != NULL ? error : gone, FALSE);
    }
  else
    async_send (call);
  async_unref (call);
}

static void
async_after_ensure (gpointer data)
{
  AsyncCall *call = data;

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
  commy_registry_ensure (client->mesh->registry, client->service, client->fresh || call->refreshed,
                         async_ensured, call);
}

/* Whether the route is there; else something is under way or the call ended. */
static gboolean
async_route (AsyncCall *call)
{
  CommyClient *client = call->client;
  CommyRoute *route = &client->routes[call->request.flavour];
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autoptr (GError) error = NULL;
  gboolean missing;
  CommyRouteKey key;

  commy_client_key (client, &key);
  if ((!client->fresh || call->refreshed) && commy_route_is_fresh (route, &key))
    return TRUE;
  snapshot = commy_registry_lookup (client->mesh->registry, client->service);
  missing = snapshot == NULL || (client->fresh && !call->refreshed);
  if (!missing)
    {
      if (commy_route_decide_now (route, &key, call->request.flavour, call->request.size, &error))
        return TRUE;
      missing = g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE) && !call->refreshed;
    }
  if (missing)
    {
      call->refreshed = snapshot != NULL || client->fresh;
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
  Pick picked;

  if (call->finished)
    return;
  if (give_up (client, &call->request, g_task_get_cancellable (call->task), &error))
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
  if (!pick (client, &call->request, &picked))
    {
      commy_set_error (&error, COMMY_ERROR_NO_ROUTE, "no path to %s", client->service);
      async_finish (call, NULL, NULL, error);
      return;
    }
  call->stack = *picked.stack;
  call->index = picked.index;
  call->peer = commy_peer_ref (picked.member->peer);
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
          call->peer->in_flight--;
          g_clear_pointer (&call->peer, commy_peer_unref);
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

static void
call_async (CommyClient *self,
            const char *method,
            GVariant *parameters,
            GBytes *bytes,
            const CommyCallOptions *options,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  GError *error = NULL;
  AsyncCall *call;
  CommyWorker *worker;
  CommyRequest request;

  g_task_set_check_cancellable (task, FALSE);
  if (!commy_client_check (self, &error)
      || !commy_request_init (&request, self->mesh->env, method, sunk, bytes, options,
                              self->timeout_ns, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  if (!commy_worker_is_attached (self->worker->worker))
    {
      commy_request_clear (&request);
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
  call->request = request;
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
  call_async (self, method, parameters, NULL, options, cancellable, callback, user_data);
}

GVariant *
commy_client_call_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
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
  call_async (self, method, NULL, bytes, options, cancellable, callback, user_data);
}

GBytes *
commy_client_call_bytes_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
