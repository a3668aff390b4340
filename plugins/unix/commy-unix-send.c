/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sending: messages are written one behind the other into a buffer that grows with them, and one
 * system call takes as many as the kernel has room for. A message with descriptors begins a
 * system call of its own, because that is what the kernel ties them to.
 */
#include "config.h"

#include "plugins/unix/commy-unix.h"

#include <errno.h>
#include <string.h>

#define BUFFER_FIRST (16 * 1024)
/* From here on a second copy costs more than a system call. */
#define GATHER_FROM (16 * 1024)
#define GATHER_PARTS 64

static gboolean
has_ended (const UnixConnection *self)
{
  return self->send_why != NULL || self->receive_why != NULL;
}

gboolean
unix_send_pending (const UnixConnection *self)
{
  return self->send_why == NULL && self->out_at < self->out_flushed;
}

static gboolean
fits (const UnixConnection *self, gsize total)
{
  gsize backlog = self->out_end - self->out_at;

  /* What is larger than the buffer goes alone. */
  return backlog == 0 || backlog + total <= self->instance->send_buffer;
}

/* As with bytes: more than the limit go alone, or their message would wait forever. */
static gboolean
fds_fit (const UnixConnection *self, guint n)
{
  return self->n_outgoing == 0 || self->n_outgoing + n <= self->instance->handles_max;
}

gboolean
unix_send_has_room (const UnixConnection *self)
{
  if (self->refused == 0 && self->refused_fds == 0)
    return !unix_send_pending (self);
  return fits (self, self->refused) && fds_fit (self, self->refused_fds);
}

/* FALSE with "not now" or with the end of sending. */
static gboolean
sending_failed (UnixConnection *self)
{
  /* ETOOMANYREFS: the user has too many descriptors under way; that passes as they arrive. */
  if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
    return FALSE;
  if (self->send_why == NULL)
    self->send_why
        = g_strdup (errno == EPIPE || errno == ECONNRESET ? "the peer closed the connection"
                                                          : g_strerror (errno));
  return FALSE;
}

/* One system call's worth: up to the next message with descriptors of its own. */
static gboolean
send_some (UnixConnection *self)
{
  guint64 at = self->out_base + self->out_at;
  GList *link = self->outgoing.head;
  UnixBundle *bundle = link != NULL ? link->data : NULL;
  gsize until = self->out_flushed;
  struct iovec part;
  ssize_t sent;

  if (bundle != NULL && bundle->at == at)
    link = link->next;
  else
    bundle = NULL;
  if (link != NULL && ((UnixBundle *) link->data)->at < self->out_base + until)
    until = (gsize) (((UnixBundle *) link->data)->at - self->out_base);
  part = (struct iovec){ .iov_base = self->out + self->out_at, .iov_len = until - self->out_at };
  sent = unix_socket_send (self->fd, &part, 1, bundle);
  if (sent < 0)
    return sending_failed (self);
  self->out_at += (gsize) sent;
  if (bundle != NULL)
    {
      self->n_outgoing -= bundle->n;
      unix_bundle_free (g_queue_pop_head (&self->outgoing));
    }
  return TRUE;
}

gboolean
unix_send_push (UnixConnection *self)
{
  while (unix_send_pending (self) && send_some (self))
    ;
  if (self->out_at < self->out_end || self->reserved != 0)
    return !unix_send_pending (self);
  self->out_base += self->out_at;
  self->out_at = self->out_flushed = self->out_end = 0;
  if (self->out_size > self->instance->send_buffer)
    {
      g_clear_pointer (&self->out, g_free); /* grown for one large message */
      self->out_size = 0;
    }
  return !unix_send_pending (self);
}

/* Makes place for @total bytes behind what is committed. All offsets stay multiples of 8, but
 * for what the kernel took. */
