/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synchronous calls: pick a stack, connect it if need be, send, spin and park, and go to the
 * next one where that is safe.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

#include <string.h>

/* A large one-way message leaves in pieces, and who sent it may not come back to push them. Where
 * the receiver is the very thread that would wait, its own turns do. */
static gboolean
await_leaving (CommyClient *self,
               CommyRequest *request,
               CommyChannel *channel,
               CommyPeer *peer,
               GError **error)
{
  if (!commy_channel_is_leaving (channel, COMMY_FRAME_ONEWAY, 0)
      || commy_client_would_deadlock (self, peer))
    return TRUE;
  while (commy_channel_is_leaving (channel, COMMY_FRAME_ONEWAY, 0))
    {
      guint32 kick_seen = commy_channel_kick_seen (channel);

      if (commy_channel_poll (channel))
        continue;
      if (commy_client_give_up (self, request, NULL, error))
        return FALSE;
      commy_channel_wait (channel, request->deadline_ns, FALSE, kick_seen);
    }
  if (commy_channel_is_open (channel))
    return TRUE;
  /* The last piece may have been the last thing that left: sent again it could arrive twice. */
  commy_set_error (error, COMMY_ERROR_OUTCOME_UNKNOWN, "outcome unknown from %s over %s: %s",
                   self->service, commy_channel_get_transport (channel), "the path closed");
  return FALSE;
}

gboolean
commy_client_send_sync (CommyClient *self,
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
      /* A one-way message does not wait for room, but for the flow's next path. */
      if (io != COMMY_IO_WOULD_BLOCK || (request->one_way && !commy_channel_is_adrift (channel))
          || !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_BUSY))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (commy_client_give_up (self, request, cancellable, error))
        return FALSE;
      commy_channel_wait (channel, request->deadline_ns, TRUE, kick_seen);
      commy_channel_poll (channel);
      request->now_ns = commy_env_now (self->mesh->env);
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
      if (commy_client_give_up (self, request, cancellable, &wait->error))
        {
          const gboolean late = g_error_matches (wait->error, COMMY_ERROR, COMMY_ERROR_DEADLINE);

          if (late && !commy_channel_is_hung (channel))
            commy_counters_add (commy_channel_get_counters (channel), COMMY_COUNT_CALLS_FAILED, 1);
          else if (late)
            {
              g_clear_error (&wait->error);
              commy_channel_deadline_error (channel, &wait->error);
            }
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
          const CommyPick *picked,
          CommyChannel *channel,
          CommyWait *wait,
          GCancellable *cancellable,
          gboolean *out_sent,
          GError **error)
{
  gboolean sampled = commy_client_sample (self, &self->routes[request->flavour]);
  gint64 started = request->now_ns;
  guint32 stream
      = commy_channel_expect (channel, request->deadline_ns, commy_client_on_answer, wait);

  *out_sent = FALSE;
  if (stream == 0)
    {
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, error);
      return FALSE;
    }
  if (!commy_client_send_sync (self, request, channel, picked->stack->serializer, stream, sampled,
                               cancellable, error))
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
  commy_client_finish_call (self, request->flavour, channel, picked->stack, sampled, request->size,
                            &wait->incoming, started);
  return TRUE;
}

/* The same for a stream, which is there once the path has taken the request. */
static gboolean
open_stream (CommyClient *self,
             CommyRequest *request,
             const CommyPick *picked,
             CommyChannel *channel,
             CommyPeer *peer,
             CommyWait *wait,
             GCancellable *cancellable,
             GError **error)
{
  g_autoptr (CommyPipe) pipe = commy_pipe_open (channel, request->stream_deadline_ns, error);

  if (pipe == NULL)
    return FALSE;
  if (!commy_client_send_sync (self, request, channel, picked->stack->serializer, pipe->id, FALSE,
                               cancellable, error))
    {
      commy_pipe_close (pipe);
      return FALSE;
    }
  wait->stream = commy_stream_new_opened (self, request, pipe, picked->stack->serializer, peer);
  return TRUE;
}

/* Whether it is known only now, with the connection, what the instance offers. */
static gboolean
must_look_again (CommyClient *self, CommyPeer *peer)
{
  return self->expectation != NULL && peer->instance->origin != NULL;
}

