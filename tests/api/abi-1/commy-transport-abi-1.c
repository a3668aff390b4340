/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A whole transport outside of Commy's tree: messages over a Unix socket of the type
 * SOCK_SEQPACKET. The kernel keeps messages whole and in order and names the peer, so little is
 * left to do. Written against the installed headers only; read it from the bottom up.
 */
#include <commy/commy-error.h>
#include <commy/commy-plugin.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_MESSAGE (64 * 1024)
#define MAX_BORROWED 1024
#ifndef CLAIM_NS
#define CLAIM_NS 6000.0 /* of a small message: guessed; `commy plugin bench` measures it */
#endif

typedef struct
{
  CommyHost *host;
  gint64 max_message;
} Instance;

typedef struct
{
  Instance *instance;
  const CommyAcceptor *acceptor;
  int fd;
  guint watch;
  struct sockaddr_un address;
} Listener;

typedef struct
{
  Instance *instance;
  int fd;
  guint timer; /* set-up only: `done` is still to be called */
  CommyConnectedFunc done;
  gpointer user_data;
  GError *error;    /* of the set-up */
  guint8 *reserved; /* a GLib block: 16-aligned */
  gsize reserved_size;
  GQueue held; /* of GBytes: committed, not yet taken by the kernel */
  guint n_borrowed;
  const char *why;
} Connection;

static void
set_errno_error (GError **error, const char *what, const char *path)
{
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_UNREACHABLE,
               "abi-1: cannot %s %s: %s", what, path, g_strerror (errno));
}

/* --- set-up: mesh thread --- */

static void
on_incoming (gpointer user_data, int fd, guint condition)
{
  Listener *listener = user_data;
  const CommyAcceptor *acceptor = listener->acceptor;
  Connection *connection;
  int peer = accept4 (fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  if (peer < 0)
    return;
  connection = acceptor->alloc (acceptor->user_data);
  if (connection == NULL)
    {
      close (peer);
      return;
    }
  connection->instance = listener->instance;
  connection->fd = peer;
  acceptor->opened (acceptor->user_data, connection, NULL);
}

static gboolean
abi_1_listen (gpointer instance, gpointer memory, const CommyAcceptor *acceptor, GError **error)
{
  Instance *self = instance;
  Listener *listener = memory;
  const char *dir = self->host->info (self->host, COMMY_HOST_RUNTIME_DIR);
  g_autofree char *path = NULL;
  guint32 token;

  self->host->random (self->host, &token, sizeof token);
  path = g_strdup_printf ("%s/abi-1-%d-%08x", dir, (int) getpid (), token);
  listener->address.sun_family = AF_UNIX;
  if (g_strlcpy (listener->address.sun_path, path, sizeof listener->address.sun_path)
      >= sizeof listener->address.sun_path)
    {
      errno = ENAMETOOLONG;
      set_errno_error (error, "listen at", path);
      return FALSE;
    }
  listener->fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener->fd < 0
      || bind (listener->fd, (struct sockaddr *) &listener->address, sizeof listener->address) < 0
      || listen (listener->fd, 128) < 0)
    {
      set_errno_error (error, "listen at", path);
      if (listener->fd >= 0)
        close (listener->fd);
      unlink (path);
      return FALSE;
    }
  listener->instance = self;
  listener->acceptor = acceptor;
  listener->watch = self->host->watch_fd (self->host, listener->fd, G_IO_IN, on_incoming, listener);
  return TRUE;
}

static const char *
abi_1_address (gpointer instance, gpointer listener)
{
  return ((Listener *) listener)->address.sun_path;
}

static void
abi_1_unlisten (gpointer instance, gpointer memory)
{
  Listener *listener = memory;

  listener->instance->host->remove (listener->instance->host, listener->watch);
  unlink (listener->address.sun_path);
  close (listener->fd);
}

static gboolean
abi_1_reachable (gpointer instance, const CommyEndpoint *endpoint, char *reason, gsize size)
{
  gboolean there = endpoint->address[0] == '/' && access (endpoint->address, W_OK) == 0;

  if (!there)
    g_strlcpy (reason, "there is no such socket on this host, or it is not ours to use", size);
  return there;
}

