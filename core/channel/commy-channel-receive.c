/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The incoming half of a channel: a message is made stable if its sender is not trusted,
 * parsed once, and brought to the handler or the caller it belongs to. Whatever breaks the
 * protocol closes this channel, with a number, and nothing else.
 */
#include "config.h"

#include "base/commy-defence.h"
#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-audit-events.h"
#include "channel/commy-channel-rights.h"

#include <string.h>

#define WRAP_PAYLOAD_FROM 16384u /* below, a copy is cheaper than bringing a loan back */

typedef struct
{
  CommyChannel *channel;
  CommyMessage message;
  GObject *owner; /* the plugins' code and tables are the mesh's */
} Loan;

/* --- owning a message --- */

void
commy_incoming_steal (CommyChannel *self, CommyIncoming *incoming, CommyIncoming *out_owned)
{
  *out_owned = *incoming;
  if (incoming->copy != NULL)
    incoming->copy = NULL;
  else if (!incoming->borrowed)
    {
      /* The next message would be copied over this one. */
      out_owned->copy = g_steal_pointer (&self->scratch);
      self->scratch_size = 0;
    }
  incoming->borrowed = FALSE;
  incoming->handles = NULL; /* the new owner's */
}

static void
release_message (CommyChannel *self, const CommyMessage *message)
{
  if (G_UNLIKELY (message->reserved != self->path_number))
    {
      commy_channel_release_old (self, message);
      return;
    }
  if (self->connection != NULL)
    self->ops->release (self->connection, message);
  self->borrowed--;
}

void
commy_incoming_release (CommyChannel *self, CommyIncoming *incoming)
{
  g_clear_pointer (&incoming->copy, commy_block_free);
  g_clear_object (&incoming->handles);
  if (!incoming->borrowed)
    return;
  incoming->borrowed = FALSE;
  release_message (self, &incoming->message);
}

static void
give_loan_back (gpointer data)
{
  Loan *loan = data;

  release_message (loan->channel, &loan->message);
  /* A transport that was full of loans reads on: look again before sleeping. */
  if (!loan->channel->closed)
    commy_worker_set_hot (loan->channel->worker, loan->channel);
  commy_channel_unref (loan->channel);
  g_object_unref (loan->owner);
  g_free (loan);
}

static void
loan_freed (gpointer data)
{
  Loan *loan = data;
  CommyWorker *worker;

  if (commy_worker_is_inherited (loan->channel->worker))
    return; /* a forked child: the loan is its parent's */
  worker = commy_worker_hold (loan->channel->worker);

  if (!commy_worker_is_home (worker))
    commy_worker_post (worker, give_loan_back, loan);
  else
    {
      commy_worker_enter (worker);
      give_loan_back (loan);
      commy_worker_exit (worker);
    }
  commy_worker_release (worker);
}

GBytes *
commy_incoming_dup_payload (CommyChannel *self, CommyIncoming *incoming)
{
  const guint8 *payload = commy_incoming_payload (incoming);
  gsize size = incoming->frame.payload_size;
  Loan *loan;

  if (incoming->is_exact && incoming->copy != NULL)
    return g_bytes_new_with_free_func (payload, size, commy_block_free,
                                       g_steal_pointer (&incoming->copy));
  if (!incoming->borrowed || size < WRAP_PAYLOAD_FROM)
    return g_bytes_new (payload, size);
  loan = g_new (Loan, 1);
  loan->channel = commy_channel_ref (self);
  loan->message = incoming->message;
  loan->owner = g_object_ref (self->shared->owner);
  incoming->borrowed = FALSE;
  return g_bytes_new_with_free_func (payload, size, loan_freed, loan);
}

/* Bytes that their sender could still change are copied before anybody looks at them. */
static gboolean
make_stable (CommyChannel *self, CommyIncoming *incoming)
{
  gsize head_size = incoming->message.size;
  gsize size = head_size + incoming->body_size;

  if (!COMMY_DEFENCE (9, !self->trusted && !(incoming->message.flags & COMMY_MESSAGE_STABLE)))
    {
      incoming->bytes = incoming->message.data;
      return TRUE;
    }
  if (size > self->scratch_size)
    {
      gsize limit = self->shared->max_payload + COMMY_FRAME_HEADER_SIZE + COMMY_FRAME_EXT_MAX;

      if (size > limit)
        return FALSE;
      commy_block_free (self->scratch);
      self->scratch = commy_stock_take (self->shared->stock, MAX (size, 4096));
      self->scratch_size = commy_block_get_size (self->scratch);
    }
  memcpy (self->scratch, incoming->message.data, head_size);
  if (incoming->body_size > 0)
    memcpy (self->scratch + head_size, incoming->body, incoming->body_size);
  incoming->body = NULL;
  incoming->bytes = self->scratch;
  incoming->borrowed = FALSE;
  release_message (self, &incoming->message);
  return TRUE;
}

