/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is balanced over: on the level of the best candidate all instances that are as good, and on
 * every farther level those that are as good as the best there. How many of each level are well
 * decides for each call from which one is picked (control/commy-locality.h).
 */
#include "config.h"

#include "mesh/commy-route-levels.h"

#include "route/commy-route-private.h"

#include <string.h>

static const CommyInstance *
instance_at (const CommyRouteField *field, guint i)
{
  return field->snapshot->instances->pdata[field->instance_of[i]];
}

static double
cost_once_connected (const CommyRouteField *field, const CommyDemand *demand, guint i)
{
  const CommyCandidate *candidate = &field->candidates[i];
  double bias = candidate->bias > 0 ? candidate->bias : 1;

  return field->assessments[i].flow_score - commy_candidate_connect (demand, candidate) * bias;
}

/* Whether @i, of another instance, is as good as @best. */
static gboolean
is_as_good (const CommyRouteField *field, const CommyDemand *demand, guint i, guint best)
{
  const char *host = instance_at (field, best)->host_id;
  double most = cost_once_connected (field, demand, best) * (1 + demand->tie_band);

  if (field->assessments[i].rejection.filter != COMMY_FILTER_NONE
      || field->instance_of[i] == field->instance_of[best]
      || field->candidates[i].level != field->candidates[best].level
      || strcmp (field->candidates[i].transport, field->candidates[best].transport) != 0
      || field->serializer_of[i] != field->serializer_of[best])
    return FALSE;
  return (host != NULL && host[0] != '\0' && g_strcmp0 (host, instance_at (field, i)->host_id) == 0)
         || cost_once_connected (field, demand, i) <= most;
}

/* Who serves when the levels before @level are not well. */
static void
mark_spare (CommyRouteField *field, const CommyDemand *demand, guint level)
{
  gint best
      = commy_route_best_of_level (demand, field->candidates, field->n, field->assessments, level);

  for (guint i = 0; i < field->n && best >= 0; i++)
    field->spare[i]
        = (gint) i == best || is_as_good (field, demand, i, (guint) best) || field->spare[i];
}

void
commy_route_levels_tie (CommyRouteField *field, const CommyDemand *demand, const CommyPlan *plan)
{
  guint chosen = (guint) plan->chosen;

  field->chosen = plan->chosen;
  if (plan->chosen < 0)
    return;
  for (guint i = 0; i < field->n; i++)
    if (is_as_good (field, demand, i, chosen))
      field->assessments[i].tied = field->assessments[chosen].tied = TRUE;
  for (guint level = field->candidates[chosen].level + 1; level < COMMY_LEVELS; level++)
    mark_spare (field, demand, level);
}

/* --- places --- */

guint
commy_route_levels_end_of (const CommyRouteField *field, guint first)
{
  guint i = first;

  while (i < field->n && field->instance_of[i] == field->instance_of[first])
    i++;
  return i;
}

gboolean
commy_route_levels_has (const CommyRouteField *field, guint first, guint level)
{
  const guint end = commy_route_levels_end_of (field, first);

  if (field->candidates[first].level != level)
    return FALSE;
  for (guint i = first; i < end; i++)
    if ((gint) i == field->chosen || field->assessments[i].tied || field->spare[i])
      return TRUE;
  return FALSE;
}

/* Nobody is allowed to go there, only because paths failed. */
static gboolean
is_absent (const CommyRouteField *field, guint first)
{
  const guint end = commy_route_levels_end_of (field, first);
  gboolean failed = FALSE;

  for (guint i = first; i < end; i++)
    {
      const CommyFilter filter = field->assessments[i].rejection.filter;

      if (filter == COMMY_FILTER_NONE)
        return FALSE;
      failed |= filter == COMMY_FILTER_BREAKER;
    }
  return failed;
}

void
commy_route_levels_place (const CommyRouteField *field, CommyLocality *locality)
{
  g_autofree guint8 *levels = g_new (guint8, MAX (field->n, 1));
  guint absent[COMMY_LEVELS], n = 0;

  memcpy (absent, field->subset.absent, sizeof absent);
  for (guint level = 0; level < COMMY_LEVELS; level++)
    for (guint first = 0; first < field->n; first = commy_route_levels_end_of (field, first))
      {
        if (commy_route_levels_has (field, first, level))
          levels[n++] = (guint8) level;
        absent[level] += field->candidates[first].level == level && is_absent (field, first);
      }
  commy_locality_set_members (locality, levels, n, absent);
}

CommyLocalityPolicy
commy_route_levels_policy (const CommyRouteKey *key)
{
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  CommyLocalityPolicy policy;

  commy_locality_policy_read (&policy, key->mesh->config, group);
  return policy;
}

void
commy_route_levels_note (const CommyRouteField *field, const CommyRouteKey *key, GString *out)
{
  const CommyLocalityPolicy policy = commy_route_levels_policy (key);
  g_auto (CommyLocality) locality = { 0 };
  g_autofree char *text = NULL;
  guint n_levels = 0;

  if (field->chosen < 0)
    return;
  commy_route_levels_place (field, &locality);
  for (guint level = 0; level < COMMY_LEVELS; level++)
    n_levels += locality.levels[level].n_members + locality.levels[level].n_absent > 0;
  if (n_levels < 2)
    return;
  commy_locality_exclude (&locality, &policy, NULL, NULL, 0, 0);
  text = commy_locality_explain (&locality);
  g_string_append_printf (out, "%slevels: %s", out->len > 0 ? "; " : "", text);
}
