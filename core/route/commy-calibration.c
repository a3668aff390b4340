/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was measured against what was claimed: a robust, ageing mean of ln(measured / claimed)
 * per (peer, transport) and size class, and the posterior that follows from it and the claim.
 *
 * The model: a claim's error has a part that all size classes share and a part of each class's
 * own; together they have the claim's sigma. Samples of other classes inform about the shared
 * part, samples of the class about both.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define HALF_LIFE_NS 60e9
#define MAX_SAMPLES 64.0
#define OUTLIER_SIGMAS 3.0
#define STEP_RUN 3                   /* as many outliers in a row are a change, not noise */
#define FIRST_VARIANCE (0.25 * 0.25) /* of a sample, before its spread is known */
#define STEP_VARIANCE (0.35 * 0.35)  /* and after a change */
#define LEAST_VARIANCE (0.01 * 0.01) /* nothing is measured better than to 1 % */
#define CLASS_VARIANCE (0.35 * 0.35) /* of a class around what all classes share */
#define CONTRADICTED_SAMPLES 4.0
#define CONTRADICTED_SIGMAS 2.5
#define MOST_SD 2.8   /* knowing nothing: a factor of 16 */
#define MOST_LOG 18.0 /* e^18: what is beyond is a broken clock */

double
commy_profile_sigma (const CommyProfile *profile)
{
  if (profile->provenance == COMMY_PROVENANCE_OPERATOR)
    return 0;
  if (profile->sigma > 0 && isfinite (profile->sigma))
    return profile->sigma;
  switch (profile->provenance)
    {
    case COMMY_PROVENANCE_MEASURED_HERE:
      return 0.10;
    case COMMY_PROVENANCE_MEASURED_ELSEWHERE:
      return G_LN2 * 0.584962500721156; /* ln 1.5 */
    case COMMY_PROVENANCE_DERIVED:
      return G_LN2;
    case COMMY_PROVENANCE_GUESS:
    default:
      return 2 * G_LN2;
    }
}

/* Samples that still count: knowledge fades while nothing is measured. */
static double
aged (const CommyCell *cell, gint64 now_ns)
{
  double idle = now_ns > cell->last_ns ? (double) (now_ns - cell->last_ns) : 0;

  return cell->n * exp2 (-idle / HALF_LIFE_NS);
}

static void
cell_restart (CommyCell *cell, double ratio, double var, gint64 now_ns)
{
  cell->mu = ratio;
  cell->var = var;
  cell->n = 1;
  cell->run = 0;
  cell->last_ns = now_ns;
}

static void
cell_add (CommyCell *cell, double ratio, gint64 now_ns)
{
  double n = aged (cell, now_ns);
  double d = ratio - cell->mu;
  double limit = OUTLIER_SIGMAS * sqrt (cell->var);

  if (cell->n <= 0)
    {
      cell_restart (cell, ratio, FIRST_VARIANCE, now_ns);
      return;
    }
  if (n >= CONTRADICTED_SAMPLES && fabs (d) > limit)
    {
      /* One outlier is clipped; three in a row on the same side are the new truth. */
      if (d > 0)
        cell->run = MAX (cell->run, 0) + 1;
      else
        cell->run = MIN (cell->run, 0) - 1;
      if (ABS (cell->run) >= STEP_RUN)
        {
          cell_restart (cell, ratio, fmax (cell->var, STEP_VARIANCE), now_ns);
          return;
        }
      d = d > 0 ? limit : -limit;
    }
  else
    cell->run = 0;

  cell->n = fmin (n + 1, MAX_SAMPLES);
  cell->mu += d / cell->n;
  cell->var = fmax (cell->var + (d * d - cell->var) / (cell->n + 4), LEAST_VARIANCE);
  cell->last_ns = MAX (cell->last_ns, now_ns);
}

