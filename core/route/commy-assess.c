/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is made of one candidate: its cost in a size class as claimed, as believed and as ranked,
 * and whether the filters let it through. Class by class and only when asked, because a choice
 * hangs on few of them.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

/* Adaptive: a claim counts a quarter of what it counts otherwise, as if its sigma were doubled. */
#define ADAPTIVE_PRIOR_WEIGHT 0.25

static void
spread_shares (CommyWork *work)
{
  double sum = 0;

  work->in_use = 0;
  work->largest = 0;
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      double share = work->demand->share[c];

      work->share[c] = 0;
      if (!(share > 0) || !isfinite (share))
        continue;
      sum += work->share[c] = share;
      work->in_use |= (guint16) (1u << c);
      work->largest = c;
    }
  if (!(sum > 0))
    {
      sum = work->share[0] = 1;
      work->in_use = 1;
    }
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    work->share[c] /= sum;
  work->whole = commy_size_class_representative (work->largest);
}

void
commy_work_init (CommyWork *work,
                 const CommyDemand *demand,
                 const CommyCandidate *candidates,
                 guint n,
                 CommyAssessment *assessments)
{
  work->demand = demand;
  work->candidates = candidates;
  work->assessments = assessments;
  work->n = MIN (n, COMMY_ROUTE_MAX_CANDIDATES);
  work->recent.profile = NULL;
  work->recent.risk_sd = 0;
  work->recent.risk = 1;
  spread_shares (work);
}

/* --- belief --- */

/* From a belief about the transport alone to one about the stack: only the transport's part of the
 * time is another than claimed, and only that part is uncertain. */
static void
lay_over_stack (CommyPosterior *posterior, double transport_ns, double stack_ns)
{
  double true_ns = transport_ns * posterior->factor;
  double rest_ns = MAX (stack_ns - transport_ns, 0);

  if (!(transport_ns > 0) || !(rest_ns > 0))
    return;
  posterior->factor = (true_ns + rest_ns) / stack_ns;
  posterior->sd *= true_ns / (true_ns + rest_ns);
}

static double
prior_weight (const CommyWork *work)
{
  return work->demand->preference == COMMY_PREFER_ADAPTIVE ? ADAPTIVE_PRIOR_WEIGHT : 1;
}

/* What @candidate's calibration says of a stack that claims @claim. */
static CommyPosterior
believe (CommyWork *work,
         const CommyCandidate *candidate,
         guint size_class,
         const CommyClaim *claim)
{
  CommyTransportBelief *recent = &work->recent;
  guint16 bit = (guint16) (1u << size_class);
  CommyPosterior posterior;

  if (recent->profile != candidate->transport_profile
      || recent->calibration != candidate->calibration)
    {
      recent->profile = candidate->transport_profile;
      recent->calibration = candidate->calibration;
      recent->known = 0;
      commy_inference_init (&recent->inference, candidate->calibration,
                            candidate->transport_profile, work->demand->now_ns,
                            prior_weight (work));
    }
  if (recent->calibration == NULL || !recent->calibration->bare)
    return commy_inference_get (&recent->inference, size_class, claim->t_latency_ns);
  if ((recent->known & bit) == 0)
    {
      recent->posteriors[size_class]
          = commy_inference_get (&recent->inference, size_class, claim->transport_ns);
      recent->known |= bit;
    }
  posterior = recent->posteriors[size_class];
  lay_over_stack (&posterior, claim->transport_ns, claim->t_latency_ns);
  return posterior;
}

/* The same of what the caller itself has felt, which is rarely asked. */
static CommyPosterior
believe_felt (const CommyWork *work, const CommyCandidate *candidate, guint size_class)
{
  CommyInference inference;
  CommyPosterior posterior;
  CommyClaim room;
  const CommyClaim *claim = commy_candidate_claim (candidate, size_class, &room);

  commy_inference_init (&inference, candidate->felt, candidate->transport_profile,
                        work->demand->now_ns, prior_weight (work));
  if (!candidate->felt->bare)
    return commy_inference_get (&inference, size_class, claim->t_latency_ns);
  posterior = commy_inference_get (&inference, size_class, claim->transport_ns);
  lay_over_stack (&posterior, claim->transport_ns, claim->t_latency_ns);
  return posterior;
}

/* --- cost --- */

static double
risk_of (CommyWork *work, double sd)
{
  if (sd != work->recent.risk_sd)
    {
      work->recent.risk_sd = sd;
      work->recent.risk = exp (work->demand->risk * sd);
    }
  return work->recent.risk;
}

static double
weigh (const CommyClaim *claim, const CommyWeights *weights)
{
  return (weights->latency * claim->t_latency_ns + weights->throughput * claim->t_throughput_ns
          + weights->cpu * claim->t_cpu_ns)
         * claim->tries;
}

void
commy_work_assess (CommyWork *work, guint i, guint size_class)
{
  const CommyCandidate *candidate = &work->candidates[i];
  CommyAssessment *assessment = &work->assessments[i];
  guint16 bit = (guint16) (1u << size_class);
  CommyPosterior *posterior = &assessment->posterior[size_class];
  const CommyClaim *claim;
  CommyClaim room;
  CommyScale scale;

  if ((assessment->assessed & bit) != 0)
    return;
  assessment->assessed |= bit;
  claim = commy_candidate_claim (candidate, size_class, &room);
  *posterior = believe (work, candidate, size_class, claim);
  assessment->risk[size_class] = risk_of (work, posterior->sd);
  scale = commy_scale_for (work->demand, candidate, posterior, assessment->risk[size_class]);
  assessment->claimed_ns[size_class] = weigh (claim, &work->demand->weights);
  assessment->expected_ns[size_class]
      = commy_scale_expected (&scale, assessment->claimed_ns[size_class]);
  assessment->score[size_class] = assessment->expected_ns[size_class] * scale.risk;
}