static void
make_room (UnixConnection *self, gsize total)
{
  gsize backlog = self->out_end - self->out_at;
  gsize slack = self->out_at % 8; /* spans stay aligned */
  gsize size = MAX (self->out_size, BUFFER_FIRST);
  guint8 *larger;

  if (self->out_end + total <= self->out_size)
    return;
  while (size < slack + backlog + total)
    size *= 2;
  if (size > self->out_size)
    {
      larger = g_malloc (size);
      if (backlog > 0)
        memcpy (larger + slack, self->out + self->out_at, backlog);
      g_free (self->out);
      self->out = larger;
      self->out_size = size;
    }
  else
    memmove (self->out + slack, self->out + self->out_at, backlog);
  self->out_base += self->out_at - slack;
  self->out_flushed -= self->out_at - slack;
  self->out_at = slack;
  self->out_end = slack + backlog;
}

/* Whether there is room for @total bytes, after trying to make some. */
static CommyIo
find_room (UnixConnection *self, gsize total)
{
  if (!fits (self, total))
    {
      self->out_flushed = self->out_end; /* the batch is full: it may as well go */
      unix_send_push (self);
    }
  if (has_ended (self))
    return COMMY_IO_CLOSED;
  if (fits (self, total))
    return COMMY_IO_OK;
  self->refused = total;
  return COMMY_IO_WOULD_BLOCK;
}

static void
give_reservation_back (UnixConnection *self)
{
  self->reserved = 0;
  unix_bundle_free (g_steal_pointer (&self->attached));
}

CommyIo
unix_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  UnixConnection *self = connection;
  gsize total;
  CommyIo io;

  give_reservation_back (self);
  if (has_ended (self))
    return COMMY_IO_CLOSED;
  if (size > self->max_send)
    return COMMY_IO_TOO_BIG;
  total = UNIX_HEADER_SIZE + unix_padded (size);
  io = find_room (self, total);
  if (io != COMMY_IO_OK)
    return io;
  make_room (self, total);
  self->refused = self->refused_fds = 0;
  self->reserved = total;
  out_span->data = self->out + self->out_end + UNIX_HEADER_SIZE;
  out_span->size = size;
  return COMMY_IO_OK;
}

CommyIo
unix_attach (gpointer connection, const int *fds, gsize n_fds)
{
  UnixConnection *self = connection;

  if (has_ended (self))
    return COMMY_IO_CLOSED;
  if (n_fds > UNIX_HANDLES_MAX)
    return COMMY_IO_TOO_BIG;
  g_return_val_if_fail (self->reserved != 0 && self->attached == NULL, COMMY_IO_CLOSED);
  if (!fds_fit (self, (guint) n_fds))
    {
      self->refused_fds = (guint) n_fds;
      return COMMY_IO_WOULD_BLOCK;
    }
  self->attached = unix_bundle_new (fds, (guint) n_fds);
  return COMMY_IO_OK;
}

static void
put_u32 (guint8 *at, guint32 value)
{
  value = GUINT32_TO_LE (value);
  memcpy (at, &value, sizeof value);
}

CommyIo
unix_commit (gpointer connection, gsize used)
{
  UnixConnection *self = connection;
  UnixBundle *bundle = g_steal_pointer (&self->attached);
  guint8 *header = self->out + self->out_end;
  gsize reserved = self->reserved;

  self->reserved = 0;
  if (has_ended (self) || used == 0)
    {
      unix_bundle_free (bundle);
      return has_ended (self) ? COMMY_IO_CLOSED : COMMY_IO_OK;
    }
  g_return_val_if_fail (used + UNIX_HEADER_SIZE <= reserved, COMMY_IO_CLOSED);
  put_u32 (header, (guint32) used);
  put_u32 (header + 4, bundle != NULL ? bundle->n : 0);
  memset (header + UNIX_HEADER_SIZE + used, 0, unix_padded (used) - used);
  if (bundle != NULL)
    {
      bundle->at = self->out_base + self->out_end;
      self->n_outgoing += bundle->n;
      g_queue_push_tail (&self->outgoing, bundle);
    }
  self->out_end += UNIX_HEADER_SIZE + unix_padded (used);
  return COMMY_IO_OK;
}

