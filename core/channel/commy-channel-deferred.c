/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that arrive while a handler of the same worker waits synchronously, or before a policy
 * engine has said whether they may be made, and what comes behind those: they are copied out of
 * the path, kept in order up to a limit, and run from a later turn of the worker, never inside the
 * handler that waits.
 */
#include "config.h"

#include "channel/commy-channel-rights.h"
#include "channel/commy-channel-stream.h"

#include <string.h>

/* Descriptors that wait here: this process has not many, and others need them, too. */
#define MOST_HANDLES (2 * COMMY_FRAME_HANDLES_MAX)
#define TOO_MANY_FOR_ENGINE "too many calls wait for the policy engine to answer"

typedef struct
{
  CommyIncoming incoming;
  gpointer method; /* the handler's */
  guint32
      undecided; /* id of the method, of which an engine has not said whether it may be called */
  gboolean by_engine; /* it is what the call waits for, itself or behind another */
  CommyPipe *pipe;    /* NULL: not a stream */
  gsize size;
  gint64 since_ns;
} DeferredCall;

static void
deferred_free (gpointer data)
{
  DeferredCall *call = data;

  commy_block_free (call->incoming.copy);
  g_clear_object (&call->incoming.handles);
  commy_pipe_unref (call->pipe);
  g_free (call);
}

/* A stream that nobody took on was refused. */
static void
run (CommyChannel *self, gpointer method, CommyIncoming *incoming, CommyPipe *pipe)
{
  self->handler->call (self->handler_data, self, method, incoming);
  if (pipe != NULL && pipe->owner == NULL)
    commy_pipe_close (pipe);
}

static gboolean
is_undecided (CommyChannel *self, const DeferredCall *call)
{
  return call->undecided != 0
         && g_array_index (self->methods_in, CommyIncomingMethod, call->undecided - 1).waits;
}

/* Whether an engine, not a handler, is what holds calls up. */
static gboolean
waits_for_engine (CommyChannel *self)
{
  return self->deferred.length > 0 && is_undecided (self, self->deferred.head->data);
}

static guint
count_handles (const CommyIncoming *incoming)
{
  return incoming->handles != NULL ? (guint) g_unix_fd_list_get_length (incoming->handles) : 0;
}

/* NULL: there is no room for it. */
static DeferredCall *
defer (CommyChannel *self, gpointer method, CommyIncoming *incoming, CommyPipe *pipe)
{
  gsize size = incoming->frame.payload_offset + incoming->frame.payload_size;
  guint n_handles = count_handles (incoming);
  DeferredCall *call;

  if (self->deferred.length >= self->shared->max_pending
      || self->deferred_bytes + size > self->shared->max_backlog
      || self->deferred_handles + n_handles > MOST_HANDLES)
    return NULL;
  call = g_new0 (DeferredCall, 1);
  call->incoming.frame = incoming->frame;
  call->incoming.copy = commy_stock_take (self->shared->stock, size);
  memcpy (call->incoming.copy, incoming->bytes, size);
  call->incoming.bytes = call->incoming.copy;
  call->incoming.handles = g_steal_pointer (&incoming->handles);
  call->size = size;
  call->method = method;
  call->pipe = pipe != NULL ? commy_pipe_ref (pipe) : NULL;
  call->by_engine = method == NULL || waits_for_engine (self);
  call->since_ns = commy_env_now (self->shared->env);
  self->deferred_bytes += size;
  self->deferred_handles += n_handles;
  g_queue_push_tail (&self->deferred, call);
  commy_worker_set_hot (self->worker, self);
  return call;
}

/* Before the call may wait: a stream's messages may come right behind it. FALSE: it was refused. */
static gboolean
accept_pipe (CommyChannel *self, CommyIncoming *incoming, CommyPipe **out_pipe)
{
  CommyPipe *accepted;

  *out_pipe = NULL;
  if ((incoming->frame.flags & COMMY_FRAME_FLAG_STREAM) == 0)
    return TRUE;
  accepted = commy_channel_accept_pipe (self, incoming);
  if (accepted != NULL)
    *out_pipe = commy_pipe_ref (accepted);
  return accepted != NULL;
}

void
commy_channel_take_call (CommyChannel *self, gpointer method, CommyIncoming *incoming)
{
  g_autoptr (CommyPipe) pipe = NULL;

  if (!accept_pipe (self, incoming, &pipe))
    return;
  if (!commy_worker_in_sync (self->worker) && self->deferred.length == 0)
    run (self, method, incoming, pipe);
  else if (defer (self, method, incoming, pipe) == NULL)
    {
      commy_channel_refuse_call (
          self, incoming, COMMY_DROP_BUSY, COMMY_ERROR_BUSY,
          waits_for_engine (self)
              ? TOO_MANY_FOR_ENGINE
              : "too many calls wait behind a handler that waits: give the service workers");
      if (pipe != NULL)
        commy_pipe_close (pipe);
    }
}

