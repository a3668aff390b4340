/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The decision, pure: everything comes in as an argument, time included; no allocation, no
 * clock, no environment, no lock. Reads top down: sizes, cost, calibration, filters, decision,
 * switching.
 */
#pragma once

#include <commy/commy-profile.h>
#include <commy/commy-requirements.h>
#include <stdbool.h>

/* --- size classes: up to 64 B, 256 B, 1 KiB ... 64 MiB, more --- */

#define COMMY_SIZE_CLASSES 12
#define COMMY_SIZE_CLASS_BITS 6 /* of the first: 64 bytes */

/* Every message asks. A factor of four each, so it is a matter of the highest bit. */
static inline guint
commy_size_class (gsize size)
{
  guint64 most = (guint64) MAX (size, 1u << COMMY_SIZE_CLASS_BITS) - 1;
  guint bits = 64 - (guint) __builtin_clzll (most);
  guint size_class = (bits - COMMY_SIZE_CLASS_BITS + 1) / 2;

  return MIN (size_class, COMMY_SIZE_CLASSES - 1);
}

/* G_MAXSIZE for the last. */
static inline gsize
commy_size_class_upper (guint size_class)
{
  if (size_class >= COMMY_SIZE_CLASSES - 1)
    return G_MAXSIZE;
  return (gsize) 1 << (COMMY_SIZE_CLASS_BITS + 2 * size_class);
}

/* The size a class is costed at: its end, which is where people ask (64, 4k, 64k, 1M). */
static inline gsize
commy_size_class_representative (guint size_class)
{
  return (gsize) 1 << (COMMY_SIZE_CLASS_BITS + 2 * MIN (size_class, COMMY_SIZE_CLASSES - 1));
}

/* --- cost of a stack, ns (commy-cost.c) --- */

typedef struct
{
  double wire_bytes; /* after serializing and headers */
  double encode_ns, send_cpu_ns, wire_ns, latency_ns, recv_cpu_ns, decode_ns;
  double t_latency_ns;    /* one message, idle path: the sum */
  double t_throughput_ns; /* ns per message at saturation: the slowest part */
  double t_cpu_ns;        /* processor time of both sides */
} CommyCost;

/* The segment of @profile that is valid for @bytes. */
const CommyProfileSegment *commy_profile_segment (const CommyProfile *profile, double bytes);

/* @serializer NULL: bytes as they are, at no cost. */
void commy_cost_compute (const CommyProfile *transport,
                         const CommyProfile *serializer,
                         gsize size,
                         CommyCost *out_cost);

typedef struct
{
  double latency, throughput, cpu; /* sum is 1 */
} CommyWeights;

/* latency 1/0/0, throughput .1/.8/.1, cpu .3/.1/.6, balanced .5/.3/.2; DEFAULT is latency. */
CommyWeights commy_weights_for (CommyObjective objective);
double commy_cost_weigh (const CommyCost *cost, const CommyWeights *weights);

/* --- what a stack claims, once for all decisions (commy-claims.c) --- */

/* One try, at sizes from @from up to @straight_to, as straight lines: fixed + slope x size, of the
 * processors and of latency and wire. */
typedef struct
{
  guint64 from, straight_to;
  double cpu_ns, cpu_slope, wait_ns, wait_slope;
} CommyLines;

#define COMMY_CLAIM_PIECES 2u /* a class rarely has more */

/* In one size class; of each try, of which there are @tries until a message arrives. */
typedef struct
{
  double t_latency_ns, t_throughput_ns, t_cpu_ns; /* as of CommyCost, at the representative size */
  double transport_ns;                            /* t_latency_ns without the serializer */
  double tries;
  CommyLines pieces[COMMY_CLAIM_PIECES]; /* the first ones of the class */
  guint n_pieces;
} CommyClaim;

/* Hangs on nothing but the two profiles. */
typedef struct
{
  bool is_sane;  /* FALSE: a profile is not all numbers, and there is nothing else */
  guint64 limit; /* the largest plain message */
  CommyClaim classes[COMMY_SIZE_CLASSES];
} CommyClaims;