static void
on_connected (gpointer user_data)
{
  Connection *connection = user_data;
  g_autoptr (GError) error = g_steal_pointer (&connection->error);

  connection->timer = 0;
  connection->done (connection->user_data, connection, error);
}

/* A connected socket, or -1 with errno. A Unix socket connects at once or not at all. */
static int
open_socket (const struct sockaddr_un *address, gsize length)
{
  int fd;

  if (length == 0 || length >= sizeof address->sun_path)
    {
      errno = EINVAL;
      return -1;
    }
  fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect (fd, (const struct sockaddr *) address, sizeof *address) < 0)
    {
      int saved = errno;

      close (fd);
      errno = saved;
      return -1;
    }
  return fd;
}

static void
abi_1_connect (gpointer instance,
                   gpointer memory,
                   const CommyEndpoint *endpoint,
                   CommyConnectedFunc done,
                   gpointer user_data)
{
  Instance *self = instance;
  Connection *connection = memory;
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  gsize length = g_strlcpy (address.sun_path, endpoint->address, sizeof address.sun_path);

  connection->instance = self;
  connection->done = done;
  connection->user_data = user_data;
  connection->fd = open_socket (&address, length);
  if (connection->fd < 0)
    set_errno_error (&connection->error, "connect to", "the listener");
  /* The outcome is known, but never told from inside. */
  connection->timer = self->host->add_timer (self->host, 0, on_connected, connection);
}

static void
abi_1_close (gpointer memory)
{
  Connection *self = memory;

  if (self->timer != 0)
    self->instance->host->remove (self->instance->host, self->timer);
  g_clear_error (&self->error);
  g_clear_pointer (&self->reserved, g_free);
  g_queue_clear_full (&self->held, (GDestroyNotify) g_bytes_unref);
  if (self->fd >= 0)
    close (self->fd);
}

/* --- messages: the owner's thread --- */

static CommyIo
at_its_end (Connection *self, const char *why)
{
  if (self->why == NULL)
    self->why = why;
  return COMMY_IO_CLOSED;
}

static CommyIo
abi_1_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  Connection *self = connection;

  g_clear_pointer (&self->reserved, g_free);
  if (size > (gsize) self->instance->max_message)
    return COMMY_IO_TOO_BIG;
  if (self->why != NULL)
    return COMMY_IO_CLOSED;
  if (g_queue_get_length (&self->held) >= 16)
    return COMMY_IO_WOULD_BLOCK;
  self->reserved = g_malloc (size);
  self->reserved_size = size;
  *out_span = (CommySpan){ self->reserved, size };
  return COMMY_IO_OK;
}

static CommyIo
abi_1_commit (gpointer connection, gsize used)
{
  Connection *self = connection;
  guint8 *bytes = g_steal_pointer (&self->reserved);

  if (used == 0 || bytes == NULL)
    g_free (bytes);
  else
    g_queue_push_tail (&self->held, g_bytes_new_take (bytes, MIN (used, self->reserved_size)));
  return self->why != NULL ? COMMY_IO_CLOSED : COMMY_IO_OK;
}

