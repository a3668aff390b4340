/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a snapshot to a table: makes candidates of what the survey found, lets core/route
 * decide, and keeps for each instance that ties with the best which stack serves which size.
 */
#include "config.h"

#include "mesh/commy-route-cache.h"

#include "base/commy-error-private.h"
#include "mesh/commy-survey.h"

#include <stdlib.h>
#include <string.h>

/* The candidates of one decision with what they were made of. */
typedef struct
{
  CommySnapshot *snapshot;
  CommyCandidate *candidates;
  CommyAssessment *assessments;
  guint *instance_of; /* index into the snapshot */
  CommySurveyEndpoint **endpoint_of;
  CommyPlugin **serializer_of;
  GPtrArray *findings; /* CommyFinding, one an endpoint */
  guint n;
  gboolean truncated;
  gint64 recheck_ns;
  CommyFlavour flavour;
  const char *held; /* transport the flow stays on, or NULL */
} Field;

static void
field_clear (Field *field)
{
  g_clear_pointer (&field->snapshot, commy_snapshot_unref);
  g_free (field->candidates);
  g_free (field->assessments);
  g_free (field->instance_of);
  g_free (field->endpoint_of);
  g_free (field->serializer_of);
  g_clear_pointer (&field->findings, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Field, field_clear)

/* --- what is demanded --- */

static const char *
setting (const CommyRouteKey *key, const char *group, const char *name, const char **out_origin)
{
  const char *value = commy_config_get (key->mesh->config, group, name);

  if (value != NULL && value[0] != '\0')
    {
      *out_origin = commy_config_get_origin (key->mesh->config, group, name);
      return value;
    }
  *out_origin = commy_config_get_origin (key->mesh->config, "selection", name);
  return commy_config_get (key->mesh->config, "selection", name);
}

static void
fill_list (CommyIdList *list, const char *value)
{
  g_auto (GStrv) ids = g_strsplit (value != NULL ? value : "", ";", -1);

  list->n = 0;
  for (guint i = 0; ids[i] != NULL && list->n < COMMY_MAX_LISTED; i++)
    if (g_strstrip (ids[i])[0] != '\0')
      g_strlcpy (list->id[list->n++], ids[i], COMMY_ID_MAX);
}

void
commy_route_demand (const CommyRouteKey *key, CommyFlavour flavour, CommyDemand *demand)
{
  CommyConfig *config = key->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  const char *origin;

  commy_demand_init (demand, commy_env_now (key->mesh->env));
  commy_objective_parse (setting (key, group, "objective", &origin), &demand->objective);
  demand->weights = commy_weights_for (demand->objective);
  commy_security_parse (setting (key, group, "min-security", &demand->min_security_origin),
                        &demand->min_security);
  commy_preference_parse (setting (key, group, "preference", &demand->preference_origin),
                          &demand->preference);
  fill_list (&demand->transports, setting (key, group, "transports", &origin));
  fill_list (&demand->prefer, commy_config_get (config, "selection", "prefer"));
  demand->tie_band = commy_config_get_double (config, "selection", "tie-band");
  demand->switch_margin = commy_config_get_double (config, "selection", "switch-margin");
  demand->switch_z = commy_config_get_double (config, "selection", "switch-z");
  demand->switch_evaluations
      = (guint) commy_config_get_int (config, "selection", "switch-evaluations");
  demand->switch_dwell_ns = commy_config_get_duration (config, "selection", "min-dwell");
  demand->expected_messages = commy_config_get_double (config, "selection", "expected-messages");
  demand->required_serializer_caps
      = flavour == COMMY_FLAVOUR_BYTES ? COMMY_CAP_BYTES : COMMY_CAP_VALUES;
  if (flavour == COMMY_FLAVOUR_HANDLES)
    demand->required_transport_caps = COMMY_CAP_FD_PASSING;
  commy_demand_apply_requirements (demand, key->requirements);
}

/* --- candidates --- */

static void
mark_failed (CommyCandidate *candidate, CommyPath *path, gint64 now_ns, Field *field)
{
  if (path == NULL || path->retry_at_ns <= now_ns)
    return;
  candidate->known.filter = COMMY_FILTER_BREAKER;
  g_strlcpy (candidate->known.required, "closed", sizeof candidate->known.required);
  g_snprintf (candidate->known.offered, sizeof candidate->known.offered,
              "open for %" G_GINT64_FORMAT " ms more: %s", (path->retry_at_ns - now_ns) / 1000000,
              path->failure != NULL ? path->failure : "failed");
  candidate->known.origin = "breaker";
  field->recheck_ns = MIN (field->recheck_ns, path->retry_at_ns);
}

/* Bytes are moved as they are: no serializer works on them, whatever it would cost for values. */
const CommyProfile *
commy_route_serializer_profile (CommyFlavour flavour, CommyPlugin *serializer)
{
  static const CommyProfile bytes = { .struct_size = sizeof bytes,
                                      .n_segments = 1,
                                      .delivery = COMMY_DELIVERY_RELIABLE,
                                      .ordering = COMMY_ORDERING_CONNECTION,
                                      .capabilities = COMMY_CAP_BYTES,
                                      .size_factor = 1,
                                      .segments = { { .max_bytes = G_MAXUINT64 } } };

  return flavour == COMMY_FLAVOUR_BYTES ? &bytes : &serializer->profile;
}

/* What the client itself felt of a path since it was probed. A path that nobody takes any more
 * because of what was felt gets its next chance after the next probe. */
static const CommyCalibration *
felt_since (const CommyPath *path, gint64 probed_ns)
{
  gint64 last_ns = 0;

  if (path == NULL)
    return NULL;

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (path->calibration.classes[c].n > 0)
      last_ns = MAX (last_ns, path->calibration.classes[c].last_ns);
  return last_ns > probed_ns ? &path->calibration : NULL;
}

/* Probes measure all paths alike, so they rank; without any, what calls have shown does. */
static void
add_finding (CommyCandidate *candidate, const CommyPath *path, const CommyFinding *finding)
{
  if (path != NULL)
    candidate->calibration = &path->calibration;
  if (finding->text[0] == '\0')
    return;
  candidate->measured = finding->text;
  /* What calls show today is worth more than what another run measured. */
  if (finding->probes == 0 || (finding->probed_ns == 0 && felt_since (path, 0) != NULL))
    return;
  candidate->calibration = &finding->calibration;
  candidate->felt = felt_since (path, finding->probed_ns);
}

static void
add_candidate (Field *field,
               const CommyRouteKey *key,
               guint index,
               CommySurveyEndpoint *endpoint,
               const CommyFinding *finding,
               CommyPlugin *serializer,
               gint64 now_ns)
{
  CommyInstance *instance = field->snapshot->instances->pdata[index];
  CommyCandidate *candidate;
  CommyPath *path = NULL;

  if (field->n == COMMY_ROUTE_MAX_CANDIDATES)
    {
      field->truncated = TRUE;
      return;
    }
  candidate = &field->candidates[field->n];
  if (endpoint->transport != NULL)
    {
      CommyPeer *peer = commy_peers_ensure (key->worker->peers, instance);

      path = commy_peer_ensure_path (peer, endpoint->transport, endpoint->address);
    }
  *candidate = (CommyCandidate){ .instance = instance->id,
                                 .transport = endpoint->id,
                                 .serializer = serializer->note.id,
                                 .transport_profile = &endpoint->profile,
                                 .serializer_profile
                                 = commy_route_serializer_profile (field->flavour, serializer),
                                 .security = endpoint->security,
                                 .reach = endpoint->reach,
                                 .connected = path != NULL && commy_path_is_up (path),
                                 .bias = 1,
                                 .known = endpoint->known };
  if (endpoint->transport != NULL)
    {
      candidate->bias = endpoint->transport->bias;
      candidate->bias_origin = endpoint->transport->bias_origin;
      candidate->profile_origin = endpoint->transport->profile_origin;
    }
  add_finding (candidate, path, finding);
  mark_failed (candidate, path, now_ns, field);
  field->instance_of[field->n] = index;
  field->endpoint_of[field->n] = endpoint;
  field->serializer_of[field->n] = serializer;
  field->n++;
}

/* In place means: on memory that both sides share, between peers that trust each other. */
static gboolean
serializer_fits (CommyPlugin *serializer,
                 CommySurveyEndpoint *endpoint,
                 CommyInstance *instance,
                 guint64 wanted_caps)
{
  guint64 caps = serializer->profile.capabilities;
  gboolean byte_orders_may_differ = endpoint->reach == COMMY_REACH_NETWORK;

  if ((caps & wanted_caps) != wanted_caps
      || (commy_instance_is_known (instance)
          && !g_strv_contains ((const char *const *) instance->serializers, serializer->note.id)))
    return FALSE;
  return !(caps & COMMY_CAP_NATIVE_ENDIAN) || !byte_orders_may_differ
         || wanted_caps == COMMY_CAP_BYTES;
}

static void
add_endpoint (Field *field,
              const CommyRouteKey *key,
              guint index,
              CommySurveyEndpoint *endpoint,
              guint64 wanted_caps,
              gint64 now_ns)
{
  CommyInstance *instance = field->snapshot->instances->pdata[index];
  guint n = commy_catalog_get_n_plugins (key->mesh->catalog);
  CommyFinding *finding = g_new0 (CommyFinding, 1);

  g_ptr_array_add (field->findings, finding);
  if (key->mesh->prober != NULL)
    commy_prober_get (key->mesh->prober, endpoint->id, instance, finding);

  for (guint i = 0; i < n; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (key->mesh->catalog, i);

      if (!plugin->has_note || plugin->note.kind != COMMY_PLUGIN_SERIALIZER
          || plugin->state != COMMY_PLUGIN_STATE_ACTIVE
          || !serializer_fits (plugin, endpoint, instance, wanted_caps))
        continue;
      add_candidate (field, key, index, endpoint, finding, plugin, now_ns);
    }
}

static gboolean
make_field (Field *field, const CommyRouteKey *key, CommyFlavour flavour, GError **error)
{
  guint64 caps = flavour == COMMY_FLAVOUR_BYTES ? COMMY_CAP_BYTES : COMMY_CAP_VALUES;
  gint64 now_ns = commy_env_now (key->mesh->env);
  CommySurvey *survey;

  field->snapshot = commy_registry_lookup (key->mesh->registry, key->service);
  if (field->snapshot == NULL || field->snapshot->instances->len == 0)
    {
      const char *notice = field->snapshot != NULL ? field->snapshot->notice : NULL;

      commy_set_error (error, COMMY_ERROR_NO_SERVICE,
                       "nobody offers %s in mesh \"%s\", whose folder is %s%s%s%s", key->service,
                       key->mesh->name, key->mesh->state_dir, notice != NULL ? " (" : "",
                       notice != NULL ? notice : "", notice != NULL ? ")" : "");
      return FALSE;
    }
  survey = field->snapshot->survey;
  field->flavour = flavour;
  field->recheck_ns = G_MAXINT64;
  field->candidates = g_new0 (CommyCandidate, COMMY_ROUTE_MAX_CANDIDATES);
  field->instance_of = g_new0 (guint, COMMY_ROUTE_MAX_CANDIDATES);
  field->endpoint_of = g_new0 (CommySurveyEndpoint *, COMMY_ROUTE_MAX_CANDIDATES);
  field->serializer_of = g_new0 (CommyPlugin *, COMMY_ROUTE_MAX_CANDIDATES);
  field->findings = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < survey->n_instances; i++)
    {
      CommyInstance *instance = field->snapshot->instances->pdata[i];

      if (key->instance != NULL && strcmp (key->instance, instance->id) != 0)
        continue;
      for (guint k = 0; k < survey->instances[i].n_endpoints; k++)
        add_endpoint (field, key, i, &survey->instances[i].endpoints[k], caps, now_ns);
    }
  if (field->n == 0)
    {
      commy_set_error (error, key->instance != NULL ? COMMY_ERROR_NO_SERVICE : COMMY_ERROR_NO_ROUTE,
                       key->instance != NULL ? "instance %.8s of %s is not there"
                                             : "%.8s%s: no serializer that both sides know",
                       key->instance != NULL ? key->instance : "", key->service);
      return FALSE;
    }
  field->assessments = g_new0 (CommyAssessment, field->n);
  return TRUE;
}

