/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of back-pressure, of sleeping and of waking, with both ends on threads of their own.
 */
#include "config.h"

#include "commy-transport-rules.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
back_pressure (Rig *rig, const RuleCase *test)
{
  guint n = rig_fill (rig, rig->client, 4096, 0);
  guint32 received = 0;
  guint events = 0;
  guint more = 0;

  g_assert_cmpuint (
      rig->ops->arm (rig->client, COMMY_INTEREST_WRITE, &events) & COMMY_INTEREST_WRITE, ==, 0);
  g_assert_false (rig_is_ready (rig, rig->client, events));
  while (more == 0 && received < n)
    {
      rig_expect_number (rig, rig->server, NULL, received++);
      if (!rig_is_ready (rig, rig->client, events))
        continue;
      rig->ops->flush (rig->client);
      if ((rig->ops->arm (rig->client, COMMY_INTEREST_WRITE, &events) & COMMY_INTEREST_WRITE) != 0)
        more = rig_fill (rig, rig->client, 4096, n);
    }
  g_assert_cmpuint (more, >, 0);
  while (received < n + more)
    rig_expect_number (rig, rig->server, rig->client, received++);
}

static void
borrowed_messages_do_not_deadlock (Rig *rig, const RuleCase *test)
{
  guint there = rig_fill (rig, rig->client, 1024, 0);
  guint back = rig_fill (rig, rig->server, 1024, 0);

  for (guint32 i = 0; i < MAX (there, back); i++)
    {
      if (i < there)
        rig_expect_number (rig, rig->server, rig->client, i);
      if (i < back)
        rig_expect_number (rig, rig->client, rig->server, i);
    }
}

static void
batch_until_flush (Rig *rig, const RuleCase *test)
{
  CommyMessage message = { 0 };

  for (guint32 i = 0; i < 3; i++)
    g_assert_cmpint (rig_put (rig, rig->client, &i, sizeof i), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  for (guint32 i = 0; i < 3; i++)
    rig_expect_number (rig, rig->server, rig->client, i);
  g_assert_cmpint (rig->ops->peek (rig->server, &message), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpint (rig->ops->flush (rig->client), ==, COMMY_IO_OK);
}

static void
arm_says_what_is_there (Rig *rig, const RuleCase *test)
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
arm_then_message_wakes_the_fd (Rig *rig, const RuleCase *test)
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
      rig_expect_number (rig, rig->server, NULL, i);
    }
  g_assert_cmpint (rig->ops->fd (rig->server), ==, fd);
}

static void
arm_then_close_wakes_the_fd (Rig *rig, const RuleCase *test)
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
  CommyIo io = COMMY_IO_UNSUPPORTED;

  if (echo->by_wait)
    io = ops->wait (echo->connection, &echo->kick, 0, G_MAXINT64);
  if (io != COMMY_IO_UNSUPPORTED) /* it is optional, and the kernel may lack what it takes */
    g_assert_cmpint (io, ==, COMMY_IO_OK);
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
no_lost_wake_up (Rig *rig, const RuleCase *test)
{
  play_ping_pong (rig, 2000, FALSE);
}

static void
connection_moves_thread_once (Rig *rig, const RuleCase *test)
{
  Echo echo = { rig, rig->server, 1, FALSE, 0, COMMY_IO_OK };
  GThread *thread = g_thread_new ("worker", echo_thread, &echo);

  rig_send (rig, rig->client, "hello", 5);
  rig_expect (rig, rig->client, NULL, "hello", 5);
  g_thread_join (thread);
}

static void
wait_parks_and_wakes (Rig *rig, const RuleCase *test)
{
  play_ping_pong (rig, 2000, TRUE);
}

/* The slot may be there and the kernel still lack what it takes. */
static gboolean
can_wait (Rig *rig)
{
  guint32 kick = 0;

  if (rig->ops->wait (rig->server, &kick, 0, g_get_monotonic_time () * 1000 + 1000000)
      != COMMY_IO_UNSUPPORTED)
    return TRUE;
  g_test_skip ("the kernel cannot wait for two words at once");
  return FALSE;
}

static gpointer
wait_thread (gpointer data)
{
  Echo *echo = data;

  echo->result = echo->rig->ops->wait (echo->connection, &echo->kick, 0, G_MAXINT64);
  return NULL;
}

static void
wait_is_kicked (Rig *rig, const RuleCase *test)
{
  Echo echo = { rig, rig->server, 0, TRUE, 0, COMMY_IO_OK };

  if (!can_wait (rig))
    return;
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
wait_times_out (Rig *rig, const RuleCase *test)
{
  gint64 now = g_get_monotonic_time () * 1000;
  guint32 kick = 0;

  if (!can_wait (rig))
    return;
  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 0, 0), ==, COMMY_IO_TIMEOUT);
  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 0, now + 2000000), ==, COMMY_IO_TIMEOUT);
  g_assert_cmpint (g_get_monotonic_time () * 1000 + 1000, >=, now + 2000000);
  g_assert_cmpint (rig->ops->wait (rig->server, &kick, 1, G_MAXINT64), ==, COMMY_IO_KICKED);
}

static void
wait_sees_the_end (Rig *rig, const RuleCase *test)
{
  Echo echo = { rig, rig->server, 0, TRUE, 0, COMMY_IO_OK };
  CommyMessage message = { 0 };
  GThread *thread;

  if (!can_wait (rig))
    return;
  thread = g_thread_new ("parked", wait_thread, &echo);
  rig_close_client (rig);
  g_thread_join (thread);
  /* Some can only say that there is something; then `peek` tells. */
  if (echo.result != COMMY_IO_CLOSED)
    g_assert_cmpint (echo.result, ==, COMMY_IO_OK);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
}

static const Rule rules[] = {
  { "back-pressure", back_pressure, NEEDS_PAIR },
  { "full-both-ways-does-not-deadlock", borrowed_messages_do_not_deadlock, NEEDS_PAIR },
  { "batch-until-flush", batch_until_flush, NEEDS_PAIR },
  { "arm-says-what-is-there", arm_says_what_is_there, NEEDS_PAIR },
  { "arm-then-message-wakes-the-fd", arm_then_message_wakes_the_fd, NEEDS_PAIR },
  { "arm-then-close-wakes-the-fd", arm_then_close_wakes_the_fd, NEEDS_PAIR },
  { "no-lost-wake-up", no_lost_wake_up, NEEDS_PAIR },
  { "connection-moves-thread-once", connection_moves_thread_once, NEEDS_PAIR },
  { "wait-parks-and-wakes", wait_parks_and_wakes, NEEDS_PAIR | NEEDS_WAIT },
  { "wait-is-kicked", wait_is_kicked, NEEDS_PAIR | NEEDS_WAIT },
  { "wait-times-out", wait_times_out, NEEDS_PAIR | NEEDS_WAIT },
  { "wait-sees-the-end", wait_sees_the_end, NEEDS_PAIR | NEEDS_WAIT },
};

const Rule *
commy_transport_rules_waking (gsize *out_n)
{
  *out_n = G_N_ELEMENTS (rules);
  return rules;
}
