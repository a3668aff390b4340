/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was measured against what was claimed: a robust, ageing mean of ln(measured / claimed)
 * per (peer, transport) and size class, and the posterior that follows from it and the claim.
 *
 * The model: a class with samples has its own ratio. A class without any is told by one that has:
 * what that one takes longer than claimed is time that is added (a wake-up, a lock), not a factor.
 * A costlier class inherits all of it, in ns; a cheaper one its share by cost, as there it may be
 * per byte as well. What is known so far away in size is little: the rest is the claim's sigma.
 *
 * A bias remains between transports: who was never measured has only its claim, while a measured
 * rival shows its wake-ups, which most transports have. Nothing is added for that (a liar would be
 * safe behind what it adds to its rivals); but no claim from elsewhere is surer than ln 1.5, and
 * the first measurement of the rival ends it.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define HALF_LIFE_NS 60e9
#define MOST_HALF_LIVES 40 /* as good as nothing, but a liar is not forgotten */
#define MAX_SAMPLES 64.0
#define OUTLIER_SIGMAS 3.0
#define FOLLOWER_SHARE (2.0 / 3)     /* of that, as each one clipped has widened the spread */
#define STEP_RUN 3                   /* as many outliers in a row are a change, not noise */
#define FIRST_VARIANCE (0.25 * 0.25) /* of a sample, before its spread is known */
#define STEP_VARIANCE (0.35 * 0.35)  /* and after a change */
#define LEAST_VARIANCE (0.01 * 0.01) /* nothing is measured better than to 1 % */
#define CLASS_VARIANCE (0.35 * 0.35) /* of a class around what all classes share */
#define LINE_VARIANCE (0.25 * 0.25)  /* of a class around a line through two others */
#define CONTRADICTED_SAMPLES 4.0
#define CONTRADICTED_SIGMAS 2.5
#define LEAST_FOREIGN_SIGMA (G_LN2 * 0.584962500721156) /* ln 1.5 */
#define MOST_SD 2.8                                     /* knowing nothing: a factor of 16 */
#define MOST_LOG 18.0                                   /* e^18: what is beyond is a broken clock */
#define MOST_FACTOR 65659969.137330511
#define LEAST_FACTOR (1 / MOST_FACTOR)

/* Of a provenance, where the profile does not say. */
static double
usual_sigma (guint32 provenance)
{
  switch (provenance)
    {
    case COMMY_PROVENANCE_MEASURED_HERE:
      return 0.10;
    case COMMY_PROVENANCE_MEASURED_ELSEWHERE:
      return LEAST_FOREIGN_SIGMA;
    case COMMY_PROVENANCE_DERIVED:
      return G_LN2;
    case COMMY_PROVENANCE_GUESS:
    default:
      return 2 * G_LN2;
    }
}

double
commy_profile_sigma (const CommyProfile *profile)
{
  double sigma = usual_sigma (profile->provenance);

  if (profile->provenance == COMMY_PROVENANCE_OPERATOR)
    return 0;
  if (profile->sigma > 0 && isfinite (profile->sigma))
    sigma = profile->sigma;
  /* However sure its author was: it is another machine's number, without this one's wake-ups. */
  return profile->provenance == COMMY_PROVENANCE_MEASURED_HERE ? sigma
                                                               : fmax (sigma, LEAST_FOREIGN_SIGMA);
}

/* Samples that still count: knowledge fades while nothing is measured. */
static double
aged (const CommyCell *cell, gint64 now_ns)
{
  double idle = now_ns > cell->last_ns ? (double) (now_ns - cell->last_ns) : 0;

  return cell->n * exp2 (-fmin (idle / HALF_LIFE_NS, MOST_HALF_LIVES));
}

static void
cell_restart (CommyCell *cell, double ratio, double var, double claimed_ns, gint64 now_ns)
{
  cell->mu = ratio;
  cell->var = var;
  cell->n = 1;
  cell->claimed_ns = claimed_ns;
  cell->run = 0;
  cell->last_ns = now_ns;
}

