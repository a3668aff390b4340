/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One instance that an asynchronous call is sent to: from the choice of it to its answer, or to
 * where nobody waits for that any more.
 */
#include "config.h"

#include "mesh/commy-client-async.h"

#include "base/commy-error-private.h"

CommyAsyncAttempt *
commy_async_attempt_new (CommyAsyncCall *call, const CommyPick *picked)
{
  CommyAsyncAttempt *attempt = g_new0 (CommyAsyncAttempt, 1);

  g_atomic_ref_count_init (&attempt->refs);
  attempt->call = commy_async_call_ref (call);
  attempt->stack = *picked->stack;
  attempt->turn = picked->turn;
  commy_client_begin (call->client, &call->request, picked, &attempt->guarded);
  call->open[call->n_open++] = attempt;
  return attempt;
}

static CommyAsyncAttempt *
attempt_ref (CommyAsyncAttempt *attempt)
{
  g_atomic_ref_count_inc (&attempt->refs);
  return attempt;
}

static void
attempt_unref (CommyAsyncAttempt *attempt)
{
  if (!g_atomic_ref_count_dec (&attempt->refs))
    return;
  g_clear_pointer (&attempt->channel, commy_channel_unref);
  commy_async_call_unref (attempt->call);
  g_free (attempt);
}

static gboolean
attempt_is_open (const CommyAsyncAttempt *attempt)
{
  return attempt->guarded.peer != NULL;
}

void
commy_async_attempt_close (CommyAsyncAttempt *attempt, CommyOutcome outcome)
{
  CommyAsyncCall *call = attempt->call;
  guint at = 0;

  if (!attempt_is_open (attempt))
    return;
  while (call->open[at] != attempt)
    at++;
  call->open[at] = call->open[--call->n_open];
  commy_client_end (call->client, &attempt->guarded, attempt->turn, outcome);
  if (attempt->pending)
    {
      attempt->pending = FALSE;
      commy_channel_forget (attempt->channel, attempt->stream);
      attempt_unref (attempt); /* the pending slot's */
    }
  attempt_unref (attempt);
}

static void
attempt_failed (CommyAsyncAttempt *attempt, const GError *error, gboolean sent)
{
  CommyAsyncCall *call = commy_async_call_ref (attempt->call);

  commy_async_attempt_close (attempt, commy_outcome_judge (error, sent));
  commy_async_call_failed (call, error, sent);
  commy_async_call_unref (call);
}

/* --- sending --- */

static void
succeeded (CommyAsyncAttempt *attempt, CommyChannel *channel, CommyIncoming *incoming)
{
  CommyAsyncCall *call = attempt->call;
  g_autoptr (GError) error = NULL;
  gpointer result;

  commy_client_finish_call (call->client, call->request.flavour, channel, &attempt->stack,
                            attempt->sampled, call->request.size, incoming,
                            attempt->guarded.guarded.begun_ns);
  if (call->request.flavour == COMMY_FLAVOUR_HANDLES)
    call->result_handles = g_steal_pointer (&incoming->handles);
  if (call->request.flavour != COMMY_FLAVOUR_BYTES)
    result = commy_value_from_incoming (channel, incoming, &error);
  else
    result = commy_bytes_from_incoming (channel, incoming, &error);
  commy_async_call_finish (call, result,
                           call->request.flavour == COMMY_FLAVOUR_BYTES
                               ? (GDestroyNotify) g_bytes_unref
                               : (GDestroyNotify) g_variant_unref,
                           g_steal_pointer (&error));
}

static void
on_async_answer (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  CommyAsyncAttempt *attempt = data;

  attempt->pending = FALSE;
  if (error != NULL)
    attempt_failed (attempt, error, sent);
  else
    {
      attempt_ref (attempt);
      commy_async_attempt_close (attempt, COMMY_OUTCOME_OK);
      succeeded (attempt, channel, incoming);
      attempt_unref (attempt);
    }
  attempt_unref (attempt);
}

