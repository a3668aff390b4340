/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Surveys snapshots on the mesh thread: every transport that either side knows becomes an
 * endpoint, the unusable ones with the reason.
 */
#include "config.h"

#include "mesh/commy-survey.h"

#include "channel/commy-setup.h"
#include "control/commy-locality.h"
#include "control/commy-subset.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-decision-private.h"

#include <string.h>

static void
reject (CommySurveyEndpoint *endpoint,
        CommyFilter filter,
        const char *required,
        const char *offered,
        const char *origin)
{
  endpoint->known.filter = filter;
  g_strlcpy (endpoint->known.required, required, sizeof endpoint->known.required);
  g_strlcpy (endpoint->known.offered, offered, sizeof endpoint->known.offered);
  endpoint->origin = g_strdup (origin);
  endpoint->known.origin = endpoint->origin;
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
  if (strcmp (instance->node, mesh->node) == 0 && (profile->reach & COMMY_REACH_SELF))
    return COMMY_REACH_SELF;
  if (profile->reach & COMMY_REACH_NETWORK)
    return COMMY_REACH_NETWORK;
  return profile->reach & COMMY_REACH_HOST ? COMMY_REACH_HOST : COMMY_REACH_SELF;
}

static void
ask_transport (CommyMesh *mesh, CommyInstance *instance, CommySurveyEndpoint *endpoint)
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
    reject (endpoint, COMMY_FILTER_REACHABLE, "a way there", reason, plugin->name);
  else if (plugin->profile.provenance != COMMY_PROVENANCE_OPERATOR)
    ops->estimate (plugin->instance, &where, &endpoint->profile);
}

/* A transport of ours, against what the peer offers. */
static void
survey_transport (CommyMesh *mesh,
                  CommyInstance *instance,
                  CommyPlugin *plugin,
                  CommySurveyEndpoint *endpoint)
{
  const CommyInstanceEndpoint *offered
      = find_pair (instance->endpoints, instance->n_endpoints, plugin->note.id);
  const CommyInstanceEndpoint *withheld
      = find_pair (instance->withheld, instance->n_withheld, plugin->note.id);

  endpoint->id = plugin->note.id;
  endpoint->profile = plugin->profile;
  endpoint->security = commy_setup_expected_security (&mesh->setup, &plugin->profile);
  endpoint->reach = reach_of (mesh, instance, &plugin->profile);
  if (plugin->state == COMMY_PLUGIN_STATE_DISABLED)
    reject (endpoint, COMMY_FILTER_ENABLED, "enabled",
            plugin->reason != NULL ? plugin->reason : "disabled",
            plugin->reason_origin != NULL ? plugin->reason_origin : "keyfile");
  else if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE)
    reject (endpoint, COMMY_FILTER_STATE, "active",
            plugin->reason != NULL ? plugin->reason : commy_plugin_state_to_string (plugin->state),
            plugin->path);
  else if (offered == NULL)
    reject (endpoint, COMMY_FILTER_PEER, "an address of the peer",
            withheld != NULL ? withheld->address : "none",
            instance->origin != NULL ? instance->origin : "the peer");
  else
    {
      endpoint->transport = plugin;
      endpoint->address = offered->address;
      ask_transport (mesh, instance, endpoint);
    }
}

static void
survey_instance (CommyMesh *mesh, CommyInstance *instance, CommySurveyInstance *out)
{
  guint n_plugins = commy_catalog_get_n_plugins (mesh->catalog);

  out->endpoints = g_new0 (CommySurveyEndpoint, n_plugins + instance->n_endpoints);
  for (guint i = 0; i < n_plugins; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (mesh->catalog, i);

      if (plugin->has_note && plugin->note.kind == COMMY_PLUGIN_TRANSPORT
          && plugin->state != COMMY_PLUGIN_STATE_HIDDEN && !commy_plugin_is_hook (plugin))
        survey_transport (mesh, instance, plugin, &out->endpoints[out->n_endpoints++]);
    }
  for (guint i = 0; i < instance->n_endpoints; i++)
    {
      CommySurveyEndpoint *endpoint = &out->endpoints[out->n_endpoints];
      const char *id = instance->endpoints[i].transport;
      gboolean known = FALSE;

      for (guint k = 0; k < out->n_endpoints && !known; k++)
        known = strcmp (out->endpoints[k].id, id) == 0;
      if (known)
        continue;
      endpoint->id = id;
      endpoint->profile.n_segments = 1;
      endpoint->profile.segments[0].max_bytes = G_MAXUINT64;
      endpoint->profile.size_factor = 1;
      reject (endpoint, COMMY_FILTER_STATE, "a plugin", "no plugin of this name here", "plugins");
      out->n_endpoints++;
    }
}

/* --- where it is --- */

/* Of an endpoint that no store lists nothing is said; but what only this host reaches is here. */
static gboolean
is_only_of_host (const CommySurveyInstance *survey)
{
  gboolean any = FALSE;

  for (guint i = 0; i < survey->n_endpoints; i++)
    {
      if (survey->endpoints[i].transport == NULL)
        continue;
      if (survey->endpoints[i].reach == COMMY_REACH_NETWORK)
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
  const CommyPlace there = { .node = instance->node,
                             .host_id = instance->host_id,
                             .zone = instance->zone,
                             .region = instance->region };

  out->level = commy_place_get_level (&here, &there);
  if (out->level == COMMY_LEVEL_ELSEWHERE && instance->origin != NULL && is_only_of_host (out))
    out->level = COMMY_LEVEL_HOST;
  out->score = commy_subset_score (commy_sticky_hash (mesh->node), instance->id);
}

static void
survey_free (gpointer data)
{
  CommySurvey *survey = data;

  for (guint i = 0; i < survey->n_instances; i++)
    {
      for (guint k = 0; k < survey->instances[i].n_endpoints; k++)
        g_free (survey->instances[i].endpoints[k].origin);
      g_free (survey->instances[i].endpoints);
    }
  g_free (survey->instances);
  g_free (survey);
}

void
commy_survey_snapshot (gpointer data, CommySnapshot *snapshot)
{
  CommyMesh *mesh = data;
  CommySurvey *survey = g_new0 (CommySurvey, 1);

  survey->n_instances = snapshot->instances->len;
  survey->instances = g_new0 (CommySurveyInstance, MAX (survey->n_instances, 1));
  for (guint i = 0; i < survey->n_instances; i++)
    {
      survey_instance (mesh, snapshot->instances->pdata[i], &survey->instances[i]);
      survey_place (mesh, snapshot->instances->pdata[i], &survey->instances[i]);
    }
  snapshot->survey = survey;
  snapshot->survey_free = survey_free;
}
