/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The account of a channel that ends: what was sent, and not delivered, is counted once, under a
 * reason. What had left is looked for where it lies: in this side's own ring, as far as the reader
 * says that it has taken it, or among the copies that were not acknowledged. Both say more than
 * arrived, never less; what was under way while its reader died is nobody's to tell, and is said to
 * be unknown.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

#include "channel/commy-death-watch.h"

typedef struct
{
  CommyChannel *channel;
  gboolean has_left;
  GHashTable *trains;    /* id -> messages: of those of which a piece was met; NULL: none was */
  GHashTable *elsewhere; /* those that are counted there; or NULL */
  guint64 n;
  guint64 n_first; /* of these, in the first frame that was met */
  gboolean any;
} Tally;

/* The peer closed in order, and said how far it had read. */
static gboolean
was_taken (const CommyChannel *self, const CommyFrame *frame)
{
  return self->peer_closed && (frame->flags & COMMY_FRAME_FLAG_ORDERED) != 0
         && (gint32) (self->tx_sequence - self->last_ack) >= 0
         && (gint32) (self->last_ack - frame->sequence) >= 0;
}

/* A message in pieces arrives with the last of them. It is counted once, however many are missing,
 * and not here if it is with those that have not left. */
static void
tally_piece (Tally *self, const CommyFrame *frame)
{
  guint32 id = frame->has_train ? frame->train : frame->stream;
  gsize messages = 1;

  if (frame->has_train)
    messages = commy_frame_messages (frame->flags, frame->method, (gsize) frame->train_size);
  if (commy_train_is_under_way (self->channel, id)
      || (self->elsewhere != NULL
          && g_hash_table_contains (self->elsewhere, GUINT_TO_POINTER (id))))
    return;
  if (self->trains == NULL)
    self->trains = g_hash_table_new (NULL, NULL);
  if (frame->type == COMMY_FRAME_FRAGMENT && frame->payload_size == 0)
    g_hash_table_remove (self->trains, GUINT_TO_POINTER (id)); /* dropped, and counted then */
  else if (!g_hash_table_contains (self->trains, GUINT_TO_POINTER (id)))
    g_hash_table_insert (self->trains, GUINT_TO_POINTER (id), GSIZE_TO_POINTER (messages));
}

static void
tally (gpointer data, const guint8 *head, gsize head_size, gsize size)
{
  Tally *self = data;
  CommyFrame frame;
  guint64 n = 0;

  if (commy_frame_parse_head (head, head_size, size, self->channel->shared->max_payload, &frame)
          != COMMY_FRAME_OK
      || (self->has_left && was_taken (self->channel, &frame)))
    return;
  if (commy_train_is_piece (&frame))
    tally_piece (self, &frame);
  else if (commy_channel_is_message (frame.type))
    n = commy_frame_messages (frame.flags, frame.method, frame.payload_size);
  if (!self->any)
    self->n_first = n;
  self->any = TRUE;
  self->n += n;
}

static void
tally_whole (gpointer data, const guint8 *frame, gsize size)
{
  tally (data, frame, size, size);
}

/* Of those in pieces, too. */
static guint64
count_of (const Tally *self)
{
  guint64 n = self->n;
  GHashTableIter iter;
  gpointer messages;

  if (self->trains == NULL)
    return n;
  g_hash_table_iter_init (&iter, self->trains);
  while (g_hash_table_iter_next (&iter, NULL, &messages))
    n += GPOINTER_TO_SIZE (messages);
  return n;
}

void
commy_channel_charge (CommyChannel *self, CommyDrop reason, guint64 messages)
{
  if (messages == 0)
    return;
  commy_ledger_add (self->shared->ledger, reason, messages, self->peer_node);
  commy_counters_add (&self->counters,
                      reason == COMMY_DROP_UNKNOWN ? COMMY_COUNT_UNKNOWN : COMMY_COUNT_LOST,
                      messages);
}

/* Whether the process at the other end takes nothing any more. */
static gboolean
is_peer_dead (CommyChannel *self)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  if (self->moves.adrift)
    evidence.pidfd = self->moves.pidfd;
  else
    self->ops->evidence (self->connection, &evidence);
  return evidence.pidfd >= 0 && commy_death_watch_is_over (self->shared->deaths, evidence.pidfd);
}

/* What has not left; what is left of the trains goes with it. */
static void
settle_waiting (CommyChannel *self, Tally *waiting, gboolean is_gone)
{
  CommyDrop reason = self->vigil.is_hung ? COMMY_DROP_HUNG
                     : is_gone           ? COMMY_DROP_PEER_GONE
                                         : COMMY_DROP_CLOSED;

  commy_channel_charge (self, reason, count_of (waiting) + commy_train_lose (self));
}

/* A dead reader took nothing that lies in the ring; only the first of it may have been in its
 * hands. One that lives may still read to the end. */
static void
settle_sent (CommyChannel *self, Tally *sent, gboolean is_gone)
{
  gboolean in_ring = FALSE;
  guint64 n, unknown;

  if (self->moves.adrift)
    commy_channel_foreach_undelivered (self, tally, sent);
  else if (self->keep != NULL)
    commy_keep_foreach (self->keep, tally, sent);
  else
    in_ring = self->ops->unsent (self->connection, tally_whole, sent);
  n = unknown = count_of (sent);
  if (self->peer_closed)
    unknown = 0;
  else if (in_ring && is_gone)
    unknown = sent->n_first;
  commy_channel_charge (self, COMMY_DROP_UNKNOWN, unknown);
  commy_channel_charge (self, COMMY_DROP_PEER_GONE, n - unknown);
}

void
commy_channel_settle_account (CommyChannel *self)
{
  gboolean is_gone = self->peer_closed || is_peer_dead (self);
  Tally waiting = { .channel = self };
  Tally sent = { .channel = self, .has_left = TRUE };

  for (GList *at = self->backlog.head; at != NULL; at = at->next)
    {
      gsize size;
      const guint8 *frame = g_bytes_get_data (at->data, &size);

      tally (&waiting, frame, size, size);
    }
  sent.elsewhere = waiting.trains;
  settle_sent (self, &sent, is_gone);
  settle_waiting (self, &waiting, is_gone);
  commy_ledger_add_account (self->shared->ledger, &self->counters);
  g_clear_pointer (&sent.trains, g_hash_table_unref);
  g_clear_pointer (&waiting.trains, g_hash_table_unref);
}
