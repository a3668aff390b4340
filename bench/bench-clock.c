/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clock, processor time of this process and of others, and being pinned.
 */
#include "config.h"

#include "bench.h"

#include <sched.h>
#include <time.h>

static gint64
to_ns (const struct timespec *time)
{
  return (gint64) time->tv_sec * 1000000000 + time->tv_nsec;
}

gint64
bench_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return to_ns (&now);
}

gint64
bench_cpu_time (GPid pid)
{
  clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  struct timespec used;

  if ((pid != 0 && clock_getcpuclockid (pid, &clock) != 0) || clock_gettime (clock, &used) != 0)
    return -1;
  return to_ns (&used);
}

void
bench_pin (int cpu)
{
  cpu_set_t set;

  if (cpu < 0)
    return;
  CPU_ZERO (&set);
  CPU_SET ((gsize) cpu, &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    g_printerr ("commy-bench: cannot pin to processor %d, going on without\n", cpu);
}

int
bench_cpu_of (const BenchRun *run, BenchPins pins, guint end)
{
  switch (pins)
    {
    case BENCH_PINS_TWO:
      return run->cpus[end];
    case BENCH_PINS_ONE:
      return run->cpus[0];
    case BENCH_PINS_FREE:
    default:
      return -1;
    }
}
