/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams in the hot loop: raw bytes in the memory of the path itself. Nothing is allocated, no
 * value made, no queue used while messages are read as they come.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

/* --- writing --- */

static void
drop_span (CommyStream *self)
{
  self->span.data = NULL;
  commy_channel_unpin (self->pipe->channel);
}

/* While a span of this stream is open the path takes no frame: credit goes out behind it. */
static void
give_back (CommyStream *self, gsize credit)
{
  self->owed += credit;
  if (self->span.data != NULL || self->owed == 0)
    return;
  commy_pipe_give_back (self->pipe, self->owed - COMMY_FRAME_STREAM_COST);
  self->owed = 0;
}

/* Whether there was room now; else what to wait for. */
static CommyIo
try_reserve (CommyStream *self, gsize size, gboolean *out_room, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyIo io;

  *out_room = FALSE;
  if (!commy_stream_may_write (self, NULL, error))
    return COMMY_IO_CLOSED;
  if (self->pipe->tx_credit <= 0)
    return COMMY_IO_WOULD_BLOCK;
  io = commy_channel_reserve (channel, &self->spec, MAX (size, 1), &self->span);
  *out_room = io == COMMY_IO_WOULD_BLOCK;
  if (io != COMMY_IO_OK && io != COMMY_IO_WOULD_BLOCK)
    commy_channel_io_error (channel, io, error);
  return io;
}

static gboolean
prepare (CommyStream *self, GError **error)
{
  CommyPlugin *serializer;

  if (self->spec.type == COMMY_FRAME_DATA)
    return TRUE;
  serializer = commy_stream_serializer_for (self, COMMY_CAP_BYTES, error);
  if (serializer == NULL)
    return FALSE;
  self->spec = (CommyFrameSpec){ .type = COMMY_FRAME_DATA,
                                 .stream = self->pipe->id,
                                 .serializer = commy_channel_find_serializer (
                                     self->pipe->channel, serializer->note.id) };
  return TRUE;
}

gboolean
commy_stream_reserve (CommyStream *self, gsize size, CommySpan *out_span, GError **error)
{
  CommyChannel *channel;
  CommyIo io = COMMY_IO_CLOSED;
  gboolean room;

  g_return_val_if_fail (self->span.data == NULL, FALSE);
#ifdef G_ENABLE_DEBUG
  if (!commy_stream_check (self, error))
    return FALSE;
#endif
  channel = self->pipe->channel;
  commy_stream_begin_wait (self, NULL);
  if (commy_channel_is_reserved (channel) || self->writes.length > 0)
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "a span of this path is reserved, or writes of %s are under way: finish "
                     "them first",
                     self->method);
  else if (prepare (self, error))
    for (;;)
      {
        guint32 kick_seen = commy_channel_kick_seen (channel);

        io = try_reserve (self, size, &room, error);
        if (io != COMMY_IO_WOULD_BLOCK || !commy_stream_wait (self, room, kick_seen, NULL, error))
          break;
      }
  if (io == COMMY_IO_OK)
    {
      commy_channel_pin (channel);
      *out_span = self->span;
      out_span->size = size;
    }
  else
    self->span.data = NULL;
  commy_stream_end_wait (self, NULL, 0);
  return io == COMMY_IO_OK;
}

gboolean
commy_stream_commit (CommyStream *self, const CommySpan *span, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyWorker *worker = commy_channel_get_worker (channel);
  CommyFrameSpec spec = self->spec;
  gboolean ok = FALSE;

  g_return_val_if_fail (self->span.data != NULL && span->data == self->span.data, FALSE);
  g_return_val_if_fail (span->size <= self->span.size, FALSE);
  commy_worker_enter (worker);
  drop_span (self);
  if (!commy_stream_may_write (self, NULL, error))
    {
      if (commy_channel_is_open (channel))
        commy_channel_abandon (channel);
    }
  else if (commy_channel_commit (channel, &spec, span->size) != COMMY_IO_OK)
    commy_channel_io_error (channel, COMMY_IO_CLOSED, error);
  else
    {
      commy_pipe_charge (self->pipe, span->size);
      ok = TRUE;
    }
  give_back (self, 0);
  commy_worker_exit (worker);
  return ok;
}

