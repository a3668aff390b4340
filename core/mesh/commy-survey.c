/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Surveys snapshots on the mesh thread: every transport that either side knows becomes an
 * endpoint, the unusable ones with the reason. Of thousands of instances one comes or goes at a
 * time, so what was found out about the others is taken over from the snapshot before.
 */
#include "config.h"

#include "mesh/commy-survey.h"

#include "channel/commy-setup.h"
#include "control/commy-locality.h"
#include "control/commy-subset.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-decision-private.h"

#include <string.h>

/* Transports are asked again after that long, if there is a new snapshot; of so many instances at a
 * time, so that no snapshot takes much longer than the others. */
#define ASKED_FOR_NS G_GINT64_CONSTANT (10000000000)
#define ASKED_AT_ONCE 256u
#define FACTS_KEPT 1024u

/* --- facts --- */

typedef struct _CommySurveyClaims SurveyClaims;
struct _CommySurveyClaims
{
  SurveyClaims *next;
  const CommyProfile *serializer;
  CommyClaims claims;
};

/* A worker that finds none adds its own before the others'; of two of the same kind that came at
 * the same time both stay. */
const CommyClaims *
commy_survey_claims (const CommySurveyFacts *facts, const CommyProfile *serializer)
{
  SurveyClaims **list = &((CommySurveyFacts *) facts)->claims;
  SurveyClaims *first = __atomic_load_n (list, __ATOMIC_ACQUIRE);
  SurveyClaims *mine;

  for (SurveyClaims *known = first; known != NULL; known = known->next)
    if (known->serializer == serializer)
      return &known->claims;
  mine = g_new (SurveyClaims, 1);
  mine->serializer = serializer;
  commy_claims_init (&mine->claims, &facts->profile, serializer);
  mine->next = first;
  while (!__atomic_compare_exchange_n (list, &mine->next, mine, FALSE, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE))
    ;
  return &mine->claims;
}

static void
facts_unref (gpointer data)
{
  CommySurveyFacts *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  while (self->claims != NULL)
    {
      SurveyClaims *known = self->claims;

      self->claims = known->next;
      g_free (known);
    }
  g_free (self->origin);
  g_free (self);
}

static guint
facts_hash (gconstpointer data)
{
  const CommySurveyFacts *self = data;
  double latency_ns = self->profile.segments[0].latency_ns;

  return g_str_hash (self->known.offered) ^ (self->known.filter << 8) ^ self->reach
         ^ g_double_hash (&latency_ns);
}

static gboolean
facts_equal (gconstpointer a, gconstpointer b)
{
  const CommySurveyFacts *x = a;
  const CommySurveyFacts *y = b;

  return x->security == y->security && x->reach == y->reach && x->known.filter == y->known.filter
         && strcmp (x->known.required, y->known.required) == 0
         && strcmp (x->known.offered, y->known.offered) == 0
         && g_strcmp0 (x->origin, y->origin) == 0
         && memcmp (&x->profile, &y->profile, sizeof x->profile) == 0;
}

/* Those of @survey that are equal to @found, whose text it takes; made if there are none. */
static const CommySurveyFacts *
share_facts (CommySurvey *survey, CommySurveyFacts *found)
{
  CommySurveyFacts *facts = g_hash_table_lookup (survey->facts, found);

  if (facts == NULL)
    {
      facts = g_memdup2 (found, sizeof *found);
      g_atomic_ref_count_init (&facts->refs);
      facts->known.origin = facts->origin;
      g_hash_table_add (survey->facts, facts);
    }
  else
    g_free (found->origin);
  g_atomic_ref_count_inc (&facts->refs);
  g_atomic_int_inc (&facts->n_endpoints);
  return facts;
}

/* --- asking --- */

static void
reject (CommySurveyFacts *facts,
        CommyFilter filter,
        const char *required,
        const char *offered,
        const char *origin)
{
  facts->known.filter = filter;
  g_strlcpy (facts->known.required, required, sizeof facts->known.required);
  g_strlcpy (facts->known.offered, offered, sizeof facts->known.offered);
  facts->origin = g_strdup (origin);
}