/* The same for a stream, which is there once the path has taken the request. */
static void
attempt_open (CommyAsyncAttempt *attempt)
{
  CommyAsyncCall *call = attempt->call;
  g_autoptr (GError) error = NULL;
  CommyChannel *channel = attempt->stack.path->channel;
  g_autoptr (CommyPipe) pipe = commy_pipe_open (channel, call->request.stream_deadline_ns, &error);

  if (pipe == NULL)
    attempt_failed (attempt, error, FALSE);
  else if (commy_request_send (&call->request, channel, attempt->stack.serializer, pipe->id, FALSE,
                               TRUE, &error)
           != COMMY_IO_OK)
    {
      commy_pipe_close (pipe);
      attempt_failed (attempt, error, FALSE);
    }
  else
    {
      CommyStream *stream = commy_stream_new_opened (
          call->client, &call->request, pipe, attempt->stack.serializer, attempt->guarded.peer);

      commy_async_call_finish (call, stream, g_object_unref, NULL);
    }
}

static void
send_attempt (CommyAsyncAttempt *attempt)
{
  CommyAsyncCall *call = attempt->call;
  CommyClient *client = call->client;
  g_autoptr (GError) error = NULL;
  CommyChannel *channel = attempt->stack.path->channel;
  CommyIo io;

  call->request.now_ns = commy_env_now (client->mesh->env);
  commy_client_start_clock (client, &call->request, &attempt->guarded);
  if (call->request.streams)
    {
      attempt_open (attempt);
      return;
    }
  attempt->sampled = commy_client_sample (client, &client->routes[call->request.flavour]);
  attempt->stream
      = commy_channel_expect (channel, call->request.deadline_ns, on_async_answer, attempt);
  if (attempt->stream == 0)
    {
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, &error);
      attempt_failed (attempt, error, FALSE);
      return;
    }
  attempt_ref (attempt); /* the pending slot's */
  attempt->channel = commy_channel_ref (channel);
  attempt->pending = TRUE;
  io = commy_request_send (&call->request, channel, attempt->stack.serializer, attempt->stream,
                           attempt->sampled, TRUE, &error);
  if (io != COMMY_IO_OK)
    {
      if (attempt->pending) /* else the channel closed meanwhile and has told the call */
        attempt_failed (attempt, error, FALSE);
      return;
    }
  commy_channel_mark_sent (channel, attempt->stream);
  commy_worker_set_hot (client->worker->worker, channel);
  commy_worker_need_deadline (client->worker->worker, call->request.deadline_ns);
  if (attempt->pending)
    commy_async_call_plan_hedge (call);
}

/* A channel that closes while it is written to ends the attempt at once. */
void
commy_async_attempt_send (CommyAsyncAttempt *attempt)
{
  attempt_ref (attempt);
  send_attempt (attempt);
  attempt_unref (attempt);
}

static void
on_path (gpointer data, CommyPath *path, const GError *error)
{
  CommyAsyncAttempt *attempt = data;
  CommyAsyncCall *call = attempt->call;

  if (!attempt_is_open (attempt))
    ; /* the call has ended */
  else if (error != NULL || !commy_path_is_up (path))
    {
      g_autoptr (GError) gone = NULL;

      if (error == NULL)
        commy_set_error (&gone, COMMY_ERROR_UNREACHABLE, "the channel closed at once");
      attempt_failed (attempt, error != NULL ? error : gone, FALSE);
    }
  else if (call->client->expectation != NULL && attempt->guarded.peer->instance->origin != NULL)
    {
      /* What it offers is known only now. */
      commy_tries_remove (&call->request.tries, attempt->guarded.peer);
      commy_async_attempt_close (attempt, COMMY_OUTCOME_ABANDONED);
      commy_async_call_step (call);
    }
  else
    commy_async_attempt_send (attempt);
  attempt_unref (attempt);
}

void
commy_async_attempt_connect (CommyAsyncAttempt *attempt)
{
  commy_path_connect (attempt->stack.path, on_path, attempt_ref (attempt));
}
