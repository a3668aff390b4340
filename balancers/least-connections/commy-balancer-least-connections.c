/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "least-connections": of two members by chance the one with fewer calls under way
 * for its weight. Two are enough: the busiest of n members then has log log n calls more than
 * the others, and clients that know nothing of each other do not all run to the same one
 * (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
 */
#include "config.h"

#include "../common/commy-balancing.h"

typedef struct
{
  CommyHost *host;
} LeastConnections;

typedef struct
{
  guint64 own;
} State;

static void
least_connections_update (gpointer instance,
                          gpointer state_memory,
                          const CommyBalancerSnapshot *snapshot,
                          guint64 seed)
{
  State *state = state_memory;

  state->own = seed;
}

/* Whether one more call is less for @a than for @b. */
static gboolean
is_less_busy (const CommyBalancerMember *a, const CommyBalancerMember *b)
{
  return ((guint64) a->in_flight + 1) * commy_balancing_weight (b)
         < ((guint64) b->in_flight + 1) * commy_balancing_weight (a);
}

static gssize
least_connections_pick (gpointer state_memory,
                        const CommyBalancerSnapshot *snapshot,
                        guint64 key,
                        const guint64 *excluded)
{
  State *state = state_memory;
  guint64 random = commy_balancing_random (snapshot, &state->own);
  gsize a, b;

  if (!commy_balancing_two (snapshot, excluded, random, &a, &b))
    return -1;
  return (gssize) (is_less_busy (&snapshot->members[b], &snapshot->members[a]) ? b : a);
}

static gboolean
least_connections_init (gpointer instance, CommyHost *host, GError **error)
{
  LeastConnections *self = instance;

  self->host = host;
  return TRUE;
}

static void
least_connections_fini (gpointer instance)
{
  LeastConnections *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps least_connections_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = least_connections_update,
  .pick = least_connections_pick,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "least-connections",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the less busy of two members",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 6 } });
COMMY_PLUGIN_DEFINE (LeastConnections,
                     least_connections_init,
                     NULL,
                     least_connections_fini,
                     NULL,
                     0,
                     &least_connections_ops);
