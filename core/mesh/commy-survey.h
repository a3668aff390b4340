/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The survey of a snapshot: what the mesh thread found out about every endpoint of every
 * instance by asking the transports. Immutable; workers score from it.
 */
#pragma once

#include "control/commy-instance.h"
#include "plugin/commy-catalog.h"
#include "route/commy-route.h"

typedef struct
{
  CommyPlugin *transport; /* NULL: not usable here */
  const char *id;         /* transport's id */
  const char *address;    /* NULL: the peer does not offer it */
  CommyProfile profile;   /* as estimated for this peer */
  guint security;         /* of transport and auth together */
  guint reach;            /* one CommyReach bit */
  CommyRejection known;   /* NONE if it may be tried */
  char *origin;           /* owned text `known.origin` may point to */
} CommySurveyEndpoint;

typedef struct
{
  CommySurveyEndpoint *endpoints;
  guint n_endpoints;
  guint level;   /* CommyLevel: how near it is */
  guint64 score; /* of this node for it; see control/commy-subset.h */
} CommySurveyInstance;

typedef struct
{
  CommySurveyInstance *instances; /* parallel to the snapshot's */
  guint n_instances;
} CommySurvey;
