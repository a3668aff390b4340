/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transport inside one process: note, parameters, listeners and connection set-up.
 * Messages go over by pointer (commy-inproc-link.c).
 *
 * Set-up: the connector makes the link and sends an offer to the listener's mailbox; the
 * listener's mesh thread accepts or refuses; the connector's mesh thread hears of it. An
 * address is PID/NODE/TOKEN and is only ever compared, never followed.
 */
#include "config.h"

#include "commy-inproc-mailbox.h"

#include <commy/commy-plugin.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct _InprocInstance
{
  CommyHost *host;
  InprocMailbox *mailbox;
  guint watch;
  GPtrArray *listeners;  /* of InprocListener */
  GPtrArray *connecting; /* of InprocConnection */
  guint queue_length;
  gsize queue_bytes;
  gsize max_message;
};

typedef struct
{
  const CommyAcceptor *acceptor;
  char *address;
} InprocListener;

static GQuark
error_quark (void)
{
  return g_quark_from_static_string ("commy-error-quark");
}

static void
answer (InprocLetter *offer, InprocLetterKind kind, const char *reason)
{
  InprocLetter *letter = inproc_letter_new (kind, offer->link);

  letter->reason = reason;
  inproc_mailbox_post (offer->reply_to, letter);
}

static InprocListener *
find_listener (InprocInstance *self, const char *address)
{
  for (guint i = 0; i < self->listeners->len; i++)
    {
      InprocListener *listener = g_ptr_array_index (self->listeners, i);

      if (strcmp (listener->address, address) == 0)
        return listener;
    }
  return NULL;
}

static void
take_offer (InprocInstance *self, InprocLetter *offer)
{
  InprocListener *listener = find_listener (self, offer->address);
  const CommyAcceptor *acceptor;
  InprocConnection *connection;

  if (listener == NULL)
    {
      answer (offer, INPROC_LETTER_REFUSED, "the listener is gone");
      return;
    }
  if (inproc_link_is_closed (offer->link, 0))
    return;
  acceptor = listener->acceptor;
  connection = acceptor->alloc (acceptor->user_data);
  if (connection == NULL)
    {
      answer (offer, INPROC_LETTER_REFUSED, "the listener takes no more connections at present");
      return;
    }
  connection->instance = self;
  connection->link = inproc_link_ref (offer->link);
  connection->side = 1;
  answer (offer, INPROC_LETTER_ACCEPTED, NULL);
  acceptor->opened (acceptor->user_data, connection, NULL);
}

static void
take_answer (InprocInstance *self, InprocLetter *letter)
{
  InprocConnection *connection = NULL;
  CommyConnectedFunc done;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < self->connecting->len && connection == NULL; i++)
    {
      connection = g_ptr_array_index (self->connecting, i);
      if (connection->link != letter->link)
        connection = NULL;
    }
  if (connection == NULL) /* cancelled */
    return;

  g_ptr_array_remove_fast (self->connecting, connection);
  if (letter->kind == INPROC_LETTER_REFUSED)
    {
      inproc_connection_leave (connection);
      g_set_error (&error, error_quark (), COMMY_ERROR_UNREACHABLE, "inproc: %s", letter->reason);
    }
  done = g_steal_pointer (&connection->done);
  done (connection->user_data, connection, error);
}

static void
on_mail (gpointer user_data, int fd, guint condition)
{
  InprocInstance *self = user_data;
  g_autoptr (InprocMailbox) mailbox = inproc_mailbox_ref (self->mailbox);

  while (!inproc_mailbox_is_shut (mailbox))
    {
      g_autoptr (InprocLetter) letter = inproc_mailbox_take (mailbox);

      if (letter == NULL)
        break;
      if (letter->kind == INPROC_LETTER_OFFER)
        take_offer (self, letter);
      else
        take_answer (self, letter);
    }
}

static gsize
size_param (CommyHost *host, const char *name)
{
  return (gsize) g_ascii_strtoull (host->param (host, name), NULL, 10);
}

static gboolean
inproc_init (gpointer instance, CommyHost *host, GError **error)
{
  InprocInstance *self = instance;

  self->host = host;
  self->queue_length = (guint) size_param (host, "queue-length");
  self->queue_bytes = size_param (host, "queue-bytes");
  self->max_message = size_param (host, "max-message");
  self->mailbox = inproc_mailbox_new (error);
  if (self->mailbox == NULL)
    return FALSE;
  self->listeners = g_ptr_array_new ();
  self->connecting = g_ptr_array_new ();
  self->watch
      = host->watch_fd (host, inproc_mailbox_get_fd (self->mailbox), G_IO_IN, on_mail, self);
  return TRUE;
}

