/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a snapshot to candidates: every endpoint of every instance with every serializer that
 * fits, with what was measured, felt and found out about it, and what the keyfile demands. Ranking
 * them is the business of core/route; keeping what came out is commy-route-table.c's.
 */
#include "config.h"

#include "mesh/commy-route-field.h"

#include "base/commy-error-private.h"
#include "mesh/commy-route-levels.h"
#include "route/commy-route-private.h"

#include <string.h>

#define MAX_INTERFACES_NOTED 4u

void
commy_route_field_clear (CommyRouteField *field)
{
  g_clear_pointer (&field->snapshot, commy_snapshot_unref);
  g_free (field->candidates);
  g_free (field->assessments);
  g_free (field->instance_of);
  g_free (field->endpoint_of);
  g_free (field->serializer_of);
  g_free (field->spare);
  commy_route_subset_clear (&field->subset);
  g_free (field->interfaces);
  g_clear_pointer (&field->findings, g_ptr_array_unref);
}

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
mark_failed (CommyCandidate *candidate, CommyPath *path, gint64 now_ns, CommyRouteField *field)
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

/* Others are asked for, because all that were chosen are left out. */
static void
mark_left_out (CommyCandidate *candidate, const CommyRouteKey *key, const CommyPeer *peer)
{
  if (key->around == NULL || peer == NULL || candidate->known.filter != COMMY_FILTER_NONE
      || !commy_ward_leaves_out (key->around, peer))
    return;
  candidate->known.filter = COMMY_FILTER_BREAKER;
  g_strlcpy (candidate->known.required, "an instance that is well",
             sizeof candidate->known.required);
  g_strlcpy (candidate->known.offered, "it is left out now", sizeof candidate->known.offered);
  candidate->known.origin = "resilience";
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

/* What no filter before it has refused, and offers something else. */
static void
mark_interface (CommyCandidate *candidate, const CommyRouteField *field, guint index)
{
  const CommyInterfaceFinding *finding
      = field->interfaces != NULL ? &field->interfaces[index] : NULL;
  const gboolean differs = finding != NULL && finding->state == COMMY_INTERFACE_DIFFERS
                           && g_strcmp0 (field->interface_check, "warn") != 0;

  if (candidate->known.filter != COMMY_FILTER_NONE
      || (!differs && (finding == NULL || finding->state != COMMY_INTERFACE_AWAITED)))
    return;
  candidate->known.filter = COMMY_FILTER_INTERFACE;
  g_strlcpy (candidate->known.required, "what the client was written for",
             sizeof candidate->known.required);
  g_strlcpy (candidate->known.offered, finding->text, sizeof candidate->known.offered);
  candidate->known.origin = field->interface_check_origin;
}

gboolean
commy_route_is_selected (const CommyRouteKey *key,
                         const CommyInstance *instance,
                         CommyRejection *why)
{
  const CommyTraits traits = { .version = instance->version,
                               .tags = (const char *const *) instance->tags,
                               .metadata = instance->metadata };

  return key->selector == NULL
         || commy_selector_matches (key->selector, &traits, why != NULL ? why->required : NULL,
                                    why != NULL ? sizeof why->required : 0,
                                    why != NULL ? why->offered : NULL,
                                    why != NULL ? sizeof why->offered : 0);
}

static void
mark_selector (CommyCandidate *candidate, const CommyRouteKey *key, const CommyInstance *instance)
{
  if (candidate->known.filter != COMMY_FILTER_NONE
      || commy_route_is_selected (key, instance, &candidate->known))
    return;
  candidate->known.filter = COMMY_FILTER_SELECTOR;
  candidate->known.origin = key->selector_origin;
}

static void
add_candidate (CommyRouteField *field,
               const CommyRouteKey *key,
               guint index,
               CommySurveyEndpoint *endpoint,
               const CommyFinding *finding,
               CommyPlugin *serializer,
               gint64 now_ns)
{
  CommyInstance *instance = field->snapshot->instances->pdata[index];
  const CommyProfile *profile = commy_route_serializer_profile (field->flavour, serializer);
  CommyCandidate *candidate;
  CommyPeer *peer = NULL;
  CommyPath *path = NULL;

  if (field->n == COMMY_ROUTE_MAX_CANDIDATES)
    {
      field->truncated = TRUE;
      return;
    }
  candidate = &field->candidates[field->n];
  if (endpoint->transport != NULL)
    {
      peer = commy_peers_ensure (key->worker->peers, instance);
      path = commy_peer_ensure_path (peer, endpoint->transport, endpoint->address);
    }
  *candidate = (CommyCandidate){ .instance = instance->id,
                                 .transport = endpoint->id,
                                 .serializer = serializer->note.id,
                                 .transport_profile = &endpoint->facts->profile,
                                 .serializer_profile = profile,
                                 .claims = commy_survey_claims (endpoint->facts, profile),
                                 .security = endpoint->facts->security,
                                 .reach = endpoint->facts->reach,
                                 .level = commy_route_subset_get_level (&field->subset,
                                                                        field->snapshot, index),
                                 .connected = path != NULL && commy_path_is_up (path),
                                 .bias = 1,
                                 .known = endpoint->facts->known };
  if (endpoint->transport != NULL)
    {
      candidate->bias = endpoint->transport->bias;
      candidate->bias_origin = endpoint->transport->bias_origin;
      candidate->profile_origin = endpoint->transport->profile_origin;
    }
  add_finding (candidate, path, finding);
  mark_interface (candidate, field, index);
  mark_selector (candidate, key, instance);
  mark_left_out (candidate, key, peer);
  mark_failed (candidate, path, now_ns, field);
  field->instance_of[field->n] = index;
  field->endpoint_of[field->n] = endpoint;
  field->serializer_of[field->n] = serializer;
  field->n++;
}

/* In place means: on memory that both sides share, between peers that trust each other. */
gboolean
commy_route_serializer_fits (const CommyPlugin *serializer,
                             const CommySurveyEndpoint *endpoint,
                             const CommyInstance *instance,
                             guint64 wanted_caps)
{
  guint64 caps = serializer->profile.capabilities;
  gboolean byte_orders_may_differ = endpoint->facts->reach == COMMY_REACH_NETWORK;

  if ((caps & wanted_caps) != wanted_caps
      || (commy_instance_is_known (instance)
          && !g_strv_contains ((const char *const *) instance->serializers, serializer->note.id)))
    return FALSE;
  return !(caps & COMMY_CAP_NATIVE_ENDIAN) || !byte_orders_may_differ
         || wanted_caps == COMMY_CAP_BYTES;
}

static gboolean
is_of_flavour (const CommyPlugin *plugin, guint64 wanted_caps)
{
  return plugin->has_note && plugin->note.kind == COMMY_PLUGIN_SERIALIZER
         && plugin->state == COMMY_PLUGIN_STATE_ACTIVE
         && (plugin->profile.capabilities & wanted_caps) == wanted_caps;
}

static void
add_endpoint (CommyRouteField *field,
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

      if (!is_of_flavour (plugin, wanted_caps)
          || !commy_route_serializer_fits (plugin, endpoint, instance, wanted_caps))
        continue;
      add_candidate (field, key, index, endpoint, finding, plugin, now_ns);
    }
}

