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
/* Never full again, whatever is given back. */
#define ENDED ((double) INFINITY)

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

/* FALSE: somebody else was sooner, and @seen is what it is now. */
static gboolean
move (CommyRateLimit *limit, guint64 *seen, double full_ns)
{
  return __atomic_compare_exchange_n (&limit->full, seen, to_bits (full_ns), TRUE, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
}

static guint64
get_full (const CommyRateLimit *limit)
{
  return __atomic_load_n (&limit->full, __ATOMIC_RELAXED);
}

gboolean
commy_rate_limit_take (CommyRateLimit *limit,
                       const CommyRateLimitPolicy *policy,
                       gint64 now_ns,
                       gint64 *out_wait_ns)
{
  const double token_ns = 1e9 / policy->rate, now = (double) now_ns;
  guint64 seen = get_full (limit);
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
  while (!move (limit, &seen, full));
  return TRUE;
}

void
commy_rate_limit_give_back (CommyRateLimit *limit, const CommyRateLimitPolicy *policy)
{
  const double token_ns = 1e9 / policy->rate;
  guint64 seen = get_full (limit);

  if (policy->rate <= 0)
    return;
  while (!move (limit, &seen, to_time (seen) - token_ns))
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
  guint64 seen = get_full (limit);
  double missing;

  do
    {
      if (to_time (seen) == ENDED)
        return;
      missing = MAX (to_time (seen) - now, 0) * from->rate / 1e9;
      if (to->burst > from->burst)
        missing += to->burst - from->burst;
      /* More than all that is in it cannot be missing; who comes and goes often only loses his
       * rest. */
      missing = MIN (missing, to->burst);
    }
  while (!move (limit, &seen, now + missing * 1e9 / to->rate));
}

void
commy_rate_limit_drain (CommyRateLimit *limit, const CommyRateLimitPolicy *policy, gint64 now_ns)
{
  guint64 seen = get_full (limit);

  while (to_time (seen) != ENDED
         && !move (limit, &seen, (double) now_ns + policy->burst * 1e9 / policy->rate))
    ;
}

gboolean
commy_rate_limit_end (CommyRateLimit *limit, gint64 now_ns)
{
  guint64 seen = get_full (limit);

  while (to_time (seen) <= (double) now_ns)
    if (move (limit, &seen, ENDED))
      return TRUE;
  return FALSE;
}

gboolean
commy_rate_limit_has_ended (const CommyRateLimit *limit)
{
  return to_time (get_full (limit)) == ENDED;
}