/* @serializer may be NULL. */
void commy_claim_init (CommyClaim *claim,
                       const CommyProfile *transport,
                       const CommyProfile *serializer,
                       guint size_class);
void commy_claims_init (CommyClaims *claims,
                        const CommyProfile *transport,
                        const CommyProfile *serializer);

/* --- calibration: posterior over ln(measured / claimed) (commy-calibration.c) --- */

typedef struct
{
  double mu, var, n; /* of ln(measured / claimed), robust, ageing with a half-life of 60 s */
  double claimed_ns; /* what was claimed for the samples, their mean */
  gint64 last_ns;
  gint32 run; /* same-sign outliers in a row, for step changes */
  guint32 reserved;
} CommyCell;

/* Of one (peer, transport); one writer. */
typedef struct
{
  CommyCell classes[COMMY_SIZE_CLASSES];
  bool bare; /* samples are of the transport alone: what a serializer takes comes on top */
} CommyCalibration;

typedef struct
{
  double factor;     /* true / claimed, as believed */
  double sd;         /* of ln(true / claimed) */
  double samples;    /* effective, of the class */
  double ratio;      /* measured / claimed by the samples alone; 1 without samples */
  bool contradicted; /* the samples contradict the claim, which was dropped */
} CommyPosterior;

/* One sigma of ln(true / claimed) that a profile's claim has: its own, or its provenance's; at
 * least ln 1.5 unless it was measured here or set by the operator. */
double commy_profile_sigma (const CommyProfile *profile);

/* TRUE: after a run of outliers the class was begun anew, as something must have changed. */
bool commy_calibration_add (CommyCalibration *calibration,
                            gsize size,
                            double measured_ns,
                            double claimed_ns,
                            gint64 now_ns);
/* @calibration NULL: the claim alone. A class without samples inherits what others take longer than
 * claimed as ns, not as a ratio. Provenance OPERATOR pins the claim: factor 1, sd 0. */
CommyPosterior commy_calibration_get (const CommyCalibration *calibration,
                                      const CommyProfile *profile,
                                      guint size_class,
                                      gint64 now_ns);

/* --- what is demanded (commy-requirements.c makes it from requirements and settings) --- */

#define COMMY_MAX_LISTED 8
#define COMMY_ID_MAX 32
#define COMMY_REACH_NOTHING (1u << 31) /* a reach that nobody has */

typedef struct
{
  char id[COMMY_MAX_LISTED][COMMY_ID_MAX];
  guint n;
} CommyIdList;

typedef struct
{
  CommyObjective objective;
  CommyWeights weights;
  guint min_security;
  const char *min_security_origin; /* keyfile line or "requirements" or "what-if"; never NULL */
  CommyPreference preference;
  CommyIdList transports; /* for LIST and PIN */
  const char *preference_origin;
  guint allowed_reach; /* CommyReach bits, 0: any; what local-only and network-only leave of a
                        * setting and a requirement together */
  const char *reach_origin;
  CommyIdList prefer;     /* keyfile's `prefer`: only breaks ties */
  guint64 max_latency_ns; /* 0: none */
  guint64 min_throughput; /* bytes/s; 0: none */
  const char *requirement_origin;
  bool degradable;
  bool ordered;
  guint min_delivery, min_ordering;
  guint64 required_transport_caps;
  guint64 required_serializer_caps; /* COMMY_CAP_VALUES or COMMY_CAP_BYTES */
  double share[COMMY_SIZE_CLASSES]; /* of the flow's messages; all 0: unknown, class 0 counts */
  double expected_messages;         /* connect_ns is spread over these; default 1000 */
  double tie_band;                  /* default 0.02 */
  double switch_margin;             /* default 0.10 */
  double switch_z;                  /* default 2 */
  guint switch_evaluations;         /* default 3 */
  gint64 switch_dwell_ns;           /* default 50 ms */
  double risk;                      /* kappa: rank by cost * exp(kappa * sd); default 0.5 */
  gint64 now_ns;
} CommyDemand;

