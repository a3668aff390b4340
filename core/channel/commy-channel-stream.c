/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams on a channel. Credits are bytes and bound what one side keeps for an application that
 * does not read; they come back when it has read half a window. A frame of a stream that has
 * ended is dropped and counted, because both sides may end it at the same time; a frame that no
 * honest peer sends closes the channel.
 */
#include "config.h"

#include "channel/commy-channel-stream.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-rights.h"

#include <string.h>

#define REASON_MAX 1024u

/* --- life --- */

void
commy_pipe_message_free (CommyPipeMessage *message)
{
  g_bytes_unref (message->bytes);
  g_clear_pointer (&message->signature, g_ref_string_release);
  g_free (message);
}

/* What nobody will read. */
static void
drop_inbox (CommyPipe *self)
{
  if (self->n_unread > 0)
    commy_ledger_add (self->channel->shared->ledger, COMMY_DROP_CANCELLED, self->n_unread,
                      self->channel->service);
  self->n_unread = 0;
  while (self->inbox.length > 0)
    commy_pipe_message_free (g_queue_pop_head_link (&self->inbox)->data);
}

CommyPipe *
commy_pipe_ref (CommyPipe *pipe)
{
  g_atomic_ref_count_inc (&pipe->refs);
  return pipe;
}

void
commy_pipe_unref (CommyPipe *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  drop_inbox (self);
  g_clear_pointer (&self->signature, g_ref_string_release);
  g_clear_error (&self->error);
  commy_channel_unref (self->channel);
  g_free (self);
}

static CommyPipe *
pipe_new (CommyChannel *channel, guint32 id, gint64 deadline_ns)
{
  CommyPipe *self = g_new0 (CommyPipe, 1);

  g_atomic_ref_count_init (&self->refs);
  self->channel = commy_channel_ref (channel);
  self->id = id;
  self->deadline_ns = deadline_ns;
  self->accepting = channel->accepting;
  self->is_open = TRUE;
  self->tx_credit = self->rx_credit = COMMY_FRAME_STREAM_WINDOW;
  /* A larger window than every peer assumes is given at once. */
  self->unreported = channel->shared->stream_window - COMMY_FRAME_STREAM_WINDOW;
  g_queue_init (&self->inbox);
  if (channel->pipes == NULL)
    channel->pipes = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) commy_pipe_unref);
  g_hash_table_insert (channel->pipes, GUINT_TO_POINTER (id), commy_pipe_ref (self));
  return self;
}

static gboolean
too_many (CommyChannel *channel)
{
  return channel->pipes != NULL
         && g_hash_table_size (channel->pipes) >= channel->shared->max_streams;
}

CommyPipe *
commy_channel_find_pipe (CommyChannel *channel, guint32 stream)
{
  if (channel->pipes == NULL)
    return NULL;
  return g_hash_table_lookup (channel->pipes, GUINT_TO_POINTER (stream));
}

void
commy_pipe_own (CommyPipe *pipe, const CommyPipeOwner *functions, gpointer owner)
{
  pipe->functions = functions;
  pipe->owner = owner;
}

static void
notify (CommyPipe *self)
{
  if (self->owner != NULL)
    self->functions->changed (self->owner);
}

/* --- the end --- */

/* Frames of it find nothing from now on. @error: (transfer full) (nullable) */
static void
finish (CommyPipe *self, GError *error)
{
  CommyChannel *channel = self->channel;

  if (!self->is_open)
    {
      g_clear_error (&error);
      return;
    }
  if (self->tx_credit <= 0)
    channel->n_starved--;
  /* The stream's owner looks at both without entering the worker. */
  __atomic_store_n (&self->is_open, FALSE, __ATOMIC_RELAXED);
  self->rx_ended = self->tx_ended = TRUE;
  self->end_waits = FALSE;
  __atomic_store_n (&self->error, error, __ATOMIC_RELAXED);
  if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CANCELLED))
    drop_inbox (self);
  if (self->room_waits && g_queue_remove (&channel->room_waiters, self))
    commy_pipe_unref (self);
  self->room_waits = FALSE;
  g_hash_table_remove (channel->pipes, GUINT_TO_POINTER (self->id));
}

/* The caller's slot, without the CANCEL that forgetting it would send. */
static void
give_slot_back (CommyPipe *self)
{
  CommyPendingSlot *slot;

  if (self->accepting)
    return;
  slot = commy_pending_find (&self->channel->pending, self->id);
  if (slot == NULL)
    return;
  commy_pending_remove (&self->channel->pending, slot);
  commy_pipe_unref (self);
}

