/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The candidates of one decision with what they were made of; lives as long as the decision
 * takes. Owner's thread only.
 */
#pragma once

#include "mesh/commy-interface-check.h"
#include "mesh/commy-route-cache.h"
#include "mesh/commy-survey.h"

typedef struct
{
  CommySnapshot *snapshot;
  CommyCandidate *candidates;
  CommyAssessment *assessments;
  guint *instance_of; /* index into the snapshot */
  CommySurveyEndpoint **endpoint_of;
  CommyPlugin **serializer_of;
  GPtrArray *findings;               /* CommyFinding, one an endpoint */
  CommyInterfaceFinding *interfaces; /* one an instance; NULL: nothing is compared */
  const char *interface_check;       /* of the keyfile, and where it stands */
  const char *interface_check_origin;
  gboolean awaits; /* an instance is being asked what it offers */
  guint n;
  gboolean truncated;
  gint64 recheck_ns;
  CommyFlavour flavour;
  const char *held; /* transport the flow stays on, or NULL */
} CommyRouteField;

void commy_route_field_clear (CommyRouteField *field);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyRouteField, commy_route_field_clear)

/* Of the last snapshot. FALSE: nobody offers the service (COMMY_ERROR_NO_SERVICE), or nothing is
 * known that both sides can use (COMMY_ERROR_NO_ROUTE). */
gboolean commy_route_field_make (CommyRouteField *out_field,
                                 const CommyRouteKey *key,
                                 CommyFlavour flavour,
                                 GError **error);
/* Ranks them; instances of a lower priority only where no better one can be used. */
void
commy_route_field_decide (CommyRouteField *field, const CommyDemand *demand, CommyPlan *out_plan);
/* Instances that are reached like the chosen one, over the same transport, tie with it, so that
 * they are balanced over: on the same host whatever was measured, because how busy an instance is
 * is the balancer's business; elsewhere where they cost the same. That one is connected already and
 * another is not must not count, or the first would be the only one for ever. */
void commy_route_field_tie_instances (CommyRouteField *field,
                                      const CommyDemand *demand,
                                      const CommyPlan *plan);
/* The rest of what the record of the decision has. */
void commy_route_field_explain (CommyRouteField *field, const CommyDemand *demand, CommyPlan *plan);
/* What a reader of the decision must know beside it, or NULL. (transfer full) */
char *commy_route_field_notes (const CommyRouteKey *key, const CommyRouteField *field);
