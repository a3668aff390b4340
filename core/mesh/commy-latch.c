/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A latch: one thread waits, with a deadline and a cancellable, for one answer of another.
 * Whoever comes last frees it, so that giving up is always safe.
 */
#include "config.h"

#include "mesh/commy-mesh-private.h"

#include "base/commy-error-private.h"

struct _CommyLatch
{
  gatomicrefcount refs;
  GMutex lock; /* of the rest */
  GCond cond;
  gboolean answered;
  gpointer result;
  GDestroyNotify free_func;
  GError *error;
};

CommyLatch *
commy_latch_new (void)
{
  CommyLatch *self = g_new0 (CommyLatch, 1);

  g_atomic_ref_count_init (&self->refs);
  g_atomic_ref_count_inc (&self->refs);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  return self;
}

void
commy_latch_unref (CommyLatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  if (self->result != NULL && self->free_func != NULL)
    self->free_func (self->result);
  g_clear_error (&self->error);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

void
commy_latch_answer (CommyLatch *self,
                    gpointer result,
                    GDestroyNotify free_func,
                    const GError *error)
{
  g_mutex_lock (&self->lock);
  self->answered = TRUE;
  self->result = result;
  self->free_func = free_func;
  self->error = error != NULL ? g_error_copy (error) : NULL;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
  commy_latch_unref (self);
}

static void
on_cancelled (GCancellable *cancellable, CommyLatch *self)
{
  g_mutex_lock (&self->lock);
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

gboolean
commy_latch_wait (CommyLatch *self,
                  gint64 deadline_us,
                  GCancellable *cancellable,
                  gpointer *out_result,
                  GError **error)
{
  gulong handler = 0;
  gboolean in_time = TRUE;
  gboolean ok = FALSE;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self, NULL);
  g_mutex_lock (&self->lock);
  while (!self->answered && in_time && !g_cancellable_is_cancelled (cancellable))
    in_time = g_cond_wait_until (&self->cond, &self->lock, deadline_us);
  if (self->answered && self->error != NULL)
    g_propagate_error (error, g_steal_pointer (&self->error));
  else if (self->answered)
    {
      if (out_result != NULL)
        *out_result = g_steal_pointer (&self->result);
      ok = TRUE;
    }
  else if (g_cancellable_is_cancelled (cancellable))
    commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
  else
    commy_set_error (error, COMMY_ERROR_DEADLINE, "the deadline passed before anything was sent");
  g_mutex_unlock (&self->lock);
  if (handler != 0)
    g_cancellable_disconnect (cancellable, handler);
  commy_latch_unref (self);
  return ok;
}
