/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames in two parts: header and extensions, which are of one channel, and a payload in memory
 * that several channels share (commy-pool.h). Sending one, and putting one together that came.
 */
#include "config.h"

#include "channel/commy-channel-private.h"
#include "channel/commy-pool.h"

gboolean
commy_path_has_bodies (const CommyPlugin *transport, gpointer connection)
{
  return transport->ops.transport.body (connection, NULL, NULL, NULL);
}

gboolean
commy_channel_borrows (CommyChannel *channel)
{
  return channel->borrows;
}

/* What keeps a frame of the flow from going out now, or OK. */
static CommyIo
may_send (CommyChannel *self, const CommyFrameSpec *spec, gsize size)
{
  commy_channel_settle (self); /* which may close it */
  if (self->closed)
    return COMMY_IO_CLOSED;
  if (size > self->shared->max_payload || commy_frame_prefix_size (spec) == 0)
    return COMMY_IO_TOO_BIG;
  if (commy_channel_is_reserved (self))
    return COMMY_IO_WOULD_BLOCK;
  /* What is cut or copied until it has arrived goes the way of all others. */
  if (self->keep != NULL || commy_train_is_needed (self, spec, size))
    return COMMY_IO_UNSUPPORTED;
  if (self->backlog.length > 0 && !commy_channel_flush_backlog (self))
    return self->closed ? COMMY_IO_CLOSED : COMMY_IO_WOULD_BLOCK;
  return COMMY_IO_OK;
}

/* It has its place in the flow, and its number. */
static void
count (CommyChannel *self, const CommyFrameSpec *spec, gsize size)
{
  self->tx_sequence = spec->sequence;
  commy_channel_acked_all (self);
  if (self->trains_out != NULL)
    self->trains_out->alone = 0;
  commy_channel_count_sent (self, spec, size);
  __atomic_store_n (&self->n_lent, self->n_lent + 1, __ATOMIC_RELAXED);
}

CommyIo
commy_channel_send_shared (CommyChannel *self,
                           CommyFrameSpec *spec,
                           CommyBuffer *buffer,
                           gsize size)
{
  _Alignas(8) guint8 head[COMMY_FRAME_HEADER_SIZE + COMMY_FRAME_EXT_MAX];
  gsize prefix;
  CommyIo io;

  if (size == 0 || !commy_pool_reaches (buffer->pool, self)
      || !commy_pool_admits (buffer->pool, self))
    return COMMY_IO_UNSUPPORTED;
  io = may_send (self, spec, size);
  if (io != COMMY_IO_OK)
    return io;
  spec->flags |= COMMY_FRAME_FLAG_ORDERED;
  spec->flow = self->flow;
  spec->sequence = self->tx_sequence + 1;
  spec->ack = self->rx_sequence;
  prefix = commy_frame_write (head, spec, size);
  io = self->ops->lend (self->connection, head, prefix, &buffer->block, size);
  if (io == COMMY_IO_OK)
    count (self, spec, size);
  else if (io == COMMY_IO_CLOSED && commy_channel_doubt_path (self))
    io = COMMY_IO_WOULD_BLOCK;
  if (io == COMMY_IO_WOULD_BLOCK)
    {
      self->wanted = prefix;
      commy_counters_add (&self->counters, COMMY_COUNT_BLOCKED, 1);
    }
  return io;
}

/* --- receiving --- */

void
commy_channel_find_body (CommyChannel *self, CommyIncoming *incoming)
{
  if (!self->ops->body (self->connection, &incoming->message, &incoming->body,
                        &incoming->body_size))
    incoming->body = NULL;
}

/* Whatever else comes in two parts is of no peer that keeps to the rules: whoever looks at whole
 * frames elsewhere need not ask. */
CommyFrameStatus
commy_channel_check_body (const CommyIncoming *incoming)
{
  if (incoming->frame.payload_offset != incoming->message.size)
    return COMMY_FRAME_BAD_LENGTH;
  if (incoming->frame.type != COMMY_FRAME_DATA || incoming->frame.has_train)
    return COMMY_FRAME_BAD_TYPE;
  if ((incoming->frame.flags & COMMY_FRAME_FLAG_RUN) != 0)
    return COMMY_FRAME_BAD_FLAGS;
  return COMMY_FRAME_OK;
}
