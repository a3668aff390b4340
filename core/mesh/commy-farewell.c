/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks every few milliseconds, as a drain does, so that no call has to look whether somebody
 * parts. A caller that is not in a call and has no loop hears nothing: it is not waited for long,
 * and its next call finds the promise that commy_channel_part() left.
 */
#include "config.h"

#include "mesh/commy-farewell.h"

#include <string.h>

#define LOOK_MS 2u
#define PATIENCE_NS G_GINT64_CONSTANT (200000000) /* until callers have heard that it parts */
#define SWEEP_NS G_GINT64_CONSTANT (100000000)    /* a worker that was only busy is back by then */

struct _CommyFarewell
{
  gatomicrefcount refs;  /* its service's, and one for each sweep that is under way */
  CommyService *service; /* NULL: it is over */
  CommyWorkFunc done;
  GSource *timer;
  gint64 patient_until_ns, until_ns;
  gint64 sweep_ns; /* when the last ones began */
  guint n_sweeps;  /* under way */
  guint n_left;    /* channels that the last ones left open */
};

typedef enum
{
  SWEEP_TELL,
  SWEEP_PART,
  SWEEP_CLOSE,
} SweepKind;

/* Over the channels of one worker. */
typedef struct
{
  CommyService *service;
  CommyWorker *worker;
  CommyFarewell *farewell; /* that wants to know what is left; or NULL */
  SweepKind kind;
  gboolean patient;
  guint n_left;
} Sweep;

static void
farewell_unref (CommyFarewell *self)
{
  if (g_atomic_ref_count_dec (&self->refs))
    g_free (self);
}

/* --- sweeping, on workers --- */

static void swept (gpointer data);

static void
sweep_free (Sweep *sweep)
{
  g_object_unref (sweep->service);
  commy_worker_unref (sweep->worker);
  g_free (sweep);
}

static void
sweep_channel (Sweep *sweep, CommyChannel *channel)
{
  if (strcmp (commy_channel_get_service (channel), sweep->service->name) != 0
      || !commy_channel_serves (channel, sweep->service))
    return;
  if (sweep->kind == SWEEP_TELL)
    commy_channel_drain (channel);
  else if (commy_channel_part (channel, sweep->patient))
    return;
  else if (sweep->kind == SWEEP_CLOSE)
    commy_channel_close (channel, NULL);
  else
    sweep->n_left++;
}

static void
sweep_run (gpointer data)
{
  Sweep *sweep = data;
  g_autoptr (GPtrArray) channels
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_channel_unref);

  commy_worker_foreach_channel (sweep->worker, commy_channel_collect, channels);
  for (guint i = 0; i < channels->len; i++)
    sweep_channel (sweep, channels->pdata[i]);
  if (sweep->farewell != NULL)
    commy_mesh_post (sweep->service->mesh, swept, sweep);
  else
    sweep_free (sweep);
}

static guint
sweep (CommyService *service, SweepKind kind, CommyFarewell *farewell, gboolean patient)
{
  guint n = 0;

  g_mutex_lock (&service->lock);
  for (; n < service->threads->len; n++)
    {
      CommyServiceThread *thread = service->threads->pdata[n];
      Sweep *one = g_new0 (Sweep, 1);

      one->service = g_object_ref (service);
      one->worker = commy_worker_ref (thread->worker->worker);
      one->kind = kind;
      one->patient = patient;
      one->farewell = farewell;
      if (farewell != NULL)
        g_atomic_ref_count_inc (&farewell->refs);
      commy_worker_post (one->worker, sweep_run, one);
    }
  g_mutex_unlock (&service->lock);
  return n;
}

void
commy_farewell_tell (CommyService *service)
{
  sweep (service, SWEEP_TELL, NULL, FALSE);
}

void
commy_farewell_close (CommyService *service)
{
  sweep (service, SWEEP_CLOSE, NULL, FALSE);
}

/* --- waiting, on the mesh thread --- */

static void
finish (CommyFarewell *self)
{
  self->done (self->service);
}

/* Back from a worker. */
static void
swept (gpointer data)
{
  Sweep *sweep = data;
  CommyFarewell *self = sweep->farewell;

  if (self->service != NULL)
    {
      self->n_left += sweep->n_left;
      if (--self->n_sweeps == 0 && self->n_left == 0)
        finish (self);
    }
  farewell_unref (self);
  sweep_free (sweep);
}

static gboolean
on_look (gpointer data)
{
  CommyFarewell *self = data;
  const gint64 now_ns = commy_env_now (self->service->mesh->env);
  const gboolean is_quiet = __atomic_load_n (&self->service->in_flight, __ATOMIC_SEQ_CST) == 0;
  const gboolean patient = now_ns < self->patient_until_ns;

  /* A worker that does not sweep for so long has a thread that does not run its loop. */
  const gboolean is_stuck = self->n_sweeps > 0 && now_ns - self->sweep_ns >= SWEEP_NS;

  if (now_ns >= self->until_ns || (is_quiet && !patient && is_stuck))
    finish (self);
  else if (is_quiet && self->n_sweeps == 0)
    {
      self->n_left = 0;
      self->sweep_ns = now_ns;
      self->n_sweeps = sweep (self->service, SWEEP_PART, self, patient);
      if (self->n_sweeps == 0)
        finish (self);
    }
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

CommyFarewell *
commy_farewell_new (CommyService *service, gint64 limit_ns, CommyWorkFunc done)
{
  CommyFarewell *self = g_new0 (CommyFarewell, 1);
  gint64 now_ns = commy_env_now (service->mesh->env);

  g_atomic_ref_count_init (&self->refs);
  self->service = service;
  self->done = done;
  self->until_ns = now_ns + limit_ns;
  self->patient_until_ns = MIN (now_ns + PATIENCE_NS, self->until_ns);
  self->timer = g_timeout_source_new (LOOK_MS);
  g_source_set_callback (self->timer, on_look, self, NULL);
  g_source_attach (self->timer, service->mesh->context);
  return self;
}

void
commy_farewell_free (CommyFarewell *self)
{
  if (self == NULL)
    return;
  self->service = NULL;
  g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
  farewell_unref (self);
}