/* One sd for the whole flow: classes of one transport err together, so the parts add up. */
static void
sum_up_flow (const CommyWork *work, CommyAssessment *assessment)
{
  double sum = 0, cost = 0, sd = 0;

  assessment->flow_score = 0;
  for (guint left = work->in_use; left != 0; left &= left - 1)
    {
      guint c = (guint) __builtin_ctz (left);
      double part = work->share[c] * assessment->expected_ns[c];

      assessment->flow_score += work->share[c] * assessment->score[c];
      cost += part;
      sum += part * assessment->posterior[c].sd;
      sd = assessment->posterior[c].sd;
    }
  assessment->flow_sd = cost > 0 ? sum / cost : sd;
}

/* What requirements see: the worse of what is believed and what the caller itself has felt. */
void
commy_work_meet_requirements (CommyWork *work, guint i)
{
  const CommyCandidate *candidate = &work->candidates[i];
  CommyAssessment *assessment = &work->assessments[i];
  guint big = commy_size_class (64 * 1024);
  CommyPosterior felt;

  commy_work_assess (work, i, 0);
  commy_work_assess (work, i, big);
  assessment->latency_ns = commy_candidate_latency (candidate, &assessment->posterior[0]);
  assessment->throughput = commy_candidate_throughput (candidate, &assessment->posterior[big]);
  if (candidate->felt == NULL
      || (work->demand->max_latency_ns == 0 && work->demand->min_throughput == 0))
    return;
  felt = believe_felt (work, candidate, 0);
  if (felt.samples > 0)
    assessment->latency_ns
        = fmax (assessment->latency_ns, commy_candidate_latency (candidate, &felt));
  felt = believe_felt (work, candidate, big);
  if (felt.samples > 0)
    assessment->throughput
        = fmin (assessment->throughput, commy_candidate_throughput (candidate, &felt));
}

/* --- all of them --- */

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
is_sane (const CommyWork *work, guint i)
{
  const CommyCandidate *candidate = &work->candidates[i];
  const CommyClaims *claims = candidate->claims;
  /* Neighbours share a transport; what was costed is sane. */
  bool looked_at = i > 0 && work->assessments[i - 1].assessed != 0
                   && candidate->transport_profile == candidate[-1].transport_profile;

  if (candidate->bias > G_MAXDOUBLE)
    return false;
  if (claims != NULL)
    return claims->is_sane;
  return (looked_at || commy_profile_is_sane (candidate->transport_profile))
         && (candidate->serializer_profile == NULL
             || commy_profile_is_sane (candidate->serializer_profile));
}

/* Latency and throughput may be missed if the caller said so and nothing meets them. */
static void
degrade (const CommyWork *work)
{
  for (guint i = 0; i < work->n; i++)
    if (commy_work_is_allowed (work, i))
      return;
  for (guint i = 0; i < work->n; i++)
    {
      CommyAssessment *assessment = &work->assessments[i];

      if (assessment->rejection.filter != COMMY_FILTER_LATENCY
          && assessment->rejection.filter != COMMY_FILTER_THROUGHPUT)
        continue;
      assessment->degraded = commy_filter_apply (work, &work->candidates[i], assessment, false);
    }
}

/* Costs what the flow and its requirements hang on, and filters. */
static void
begin_one (CommyWork *work, guint i)
{
  const CommyCandidate *candidate = &work->candidates[i];
  CommyAssessment *assessment = &work->assessments[i];
  bool requires = work->demand->max_latency_ns != 0 || work->demand->min_throughput != 0;

  assessment->assessed = 0;
  assessment->degraded = assessment->tied = false;
  assessment->flow_score = assessment->flow_sd = 0;
  assessment->latency_ns = assessment->throughput = 0;
  if (candidate->transport_profile == NULL || !is_sane (work, i))
    {
      memset (assessment, 0, sizeof *assessment);
      refuse_nonsense (assessment,
                       candidate->transport_profile == NULL ? "no profile" : "not a number");
      return;
    }
  for (guint left = work->in_use; left != 0; left &= left - 1)
    commy_work_assess (work, i, (guint) __builtin_ctz (left));
  sum_up_flow (work, assessment);
  if (requires)
    commy_work_meet_requirements (work, i);
  commy_filter_apply (work, candidate, assessment, true);
}

void
commy_work_rank (CommyWork *work)
{
  for (guint i = 0; i < work->n; i++)
    if (commy_work_is_allowed (work, i))
      {
        const CommyCandidate *candidate = &work->candidates[i];

        work->limits[i] = commy_candidate_limit (candidate);
        work->tiers[i] = (guint8) (commy_candidate_tier (work->demand, candidate) * COMMY_LEVELS
                                   + candidate->level);
      }
}

void
commy_work_begin (CommyWork *work)
{
  for (guint i = 0; i < work->n; i++)
    begin_one (work, i);
  if (work->demand->degradable)
    degrade (work);
  commy_work_rank (work);
}
