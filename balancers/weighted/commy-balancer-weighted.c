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
#define SKIPPED 8u    /* turns of excluded members, before all are looked at */

typedef struct
{
  CommyHost *host;
} Weighted;

/* When a member's next turn is: cycle + (turn + phase) / weight. */
typedef struct
{
  guint64 cycle;
  guint64 due;  /* the place in the cycle, in parts of 2^-64, a little too early */
  guint64 at;   /* the same: turn and phase, below weight << PHASE_BITS */
  guint64 part; /* what one of `at` is of `due` */
  guint32 weight;
} Turn;

/* A tournament: node 1 knows who is next of all, each node who is of the two below it, the last
 * `width` nodes are the members. */
typedef struct
{
  Turn *turns; /* of the members; one more that is never next fills the tree up */
  gsize n;
  guint32 *tree;
  gsize width; /* a power of two */
  Turn last;   /* that was taken; its weight is 0 before the first */
} State;

static inline guint32
next_of (const Turn *turns, guint32 a, guint32 b)
{
  const Turn *x = &turns[a], *y = &turns[b];

  if (x->cycle != y->cycle)
    return y->cycle < x->cycle ? b : a;
  return y->due < x->due ? b : a;
}

static gboolean
has_passed (const Turn *turn, const Turn *last)
{
  if (turn->cycle != last->cycle)
    return turn->cycle < last->cycle;
  return turn->at * last->weight < last->at * turn->weight;
}

/* Up to the top. What decides a match is at hand: rivals do not depend on the matches before. */
static void
replay (State *state, guint32 member)
{
  guint64 cycle = state->turns[member].cycle, due = state->turns[member].due;

  for (gsize node = state->width + member; node > 1; node /= 2)
    {
      const guint32 rival = state->tree[node ^ 1];
      const Turn *turn = &state->turns[rival];
      const gboolean wins = (turn->cycle < cycle) | ((turn->cycle == cycle) & (turn->due < due));

      member = wins ? rival : member;
      cycle = wins ? turn->cycle : cycle;
      due = wins ? turn->due : due;
      state->tree[node / 2] = member;
    }
}

static void
weighted_update (gpointer instance,
                 gpointer state_memory,
                 const CommyBalancerSnapshot *snapshot,
                 guint64 seed)
{
  State *state = state_memory;

  state->n = snapshot->n_members;
  state->turns = g_renew (Turn, state->turns, state->n + 1);
  for (state->width = 1; state->width < state->n;)
    state->width *= 2;
  state->tree = g_renew (guint32, state->tree, 2 * state->width);
  memset (&state->last, 0, sizeof state->last);
  for (gsize i = 0; i < state->n; i++)
    {
      const guint32 weight = commy_balancing_weight (&snapshot->members[i]);
      const guint64 part = G_MAXUINT64 / ((guint64) weight << PHASE_BITS);
      const guint64 phase = commy_balancing_mix (seed += COMMY_BALANCING_STEP) >> (64 - PHASE_BITS);

      state->turns[i] = (Turn){ .due = phase * part, .at = phase, .part = part, .weight = weight };
    }
  state->turns[state->n] = (Turn){ .cycle = G_MAXUINT64 };
  for (gsize i = 0; i < state->width; i++)
    state->tree[state->width + i] = (guint32) MIN (i, state->n);
  for (gsize node = state->width; --node > 0;)
    state->tree[node] = next_of (state->turns, state->tree[2 * node], state->tree[2 * node + 1]);
}

/* The earliest of those that are not excluded. */
static gssize
find_allowed (const State *state, const guint64 *excluded)
{
  guint32 found = (guint32) state->n;

  for (gsize i = 0; i < state->n; i++)
    if (!commy_balancing_is_excluded (excluded, i))
      found = next_of (state->turns, found, (guint32) i);
  return found < state->n ? (gssize) found : -1;
}

/* Turns that passed while a member was excluded are lost: nobody gets a burst afterwards. */
static gboolean
catch_up (Turn *turn, const Turn *last)
{
  guint64 part = turn->at & ((1 << PHASE_BITS) - 1);
  guint64 reached;

  if (last->weight == 0 || !has_passed (turn, last))
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
  turn->due = turn->at * turn->part;
  return TRUE;
}

static void
take_turn (State *state, guint32 member)
{
  Turn *turn = &state->turns[member];

  turn->at += 1 << PHASE_BITS;
  if (turn->at >> PHASE_BITS >= turn->weight)
    {
      turn->at -= (guint64) turn->weight << PHASE_BITS;
      turn->cycle++;
    }
  turn->due = turn->at * turn->part;
  replay (state, member);
}

/* Whose turn it is of those that may be picked. The turns that excluded members lose are taken for
 * them, so that they are not in the way of the next pick. */
static gssize
find_next (State *state, const guint64 *excluded)
{
  for (guint i = 0; i < SKIPPED; i++)
    {
      const guint32 first = state->tree[1];

      if (G_LIKELY (!commy_balancing_is_excluded (excluded, first)))
        return (gssize) first;
      if (catch_up (&state->turns[first], &state->last))
        replay (state, first);
      else
        take_turn (state, first);
    }
  return find_allowed (state, excluded);
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
      const gssize found = find_next (state, excluded);

      if (found < 0)
        return -1;
      if (G_UNLIKELY (catch_up (&state->turns[found], &state->last)))
        {
          replay (state, (guint32) found);
          continue;
        }
      state->last = state->turns[found];
      take_turn (state, (guint32) found);
      return found;
    }
}

static void
weighted_clear (gpointer state_memory)
{
  State *state = state_memory;

  g_clear_pointer (&state->turns, g_free);
  g_clear_pointer (&state->tree, g_free);
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
