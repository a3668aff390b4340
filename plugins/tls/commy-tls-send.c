/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sending messages: they are written into one buffer, encrypted from there record by record,
 * and given to the kernel many records at a time.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <string.h>

#define PLAIN_FIRST (16 * 1024)
/* Ciphertext that may wait for the kernel: large enough for its appetite, small in a cache. */
#define CIPHER_MAX (128 * 1024)
#define RECORD_MAX (16 * 1024)

static CommyIo
send_ended (const TlsConnection *self)
{
  return self->send_why != NULL || self->receive_why != NULL ? COMMY_IO_CLOSED : COMMY_IO_OK;
}

static void
end_sending (TlsConnection *self, const char *why)
{
  if (self->send_why == NULL)
    self->send_why = g_strdup (why);
}

gboolean
tls_send_pending (const TlsConnection *self)
{
  return self->send_why == NULL
         && (self->plain_at < self->plain_flushed || tls_link_pending (&self->link) > 0);
}

gboolean
tls_send_has_room (const TlsConnection *self, gsize total)
{
  gsize backlog = self->plain_end - self->plain_at;

  /* What is larger than the buffer goes alone. */
  return backlog == 0 || backlog + total <= self->instance->send_buffer;
}

static gboolean
encrypt (TlsConnection *self, gsize until)
{
  while (self->plain_at < self->plain_flushed && tls_link_pending (&self->link) < until)
    {
      gsize size = MIN (self->plain_flushed - self->plain_at, RECORD_MAX);
      gssize sent = gnutls_record_send (self->session, self->plain + self->plain_at, size);

      if (sent < 0)
        {
          end_sending (self, gnutls_strerror ((int) sent));
          return FALSE;
        }
      if (self->n_wiped_out < TLS_WIPED_FIRST)
        {
          explicit_bzero (self->plain + self->plain_at, (gsize) sent);
          self->n_wiped_out += (gsize) sent;
        }
      self->plain_at += (gsize) sent;
      self->ahead += (gsize) sent;
    }
  return TRUE;
}

gboolean
tls_send_push (TlsConnection *self)
{
  gboolean taken = TRUE;

  /* Where both sides speak in turns, the peer decrypts the first record while the next ones are
   * made; where this one speaks alone, larger calls of the kernel are cheaper. */
  while (taken && tls_send_pending (self))
    taken = encrypt (self, CLAMP (self->ahead, RECORD_MAX, CIPHER_MAX))
            && tls_link_flush (&self->link);
  if (self->link.out_errno != 0)
    end_sending (self, g_strerror (self->link.out_errno));
  if (self->plain_at < self->plain_end || self->reserved != 0)
    return !tls_send_pending (self);
  self->plain_at = self->plain_flushed = self->plain_end = 0;
  if (self->plain_size > self->instance->send_buffer)
    {
      g_clear_pointer (&self->plain, g_free); /* grown for one large message */
      self->plain_size = 0;
    }
  return !tls_send_pending (self);
}

/* Makes place for @total bytes behind what is committed. All offsets stay multiples of 8. */
static void
make_room (TlsConnection *self, gsize total)
{
  gsize backlog = self->plain_end - self->plain_at;
  gsize size = MAX (self->plain_size, PLAIN_FIRST);
  guint8 *larger;

  if (self->plain_end + total <= self->plain_size)
    return;
  while (size < backlog + total)
    size *= 2;
  if (size > self->plain_size)
    {
      larger = g_malloc (size);
      if (backlog > 0)
        memcpy (larger, self->plain + self->plain_at, backlog);
      g_free (self->plain);
      self->plain = larger;
      self->plain_size = size;
    }
  else
    memmove (self->plain, self->plain + self->plain_at, backlog);
  self->plain_flushed -= self->plain_at;
  self->plain_at = 0;
  self->plain_end = backlog;
}

CommyIo
tls_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  TlsConnection *self = connection;
  gsize total;

  self->reserved = 0;
  if (send_ended (self) != COMMY_IO_OK)
    return COMMY_IO_CLOSED;
  if (size > self->instance->max_message)
    return COMMY_IO_TOO_BIG;
  total = TLS_HEADER_SIZE + tls_padded (size);
  if (!tls_send_has_room (self, total))
    {
      self->plain_flushed = self->plain_end; /* the batch is full: it may as well go */
      tls_send_push (self);
      if (send_ended (self) != COMMY_IO_OK)
        return COMMY_IO_CLOSED;
      if (!tls_send_has_room (self, total))
        {
          self->refused = total;
          return COMMY_IO_WOULD_BLOCK;
        }
    }
  make_room (self, total);
  self->refused = 0;
  self->reserved = total;
  out_span->data = self->plain + self->plain_end + TLS_HEADER_SIZE;
  out_span->size = size;
  return COMMY_IO_OK;
}

static void
put_u32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, sizeof value);
}

CommyIo
tls_commit (gpointer connection, gsize used)
{
  TlsConnection *self = connection;
  guint8 *header = self->plain + self->plain_end;
  gsize reserved = self->reserved;

  self->reserved = 0;
  if (send_ended (self) != COMMY_IO_OK)
    return COMMY_IO_CLOSED;
  if (used == 0)
    return COMMY_IO_OK;
  g_return_val_if_fail (used + TLS_HEADER_SIZE <= reserved, COMMY_IO_CLOSED);
  put_u32 (header, (guint32) used);
  put_u32 (header + 4, TLS_RECORD_MESSAGE);
  memset (header + TLS_HEADER_SIZE + used, 0, tls_padded (used) - used);
  self->plain_end += TLS_HEADER_SIZE + tls_padded (used);
  return COMMY_IO_OK;
}

CommyIo
tls_flush (gpointer connection)
{
  TlsConnection *self = connection;
  gboolean sent;

  if (send_ended (self) != COMMY_IO_OK)
    return COMMY_IO_CLOSED;
  self->plain_flushed = self->plain_end;
  sent = tls_send_push (self);
  if (send_ended (self) != COMMY_IO_OK)
    return COMMY_IO_CLOSED;
  return sent ? COMMY_IO_OK : COMMY_IO_WOULD_BLOCK;
}

gboolean
tls_send_ready (TlsConnection *self)
{
  guint8 header[TLS_HEADER_SIZE];

  put_u32 (header, 0);
  put_u32 (header + 4, TLS_RECORD_READY);
  return gnutls_record_send (self->session, header, sizeof header) == sizeof header;
}

void
tls_send_finish (TlsConnection *self)
{
  if (self->send_why != NULL || !encrypt (self, G_MAXSIZE))
    return;
  gnutls_bye (self->session, GNUTLS_SHUT_WR); /* only into the link's buffer */
}
