/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop that times, and telling what came out. Everything that is timed one by one goes through
 * this loop, limits too, so that reading the clock costs all of them the same.
 */
#include "config.h"

#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define FULL_NS 250000000
#define QUICK_NS 60000000
#define LEAST 20 /* times, however long they take */

gint64
bench_get_budget (const BenchRun *run)
{
  switch (run->length)
    {
    case BENCH_FULL:
      return FULL_NS;
    case BENCH_QUICK:
      return QUICK_NS;
    case BENCH_SMOKE:
    default:
      return 0;
    }
}

gsize
bench_get_count (const BenchRun *run, gsize full)
{
  switch (run->length)
    {
    case BENCH_FULL:
      return full;
    case BENCH_QUICK:
      return MAX (full / 4, 1);
    case BENCH_SMOKE:
    default:
      return MIN (full, 5);
    }
}

const gsize *
bench_get_round_trip_sizes (const BenchRun *run)
{
  static const gsize sizes[] = { 64, 1 << 10, 4 << 10, 64 << 10, 1 << 20, BENCH_LARGEST, 0 };
  static const gsize few[] = { 64, 64 << 10, 0 };

  return run->length == BENCH_SMOKE ? few : sizes;
}

const gsize *
bench_get_stream_sizes (const BenchRun *run)
{
  static const gsize sizes[] = { 64, 1 << 10, 64 << 10, 1 << 20, 0 };
  static const gsize few[] = { 64, 64 << 10, 0 };

  return run->length == BENCH_SMOKE ? few : sizes;
}

/* --- telling --- */

gboolean
bench_fail (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL && *error == NULL)
    *error = g_error_new_valist (BENCH_ERROR, 0, format, args);
  va_end (args);
  return FALSE;
}

void
bench_id (char id[BENCH_ID_MAX], const BenchScene *scene, const char *format, ...)
{
  gsize used = g_strlcpy (id, scene->name, BENCH_ID_MAX);
  va_list args;

  g_assert (used + 1 < BENCH_ID_MAX);
  id[used++] = '/';
  va_start (args, format);
  g_vsnprintf (id + used, BENCH_ID_MAX - used, format, args);
  va_end (args);
}

void
bench_tell_sample (BenchRun *run, const BenchSample *sample)
{
  ssize_t written;

  /* Smaller than PIPE_BUF, so it is written as a whole. */
  do
    written = write (run->out, sample, sizeof *sample);
  while (written < 0 && errno == EINTR);
}

void
bench_tell (BenchRun *run, const char *id, BenchUnit unit, gsize size, guint64 n, double value)
{
  BenchSample sample = { .unit = unit,
                         .size = size,
                         .n = n,
                         .value = value,
                         .caller_cpu = -1,
                         .service_cpu = -1,
                         .ref_ns = run->ref_ns };

  g_strlcpy (sample.id, id, sizeof sample.id);
  bench_tell_sample (run, &sample);
}

void
bench_tell_times (BenchRun *run,
                  const char *id,
                  gsize size,
                  const BenchHistogram *histogram,
                  double caller_cpu,
                  double service_cpu)
{
  BenchSample sample = { .unit = BENCH_TIME,
                         .size = size,
                         .n = histogram->n,
                         .value = bench_histogram_get (histogram, 0.5),
                         .p90 = bench_histogram_get (histogram, 0.9),
                         .p99 = bench_histogram_get (histogram, 0.99),
                         .p999 = bench_histogram_get (histogram, 0.999),
                         .max = (double) histogram->max,
                         .caller_cpu = caller_cpu,
                         .service_cpu = service_cpu,
                         .ref_ns = run->ref_ns };

  g_strlcpy (sample.id, id, sizeof sample.id);
  bench_tell_sample (run, &sample);
}

void
bench_tell_missing (BenchRun *run, const char *id, const char *format, ...)
{
  BenchSample sample = { .caller_cpu = -1, .service_cpu = -1 };
  va_list args;

  g_strlcpy (sample.id, id, sizeof sample.id);
  va_start (args, format);
  g_vsnprintf (sample.note, sizeof sample.note, format, args);
  va_end (args);
  bench_tell_sample (run, &sample);
}

void
bench_tell_failed (BenchRun *run, const char *id, GError *error)
{
  BenchSample sample = { .caller_cpu = -1, .service_cpu = -1, .failed = TRUE };

  g_strlcpy (sample.id, id, sizeof sample.id);
  g_strlcpy (sample.note, error != NULL ? error->message : "no reason was given",
             sizeof sample.note);
  bench_tell_sample (run, &sample);
  g_clear_error (&error);
}

/* --- timing --- */

/* For @budget, and at least a few times. @histogram may be NULL. */
static gboolean
repeat (BenchOnce once,
        gpointer data,
        gint64 budget,
        gsize least,
        BenchHistogram *histogram,
        GError **error)
{
  gint64 start = bench_now ();
  gint64 now = start;

  for (gsize i = 0; i < least || now < start + budget; i++)
    {
      gint64 before = bench_now ();

      if (!once (data, error))
        return FALSE;
      now = bench_now ();
      if (histogram != NULL)
        bench_histogram_add (histogram, now - before);
    }
  return TRUE;
}

/* Of the first other process, which is the service where there is one. */
static gint64
get_service_cpu (const BenchRun *run)
{
  return run->n_nodes > 0 ? bench_cpu_time (run->nodes[0]) : -1;
}

gboolean
bench_time_each (
    BenchRun *run, const char *id, gsize size, BenchOnce once, gpointer data, GError **error)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  gint64 budget = bench_get_budget (run);
  gsize least = run->length == BENCH_SMOKE ? 3 : LEAST;
  gint64 mine, theirs, mine_after, theirs_after;

  bench_placement_check (run);
  if (!repeat (once, data, budget / 4, least / 4 + 1, NULL, error))
    return FALSE;
  mine = bench_cpu_time (0);
  theirs = get_service_cpu (run);
  if (!repeat (once, data, budget, least, histogram, error))
    return FALSE;
  mine_after = bench_cpu_time (0);
  theirs_after = get_service_cpu (run);
  bench_tell_times (run, id, size, histogram, (double) (mine_after - mine) / (double) histogram->n,
                    theirs < 0 ? -1 : (double) (theirs_after - theirs) / (double) histogram->n);
  return TRUE;
}
