/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `delay`: makes a transport as slow as another one, with latency, jitter and bandwidth
 * each way. Messages wait in order until they are due; nothing blocks, and whoever sleeps is
 * woken by a timer next to the wrapped transport's own descriptor.
 */
#include "config.h"

#include <commy/commy-error.h>
#include <commy/commy-hook.h>
#include <commy/commy-plugin.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define HELD_BYTES (1024 * 1024) /* outgoing; a larger message waits alone */
#define HELD_PACKETS 4096
#define HELD_MESSAGES 64 /* incoming: they are on loan from the wrapped transport */
#define ROUNDS 16

typedef struct
{
  CommyHook hook;
  gint64 delay_ns;
  gint64 jitter_ns;
  double ns_per_byte;
  gboolean out;
  gboolean in;
} Instance;

/* One direction: when it is free again, and what was due last, because order is kept. */
typedef struct
{
  gint64 free_ns;
  gint64 due_ns;
} Line;

/* On its way out. */
typedef struct
{
  gint64 due_ns;
  gsize size;
  guint n_fds;
  int fds[253];
  _Alignas(16) guint8 data[];
} Packet;

/* On its way in. */
typedef struct
{
  gint64 due_ns;
  CommyMessage message;
} Arrival;

typedef struct
{
  CommyHookConnection base;
  int epoll_fd;
  int timer_fd;
  guint watched; /* events the wrapped descriptor is watched for; 0: it is not */
  Line out, in;
  Packet *reserved;
  GQueue outgoing; /* of Packet */
  guint n_flushed; /* of them */
  gsize held_bytes;
  gsize refused;    /* the size that did not fit; 0: all did */
  gboolean blocked; /* the wrapped transport took no more */
  GQueue incoming;  /* of Arrival */
  gboolean ended;   /* nothing more comes in */
} Connection;

static Instance *
instance_of (gconstpointer connection)
{
  return (Instance *) ((const CommyHookConnection *) connection)->hook;
}

static gint64
now_of (const Connection *self)
{
  CommyHost *host = self->base.hook->host;

  return host->now_ns (host);
}

/* When a message that enters the line now comes out of it. */
static gint64
enter_line (const Connection *self, Line *line, gsize size)
{
  const Instance *instance = instance_of (self);
  CommyHost *host = instance->hook.host;
  guint64 dice = 0;

  if (instance->jitter_ns > 0)
    {
      host->random (host, &dice, sizeof dice);
      dice %= (guint64) instance->jitter_ns + 1;
    }
  line->free_ns
      = MAX (line->free_ns, now_of (self)) + (gint64) ((double) size * instance->ns_per_byte);
  line->due_ns = MAX (line->due_ns, line->free_ns + instance->delay_ns + (gint64) dice);
  return line->due_ns;
}

/* --- out --- */

static void
packet_free (gpointer data)
{
  Packet *packet = data;

  for (guint i = 0; packet != NULL && i < packet->n_fds; i++)
    close (packet->fds[i]);
  g_free (packet);
}

static gboolean
has_room (const Connection *self, gsize size)
{
  return self->outgoing.length == 0
         || (self->outgoing.length < HELD_PACKETS && self->held_bytes + size <= HELD_BYTES);
}

/* Hands one packet on; FALSE if it is not taken now. */
static gboolean
hand_on (Connection *self, Packet *packet)
{
  CommySpan span;

  if (commy_hook_reserve (self, packet->size, &span) != COMMY_IO_OK)
    return FALSE;
  if (packet->n_fds > 0 && commy_hook_attach (self, packet->fds, packet->n_fds) != COMMY_IO_OK)
    {
      commy_hook_commit (self, 0);
      return FALSE;
    }
  packet->n_fds = 0; /* they went along */
  memcpy (span.data, packet->data, packet->size);
  commy_hook_commit (self, packet->size);
  return TRUE;
}

