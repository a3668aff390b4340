/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams in the hot loop: raw bytes in the memory of the path itself. Nothing is allocated, no
 * value made, no queue used while messages are read as they come. Small messages of one size that
 * are flushed together share a frame: then most of them cost their copy and a few instructions.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

#include <string.h>

/* With its header and a transport's mark a frame of 2 KiB, which is what is carried without a loan
 * where there are loans. */
#define RUN_BYTES 2008u

/* --- writing --- */

/* While a span of this stream is written to the path takes no frame: credit goes out behind it. */
static void
give_back (CommyStream *self, gsize credit)
{
  self->owed += credit;
  if (self->span.data != NULL || self->owed == 0)
    return;
  commy_pipe_give_back (self->pipe, self->owed);
  self->owed = 0;
}

/* Gives the reservation back to the path. The path may be one that was left, which stays until it
 * is not pinned any more. */
static void
abandon (CommyStream *self)
{
  CommyChannel *channel = self->pipe->channel;

  if (commy_channel_is_open (channel))
    commy_channel_abandon (channel);
  commy_channel_unpin (channel);
}

/* What was written to the reservation becomes a frame. */
static gboolean
publish (CommyStream *self, CommyFrameSpec *spec, gsize size, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyIo io;

  if (!commy_stream_may_write (self, NULL, error))
    {
      abandon (self);
      return FALSE;
    }
  io = commy_channel_commit (channel, spec, size);
  commy_channel_unpin (channel);
  if (io != COMMY_IO_OK)
    {
      commy_channel_io_error (channel, COMMY_IO_CLOSED, error);
      return FALSE;
    }
  commy_pipe_charge (self->pipe, size);
  return TRUE;
}

/* Sends what was committed of a run, if anything was. Inside the worker. */
static gboolean
end_run (CommyStream *self, GError **error)
{
  CommyRun run = self->run;
  gsize bytes = (gsize) (run.at - run.begin);
  CommyFrameSpec spec = self->spec;

  self->run = (CommyRun){ 0 };
  commy_channel_lend (self->pipe->channel, NULL, NULL);
  if (bytes == 0)
    {
      abandon (self);
      return TRUE;
    }
  if (bytes == run.stride)
    return publish (self, &spec, run.size, error);
  spec.flags |= COMMY_FRAME_FLAG_RUN;
  spec.method = (guint32) run.size;
  return publish (self, &spec, bytes, error);
}

/* The path is wanted for something else. */
static gboolean
on_wanted (gpointer stream)
{
  CommyStream *self = stream;

  if (self->span.data != NULL)
    return FALSE;
  end_run (self, NULL);
  return TRUE;
}

static void
begin_run (CommyStream *self, gsize size)
{
  gsize stride = commy_frame_stride (size);

  self->run = (CommyRun){ .begin = self->span.data,
                          .at = self->span.data,
                          .size = size,
                          .stride = stride,
                          .n_left = self->span.size / stride };
  if (stride > size)
    memset (self->span.data, 0, self->span.size); /* nobody writes what is between them */
  commy_channel_lend (self->pipe->channel, on_wanted, self);
}

void
commy_stream_end_run (CommyStream *self)
{
  if (self->run.begin != NULL && self->span.data == NULL)
    end_run (self, NULL);
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
  io = commy_channel_reserve (channel, &self->spec, size, &self->span);
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
  self->spec
      = (CommyFrameSpec){ .type = COMMY_FRAME_DATA,
                          .stream = self->pipe->id,
                          .serializer = commy_channel_wire_of (self->pipe->channel, serializer) };
  return TRUE;
}

/* Reserves @room bytes, waiting if need be; they are in self->span. */
static gboolean
reserve_on_path (CommyStream *self, gsize room, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyIo io = COMMY_IO_CLOSED;
  gboolean wait_for_room;

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

        io = try_reserve (self, room, &wait_for_room, error);
        if (io != COMMY_IO_WOULD_BLOCK
            || !commy_stream_wait (self, wait_for_room, kick_seen, NULL, error))
          break;
      }
  if (io == COMMY_IO_OK)
    commy_channel_pin (channel);
  else
    self->span.data = NULL;
  commy_stream_end_wait (self, NULL, 0);
  return io == COMMY_IO_OK;
}

