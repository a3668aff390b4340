/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket with frames on it: see the header.
 */
#include "config.h"

#include "commy-store-stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define READS 4
#define KEEP_BYTES (256u << 10) /* of a buffer of which something was handed out */

static void
free_frame (gpointer frame)
{
  g_byte_array_unref (frame);
}

void
store_stream_open (StoreStream *self, int fd, gsize max_payload)
{
  self->fd = fd;
  self->max_payload = max_payload;
  self->in = g_byte_array_new ();
  self->in_at = 0;
  g_queue_init (&self->out);
  self->out_at = 0;
  self->out_bytes = 0;
}

void
store_stream_close (StoreStream *self)
{
  if (self->fd < 0)
    return;
  close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->in, g_byte_array_unref);
  g_queue_clear_full (&self->out, free_frame);
  self->out_bytes = 0;
}

static void
set_lost (GError **error, int number)
{
  store_wire_set_error (error, COMMY_ERROR_STORE, "the connection has ended%s%s",
                        number != 0 ? ": " : "", number != 0 ? g_strerror (number) : "");
}

/* What was handed out goes; a buffer that was once large does not stay so, whatever is left in it:
 * what is left is what is counted. */
static void
compact (StoreStream *self)
{
  if (self->in_at == 0)
    return;
  if (self->in->len > KEEP_BYTES)
    {
      g_autoptr (GByteArray) large = g_steal_pointer (&self->in);

      self->in = g_byte_array_new ();
      g_byte_array_append (self->in, large->data + self->in_at, large->len - (guint) self->in_at);
    }
  else
    g_byte_array_remove_range (self->in, 0, (guint) self->in_at);
  self->in_at = 0;
}

gboolean
store_stream_fill (StoreStream *self, GError **error)
{
  guint8 bytes[READ_BYTES];

  compact (self);
  for (int i = 0; i < READS; i++)
    {
      ssize_t n = recv (self->fd, bytes, sizeof bytes, MSG_DONTWAIT);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRUE;
      if (n <= 0)
        {
          set_lost (error, n < 0 ? errno : 0);
          return FALSE;
        }
      g_byte_array_append (self->in, bytes, (guint) n);
      if ((gsize) n < sizeof bytes)
        return TRUE;
    }
  return TRUE;
}

int
store_stream_next (StoreStream *self,
                   StoreWireHeader *out_header,
                   const guint8 **out_payload,
                   GError **error)
{
  gsize left = self->in->len - self->in_at;

  if (left < STORE_WIRE_HEADER)
    return 0;
  if (!store_wire_read_header (self->in->data + self->in_at, self->max_payload, out_header, error))
    return -1;
  if (left - STORE_WIRE_HEADER < out_header->size)
    return 0;
  *out_payload = self->in->data + self->in_at + STORE_WIRE_HEADER;
  self->in_at += STORE_WIRE_HEADER + out_header->size;
  return 1;
}

void
store_stream_tidy (StoreStream *self)
{
  if (self->in->len > KEEP_BYTES && self->in_at >= self->in->len / 2)
    compact (self);
}

gsize
store_stream_pending (const StoreStream *self)
{
  return self->in->len - self->in_at;
}

gboolean
store_stream_flush (StoreStream *self, GError **error)
{
  GByteArray *frame;

  while ((frame = g_queue_peek_head (&self->out)) != NULL)
    {
      ssize_t n = send (self->fd, frame->data + self->out_at, frame->len - self->out_at,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRUE;
      if (n < 0)
        {
          set_lost (error, errno);
          return FALSE;
        }
      self->out_at += (gsize) n;
      self->out_bytes -= (gsize) n;
      if (self->out_at < frame->len)
        continue;
      free_frame (g_queue_pop_head (&self->out));
      self->out_at = 0;
    }
  return TRUE;
}

gboolean
store_stream_send (StoreStream *self, GByteArray *frame, GError **error)
{
  gboolean is_first = g_queue_is_empty (&self->out);

  g_queue_push_tail (&self->out, frame);
  self->out_bytes += frame->len;
  return !is_first || store_stream_flush (self, error);
}
