/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sending trains: messages that are too large for one piece wait in memory and leave piece by
 * piece, as far as window and transport allow. Whoever looks for messages pumps.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

#include <string.h>

/* What one turn sends: the program that runs in the same thread wants its turn, too. */
#define PUMP_BYTES (4u * COMMY_TRAIN_PIECE)
#define PIECE_MIN 1024u
/* Smaller ones are kept as copies. */
#define PIECE_KEPT 4096u

static CommyTrainsOut *
trains (CommyChannel *self)
{
  if (self->trains_out == NULL)
    {
      self->trains_out = g_new0 (CommyTrainsOut, 1);
      self->trains_out->piece = COMMY_TRAIN_PIECE;
    }
  return self->trains_out;
}

static gboolean
has_trains (CommyChannel *self)
{
  return self->trains_out != NULL && self->trains_out->queue.n > 0;
}

gboolean
commy_train_is_needed (CommyChannel *self, const CommyFrameSpec *spec, gsize payload)
{
  return payload > self->cut_above
         || (G_UNLIKELY (has_trains (self))
             && commy_train_queue_is_lane_busy (&self->trains_out->queue, spec));
}

/* --- what comes in --- */

/* There is always room for one; two of the largest fit, one on its way and one that waits. */
static CommyIo
admit (CommyChannel *self, const CommyFrameSpec *spec, gsize size)
{
  CommyFrameSpec first = *spec;

  first.train = 1;
  if (self->closed)
    return COMMY_IO_CLOSED;
  if (size > self->shared->max_payload || commy_frame_prefix_size (&first) == 0)
    return COMMY_IO_TOO_BIG;
  if (!has_trains (self) || self->trains_out->queue.bytes + size <= 2 * self->shared->max_backlog)
    return COMMY_IO_OK;
  commy_counters_add (&self->counters, COMMY_COUNT_BLOCKED, 1);
  return COMMY_IO_WOULD_BLOCK;
}

static void
add (CommyChannel *self, CommyTrain *train)
{
  if (train->spec.deadline_ns != 0)
    train->deadline_ns = commy_env_now (self->shared->env)
                         + (gint64) MIN (train->spec.deadline_ns, G_MAXINT64 / 4);
  train->cargo = g_steal_pointer (&self->handles);
  train->cargo_free = commy_handles_free;
  commy_channel_count_sent (self, &train->spec, train->size);
  commy_train_queue_add (&trains (self)->queue, train);
  commy_worker_set_hot (self->worker, self);
  commy_train_pump (self);
}

static void
refer (CommyTrain *train, GBytes *bytes)
{
  train->bytes = bytes;
  train->data = g_bytes_get_data (bytes, &train->size);
}

/* The train owns the block: what was sent of it is kept by reference until it has arrived. */
static void
own (CommyTrain *train, guint8 *block, gsize size)
{
  refer (train, g_bytes_new_with_free_func (block, size, commy_block_free, block));
}

CommyIo
commy_train_reserve (CommyChannel *self,
                     const CommyFrameSpec *spec,
                     gsize payload,
                     CommySpan *out_span)
{
  CommyIo io = admit (self, spec, payload);
  CommyTrain *train;

  if (io != COMMY_IO_OK)
    return io;
  train = commy_train_new (spec);
  train->memory = commy_stock_take (self->shared->stock, payload);
  trains (self)->building = train;
  out_span->data = train->memory;
  out_span->size = payload;
  return COMMY_IO_OK;
}

void
commy_train_abandon (CommyChannel *self)
{
  if (self->trains_out != NULL)
    g_clear_pointer (&self->trains_out->building, commy_train_free);
}

CommyIo
commy_train_commit (CommyChannel *self, CommyFrameSpec *spec, gsize used)
{
  CommyTrain *built = g_steal_pointer (&self->trains_out->building);
  CommyTrain *train;
  CommyIo io = COMMY_IO_OK;

  if (self->closed)
    io = COMMY_IO_CLOSED;
  else if (!commy_train_is_needed (self, spec, used))
    io = commy_channel_send (self, spec, built->memory, used, TRUE); /* less than was expected */
  else
    {
      train = commy_train_new (spec);
      own (train, g_steal_pointer (&built->memory), used);
      add (self, train);
    }
  commy_train_free (built);
  return io;
}

