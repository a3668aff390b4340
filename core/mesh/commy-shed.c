/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shedding. Calls ask one number, which is made anew as answers are measured. Where all are refused
 * none would be measured, so now and then one is begun to see whether the service is well again.
 */
#include "config.h"

#include "mesh/commy-shed.h"

#define TRY_EVERY_NS G_GINT64_CONSTANT (100000000)

CommyShed *
commy_shed_new (const CommyDeadlinePolicy *policy)
{
  CommyShed *self;

  if (!policy->shed)
    return NULL;
  self = g_new0 (CommyShed, 1);
  self->quantile = policy->quantile;
  g_mutex_init (&self->lock);
  return self;
}

void
commy_shed_free (CommyShed *self)
{
  if (self == NULL)
    return;
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
commy_shed_admits (CommyShed *self, gint64 left_ns, gint64 now_ns, gboolean *out_try)
{
  gint64 at_ns;

  *out_try = FALSE;
  if (self == NULL || left_ns >= __atomic_load_n (&self->usual_ns, __ATOMIC_RELAXED))
    return TRUE;
  at_ns = __atomic_load_n (&self->try_ns, __ATOMIC_RELAXED);
  *out_try = now_ns >= at_ns
             && __atomic_compare_exchange_n (&self->try_ns, &at_ns, now_ns + TRY_EVERY_NS, FALSE,
                                             __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return *out_try;
}

void
commy_shed_learn (CommyShed *self, gint64 took_ns, gint64 now_ns)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  commy_service_time_add (&self->times, now_ns, took_ns);
  __atomic_store_n (&self->usual_ns, commy_service_time_get (&self->times, self->quantile),
                    __ATOMIC_RELAXED);
  g_mutex_unlock (&self->lock);
}
