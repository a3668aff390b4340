/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams, waiting: the stream's own channel is polled, spun on and parked on; no main context
 * is iterated, and calls that arrive meanwhile wait for the worker's next turn.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

/* A park ends at least this often: the far end of a deadline is no number for every transport. */
#define LONGEST_PARK_NS (60 * INT64_C (1000000000))

static void
on_cancel_kick (GCancellable *cancellable, CommyWorker *worker)
{
  commy_worker_kick (worker);
}

gulong
commy_stream_begin_wait (CommyStream *self, GCancellable *cancellable)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);

  commy_worker_enter_sync (worker);
  if (cancellable == NULL)
    return 0;
  return g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_kick), worker, NULL);
}

void
commy_stream_end_wait (CommyStream *self, GCancellable *cancellable, gulong handler)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);

  if (handler != 0)
    g_cancellable_disconnect (cancellable, handler);
  /* Taking messages here disarmed the path: the loop must arm it again. */
  commy_worker_set_hot (worker, self->pipe->channel);
  commy_worker_leave_sync (worker);
  if (!commy_worker_is_attached (worker) && commy_worker_has_more (worker))
    commy_worker_turn (worker); /* nobody else does */
}

static gboolean
give_up (CommyStream *self, GCancellable *cancellable, GError **error)
{
  if (g_cancellable_is_cancelled (cancellable))
    commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
  else if (self->same_context)
    commy_set_error (error, COMMY_ERROR_WOULD_DEADLOCK,
                     "the service of %s runs in this very context: read and write "
                     "asynchronously, or give it workers",
                     self->method);
  else if (self->service != NULL
           && __atomic_load_n (&self->service->stops, __ATOMIC_ACQUIRE) != self->stops)
    commy_set_error (error, COMMY_ERROR_LEAVING, "%s was stopped before %s had ended",
                     self->service->name, self->method);
  else if (self->service == NULL && !commy_mesh_check_joined (COMMY_MESH (self->mesh), error))
    return TRUE;
  else
    return FALSE;
  return TRUE;
}

gboolean
commy_stream_wait (
    CommyStream *self, gboolean room, guint32 kick_seen, GCancellable *cancellable, GError **error)
{
  CommyPipe *pipe = self->pipe;
  gboolean others;
  gint64 now;

  if (commy_channel_poll (pipe->channel))
    return TRUE;
  if (give_up (self, cancellable, error))
    return FALSE;
  now = commy_env_now (commy_channel_get_shared (pipe->channel)->env);
  if (commy_pipe_expire (pipe, now))
    return TRUE;
  others = commy_channel_push (pipe->channel);
  /* Whoever finds the peer hung must see that somebody waits. */
  if (room)
    commy_pipe_await_room (pipe);
  commy_channel_wait (pipe->channel, MIN (pipe->deadline_ns, now + LONGEST_PARK_NS), room || others,
                      kick_seen);
  return TRUE;
}

/* --- writing --- */

static gboolean
may_wait (CommyStream *self, const GQueue *under_way, GError **error)
{
  if (!commy_stream_check (self, error))
    return FALSE;
  if (under_way->length == 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "asynchronous operations of %s are under way: wait for them first",
                   self->method);
  return FALSE;
}

static gboolean
write_sync (
    CommyStream *self, GVariant *value, GBytes *bytes, GCancellable *cancellable, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  gulong handler;
  gboolean room;
  CommyIo io;

  if (!may_wait (self, &self->writes, error))
    return FALSE;
  handler = commy_stream_begin_wait (self, cancellable);
  if (commy_channel_is_reserved (channel))
    {
      commy_set_error (error, COMMY_ERROR_BUSY,
                       "a span is reserved on this path: exchange or discard it first");
      io = COMMY_IO_CLOSED;
    }
  else
    for (;;)
      {
        guint32 kick_seen = commy_channel_kick_seen (channel);

        io = commy_stream_try_write (self, value, bytes, &room, error);
        if (io != COMMY_IO_WOULD_BLOCK
            || !commy_stream_wait (self, room, kick_seen, cancellable, error))
          break;
      }
  commy_stream_end_wait (self, cancellable, handler);
  return io == COMMY_IO_OK;
}

gboolean
commy_stream_write_sync (CommyStream *self,
                         GVariant *message,
                         GCancellable *cancellable,
                         GError **error)
{
  g_autoptr (GVariant) sunk = NULL;

  g_return_val_if_fail (COMMY_IS_STREAM (self), FALSE);
  g_return_val_if_fail (message != NULL, FALSE);
  sunk = g_variant_ref_sink (message);
  return write_sync (self, sunk, NULL, cancellable, error);
}

gboolean
commy_stream_write_bytes_sync (CommyStream *self,
                               GBytes *bytes,
                               GCancellable *cancellable,
                               GError **error)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), FALSE);
  g_return_val_if_fail (bytes != NULL, FALSE);
  return write_sync (self, NULL, bytes, cancellable, error);
}

/* --- reading --- */

static gpointer
read_sync (CommyStream *self, gboolean as_bytes, GCancellable *cancellable, GError **error)
{
  gpointer message = NULL;
  gulong handler;

  if (!may_wait (self, &self->reads, error))
    return NULL;
  handler = commy_stream_begin_wait (self, cancellable);
  for (;;)
    {
      guint32 kick_seen = commy_channel_kick_seen (self->pipe->channel);

      if (commy_stream_try_read (self, as_bytes, &message, error)
          || !commy_stream_wait (self, FALSE, kick_seen, cancellable, error))
        break;
    }
  commy_stream_end_wait (self, cancellable, handler);
  return message;
}

GVariant *
commy_stream_read_sync (CommyStream *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  return read_sync (self, FALSE, cancellable, error);
}

GBytes *
commy_stream_read_bytes_sync (CommyStream *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  return read_sync (self, TRUE, cancellable, error);
}

GVariant *
commy_stream_wait_result_sync (CommyStream *self, GCancellable *cancellable, GError **error)
{
  GVariant *result = NULL;
  gulong handler;

  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  if (!commy_stream_check (self, error))
    return NULL;
  handler = commy_stream_begin_wait (self, cancellable);
  for (;;)
    {
      guint32 kick_seen = commy_channel_kick_seen (self->pipe->channel);

      if (commy_stream_try_result (self, &result, error)
          || !commy_stream_wait (self, FALSE, kick_seen, cancellable, error))
        break;
    }
  commy_stream_end_wait (self, cancellable, handler);
  return result;
}
