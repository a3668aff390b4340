/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The outgoing half of a channel: frames go straight into the transport's memory; what finds
 * no room waits in order, up to a limit.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-channel-private.h"

#include <string.h>

/* Sequence and acknowledgement are given at the moment a frame takes its place in the flow. */
static void
stamp (CommyChannel *self, CommyFrameSpec *spec)
{
  if (commy_channel_is_ordered (spec->type))
    {
      spec->flags |= COMMY_FRAME_FLAG_ORDERED;
      spec->flow = self->flow;
      spec->sequence = ++self->tx_sequence;
      if (self->trains_out != NULL && commy_channel_is_message (spec->type))
        self->trains_out->alone = 0;
    }
  spec->ack = self->rx_sequence;
  commy_channel_acked_all (self);
}

void
commy_channel_count_sent (CommyChannel *self, const CommyFrameSpec *spec, gsize payload)
{
  if (!commy_channel_is_message (spec->type))
    return;
  commy_counters_add (&self->counters, COMMY_COUNT_SENT,
                      commy_frame_messages (spec->flags, spec->method, payload));
  commy_counters_add (&self->counters, COMMY_COUNT_SENT_BYTES, payload);
}

CommyIo
commy_channel_reserve (CommyChannel *self,
                       const CommyFrameSpec *spec,
                       gsize payload,
                       CommySpan *out_span)
{
  gsize prefix = commy_frame_prefix_size (spec);
  CommySpan span;
  CommyIo io;

  commy_channel_settle (self); /* which may close it */
  if (self->closed)
    return COMMY_IO_CLOSED;
  if (payload > self->shared->max_payload || prefix == 0)
    return COMMY_IO_TOO_BIG;
  if (commy_channel_is_reserved (self))
    return COMMY_IO_WOULD_BLOCK; /* one reservation at a time: its owner may be writing */
  if (commy_train_is_needed (self, spec, payload))
    return commy_train_reserve (self, spec, payload, out_span);
  if (self->backlog.length > 0 && !commy_channel_flush_backlog (self))
    return self->closed ? COMMY_IO_CLOSED : COMMY_IO_WOULD_BLOCK;
  if (commy_channel_awaits_ack (self) && commy_channel_is_ordered (spec->type))
    io = COMMY_IO_WOULD_BLOCK;
  else
    io = self->ops->reserve (self->connection, prefix + payload, &span);
  if (G_UNLIKELY (io != COMMY_IO_OK))
    {
      if (io == COMMY_IO_CLOSED && commy_channel_doubt_path (self))
        io = COMMY_IO_WOULD_BLOCK;
      if (io == COMMY_IO_WOULD_BLOCK)
        {
          self->wanted = prefix + payload;
          commy_counters_add (&self->counters, COMMY_COUNT_BLOCKED, 1);
        }
      return io;
    }
  self->span = span.data;
  self->span_size = prefix + payload;
  out_span->data = span.data + prefix;
  out_span->size = payload;
  return COMMY_IO_OK;
}

/* An open reservation held up what waits here. */
static void
wake_waiting (CommyChannel *self)
{
  if (self->backlog.length + self->room_waiters.length > 0 || commy_channel_has_visits (self)
      || commy_channel_owes_ack (self)
      || (self->trains_out != NULL && self->trains_out->queue.n > 0))
    commy_worker_set_hot (self->worker, self);
}

/* What is kept is sent again: a path that ends now is no failure of this frame. */
static CommyIo
commit_span (CommyChannel *self, gsize size)
{
  CommyIo io = self->ops->commit (self->connection, size);

  if (G_LIKELY (io == COMMY_IO_OK) || self->keep == NULL)
    return io;
  return commy_channel_doubt_path (self) ? COMMY_IO_OK : io;
}