/* Several small messages before a flush share a frame. A lone one does not, because room for many
 * costs it more than a header. */
static gboolean
wants_run (const CommyStream *self, gsize size)
{
  return size > 0 && size <= RUN_BYTES / 4 && (self->since_flush > 0 || self->flushes_many)
         && commy_channel_takes_runs (self->pipe->channel);
}

/* Out of line, as all that is not needed for most messages of a run: their few instructions would
 * else stand behind a long prologue. */
static gboolean __attribute__ ((noinline))
reserve_slowly (CommyStream *self, gsize size, CommySpan *out_span, GError **error)
{
  gboolean run = wants_run (self, size);

  if (!reserve_on_path (self, run ? RUN_BYTES : MAX (size, 1), error))
    return FALSE;
  if (run)
    begin_run (self, size);
  out_span->data = self->span.data;
  out_span->size = size;
  self->span.size = run ? size : self->span.size;
  return TRUE;
}

gboolean
commy_stream_reserve (CommyStream *self, gsize size, CommySpan *out_span, GError **error)
{
  g_return_val_if_fail (self->span.data == NULL, FALSE);
#ifdef G_ENABLE_DEBUG
  if (!commy_stream_check (self, error))
    return FALSE;
#endif
  if (G_LIKELY (self->run.n_left > 0 && size == self->run.size))
    {
      /* Word by word: what is copied whole right after it was written in parts costs a stall. */
      out_span->data = self->span.data = self->run.at;
      out_span->size = self->span.size = size;
      return TRUE;
    }
  return reserve_slowly (self, size, out_span, error);
}

/* A message that turned out smaller than its neighbours in the run goes alone, behind them. */
static gboolean
commit_apart (CommyStream *self, gsize size, GError **error)
{
  g_autofree guint8 *copy = g_memdup2 (self->span.data, MAX (size, 1));

  self->span.data = NULL;
  if (!reserve_on_path (self, MAX (size, 1), error))
    return FALSE;
  memcpy (self->span.data, copy, size);
  return TRUE;
}

static gboolean
commit_alone (CommyStream *self, gsize size, GError **error)
{
  CommyFrameSpec spec = self->spec;

  self->span.data = NULL;
  return publish (self, &spec, size, error);
}

static inline void
commit_in_run (CommyStream *self)
{
  self->run.at += self->run.stride;
  self->run.n_left--;
  self->span.data = NULL;
}

static gboolean __attribute__ ((noinline))
commit_slowly (CommyStream *self, gsize size, GError **error)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);
  gboolean ok;

  commy_worker_enter (worker);
  if (self->run.begin != NULL && size == self->run.size)
    {
      commit_in_run (self);
      ok = self->pipe->is_open || end_run (self, error);
    }
  else
    ok = (self->run.begin == NULL || commit_apart (self, size, error))
         && commit_alone (self, size, error);
  give_back (self, 0);
  commy_worker_exit (worker);
  return ok;
}

gboolean
commy_stream_commit (CommyStream *self, const CommySpan *span, GError **error)
{
  g_return_val_if_fail (self->span.data != NULL && span->data == self->span.data, FALSE);
  g_return_val_if_fail (span->size <= self->span.size, FALSE);
  self->since_flush++;
  if (G_LIKELY (self->run.n_left > 0 && span->size == self->run.size && self->owed == 0
                && __atomic_load_n (&self->pipe->is_open, __ATOMIC_RELAXED)))
    {
      commit_in_run (self);
      return TRUE;
    }
  return commit_slowly (self, span->size, error);
}

/* What is written from now on is flushed at another time than what was before. */
static void
end_batch (CommyStream *self)
{
  self->flushes_many = self->since_flush > 1;
  self->since_flush = 0;
}

