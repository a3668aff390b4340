/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "consistent-hash": calls with the same sticky key go to the same member; when
 * members come and go, few keys move. A member that has more than its bounded share of the calls
 * under way passes a call on, by the key's next hash and not to the next on the ring, so that no
 * neighbour gets all of it (Mirrokni and others, "Consistent hashing with bounded loads", 2016;
 * Chen and others, "Revisiting consistent hashing with bounded loads", 2019).
 */
#include "config.h"

#include "commy-hash-table.h"

#include "../../plugins/common/commy-params.h"
#include "../common/commy-balancing.h"

#include <string.h>

#define JUMPS 16 /* before all members are looked at */

typedef struct
{
  CommyHost *host;
  gboolean is_maglev;
  guint points;
  guint slots;
  guint bound; /* per cent of an even share; 0: none */
} ConsistentHash;

typedef struct
{
  const ConsistentHash *settings;
  CommyHashRing ring;
  CommyHashMaglev maglev;
  double total_weight;
  guint64 own;
} State;

static void
consistent_hash_update (gpointer instance,
                        gpointer state_memory,
                        const CommyBalancerSnapshot *snapshot,
                        guint64 seed)
{
  State *state = state_memory;

  state->settings = instance;
  state->own = seed;
  state->total_weight = 0;
  for (gsize i = 0; i < snapshot->n_members; i++)
    state->total_weight += commy_balancing_weight (&snapshot->members[i]);
  if (state->settings->is_maglev)
    commy_hash_maglev_build (&state->maglev, snapshot, state->settings->slots);
  else
    commy_hash_ring_build (&state->ring, snapshot, state->settings->points);
}

static gsize
find (const State *state, guint64 hash)
{
  return state->settings->is_maglev ? commy_hash_maglev_find (&state->maglev, hash)
                                    : commy_hash_ring_find (&state->ring, hash);
}

/* Calls under way that a weight of 1 may have, this one included. */
static double
bound_per_weight (const State *state, const CommyBalancerSnapshot *snapshot)
{
  guint64 calls = 1;

  for (gsize i = 0; i < snapshot->n_members; i++)
    calls += snapshot->members[i].in_flight;
  return state->settings->bound / 100.0 * (double) calls / state->total_weight;
}

/* Below a bound, rounded up. */
static gboolean
has_room (const CommyBalancerMember *member, double per_weight)
{
  return member->in_flight < per_weight * commy_balancing_weight (member);
}

/* The first with room, from a place by hash; else the one with most room. */
static gssize
search (const CommyBalancerSnapshot *snapshot,
        const guint64 *excluded,
        double per_weight,
        gsize from)
{
  double least = 0;
  gssize found = -1;

  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      gsize index = from + i < snapshot->n_members ? from + i : from + i - snapshot->n_members;
      const CommyBalancerMember *member = &snapshot->members[index];
      double load = (double) member->in_flight / commy_balancing_weight (member);

      if (commy_balancing_is_excluded (excluded, index))
        continue;
      if (has_room (member, per_weight))
        return (gssize) index;
      if (found < 0 || load < least)
        {
          found = (gssize) index;
          least = load;
        }
    }
  return found;
}

static gssize
consistent_hash_pick (gpointer state_memory,
                      const CommyBalancerSnapshot *snapshot,
                      guint64 key,
                      const guint64 *excluded)
{
  State *state = state_memory;
  guint64 hash = key != 0 ? commy_balancing_mix (key + COMMY_BALANCING_STEP)
                          : commy_balancing_random (snapshot, &state->own);
  double per_weight = -1;

  for (guint jump = 0; jump < JUMPS; jump++)
    {
      gsize index = find (state, hash);

      if (!commy_balancing_is_excluded (excluded, index))
        {
          const CommyBalancerMember *member = &snapshot->members[index];

          if (state->settings->bound == 0 || member->in_flight == 0)
            return (gssize) index;
          if (per_weight < 0)
            per_weight = bound_per_weight (state, snapshot);
          if (has_room (member, per_weight))
            return (gssize) index;
        }
      hash = commy_balancing_mix (hash + COMMY_BALANCING_STEP);
    }
  if (per_weight < 0)
    per_weight = state->settings->bound != 0 ? bound_per_weight (state, snapshot) : G_MAXDOUBLE;
  return search (snapshot, excluded, per_weight,
                 commy_balancing_below ((guint32) hash, snapshot->n_members));
}

static void
consistent_hash_clear (gpointer state_memory)
{
  State *state = state_memory;

  commy_hash_ring_clear (&state->ring);
  commy_hash_maglev_clear (&state->maglev);
}

static const CommyParamSpec consistent_hash_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_CHOICE,
    .name = "algorithm",
    .default_value = "ring",
    .choices = "ring;maglev",
    .help = "ring moves the fewest keys when members change; maglev has the most even shares" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "points",
    .default_value = "160",
    .minimum = 1,
    .maximum = 10000,
    .help = "On the ring, of the member with the least weight" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "slots",
    .default_value = "65537",
    .minimum = 101,
    .maximum = COMMY_HASH_MAX_SLOTS,
    .help = "Of maglev's table: 100 a member or more; rounded up to a prime" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "bound",
    .default_value = "0",
    .minimum = 0,
    .maximum = 10000,
    .help = "Most calls under way at a member, in per cent of its even share; 0: any number" },
};

static guint
param_number (CommyHost *host, const char *name)
{
  return (guint) g_ascii_strtoull (host->param (host, name), NULL, 10);
}

static gboolean
consistent_hash_init (gpointer instance, CommyHost *host, GError **error)
{
  ConsistentHash *self = instance;

  self->host = host;
  self->is_maglev = strcmp (host->param (host, "algorithm"), "maglev") == 0;
  self->points = param_number (host, "points");
  self->slots = param_number (host, "slots");
  self->bound = param_number (host, "bound");
  if (self->bound == 0 || self->bound >= 100)
    return TRUE;
  return commy_params_refuse (
      error,
      "bound=%u: less than an even share each cannot hold all calls; write 0 for no "
      "bound, or 100 and more",
      self->bound);
}

static void
consistent_hash_fini (gpointer instance)
{
  ConsistentHash *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps consistent_hash_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = consistent_hash_update,
  .pick = consistent_hash_pick,
  .clear = consistent_hash_clear,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "consistent-hash",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the same member for the same key",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 12 } });
COMMY_PLUGIN_DEFINE (ConsistentHash,
                     consistent_hash_init,
                     NULL,
                     consistent_hash_fini,
                     consistent_hash_params,
                     G_N_ELEMENTS (consistent_hash_params),
                     &consistent_hash_ops);
