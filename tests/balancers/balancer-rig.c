/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balancer with members to choose from: see the header.
 */
#include "config.h"

#include "balancer-rig.h"

#include <math.h>

BalancerRig *
balancer_rig_new (const char *id, const char *const *params)
{
  BalancerRig *rig = g_new0 (BalancerRig, 1);
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("balancer", id, &error);

  g_assert_no_error (error);
  rig->host = commy_test_host_new (NULL, descriptor);
  for (; params != NULL && params[0] != NULL; params += 2)
    commy_test_host_set_param (rig->host, params[0], params[1]);
  rig->ops = descriptor->ops;
  rig->instance = commy_test_host_start (rig->host, &error);
  g_assert_no_error (error);
  rig->state = g_malloc0 (rig->ops->state_size);
  for (gsize i = 0; i < BALANCER_RIG_MEMBERS; i++)
    {
      g_snprintf (rig->ids[i], sizeof rig->ids[i], "member-%u", (guint) i);
      rig->members[i] = (CommyBalancerMember){ rig->ids[i], 1, 0 };
    }
  rig->snapshot.struct_size = sizeof rig->snapshot;
  rig->snapshot.members = rig->members;
  rig->seed = 1;
  return rig;
}

void
balancer_rig_free (BalancerRig *rig)
{
  if (rig->ops->clear != NULL)
    rig->ops->clear (rig->state);
  g_free (rig->state);
  commy_test_host_free (rig->host);
  g_free (rig);
}

/* SplitMix64. */
guint64
balancer_rig_random (BalancerRig *rig)
{
  guint64 x = rig->seed += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

double
balancer_rig_real (BalancerRig *rig)
{
  return ((double) (balancer_rig_random (rig) >> 11) + 0.5) / 9007199254740992.0;
}

void
balancer_rig_update (BalancerRig *rig, gsize n, guint64 seed)
{
  g_assert_cmpuint (n, <=, BALANCER_RIG_MEMBERS);
  rig->snapshot.n_members = n;
  rig->ops->update (rig->instance, rig->state, &rig->snapshot, seed);
}

gssize
balancer_rig_pick (BalancerRig *rig, guint64 key, const guint64 *excluded)
{
  gssize index;

  rig->snapshot.random = balancer_rig_random (rig);
  index = rig->ops->pick (rig->state, &rig->snapshot, key, excluded);
  g_assert_cmpint (index, >=, -1);
  g_assert_cmpint (index, <, (gssize) rig->snapshot.n_members);
  return index;
}

void
balancer_rig_report (BalancerRig *rig, gssize index, gint64 latency_ns, gboolean failed)
{
  if (rig->ops->report != NULL)
    rig->ops->report (rig->state, (gsize) index, latency_ns, failed);
}

/* Chi-square, made normal after Wilson and Hilferty (1931). */
double
balancer_rig_deviation (const BalancerRig *rig, const guint *counts)
{
  gsize n = rig->snapshot.n_members;
  double freedom = (double) n - 1, picks = 0, weights = 0, square = 0;
  double part = 2 / (9 * freedom);

  for (gsize i = 0; i < n; i++)
    {
      picks += counts[i];
      weights += rig->members[i].weight;
    }
  for (gsize i = 0; i < n; i++)
    {
      double expected = picks * rig->members[i].weight / weights;

      square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
  return (cbrt (square / freedom) - (1 - part)) / sqrt (part);
}
