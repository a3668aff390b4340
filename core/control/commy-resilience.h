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
  guint bulkhead;    /* calls at a time; 0: no limit */
  gint64 timeout_ns; /* of a method whose group has one; else -1 */
} CommyResilience;

/* What a service takes of all callers together, and of each; a method takes of all only. */
typedef struct
{
  CommyRateLimitPolicy rate;
  CommyRateLimitPolicy of_principal;
  CommyRateLimitPolicy of_address;
  gboolean is_shared; /* it is that of all instances together */
} CommyServePolicy;

/* Reads the keys COMMY_RESILIENCE_KEYS of a group; those that are not set have their default.
 * FALSE: two of them contradict each other; the error says where they stand. */
gboolean commy_resilience_read (CommyResilience *out,
                                CommyConfig *config,
                                const char *group,
                                GError **error);
/* The same of [method SERVICE.METHOD]; what that does not say is as [service SERVICE] has it. */
gboolean commy_resilience_read_method (CommyResilience *out,
                                       CommyConfig *config,
                                       const char *service,
                                       const char *method,
                                       GError **error);
/* Of that only what the side that serves needs. */
CommyDeadlinePolicy
commy_resilience_read_deadline (CommyConfig *config, const char *service, const char *method);
/* What a service takes, or one of its methods (@method: nullable) beside that. FALSE: whatever
 * comes. */
gboolean commy_resilience_read_serve (CommyServePolicy *out,
                                      CommyConfig *config,
                                      const char *service,
                                      const char *method);
/* (transfer full): the group that sets one of @keys (up to NULL) for a method (NULL: the others):
 * its own, or else its service's. */
char *commy_resilience_dup_group (CommyConfig *config,
                                  const char *service,
                                  const char *method,
                                  const char *const *keys);
/* (transfer full): the methods of @service that have a group, as char *. */
GPtrArray *commy_resilience_list_methods (CommyConfig *config, const char *service);
/* (transfer none): the line that says what @key is for a method (NULL: for the others). */
const char *commy_resilience_where (CommyConfig *config,
                                    const char *service,
                                    const char *method,
                                    const char *key,
                                    const char **out_value);
/* Whether it can be read for every service and method that @config names. */
gboolean commy_resilience_check (CommyConfig *config, GError **error);