static const CommyInstanceEndpoint *
find_pair (const CommyInstanceEndpoint *pairs, guint n, const char *id)
{
  for (guint i = 0; i < n; i++)
    if (strcmp (pairs[i].transport, id) == 0)
      return &pairs[i];
  return NULL;
}

static guint
reach_of (CommyMesh *mesh, CommyInstance *instance, const CommyProfile *profile)
{
  if (commy_mesh_is_ours (mesh, instance) && (profile->reach & COMMY_REACH_SELF))
    return COMMY_REACH_SELF;
  if (profile->reach & COMMY_REACH_NETWORK)
    return COMMY_REACH_NETWORK;
  return profile->reach & COMMY_REACH_HOST ? COMMY_REACH_HOST : COMMY_REACH_SELF;
}

static void
ask_transport (CommyInstance *instance,
               const CommySurveyEndpoint *endpoint,
               CommySurveyFacts *facts)
{
  CommyPlugin *plugin = endpoint->transport;
  const CommyTransportOps *ops = &plugin->ops.transport;
  CommyEndpoint where = { .struct_size = sizeof where,
                          .transport = endpoint->id,
                          .address = endpoint->address,
                          .host_id = instance->origin == NULL ? instance->host_id : NULL,
                          .node = instance->origin == NULL ? instance->node : NULL };
  char reason[96] = "";

  if (!ops->reachable (plugin->instance, &where, reason, sizeof reason))
    reject (facts, COMMY_FILTER_REACHABLE, "a way there", reason, plugin->name);
  else if (plugin->profile.provenance != COMMY_PROVENANCE_OPERATOR)
    ops->estimate (plugin->instance, &where, &facts->profile);
}

/* A transport of ours, against what the peer offers. */
static void
survey_transport (CommyMesh *mesh,
                  CommyInstance *instance,
                  CommyPlugin *plugin,
                  CommySurveyEndpoint *endpoint,
                  CommySurveyFacts *facts)
{
  const CommyInstanceEndpoint *offered
      = find_pair (instance->endpoints, instance->n_endpoints, plugin->note.id);
  const CommyInstanceEndpoint *withheld
      = find_pair (instance->withheld, instance->n_withheld, plugin->note.id);

  endpoint->id = plugin->note.id;
  facts->profile = plugin->profile;
  facts->security = commy_setup_expected_security (&mesh->setup, &plugin->profile);
  facts->reach = reach_of (mesh, instance, &plugin->profile);
  if (plugin->state == COMMY_PLUGIN_STATE_DISABLED)
    reject (facts, COMMY_FILTER_ENABLED, "enabled",
            plugin->reason != NULL ? plugin->reason : "disabled",
            plugin->reason_origin != NULL ? plugin->reason_origin : "keyfile");
  else if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE)
    reject (facts, COMMY_FILTER_STATE, "active",
            plugin->reason != NULL ? plugin->reason : commy_plugin_state_to_string (plugin->state),
            plugin->path);
  else if (offered == NULL)
    reject (facts, COMMY_FILTER_PEER, "an address of the peer",
            withheld != NULL ? withheld->address : "none",
            instance->origin != NULL ? instance->origin : "the peer");
  else
    {
      endpoint->transport = plugin;
      endpoint->address = offered->address;
      ask_transport (instance, endpoint, facts);
    }
}

/* A transport that only the peer knows. */
static void
survey_foreign (const CommyInstanceEndpoint *offered,
                CommySurveyEndpoint *endpoint,
                CommySurveyFacts *facts)
{
  endpoint->id = offered->transport;
  facts->profile.n_segments = 1;
  facts->profile.segments[0].max_bytes = G_MAXUINT64;
  facts->profile.size_factor = 1;
  reject (facts, COMMY_FILTER_STATE, "a plugin", "no plugin of this name here", "plugins");
}

