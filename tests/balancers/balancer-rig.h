/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balancer with members to choose from, chance from a seed and a clock that a test rules; and
 * how even a distribution is.
 */
#pragma once

#include "../conformance/commy-test-host.h"

G_BEGIN_DECLS

#define BALANCER_RIG_MEMBERS 1000

typedef struct
{
  CommyTestHost *host;
  const CommyBalancerOps *ops;
  gpointer instance;
  gpointer state;
  char ids[BALANCER_RIG_MEMBERS][16];
  CommyBalancerMember members[BALANCER_RIG_MEMBERS];
  CommyBalancerSnapshot snapshot;
  guint64 seed; /* of the chance */
} BalancerRig;

/* @params: pairs of a name and a value, NULL at the end; or NULL. */
BalancerRig *balancer_rig_new (const char *id, const char *const *params);
void balancer_rig_free (BalancerRig *rig);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BalancerRig, balancer_rig_free)

/* The next 64 bits by chance. */
guint64 balancer_rig_random (BalancerRig *rig);
/* Above 0, below 1. */
double balancer_rig_real (BalancerRig *rig);
/* The first @n members from now on, with the weights that they have. */
void balancer_rig_update (BalancerRig *rig, gsize n, guint64 seed);
gssize balancer_rig_pick (BalancerRig *rig, guint64 key, const guint64 *excluded);
void balancer_rig_report (BalancerRig *rig, gssize index, gint64 latency_ns, gboolean failed);

/* How far @counts are from the members' weights: 0 where they are so by chance, in standard
 * deviations; below it where they are more even than chance would have it. */
double balancer_rig_deviation (const BalancerRig *rig, const guint *counts);

G_END_DECLS
