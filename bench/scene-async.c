/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many calls under way at a time, from a main loop: as many a second as one thread of each side
 * does, with raw bytes and with values.
 */
#include "config.h"

#include "node.h"

#define WINDOW 64

typedef struct
{
  CommyClient *client;
  GBytes *bytes; /* NULL: calls carry values */
  GMainLoop *loop;
  gint64 until;
  gsize sent, come;
  gsize least;
  GError *error;
} Pipeline;

static void on_answer (GObject *source, GAsyncResult *result, gpointer data);

static gboolean
is_over (const Pipeline *self)
{
  /* Looking at the clock at every call would be part of what is measured. */
  return self->error != NULL
         || (self->sent >= self->least && self->sent % WINDOW == 0 && bench_now () >= self->until);
}

static void
send_next (Pipeline *self)
{
  self->sent++;
  if (self->bytes != NULL)
    commy_client_call_bytes (self->client, "Echo", self->bytes, NULL, NULL, on_answer, self);
  else
    commy_client_call (self->client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, on_answer,
                       self);
}

static gboolean
take_answer (Pipeline *self, GAsyncResult *result, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;

  if (self->bytes != NULL)
    bytes = commy_client_call_bytes_finish (self->client, result, error);
  else
    value = commy_client_call_finish (self->client, result, error);
  return bytes != NULL || value != NULL;
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Pipeline *self = data;
  g_autoptr (GError) error = NULL;

  if (!take_answer (self, result, &error) && self->error == NULL)
    self->error = g_steal_pointer (&error);
  self->come++;
  if (self->until != 0 && is_over (self))
    self->until = 0;
  if (self->until != 0)
    send_next (self);
  else if (self->come == self->sent)
    g_main_loop_quit (self->loop);
}

static gboolean
run_pipeline (Pipeline *self, gint64 budget, GError **error)
{
  self->sent = self->come = 0;
  self->until = bench_now () + MAX (budget, 1);
  self->least = 2 * WINDOW;
  for (guint i = 0; i < WINDOW; i++)
    send_next (self);
  g_main_loop_run (self->loop);
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

static gboolean
measure (BenchRun *run, const char *id, Pipeline *self, gsize size, GError **error)
{
  BenchSample sample = { .unit = BENCH_RATE, .size = size, .service_cpu = -1 };
  gint64 start, mine, theirs;

  bench_placement_check (run);
  if (!run_pipeline (self, bench_get_budget (run) / 4, error))
    return FALSE;
  mine = bench_cpu_time (0);
  theirs = run->n_nodes > 0 ? bench_cpu_time (run->nodes[0]) : -1;
  start = bench_now ();
  if (!run_pipeline (self, bench_get_budget (run), error))
    return FALSE;
  g_strlcpy (sample.id, id, sizeof sample.id);
  sample.n = self->come;
  sample.value = (double) self->come * 1e9 / (double) (bench_now () - start);
  sample.ref_ns = run->ref_ns;
  sample.caller_cpu = (double) (bench_cpu_time (0) - mine) / (double) self->come;
  if (theirs >= 0)
    sample.service_cpu = (double) (bench_cpu_time (run->nodes[0]) - theirs) / (double) self->come;
  bench_tell_sample (run, &sample);
  return TRUE;
}

static gboolean
pipelines (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  static const guint8 payload[64] = { 0 };
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (GBytes) bytes = g_bytes_new_static (payload, sizeof payload);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Pipeline raw = { .client = client, .bytes = bytes, .loop = loop };
  Pipeline values = { .client = client, .loop = loop };
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "bytes/64");
  if (!measure (run, id, &raw, 64, error))
    return FALSE;
  bench_id (id, scene, "value/8");
  return measure (run, id, &values, 8, error);
}

gboolean
scene_async (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, pipelines, error);
}
