/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rig: see the header. Everything waits for an event; the patience below only turns a
 * hang into a failure that names its place.
 */
#include "config.h"

#include "commy-transport-rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_US (60 * G_USEC_PER_SEC)

static gpointer
alloc_aligned (gsize size)
{
  gsize rounded = MAX ((size + 63) / 64 * 64, 64);
  gpointer memory = aligned_alloc (64, rounded);

  g_assert_nonnull (memory);
  return memset (memory, 0, rounded);
}

static gpointer
on_alloc (gpointer user_data)
{
  Rig *rig = user_data;
  gpointer connection;

  if (rig->alloc_nothing)
    return NULL;
  rig->n_alloc++;
  connection = alloc_aligned (rig->ops->connection_size);
  g_ptr_array_add (rig->pending, connection);
  return connection;
}

static guint
index_of (GPtrArray *array, gpointer connection)
{
  guint index = 0;

  g_assert_true (g_ptr_array_find (array, connection, &index));
  return index;
}

static void
on_opened (gpointer user_data, gpointer connection, const GError *error)
{
  Rig *rig = user_data;

  g_assert_true (g_ptr_array_steal_index_fast (rig->pending, index_of (rig->pending, connection))
                 == connection);
  if (error != NULL)
    {
      rig->n_failed++;
      free (connection);
      return;
    }
  rig->n_opened++;
  if (rig->close_in_opened)
    {
      rig->ops->close (connection);
      free (connection);
      return;
    }
  g_ptr_array_add (rig->accepted, connection);
}

static void
no_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
}

static CommyIo
no_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  return COMMY_IO_UNSUPPORTED;
}

static CommyIo
no_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  return COMMY_IO_UNSUPPORTED;
}

static CommyIo
no_attach (gpointer connection, const int *fds, gsize n_fds)
{
  return COMMY_IO_UNSUPPORTED;
}

static gsize
no_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  return 0;
}

static void
no_limit (gpointer connection, gsize max)
{
}

/* As the core does when a keyfile puts a hook on a transport. */
static void
compose (Rig *rig, const CommyTransportOps *hook)
{
  const CommyTransportOps *base = rig->descriptor->ops;

  rig->below = *base;
  rig->below.estimate = base->estimate != NULL ? base->estimate : no_estimate;
  rig->below.sendv = base->sendv != NULL ? base->sendv : no_sendv;
  rig->below.wait = base->wait != NULL ? base->wait : no_wait;
  rig->below.attach = base->attach != NULL ? base->attach : no_attach;
  rig->below.take_fds = base->take_fds != NULL ? base->take_fds : no_take_fds;
  rig->below.limit = base->limit != NULL ? base->limit : no_limit;
  rig->composed = *hook;
  rig->composed.connection_size = (hook->connection_size + 63) / 64 * 64 + base->connection_size;
  rig->composed.listener_size = (hook->listener_size + 63) / 64 * 64 + base->listener_size;
  /* The rules ask the table what is there. */
  if (base->sendv == NULL)
    rig->composed.sendv = NULL;
  if (base->wait == NULL)
    rig->composed.wait = NULL;
  rig->ops = &rig->composed;
}

static void
add_hook (Rig *rig, const CommyTransportSubject *subject)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *hook = commy_test_load ("transport", subject->hook, &error);

  g_assert_no_error (error);
  compose (rig, hook->ops);
  for (guint i = 0; i < 2; i++)
    {
      rig->hook_hosts[i] = commy_test_host_new (rig->contexts[i], hook);
      commy_test_host_set_seed (rig->hook_hosts[i], g_random_int ());
      commy_test_host_set_info (rig->hook_hosts[i], COMMY_HOST_WRAPPED, rig->descriptor->note->id);
      if (subject->options != NULL)
        commy_conformance_prepare (subject->options, rig->hook_hosts[i]);
      if (subject->prepare_hook != NULL)
        subject->prepare_hook (rig->hook_hosts[i]);
    }
}

