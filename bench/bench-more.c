/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is not one round trip: many calls under way at a time, the first answer of a program that
 * starts, and how long the router thinks.
 */
#include "config.h"

#include "bench.h"

#define WINDOW 64

typedef struct
{
  CommyClient *client;
  GBytes *bytes;
  GMainLoop *loop;
  gsize to_send;
  gsize to_come;
  GError *error;
} Pipeline;

static void on_answer (GObject *source, GAsyncResult *result, gpointer data);

static void
send_next (Pipeline *self)
{
  if (self->to_send == 0)
    return;
  self->to_send--;
  commy_client_call_bytes (self->client, "Echo", self->bytes, NULL, NULL, on_answer, self);
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Pipeline *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) got = commy_client_call_bytes_finish (self->client, result, &error);

  if (got == NULL && self->error == NULL)
    {
      self->error = g_steal_pointer (&error);
      self->to_come -= self->to_send;
      self->to_send = 0;
    }
  self->to_come--;
  send_next (self);
  if (self->to_come == 0)
    g_main_loop_quit (self->loop);
}

static gboolean
run_pipeline (CommyClient *client, gsize n, double *out_rate, GError **error)
{
  static const guint8 payload[64] = { 0 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (payload, sizeof payload);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Pipeline self = { .client = client, .bytes = bytes, .loop = loop, .to_send = n, .to_come = n };
  gint64 start = bench_now ();

  for (guint i = 0; i < WINDOW; i++)
    send_next (&self);
  g_main_loop_run (loop);
  *out_rate = (double) n * 1e9 / (double) MAX (bench_now () - start, 1);
  if (self.error == NULL)
    return TRUE;
  g_propagate_error (error, self.error);
  return FALSE;
}

gboolean
bench_pipelined (Bench *bench, const char *transport, const char *wait, GError **error)
{
  g_autofree char *theirs = bench_keyfile (bench, wait, NULL);
  g_autofree char *mine = bench_keyfile (bench, wait, transport);
  g_autofree char *name = g_strdup_printf ("async, %d under way, %s", WINDOW, transport);
  g_autoptr (CommyMesh) mesh = NULL;
  BenchChild child;
  double rate = 0;
  gboolean ok = FALSE;

  if (!bench_child_start (bench, "serve", theirs, &child, error))
    return FALSE;
  if (bench_child_wait (&child, error) && (mesh = bench_join (mine, error)) != NULL)
    {
      g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

      ok = run_pipeline (client, bench_count (bench, 10000), &rate, error)
           && run_pipeline (client, bench_count (bench, 200000), &rate, error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  ok = bench_child_end (&child, ok ? error : NULL) && ok;
  if (ok)
    bench_add_rate (bench, name, wait, 64, rate);
  return ok;
}

gboolean
bench_start (Bench *bench, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (bench, "adaptive", NULL);
  gsize n = bench->smoke ? 2 : 30;
  g_autofree gint64 *ns = g_new (gint64, n);
  BenchChild server;
  gboolean ok;

  if (!bench_child_start (bench, "serve", keyfile, &server, error))
    return FALSE;
  ok = bench_child_wait (&server, error);
  for (gsize i = 0; ok && i < n; i++)
    {
      gint64 start = bench_now ();
      BenchChild caller;

      ok = bench_child_start (bench, "call", keyfile, &caller, error);
      if (!ok)
        break;
      ok = bench_child_wait (&caller, error);
      ns[i] = bench_now () - start;
      ok = bench_child_end (&caller, ok ? error : NULL) && ok;
    }
  ok = bench_child_end (&server, ok ? error : NULL) && ok;
  if (ok)
    bench_add (bench, "exec to first answer", "adaptive", 8, NULL, ns, n);
  return ok;
}

static gboolean
decide_often (Bench *bench, CommyClient *client, GError **error)
{
  gsize n = bench_count (bench, 5000);
  g_autofree gint64 *ns = g_new (gint64, n);

  for (gsize i = 0; i < n; i++)
    {
      gint64 start = bench_now ();
      g_autoptr (CommyDecision) decision = commy_client_explain (client, 4096, NULL, NULL, error);

      ns[i] = bench_now () - start;
      if (decision == NULL)
        return FALSE;
    }
  bench_add (bench, "route decision, explained", "-", 4096, NULL, ns, n);
  return TRUE;
}

gboolean
bench_decision (Bench *bench, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (bench, "adaptive", NULL);
  g_autoptr (CommyMesh) mesh = NULL;
  BenchChild server;
  gboolean ok = FALSE;

  if (!bench_child_start (bench, "serve", keyfile, &server, error))
    return FALSE;
  if (bench_child_wait (&server, error) && (mesh = bench_join (keyfile, error)) != NULL)
    {
      g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

      ok = decide_often (bench, client, error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  return bench_child_end (&server, ok ? error : NULL) && ok;
}