void
commy_pipe_close (CommyPipe *self)
{
  commy_pipe_ref (self);
  give_slot_back (self);
  finish (self, NULL);
  drop_inbox (self);
  commy_pipe_unref (self);
}

void
commy_pipe_abort (CommyPipe *self, guint32 code, const char *text)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CANCEL, .stream = self->id, .method = code };
  GError *error = NULL;

  if (!self->is_open)
    return;
  commy_pipe_ref (self);
  commy_set_error (&error, (gint) code, "%s", text);
  commy_channel_drop_stream (self->channel, self->id);
  if (self->accepting)
    {
      if (commy_channel_send_error (self->channel, self->id, code, FALSE, text) != COMMY_IO_OK)
        commy_channel_lose_answer (self->channel);
    }
  else if (self->sent)
    commy_channel_send (self->channel, &spec, text, MIN (strlen (text), REASON_MAX), TRUE);
  give_slot_back (self);
  finish (self, error);
  notify (self);
  commy_pipe_unref (self);
}

gboolean
commy_pipe_expire (CommyPipe *self, gint64 now_ns)
{
  if (!self->is_open || self->deadline_ns > now_ns)
    return FALSE;
  commy_pipe_abort (self, COMMY_ERROR_DEADLINE, "the deadline of the stream passed");
  return TRUE;
}

/* --- opening --- */

/* REPLY, ERROR, or the end of the channel. */
static void
on_answer (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  CommyPipe *self = data;

  finish (self, error != NULL ? g_error_copy (error) : NULL);
  if (incoming != NULL && self->owner != NULL)
    self->functions->answered (self->owner, channel, incoming);
  notify (self);
  commy_pipe_unref (self);
}

CommyPipe *
commy_pipe_open (CommyChannel *channel, gint64 deadline_ns, GError **error)
{
  CommyPipe *self;
  guint32 id;

  if (too_many (channel))
    {
      commy_set_error (error, COMMY_ERROR_BUSY,
                       "%u streams to %s are open over %s (limit \"streams\"): end one first",
                       channel->shared->max_streams, channel->service, channel->transport->note.id);
      return NULL;
    }
  /* The pipe has a deadline of its own: the slot's would not say why to the other side. */
  id = commy_channel_expect (channel, G_MAXINT64, on_answer, NULL);
  if (id == 0)
    {
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, error);
      return NULL;
    }
  self = pipe_new (channel, id, deadline_ns);
  commy_pending_find (&channel->pending, id)->data = commy_pipe_ref (self);
  return self;
}

/* Gives what was read back, and says what found no room before. */
static void
say (CommyPipe *self)
{
  CommyFrameSpec credit = { .type = COMMY_FRAME_CREDIT, .stream = self->id };
  CommyFrameSpec end = { .type = COMMY_FRAME_END, .stream = self->id };

  if (!self->is_open)
    return;
  if (!self->rx_ended && self->unreported > 0
      && self->unreported >= self->channel->shared->stream_window / 2)
    {
      credit.method = (guint32) MIN (self->unreported, G_MAXINT32);
      if (commy_channel_send (self->channel, &credit, NULL, 0, TRUE) != COMMY_IO_OK)
        {
          commy_pipe_await_room (self);
          return;
        }
      self->rx_credit += credit.method;
      self->unreported -= credit.method;
    }
  if (!self->end_waits)
    return;
  self->end_waits = commy_channel_send (self->channel, &end, NULL, 0, TRUE) != COMMY_IO_OK;
  if (self->end_waits)
    commy_pipe_await_room (self);
}

/* What is more than the first window, however little. */
static void
widen (CommyPipe *self)
{
  CommyFrameSpec credit = { .type = COMMY_FRAME_CREDIT, .stream = self->id };

  if (self->unreported == 0)
    return;
  credit.method = (guint32) self->unreported;
  if (commy_channel_send (self->channel, &credit, NULL, 0, TRUE) != COMMY_IO_OK)
    return; /* it goes with what is read */
  self->rx_credit += self->unreported;
  self->unreported = 0;
}

/* The CALL has left or never will. */
static void
call_left (gpointer data)
{
  CommyPipe *self = data;

  if (self->is_open && !self->channel->closed)
    widen (self);
  commy_pipe_unref (self);
}

