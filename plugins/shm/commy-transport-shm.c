/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plugin: its note, its parameters, its listeners and connections, and the slots of the
 * transport's vtable, which hand on to the door, the handshake and the link.
 */
#include "config.h"

#include "commy-handshake.h"
#include "commy-link.h"
#include "plugins/common/commy-door-keeper.h"

#include <commy/commy-plugin.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

COMMY_PLUGIN_NOTE (TRANSPORT,
                   "shm",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "Shared memory between processes of one host",
                   "shm",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 3,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .security = COMMY_SECURITY_KERNEL,
                   .reach = COMMY_REACH_HOST | COMMY_REACH_SELF,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .header_bytes = SHM_MARK_BYTES,
                   .capabilities = COMMY_CAP_ZERO_COPY | COMMY_CAP_CHEAP_POLL,
                   .max_message = 64 << 20,
                   .max_inline = 2048,
                   .connect_ns = 150000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = 2048,
                                   .latency_ns = 60,
                                   .send_cpu_ns = 30,
                                   .send_cpu_ns_per_byte = 0.03,
                                   .recv_cpu_ns = 30,
                                   .recv_cpu_ns_per_byte = 0.03 },
                                 { .max_bytes = 1 << 20,
                                   .latency_ns = 80,
                                   .send_cpu_ns = 60,
                                   .send_cpu_ns_per_byte = 0.03,
                                   .recv_cpu_ns = 60,
                                   .recv_cpu_ns_per_byte = 0.03 },
                                 { .max_bytes = G_MAXUINT64,
                                   .latency_ns = 100,
                                   .send_cpu_ns = 60,
                                   .send_cpu_ns_per_byte = 0.065,
                                   .recv_cpu_ns = 60,
                                   .recv_cpu_ns_per_byte = 0.065 } });

static const CommyParamSpec shm_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "ring-size",
    .default_value = "16KiB",
    .minimum = SHM_RING_MIN,
    .maximum = SHM_RING_MAX,
    .help = "Bytes of the ring this side writes; rounded up to a power of two." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "inline-max",
    .default_value = "2KiB",
    .minimum = 64,
    .maximum = 16 << 20,
    .help = "Largest message that is written into the ring itself, at most a quarter of it." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "arena-max",
    .default_value = "64MiB",
    .minimum = 1 << 16,
    .maximum = SHM_ARENA_MAX,
    .help = "Most memory for the larger messages of one direction, and the largest message." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "borrow-max",
    .default_value = "256",
    .minimum = 1,
    .maximum = 32768,
    .help = "Most received messages that are not given back; beyond, nothing more is read." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "maps-max",
    .default_value = "0",
    .minimum = 0,
    .maximum = G_MAXINT32,
    .help = "Most pieces of memory of others that are mapped, over all connections, of which no "
            "other user gets all; 0: half of vm.max_map_count." },
};

typedef struct
{
  CommyHost *host;
  ShmPeers peers;
  ShmMaps maps;
  ShmShape shape;
  guint16 borrow_limit;
} Instance;

typedef struct _Connection Connection;

typedef struct
{
  Instance *instance;
  CommyAcceptor acceptor;
  DoorKeeper keeper;
  Connection *pending; /* being set up */
} Listener;

static const DoorStyle door_style = { .prefix = "shm", .type = SOCK_SEQPACKET };

struct _Connection
{
  ShmLink link; /* first: aligned as the core aligned the memory */
  ShmHandshake handshake;
  Instance *instance;
  /* While it is set up. */
  Listener *listener;
  Connection *next;
  Connection *previous;
  CommyConnectedFunc done;
  gpointer user_data;
  DoorCaller caller;
  gboolean is_open;
};

/* --- the instance --- */

static guint64
param_number (CommyHost *host, const char *name)
{
  return g_ascii_strtoull (host->param (host, name), NULL, 10);
}

static guint64
round_up_to_power (guint64 size)
{
  guint64 power = SHM_RING_MIN;

  while (power < size)
    power *= 2;
  return power;
}

