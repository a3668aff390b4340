/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of messages: whole, in order, borrowed and given back; and of the end of a connection.
 */
#include "config.h"

#include "commy-transport-rules.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024 * 1024)

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

static void
exchange (Rig *rig, const RuleCase *test)
{
  rig_send (rig, rig->client, "question", 8);
  rig_expect (rig, rig->server, rig->client, "question", 8);
  rig_send (rig, rig->server, "answer", 6);
  rig_expect (rig, rig->client, rig->server, "answer", 6);
  g_assert_null (rig->ops->why (rig->client));
  g_assert_null (rig->ops->why (rig->server));
}

static void
exchange_both_ways_at_once (Rig *rig, const RuleCase *test)
{
  for (guint32 i = 0; i < 1000; i++)
    {
      guint32 back = ~i;

      rig_send (rig, rig->client, &i, sizeof i);
      rig_send (rig, rig->server, &back, sizeof back);
      rig_expect_number (rig, rig->server, rig->client, i);
      rig_expect_number (rig, rig->client, rig->server, back);
    }
}

static void
order_is_kept (Rig *rig, const RuleCase *test)
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
      rig_expect_number (rig, rig->server, rig->client, expected);
    }
  g_assert_cmpuint (sent, ==, N);
}

static void
sizes_arrive_whole (Rig *rig, const RuleCase *test)
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
huge_message (Rig *rig, const RuleCase *test)
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
too_big_is_told (Rig *rig, const RuleCase *test)
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
commit_may_be_shorter (Rig *rig, const RuleCase *test)
{
  CommySpan span = { NULL, 0 };

  g_assert_cmpint (rig->ops->reserve (rig->client, 5000, &span), ==, COMMY_IO_OK);
  memcpy (span.data, "short", 5);
  g_assert_cmpint (rig->ops->commit (rig->client, 5), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  rig_expect (rig, rig->server, rig->client, "short", 5);
}

static void
smallest_message_is_one_byte (Rig *rig, const RuleCase *test)
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
commit_zero_gives_back (Rig *rig, const RuleCase *test)
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
reserve_twice_gives_first_back (Rig *rig, const RuleCase *test)
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
zero_copy_send_and_receive (Rig *rig, const RuleCase *test)
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
sendv_gathers (Rig *rig, const RuleCase *test)
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
several_messages_borrowed (Rig *rig, const RuleCase *test)
{
  CommyMessage messages[8] = { 0 };

  borrow (rig, 8, messages);
  check_borrowed (8, messages);
  for (guint i = 0; i < 8; i++)
    rig->ops->release (rig->server, &messages[i]);
}

static void
out_of_order_release (Rig *rig, const RuleCase *test)
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
release_late (Rig *rig, const RuleCase *test)
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

static void
drained_then_closed (Rig *rig, const RuleCase *test)
{
  CommyMessage message = { 0 };
  CommySpan span = { NULL, 0 };

  for (guint32 i = 0; i < 50; i++)
    rig_send (rig, rig->client, &i, sizeof i);
  rig_close_client (rig);
  for (guint32 i = 0; i < 50; i++)
    rig_expect_number (rig, rig->server, NULL, i);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->peek (rig->server, &message), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->reserve (rig->server, 8, &span), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (rig->ops->why (rig->server));
  g_assert_cmpuint (strlen (rig->ops->why (rig->server)), >, 0);
}

static void
close_with_unread_and_unsent (Rig *rig, const RuleCase *test)
{
  CommySpan span = { NULL, 0 };

  rig_fill (rig, rig->client, 2048, 0);
  rig_fill (rig, rig->server, 2048, 0);
  rig->ops->reserve (rig->client, 1, &span);
  rig_close_client (rig);
  rig_close_server (rig);
}

static void
killed_peer (Rig *unused, const RuleCase *test)
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
    rig_expect_number (rig, rig->server, NULL, i);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (rig->ops->why (rig->server));
  rig_free (rig);
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
unlisten_removes_names (Rig *rig, const RuleCase *test)
{
  CommyHost *host = commy_test_host_get (rig->hosts[0]);

  rig_unlisten (rig);
  g_assert_cmpuint (count_entries (host->info (host, COMMY_HOST_RUNTIME_DIR)), ==, 0);
  exchange (rig, test); /* what is open lives on */
}

static void
nothing_leaks (Rig *unused, const RuleCase *test)
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

static const Rule rules[] = {
  { "exchange", exchange, NEEDS_PAIR },
  { "exchange-both-ways-at-once", exchange_both_ways_at_once, NEEDS_PAIR },
  { "order-is-kept", order_is_kept, NEEDS_PAIR },
  { "smallest-message-is-one-byte", smallest_message_is_one_byte, NEEDS_PAIR },
  { "sizes-arrive-whole", sizes_arrive_whole, NEEDS_PAIR },
  { "huge-message", huge_message, NEEDS_PAIR },
  { "too-big-is-told", too_big_is_told, NEEDS_PAIR },
  { "commit-may-be-shorter", commit_may_be_shorter, NEEDS_PAIR },
  { "commit-zero-gives-back", commit_zero_gives_back, NEEDS_PAIR },
  { "reserve-twice-gives-first-back", reserve_twice_gives_first_back, NEEDS_PAIR },
  { "zero-copy-send-and-receive", zero_copy_send_and_receive, NEEDS_PAIR },
  { "sendv-gathers", sendv_gathers, NEEDS_PAIR },
  { "several-messages-borrowed", several_messages_borrowed, NEEDS_PAIR },
  { "out-of-order-release", out_of_order_release, NEEDS_PAIR },
  { "release-late", release_late, NEEDS_PAIR },
  { "peer-closes-drained-then-closed", drained_then_closed, NEEDS_PAIR },
  { "close-with-unread-and-unsent", close_with_unread_and_unsent, NEEDS_PAIR },
  { "killed-peer", killed_peer, OWN_RIG | NEEDS_PROCESSES },
  { "unlisten-removes-names", unlisten_removes_names, NEEDS_PAIR },
  { "nothing-leaks", nothing_leaks, OWN_RIG },
};

const Rule *
commy_transport_rules_messages (gsize *out_n)
{
  *out_n = G_N_ELEMENTS (rules);
  return rules;
}
