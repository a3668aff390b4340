/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two ends of a connection in one process, through the vtable: order, borrowing, back-pressure,
 * sleeping and waking, what the kernel says of the peer, and what is left behind.
 */
#include "config.h"

#include "plugins/common/commy-door.h"
#include "plugins/shm/commy-link.h"
#include "shm-host.h"

#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char *directory;
  ShmTestHost *host;
  gpointer client;
  gpointer server;
  guint n_fds;
  guint n_maps;
} Pair;

static void
pair_open (Pair *pair, gconstpointer params)
{
  g_autoptr (GError) error = NULL;

  pair->n_fds = shm_test_count_fds ();
  pair->n_maps = shm_test_count_maps ();
  pair->directory = shm_test_directory_new ();
  pair->host = shm_test_host_new (pair->directory, params);
  shm_test_host_listen (pair->host);
  pair->client = shm_test_host_connect (pair->host, shm_test_host_address (pair->host), &error);
  g_assert_no_error (error);
  pair->server = shm_test_host_accept (pair->host);
}

static void
pair_close (Pair *pair, gconstpointer params)
{
  if (pair->client != NULL)
    shm_test_host_close (pair->host, pair->client);
  if (pair->server != NULL)
    shm_test_host_close (pair->host, pair->server);
  shm_test_host_free (pair->host);
  shm_test_directory_free (pair->directory);
  g_assert_cmpuint (shm_test_count_fds (), ==, pair->n_fds);
  g_assert_cmpuint (shm_test_count_maps (), ==, pair->n_maps);
}

static void
check_message (const CommyMessage *message, gsize size, guint8 fill)
{
  g_assert_cmpuint (message->size, ==, size);
  g_assert_cmpuint ((guintptr) message->data % 8, ==, 0);
  g_assert_cmpuint (message->flags, ==, 0);
  for (gsize i = 0; i < size; i += MAX (1, size / 64))
    g_assert_cmpuint (message->data[i], ==, fill);
  g_assert_cmpuint (message->data[size - 1], ==, fill);
}

static void
test_sizes (Pair *pair, gconstpointer params)
{
  const gsize sizes[] = { 1,        7,    55,   56,     57,       64,    119,     120,     2047,
                          2048,     2049, 4096, 4097,   65536,    65537, 1 << 20, 5000000, 1,
                          16 << 20, 64,   2048, 300000, 64 << 20, 3000,  64 };
  const CommyTransportOps *ops = pair->host->ops;

  for (guint round = 0; round < 3; round++)
    for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
      {
        gpointer from = i % 2 ? pair->client : pair->server;
        gpointer to = i % 2 ? pair->server : pair->client;
        CommyMessage message;

        shm_test_send (pair->host, from, sizes[i], (guint8) (i + round));
        g_assert_true (shm_test_receive (pair->host, to, &message));
        check_message (&message, sizes[i], (guint8) (i + round));
        ops->release (to, &message);
      }
}

static void
test_too_big (Pair *pair, gconstpointer params)
{
  CommySpan span;

  g_assert_cmpint (pair->host->ops->reserve (pair->client, (64 << 20) + 1, &span), ==,
                   COMMY_IO_TOO_BIG);
  g_assert_null (pair->host->ops->why (pair->client));
  test_sizes (pair, params);
}

static gpointer
accept_beside (gpointer host)
{
  return shm_test_host_accept (host);
}

/* Who gives himself less maps no more of the other's, who does not offer it. */
static void
test_smaller_arena (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  ShmTestHost *small = shm_test_host_new (pair->directory, "arena-max=1048576");
  g_autoptr (GError) error = NULL;
  GThread *beside = g_thread_new ("accept", accept_beside, pair->host);
  gpointer near = shm_test_host_connect (small, shm_test_host_address (pair->host), &error);
  gpointer far = g_thread_join (beside);
  CommyMessage message;
  CommySpan span;

  g_assert_no_error (error);
  g_assert_cmpint (ops->reserve (far, (1 << 20) + 1, &span), ==, COMMY_IO_TOO_BIG);
  g_assert_cmpint (ops->reserve (near, (1 << 20) + 1, &span), ==, COMMY_IO_TOO_BIG);
  for (gsize size = 1 << 20; size > 4096; size /= 2)
    {
      shm_test_send (pair->host, far, size, 3);
      g_assert_true (shm_test_receive (small, near, &message));
      check_message (&message, size, 3);
      ops->release (near, &message);
    }
  shm_test_host_close (small, near);
  shm_test_host_close (pair->host, far);
  shm_test_host_free (small);
}