CommyIo
commy_train_send (CommyChannel *self,
                  const CommyFrameSpec *spec,
                  GBytes *bytes,
                  gconstpointer payload,
                  gsize size)
{
  CommyIo io = admit (self, spec, size);
  CommyTrain *train;

  if (io != COMMY_IO_OK)
    return io;
  train = commy_train_new (spec);
  if (bytes != NULL)
    refer (train, g_bytes_ref (bytes));
  else if (size > 0)
    {
      guint8 *block = commy_stock_take (self->shared->stock, size);

      memcpy (block, payload, size);
      own (train, block, size);
    }
  add (self, train);
  return COMMY_IO_OK;
}

/* --- what goes out --- */

/* The frame of the next piece. */
static CommyFrameSpec
next_piece (CommyChannel *self, const CommyTrain *train, gsize *out_size)
{
  CommyTrainsOut *out = self->trains_out;
  CommyFrameSpec spec = { .type = COMMY_FRAME_FRAGMENT, .stream = train->id };

  *out_size = MIN (train->size - train->at, out->piece);
  if (train->id == 0)
    {
      spec = train->spec;
      if (train->deadline_ns != 0)
        spec.deadline_ns
            = (guint64) MAX (train->deadline_ns - commy_env_now (self->shared->env), 1);
      if (*out_size < train->size)
        {
          spec.train = out->last_id == G_MAXUINT32 ? 1 : out->last_id + 1;
          spec.train_size = train->size;
        }
    }
  spec.flags |= COMMY_FRAME_FLAG_ORDERED;
  spec.flow = self->flow;
  spec.ack = self->rx_sequence;
  return spec;
}

static void
keep_piece (CommyChannel *self,
            const CommyTrain *train,
            const CommyFrameSpec *spec,
            const CommySpan *span,
            gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);

  if (size < PIECE_KEPT)
    commy_keep_add (self->keep, spec->sequence, span->data, prefix + size);
  else
    commy_keep_add_piece (self->keep, spec->sequence, span->data, prefix, train->bytes, train->at,
                          size);
}

static CommyIo
send_piece (CommyChannel *self, CommyTrain *train)
{
  CommyTrainsOut *out = self->trains_out;
  gsize size;
  CommyFrameSpec spec = next_piece (self, train, &size);
  gsize prefix = commy_frame_prefix_size (&spec);
  CommySpan span;
  CommyIo io = self->ops->reserve (self->connection, prefix + size, &span);

  if (io == COMMY_IO_OK && G_UNLIKELY (train->cargo != NULL))
    {
      io = commy_channel_attach (self, train->cargo);
      if (io != COMMY_IO_OK)
        self->ops->commit (self->connection, 0);
      else
        g_clear_pointer ((CommyHandles **) &train->cargo, commy_handles_free);
    }
  if (io != COMMY_IO_OK)
    return io;
  spec.sequence = ++self->tx_sequence;
  commy_channel_acked_all (self);
  commy_frame_write (span.data, &spec, size);
  if (size > 0)
    memcpy (span.data + prefix, train->data + train->at, size);
  if (self->keep != NULL && !self->closing)
    keep_piece (self, train, &spec, &span, size);
  io = self->ops->commit (self->connection, prefix + size);
  if (io != COMMY_IO_OK && self->keep == NULL)
    return io;
  commy_window_sent (&out->window, spec.sequence, (guint32) (prefix + size),
                     commy_env_now (self->shared->env));
  train->at += size;
  out->alone += size;
  if (spec.train != 0)
    train->id = out->last_id = spec.train;
  return COMMY_IO_OK;
}