/* Hooks change what a path costs and does, so nobody reads a decision without them. */
static void
note_hooks (GString *notes, CommyCatalog *catalog)
{
  guint n = commy_catalog_get_n_plugins (catalog);

  for (guint i = 0; i < n; i++)
    {
      const CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);
      g_autofree char *hooks = NULL;

      if (plugin->hooks_origin == NULL || plugin->state != COMMY_PLUGIN_STATE_ACTIVE)
        continue;
      hooks = g_strjoinv (";", plugin->hooks);
      g_string_append_printf (notes, "%s%s has hooks: %s (%s)", notes->len > 0 ? "; " : "",
                              plugin->name, hooks, plugin->hooks_origin);
    }
}

static char *
make_notes (const CommyRouteKey *key, const Field *field)
{
  GString *notes = g_string_new (NULL);

  if (g_strcmp0 (commy_config_get (key->mesh->config, "plugins", "trust"), "any") == 0)
    g_string_append_printf (notes, "trust=any: plugin files are not checked (%s)",
                            commy_config_get_origin (key->mesh->config, "plugins", "trust"));
  note_hooks (notes, key->mesh->catalog);
  if (field->snapshot->notice != NULL)
    g_string_append_printf (notes, "%s%s", notes->len > 0 ? "; " : "", field->snapshot->notice);
  if (key->mesh->prober != NULL)
    {
      g_autofree char *probes = commy_prober_describe (key->mesh->prober);

      g_string_append_printf (notes, "%s%s", notes->len > 0 ? "; " : "", probes);
    }
  if (field->truncated)
    g_string_append_printf (notes, "%sonly the first %u candidates were considered",
                            notes->len > 0 ? "; " : "", COMMY_ROUTE_MAX_CANDIDATES);
  return g_string_free (notes, notes->len == 0);
}

