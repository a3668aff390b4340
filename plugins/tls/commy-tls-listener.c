/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening: one socket, the connections that are being set up on it, and nothing of them after
 * they are open. How many there may be is the core's word (`alloc`), and the crowd's.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include "plugins/common/commy-params.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A flood waits here, too, and whoever belongs to the mesh behind it; the kernel may want less. */
#define BACKLOG 4096
#define ACCEPTS_A_TURN 64
#define PAUSE_NS (100 * TLS_MS)

static int
open_socket (const TlsAddress *address)
{
  int on = 1;
  int code;
  int fd = socket (address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

  if (fd < 0)
    return -1;
  (void) setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind (fd, (const struct sockaddr *) &address->storage, address->size) == 0
      && listen (fd, BACKLOG) == 0)
    return fd;
  code = errno;
  close (fd);
  errno = code;
  return -1;
}

/* What others are told: the bound address, unless that means "all of them". */
static char *
dup_public_address (TlsInstance *instance, int fd)
{
  TlsAddress bound = { .size = sizeof bound.storage };
  g_autofree char *text = NULL;
  const char *host = instance->advertise;
  const char *port;

  if (getsockname (fd, (struct sockaddr *) &bound.storage, &bound.size) != 0)
    return NULL;
  text = tls_address_to_string (&bound);
  if (*host == '\0' && !tls_address_is_any (&bound))
    return g_steal_pointer (&text);
  if (*host == '\0')
    host = g_get_host_name ();
  port = strrchr (text, ':');
  return g_strdup_printf (strchr (host, ':') != NULL ? "[%s]%s" : "%s%s", host, port);
}

static void on_incoming (gpointer user_data, int fd, guint condition);

static void
start_accepting (TlsListener *self)
{
  CommyHost *host = self->instance->host;

  self->watch = host->watch_fd (host, self->fd, G_IO_IN, on_incoming, self);
}

static void
on_pause_over (gpointer user_data)
{
  TlsListener *self = user_data;

  self->pause = 0;
  start_accepting (self);
}

/* Without descriptors the socket stays readable: looking away is all there is to do. */
static void
pause_accepting (TlsListener *self)
{
  CommyHost *host = self->instance->host;

  host->log (host, G_LOG_LEVEL_WARNING, "cannot accept: no descriptor or memory left, waiting");
  host->remove (host, self->watch);
  self->watch = 0;
  self->pause = host->add_timer (host, PAUSE_NS, on_pause_over, self);
}

/* The core hears of those who are turned away, too: it counts and tells. */
static void
turn_away (TlsConnection *connection)
{
  const TlsInstance *instance = connection->instance;
  GError *error = NULL;

  g_set_error (&error, TLS_ERROR, COMMY_ERROR_BUSY,
               "too many handshakes are under way: there may be %u at a time, of one address %u "
               "(param.handshakes, param.handshakes-per-address of transport/tls)",
               instance->handshakes, instance->handshakes_per_address);
  tls_connection_settle (connection, error);
}

static void
take (TlsListener *self, int fd, const TlsAddress *from)
{
  g_autofree char *source = tls_address_dup_source (from);
  gboolean has_room = tls_crowd_make_room (&self->crowd, self->instance, source);
  TlsConnection *connection = self->acceptor->alloc (self->acceptor->user_data);

  /* Nobody gives way to who is turned away. */
  if (connection == NULL && has_room && tls_crowd_shrink (&self->crowd, self->instance, source))
    connection = self->acceptor->alloc (self->acceptor->user_data);
  if (connection == NULL)
    {
      close (fd); /* the core counts what it turns away */
      return;
    }
  connection->instance = self->instance;
  connection->is_server = TRUE;
  connection->listener = self;
  /* Without the port: what is told of many refusals of one address is then one text. */
  connection->peer = tls_address_dup_host (from);
  tls_crowd_add (&self->crowd, connection, source);
  tls_handshake_await (connection, fd);
  if (!has_room)
    turn_away (connection);
}

static void
on_incoming (gpointer user_data, int listener_fd, guint condition)
{
  TlsListener *self = user_data;

  for (guint i = 0; i < ACCEPTS_A_TURN; i++)
    {
      TlsAddress from = { .size = sizeof from.storage };
      int fd = accept4 (self->fd, (struct sockaddr *) &from.storage, &from.size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC);

      if (fd >= 0)
        take (self, fd, &from);
      else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        {
          pause_accepting (self);
          return;
        }
      else if (errno == EAGAIN)
        return;
      /* All else is the fate of one connection that ended before it was accepted. */
    }
}

gboolean
tls_listen (gpointer instance_data,
            gpointer listener_data,
            const CommyAcceptor *acceptor,
            GError **error)
{
  TlsInstance *instance = instance_data;
  TlsListener *self = listener_data;
  TlsCredentials *credentials = tls_credentials_get (instance, error);
  TlsAddress address;

  if (credentials == NULL)
    return FALSE;
  tls_credentials_unref (credentials);
  if (!tls_address_from_numeric (instance->bind, instance->port, &address))
    return commy_params_refuse (error, "bind is not a numeric address: \"%s\"", instance->bind);
  self->instance = instance;
  self->acceptor = acceptor;
  self->fd = open_socket (&address);
  if (self->fd < 0)
    {
      int code = errno;

      g_set_error (error, TLS_ERROR, COMMY_ERROR_UNREACHABLE, "cannot listen on %s, port %u: %s%s",
                   instance->bind, instance->port, g_strerror (code),
                   code == EADDRINUSE ? " (another process has this port; param.port of "
                                        "transport/tls gives each its own)"
                                      : "");
      return FALSE;
    }
  tls_crowd_init (&self->crowd, instance->host);
  self->address = dup_public_address (instance, self->fd);
  start_accepting (self);
  return TRUE;
}

const char *
tls_listener_address (gpointer instance, gpointer listener)
{
  return ((TlsListener *) listener)->address;
}

void
tls_listener_forget (TlsListener *self, TlsConnection *connection)
{
  tls_crowd_remove (&self->crowd, connection);
}

void
tls_listener_settle (TlsListener *self, TlsConnection *connection, const GError *error)
{
  self->acceptor->opened (self->acceptor->user_data, connection, error);
}

void
tls_unlisten (gpointer instance, gpointer listener)
{
  TlsListener *self = listener;
  CommyHost *host = self->instance->host;

  if (self->watch != 0)
    host->remove (host, self->watch);
  if (self->pause != 0)
    host->remove (host, self->pause);
  while (self->crowd.oldest != NULL)
    {
      TlsConnection *connection = self->crowd.oldest;

      tls_listener_forget (self, connection);
      connection->listener = NULL;
      tls_connection_clear (connection, FALSE);
    }
  tls_crowd_deinit (&self->crowd);
  close (self->fd);
  g_free (self->address);
}
