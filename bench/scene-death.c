/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How soon the death of a peer is noticed: it is killed while it owes an answer and has 64 MiB of
 * memory in use, which the kernel takes back first. Who waits for the answer sleeps, in the call or
 * in a main loop.
 */
#include "config.h"

#include "node.h"

#include <string.h>

#define MEBIBYTES "64"
#define SETTLE_US 3000 /* from the call until the kill: the caller sleeps by then */
#define PATIENCE_US (10 * G_USEC_PER_SEC)

typedef struct
{
  CommyClient *client;
  const CommyCallOptions *options;
  BenchNode *victim;
  gint64 killed;
} Death;

/* In a thread of its own: the caller sleeps. */
static gpointer
kill_soon (gpointer data)
{
  Death *self = data;

  g_usleep (SETTLE_US);
  self->killed = bench_now ();
  bench_node_kill (self->victim);
  return NULL;
}

/* FALSE with @error unless the call was ended by the death. */
static gboolean
was_told (GVariant *answer, GError *came, GError **error)
{
  if (answer == NULL && g_error_matches (came, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN))
    return TRUE;
  g_set_error (error, COMMY_ERROR, COMMY_ERROR_FAILED, "a call to a process that was killed: %s",
               came != NULL ? came->message : "answered");
  return FALSE;
}

static gboolean
notice_blocking (Death *self, gint64 *out_told, GError **error)
{
  g_autoptr (GError) came = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (self->client, "Wait", NULL, self->options, NULL, &came);

  *out_told = bench_now ();
  return was_told (answer, came, error);
}

typedef struct
{
  gint64 told;
  gboolean ok;
  GError *error;
} Answer;

static void
on_answer (GObject *client, GAsyncResult *result, gpointer data)
{
  Answer *self = data;
  g_autoptr (GError) came = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (client), result, &came);

  self->told = bench_now ();
  self->ok = was_told (answer, came, &self->error);
}

static gboolean
notice_in_loop (Death *self, gint64 *out_told, GError **error)
{
  Answer answer = { 0 };

  commy_client_call (self->client, "Wait", NULL, self->options, NULL, on_answer, &answer);
  while (answer.told == 0)
    g_main_context_iteration (NULL, TRUE);
  *out_told = answer.told;
  if (!answer.ok)
    g_propagate_error (error, answer.error);
  return answer.ok;
}

static gboolean
die_once (
    CommyMesh *mesh, BenchNode *victim, gboolean in_loop, BenchHistogram *histogram, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  Death death = { .client = client, .options = options, .victim = victim };
  g_autoptr (GVariant) first = NULL;
  GThread *killer;
  gint64 told;
  gboolean ok;

  commy_call_options_set_timeout (options, PATIENCE_US);
  first = commy_client_call_sync (client, "Who", NULL, options, NULL, error);
  if (first == NULL)
    {
      bench_node_kill (victim);
      return FALSE;
    }
  killer = g_thread_new ("killer", kill_soon, &death);
  ok = in_loop ? notice_in_loop (&death, &told, error) : notice_blocking (&death, &told, error);
  g_thread_join (killer);
  if (ok)
    bench_histogram_add (histogram, told - death.killed);
  return ok;
}

/* A mesh of its own each time: nothing is known of those that died before. */
static gboolean
die_afresh (
    BenchRun *run, const char *keyfile, gboolean in_loop, BenchHistogram *histogram, GError **error)
{
  CommyMesh *mesh = NULL;
  BenchNode victim;
  gboolean ok;

  if (!bench_node_start (run, "serve", keyfile, "1," MEBIBYTES, -1, &victim, error))
    return FALSE;
  ok = bench_node_wait (&victim, error) && (mesh = bench_join (keyfile, error)) != NULL;
  if (ok)
    ok = die_once (mesh, &victim, in_loop, histogram, error);
  else
    bench_node_kill (&victim);
  bench_node_reap (run, &victim);
  if (mesh != NULL)
    {
      commy_mesh_leave_sync (mesh, NULL, NULL);
      g_object_unref (mesh);
    }
  return ok;
}

gboolean
scene_death (BenchRun *run, const BenchScene *scene, GError **error)
{
  static const char *const ways[] = { "blocking", "main-loop" };
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, scene->transport, NULL);
  gsize n = bench_get_count (run, 100);

  for (guint way = 0; way < G_N_ELEMENTS (ways); way++)
    {
      g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
      char id[BENCH_ID_MAX];

      for (gsize i = 0; i < n; i++)
        if (!die_afresh (run, keyfile, way == 1, histogram, error))
          return FALSE;
      bench_id (id, scene, "%s", ways[way]);
      bench_tell_times (run, id, 8, histogram, -1, -1);
    }
  return TRUE;
}
