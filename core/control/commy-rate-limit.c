/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bucket is kept by when it will be full again, one word that a taker moves on by the time of a
 * token (the generic cell rate algorithm, ITU-T I.371), so that zeroed memory is a full one. A
 * double, because a token may take longer than whole nanoseconds can count, or a fraction of one.
 */
#include "config.h"

#include "control/commy-rate-limit.h"

#include <math.h>
#include <string.h>

/* Of a token: by so much less it is there all the same, because what is added up is rounded. */
#define NEARLY 1e-6

G_STATIC_ASSERT (sizeof (double) == sizeof (guint64));

static double
to_time (guint64 bits)
{
  double time_ns;

  memcpy (&time_ns, &bits, sizeof time_ns);
  return time_ns;
}

static guint64
to_bits (double time_ns)
{
  guint64 bits;

  memcpy (&bits, &time_ns, sizeof bits);
  return bits;
}

static double
get_full (const CommyRateLimit *limit)
{
  return to_time (__atomic_load_n (&limit->full, __ATOMIC_RELAXED));
}

static void
set_full (CommyRateLimit *limit, double full_ns)
{
  __atomic_store_n (&limit->full, to_bits (full_ns), __ATOMIC_RELAXED);
}

gboolean
commy_rate_limit_take (CommyRateLimit *limit,
                       const CommyRateLimitPolicy *policy,
                       gint64 now_ns,
                       gint64 *out_wait_ns)
{
  const double token_ns = 1e9 / policy->rate, now = (double) now_ns;
  guint64 seen = __atomic_load_n (&limit->full, __ATOMIC_RELAXED);
  double full;

  if (policy->rate <= 0)
    return TRUE;
  do
    {
      double wait;

      full = MAX (to_time (seen), now) + token_ns;
      wait = full - now - policy->burst * token_ns;
      if (wait > token_ns * NEARLY)
        {
          if (out_wait_ns != NULL)
            *out_wait_ns = (gint64) MIN (ceil (wait), (double) (G_MAXINT64 / 2));
          return FALSE;
        }
    }
  while (!__atomic_compare_exchange_n (&limit->full, &seen, to_bits (full), TRUE, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED));
  return TRUE;
}

void
commy_rate_limit_give_back (CommyRateLimit *limit, const CommyRateLimitPolicy *policy)
{
  const double token_ns = 1e9 / policy->rate;
  guint64 seen = __atomic_load_n (&limit->full, __ATOMIC_RELAXED);

  if (policy->rate <= 0)
    return;
  while (!__atomic_compare_exchange_n (&limit->full, &seen, to_bits (to_time (seen) - token_ns),
                                       TRUE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    ;
}

CommyRateLimitPolicy
commy_rate_limit_divide (const CommyRateLimitPolicy *policy, guint n)
{
  const guint parts = MAX (n, 1);

  return (CommyRateLimitPolicy){ .rate = policy->rate / parts,
                                 .burst = MAX (policy->burst / parts, 1) };
}

void
commy_rate_limit_resize (CommyRateLimit *limit,
                         const CommyRateLimitPolicy *from,
                         const CommyRateLimitPolicy *to,
                         gint64 now_ns)
{
  const double now = (double) now_ns;
  double missing = MAX (get_full (limit) - now, 0) * from->rate / 1e9;

  if (to->burst > from->burst)
    missing += to->burst - from->burst;
  /* More than all that is in it cannot be missing; who comes and goes often only loses his rest. */
  missing = MIN (missing, to->burst);
  set_full (limit, now + missing * 1e9 / to->rate);
}

void
commy_rate_limit_drain (CommyRateLimit *limit, const CommyRateLimitPolicy *policy, gint64 now_ns)
{
  set_full (limit, (double) now_ns + policy->burst * 1e9 / policy->rate);
}
