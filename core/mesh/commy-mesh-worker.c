/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which worker serves which thread: one for each main context that clients or services use,
 * and one of its own for a thread that has none.
 */
#include "config.h"

#include "mesh/commy-peers.h"
#include "mesh/commy-service-private.h"

#include <unistd.h>

static void
mesh_worker_free (CommyMeshWorker *self)
{
  /* Paths close their channels. */
  commy_worker_enter (self->worker);
  commy_peers_free (self->peers);
  commy_worker_exit (self->worker);
  commy_worker_unref (self->worker);
  if (!self->internal)
    g_object_unref (self->mesh);
  g_free (self);
}

CommyMeshWorker *
commy_mesh_worker_ref (CommyMeshWorker *worker)
{
  g_atomic_ref_count_inc (&worker->refs);
  return worker;
}

void
commy_mesh_worker_unref (CommyMeshWorker *self)
{
  CommyMesh *mesh;
  gboolean last;

  /* A forked child drops nothing: epoll sets, rings and sockets are its parent's. */
  if (self == NULL || commy_worker_is_inherited (self->worker))
    return;
  mesh = self->mesh;
  /* Under the lock, so that nobody finds a worker whose last reference is just going. */
  g_mutex_lock (&mesh->lock);
  last = g_atomic_ref_count_dec (&self->refs);
  if (last)
    g_ptr_array_remove_fast (mesh->workers, self);
  g_mutex_unlock (&mesh->lock);
  if (last)
    mesh_worker_free (self);
}

/* lock held. @thread: NULL for a worker of a context. */
static CommyMeshWorker *
find (CommyMesh *mesh, GMainContext *context, GThread *thread)
{
  for (guint i = 0; i < mesh->workers->len; i++)
    {
      CommyMeshWorker *worker = mesh->workers->pdata[i];

      if (worker->thread == thread
          && (thread != NULL || commy_worker_get_context (worker->worker) == context))
        return commy_mesh_worker_ref (worker);
    }
  return NULL;
}

static CommyMeshWorker *
ensure (CommyMesh *mesh, GMainContext *context, GThread *thread, GError **error)
{
  CommyMeshWorker *self;
  g_autoptr (CommyWorker) worker = NULL;

  g_mutex_lock (&mesh->lock);
  self = find (mesh, context, thread);
  if (self == NULL)
    {
      worker = commy_worker_new (context, thread == NULL, mesh->env, error);
      if (worker != NULL)
        {
          self = g_new0 (CommyMeshWorker, 1);
          g_atomic_ref_count_init (&self->refs);
          /* The mesh thread's own worker must not keep the mesh alive. */
          self->internal = context == mesh->context;
          self->mesh = self->internal ? mesh : g_object_ref (mesh);
          self->worker = g_steal_pointer (&worker);
          self->thread = thread;
          self->peers = commy_peers_new (mesh, self->worker);
          g_ptr_array_add (mesh->workers, self);
        }
    }
  g_mutex_unlock (&mesh->lock);
  return self;
}

CommyMeshWorker *
commy_mesh_dup_worker_for (CommyMesh *mesh, GMainContext *context, GError **error)
{
  return ensure (mesh, context, NULL, error);
}

GPtrArray *
commy_mesh_dup_workers (CommyMesh *mesh)
{
  GPtrArray *workers = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_mesh_worker_unref);

  g_mutex_lock (&mesh->lock);
  for (guint i = 0; i < mesh->workers->len; i++)
    g_ptr_array_add (workers, commy_mesh_worker_ref (mesh->workers->pdata[i]));
  g_mutex_unlock (&mesh->lock);
  return workers;
}

gboolean
commy_mesh_shut_workers (CommyMesh *mesh, gboolean only_ours)
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (mesh);
  gboolean any = FALSE;

  for (guint i = 0; i < workers->len; i++)
    {
      CommyWorker *worker = ((CommyMeshWorker *) workers->pdata[i])->worker;

      if (only_ours && !commy_worker_is_inside (worker))
        continue;
      any = TRUE;
      /* Who is inside may wait for an answer of this very thread. */
      while (!commy_worker_try_shut (worker))
        if (only_ours || !g_main_context_iteration (mesh->context, FALSE))
          g_usleep (200);
    }
  return any;
}

void
commy_mesh_reopen_workers (CommyMesh *mesh)
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (mesh);

  for (guint i = 0; i < workers->len; i++)
    commy_worker_reopen (((CommyMeshWorker *) workers->pdata[i])->worker);
}

/* The default context is the main thread's, unless somebody else iterates it right now. A
 * thread with no context at all gets one that nobody iterates: only its own calls move it. */
CommyMeshWorker *
commy_mesh_dup_worker_here (CommyMesh *mesh, GError **error)
{
  GMainContext *context = g_main_context_get_thread_default ();
  g_autoptr (GMainContext) own = NULL;

  if (context != NULL)
    return ensure (mesh, context, NULL, error);
  context = g_main_context_default ();
  if (g_main_context_is_owner (context) || gettid () == getpid ())
    return ensure (mesh, context, NULL, error);
  own = g_main_context_new ();
  return ensure (mesh, own, g_thread_self (), error);
}
