/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer vtable: which of several instances that are equally good. Slots run on the
 * worker that owns the client; no locks, no allocation in `pick` and `report`.
 */
#pragma once

#include <commy/commy-descriptor.h>

G_BEGIN_DECLS

/**
 * CommyBalancerMember:
 * @id: of the instance
 * @weight: relative, 1 for normal
 * @in_flight: calls under way from this client's worker
 *
 * One instance in a snapshot.
 */
typedef struct
{
  const char *id;
  guint32 weight;
  guint32 in_flight;
} CommyBalancerMember;

/**
 * CommyBalancerSnapshot:
 * @struct_size: `sizeof (CommyBalancerSnapshot)`
 * @members: (array length=n_members): the instances, in a stable order
 * @n_members: at least 1
 *
 * The instances to choose from.
 */
typedef struct
{
  gsize struct_size;
  const CommyBalancerMember *members;
  gsize n_members;
} CommyBalancerSnapshot;

/**
 * CommyBalancerUpdateFunc:
 * @instance: the plugin's instance
 * @state: this client's state, `state_size` bytes, zeroed before the first update
 * @snapshot: the members from now on; only valid during the call
 * @seed: random, for spreading
 *
 * The set of members changed. May allocate.
 */
typedef void (*CommyBalancerUpdateFunc) (gpointer instance,
                                         gpointer state,
                                         const CommyBalancerSnapshot *snapshot,
                                         guint64 seed);

/**
 * CommyBalancerPickFunc:
 * @state: this client's state
 * @snapshot: the members of the last update, with fresh `in_flight`
 * @key: hash of the call's sticky key; 0 for none
 * @excluded: (array) (nullable): one bit a member: not this one
 *
 * Picks.
 *
 * Returns: an index into the members, or -1 if all are excluded
 */
typedef gssize (*CommyBalancerPickFunc) (gpointer state,
                                         const CommyBalancerSnapshot *snapshot,
                                         guint64 key,
                                         const guint64 *excluded);

/**
 * CommyBalancerReportFunc:
 * @state: this client's state
 * @index: as picked
 * @latency_ns: how long the call took
 * @failed: whether the instance failed it
 *
 * How a pick turned out. Optional.
 */
typedef void (*CommyBalancerReportFunc) (gpointer state,
                                         gsize index,
                                         gint64 latency_ns,
                                         gboolean failed);

/**
 * CommyBalancerClearFunc:
 * @state: this client's state
 *
 * Gives back what `update` took. Optional.
 */
typedef void (*CommyBalancerClearFunc) (gpointer state);

/**
 * CommyBalancerOps:
 * @struct_size: `sizeof (CommyBalancerOps)`
 * @state_size: bytes of one client's state
 * @update: required
 * @pick: required
 * @report: optional
 * @clear: optional
 *
 * The operations of a balancer.
 *
 * Since: 0.1
 */
struct _CommyBalancerOps
{
  gsize struct_size;
  gsize state_size;
  CommyBalancerUpdateFunc update;
  CommyBalancerPickFunc pick;
  CommyBalancerReportFunc report;
  CommyBalancerClearFunc clear;
};

G_END_DECLS