static void
start_side (Rig *rig, guint side)
{
  g_autoptr (GError) error = NULL;

  rig->instances[side] = commy_test_host_start (rig->hosts[side], &error);
  g_assert_no_error (error);
  if (rig->hook_hosts[side] == NULL)
    return;
  commy_test_host_set_next (rig->hook_hosts[side], &rig->below, rig->instances[side]);
  rig->instances[side] = commy_test_host_start (rig->hook_hosts[side], &error);
  g_assert_no_error (error);
}

void
rig_start_client (Rig *rig)
{
  start_side (rig, 1);
}

Rig *
rig_new (const CommyPluginDescriptor *descriptor,
         const CommyTransportSubject *subject,
         RigFlags flags)
{
  Rig *rig = g_new0 (Rig, 1);
  g_autoptr (GError) error = NULL;

  rig->descriptor = descriptor;
  rig->ops = descriptor->ops;
  rig->pending = g_ptr_array_new_with_free_func (free);
  rig->accepted = g_ptr_array_new ();
  rig->contexts[0] = g_main_context_new ();
  rig->contexts[1] = (flags & RIG_TWO_CONTEXTS) != 0 ? g_main_context_new ()
                                                     : g_main_context_ref (rig->contexts[0]);
  for (guint i = 0; i < 2; i++)
    {
      rig->hosts[i] = commy_test_host_new (rig->contexts[i], descriptor);
      commy_test_host_set_seed (rig->hosts[i], g_random_int ());
      if (subject->options != NULL && subject->hook == NULL)
        commy_conformance_prepare (subject->options, rig->hosts[i]);
    }
  if (subject->prepare != NULL)
    subject->prepare (rig->hosts[0], rig->hosts[1]);
  if (subject->hook != NULL)
    add_hook (rig, subject);
  start_side (rig, 0);
  if ((flags & RIG_TWO_CONTEXTS) == 0)
    rig_start_client (rig);

  rig->acceptor = (CommyAcceptor){ sizeof (CommyAcceptor), on_alloc, on_opened, rig };
  rig->listener = alloc_aligned (rig->ops->listener_size);
  rig->ops->listen (rig->instances[0], rig->listener, &rig->acceptor, &error);
  g_assert_no_error (error);
  return rig;
}

void
rig_unlisten (Rig *rig)
{
  if (rig->listener == NULL)
    return;
  rig->ops->unlisten (rig->instances[0], rig->listener);
  g_clear_pointer (&rig->listener, free);
  g_ptr_array_set_size (rig->pending, 0); /* closed without a word */
}

void
rig_close_client (Rig *rig)
{
  rig->client = NULL;
  if (rig->attempt != NULL)
    rig_attempt_close (rig->attempt);
}

void
rig_close_server (Rig *rig)
{
  if (rig->server == NULL)
    return;
  g_ptr_array_remove (rig->accepted, rig->server);
  rig->ops->close (rig->server);
  g_clear_pointer (&rig->server, free);
}

void
rig_free (Rig *rig)
{
  rig_close_client (rig);
  rig_attempt_free (rig->attempt);
  rig_unlisten (rig);
  for (guint i = 0; i < rig->accepted->len; i++)
    {
      gpointer connection = g_ptr_array_index (rig->accepted, i);

      rig->ops->close (connection);
      free (connection);
    }
  g_ptr_array_unref (rig->accepted);
  g_ptr_array_unref (rig->pending);
  for (guint i = 0; i < 2; i++)
    {
      if (rig->hook_hosts[i] != NULL)
        {
          commy_test_host_stop (rig->hook_hosts[i]);
          g_assert_cmpuint (commy_test_host_count_sources (rig->hook_hosts[i]), ==, 0);
          commy_test_host_free (rig->hook_hosts[i]);
        }
      commy_test_host_stop (rig->hosts[i]);
      g_assert_cmpuint (commy_test_host_count_sources (rig->hosts[i]), ==, 0);
      commy_test_host_free (rig->hosts[i]);
      g_main_context_unref (rig->contexts[i]);
    }
  g_free (rig);
}