/* --- deciding --- */

/* The best priority among what is allowed; 0 if nothing is. */
static guint32
best_priority (const Field *field)
{
  guint32 best = G_MAXUINT32;

  for (guint i = 0; i < field->n; i++)
    {
      const CommyInstance *instance = field->snapshot->instances->pdata[field->instance_of[i]];

      if (field->assessments[i].rejection.filter == COMMY_FILTER_NONE)
        best = MIN (best, instance->priority);
    }
  return best == G_MAXUINT32 ? 0 : best;
}

/* Rules out instances that are only for when no better one can be used. FALSE: there are none. */
static gboolean
hold_back (Field *field, guint32 best)
{
  gboolean any = FALSE;

  for (guint i = 0; i < field->n; i++)
    {
      const CommyInstance *instance = field->snapshot->instances->pdata[field->instance_of[i]];
      CommyRejection *known = &field->candidates[i].known;

      if (instance->priority <= best || known->filter != COMMY_FILTER_NONE)
        continue;
      any = TRUE;
      known->filter = COMMY_FILTER_PREFERENCE;
      g_snprintf (known->required, sizeof known->required, "priority %u", best);
      g_snprintf (known->offered, sizeof known->offered, "priority %u", instance->priority);
      known->origin = instance->origin;
    }
  return any;
}

