/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The route of a client: decided over all instances, transports and serializers, then kept as
 * a table that the call path only looks into. Owner's thread only.
 */
#pragma once

#include "base/commy-selector.h"
#include "control/commy-locality.h"
#include "control/commy-slow-start.h"
#include "mesh/commy-balance.h"
#include "mesh/commy-expectation.h"
#include "mesh/commy-path-move.h"
#include "mesh/commy-prober.h"
#include "mesh/commy-ward.h"
#include "route/commy-decision-private.h"

/* What a message carries decides which serializers and transports can take it. */
typedef enum
{
  COMMY_FLAVOUR_VALUE,
  COMMY_FLAVOUR_BYTES,
  COMMY_FLAVOUR_HANDLES, /* a value with descriptors, on its way there or back */
  COMMY_FLAVOUR_LAST
} CommyFlavour;

typedef struct
{
  CommyPath *path;
  CommyPlugin *serializer;
} CommyStack;

/* Who carries what of a size class: together, because a call looks at one class only. */
typedef struct
{
  guint64 split; /* up to it `lo`, beyond `hi` */
  CommyStack lo, hi;
} CommyRouteClass;

/* One instance that is good enough to be balanced over. */
typedef struct
{
  CommyPeer *peer; /* reference */
  guint32 weight;
  guint32 level; /* CommyLevel; members are in the order of levels */
  CommyRouteClass classes[COMMY_SIZE_CLASSES];
} CommyRouteMember;

/* What every call looks at comes first: it fits a cache line. */
typedef struct
{
  guint32 mesh_epoch;
  guint32 peers_epoch;
  guint samples; /* since it was decided */
  guint n_members;
  gint64 recheck_ns; /* a path that failed may be tried again then */
  CommyRouteMember *members;
  CommyBalance *balance; /* outlives decisions; NULL: there never was a choice */
  CommyPeer **peers;     /* of the members, theirs */
  CommyRouteMask mask;
  CommyLocality locality;

  CommyLocalityPolicy locality_policy;
  CommySlowStart slow_start;
  CommySlowStartPolicy slow_start_policy;
  gint64 decided_ns;
  CommySnapshot *snapshot;
  char *incumbent_instance, *incumbent_transport;
  CommySwitch incumbent;
  CommyHome home; /* where the messages keep their order; stays when the route is cleared */
  const CommyGuard *around; /* it was decided around whom that left out */
  gboolean awaits; /* the last decision failed because interfaces are still being compared */
  gboolean requirements_unmet; /* by what the last decision knew */
  gboolean requirements_held;  /* they were met once */
  CommyDecision *news;         /* the last decision, if it changed whether they are met */
} CommyRoute;

/* So many samples after a decision it is made anew. */
#define COMMY_ROUTE_RECHECK_SAMPLES 256u

/* What a client's route depends on. */
typedef struct
{
  CommyMesh *mesh;
  CommyMeshWorker *worker;
  const char *service;
  const char *instance; /* NULL: any */
  const CommyRequirements *requirements;
  CommyExpectation *expectation; /* NULL: the client does not say what it was written for */
  const CommySelector *selector; /* NULL: any instance */
  const char *selector_origin;   /* who wants it so */
  CommyPlugin *balancer;
  const char *balancer_origin; /* where it is named */
  gboolean probes;             /* the client calls often enough for its paths to be probed */
  gboolean doubts;             /* it felt a change */
  const CommyGuard *around;    /* whom it leaves out now is no candidate; NULL: everybody is */
} CommyRouteKey;

/* What the balancer has learned stays. */
void commy_route_clear (CommyRoute *route);

/* Whether @route can be used as it is. */
gboolean commy_route_is_fresh (CommyRoute *route, const CommyRouteKey *key);
/* Decides from the last snapshot. FALSE: nobody offers the service (COMMY_ERROR_NO_SERVICE), or
 * nothing is allowed (COMMY_ERROR_NO_ROUTE with the decision's summary), or nothing yet (`awaits`).
 */
gboolean commy_route_decide_now (
    CommyRoute *route, const CommyRouteKey *key, CommyFlavour flavour, gsize size, GError **error);

/* One of several: those that are well, near ones first, young ones not so often. */
CommyTurn
commy_route_pick_one (CommyRoute *route, const guint64 *excluded, guint64 sticky, gint64 now_ns);

/* Picks an instance and looks the stack up. Never fails on a decided route. @excluded: those that
 * are not to be picked, of which one is left. @sticky: a key's hash, or 0. @now_ns: 0 for now. */
static inline CommyRouteMember *
commy_route_pick (
    CommyRoute *route, const guint64 *excluded, guint64 sticky, gint64 now_ns, CommyTurn *out_turn)
{
  *out_turn = (CommyTurn){ 0 };
  if (G_UNLIKELY (route->n_members > 1 && route->balance != NULL))
    *out_turn = commy_route_pick_one (route, excluded, sticky, now_ns);
  else if (G_UNLIKELY (excluded != NULL))
    out_turn->index = (guint32) commy_first_allowed (excluded, route->n_members);
  return &route->members[out_turn->index];
}

static inline const CommyStack *
commy_route_member_stack (const CommyRouteMember *member, gsize size)
{
  const CommyRouteClass *in = &member->classes[commy_size_class (size)];

  return size <= in->split ? &in->lo : &in->hi;
}

/* What encoding and decoding cost on the way. */
const CommyProfile *commy_route_serializer_profile (CommyFlavour flavour, CommyPlugin *serializer);
/* The decision for one size, now, with nothing changed. (transfer full) */
CommyDecision *commy_route_explain (const CommyRouteKey *key,
                                    CommyFlavour flavour,
                                    gsize size,
                                    const CommyWhatIf *what_if,
                                    GError **error);
/* The keyfile's demand for a service. */
void commy_route_demand (const CommyRouteKey *key, CommyFlavour flavour, CommyDemand *out_demand);