/* All paths to an instance, or those that may be taken. */
static void
add_instance (CommyRouteField *field,
              const CommyRouteKey *key,
              guint index,
              guint64 wanted_caps,
              gint64 now_ns)
{
  const CommySurvey *survey = field->snapshot->survey;
  CommySurveyInstance *instance = survey->instances[index];
  gboolean any = FALSE;

  for (guint k = 0; k < instance->n_endpoints; k++)
    any |= instance->endpoints[k].facts->known.filter == COMMY_FILTER_NONE;
  for (guint k = 0; k < instance->n_endpoints; k++)
    if (!any || !field->subset.brief
        || instance->endpoints[k].facts->known.filter == COMMY_FILTER_NONE)
      add_endpoint (field, key, index, &instance->endpoints[k], wanted_caps, now_ns);
}

/* (transfer full) (element-type CommyPlugin) */
static GPtrArray *
list_serializers (const CommyRouteKey *key, guint64 wanted_caps)
{
  const guint n = commy_catalog_get_n_plugins (key->mesh->catalog);
  GPtrArray *fitting = g_ptr_array_new ();

  for (guint i = 0; i < n; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (key->mesh->catalog, i);

      if (is_of_flavour (plugin, wanted_caps))
        g_ptr_array_add (fitting, plugin);
    }
  return fitting;
}