gboolean
commy_stream_flush (CommyStream *self, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyWorker *worker = commy_channel_get_worker (channel);
  CommyIo io;

  commy_worker_enter (worker);
  io = commy_channel_flush (channel);
  if (io == COMMY_IO_WOULD_BLOCK)
    commy_worker_set_hot (worker, channel); /* the transport keeps the rest */
  else if (io != COMMY_IO_OK)
    commy_channel_io_error (channel, io, error);
  commy_worker_exit (worker);
  return io == COMMY_IO_OK || io == COMMY_IO_WOULD_BLOCK;
}

/* --- reading --- */

static gboolean
lend_kept (CommyStream *self, const guint8 **out_data, gsize *out_size, GError **error)
{
  CommyPipeMessage *first = commy_pipe_peek (self->pipe);

  if (first->signature != NULL)
    {
      commy_set_error (error, COMMY_ERROR_TYPE,
                       "the next message of %s is a value: use commy_stream_read()", self->method);
      return FALSE;
    }
  self->kept = commy_pipe_take (self->pipe);
  *out_data = g_bytes_get_data (first->bytes, out_size);
  self->peeked = TRUE;
  return TRUE;
}

static void
lend_taken (CommyStream *self, const guint8 **out_data, gsize *out_size)
{
  self->kept = NULL;
  *out_data = commy_incoming_payload (&self->lent);
  *out_size = self->lent.frame.payload_size;
  self->peeked = TRUE;
}

/* Waits until a message lies in the inbox (TRUE), was taken from the path (TRUE), or will not come.
 */
static gboolean
await_message (CommyStream *self, GError **error)
{
  CommyPipe *pipe = self->pipe;
  gpointer none = NULL;

  pipe->taker = &self->lent;
  for (;;)
    {
      guint32 kick_seen = commy_channel_kick_seen (pipe->channel);

      if (pipe->taker == NULL || pipe->inbox.length > 0)
        return TRUE;
      if (commy_stream_try_read (self, TRUE, &none, error)
          || !commy_stream_wait (self, FALSE, kick_seen, NULL, error))
        return FALSE;
    }
}

gboolean
commy_stream_peek (CommyStream *self, const guint8 **out_data, gsize *out_size, GError **error)
{
  gboolean there;

#ifdef G_ENABLE_DEBUG
  if (!commy_stream_check (self, error))
    return FALSE;
#endif
  g_return_val_if_fail (!self->peeked, FALSE);
  if (self->reads.length > 0)
    {
      commy_set_error (error, COMMY_ERROR_BUSY, "reads of %s are under way: wait for them first",
                       self->method);
      return FALSE;
    }
  commy_stream_begin_wait (self, NULL);
  there = await_message (self, error);
  if (there && self->pipe->taker == NULL)
    lend_taken (self, out_data, out_size);
  else if (there)
    there = lend_kept (self, out_data, out_size, error);
  self->pipe->taker = NULL;
  commy_stream_end_wait (self, NULL, 0);
  return there;
}

void
commy_stream_release (CommyStream *self)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);
  gsize size;

  if (!self->peeked)
    return;
  commy_worker_enter (worker);
  self->peeked = FALSE;
  if (self->kept != NULL)
    {
      size = g_bytes_get_size (self->kept->bytes);
      g_clear_pointer (&self->kept, commy_pipe_message_free);
    }
  else
    {
      size = self->lent.frame.payload_size;
      commy_incoming_release (self->pipe->channel, &self->lent);
    }
  give_back (self, size + COMMY_FRAME_STREAM_COST);
  commy_worker_exit (worker);
}

void
commy_stream_clear_hot (CommyStream *self)
{
  commy_stream_release (self);
  if (self->span.data == NULL)
    return;
  drop_span (self);
  if (commy_channel_is_open (self->pipe->channel))
    commy_channel_abandon (self->pipe->channel);
}