void
commy_pipe_opened (CommyPipe *self)
{
  if (!self->is_open)
    return;
  self->sent = TRUE;
  commy_channel_mark_sent (self->channel, self->id);
  commy_worker_set_hot (self->channel->worker, self->channel);
  commy_worker_need_deadline (self->channel->worker, self->deadline_ns);
  /* Credit that came before the last piece of the CALL would be for a stream nobody knows. */
  if (!commy_channel_on_left (self->channel, COMMY_FRAME_CALL, self->id, call_left,
                              commy_pipe_ref (self)))
    call_left (self);
}

/* The accepting side of a CALL. NULL: it was refused. (transfer none): the table's */
CommyPipe *
commy_channel_accept_pipe (CommyChannel *channel, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  gint64 now = commy_env_now (channel->shared->env);
  gint64 deadline_ns = G_MAXINT64;
  CommyPipe *self;

  if (frame->stream == 0 || commy_channel_find_pipe (channel, frame->stream) != NULL)
    {
      commy_channel_protocol_error (channel, COMMY_ERROR_PROTOCOL, "a stream that is open already");
      return NULL;
    }
  if (too_many (channel))
    {
      commy_channel_refuse_call (channel, incoming, COMMY_DROP_BUSY, COMMY_ERROR_BUSY,
                                 "too many open streams (limit \"streams\"): end one first");
      return NULL;
    }
  if (frame->has_deadline && frame->deadline_ns < G_MAXINT64 / 2)
    deadline_ns = now + (gint64) frame->deadline_ns;
  self = pipe_new (channel, frame->stream, deadline_ns);
  commy_pipe_unref (self);
  self->method = frame->method;
  commy_channel_watch_rights (channel, self);
  commy_worker_need_deadline (channel->worker, deadline_ns);
  widen (self);
  return self;
}

/* --- sending --- */

void
commy_pipe_charge (CommyPipe *self, gsize payload)
{
  gboolean had_credit = self->tx_credit > 0;

  self->tx_credit -= (gint64) (payload + COMMY_FRAME_STREAM_COST);
  if (had_credit && self->tx_credit <= 0 && self->is_open)
    self->channel->n_starved++;
}

void
commy_pipe_await_room (CommyPipe *self)
{
  if (self->room_waits || !self->is_open)
    return;
  self->room_waits = TRUE;
  g_queue_push_tail (&self->channel->room_waiters, commy_pipe_ref (self));
  commy_worker_set_hot (self->channel->worker, self->channel);
}

void
commy_pipe_end_write (CommyPipe *self)
{
  if (self->tx_ended)
    return;
  self->tx_ended = self->end_waits = TRUE;
  say (self);
}

/* Each waiter in turn, so that none takes all the room again and again. */
void
commy_channel_serve_pipes (CommyChannel *self)
{
  for (guint n = self->room_waiters.length; n > 0 && self->room_waiters.length > 0; n--)
    {
      g_autoptr (CommyPipe) pipe = g_queue_pop_head (&self->room_waiters);

      pipe->room_waits = FALSE;
      say (pipe);
      notify (pipe);
    }
}

gboolean
commy_channel_push (CommyChannel *self)
{
  gboolean waits;

  if (self->closed)
    return FALSE;
  if (self->backlog.length > 0)
    commy_channel_flush_backlog (self);
  if (self->room_waiters.length > 0)
    commy_channel_serve_pipes (self);
  commy_train_pump (self);
  /* In any case: room comes from what the other side reads. */
  waits = commy_channel_flush (self) == COMMY_IO_WOULD_BLOCK;
  return !self->closed && (waits || self->backlog.length + self->room_waiters.length > 0);
}

/* --- reading --- */

CommyPipeMessage *
commy_pipe_peek (CommyPipe *self)
{
  return self->inbox.length > 0 ? self->inbox.head->data : NULL;
}

void
commy_pipe_give_back (CommyPipe *self, gsize credit)
{
  self->unreported += (gint64) credit;
  say (self);
}

/* Copied, because who keeps one message should not keep all of them. */
static CommyPipeMessage *
take_of_run (CommyPipe *self, CommyPipeMessage *whole)
{
  CommyPipeMessage *message = g_new0 (CommyPipeMessage, 1);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole->bytes, &size);

  message->link.data = message;
  message->serializer = whole->serializer;
  message->bytes = g_bytes_new (data + whole->taken, whole->run);
  whole->taken += commy_frame_stride (whole->run);
  if (whole->taken == size)
    {
      message->credit = whole->credit;
      commy_pipe_message_free (g_queue_pop_head_link (&self->inbox)->data);
    }
  return message;
}

