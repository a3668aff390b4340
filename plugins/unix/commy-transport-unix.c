/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transport `unix`: messages and descriptors over a Unix socket with a name. This file: what
 * the plugin says of itself, its parameters, its listeners, and the table.
 */
#include "config.h"

#include "plugins/unix/commy-unix.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_MESSAGE_DEFAULT 67174400 /* 64 MiB, and 64 KiB for the core's headers */

static const DoorStyle door_style = { .prefix = "unix", .type = SOCK_STREAM };

static const CommyParamSpec unix_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "max-message",
    .default_value = G_STRINGIFY (MAX_MESSAGE_DEFAULT),
    .minimum = 4096,
    .maximum = G_GINT64_CONSTANT (1) << 30,
    .help = "Largest message that is sent or taken" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "send-buffer",
    .default_value = "1MiB",
    .minimum = 16 * 1024,
    .maximum = G_GINT64_CONSTANT (1) << 30,
    .help = "Unsent bytes a connection holds before it pushes back; a larger message goes alone" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "borrow-max",
    .default_value = "256",
    .minimum = 1,
    .maximum = 32768,
    .help = "Most received messages that are not given back; beyond, nothing more is read" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "handles-max",
    .default_value = "1024",
    .minimum = 1,
    .maximum = 65536,
    .help
    = "Most descriptors of a connection that wait to be sent, and that wait to be taken; a message "
      "with more goes alone" },
};

static gint64
param_number (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

static gboolean
unix_init (gpointer instance, CommyHost *host, GError **error)
{
  UnixInstance *self = instance;

  self->host = host;
  self->max_message = (gsize) param_number (host, "max-message");
  self->send_buffer = (gsize) param_number (host, "send-buffer");
  self->borrow_max = (guint) param_number (host, "borrow-max");
  self->handles_max = (guint) param_number (host, "handles-max");
  commy_linger_init (&self->lingers, host);
  return TRUE;
}

static void
unix_fini (gpointer instance)
{
  commy_linger_deinit (&((UnixInstance *) instance)->lingers);
}

/* --- connections that are being set up --- */

static void
leave_listener (UnixConnection *self)
{
  if (self->listener == NULL)
    return;
  if (self->previous != NULL)
    self->previous->next = self->next;
  else
    self->listener->pending = self->next;
  if (self->next != NULL)
    self->next->previous = self->previous;
  self->listener = NULL;
}

static void
join_listener (UnixConnection *self, UnixListener *listener)
{
  self->listener = listener;
  self->next = listener->pending;
  if (self->next != NULL)
    self->next->previous = self;
  listener->pending = self;
}

void
unix_connection_settle (UnixConnection *self, const GError *error)
{
  UnixListener *listener = self->listener;

  leave_listener (self);
  self->is_open = error == NULL;
  if (listener != NULL)
    listener->acceptor->opened (listener->acceptor->user_data, self, error);
  else
    self->done (self->user_data, self, error);
}

static void
on_visitor (gpointer user_data, int fd)
{
  UnixListener *self = user_data;
  UnixConnection *connection = commy_door_admit (self->acceptor, fd);
  g_autoptr (GError) error = NULL;

  if (connection == NULL)
    {
      close (fd); /* the core counts what it turns away */
      return;
    }
  connection->instance = self->instance;
  if (unix_handshake_start (connection, fd, &error))
    join_listener (connection, self);
  else
    self->acceptor->opened (self->acceptor->user_data, connection, error);
}

static gboolean
unix_listen (gpointer instance, gpointer listener, const CommyAcceptor *acceptor, GError **error)
{
  UnixListener *self = listener;

  self->instance = instance;
  self->acceptor = acceptor;
  return commy_door_keeper_start (&self->keeper, self->instance->host, &door_style, on_visitor,
                                  self, error);
}

static const char *
unix_address (gpointer instance, gpointer listener)
{
  return ((UnixListener *) listener)->keeper.address;
}

static void
unix_unlisten (gpointer instance, gpointer listener)
{
  UnixListener *self = listener;

  while (self->pending != NULL)
    {
      UnixConnection *connection = self->pending;

      leave_listener (connection);
      unix_connection_clear (connection, FALSE);
    }
  commy_door_keeper_stop (&self->keeper);
}

static void
on_door_opened (gpointer user_data, int fd, GError *failure)
{
  UnixConnection *self = user_data;
  g_autoptr (GError) error = NULL;

  if (failure != NULL)
    unix_connection_settle (self, failure);
  else if (!unix_handshake_start (self, fd, &error))
    unix_connection_settle (self, error);
}

static void
unix_connect (gpointer instance,
              gpointer connection,
              const CommyEndpoint *endpoint,
              CommyConnectedFunc done,
              gpointer user_data)
{
  UnixInstance *plugin = instance;
  UnixConnection *self = connection;

  self->instance = plugin;
  self->fd = -1;
  self->is_client = TRUE;
  self->done = done;
  self->user_data = user_data;
  commy_door_caller_start (&self->caller, plugin->host, &door_style, endpoint->address,
                           on_door_opened, self);
}

static gboolean
unix_reachable (gpointer instance, const CommyEndpoint *endpoint, char *reason, gsize reason_size)
{
  return commy_door_reachable (((UnixInstance *) instance)->host, endpoint, reason, reason_size);
}

/* The note knows the default, the instance what the operator made of it. */
static void
unix_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  profile->max_message = ((UnixInstance *) instance)->max_message;
}

