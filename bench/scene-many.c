/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many connections to one service, from several processes that keep many each: what they take of
 * memory, whether all of them are answered alike, and how often anybody is woken while nobody says
 * anything. And what one service takes of memory, beside the same program without Commy.
 */
#include "config.h"

#include "node.h"
#include "process.h"

#include <stdlib.h>
#include <string.h>

#define PROCESSES 10u
/* What the last calls left to do is done, the store has looked once more, timers have run out. */
#define SETTLE_S 6u
#define SETTINGS "[limits]\nchannels=16384\nhandshakes=1024\n"

/* What a process of clients says when it was asked to call. */
typedef struct
{
  guint64 n;
  double p50, p99; /* ns */
  guint32 failed;
} Answers;

/* --- such a process --- */

/* A main context has a connection of its own. */
typedef struct
{
  GMainContext *context;
  CommyClient *client;
} Line;

static gboolean
call_on (const Line *line, GError **error)
{
  g_autoptr (GVariant) got = NULL;

  g_main_context_push_thread_default (line->context);
  got = commy_client_call_sync (line->client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL,
                                error);
  g_main_context_pop_thread_default (line->context);
  return got != NULL;
}

static void
call_in_turns (const Line *lines, guint n, guint times, Answers *out)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();

  memset (out, 0, sizeof *out);
  for (guint turn = 0; turn < times; turn++)
    for (guint i = 0; i < n; i++)
      {
        gint64 start = bench_now ();

        out->failed += !call_on (&lines[i], NULL);
        bench_histogram_add (histogram, bench_now () - start);
      }
  out->n = histogram->n;
  out->p50 = bench_histogram_get (histogram, 0.5);
  out->p99 = bench_histogram_get (histogram, 0.99);
}

static gboolean
open_lines (CommyMesh *mesh, Line *lines, guint n, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      lines[i].context = g_main_context_new ();
      g_main_context_push_thread_default (lines[i].context);
      lines[i].client = commy_client_new (mesh, BENCH_SERVICE);
      g_main_context_pop_thread_default (lines[i].context);
      if (!call_on (&lines[i], error))
        return FALSE;
    }
  return TRUE;
}

static void
close_lines (Line *lines, guint n)
{
  for (guint i = 0; i < n && lines[i].context != NULL; i++)
    {
      g_main_context_push_thread_default (lines[i].context);
      g_clear_object (&lines[i].client);
      g_main_context_pop_thread_default (lines[i].context);
      g_main_context_unref (lines[i].context);
    }
}

/* @argument: how many connections. Each number that comes on the pipe is answered by that many
 * calls on every one of them. */
gboolean
bench_role_many (const char *keyfile, const char *argument, GError **error)
{
  guint n = (guint) atoi (argument);
  g_autoptr (CommyMesh) mesh = bench_join (keyfile, error);
  g_autofree Line *lines = g_new0 (Line, n);
  guint32 times;
  gboolean ok;

  if (mesh == NULL)
    return FALSE;
  ok = open_lines (mesh, lines, n, error);
  if (ok)
    {
      bench_node_say_ready ();
      while (bench_node_receive (BENCH_NODE_FD, &times, sizeof times))
        {
          Answers answers;

          call_in_turns (lines, n, times, &answers);
          bench_node_send (BENCH_NODE_FD, &answers, sizeof answers);
        }
    }
  close_lines (lines, n);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return ok;
}

/* --- starting them --- */

typedef struct
{
  BenchNode service;
  BenchNode clients[PROCESSES];
  guint n_clients; /* that were started */
} Crowd;

static gboolean
gather (BenchRun *run, const BenchScene *scene, guint channels, Crowd *out, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, scene->transport, SETTINGS);
  g_autofree char *theirs = bench_keyfile (run, scene->wait, NULL, SETTINGS);
  guint processes = MIN (channels, PROCESSES);

  *out = (Crowd){ 0 };
  if (!bench_node_start (run, "serve", theirs, "1", -1, &out->service, error))
    return FALSE;
  if (!bench_node_wait (&out->service, error))
    return FALSE;
  for (guint i = 0; i < processes; i++)
    {
      g_autofree char *argument = g_strdup_printf ("%u", channels / processes);

      if (!bench_node_start (run, "many", keyfile, argument, -1, &out->clients[i], error))
        return FALSE;
      out->n_clients++;
    }
  for (guint i = 0; i < processes; i++)
    if (!bench_node_wait (&out->clients[i], error))
      return FALSE;
  return TRUE;
}

static void
disperse (BenchRun *run, Crowd *crowd)
{
  for (guint i = 0; i < crowd->n_clients; i++)
    bench_node_kill (&crowd->clients[i]);
  for (guint i = 0; i < crowd->n_clients; i++)
    bench_node_reap (run, &crowd->clients[i]);
  if (crowd->service.pid != 0)
    bench_node_end (run, &crowd->service, NULL);
}

/* --- memory and fairness --- */

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a;
  double right = *(const double *) b;

  return (left > right) - (left < right);
}

