/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client does when calls fail, as settings say: one immutable struct of all policies.
 */
#pragma once

#include "config/commy-config.h"
#include "control/commy-breaker.h"
#include "control/commy-deadline.h"
#include "control/commy-ejection.h"
#include "control/commy-hedge.h"
#include "control/commy-rate-limit.h"
#include "control/commy-retry.h"
#include "control/commy-throttle.h"

typedef struct
{
  CommyRetryPolicy retry;
  CommyHedgePolicy hedge;
  CommyDeadlinePolicy deadline;
  CommyBreakerPolicy breaker;
  CommyEjectionPolicy ejection;
  CommyRateLimitPolicy rate;
  CommyThrottlePolicy throttle;
  guint bulkhead; /* calls at a time; 0: no limit */
} CommyResilience;

/* Reads the keys COMMY_RESILIENCE_KEYS of a group; those that are not set have their default.
 * FALSE: two of them contradict each other; the error says where they stand. */
gboolean commy_resilience_read (CommyResilience *out,
                                CommyConfig *config,
                                const char *group,
                                GError **error);
/* Whether it can be read for every service that @config names. */
gboolean commy_resilience_check (CommyConfig *config, GError **error);
