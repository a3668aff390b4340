/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "round-robin": one member after the other. Every client begins at a place of its
 * own, so that many clients that start together do not all call the same member first.
 */
#include "config.h"

#include "../common/commy-balancing.h"

typedef struct
{
  CommyHost *host;
} RoundRobin;

typedef struct
{
  gsize next;
  gsize turn;      /* of those that are left, where some are not */
  gboolean placed; /* whether `next` was set from a seed */
} State;

static void
round_robin_update (gpointer instance,
                    gpointer state_memory,
                    const CommyBalancerSnapshot *snapshot,
                    guint64 seed)
{
  State *state = state_memory;

  if (!state->placed)
    state->next = state->turn = (gsize) (seed % snapshot->n_members);
  state->placed = TRUE;
  if (state->next >= snapshot->n_members)
    state->next = 0;
}

static gssize
round_robin_pick (gpointer state_memory,
                  const CommyBalancerSnapshot *snapshot,
                  guint64 key,
                  const guint64 *excluded)
{
  State *state = state_memory;
  gsize n = snapshot->n_members, left;
  gsize index = state->next < n ? state->next : 0;

  /* The turns of those that are left out go to all others, not to the next one. */
  if (G_UNLIKELY (excluded != NULL))
    {
      left = commy_balancing_count (excluded, n);
      if (left == 0)
        return -1;
      index = commy_balancing_nth (excluded, state->turn++ % left);
    }
  state->next = index + 1 < n ? index + 1 : 0;
  return (gssize) index;
}

static gboolean
round_robin_init (gpointer instance, CommyHost *host, GError **error)
{
  RoundRobin *self = instance;

  self->host = host;
  return TRUE;
}

static void
round_robin_fini (gpointer instance)
{
  RoundRobin *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps round_robin_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = round_robin_update,
  .pick = round_robin_pick,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "round-robin",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "one member after the other",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 3 } });
COMMY_PLUGIN_DEFINE (
    RoundRobin, round_robin_init, NULL, round_robin_fini, NULL, 0, &round_robin_ops);