static CommyIo
abi_1_flush (gpointer connection)
{
  Connection *self = connection;
  GBytes *bytes;

  while ((bytes = g_queue_peek_head (&self->held)) != NULL)
    {
      gsize size;
      gconstpointer data = g_bytes_get_data (bytes, &size);

      if (send (self->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        {
          if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
            return COMMY_IO_WOULD_BLOCK;
          return at_its_end (self, "the peer closed the socket");
        }
      g_bytes_unref (g_queue_pop_head (&self->held));
    }
  return self->why != NULL ? COMMY_IO_CLOSED : COMMY_IO_OK;
}

static CommyIo
abi_1_peek (gpointer connection, CommyMessage *out_message)
{
  Connection *self = connection;
  guint8 *bytes;
  gssize size;

  if (self->n_borrowed >= MAX_BORROWED)
    return COMMY_IO_WOULD_BLOCK;
  /* With MSG_TRUNC the kernel tells the length before anything is taken. */
  size = recv (self->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR))
    return COMMY_IO_WOULD_BLOCK;
  if (size <= 0)
    return at_its_end (self, "the peer closed the socket");
  if (size > MAX_MESSAGE)
    return at_its_end (self, "the peer sent more than a message may hold");
  bytes = g_malloc ((gsize) size);
  if (recv (self->fd, bytes, (gsize) size, MSG_DONTWAIT) != size)
    {
      g_free (bytes);
      return at_its_end (self, "the socket failed");
    }
  self->n_borrowed++;
  *out_message = (CommyMessage){
    .data = bytes, .size = (gsize) size, .flags = COMMY_MESSAGE_STABLE, .token = (guintptr) bytes
  };
  return COMMY_IO_OK;
}

static void
abi_1_release (gpointer connection, const CommyMessage *message)
{
  ((Connection *) connection)->n_borrowed--;
  g_free ((gpointer) (guintptr) message->token);
}

static int
abi_1_fd (gpointer connection)
{
  return ((Connection *) connection)->fd;
}

static guint
abi_1_arm (gpointer connection, guint interest, guint *out_events)
{
  Connection *self = connection;
  struct pollfd fd = { .fd = self->fd };
  guint met = 0;

  if ((interest & COMMY_INTEREST_READ) != 0)
    fd.events |= POLLIN;
  if ((interest & COMMY_INTEREST_WRITE) != 0)
    fd.events |= POLLOUT;
  *out_events = (guint) fd.events;
  poll (&fd, 1, 0);
  if ((fd.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
    met |= interest & COMMY_INTEREST_READ;
  if ((fd.revents & (POLLOUT | POLLHUP | POLLERR)) != 0)
    met |= interest & COMMY_INTEREST_WRITE;
  return met;
}

static void
abi_1_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  Connection *self = connection;
  struct ucred peer = { 0 };
  socklen_t size = sizeof peer;

  out_evidence->pidfd = -1;
  if (getsockopt (self->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return;
  out_evidence->kind = COMMY_EVIDENCE_KERNEL;
  out_evidence->security = COMMY_SECURITY_KERNEL;
  out_evidence->uid = peer.uid;
  out_evidence->gid = peer.gid;
  out_evidence->pid = peer.pid;
}

static const char *
abi_1_why (gpointer connection)
{
  return ((Connection *) connection)->why;
}

/* --- the plugin --- */

static gboolean
abi_1_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  self->host = host;
  self->max_message = g_ascii_strtoll (host->param (host, "max-message"), NULL, 10);
  return TRUE;
}

static void
abi_1_fini (gpointer instance)
{
}

static const CommyTransportOps abi_1_ops = {
  .struct_size = sizeof (CommyTransportOps),
  .listener_size = sizeof (Listener),
  .connection_size = sizeof (Connection),
  .listen = abi_1_listen,
  .address = abi_1_address,
  .unlisten = abi_1_unlisten,
  .connect = abi_1_connect,
  .reachable = abi_1_reachable,
  .reserve = abi_1_reserve,
  .commit = abi_1_commit,
  .flush = abi_1_flush,
  .peek = abi_1_peek,
  .release = abi_1_release,
  .fd = abi_1_fd,
  .arm = abi_1_arm,
  .evidence = abi_1_evidence,
  .why = abi_1_why,
  .close = abi_1_close,
};

static const CommyParamSpec abi_1_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "max-message",
    .default_value = "64 KiB",
    .minimum = 1024,
    .maximum = MAX_MESSAGE,
    .help = "The largest message that is sent." },
};

COMMY_PLUGIN_NOTE (TRANSPORT,
                   "abi-1",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "Unix sockets that keep messages whole (example)",
                   "abi-1",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_KERNEL,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .max_message = MAX_MESSAGE,
                   .connect_ns = 20000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .latency_ns = CLAIM_NS / 3,
                                   .wire_ns_per_byte = CLAIM_NS / 20000,
                                   .send_cpu_ns = CLAIM_NS / 3,
                                   .recv_cpu_ns = CLAIM_NS / 3 } });

COMMY_PLUGIN_DEFINE (Instance,
                     abi_1_init,
                     NULL,
                     abi_1_fini,
                     abi_1_params,
                     G_N_ELEMENTS (abi_1_params),
                     &abi_1_ops);
