/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probability that the chosen candidate is the cheapest of those allowed: the integral of
 * its density times the chance that every rival is above, over a grid as fine as the surest rival
 * needs. No chance involved: the same beliefs give the same number.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define LEAST_STEPS 18 /* steps of half an sd: more do not change the sum */
#define MOST_STEPS 128
#define GRID_SDS 4.5 /* to either side */
#define FAR_SDS 5.0  /* beyond, nothing is uncertain: 3 in 10 million */

/* P(a rival costs more than @log_cost). */
static double
above (const CommyBelief *rival, double log_cost)
{
  double d = rival->log_mean - log_cost;

  if (d > FAR_SDS * rival->sd)
    return 1;
  if (rival->sd > 0)
    return 0.5 * erfc (-d / (rival->sd * G_SQRT2));
  /* Known exactly: more, less, or a draw. */
  return d > 0 ? 1 : d < 0 ? 0 : 0.5;
}

static double
all_above (const CommyBelief *rivals, guint n, double log_cost)
{
  double product = 1;

  for (guint i = 0; i < n && product > 1e-9; i++)
    product *= above (&rivals[i], log_cost);
  return product;
}

/* Keeps who can matter in @out_near. FALSE: a rival is cheaper for certain. */
static bool
find_near (const CommyBelief *chosen,
           const CommyBelief *rivals,
           guint n,
           CommyBelief *out_near,
           guint *out_n)
{
  *out_n = 0;
  for (guint i = 0; i < n; i++)
    {
      double d = rivals[i].log_mean - chosen->log_mean;
      double variance = chosen->sd * chosen->sd + rivals[i].sd * rivals[i].sd;

      if (d * d <= FAR_SDS * FAR_SDS * variance)
        out_near[(*out_n)++] = rivals[i];
      else if (d < 0)
        return false;
    }
  return true;
}

/* The integrand is smooth over a distance of about the least sd: half of it is a good step. */
static guint
steps_for (const CommyBelief *chosen, const CommyBelief *rivals, guint n)
{
  double least = chosen->sd;

  for (guint i = 0; i < n; i++)
    least = fmin (least, rivals[i].sd);
  if (least * MOST_STEPS <= chosen->sd * LEAST_STEPS)
    return MOST_STEPS;
  return 2 * (guint) ceil (LEAST_STEPS / 2 * chosen->sd / least);
}

static double
integrate (const CommyBelief *chosen, const CommyBelief *rivals, guint n)
{
  guint steps = steps_for (chosen, rivals, n);
  double step = 2 * GRID_SDS / steps, sum = 0, weights = 0;
  /* exp (-z * z / 2) from one point to the next, without the exp. */
  double weight = exp (-GRID_SDS * GRID_SDS / 2);
  double growth = exp (step * GRID_SDS - step * step / 2), slowing = exp (-step * step);

  for (guint i = 0; i <= steps; i++)
    {
      weights += weight;
      sum += weight * all_above (rivals, n, chosen->log_mean + chosen->sd * (step * i - GRID_SDS));
      weight *= growth;
      growth *= slowing;
    }
  return CLAMP (sum / weights, 0, 1);
}

double
commy_confidence_least (const CommyBelief *chosen, const CommyBelief *rivals, guint n)
{
  CommyBelief near[COMMY_ROUTE_MAX_CANDIDATES], difference;
  guint n_near;

  n = MIN (n, COMMY_ROUTE_MAX_CANDIDATES);
  if (!find_near (chosen, rivals, n, near, &n_near))
    return 0;
  if (n_near == 0)
    return 1;
  if (chosen->sd <= 0)
    return all_above (near, n_near, chosen->log_mean);
  if (n_near > 1)
    return integrate (chosen, near, n_near);
  /* Of two, the difference is normal too. */
  difference = (CommyBelief){ .log_mean = near[0].log_mean, .sd = hypot (chosen->sd, near[0].sd) };
  return above (&difference, chosen->log_mean);
}