static void
after_piece (CommyChannel *self, CommyTrain *train)
{
  gboolean is_last = train->at == train->size;

  if (is_last && train->spec.type == COMMY_FRAME_CALL && !train->dropped)
    {
      CommyPendingSlot *slot = commy_pending_find (&self->pending, train->spec.stream);

      if (slot != NULL)
        slot->sent = TRUE;
    }
  commy_train_queue_sent (&self->trains_out->queue, train, is_last);
}

static gboolean
may_pump (CommyChannel *self)
{
  return has_trains (self) && !self->closed && self->span == NULL;
}

static gboolean
has_room (CommyChannel *self, const CommyTrain *train)
{
  gsize size = MIN (train->size - train->at, self->trains_out->piece);

  self->trains_out->window.floor
      = self->trains_out->alone >= COMMY_TRAIN_ALONE_AFTER ? COMMY_TRAIN_ALONE_FLOOR : 0;
  if (commy_channel_awaits_ack (self))
    return FALSE;
  return commy_window_has_room (&self->trains_out->window, size);
}

/* Up to @budget bytes; *@out_more: only the budget ended it. */
static void
pump (CommyChannel *self, gsize budget, gboolean with_window, gboolean *out_more)
{
  CommyTrainsOut *out = self->trains_out;
  CommyTrain *train;
  gsize sent = 0, held = 0, size;
  CommyIo io;

  *out_more = FALSE;
  out->stuck = self->ops->flush (self->connection) != COMMY_IO_OK;
  while (!out->stuck && (train = commy_train_queue_next (&out->queue)) != NULL)
    {
      if (with_window && !has_room (self, train))
        break;
      if (sent >= budget)
        {
          *out_more = TRUE;
          break;
        }
      size = MIN (train->size - train->at, out->piece);
      sent += size;
      io = send_piece (self, train);
      if (io == COMMY_IO_TOO_BIG && out->piece > PIECE_MIN)
        {
          out->piece /= 2; /* a connection may take less than is usual */
          continue;
        }
      out->stuck = io != COMMY_IO_OK;
      if (out->stuck)
        break;
      held += size;
      after_piece (self, train);
      /* Piece by piece: the peer works on one while the next is made. */
      if (out->alone >= COMMY_TRAIN_ALONE_AFTER && held < COMMY_TRAIN_ALONE_BATCH)
        continue;
      held = 0;
      out->stuck = self->ops->flush (self->connection) != COMMY_IO_OK;
    }
  if (held > 0)
    out->stuck |= self->ops->flush (self->connection) != COMMY_IO_OK;
}

gboolean
commy_train_pump (CommyChannel *self)
{
  gboolean more = FALSE;
  gboolean alone;

  if (!may_pump (self) || (self->backlog.length > 0 && !commy_channel_flush_backlog (self)))
    return FALSE;
  alone = self->trains_out->alone >= COMMY_TRAIN_ALONE_AFTER;
  pump (self, alone ? COMMY_TRAIN_ALONE_BATCH : PUMP_BYTES, TRUE, &more);
  return more;
}

gboolean
commy_train_is_ready (CommyChannel *self)
{
  CommyTrain *train;

  if (!may_pump (self) || self->trains_out->stuck || self->backlog.length > 0)
    return FALSE;
  train = commy_train_queue_next (&self->trains_out->queue);
  return train != NULL && has_room (self, train);
}

void
commy_train_hurry (CommyChannel *self)
{
  gboolean more;

  if (may_pump (self) && (self->backlog.length == 0 || commy_channel_flush_backlog (self)))
    pump (self, G_MAXSIZE, FALSE, &more);
}

void
commy_train_acked (CommyChannel *self, guint32 ack)
{
  CommyWindow *window = &self->trains_out->window;

  if (commy_window_is_news (window, ack) && (gint32) (self->tx_sequence - ack) >= 0)
    commy_window_acked (window, ack, commy_env_now (self->shared->env));
}

/* --- what goes once more --- */