/* Segments that nobody needs were announced before the one that a message lies in: it waits for a
 * turn for each of them, in its place, and is told if the peer ends meanwhile. */
static void
test_announced_before (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  const ShmLink *link = pair->server;
  CommyMessage message;
  CommySpan span;
  guint turns = 0;

  shm_test_send (pair->host, pair->client, 10, 1);
  for (gsize size = 5000; size < 200000; size *= 2)
    {
      g_assert_cmpint (ops->reserve (pair->client, size, &span), ==, COMMY_IO_OK);
      ops->commit (pair->client, 0);
    }
  shm_test_send (pair->host, pair->client, 300000, 2);
  shm_test_send (pair->host, pair->client, 20, 3);
  g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
  check_message (&message, 10, 1);
  ops->release (pair->server, &message);
  for (; ops->peek (pair->server, &message) == COMMY_IO_WOULD_BLOCK; turns++)
    {
      guint events;

      g_assert_cmpuint (link->foreign.n_added, <=, 2 * turns + 1);
      g_assert_cmpuint (ops->arm (pair->server, COMMY_INTEREST_READ, &events), ==,
                        COMMY_INTEREST_READ);
    }
  g_assert_cmpuint (turns, >, 0);
  check_message (&message, 300000, 2);
  ops->release (pair->server, &message);
  g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
  check_message (&message, 20, 3);
  ops->release (pair->server, &message);
}

/* What is committed and not flushed is nobody's; a reservation can be given back. */
static void
test_flush (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommySpan span;
  CommyMessage message;

  for (guint i = 0; i < 5; i++)
    {
      g_assert_cmpint (ops->reserve (pair->client, 100, &span), ==, COMMY_IO_OK);
      memset (span.data, (int) i, 100);
      g_assert_cmpint (ops->commit (pair->client, 50 + i), ==, COMMY_IO_OK);
    }
  g_assert_cmpint (ops->reserve (pair->client, 100, &span), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->reserve (pair->client, 100000, &span), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->commit (pair->client, 0), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpint (ops->flush (pair->client), ==, COMMY_IO_OK);
  for (guint i = 0; i < 5; i++)
    {
      g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
      check_message (&message, 50 + i, (guint8) i);
      ops->release (pair->server, &message);
    }
  g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_WOULD_BLOCK);
}

/* Eight bytes of it in a row, which are neither a position nor a mark. */
static gboolean
shows (ShmLink *reader, guint8 value)
{
  guint8 row[8];

  memset (row, value, sizeof row);
  return memmem (reader->peer.data, reader->peer.size, row, sizeof row) != NULL;
}

/* What is written to a small message is its writer's own until it is committed, and what it turned
 * out not to need stays so. One that is larger lies in the ring at once. */
static void
test_staged (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommyMessage message;
  CommySpan span;

  for (gsize size = 16; size <= 2 * SHM_STAGE_BYTES; size++)
    {
      gboolean staged = size <= SHM_STAGE_BYTES;
      gsize used = (size + 1) / 2;

      g_assert_cmpint (ops->reserve (pair->client, size, &span), ==, COMMY_IO_OK);
      memset (span.data, 0x5a, used);
      memset (span.data + used, 0xa5, size - used);
      g_assert_true (shows (pair->server, 0xa5) == !staged);
      if (!staged)
        memset (span.data + used, 0, size - used);
      g_assert_cmpint (ops->commit (pair->client, used), ==, COMMY_IO_OK);
      g_assert_false (shows (pair->server, 0xa5));
      g_assert_cmpint (ops->flush (pair->client), ==, COMMY_IO_OK);
      g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
      check_message (&message, used, 0x5a);
      ops->release (pair->server, &message);
    }
}

static guint
fill_up (Pair *pair, gsize size)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommySpan span;
  guint n = 0;

  while (ops->reserve (pair->client, size, &span) == COMMY_IO_OK)
    {
      memset (span.data, (int) (guint8) n++, size);
      g_assert_cmpint (ops->commit (pair->client, size), ==, COMMY_IO_OK);
      g_assert_cmpuint (n, <, 100000);
    }
  return n;
}

