/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balancer at work for one route: its state, which outlives decisions, the members in the form
 * it wants them, and their calls under way, which are kept up to date at a cost that does not grow
 * with their number. Owner's thread only.
 */
#pragma once

#include "base/commy-bits.h"
#include "mesh/commy-peers.h"

/* Which pick a call was. */
typedef struct
{
  guint32 index;
  guint32 generation; /* of the members; 0: nobody was asked */
  guint32 route;      /* whose balancer it was: the client's own number for it */
} CommyTurn;

typedef struct _CommyBalance CommyBalance;

static inline gsize
commy_first_allowed (const guint64 *excluded, gsize n)
{
  for (gsize i = 0; excluded != NULL && i < n; i++)
    if (!commy_bits_has (excluded, i))
      return i;
  return 0;
}

CommyBalance *commy_balance_new (CommyPlugin *balancer, const CommyEnv *env);
void commy_balance_free (CommyBalance *balance);

/* The members from now on, in this order; the balancer is told what changed. @weights: of each. */
void commy_balance_update (CommyBalance *balance,
                           CommyPeers *peers,
                           CommyPeer *const *members,
                           const guint32 *weights,
                           guint n_members);
/* @excluded: one bit a member that is not to be picked, of which one is left; NULL: all may be.
 * @key: a sticky key's hash, or 0. @now_ns: 0 for now. */
CommyTurn
commy_balance_pick (CommyBalance *balance, const guint64 *excluded, guint64 key, gint64 now_ns);
/* Chance and time as picks have them. */
guint64 commy_balance_draw (CommyBalance *balance);
gint64 commy_balance_now (CommyBalance *balance);
/* (transfer full) (nullable): whom @turn picked, if the members are still the same. */
CommyPeer *commy_balance_dup_peer (CommyBalance *balance, CommyTurn turn);
/* Nothing where the members changed meanwhile. */
void commy_balance_report (CommyBalance *balance, CommyTurn turn, gint64 took_ns, gboolean failed);