CommyEndpoint
rig_endpoint (Rig *rig)
{
  CommyHost *host = commy_test_host_get (rig->hosts[0]);

  return (CommyEndpoint){
    .struct_size = sizeof (CommyEndpoint),
    .transport = rig->descriptor->note->id,
    .address = rig->ops->address (rig->instances[0], rig->listener),
    .host_id = host->info (host, COMMY_HOST_HOST_ID),
    .node = host->info (host, COMMY_HOST_NODE),
  };
}

void
rig_pump (Rig *rig)
{
  gboolean moved = g_main_context_iteration (rig->contexts[0], FALSE);

  if (rig->contexts[1] != rig->contexts[0] && rig->instances[1] != NULL)
    moved = g_main_context_iteration (rig->contexts[1], FALSE) || moved;
  if (!moved)
    poll (NULL, 0, 1);
}

static void
on_done (gpointer user_data, gpointer connection, const GError *error)
{
  RigAttempt *attempt = user_data;

  g_assert_true (connection == attempt->connection);
  attempt->n_done++;
  if (error != NULL)
    {
      attempt->error = g_error_copy (error);
      g_clear_pointer (&attempt->connection, free);
    }
  else if (attempt->close_in_done)
    rig_attempt_close (attempt);
}

RigAttempt *
rig_connect (Rig *rig, const CommyEndpoint *endpoint)
{
  RigAttempt *attempt = g_new0 (RigAttempt, 1);

  attempt->ops = rig->ops;
  attempt->connection = alloc_aligned (rig->ops->connection_size);
  rig->ops->connect (rig->instances[1], attempt->connection, endpoint, on_done, attempt);
  g_assert_cmpuint (attempt->n_done, ==, 0); /* never from inside */
  return attempt;
}

void
rig_attempt_close (RigAttempt *attempt)
{
  if (attempt->connection == NULL)
    return;
  attempt->ops->close (attempt->connection);
  g_clear_pointer (&attempt->connection, free);
}

void
rig_attempt_free (RigAttempt *attempt)
{
  if (attempt == NULL)
    return;
  rig_attempt_close (attempt);
  g_clear_error (&attempt->error);
  g_free (attempt);
}