CommyIo
commy_channel_commit (CommyChannel *self, CommyFrameSpec *spec, gsize used)
{
  gsize prefix;

  g_assert (commy_channel_is_reserved (self));
  if (COMMY_FAILPOINT ("channel-commit"))
    {
      commy_channel_abandon (self);
      return COMMY_IO_CLOSED;
    }
  if (self->span == NULL)
    return commy_train_commit (self, spec, used);
  if (G_UNLIKELY (self->handles != NULL))
    {
      CommyIo io = commy_channel_attach_handles (self);

      if (io != COMMY_IO_OK)
        {
          commy_channel_abandon (self);
          return io;
        }
    }
  stamp (self, spec);
  prefix = commy_frame_write (self->span, spec, used);
  g_assert (prefix + used <= self->span_size);
  if (self->keep != NULL && (spec->flags & COMMY_FRAME_FLAG_ORDERED) != 0)
    commy_keep_add (self->keep, spec->sequence, self->span, prefix + used);
  self->span = NULL;
  self->end_loan = NULL;
  commy_channel_count_sent (self, spec, used);
  wake_waiting (self);
  return commit_span (self, prefix + used);
}

void
commy_channel_lend (CommyChannel *self, gboolean (*end) (gpointer borrower), gpointer borrower)
{
  self->end_loan = end;
  self->borrower = borrower;
  self->borrowers_thread = g_thread_self ();
}

/* Another thread, which closes the channel, does not touch what this one writes. */
void
commy_channel_end_loan (CommyChannel *self)
{
  gboolean (*end) (gpointer borrower) = self->end_loan;

  if (self->borrowers_thread != g_thread_self ())
    return;
  self->end_loan = NULL;
  if (!end (self->borrower))
    self->end_loan = end;
}

gboolean
commy_channel_is_reserved (CommyChannel *self)
{
  commy_channel_settle (self);
  return self->span != NULL || (self->trains_out != NULL && self->trains_out->building != NULL);
}

void
commy_channel_abandon (CommyChannel *self)
{
  self->end_loan = NULL;
  commy_train_abandon (self);
  if (self->span == NULL)
    return;
  self->span = NULL;
  self->ops->commit (self->connection, 0);
  wake_waiting (self);
}

CommyIo
commy_channel_flush (CommyChannel *self)
{
  CommyIo io;

  commy_channel_settle (self);
  if (self->closed)
    return COMMY_IO_CLOSED;
  io = self->ops->flush (self->connection);
  if (G_UNLIKELY (io == COMMY_IO_CLOSED) && commy_channel_doubt_path (self))
    io = COMMY_IO_WOULD_BLOCK;
  if (G_UNLIKELY (self->backlog.length > 0) && io == COMMY_IO_OK)
    io = COMMY_IO_WOULD_BLOCK; /* what is sent once more waits for room */
  return io;
}

CommyIo
commy_channel_enqueue (CommyChannel *self, CommyFrameSpec *spec, gconstpointer payload, gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);
  guint8 *frame;

  if (self->backlog_bytes + commy_channel_backlog_cost (prefix + size) > self->shared->max_backlog)
    return COMMY_IO_WOULD_BLOCK;
  frame = g_malloc (prefix + size);
  /* The number comes when it leaves: a reserved span may go first. */
  if (commy_channel_is_ordered (spec->type))
    spec->flags |= COMMY_FRAME_FLAG_ORDERED;
  commy_frame_write (frame, spec, size);
  if (size > 0)
    memcpy (frame + prefix, payload, size);
  g_queue_push_tail (&self->backlog, g_bytes_new_take (frame, prefix + size));
  commy_channel_hold_handles (self, self->backlog.tail->data);
  self->backlog_bytes += commy_channel_backlog_cost (prefix + size);
  self->pong_waits |= spec->type == COMMY_FRAME_PONG;
  commy_channel_count_sent (self, spec, size);
  commy_worker_set_hot (self->worker, self);
  return COMMY_IO_OK;
}

/* Who waits for frames to leave the backlog. */
typedef struct
{
  guint64 at; /* so many have left then */
  void (*done) (gpointer);
  gpointer data;
} Departure;

gboolean
commy_channel_on_departed (CommyChannel *self, void (*done) (gpointer), gpointer data)
{
  Departure *departure;

  if (self->closed || self->backlog.length == 0)
    return FALSE;
  departure = g_new (Departure, 1);
  *departure = (Departure){ self->n_departed + self->backlog.length, done, data };
  g_queue_push_tail (&self->departures, departure);
  return TRUE;
}

