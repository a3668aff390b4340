/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rate's arithmetic: each time is computed from the start, so no error adds up.
 */
#include "config.h"

#include "bench-pace.h"

#include <math.h>

void
bench_pace_init (BenchPace *pace, gint64 start_ns, double per_second)
{
  pace->start_ns = start_ns;
  pace->per_second = per_second;
  pace->sent = 0;
}

gint64
bench_pace_get (const BenchPace *pace)
{
  return pace->start_ns + (gint64) llround ((double) pace->sent * 1e9 / pace->per_second);
}

gint64
bench_pace_take (BenchPace *pace)
{
  gint64 due = bench_pace_get (pace);

  pace->sent++;
  return due;
}

guint64
bench_pace_behind (const BenchPace *pace, gint64 now_ns)
{
  guint64 due;

  if (now_ns < pace->start_ns)
    return 0;
  due = (guint64) floor ((double) (now_ns - pace->start_ns) * pace->per_second / 1e9) + 1;
  return due > pace->sent ? due - pace->sent : 0;
}
