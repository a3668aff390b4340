/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel that nobody needs is closed: it is looked at a few times in the time that it may be
 * idle, and compared with what it was, so that a call has nothing to note. Its owner runs on the
 * same thread, so no call of his can begin meanwhile.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

#define LOOKS 4

/* Anything that would be lost, or that somebody still holds. */
static gboolean
is_needed (const CommyChannel *self)
{
  return self->pending.n_used > 0 || self->borrowed > 0 || self->pins > 0 || self->span != NULL
         || (self->pipes != NULL && g_hash_table_size (self->pipes) > 0)
         || commy_channel_has_waiting (self) || self->moves.adrift || self->moves.doubted;
}

static gboolean
has_changed (const CommyChannel *self)
{
  return self->heard != self->rest.heard || self->tx_sequence != self->rest.sent;
}

static void
note (CommyChannel *self, gint64 now_ns)
{
  self->rest.heard = self->heard;
  self->rest.sent = self->tx_sequence;
  self->rest.since_ns = now_ns;
}

void
commy_channel_rest_after (CommyChannel *self, gint64 idle_ns, CommyMayRestFunc may_rest)
{
  gint64 now_ns = commy_env_now (self->shared->env);

  self->rest.idle_ns = idle_ns;
  self->rest.may_rest = may_rest;
  note (self, now_ns);
  if (idle_ns == 0 || self->closed)
    return;
  self->rest.look_ns = now_ns + MAX (idle_ns / LOOKS, 1);
  commy_worker_need_deadline (self->worker, self->rest.look_ns);
}

gboolean
commy_channel_is_resting (const CommyChannel *self)
{
  return self->rest.is_resting;
}

gint64
commy_channel_look_idle (CommyChannel *self, gint64 now_ns)
{
  if (has_changed (self) || is_needed (self))
    note (self, now_ns);
  return self->rest.since_ns;
}

gboolean
commy_channel_rest (CommyChannel *self)
{
  if (self->rest.may_rest == NULL || !self->rest.may_rest (self->on_closed_data)
      || commy_channel_flush (self) != COMMY_IO_OK)
    return FALSE;
  self->rest.is_resting = TRUE;
  commy_channel_close (self, NULL);
  return TRUE;
}

gint64
commy_channel_expire_rest (CommyChannel *self, gint64 now_ns)
{
  if (self->rest.idle_ns == 0 || self->closed)
    return G_MAXINT64;
  if (now_ns < self->rest.look_ns)
    return self->rest.look_ns;
  if (now_ns - commy_channel_look_idle (self, now_ns) >= self->rest.idle_ns
      && commy_channel_rest (self))
    return G_MAXINT64;
  self->rest.look_ns = now_ns + MAX (self->rest.idle_ns / LOOKS, 1);
  return self->rest.look_ns;
}
