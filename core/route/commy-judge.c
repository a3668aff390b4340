/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a reader wants to know of a choice and the choice does not hang on: how sure it is, who came
 * next in each class, and the numbers of those that were not needed to choose.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

typedef struct
{
  CommyWork work;
  /* By candidate: the first of the same instance and transport, allowed or not; whether it is the
   * first of those that are allowed. */
  guint16 family[COMMY_ROUTE_MAX_CANDIDATES];
  bool first_allowed[COMMY_ROUTE_MAX_CANDIDATES];
} Judgement;

/* --- confidence --- */

/* Once for all classes: candidates of one family need not be neighbours. */
static void
find_families (Judgement *self)
{
  const CommyWork *work = &self->work;
  bool seen[COMMY_ROUTE_MAX_CANDIDATES] = { false };

  for (guint i = 0; i < work->n; i++)
    {
      guint family = 0;

      while (family < i
             && (self->family[family] != family
                 || !commy_candidate_same_way (&work->candidates[family], &work->candidates[i])))
        family++;
      self->family[i] = (guint16) family;
      self->first_allowed[i] = commy_work_is_allowed (work, i) && !seen[family];
      seen[family] = seen[family] || commy_work_is_allowed (work, i);
    }
}

/* What is believed of a candidate's cost in one class, or (COMMY_SIZE_CLASSES) in the flow. The
 * part that is connecting is not uncertain. */
static CommyBelief
belief_of (const CommyWork *work, guint i, guint size_class)
{
  const CommyAssessment *assessment = &work->assessments[i];
  const CommyCandidate *candidate = &work->candidates[i];
  double bias = candidate->bias > 0 ? candidate->bias : 1;
  double fixed = commy_candidate_connect (work->demand, candidate) * bias;
  double cost = 0, sd;

  if (size_class < COMMY_SIZE_CLASSES)
    {
      cost = assessment->expected_ns[size_class];
      sd = assessment->posterior[size_class].sd;
    }
  else
    {
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        cost += work->share[c] * assessment->expected_ns[c];
      sd = assessment->flow_sd;
    }
  cost = fmax (cost, 1e-9);
  return (CommyBelief){ .log_mean = log (cost), .sd = sd * fmax (cost - fixed, 0) / cost };
}

/* P(the family of @chosen is the fastest). Every rival family counts once, by its best. */
static double
confidence_in (const Judgement *self, guint chosen, guint size_class)
{
  const CommyWork *work = &self->work;
  CommyBelief rivals[COMMY_ROUTE_MAX_CANDIDATES];
  CommyBelief belief = belief_of (work, chosen, size_class);
  double slack = log1p (work->demand->tie_band);
  guint16 slots[COMMY_ROUTE_MAX_CANDIDATES]; /* of a family, indexed by its first */
  guint n = 0;

  for (guint i = 0; i < work->n; i++)
    {
      guint family = self->family[i];
      CommyBelief rival;

      if (i == chosen || !commy_work_is_allowed (work, i))
        continue;
      rival = belief_of (work, i, size_class);
      if (family == self->family[chosen])
        {
          if (rival.log_mean < belief.log_mean - slack)
            return 0;
        }
      else if (self->first_allowed[i])
        {
          slots[family] = (guint16) n;
          rivals[n++] = rival;
        }
      else if (rival.log_mean < rivals[slots[family]].log_mean)
        rivals[slots[family]] = rival;
    }
  return commy_confidence_least (&belief, rivals, n);
}

/* --- seconds --- */

/* The best of a class at its representative size that is neither below nor above the split. */
static gint
second_of_class (const CommyWork *work, guint size_class, gint lo, gint hi)
{
  gint best = -1;

  for (guint i = 0; i < work->n; i++)
    {
      double cost = work->assessments[i].score[size_class], best_cost;

      if ((gint) i == lo || (gint) i == hi || !commy_work_is_allowed (work, i)
          || commy_candidate_limit (&work->candidates[i]) < commy_size_class_least (size_class))
        continue;
      if (best < 0)
        {
          best = (gint) i;
          continue;
        }
      best_cost = work->assessments[best].score[size_class];
      if (cost < best_cost
          || (cost == best_cost
              && commy_candidate_compare (work->demand, &work->candidates[i],
                                          work->assessments[i].posterior[size_class].sd,
                                          &work->candidates[best],
                                          work->assessments[best].posterior[size_class].sd)
                     < 0))
        best = (gint) i;
    }
  return best;
}

/* Costs what choosing did without. */
static void
assess_the_rest (CommyWork *work)
{
  for (guint i = 0; i < work->n; i++)
    {
      const CommyCandidate *candidate = &work->candidates[i];

      if (candidate->transport_profile == NULL
          || work->assessments[i].assessed == 0) /* refused before it was costed */
        continue;
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        commy_work_assess (work, i, c);
      commy_work_meet_requirements (work, i);
    }
}

void
commy_route_explain_choice (const CommyDemand *demand,
                            const CommyCandidate *candidates,
                            guint n,
                            CommyAssessment *assessments,
                            CommyPlan *plan)
{
  Judgement self;

  commy_work_init (&self.work, demand, candidates, n, assessments);
  assess_the_rest (&self.work);
  if (plan->chosen < 0)
    return;
  find_families (&self);
  plan->confidence = confidence_in (&self, (guint) plan->chosen, COMMY_SIZE_CLASSES);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      plan->second[c] = second_of_class (&self.work, c, plan->lo[c], plan->hi[c]);
      plan->class_confidence[c] = confidence_in (&self, (guint) plan->hi[c], c);
    }
}
