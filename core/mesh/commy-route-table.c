/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call looks into: for each instance that ties with the best which stack serves which
 * size, and the balancer that picks among them.
 */
#include "config.h"

#include "mesh/commy-route-table.h"

#include <string.h>

void
commy_route_clear (CommyRoute *route)
{
  for (guint i = 0; i < route->n_members; i++)
    commy_peer_unref (route->members[i].peer);
  g_clear_pointer (&route->members, g_free);
  g_clear_pointer (&route->peers, g_free);
  commy_route_mask_clear (&route->mask);
  route->n_members = 0;
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
  CommyInstance *instance = field->snapshot->instances->pdata[field->instance_of[first]];
  CommyPlan plan;

  for (guint i = 0; field->held != NULL && i < n; i++)
    if (strcmp (candidates[i].transport, field->held) != 0)
      candidates[i].known.filter = COMMY_FILTER_PREFERENCE;
  commy_route_choose (demand, candidates, n, assessments, &plan);
  member->peer = commy_peer_ref (commy_peers_ensure (key->worker->peers, instance));
  member->weight = instance->weight; /* as it is now: the peer knows the first one */
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
  route->peers = g_new (CommyPeer *, route->n_members);
  for (guint i = 0; i < route->n_members; i++)
    route->peers[i] = route->members[i].peer;
  commy_ward_update (commy_peers_ensure_ward (key->worker->peers, key->service), field->snapshot,
                     route->peers, route->n_members);
}

void
commy_route_update_balance (CommyRoute *route,
                            const CommyRouteField *field,
                            const CommyRouteKey *key)
{
  g_autofree guint32 *weights = NULL;

  /* One that a program named is not started again with its mesh. */
  if (key->balancer != NULL && key->balancer->instance == NULL)
    g_clear_pointer (&route->balance, commy_balance_free);
  if (key->balancer == NULL || key->balancer->instance == NULL || route->n_members < 2)
    return;
  weights = g_new (guint32, route->n_members);
  for (guint i = 0; i < route->n_members; i++)
    weights[i] = route->members[i].weight;
  if (route->balance == NULL)
    route->balance = commy_balance_new (key->balancer, key->mesh->env);
  commy_balance_update (route->balance, key->worker->peers, route->peers, weights,
                        route->n_members);
}