static void
inproc_fini (gpointer instance)
{
  InprocInstance *self = instance;

  self->host->remove (self->host, self->watch);
  inproc_mailbox_shut (self->mailbox);
  g_clear_pointer (&self->mailbox, inproc_mailbox_unref);
  g_clear_pointer (&self->listeners, g_ptr_array_unref);
  g_clear_pointer (&self->connecting, g_ptr_array_unref);
}

static char *
make_address (CommyHost *host)
{
  const char *node = host->info (host, COMMY_HOST_NODE);
  guint32 token[4];

  host->random (host, token, sizeof token);
  return g_strdup_printf ("%d/%s/%08x%08x%08x%08x", (int) getpid (), node != NULL ? node : "-",
                          token[0], token[1], token[2], token[3]);
}

static gboolean
inproc_listen (gpointer instance, gpointer memory, const CommyAcceptor *acceptor, GError **error)
{
  InprocInstance *self = instance;
  InprocListener *listener = memory;
  g_autofree char *address = make_address (self->host);

  if (!inproc_registry_add (address, self->mailbox))
    {
      g_set_error (error, error_quark (), COMMY_ERROR_FAILED,
                   "inproc: the address %s is taken; the source of random numbers repeats itself",
                   address);
      return FALSE;
    }
  listener->acceptor = acceptor;
  listener->address = g_steal_pointer (&address);
  g_ptr_array_add (self->listeners, listener);
  return TRUE;
}

static const char *
inproc_address (gpointer instance, gpointer listener)
{
  return ((InprocListener *) listener)->address;
}

static void
inproc_unlisten (gpointer instance, gpointer memory)
{
  InprocInstance *self = instance;
  InprocListener *listener = memory;

  inproc_registry_remove (listener->address);
  g_ptr_array_remove_fast (self->listeners, listener);
  g_clear_pointer (&listener->address, g_free);
}

/* NULL if a listener of this process may have the address, else a reason. */
static const char *
why_not_here (const CommyEndpoint *endpoint)
{
  const char *address = endpoint->address;
  char *node = NULL;
  const char *token;
  guint64 pid;

  if (address == NULL || !g_ascii_isdigit (address[0]))
    return "the address is not of the form PID/NODE/TOKEN";
  pid = g_ascii_strtoull (address, &node, 10);
  token = *node == '/' ? strchr (node + 1, '/') : NULL;
  if (token == NULL)
    return "the address is not of the form PID/NODE/TOKEN";
  if (pid != (guint64) getpid ())
    return "it is another process";
  node++;
  if (endpoint->node != NULL
      && (strlen (endpoint->node) != (gsize) (token - node)
          || strncmp (endpoint->node, node, (gsize) (token - node)) != 0))
    return "the address belongs to another node than it was published for";
  return NULL;
}

static gboolean
inproc_reachable (gpointer instance, const CommyEndpoint *endpoint, char *reason, gsize reason_size)
{
  const char *why = why_not_here (endpoint);
  g_autoptr (InprocMailbox) mailbox = NULL;

  if (why == NULL)
    mailbox = inproc_registry_find (endpoint->address);
  if (mailbox != NULL)
    return TRUE;
  g_strlcpy (reason, why != NULL ? why : "no listener of this process has that address",
             reason_size);
  return FALSE;
}

static void
inproc_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  InprocInstance *self = instance;

  profile->max_message = self->max_message;
}

/* Sends the offer. NULL, or why it went nowhere. */
static const char *
offer_link (InprocInstance *self, InprocLink *link, const CommyEndpoint *endpoint)
{
  const char *why = why_not_here (endpoint);
  g_autoptr (InprocMailbox) mailbox = NULL;
  InprocLetter *offer;

  if (why != NULL)
    return why;
  mailbox = inproc_registry_find (endpoint->address);
  if (mailbox == NULL)
    return "no listener of this process has that address";
  offer = inproc_letter_new (INPROC_LETTER_OFFER, link);
  offer->address = g_strdup (endpoint->address);
  offer->reply_to = inproc_mailbox_ref (self->mailbox);
  if (!inproc_mailbox_post (mailbox, offer))
    return "too many connections are being set up, or the listener is gone";
  return NULL;
}

static void
fail_later (gpointer user_data)
{
  InprocConnection *connection = user_data;
  CommyConnectedFunc done = g_steal_pointer (&connection->done);
  g_autoptr (GError) error = NULL;

  g_set_error_literal (&error, error_quark (), COMMY_ERROR_FAILED,
                       "inproc: no memory or descriptors for a connection; raise the limit of "
                       "open files");
  done (connection->user_data, connection, error);
}

