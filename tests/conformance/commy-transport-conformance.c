/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rules of commy-transport.h, one function each. A rule drives the vtable as the core
 * does and knows no transport; what only some can do is asked of the profile and the vtable.
 */
#include "config.h"

#include "commy-transport-conformance.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024 * 1024)

typedef enum
{
  NEEDS_PAIR = 1 << 0,
  NEEDS_WAIT = 1 << 1,
  NEEDS_PROCESSES = 1 << 2, /* the transport reaches other processes */
  OWN_RIG = 1 << 3,         /* the rule makes its rigs */
} Needs;

typedef struct
{
  const CommyTransportSubject *subject;
  const CommyPluginDescriptor *descriptor;
} Case;

typedef struct
{
  const char *name;
  void (*run) (Rig *rig, const Case *test);
  guint needs;
} Rule;

static gsize
largest_message (Rig *rig)
{
  gsize most = 16 * MIB;
  guint64 said = rig->descriptor->note->profile.max_message;

  return said != 0 && said < most ? (gsize) said : most;
}

static guint8 *
make_pattern (gsize size, guint32 seed)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    {
      seed = seed * 1664525 + 1013904223;
      bytes[i] = (guint8) (seed >> 24);
    }
  return bytes;
}

/* Puts messages of @size into @from until there is no room. Returns how many. */
static guint
fill (Rig *rig, gpointer from, gsize size, guint32 first)
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

static void
expect_number (Rig *rig, gpointer to, gpointer from, guint32 number)
{
  CommyMessage message = { 0 };
  guint32 got;

  g_assert_cmpint (rig_receive (rig, to, from, &message), ==, COMMY_IO_OK);
  g_assert_cmpuint (message.size, >=, sizeof got);
  memcpy (&got, message.data, sizeof got);
  g_assert_cmpuint (got, ==, number);
  rig->ops->release (to, &message);
}

/* --- set-up --- */

static void
listen_gives_an_address (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  char reason[256] = "";

  g_assert_nonnull (endpoint.address);
  g_assert_cmpuint (strlen (endpoint.address), >, 0);
  g_assert_true (g_str_is_ascii (endpoint.address));
  g_assert_null (strchr (endpoint.address, '\n'));
  g_assert_true (rig->ops->reachable (rig->instances[1], &endpoint, reason, sizeof reason));
}

static void
refused (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  g_autofree char *address = g_strdup (endpoint.address);
  RigAttempt *attempt;

  rig_unlisten (rig);
  endpoint.address = address;
  attempt = rig_connect (rig, &endpoint);
  rig_until (rig, attempt->n_done > 0);
  g_assert_nonnull (attempt->error);
  g_assert_cmpstr (g_quark_to_string (attempt->error->domain), ==, "commy-error-quark");
  g_assert_cmpuint (strlen (attempt->error->message), >, 0);
  g_assert_false (g_str_has_suffix (attempt->error->message, "."));
  rig_attempt_free (attempt);
}

static void
refused_by_a_full_listener (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt;
  gboolean over = FALSE;

  rig->alloc_nothing = TRUE;
  attempt = rig_connect (rig, &endpoint);
  while (!over)
    {
      CommyMessage message;

      rig_pump (rig);
      over = attempt->error != NULL;
      /* Some only hear of it once they are connected. */
      if (attempt->n_done > 0 && attempt->error == NULL)
        over = rig->ops->peek (attempt->connection, &message) == COMMY_IO_CLOSED;
    }
  g_assert_cmpuint (rig->n_opened + rig->n_failed, ==, 0);
  rig_attempt_free (attempt);
}

static void
bad_addresses_are_refused (Rig *rig, const Case *test)
{
  static const char *const addresses[] = { "",         "/",        "////",
                                           "0",        "-1/x/y",   "99999999999999999999/a/b",
                                           "nonsense", "\xff\xfe", "a b" };
  g_autofree char *giant = g_strnfill (70000, 'a');

  for (gsize i = 0; i <= G_N_ELEMENTS (addresses); i++)
    {
      CommyEndpoint endpoint = rig_endpoint (rig);
      RigAttempt *attempt;

      endpoint.address = i < G_N_ELEMENTS (addresses) ? addresses[i] : giant;
      attempt = rig_connect (rig, &endpoint);
      rig_until (rig, attempt->n_done > 0);
      g_assert_nonnull (attempt->error);
      rig_attempt_free (attempt);
    }
}

static void
unreachable_has_a_reason (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  char reason[200] = "";
  char tiny[4] = "xyz";

  endpoint.address = "nonsense";
  g_assert_false (rig->ops->reachable (rig->instances[1], &endpoint, reason, sizeof reason));
  g_assert_cmpuint (strlen (reason), >, 3);
  g_assert_false (g_str_has_suffix (reason, "."));
  g_assert_false (rig->ops->reachable (rig->instances[1], &endpoint, tiny, sizeof tiny));
  g_assert_cmpuint (strnlen (tiny, sizeof tiny), <, sizeof tiny);
}

