/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tail is summed term by term, each from the one before, until what follows cannot matter.
 */
#include "config.h"

#include "control/commy-beta-binomial.h"

#include <math.h>

#define NEGLIGIBLE 1e-12 /* of the sum */

/* lgamma() writes a global. */
static double
log_gamma (double x)
{
  int sign;

  return lgamma_r (x, &sign);
}

static double
log_beta (double a, double b)
{
  return log_gamma (a) + log_gamma (b) - log_gamma (a + b);
}

/* Where @k is above the mean, so that terms fall. */
static double
sum_tail (double n, double k, double a, double b)
{
  double term = exp (-log (n + 1) - log_beta (n - k + 1, k + 1) + log_beta (k + a, n - k + b)
                     - log_beta (a, b));
  double sum = 0;

  for (double x = k; x <= n; x++)
    {
      const double ratio = (n - x) / (x + 1) * (a + x) / (b + n - x - 1);

      sum += term;
      /* What follows falls at least by this ratio, which falls too. */
      if (ratio < 1 && term * ratio / (1 - ratio) <= NEGLIGIBLE * sum)
        break;
      term *= ratio;
    }
  return MIN (sum, 1);
}

double
commy_beta_binomial_tail (guint64 n, guint64 k, guint64 failed, guint64 passed)
{
  const double a = (double) failed + 1, b = (double) passed + 1;
  const double total = (double) n, first = (double) k;

  if (k == 0)
    return 1;
  if (k > n)
    return 0;
  if (first > total * a / (a + b))
    return sum_tail (total, first, a, b);
  /* The rest is the shorter way: that so many succeed. */
  return 1 - sum_tail (total, total - first + 1, b, a);
}