static void
decide (Field *field, const CommyDemand *demand, CommyPlan *plan)
{
  commy_route_decide (demand, field->candidates, field->n, field->assessments, plan);
  if (plan->chosen >= 0 && hold_back (field, best_priority (field)))
    commy_route_decide (demand, field->candidates, field->n, field->assessments, plan);
}

/* --- the table --- */

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
stack_of (const Field *field, const CommyRouteKey *key, guint i)
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
             const Field *field,
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
  commy_route_decide (demand, candidates, n, assessments, &plan);
  member->peer = commy_peer_ref (commy_peers_ensure (
      key->worker->peers, field->snapshot->instances->pdata[field->instance_of[first]]));
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      gint lo = plan.lo[c] >= 0 ? plan.lo[c] : plan.chosen;
      gint hi = plan.hi[c] >= 0 ? plan.hi[c] : plan.chosen;

      member->split[c] = plan.split[c];
      member->lo[c] = stack_of (field, key, first + (guint) lo);
      member->hi[c] = stack_of (field, key, first + (guint) hi);
    }
}

static void
fill_members (CommyRoute *route,
              const Field *field,
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

static void
update_balancer (CommyRoute *route, const CommyRouteKey *key)
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

/* Where the incumbent still is allowed, a merely better rival has to wait until it is better for
 * sure. Changes the plan's choice back; returns the line for the explanation. */
static char *
hold_incumbent (CommyRoute *route,
                Field *field,
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
  verdict = commy_switch_consider (
      &route->incumbent, demand, field->assessments[incumbent].flow_score,
      field->assessments[incumbent].posterior[0].sd, field->assessments[plan->chosen].flow_score,
      field->assessments[plan->chosen].posterior[0].sd);
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
  const Field *field = data;
  double first = field->assessments[*(const guint *) a].flow_score;
  double second = field->assessments[*(const guint *) b].flow_score;

  return (first > second) - (first < second);
}

/* All paths of the chosen instance that are allowed now, best first. */
static GPtrArray *
allowed_paths (const Field *field, const CommyRouteKey *key, guint chosen)
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
      CommyPath *path = stack_of (field, key, g_array_index (indices, guint, i)).path;

      if (path != NULL && !g_ptr_array_find (paths, path, NULL))
        g_ptr_array_add (paths, path);
    }
  return paths;
}

