/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of a service: where its handlers run. Either the program's own main context, or
 * threads of the service's own, which spin while there is traffic and then let their context
 * sleep.
 */
#include "config.h"

#include "mesh/commy-service-private.h"

static void
thread_unref (CommyServiceThread *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  commy_mesh_worker_unref (self->worker);
  g_main_context_unref (self->context);
  g_free (self);
}

static gint64
spin_budget (CommyServiceThread *self)
{
  if (self->spin_ns == 0 || self->spin_ns == G_MAXINT64)
    return self->spin_ns;
  return commy_spinner_budget (&self->spinner, self->spin_ns);
}

/* Polls while there is traffic or it may come soon, then sleeps in the context. */
static gpointer
thread_main (gpointer data)
{
  CommyServiceThread *self = data;

  g_main_context_push_thread_default (self->context);
  while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE))
    {
      gint64 budget = spin_budget (self);

      gboolean is_idle
          = budget == 0
            || commy_worker_spin (self->worker->worker, &self->spinner, budget, &self->stop);

      if (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE))
        g_main_context_iteration (self->context, is_idle);
    }
  /* What was posted just before, such as the closing of channels. */
  commy_worker_turn (self->worker->worker);
  g_main_context_pop_thread_default (self->context);
  thread_unref (self);
  return NULL;
}

void
commy_service_thread_free (gpointer data)
{
  CommyServiceThread *self = data;

  if (self->own)
    {
      __atomic_store_n (&self->stop, 1, __ATOMIC_RELEASE);
      g_main_context_wakeup (self->context);
      commy_worker_kick (self->worker->worker);
    }
  thread_unref (self);
}

static gint64
spin_of (CommyMesh *mesh)
{
  switch (mesh->shared.wait_mode)
    {
    case COMMY_WAIT_SPIN:
      return G_MAXINT64;
    case COMMY_WAIT_ADAPTIVE:
      return mesh->shared.spin_max_ns;
    case COMMY_WAIT_BLOCK:
    default:
      return 0;
    }
}

static gboolean
add_thread (CommyService *self, gboolean own, GError **error)
{
  CommyServiceThread *thread = g_new0 (CommyServiceThread, 1);

  g_atomic_ref_count_init (&thread->refs);
  thread->own = own;
  thread->context = own ? g_main_context_new () : g_main_context_ref (self->context);
  thread->worker = self->home != NULL
                       ? commy_mesh_worker_ref (self->home)
                       : commy_mesh_dup_worker_for (self->mesh, thread->context, error);
  if (thread->worker == NULL)
    {
      g_main_context_unref (thread->context);
      g_free (thread);
      return FALSE;
    }
  thread->spin_ns = spin_of (self->mesh);
  if (own)
    {
      g_atomic_ref_count_inc (&thread->refs);
      g_thread_unref (g_thread_new ("commy-service", thread_main, thread));
    }
  g_ptr_array_add (self->threads, thread);
  return TRUE;
}

gboolean
commy_service_start_threads (CommyService *self, GError **error)
{
  gint n = self->home != NULL ? 0 : self->workers;

  if (n < 0)
    {
      g_autofree char *group = g_strdup_printf ("service %s", self->name);

      n = (gint) commy_config_get_int (self->mesh->config, group, "workers");
    }
  if (n <= 0)
    return add_thread (self, FALSE, error);
  for (gint i = 0; i < MIN (n, COMMY_SERVICE_MAX_WORKERS); i++)
    if (!add_thread (self, TRUE, error))
      return FALSE;
  return TRUE;
}