static gboolean
plugin_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;
  guint64 max_inline = param_number (host, "inline-max");
  guint32 maps_max = (guint32) param_number (host, "maps-max");

  self->host = host;
  commy_shm_peers_init (&self->peers);
  self->shape.ring_size = round_up_to_power (param_number (host, "ring-size"));
  if (!shm_ring_valid_capacity (self->shape.ring_size))
    {
      commy_shm_peers_clear (&self->peers);
      commy_door_set_error (error, COMMY_ERROR_PLUGIN_PARAM, "ring-size is out of range");
      return FALSE;
    }
  self->shape.max_inline = (guint32) MIN (max_inline, shm_ring_max_inline (self->shape.ring_size));
  self->shape.arena_max = param_number (host, "arena-max") & ~(guint64) (SHM_HEADER_BYTES - 1);
  self->borrow_limit = (guint16) param_number (host, "borrow-max");
  shm_maps_init (&self->maps, maps_max > 0 ? maps_max : shm_maps_default (), geteuid ());
  return TRUE;
}

static void
plugin_fini (gpointer instance)
{
  Instance *self = instance;

  commy_shm_peers_clear (&self->peers);
  shm_maps_clear (&self->maps);
}

/* --- connections that are being set up --- */

static void
leave_listener (Connection *self)
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
join_listener (Connection *self, Listener *listener)
{
  self->listener = listener;
  self->previous = NULL;
  self->next = listener->pending;
  if (self->next != NULL)
    self->next->previous = self;
  listener->pending = self;
}

static void
prepare (Connection *self, Instance *instance, ShmHandshakeDone done)
{
  self->instance = instance;
  self->link.socket_fd = self->link.pid_fd = -1;
  self->handshake.host = instance->host;
  self->handshake.peers = &instance->peers;
  self->handshake.maps = &instance->maps;
  self->handshake.link = &self->link;
  self->handshake.own_shape = instance->shape;
  self->handshake.borrow_limit = instance->borrow_limit;
  self->handshake.done = done;
}

static Connection *
connection_of (ShmHandshake *handshake)
{
  return (Connection *) (void *) ((char *) handshake - G_STRUCT_OFFSET (Connection, handshake));
}

/* --- listening --- */

static void
on_accepted (ShmHandshake *handshake, const GError *error)
{
  Connection *self = connection_of (handshake);
  const CommyAcceptor *acceptor = &self->listener->acceptor;

  leave_listener (self);
  self->is_open = error == NULL;
  acceptor->opened (acceptor->user_data, self, error);
}

static void
take_in (gpointer user_data, int fd)
{
  Listener *self = user_data;
  Connection *connection = commy_door_admit (&self->acceptor, fd);
  g_autoptr (GError) error = NULL;

  if (connection == NULL)
    {
      close (fd);
      return;
    }
  prepare (connection, self->instance, on_accepted);
  if (commy_shm_handshake_start (&connection->handshake, fd, FALSE, &error))
    join_listener (connection, self);
  else
    self->acceptor.opened (self->acceptor.user_data, connection, error);
}

static gboolean
transport_listen (gpointer instance,
                  gpointer listener,
                  const CommyAcceptor *acceptor,
                  GError **error)
{
  Instance *plugin = instance;
  Listener *self = listener;

  self->instance = plugin;
  memcpy (&self->acceptor, acceptor, MIN (acceptor->struct_size, sizeof self->acceptor));
  return commy_door_keeper_start (&self->keeper, plugin->host, &door_style, take_in, self, error);
}

static const char *
transport_address (gpointer instance, gpointer listener)
{
  return ((Listener *) listener)->keeper.address;
}

static void
transport_unlisten (gpointer instance, gpointer listener)
{
  Listener *self = listener;

  while (self->pending != NULL)
    {
      Connection *connection = self->pending;

      leave_listener (connection);
      commy_shm_handshake_stop (&connection->handshake);
    }
  commy_door_keeper_stop (&self->keeper);
}

/* --- connecting --- */

static void
on_connected (ShmHandshake *handshake, const GError *error)
{
  Connection *self = connection_of (handshake);

  self->is_open = error == NULL;
  self->done (self->user_data, self, error);
}

