/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TLS transport between two nodes that accept each other: messages of all sizes, order,
 * borrowing, back-pressure, ends.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"
#include "tests/tls/tls-node.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_S 120

typedef struct
{
  char *authority_dir;
  char *dirs[2];
  TlsNode *server;
  TlsNode *client;
  TlsAttempt attempt;
} Pair;

static void
pair_open (Pair *self)
{
  const char *address;

  self->server->accepted = NULL;
  address = self->server->ops->address (self->server->instance, self->server->listener);
  tls_attempt_start (&self->attempt, self->client, address);
  while (!self->attempt.settled || self->server->accepted == NULL)
    tls_node_turn ();
  g_assert_null (self->attempt.refusal);
}

static void
pair_init_with (Pair *self, const char *const *params)
{
  memset (self, 0, sizeof *self);
  self->authority_dir = fixture_authority_dir ();
  self->dirs[0] = fixture_credentials_dir (self->authority_dir, -1, 1);
  self->dirs[1] = fixture_credentials_dir (self->authority_dir, -1, 1);
  self->server = tls_node_new (self->dirs[0], params);
  self->client = tls_node_new (self->dirs[1], params);
  tls_node_listen (self->server);
}

static void
pair_init (Pair *self)
{
  pair_init_with (self, NULL);
  pair_open (self);
}

static void
pair_clear (Pair *self)
{
  tls_attempt_clear (&self->attempt);
  tls_node_free (self->client);
  tls_node_free (self->server);
  fixture_remove (self->dirs[0]);
  fixture_remove (self->dirs[1]);
  fixture_remove (self->authority_dir);
}

static guint8
pattern (gsize i, guint seed)
{
  return (guint8) ((i * 131) ^ (i >> 8) ^ seed);
}

static CommyIo
send_message (const CommyTransportOps *ops, gpointer connection, gsize size, guint seed)
{
  CommySpan span;
  CommyIo result = ops->reserve (connection, size, &span);

  if (result != COMMY_IO_OK)
    return result;
  g_assert_cmpuint (span.size, >=, size);
  g_assert_cmpuint ((gsize) span.data % 8, ==, 0);
  for (gsize i = 0; i < size; i++)
    span.data[i] = pattern (i, seed);
  return ops->commit (connection, size);
}

static void
assert_message (const CommyMessage *message, gsize size, guint seed)
{
  g_assert_cmpuint (message->size, ==, size);
  g_assert_cmpuint ((gsize) message->data % 8, ==, 0);
  g_assert_cmpuint (message->flags, ==, COMMY_MESSAGE_STABLE);
  for (gsize i = 0; i < size; i++)
    if (message->data[i] != pattern (i, seed))
      g_error ("byte %zu of %zu is wrong", i, size);
}

/* The next message at @to; keeps the other end pushing meanwhile. */
static CommyIo
next_message (const CommyTransportOps *ops, gpointer to, gpointer from, CommyMessage *out)
{
  for (;;)
    {
      CommyIo result = ops->peek (to, out);
      struct pollfd fds[2] = { { .fd = ops->fd (to) } };
      guint events;
      nfds_t n = 1;

      if (result != COMMY_IO_WOULD_BLOCK)
        return result;
      if ((ops->arm (to, COMMY_INTEREST_READ, &events) & COMMY_INTEREST_READ) != 0)
        continue;
      g_assert_cmpuint (events & POLLIN, !=, 0);
      fds[0].events = (short) events;
      if (from != NULL && ops->flush (from) == COMMY_IO_WOULD_BLOCK)
        {
          fds[1].fd = ops->fd (from);
          fds[1].events = POLLOUT;
          n = 2;
        }
      g_assert_cmpint (poll (fds, n, -1), >, 0);
    }
}

static void
exchange (Pair *self, gpointer from, gpointer to, gsize size, guint seed)
{
  const CommyTransportOps *ops = self->client->ops;
  CommyMessage message;

  g_assert_cmpint (send_message (ops, from, size, seed), ==, COMMY_IO_OK);
  ops->flush (from);
  g_assert_cmpint (next_message (ops, to, from, &message), ==, COMMY_IO_OK);
  assert_message (&message, size, seed);
  ops->release (to, &message);
}