/* The flow goes where the route goes: its messages keep their order. */
static void
settle_home (CommyRoute *route, const Field *field, const CommyRouteKey *key, guint chosen)
{
  CommyPath *path = stack_of (field, key, chosen).path;
  GPtrArray *allowed;
  gboolean may_stay;

  if (path == NULL)
    return;
  allowed = allowed_paths (field, key, chosen);
  may_stay = route->home.path == NULL || g_ptr_array_find (allowed, route->home.path, NULL);
  commy_home_settle (&route->home, path->peer, path, allowed, !may_stay);
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
is_of_interest (const Field *field, guint i)
{
  CommyFilter filter = field->assessments[i].rejection.filter;

  return filter == COMMY_FILTER_NONE || filter == COMMY_FILTER_LATENCY
         || filter == COMMY_FILTER_THROUGHPUT;
}

/* What is urgent is so for the two that a switch is between. */
static gboolean
is_contender (const Field *field, const CommyPlan *plan, guint i)
{
  return (plan->chosen >= 0 && field->endpoint_of[i] == field->endpoint_of[plan->chosen])
         || (plan->runner_up >= 0 && field->endpoint_of[i] == field->endpoint_of[plan->runner_up]);
}

static void
ask_for_probes (const CommyRouteKey *key,
                const Field *field,
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
misses_requirement (const Field *field)
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
note_requirements (CommyRoute *route, const Field *field, const CommyPlan *plan)
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

gboolean
commy_route_is_fresh (CommyRoute *route, const CommyRouteKey *key)
{
  if (route->n_members == 0
      || route->registry_epoch != commy_registry_get_epoch (key->mesh->registry)
      || route->peers_epoch != commy_peers_get_epoch (key->worker->peers)
      || route->prober_epoch != commy_prober_get_epoch (key->mesh->prober)
      || route->samples >= COMMY_ROUTE_RECHECK_SAMPLES)
    return FALSE;
  return route->recheck_ns == G_MAXINT64 || commy_env_now (key->mesh->env) < route->recheck_ns;
}

gboolean
commy_route_decide_now (
    CommyRoute *route, const CommyRouteKey *key, CommyFlavour flavour, gsize size, GError **error)
{
  g_auto (Field) field = { 0 };
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *notes = NULL;
  g_autofree char *switch_text = NULL;
  guint32 registry_epoch = commy_registry_get_epoch (key->mesh->registry);
  guint32 prober_epoch = commy_prober_get_epoch (key->mesh->prober);
  CommySwitchVerdict verdict = COMMY_SWITCH_STAY_BEST;
  g_autofree char *incumbent_instance = g_steal_pointer (&route->incumbent_instance);
  g_autofree char *incumbent_transport = g_steal_pointer (&route->incumbent_transport);
  CommyDemand demand;
  CommyPlan plan;

  commy_route_clear (route, key->balancer);
  if (!make_field (&field, key, flavour, error))
    return FALSE;
  route->incumbent_instance = g_steal_pointer (&incumbent_instance);
  route->incumbent_transport = g_steal_pointer (&incumbent_transport);
  follow_home (route);
  commy_route_demand (key, flavour, &demand);
  decide (&field, &demand, &plan);
  if (plan.chosen >= 0)
    switch_text = hold_incumbent (route, &field, &demand, &plan, &verdict);
  if (key->probes && commy_prober_is_active (key->mesh->prober))
    ask_for_probes (key, &field, &demand, &plan, urgency_of (key, verdict));
  notes = make_notes (key, &field);
  decision = commy_decision_new (key->service, size, &demand, field.candidates, field.assessments,
                                 field.n, &plan, switch_text, notes);
  commy_mesh_record_decision (key->mesh, decision);
  if (note_requirements (route, &field, &plan))
    route->news = commy_decision_ref (decision);
  if (plan.chosen < 0)
    {
      g_autofree char *summary = commy_decision_summary (decision);
      gboolean stopped = route->requirements_unmet && route->requirements_held;

      commy_set_error (error, stopped ? COMMY_ERROR_REQUIREMENT : COMMY_ERROR_NO_ROUTE,
                       "no allowed path to %s: %s", key->service, summary);
      return FALSE;
    }
  remember_incumbent (route, &field.candidates[plan.chosen], demand.now_ns);
  settle_home (route, &field, key, (guint) plan.chosen);
  fill_members (route, &field, key, &demand, (guint) plan.chosen);
  update_balancer (route, key);
  route->snapshot = commy_snapshot_ref (field.snapshot);
  route->registry_epoch = registry_epoch;
  route->prober_epoch = prober_epoch;
  route->peers_epoch = commy_peers_get_epoch (key->worker->peers);
  route->samples = 0;
  route->decided_ns = demand.now_ns;
  route->recheck_ns = field.recheck_ns;
  return TRUE;
}

CommyRouteMember *
commy_route_pick (CommyRoute *route, CommyPlugin *balancer, guint *out_index)
{
  CommyBalancerSnapshot snapshot = { .struct_size = sizeof snapshot,
                                     .members = route->balancer_members,
                                     .n_members = route->n_members };
  gssize index;

  *out_index = 0;
  if (route->n_members == 1 || route->balancer_state == NULL)
    return &route->members[0];
  for (guint i = 0; i < route->n_members; i++)
    route->balancer_members[i].in_flight = route->members[i].peer->in_flight;
  index = balancer->ops.balancer.pick (route->balancer_state, &snapshot, 0, NULL);
  if (index < 0 || (gsize) index >= route->n_members)
    index = 0;
  *out_index = (guint) index;
  return &route->members[index];
}

const CommyStack *
commy_route_member_stack (const CommyRouteMember *member, gsize size)
{
  guint c = commy_size_class (size);

  return size <= member->split[c] ? &member->lo[c] : &member->hi[c];
}

CommyDecision *
commy_route_explain (const CommyRouteKey *key,
                     CommyFlavour flavour,
                     gsize size,
                     const CommyWhatIf *what_if,
                     GError **error)
{
  g_auto (Field) field = { 0 };
  g_autofree char *notes = NULL;
  CommyDemand demand;
  CommyPlan plan;

  if (!make_field (&field, key, flavour, error))
    return NULL;
  commy_route_demand (key, flavour, &demand);
  demand.share[commy_size_class (size)] = 1;
  commy_demand_apply_what_if (&demand, what_if);
  decide (&field, &demand, &plan);
  notes = make_notes (key, &field);
  return commy_decision_new (key->service, size, &demand, field.candidates, field.assessments,
                             field.n, &plan, NULL, notes);
}
