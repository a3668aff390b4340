/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The candidates of one decision with what they were made of; lives as long as the decision
 * takes. Owner's thread only.
 */
#pragma once

#include "mesh/commy-interface-check.h"
#include "mesh/commy-route-subset.h"

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
  CommyRouteSubset subset;
  guint n;
  gboolean truncated;
  gint64 recheck_ns;
  CommyFlavour flavour;
  gint chosen;      /* what instances tie with, after commy_route_levels_tie(); or -1 */
  const char *held; /* transport the flow stays on among the instances of its level, or NULL */
  gboolean
      *spare; /* one a candidate: of an instance for when those of nearer levels are not well */
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
/* The rest of what the record of the decision has. */
void commy_route_field_explain (CommyRouteField *field, const CommyDemand *demand, CommyPlan *plan);
/* What a reader of the decision must know beside it, or NULL. (transfer full) */
char *commy_route_field_notes (const CommyRouteKey *key, const CommyRouteField *field);

/* Whether @serializer, which has @wanted_caps if it is of use at all, can be used there. */
gboolean commy_route_serializer_fits (const CommyPlugin *serializer,
                                      const CommySurveyEndpoint *endpoint,
                                      const CommyInstance *instance,
                                      guint64 wanted_caps);
/* Whether the client's selector, if it has one, fits @instance. @why: (nullable): what was wanted
 * and what it offers. */
gboolean commy_route_is_selected (const CommyRouteKey *key,
                                  const CommyInstance *instance,
                                  CommyRejection *why);