void
commy_calibration_add (
    CommyCalibration *calibration, gsize size, double measured_ns, double claimed_ns, gint64 now_ns)
{
  double ratio;

  if (!(measured_ns > 0) || !(claimed_ns > 0) || !isfinite (measured_ns) || !isfinite (claimed_ns))
    return;
  ratio = CLAMP (log (measured_ns / claimed_ns), -MOST_LOG, MOST_LOG);
  cell_add (&calibration->all, ratio, now_ns);
  cell_add (&calibration->classes[commy_size_class (size)], ratio, now_ns);
}

/* --- posterior --- */

/* A normal belief by precision; 0: nothing is known. */
typedef struct
{
  double mean, precision;
} Normal;

static Normal
combine (Normal a, Normal b)
{
  Normal both = { .precision = a.precision + b.precision };

  if (both.precision > 0)
    both.mean = (a.mean * a.precision + b.mean * b.precision) / both.precision;
  return both;
}

static Normal
widen (Normal belief, double variance)
{
  if (belief.precision > 0)
    belief.precision = 1 / (1 / belief.precision + variance);
  return belief;
}

/* Counts samples as they were: a claim is not believed again only because time has passed. */
static bool
contradicts (const CommyCell *cell, double sigma)
{
  return cell->n >= CONTRADICTED_SAMPLES && fabs (cell->mu) > CONTRADICTED_SIGMAS * sigma;
}

/* The posterior of one class. */
static Normal
infer (const CommyCalibration *calibration,
       const CommyCell *cell,
       double sigma,
       double prior_weight,
       gint64 now_ns)
{
  double variance = sigma * sigma / prior_weight;
  double class_variance = fmin (CLASS_VARIANCE, variance / 2);
  double own = aged (cell, now_ns);
  double others = fmax (aged (&calibration->all, now_ns) - own, 0);
  Normal shared = { .precision = 1 / (variance - class_variance) };
  Normal measured = { 0 };

  if (contradicts (&calibration->all, sigma))
    shared.precision = 0;
  if (others > 0)
    {
      Normal rest = { .mean = calibration->all.mu, .precision = others / calibration->all.var };

      shared = combine (shared, widen (rest, class_variance));
    }
  if (own > 0)
    measured = (Normal){ .mean = cell->mu, .precision = own / cell->var };
  if (contradicts (cell, sigma))
    return measured;
  return combine (widen (shared, class_variance), measured);
}

CommyPosterior
commy_calibration_weigh (const CommyCalibration *calibration,
                         const CommyProfile *profile,
                         guint size_class,
                         gint64 now_ns,
                         double prior_weight)
{
  double sigma = commy_profile_sigma (profile);
  CommyPosterior posterior = { .sd = fmin (sigma / sqrt (prior_weight), MOST_SD), .ratio = 1 };
  const CommyCell *cell;
  Normal belief;

  if (calibration == NULL)
    return posterior;
  cell = &calibration->classes[MIN (size_class, COMMY_SIZE_CLASSES - 1)];
  if (cell->n > 0)
    {
      posterior.samples = aged (cell, now_ns);
      posterior.ratio = exp (cell->mu);
    }
  /* The operator's numbers are taken as given; what was measured is only shown. */
  if (profile->provenance == COMMY_PROVENANCE_OPERATOR || !(calibration->all.n > 0))
    return posterior;

  belief = infer (calibration, cell, sigma, prior_weight, now_ns);
  posterior.contradicted
      = contradicts (cell, sigma) || (cell->n <= 0 && contradicts (&calibration->all, sigma));
  posterior.mean = belief.mean;
  posterior.sd = belief.precision > 0 ? fmin (1 / sqrt (belief.precision), MOST_SD) : MOST_SD;
  return posterior;
}

CommyPosterior
commy_calibration_get (const CommyCalibration *calibration,
                       const CommyProfile *profile,
                       guint size_class,
                       gint64 now_ns)
{
  return commy_calibration_weigh (calibration, profile, size_class, now_ns, 1);
}