/* All defaults; weights for latency; min_security KERNEL with origin "default". */
void commy_demand_init (CommyDemand *demand, gint64 now_ns);

/* Words, as in the keyfile; parsers return FALSE for unknown ones (commy-words.c). */
gboolean commy_objective_parse (const char *text, CommyObjective *out_objective);
gboolean commy_security_parse (const char *text, guint *out_security);
gboolean commy_preference_parse (const char *text, CommyPreference *out_preference);
const char *commy_objective_to_string (CommyObjective objective);
const char *commy_security_to_string (guint security);
const char *commy_preference_to_string (CommyPreference preference);

/* --- candidates --- */

/* The filters, in the order in which they are asked. */
typedef enum
{
  COMMY_FILTER_NONE = 0,
  COMMY_FILTER_ENABLED, /* keyfile: deny, enabled=false */
  COMMY_FILTER_STATE,   /* plugin not usable */
  COMMY_FILTER_REACHABLE,
  COMMY_FILTER_SECURITY,
  COMMY_FILTER_DELIVERY,
  COMMY_FILTER_ORDERING,
  COMMY_FILTER_CAPABILITY,
  COMMY_FILTER_SIZE,
  COMMY_FILTER_PEER,      /* the peer does not accept it */
  COMMY_FILTER_INTERFACE, /* it offers something else than the client was written for */
  COMMY_FILTER_SELECTOR,  /* it is not among those that the caller wants */
  COMMY_FILTER_BREAKER,   /* failed lately */
  COMMY_FILTER_PREFERENCE,
  COMMY_FILTER_LATENCY,    /* requirement */
  COMMY_FILTER_THROUGHPUT, /* requirement */
  COMMY_FILTER_LAST
} CommyFilter;

const char *commy_filter_to_string (CommyFilter filter);

/* How near an instance is. */
typedef enum
{
  COMMY_LEVEL_PROCESS, /* this one */
  COMMY_LEVEL_HOST,
  COMMY_LEVEL_ZONE,
  COMMY_LEVEL_REGION,
  COMMY_LEVEL_ELSEWHERE, /* or nobody knows */
} CommyLevel;

#define COMMY_LEVELS 5

const char *commy_level_to_string (guint level);

typedef struct
{
  CommyFilter filter;
  char required[64];
  char offered[160];
  const char *origin; /* keyfile line or who demanded; never NULL if filter is set */
} CommyRejection;

typedef struct
{
  const char *instance;   /* id; candidates of one instance are next to each other */
  const char *transport;  /* id */
  const char *serializer; /* id */
  const CommyProfile *transport_profile;
  const CommyProfile *serializer_profile;
  const CommyClaims *claims;           /* of both; NULL: worked out whenever it is needed */
  const CommyCalibration *calibration; /* of (peer, transport); NULL: none */
  const CommyCalibration *felt;        /* by the caller itself, for requirements; NULL: none else */
  guint security;                      /* of the stack: transport and auth together */
  guint reach;                         /* what it takes to get there: one CommyReach bit */
  guint level;                         /* CommyLevel; ranks before cost */
  bool connected;                      /* connect_ns is paid already */
  double bias;                         /* operator's factor; 1 */
  const char *bias_origin;             /* or NULL */
  const char *profile_origin;          /* keyfile line that overrides the profile, or NULL */
  const char *measured;                /* where @calibration comes from, a phrase, or NULL */
  /* found by the caller: ENABLED, STATE, REACHABLE, PEER, INTERFACE, SELECTOR, BREAKER; else NONE
   */
  CommyRejection known;
} CommyCandidate;

/* What came out for one candidate. */
typedef struct
{
  guint16 assessed;                       /* bits of the size classes that have numbers */
  CommyRejection rejection;               /* NONE if allowed */
  bool degraded;                          /* allowed although LATENCY or THROUGHPUT is missed */
  bool tied;                              /* within the tie band of the best */
  double claimed_ns[COMMY_SIZE_CLASSES];  /* objective, as claimed */
  double expected_ns[COMMY_SIZE_CLASSES]; /* objective, corrected by what was measured, bias and
                                             connect */
  double score[COMMY_SIZE_CLASSES];       /* ranked by: expected * exp(risk * sd) */
  double risk[COMMY_SIZE_CLASSES];        /* what expected_ns is multiplied with for that */
  double flow_score, flow_sd;             /* by the flow's shares */
  double latency_ns, throughput; /* what requirements are compared with, if there are any */
  CommyPosterior posterior[COMMY_SIZE_CLASSES];
} CommyAssessment;

