/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probes: a PING of any size and the PONG that answers it, so that a path can be measured without
 * a service taking part. One at a time on a channel; who waits is the one who sent it.
 *
 * A PONG says that all that came before its PING was looked at, and comes behind all that was
 * answered before; so a later one says what an earlier one would. While one waits for room, those
 * that come are owed a single PONG together: who sends PINGs and reads nothing costs no memory.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

CommyIo
commy_channel_ping (CommyChannel *self, gconstpointer payload, gsize size, guint32 *out_ping)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_PING, .stream = ++self->last_ping };

  *out_ping = self->last_ping;
  return commy_channel_send (self, &spec, payload, size, FALSE);
}

gboolean
commy_channel_has_pong (CommyChannel *self, guint32 ping)
{
  return (gint32) (self->last_pong - ping) >= 0;
}

void
commy_channel_on_ping (CommyChannel *self, const CommyFrame *frame)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_PONG, .stream = frame->stream };

  if (!self->pong_waits)
    {
      commy_channel_send (self, &spec, NULL, 0, TRUE);
      return;
    }
  self->pong_owed = TRUE;
  self->pong_stream = frame->stream;
}

void
commy_channel_on_pong_left (CommyChannel *self)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_PONG, .stream = self->pong_stream };
  CommyHandles *others = g_steal_pointer (&self->handles); /* of the frame that is to leave next */

  self->pong_waits = FALSE;
  if (self->pong_owed)
    commy_channel_enqueue (self, &spec, NULL, 0); /* there is room: one has just left */
  self->pong_owed = FALSE;
  self->handles = others;
}

/* Only the one that is waited for counts: others are late, or nobody sent their PING. */
void
commy_channel_on_pong (CommyChannel *self, const CommyFrame *frame)
{
  if (frame->stream == self->last_ping)
    self->last_pong = frame->stream;
}
