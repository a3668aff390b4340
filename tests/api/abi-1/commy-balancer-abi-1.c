/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balancer outside of Commy's tree: the instance with the fewest calls under way for its weight;
 * of several equal ones the next in turn. Written against the installed headers only; read it from
 * the bottom up.
 */
#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost *host;
} Instance;

/* Of one client. */
typedef struct
{
  gsize turn; /* where the next search begins */
} State;

static gboolean
is_excluded (const guint64 *excluded, gsize index)
{
  return excluded != NULL && ((excluded[index / 64] >> (index % 64)) & 1) != 0;
}

/* Whether @a has fewer calls for its weight than @b: without a division, so nothing is rounded. */
static gboolean
is_less_busy (const CommyBalancerMember *a, const CommyBalancerMember *b)
{
  return (guint64) a->in_flight * b->weight < (guint64) b->in_flight * a->weight;
}

static void
abi_1_update (gpointer instance,
                  gpointer state,
                  const CommyBalancerSnapshot *snapshot,
                  guint64 seed)
{
  /* Clients begin at different places, or all would meet at the first instance. */
  ((State *) state)->turn = (gsize) (seed % snapshot->n_members);
}

static gssize
abi_1_pick (gpointer state,
                const CommyBalancerSnapshot *snapshot,
                guint64 key,
                const guint64 *excluded)
{
  State *self = state;
  gssize best = -1;

  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      gsize index = (self->turn + i) % snapshot->n_members;

      if (!is_excluded (excluded, index)
          && (best < 0
              || is_less_busy (&snapshot->members[index], &snapshot->members[(gsize) best])))
        best = (gssize) index;
    }
  if (best >= 0)
    self->turn = (gsize) best + 1;
  return best;
}

/* --- the plugin --- */

static gboolean
abi_1_init (gpointer instance, CommyHost *host, GError **error)
{
  ((Instance *) instance)->host = host;
  return TRUE;
}

static void
abi_1_fini (gpointer instance)
{
}

static const CommyBalancerOps abi_1_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = abi_1_update,
  .pick = abi_1_pick,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "abi-1",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "The instance with the fewest calls under way",
                   "",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .size_factor = 1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (Instance, abi_1_init, NULL, abi_1_fini, NULL, 0, &abi_1_ops);