/* Whether the sample was the last of a run that changed the mind. */
static bool
cell_add (CommyCell *cell, double ratio, double claimed_ns, gint64 now_ns)
{
  double n = aged (cell, now_ns);
  double d = ratio - cell->mu;
  double limit = OUTLIER_SIGMAS * sqrt (cell->var);
  bool follows = d > 0 ? cell->run > 0 : cell->run < 0; /* an outlier to the same side */

  if (cell->n <= 0)
    {
      cell_restart (cell, ratio, FIRST_VARIANCE, claimed_ns, now_ns);
      return false;
    }
  if (n >= CONTRADICTED_SAMPLES && fabs (d) > limit * (follows ? FOLLOWER_SHARE : 1))
    {
      /* One outlier is clipped; three in a row on the same side are the new truth. */
      if (d > 0)
        cell->run = MAX (cell->run, 0) + 1;
      else
        cell->run = MIN (cell->run, 0) - 1;
      if (ABS (cell->run) >= STEP_RUN)
        {
          cell_restart (cell, ratio, fmax (cell->var, STEP_VARIANCE), claimed_ns, now_ns);
          return true;
        }
      d = CLAMP (d, -limit, limit);
    }
  else
    cell->run = 0;

  cell->n = fmin (n + 1, MAX_SAMPLES);
  cell->mu += d / cell->n;
  cell->claimed_ns += (claimed_ns - cell->claimed_ns) / cell->n;
  cell->var = fmax (cell->var + (d * d - cell->var) / (cell->n + 4), LEAST_VARIANCE);
  cell->last_ns = MAX (cell->last_ns, now_ns);
  return false;
}

bool
commy_calibration_add (
    CommyCalibration *calibration, gsize size, double measured_ns, double claimed_ns, gint64 now_ns)
{
  double ratio;

  if (!(measured_ns > 0) || !(claimed_ns > 0) || !isfinite (measured_ns) || !isfinite (claimed_ns))
    return false;
  ratio = CLAMP (log (measured_ns / claimed_ns), -MOST_LOG, MOST_LOG);
  return cell_add (&calibration->classes[commy_size_class (size)], ratio, claimed_ns, now_ns);
}

/* --- posterior --- */

static CommyNormal
combine (CommyNormal a, CommyNormal b)
{
  double sum = a.variance + b.variance;

  if (!(sum > 0))
    return a;
  return (CommyNormal){ .mean = (a.mean * b.variance + b.mean * a.variance) / sum,
                        .variance = a.variance * b.variance / sum };
}

/* Counts samples as they were: a claim is not believed again only because time has passed. */
static bool
contradicts (const CommyCell *cell, double sigma)
{
  return cell->n >= CONTRADICTED_SAMPLES && fabs (cell->mu) > CONTRADICTED_SIGMAS * sigma;
}

/* What a class's own samples make of @prior; an outright contradicted claim is dropped. */
static CommyNormal
learn (const CommyCell *cell, double own, double sigma, CommyNormal prior)
{
  CommyNormal measured = { .mean = cell->mu, .variance = cell->var / own };

  return contradicts (cell, sigma) ? measured : combine (prior, measured);
}

static guint
find_sources (const CommyCalibration *calibration,
              double sigma,
              CommyNormal claim,
              gint64 now_ns,
              CommyWitness *out_sources)
{
  guint n = 0;

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      const CommyCell *cell = &calibration->classes[c];
      double samples;
      CommyNormal belief;

      if (!(cell->n > 0))
        continue;
      samples = aged (cell, now_ns);
      belief = learn (cell, samples, sigma, claim);
      out_sources[n++] = (CommyWitness){ .size_class = c,
                                         .samples = samples,
                                         .claimed_ns = cell->claimed_ns,
                                         .excess_ns = cell->claimed_ns * expm1 (belief.mean),
                                         .variance = belief.variance };
    }
  return n;
}

/* What a class that is claimed to take @claimed_ns learns from @source. The mean is still the
 * excess as a share of the claim; always above -1, as nothing took less than no time. What is
 * known and what is not may be wrong in the same way, so the sds add up. */
static CommyNormal
inherit (const CommyWitness *source, double claimed_ns, CommyNormal claim)
{
  double class_variance = MIN (CLASS_VARIANCE, claim.variance / 2);
  double own_ns = source->claimed_ns;
  double unseen, sd; /* unseen: the share of the time that nobody has looked at yet */

  if (claimed_ns >= own_ns)
    unseen = (claimed_ns - own_ns) / (claimed_ns + source->excess_ns);
  else
    unseen = (own_ns - claimed_ns) / own_ns;
  sd = (1 - unseen) * sqrt (source->variance + class_variance) + unseen * sqrt (claim.variance);
  return (CommyNormal){ .mean = source->excess_ns / MAX (claimed_ns, own_ns),
                        .variance = MIN (sd * sd, MAX (source->variance, claim.variance)) };
}

