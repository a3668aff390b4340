/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a message through the vtable of `unix` costs: round trips between two threads that both
 * sleep while they wait, and the processor time of each side of one message. Prints figures and
 * judges nothing; it is not one of the tests. An argument names another transport.
 */
#include "config.h"

#include "tests/conformance/commy-transport-rig.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct
{
  Rig *rig;
  guint rounds;
} Echo;

static gint64
read_clock (clockid_t clock)
{
  struct timespec now;

  clock_gettime (clock, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static void
await_message (Rig *rig, gpointer connection, CommyMessage *out_message)
{
  while (rig->ops->peek (connection, out_message) != COMMY_IO_OK)
    {
      guint events = 0;
      struct pollfd fd = { .fd = rig->ops->fd (connection) };

      rig->ops->flush (connection);
      if (rig->ops->arm (connection, COMMY_INTEREST_READ, &events) != 0)
        continue;
      fd.events = (short) events;
      poll (&fd, 1, -1);
    }
}

static void
put (Rig *rig, gpointer connection, gsize size)
{
  CommySpan span;

  while (rig->ops->reserve (connection, size, &span) == COMMY_IO_WOULD_BLOCK)
    rig->ops->flush (connection);
  memset (span.data, 1, size);
  rig->ops->commit (connection, size);
  rig->ops->flush (connection);
}

static gpointer
echo (gpointer data)
{
  Echo *self = data;

  for (guint i = 0; i < self->rounds; i++)
    {
      CommyMessage message;
      gsize size;

      await_message (self->rig, self->rig->server, &message);
      size = message.size;
      self->rig->ops->release (self->rig->server, &message);
      put (self->rig, self->rig->server, size);
    }
  while (self->rig->ops->flush (self->rig->server) == COMMY_IO_WOULD_BLOCK)
    poll (NULL, 0, 1);
  return NULL;
}

/* Both sides sleep: what a message takes from one side to the other. */
static double
measure_latency (Rig *rig, gsize size, guint rounds)
{
  Echo there = { rig, rounds };
  GThread *thread = g_thread_new ("echo", echo, &there);
  gint64 began = read_clock (CLOCK_MONOTONIC);

  for (guint i = 0; i < rounds; i++)
    {
      CommyMessage message;

      put (rig, rig->client, size);
      await_message (rig, rig->client, &message);
      rig->ops->release (rig->client, &message);
    }
  g_thread_join (thread);
  return (double) (read_clock (CLOCK_MONOTONIC) - began) / rounds / 2;
}

/* One thread does both sides, so nobody sleeps. */
static void
measure_sides (Rig *rig, gsize size, guint rounds, double *out_send, double *out_receive)
{
  gint64 sending = 0;
  gint64 receiving = 0;

  for (guint i = 0; i < rounds; i++)
    {
      gint64 began = read_clock (CLOCK_THREAD_CPUTIME_ID);
      gint64 between;
      CommyMessage message = { 0 };

      put (rig, rig->client, size);
      between = read_clock (CLOCK_THREAD_CPUTIME_ID);
      while (rig->ops->peek (rig->server, &message) != COMMY_IO_OK)
        rig->ops->flush (rig->client);
      rig->ops->release (rig->server, &message);
      sending += between - began;
      receiving += read_clock (CLOCK_THREAD_CPUTIME_ID) - between;
    }
  *out_send = (double) sending / rounds;
  *out_receive = (double) receiving / rounds;
}

int
main (int argc, char **argv)
{
  static const gsize sizes[] = { 64, 1024, 16384, 65536, 262144, 1048576 };
  const CommyTransportSubject subject = { .id = argc > 1 ? argv[1] : "unix" };
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("transport", subject.id, &error);
  Rig *rig;

  g_assert_no_error (error);
  rig = rig_new (descriptor, &subject, RIG_NONE);
  rig_make_pair (rig);
  printf ("%10s %14s %14s %14s\n", "bytes", "one way, ns", "send cpu, ns", "recv cpu, ns");
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      guint rounds = (guint) MAX (200, MIN (20000, (256 << 20) / sizes[i] / 4));
      double send;
      double receive;
      double one_way = measure_latency (rig, sizes[i], rounds);

      measure_sides (rig, sizes[i], rounds, &send, &receive);
      printf ("%10" G_GSIZE_FORMAT " %14.0f %14.0f %14.0f\n", sizes[i], one_way, send, receive);
    }
  rig_free (rig);
  return 0;
}