static void
on_door_opened (gpointer user_data, int fd, GError *failure)
{
  Connection *self = user_data;
  g_autoptr (GError) error = NULL;

  if (failure != NULL)
    on_connected (&self->handshake, failure);
  else if (!commy_shm_handshake_start (&self->handshake, fd, TRUE, &error))
    on_connected (&self->handshake, error);
}

static void
transport_connect (gpointer instance,
                   gpointer connection,
                   const CommyEndpoint *endpoint,
                   CommyConnectedFunc done,
                   gpointer user_data)
{
  Instance *plugin = instance;
  Connection *self = connection;

  prepare (self, plugin, on_connected);
  self->done = done;
  self->user_data = user_data;
  commy_door_caller_start (&self->caller, plugin->host, &door_style, endpoint->address,
                           on_door_opened, self);
}

static gboolean
transport_reachable (gpointer instance,
                     const CommyEndpoint *endpoint,
                     char *reason,
                     gsize reason_size)
{
  return commy_door_reachable (((Instance *) instance)->host, endpoint, reason, reason_size);
}

/* The note knows the defaults, the instance what the operator made of them. */
static void
transport_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  const Instance *self = instance;

  profile->max_message = self->shape.arena_max;
  profile->max_inline = self->shape.max_inline;
}

/* --- data --- */

static CommyIo
io_from (ShmResult result)
{
  switch (result)
    {
    case SHM_OK:
      return COMMY_IO_OK;
    case SHM_EMPTY:
    case SHM_FULL:
      return COMMY_IO_WOULD_BLOCK;
    case SHM_NEVER:
      return COMMY_IO_TOO_BIG;
    case SHM_BROKEN:
    default:
      return COMMY_IO_CLOSED;
    }
}

static CommyIo
transport_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  out_span->size = size;
  return io_from (shm_link_reserve (connection, size, &out_span->data));
}

static CommyIo
transport_commit (gpointer connection, gsize used)
{
  return io_from (shm_link_commit (connection, used));
}

static CommyIo
transport_flush (gpointer connection)
{
  return io_from (shm_link_flush (connection));
}

/* Never stable: the peer keeps its own map writable. */
static CommyIo
transport_peek (gpointer connection, CommyMessage *out_message)
{
  ShmMessage message;
  ShmResult result = shm_link_peek (connection, &message);

  if (result != SHM_OK)
    return io_from (result);
  *out_message
      = (CommyMessage){ .data = message.data, .size = message.size, .token = message.token };
  if (G_UNLIKELY (message.body != NULL))
    out_message->flags = COMMY_MESSAGE_SPLIT;
  return COMMY_IO_OK;
}

static void
transport_release (gpointer connection, const CommyMessage *message)
{
  shm_link_release (connection, message->token);
}

static int
transport_fd (gpointer connection)
{
  return ((ShmLink *) connection)->socket_fd;
}

static guint
transport_arm (gpointer connection, guint interest, guint *out_events)
{
  *out_events = POLLIN;
  return shm_link_arm (connection, interest);
}

static CommyIo
transport_wait (gpointer connection,
                const guint32 *kick_word,
                guint32 kick_seen,
                gint64 deadline_ns)
{
  switch (shm_link_wait (connection, kick_word, kick_seen, deadline_ns, SHM_PARK_BEST))
    {
    case SHM_WAIT_READY:
      return COMMY_IO_OK;
    case SHM_WAIT_KICKED:
      return COMMY_IO_KICKED;
    case SHM_WAIT_TIMEOUT:
      return COMMY_IO_TIMEOUT;
    case SHM_WAIT_CLOSED:
    default:
      return COMMY_IO_CLOSED;
    }
}

