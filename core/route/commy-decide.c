/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The choice: who is the best for the flow and in each size class. The order is total, so the same
 * input gives the same answer in any order. What a reader wants to know beside it is in
 * commy-judge.c.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

void
commy_demand_init (CommyDemand *demand, gint64 now_ns)
{
  *demand = (CommyDemand){
    .objective = COMMY_OBJECTIVE_LATENCY,
    .weights = commy_weights_for (COMMY_OBJECTIVE_LATENCY),
    .min_security = COMMY_SECURITY_KERNEL,
    .min_security_origin = "default",
    .preference = COMMY_PREFER_AUTO,
    .preference_origin = "default",
    .reach_origin = "default",
    .requirement_origin = "default",
    .ordered = true,
    .min_delivery = COMMY_DELIVERY_RELIABLE,
    .min_ordering = COMMY_ORDERING_CONNECTION,
    .expected_messages = 1000,
    .tie_band = 0.02,
    .switch_margin = 0.10,
    .switch_z = 2,
    .switch_evaluations = 3,
    .switch_dwell_ns = 50 * 1000 * 1000,
    .risk = 0.5,
    .now_ns = now_ns,
  };
}

/* --- order --- */

static guint
place_in (const CommyIdList *list, const char *id)
{
  guint i = 0;

  while (i < list->n && i < COMMY_MAX_LISTED && strcmp (list->id[i], id) != 0)
    i++;
  return i;
}

int
commy_candidate_compare (const CommyDemand *demand,
                         const CommyCandidate *a,
                         double a_sd,
                         const CommyCandidate *b,
                         double b_sd)
{
  guint a_place = place_in (&demand->prefer, a->transport);
  guint b_place = place_in (&demand->prefer, b->transport);
  int order;

  if (a->security != b->security)
    return a->security > b->security ? -1 : 1;
  if (a_place != b_place)
    return a_place < b_place ? -1 : 1;
  if (a_sd != b_sd)
    return a_sd < b_sd ? -1 : 1;
  order = strcmp (a->transport, b->transport);
  if (order == 0)
    order = g_strcmp0 (a->serializer, b->serializer);
  if (order == 0)
    order = g_strcmp0 (a->instance, b->instance);
  return order;
}

guint
commy_candidate_tier (const CommyDemand *demand, const CommyCandidate *candidate)
{
  bool network = candidate->reach == COMMY_REACH_NETWORK;

  switch (demand->preference)
    {
    case COMMY_PREFER_LOCAL:
      return network ? 1 : 0;
    case COMMY_PREFER_NETWORK:
      return network ? 0 : 1;
    case COMMY_PREFER_LIST:
      return place_in (&demand->transports, candidate->transport);
    case COMMY_PREFER_AUTO:
    case COMMY_PREFER_LOCAL_ONLY:
    case COMMY_PREFER_NETWORK_ONLY:
    case COMMY_PREFER_PIN:
    case COMMY_PREFER_ADAPTIVE:
    default:
      return 0;
    }
}

/* Of those in the best tier, a whole class that fits is better than one that fits in part. */
static inline guint
flow_tier (const CommyWork *work, guint i)
{
  return 2u * work->tiers[i] + (work->limits[i] < work->whole);
}

/* Whom a comparison is between: of one level, or COMMY_LEVELS for all; without one, or -1. */
typedef struct
{
  guint level;
  gint except;
} Circle;

static bool
is_inside (const CommyWork *work, const Circle *circle, guint i)
{
  return (gint) i != circle->except && commy_work_is_allowed (work, i)
         && (circle->level == COMMY_LEVELS || work->candidates[i].level == circle->level);
}

/* The best of the flow; -1: there is nobody. */
static gint
best_of_flow (const CommyWork *work, const Circle *circle)
{
  guint tier = G_MAXUINT;
  double least = INFINITY;
  gint best = -1;

  for (guint i = 0; i < work->n; i++)
    if (is_inside (work, circle, i))
      tier = MIN (tier, flow_tier (work, i));
  for (guint i = 0; i < work->n; i++)
    if (is_inside (work, circle, i) && flow_tier (work, i) == tier)
      least = fmin (least, work->assessments[i].flow_score);
  for (guint i = 0; i < work->n; i++)
    {
      if (!is_inside (work, circle, i) || flow_tier (work, i) != tier
          || work->assessments[i].flow_score > least * (1 + work->demand->tie_band))
        continue;
      if (best < 0
          || commy_candidate_compare (work->demand, &work->candidates[i],
                                      work->assessments[i].flow_sd, &work->candidates[best],
                                      work->assessments[best].flow_sd)
                 < 0)
        best = (gint) i;
    }
  return best;
}