static CommyFrameSpec
spec_of (const guint8 *data, const CommyFrame *frame)
{
  CommyFrameSpec spec = { .type = frame->type,
                          .flags = frame->flags,
                          .serializer = frame->serializer,
                          .stream = frame->stream,
                          .method = frame->method,
                          .dwell_ns = frame->dwell_ns,
                          .priority = (guint8) (frame->priority + 1),
                          .n_handles = frame->n_handles };

  if (frame->has_deadline)
    spec.deadline_ns = MAX (frame->deadline_ns, 1);
  if (frame->signature_size > 0)
    {
      spec.signature = (const char *) data + frame->signature_offset;
      spec.signature_size = frame->signature_size;
    }
  return spec;
}

static void
push_piece (GQueue *pieces, const CommyFrameSpec *spec, const guint8 *payload, gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);
  guint8 *data = g_malloc (prefix + size);

  commy_frame_write (data, spec, size);
  memcpy (data + prefix, payload, size);
  g_queue_push_tail (pieces, g_bytes_new_take (data, prefix + size));
}

void
commy_train_cut (CommyChannel *self, GBytes *bytes, GQueue *pieces)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  CommyFrame frame;
  CommyFrameSpec spec;

  if (size <= self->cut_above
      || commy_frame_parse (data, size, self->shared->max_payload, &frame) != COMMY_FRAME_OK
      || frame.payload_size <= self->cut_above)
    {
      g_queue_push_tail (pieces, g_bytes_ref (bytes));
      return;
    }
  spec = spec_of (data, &frame);
  spec.train = trains (self)->last_id == G_MAXUINT32 ? 1 : self->trains_out->last_id + 1;
  spec.train_size = frame.payload_size;
  self->trains_out->last_id = spec.train;
  for (gsize at = 0; at < frame.payload_size; at += COMMY_TRAIN_PIECE)
    {
      push_piece (pieces, &spec, data + frame.payload_offset + at,
                  MIN (frame.payload_size - at, COMMY_TRAIN_PIECE));
      spec = (CommyFrameSpec){ .type = COMMY_FRAME_FRAGMENT,
                               .flags = COMMY_FRAME_FLAG_ORDERED,
                               .stream = self->trains_out->last_id };
    }
}

/* --- what does not arrive --- */

gboolean
commy_channel_is_leaving (CommyChannel *self, CommyFrameType type, guint32 stream)
{
  return has_trains (self)
         && commy_train_queue_find (&self->trains_out->queue, type, stream) != NULL;
}

gboolean
commy_channel_on_left (
    CommyChannel *self, CommyFrameType type, guint32 stream, void (*done) (gpointer), gpointer data)
{
  CommyTrain *train
      = has_trains (self) ? commy_train_queue_find (&self->trains_out->queue, type, stream) : NULL;

  if (train == NULL && type == COMMY_FRAME_REPLY)
    return commy_channel_on_departed (self, done, data);
  if (train == NULL || train->done != NULL)
    return FALSE;
  train->done = done;
  train->done_data = data;
  return TRUE;
}

guint
commy_channel_drop_stream (CommyChannel *self, guint32 stream)
{
  guint n;

  if (!has_trains (self) || stream == 0)
    return 0;
  n = commy_train_queue_drop (&self->trains_out->queue, stream);
  if (n > 0)
    {
      commy_channel_charge (self, COMMY_DROP_CANCELLED, n);
      commy_worker_set_hot (self->worker, self);
      commy_train_pump (self);
    }
  return n;
}

static void
on_lost (gpointer data, const CommyTrain *train)
{
  guint64 *n = data;

  if (commy_channel_is_message (train->spec.type))
    *n += commy_frame_messages (train->spec.flags, train->spec.method, train->size);
}

gboolean
commy_train_is_under_way (CommyChannel *self, guint32 id)
{
  for (guint i = 0; has_trains (self) && i < COMMY_TRAIN_PRIORITIES; i++)
    {
      const CommyTrainLevel *level = &self->trains_out->queue.levels[i];

      for (guint k = 0; k < level->n_open; k++)
        if (level->open[k]->id == id)
          return TRUE;
    }
  return FALSE;
}

guint64
commy_train_lose (CommyChannel *self)
{
  guint64 n = 0;

  if (has_trains (self))
    commy_train_queue_clear (&self->trains_out->queue, on_lost, &n);
  return n;
}