/* A full ring publishes what it holds, says so, and goes on when there is room. */
static void
test_back_pressure (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  const gsize sizes[] = { 64, 2000, 70000, 1 << 20 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      guint n = fill_up (pair, sizes[i]);
      CommyMessage message;
      guint events;

      g_assert_cmpuint (n, >=, 4);
      g_assert_cmpuint (ops->arm (pair->client, COMMY_INTEREST_WRITE, &events), ==, 0);
      for (guint k = 0; k < n; k++)
        {
          g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
          check_message (&message, sizes[i], (guint8) k);
          ops->release (pair->server, &message);
        }
      g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_WOULD_BLOCK);
      /* The reader's releases rang. */
      g_assert_cmpuint (shm_test_sleep (pair->host, pair->client, COMMY_INTEREST_WRITE), ==,
                        COMMY_INTEREST_WRITE);
      shm_test_send (pair->host, pair->client, sizes[i], 1);
      g_assert_true (shm_test_receive (pair->host, pair->server, &message));
      ops->release (pair->server, &message);
    }
}

/* Messages come back in any order; room comes back when the oldest does. */
static void
test_out_of_order (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommyMessage messages[24];

  for (guint round = 0; round < 200; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
        {
          gsize size = i % 3 == 2 ? 5000 : 100 + i;

          shm_test_send (pair->host, pair->client, size, (guint8) (i + round));
          g_assert_true (shm_test_receive (pair->host, pair->server, &messages[i]));
        }
      for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
        check_message (&messages[i], i % 3 == 2 ? 5000 : 100 + i, (guint8) (i + round));
      for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
        {
          guint pick = (i * 7 + round) % G_N_ELEMENTS (messages);

          ops->release (pair->server, &messages[pick]);
          /* Twice is as good as once. */
          ops->release (pair->server, &messages[pick]);
        }
    }
}

/* A receiver that keeps everything, the oldest message included, still gets more: what it took
 * does not count as waiting, and the sleeping sender is told that it was taken. */
static void
test_keeper (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  struct pollfd waiter = { .fd = ops->fd (pair->client), .events = POLLIN };
  CommyMessage messages[40];
  guint n_kept = 0;
  guint events;

  /* Once round, so that the first turn below needs no new segments, whose packets would ring. */
  for (guint n = fill_up (pair, 1 << 20); n > 0; n--)
    {
      g_assert_cmpint (ops->peek (pair->server, &messages[0]), ==, COMMY_IO_OK);
      ops->release (pair->server, &messages[0]);
    }
  g_assert_cmpint (ops->peek (pair->server, &messages[0]), ==, COMMY_IO_WOULD_BLOCK);
  shm_test_send (pair->host, pair->client, 10, 0);
  while (n_kept < 30)
    {
      fill_up (pair, 1 << 20);
      g_assert_cmpuint (ops->arm (pair->client, COMMY_INTEREST_WRITE, &events), ==, 0);
      while (ops->peek (pair->server, &messages[n_kept]) == COMMY_IO_OK)
        g_assert_cmpuint (++n_kept, <, G_N_ELEMENTS (messages));
      g_assert_cmpint (poll (&waiter, 1, 0), ==, 1);
    }
  while (n_kept > 0)
    ops->release (pair->server, &messages[--n_kept]);
}

static void
test_estimate (Pair *pair, gconstpointer params)
{
  CommyEndpoint endpoint = { .struct_size = sizeof endpoint };
  CommyProfile profile = pair->host->descriptor->note->profile;

  g_assert_cmpuint (profile.max_message, ==, 64 << 20);
  pair->host->ops->estimate (pair->host->instance, &endpoint, &profile);
  g_assert_cmpuint (profile.max_message, ==, 8 << 20);
  g_assert_cmpuint (profile.max_inline, ==, 4096 / 4 - 8);
}

