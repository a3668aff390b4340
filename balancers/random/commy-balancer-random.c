/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "random": each call goes to a member by chance, in proportion to its weight, in
 * constant time: Walker's alias method with Vose's tables.
 */
#include "config.h"

#include "../common/commy-balancing.h"

#include <string.h>

typedef struct
{
  CommyHost *host;
} Random;

/* Of one member: below the threshold it is meant itself, else its alias. */
typedef struct
{
  guint32 threshold;
  guint32 alias;
} Column;

typedef struct
{
  Column *columns; /* NULL: all weights are equal */
  guint64 own;
} State;

static gboolean
are_equal (const CommyBalancerSnapshot *snapshot)
{
  for (gsize i = 1; i < snapshot->n_members; i++)
    if (commy_balancing_weight (&snapshot->members[i])
        != commy_balancing_weight (&snapshot->members[0]))
      return FALSE;
  return TRUE;
}

static guint32
threshold_of (double share)
{
  return (guint32) MIN (share * 4294967296.0, 4294967295.0);
}

/* Who has less than an even share is filled up by one who has more (Vose, "A linear algorithm for
 * generating random numbers with a given distribution", 1991). */
static void
fill_columns (Column *columns, const CommyBalancerSnapshot *snapshot)
{
  gsize n = snapshot->n_members, n_small = 0, n_large = 0;
  g_autofree double *share = g_new (double, n);
  g_autofree guint32 *small = g_new (guint32, n);
  g_autofree guint32 *large = g_new (guint32, n);
  double total = 0;

  for (gsize i = 0; i < n; i++)
    total += commy_balancing_weight (&snapshot->members[i]);
  for (gsize i = 0; i < n; i++)
    {
      share[i] = commy_balancing_weight (&snapshot->members[i]) * (double) n / total;
      if (share[i] < 1)
        small[n_small++] = (guint32) i;
      else
        large[n_large++] = (guint32) i;
      columns[i] = (Column){ G_MAXUINT32, (guint32) i };
    }
  while (n_small > 0 && n_large > 0)
    {
      guint32 poor = small[--n_small], rich = large[n_large - 1];

      columns[poor] = (Column){ threshold_of (share[poor]), rich };
      share[rich] -= 1 - share[poor];
      if (share[rich] < 1)
        {
          n_large--;
          small[n_small++] = rich;
        }
    }
}

static void
random_update (gpointer instance,
               gpointer state_memory,
               const CommyBalancerSnapshot *snapshot,
               guint64 seed)
{
  State *state = state_memory;

  g_clear_pointer (&state->columns, g_free);
  state->own = seed;
  if (are_equal (snapshot))
    return;
  state->columns = g_new (Column, snapshot->n_members);
  fill_columns (state->columns, snapshot);
}

/* In proportion to the weights of those that are left. */
static gssize
pick_of_rest (const CommyBalancerSnapshot *snapshot, const guint64 *excluded, guint64 random)
{
  guint64 total = 0, at;
  gssize last = -1;

  for (gsize i = 0; i < snapshot->n_members; i++)
    if (!commy_balancing_is_excluded (excluded, i))
      total += commy_balancing_weight (&snapshot->members[i]);
  at = commy_balancing_below ((guint32) (random >> 32), total);
  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      guint32 weight = commy_balancing_weight (&snapshot->members[i]);

      if (commy_balancing_is_excluded (excluded, i))
        continue;
      last = (gssize) i;
      if (at < weight)
        break;
      at -= weight;
    }
  return last;
}

static gssize
random_pick (gpointer state_memory,
             const CommyBalancerSnapshot *snapshot,
             guint64 key,
             const guint64 *excluded)
{
  State *state = state_memory;
  guint64 random = commy_balancing_random (snapshot, &state->own);
  gsize index = commy_balancing_below ((guint32) (random >> 32), snapshot->n_members);

  if (state->columns != NULL && (guint32) random >= state->columns[index].threshold)
    index = state->columns[index].alias;
  if (G_UNLIKELY (commy_balancing_is_excluded (excluded, index)))
    return pick_of_rest (snapshot, excluded, commy_balancing_mix (random));
  return (gssize) index;
}

static void
random_clear (gpointer state_memory)
{
  State *state = state_memory;

  g_clear_pointer (&state->columns, g_free);
}

static gboolean
random_init (gpointer instance, CommyHost *host, GError **error)
{
  Random *self = instance;

  self->host = host;
  return TRUE;
}

static void
random_fini (gpointer instance)
{
  Random *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps random_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = random_update,
  .pick = random_pick,
  .clear = random_clear,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "random",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "a member by chance, by weight",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 3 } });
COMMY_PLUGIN_DEFINE (Random, random_init, NULL, random_fini, NULL, 0, &random_ops);