/* --- what frames mean --- */

/* The flow: each message once, in order. Whether to go on with this one. */
static gboolean
take_sequence (CommyChannel *self, const CommyFrame *frame)
{
  guint32 ahead;

  if (!(frame->flags & COMMY_FRAME_FLAG_ORDERED))
    return TRUE;
  ahead = frame->sequence - self->rx_sequence;
  if (ahead == 1)
    {
      self->rx_sequence = frame->sequence;
      return TRUE;
    }
  if (ahead == 0 || ahead > G_MAXINT32)
    {
      commy_ledger_add (self->shared->ledger, COMMY_DROP_DUPLICATE, 1, self->peer_node);
      __atomic_store_n (&self->moves.n_duplicates, self->moves.n_duplicates + 1, __ATOMIC_RELAXED);
      return FALSE;
    }
  commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, "messages of the flow are missing");
  return FALSE;
}

static void
on_method (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  const char *payload = (const char *) commy_incoming_payload (incoming);
  CommyIncomingMethod method = { 0 };

  if (!self->accepting || frame->method != self->methods_in->len + 1 || frame->payload_size == 0
      || frame->payload_size > COMMY_FRAME_NAME_MAX
      || !g_utf8_validate (payload, frame->payload_size, NULL))
    {
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, "bad announcement of a method");
      return;
    }
  if (self->methods_in->len >= self->shared->max_methods)
    {
      commy_channel_protocol_error (self, COMMY_ERROR_TOO_BIG, "too many methods");
      return;
    }
  method.name = g_strndup (payload, frame->payload_size);
  method.method = self->handler->resolve (self->handler_data, method.name);
  commy_channel_judge_method (self, &method);
  g_array_append_val (self->methods_in, method);
}

void
commy_channel_refuse_call (
    CommyChannel *self, CommyIncoming *incoming, CommyDrop drop, guint32 code, const char *why)
{
  commy_ledger_add (self->shared->ledger, drop, 1, why);
  if (incoming->frame.type == COMMY_FRAME_CALL)
    commy_channel_send_error (self, incoming->frame.stream, code, FALSE, why);
  else
    commy_counters_add (&self->counters, COMMY_COUNT_SERVED_FAILED, 1);
}

static void
refuse_method (CommyChannel *self, CommyIncomingMethod *method, CommyIncoming *incoming)
{
  g_autofree char *why = NULL;

  if (!method->allowed)
    {
      why = commy_channel_dup_denial (self, method);
      commy_channel_refuse_call (self, incoming, COMMY_DROP_DENIED, COMMY_ERROR_DENIED, why);
    }
  else if (method->method == NULL)
    {
      why = g_strdup_printf ("%s has no method \"%s\"", self->service, method->name);
      commy_channel_refuse_call (self, incoming, COMMY_DROP_NO_METHOD, COMMY_ERROR_NO_METHOD, why);
    }
  else
    commy_channel_refuse_call (self, incoming, COMMY_DROP_DEADLINE, COMMY_ERROR_DEADLINE,
                               "the deadline had passed on arrival");
}

static inline gboolean
admit (CommyChannel *self, CommyIncomingMethod *method, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;

  commy_counters_add (&self->counters, COMMY_COUNT_SERVED, 1);
  if (G_UNLIKELY (method->trial != NULL))
    commy_channel_tell_trial (self, method);
  if (G_UNLIKELY (commy_audit_log_wants_calls (self->shared->audit, method->allowed))
      && !commy_audit_call (self, method, incoming))
    return FALSE;
  if (G_LIKELY (method->allowed && method->method != NULL
                && !(frame->has_deadline && frame->deadline_ns == 0)))
    return TRUE;
  refuse_method (self, method, incoming);
  return FALSE;
}

gboolean
commy_channel_admit (CommyChannel *self, CommyIncomingMethod *method, CommyIncoming *incoming)
{
  return admit (self, method, incoming);
}