static void
test_exchange (void)
{
  static const gsize sizes[]
      = { 1, 7, 8, 9, 64, 4096, 16383, 16384, 16385, 65528, 65536, 100000, 1 << 20 };
  Pair pair;

  pair_init (&pair);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      exchange (&pair, pair.attempt.connection, pair.server->accepted, sizes[i], i);
      exchange (&pair, pair.server->accepted, pair.attempt.connection, sizes[i], i + 100);
    }
  pair_clear (&pair);
}

static void
test_huge (void)
{
  Pair pair;
  CommySpan span;

  pair_init (&pair);
  exchange (&pair, pair.attempt.connection, pair.server->accepted, 16 << 20, 1);
  exchange (&pair, pair.attempt.connection, pair.server->accepted, 10, 2);
  g_assert_cmpint (pair.client->ops->reserve (pair.attempt.connection, 67174401, &span), ==,
                   COMMY_IO_TOO_BIG);
  pair_clear (&pair);
}

#define LONG 170000 /* bytes: more than a turn, and less than a socket holds */

/* Until all of it lies in the other side's socket. */
static void
send_long (const CommyTransportOps *ops, gpointer from, gpointer to, guint seed)
{
  int there = 0;

  g_assert_cmpint (send_message (ops, from, LONG, seed), ==, COMMY_IO_OK);
  while (ops->flush (from) == COMMY_IO_WOULD_BLOCK || there < LONG)
    g_assert_cmpint (ioctl (ops->fd (to), FIONREAD, &there), ==, 0);
}

