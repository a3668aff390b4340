/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decision: every candidate is costed, filtered and ranked, for the flow and for each size
 * class. The order is total, so the same input gives the same answer in any order.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

/* Adaptive: a claim counts a quarter of what it counts otherwise, as if its sigma were doubled. */
#define ADAPTIVE_PRIOR_WEIGHT 0.25

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

/* Everything that one decision works on. */
typedef struct
{
  const CommyDemand *demand;
  const CommyCandidate *candidates;
  CommyAssessment *assessments;
  guint n;
  double share[COMMY_SIZE_CLASSES]; /* sum is 1 */
  guint largest;                    /* class in use */
  /* By candidate: the first of the same instance and transport, allowed or not; whether it is the
   * first of those that are allowed. */
  guint16 family[COMMY_ROUTE_MAX_CANDIDATES];
  bool first_allowed[COMMY_ROUTE_MAX_CANDIDATES];
} Work;

/* --- costing --- */

static void
spread_shares (Work *work)
{
  double sum = 0;

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (work->demand->share[c] > 0 && isfinite (work->demand->share[c]))
      {
        sum += work->share[c] = work->demand->share[c];
        work->largest = c;
      }
  if (!(sum > 0))
    sum = work->share[0] = 1;
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    work->share[c] /= sum;
}

/* From a belief about the transport alone to one about the stack: only the transport's part of the
 * time is another than claimed, and only that part is uncertain. */
static void
lay_over_stack (CommyPosterior *posterior, double transport_ns, double stack_ns)
{
  double true_ns = transport_ns * exp (posterior->mean);
  double rest_ns = fmax (stack_ns - transport_ns, 0);

  if (!(transport_ns > 0) || !(rest_ns > 0))
    return;
  posterior->mean = log ((true_ns + rest_ns) / stack_ns);
  posterior->sd *= true_ns / (true_ns + rest_ns);
}

/* What @calibration says of a stack that is claimed to take @stack_ns. */
static void
infer (const Work *work,
       const CommyCandidate *candidate,
       const CommyCalibration *calibration,
       const double *stack_ns,
       CommyPosterior *out_posteriors)
{
  double weight = work->demand->preference == COMMY_PREFER_ADAPTIVE ? ADAPTIVE_PRIOR_WEIGHT : 1;
  bool bare = calibration != NULL && calibration->bare;
  double transport_ns[COMMY_SIZE_CLASSES];

  for (guint c = 0; bare && c < COMMY_SIZE_CLASSES; c++)
    {
      CommyCost cost;

      commy_cost_compute (candidate->transport_profile, NULL, commy_size_class_representative (c),
                          &cost);
      transport_ns[c] = cost.t_latency_ns;
    }
  commy_calibration_infer (calibration, candidate->transport_profile,
                           bare ? transport_ns : stack_ns, work->demand->now_ns, weight,
                           out_posteriors);
  for (guint c = 0; bare && c < COMMY_SIZE_CLASSES; c++)
    lay_over_stack (&out_posteriors[c], transport_ns[c], stack_ns[c]);
}

/* What requirements see: the worse of what is believed and what the caller itself has felt. */
static void
meet_requirements (const Work *work, guint i, const double *stack_ns)
{
  const CommyCandidate *candidate = &work->candidates[i];
  CommyAssessment *assessment = &work->assessments[i];
  guint big = commy_size_class (64 * 1024);
  CommyPosterior felt[COMMY_SIZE_CLASSES];

  assessment->latency_ns = commy_candidate_latency (candidate, &assessment->posterior[0]);
  assessment->throughput = commy_candidate_throughput (candidate, &assessment->posterior[big]);
  if (candidate->felt == NULL
      || (work->demand->max_latency_ns == 0 && work->demand->min_throughput == 0))
    return;
  infer (work, candidate, candidate->felt, stack_ns, felt);
  if (felt[0].samples > 0)
    assessment->latency_ns
        = fmax (assessment->latency_ns, commy_candidate_latency (candidate, &felt[0]));
  if (felt[big].samples > 0)
    assessment->throughput
        = fmin (assessment->throughput, commy_candidate_throughput (candidate, &felt[big]));
}

