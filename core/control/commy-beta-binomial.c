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

double
commy_beta_binomial_tail (guint64 n, guint64 k, guint64 failed, guint64 passed)
{
  const double a = (double) failed + 1, b = (double) passed + 1;
  const double total = (double) n, first = (double) k;
  double term, sum = 0;

  if (k == 0)
    return 1;
  if (k > n)
    return 0;
  term = exp (-log (total + 1) - log_beta (total - first + 1, first + 1)
              + log_beta (first + a, total - first + b) - log_beta (a, b));
  for (double x = first; x <= total; x++)
    {
      const double ratio = (total - x) / (x + 1) * (a + x) / (b + total - x - 1);

      sum += term;
      /* They fall from here on, each at least by this ratio, as it falls too. */
      if (ratio < 1 && term * ratio / (1 - ratio) < NEGLIGIBLE * sum)
        break;
      term *= ratio;
    }
  return MIN (sum, 1);
}
