/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a round trip through the vtable costs: two processes, one processor each, both spin.
 * Prints figures and judges nothing; it is not one of the tests. An argument sets
 * parameters, such as "ring-size=1048576".
 */
#include "config.h"

#include "plugins/shm/commy-wait.h"
#include "shm-host.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
pin (int processor)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (processor, &set);
  sched_setaffinity (0, sizeof set, &set);
}

/* Small messages are written and read whole; of large ones only the first byte is touched, so
 * that the figure is the hand-over's. */
#define WHOLE 2048

static void
write_small (const CommySpan *span, gsize size)
{
  memset (span->data, 1, size <= WHOLE ? size : 1);
}

static void
read_small (const CommyMessage *message)
{
  guint8 copy[WHOLE];

  if (message->size <= WHOLE)
    memcpy (copy, message->data, message->size);
  __asm__ volatile("" : : "r"(copy) : "memory");
}

static void
bounce (const CommyTransportOps *ops, gpointer connection, CommyMessage *message, gsize size)
{
  CommySpan span;

  while (ops->peek (connection, message) == COMMY_IO_WOULD_BLOCK)
    continue;
  read_small (message);
  ops->release (connection, message);
  while (ops->reserve (connection, size, &span) == COMMY_IO_WOULD_BLOCK)
    continue;
  write_small (&span, size);
  ops->commit (connection, size);
  ops->flush (connection);
}

static void
run_echo (ShmTestHost *host, const char *address)
{
  gpointer connection = shm_test_host_connect (host, address, NULL);
  CommyMessage message;

  pin (1);
  for (;;)
    {
      while (host->ops->peek (connection, &message) == COMMY_IO_WOULD_BLOCK)
        continue;
      {
        CommySpan span;
        gsize size = message.size;
        gboolean answer = message.data[0] != 0;

        read_small (&message);
        host->ops->release (connection, &message);
        if (!answer)
          continue;
        while (host->ops->reserve (connection, size, &span) == COMMY_IO_WOULD_BLOCK)
          continue;
        write_small (&span, size);
        host->ops->commit (connection, size);
        host->ops->flush (connection);
      }
    }
}

static int
compare (const void *a, const void *b)
{
  gint64 difference = *(const gint64 *) a - *(const gint64 *) b;

  return (difference > 0) - (difference < 0);
}

static void
measure (ShmTestHost *host, gpointer connection, gsize size, guint n)
{
  g_autofree gint64 *times = g_new (gint64, n);
  CommySpan span;
  CommyMessage message;
  gint64 before;
  gint64 start;

  host->ops->reserve (connection, size, &span);
  span.data[0] = 1;
  host->ops->commit (connection, size);
  host->ops->flush (connection);
  start = before = shm_now_ns ();
  for (guint i = 0; i < n; i++)
    {
      gint64 now;

      bounce (host->ops, connection, &message, size);
      now = shm_now_ns ();
      times[i] = now - before;
      before = now;
    }
  while (host->ops->peek (connection, &message) == COMMY_IO_WOULD_BLOCK)
    continue;
  host->ops->release (connection, &message);
  qsort (times, n, sizeof *times, compare);
  g_print ("%9" G_GSIZE_FORMAT " bytes: p50 %" G_GINT64_FORMAT " ns, p99 %" G_GINT64_FORMAT
           " ns, mean %.0f ns\n",
           size, times[n / 2], times[n * 99 / 100], (double) (before - start) / n);
}

/* One way, in batches; the other side only counts. */
static void
stream (ShmTestHost *host, gpointer connection, gsize size, guint n)
{
  gint64 start = shm_now_ns ();
  double seconds;
  CommySpan span;
  CommyMessage message;

  for (guint i = 0; i < n; i++)
    {
      while (host->ops->reserve (connection, size, &span) == COMMY_IO_WOULD_BLOCK)
        continue;
      memset (span.data, (int) (guint8) (i + 2), size);
      /* The last one asks for an answer. */
      span.data[0] = i + 1 == n;
      host->ops->commit (connection, size);
      if (i % 32 == 31 || size > 2048 || i + 1 == n)
        host->ops->flush (connection);
    }
  while (host->ops->peek (connection, &message) == COMMY_IO_WOULD_BLOCK)
    continue;
  host->ops->release (connection, &message);
  seconds = (double) (shm_now_ns () - start) / 1e9;
  g_print ("%9" G_GSIZE_FORMAT " bytes: %.3f million messages/s, %.2f GB/s\n", size,
           n / seconds / 1e6, (double) n * (double) size / seconds / 1e9);
}

int
main (int argc, char **argv)
{
  const gsize sizes[] = { 8, 64, 1024, 2048, 4096, 65536, 1 << 20, 16 << 20 };
  char *directory = shm_test_directory_new ();
  ShmTestHost *host = shm_test_host_new (directory, argc > 1 ? argv[1] : NULL);
  gpointer connection;
  pid_t pid;

  shm_test_host_listen (host);
  pid = fork ();
  if (pid == 0)
    run_echo (shm_test_host_new (directory, argc > 1 ? argv[1] : NULL),
              shm_test_host_address (host));
  connection = shm_test_host_accept (host);
  pin (0);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    measure (host, connection, sizes[i], 300000);
  stream (host, connection, 64, 20000000);
  stream (host, connection, 1024, 2000000);
  stream (host, connection, 65536, 200000);
  stream (host, connection, 1 << 20, 10000);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  shm_test_host_close (host, connection);
  shm_test_host_free (host);
  shm_test_directory_free (directory);
  return 0;
}