static void
test_borrow_limit (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommyMessage messages[10];
  CommyMessage more;
  guint events;

  for (guint i = 0; i < G_N_ELEMENTS (messages) + 1; i++)
    shm_test_send (pair->host, pair->client, 3000 * (i % 2) + 10, (guint8) i);
  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    g_assert_cmpint (ops->peek (pair->server, &messages[i]), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->peek (pair->server, &more), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpuint (ops->arm (pair->server, COMMY_INTEREST_READ, &events), ==, 0);
  ops->release (pair->server, &messages[4]);
  g_assert_cmpint (ops->peek (pair->server, &more), ==, COMMY_IO_OK);
  check_message (&more, 10, 10);
  ops->release (pair->server, &more);
  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    ops->release (pair->server, &messages[i]);
}

/* The doorbell is rung for a sleeper, and only for a sleeper. */
static void
test_doorbell (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  struct pollfd waiter = { .fd = ops->fd (pair->server), .events = POLLIN };
  CommyMessage message;
  guint events;

  shm_test_send (pair->host, pair->client, 10, 1);
  g_assert_cmpint (poll (&waiter, 1, 0), ==, 0);
  g_assert_cmpuint (ops->arm (pair->server, COMMY_INTEREST_READ, &events), ==, COMMY_INTEREST_READ);
  g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
  ops->release (pair->server, &message);
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_cmpuint (ops->arm (pair->server, COMMY_INTEREST_READ, &events), ==, 0);
      g_assert_cmpint (poll (&waiter, 1, 0), ==, 0);
      shm_test_send (pair->host, pair->client, 10, (guint8) i);
      shm_test_send (pair->host, pair->client, 10, (guint8) i);
      g_assert_cmpint (poll (&waiter, 1, 0), ==, 1);
      for (guint k = 0; k < 2; k++)
        {
          g_assert_cmpint (ops->peek (pair->server, &message), ==, COMMY_IO_OK);
          ops->release (pair->server, &message);
        }
    }
}

