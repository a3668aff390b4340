/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a route is decided and what follows from it: the incumbent is kept until a rival is
 * better for sure, requirements that are met or missed make news, and probes are asked for.
 */
#include "config.h"

#include "mesh/commy-route-levels.h"
#include "mesh/commy-route-table.h"
#include "mesh/commy-route-warm.h"

#include "base/commy-error-private.h"

#include <string.h>

/* Where the incumbent still is allowed, a merely better rival has to wait until it is better for
 * sure. Changes the plan's choice back; returns the line for the explanation. */
static char *
hold_incumbent (CommyRoute *route,
                CommyRouteField *field,
                const CommyDemand *demand,
                CommyPlan *plan,
                CommySwitchVerdict *out_verdict)
{
  const CommyCandidate *rival = &field->candidates[plan->chosen];
  CommySwitchVerdict verdict;
  gint incumbent = -1;

  *out_verdict = COMMY_SWITCH_STAY_BEST;
  if (route->incumbent_transport == NULL)
    return NULL;
  for (guint i = 0; i < field->n && incumbent < 0; i++)
    if (field->assessments[i].rejection.filter == COMMY_FILTER_NONE
        && strcmp (field->candidates[i].instance, route->incumbent_instance) == 0
        && strcmp (field->candidates[i].transport, route->incumbent_transport) == 0)
      incumbent = (gint) i;
  if (incumbent < 0)
    return g_strdup_printf ("left %s: it is not allowed any more", route->incumbent_transport);
  if (strcmp (rival->transport, route->incumbent_transport) == 0)
    return NULL;
  if (rival->level < field->candidates[incumbent].level)
    return g_strdup_printf ("left %s: an instance that is nearer is there",
                            route->incumbent_transport);
  verdict = commy_switch_consider (
      &route->incumbent, demand, field->assessments[incumbent].flow_score,
      field->assessments[incumbent].flow_sd, field->assessments[plan->chosen].flow_score,
      field->assessments[plan->chosen].flow_sd);
  *out_verdict = verdict;
  if (verdict != COMMY_SWITCH_GO)
    {
      for (guint i = 0; i < field->n; i++)
        field->assessments[i].tied
            = field->instance_of[i] == field->instance_of[incumbent] && field->assessments[i].tied;
      field->assessments[incumbent].tied = TRUE;
      field->held = field->candidates[incumbent].transport;
      plan->runner_up = plan->chosen;
      plan->chosen = incumbent;
    }
  return g_strdup_printf ("%s against %s: %s", route->incumbent_transport, rival->transport,
                          commy_switch_verdict_to_string (verdict));
}

static void
remember_incumbent (CommyRoute *route, const CommyCandidate *chosen, gint64 now_ns)
{
  if (g_strcmp0 (route->incumbent_transport, chosen->transport) == 0
      && g_strcmp0 (route->incumbent_instance, chosen->instance) == 0)
    return;
  g_free (route->incumbent_transport);
  g_free (route->incumbent_instance);
  route->incumbent_transport = g_strdup (chosen->transport);
  route->incumbent_instance = g_strdup (chosen->instance);
  route->incumbent = (CommySwitch){ .since_ns = now_ns };
}

static gint
by_score (gconstpointer a, gconstpointer b, gpointer data)
{
  const CommyRouteField *field = data;
  double first = field->assessments[*(const guint *) a].flow_score;
  double second = field->assessments[*(const guint *) b].flow_score;

  return (first > second) - (first < second);
}

static CommyPath *
path_of (const CommyRouteField *field, CommyPeer *peer, guint i)
{
  return commy_peer_find_path (peer, field->endpoint_of[i]->id);
}

/* All paths of the chosen instance that are allowed now, best first. */
static GPtrArray *
allowed_paths (const CommyRouteField *field, CommyPeer *peer, guint chosen)
{
  g_autoptr (GArray) indices = g_array_new (FALSE, FALSE, sizeof (guint));
  GPtrArray *paths = g_ptr_array_new ();

  for (guint i = 0; i < field->n; i++)
    if (field->instance_of[i] == field->instance_of[chosen]
        && field->assessments[i].rejection.filter == COMMY_FILTER_NONE)
      g_array_append_val (indices, i);
  g_array_sort_with_data (indices, by_score, (gpointer) field);
  for (guint i = 0; i < indices->len; i++)
    {
      CommyPath *path = path_of (field, peer, g_array_index (indices, guint, i));

      if (path != NULL && !g_ptr_array_find (paths, path, NULL))
        g_ptr_array_add (paths, path);
    }
  return paths;
}

