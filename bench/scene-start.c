/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The edges of a program's life: how soon it has its first answer, and how soon another instance
 * answers when one is killed.
 */
#include "config.h"

#include "node.h"

/* --- from exec to the first answer --- */

static gboolean
start_one (BenchRun *run, const char *keyfile, BenchHistogram *histogram, GError **error)
{
  gint64 start = bench_now ();
  BenchNode caller;
  gboolean ok;

  if (!bench_node_start (run, "call", keyfile, "", -1, &caller, error))
    return FALSE;
  ok = bench_node_wait (&caller, error);
  bench_histogram_add (histogram, bench_now () - start);
  return bench_node_end (run, &caller, ok ? error : NULL) && ok;
}

gboolean
scene_start (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, NULL, NULL);
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  gsize n = bench_get_count (run, 20);
  char id[BENCH_ID_MAX];
  BenchNode service;
  gboolean ok;

  if (!bench_node_start (run, "serve", keyfile, "1", -1, &service, error))
    return FALSE;
  ok = bench_node_wait (&service, error);
  for (gsize i = 0; ok && i < n; i++)
    ok = start_one (run, keyfile, histogram, error);
  ok = bench_node_end (run, &service, ok ? error : NULL) && ok;
  bench_id (id, scene, "first-answer");
  if (ok)
    bench_tell_times (run, id, 8, histogram, -1, -1);
  return ok;
}

/* --- another instance answers --- */

/* The pid of the process that answers; 0 with @error. */
static GPid
ask_who (CommyClient *client, const CommyCallOptions *options, GError **error)
{
  g_autoptr (GVariant) got = commy_client_call_sync (client, "Who", NULL, options, NULL, error);
  gint32 pid = 0;

  if (got != NULL)
    g_variant_get (got, "(i)", &pid);
  return pid;
}

/* Calls until the killed one has not answered twice in a row: balanced over two, one of both calls
 * would have been its. */
static gboolean
await_other (CommyClient *client, const CommyCallOptions *options, GPid killed, GError **error)
{
  for (guint others = 0; others < 2;)
    {
      GPid who = ask_who (client, options, error);

      if (who == 0)
        return FALSE;
      others = who == killed ? 0 : others + 1;
    }
  return TRUE;
}

static gboolean
measure_fall (BenchRun *run,
              const char *keyfile,
              BenchNode *victim,
              BenchHistogram *histogram,
              GError **error)
{
  g_autoptr (CommyMesh) mesh = bench_join (keyfile, error);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (CommyClient) client = NULL;
  gboolean ok = mesh != NULL;
  gint64 start;

  if (!ok)
    {
      bench_node_kill (victim);
      bench_node_reap (run, victim);
      return FALSE;
    }
  commy_call_options_set_idempotent (options, TRUE);
  client = commy_client_new (mesh, BENCH_SERVICE);
  /* Both are connected to before one falls. */
  for (guint i = 0; ok && i < 64; i++)
    ok = ask_who (client, options, error) != 0;
  start = bench_now ();
  bench_node_kill (victim);
  ok = ok && await_other (client, options, victim->pid, error);
  bench_histogram_add (histogram, bench_now () - start);
  bench_node_reap (run, victim);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return ok;
}

static gboolean
fall_back (BenchRun *run, const char *keyfile, BenchHistogram *histogram, GError **error)
{
  BenchNode victim, other;
  gboolean ok;

  if (!bench_node_start (run, "serve", keyfile, "1", -1, &victim, error))
    return FALSE;
  if (!bench_node_start (run, "serve", keyfile, "1", -1, &other, error))
    {
      bench_node_end (run, &victim, NULL);
      return FALSE;
    }
  ok = bench_node_wait (&victim, error) && bench_node_wait (&other, error);
  if (ok)
    ok = measure_fall (run, keyfile, &victim, histogram, error);
  else
    bench_node_end (run, &victim, NULL);
  return bench_node_end (run, &other, ok ? error : NULL) && ok;
}

gboolean
scene_fallback (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, scene->transport, NULL);
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  gsize n = bench_get_count (run, 40);
  char id[BENCH_ID_MAX];

  for (gsize i = 0; i < n; i++)
    if (!fall_back (run, keyfile, histogram, error))
      return FALSE;
  bench_id (id, scene, "kill-to-answer");
  bench_tell_times (run, id, 8, histogram, -1, -1);
  return TRUE;
}