/* --- open connections --- */

static int
unix_fd (gpointer connection)
{
  return ((UnixConnection *) connection)->fd;
}

static void
unix_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  const UnixConnection *self = connection;
  CommyEvidence evidence = { .struct_size = out_evidence->struct_size,
                             .kind = COMMY_EVIDENCE_KERNEL,
                             .security = COMMY_SECURITY_KERNEL,
                             .uid = self->peer.uid,
                             .gid = self->peer.gid,
                             .pid = self->peer.pid,
                             .pidfd = self->peer.pidfd,
                             .has_binding = TRUE };

  memcpy (evidence.binding, self->binding, sizeof evidence.binding);
  memcpy (out_evidence, &evidence, MIN (evidence.struct_size, sizeof evidence));
}

static const char *
unix_why (gpointer connection)
{
  const UnixConnection *self = connection;

  /* How the peer ended explains more than what writing to it brought. */
  return self->receive_why != NULL ? self->receive_why : self->send_why;
}

static void
unix_close (gpointer connection)
{
  UnixConnection *self = connection;

  leave_listener (self);
  unix_connection_clear (self, self->is_open);
}

static const CommyTransportOps unix_ops = {
  .struct_size = sizeof (CommyTransportOps),
  .listener_size = sizeof (UnixListener),
  .connection_size = sizeof (UnixConnection),
  .listen = unix_listen,
  .address = unix_address,
  .unlisten = unix_unlisten,
  .connect = unix_connect,
  .reachable = unix_reachable,
  .estimate = unix_estimate,
  .reserve = unix_reserve,
  .commit = unix_commit,
  .sendv = unix_sendv,
  .flush = unix_flush,
  .peek = unix_peek,
  .release = unix_release,
  .fd = unix_fd,
  .arm = unix_arm,
  .evidence = unix_evidence,
  .why = unix_why,
  .close = unix_close,
  .attach = unix_attach,
  .take_fds = unix_take_fds,
  .limit = unix_limit,
};

/* Measured on another machine: see "Figures" in the README. Latency is a wake-up; the kernel
 * copies every byte once on each side. */
COMMY_PLUGIN_NOTE (TRANSPORT,
                   "unix",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "Unix sockets between processes of one host, with descriptors",
                   "unix",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 2,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .security = COMMY_SECURITY_KERNEL,
                   .reach = COMMY_REACH_HOST | COMMY_REACH_SELF,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .header_bytes = UNIX_HEADER_SIZE,
                   .capabilities = COMMY_CAP_FD_PASSING,
                   .max_message = MAX_MESSAGE_DEFAULT,
                   .connect_ns = 120000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = 65536,
                                   .latency_ns = 4000,
                                   .wire_ns_per_byte = 0.08,
                                   .send_cpu_ns = 1000,
                                   .send_cpu_ns_per_byte = 0.055,
                                   .recv_cpu_ns = 1100,
                                   .recv_cpu_ns_per_byte = 0.06 },
                                 { .max_bytes = G_MAXUINT64,
                                   .latency_ns = 4000,
                                   .wire_ns_per_byte = 0.12,
                                   .send_cpu_ns = 1000,
                                   .send_cpu_ns_per_byte = 0.045,
                                   .recv_cpu_ns = 1100,
                                   .recv_cpu_ns_per_byte = 0.075 } });

COMMY_PLUGIN_DEFINE (
    UnixInstance, unix_init, NULL, unix_fini, unix_params, G_N_ELEMENTS (unix_params), &unix_ops);
