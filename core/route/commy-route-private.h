/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the deciding files share among themselves, and nobody else needs. As pure as they are.
 */
#pragma once

#include "route/commy-route.h"

#include <string.h>

/* The largest plain message that a stack carries. */
guint64 commy_stack_limit (const CommyProfile *transport, const CommyProfile *serializer);
static inline guint64
commy_candidate_limit (const CommyCandidate *candidate)
{
  return candidate->claims != NULL
             ? candidate->claims->limit
             : commy_stack_limit (candidate->transport_profile, candidate->serializer_profile);
}
/* Claimed cost of one message in the objective, ns; a lost message is paid for again. */
double
commy_candidate_claimed (const CommyCandidate *candidate, const CommyWeights *weights, gsize size);
/* Where it is one straight line: fixed + slope x size. Not where the slowest part of a pipeline
 * counts (weight of throughput 0). */
typedef struct
{
  double fixed, slope;
} CommyLine;

static inline CommyLine
commy_line_weigh (const CommyLines *lines, double tries, const CommyWeights *weights)
{
  return (CommyLine){
    .fixed
    = (weights->latency * (lines->cpu_ns + lines->wait_ns) + weights->cpu * lines->cpu_ns) * tries,
    .slope
    = (weights->latency * (lines->cpu_slope + lines->wait_slope) + weights->cpu * lines->cpu_slope)
      * tries
  };
}

/* What a stack claims in a class; in @room unless it is known. */
static inline const CommyClaim *
commy_candidate_claim (const CommyCandidate *candidate, guint size_class, CommyClaim *room)
{
  if (candidate->claims != NULL)
    return &candidate->claims->classes[size_class];
  commy_claim_init (room, candidate->transport_profile, candidate->serializer_profile, size_class);
  return room;
}

/* The lines from @size on; the last size after it, at most @end, that they hold for. */
CommyLines commy_stack_lines (const CommyProfile *transport,
                              const CommyProfile *serializer,
                              guint64 size,
                              guint64 end);
guint64 commy_stack_straight_to (const CommyProfile *transport,
                                 const CommyProfile *serializer,
                                 guint64 size,
                                 guint64 end);
/* All numbers that a cost is made of are numbers. */
bool commy_profile_is_sane (const CommyProfile *profile);
/* How often a message is sent until it arrives. */
double commy_profile_tries (const CommyProfile *transport);

/* Serializers over one connection share the transport's unknown ratio: not rivals by chance. */
static inline bool
commy_candidate_same_way (const CommyCandidate *a, const CommyCandidate *b)
{
  return (a->transport == b->transport || strcmp (a->transport, b->transport) == 0)
         && (a->instance == b->instance || g_strcmp0 (a->instance, b->instance) == 0);
}

/* The same where the slowest part of a pipeline counts. */
guint64 commy_candidate_straight_to (const CommyCandidate *candidate, gsize size, guint64 end);
/* What a requirement is compared with: one way of 64 bytes in ns, rate of 64 KiB in bytes/s. */
double commy_candidate_latency (const CommyCandidate *candidate, const CommyPosterior *posterior);
double commy_candidate_throughput (const CommyCandidate *candidate,
                                   const CommyPosterior *posterior);

/* As commy_calibration_get(), for all size classes of a stack whose latency is claimed to be
 * @claimed_ns in each; @prior_weight is what the claim counts, 1 unless adaptive. */
void commy_calibration_infer (const CommyCalibration *calibration,
                              const CommyProfile *profile,
                              const double *claimed_ns,
                              gint64 now_ns,
                              double prior_weight,
                              CommyPosterior *out_posteriors);

/* A normal belief about ln(true / claimed). */
typedef struct
{
  double mean, variance;
} CommyNormal;

/* A class with samples, as the others see it. */
typedef struct
{
  guint size_class;
  double samples; /* effective */
  double claimed_ns, excess_ns;
  double variance; /* of its own ln(true / claimed) */
} CommyWitness;

/* The same class by class: what is common to all classes, then one of them. */
typedef struct
{
  const CommyCalibration *calibration;
  gint64 now_ns;
  double sigma;
  CommyNormal claim;
  bool pinned;
  guint n_witnesses;
  CommyWitness witnesses[COMMY_SIZE_CLASSES];
  /* The last slope that was asked for: classes beyond all witnesses have the same. */
  const CommyWitness *slope_to; /* NULL: none yet */
  CommyNormal slope;            /* the mean is of true / claimed */
} CommyInference;

void commy_inference_init (CommyInference *inference,
                           const CommyCalibration *calibration,
                           const CommyProfile *profile,
                           gint64 now_ns,
                           double prior_weight);
CommyPosterior commy_inference_get (CommyInference *inference, guint size_class, double claimed_ns);

/* --- everything that one decision works on (commy-assess.c) --- */

/* What is believed of a transport alone. Candidates of one endpoint are neighbours and share it. */
typedef struct
{
  const CommyCalibration *calibration;
  const CommyProfile *profile; /* NULL: nothing yet */
  CommyInference inference;
  double risk_sd, risk; /* the last factor for an sd: most are alike */
  guint16 known;        /* bits of the classes below; only if the calibration is bare */
  CommyPosterior posteriors[COMMY_SIZE_CLASSES];
} CommyTransportBelief;