static void
mark_tied (const CommyWork *work, gint chosen)
{
  double least = INFINITY;
  guint tier, n_tied = 0;

  if (chosen < 0)
    return;
  tier = flow_tier (work, (guint) chosen);
  for (guint i = 0; i < work->n; i++)
    if (commy_work_is_allowed (work, i) && flow_tier (work, i) == tier)
      least = fmin (least, work->assessments[i].flow_score);
  for (guint i = 0; i < work->n; i++)
    {
      CommyAssessment *assessment = &work->assessments[i];

      assessment->tied = commy_work_is_allowed (work, i) && flow_tier (work, i) == tier
                         && assessment->flow_score <= least * (1 + work->demand->tie_band);
      n_tied += assessment->tied;
    }
  if (n_tied == 1)
    work->assessments[chosen].tied = false;
}

/* --- size classes --- */

/* Who is compared at all: those that are allowed, of an ordered flow those that share instance and
 * transport with @chosen. */
static guint
collect_rivals (const CommyWork *work, guint chosen, guint16 *out_rivals)
{
  guint n = 0;

  for (guint i = 0; i < work->n; i++)
    if (commy_work_is_allowed (work, i)
        && (!work->demand->ordered
            || commy_candidate_same_way (&work->candidates[i], &work->candidates[chosen])))
      out_rivals[n++] = (guint16) i;
  return n;
}

/* Costs them in every class that they carry any of. One after the other, because what is believed
 * of a transport is worked out once for all its classes. */
static void
assess_rivals (CommyWork *work, const guint16 *rivals, guint n)
{
  for (guint k = 0; k < n && n > 1; k++)
    for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
      if (work->limits[rivals[k]] >= commy_size_class_least (c))
        commy_work_assess (work, rivals[k], c);
}

/* Who of them is compared in a class: those of the best tier that carry any of it. */
static guint
collect (const CommyWork *work,
         guint size_class,
         const guint16 *rivals,
         guint n_rivals,
         guint16 *out_eligible)
{
  guint64 least = commy_size_class_least (size_class);
  guint tier = G_MAXUINT, n = 0;

  for (guint k = 0; k < n_rivals; k++)
    {
      guint16 i = rivals[k];
      guint mine;

      if (work->limits[i] < least)
        continue;
      mine = work->tiers[i];
      if (mine > tier)
        continue;
      if (mine < tier)
        n = 0;
      tier = mine;
      out_eligible[n++] = i;
    }
  return n;
}

static void
plan_class (
    CommyWork *work, guint size_class, const guint16 *rivals, guint n_rivals, CommyPlan *plan)
{
  guint16 eligible[COMMY_ROUTE_MAX_CANDIDATES];
  guint n = collect (work, size_class, rivals, n_rivals, eligible);
  CommyCrossover crossover
      = { .lo = plan->chosen, .hi = plan->chosen, .split = commy_size_class_upper (size_class) };

  if (n > 0)
    crossover = commy_crossover_find (work, eligible, n, size_class);
  plan->lo[size_class] = crossover.lo;
  plan->hi[size_class] = crossover.hi;
  plan->split[size_class] = crossover.split;
}

void
commy_route_choose (const CommyDemand *demand,
                    const CommyCandidate *candidates,
                    guint n,
                    CommyAssessment *assessments,
                    CommyPlan *out_plan)
{
  CommyPlan plan = { .runner_up = -1 };
  guint16 rivals[COMMY_ROUTE_MAX_CANDIDATES];
  guint n_rivals = 0;
  CommyWork work;

  commy_work_init (&work, demand, candidates, n, assessments);
  commy_work_begin (&work);
  plan.chosen = best_of_flow (&work, &(Circle){ COMMY_LEVELS, -1 });
  mark_tied (&work, plan.chosen);
  if (plan.chosen >= 0)
    {
      plan.runner_up = best_of_flow (&work, &(Circle){ COMMY_LEVELS, plan.chosen });
      n_rivals = collect_rivals (&work, (guint) plan.chosen, rivals);
      assess_rivals (&work, rivals, n_rivals);
    }
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      plan.lo[c] = plan.hi[c] = plan.second[c] = -1;
      plan.split[c] = commy_size_class_upper (c);
      if (plan.chosen >= 0)
        plan_class (&work, c, rivals, n_rivals, &plan);
    }
  *out_plan = plan;
}

gint
commy_route_best_of_level (const CommyDemand *demand,
                           const CommyCandidate *candidates,
                           guint n,
                           CommyAssessment *assessments,
                           guint level)
{
  CommyWork work;

  commy_work_init (&work, demand, candidates, n, assessments);
  commy_work_rank (&work);
  return best_of_flow (&work, &(Circle){ level, -1 });
}

void
commy_route_decide (const CommyDemand *demand,
                    const CommyCandidate *candidates,
                    guint n,
                    CommyAssessment *assessments,
                    CommyPlan *out_plan)
{
  commy_route_choose (demand, candidates, n, assessments, out_plan);
  commy_route_explain_choice (demand, candidates, n, assessments, out_plan);
}
