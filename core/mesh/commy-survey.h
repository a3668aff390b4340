/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The survey of a snapshot: what the mesh thread found out about every endpoint of every
 * instance by asking the transports. Immutable; workers score from it.
 */
#pragma once

#include "control/commy-instance.h"
#include "plugin/commy-catalog.h"
#include "route/commy-route.h"

/* What is the same for many instances is kept once. */
typedef struct
{
  gatomicrefcount refs;
  gint n_endpoints;                  /* that have these facts; atomic */
  CommyProfile profile;              /* as estimated for these peers */
  guint security;                    /* of transport and auth together */
  guint reach;                       /* one CommyReach bit */
  CommyRejection known;              /* NONE if it may be tried */
  char *origin;                      /* owned text `known.origin` may point to */
  struct _CommySurveyClaims *claims; /* with the serializers that were asked about; atomic */
} CommySurveyFacts;

typedef struct
{
  CommyPlugin *transport; /* NULL: not usable here */
  const char *id;         /* transport's id */
  const char *address;    /* NULL: the peer does not offer it */
  const CommySurveyFacts *facts;
} CommySurveyEndpoint;

/* Of one instance; snapshots that have the same one share it. */
typedef struct
{
  gatomicrefcount refs;
  CommyInstance *instance;
  gint64 holds_until_ns; /* the transports are asked again then; 0: by the next snapshot */
  guint n_endpoints;
  guint level;   /* CommyLevel: how near it is */
  guint64 score; /* of this node for it; see control/commy-subset.h */
  CommySurveyEndpoint endpoints[];
} CommySurveyInstance;

typedef struct
{
  CommySurveyInstance **instances; /* parallel to the snapshot's */
  guint n_instances;
  guint first_asked; /* of the instances that were asked again, where that was due */
  GHashTable *facts; /* a set, to share them; mesh thread */
} CommySurvey;

/* What the stack of an endpoint with these facts and @serializer, whose profile stays as long as
 * the mesh, claims. Any thread. (transfer none): as long as the facts are there. */
const CommyClaims *commy_survey_claims (const CommySurveyFacts *facts,
                                        const CommyProfile *serializer);