static void
cost_candidate (const Work *work, guint i)
{
  const CommyDemand *demand = work->demand;
  const CommyCandidate *candidate = &work->candidates[i];
  CommyAssessment *assessment = &work->assessments[i];
  double latency_ns[COMMY_SIZE_CLASSES];

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyCost cost;

      commy_cost_compute (candidate->transport_profile, candidate->serializer_profile,
                          commy_size_class_representative (c), &cost);
      assessment->claimed_ns[c] = commy_candidate_weigh (candidate, &demand->weights, &cost);
      latency_ns[c] = cost.t_latency_ns;
    }
  infer (work, candidate, candidate->calibration, latency_ns, assessment->posterior);
  meet_requirements (work, i, latency_ns);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyScale scale = commy_scale_for (demand, candidate, &assessment->posterior[c]);

      assessment->expected_ns[c] = commy_scale_expected (&scale, assessment->claimed_ns[c]);
      assessment->score[c] = assessment->expected_ns[c] * scale.risk;
      if (work->share[c] > 0)
        assessment->flow_score += work->share[c] * assessment->score[c];
    }
}

static bool
is_allowed (const Work *work, guint i)
{
  return work->assessments[i].rejection.filter == COMMY_FILTER_NONE;
}

/* A candidate that cannot be costed never comes to be compared. */
static void
refuse_nonsense (CommyAssessment *assessment, const char *offered)
{
  assessment->rejection = (CommyRejection){ .filter = COMMY_FILTER_STATE, .origin = "profile" };
  g_strlcpy (assessment->rejection.required, "a finite cost",
             sizeof assessment->rejection.required);
  g_strlcpy (assessment->rejection.offered, offered, sizeof assessment->rejection.offered);
}

static bool
is_finite (const CommyAssessment *assessment)
{
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (!isfinite (assessment->score[c]) || assessment->score[c] < 0)
      return false;
  return true;
}

/* Latency and throughput may be missed if the caller said so and nothing meets them. */
static void
degrade (const Work *work)
{
  for (guint i = 0; i < work->n; i++)
    if (is_allowed (work, i))
      return;
  for (guint i = 0; i < work->n; i++)
    {
      CommyAssessment *assessment = &work->assessments[i];

      if (assessment->rejection.filter != COMMY_FILTER_LATENCY
          && assessment->rejection.filter != COMMY_FILTER_THROUGHPUT)
        continue;
      assessment->degraded
          = commy_filter_apply (work->demand, &work->candidates[i], assessment, false);
    }
}

static void
assess (const Work *work)
{
  for (guint i = 0; i < work->n; i++)
    {
      CommyAssessment *assessment = &work->assessments[i];

      memset (assessment, 0, sizeof *assessment);
      if (work->candidates[i].transport_profile == NULL)
        {
          refuse_nonsense (assessment, "no profile");
          continue;
        }
      cost_candidate (work, i);
      if (is_finite (assessment))
        commy_filter_apply (work->demand, &work->candidates[i], assessment, true);
      else
        refuse_nonsense (assessment, "not a number");
    }
  if (work->demand->degradable)
    degrade (work);
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

/* What ranks before cost: the place in a list, or the reach that is preferred. */
static guint
tier_of (const CommyDemand *demand, const CommyCandidate *candidate)
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
static guint
flow_tier (const Work *work, guint i)
{
  const CommyCandidate *candidate = &work->candidates[i];
  guint64 whole = commy_size_class_representative (work->largest);

  return 2 * tier_of (work->demand, candidate) + (commy_candidate_limit (candidate) < whole);
}

/* One sd for the whole flow: classes of one transport err together, so the parts add up. */
static double
flow_sd (const Work *work, guint i)
{
  const CommyAssessment *assessment = &work->assessments[i];
  double sum = 0, cost = 0;

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      double part = work->share[c] * assessment->expected_ns[c];

      cost += part;
      sum += part * assessment->posterior[c].sd;
    }
  return cost > 0 ? sum / cost : assessment->posterior[0].sd;
}

