/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Short things that are compared with each other, timed in turns, because a processor's speed
 * changes; and each many times at once, so that reading the clock does not count.
 */
#include "config.h"

#include "bench.h"

#define BATCH_NS 20000 /* what is timed at once takes about as long */
#define BATCH_MOST 1024

BenchTurn *
bench_turn_new (BenchOnce once, gpointer data)
{
  BenchTurn *self = g_new0 (BenchTurn, 1);

  *self = (BenchTurn){ .once = once, .data = data, .histogram = bench_histogram_new () };
  return self;
}

void
bench_turn_free (BenchTurn *self)
{
  bench_histogram_free (self->histogram);
  g_free (self);
}

static gboolean
time_batch (BenchTurn *self, gint64 *out_ns, GError **error)
{
  gint64 before = bench_now ();

  for (gsize i = 0; i < self->batch; i++)
    if (!self->once (self->data, error))
      return FALSE;
  *out_ns = bench_now () - before;
  return TRUE;
}

/* Also warms up. */
static gboolean
find_batch (BenchTurn *self, GError **error)
{
  gint64 took = 0;

  for (self->batch = 1; self->batch < BATCH_MOST; self->batch *= 2)
    {
      if (!time_batch (self, &took, error))
        return FALSE;
      if (took >= BATCH_NS)
        break;
    }
  return TRUE;
}

gboolean
bench_time_in_turns (BenchRun *run, GPtrArray *turns, GError **error)
{
  gint64 end = bench_now () + bench_get_budget (run) * turns->len / 2;

  for (guint i = 0; i < turns->len; i++)
    if (!find_batch (turns->pdata[i], error))
      return FALSE;
  for (guint round = 0; round < 3 || bench_now () < end; round++)
    for (guint i = 0; i < turns->len; i++)
      {
        BenchTurn *turn = turns->pdata[i];
        gint64 took;

        if (!time_batch (turn, &took, error))
          return FALSE;
        bench_histogram_add (turn->histogram, took / (gint64) turn->batch);
      }
  return TRUE;
}
