/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call looks into: for each instance that ties with the best of its level which stack serves
 * which size, and the balancer that picks among them.
 */
#include "config.h"

#include "mesh/commy-route-table.h"

#include "mesh/commy-route-levels.h"

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
  commy_locality_clear (&route->locality);
  commy_slow_start_clear (&route->slow_start);
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

/* The table of one instance: candidates [first, first + n). @held (nullable): a transport. */
static void
fill_member (CommyRouteMember *member,
             const CommyRouteField *field,
             const CommyRouteKey *key,
             const CommyDemand *demand,
             const char *held,
             guint first,
             guint n)
{
  g_autofree CommyAssessment *assessments = g_new0 (CommyAssessment, n);
  g_autofree CommyCandidate *candidates
      = g_memdup2 (field->candidates + first, n * sizeof (CommyCandidate));
  CommyInstance *instance = field->snapshot->instances->pdata[field->instance_of[first]];
  CommyPlan plan;

  for (guint i = 0; held != NULL && i < n; i++)
    if (strcmp (candidates[i].transport, held) != 0)
      candidates[i].known.filter = COMMY_FILTER_PREFERENCE;
  commy_route_choose (demand, candidates, n, assessments, &plan);
  member->peer = commy_peer_ref (commy_peers_ensure (key->worker->peers, instance));
  member->weight = instance->weight; /* as it is now: the peer knows the first one */
  member->level = candidates[0].level;
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      gint lo = plan.lo[c] >= 0 ? plan.lo[c] : plan.chosen;
      gint hi = plan.hi[c] >= 0 ? plan.hi[c] : plan.chosen;

      member->classes[c] = (CommyRouteClass){ .split = plan.split[c],
                                              .lo = stack_of (field, key, first + (guint) lo),
                                              .hi = stack_of (field, key, first + (guint) hi) };
    }
}

static void
set_ages (CommyRoute *route, const CommyRouteKey *key)
{
  CommyConfig *config = key->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  g_autofree gint64 *births = g_new (gint64, route->n_members);

  route->slow_start_policy = (CommySlowStartPolicy){
    .window_ns = commy_config_get_duration (config, group, "slow-start"),
    .aggression = commy_config_get_double (config, group, "slow-start-aggression"),
  };
  for (guint i = 0; i < route->n_members; i++)
    births[i] = route->members[i].peer->born_ns;
  commy_slow_start_set_members (&route->slow_start, &route->slow_start_policy, births,
                                route->n_members);
}

void
commy_route_fill_members (CommyRoute *route,
                          const CommyRouteField *field,
                          const CommyRouteKey *key,
                          const CommyDemand *demand)
{
  const guint chosen = field->candidates[field->chosen].level;

  route->members = g_new0 (CommyRouteMember, field->n);
  for (guint level = 0; level < COMMY_LEVELS; level++)
    for (guint first = 0, end = 0; first < field->n; first = end)
      {
        end = commy_route_levels_end_of (field, first);
        if (commy_route_levels_has (field, first, level))
          fill_member (&route->members[route->n_members++], field, key, demand,
                       level == chosen ? field->held : NULL, first, end - first);
      }
  route->peers = g_new (CommyPeer *, route->n_members);
  for (guint i = 0; i < route->n_members; i++)
    route->peers[i] = route->members[i].peer;
  commy_ward_update (commy_peers_ensure_ward (key->worker->peers, key->service), field->snapshot,
                     route->peers, route->n_members);
  route->locality_policy = commy_route_levels_policy (key);
  commy_route_levels_place (field, &route->locality);
  set_ages (route, key);
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

CommyTurn
commy_route_pick_one (CommyRoute *route, const guint64 *excluded, guint64 sticky, gint64 now_ns)
{
  const CommyRouteMask *mask = &route->mask;
  const guint64 *barred = excluded;
  guint64 serial = excluded == NULL ? 1 : 0;

  /* What a call has tried is out of the question for it, in panic too; the rest is kept. */
  if (excluded != NULL && excluded == mask->blocked)
    {
      barred = mask->barred;
      serial = mask->version + 1; /* it is 1 at least */
    }
  excluded = commy_locality_exclude (&route->locality, &route->locality_policy, excluded, barred,
                                     serial, commy_balance_draw (route->balance));
  if (G_UNLIKELY (route->slow_start_policy.window_ns != 0))
    {
      now_ns = now_ns != 0 ? now_ns : commy_balance_now (route->balance);
      excluded = commy_slow_start_exclude (&route->slow_start, &route->slow_start_policy, excluded,
                                           now_ns, commy_balance_draw (route->balance));
    }
  return commy_balance_pick (route->balance, excluded, sticky, now_ns);
}
