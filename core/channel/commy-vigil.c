/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that lives and does not serve: it was stopped, or its worker does not come back. While it
 * owes something, and only then, a channel is looked after: if nothing came for half of the limit
 * "hung-after", the peer is asked with a PING; if nothing came for the other half either, it is
 * hung, and the policy "hung" says what becomes of what it owes. Whatever comes ends it. A reader
 * who is only slow answers PINGs.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-private.h"

#define NS_PER_MS 1000000

static gint64
step_ns (const CommyChannel *self)
{
  return self->shared->hung_after_ns / 2;
}

/* Calls that wait for an answer; the slots of streams wait for as long as those are open. */
static gboolean
owes_answers (const CommyChannel *self)
{
  guint32 n_pipes = self->pipes != NULL && !self->accepting ? g_hash_table_size (self->pipes) : 0;

  return self->pending.n_used > n_pipes;
}

static gboolean
is_owed (const CommyChannel *self)
{
  return owes_answers (self) || self->n_starved > 0 || self->backlog.length > 0
         || self->room_waiters.length > 0 || commy_channel_awaits_ack (self)
         || (self->trains_out != NULL && self->trains_out->queue.n > 0);
}

static void
begin (CommyChannel *self, gint64 now_ns)
{
  self->vigil.look_ns = now_ns + step_ns (self);
  self->vigil.heard = self->heard;
  self->vigil.asked = FALSE;
}

gint64
commy_channel_vigil_from (CommyChannel *self, gint64 now_ns)
{
  if (self->vigil.look_ns == G_MAXINT64 && self->shared->hung_after_ns > 0 && is_owed (self))
    begin (self, now_ns);
  return self->vigil.look_ns;
}

void
commy_channel_keep_vigil (CommyChannel *self)
{
  gint64 now;

  if (self->shared->hung_after_ns == 0 || self->moves.adrift || !is_owed (self))
    return;
  now = commy_env_now (self->shared->env);
  /* One of long ago is left over from a caller who waited by himself. */
  if (self->vigil.look_ns == G_MAXINT64 || self->vigil.look_ns + step_ns (self) < now)
    begin (self, now);
  commy_worker_need_deadline (self->worker, self->vigil.look_ns);
}

/* --- hung --- */

gboolean
commy_channel_is_hung (const CommyChannel *self)
{
  return self->vigil.is_hung;
}

void
commy_channel_hung_error (const CommyChannel *self, GError **error)
{
  gint64 ms = (commy_env_now (self->shared->env) - self->vigil.heard_ns) / NS_PER_MS;

  commy_set_error (error, COMMY_ERROR_UNREACHABLE,
                   "node %.8s of %s does not serve: it is connected, but nothing came over %s for "
                   "%" G_GINT64_FORMAT " ms (limit \"hung-after\")",
                   self->peer_node, self->service, self->transport->note.id, ms);
}

/* One-way messages, answers, and calls that were given up: what of these has not left. What the
 * path needs goes on waiting. */
static gboolean
is_given_up (CommyChannel *self, const CommyFrame *frame)
{
  switch (frame->type)
    {
    case COMMY_FRAME_ONEWAY:
    case COMMY_FRAME_REPLY:
      return TRUE;
    case COMMY_FRAME_CALL:
      /* What follows in a stream would have no beginning. */
      return !commy_train_is_piece (frame) && (frame->flags & COMMY_FRAME_FLAG_STREAM) == 0
             && commy_pending_find (&self->pending, frame->stream) == NULL;
    default:
      return FALSE;
    }
}

static void
drop_backlog (CommyChannel *self)
{
  GList *at = self->backlog.head;
  guint n = 0;

  while (at != NULL)
    {
      GList *next = at->next;
      gsize size;
      const guint8 *frame = g_bytes_get_data (at->data, &size);
      CommyFrame head;

      if (commy_frame_parse (frame, size, self->shared->max_payload, &head) == COMMY_FRAME_OK
          && is_given_up (self, &head))
        {
          if (self->held_handles != NULL)
            g_hash_table_remove (self->held_handles, at->data);
          g_bytes_unref (at->data);
          g_queue_delete_link (&self->backlog, at);
          self->backlog_bytes -= commy_channel_backlog_cost (size);
          n++;
          if (head.type == COMMY_FRAME_REPLY)
            commy_channel_lose_answer (self);
          commy_channel_charge (self, COMMY_DROP_HUNG, 1);
        }
      at = next;
    }
  self->n_departed += n;
  commy_channel_tell_departed (self, FALSE);
}

/* Gives up what is owed; the path stays, and so do streams that wait for nothing. */
static void
drop_what_is_owed (CommyChannel *self, const GError *error)
{
  commy_channel_ref (self);
  commy_channel_fail_calls (self, error);
  if (!self->closed)
    commy_channel_abort_waiting_pipes (self, error);
  /* What was sent again after a move has a promise to keep. */
  if (!self->closed && self->span == NULL && self->moves.n_moves == 0)
    drop_backlog (self);
  commy_channel_unref (self);
}

static void
act (CommyChannel *self)
{
  g_autoptr (GError) error = NULL;

  commy_channel_hung_error (self, &error);
  if (!self->vigil.told)
    g_message ("%s", error->message);
  self->vigil.told = TRUE;
  if (self->shared->hung_policy == COMMY_HUNG_DISCONNECT)
    commy_channel_close (self, error);
  else if (self->shared->hung_policy == COMMY_HUNG_DROP)
    drop_what_is_owed (self, error);
}

static void
note_life (CommyChannel *self)
{
  if (self->vigil.told)
    g_message ("node %.8s of %s serves again over %s", self->peer_node, self->service,
               self->transport->note.id);
  self->vigil.is_hung = self->vigil.told = FALSE;
}

static void
ask (CommyChannel *self)
{
  guint32 ping;

  self->vigil.asked = TRUE;
  /* Where there is no room for it, the peer does not take what there is. */
  commy_channel_ping (self, NULL, 0, &ping);
}

static void
look (CommyChannel *self, gint64 now_ns)
{
  /* This side was stopped itself, or busy: what it did not hear in that time says nothing. */
  gboolean late = now_ns - self->vigil.look_ns > step_ns (self);

  if (self->heard != self->vigil.heard)
    note_life (self);
  self->vigil.look_ns = G_MAXINT64;
  if (self->moves.adrift || !is_owed (self))
    return;
  if (self->heard != self->vigil.heard || late)
    {
      begin (self, now_ns);
      return;
    }
  self->vigil.look_ns = now_ns + step_ns (self);
  if (!self->vigil.asked)
    {
      ask (self);
      return;
    }
  if (!self->vigil.is_hung)
    {
      self->vigil.is_hung = TRUE;
      self->vigil.heard_ns = now_ns - 2 * step_ns (self);
      self->vigil.n_hung++;
    }
  act (self);
}

void
commy_channel_look_after (CommyChannel *self, gint64 now_ns)
{
  if (!self->closed && now_ns >= self->vigil.look_ns)
    look (self, now_ns);
}