/* True ns per claimed ns, as a log, between two classes with samples. */
static CommyNormal
slope_of (const CommyWitness *low, const CommyWitness *high, double sigma, CommyNormal claim)
{
  double low_ns = low->claimed_ns + low->excess_ns, high_ns = high->claimed_ns + high->excess_ns;
  double rise = high_ns - low_ns;
  double noise = hypot (low_ns * sqrt (low->variance), high_ns * sqrt (high->variance));
  double factor = log (high_ns / high->claimed_ns);
  CommyNormal measured;

  /* Who lies by a factor about what was seen does so about what was not. */
  if (fabs (factor) > CONTRADICTED_SIGMAS * sigma)
    claim.mean = factor;
  if (!(rise > noise))
    return claim; /* nothing that stands out of the noise */
  measured.mean = log (rise / (high->claimed_ns - low->claimed_ns));
  measured.variance = (noise / rise) * (noise / rise);
  if (fabs (measured.mean - claim.mean) > CONTRADICTED_SIGMAS * sigma)
    return measured;
  return combine (claim, measured);
}

/* The straight line through @low and @high, at a claim between theirs: as sure as they are. */
static CommyNormal
interpolate (const CommyWitness *low,
             const CommyWitness *high,
             double claimed_ns,
             double class_variance)
{
  double t = (claimed_ns - low->claimed_ns) / (high->claimed_ns - low->claimed_ns);
  double low_ns = (1 - t) * (low->claimed_ns + low->excess_ns);
  double high_ns = t * (high->claimed_ns + high->excess_ns);
  double sd
      = (low_ns * sqrt (low->variance) + high_ns * sqrt (high->variance)) / (low_ns + high_ns);

  return (CommyNormal){ .mean = (low_ns + high_ns) / claimed_ns - 1,
                        .variance = sd * sd + class_variance };
}

/* The same line beyond @high: what comes on top is as sure as the slope, whose mean is a factor. */
static CommyNormal
extrapolate (const CommyWitness *high, CommyNormal slope, double claimed_ns, double class_variance)
{
  double high_ns = high->claimed_ns + high->excess_ns;
  double more_ns = (claimed_ns - high->claimed_ns) * slope.mean;
  double sd = (high_ns * sqrt (high->variance + class_variance)
               + more_ns * sqrt (slope.variance + class_variance))
              / (high_ns + more_ns);

  return (CommyNormal){ .mean = (high_ns + more_ns) / claimed_ns - 1, .variance = sd * sd };
}

static CommyNormal
slope_between (CommyInference *inference, const CommyWitness *least, const CommyWitness *low)
{
  if (inference->slope_to != low)
    {
      inference->slope_to = low;
      inference->slope = slope_of (least, low, inference->sigma, inference->claim);
      inference->slope.mean = exp (inference->slope.mean);
    }
  return inference->slope;
}

/* What two others say together. FALSE: there are not two on the right sides. */
static bool
inherit_line (CommyInference *inference,
              guint size_class,
              double claimed_ns,
              CommyNormal *out_belief)
{
  const CommyWitness *sources = inference->witnesses;
  guint n = inference->n_witnesses;
  double class_variance = MIN (LINE_VARIANCE, inference->claim.variance / 2);
  const CommyWitness *low = NULL, *high = NULL, *least = NULL;

  for (guint i = 0; i < n; i++)
    {
      if (sources[i].size_class < size_class)
        {
          if (least == NULL)
            least = &sources[i];
          low = &sources[i];
        }
      else if (sources[i].size_class > size_class && high == NULL)
        high = &sources[i];
    }
  if (low == NULL || claimed_ns <= low->claimed_ns)
    return false;
  if (high != NULL && claimed_ns < high->claimed_ns)
    *out_belief = interpolate (low, high, claimed_ns, class_variance);
  else if (high == NULL && least->claimed_ns < low->claimed_ns)
    *out_belief
        = extrapolate (low, slope_between (inference, least, low), claimed_ns, class_variance);
  else
    return false;
  return true;
}