CommyPipeMessage *
commy_pipe_take (CommyPipe *self)
{
  CommyPipeMessage *first = commy_pipe_peek (self);

  if (first == NULL)
    return NULL;
  self->n_unread--;
  return first->run > 0 ? take_of_run (self, first) : g_queue_pop_head_link (&self->inbox)->data;
}

void
commy_pipe_hold (CommyPipe *self)
{
  self->holding.data = self;
  g_queue_push_tail_link (&self->channel->holders, &self->holding);
}

void
commy_pipe_let_go (CommyPipe *self)
{
  if (self->holding.data == NULL)
    return;
  self->holding.data = NULL;
  g_queue_unlink (&self->channel->holders, &self->holding);
}

void
commy_pipe_put_back (
    CommyPipe *self, gconstpointer data, gsize size, gsize each, guint16 serializer, gsize credit)
{
  CommyPipeMessage *message = g_new0 (CommyPipeMessage, 1);

  message->link.data = message;
  message->serializer = serializer;
  message->bytes = g_bytes_new (data, size);
  message->run = each;
  message->credit = credit;
  g_queue_push_head_link (&self->inbox, &message->link);
  self->n_unread += (guint) (size / commy_frame_stride (each));
}

/* Paths lend messages in order: one that an application has not come to keeps what follows. */
void
commy_channel_free_held (CommyChannel *self)
{
  while (self->holders.length > 0)
    {
      CommyPipe *pipe = self->holders.head->data;

      commy_pipe_let_go (pipe);
      if (pipe->owner != NULL)
        pipe->functions->wanted (pipe->owner);
    }
}

static char *
signature_of (CommyPipe *self, const CommyIncoming *incoming)
{
  const char *text = (const char *) incoming->bytes + incoming->frame.signature_offset;
  gsize size = incoming->frame.signature_size;

  if (size == 0)
    return NULL;
  if (self->signature == NULL || g_ref_string_length (self->signature) != size
      || memcmp (self->signature, text, size) != 0)
    {
      g_clear_pointer (&self->signature, g_ref_string_release);
      self->signature = g_ref_string_new_len (text, (gssize) size);
    }
  return g_ref_string_acquire (self->signature);
}

/* A message that lies here until it is read must not keep memory that other traffic of the path
 * needs; what is larger than a window lies in a loan of its own. */
static GBytes *
keep_payload (CommyChannel *channel, CommyIncoming *incoming)
{
  gsize size = incoming->frame.payload_size;

  if (size < COMMY_FRAME_STREAM_WINDOW)
    return g_bytes_new (commy_incoming_payload (incoming), size);
  return commy_incoming_dup_payload (channel, incoming);
}

static void
keep (CommyPipe *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyPipeMessage *message = g_new0 (CommyPipeMessage, 1);

  message->link.data = message;
  message->serializer = frame->serializer;
  if ((frame->flags & COMMY_FRAME_FLAG_RUN) != 0)
    message->run = frame->method;
  else
    message->number = frame->method;
  message->signature = signature_of (self, incoming);
  message->credit = frame->payload_size + COMMY_FRAME_STREAM_COST;
  message->bytes = keep_payload (self->channel, incoming);
  g_queue_push_tail_link (&self->inbox, &message->link);
  self->n_unread += commy_frame_messages (frame->flags, frame->method, frame->payload_size);
}

static void
on_data (CommyChannel *channel, CommyPipe *self, CommyIncoming *incoming)
{
  if (self->rx_ended)
    {
      commy_channel_protocol_error (channel, COMMY_ERROR_PROTOCOL,
                                    "a message of a stream after its end");
      return;
    }
  if (self->rx_credit <= 0)
    {
      commy_channel_protocol_error (channel, COMMY_ERROR_PROTOCOL,
                                    "a message of a stream without credit");
      return;
    }
  self->rx_credit -= (gint64) incoming->frame.payload_size + COMMY_FRAME_STREAM_COST;
  if (self->taker != NULL && self->inbox.length == 0 && incoming->frame.signature_size == 0)
    {
      commy_incoming_steal (channel, incoming, self->taker);
      self->taker = NULL;
      return;
    }
  keep (self, incoming);
  commy_incoming_release (channel, incoming);
  notify (self);
}

static void
on_credit (CommyChannel *channel, CommyPipe *self, guint32 bytes)
{
  if (bytes == 0 || self->tx_credit + bytes > G_MAXINT32)
    {
      commy_channel_protocol_error (channel, COMMY_ERROR_PROTOCOL,
                                    "credit of a stream out of bounds");
      return;
    }
  if (self->tx_credit <= 0 && self->tx_credit + bytes > 0)
    channel->n_starved--;
  self->tx_credit += bytes;
  notify (self);
}

