/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "weighted": earliest deadline first. A member of weight w has a turn every 1/w of
 * a cycle, and turns are taken in order: within any cycle everybody gets exactly its share, spread
 * evenly. Everybody's first turn lies at a place by chance, so that clients that start together,
 * or whose members change often, do not favour the heavy ones.
 */
#include "config.h"

#include "../common/commy-balancing.h"

#include <string.h>

#define PHASE_BITS 16 /* parts of a turn */

typedef struct
{
  CommyHost *host;
} Weighted;

/* When a member's next turn is: cycle + (turn + phase) / weight. */
typedef struct
{
  guint64 cycle;
  guint64 at; /* turn and phase: below weight << PHASE_BITS */
  guint32 weight;
  guint32 index;
} Turn;

typedef struct
{
  Turn *heap; /* the earliest first */
  gsize n;
  Turn last; /* that was taken; its weight is 0 before the first */
} State;

/* Ties go by place, so that the order of a cycle is always the same. */
static gboolean
is_before (const Turn *a, const Turn *b)
{
  guint64 x = a->at * b->weight, y = b->at * a->weight;

  if (a->cycle != b->cycle)
    return a->cycle < b->cycle;
  return x != y ? x < y : a->index < b->index;
}

static void
sift_down (Turn *heap, gsize n, gsize from)
{
  Turn moved = heap[from];

  for (gsize child = 2 * from + 1; child < n; child = 2 * from + 1)
    {
      child += child + 1 < n && is_before (&heap[child + 1], &heap[child]);
      if (!is_before (&heap[child], &moved))
        break;
      heap[from] = heap[child];
      from = child;
    }
  heap[from] = moved;
}

static void
weighted_update (gpointer instance,
                 gpointer state_memory,
                 const CommyBalancerSnapshot *snapshot,
                 guint64 seed)
{
  State *state = state_memory;

  state->n = snapshot->n_members;
  state->heap = g_renew (Turn, state->heap, state->n);
  memset (&state->last, 0, sizeof state->last);
  for (gsize i = 0; i < state->n; i++)
    {
      guint64 phase = commy_balancing_mix (seed += COMMY_BALANCING_STEP) >> (64 - PHASE_BITS);

      state->heap[i] = (Turn){ .at = phase,
                               .weight = commy_balancing_weight (&snapshot->members[i]),
                               .index = (guint32) i };
    }
  for (gsize i = state->n / 2; i-- > 0;)
    sift_down (state->heap, state->n, i);
}

/* The earliest of those that are not excluded. */
static gssize
find_allowed (const State *state, const guint64 *excluded)
{
  gssize found = -1;

  for (gsize i = 0; i < state->n; i++)
    if (!commy_balancing_is_excluded (excluded, state->heap[i].index)
        && (found < 0 || is_before (&state->heap[i], &state->heap[found])))
      found = (gssize) i;
  return found;
}

/* Turns that passed while a member was excluded are lost: nobody gets a burst afterwards. */
static gboolean
catch_up (Turn *turn, const Turn *last)
{
  guint64 part = turn->at & ((1 << PHASE_BITS) - 1);
  guint64 reached;

  if (last->weight == 0 || !is_before (turn, last))
    return FALSE;
  turn->cycle = last->cycle;
  reached = last->at * turn->weight / last->weight;
  turn->at = part;
  if (part <= reached)
    turn->at += (((reached - part) >> PHASE_BITS) + 1) << PHASE_BITS;
  if (turn->at >> PHASE_BITS >= turn->weight)
    {
      turn->cycle++;
      turn->at = part;
    }
  return TRUE;
}

static gssize
weighted_pick (gpointer state_memory,
               const CommyBalancerSnapshot *snapshot,
               guint64 key,
               const guint64 *excluded)
{
  State *state = state_memory;

  for (;;)
    {
      gssize found = 0;
      Turn *turn;

      if (G_UNLIKELY (commy_balancing_is_excluded (excluded, state->heap[0].index)))
        found = find_allowed (state, excluded);
      if (found < 0)
        return -1;
      turn = &state->heap[found];
      if (G_UNLIKELY (catch_up (turn, &state->last)))
        {
          sift_down (state->heap, state->n, (gsize) found);
          continue;
        }
      state->last = *turn;
      turn->at += 1 << PHASE_BITS;
      if (turn->at >> PHASE_BITS >= turn->weight)
        {
          turn->at -= (guint64) turn->weight << PHASE_BITS;
          turn->cycle++;
        }
      sift_down (state->heap, state->n, (gsize) found);
      return (gssize) state->last.index;
    }
}

static void
weighted_clear (gpointer state_memory)
{
  State *state = state_memory;

  g_clear_pointer (&state->heap, g_free);
}

static gboolean
weighted_init (gpointer instance, CommyHost *host, GError **error)
{
  Weighted *self = instance;

  self->host = host;
  return TRUE;
}

static void
weighted_fini (gpointer instance)
{
  Weighted *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps weighted_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = weighted_update,
  .pick = weighted_pick,
  .clear = weighted_clear,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "weighted",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "one after the other, by weight",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 20 } });
COMMY_PLUGIN_DEFINE (Weighted, weighted_init, NULL, weighted_fini, NULL, 0, &weighted_ops);