static gboolean
is_surveyed (const CommyPlugin *plugin)
{
  return plugin->has_note && plugin->note.kind == COMMY_PLUGIN_TRANSPORT
         && plugin->state != COMMY_PLUGIN_STATE_HIDDEN && !commy_plugin_is_hook (plugin);
}

/* Until when the same would come out again. Of another host's door it is certain that it is not
 * here; on this host one may have been opened. */
static gint64
get_end (const CommySurveyInstance *self, gint64 now_ns)
{
  if (strcmp (self->instance->host_id, commy_env_host_id ()) != 0)
    return now_ns + ASKED_FOR_NS;
  for (guint i = 0; i < self->n_endpoints; i++)
    if (self->endpoints[i].facts->known.filter == COMMY_FILTER_REACHABLE)
      return 0;
  return now_ns + ASKED_FOR_NS;
}

/* Of an endpoint that no store lists nothing is said; but what only this host reaches is here. */
static gboolean
is_only_of_host (const CommySurveyInstance *survey)
{
  gboolean any = FALSE;

  for (guint i = 0; i < survey->n_endpoints; i++)
    {
      if (survey->endpoints[i].transport == NULL)
        continue;
      if (survey->endpoints[i].facts->reach == COMMY_REACH_NETWORK)
        return FALSE;
      any = TRUE;
    }
  return any;
}

static void
survey_place (CommyMesh *mesh, const CommyInstance *instance, CommySurveyInstance *out)
{
  const CommyPlace here = { .node = mesh->node,
                            .host_id = commy_env_host_id (),
                            .zone = commy_config_get (mesh->config, "mesh", "zone"),
                            .region = commy_config_get (mesh->config, "mesh", "region") };
  const CommyPlace there = { .node = commy_mesh_is_ours (mesh, instance) ? instance->node : NULL,
                             .host_id = instance->host_id,
                             .zone = instance->zone,
                             .region = instance->region };

  out->level = commy_place_get_level (&here, &there);
  if (out->level == COMMY_LEVEL_ELSEWHERE && instance->origin != NULL && is_only_of_host (out))
    out->level = COMMY_LEVEL_HOST;
  out->score = commy_subset_score (commy_sticky_hash (mesh->node), instance->id);
}

static CommySurveyInstance *
survey_instance (CommyMesh *mesh, CommySurvey *survey, CommyInstance *instance, gint64 now_ns)
{
  guint n_plugins = commy_catalog_get_n_plugins (mesh->catalog);
  guint n = instance->n_endpoints;
  CommySurveyInstance *out;

  for (guint i = 0; i < n_plugins; i++)
    n += is_surveyed (commy_catalog_get_plugin (mesh->catalog, i));
  out = g_malloc0 (sizeof *out + n * sizeof *out->endpoints);
  g_atomic_ref_count_init (&out->refs);
  out->instance = commy_instance_ref (instance);
  for (guint i = 0; i < n_plugins; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (mesh->catalog, i);
      CommySurveyEndpoint *endpoint = &out->endpoints[out->n_endpoints];
      CommySurveyFacts facts = { 0 };

      if (!is_surveyed (plugin))
        continue;
      survey_transport (mesh, instance, plugin, endpoint, &facts);
      endpoint->facts = share_facts (survey, &facts);
      out->n_endpoints++;
    }
  for (guint i = 0; i < instance->n_endpoints; i++)
    {
      CommySurveyEndpoint *endpoint = &out->endpoints[out->n_endpoints];
      CommySurveyFacts facts = { 0 };
      gboolean known = FALSE;

      for (guint k = 0; k < out->n_endpoints && !known; k++)
        known = strcmp (out->endpoints[k].id, instance->endpoints[i].transport) == 0;
      if (known)
        continue;
      survey_foreign (&instance->endpoints[i], endpoint, &facts);
      endpoint->facts = share_facts (survey, &facts);
      out->n_endpoints++;
    }
  survey_place (mesh, instance, out);
  out->holds_until_ns = get_end (out, now_ns);
  return out;
}