static void
cancelled (Rig *rig, const Case *test)
{
  for (guint turns = 0; turns < 8; turns++)
    {
      CommyEndpoint endpoint = rig_endpoint (rig);
      RigAttempt *attempt = rig_connect (rig, &endpoint);
      RigAttempt *marker;
      guint done;

      for (guint i = 0; i < turns && attempt->n_done == 0; i++)
        g_main_context_iteration (rig->contexts[1], FALSE);
      done = attempt->n_done;
      rig_attempt_close (attempt);
      /* When a later connection is through, the closed one would have called by now. */
      marker = rig_connect (rig, &endpoint);
      rig_until (rig, marker->n_done > 0);
      g_assert_cmpuint (attempt->n_done, ==, done);
      rig_attempt_free (marker);
      rig_attempt_free (attempt);
    }
}

static void
unlisten_during_set_up (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  g_autofree char *address = g_strdup (endpoint.address);
  RigAttempt *attempt;
  RigAttempt *marker;
  guint opened;

  endpoint.address = address;
  attempt = rig_connect (rig, &endpoint);
  rig_unlisten (rig);
  opened = rig->n_opened + rig->n_failed;
  marker = rig_connect (rig, &endpoint);
  rig_until (rig, marker->n_done > 0 && attempt->n_done > 0);
  g_assert_nonnull (marker->error);
  g_assert_cmpuint (rig->n_opened + rig->n_failed, ==, opened);
  rig_attempt_free (marker);
  rig_attempt_free (attempt);
}

static void
close_inside_done (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt = rig_connect (rig, &endpoint);

  attempt->close_in_done = TRUE;
  rig_until (rig, attempt->n_done > 0);
  g_assert_no_error (attempt->error);
  g_assert_null (attempt->connection);
  rig_attempt_free (attempt);
}

static void
close_inside_opened (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt = rig_connect (rig, &endpoint);
  CommyMessage message = { 0 };

  rig->close_in_opened = TRUE;
  rig_until (rig, attempt->n_done > 0 && rig->n_opened + rig->n_failed > 0);
  if (attempt->error == NULL)
    g_assert_cmpint (rig_receive (rig, attempt->connection, NULL, &message), ==, COMMY_IO_CLOSED);
  rig_attempt_free (attempt);
}

static void
many_connections (Rig *rig, const Case *test)
{
  enum
  {
    N = 64
  };
  RigAttempt *attempts[N];
  CommyEndpoint endpoint = rig_endpoint (rig);

  for (guint i = 0; i < N; i++)
    attempts[i] = rig_connect (rig, &endpoint);
  for (guint i = 0; i < N; i++)
    {
      rig_until (rig, attempts[i]->n_done > 0);
      g_assert_no_error (attempts[i]->error);
    }
  rig_until (rig, rig->accepted->len == N);
  for (guint32 i = 0; i < N; i++)
    rig_send (rig, attempts[i]->connection, &i, sizeof i);
  for (guint i = 0; i < N; i++)
    {
      gpointer server = g_ptr_array_index (rig->accepted, i);
      CommyMessage message = { 0 };
      guint32 number = N;

      g_assert_cmpint (rig_receive (rig, server, NULL, &message), ==, COMMY_IO_OK);
      memcpy (&number, message.data, MIN (message.size, sizeof number));
      rig->ops->release (server, &message);
      number += 1000;
      rig_send (rig, server, &number, sizeof number);
    }
  for (guint32 i = 0; i < N; i++)
    expect_number (rig, attempts[i]->connection, NULL, i + 1000);
  for (guint i = 0; i < N; i++)
    rig_attempt_free (attempts[i]);
}

/* --- messages --- */

static void
exchange (Rig *rig, const Case *test)
{
  rig_send (rig, rig->client, "question", 8);
  rig_expect (rig, rig->server, rig->client, "question", 8);
  rig_send (rig, rig->server, "answer", 6);
  rig_expect (rig, rig->client, rig->server, "answer", 6);
  g_assert_null (rig->ops->why (rig->client));
  g_assert_null (rig->ops->why (rig->server));
}

static void
exchange_both_ways_at_once (Rig *rig, const Case *test)
{
  for (guint32 i = 0; i < 1000; i++)
    {
      guint32 back = ~i;

      rig_send (rig, rig->client, &i, sizeof i);
      rig_send (rig, rig->server, &back, sizeof back);
      expect_number (rig, rig->server, rig->client, i);
      expect_number (rig, rig->client, rig->server, back);
    }
}

static void
order_is_kept (Rig *rig, const Case *test)
{
  enum
  {
    N = 10000
  };
  guint32 sent = 0;
  guint8 bytes[1500] = { 0 };

  for (guint32 expected = 0; expected < N; expected++)
    {
      while (sent < N)
        {
          memcpy (bytes, &sent, sizeof sent);
          if (rig_put (rig, rig->client, bytes, 4 + sent * 7 % 1490) != COMMY_IO_OK)
            break;
          sent++;
        }
      rig->ops->flush (rig->client);
      expect_number (rig, rig->server, rig->client, expected);
    }
  g_assert_cmpuint (sent, ==, N);
}