/* What all others say about a class: a line through two, else the word of the one that knows most,
 * as they all err alike. The mean is of true / claimed. */
static CommyNormal
inherit_best (CommyInference *inference, guint size_class, double claimed_ns)
{
  CommyNormal best = { .variance = INFINITY };
  bool line = inherit_line (inference, size_class, claimed_ns, &best);

  for (guint i = 0; i < inference->n_witnesses && !line; i++)
    {
      CommyNormal belief;

      if (inference->witnesses[i].size_class == size_class)
        continue;
      belief = inherit (&inference->witnesses[i], claimed_ns, inference->claim);
      if (belief.variance < best.variance)
        best = belief;
    }
  if (!(best.variance < INFINITY))
    best.variance = inference->claim.variance;
  best.mean = CLAMP (1 + best.mean, LEAST_FACTOR, MOST_FACTOR);
  return best;
}

void
commy_inference_init (CommyInference *inference,
                      const CommyCalibration *calibration,
                      const CommyProfile *profile,
                      gint64 now_ns,
                      double prior_weight)
{
  double sigma = commy_profile_sigma (profile);

  inference->calibration = calibration;
  inference->now_ns = now_ns;
  inference->sigma = sigma;
  inference->slope_to = NULL;
  inference->claim = (CommyNormal){ .variance = sigma * sigma / prior_weight };
  /* The operator's numbers are taken as given; what was measured is only shown. */
  inference->pinned = profile->provenance == COMMY_PROVENANCE_OPERATOR;
  inference->n_witnesses = calibration != NULL ? find_sources (calibration, sigma, inference->claim,
                                                               now_ns, inference->witnesses)
                                               : 0;
}

static double
samples_of (const CommyInference *inference, guint size_class)
{
  for (guint i = 0; i < inference->n_witnesses; i++)
    if (inference->witnesses[i].size_class == size_class)
      return inference->witnesses[i].samples;
  return 0;
}

CommyPosterior
commy_inference_get (CommyInference *inference, guint size_class, double claimed_ns)
{
  CommyNormal claim = inference->claim, belief;
  CommyPosterior posterior
      = { .factor = 1, .sd = MIN (sqrt (claim.variance), MOST_SD), .ratio = 1 };
  const CommyCell *cell;

  if (inference->n_witnesses == 0)
    return posterior;
  cell = &inference->calibration->classes[size_class];
  if (cell->n > 0)
    {
      posterior.samples = samples_of (inference, size_class);
      posterior.ratio = exp (cell->mu);
    }
  if (inference->pinned)
    return posterior;
  belief = inherit_best (inference, size_class, claimed_ns);
  if (posterior.samples > 0)
    {
      belief.mean = log (belief.mean);
      belief = learn (cell, posterior.samples, inference->sigma, belief);
      belief.mean = exp (belief.mean);
    }
  posterior.contradicted = contradicts (cell, inference->sigma);
  posterior.factor = belief.mean;
  posterior.sd = MIN (sqrt (belief.variance), MOST_SD);
  return posterior;
}

void
commy_calibration_infer (const CommyCalibration *calibration,
                         const CommyProfile *profile,
                         const double *claimed_ns,
                         gint64 now_ns,
                         double prior_weight,
                         CommyPosterior *out_posteriors)
{
  CommyInference inference;

  commy_inference_init (&inference, calibration, profile, now_ns, prior_weight);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    out_posteriors[c] = commy_inference_get (&inference, c, claimed_ns[c]);
}

CommyPosterior
commy_calibration_get (const CommyCalibration *calibration,
                       const CommyProfile *profile,
                       guint size_class,
                       gint64 now_ns)
{
  CommyPosterior posteriors[COMMY_SIZE_CLASSES];
  double claimed_ns[COMMY_SIZE_CLASSES];

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyCost cost;

      commy_cost_compute (profile, NULL, commy_size_class_representative (c), &cost);
      claimed_ns[c] = cost.t_latency_ns;
    }
  commy_calibration_infer (calibration, profile, claimed_ns, now_ns, 1, posteriors);
  return posteriors[MIN (size_class, COMMY_SIZE_CLASSES - 1)];
}