gboolean
commy_stream_flush (CommyStream *self, GError **error)
{
  CommyChannel *channel = self->pipe->channel;
  CommyWorker *worker = commy_channel_get_worker (channel);
  gboolean ok = TRUE;
  CommyIo io;

  commy_worker_enter (worker);
  end_batch (self);
  if (self->run.begin != NULL && self->span.data == NULL)
    ok = end_run (self, error);
  io = commy_channel_flush (channel);
  if (io == COMMY_IO_WOULD_BLOCK)
    commy_worker_set_hot (worker, channel); /* the transport keeps the rest */
  else if (io != COMMY_IO_OK && ok)
    commy_channel_io_error (channel, io, error);
  commy_worker_exit (worker);
  return ok && (io == COMMY_IO_OK || io == COMMY_IO_WOULD_BLOCK);
}

/* --- reading --- */

static gboolean
lend_kept (CommyStream *self, const guint8 **out_data, gsize *out_size, GError **error)
{
  if (commy_pipe_peek (self->pipe)->signature != NULL)
    {
      commy_set_error (error, COMMY_ERROR_TYPE,
                       "the next message of %s is a value: use commy_stream_read()", self->method);
      return FALSE;
    }
  self->kept = commy_pipe_take (self->pipe);
  *out_data = g_bytes_get_data (self->kept->bytes, out_size);
  self->peeked = TRUE;
  return TRUE;
}

static inline void
lend_next (CommyStream *self, const guint8 **out_data, gsize *out_size)
{
  *out_data = self->lent_run.at;
  *out_size = self->lent_run.size;
  self->peeked = TRUE;
}

/* A frame lies in self->lent. */
static void
begin_lending (CommyStream *self)
{
  const CommyFrame *frame = &self->lent.frame;
  gboolean is_run = (frame->flags & COMMY_FRAME_FLAG_RUN) != 0;

  self->kept = NULL;
  self->lent_run = (CommyLentRun){ .at = commy_incoming_payload (&self->lent),
                                   .size = is_run ? frame->method : frame->payload_size,
                                   .stride = commy_frame_stride (frame->method),
                                   .n = commy_frame_messages (frame->flags, frame->method,
                                                              frame->payload_size) };
  self->lent_credit = frame->payload_size + COMMY_FRAME_STREAM_COST;
  if (self->lent_run.n > 1)
    commy_pipe_hold (self->pipe);
}

/* The frame that was lent is not needed any more. Inside the worker. */
static void
end_lending (CommyStream *self)
{
  self->lent_run.n = 0;
  commy_pipe_let_go (self->pipe);
  commy_incoming_release (self->pipe->channel, &self->lent);
  give_back (self, self->lent_credit);
}

void
commy_stream_keep_rest (CommyStream *self)
{
  guint n_lent = self->peeked && self->kept == NULL;
  gsize size = (self->lent_run.n - n_lent) * self->lent_run.stride;

  if (size == 0)
    return;
  commy_pipe_put_back (self->pipe, self->lent_run.at + n_lent * self->lent_run.stride, size,
                       self->lent_run.size, self->lent.frame.serializer, size);
  self->lent_credit -= size;
  self->lent_run.n = n_lent;
  if (n_lent == 0)
    end_lending (self);
}

/* What a cancelled stream had taken and not lent is dropped. */
static void
drop_rest (CommyStream *self)
{
  const CommyChannelShared *shared = commy_channel_get_shared (self->pipe->channel);

  commy_ledger_add (shared->ledger, COMMY_DROP_CANCELLED, self->lent_run.n, self->method);
  end_lending (self);
}

/* Whether a frame was taken whose rest can be read. */
static gboolean
has_rest (CommyStream *self)
{
  if (self->lent_run.n > 0
      && g_error_matches (self->pipe->error, COMMY_ERROR, COMMY_ERROR_CANCELLED))
    drop_rest (self);
  return self->lent_run.n > 0;
}