/* Hands on what was flushed and is due at @now_ns. */
static CommyIo
push (Connection *self, gint64 now_ns)
{
  self->blocked = FALSE;
  while (self->n_flushed > 0 && !self->blocked)
    {
      Packet *packet = g_queue_peek_head (&self->outgoing);

      if (packet->due_ns > now_ns)
        break;
      if (!hand_on (self, packet))
        {
          self->blocked = TRUE;
          break;
        }
      g_queue_pop_head (&self->outgoing);
      self->n_flushed--;
      self->held_bytes -= packet->size;
      packet_free (packet);
    }
  return commy_hook_flush (self);
}

static CommyIo
delay_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  Connection *self = connection;
  CommyIo io = commy_hook_reserve (connection, size, out_span);

  if (!instance_of (self)->out)
    return io;
  g_clear_pointer (&self->reserved, packet_free);
  if (io == COMMY_IO_OK)
    commy_hook_commit (connection, 0); /* asked only whether it ever fits */
  else if (io != COMMY_IO_WOULD_BLOCK)
    return io;
  if (!has_room (self, size))
    push (self, now_of (self));
  if (!has_room (self, size))
    {
      self->refused = size;
      return COMMY_IO_WOULD_BLOCK;
    }
  self->refused = 0;
  self->reserved = g_malloc (sizeof *self->reserved + size);
  self->reserved->size = size;
  self->reserved->n_fds = 0;
  *out_span = (CommySpan){ .data = self->reserved->data, .size = size };
  return COMMY_IO_OK;
}

static CommyIo
delay_attach (gpointer connection, const int *fds, gsize n_fds)
{
  Connection *self = connection;

  if (!instance_of (self)->out)
    return commy_hook_attach (connection, fds, n_fds);
  if (n_fds > G_N_ELEMENTS (self->reserved->fds))
    return COMMY_IO_TOO_BIG;
  g_return_val_if_fail (self->reserved != NULL && self->reserved->n_fds == 0, COMMY_IO_CLOSED);
  memcpy (self->reserved->fds, fds, n_fds * sizeof *fds);
  self->reserved->n_fds = (guint) n_fds;
  return COMMY_IO_OK;
}

static CommyIo
delay_commit (gpointer connection, gsize used)
{
  Connection *self = connection;
  Packet *packet = g_steal_pointer (&self->reserved);

  if (!instance_of (self)->out)
    return commy_hook_commit (connection, used);
  if (used == 0 || packet == NULL)
    {
      packet_free (packet);
      return COMMY_IO_OK;
    }
  packet->size = MIN (packet->size, used);
  packet->due_ns = enter_line (self, &self->out, packet->size);
  self->held_bytes += packet->size;
  g_queue_push_tail (&self->outgoing, packet);
  return COMMY_IO_OK;
}

static CommyIo
delay_flush (gpointer connection)
{
  Connection *self = connection;
  CommyIo io;

  self->n_flushed = self->outgoing.length;
  io = push (self, now_of (self));
  return io == COMMY_IO_OK && self->outgoing.length > 0 ? COMMY_IO_WOULD_BLOCK : io;
}

/* --- in --- */

/* Takes what the wrapped transport has; each has to wait from now on. */
static void
take_in (Connection *self)
{
  while (!self->ended && self->incoming.length < HELD_MESSAGES)
    {
      CommyMessage message;
      CommyIo io = commy_hook_peek (self, &message);
      Arrival *arrival;

      if (io != COMMY_IO_OK)
        {
          self->ended = io != COMMY_IO_WOULD_BLOCK;
          return;
        }
      arrival = g_new (Arrival, 1);
      arrival->message = message;
      arrival->due_ns = enter_line (self, &self->in, message.size);
      g_queue_push_tail (&self->incoming, arrival);
    }
}

static gboolean
is_readable (const Connection *self, gint64 now_ns)
{
  const Arrival *arrival = self->incoming.head != NULL ? self->incoming.head->data : NULL;

  return arrival != NULL ? arrival->due_ns <= now_ns : self->ended;
}

static CommyIo
delay_peek (gpointer connection, CommyMessage *out_message)
{
  Connection *self = connection;
  gint64 now_ns = now_of (self);
  g_autofree Arrival *arrival = NULL;

  if (self->n_flushed > 0)
    push (self, now_ns);
  if (!instance_of (self)->in)
    return commy_hook_peek (connection, out_message);
  take_in (self);
  if (!is_readable (self, now_ns))
    return COMMY_IO_WOULD_BLOCK;
  arrival = g_queue_pop_head (&self->incoming);
  if (arrival == NULL)
    return COMMY_IO_CLOSED;
  *out_message = arrival->message;
  return COMMY_IO_OK;
}