static void
on_end (CommyChannel *channel, CommyPipe *self)
{
  if (self->rx_ended)
    {
      commy_channel_protocol_error (channel, COMMY_ERROR_PROTOCOL, "a stream that ended twice");
      return;
    }
  self->rx_ended = TRUE;
  notify (self);
}

void
commy_channel_on_stream (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyPipe *found = commy_channel_find_pipe (self, frame->stream);
  g_autoptr (CommyPipe) pipe = found != NULL ? commy_pipe_ref (found) : NULL;

  if (pipe == NULL)
    {
      if (frame->type == COMMY_FRAME_DATA)
        commy_ledger_add (self->shared->ledger, COMMY_DROP_CANCELLED,
                          commy_frame_messages (frame->flags, frame->method, frame->payload_size),
                          self->service);
    }
  else if (frame->type == COMMY_FRAME_DATA)
    on_data (self, pipe, incoming);
  else if (frame->type == COMMY_FRAME_CREDIT)
    on_credit (self, pipe, frame->method);
  else
    on_end (self, pipe);
}

gboolean
commy_channel_cancel_stream (CommyChannel *self, CommyIncoming *incoming)
{
  CommyPipe *found = commy_channel_find_pipe (self, incoming->frame.stream);
  g_autoptr (CommyPipe) pipe = found != NULL ? commy_pipe_ref (found) : NULL;
  GError *error = NULL;

  if (pipe == NULL)
    return FALSE;
  if (incoming->frame.method == COMMY_ERROR_DEADLINE)
    commy_set_error (&error, COMMY_ERROR_DEADLINE, "the deadline of the stream passed");
  else
    {
      g_autofree char *text = g_strndup ((const char *) commy_incoming_payload (incoming),
                                         MIN (incoming->frame.payload_size, REASON_MAX));
      g_autofree char *valid = g_utf8_make_valid (text, -1);

      commy_set_error (&error, COMMY_ERROR_CANCELLED, "the caller cancelled the stream%s%s",
                       valid[0] != '\0' ? ": " : "", valid);
    }
  finish (pipe, error);
  notify (pipe);
  return TRUE;
}

/* --- time and death --- */

GPtrArray *
commy_channel_dup_pipes (CommyChannel *self)
{
  GPtrArray *pipes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_pipe_unref);
  GHashTableIter iter;
  gpointer pipe;

  if (self->pipes == NULL)
    return pipes;
  g_hash_table_iter_init (&iter, self->pipes);
  while (g_hash_table_iter_next (&iter, NULL, &pipe))
    g_ptr_array_add (pipes, commy_pipe_ref (pipe));
  return pipes;
}

gint64
commy_channel_expire_pipes (CommyChannel *self, gint64 now_ns)
{
  g_autoptr (GPtrArray) pipes = NULL;
  gint64 next = G_MAXINT64;

  if (self->pipes == NULL || g_hash_table_size (self->pipes) == 0)
    return next;
  pipes = commy_channel_dup_pipes (self);
  for (guint i = 0; i < pipes->len; i++)
    {
      CommyPipe *pipe = pipes->pdata[i];

      if (!commy_pipe_expire (pipe, now_ns) && pipe->is_open)
        next = MIN (next, pipe->deadline_ns);
    }
  return next;
}

void
commy_channel_abort_waiting_pipes (CommyChannel *self, const GError *error)
{
  g_autoptr (GPtrArray) pipes = NULL;

  if (self->pipes == NULL || self->n_starved + self->room_waiters.length == 0)
    return;
  pipes = commy_channel_dup_pipes (self);
  for (guint i = 0; i < pipes->len; i++)
    {
      CommyPipe *pipe = pipes->pdata[i];

      if (pipe->is_open && (pipe->tx_credit <= 0 || pipe->room_waits))
        commy_pipe_abort (pipe, (guint32) error->code, commy_error_bare (error));
    }
}

void
commy_channel_fail_pipes (CommyChannel *self)
{
  g_autoptr (GPtrArray) pipes = NULL;

  if (self->pipes == NULL)
    return;
  pipes = commy_channel_dup_pipes (self);
  for (guint i = 0; i < pipes->len; i++)
    {
      GError *error = NULL;

      commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "the caller over %s is gone: %s",
                       self->transport->note.id, commy_error_bare (self->close_error));
      finish (pipes->pdata[i], error);
      notify (pipes->pdata[i]);
    }
}