static void
inproc_connect (gpointer instance,
                gpointer memory,
                const CommyEndpoint *endpoint,
                CommyConnectedFunc done,
                gpointer user_data)
{
  InprocInstance *self = instance;
  InprocConnection *connection = memory;
  const char *why;

  connection->instance = self;
  connection->done = done;
  connection->user_data = user_data;
  connection->link = inproc_link_new (self->queue_length, self->max_message, self->queue_bytes);
  if (connection->link == NULL)
    {
      connection->timer = self->host->add_timer (self->host, 0, fail_later, connection);
      return;
    }
  self->host->random (self->host, connection->link->binding, sizeof connection->link->binding);
  g_ptr_array_add (self->connecting, connection);
  why = offer_link (self, connection->link, endpoint);
  if (why != NULL)
    {
      InprocLetter *refusal = inproc_letter_new (INPROC_LETTER_REFUSED, connection->link);

      refusal->reason = why;
      inproc_mailbox_post (self->mailbox, refusal);
    }
}

static void
inproc_close (gpointer memory)
{
  InprocConnection *connection = memory;
  InprocInstance *self = connection->instance;

  /* Only the mesh thread may touch the instance, and only during set-up there is a reason. */
  if (connection->done != NULL)
    {
      if (connection->timer != 0)
        self->host->remove (self->host, connection->timer);
      connection->timer = 0;
      connection->done = NULL;
      g_ptr_array_remove_fast (self->connecting, connection);
    }
  inproc_connection_leave (connection);
}

static const CommyTransportOps inproc_ops = {
  .struct_size = sizeof (CommyTransportOps),
  .listener_size = sizeof (InprocListener),
  .connection_size = sizeof (InprocConnection),
  .listen = inproc_listen,
  .address = inproc_address,
  .unlisten = inproc_unlisten,
  .connect = inproc_connect,
  .reachable = inproc_reachable,
  .estimate = inproc_estimate,
  .reserve = inproc_connection_reserve,
  .commit = inproc_connection_commit,
  .flush = inproc_connection_flush,
  .peek = inproc_connection_peek,
  .release = inproc_connection_release,
  .fd = inproc_connection_fd,
  .arm = inproc_connection_arm,
  .wait = inproc_connection_wait,
  .evidence = inproc_connection_evidence,
  .why = inproc_connection_why,
  .close = inproc_close,
  .attach = inproc_connection_attach,
  .take_fds = inproc_connection_take_fds,
  .unsent = inproc_connection_unsent,
};

static const CommyParamSpec inproc_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "queue-length",
    .default_value = "512",
    .minimum = 2,
    .maximum = INPROC_LANE_MAX_LENGTH,
    .help = "Messages under way in one direction, rounded up to a power of two." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "queue-bytes",
    .default_value = "32 MiB",
    .minimum = 4096,
    .maximum = G_GINT64_CONSTANT (1) << 32,
    .help = "Memory of messages under way in one direction; at least one largest message." },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "max-message",
    .default_value = "16 MiB",
    .minimum = 1024,
    .maximum = G_GINT64_CONSTANT (1) << 30,
    .help = "The largest message." },
};

COMMY_PLUGIN_NOTE (
    TRANSPORT,
    "inproc",
    PACKAGE_VERSION,
    "LGPL-2.1-or-later",
    "pointer hand-over between meshes of one process",
    "inproc",
    COMMY_PLUGIN_FLAG_NONE,
    .n_segments = 2,
    .provenance = COMMY_PROVENANCE_DERIVED,
    .security = COMMY_SECURITY_KERNEL,
    .reach = COMMY_REACH_SELF,
    .delivery = COMMY_DELIVERY_RELIABLE,
    .ordering = COMMY_ORDERING_CONNECTION,
    .capabilities = COMMY_CAP_ZERO_COPY | COMMY_CAP_CHEAP_POLL | COMMY_CAP_FD_PASSING,
    .max_message = 16 * 1024 * 1024,
    .connect_ns = 50000,
    .size_factor = 1,
    .segments = {
        { .max_bytes = 64 * 1024, .latency_ns = 200, .send_cpu_ns = 60, .recv_cpu_ns = 60 },
        { .max_bytes = G_MAXUINT64,
          .latency_ns = 200,
          .send_cpu_ns = 60,
          .send_cpu_ns_per_byte = 0.02,
          .recv_cpu_ns = 60,
          .recv_cpu_ns_per_byte = 0.02 },
    });

COMMY_PLUGIN_DEFINE (InprocInstance,
                     inproc_init,
                     NULL,
                     inproc_fini,
                     inproc_params,
                     G_N_ELEMENTS (inproc_params),
                     &inproc_ops);
