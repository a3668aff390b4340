/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Greeting, on the mesh thread: one hello from each side, with a descriptor. That a descriptor
 * comes through proves that one kernel serves both sides: a program that forwards a socket's
 * bytes to another host cannot forward that.
 */
#include "config.h"

#include "plugins/unix/commy-unix.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31305855594d4d43) /* "CMMYUX01" */
#define HELLO_VERSION 1u
#define NONCE_BYTES 16

/* Little-endian by nature: both sides are one machine. */
typedef struct
{
  guint64 magic;
  guint32 version;     /* the newest that is spoken */
  guint32 version_min; /* and the oldest */
  guint64 max_message;
  guint8 nonce[NONCE_BYTES];
  guint8 reserved[24];
} Hello;

G_STATIC_ASSERT (sizeof (Hello) == sizeof ((UnixConnection *) NULL)->hello);

static guint8 *
own_nonce (UnixConnection *self)
{
  return self->binding + (self->is_client ? 0 : NONCE_BYTES);
}

static guint8 *
peer_nonce (UnixConnection *self)
{
  return self->binding + (self->is_client ? NONCE_BYTES : 0);
}

static void
stop_watching (UnixConnection *self)
{
  if (self->watch != 0)
    self->instance->host->remove (self->instance->host, self->watch);
  self->watch = 0;
}

static void
finish (UnixConnection *self, int code, const char *why)
{
  g_autoptr (GError) error = NULL;

  stop_watching (self);
  if (why != NULL)
    {
      commy_door_set_error (&error, code, "%s", why);
      unix_connection_clear (self, FALSE);
    }
  unix_connection_settle (self, error);
}

static void
judge (UnixConnection *self)
{
  Hello hello;

  memcpy (&hello, self->hello, sizeof hello);
  if (hello.magic != MAGIC)
    finish (self, COMMY_ERROR_PROTOCOL, "what listens there is not Commy's Unix socket");
  else if (hello.version_min > HELLO_VERSION || hello.version < HELLO_VERSION)
    finish (self, COMMY_ERROR_VERSION, "the peer speaks other versions of this transport");
  else if (hello.max_message == 0)
    finish (self, COMMY_ERROR_PROTOCOL, "the peer takes no messages at all");
  else if (!self->is_near)
    finish (self, COMMY_ERROR_HANDSHAKE,
            "the peer's hello came without its descriptor: something forwards the bytes, the peer "
            "is not on this host");
  else
    {
      memcpy (peer_nonce (self), hello.nonce, NONCE_BYTES);
      self->max_send = (gsize) MIN (hello.max_message, self->instance->max_message);
      finish (self, 0, NULL);
    }
}

/* Never reads beyond the hello: what follows is the first message. */
static void
on_readable (gpointer user_data, int fd, guint condition)
{
  UnixConnection *self = user_data;
  UnixBundle *bundle;
  ssize_t got = unix_socket_receive (fd, self->hello + self->hello_fill,
                                     sizeof self->hello - self->hello_fill, &bundle);

  if (bundle != NULL && bundle->n == 1)
    self->is_near = TRUE;
  else if (bundle != NULL)
    {
      got = -1;
      errno = EBADMSG;
    }
  unix_bundle_free (bundle);
  if (got < 0 && errno == EAGAIN)
    return;
  if (got < 0 && errno == EBADMSG)
    finish (self, COMMY_ERROR_PROTOCOL, "the peer sent descriptors that were not asked for");
  else if (got <= 0)
    finish (self, COMMY_ERROR_HANDSHAKE, "the peer hung up during set-up");
  else
    {
      self->hello_fill += (gsize) got;
      if (self->hello_fill == sizeof self->hello)
        judge (self);
    }
}

static gboolean
greet (UnixConnection *self, GError **error)
{
  Hello hello = { .magic = MAGIC,
                  .version = HELLO_VERSION,
                  .version_min = HELLO_VERSION,
                  .max_message = self->instance->max_message };
  const struct iovec part = { .iov_base = &hello, .iov_len = sizeof hello };
  CommyHost *host = self->instance->host;
  int token = eventfd (0, EFD_CLOEXEC);
  UnixBundle *bundle;
  ssize_t sent;

  if (token < 0)
    {
      commy_door_set_error (error, COMMY_ERROR_HANDSHAKE, "cannot make a descriptor: %s",
                            g_strerror (errno));
      return FALSE;
    }
  host->random (host, own_nonce (self), NONCE_BYTES);
  memcpy (hello.nonce, own_nonce (self), NONCE_BYTES);
  bundle = unix_bundle_new (&token, 1);
  sent = unix_socket_send (self->fd, &part, 1, bundle);
  if (sent != sizeof hello)
    commy_door_set_error (error, COMMY_ERROR_HANDSHAKE, "cannot greet the peer: %s",
                          sent < 0 ? g_strerror (errno) : "its socket is full");
  unix_bundle_free (bundle);
  return sent == sizeof hello;
}

gboolean
unix_handshake_start (UnixConnection *self, int fd, GError **error)
{
  CommyHost *host = self->instance->host;

  self->fd = fd;
  self->peer.pidfd = -1;
  if (commy_door_identify (fd, FALSE, &self->peer, error) && greet (self, error))
    {
      self->watch = host->watch_fd (host, fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, self);
      return TRUE;
    }
  unix_connection_clear (self, FALSE);
  return FALSE;
}

void
unix_connection_clear (UnixConnection *self, gboolean politely)
{
  stop_watching (self);
  commy_door_caller_stop (&self->caller);
  if (self->fd < 0)
    return;
  if (politely)
    unix_send_push (self);
  if (politely && unix_send_pending (self))
    {
      const UnixBundle *stuck = g_queue_peek_head (&self->outgoing);
      gsize end = self->out_flushed;

      /* The farewell is bytes only: it ends before the first message that needs more. */
      if (stuck != NULL && stuck->at < self->out_base + end)
        end = (gsize) (stuck->at - self->out_base);
      commy_linger_add (&self->instance->lingers, self->fd, g_steal_pointer (&self->out),
                        self->out_at, MAX (end, self->out_at));
    }
  else
    close (self->fd);
  self->fd = -1;
  if (self->peer.pidfd >= 0)
    close (self->peer.pidfd);
  self->peer.pidfd = -1;
  unix_send_clear (self);
  unix_receive_clear (self);
  self->is_open = FALSE;
}
