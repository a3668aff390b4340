/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call looks into: for each instance that ties with the best which stack serves which
 * size, and the balancer that picks among them.
 */
#include "config.h"

#include "mesh/commy-route-table.h"

#include <stdlib.h>
#include <string.h>

void
commy_route_clear (CommyRoute *route, CommyPlugin *balancer)
{
  for (guint i = 0; i < route->n_members; i++)
    commy_peer_unref (route->members[i].peer);
  g_clear_pointer (&route->members, g_free);
  g_clear_pointer (&route->balancer_members, g_free);
  route->n_members = 0;
  if (route->balancer_state != NULL && balancer != NULL)
    balancer->ops.balancer.clear (route->balancer_state);
  g_clear_pointer (&route->balancer_state, free);
  g_clear_pointer (&route->snapshot, commy_snapshot_unref);
  commy_home_doubt (&route->home);
  g_clear_pointer (&route->incumbent_instance, g_free);
  g_clear_pointer (&route->incumbent_transport, g_free);
  g_clear_pointer (&route->news, commy_decision_unref);
}

static CommyStack
stack_of (const CommyRouteField *field, const CommyRouteKey *key, guint i)
{
  CommyPeer *peer = commy_peers_ensure (key->worker->peers,
                                        field->snapshot->instances->pdata[field->instance_of[i]]);
  CommyStack stack
      = { commy_peer_find_path (peer, field->endpoint_of[i]->id), field->serializer_of[i] };

  return stack;
}

/* The table of one instance: candidates [first, first + n). */
static void
fill_member (CommyRouteMember *member,
             const CommyRouteField *field,
             const CommyRouteKey *key,
             const CommyDemand *demand,
             guint first,
             guint n)
{
  g_autofree CommyAssessment *assessments = g_new0 (CommyAssessment, n);
  g_autofree CommyCandidate *candidates
      = g_memdup2 (field->candidates + first, n * sizeof (CommyCandidate));
  CommyPlan plan;

  for (guint i = 0; field->held != NULL && i < n; i++)
    if (strcmp (candidates[i].transport, field->held) != 0)
      candidates[i].known.filter = COMMY_FILTER_PREFERENCE;
  commy_route_choose (demand, candidates, n, assessments, &plan);
  member->peer = commy_peer_ref (commy_peers_ensure (
      key->worker->peers, field->snapshot->instances->pdata[field->instance_of[first]]));
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      gint lo = plan.lo[c] >= 0 ? plan.lo[c] : plan.chosen;
      gint hi = plan.hi[c] >= 0 ? plan.hi[c] : plan.chosen;

      member->classes[c] = (CommyRouteClass){ .split = plan.split[c],
                                              .lo = stack_of (field, key, first + (guint) lo),
                                              .hi = stack_of (field, key, first + (guint) hi) };
    }
}

void
commy_route_fill_members (CommyRoute *route,
                          const CommyRouteField *field,
                          const CommyRouteKey *key,
                          const CommyDemand *demand,
                          guint chosen)
{
  route->members = g_new0 (CommyRouteMember, field->n);
  for (guint i = 0; i < field->n;)
    {
      guint first = i;
      gboolean tied = FALSE;

      for (; i < field->n && field->instance_of[i] == field->instance_of[first]; i++)
        tied |= i == chosen || field->assessments[i].tied;
      if (tied)
        fill_member (&route->members[route->n_members++], field, key, demand, first, i - first);
    }
}

void
commy_route_update_balancer (CommyRoute *route, const CommyRouteKey *key)
{
  const CommyBalancerOps *ops;
  CommyBalancerSnapshot snapshot = { .struct_size = sizeof snapshot };

  if (key->balancer == NULL || route->n_members < 2)
    return;
  ops = &key->balancer->ops.balancer;
  route->balancer_members = g_new0 (CommyBalancerMember, route->n_members);
  for (guint i = 0; i < route->n_members; i++)
    {
      route->balancer_members[i].id = route->members[i].peer->instance->id;
      route->balancer_members[i].weight = route->members[i].peer->instance->weight;
    }
  snapshot.members = route->balancer_members;
  snapshot.n_members = route->n_members;
  route->balancer_state = aligned_alloc (64, (MAX (ops->state_size, 1) + 63) & ~(gsize) 63);
  memset (route->balancer_state, 0, ops->state_size);
  ops->update (key->balancer->instance, route->balancer_state, &snapshot,
               commy_env_random64 (key->mesh->env));
}

guint
commy_route_ask_balancer (CommyRoute *route, CommyPlugin *balancer)
{
  CommyBalancerSnapshot snapshot = { .struct_size = sizeof snapshot,
                                     .members = route->balancer_members,
                                     .n_members = route->n_members };
  gssize index;

  for (guint i = 0; i < route->n_members; i++)
    route->balancer_members[i].in_flight = route->members[i].peer->in_flight;
  index = balancer->ops.balancer.pick (route->balancer_state, &snapshot, 0, NULL);
  return index < 0 || (gsize) index >= route->n_members ? 0 : (guint) index;
}
