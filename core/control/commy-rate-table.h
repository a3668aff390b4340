/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same rate limit for each of many callers, who are named by others. Threads take from a
 * bucket without a lock; who takes often holds on to its bucket and looks nothing up. There is room
 * for so many: whose bucket is full gives way to a newcomer, because a new one would be the same;
 * who has taken of it does not. While there is no room newcomers share one bucket. Time is an
 * argument.
 */
#pragma once

#include "control/commy-rate-limit.h"

typedef struct _CommyRateTable CommyRateTable;
typedef struct _CommyRateBucket CommyRateBucket;

typedef enum
{
  COMMY_RATE_TAKEN,
  COMMY_RATE_REFUSED,
  COMMY_RATE_GONE, /* the bucket gave way while nobody took of it: it is to be found again */
} CommyRateVerdict;

/* @max: buckets beside that of the newcomers; 0: all share that. */
CommyRateTable *commy_rate_table_new (const CommyRateLimitPolicy *whole, guint max);
void commy_rate_table_free (CommyRateTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyRateTable, commy_rate_table_free)

/* --- any thread --- */

/* (transfer full): the bucket of @key, made if need be. Takes a lock. */
CommyRateBucket *commy_rate_table_find (CommyRateTable *table, const char *key, gint64 now_ns);
/* Whether newcomers share it for whom there is no room; there may be some by now. */
gboolean commy_rate_bucket_is_shared (const CommyRateBucket *bucket);
void commy_rate_bucket_unref (CommyRateBucket *bucket);
/* No lock, unless the limit was divided since. @out_wait_ns: refused; when there will be one. */
CommyRateVerdict commy_rate_table_take (CommyRateTable *table,
                                        CommyRateBucket *bucket,
                                        gint64 now_ns,
                                        gint64 *out_wait_ns);
/* What was taken was of no use. */
void commy_rate_table_give_back (CommyRateTable *table, CommyRateBucket *bucket);

/* From @now_ns on @n share what each caller may take; 0 is nobody has counted yet, and is as 1. Who
 * finds at the first count that there are others has nothing saved for anybody. */
void commy_rate_table_divide (CommyRateTable *table, guint n, gint64 now_ns);
guint commy_rate_table_get_n (CommyRateTable *table);