static void
sizes_arrive_whole (Rig *rig, const Case *test)
{
  static const gsize sizes[] = { 1,   2,    7,    8,    9,     63,    64,    65,    255,
                                 256, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536 };
  gsize most = largest_message (rig);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    if (sizes[i] <= most)
      {
        g_autofree guint8 *bytes = make_pattern (sizes[i], (guint32) i);

        rig_send (rig, rig->client, bytes, sizes[i]);
        rig_expect (rig, rig->server, rig->client, bytes, sizes[i]);
      }
}

static void
huge_message (Rig *rig, const Case *test)
{
  gsize size = largest_message (rig);
  g_autofree guint8 *bytes = make_pattern (size, 3);

  for (guint i = 0; i < 3; i++)
    {
      rig_send (rig, rig->client, bytes, size);
      rig_expect (rig, rig->server, rig->client, bytes, size);
    }
}

static void
too_big_is_told (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };
  guint64 most = rig->descriptor->note->profile.max_message;

  g_assert_cmpint (rig->ops->reserve (rig->client, G_MAXSIZE / 2, &span), ==, COMMY_IO_TOO_BIG);
  if (most != 0)
    g_assert_cmpint (rig->ops->reserve (rig->client, (gsize) most + 1, &span), ==,
                     COMMY_IO_TOO_BIG);
  rig_send (rig, rig->client, "after", 5);
  rig_expect (rig, rig->server, rig->client, "after", 5);
}

static void
commit_may_be_shorter (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };

  g_assert_cmpint (rig->ops->reserve (rig->client, 5000, &span), ==, COMMY_IO_OK);
  memcpy (span.data, "short", 5);
  g_assert_cmpint (rig->ops->commit (rig->client, 5), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  rig_expect (rig, rig->server, rig->client, "short", 5);
}

static void
smallest_message_is_one_byte (Rig *rig, const Case *test)
{
  for (guint i = 0; i < 3; i++)
    {
      rig_send (rig, rig->client, "x", 1);
      rig_expect (rig, rig->server, rig->client, "x", 1);
      rig_send (rig, rig->server, "", 1); /* and may be a zero */
      rig_expect (rig, rig->client, rig->server, "", 1);
    }
}

static void
commit_zero_gives_back (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };

  for (guint i = 0; i < 20000; i++)
    {
      g_assert_cmpint (rig->ops->reserve (rig->client, 4096, &span), ==, COMMY_IO_OK);
      g_assert_cmpint (rig->ops->commit (rig->client, 0), ==, COMMY_IO_OK);
    }
  rig->ops->flush (rig->client);
  rig_send (rig, rig->client, "first", 5);
  rig_expect (rig, rig->server, rig->client, "first", 5);
}

static void
reserve_twice_gives_first_back (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };

  for (guint i = 0; i < 20000; i++)
    g_assert_cmpint (rig->ops->reserve (rig->client, 4096, &span), ==, COMMY_IO_OK);
  memcpy (span.data, "last", 4);
  g_assert_cmpint (rig->ops->commit (rig->client, 4), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  rig_expect (rig, rig->server, rig->client, "last", 4);
}

static void
zero_copy_send_and_receive (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };
  CommyMessage message = { 0 };

  if ((rig->descriptor->note->profile.capabilities & COMMY_CAP_ZERO_COPY) == 0)
    {
      g_test_skip ("the profile does not claim zero copy");
      return;
    }
  g_assert_cmpint (rig->ops->reserve (rig->client, 64, &span), ==, COMMY_IO_OK);
  memset (span.data, 'a', 64);
  memset (span.data + 32, 'b', 32); /* what counts is what stands there at commit */
  g_assert_cmpint (rig->ops->commit (rig->client, 64), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  g_assert_cmpint (rig_receive (rig, rig->server, rig->client, &message), ==, COMMY_IO_OK);
  g_assert_cmpuint (message.size, ==, 64);
  g_assert_cmpint (message.data[31], ==, 'a');
  g_assert_cmpint (message.data[32], ==, 'b');
  /* The sender's own mapping still shows the same memory; stable bytes must not follow it. */
  if ((message.flags & COMMY_MESSAGE_STABLE) != 0 && message.data != span.data)
    {
      span.data[0] = 'z';
      g_assert_cmpint (message.data[0], ==, 'a');
    }
  rig->ops->release (rig->server, &message);
}