/* All call at a time. */
static gboolean
ask_all (const Crowd *crowd, guint32 times, double *p99, GError **error)
{
  for (guint i = 0; i < crowd->n_clients; i++)
    if (!bench_node_send (crowd->clients[i].fd, &times, sizeof times))
      return bench_fail (error, "a process of clients is gone");
  for (guint i = 0; i < crowd->n_clients; i++)
    {
      Answers answers;

      if (!bench_node_receive (crowd->clients[i].fd, &answers, sizeof answers))
        return bench_fail (error, "a process of clients is gone");
      if (answers.failed > 0)
        return bench_fail (error, "%u of %" G_GUINT64_FORMAT " calls failed", answers.failed,
                           answers.n);
      p99[i] = answers.p99;
    }
  return TRUE;
}

static gboolean
measure_crowd (
    BenchRun *run, const BenchScene *scene, const Crowd *crowd, guint channels, GError **error)
{
  guint32 times = MAX ((run->length == BENCH_FULL ? 20000u : 1000u) / channels, 2);
  double p99[PROCESSES];
  guint64 memory = bench_process_get_shared_memory (crowd->service.pid);
  char id[BENCH_ID_MAX];

  if (!ask_all (crowd, 1, p99, error) || !ask_all (crowd, times, p99, error))
    return FALSE;
  for (guint i = 0; i < crowd->n_clients; i++)
    memory += bench_process_get_shared_memory (crowd->clients[i].pid);
  qsort (p99, crowd->n_clients, sizeof *p99, compare);
  bench_id (id, scene, "memory");
  bench_tell (run, id, BENCH_BYTES, 0, channels, (double) memory);
  bench_id (id, scene, "p99-of-the-median-client");
  bench_tell (run, id, BENCH_TIME, 8, (guint64) times * channels, p99[crowd->n_clients / 2]);
  bench_id (id, scene, "p99-of-the-slowest-client");
  bench_tell (run, id, BENCH_TIME, 8, (guint64) times * channels, p99[crowd->n_clients - 1]);
  bench_id (id, scene, "slowest-to-median");
  bench_tell (run, id, BENCH_RATIO, 8, crowd->n_clients,
              p99[crowd->n_clients - 1] / p99[crowd->n_clients / 2]);
  return TRUE;
}

/* A smoke test looks whether it works, with few. */
static guint
get_channels (const BenchRun *run, const BenchScene *scene)
{
  return run->length == BENCH_SMOKE ? MIN (scene->number, 20) : scene->number;
}

gboolean
scene_many (BenchRun *run, const BenchScene *scene, GError **error)
{
  guint channels = get_channels (run, scene);
  Crowd crowd;
  gboolean ok = gather (run, scene, channels, &crowd, error)
                && measure_crowd (run, scene, &crowd, channels, error);

  disperse (run, &crowd);
  return ok;
}

/* --- silence --- */

static guint64
count_wakes (const Crowd *crowd)
{
  guint64 sum = bench_process_get_wakes (crowd->service.pid);

  for (guint i = 0; i < crowd->n_clients; i++)
    sum += bench_process_get_wakes (crowd->clients[i].pid);
  return sum;
}

gboolean
scene_idle (BenchRun *run, const BenchScene *scene, GError **error)
{
  guint seconds = run->length == BENCH_FULL ? 10 : 2;
  guint channels = get_channels (run, scene);
  char id[BENCH_ID_MAX];
  Crowd crowd;
  guint64 before;
  gboolean ok = gather (run, scene, channels, &crowd, error);

  if (ok)
    {
      if (run->length != BENCH_SMOKE)
        g_usleep (SETTLE_S * G_USEC_PER_SEC);
      before = count_wakes (&crowd);
      g_usleep (run->length == BENCH_SMOKE ? 10000 : seconds * G_USEC_PER_SEC);
      bench_id (id, scene, "wakes-per-second");
      bench_tell (run, id, BENCH_COUNT, 0, channels,
                  (double) (count_wakes (&crowd) - before) / seconds);
    }
  disperse (run, &crowd);
  return ok;
}

/* --- memory of one --- */

static gboolean
weigh (BenchRun *run, const char *role, const char *keyfile, guint64 *out, GError **error)
{
  BenchNode node;
  gboolean ok;

  if (!bench_node_start (run, role, keyfile, "1", -1, &node, error))
    return FALSE;
  ok = bench_node_wait (&node, error);
  if (ok)
    *out = bench_process_get_own_memory (node.pid);
  return bench_node_end (run, &node, ok ? error : NULL) && ok;
}

/* Of a service that is being called. */
static gboolean
weigh_called (BenchRun *run, const BenchScene *scene, guint64 *out, GError **error)
{
  Crowd crowd;
  gboolean ok = gather (run, scene, 1, &crowd, error);

  if (ok)
    *out = bench_process_get_own_memory (crowd.service.pid);
  disperse (run, &crowd);
  return ok;
}

gboolean
scene_memory (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, NULL, NULL);
  guint64 bare = 0;
  guint64 service = 0;
  guint64 called = 0;
  char id[BENCH_ID_MAX];

  if (!weigh (run, "bare", keyfile, &bare, error) || !weigh (run, "serve", keyfile, &service, error)
      || !weigh_called (run, scene, &called, error))
    return FALSE;
  bench_id (id, scene, "service");
  bench_tell (run, id, BENCH_BYTES, 0, 1, (double) service - (double) bare);
  bench_id (id, scene, "service-with-a-client");
  bench_tell (run, id, BENCH_BYTES, 0, 1, (double) called - (double) bare);
  return TRUE;
}
