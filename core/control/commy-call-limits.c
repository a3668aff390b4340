/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table that only grows.
 */
#include "config.h"

#include "control/commy-call-limits.h"

/* Each has a cache line of its own, since all threads write to it. */
#define LINE 64u

G_STATIC_ASSERT (sizeof (CommyCallLimit) <= LINE);

struct _CommyCallLimits
{
  GMutex lock;
  GHashTable *groups; /* char * -> CommyCallLimit; under lock */
};

CommyCallLimits *
commy_call_limits_new (void)
{
  CommyCallLimits *self = g_new0 (CommyCallLimits, 1);

  g_mutex_init (&self->lock);
  self->groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_aligned_free);
  return self;
}

void
commy_call_limits_free (CommyCallLimits *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->groups);
  g_mutex_clear (&self->lock);
  g_free (self);
}

CommyCallLimit *
commy_call_limits_ensure (CommyCallLimits *self, const char *group)
{
  CommyCallLimit *limit;

  g_mutex_lock (&self->lock);
  limit = g_hash_table_lookup (self->groups, group);
  if (limit == NULL)
    {
      limit = g_aligned_alloc0 (1, LINE, LINE);
      g_hash_table_insert (self->groups, g_strdup (group), limit);
    }
  g_mutex_unlock (&self->lock);
  return limit;
}