/* Asks what each instance offers, if the client says what it needs. */
static void
compare_interfaces (CommyRouteField *field, const CommyRouteKey *key)
{
  CommyConfig *config = key->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  const GPtrArray *instances = field->snapshot->instances;

  if (key->expectation == NULL)
    return;
  field->interface_check = commy_config_get (config, group, "interface-check");
  field->interface_check_origin = commy_config_get_origin (config, group, "interface-check");
  if (g_strcmp0 (field->interface_check, "off") == 0)
    return;
  field->interfaces = g_new0 (CommyInterfaceFinding, instances->len);
  for (guint k = 0; k < field->subset.n; k++)
    {
      const guint i = field->subset.instances[k];

      if (!commy_route_is_selected (key, instances->pdata[i], NULL))
        continue;
      commy_interface_checks_get (key->mesh->interface_checks, key->expectation,
                                  instances->pdata[i], &field->interfaces[i]);
      field->awaits |= field->interfaces[i].state == COMMY_INTERFACE_AWAITED;
    }
}

gboolean
commy_route_field_make (CommyRouteField *field,
                        const CommyRouteKey *key,
                        CommyFlavour flavour,
                        GError **error)
{
  guint64 caps = flavour == COMMY_FLAVOUR_BYTES ? COMMY_CAP_BYTES : COMMY_CAP_VALUES;
  gint64 now_ns = commy_env_now (key->mesh->env);
  g_autoptr (GPtrArray) serializers = list_serializers (key, caps);

  field->snapshot = commy_registry_lookup (key->mesh->registry, key->service);
  if (field->snapshot == NULL || field->snapshot->instances->len == 0)
    {
      g_autofree char *notice
          = field->snapshot != NULL ? commy_snapshot_dup_notice (field->snapshot, now_ns) : NULL;

      commy_set_error (error, COMMY_ERROR_NO_SERVICE,
                       "nobody offers %s in mesh \"%s\", whose folder is %s%s%s%s", key->service,
                       key->mesh->name, key->mesh->state_dir, notice != NULL ? " (" : "",
                       notice != NULL ? notice : "", notice != NULL ? ")" : "");
      return FALSE;
    }
  field->flavour = flavour;
  commy_route_subset_make (&field->subset, key, field->snapshot, serializers, caps, now_ns);
  field->recheck_ns = field->subset.recheck_ns;
  if (key->around != NULL)
    field->recheck_ns = MIN (field->recheck_ns, commy_ward_get_recheck (key->around, now_ns));
  field->candidates = g_new0 (CommyCandidate, COMMY_ROUTE_MAX_CANDIDATES);
  field->instance_of = g_new0 (guint, COMMY_ROUTE_MAX_CANDIDATES);
  field->endpoint_of = g_new0 (CommySurveyEndpoint *, COMMY_ROUTE_MAX_CANDIDATES);
  field->serializer_of = g_new0 (CommyPlugin *, COMMY_ROUTE_MAX_CANDIDATES);
  field->findings = g_ptr_array_new_with_free_func (g_free);
  compare_interfaces (field, key);
  for (guint i = 0; i < field->subset.n; i++)
    add_instance (field, key, field->subset.instances[i], caps, now_ns);
  if (field->n == 0)
    {
      commy_set_error (error, key->instance != NULL ? COMMY_ERROR_NO_SERVICE : COMMY_ERROR_NO_ROUTE,
                       key->instance != NULL ? "instance %.8s of %s is not there"
                                             : "%.8s%s: no serializer that both sides know",
                       key->instance != NULL ? key->instance : "", key->service);
      return FALSE;
    }
  field->assessments = g_new0 (CommyAssessment, field->n);
  field->spare = g_new0 (gboolean, field->n);
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

/* What is refused because of it says so itself. */
static const char *
interface_words (CommyInterfaceState state)
{
  switch (state)
    {
    case COMMY_INTERFACE_WARNS:
      return "fits with a warning";
    case COMMY_INTERFACE_DIFFERS:
      return "does not fit";
    case COMMY_INTERFACE_UNKNOWN:
      return "is not checked";
    default:
      return NULL;
    }
}

static void
note_interfaces (GString *notes, const CommyRouteKey *key, const CommyRouteField *field)
{
  guint noted = 0;

  if (key->expectation != NULL && field->interfaces == NULL)
    g_string_append_printf (notes, "%sinterfaces are not checked: interface-check=%s (%s)",
                            notes->len > 0 ? "; " : "", field->interface_check,
                            field->interface_check_origin);
  for (guint i = 0; field->interfaces != NULL && i < field->snapshot->instances->len; i++)
    {
      const CommyInstance *instance = field->snapshot->instances->pdata[i];
      const CommyInterfaceFinding *finding = &field->interfaces[i];
      const char *words = interface_words (finding->state);

      if (words == NULL || ++noted > MAX_INTERFACES_NOTED)
        continue;
      g_string_append_printf (notes, "%sthe interface of %.8s %s: %s", notes->len > 0 ? "; " : "",
                              instance->id, words, finding->text);
    }
  if (noted > MAX_INTERFACES_NOTED)
    g_string_append_printf (notes, "; and so of %u more", noted - MAX_INTERFACES_NOTED);
}

/* Who picks, where there is more than one to pick from. */
static void
note_balancer (GString *notes, const CommyRouteKey *key, const CommyRouteField *field)
{
  guint n = 0;

  for (guint i = 0; i < field->n; i++)
    if (i == 0 || field->instance_of[i] != field->instance_of[i - 1])
      n++;
  if (n < 2)
    return;
  if (key->balancer == NULL)
    g_string_append_printf (notes, "%sno balancer: always the first instance",
                            notes->len > 0 ? "; " : "");
  else
    g_string_append_printf (notes, "%sbalancer %s picks among instances of equal cost (%s)",
                            notes->len > 0 ? "; " : "", key->balancer->note.id,
                            key->balancer_origin);
}

char *
commy_route_field_notes (const CommyRouteKey *key, const CommyRouteField *field)
{
  GString *notes = g_string_new (NULL);
  g_autofree char *notice
      = commy_snapshot_dup_notice (field->snapshot, commy_env_now (key->mesh->env));

  if (g_strcmp0 (commy_config_get (key->mesh->config, "plugins", "trust"), "any") == 0)
    g_string_append_printf (notes, "trust=any: plugin files are not checked (%s)",
                            commy_config_get_origin (key->mesh->config, "plugins", "trust"));
  note_hooks (notes, key->mesh->catalog);
  note_balancer (notes, key, field);
  commy_route_subset_note (&field->subset, key, notes);
  commy_route_levels_note (field, key, notes);
  if (notice != NULL)
    g_string_append_printf (notes, "%s%s", notes->len > 0 ? "; " : "", notice);
  note_interfaces (notes, key, field);
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
best_priority (const CommyRouteField *field)
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
hold_back (CommyRouteField *field, guint32 best)
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

void
commy_route_field_decide (CommyRouteField *field, const CommyDemand *demand, CommyPlan *plan)
{
  commy_route_choose (demand, field->candidates, field->n, field->assessments, plan);
  if (plan->chosen >= 0 && hold_back (field, best_priority (field)))
    commy_route_choose (demand, field->candidates, field->n, field->assessments, plan);
}

void
commy_route_field_explain (CommyRouteField *field, const CommyDemand *demand, CommyPlan *plan)
{
  commy_route_explain_choice (demand, field->candidates, field->n, field->assessments, plan);
}
