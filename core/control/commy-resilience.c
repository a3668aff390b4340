/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From settings to policies. The defaults stand in commy-config-resilience.h and come from: budget
 * and reserve, Finagle's RetryBudget; at most 5 attempts, gRPC A6; breakers, Linkerd; calls under
 * way to one instance, failures in a row, interval and times of ejection, Envoy and gRPC A50.
 */
#include "config.h"

#include "control/commy-resilience.h"

#include "base/commy-error-private.h"

static guint
get_uint (CommyConfig *config, const char *group, const char *key)
{
  return (guint) commy_config_get_int (config, group, key);
}

/* The keys are checked one by one; @least must not be above @most. */
static gboolean
check_pair (
    CommyConfig *config, const char *group, const char *least, const char *most, GError **error)
{
  if (commy_config_get_duration (config, group, least)
      <= commy_config_get_duration (config, group, most))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: %s=%s in [%s] is more than %s=%s (%s); raise the latter",
                   commy_config_get_origin (config, group, least), least,
                   commy_config_get (config, group, least), group, most,
                   commy_config_get (config, group, most),
                   commy_config_get_origin (config, group, most));
  return FALSE;
}

static void
read_sending (CommyResilience *out, CommyConfig *config, const char *group)
{
  out->retry = (CommyRetryPolicy){
    .attempts = get_uint (config, group, "retry-attempts"),
    .backoff_ns = commy_config_get_duration (config, group, "retry-backoff"),
    .backoff_max_ns = commy_config_get_duration (config, group, "retry-backoff-max"),
    .attempt_timeout_ns = commy_config_get_duration (config, group, "attempt-timeout"),
    .budget_share = commy_config_get_double (config, group, "retry-budget"),
    .budget_reserve = get_uint (config, group, "retry-reserve"),
  };
  out->hedge = (CommyHedgePolicy){
    .attempts = get_uint (config, group, "hedge-attempts"),
    .after_ns = commy_config_get_duration (config, group, "hedge-after"),
  };
  out->deadline = (CommyDeadlinePolicy){
    .shed = commy_config_get_bool (config, group, "shed"),
    .quantile = commy_config_get_double (config, group, "shed-quantile"),
  };
}

static void
read_leaving_out (CommyResilience *out, CommyConfig *config, const char *group)
{
  out->breaker = (CommyBreakerPolicy){
    .enabled = commy_config_get_bool (config, group, "breaker"),
    .failures = get_uint (config, group, "breaker-failures"),
    .success = commy_config_get_double (config, group, "breaker-success"),
    .window_ns = commy_config_get_duration (config, group, "breaker-window"),
    .volume = get_uint (config, group, "breaker-volume"),
    .penalty_ns = commy_config_get_duration (config, group, "breaker-penalty"),
    .penalty_max_ns = commy_config_get_duration (config, group, "breaker-penalty-max"),
    .max_in_flight = get_uint (config, group, "max-in-flight"),
  };
  out->ejection = (CommyEjectionPolicy){
    .enabled = commy_config_get_bool (config, group, "ejection"),
    .failures = get_uint (config, group, "ejection-failures"),
    .interval_ns = commy_config_get_duration (config, group, "ejection-interval"),
    .difference = commy_config_get_double (config, group, "ejection-difference"),
    .time_ns = commy_config_get_duration (config, group, "ejection-time"),
    .time_max_ns = commy_config_get_duration (config, group, "ejection-time-max"),
    .share = commy_config_get_double (config, group, "ejection-share"),
  };
}

gboolean
commy_resilience_read (CommyResilience *out, CommyConfig *config, const char *group, GError **error)
{
  if (!check_pair (config, group, "retry-backoff", "retry-backoff-max", error)
      || !check_pair (config, group, "breaker-penalty", "breaker-penalty-max", error)
      || !check_pair (config, group, "ejection-time", "ejection-time-max", error))
    return FALSE;
  read_sending (out, config, group);
  read_leaving_out (out, config, group);
  out->rate = (CommyRateLimitPolicy){
    .rate = commy_config_get_double (config, group, "rate-limit"),
    .burst = get_uint (config, group, "rate-burst"),
  };
  out->throttle = (CommyThrottlePolicy){
    .enabled = commy_config_get_bool (config, group, "throttle"),
    .success = commy_config_get_double (config, group, "throttle-success"),
  };
  out->bulkhead = get_uint (config, group, "bulkhead");
  return TRUE;
}

gboolean
commy_resilience_check (CommyConfig *config, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "service ");
  CommyResilience unused;

  for (guint i = 0; i < groups->len; i++)
    if (!commy_resilience_read (&unused, config, groups->pdata[i], error))
      return FALSE;
  return TRUE;
}
