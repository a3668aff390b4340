/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving messages: records are decrypted into the inbox, and messages are lent from there,
 * to come back in any order.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <poll.h>
#include <string.h>

/* Ends receiving; what was received before stays readable. */
static CommyIo
end_receiving (TlsConnection *self, const char *why)
{
  if (self->receive_why == NULL)
    self->receive_why = g_strdup (why);
  return COMMY_IO_CLOSED;
}

static CommyIo
receive_failed (TlsConnection *self, gssize code, gboolean in_message)
{
  g_autofree char *why = NULL;
  const char *name;

  switch (code)
    {
    case GNUTLS_E_AGAIN:
      return COMMY_IO_WOULD_BLOCK;
    case 0:
      return end_receiving (self, in_message ? "the peer ended in the middle of a message"
                                             : "the peer closed the connection");
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
      name = gnutls_alert_get_name (gnutls_alert_get (self->session));
      why = g_strdup_printf ("the peer ended the connection: %s", name == NULL ? "?" : name);
      return end_receiving (self, why);
    case GNUTLS_E_PREMATURE_TERMINATION:
    case GNUTLS_E_PULL_ERROR:
      if (self->link.in_errno == 0)
        return end_receiving (self, "the peer is gone without a farewell");
      why = g_strdup_printf ("the connection broke: %s", g_strerror (self->link.in_errno));
      return end_receiving (self, why);
    default:
      gnutls_alert_send_appropriate (self->session, (int) code);
      why = g_strdup_printf ("the peer broke the TLS protocol: %s", gnutls_strerror ((int) code));
      return end_receiving (self, why);
    }
}

static guint32
get_u32 (const guint8 *at)
{
  guint32 value;

  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_LE (value);
}

/* A header at `parsed`: how long is what it leads, itself and padding included. 0: not allowed. */
static gsize
check_header (TlsConnection *self, guint32 expected_kind)
{
  const guint8 *header = commy_inbox_data (&self->inbox);
  guint32 size = get_u32 (header);
  gsize max = self->receive_max > 0 ? MIN (self->instance->max_message, self->receive_max)
                                    : self->instance->max_message;
  g_autofree char *why = NULL;

  if (get_u32 (header + 4) == expected_kind && size <= max
      && (size == 0) == (expected_kind == TLS_RECORD_READY))
    return TLS_HEADER_SIZE + tls_padded (size);
  why = g_strdup_printf ("the peer broke the protocol: a header of kind %u and %u bytes (at most "
                         "%" G_GSIZE_FORMAT " are allowed)",
                         get_u32 (header + 4), size, max);
  end_receiving (self, why);
  return 0;
}

/* Receives until one whole record of ours lies at `parsed`, or the turn is over: then there is
 * more. */
static CommyIo
receive (TlsConnection *self, guint32 expected_kind)
{
  gsize budget = COMMY_INBOX_TURN;

  self->more = FALSE;
  for (;;)
    {
      gsize have = commy_inbox_have (&self->inbox);
      gsize need = TLS_HEADER_SIZE;
      gsize room;
      guint8 *place;
      gssize got;

      if (have >= TLS_HEADER_SIZE)
        {
          need = check_header (self, expected_kind);
          if (need == 0)
            return COMMY_IO_CLOSED;
          if (have >= need)
            return COMMY_IO_OK;
        }
      if (self->receive_why != NULL)
        return COMMY_IO_CLOSED;
      self->more = budget == 0;
      if (self->more)
        return COMMY_IO_WOULD_BLOCK;
      place = commy_inbox_room (&self->inbox, need, &room);
      do
        got = gnutls_record_recv (self->session, place, MIN (room, budget));
      while (got == GNUTLS_E_INTERRUPTED || got == GNUTLS_E_WARNING_ALERT_RECEIVED);
      if (got <= 0)
        return receive_failed (self, got, have > 0);
      commy_inbox_filled (&self->inbox, (gsize) got);
      budget -= (gsize) got;
    }
}

CommyIo
tls_peek (gpointer connection, CommyMessage *out_message)
{
  TlsConnection *self = connection;
  CommyIo result = receive (self, TLS_RECORD_MESSAGE);
  guint32 size;

  if (result != COMMY_IO_OK)
    {
      if (result == COMMY_IO_WOULD_BLOCK && tls_send_pending (self))
        tls_send_push (self);
      return result;
    }
  size = get_u32 (commy_inbox_data (&self->inbox));
  self->ahead -= MIN (self->ahead, 2 * (gsize) size);
  out_message->data = commy_inbox_data (&self->inbox) + TLS_HEADER_SIZE;
  out_message->size = size;
  out_message->flags = COMMY_MESSAGE_STABLE;
  out_message->reserved = 0;
  out_message->token = commy_inbox_lend (&self->inbox, TLS_HEADER_SIZE + tls_padded (size));
  return COMMY_IO_OK;
}

void
tls_release (gpointer connection, const CommyMessage *message)
{
  TlsConnection *self = connection;

  if (self->n_wiped_in < TLS_WIPED_FIRST)
    {
      explicit_bzero ((gpointer) message->data, message->size);
      self->n_wiped_in += message->size;
    }
  commy_inbox_give_back (&self->inbox, message->token);
}

guint
tls_arm (gpointer connection, guint interest, guint *out_events)
{
  TlsConnection *self = connection;
  guint met = 0;

  *out_events = 0;
  if (tls_send_pending (self))
    tls_send_push (self);
  if ((interest & COMMY_INTEREST_READ) != 0)
    {
      /* Who looked in vain just now lets the kernel say what came since: it wakes at once. */
      self->link.in_drained = self->link.in_empty;
      if (receive (self, TLS_RECORD_MESSAGE) != COMMY_IO_WOULD_BLOCK || self->more)
        met |= COMMY_INTEREST_READ;
      else
        *out_events |= POLLIN;
      self->link.in_drained = self->link.in_empty = FALSE;
    }
  if ((interest & COMMY_INTEREST_WRITE) != 0)
    {
      gboolean room
          = self->refused != 0 ? tls_send_has_room (self, self->refused) : !tls_send_pending (self);

      if (room || self->send_why != NULL)
        met |= COMMY_INTEREST_WRITE;
    }
  if (tls_send_pending (self))
    *out_events |= POLLOUT;
  return met;
}

CommyIo
tls_receive_ready (TlsConnection *self)
{
  CommyIo result = receive (self, TLS_RECORD_READY);

  if (result == COMMY_IO_OK)
    commy_inbox_take (&self->inbox, TLS_HEADER_SIZE);
  return result;
}

void
tls_limit (gpointer connection, gsize max)
{
  ((TlsConnection *) connection)->receive_max = max;
}

void
tls_receive_clear (TlsConnection *self)
{
  commy_inbox_clear (&self->inbox);
}