/* All of it is there, and still it takes turns, between which others have theirs. */
static void
test_turns (void)
{
  const int most = 1 << 20;
  const CommyTransportOps *ops;
  Pair pair;
  TlsAttempt first;
  gpointer from, to;
  CommyMessage message;
  guint events;

  pair_init (&pair);
  ops = pair.client->ops;
  first = pair.attempt;
  from = first.connection;
  to = pair.server->accepted;
  pair_open (&pair); /* and another one */
  setsockopt (ops->fd (from), SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
  setsockopt (ops->fd (to), SOL_SOCKET, SO_RCVBUF, &most, sizeof most);
  send_long (ops, from, to, 1);
  g_assert_cmpint (ops->peek (to, &message), ==, COMMY_IO_WOULD_BLOCK);
  exchange (&pair, pair.attempt.connection, pair.server->accepted, 5, 2);
  g_assert_cmpint (next_message (ops, to, NULL, &message), ==, COMMY_IO_OK);
  assert_message (&message, LONG, 1);
  ops->release (to, &message);
  /* Who goes to sleep in the middle of one is told that there is more. */
  send_long (ops, from, to, 3);
  g_assert_cmpuint (ops->arm (to, COMMY_INTEREST_READ, &events), ==, COMMY_INTEREST_READ);
  g_assert_cmpint (next_message (ops, to, NULL, &message), ==, COMMY_IO_OK);
  assert_message (&message, LONG, 3);
  ops->release (to, &message);
  g_assert_cmpuint (ops->arm (to, COMMY_INTEREST_READ, &events), ==, 0);
  tls_attempt_clear (&first);
  tls_node_close (pair.server, to);
  pair_clear (&pair);
}

/* A header is enough, and the limit can be lifted. */
static void
test_limit (void)
{
  const CommyTransportOps *ops;
  Pair pair;
  gpointer from, to;
  CommyMessage message;

  pair_init (&pair);
  ops = pair.client->ops;
  from = pair.attempt.connection;
  to = pair.server->accepted;
  ops->limit (to, 1000);
  exchange (&pair, from, to, 1000, 1);
  ops->limit (to, G_MAXSIZE);
  exchange (&pair, from, to, 1001, 2);
  ops->limit (to, 1000);
  g_assert_cmpint (send_message (ops, from, LONG, 3), ==, COMMY_IO_OK);
  g_assert_cmpint (next_message (ops, to, from, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (strstr (ops->why (to), "at most 1000 "));
  pair_clear (&pair);
}

static void
test_many_small (void)
{
  Pair pair;
  const CommyTransportOps *ops;
  guint sent = 0;
  guint received = 0;
  const guint total = 20000;

  pair_init (&pair);
  ops = pair.client->ops;
  while (received < total)
    {
      CommyMessage message;

      while (sent < total
             && send_message (ops, pair.attempt.connection, 1 + sent % 300, sent) == COMMY_IO_OK)
        sent++;
      ops->flush (pair.attempt.connection);
      g_assert_cmpint (next_message (ops, pair.server->accepted, pair.attempt.connection, &message),
                       ==, COMMY_IO_OK);
      assert_message (&message, 1 + received % 300, received);
      ops->release (pair.server->accepted, &message);
      received++;
    }
  pair_clear (&pair);
}

static void
test_back_pressure (void)
{
  Pair pair;
  const CommyTransportOps *ops;
  guint sent = 0;
  guint events;
  CommyIo result;

  pair_init (&pair);
  ops = pair.client->ops;
  while ((result = send_message (ops, pair.attempt.connection, 10000, sent)) == COMMY_IO_OK)
    {
      sent++;
      g_assert_cmpuint (sent, <, 10000); /* 100 MB unread: nothing pushed back */
    }
  g_assert_cmpint (result, ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpint (ops->flush (pair.attempt.connection), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpuint (ops->arm (pair.attempt.connection, COMMY_INTEREST_WRITE, &events), ==, 0);
  g_assert_cmpuint (events & POLLOUT, !=, 0);
  for (guint i = 0; i < sent; i++)
    {
      CommyMessage message;

      g_assert_cmpint (next_message (ops, pair.server->accepted, pair.attempt.connection, &message),
                       ==, COMMY_IO_OK);
      assert_message (&message, 10000, i);
      ops->release (pair.server->accepted, &message);
    }
  g_assert_cmpuint (ops->arm (pair.attempt.connection, COMMY_INTEREST_WRITE, &events), ==,
                    COMMY_INTEREST_WRITE);
  exchange (&pair, pair.attempt.connection, pair.server->accepted, 10000, 5);
  pair_clear (&pair);
}

/* Borrows more than several blocks, gives back in a scrambled order, and reads all bytes late. */
static void
test_release_out_of_order (void)
{
  enum
  {
    N = 200
  };
  Pair pair;
  const CommyTransportOps *ops;
  CommyMessage messages[N];

  pair_init (&pair);
  ops = pair.client->ops;
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < N; i++)
        g_assert_cmpint (send_message (ops, pair.attempt.connection, 1 + i * 20, i), ==,
                         COMMY_IO_OK);
      for (guint i = 0; i < N; i++)
        g_assert_cmpint (
            next_message (ops, pair.server->accepted, pair.attempt.connection, &messages[i]), ==,
            COMMY_IO_OK);
      for (guint i = 0; i < N; i++)
        {
          guint at = (i * 77) % N; /* 77 and 200 have no common factor */

          assert_message (&messages[at], 1 + at * 20, at);
          ops->release (pair.server->accepted, &messages[at]);
        }
    }
  pair_clear (&pair);
}

static void
test_reservation (void)
{
  Pair pair;
  const CommyTransportOps *ops;
  CommySpan span;
  CommyMessage message;

  pair_init (&pair);
  ops = pair.client->ops;
  g_assert_cmpint (ops->reserve (pair.attempt.connection, 100, &span), ==, COMMY_IO_OK);
  memset (span.data, 'x', 100);
  g_assert_cmpint (ops->commit (pair.attempt.connection, 0), ==, COMMY_IO_OK); /* given back */
  g_assert_cmpint (ops->reserve (pair.attempt.connection, 100, &span), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->reserve (pair.attempt.connection, 5000, &span), ==, COMMY_IO_OK);
  span.data[0] = pattern (0, 9);
  g_assert_cmpint (ops->commit (pair.attempt.connection, 1), ==, COMMY_IO_OK); /* less */
  ops->flush (pair.attempt.connection);
  g_assert_cmpint (next_message (ops, pair.server->accepted, pair.attempt.connection, &message), ==,
                   COMMY_IO_OK);
  assert_message (&message, 1, 9);
  ops->release (pair.server->accepted, &message);
  g_assert_cmpint (ops->peek (pair.server->accepted, &message), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_null (ops->why (pair.server->accepted));
  pair_clear (&pair);
}

/* What was flushed arrives although the sender closed at once, with more than the kernel takes. */
static void
test_close_keeps_what_was_flushed (void)
{
  Pair pair;
  const CommyTransportOps *ops;
  guint sent = 0;
  guint received = 0;
  CommyMessage message;
  CommyIo result;
  guint events;

  pair_init (&pair);
  ops = pair.client->ops;
  exchange (&pair, pair.server->accepted, pair.attempt.connection, 10, 0);
  while (send_message (ops, pair.attempt.connection, 50000, sent) == COMMY_IO_OK)
    sent++;
  g_assert_cmpint (ops->flush (pair.attempt.connection), ==, COMMY_IO_WOULD_BLOCK);
  /* Unread bytes at the closing side: a careless close would answer them with a reset. */
  g_assert_cmpint (send_message (ops, pair.server->accepted, 3000, 1), ==, COMMY_IO_OK);
  ops->flush (pair.server->accepted);
  tls_attempt_clear (&pair.attempt);
  while ((result = ops->peek (pair.server->accepted, &message)) != COMMY_IO_CLOSED)
    {
      if (result == COMMY_IO_WOULD_BLOCK)
        {
          ops->arm (pair.server->accepted, COMMY_INTEREST_READ, &events);
          g_main_context_iteration (NULL, FALSE); /* the lingering socket's turn */
          continue;
        }
      assert_message (&message, 50000, received++);
      ops->release (pair.server->accepted, &message);
    }
  g_assert_cmpuint (received, ==, sent);
  g_assert_cmpstr (ops->why (pair.server->accepted), ==, "the peer closed the connection");
  g_assert_cmpint (send_message (ops, pair.server->accepted, 10, 0), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (ops->flush (pair.server->accepted), ==, COMMY_IO_CLOSED);
  pair_clear (&pair);
}

static void
test_cut (void)
{
  Pair pair;
  const CommyTransportOps *ops;
  CommyMessage message;

  pair_init (&pair);
  ops = pair.client->ops;
  g_assert_cmpint (send_message (ops, pair.attempt.connection, 100, 1), ==, COMMY_IO_OK);
  ops->flush (pair.attempt.connection);
  shutdown (ops->fd (pair.attempt.connection), SHUT_RDWR); /* no farewell */
  g_assert_cmpint (next_message (ops, pair.server->accepted, NULL, &message), ==, COMMY_IO_OK);
  ops->release (pair.server->accepted, &message);
  g_assert_cmpint (next_message (ops, pair.server->accepted, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (strstr (ops->why (pair.server->accepted), "without a farewell"));
  g_assert_cmpint (next_message (ops, pair.attempt.connection, NULL, &message), ==,
                   COMMY_IO_CLOSED);
  pair_clear (&pair);
}

static void
test_evidence (void)
{
  Pair pair;
  CommyEvidence ours = { .struct_size = sizeof ours };
  CommyEvidence theirs = { .struct_size = sizeof theirs };
  g_autoptr (GBytes) server_cert = NULL;

  pair_init (&pair);
  server_cert = fixture_der (pair.dirs[0]);
  pair.client->ops->evidence (pair.attempt.connection, &ours);
  pair.client->ops->evidence (pair.server->accepted, &theirs);
  g_assert_cmpuint (ours.kind, ==, COMMY_EVIDENCE_X509);
  g_assert_cmpuint (ours.security, ==, COMMY_SECURITY_MUTUAL);
  g_assert_cmpuint (ours.n_chain, ==, 1);
  g_assert_true (g_bytes_equal (ours.chain[0], server_cert));
  g_assert_false (g_bytes_equal (theirs.chain[0], server_cert));
  g_assert_true (ours.has_binding && theirs.has_binding);
  g_assert_cmpmem (ours.binding, 32, theirs.binding, 32);
  pair_clear (&pair);
}

static void
test_many_connections (void)
{
  enum
  {
    N = 40
  };
  Pair pair;
  TlsAttempt attempts[N];
  gpointer accepted[N];

  pair_init_with (&pair, NULL);
  for (guint i = 0; i < N; i++)
    {
      pair_open (&pair);
      attempts[i] = pair.attempt;
      accepted[i] = pair.server->accepted;
    }
  for (guint i = 0; i < N; i++)
    exchange (&pair, attempts[i].connection, accepted[N - 1 - (N - 1 - i)], 1000 + i, i);
  for (guint i = 0; i < N; i++)
    {
      tls_attempt_clear (&attempts[i]);
      tls_node_close (pair.server, accepted[i]);
    }
  memset (&pair.attempt, 0, sizeof pair.attempt);
  pair_clear (&pair);
}

static void
test_name (void)
{
  Pair pair;
  g_autofree char *address = NULL;

  pair_init_with (&pair, NULL);
  address = g_strconcat (
      "localhost",
      strchr (pair.server->ops->address (pair.server->instance, pair.server->listener), ':'), NULL);
  tls_attempt_start (&pair.attempt, pair.client, address);
  while (!pair.attempt.settled || pair.server->accepted == NULL)
    tls_node_turn ();
  g_assert_null (pair.attempt.refusal);
  exchange (&pair, pair.attempt.connection, pair.server->accepted, 10, 0);
  tls_attempt_clear (&pair.attempt);
  /* Closing while the name is being looked up: nothing is called back. */
  tls_attempt_start (&pair.attempt, pair.client, address);
  tls_attempt_clear (&pair.attempt);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_false (pair.attempt.settled);
  pair_clear (&pair);
}

/* New certificates are taken up; half-written ones are not, and are logged once. */
static void
test_reload (void)
{
  Pair pair;
  g_autofree char *cert = NULL;
  TlsAttempt first;
  gpointer first_accepted;
  CommyEvidence evidence = { .struct_size = sizeof evidence };
  g_autoptr (GBytes) fresh = NULL;
  const char *logged;

  pair_init (&pair);
  first = pair.attempt;
  first_accepted = pair.server->accepted;
  fixture_issue (pair.authority_dir, pair.dirs[0], -1, 5);
  fresh = fixture_der (pair.dirs[0]);
  pair_open (&pair);
  pair.client->ops->evidence (pair.attempt.connection, &evidence);
  g_assert_true (g_bytes_equal (evidence.chain[0], fresh));
  exchange (&pair, first.connection, first_accepted, 100, 3); /* the old one lives on */
  tls_attempt_clear (&pair.attempt);
  tls_node_close (pair.server, pair.server->accepted);

  cert = g_build_filename (pair.dirs[0], COMMY_PKI_CERT_FILE, NULL);
  g_assert_true (g_file_set_contents (cert, "-----BEGIN CERTIFICATE-----\nMIIB", -1, NULL));
  for (guint i = 0; i < 2; i++)
    {
      pair_open (&pair);
      pair.client->ops->evidence (pair.attempt.connection, &evidence);
      g_assert_true (g_bytes_equal (evidence.chain[0], fresh));
      tls_attempt_clear (&pair.attempt);
      tls_node_close (pair.server, pair.server->accepted);
    }
  logged = strstr (pair.server->log->str, "the old ones stay");
  g_assert_nonnull (logged);
  g_assert_null (strstr (logged + 1, "the old ones stay"));

  /* A certificate whose key is not there yet. */
  g_clear_pointer (&cert, g_free);
  cert = commy_pki_read_file (pair.dirs[1], COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_assert_true (commy_pki_write_file (pair.dirs[0], COMMY_PKI_CERT_FILE, cert, 0644, FALSE, NULL));
  pair_open (&pair);
  pair.client->ops->evidence (pair.attempt.connection, &evidence);
  g_assert_true (g_bytes_equal (evidence.chain[0], fresh));
  tls_attempt_clear (&pair.attempt);
  tls_node_close (pair.server, pair.server->accepted);
  g_assert_nonnull (strstr (pair.server->log->str, "is not the key of"));

  fixture_issue (pair.authority_dir, pair.dirs[0], -3, -2); /* expired: no better than half */
  pair_open (&pair);
  tls_attempt_clear (&pair.attempt);
  tls_node_close (pair.server, pair.server->accepted);
  g_assert_nonnull (strstr (pair.server->log->str, "has expired already"));

  tls_attempt_clear (&first);
  tls_node_close (pair.server, first_accepted);
  memset (&pair.attempt, 0, sizeof pair.attempt);
  pair_clear (&pair);
}

typedef struct
{
  const CommyTransportOps *ops;
  gpointer connection;
  guint rounds;
  gsize size;
} Echo;

static void
echo_once (const Echo *self, gboolean begin)
{
  CommyMessage message;
  CommySpan span;

  if (begin)
    {
      self->ops->reserve (self->connection, self->size, &span);
      self->ops->commit (self->connection, self->size);
      self->ops->flush (self->connection);
    }
  g_assert_cmpint (next_message (self->ops, self->connection, self->connection, &message), ==,
                   COMMY_IO_OK);
  self->ops->release (self->connection, &message);
  if (begin)
    return;
  self->ops->reserve (self->connection, self->size, &span);
  self->ops->commit (self->connection, self->size);
  while (self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK)
    g_thread_yield ();
}

static gpointer
echo_thread (gpointer data)
{
  const Echo *self = data;

  for (guint i = 0; i < self->rounds; i++)
    echo_once (self, FALSE);
  return NULL;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 *x = a;
  const gint64 *y = b;

  return (*x > *y) - (*x < *y);
}

static void
measure_ping_pong (Pair *pair, gsize size, guint rounds)
{
  Echo there = { pair->client->ops, pair->server->accepted, rounds, size };
  Echo here = { pair->client->ops, pair->attempt.connection, rounds, size };
  g_autofree gint64 *times = g_new (gint64, rounds);
  GThread *thread = g_thread_new ("echo", echo_thread, &there);

  for (guint i = 0; i < rounds; i++)
    {
      gint64 start = pair->client->host.now_ns (&pair->client->host);

      echo_once (&here, TRUE);
      times[i] = pair->client->host.now_ns (&pair->client->host) - start;
    }
  g_thread_join (thread);
  qsort (times, rounds, sizeof *times, compare_times);
  g_test_message ("round trip of %zu bytes: p50 %.1f us, p99 %.1f us", size,
                  (double) times[rounds / 2] / 1000, (double) times[rounds * 99 / 100] / 1000);
}

static gpointer
sink_thread (gpointer data)
{
  const Echo *self = data;

  for (guint i = 0; i < self->rounds; i++)
    {
      CommyMessage message;

      g_assert_cmpint (next_message (self->ops, self->connection, NULL, &message), ==, COMMY_IO_OK);
      self->ops->release (self->connection, &message);
    }
  return NULL;
}

static void
measure_stream (Pair *pair, gsize size, guint rounds)
{
  const CommyTransportOps *ops = pair->client->ops;
  gpointer from = pair->attempt.connection;
  Echo there = { ops, pair->server->accepted, rounds, size };
  GThread *thread = g_thread_new ("sink", sink_thread, &there);
  gint64 start = g_get_monotonic_time ();
  double seconds;

  for (guint i = 0; i < rounds;)
    {
      CommySpan span;
      guint events;

      if (ops->reserve (from, size, &span) == COMMY_IO_OK)
        {
          ops->commit (from, size);
          i++;
        }
      else if (ops->arm (from, COMMY_INTEREST_WRITE, &events) == 0)
        {
          struct pollfd fd = { .fd = ops->fd (from), .events = (short) events };

          poll (&fd, 1, -1);
        }
    }
  while (ops->flush (from) == COMMY_IO_WOULD_BLOCK)
    g_thread_yield ();
  g_thread_join (thread);
  seconds = (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  g_test_message ("stream of %zu bytes: %.2f M/s, %.2f GB/s", size, rounds / seconds / 1e6,
                  (double) size * rounds / seconds / 1e9);
}

static void
test_speed (void)
{
  const guint scale = g_test_perf () ? 10 : 1;
  Pair pair;

  pair_init (&pair);
  measure_ping_pong (&pair, 64, 500 * scale);
  measure_ping_pong (&pair, 65536, 100 * scale);
  measure_ping_pong (&pair, 1 << 20, 10 * scale);
  measure_stream (&pair, 64, 100000 * scale);
  measure_stream (&pair, 65536, 1000 * scale);
  measure_stream (&pair, 1 << 20, 50 * scale);
  pair_clear (&pair);
}

int
main (int argc, char **argv)
{
  alarm (WATCHDOG_S); /* a hang is a failure, not a wait */
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tls/exchange/sizes-around-every-edge", test_exchange);
  g_test_add_func ("/tls/exchange/sixteen-mebibytes", test_huge);
  g_test_add_func ("/tls/exchange/a-long-one-takes-turns", test_turns);
  g_test_add_func ("/tls/exchange/a-limit-holds-at-the-header", test_limit);
  g_test_add_func ("/tls/exchange/many-small-in-order", test_many_small);
  g_test_add_func ("/tls/exchange/back-pressure-and-relief", test_back_pressure);
  g_test_add_func ("/tls/exchange/release-out-of-order", test_release_out_of_order);
  g_test_add_func ("/tls/exchange/reservations-can-be-given-back", test_reservation);
  g_test_add_func ("/tls/end/close-keeps-what-was-flushed", test_close_keeps_what_was_flushed);
  g_test_add_func ("/tls/end/a-cut-is-told-from-a-farewell", test_cut);
  g_test_add_func ("/tls/evidence/certificate-and-equal-binding", test_evidence);
  g_test_add_func ("/tls/connect/many-connections", test_many_connections);
  g_test_add_func ("/tls/connect/by-name", test_name);
  g_test_add_func ("/tls/credentials/reload-without-dropping", test_reload);
  if (g_test_perf ()) /* with -m perf; it sends what nobody wrote */
    g_test_add_func ("/tls/speed", test_speed);
  return g_test_run ();
}