/* The best of the flow, without @except (-1: none). */
static gint
best_of_flow (const Work *work, gint except)
{
  guint tier = G_MAXUINT;
  double least = INFINITY;
  gint best = -1;

  for (guint i = 0; i < work->n; i++)
    if ((gint) i != except && is_allowed (work, i))
      tier = MIN (tier, flow_tier (work, i));
  for (guint i = 0; i < work->n; i++)
    if ((gint) i != except && is_allowed (work, i) && flow_tier (work, i) == tier)
      least = fmin (least, work->assessments[i].flow_score);
  for (guint i = 0; i < work->n; i++)
    {
      if ((gint) i == except || !is_allowed (work, i) || flow_tier (work, i) != tier
          || work->assessments[i].flow_score > least * (1 + work->demand->tie_band))
        continue;
      if (best < 0
          || commy_candidate_compare (work->demand, &work->candidates[i], flow_sd (work, i),
                                      &work->candidates[best], flow_sd (work, (guint) best))
                 < 0)
        best = (gint) i;
    }
  return best;
}

static void
mark_tied (const Work *work, gint chosen)
{
  double least = INFINITY;
  guint tier, n_tied = 0;

  if (chosen < 0)
    return;
  tier = flow_tier (work, (guint) chosen);
  for (guint i = 0; i < work->n; i++)
    if (is_allowed (work, i) && flow_tier (work, i) == tier)
      least = fmin (least, work->assessments[i].flow_score);
  for (guint i = 0; i < work->n; i++)
    {
      CommyAssessment *assessment = &work->assessments[i];

      assessment->tied = is_allowed (work, i) && flow_tier (work, i) == tier
                         && assessment->flow_score <= least * (1 + work->demand->tie_band);
      n_tied += assessment->tied;
    }
  if (n_tied == 1)
    work->assessments[chosen].tied = false;
}

/* --- confidence --- */

/* Serializers over one connection share the transport's unknown ratio: not rivals by chance. */
static bool
same_family (const CommyCandidate *a, const CommyCandidate *b)
{
  return strcmp (a->transport, b->transport) == 0 && g_strcmp0 (a->instance, b->instance) == 0;
}

/* Once for all classes: candidates of one family need not be neighbours. */
static void
find_families (Work *work)
{
  bool seen[COMMY_ROUTE_MAX_CANDIDATES] = { false };

  for (guint i = 0; i < work->n; i++)
    {
      guint family = 0;

      while (family < i
             && (work->family[family] != family
                 || !same_family (&work->candidates[family], &work->candidates[i])))
        family++;
      work->family[i] = (guint16) family;
      work->first_allowed[i] = is_allowed (work, i) && !seen[family];
      seen[family] = seen[family] || is_allowed (work, i);
    }
}

/* What is believed of a candidate's cost in one class, or (COMMY_SIZE_CLASSES) in the flow. The
 * part that is connecting is not uncertain. */
static CommyBelief
belief_of (const Work *work, guint i, guint size_class)
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
      sd = flow_sd (work, i);
    }
  cost = fmax (cost, 1e-9);
  return (CommyBelief){ .log_mean = log (cost), .sd = sd * fmax (cost - fixed, 0) / cost };
}

/* P(the family of @chosen is the fastest). Every rival family counts once, by its best. */
static double
confidence_in (const Work *work, guint chosen, guint size_class)
{
  CommyBelief rivals[COMMY_ROUTE_MAX_CANDIDATES];
  CommyBelief belief = belief_of (work, chosen, size_class);
  double slack = log1p (work->demand->tie_band);
  guint16 slots[COMMY_ROUTE_MAX_CANDIDATES]; /* of a family, indexed by its first */
  guint n = 0;

  for (guint i = 0; i < work->n; i++)
    {
      guint family = work->family[i];
      CommyBelief rival;

      if (i == chosen || !is_allowed (work, i))
        continue;
      rival = belief_of (work, i, size_class);
      if (family == work->family[chosen])
        {
          if (rival.log_mean < belief.log_mean - slack)
            return 0;
        }
      else if (work->first_allowed[i])
        {
          slots[family] = (guint16) n;
          rivals[n++] = rival;
        }
      else if (rival.log_mean < rivals[slots[family]].log_mean)
        rivals[slots[family]] = rival;
    }
  return commy_confidence_least (&belief, rivals, n);
}