/* The flow goes where the route goes: its messages keep their order. Whether it moves. */
static gboolean
settle_home (CommyRoute *route,
             const CommyRouteField *field,
             const CommyRouteKey *key,
             guint chosen)
{
  CommyPeer *peer = commy_peers_ensure (
      key->worker->peers, field->snapshot->instances->pdata[field->instance_of[chosen]]);
  CommyPath *path = path_of (field, peer, chosen);
  GPtrArray *allowed;
  gboolean may_stay;

  if (path == NULL)
    return FALSE;
  allowed = allowed_paths (field, peer, chosen);
  may_stay = route->home.path == NULL || g_ptr_array_find (allowed, route->home.path, NULL);
  return commy_home_settle (&route->home, peer, path, allowed, !may_stay);
}

/* The channel moved, for another client's sake or because its path was lost. */
static void
follow_home (CommyRoute *route)
{
  if (!route->home.was_moved || route->home.path == NULL)
    return;
  route->home.was_moved = FALSE;
  g_free (route->incumbent_transport);
  g_free (route->incumbent_instance);
  route->incumbent_transport = g_strdup (route->home.path->transport->note.id);
  route->incumbent_instance = g_strdup (route->home.peer->instance->id);
}

/* Whom a probe tells apart: those that are allowed, and those that only fail a requirement, which
 * must be able to meet it again. Not where there is no choice, unless a requirement hangs on it. */
static gboolean
is_of_interest (const CommyRouteField *field, guint i)
{
  CommyFilter filter = field->assessments[i].rejection.filter;

  return filter == COMMY_FILTER_NONE || filter == COMMY_FILTER_LATENCY
         || filter == COMMY_FILTER_THROUGHPUT;
}

/* What is urgent is so for the two that a switch is between. */
static gboolean
is_contender (const CommyRouteField *field, const CommyPlan *plan, guint i)
{
  return (plan->chosen >= 0 && field->endpoint_of[i] == field->endpoint_of[plan->chosen])
         || (plan->runner_up >= 0 && field->endpoint_of[i] == field->endpoint_of[plan->runner_up]);
}

static void
ask_for_probes (const CommyRouteKey *key,
                const CommyRouteField *field,
                const CommyDemand *demand,
                const CommyPlan *plan,
                CommyProbeUrgency urgency)
{
  const CommySurveyEndpoint *first = NULL;
  gboolean choice = demand->max_latency_ns != 0 || demand->min_throughput != 0;

  for (guint i = 0; i < field->n && !choice; i++)
    if (is_of_interest (field, i))
      {
        choice = first != NULL && first != field->endpoint_of[i];
        first = field->endpoint_of[i];
      }
  for (guint i = 0; i < field->n && choice; i++)
    if (is_of_interest (field, i) && (i == 0 || field->endpoint_of[i] != field->endpoint_of[i - 1]))
      commy_prober_ask (key->mesh->prober, field->snapshot->instances->pdata[field->instance_of[i]],
                        field->endpoint_of[i],
                        is_contender (field, plan, i) ? urgency : COMMY_PROBE_FLOOR);
}

/* Whether a requirement alone keeps everything from being chosen. */
static gboolean
misses_requirement (const CommyRouteField *field)
{
  for (guint i = 0; i < field->n; i++)
    {
      CommyFilter filter = field->assessments[i].rejection.filter;

      if (filter == COMMY_FILTER_LATENCY || filter == COMMY_FILTER_THROUGHPUT)
        return TRUE;
    }
  return FALSE;
}

/* Notes whether the requirements are met now, and whether that is news. */
static gboolean
note_requirements (CommyRoute *route, const CommyRouteField *field, const CommyPlan *plan)
{
  gboolean unmet
      = plan->chosen >= 0 ? field->assessments[plan->chosen].degraded : misses_requirement (field);
  gboolean news;

  news = unmet != route->requirements_unmet;
  route->requirements_unmet = unmet;
  route->requirements_held |= plan->chosen >= 0 && !unmet;
  return news;
}

static CommyProbeUrgency
urgency_of (const CommyRouteKey *key, CommySwitchVerdict verdict)
{
  if (verdict == COMMY_SWITCH_STAY_STREAK || verdict == COMMY_SWITCH_STAY_DWELL)
    return COMMY_PROBE_VERIFY;
  if (verdict == COMMY_SWITCH_STAY_UNSURE || key->doubts)
    return COMMY_PROBE_DOUBT;
  return COMMY_PROBE_FLOOR;
}

static guint
get_warm_paths (const CommyRouteKey *key)
{
  g_autofree char *group = g_strdup_printf ("service %s", key->service);

  return (guint) commy_config_get_int (key->mesh->config, group, "warm-paths");
}

gboolean
commy_route_is_fresh (CommyRoute *route, const CommyRouteKey *key)
{
  if (route->n_members == 0 || route->mesh_epoch != commy_mesh_get_epoch (key->mesh)
      || route->peers_epoch != commy_peers_get_epoch (key->worker->peers)
      || route->samples >= COMMY_ROUTE_RECHECK_SAMPLES)
    return FALSE;
  return route->recheck_ns == G_MAXINT64 || commy_env_now (key->mesh->env) < route->recheck_ns;
}