gboolean
commy_client_ready_sync (CommyClient *self,
                         CommyRequest *request,
                         GCancellable *cancellable,
                         CommyPick *picked,
                         CommyGuarded *call,
                         GError **error)
{
  const gint64 deadline_us = request->call_deadline_ns / 1000;
  g_autoptr (GError) cause = NULL;
  gboolean again = FALSE;

  if (G_UNLIKELY (!commy_client_is_current (self, &self->routes[request->flavour])))
    {
      if (!commy_client_route_sync (self, request->flavour, request->size, deadline_us, cancellable,
                                    error))
        return FALSE;
      request->now_ns = commy_env_now (self->mesh->env); /* that may have taken its time */
    }
  if (!commy_client_pick (self, request, picked, error))
    return FALSE;
  if (!request->one_way && commy_client_would_deadlock (self, picked->member->peer))
    {
      commy_set_error (error, COMMY_ERROR_WOULD_DEADLOCK,
                       "%s runs in this very context: call it asynchronously, or give it workers",
                       self->service);
      return FALSE;
    }
  commy_client_begin (self, request, picked, call);
  if (G_UNLIKELY (!commy_path_is_up (picked->stack->path)))
    {
      again = must_look_again (self, picked->member->peer);
      if (!commy_path_connect_sync (picked->stack->path, deadline_us, cancellable, &cause))
        {
          commy_client_end (self, call, picked->turn, commy_outcome_judge (cause, FALSE));
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      request->now_ns = commy_env_now (self->mesh->env);
    }
  commy_client_start_clock (self, request, call);
  if (!again)
    return TRUE;
  commy_tries_remove (&request->tries, call->peer);
  commy_client_end (self, call, picked->turn, COMMY_OUTCOME_ABANDONED);
  return commy_client_ready_sync (self, request, cancellable, picked, call, error);
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
  g_autoptr (GError) cause = NULL;
  CommyGuarded call = { NULL };
  CommyOutcome outcome;
  CommyStack stack;
  gboolean ok;
  CommyPick picked;

  *out_sent = FALSE;
  if (!commy_mesh_check_joined (self->mesh, error)
      || !commy_client_ready_sync (self, request, cancellable, &picked, &call, error))
    return FALSE;
  /* What is taken from the channel may let another call decide the route anew. */
  stack = *picked.stack;
  picked.stack = &stack;
  picked.member = NULL;
  *out_channel = commy_channel_ref (stack.path->channel);
  if (commy_channel_is_reserved (*out_channel))
    {
      commy_set_error (&cause, COMMY_ERROR_BUSY,
                       "a span is reserved on this path: exchange or discard it first");
      ok = FALSE;
    }
  else if (request->one_way)
    ok = commy_client_send_sync (self, request, *out_channel, stack.serializer, 0, FALSE, NULL,
                                 &cause)
         && await_leaving (self, request, *out_channel, call.peer, &cause);
  else if (request->streams)
    ok = open_stream (self, request, &picked, *out_channel, call.peer, wait, cancellable, &cause);
  else if (commy_client_is_hedged (self, request))
    ok = commy_client_exchange_hedged (self, request, &picked, &call, wait, out_channel, out_sent,
                                       cancellable, &cause);
  else
    ok = exchange (self, request, &picked, *out_channel, wait, cancellable, out_sent, &cause);
  /* Taking messages here disarmed the path: the loop must arm it again. */
  if (!request->one_way)
    commy_worker_set_hot (self->worker->worker, *out_channel);
  /* That a message left, or a stream was opened, says nothing about the instance. */
  outcome = ok && (request->one_way || request->streams) ? COMMY_OUTCOME_ABANDONED
                                                         : commy_outcome_judge (cause, *out_sent);
  commy_client_end (self, &call, picked.turn, outcome);
  if (!ok)
    g_propagate_error (error, g_steal_pointer (&cause));
  return ok;
}

/* Between two attempts. */
static void
rest_until (CommyClient *self, gint64 at_ns, GCancellable *cancellable)
{
  GPollFD poll_fd;
  gboolean polls = g_cancellable_make_pollfd (cancellable, &poll_fd);
  gint64 left_ns;

  while ((left_ns = at_ns - commy_env_now (self->mesh->env)) > 0
         && !g_cancellable_is_cancelled (cancellable))
    g_poll (&poll_fd, polls ? 1 : 0, (gint) MIN (left_ns / 1000000 + 1, 1000));
  if (polls)
    g_cancellable_release_fd (cancellable);
}

static void
on_cancel_kick (GCancellable *cancellable, CommyWorker *worker)
{
  commy_worker_kick (worker);
}

/* Attempts until one succeeds, or none may follow. */
static gboolean
attempts_sync (CommyClient *self,
               CommyRequest *request,
               GCancellable *cancellable,
               CommyWait *wait,
               CommyChannel **out_channel,
               GError **error)
{
  g_autoptr (GError) refusal = NULL;
  g_autoptr (GError) last = NULL;
  GError *told;

  for (;;)
    {
      g_autoptr (GError) cause = NULL;
      gboolean sent;
      gint64 at_ns;

      g_clear_pointer (out_channel, commy_channel_unref);
      memset (wait, 0, sizeof *wait);
      if (attempt_sync (self, request, cancellable, wait, out_channel, &sent, &cause))
        return TRUE;
      /* With no path left, the reason the last one failed says more than "no route". */
      if (last != NULL
          && (g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_NO_ROUTE)
              || g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE)))
        break;
      g_clear_error (&last);
      last = g_steal_pointer (&cause);
      if (refusal == NULL && commy_client_is_refusal (last))
        refusal = g_error_copy (last);
      request->deadline_ns = request->call_deadline_ns;
      if (commy_client_give_up (self, request, cancellable, NULL)
          || !commy_client_retries (self, request, last, sent, &at_ns))
        break;
      rest_until (self, at_ns, cancellable);
      request->now_ns = commy_env_now (self->mesh->env);
    }
  told = g_error_copy (commy_client_weigh (refusal, last));
  commy_client_tell_age (self, told);
  g_propagate_error (error, told);
  return FALSE;
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
  g_autoptr (GError) cause = NULL;
  CommyWorker *worker = self->worker->worker;
  gulong handler = 0;
  gboolean ok;

  commy_worker_enter_sync (worker);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_kick), worker, NULL);
  ok = commy_client_admit (self, request, &cause)
       && attempts_sync (self, request, cancellable, wait, out_channel, &cause);
  commy_client_dismiss (self, &request->admitted, commy_outcome_judge (cause, TRUE));
  if (handler != 0)
    g_cancellable_disconnect (cancellable, handler);
  commy_worker_leave_sync (worker);
  if (!commy_worker_is_attached (worker) && commy_worker_has_more (worker))
    commy_worker_turn (worker); /* nobody else does */
  if (!ok)
    g_propagate_error (error, g_steal_pointer (&cause));
  return ok;
}

