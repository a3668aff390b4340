/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving trains: each piece is acknowledged, the whole is dispatched as if it had come in one
 * frame, and what breaks the rules closes the channel.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

void
commy_train_acknowledge (CommyChannel *self, const CommyFrame *frame)
{
  gboolean waits; /* the sender may, for word of less than usual */

  self->unacked += frame->payload_offset + frame->payload_size;
  if (commy_train_is_piece (frame))
    {
      self->alone += frame->payload_size;
      self->unacked_pieces = TRUE;
    }
  else if (commy_channel_is_message (frame->type))
    self->alone = 0; /* as at its sender */
  waits = self->unacked_pieces && self->alone < COMMY_TRAIN_ALONE_AFTER;
  self->ack_after = waits ? COMMY_TRAIN_ACK_AFTER : COMMY_TRAIN_ACK_BULK;
  self->empty_polls = 0;
  if (self->unacked >= self->ack_after)
    commy_channel_acknowledge (self);
}

void
commy_train_receive (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyIncoming whole;
  const char *why;
  CommyTrainStep step = commy_trains_in_take (&self->trains_in, frame, incoming->bytes,
                                              self->shared->max_payload, &whole, &why);

  if (step == COMMY_TRAIN_WRONG)
    {
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, why);
      return;
    }
  if (frame->has_train && incoming->handles != NULL)
    commy_trains_in_keep (&self->trains_in, frame->train, g_steal_pointer (&incoming->handles));
  commy_counters_add (&self->counters, COMMY_COUNT_RECEIVED_BYTES, frame->payload_size);
  commy_train_acknowledge (self, frame);
  if (step != COMMY_TRAIN_WHOLE)
    return;
  commy_counters_add (&self->counters, COMMY_COUNT_RECEIVED, 1);
  commy_incoming_release (self, incoming);
  if (!self->closed)
    commy_channel_dispatch (self, &whole);
  commy_incoming_release (self, &whole);
}
