/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The socket below TLS. GnuTLS asks for five bytes, then for a record; we ask the kernel for
 * all there is. GnuTLS gives one record at a time; we give the kernel many at once.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_FIRST (16 * 1024)
#define BUFFER_LAST (256 * 1024)
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_EVERY_S 10
#define KEEPALIVE_TRIES 3
/* What the kernel has and has not sent lies ahead of whatever is more urgent. */
#define UNSENT_MAX (128 * 1024)

static ssize_t
link_pull (gnutls_transport_ptr_t data, void *to, size_t size)
{
  TlsLink *self = data;

  if (self->in_at == self->in_end)
    {
      ssize_t got;

      if (self->in_drained)
        {
          /* Saves the system call that would say the same; whoever sleeps asks again first. */
          self->in_drained = FALSE;
          gnutls_transport_set_errno (self->session, EAGAIN);
          return -1;
        }
      if (self->in_end == self->in_size && self->in_size < BUFFER_LAST
          && (self->in_size == 0 || self->may_grow))
        {
          g_free (self->in);
          self->in_size = self->in_size == 0 ? BUFFER_FIRST : 2 * self->in_size;
          self->in = g_malloc (self->in_size);
        }
      self->in_at = self->in_end = 0;
      got = recv (self->fd, self->in, self->in_size, MSG_DONTWAIT);
      self->in_empty = got < (ssize_t) self->in_size;
      if (got <= 0)
        {
          self->in_eof = got == 0;
          if (got < 0 && errno != EAGAIN && errno != EINTR)
            self->in_errno = errno;
          gnutls_transport_set_errno (self->session, got == 0 ? 0 : errno);
          return got;
        }
      self->in_end = (gsize) got;
      self->in_drained = self->in_empty;
    }
  size = MIN (size, self->in_end - self->in_at);
  memcpy (to, self->in + self->in_at, size);
  self->in_at += size;
  return (ssize_t) size;
}

static void
make_room (TlsLink *self, gsize size)
{
  gsize pending = self->out_end - self->out_at;
  gsize wanted = MAX (self->out_size, BUFFER_FIRST);

  if (self->out_end + size <= self->out_size)
    return;
  while (wanted < pending + size)
    wanted *= 2;
  if (wanted > self->out_size)
    {
      guint8 *larger = g_malloc (wanted);

      if (pending > 0)
        memcpy (larger, self->out + self->out_at, pending);
      g_free (self->out);
      self->out = larger;
      self->out_size = wanted;
    }
  else
    memmove (self->out, self->out + self->out_at, pending);
  self->out_at = 0;
  self->out_end = pending;
}

/* Always takes everything: those who encrypt look at tls_link_pending() first. */
static ssize_t
link_push (gnutls_transport_ptr_t data, const giovec_t *parts, int n_parts)
{
  TlsLink *self = data;
  gsize size = 0;

  for (int i = 0; i < n_parts; i++)
    size += parts[i].iov_len;
  make_room (self, size);
  for (int i = 0; i < n_parts; i++)
    {
      memcpy (self->out + self->out_end, parts[i].iov_base, parts[i].iov_len);
      self->out_end += parts[i].iov_len;
    }
  return (ssize_t) size;
}

void
tls_link_init (TlsLink *self, int fd)
{
  memset (self, 0, sizeof *self);
  self->fd = fd;
}

void
tls_link_attach (TlsLink *self, gnutls_session_t session)
{
  self->session = session;
  gnutls_transport_set_ptr (session, self);
  gnutls_transport_set_pull_function (session, link_pull);
  gnutls_transport_set_vec_push_function (session, link_push);
}

void
tls_link_clear (TlsLink *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_free (self->in);
  g_free (self->out);
  tls_link_init (self, -1);
}

void
tls_link_leave (TlsLink *self, LingerList *lingers)
{
  tls_link_flush (self);
  if (self->out_errno != 0 || self->in_errno != 0 || (self->in_eof && tls_link_pending (self) == 0))
    {
      tls_link_clear (self);
      return;
    }
  g_free (self->in);
  commy_linger_add (lingers, self->fd, self->out, self->out_at, self->out_end);
  tls_link_init (self, -1);
}

gsize
tls_link_pending (const TlsLink *self)
{
  return self->out_end - self->out_at;
}

gboolean
tls_link_flush (TlsLink *self)
{
  while (self->out_at < self->out_end)
    {
      ssize_t sent = send (self->fd, self->out + self->out_at, self->out_end - self->out_at,
                           MSG_DONTWAIT | MSG_NOSIGNAL);

      if (sent >= 0)
        self->out_at += (gsize) sent;
      else if (errno == EAGAIN)
        return FALSE;
      else if (errno != EINTR)
        {
          self->out_errno = errno;
          return FALSE;
        }
    }
  self->out_at = self->out_end = 0;
  if (self->out_size > 4 * BUFFER_LAST)
    {
      g_clear_pointer (&self->out, g_free);
      self->out_size = 0;
    }
  return TRUE;
}

void
tls_socket_options (TlsInstance *instance, int fd)
{
  int on = 1;
  int unsent = UNSENT_MAX;
  int idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, tries = KEEPALIVE_TRIES;
  unsigned timeout_ms = (unsigned) (instance->user_timeout_ns / TLS_MS);

  /* A peer that ended while the network was cut said nothing, and nobody may ask it anything. */
  (void) setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void) setsockopt (fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void) setsockopt (fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
  (void) setsockopt (fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
  /* Without them the connection is slower or hangs longer, and works. */
  (void) setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void) setsockopt (fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
  (void) setsockopt (fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}