static void
sendv_gathers (Rig *rig, const Case *test)
{
  const GOutputVector parts[] = { { "one", 3 }, { "", 0 }, { "two", 3 } };

  if (rig->ops->sendv == NULL)
    {
      g_test_skip ("the transport leaves gathering to the core");
      return;
    }
  g_assert_cmpint (rig->ops->sendv (rig->client, parts, 3), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  rig_expect (rig, rig->server, rig->client, "onetwo", 6);
}

static void
borrow (Rig *rig, guint n, CommyMessage *messages)
{
  for (guint32 i = 0; i < n; i++)
    rig_send (rig, rig->client, &i, sizeof i);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint (rig_receive (rig, rig->server, rig->client, &messages[i]), ==, COMMY_IO_OK);
}

static void
check_borrowed (guint n, const CommyMessage *messages)
{
  for (guint32 i = 0; i < n; i++)
    g_assert_cmpmem (messages[i].data, messages[i].size, &i, sizeof i);
}

static void
several_messages_borrowed (Rig *rig, const Case *test)
{
  CommyMessage messages[8] = { 0 };

  borrow (rig, 8, messages);
  check_borrowed (8, messages);
  for (guint i = 0; i < 8; i++)
    rig->ops->release (rig->server, &messages[i]);
}

static void
out_of_order_release (Rig *rig, const Case *test)
{
  static const guint order[] = { 5, 0, 7, 1, 6, 3, 2, 4 };

  for (guint round = 0; round < 2000; round++)
    {
      CommyMessage messages[8] = { 0 };

      borrow (rig, 8, messages);
      check_borrowed (8, messages);
      for (guint i = 0; i < 8; i++)
        rig->ops->release (rig->server, &messages[order[i]]);
    }
}

static void
release_late (Rig *rig, const Case *test)
{
  CommyMessage messages[4] = { 0 };
  CommyMessage none = { 0 };

  borrow (rig, 4, messages);
  rig_close_client (rig);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &none), ==, COMMY_IO_CLOSED);
  check_borrowed (4, messages);
  for (guint i = 0; i < 4; i++)
    rig->ops->release (rig->server, &messages[3 - i]);
}

/* --- back-pressure and waking --- */

static void
back_pressure (Rig *rig, const Case *test)
{
  guint n = fill (rig, rig->client, 4096, 0);
  guint32 received = 0;
  guint events = 0;
  guint more = 0;

  g_assert_cmpuint (
      rig->ops->arm (rig->client, COMMY_INTEREST_WRITE, &events) & COMMY_INTEREST_WRITE, ==, 0);
  g_assert_false (rig_is_ready (rig, rig->client, events));
  while (more == 0 && received < n)
    {
      expect_number (rig, rig->server, NULL, received++);
      if (!rig_is_ready (rig, rig->client, events))
        continue;
      rig->ops->flush (rig->client);
      if ((rig->ops->arm (rig->client, COMMY_INTEREST_WRITE, &events) & COMMY_INTEREST_WRITE) != 0)
        more = fill (rig, rig->client, 4096, n);
    }
  g_assert_cmpuint (more, >, 0);
  while (received < n + more)
    expect_number (rig, rig->server, rig->client, received++);
}

static void
borrowed_messages_do_not_deadlock (Rig *rig, const Case *test)
{
  guint there = fill (rig, rig->client, 1024, 0);
  guint back = fill (rig, rig->server, 1024, 0);

  for (guint32 i = 0; i < MAX (there, back); i++)
    {
      if (i < there)
        expect_number (rig, rig->server, rig->client, i);
      if (i < back)
        expect_number (rig, rig->client, rig->server, i);
    }
}