static void
transport_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  const Connection *self = connection;
  CommyEvidence evidence = { .struct_size = out_evidence->struct_size,
                             .kind = COMMY_EVIDENCE_KERNEL,
                             .security = COMMY_SECURITY_KERNEL,
                             .uid = self->handshake.peer.uid,
                             .gid = self->handshake.peer.gid,
                             .pid = self->handshake.peer.pid,
                             .pidfd = self->link.pid_fd,
                             .has_binding = TRUE };

  memcpy (evidence.binding, self->handshake.binding, sizeof evidence.binding);
  memcpy (out_evidence, &evidence, MIN (evidence.struct_size, sizeof evidence));
}

static const char *
transport_why (gpointer connection)
{
  return ((ShmLink *) connection)->why;
}

static void
transport_close (gpointer connection)
{
  Connection *self = connection;

  if (self->is_open)
    {
      shm_link_close (&self->link);
      self->is_open = FALSE;
      return;
    }
  if (self->listener == NULL)
    commy_door_caller_stop (&self->caller);
  leave_listener (self);
  commy_shm_handshake_stop (&self->handshake);
}

/* One in two parts is put together: who asks has lost a path, and copies it anyway. */
static void
tell_unsent (const ShmMessage *message, CommyUnsentFunc each, gpointer user_data)
{
  g_autofree guint8 *whole = NULL;

  if (message->body == NULL)
    {
      each (user_data, message->data, message->size);
      return;
    }
  whole = g_malloc (message->size + message->body_size);
  memcpy (whole, message->data, message->size);
  memcpy (whole + message->size, message->body, message->body_size);
  each (user_data, whole, message->size + message->body_size);
}

static gboolean
transport_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  ShmLink *link = connection;
  ShmMessage message;
  uint64_t position = 0;

  while (each != NULL && shm_link_unsent (link, &position, &message))
    tell_unsent (&message, each, user_data);
  return TRUE;
}

/* --- pools --- */

static gpointer
transport_pool_new (gpointer instance, gsize limit)
{
  const Instance *self = instance;

  return shm_pool_new (MIN (limit, self->shape.arena_max));
}

static void
transport_pool_free (gpointer pool)
{
  shm_pool_free (pool);
}

static CommyIo
transport_pool_take (gpointer pool, gsize size, CommyBlock *out_block)
{
  ShmBlock *block;
  ShmResult result = shm_pool_take (pool, size, &block);

  if (result == SHM_OK)
    *out_block = (CommyBlock){ .data = block->data, .size = block->size, .token = block };
  return io_from (result);
}

static void
transport_pool_give (const CommyBlock *block)
{
  shm_block_give (block->token);
}

static CommyIo
transport_lend (
    gpointer connection, gconstpointer head, gsize head_size, const CommyBlock *block, gsize size)
{
  ShmResult result = shm_link_lend (connection, head, head_size, block->token, size);

  return result == SHM_NEVER ? COMMY_IO_UNSUPPORTED : io_from (result);
}

static gboolean
transport_body (gpointer connection,
                const CommyMessage *message,
                const guint8 **out_data,
                gsize *out_size)
{
  return message == NULL || shm_link_body (connection, message->token, out_data, out_size);
}

static const CommyTransportOps shm_ops = {
  .struct_size = sizeof (CommyTransportOps),
  .listener_size = sizeof (Listener),
  .connection_size = sizeof (Connection),
  .listen = transport_listen,
  .address = transport_address,
  .unlisten = transport_unlisten,
  .connect = transport_connect,
  .reachable = transport_reachable,
  .estimate = transport_estimate,
  .reserve = transport_reserve,
  .commit = transport_commit,
  .flush = transport_flush,
  .peek = transport_peek,
  .release = transport_release,
  .fd = transport_fd,
  .arm = transport_arm,
  .wait = transport_wait,
  .evidence = transport_evidence,
  .why = transport_why,
  .close = transport_close,
  .unsent = transport_unsent,
  .pool_new = transport_pool_new,
  .pool_free = transport_pool_free,
  .pool_take = transport_pool_take,
  .pool_give = transport_pool_give,
  .lend = transport_lend,
  .body = transport_body,
};

COMMY_PLUGIN_DEFINE (
    Instance, plugin_init, NULL, plugin_fini, shm_params, G_N_ELEMENTS (shm_params), &shm_ops);