/* The path may be longer than a socket address holds, so it goes through a descriptor. */
static int
knock_at_path (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int file = open (path, O_PATH | O_CLOEXEC);
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_assert_cmpint (file, >=, 0);
  g_assert_cmpint (fd, >=, 0);
  g_snprintf (address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", file);
  if (connect (fd, (const struct sockaddr *) &address, sizeof address) < 0 && errno == EPROTOTYPE)
    {
      close (fd);
      fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      g_assert_no_errno (connect (fd, (const struct sockaddr *) &address, sizeof address));
    }
  close (file);
  return fd;
}

static int
knock_at_port (const char *text)
{
  const struct addrinfo hints
      = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
  const char *colon = strrchr (text, ':');
  g_autofree char *host = NULL;
  struct addrinfo *found = NULL;
  int fd;

  g_assert_nonnull (colon);
  host = *text == '[' ? g_strndup (text + 1, (gsize) (colon - text) - 2)
                      : g_strndup (text, (gsize) (colon - text));
  g_assert_cmpint (getaddrinfo (host, colon + 1, &hints, &found), ==, 0);
  fd = socket (found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (connect (fd, found->ai_addr, found->ai_addrlen));
  freeaddrinfo (found);
  return fd;
}

int
rig_knock (Rig *rig)
{
  const char *address = rig->ops->address (rig->instances[0], rig->listener);

  return g_path_is_absolute (address) ? knock_at_path (address) : knock_at_port (address);
}

void
rig_make_pair (Rig *rig)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  guint before = rig->accepted->len;

  rig->attempt = rig_connect (rig, &endpoint);
  rig_until (rig, rig->attempt->n_done > 0);
  g_assert_no_error (rig->attempt->error);
  rig_until (rig, rig->accepted->len > before);
  rig->client = rig->attempt->connection;
  rig->server = g_ptr_array_index (rig->accepted, before);
}

CommyIo
rig_put (Rig *rig, gpointer connection, gconstpointer data, gsize size)
{
  CommySpan span = { NULL, 0 };
  CommyIo io = rig->ops->reserve (connection, size, &span);

  if (io != COMMY_IO_OK)
    return io;
  g_assert_nonnull (span.data);
  g_assert_cmpuint ((guintptr) span.data % 8, ==, 0);
  g_assert_cmpuint (span.size, >=, size);
  memcpy (span.data, data, size);
  return rig->ops->commit (connection, size);
}

void
rig_send (Rig *rig, gpointer connection, gconstpointer data, gsize size)
{
  g_assert_cmpint (rig_put (rig, connection, data, size), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->flush (connection), !=, COMMY_IO_CLOSED);
}

CommyIo
rig_receive (Rig *rig, gpointer connection, gpointer sender, CommyMessage *out_message)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  guint events = 0;
  CommyIo io;

  while ((io = rig->ops->peek (connection, out_message)) == COMMY_IO_WOULD_BLOCK)
    {
      if (g_get_monotonic_time () > deadline)
        g_error ("no message and no end of the connection");
      if (sender != NULL)
        rig->ops->flush (sender);
      if (rig->ops->arm (connection, COMMY_INTEREST_READ, &events) == 0)
        {
          struct pollfd fd = { rig->ops->fd (connection), (short) events, 0 };

          poll (&fd, 1, sender != NULL ? 1 : 100);
        }
    }
  return io;
}

void
rig_expect (Rig *rig, gpointer connection, gpointer sender, gconstpointer data, gsize size)
{
  CommyMessage message = { 0 };

  g_assert_cmpint (rig_receive (rig, connection, sender, &message), ==, COMMY_IO_OK);
  g_assert_cmpuint ((guintptr) message.data % 8, ==, 0);
  g_assert_cmpmem (message.data, message.size, data, size);
  rig->ops->release (connection, &message);
}

void
rig_poll (Rig *rig, gpointer connection, guint events)
{
  struct pollfd fd = { rig->ops->fd (connection), (short) events, 0 };
  int ready;

  do
    ready = poll (&fd, 1, (int) (PATIENCE_US / 1000));
  while (ready < 0 && errno == EINTR);
  if (ready != 1)
    g_error ("the descriptor does not become ready");
}

gboolean
rig_is_ready (Rig *rig, gpointer connection, guint events)
{
  struct pollfd fd = { rig->ops->fd (connection), (short) events, 0 };

  return poll (&fd, 1, 0) == 1;
}

guint
rig_fill (Rig *rig, gpointer from, gsize size, guint32 first)
{
  g_autofree guint8 *bytes = g_malloc0 (size);
  guint n = 0;
  CommyIo io;

  while (n < 1000000)
    {
      guint32 number = first + n;

      memcpy (bytes, &number, sizeof number);
      io = rig_put (rig, from, bytes, size);
      if (io != COMMY_IO_OK)
        break;
      n++;
      if (rig->ops->flush (from) == COMMY_IO_CLOSED)
        g_error ("closed while it is being filled: %s", rig->ops->why (from));
    }
  g_assert_cmpint (io, ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpuint (n, >, 0);
  return n;
}

void
rig_expect_number (Rig *rig, gpointer to, gpointer from, guint32 number)
{
  CommyMessage message = { 0 };
  guint32 got;

  g_assert_cmpint (rig_receive (rig, to, from, &message), ==, COMMY_IO_OK);
  g_assert_cmpuint (message.size, >=, sizeof got);
  memcpy (&got, message.data, sizeof got);
  g_assert_cmpuint (got, ==, number);
  rig->ops->release (to, &message);
}
