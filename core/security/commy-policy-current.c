/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy in force: see the header.
 */
#include "config.h"

#include "security/commy-policy-current.h"

#define TOLD_MAX 256u /* then all are told again */
#define TOLD_NS (60 * G_GINT64_CONSTANT (1000000000))

struct _CommyPolicyCurrent
{
  GMutex lock; /* of policy and told */
  CommyPolicy *policy;
  guint32 epoch;    /* atomic */
  GHashTable *told; /* "principal\nresource" -> gint64, when */
};

CommyPolicyCurrent *
commy_policy_current_new (CommyPolicy *policy)
{
  CommyPolicyCurrent *self = g_new0 (CommyPolicyCurrent, 1);

  g_mutex_init (&self->lock);
  self->policy = policy;
  self->epoch = 1;
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
commy_policy_current_free (CommyPolicyCurrent *self)
{
  if (self == NULL)
    return;
  commy_policy_unref (self->policy);
  g_hash_table_unref (self->told);
  g_mutex_clear (&self->lock);
  g_free (self);
}

guint32
commy_policy_current_get_epoch (const CommyPolicyCurrent *self)
{
  return __atomic_load_n (&self->epoch, __ATOMIC_ACQUIRE);
}

CommyPolicy *
commy_policy_current_dup (CommyPolicyCurrent *self, guint32 *out_epoch)
{
  CommyPolicy *policy;

  g_mutex_lock (&self->lock);
  policy = commy_policy_ref (self->policy);
  if (out_epoch != NULL)
    *out_epoch = self->epoch;
  g_mutex_unlock (&self->lock);
  return policy;
}

void
commy_policy_current_replace (CommyPolicyCurrent *self, CommyPolicy *policy)
{
  CommyPolicy *old;

  g_mutex_lock (&self->lock);
  old = self->policy;
  self->policy = policy;
  __atomic_store_n (&self->epoch, MAX (self->epoch + 1, 1), __ATOMIC_RELEASE);
  g_hash_table_remove_all (self->told);
  g_mutex_unlock (&self->lock);
  commy_policy_unref (old);
}

/* Under the lock: whether it was not told within the last minute. */
static gboolean
note (CommyPolicyCurrent *self, gint64 now_ns, const char *principal, const char *resource)
{
  g_autofree char *name = g_strconcat (principal, "\n", resource, NULL);
  const gint64 *when = g_hash_table_lookup (self->told, name);

  if (when != NULL && now_ns - *when < TOLD_NS)
    return FALSE;
  if (when == NULL && g_hash_table_size (self->told) >= TOLD_MAX)
    g_hash_table_remove_all (self->told);
  g_hash_table_replace (self->told, g_steal_pointer (&name), g_memdup2 (&now_ns, sizeof now_ns));
  return TRUE;
}

void
commy_policy_current_tell_trial (CommyPolicyCurrent *self,
                                 gint64 now_ns,
                                 const char *principal,
                                 const char *resource,
                                 const char *origin)
{
  gboolean is_news;

  g_mutex_lock (&self->lock);
  is_news = note (self, now_ns, principal, resource);
  g_mutex_unlock (&self->lock);
  if (is_news)
    g_message ("on trial: %s would be denied %s (%s)", principal, resource, origin);
}