/* --- taking over --- */

/* Both are in the same order. @at: where to look from, for the next one as well. */
static CommySurveyInstance *
find_before (const CommySurvey *before, CommyInstance *instance, guint *at)
{
  for (; before != NULL && *at < before->n_instances; (*at)++)
    {
      CommySurveyInstance *old = before->instances[*at];

      if (old->instance == instance)
        return old;
      if (commy_instance_compare (&old->instance, &instance) >= 0)
        return NULL;
    }
  return NULL;
}

/* Those that an endpoint still has: most reasons name an address, and so nobody else's ever come
 * again. A set that has grown too large to be copied for each snapshot begins anew. */
static GHashTable *
take_over_facts (const CommySurvey *before)
{
  GHashTable *all = g_hash_table_new_full (facts_hash, facts_equal, facts_unref, NULL);
  GHashTableIter iter;
  gpointer facts;

  if (before == NULL || g_hash_table_size (before->facts) > FACTS_KEPT)
    return all;
  g_hash_table_iter_init (&iter, before->facts);
  while (g_hash_table_iter_next (&iter, &facts, NULL))
    {
      if (g_atomic_int_get (&((CommySurveyFacts *) facts)->n_endpoints) == 0)
        continue;
      g_atomic_ref_count_inc (&((CommySurveyFacts *) facts)->refs);
      g_hash_table_add (all, facts);
    }
  return all;
}

static CommySurveyInstance *
survey_instance_ref (CommySurveyInstance *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

/* --- life --- */

static void
survey_instance_unref (CommySurveyInstance *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  for (guint i = 0; i < self->n_endpoints; i++)
    {
      CommySurveyFacts *facts = (CommySurveyFacts *) self->endpoints[i].facts;

      g_atomic_int_add (&facts->n_endpoints, -1);
      facts_unref (facts);
    }
  commy_instance_unref (self->instance);
  g_free (self);
}

static void
survey_free (gpointer data)
{
  CommySurvey *survey = data;

  for (guint i = 0; i < survey->n_instances; i++)
    survey_instance_unref (survey->instances[i]);
  g_free (survey->instances);
  g_hash_table_unref (survey->facts);
  g_free (survey);
}

/* Whether the @i-th instance is among those that may be asked again this time. */
static gboolean
is_turn_of (const CommySurvey *survey, guint i)
{
  return (i + survey->n_instances - survey->first_asked) % survey->n_instances < ASKED_AT_ONCE;
}

void
commy_survey_snapshot (gpointer data, CommySnapshot *snapshot, const CommySnapshot *before)
{
  CommyMesh *mesh = data;
  const CommySurvey *old_survey = before != NULL ? before->survey : NULL;
  CommySurvey *survey = g_new0 (CommySurvey, 1);
  gint64 now_ns = commy_env_now (mesh->env);
  guint at = 0;

  survey->n_instances = snapshot->instances->len;
  survey->instances = g_new0 (CommySurveyInstance *, MAX (survey->n_instances, 1));
  survey->facts = take_over_facts (old_survey);
  if (old_survey != NULL && survey->n_instances > 0)
    survey->first_asked = (old_survey->first_asked + ASKED_AT_ONCE) % survey->n_instances;
  for (guint i = 0; i < survey->n_instances; i++)
    {
      CommyInstance *instance = snapshot->instances->pdata[i];
      CommySurveyInstance *old = find_before (old_survey, instance, &at);

      if (old != NULL && old->holds_until_ns != 0
          && (now_ns < old->holds_until_ns || !is_turn_of (survey, i)))
        survey->instances[i] = survey_instance_ref (old);
      else
        survey->instances[i] = survey_instance (mesh, survey, instance, now_ns);
    }
  snapshot->survey = survey;
  snapshot->survey_free = survey_free;
}
