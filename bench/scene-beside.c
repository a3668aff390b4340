/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small calls beside a large message on the same path: one small call after the other from a
 * main loop, in rounds alone and in rounds during which a message of 64 MiB is under way.
 */
#include "config.h"

#include "node.h"

#define LARGE ((gsize) 64 << 20)
#define SMALL 64
#define ROUND 1000 /* small calls of a round alone */

typedef struct
{
  CommyClient *client;
  GBytes *small;
  GBytes *large;
  GMainLoop *loop;
  BenchHistogram *alone;    /* ns a call */
  BenchHistogram *beside;   /* the same, while a large message was under way */
  BenchHistogram *large_ns; /* a large message with small calls beside it */
  gint64 started;
  gint64 large_started; /* 0: none is under way */
  gsize left;           /* small calls of this round */
  GError *error;
} Beside;

static void call_small (Beside *self);

static void
take_error (Beside *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  g_main_loop_quit (self->loop);
}

static void
on_small (GObject *source, GAsyncResult *result, gpointer data)
{
  Beside *self = data;
  GError *error = NULL;
  g_autoptr (GBytes) got = commy_client_call_bytes_finish (self->client, result, &error);
  gint64 took = bench_now () - self->started;

  if (got == NULL)
    {
      take_error (self, error);
      return;
    }
  if (self->left > 0)
    {
      self->left--;
      bench_histogram_add (self->alone, took);
    }
  else
    bench_histogram_add (self->beside, took);
  if (self->left > 0 || self->large_started != 0)
    call_small (self);
  else
    g_main_loop_quit (self->loop);
}

static void
call_small (Beside *self)
{
  self->started = bench_now ();
  commy_client_call_bytes (self->client, "Echo", self->small, NULL, NULL, on_small, self);
}

static void
on_large (GObject *source, GAsyncResult *result, gpointer data)
{
  Beside *self = data;
  GError *error = NULL;
  g_autoptr (GBytes) got = commy_client_call_bytes_finish (self->client, result, &error);
  gint64 took = bench_now () - self->large_started;

  self->large_started = 0;
  if (got == NULL)
    take_error (self, error);
  else
    bench_histogram_add (self->large_ns, took);
}

static gboolean
round_alone (Beside *self, gsize n)
{
  self->left = n;
  call_small (self);
  g_main_loop_run (self->loop);
  return self->error == NULL;
}

static gboolean
round_beside (Beside *self)
{
  self->large_started = bench_now ();
  commy_client_call_bytes (self->client, "Sink", self->large, NULL, NULL, on_large, self);
  call_small (self);
  g_main_loop_run (self->loop);
  return self->error == NULL;
}

static gboolean
measure (BenchRun *run, Beside *self)
{
  gsize rounds = bench_get_count (run, 6);
  gsize n = run->length == BENCH_SMOKE ? 20 : ROUND;

  if (run->length == BENCH_SMOKE)
    rounds = 1;
  if (!round_alone (self, n) || !round_beside (self))
    return FALSE;
  bench_histogram_clear (self->alone); /* that was the warm-up */
  bench_histogram_clear (self->beside);
  bench_histogram_clear (self->large_ns);
  for (gsize i = 0; i < rounds; i++)
    if (!round_alone (self, n) || !round_beside (self))
      return FALSE;
  return TRUE;
}

static void
tell (BenchRun *run, const BenchScene *scene, const Beside *self)
{
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "small-alone/%d", SMALL);
  bench_tell_times (run, id, SMALL, self->alone, -1, -1);
  bench_id (id, scene, "small-beside-large/%d", SMALL);
  bench_tell_times (run, id, SMALL, self->beside, -1, -1);
  bench_id (id, scene, "large-beside-small/%" G_GSIZE_FORMAT, LARGE);
  bench_tell_times (run, id, LARGE, self->large_ns, -1, -1);
  bench_id (id, scene, "p99-beside-to-alone");
  bench_tell (run, id, BENCH_RATIO, SMALL, self->beside->n,
              bench_histogram_get (self->beside, 0.99)
                  / MAX (bench_histogram_get (self->alone, 0.99), 1));
}

static gboolean
beside (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (GBytes) small = g_bytes_new_take (g_malloc0 (SMALL), SMALL);
  g_autoptr (GBytes) large = g_bytes_new_take (g_malloc0 (LARGE), LARGE);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (BenchHistogram) alone = bench_histogram_new ();
  g_autoptr (BenchHistogram) besides = bench_histogram_new ();
  g_autoptr (BenchHistogram) large_ns = bench_histogram_new ();
  Beside self = { .client = client,
                  .small = small,
                  .large = large,
                  .loop = loop,
                  .alone = alone,
                  .beside = besides,
                  .large_ns = large_ns };

  bench_placement_check (run);
  if (measure (run, &self))
    tell (run, scene, &self);
  else
    g_propagate_error (error, self.error);
  return self.error == NULL;
}

gboolean
scene_beside (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, beside, error);
}