static void
batch_until_flush (Rig *rig, const Case *test)
{
  CommyMessage message = { 0 };

  for (guint32 i = 0; i < 3; i++)
    g_assert_cmpint (rig_put (rig, rig->client, &i, sizeof i), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  for (guint32 i = 0; i < 3; i++)
    expect_number (rig, rig->server, rig->client, i);
  g_assert_cmpint (rig->ops->peek (rig->server, &message), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpint (rig->ops->flush (rig->client), ==, COMMY_IO_OK);
}

static void
arm_says_what_is_there (Rig *rig, const Case *test)
{
  guint events = 0;

  g_assert_cmpuint (rig->ops->arm (rig->client, COMMY_INTEREST_WRITE, &events), ==,
                    COMMY_INTEREST_WRITE);
  rig_send (rig, rig->client, "x", 1);
  while ((rig->ops->arm (rig->server, COMMY_INTEREST_READ, &events) & COMMY_INTEREST_READ) == 0)
    rig_poll (rig, rig->server, events);
  rig_expect (rig, rig->server, NULL, "x", 1);
  g_assert_cmpuint (rig->ops->arm (rig->server, COMMY_INTEREST_READ, &events), ==, 0);
}

static void
arm_then_message_wakes_the_fd (Rig *rig, const Case *test)
{
  int fd = rig->ops->fd (rig->server);

  for (guint32 i = 0; i < 100; i++)
    {
      guint events = 0;

      g_assert_cmpuint (rig->ops->arm (rig->server, COMMY_INTEREST_READ, &events), ==, 0);
      g_assert_cmpuint (events, !=, 0);
      g_assert_false (rig_is_ready (rig, rig->server, events));
      rig_send (rig, rig->client, &i, sizeof i);
      rig_poll (rig, rig->server, events);
      expect_number (rig, rig->server, NULL, i);
    }
  g_assert_cmpint (rig->ops->fd (rig->server), ==, fd);
}

static void
arm_then_close_wakes_the_fd (Rig *rig, const Case *test)
{
  CommyMessage message = { 0 };
  guint events = 0;

  g_assert_cmpuint (rig->ops->arm (rig->server, COMMY_INTEREST_READ, &events), ==, 0);
  rig_close_client (rig);
  rig_poll (rig, rig->server, events);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
}

typedef struct
{
  Rig *rig;
  gpointer connection;
  guint rounds;
  gboolean by_wait;
  guint32 kick;
  CommyIo result;
} Echo;

static void
await (Echo *echo)
{
  const CommyTransportOps *ops = echo->rig->ops;
  guint events = 0;

  if (echo->by_wait)
    g_assert_cmpint (ops->wait (echo->connection, &echo->kick, 0, G_MAXINT64), ==, COMMY_IO_OK);
  else if (ops->arm (echo->connection, COMMY_INTEREST_READ, &events) == 0)
    rig_poll (echo->rig, echo->connection, events);
}

static gpointer
echo_thread (gpointer data)
{
  Echo *echo = data;
  const CommyTransportOps *ops = echo->rig->ops;

  for (guint i = 0; i < echo->rounds;)
    {
      CommyMessage message = { 0 };
      CommyIo io = ops->peek (echo->connection, &message);

      if (io == COMMY_IO_WOULD_BLOCK)
        {
          await (echo);
          continue;
        }
      g_assert_cmpint (io, ==, COMMY_IO_OK);
      rig_send (echo->rig, echo->connection, message.data, message.size);
      ops->release (echo->connection, &message);
      i++;
    }
  return NULL;
}

static void
play_ping_pong (Rig *rig, guint rounds, gboolean by_wait)
{
  Echo there = { rig, rig->server, rounds, by_wait, 0, COMMY_IO_OK };
  Echo here = { rig, rig->client, 0, by_wait, 0, COMMY_IO_OK };
  GThread *thread = g_thread_new ("echo", echo_thread, &there);

  for (guint32 i = 0; i < rounds; i++)
    {
      CommyMessage message = { 0 };

      rig_send (rig, rig->client, &i, sizeof i);
      while (rig->ops->peek (rig->client, &message) == COMMY_IO_WOULD_BLOCK)
        await (&here);
      g_assert_cmpmem (message.data, message.size, &i, sizeof i);
      rig->ops->release (rig->client, &message);
    }
  g_thread_join (thread);
}

static void
no_lost_wake_up (Rig *rig, const Case *test)
{
  play_ping_pong (rig, 2000, FALSE);
}

static void
connection_moves_thread_once (Rig *rig, const Case *test)
{
  Echo echo = { rig, rig->server, 1, FALSE, 0, COMMY_IO_OK };
  GThread *thread = g_thread_new ("worker", echo_thread, &echo);

  rig_send (rig, rig->client, "hello", 5);
  rig_expect (rig, rig->client, NULL, "hello", 5);
  g_thread_join (thread);
}

static void
wait_parks_and_wakes (Rig *rig, const Case *test)
{
  play_ping_pong (rig, 2000, TRUE);
}

static gpointer
wait_thread (gpointer data)
{
  Echo *echo = data;

  echo->result = echo->rig->ops->wait (echo->connection, &echo->kick, 0, G_MAXINT64);
  return NULL;
}

static void
wait_is_kicked (Rig *rig, const Case *test)
{
  Echo echo = { rig, rig->server, 0, TRUE, 0, COMMY_IO_OK };

  for (guint i = 0; i < 200; i++)
    {
      GThread *thread;

      echo.kick = 0;
      thread = g_thread_new ("parked", wait_thread, &echo);
      if (i % 2 == 0)
        g_thread_yield ();
      __atomic_store_n (&echo.kick, 1, __ATOMIC_SEQ_CST);
      syscall (SYS_futex, &echo.kick, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
      g_thread_join (thread);
      g_assert_cmpint (echo.result, ==, COMMY_IO_KICKED);
    }
}

static void
wait_times_out (Rig *rig, const Case *test)
{
  gint64 now = g_get_monotonic_time () * 1000;
  guint32 kick = 0;

  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 0, 0), ==, COMMY_IO_TIMEOUT);
  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 0, now + 2000000), ==, COMMY_IO_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () * 1000 + 1000, >=, now + 2000000);
  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 1, G_MAXINT64), ==, COMMY_IO_KICKED);
}

static void
wait_sees_the_end (Rig *rig, const Case *test)
{
  Echo echo = { rig, rig->server, 0, TRUE, 0, COMMY_IO_OK };
  GThread *thread = g_thread_new ("parked", wait_thread, &echo);
  CommyMessage message = { 0 };

  rig_close_client (rig);
  g_thread_join (thread);
  /* Some can only say that there is something; then `peek` tells. */
  if (echo.result != COMMY_IO_CLOSED)
    g_assert_cmpint (echo.result, ==, COMMY_IO_OK);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
}

/* --- the end --- */