static void
on_call (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyIncomingMethod *method;

  if (!self->accepting || frame->method == 0 || frame->method > self->methods_in->len)
    {
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, "a call of an unknown method id");
      return;
    }
  if (frame->type == COMMY_FRAME_ONEWAY && (frame->flags & COMMY_FRAME_FLAG_STREAM) != 0)
    {
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, "a one-way message with a stream");
      return;
    }
  method = commy_channel_permit (self, frame->method);
  if (G_UNLIKELY (self->closed))
    return; /* another policy ended a stream, and the channel with it */
  if (G_UNLIKELY (method == NULL))
    commy_channel_await_call (self, incoming);
  else if (admit (self, method, incoming))
    commy_channel_take_call (self, method->method, incoming);
}

static void
on_answer (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyPendingSlot *slot = commy_pending_find (&self->pending, frame->stream);
  CommyPendingFunc func;
  gpointer data;

  if (slot == NULL)
    {
      commy_ledger_add (self->shared->ledger, COMMY_DROP_LATE_REPLY, 1, self->service);
      return;
    }
  func = slot->func;
  data = slot->data;
  commy_pending_remove (&self->pending, slot);
  if (frame->type == COMMY_FRAME_ERROR)
    {
      g_autofree char *text
          = g_strndup ((const char *) commy_incoming_payload (incoming), frame->payload_size);
      g_autofree char *valid = g_utf8_make_valid (text, -1);
      g_autoptr (GError) error = commy_error_new_from_wire (
          frame->method, (frame->flags & COMMY_FRAME_FLAG_REMOTE) != 0, valid);

      commy_counters_add (&self->counters, COMMY_COUNT_CALLS_FAILED, 1);
      func (data, self, NULL, error, TRUE);
    }
  else
    func (data, self, incoming, NULL, TRUE);
}

static void
on_close (CommyChannel *self, CommyIncoming *incoming)
{
  g_autofree char *text = g_strndup ((const char *) commy_incoming_payload (incoming),
                                     MIN (incoming->frame.payload_size, 1024));
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_autoptr (GError) error = commy_error_new_from_wire (incoming->frame.method, FALSE, valid);

  self->all_answered = incoming->frame.stream == COMMY_FRAME_CLOSE_ALL_ANSWERED;
  self->peer_closed = TRUE;
  self->last_ack = incoming->frame.ack;
  /* Without the CLOSE frame back: the peer does not listen any more. */
  self->closing = TRUE;
  commy_channel_close (self, error);
}

void
commy_channel_dispatch (CommyChannel *self, CommyIncoming *incoming)
{
  switch (incoming->frame.type)
    {
    case COMMY_FRAME_METHOD:
      on_method (self, incoming);
      break;
    case COMMY_FRAME_CALL:
    case COMMY_FRAME_ONEWAY:
      on_call (self, incoming);
      break;
    case COMMY_FRAME_REPLY:
    case COMMY_FRAME_ERROR:
      on_answer (self, incoming);
      break;
    case COMMY_FRAME_CANCEL:
      if (self->accepting)
        {
          commy_channel_drop_stream (self, incoming->frame.stream);
          if (!commy_channel_cancel_stream (self, incoming))
            self->handler->cancelled (self->handler_data, self, incoming->frame.stream);
        }
      break;
    case COMMY_FRAME_DATA:
    case COMMY_FRAME_CREDIT:
    case COMMY_FRAME_END:
      commy_channel_on_stream (self, incoming);
      break;
    case COMMY_FRAME_PING:
      commy_channel_on_ping (self, &incoming->frame);
      break;
    case COMMY_FRAME_PONG:
      commy_channel_on_pong (self, &incoming->frame);
      break;
    case COMMY_FRAME_ACK:
      break;
    case COMMY_FRAME_GOAWAY:
      self->draining = TRUE;
      break;
    case COMMY_FRAME_CLOSE:
      on_close (self, incoming);
      break;
    default:
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL, "a frame of set-up after set-up");
    }
}

static void
on_end_of_path (CommyChannel *self)
{
  g_autoptr (GError) error = NULL;
  const char *why = self->ops->why (self->connection);

  if (commy_channel_lose_path (self))
    return;
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "%s", why != NULL ? why : "connection ended");
  self->closing = TRUE; /* there is nobody to tell */
  commy_channel_close (self, error);
}

