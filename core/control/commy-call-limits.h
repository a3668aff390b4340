/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limits of calls that a program's threads share: a bucket and a bulkhead for each group of the
 * keyfile that sets one. Whoever calls takes from them without a lock; only to find one, once for a
 * thread and a service, takes a lock.
 */
#pragma once

#include "control/commy-bulkhead.h"
#include "control/commy-rate-limit.h"

/* What one group says. */
typedef struct
{
  CommyRateLimit rate;
  CommyBulkhead bulkhead;
} CommyCallLimit;

typedef struct _CommyCallLimits CommyCallLimits;

CommyCallLimits *commy_call_limits_new (void);
void commy_call_limits_free (CommyCallLimits *limits);
/* Any thread; (transfer none): lives as long as @limits. There are no more of them than groups of
 * the keyfile that set one. */
CommyCallLimit *commy_call_limits_ensure (CommyCallLimits *limits, const char *group);