/* The answer, a value, and the descriptors that came with it; clears @request. */
static GVariant *
value_sync (CommyClient *self,
            CommyRequest *request,
            GUnixFDList **out_fd_list,
            GCancellable *cancellable,
            GError **error)
{
  g_autoptr (CommyChannel) channel = NULL;
  CommyWorker *worker = self->worker->worker;
  GVariant *value = NULL;
  CommyWait wait;

  commy_worker_enter (worker); /* what reads the answer stays while anybody is inside */
  if (call_sync (self, request, cancellable, &wait, &channel, error))
    {
      value = commy_value_from_incoming (channel, &wait.incoming, error);
      if (value != NULL && out_fd_list != NULL)
        *out_fd_list = g_steal_pointer (&wait.incoming.handles);
      commy_incoming_release (channel, &wait.incoming);
    }
  commy_worker_exit (worker);
  commy_request_clear (request);
  return value;
}

GVariant *
commy_client_call_sync (CommyClient *self,
                        const char *method,
                        GVariant *parameters,
                        const CommyCallOptions *options,
                        GCancellable *cancellable,
                        GError **error)
{
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  CommyRequest request;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL, NULL);
  if (!commy_client_check (self, error)
      || !commy_client_init_request (self, &request, method, sunk, NULL, options, error))
    return NULL;
  return value_sync (self, &request, NULL, cancellable, error);
}

GVariant *
commy_client_call_with_unix_fd_list_sync (CommyClient *self,
                                          const char *method,
                                          GVariant *parameters,
                                          GUnixFDList *fd_list,
                                          const CommyCallOptions *options,
                                          GUnixFDList **out_fd_list,
                                          GCancellable *cancellable,
                                          GError **error)
{
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  CommyRequest request;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL, NULL);
  g_return_val_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list), NULL);
  if (!commy_client_check (self, error)
      || !commy_client_init_request_with_handles (self, &request, method, sunk, fd_list, options,
                                                  error))
    return NULL;
  return value_sync (self, &request, out_fd_list, cancellable, error);
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
  CommyWorker *worker;
  CommyRequest request;
  GBytes *answer = NULL;
  CommyWait wait;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL && bytes != NULL, NULL);
  if (!commy_client_check (self, error)
      || !commy_client_init_request (self, &request, method, NULL, bytes, options, error))
    return NULL;
  worker = self->worker->worker;
  commy_worker_enter (worker);
  if (call_sync (self, &request, cancellable, &wait, &channel, error))
    {
      answer = commy_bytes_from_incoming (channel, &wait.incoming, error);
      commy_incoming_release (channel, &wait.incoming);
    }
  commy_worker_exit (worker);
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
      || !commy_client_init_request (self, &request, method, sunk, NULL, options, error))
    return FALSE;
  request.one_way = TRUE;
  ok = call_sync (self, &request, NULL, &wait, &channel, error);
  commy_request_clear (&request);
  return ok;
}

CommyStream *
commy_client_open_stream_sync (CommyClient *self,
                               const char *method,
                               GVariant *parameters,
                               const CommyCallOptions *options,
                               GCancellable *cancellable,
                               GError **error)
{
  g_autoptr (CommyChannel) channel = NULL;
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  CommyRequest request;
  CommyStream *stream = NULL;
  CommyWait wait;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  g_return_val_if_fail (method != NULL, NULL);
  if (!commy_client_check (self, error)
      || !commy_client_init_request (self, &request, method, sunk, NULL, options, error))
    return NULL;
  commy_request_open_stream (&request, commy_client_get_timeout (self, request.guard));
  if (call_sync (self, &request, cancellable, &wait, &channel, error))
    stream = wait.stream;
  commy_request_clear (&request);
  return stream;
}