static void
drained_then_closed (Rig *rig, const Case *test)
{
  CommyMessage message = { 0 };
  CommySpan span = { NULL, 0 };

  for (guint32 i = 0; i < 50; i++)
    rig_send (rig, rig->client, &i, sizeof i);
  rig_close_client (rig);
  for (guint32 i = 0; i < 50; i++)
    expect_number (rig, rig->server, NULL, i);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->peek (rig->server, &message), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->reserve (rig->server, 8, &span), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (rig->ops->why (rig->server));
  g_assert_cmpuint (strlen (rig->ops->why (rig->server)), >, 0);
}

static void
close_with_unread_and_unsent (Rig *rig, const Case *test)
{
  CommySpan span = { NULL, 0 };

  fill (rig, rig->client, 2048, 0);
  fill (rig, rig->server, 2048, 0);
  rig->ops->reserve (rig->client, 1, &span);
  rig_close_client (rig);
  rig_close_server (rig);
}

static void
killed_peer (Rig *unused, const Case *test)
{
  enum
  {
    N = 20
  };
  Rig *rig = rig_new (test->descriptor, test->subject, RIG_TWO_CONTEXTS);
  CommyEndpoint endpoint = rig_endpoint (rig);
  CommyMessage message = { 0 };
  int pipe_fds[2];
  char byte;
  pid_t child;

  g_assert_cmpint (pipe (pipe_fds), ==, 0);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      rig_start_client (rig);
      rig->attempt = rig_connect (rig, &endpoint);
      while (rig->attempt->n_done == 0)
        g_main_context_iteration (rig->contexts[1], TRUE);
      if (rig->attempt->error != NULL)
        _exit (1);
      for (guint32 i = 0; i < N; i++)
        rig_send (rig, rig->attempt->connection, &i, sizeof i);
      while (rig->ops->flush (rig->attempt->connection) == COMMY_IO_WOULD_BLOCK)
        poll (NULL, 0, 1);
      if (write (pipe_fds[1], "x", 1) != 1)
        _exit (2);
      while (TRUE)
        pause ();
    }
  close (pipe_fds[1]);
  while (rig->accepted->len == 0 && waitpid (child, NULL, WNOHANG) == 0)
    {
      if (!g_main_context_iteration (rig->contexts[0], FALSE))
        poll (NULL, 0, 1);
    }
  g_assert_cmpuint (rig->accepted->len, ==, 1);
  rig->server = g_ptr_array_index (rig->accepted, 0);
  g_assert_cmpint (read (pipe_fds[0], &byte, 1), ==, 1);
  close (pipe_fds[0]);
  kill (child, SIGKILL);
  g_assert_cmpint (waitpid (child, NULL, 0), ==, child);
  for (guint32 i = 0; i < N; i++)
    expect_number (rig, rig->server, NULL, i);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (rig->ops->why (rig->server));
  rig_free (rig);
}

/* Whether the other side ended this socket; what it said before does not matter. */
static gboolean
has_ended (int fd)
{
  char said[256];
  ssize_t got;

  do
    got = recv (fd, said, sizeof said, MSG_DONTWAIT);
  while (got > 0 || (got < 0 && errno == EINTR));
  return got == 0 || errno != EAGAIN;
}

static void
half_open_peer (Rig *rig, const Case *test)
{
  enum
  {
    N = 5
  };
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *later;
  int strangers[N];

  for (guint i = 0; i < N; i++)
    strangers[i] = rig_knock (rig);
  close (strangers[0]); /* one changes its mind */
  exchange (rig, test);
  later = rig_connect (rig, &endpoint); /* queues behind the strangers */
  rig_until (rig, later->n_done > 0);
  g_assert_no_error (later->error);
  rig_until (rig, rig->n_opened == 2);
  exchange (rig, test);
  rig_unlisten (rig);
  for (guint i = 1; i < N; i++)
    {
      rig_until (rig, has_ended (strangers[i]));
      close (strangers[i]);
    }
  exchange (rig, test);
  rig_attempt_free (later);
}

