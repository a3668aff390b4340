/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which instances of a snapshot a decision considers, if there are more than a node wants or than
 * there is room for: those that can be reached, of the best priority, and the nearest first; last
 * those to whom nothing leads that this node has, so that records of them keep nobody out. Among
 * equals the choice is the node's own (control/commy-subset.h). Lives as long as the decision
 * takes. Owner's thread only.
 */
#pragma once

#include "mesh/commy-route-cache.h"
#include "mesh/commy-survey.h"

typedef struct
{
  guint *instances; /* indexes into the snapshot, ascending */
  guint n;
  guint n_eligible; /* that they were taken from */
  gboolean brief;   /* of an instance only those paths are considered that may be taken */
  gboolean is_full; /* `subset` allows more, but there is no room for their paths */
  gboolean locality;
  guint absent[COMMY_LEVELS]; /* cannot be reached, and are not among them */
  gint64 recheck_ns;          /* one of them may be tried again; G_MAXINT64: never */
} CommyRouteSubset;

/* @serializers: (element-type CommyPlugin): those that come into question for a path, with @caps.
 */
void commy_route_subset_make (CommyRouteSubset *out_subset,
                              const CommyRouteKey *key,
                              CommySnapshot *snapshot,
                              const GPtrArray *serializers,
                              guint64 caps,
                              gint64 now_ns);
void commy_route_subset_clear (CommyRouteSubset *subset);

static inline guint
commy_route_subset_get_level (const CommyRouteSubset *subset,
                              const CommySnapshot *snapshot,
                              guint index)
{
  const CommySurvey *survey = snapshot->survey;

  return subset->locality ? survey->instances[index]->level : 0;
}

/* Adds to the notes of a decision who is considered, if not everybody is. */
void
commy_route_subset_note (const CommyRouteSubset *subset, const CommyRouteKey *key, GString *out);
