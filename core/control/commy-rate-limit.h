/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rate limit as a bucket of tokens: so many a second, and so many at once after a rest. Pure.
 * Threads may take from one bucket at the same time without a lock.
 */
#pragma once

#include <glib.h>

typedef struct
{
  double rate; /* a second; 0: no limit */
  guint burst; /* at least 1 */
} CommyRateLimitPolicy;

typedef struct
{
  guint64 full; /* atomic: when it will be full again, the bits of a double, in nanoseconds */
} CommyRateLimit;

/* Any thread. Takes a token; FALSE: there is none before @out_wait_ns (nullable) from now. */
gboolean commy_rate_limit_take (CommyRateLimit *limit,
                                const CommyRateLimitPolicy *policy,
                                gint64 now_ns,
                                gint64 *out_wait_ns);

/* Any thread: a token that was taken was not needed. */
void commy_rate_limit_give_back (CommyRateLimit *limit, const CommyRateLimitPolicy *policy);

/* What each of @n has who divide @policy among them; at least one call at a time. */
CommyRateLimitPolicy commy_rate_limit_divide (const CommyRateLimitPolicy *policy, guint n);
/* Any thread: from @now_ns on it has the policy @to. What was taken stays so: a
 * smaller bucket misses as much as before, and what a larger one has more is yet to come. */
void commy_rate_limit_resize (CommyRateLimit *limit,
                              const CommyRateLimitPolicy *from,
                              const CommyRateLimitPolicy *to,
                              gint64 now_ns);
/* The same: all that it may have held was taken. */
void
commy_rate_limit_drain (CommyRateLimit *limit, const CommyRateLimitPolicy *policy, gint64 now_ns);
/* Any thread: if it is full nobody takes of it any more. */
gboolean commy_rate_limit_end (CommyRateLimit *limit, gint64 now_ns);
gboolean commy_rate_limit_has_ended (const CommyRateLimit *limit);