static guint
count_entries (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
unlisten_removes_names (Rig *rig, const Case *test)
{
  CommyHost *host = commy_test_host_get (rig->hosts[0]);

  rig_unlisten (rig);
  g_assert_cmpuint (count_entries (host->info (host, COMMY_HOST_RUNTIME_DIR)), ==, 0);
  exchange (rig, test); /* what is open lives on */
}

static void
nothing_leaks (Rig *unused, const Case *test)
{
  guint before = 0;

  /* The first round pays for what libraries open once. */
  for (guint i = 0; i < 4; i++)
    {
      Rig *rig = rig_new (test->descriptor, test->subject, RIG_NONE);

      rig_make_pair (rig);
      exchange (rig, test);
      if (i % 2 == 0)
        rig_close_server (rig);
      rig_free (rig);
      if (i == 0)
        before = count_entries ("/proc/self/fd");
      g_assert_cmpuint (count_entries ("/proc/self/fd"), ==, before);
    }
}

/* --- what is said --- */

static void
evidence_is_filled (Rig *rig, const Case *test)
{
  gpointer ends[] = { rig->client, rig->server };
  CommyEvidence evidence[2] = { 0 };

  for (guint i = 0; i < 2; i++)
    {
      evidence[i].struct_size = sizeof (CommyEvidence);
      evidence[i].pidfd = -1;
      rig->ops->evidence (ends[i], &evidence[i]);
      g_assert_cmpuint (evidence[i].struct_size, ==, sizeof (CommyEvidence));
      g_assert_cmpuint (evidence[i].kind, <=, COMMY_EVIDENCE_X509);
      g_assert_cmpuint (evidence[i].security, ==, rig->descriptor->note->profile.security);
      if (evidence[i].kind == COMMY_EVIDENCE_KERNEL || evidence[i].kind == COMMY_EVIDENCE_SELF)
        {
          g_assert_cmpuint (evidence[i].uid, ==, geteuid ());
          g_assert_cmpint (evidence[i].pid, ==, getpid ());
        }
      if (evidence[i].kind == COMMY_EVIDENCE_X509)
        g_assert_cmpuint (evidence[i].n_chain, >, 0);
    }
  g_assert_cmpint (evidence[0].has_binding, ==, evidence[1].has_binding);
  if (evidence[0].has_binding)
    {
      static const guint8 zeros[32];

      g_assert_cmpmem (evidence[0].binding, 32, evidence[1].binding, 32);
      g_assert_cmpint (memcmp (evidence[0].binding, zeros, 32), !=, 0);
    }
}

static double
cost_at (const CommyProfileSegment *segment, double bytes)
{
  return segment->latency_ns + segment->send_cpu_ns + segment->recv_cpu_ns
         + bytes
               * (segment->wire_ns_per_byte + segment->send_cpu_ns_per_byte
                  + segment->recv_cpu_ns_per_byte);
}

static void
profile_is_sane (Rig *rig, const Case *test)
{
  const CommyProfile *profile = &rig->descriptor->note->profile;

  g_assert_cmpuint (profile->n_segments, >=, 1);
  g_assert_cmpuint (profile->n_segments, <=, COMMY_PROFILE_SEGMENTS);
  g_assert_cmpuint (profile->provenance, <, COMMY_PROVENANCE_OPERATOR);
  g_assert_cmpuint (profile->security, <=, COMMY_SECURITY_MUTUAL);
  g_assert_cmpuint (profile->reach, !=, 0);
  g_assert_cmpuint (profile->reach, <=, 7);
  g_assert_cmpfloat (profile->size_factor, ==, 1.0);
  g_assert_true (isfinite (profile->connect_ns) && profile->connect_ns >= 0);
  g_assert_true (profile->loss >= 0 && profile->loss <= 1);
  for (guint i = 0; i < profile->n_segments; i++)
    {
      const CommyProfileSegment *segment = &profile->segments[i];

      g_assert_true (isfinite (cost_at (segment, 1)) && cost_at (segment, 0) >= 0);
      if (i == 0)
        continue;
      g_assert_cmpuint (segment->max_bytes, >, segment[-1].max_bytes);
      g_assert_cmpfloat (cost_at (segment, (double) segment[-1].max_bytes + 1), >=,
                         cost_at (&segment[-1], (double) segment[-1].max_bytes));
    }
  g_assert_cmpuint (profile->segments[profile->n_segments - 1].max_bytes, ==, G_MAXUINT64);
}

static void
estimate_is_pure (Rig *rig, const Case *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  CommyProfile profiles[2];

  if (rig->ops->estimate == NULL)
    {
      g_test_skip ("the transport has no estimate");
      return;
    }
  for (guint i = 0; i < 2; i++)
    {
      profiles[i] = rig->descriptor->note->profile;
      rig->ops->estimate (rig->instances[1], &endpoint, &profiles[i]);
    }
  g_assert_cmpmem (&profiles[0], sizeof profiles[0], &profiles[1], sizeof profiles[1]);
}

#define RULE(name, function, needs) \
  {                                 \
    name, function, needs           \
  }

static const Rule rules[] = {
  RULE ("profile-is-sane", profile_is_sane, 0),
  RULE ("listen-gives-an-address", listen_gives_an_address, 0),
  RULE ("refused", refused, 0),
  RULE ("refused-by-a-full-listener", refused_by_a_full_listener, 0),
  RULE ("bad-addresses-are-refused", bad_addresses_are_refused, 0),
  RULE ("unreachable-has-a-reason", unreachable_has_a_reason, 0),
  RULE ("cancelled", cancelled, 0),
  RULE ("unlisten-during-set-up", unlisten_during_set_up, 0),
  RULE ("close-inside-done", close_inside_done, 0),
  RULE ("close-inside-opened", close_inside_opened, 0),
  RULE ("many-connections", many_connections, 0),
  RULE ("estimate-is-pure", estimate_is_pure, 0),
  RULE ("exchange", exchange, NEEDS_PAIR),
  RULE ("exchange-both-ways-at-once", exchange_both_ways_at_once, NEEDS_PAIR),
  RULE ("order-is-kept", order_is_kept, NEEDS_PAIR),
  RULE ("smallest-message-is-one-byte", smallest_message_is_one_byte, NEEDS_PAIR),
  RULE ("sizes-arrive-whole", sizes_arrive_whole, NEEDS_PAIR),
  RULE ("huge-message", huge_message, NEEDS_PAIR),
  RULE ("too-big-is-told", too_big_is_told, NEEDS_PAIR),
  RULE ("commit-may-be-shorter", commit_may_be_shorter, NEEDS_PAIR),
  RULE ("commit-zero-gives-back", commit_zero_gives_back, NEEDS_PAIR),
  RULE ("reserve-twice-gives-first-back", reserve_twice_gives_first_back, NEEDS_PAIR),
  RULE ("zero-copy-send-and-receive", zero_copy_send_and_receive, NEEDS_PAIR),
  RULE ("sendv-gathers", sendv_gathers, NEEDS_PAIR),
  RULE ("several-messages-borrowed", several_messages_borrowed, NEEDS_PAIR),
  RULE ("out-of-order-release", out_of_order_release, NEEDS_PAIR),
  RULE ("release-late", release_late, NEEDS_PAIR),
  RULE ("back-pressure", back_pressure, NEEDS_PAIR),
  RULE ("full-both-ways-does-not-deadlock", borrowed_messages_do_not_deadlock, NEEDS_PAIR),
  RULE ("batch-until-flush", batch_until_flush, NEEDS_PAIR),
  RULE ("arm-says-what-is-there", arm_says_what_is_there, NEEDS_PAIR),
  RULE ("arm-then-message-wakes-the-fd", arm_then_message_wakes_the_fd, NEEDS_PAIR),
  RULE ("arm-then-close-wakes-the-fd", arm_then_close_wakes_the_fd, NEEDS_PAIR),
  RULE ("no-lost-wake-up", no_lost_wake_up, NEEDS_PAIR),
  RULE ("connection-moves-thread-once", connection_moves_thread_once, NEEDS_PAIR),
  RULE ("wait-parks-and-wakes", wait_parks_and_wakes, NEEDS_PAIR | NEEDS_WAIT),
  RULE ("wait-is-kicked", wait_is_kicked, NEEDS_PAIR | NEEDS_WAIT),
  RULE ("wait-times-out", wait_times_out, NEEDS_PAIR | NEEDS_WAIT),
  RULE ("wait-sees-the-end", wait_sees_the_end, NEEDS_PAIR | NEEDS_WAIT),
  RULE ("peer-closes-drained-then-closed", drained_then_closed, NEEDS_PAIR),
  RULE ("close-with-unread-and-unsent", close_with_unread_and_unsent, NEEDS_PAIR),
  RULE ("killed-peer", killed_peer, OWN_RIG | NEEDS_PROCESSES),
  RULE ("half-open-peer", half_open_peer, NEEDS_PAIR | NEEDS_PROCESSES),
  RULE ("unlisten-removes-names", unlisten_removes_names, NEEDS_PAIR),
  RULE ("evidence-is-filled", evidence_is_filled, NEEDS_PAIR),
  RULE ("nothing-leaks", nothing_leaks, OWN_RIG),
};

typedef struct
{
  const CommyTransportSubject *subject;
  const Rule *rule;
} Run;

static const char *
why_skip (const Rule *rule, const CommyPluginDescriptor *descriptor)
{
  const CommyTransportOps *ops = descriptor->ops;

  if ((rule->needs & NEEDS_WAIT) != 0 && ops->wait == NULL)
    return "the transport has no wait: the core arms and polls";
  if ((rule->needs & NEEDS_PROCESSES) != 0
      && (descriptor->note->profile.reach & ~(guint32) COMMY_REACH_SELF) == 0)
    return "the transport stays in its process";
  return NULL;
}

static void
run_rule (gconstpointer data)
{
  const Run *run = data;
  g_autoptr (GError) error = NULL;
  Case test = { run->subject, commy_test_load ("transport", run->subject->id, &error) };
  Rig *rig = NULL;

  if (test.descriptor == NULL)
    {
      g_test_skip (error->message);
      return;
    }
  if (why_skip (run->rule, test.descriptor) != NULL)
    {
      g_test_skip (why_skip (run->rule, test.descriptor));
      return;
    }
  if ((run->rule->needs & OWN_RIG) == 0)
    rig = rig_new (test.descriptor, test.subject, RIG_NONE);
  if ((run->rule->needs & NEEDS_PAIR) != 0)
    rig_make_pair (rig);
  run->rule->run (rig, &test);
  if (rig != NULL)
    rig_free (rig);
}

void
commy_transport_conformance_add (const CommyTransportSubject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    {
      g_autofree char *path = g_strdup_printf ("/conformance/%s/%s", subject->id, rules[i].name);
      Run *run = g_new (Run, 1);

      run->subject = subject;
      run->rule = &rules[i];
      g_test_add_data_func_full (path, run, run_rule, g_free);
    }
}