void
commy_channel_tell_departed (CommyChannel *self, gboolean all)
{
  Departure *first;

  while ((first = g_queue_peek_head (&self->departures)) != NULL
         && (all || (gint64) (self->n_departed - first->at) >= 0))
    {
      g_queue_pop_head (&self->departures);
      first->done (first->data);
      g_free (first);
    }
}

/* Whether the backlog is empty now. */
gboolean
commy_channel_flush_backlog (CommyChannel *self)
{
  gboolean any = FALSE;

  commy_channel_settle (self);
  if (self->span != NULL)
    return FALSE;
  while (self->backlog.length > 0 && !self->closed)
    {
      g_autoptr (GBytes) frame = NULL;
      gsize size;
      gconstpointer data = g_bytes_get_data (self->backlog.head->data, &size);
      guint8 type = ((const guint8 *) data)[COMMY_FRAME_TYPE_OFFSET];
      gboolean ordered = commy_channel_is_ordered (type);
      CommySpan span;
      CommyIo io;

      if (ordered && commy_channel_awaits_ack (self))
        break;
      io = self->ops->reserve (self->connection, size, &span);
      if (io != COMMY_IO_OK)
        break;
      if (commy_channel_attach_held (self, self->backlog.head->data) != COMMY_IO_OK)
        {
          self->ops->commit (self->connection, 0);
          break;
        }
      memcpy (span.data, data, size);
      if (ordered)
        commy_frame_restamp (span.data, self->flow, ++self->tx_sequence, self->rx_sequence);
      else
        commy_frame_acknowledge (span.data, self->rx_sequence);
      commy_channel_acked_all (self);
      if (self->keep != NULL && ordered)
        commy_keep_add (self->keep, self->tx_sequence, span.data, size);
      self->ops->commit (self->connection, size);
      frame = g_queue_pop_head (&self->backlog);
      self->backlog_bytes -= commy_channel_backlog_cost (size);
      self->n_departed++;
      any = TRUE;
      if (G_UNLIKELY (type == COMMY_FRAME_PONG))
        commy_channel_on_pong_left (self);
    }
  if (any)
    self->ops->flush (self->connection);
  if (G_UNLIKELY (self->departures.length > 0))
    commy_channel_tell_departed (self, FALSE);
  return self->backlog.length == 0;
}

/* Past what waits for room: the peer may wait for this word, and this side for the peer's. Where
 * there is no room it is still owed. */
void
commy_channel_acknowledge (CommyChannel *self)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_ACK, .flow = self->flow };
  CommySpan span;
  gsize prefix = commy_frame_prefix_size (&spec);

  if (self->closed || self->span != NULL)
    return; /* the open reservation will say it */
  if (self->ops->reserve (self->connection, prefix, &span) != COMMY_IO_OK)
    {
      commy_worker_set_hot (self->worker, self);
      return;
    }
  stamp (self, &spec);
  commy_frame_write (span.data, &spec, 0);
  self->ops->commit (self->connection, prefix);
  if (self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK)
    commy_worker_set_hot (self->worker, self);
}

void
commy_channel_acknowledge_rest (CommyChannel *self)
{
  if (self->unacked < COMMY_TRAIN_ACK_AFTER)
    return;
  self->ack_after = COMMY_TRAIN_ACK_AFTER; /* owed from now on, should there be no room */
  if (self->end_loan != NULL)
    commy_channel_flush (self); /* what is being filled says it */
  if (self->unacked > 0)
    commy_channel_acknowledge (self);
}

CommyIo
commy_channel_send (
    CommyChannel *self, CommyFrameSpec *spec, gconstpointer payload, gsize size, gboolean queue)
{
  CommySpan span;
  CommyIo io;

  if (commy_train_is_needed (self, spec, size))
    return commy_train_send (self, spec, NULL, payload, size);
  io = commy_channel_reserve (self, spec, size, &span);
  if (io == COMMY_IO_WOULD_BLOCK && queue)
    return commy_channel_enqueue (self, spec, payload, size);
  if (io != COMMY_IO_OK)
    return io;
  if (size > 0)
    memcpy (span.data, payload, size);
  io = commy_channel_commit (self, spec, size);
  if (io == COMMY_IO_WOULD_BLOCK && queue)
    return commy_channel_enqueue (self, spec, payload, size); /* no room for its descriptors */
  if (io != COMMY_IO_OK)
    return io;
  io = commy_channel_flush (self);
  if (io == COMMY_IO_WOULD_BLOCK)
    {
      /* The transport keeps the rest; arming tells it when there is room. */
      commy_worker_set_hot (self->worker, self);
      io = COMMY_IO_OK;
    }
  return io;
}

