/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket with records on it: see the header.
 */
#include "config.h"

#include "daemon/commyd-link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define A_RECORD 64u /* what one takes in memory beside its bytes, about */

typedef struct
{
  GBytes *bytes;
  int fd; /* owned; -1: none */
} Item;

static void
item_free (gpointer data)
{
  Item *item = data;

  if (item->fd >= 0)
    close (item->fd);
  g_bytes_unref (item->bytes);
  g_free (item);
}

void
commyd_link_init (CommydLink *self)
{
  *self = (CommydLink){ .fd = -1 };
  g_queue_init (&self->out);
}

void
commyd_link_close (CommydLink *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->buffer, g_free);
  g_queue_clear_full (&self->out, item_free);
  self->out_bytes = 0;
}

/* --- sending --- */

/* Only the keeper has descriptors to send; a door cannot make this call. */
static ssize_t
send_with_fd (int fd, gconstpointer data, gsize size, int connection)
{
  union
  {
    struct cmsghdr head;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec part = { .iov_base = (gpointer) data, .iov_len = size };
  const struct msghdr message = { .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = sizeof control.bytes };

  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN (sizeof (int));
  memcpy (CMSG_DATA (&control.head), &connection, sizeof connection);
  return sendmsg (fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t
send_item (int fd, const Item *item)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (item->bytes, &size);

  if (item->fd >= 0)
    return send_with_fd (fd, data, size, item->fd);
  return send (fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void
commyd_link_flush (CommydLink *self)
{
  Item *item;

  while (self->fd >= 0 && (item = g_queue_peek_head (&self->out)) != NULL)
    {
      ssize_t n = send_item (self->fd, item);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == ETOOMANYREFS && item->fd >= 0)
        {
          /* As many are on their way as may be: it goes without, and its door closes it. */
          close (g_steal_fd (&item->fd));
          continue;
        }
      if (n < 0)
        return;
      self->n_sent++;
      self->out_bytes -= g_bytes_get_size (item->bytes) + A_RECORD;
      item_free (g_queue_pop_head (&self->out));
    }
}

static void
push (CommydLink *self, GBytes *bytes, int fd)
{
  const Item item = { bytes, fd };
  gboolean is_first = g_queue_is_empty (&self->out);

  self->out_bytes += g_bytes_get_size (bytes) + A_RECORD;
  g_queue_push_tail (&self->out, g_memdup2 (&item, sizeof item));
  if (is_first)
    commyd_link_flush (self);
}

void
commyd_link_open (CommydLink *self, int fd, const CommydInnerHead *first)
{
  self->fd = fd;
  self->buffer = g_malloc (COMMYD_INNER_MAX + 1);
  if (first != NULL)
    {
      Item item = { commyd_inner_write (first, NULL, NULL, 0), -1 };

      self->out_bytes += g_bytes_get_size (item.bytes) + A_RECORD;
      g_queue_push_head (&self->out, g_memdup2 (&item, sizeof item));
    }
  commyd_link_flush (self);
}

void
commyd_link_send (CommydLink *self, const CommydInnerHead *head, const char *key)
{
  push (self, commyd_inner_write (head, key, NULL, 0), -1);
}

void
commyd_link_send_open (CommydLink *self, guint64 connection, int connection_fd)
{
  const CommydInnerHead head = { .type = COMMYD_INNER_OPEN, .connection = connection };

  push (self, commyd_inner_write (&head, NULL, NULL, 0), connection_fd);
}

void
commyd_link_send_pieces (CommydLink *self,
                         const CommydInnerHead *head,
                         const guint8 *data,
                         gsize size)
{
  CommydInnerHead own = *head;

  /* Where the whole is known beforehand each piece says where it belongs. */
  for (gsize at = 0; at < size; at += COMMYD_INNER_MAX_PIECE)
    {
      if (own.type != COMMYD_INNER_PIECE)
        {
          own.number = (gint64) size;
          own.other = (gint64) at;
        }
      push (self, commyd_inner_write (&own, NULL, data + at, size - at), -1);
    }
}

/* --- receiving --- */

static int
take_fd (struct msghdr *message)
{
  const struct cmsghdr *head = CMSG_FIRSTHDR (message);
  int fd = -1;

  if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS
      && head->cmsg_len == CMSG_LEN (sizeof fd))
    memcpy (&fd, CMSG_DATA (head), sizeof fd);
  return fd;
}

void
commyd_link_hang_up (CommydLink *self)
{
  int error;
  socklen_t size = sizeof error;

  shutdown (self->fd, SHUT_RD);
  /* That the other side left something unread is an error, which would come before what it said if
   * nobody has met it yet. */
  getsockopt (self->fd, SOL_SOCKET, SO_ERROR, &error, &size);
}

int
commyd_link_receive (CommydLink *self, CommydInner *out_record, int *out_fd, const char **out_why)
{
  union
  {
    struct cmsghdr head;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec part = { .iov_base = self->buffer, .iov_len = COMMYD_INNER_MAX + 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  ssize_t n;

  *out_why = NULL;
  if (out_fd != NULL)
    {
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
    }
  do
    n = recvmsg (self->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return 0;
  if (n <= 0)
    return -1;
  if (out_fd != NULL)
    *out_fd = take_fd (&message);
  *out_why = commyd_inner_read (self->buffer, (gsize) n, out_record);
  return *out_why == NULL ? 1 : -1;
}