/* --- sleeping --- */

static void
watch_wrapped (Connection *self, guint events)
{
  struct epoll_event event = { .events = ((events & POLLIN) != 0 ? EPOLLIN : 0u)
                                         | ((events & POLLOUT) != 0 ? EPOLLOUT : 0u) };
  int fd = commy_hook_fd (self);
  int action = self->watched == 0  ? EPOLL_CTL_ADD
               : event.events == 0 ? EPOLL_CTL_DEL
                                   : EPOLL_CTL_MOD;

  /* A descriptor that is not watched for anything would still tell of its end, again and again. */
  if (event.events == self->watched)
    return;
  if (epoll_ctl (self->epoll_fd, action, fd, &event) == 0)
    self->watched = event.events;
}

static void
set_timer (Connection *self, gint64 now_ns)
{
  const Packet *packet = self->n_flushed > 0 && !self->blocked ? self->outgoing.head->data : NULL;
  const Arrival *arrival = self->incoming.head != NULL ? self->incoming.head->data : NULL;
  gint64 due_ns = MIN (packet != NULL ? packet->due_ns : G_MAXINT64,
                       arrival != NULL ? arrival->due_ns : G_MAXINT64);
  gint64 left = due_ns == G_MAXINT64 ? 0 : MAX (due_ns - now_ns, 1);
  const struct itimerspec when
      = { .it_value = { .tv_sec = left / SECOND_NS, .tv_nsec = left % SECOND_NS } };

  timerfd_settime (self->timer_fd, 0, &when, NULL);
}

/* What the wrapped transport has to wake for. */
static guint
inner_interest (const Connection *self, guint interest, CommyIo flushed)
{
  const Instance *instance = instance_of (self);
  guint wanted = 0;

  if (instance->in ? !self->ended && self->incoming.length < HELD_MESSAGES
                   : (interest & COMMY_INTEREST_READ) != 0)
    wanted |= COMMY_INTEREST_READ;
  if (self->blocked || flushed == COMMY_IO_WOULD_BLOCK
      || (!instance->out && (interest & COMMY_INTEREST_WRITE) != 0))
    wanted |= COMMY_INTEREST_WRITE;
  return wanted;
}

static guint
what_is_met (const Connection *self, guint interest, guint inner, CommyIo flushed, gint64 now_ns)
{
  const Instance *instance = instance_of (self);
  guint met = 0;

  if ((interest & COMMY_INTEREST_READ) != 0
      && (instance->in ? is_readable (self, now_ns) : (inner & COMMY_INTEREST_READ) != 0))
    met |= COMMY_INTEREST_READ;
  if ((interest & COMMY_INTEREST_WRITE) != 0
      && (!instance->out ? (inner & COMMY_INTEREST_WRITE) != 0
                         : flushed == COMMY_IO_CLOSED
                               || (self->refused != 0 ? has_room (self, self->refused)
                                                      : self->outgoing.length == 0)))
    met |= COMMY_INTEREST_WRITE;
  return met;
}

static guint
delay_arm (gpointer connection, guint interest, guint *out_events)
{
  Connection *self = connection;
  guint events = 0;
  guint met = 0;
  guint inner = 0;
  gint64 now_ns = now_of (self);

  /* What the wrapped transport has is taken or handed on; then it is armed anew. */
  for (guint i = 0; i < ROUNDS; i++)
    {
      CommyIo flushed = push (self, now_ns);

      if (instance_of (self)->in)
        take_in (self);
      inner = commy_hook_arm (connection, inner_interest (self, interest, flushed), &events);
      now_ns = now_of (self);
      met = what_is_met (self, interest, inner, flushed, now_ns);
      if (met != 0 || inner == 0)
        break;
    }
  /* Still something to do below: the caller comes back at once. */
  if (met == 0 && inner != 0)
    met = COMMY_INTEREST_READ;
  watch_wrapped (self, events);
  set_timer (self, now_ns);
  *out_events = POLLIN;
  return met;
}