typedef struct
{
  const CommyDemand *demand;
  const CommyCandidate *candidates;
  CommyAssessment *assessments;
  guint n;
  double share[COMMY_SIZE_CLASSES];           /* sum is 1 */
  guint16 in_use;                             /* bits of the classes with a share */
  guint largest;                              /* class in use */
  guint64 whole;                              /* what it is represented by, bytes */
  guint64 limits[COMMY_ROUTE_MAX_CANDIDATES]; /* largest message, of those that are allowed */
  guint8 tiers[COMMY_ROUTE_MAX_CANDIDATES];   /* what ranks before cost, likewise */
  CommyTransportBelief recent;
} CommyWork;

void commy_work_init (CommyWork *work,
                      const CommyDemand *demand,
                      const CommyCandidate *candidates,
                      guint n,
                      CommyAssessment *assessments);
/* Costs and filters all of them, for the classes in use. */
void commy_work_begin (CommyWork *work);
/* Of those that are allowed, what ranks them before cost. */
void commy_work_rank (CommyWork *work);
/* Costs one candidate in one class, unless it is done. */
void commy_work_assess (CommyWork *work, guint i, guint size_class);
void commy_work_meet_requirements (CommyWork *work, guint i);

static inline bool
commy_work_is_allowed (const CommyWork *work, guint i)
{
  return work->assessments[i].rejection.filter == COMMY_FILTER_NONE;
}

/* What "more" means in the last class. */
#define COMMY_LAST_SIZE (G_GUINT64_CONSTANT (1) << 40)

static inline guint64
commy_size_class_least (guint size_class)
{
  return size_class == 0 ? 0 : (guint64) commy_size_class_upper (size_class - 1) + 1;
}

/* The filters of one candidate whose costs are known already; FALSE: @assessment->rejection says
 * why. @with_requirements: LATENCY and THROUGHPUT too. */
bool commy_filter_apply (const CommyWork *work,
                         const CommyCandidate *candidate,
                         CommyAssessment *assessment,
                         bool with_requirements);

/* What is believed of a cost: its logarithm is normal. */
typedef struct
{
  double log_mean, sd;
} CommyBelief;

/* P(@chosen is the least), all independent. */
double commy_confidence_least (const CommyBelief *chosen, const CommyBelief *rivals, guint n);

/* What ranks before level and cost: the place in a list, or the reach that is preferred. */
guint commy_candidate_tier (const CommyDemand *demand, const CommyCandidate *candidate);
/* Who goes first of two that cost the same: negative for @a. */
int commy_candidate_compare (const CommyDemand *demand,
                             const CommyCandidate *a,
                             double a_sd,
                             const CommyCandidate *b,
                             double b_sd);

/* The best of a size class below and above one exact crossover, among the @n_eligible candidates
 * that @eligible numbers. */
typedef struct
{
  gint lo, hi;
  guint64 split;
} CommyCrossover;

CommyCrossover commy_crossover_find (const CommyWork *work,
                                     const guint16 *eligible,
                                     guint n_eligible,
                                     guint size_class);

/* Expected and ranked cost of any size, with the posterior of its class. */
double commy_candidate_expected (const CommyDemand *demand,
                                 const CommyCandidate *candidate,
                                 const CommyPosterior *posterior,
                                 double claimed_ns);
double commy_candidate_score (const CommyDemand *demand,
                              const CommyPosterior *posterior,
                              double expected_ns);
/* What turns a claimed cost into an expected and a ranked one, for those who do it often. */
typedef struct
{
  double factor, connect_ns, bias, risk;
} CommyScale;

/* One connection's cost per message; 0 if it is paid already. */
static inline double
commy_candidate_connect (const CommyDemand *demand, const CommyCandidate *candidate)
{
  if (candidate->connected)
    return 0;
  return candidate->transport_profile->connect_ns / MAX (demand->expected_messages, 1);
}

static inline CommyScale
commy_scale_for (const CommyDemand *demand,
                 const CommyCandidate *candidate,
                 const CommyPosterior *posterior,
                 double risk)
{
  return (CommyScale){ .factor = posterior->factor,
                       .connect_ns = commy_candidate_connect (demand, candidate),
                       .bias = candidate->bias > 0 ? candidate->bias : 1,
                       .risk = risk };
}

static inline double
commy_scale_expected (const CommyScale *scale, double claimed_ns)
{
  return (claimed_ns * scale->factor + scale->connect_ns) * scale->bias;
}

static inline double
commy_scale_score (const CommyScale *scale, double claimed_ns)
{
  return commy_scale_expected (scale, claimed_ns) * scale->risk;
}

/* Numbers for people, into a buffer and in every locale alike: "14.1 us", "64 KiB", "1.2 GiB/s". */
void commy_text_duration (char *out, gsize size, double ns);
void commy_text_bytes (char *out, gsize size, double bytes, const char *per);
