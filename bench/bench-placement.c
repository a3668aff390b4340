/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far apart the two processors are right now: a cache line goes back and forth between this
 * process and one that sleeps otherwise. A host may move the processors of a virtual machine, and
 * figures from before and after are not comparable.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_NS 20000000 /* of which the first quarter is a warm-up */
#define STUCK_NS 2000000000
#define LEAST 100 /* times, if somebody else takes a processor away meanwhile */

struct _BenchPonger
{
  guint32 asked __attribute__ ((aligned (128))); /* 1: spin and answer; 0: sleep */
  guint32 ping __attribute__ ((aligned (128)));
  guint32 pong __attribute__ ((aligned (128)));
  GPid pid;
};

static void
answer (BenchPonger *ponger)
{
  guint32 seen = 0;

  while (__atomic_load_n (&ponger->asked, __ATOMIC_ACQUIRE) != 0)
    {
      guint32 ping = __atomic_load_n (&ponger->ping, __ATOMIC_ACQUIRE);

      if (ping != seen)
        __atomic_store_n (&ponger->pong, seen = ping, __ATOMIC_RELEASE);
      else
        bench_relax ();
    }
}

static _Noreturn void
be_ponger (BenchPonger *ponger)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  for (;;)
    {
      syscall (SYS_futex, &ponger->asked, FUTEX_WAIT, 0, NULL, NULL, 0);
      answer (ponger);
    }
}

gboolean
bench_placement_start (BenchRun *run, GError **error)
{
  BenchPonger *ponger;
  GPid pid;

  if (!run->can_spin || run->pins != BENCH_PINS_TWO)
    return TRUE;
  ponger = mmap (NULL, sizeof *ponger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ponger == MAP_FAILED)
    return bench_fail (error, "no shared memory: %s", g_strerror (errno));
  /* It must not have to wait for this processor before it can leave it. */
  bench_pin (run->cpus[1]);
  pid = fork ();
  if (pid != 0)
    bench_pin (bench_cpu_of (run, run->pins, 0));
  if (pid < 0)
    {
      munmap (ponger, sizeof *ponger);
      return bench_fail (error, "no second process: %s", g_strerror (errno));
    }
  if (pid == 0)
    be_ponger (ponger);
  ponger->pid = pid; /* the memory is shared: only here, where it is known */
  run->ponger = ponger;
  return TRUE;
}

void
bench_placement_stop (BenchRun *run)
{
  if (run->ponger == NULL)
    return;
  kill (run->ponger->pid, SIGKILL);
  waitpid (run->ponger->pid, NULL, 0);
  munmap (run->ponger, sizeof *run->ponger);
  run->ponger = NULL;
}

/* FALSE: the other side did not answer in a reasonable time. */
static gboolean
go_there_and_back (BenchPonger *ponger, guint32 turn, gint64 give_up)
{
  __atomic_store_n (&ponger->ping, turn, __ATOMIC_RELEASE);
  for (guint spins = 1; __atomic_load_n (&ponger->pong, __ATOMIC_ACQUIRE) != turn; spins++)
    {
      bench_relax ();
      if (spins % 1024 == 0 && bench_now () > give_up)
        return FALSE;
    }
  return TRUE;
}

static double
ping (BenchPonger *ponger, BenchHistogram *histogram, gint64 budget)
{
  gint64 start = bench_now ();
  gint64 now = start;
  guint32 turn = ponger->ping;

  while (now < start + budget || (budget >= CHECK_NS && histogram->n < LEAST))
    {
      gint64 before = bench_now ();

      if (!go_there_and_back (ponger, ++turn, start + STUCK_NS))
        return 0;
      now = bench_now ();
      if (now > start + budget / 4)
        bench_histogram_add (histogram, now - before);
    }
  return bench_histogram_get (histogram, 0.5);
}

void
bench_placement_check (BenchRun *run)
{
  g_autoptr (BenchHistogram) histogram = NULL;

  run->ref_ns = 0;
  if (run->ponger == NULL)
    return;
  histogram = bench_histogram_new ();
  for (guint i = 0; i < run->n_nodes; i++)
    kill (run->nodes[i], SIGSTOP);
  __atomic_store_n (&run->ponger->asked, 1, __ATOMIC_RELEASE);
  syscall (SYS_futex, &run->ponger->asked, FUTEX_WAKE, 1, NULL, NULL, 0);
  run->ref_ns
      = ping (run->ponger, histogram, run->length == BENCH_SMOKE ? CHECK_NS / 20 : CHECK_NS);
  __atomic_store_n (&run->ponger->asked, 0, __ATOMIC_RELEASE);
  for (guint i = 0; i < run->n_nodes; i++)
    kill (run->nodes[i], SIGCONT);
}