#define COMMY_ROUTE_MAX_CANDIDATES 256

typedef struct
{
  gint chosen;       /* for an ordered flow; -1: nothing is allowed */
  gint runner_up;    /* of an ordered flow, or -1 */
  double confidence; /* P(the chosen instance and transport are the fastest of those allowed), of an
                      * ordered flow. Serializers of one transport share its luck and are no rivals;
                      * 0 if a serializer is known to be better. */
  /* by size class: best below and above `split` (size <= split: lo), an exact crossover inside the
   * class, in bytes. Never -1 if something is allowed: a class that nobody can carry names
   * `chosen`, and the sender compares with the maximum message. For an ordered flow all are
   * `chosen` (but serializers may differ, same transport and instance). */
  gint lo[COMMY_SIZE_CLASSES];
  gint hi[COMMY_SIZE_CLASSES];
  guint64 split[COMMY_SIZE_CLASSES];
  gint second[COMMY_SIZE_CLASSES];
  double class_confidence[COMMY_SIZE_CLASSES];
} CommyPlan;

/* Filters, costs and ranks. @assessments has room for @n; @n is at most
 * COMMY_ROUTE_MAX_CANDIDATES. Total order: what is preferred, level, score, then within the tie
 * band higher security, `prefer`, lower sd, transport id, serializer id, instance id. Costs only
 * what the choice hangs on: @assessments have numbers where `assessed` says so, @out_plan no
 * confidences and no second of a class. */
void commy_route_choose (const CommyDemand *demand,
                         const CommyCandidate *candidates,
                         guint n,
                         CommyAssessment *assessments,
                         CommyPlan *out_plan);
/* After choosing, with the same arguments: the best of those that are allowed on one level; -1:
 * nobody is. */
gint commy_route_best_of_level (const CommyDemand *demand,
                                const CommyCandidate *candidates,
                                guint n,
                                CommyAssessment *assessments,
                                guint level);
/* What a reader wants to know of a choice: costs the rest, fills in the plan's confidences and
 * seconds. The choice stays as it is, also one that the caller has changed. */
void commy_route_explain_choice (const CommyDemand *demand,
                                 const CommyCandidate *candidates,
                                 guint n,
                                 CommyAssessment *assessments,
                                 CommyPlan *plan);
/* Both. */
void commy_route_decide (const CommyDemand *demand,
                         const CommyCandidate *candidates,
                         guint n,
                         CommyAssessment *assessments,
                         CommyPlan *out_plan);

/* --- switching without flapping (commy-switch.c) --- */

typedef struct
{
  gint64 since_ns; /* the incumbent's first day */
  guint streak;    /* evaluations in a row the rival was better in */
} CommySwitch;

typedef enum
{
  COMMY_SWITCH_STAY_BEST,   /* the incumbent is the best */
  COMMY_SWITCH_STAY_MARGIN, /* the rival is not better by the margin */
  COMMY_SWITCH_STAY_UNSURE, /* not significant */
  COMMY_SWITCH_STAY_STREAK, /* not often enough in a row yet */
  COMMY_SWITCH_STAY_DWELL,  /* too soon after the last switch */
  COMMY_SWITCH_GO,
} CommySwitchVerdict;

const char *commy_switch_verdict_to_string (CommySwitchVerdict verdict);

/* One evaluation of incumbent against rival by their expected cost (ns) and sd of its log. After
 * GO the state is the new incumbent's. */
CommySwitchVerdict commy_switch_consider (CommySwitch *state,
                                          const CommyDemand *demand,
                                          double incumbent_ns,
                                          double incumbent_sd,
                                          double rival_ns,
                                          double rival_sd);