/* --- size classes --- */

static guint64
class_least (guint size_class)
{
  return size_class == 0 ? 0 : (guint64) commy_size_class_upper (size_class - 1) + 1;
}

/* Who is compared in a class: those of the best tier that carry any of it. @family: -1, or only
 * those that share instance and transport with it. */
static guint
collect (const Work *work, guint size_class, gint family, guint16 *out_eligible)
{
  guint tier = G_MAXUINT, n = 0;

  for (guint i = 0; i < work->n; i++)
    {
      const CommyCandidate *candidate = &work->candidates[i];
      guint mine;

      if (!is_allowed (work, i) || commy_candidate_limit (candidate) < class_least (size_class))
        continue;
      if (family >= 0 && work->family[i] != work->family[family])
        continue;
      mine = tier_of (work->demand, candidate);
      if (mine > tier)
        continue;
      if (mine < tier)
        n = 0;
      tier = mine;
      out_eligible[n++] = (guint16) i;
    }
  return n;
}

/* The best of a class at its representative size that is neither below nor above the split. */
static gint
second_of_class (const Work *work, guint size_class, gint lo, gint hi)
{
  gint best = -1;

  for (guint i = 0; i < work->n; i++)
    {
      double cost = work->assessments[i].score[size_class], best_cost;

      if ((gint) i == lo || (gint) i == hi || !is_allowed (work, i)
          || commy_candidate_limit (&work->candidates[i]) < class_least (size_class))
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

static void
plan_class (const Work *work, guint size_class, CommyPlan *plan)
{
  gint family = work->demand->ordered ? plan->chosen : -1;
  guint16 eligible[COMMY_ROUTE_MAX_CANDIDATES];
  guint n = collect (work, size_class, family, eligible);
  CommyCrossover crossover
      = { .lo = plan->chosen, .hi = plan->chosen, .split = commy_size_class_upper (size_class) };

  if (n > 0)
    crossover = commy_crossover_find (work->demand, work->candidates, work->assessments, eligible,
                                      n, size_class);
  plan->lo[size_class] = crossover.lo;
  plan->hi[size_class] = crossover.hi;
  plan->split[size_class] = crossover.split;
  plan->second[size_class] = second_of_class (work, size_class, crossover.lo, crossover.hi);
  plan->class_confidence[size_class] = confidence_in (work, (guint) crossover.hi, size_class);
}

void
commy_route_decide (const CommyDemand *demand,
                    const CommyCandidate *candidates,
                    guint n,
                    CommyAssessment *assessments,
                    CommyPlan *out_plan)
{
  Work work = { .demand = demand,
                .candidates = candidates,
                .assessments = assessments,
                .n = MIN (n, COMMY_ROUTE_MAX_CANDIDATES) };
  CommyPlan plan = { .runner_up = -1 };

  spread_shares (&work);
  assess (&work);
  plan.chosen = best_of_flow (&work, -1);
  mark_tied (&work, plan.chosen);
  if (plan.chosen >= 0)
    {
      find_families (&work);
      plan.runner_up = best_of_flow (&work, plan.chosen);
      plan.confidence = confidence_in (&work, (guint) plan.chosen, COMMY_SIZE_CLASSES);
    }
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      plan.lo[c] = plan.hi[c] = plan.second[c] = -1;
      plan.split[c] = commy_size_class_upper (c);
      if (plan.chosen >= 0)
        plan_class (&work, c, &plan);
    }
  *out_plan = plan;
}