/* Header, parts and padding in one call. Returns what the kernel took; 0: nothing. */
static gsize
gather (UnixConnection *self, const guint8 *header, const GOutputVector *parts, gsize n, gsize size)
{
  static const guint8 zeros[8];
  struct iovec all[GATHER_PARTS + 2];
  ssize_t sent;

  all[0] = (struct iovec){ .iov_base = (void *) header, .iov_len = UNIX_HEADER_SIZE };
  for (gsize i = 0; i < n; i++)
    all[i + 1] = (struct iovec){ .iov_base = (void *) parts[i].buffer, .iov_len = parts[i].size };
  all[n + 1] = (struct iovec){ .iov_base = (void *) zeros, .iov_len = unix_padded (size) - size };
  sent = unix_socket_send (self->fd, all, (guint) n + 2, NULL);
  if (sent < 0)
    sending_failed (self);
  return sent < 0 ? 0 : (gsize) sent;
}

/* Copies what is left of @bytes behind the first *@skip. */
static void
append (UnixConnection *self, gconstpointer bytes, gsize size, gsize *skip)
{
  gsize skipped = MIN (*skip, size);

  *skip -= skipped;
  if (size > skipped)
    memcpy (self->out + self->out_end, (const guint8 *) bytes + skipped, size - skipped);
  self->out_end += size - skipped;
}

/* Large messages go from where they are, if nothing waits before them; what the kernel does not
 * take at once is copied. */
CommyIo
unix_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  static const guint8 zeros[8];
  UnixConnection *self = connection;
  guint8 header[UNIX_HEADER_SIZE] = { 0 };
  gsize size = 0;
  gsize sent = 0;
  CommyIo io;

  give_reservation_back (self);
  if (has_ended (self))
    return COMMY_IO_CLOSED;
  for (gsize i = 0; i < n_parts; i++)
    size += parts[i].size;
  if (size > self->max_send)
    return COMMY_IO_TOO_BIG;
  if (size == 0)
    return COMMY_IO_OK;
  io = find_room (self, UNIX_HEADER_SIZE + unix_padded (size));
  if (io != COMMY_IO_OK)
    return io;
  put_u32 (header, (guint32) size);
  if (size >= GATHER_FROM && n_parts <= GATHER_PARTS && self->out_at == self->out_end)
    sent = gather (self, header, parts, n_parts, size);
  if (self->send_why != NULL)
    return COMMY_IO_CLOSED;
  if (sent > 0)
    {
      /* The rest keeps its place among eights, so that the next span is aligned. */
      self->out_base += self->out_at + sent - sent % 8;
      self->out_at = self->out_flushed = self->out_end = sent % 8;
    }
  make_room (self, UNIX_HEADER_SIZE + unix_padded (size));
  append (self, header, sizeof header, &sent);
  for (gsize i = 0; i < n_parts; i++)
    append (self, parts[i].buffer, parts[i].size, &sent);
  append (self, zeros, unix_padded (size) - size, &sent);
  return COMMY_IO_OK;
}

CommyIo
unix_flush (gpointer connection)
{
  UnixConnection *self = connection;
  gboolean sent;

  if (has_ended (self))
    return COMMY_IO_CLOSED;
  self->out_flushed = self->out_end;
  sent = unix_send_push (self);
  if (has_ended (self))
    return COMMY_IO_CLOSED;
  return sent ? COMMY_IO_OK : COMMY_IO_WOULD_BLOCK;
}

void
unix_send_clear (UnixConnection *self)
{
  give_reservation_back (self);
  g_queue_clear_full (&self->outgoing, unix_bundle_free);
  g_clear_pointer (&self->out, g_free);
  self->out_size = self->out_at = self->out_flushed = self->out_end = 0;
  g_clear_pointer (&self->send_why, g_free);
}