static void
take_frame (CommyChannel *self, CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;

  if (self->trains_out != NULL)
    commy_train_acked (self, frame->ack);
  if (self->keep != NULL)
    commy_channel_acked (self, frame->ack);
  if (frame->type == COMMY_FRAME_ACK)
    return;
  if (commy_train_is_piece (frame))
    {
      commy_train_receive (self, incoming);
      return;
    }
  commy_counters_add (&self->counters, COMMY_COUNT_RECEIVED,
                      commy_frame_messages (frame->flags, frame->method, frame->payload_size));
  commy_counters_add (&self->counters, COMMY_COUNT_RECEIVED_BYTES, frame->payload_size);
  if ((self->peer_keeps || self->trains_in.trains != NULL)
      && (frame->flags & COMMY_FRAME_FLAG_ORDERED) != 0)
    commy_train_acknowledge (self, frame);
  commy_channel_dispatch (self, incoming);
}

/* Stable bytes, a header that was understood, and a payload that is where it says. */
static CommyFrameStatus
read_frame (CommyChannel *self, CommyIncoming *incoming)
{
  gsize size = incoming->message.size + incoming->body_size;
  CommyFrameStatus status;

  if (COMMY_FAILPOINT ("channel-received") || !make_stable (self, incoming))
    return COMMY_FRAME_TOO_BIG;
  if (G_LIKELY (incoming->body_size == 0))
    return commy_frame_parse (incoming->bytes, size, self->shared->max_payload, &incoming->frame);
  status = commy_frame_parse_head (incoming->bytes, incoming->message.size, size,
                                   self->shared->max_payload, &incoming->frame);
  return status == COMMY_FRAME_OK ? commy_channel_check_body (incoming) : status;
}

gboolean
commy_channel_take (CommyChannel *self)
{
  CommyIncoming incoming;
  CommyFrameStatus status;
  CommyIo io;

  if (self->closed)
    return FALSE;
  io = self->ops->peek (self->connection, &incoming.message);
  if (G_UNLIKELY (self->moves.doubted && self->moves.endless) && io == COMMY_IO_WOULD_BLOCK)
    io = COMMY_IO_CLOSED;
  if (io == COMMY_IO_WOULD_BLOCK)
    {
      if (G_UNLIKELY (self->unacked >= COMMY_TRAIN_ACK_AFTER)
          && ++self->empty_polls >= COMMY_TRAIN_ACK_POLLS)
        commy_channel_acknowledge_rest (self);
      if (G_UNLIKELY (self->holders.length > 0))
        commy_channel_free_held (self);
      return FALSE;
    }
  if (io != COMMY_IO_OK)
    {
      on_end_of_path (self);
      return FALSE;
    }

  /* Whoever is here is inside the worker, which keeps the channels that close meanwhile. */
  self->borrowed++;
  self->heard++;
  incoming.message.reserved = self->path_number;
  incoming.borrowed = TRUE;
  incoming.body = NULL;
  incoming.body_size = 0;
  incoming.copy = NULL;
  incoming.is_exact = FALSE;
  incoming.received_ns = 0;
  incoming.handles = G_UNLIKELY (self->passes_handles)
                         ? commy_channel_take_handles (self, &incoming.message)
                         : NULL;
  if (G_UNLIKELY (incoming.message.flags & COMMY_MESSAGE_SPLIT))
    commy_channel_find_body (self, &incoming);
  status = read_frame (self, &incoming);
  if (status != COMMY_FRAME_OK)
    commy_channel_protocol_error (
        self, status == COMMY_FRAME_BAD_VERSION ? COMMY_ERROR_VERSION : COMMY_ERROR_PROTOCOL,
        commy_frame_status_to_string (status));
  else if (G_UNLIKELY ((incoming.handles != NULL || incoming.frame.n_handles != 0)
                       && !commy_channel_handles_match (&incoming)))
    commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL,
                                  "other descriptors came than the frame announces");
  else if (take_sequence (self, &incoming.frame))
    take_frame (self, &incoming);
  commy_incoming_release (self, &incoming);
  return TRUE;
}

gboolean
commy_channel_poll (CommyChannel *self)
{
  gboolean more = self->trains_out != NULL && commy_train_pump (self);

  if (G_UNLIKELY (self->backlog.length > 0))
    commy_channel_flush_backlog (self);
  if (commy_channel_owes_ack (self))
    commy_channel_acknowledge (self);
  return commy_channel_take (self) || more;
}
