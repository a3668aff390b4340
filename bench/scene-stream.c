/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages one way: as many as go through, each written in place and read where it arrives; and at
 * a rate, each timed from the moment at which it was meant to leave.
 */
#include "config.h"

#include "bench-pace.h"
#include "node.h"

#include <string.h>

#define FLUSH_EVERY 64
#define FLUSH_BYTES (64u << 10)

typedef struct
{
  gint64 mine, theirs; /* ns of processor time */
} Cpu;

static Cpu
get_cpu (const BenchRun *run)
{
  return (Cpu){ bench_cpu_time (0), run->n_nodes > 0 ? bench_cpu_time (run->nodes[0]) : -1 };
}

/* --- as many as go through --- */

static gboolean
write_one (CommyStream *stream, gsize size, guint8 value, GError **error)
{
  CommySpan span;

  if (!commy_stream_reserve (stream, size, &span, error))
    return FALSE;
  bench_fill (span.data, size, value);
  return commy_stream_commit (stream, &span, error);
}

/* For @budget; until the service says that it has read all of it. */
static gboolean
pour (CommyClient *client, gsize size, gint64 budget, guint64 *out_n, GError **error)
{
  g_autoptr (CommyStream) stream
      = commy_client_open_stream_sync (client, "Pour", NULL, NULL, NULL, error);
  guint batch = (guint) CLAMP (FLUSH_BYTES / size, 1, FLUSH_EVERY);
  gint64 until = bench_now () + budget;
  g_autoptr (GVariant) result = NULL;
  guint64 n = 0;
  guint64 arrived, sum;

  if (stream == NULL)
    return FALSE;
  do
    {
      for (guint i = 0; i < batch; i++, n++)
        if (!write_one (stream, size, (guint8) n, error))
          return FALSE;
      if (!commy_stream_flush (stream, error))
        return FALSE;
    }
  while (bench_now () < until);
  if (!commy_stream_close_write (stream, error))
    return FALSE;
  result = commy_stream_wait_result_sync (stream, NULL, error);
  if (result == NULL)
    return FALSE;
  g_variant_get (result, "(tt)", &arrived, &sum);
  *out_n = n;
  return arrived == n
         || bench_fail (error, "%" G_GUINT64_FORMAT " messages of %" G_GUINT64_FORMAT " arrived",
                        arrived, n);
}

static gboolean
measure_stream (BenchRun *run, const char *id, CommyClient *client, gsize size, GError **error)
{
  BenchSample sample = { .unit = BENCH_RATE, .size = size };
  Cpu before, after;
  gint64 start, ns;
  guint64 n;

  bench_placement_check (run);
  if (!pour (client, size, bench_get_budget (run) / 4, &n, error))
    return FALSE;
  before = get_cpu (run);
  start = bench_now ();
  if (!pour (client, size, bench_get_budget (run), &n, error))
    return FALSE;
  ns = bench_now () - start;
  after = get_cpu (run);
  g_strlcpy (sample.id, id, sizeof sample.id);
  sample.n = n;
  sample.value = (double) n * 1e9 / (double) ns;
  sample.ref_ns = run->ref_ns;
  sample.caller_cpu = (double) (after.mine - before.mine) / (double) n;
  sample.service_cpu
      = before.theirs < 0 ? -1 : (double) (after.theirs - before.theirs) / (double) n;
  bench_tell_sample (run, &sample);
  return TRUE;
}

static gboolean
streams (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  const gsize *sizes = bench_get_stream_sizes (run);
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

  for (gsize i = 0; sizes[i] != 0; i++)
    {
      g_autoptr (GError) failure = NULL;
      char id[BENCH_ID_MAX];

      bench_id (id, scene, "in-place/%" G_GSIZE_FORMAT, sizes[i]);
      if (!measure_stream (run, id, client, sizes[i], &failure))
        bench_tell_failed (run, id, g_steal_pointer (&failure));
    }
  return TRUE;
}

gboolean
scene_streams (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, streams, error);
}

/* --- at a rate --- */

/* Looks at the clock until then: a timer would be late, and that would count. */
static void
await (gint64 due)
{
  while (bench_now () < due)
    bench_relax ();
}

static gboolean
send_at_rate (CommyStream *stream, guint rate, gsize n, GError **error)
{
  BenchPace pace;

  bench_pace_init (&pace, bench_now () + 100000, rate);
  for (gsize i = 0; i < n; i++)
    {
      gint64 due = bench_pace_take (&pace);
      CommySpan span;

      await (due);
      if (!commy_stream_reserve (stream, 64, &span, error))
        return FALSE;
      memcpy (span.data, &due, sizeof due);
      if (!commy_stream_commit (stream, &span, error) || !commy_stream_flush (stream, error))
        return FALSE;
    }
  return commy_stream_close_write (stream, error);
}

static gboolean
measure_rate (BenchRun *run, const char *id, CommyClient *client, guint rate, GError **error)
{
  gsize n
      = run->length == BENCH_SMOKE ? 20 : (gsize) rate * (run->length == BENCH_FULL ? 2 : 1) / 2;
  BenchSample sample = { .unit = BENCH_TIME, .size = 64, .n = n, .caller_cpu = -1 };
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (GVariant) result = NULL;
  Cpu before, after;

  bench_placement_check (run);
  stream = commy_client_open_stream_sync (client, "Clocked", NULL, NULL, NULL, error);
  if (stream == NULL)
    return FALSE;
  before = get_cpu (run);
  if (!send_at_rate (stream, rate, n, error)
      || (result = commy_stream_wait_result_sync (stream, NULL, error)) == NULL)
    return FALSE;
  after = get_cpu (run);
  g_variant_get (result, "(tddddd)", &sample.n, &sample.value, &sample.p90, &sample.p99,
                 &sample.p999, &sample.max);
  if (sample.n != n)
    return bench_fail (error, "not every message arrived");
  g_strlcpy (sample.id, id, sizeof sample.id);
  sample.ref_ns = run->ref_ns;
  /* The caller's own is not told: it looks at the clock all the time. */
  sample.service_cpu
      = before.theirs < 0 ? -1 : (double) (after.theirs - before.theirs) / (double) n;
  bench_tell_sample (run, &sample);
  return TRUE;
}

static gboolean
rates (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  static const guint per_second[] = { 1000, 10000, 100000 };
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

  for (gsize i = 0; i < G_N_ELEMENTS (per_second); i++)
    {
      g_autoptr (GError) failure = NULL;
      char id[BENCH_ID_MAX];

      bench_id (id, scene, "%u-per-s/64", per_second[i]);
      if (!measure_rate (run, id, client, per_second[i], &failure))
        bench_tell_failed (run, id, g_steal_pointer (&failure));
    }
  return TRUE;
}

gboolean
scene_rates (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, rates, error);
}