CommyIo
commy_channel_send_bytes (CommyChannel *self, CommyFrameSpec *spec, GBytes *bytes, gboolean queue)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (commy_train_is_needed (self, spec, size))
    return commy_train_send (self, spec, bytes, data, size);
  return commy_channel_send (self, spec, data, size, queue);
}

CommyIo
commy_channel_send_error (
    CommyChannel *self, guint32 stream, guint32 code, gboolean remote, const char *text)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_ERROR,
                          .flags = remote ? COMMY_FRAME_FLAG_REMOTE : 0,
                          .stream = stream,
                          .method = code };

  commy_counters_add (&self->counters, COMMY_COUNT_SERVED_FAILED, 1);
  return commy_channel_send (self, &spec, text, MIN (strlen (text), 4096), TRUE);
}

void
commy_channel_io_error (CommyChannel *self, CommyIo io, GError **error)
{
  if (io == COMMY_IO_WOULD_BLOCK && self->vigil.is_hung
      && self->shared->hung_policy != COMMY_HUNG_WARN)
    commy_channel_hung_error (self, error);
  else if (io == COMMY_IO_WOULD_BLOCK)
    commy_set_error (error, COMMY_ERROR_BUSY, "%s over %s takes no more at present", self->service,
                     self->transport->note.id);
  else if (io == COMMY_IO_TOO_BIG)
    commy_set_error (error, COMMY_ERROR_TOO_BIG,
                     "the message is larger than %s or the limit \"message\" allows",
                     self->transport->note.id);
  else
    {
      g_autoptr (GError) cause = NULL;

      commy_set_error (&cause, COMMY_ERROR_UNREACHABLE, "the path over %s is closed: %s",
                       self->transport->note.id,
                       self->close_error != NULL ? commy_error_bare (self->close_error) : "ended");
      if (!self->closed)
        commy_channel_close (self, cause);
      g_propagate_error (error, g_steal_pointer (&cause));
    }
}

guint32
commy_channel_method (CommyChannel *self, const char *method, GError **error)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_METHOD };
  gpointer name, known;
  guint32 id;
  CommyIo io;

  if (self->last_method != NULL && strcmp (self->last_method, method) == 0)
    return self->last_method_id;
  if (g_hash_table_lookup_extended (self->methods_out, method, &name, &known))
    {
      self->last_method = name;
      self->last_method_id = GPOINTER_TO_UINT (known);
      return self->last_method_id;
    }
  if (strlen (method) > COMMY_FRAME_NAME_MAX || method[0] == '\0')
    {
      g_autofree char *shown = g_strescape (method, NULL);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "\"%.32s\" is no name for a method",
                       shown);
      return 0;
    }
  id = g_hash_table_size (self->methods_out) + 1;
  if (id > self->shared->max_methods)
    {
      commy_set_error (error, COMMY_ERROR_TOO_BIG,
                       "more than %u methods on one channel (limit \"methods\")",
                       self->shared->max_methods);
      return 0;
    }
  spec.method = id;
  io = commy_channel_send (self, &spec, method, strlen (method), TRUE);
  if (io != COMMY_IO_OK)
    {
      commy_channel_io_error (self, io, error);
      return 0;
    }
  g_hash_table_insert (self->methods_out, g_strdup (method), GUINT_TO_POINTER (id));
  return id;
}

void
commy_channel_protocol_error (CommyChannel *self, guint32 code, const char *why)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *culprit = g_strdup_printf (
      "%s from %s over %s", why, commy_principal_get_name (self->peer), self->transport->note.id);

  commy_ledger_add (self->shared->ledger, COMMY_DROP_MALFORMED, 1, culprit);
  commy_set_error (&error, code, "%s", why);
  commy_channel_close (self, error);
}
