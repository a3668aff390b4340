/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requirements and call options: boxed values that an application fills in. What they mean for
 * a decision is in commy-demand.c.
 */
#include "config.h"

#include "route/commy-decision-private.h"

#include <string.h>

#define DEFAULT_TIMEOUT_US (10 * G_USEC_PER_SEC)

G_DEFINE_BOXED_TYPE (CommyRequirements,
                     commy_requirements,
                     commy_requirements_copy,
                     commy_requirements_free)
G_DEFINE_BOXED_TYPE (CommyCallOptions,
                     commy_call_options,
                     commy_call_options_copy,
                     commy_call_options_free)

CommyRequirements *
commy_requirements_new (void)
{
  CommyRequirements *requirements = g_new0 (CommyRequirements, 1);

  requirements->ordered = TRUE;
  return requirements;
}

CommyRequirements *
commy_requirements_copy (const CommyRequirements *requirements)
{
  g_return_val_if_fail (requirements != NULL, NULL);

  return g_memdup2 (requirements, sizeof *requirements);
}

void
commy_requirements_free (CommyRequirements *requirements)
{
  g_free (requirements);
}

void
commy_requirements_set_preference (CommyRequirements *requirements,
                                   CommyPreference preference,
                                   const char *const *transports)
{
  CommyIdList list = { .n = 0 };

  g_return_if_fail (requirements != NULL);
  g_return_if_fail (preference >= COMMY_PREFER_AUTO && preference <= COMMY_PREFER_ADAPTIVE);
  g_return_if_fail (commy_id_list_set (&list, transports));
  g_return_if_fail (preference != COMMY_PREFER_LIST || list.n > 0);
  g_return_if_fail (preference != COMMY_PREFER_PIN || list.n == 1);

  requirements->preference = preference;
  requirements->transports = list;
}

void
commy_requirements_set_objective (CommyRequirements *requirements, CommyObjective objective)
{
  g_return_if_fail (requirements != NULL);
  g_return_if_fail (objective >= COMMY_OBJECTIVE_DEFAULT && objective <= COMMY_OBJECTIVE_BALANCED);

  requirements->objective = objective;
}

void
commy_requirements_set_max_latency (CommyRequirements *requirements, guint64 ns)
{
  g_return_if_fail (requirements != NULL);

  requirements->max_latency_ns = ns;
}

void
commy_requirements_set_min_throughput (CommyRequirements *requirements, guint64 bytes_per_second)
{
  g_return_if_fail (requirements != NULL);

  requirements->min_throughput = bytes_per_second;
}

void
commy_requirements_set_min_security (CommyRequirements *requirements, CommySecurity security)
{
  g_return_if_fail (requirements != NULL);
  g_return_if_fail (security >= COMMY_SECURITY_NONE && security <= COMMY_SECURITY_MUTUAL);

  requirements->min_security = security;
}

void
commy_requirements_set_ordered (CommyRequirements *requirements, gboolean ordered)
{
  g_return_if_fail (requirements != NULL);

  requirements->ordered = !!ordered;
}

void
commy_requirements_set_consistency (CommyRequirements *requirements, CommyConsistency consistency)
{
  g_return_if_fail (requirements != NULL);
  g_return_if_fail (consistency == COMMY_CONSISTENCY_STALE_OK
                    || consistency == COMMY_CONSISTENCY_LINEARIZABLE);

  requirements->consistency = consistency;
}

void
commy_requirements_set_degradable (CommyRequirements *requirements, gboolean degradable)
{
  g_return_if_fail (requirements != NULL);

  requirements->degradable = !!degradable;
}

/* --- call options --- */

CommyCallOptions *
commy_call_options_new (void)
{
  CommyCallOptions *options = g_new0 (CommyCallOptions, 1);

  options->timeout_us = DEFAULT_TIMEOUT_US;
  options->priority = COMMY_PRIORITY_DEFAULT;
  return options;
}

CommyCallOptions *
commy_call_options_copy (const CommyCallOptions *options)
{
  g_return_val_if_fail (options != NULL, NULL);

  return g_memdup2 (options, sizeof *options);
}

void
commy_call_options_free (CommyCallOptions *options)
{
  g_free (options);
}

void
commy_call_options_set_timeout (CommyCallOptions *options, gint64 timeout_us)
{
  g_return_if_fail (options != NULL);
  g_return_if_fail (timeout_us >= -1);

  options->timeout_us = timeout_us < 0 ? DEFAULT_TIMEOUT_US : timeout_us;
}

void
commy_call_options_set_idempotent (CommyCallOptions *options, gboolean idempotent)
{
  g_return_if_fail (options != NULL);

  options->idempotent = !!idempotent;
}

void
commy_call_options_set_priority (CommyCallOptions *options, guint priority)
{
  g_return_if_fail (options != NULL);
  g_return_if_fail (priority <= COMMY_PRIORITY_MAX);

  options->priority = priority;
}

/* --- sticky keys --- */

guint64
commy_sticky_hash (const char *key)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  if (key == NULL)
    return 0;
  for (const char *c = key; *c != '\0'; c++)
    hash = (hash ^ (guint8) *c) * G_GUINT64_CONSTANT (0x100000001b3);
  hash = (hash ^ (hash >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  hash = (hash ^ (hash >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  hash ^= hash >> 31;
  return MAX (hash, 1);
}

void
commy_call_options_set_sticky_key (CommyCallOptions *options, const char *key)
{
  g_return_if_fail (options != NULL);

  options->sticky = commy_sticky_hash (key);
}