void
commy_channel_await_call (CommyChannel *self, CommyIncoming *incoming)
{
  g_autoptr (CommyPipe) pipe = NULL;
  DeferredCall *call;

  if (!accept_pipe (self, incoming, &pipe))
    return;
  call = defer (self, NULL, incoming, pipe);
  if (call == NULL)
    {
      commy_counters_add (&self->counters, COMMY_COUNT_SERVED, 1);
      commy_channel_refuse_call (self, incoming, COMMY_DROP_BUSY, COMMY_ERROR_BUSY,
                                 TOO_MANY_FOR_ENGINE);
      if (pipe != NULL)
        commy_pipe_close (pipe);
      return;
    }
  call->undecided = incoming->frame.method;
  if (pipe != NULL)
    pipe->undecided = TRUE;
}

/* The engine has spoken of it, and the call may be made; else it was refused. */
static gboolean
is_admitted (CommyChannel *self, DeferredCall *call, CommyIncomingMethod *method)
{
  if (method == NULL)
    return TRUE;
  if (!commy_channel_admit (self, method, &call->incoming))
    {
      if (call->pipe != NULL)
        commy_pipe_close (call->pipe);
      return FALSE;
    }
  call->method = method->method;
  if (call->pipe == NULL)
    return TRUE;
  call->pipe->undecided = FALSE;
  commy_channel_watch_rights (self, call->pipe);
  return TRUE;
}

static void
refuse_late (CommyChannel *self, DeferredCall *call)
{
  const char *why = call->by_engine ? "the deadline passed while the policy engine was asked"
                                    : "the deadline passed while a handler of the service waited";

  commy_channel_refuse_call (self, &call->incoming, COMMY_DROP_DEADLINE, COMMY_ERROR_DEADLINE, why);
  if (call->pipe != NULL)
    commy_pipe_close (call->pipe);
}

/* One of which nothing was decided has not been counted, either. */
static void
count_undecided (CommyChannel *self, const DeferredCall *call)
{
  if (call->undecided != 0)
    commy_counters_add (&self->counters, COMMY_COUNT_SERVED, 1);
}

/* What it waited counts against its deadline. Whether it still matters. */
static gboolean
still_wanted (CommyChannel *self, DeferredCall *call)
{
  CommyFrame *frame = &call->incoming.frame;
  guint64 waited = (guint64) MAX (commy_env_now (self->shared->env) - call->since_ns, 0);

  if (call->pipe != NULL && !call->pipe->is_open)
    {
      count_undecided (self, call);
      commy_ledger_add (self->shared->ledger, COMMY_DROP_CANCELLED, 1, self->service);
      return FALSE;
    }
  if (!frame->has_deadline)
    return TRUE;
  if (frame->deadline_ns <= waited)
    {
      count_undecided (self, call);
      refuse_late (self, call);
      return FALSE;
    }
  frame->deadline_ns -= waited;
  return TRUE;
}

/* What it might when it came may be denied by now; while an engine is asked again it still may. */
static gboolean
still_permitted (CommyChannel *self, DeferredCall *call)
{
  const CommyIncomingMethod *method
      = &g_array_index (self->methods_in, CommyIncomingMethod, call->incoming.frame.method - 1);
  g_autofree char *why = NULL;

  if (call->undecided != 0 || method->allowed || method->waits)
    return TRUE;
  why = commy_channel_dup_denial (self, method);
  commy_channel_refuse_call (self, &call->incoming, COMMY_DROP_DENIED, COMMY_ERROR_DENIED, why);
  if (call->pipe != NULL)
    commy_pipe_close (call->pipe);
  return FALSE;
}

gboolean
commy_channel_has_deferred (CommyChannel *self)
{
  return self->deferred.length > 0 && !commy_worker_in_sync (self->worker)
         && !is_undecided (self, self->deferred.head->data);
}

gboolean
commy_channel_run_deferred (CommyChannel *self, guint budget)
{
  gboolean any = FALSE;

  while (budget-- > 0 && commy_channel_has_deferred (self))
    {
      DeferredCall *call = self->deferred.head->data;
      CommyIncomingMethod *method = NULL;

      if (call->undecided != 0)
        {
          method = commy_channel_permit (self, call->undecided);
          if (method == NULL)
            break;
        }
      else
        commy_channel_note_policy (self);
      /* Another policy may end streams, and the channel with them: the call went, too. */
      if (self->closed)
        break;
      g_queue_pop_head (&self->deferred);
      any = TRUE;
      self->deferred_bytes -= call->size;
      self->deferred_handles -= count_handles (&call->incoming);
      if (still_wanted (self, call) && still_permitted (self, call)
          && is_admitted (self, call, method))
        run (self, call->method, &call->incoming, call->pipe);
      deferred_free (call);
    }
  return any;
}

void
commy_channel_clear_deferred (CommyChannel *self)
{
  if (self->deferred.length > 0)
    commy_ledger_add (self->shared->ledger, COMMY_DROP_PEER_GONE, self->deferred.length,
                      self->peer_node);
  g_queue_clear_full (&self->deferred, deferred_free);
  self->deferred_bytes = 0;
  self->deferred_handles = 0;
}