GBytes *
commy_stream_take_lent (CommyStream *self)
{
  GBytes *bytes;

  if (!has_rest (self))
    return NULL;
  bytes = g_bytes_new (self->lent_run.at, self->lent_run.size);
  self->lent_run.at += self->lent_run.stride;
  if (--self->lent_run.n == 0)
    end_lending (self);
  return bytes;
}

/* Waits until a message lies in the inbox (TRUE), was taken from the path (TRUE), or will not come.
 */
static gboolean
await_message (CommyStream *self, GError **error)
{
  CommyPipe *pipe = self->pipe;
  gpointer none = NULL;

  if (has_rest (self))
    return TRUE;
  pipe->taker = &self->lent;
  for (;;)
    {
      guint32 kick_seen = commy_channel_kick_seen (pipe->channel);

      if (pipe->taker == NULL)
        begin_lending (self);
      if (self->lent_run.n > 0 || pipe->inbox.length > 0)
        return TRUE;
      if (commy_stream_try_read (self, TRUE, &none, error)
          || !commy_stream_wait (self, FALSE, kick_seen, NULL, error))
        return FALSE;
    }
}

/* The next large message can be written while this one is read: what is unread is what nobody has
 * begun to read. With small ones there is always more than one under way. */
static void
give_back_early (CommyStream *self)
{
  gint64 window = commy_channel_get_shared (self->pipe->channel)->stream_window;
  gsize *credit = self->kept != NULL ? &self->kept->credit : &self->lent_credit;
  gsize given = *credit;

  if (self->lent_run.n > 1 || given < (gsize) window / 4)
    return;
  *credit = 0;
  give_back (self, given);
}

static gboolean __attribute__ ((noinline))
peek_slowly (CommyStream *self, const guint8 **out_data, gsize *out_size, GError **error)
{
  gboolean there;

  if (self->reads.length > 0)
    {
      commy_set_error (error, COMMY_ERROR_BUSY, "reads of %s are under way: wait for them first",
                       self->method);
      return FALSE;
    }
  if (self->since_flush > 0)
    end_batch (self); /* who waits for a message sends what there is */
  commy_stream_begin_wait (self, NULL);
  there = await_message (self, error);
  if (there && self->lent_run.n > 0)
    lend_next (self, out_data, out_size);
  else if (there)
    there = lend_kept (self, out_data, out_size, error);
  self->pipe->taker = NULL;
  if (there)
    give_back_early (self);
  commy_stream_end_wait (self, NULL, 0);
  return there;
}

gboolean
commy_stream_peek (CommyStream *self, const guint8 **out_data, gsize *out_size, GError **error)
{
#ifdef G_ENABLE_DEBUG
  if (!commy_stream_check (self, error))
    return FALSE;
#endif
  g_return_val_if_fail (!self->peeked, FALSE);
  if (G_LIKELY (self->lent_run.n > 0
                && __atomic_load_n (&self->pipe->error, __ATOMIC_RELAXED) == NULL))
    {
      lend_next (self, out_data, out_size);
      return TRUE;
    }
  return peek_slowly (self, out_data, out_size, error);
}

static void __attribute__ ((noinline)) release_slowly (CommyStream *self)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);
  gsize credit;

  commy_worker_enter (worker);
  if (self->kept != NULL)
    {
      credit = self->kept->credit;
      g_clear_pointer (&self->kept, commy_pipe_message_free);
      give_back (self, credit);
    }
  else
    end_lending (self);
  commy_worker_exit (worker);
}

void
commy_stream_release (CommyStream *self)
{
  if (!self->peeked)
    return;
  self->peeked = FALSE;
  if (G_UNLIKELY (self->lent_run.n <= 1))
    {
      release_slowly (self);
      return;
    }
  self->lent_run.at += self->lent_run.stride;
  self->lent_run.n--;
}

void
commy_stream_clear_hot (CommyStream *self)
{
  commy_stream_release (self);
  if (self->lent_run.n > 0)
    drop_rest (self);
  if (self->span.data != NULL && self->run.begin == NULL)
    abandon (self);
  self->span.data = NULL;
  commy_stream_end_run (self);
}