/* A peer that closes in order: everything flushed is read first, then the reason is right. */
static void
test_close (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommyMessage message;
  CommySpan span;

  shm_test_send (pair->host, pair->client, 10, 1);
  shm_test_send (pair->host, pair->client, 100000, 2);
  g_assert_cmpint (ops->reserve (pair->client, 10, &span), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->commit (pair->client, 10), ==, COMMY_IO_OK);
  /* Leaves an unread packet behind: the kernel then resets instead of hanging up. */
  shm_test_send (pair->host, pair->server, 100000, 3);
  shm_test_host_close (pair->host, g_steal_pointer (&pair->client));
  g_assert_true (shm_test_receive (pair->host, pair->server, &message));
  check_message (&message, 10, 1);
  ops->release (pair->server, &message);
  g_assert_true (shm_test_receive (pair->host, pair->server, &message));
  check_message (&message, 100000, 2);
  g_assert_false (shm_test_receive (pair->host, pair->server, &message));
  ops->release (pair->server, &message);
  g_assert_cmpstr (ops->why (pair->server), ==, "closed by peer");
  g_assert_cmpint (ops->reserve (pair->server, 10, &span), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (ops->flush (pair->server), ==, COMMY_IO_CLOSED);
}

/* A reader that only polls learns of an orderly end, without a system call. */
static void
test_close_while_spinning (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  CommyMessage message;
  CommyIo io = COMMY_IO_WOULD_BLOCK;

  shm_test_host_close (pair->host, g_steal_pointer (&pair->client));
  for (guint i = 0; i < 1000 && io == COMMY_IO_WOULD_BLOCK; i++)
    io = ops->peek (pair->server, &message);
  g_assert_cmpint (io, ==, COMMY_IO_CLOSED);
  g_assert_cmpstr (ops->why (pair->server), ==, "closed by peer");
}

static void
test_evidence (Pair *pair, gconstpointer params)
{
  CommyEvidence client = { .struct_size = sizeof client };
  CommyEvidence server = { .struct_size = sizeof server };

  pair->host->ops->evidence (pair->client, &client);
  pair->host->ops->evidence (pair->server, &server);
  g_assert_cmpint (client.kind, ==, COMMY_EVIDENCE_KERNEL);
  g_assert_cmpint (client.security, ==, COMMY_SECURITY_KERNEL);
  g_assert_cmpuint (client.uid, ==, geteuid ());
  g_assert_cmpuint (client.gid, ==, getegid ());
  g_assert_cmpint (client.pid, ==, getpid ());
  g_assert_cmpint (client.pidfd, >=, 0);
  /* Both ends are this process: one descriptor does for it. */
  g_assert_cmpint (server.pidfd, ==, client.pidfd);
  g_assert_true (client.has_binding);
  g_assert_cmpmem (client.binding, 32, server.binding, 32);
  g_assert_true (memcmp (client.binding, client.binding + 16, 16) != 0);
}

/* --- parking --- */

typedef struct
{
  Pair *pair;
  guint n;
  ShmParkMode mode;
} Echo;

static gpointer
run_echo (gpointer user_data)
{
  Echo *echo = user_data;
  const CommyTransportOps *ops = echo->pair->host->ops;
  guint32 kick = 0;

  for (guint i = 0; i < echo->n; i++)
    {
      CommyMessage message;

      while (ops->peek (echo->pair->server, &message) != COMMY_IO_OK)
        g_assert_cmpint (shm_link_wait (echo->pair->server, &kick, 0, G_MAXINT64, echo->mode), ==,
                         SHM_WAIT_READY);
      ops->release (echo->pair->server, &message);
      shm_test_send (echo->pair->host, echo->pair->server, 32, (guint8) i);
    }
  return NULL;
}

static void
check_parking (Pair *pair, ShmParkMode mode)
{
  Echo echo = { pair, 2000, mode };
  GThread *thread = g_thread_new ("echo", run_echo, &echo);
  guint32 kick = 0;

  for (guint i = 0; i < echo.n; i++)
    {
      CommyMessage message;

      shm_test_send (pair->host, pair->client, 32, (guint8) i);
      while (pair->host->ops->peek (pair->client, &message) != COMMY_IO_OK)
        g_assert_cmpint (shm_link_wait (pair->client, &kick, 0, G_MAXINT64, mode), ==,
                         SHM_WAIT_READY);
      check_message (&message, 32, (guint8) i);
      pair->host->ops->release (pair->client, &message);
    }
  g_thread_join (thread);
}

static void
test_wait (Pair *pair, gconstpointer params)
{
  check_parking (pair, SHM_PARK_BEST);
}

static void
test_wait_fallback (Pair *pair, gconstpointer params)
{
  check_parking (pair, SHM_PARK_WITHOUT_WAITV);
}

typedef struct
{
  guint32 word;
  int flag;
} Kicker;

static gpointer
run_kicker (gpointer user_data)
{
  Kicker *kicker = user_data;

  __atomic_store_n (&kicker->word, 1, __ATOMIC_SEQ_CST);
  syscall (SYS_futex, &kicker->word, FUTEX_WAKE | kicker->flag, 1, NULL, NULL, 0);
  return NULL;
}

static void
test_kick (Pair *pair, gconstpointer params)
{
  for (guint i = 0; i < 60; i++)
    {
      Kicker kicker = { .flag = i % 2 ? FUTEX_PRIVATE_FLAG : 0 };
      GThread *thread = g_thread_new ("kicker", run_kicker, &kicker);

      g_assert_cmpint (shm_link_wait (pair->client, &kicker.word, 0, G_MAXINT64,
                                      i % 3 ? SHM_PARK_BEST : SHM_PARK_WITHOUT_WAITV),
                       ==, SHM_WAIT_KICKED);
      g_thread_join (thread);
    }
}

static void
test_deadline (Pair *pair, gconstpointer params)
{
  const CommyTransportOps *ops = pair->host->ops;
  guint32 kick = 0;

  g_assert_cmpint (ops->wait (pair->client, &kick, 0, shm_now_ns () - 1), ==, COMMY_IO_TIMEOUT);
  g_assert_cmpint (ops->wait (pair->client, &kick, 0, shm_now_ns () + 3000000), ==,
                   COMMY_IO_TIMEOUT);
  g_assert_cmpint (ops->wait (pair->client, &kick, 1, shm_now_ns () + 3000000), ==,
                   COMMY_IO_KICKED);
  shm_test_host_close (pair->host, g_steal_pointer (&pair->server));
  g_assert_cmpint (ops->wait (pair->client, &kick, 0, G_MAXINT64), ==, COMMY_IO_CLOSED);
}

static gpointer
run_closer (gpointer user_data)
{
  Pair *pair = user_data;

  shm_test_host_close (pair->host, g_steal_pointer (&pair->server));
  return NULL;
}

static void
test_close_wakes (Pair *pair, gconstpointer params)
{
  guint32 kick = 0;
  GThread *thread = g_thread_new ("closer", run_closer, pair);

  g_assert_cmpint (pair->host->ops->wait (pair->client, &kick, 0, G_MAXINT64), ==, COMMY_IO_CLOSED);
  g_thread_join (thread);
  g_assert_cmpstr (pair->host->ops->why (pair->client), ==, "closed by peer");
}

/* --- what the kernel enforces --- */

static void
test_read_only (Pair *pair, gconstpointer params)
{
  ShmLink *link = pair->client;

  g_assert_cmpint (mprotect (link->peer.data, link->peer.size, PROT_READ | PROT_WRITE), ==, -1);
}

/* A child that was forked has none of it: it cannot write into what its parent's peers read. */
static void
test_fork (Pair *pair, gconstpointer params)
{
  ShmLink *link = pair->client;
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      unsigned char resident;

      _exit (mincore (link->own.data, 4096, &resident) == -1
                     && mincore (link->peer.data, 4096, &resident) == -1
                 ? 0
                 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static void
test_peer_pidfd_fallback (void)
{
  g_autoptr (GError) error = NULL;
  int sockets[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), ==, 0);
  for (guint i = 0; i < 2; i++)
    {
      DoorPeer peer;

      g_assert_true (commy_door_identify (sockets[0], i == 1, &peer, &error));
      g_assert_cmpint (peer.pid, ==, getpid ());
      g_assert_cmpint (peer.pidfd, >=, 0);
      close (peer.pidfd);
    }
  /* The number may be somebody else's by now. */
  close (sockets[1]);
  {
    DoorPeer peer;

    g_assert_true (commy_door_identify (sockets[0], TRUE, &peer, &error));
    g_assert_cmpint (peer.pidfd, ==, -1);
  }
  close (sockets[0]);
}

#define PAIR(path, params, func) g_test_add (path, Pair, params, pair_open, func, pair_close)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  PAIR ("/shm/message/every-size-arrives-unchanged", NULL, test_sizes);
  PAIR ("/shm/message/every-size-in-the-smallest-ring", "ring-size=4096;inline-max=1048576",
        test_sizes);
  PAIR ("/shm/message/more-than-the-arena-is-too-big", NULL, test_too_big);
  PAIR ("/shm/message/the-smaller-arena-counts-for-both", NULL, test_smaller_arena);
  PAIR ("/shm/message/waits-for-segments-announced-before", NULL, test_announced_before);
  PAIR ("/shm/message/nothing-is-seen-before-flush", NULL, test_flush);
  PAIR ("/shm/message/a-small-one-is-its-writers-until-it-is-committed", NULL, test_staged);
  PAIR ("/shm/message/full-ring-goes-on-when-read", NULL, test_back_pressure);
  PAIR ("/shm/message/full-smallest-ring-goes-on-when-read", "ring-size=4096;arena-max=8388608",
        test_back_pressure);
  PAIR ("/shm/borrow/released-in-any-order", NULL, test_out_of_order);
  PAIR ("/shm/borrow/who-keeps-everything-gets-more", NULL, test_keeper);
  PAIR ("/shm/profile/follows-the-parameters", "ring-size=4096;arena-max=8388608", test_estimate);
  PAIR ("/shm/borrow/limit-stops-reading", "borrow-max=10", test_borrow_limit);
  PAIR ("/shm/sleep/doorbell-rings-for-a-sleeper-only", NULL, test_doorbell);
  PAIR ("/shm/close/flushed-messages-are-read-first", NULL, test_close);
  PAIR ("/shm/close/is-seen-by-a-spinning-reader", NULL, test_close_while_spinning);
  PAIR ("/shm/close/wakes-a-parked-caller", NULL, test_close_wakes);
  PAIR ("/shm/evidence/is-the-kernels", NULL, test_evidence);
  PAIR ("/shm/wait/parks-and-wakes", NULL, test_wait);
  PAIR ("/shm/wait/parks-and-wakes-without-waitv", NULL, test_wait_fallback);
  PAIR ("/shm/wait/kick-word-wakes", NULL, test_kick);
  PAIR ("/shm/wait/deadline-and-end", NULL, test_deadline);
  PAIR ("/shm/memory/peers-map-cannot-be-made-writable", NULL, test_read_only);
  PAIR ("/shm/memory/is-not-there-in-a-forked-child", NULL, test_fork);
  g_test_add_func ("/shm/evidence/pidfd-without-help-of-the-socket", test_peer_pidfd_fallback);
  return g_test_run ();
}
