/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What applications do with their own node: cordon and drain it.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "control/commy-node.h"
#include "mesh/commy-drain.h"
#include "mesh/commy-mesh-private.h"

/* --- cordon --- */

typedef struct
{
  CommyMesh *mesh;
  gboolean cordoned;
} Cordon;

static void
cordon_here (gpointer data)
{
  Cordon *cordon = data;

  if (cordon->mesh->keeper != NULL)
    commy_drain_cordon (cordon->mesh, cordon->cordoned);
  g_object_unref (cordon->mesh);
  g_free (cordon);
}

gboolean
commy_mesh_cordon (CommyMesh *self, gboolean cordoned, GError **error)
{
  Cordon *cordon;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  if (!commy_mesh_check_joined (self, error))
    return FALSE;
  cordon = g_new0 (Cordon, 1);
  cordon->mesh = g_object_ref (self);
  cordon->cordoned = cordoned;
  commy_mesh_invoke (self, cordon_here, cordon);
  return TRUE;
}

/* --- drain --- */

typedef struct
{
  CommyMesh *mesh;
  gint64 timeout_ns;
  GTask *task; /* or */
  CommyLatch *latch;
} Drain;

static void
drain_done (gpointer data, guint left, const GError *error)
{
  Drain *drain = data;
  g_autoptr (GTask) task = drain->task;
  CommyLatch *latch = drain->latch;
  g_autoptr (GError) cut = NULL;

  if (error != NULL)
    cut = g_error_copy (error);
  else if (left > 0)
    commy_set_error (&cut, COMMY_ERROR_DEADLINE,
                     "%u calls were still under way when the time to drain was over", left);
  g_object_unref (drain->mesh);
  g_free (drain);
  if (task == NULL)
    commy_latch_answer (latch, NULL, NULL, cut);
  else if (cut != NULL)
    g_task_return_error (task, g_steal_pointer (&cut));
  else
    g_task_return_boolean (task, TRUE);
}

static void
drain_here (gpointer data)
{
  Drain *drain = data;
  g_autoptr (GError) error = NULL;

  if (drain->mesh->keeper != NULL)
    {
      commy_drain_begin (drain->mesh, drain->timeout_ns, drain_done, drain);
      return;
    }
  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  drain_done (drain, 0, error);
}

static Drain *
drain_new (CommyMesh *mesh, gint64 timeout_us)
{
  Drain *drain = g_new0 (Drain, 1);

  drain->mesh = g_object_ref (mesh);
  drain->timeout_ns = timeout_us < 0 ? -1 : MIN (timeout_us, COMMY_DRAIN_MAX_US) * 1000;
  return drain;
}

void
commy_mesh_drain (CommyMesh *self,
                  gint64 timeout_us,
                  GCancellable *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer user_data)
{
  GTask *task;
  GError *error = NULL;
  Drain *drain;

  g_return_if_fail (COMMY_IS_MESH (self));
  task = g_task_new (self, cancellable, callback, user_data);
  if (!commy_mesh_check_joined (self, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  drain = drain_new (self, timeout_us);
  drain->task = task;
  commy_mesh_invoke (self, drain_here, drain);
}

gboolean
commy_mesh_drain_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

gboolean
commy_mesh_drain_sync (CommyMesh *self,
                       gint64 timeout_us,
                       GCancellable *cancellable,
                       GError **error)
{
  CommyLatch *latch;
  Drain *drain;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  if (!commy_mesh_check_joined (self, error))
    return FALSE;
  latch = commy_latch_new ();
  drain = drain_new (self, timeout_us);
  drain->latch = latch;
  commy_mesh_invoke (self, drain_here, drain);
  return commy_latch_wait (latch, G_MAXINT64, cancellable, NULL, error);
}

/* --- telling --- */

typedef struct
{
  GWeakRef mesh; /* who went meanwhile need not know */
  guint left;
} Drained;

static void
drained_free (gpointer data)
{
  Drained *drained = data;

  g_weak_ref_clear (&drained->mesh);
  g_free (drained);
}

static gboolean
tell (gpointer data)
{
  Drained *drained = data;
  g_autoptr (CommyMesh) mesh = g_weak_ref_get (&drained->mesh);

  if (mesh != NULL)
    g_signal_emit_by_name (mesh, COMMY_MESH_DRAINED, drained->left);
  return G_SOURCE_REMOVE;
}

void
commy_mesh_tell_drained (CommyMesh *self, guint left)
{
  g_autoptr (GSource) source = g_idle_source_new ();
  Drained *drained = g_new0 (Drained, 1);

  g_weak_ref_init (&drained->mesh, self);
  drained->left = left;
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, tell, drained, drained_free);
  g_source_attach (source, NULL);
}