/* Of those who are gone nothing is kept, also while nobody can be called. */
static void
forget_gone (const CommyRouteField *field, const CommyRouteKey *key)
{
  commy_ward_update (commy_peers_ensure_ward (key->worker->peers, key->service), field->snapshot,
                     NULL, 0);
}

gboolean
commy_route_decide_now (
    CommyRoute *route, const CommyRouteKey *key, CommyFlavour flavour, gsize size, GError **error)
{
  g_auto (CommyRouteField) field = { 0 };
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *notes = NULL;
  g_autofree char *switch_text = NULL;
  guint32 mesh_epoch = commy_mesh_get_epoch (key->mesh);
  CommySwitchVerdict verdict = COMMY_SWITCH_STAY_BEST;
  g_autofree char *incumbent_instance = g_steal_pointer (&route->incumbent_instance);
  g_autofree char *incumbent_transport = g_steal_pointer (&route->incumbent_transport);
  CommyDemand demand;
  CommyPlan plan;

  commy_route_clear (route);
  route->awaits = FALSE;
  if (!commy_route_field_make (&field, key, flavour, error))
    return FALSE;
  route->incumbent_instance = g_steal_pointer (&incumbent_instance);
  route->incumbent_transport = g_steal_pointer (&incumbent_transport);
  follow_home (route);
  commy_route_demand (key, flavour, &demand);
  commy_route_field_decide (&field, &demand, &plan);
  if (plan.chosen < 0 && field.awaits)
    {
      route->awaits = TRUE;
      forget_gone (&field, key);
      commy_set_error (error, COMMY_ERROR_NO_ROUTE,
                       "no path to %s yet: it is being asked what it offers", key->service);
      return FALSE;
    }
  if (plan.chosen >= 0)
    switch_text = hold_incumbent (route, &field, &demand, &plan, &verdict);
  commy_route_levels_tie (&field, &demand, &plan);
  if (key->probes && commy_prober_is_active (key->mesh->prober))
    ask_for_probes (key, &field, &demand, &plan, urgency_of (key, verdict));
  notes = commy_route_field_notes (key, &field);
  commy_route_field_explain (&field, &demand, &plan);
  decision = commy_decision_new (key->service, size, &demand, field.candidates, field.assessments,
                                 field.n, &plan, switch_text, notes);
  commy_mesh_record_decision (key->mesh, decision);
  if (note_requirements (route, &field, &plan))
    route->news = commy_decision_ref (decision);
  if (plan.chosen < 0)
    {
      g_autofree char *summary = commy_decision_summary (decision);
      gboolean stopped = route->requirements_unmet && route->requirements_held;

      forget_gone (&field, key);
      commy_set_error (error, stopped ? COMMY_ERROR_REQUIREMENT : COMMY_ERROR_NO_ROUTE,
                       "no allowed path to %s: %s", key->service, summary);
      return FALSE;
    }
  remember_incumbent (route, &field.candidates[plan.chosen], demand.now_ns);
  settle_home (route, &field, key, (guint) plan.chosen);
  commy_route_fill_members (route, &field, key, &demand);
  commy_route_update_balance (route, &field, key);
  commy_route_warm (&field, key, (guint) plan.chosen, get_warm_paths (key));
  commy_route_rest_spares (route, key);
  route->snapshot = commy_snapshot_ref (field.snapshot);
  route->mesh_epoch = mesh_epoch;
  route->peers_epoch = commy_peers_get_epoch (key->worker->peers);
  route->samples = 0;
  route->decided_ns = demand.now_ns;
  route->recheck_ns = field.recheck_ns;
  return TRUE;
}

CommyDecision *
commy_route_explain (const CommyRouteKey *key,
                     CommyFlavour flavour,
                     gsize size,
                     const CommyWhatIf *what_if,
                     GError **error)
{
  g_auto (CommyRouteField) field = { 0 };
  g_autofree char *notes = NULL;
  CommyDemand demand;
  CommyPlan plan;

  if (!commy_route_field_make (&field, key, flavour, error))
    return NULL;
  commy_route_demand (key, flavour, &demand);
  demand.share[commy_size_class (size)] = 1;
  commy_demand_apply_what_if (&demand, what_if);
  commy_route_field_decide (&field, &demand, &plan);
  commy_route_levels_tie (&field, &demand, &plan);
  notes = commy_route_field_notes (key, &field);
  commy_route_field_explain (&field, &demand, &plan);
  return commy_decision_new (key->service, size, &demand, field.candidates, field.assessments,
                             field.n, &plan, NULL, notes);
}