static int
delay_fd (gpointer connection)
{
  return ((Connection *) connection)->epoll_fd;
}

/* --- set-up and end --- */

static gboolean
delay_opened (gpointer connection, GError **error)
{
  Connection *self = connection;
  struct epoll_event event = { .events = EPOLLIN };
  int code;

  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (self->epoll_fd >= 0 && self->timer_fd >= 0
      && epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, self->timer_fd, &event) == 0)
    return TRUE;
  code = errno;
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  if (self->timer_fd >= 0)
    close (self->timer_fd);
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_FAILED,
               "the hook delay cannot make a timer: %s", g_strerror (code));
  return FALSE;
}

/* What was flushed stays readable for the peer, so it goes now. */
static void
delay_closed (gpointer connection)
{
  Connection *self = connection;
  Arrival *arrival;

  push (self, G_MAXINT64);
  while ((arrival = g_queue_pop_head (&self->incoming)) != NULL)
    {
      commy_hook_release (connection, &arrival->message);
      g_free (arrival);
    }
  g_queue_clear_full (&self->outgoing, packet_free);
  g_clear_pointer (&self->reserved, packet_free);
  close (self->epoll_fd);
  close (self->timer_fd);
}

/* An honest claim: what waits here costs, half of it for each direction. */
static void
delay_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  const Instance *self = instance;
  double share = (self->out ? 0.5 : 0) + (self->in ? 0.5 : 0);

  commy_hook_estimate (instance, endpoint, profile);
  for (guint i = 0; i < MIN (profile->n_segments, COMMY_PROFILE_SEGMENTS); i++)
    {
      profile->segments[i].latency_ns
          += share * ((double) self->delay_ns + (double) self->jitter_ns / 2);
      profile->segments[i].wire_ns_per_byte += share * self->ns_per_byte;
    }
}

COMMY_HOOK_OPS (delay_ops,
                Connection,
                .estimate = delay_estimate,
                .reserve = delay_reserve,
                .commit = delay_commit,
                .sendv = NULL,
                .flush = delay_flush,
                .peek = delay_peek,
                .fd = delay_fd,
                .arm = delay_arm,
                .wait = NULL,
                .attach = delay_attach,
                .unsent = NULL /* what waits here is in nobody's ring */);

/* --- the plugin --- */

static const CommyParamSpec delay_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "delay",
    .default_value = "10ms",
    .minimum = 0,
    .maximum = 3600 * SECOND_NS,
    .help = "How long each message waits" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "jitter",
    .default_value = "0ns",
    .minimum = 0,
    .maximum = 3600 * SECOND_NS,
    .help = "And how much longer at most, by chance; order is kept" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "rate",
    .default_value = "0",
    .minimum = 0,
    .maximum = G_GINT64_CONSTANT (1) << 50,
    .help = "Bytes a second that pass in each direction; 0 for any number" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_CHOICE,
    .name = "direction",
    .default_value = "both",
    .choices = "both;out;in",
    .help = "Which messages wait: those that are sent, those that are received, or both" },
};

static gint64
param_number (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

static gboolean
delay_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;
  const char *direction = host->param (host, "direction");
  gint64 rate = param_number (host, "rate");

  commy_hook_init (&self->hook, host, &delay_ops, delay_opened, delay_closed);
  self->delay_ns = param_number (host, "delay");
  self->jitter_ns = param_number (host, "jitter");
  self->ns_per_byte = rate > 0 ? (double) SECOND_NS / (double) rate : 0;
  self->out = strcmp (direction, "in") != 0;
  self->in = strcmp (direction, "out") != 0;
  return TRUE;
}

static void
delay_fini (gpointer instance)
{
}

COMMY_PLUGIN_NOTE (TRANSPORT,
                   "delay",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "Hook: makes a transport slow, with latency, jitter and bandwidth",
                   "",
                   COMMY_PLUGIN_FLAG_HOOK,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .security = COMMY_SECURITY_NONE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Instance, delay_init, NULL, delay_fini, delay_params, G_N_ELEMENTS (delay_params), &delay_ops);
