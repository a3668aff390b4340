/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a kill until somebody who sleeps in poll() is told by the pidfd of a thread, with nothing
 * between: the process has two threads and 64 MiB of memory in use.
 */
#include "config.h"

#include "limit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY ((gsize) 64 << 20)
#define SETTLE_US 3000      /* from the sleep until the kill */
#define READY_POLL_US 1000  /* between two looks whether it has begun */
#define THREAD_PIDFD O_EXCL /* PIDFD_THREAD of Linux 6.9, which Debian 12's headers do not have */

typedef struct
{
  guint32 tid; /* of the victim's second thread, shared */
} Shared;

typedef struct
{
  GPid victim;
  gint64 killed;
} Death;

static gpointer
tell_and_sleep (gpointer data)
{
  Shared *shared = data;

  __atomic_store_n (&shared->tid, (guint32) syscall (SYS_gettid), __ATOMIC_RELEASE);
  for (;;)
    pause ();
  return NULL;
}

static void
live (gpointer data)
{
  gpointer memory = g_malloc (MEMORY);

  memset (memory, 1, MEMORY);
  g_thread_new ("second", tell_and_sleep, data);
  for (;;)
    pause ();
}

static gpointer
kill_soon (gpointer data)
{
  Death *self = data;

  g_usleep (SETTLE_US);
  self->killed = bench_now ();
  kill (self->victim, SIGKILL);
  return NULL;
}

static gboolean
die_once (BenchRun *run, Shared *shared, BenchHistogram *histogram, GError **error)
{
  Death death = { 0 };
  struct pollfd end = { .fd = -1, .events = POLLIN };
  guint32 tid;
  GThread *killer;

  shared->tid = 0;
  if (!limit_partner_start (run, live, shared, &death.victim, error))
    return FALSE;
  while ((tid = __atomic_load_n (&shared->tid, __ATOMIC_ACQUIRE)) == 0)
    g_usleep (READY_POLL_US);
  end.fd = (int) syscall (SYS_pidfd_open, (pid_t) tid, THREAD_PIDFD);
  if (end.fd < 0)
    {
      limit_partner_stop (run, death.victim);
      return bench_fail (error, "this kernel has no pidfds of threads (Linux 6.9)");
    }
  killer = g_thread_new ("killer", kill_soon, &death);
  while (poll (&end, 1, -1) != 1)
    ;
  bench_histogram_add (histogram, bench_now () - death.killed);
  g_thread_join (killer);
  close (end.fd);
  limit_partner_stop (run, death.victim);
  return TRUE;
}

gboolean
limit_death (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  Shared *shared = limit_share (sizeof *shared, error);
  gsize n = bench_get_count (run, 100);
  gboolean ok = shared != NULL;

  for (gsize i = 0; ok && i < n; i++)
    ok = die_once (run, shared, histogram, error);
  if (ok)
    bench_tell_times (run, scene->name, 8, histogram, -1, -1);
  if (shared != NULL)
    limit_unshare (shared, sizeof *shared);
  return ok;
}
