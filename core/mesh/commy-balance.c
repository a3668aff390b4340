/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balancer at work. Peers write down in a short log whose calls under way changed; a pick reads
 * what is new in it, and looks at all members only where it fell behind.
 */
#include "config.h"

#include "mesh/commy-balance.h"

#include "control/commy-chance.h"

#include <stdlib.h>
#include <string.h>

#define NO_MEMBER G_MAXUINT32

struct _CommyBalance
{
  CommyPlugin *balancer; /* borrowed */
  const CommyEnv *env;
  gpointer instance; /* of the balancer, which the state was made by */
  gpointer state;
  CommyBalancerSnapshot snapshot;
  CommyBalancerMember *members;
  CommyPeer **peer_of; /* references */
  CommyPeers *peers;   /* borrowed; theirs */
  guint32 *member_of;  /* by a peer's slot */
  guint32 n_slots;
  guint32 generation;
  guint64 n_seen; /* changes of calls under way */
  guint64 chance;
};

/* Unlike that of any other set of members, of any balance: a turn may outlive its balance. */
static guint32
next_generation (CommyPeers *peers)
{
  peers->last_generation = MAX (peers->last_generation + 1, 1);
  return peers->last_generation;
}

CommyBalance *
commy_balance_new (CommyPlugin *balancer, const CommyEnv *env)
{
  CommyBalance *self = g_new0 (CommyBalance, 1);
  gsize size = MAX (balancer->ops.balancer.state_size, 1);

  self->balancer = balancer;
  self->env = env;
  self->snapshot.struct_size = sizeof self->snapshot;
  self->chance = commy_env_random64 (env);
  self->state = aligned_alloc (64, (size + 63) & ~(gsize) 63);
  memset (self->state, 0, size);
  return self;
}

static void
clear_members (CommyBalance *self)
{
  for (gsize i = 0; i < self->snapshot.n_members; i++)
    commy_peer_unref (self->peer_of[i]);
  g_clear_pointer (&self->peer_of, g_free);
  g_clear_pointer (&self->members, g_free);
  g_clear_pointer (&self->member_of, g_free);
  self->snapshot.n_members = 0;
}

void
commy_balance_free (CommyBalance *self)
{
  if (self == NULL)
    return;
  self->balancer->ops.balancer.clear (self->state);
  clear_members (self);
  free (self->state);
  g_free (self);
}

/* --- members --- */

static gboolean
is_same (const CommyBalance *self,
         const CommyPeers *peers,
         CommyPeer *const *members,
         const guint32 *weights,
         guint n_members)
{
  if (self->instance != self->balancer->instance || self->peers != peers
      || self->snapshot.n_members != n_members)
    return FALSE;
  for (guint i = 0; i < n_members; i++)
    if (self->peer_of[i] != members[i] || self->members[i].weight != weights[i])
      return FALSE;
  return TRUE;
}

static void
read_all_calls (CommyBalance *self)
{
  for (gsize i = 0; i < self->snapshot.n_members; i++)
    self->members[i].in_flight = self->peer_of[i]->in_flight;
  self->n_seen = self->peers->loads->n_changes;
}

void
commy_balance_update (CommyBalance *self,
                      CommyPeers *peers,
                      CommyPeer *const *members,
                      const guint32 *weights,
                      guint n_members)
{
  CommyPeer **peer_of;

  if (is_same (self, peers, members, weights, n_members))
    return;
  peer_of = g_new (CommyPeer *, n_members);
  for (guint i = 0; i < n_members; i++)
    peer_of[i] = commy_peer_ref (members[i]);
  clear_members (self);
  self->peer_of = peer_of;
  self->peers = peers;
  self->instance = self->balancer->instance;
  self->members = g_new0 (CommyBalancerMember, n_members);
  self->n_slots = commy_peers_watch_loads (peers);
  self->member_of = g_new (guint32, self->n_slots);
  memset (self->member_of, 0xff, self->n_slots * sizeof *self->member_of); /* NO_MEMBER */
  for (guint i = 0; i < n_members; i++)
    {
      self->members[i].id = peer_of[i]->instance->id;
      self->members[i].weight = weights[i];
      self->member_of[peer_of[i]->slot] = i;
    }
  self->snapshot.members = self->members;
  self->snapshot.n_members = n_members;
  read_all_calls (self);
  self->generation = next_generation (peers);
  self->snapshot.now_ns = commy_env_now (self->env);
  self->balancer->ops.balancer.update (self->instance, self->state, &self->snapshot,
                                       commy_env_random64 (self->env));
}

/* --- picking --- */

static void
read_calls (CommyBalance *self)
{
  const CommyLoads *loads = self->peers->loads;

  if (loads->n_changes - self->n_seen > G_N_ELEMENTS (loads->slots))
    {
      read_all_calls (self);
      return;
    }
  for (; self->n_seen < loads->n_changes; self->n_seen++)
    {
      guint32 slot = loads->slots[self->n_seen % G_N_ELEMENTS (loads->slots)];
      guint32 member = slot < self->n_slots ? self->member_of[slot] : NO_MEMBER;

      if (member != NO_MEMBER)
        self->members[member].in_flight = self->peer_of[member]->in_flight;
    }
}

/* Good enough for balancing, and no system call. */
guint64
commy_balance_draw (CommyBalance *self)
{
  return commy_chance_next (&self->chance);
}

gint64
commy_balance_now (CommyBalance *self)
{
  return commy_env_now (self->env);
}

CommyTurn
commy_balance_pick (CommyBalance *self, const guint64 *excluded, guint64 key, gint64 now_ns)
{
  gssize index;

  read_calls (self);
  self->snapshot.now_ns = now_ns != 0 ? now_ns : commy_env_now (self->env);
  self->snapshot.random = commy_chance_next (&self->chance);
  index = self->balancer->ops.balancer.pick (self->state, &self->snapshot, key, excluded);
  if (G_UNLIKELY (index < 0 || (gsize) index >= self->snapshot.n_members))
    /* A balancer that knows nobody is no reason to call whom others have left out. */
    index = (gssize) commy_first_allowed (excluded, self->snapshot.n_members);
  return (CommyTurn){ (guint32) index, self->generation };
}

CommyPeer *
commy_balance_dup_peer (CommyBalance *self, CommyTurn turn)
{
  if (self == NULL || turn.generation != self->generation)
    return NULL;
  return commy_peer_ref (self->peer_of[turn.index]);
}

/* --- what became of it --- */

void
commy_balance_report (CommyBalance *self, CommyTurn turn, gint64 took_ns, gboolean failed)
{
  if (turn.generation == self->generation)
    self->balancer->ops.balancer.report (self->state, turn.index, took_ns, failed);
}
