/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The probability that the chosen candidate is the cheapest of those allowed: the integral of
 * its density times the chance that every rival is above, over a fixed grid. No chance involved:
 * the same beliefs give the same number.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define GRID 129     /* points */
#define GRID_SDS 4.5 /* to either side */
#define FAR_SDS 6.0

/* P(a rival costs more than @log_cost). */
static double
above (const CommyBelief *rival, double log_cost)
{
  double d = rival->log_mean - log_cost;

  if (rival->sd > 0)
    return 0.5 * erfc (-d / (rival->sd * G_SQRT2));
  /* Known exactly: more, less, or a draw. */
  return d > 0 ? 1 : d < 0 ? 0 : 0.5;
}

static double
all_above (const CommyBelief *rivals, guint n, double log_cost)
{
  double product = 1;

  for (guint i = 0; i < n && product > 1e-12; i++)
    product *= above (&rivals[i], log_cost);
  return product;
}

/* Whether any rival can matter at all. */
static bool
out_of_reach (const CommyBelief *chosen, const CommyBelief *rivals, guint n)
{
  for (guint i = 0; i < n; i++)
    if (rivals[i].log_mean - FAR_SDS * rivals[i].sd < chosen->log_mean + FAR_SDS * chosen->sd)
      return false;
  return true;
}

double
commy_confidence_least (const CommyBelief *chosen, const CommyBelief *rivals, guint n)
{
  double sum = 0, weights = 0;

  if (n == 0)
    return 1;
  if (chosen->sd <= 0)
    return all_above (rivals, n, chosen->log_mean);
  if (out_of_reach (chosen, rivals, n))
    return 1;
  for (guint i = 0; i < GRID; i++)
    {
      double z = GRID_SDS * (2.0 * i / (GRID - 1) - 1);
      double weight = exp (-z * z / 2);

      weights += weight;
      sum += weight * all_above (rivals, n, chosen->log_mean + chosen->sd * z);
    }
  return CLAMP (sum / weights, 0, 1);
}
