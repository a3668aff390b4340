/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From settings to policies. The defaults stand in commy-config-resilience.h and come from: budget
 * (but for its share, decision 21) and reserve, Finagle's RetryBudget; at most 5 attempts, gRPC A6;
 * breakers, Linkerd; calls under way to one instance, failures in a row, interval and times of
 * ejection, Envoy and gRPC A50.
 */
#include "config.h"

#include "control/commy-resilience.h"

#include "base/commy-error-private.h"

#include <string.h>

#define SERVICE "service "
#define METHOD "method "

/* Where values come from: of a method, and where that says nothing, of its service. */
typedef struct
{
  CommyConfig *config;
  const char *method; /* group, or NULL */
  const char *service;
} Settings;

static const char *
group_of (const Settings *settings, const char *key)
{
  return settings->method != NULL
                 && commy_config_get (settings->config, settings->method, key) != NULL
             ? settings->method
             : settings->service;
}

/* (transfer full): a method's group; one whose name has a dot has none, because that would be one
 * of a service with a longer name. */
static char *
dup_method_group (const char *service, const char *method)
{
  return method != NULL && strchr (method, '.') == NULL
             ? g_strdup_printf (METHOD "%s.%s", service, method)
             : NULL;
}

static gint64
get_whole (const Settings *settings, const char *key)
{
  return commy_config_get_int (settings->config, group_of (settings, key), key);
}

static guint
get_uint (const Settings *settings, const char *key)
{
  return (guint) get_whole (settings, key);
}

static double
get_double (const Settings *settings, const char *key)
{
  return commy_config_get_double (settings->config, group_of (settings, key), key);
}

static gboolean
get_bool (const Settings *settings, const char *key)
{
  return commy_config_get_bool (settings->config, group_of (settings, key), key);
}

/* The keys are checked one by one; @least must not be above @most. */
static gboolean
check_pair (const Settings *settings, const char *least, const char *most, GError **error)
{
  CommyConfig *config = settings->config;
  const char *of_least = group_of (settings, least), *of_most = group_of (settings, most);

  if (get_whole (settings, least) <= get_whole (settings, most))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: %s=%s in [%s] is more than %s=%s (%s); raise the latter",
                   commy_config_get_origin (config, of_least, least), least,
                   commy_config_get (config, of_least, least), of_least, most,
                   commy_config_get (config, of_most, most),
                   commy_config_get_origin (config, of_most, most));
  return FALSE;
}

static CommyDeadlinePolicy
read_deadline (const Settings *settings)
{
  return (CommyDeadlinePolicy){
    .shed = get_bool (settings, "shed"),
    .quantile = get_double (settings, "shed-quantile"),
  };
}

static void
read_sending (CommyResilience *out, const Settings *settings)
{
  out->retry = (CommyRetryPolicy){
    .attempts = get_uint (settings, "retry-attempts"),
    .backoff_ns = get_whole (settings, "retry-backoff"),
    .backoff_max_ns = get_whole (settings, "retry-backoff-max"),
    .attempt_timeout_ns = get_whole (settings, "attempt-timeout"),
    .budget_share = get_double (settings, "retry-budget"),
    .budget_reserve = get_uint (settings, "retry-reserve"),
  };
  out->hedge = (CommyHedgePolicy){
    .attempts = get_uint (settings, "hedge-attempts"),
    .after_ns = get_whole (settings, "hedge-after"),
  };
  out->deadline = read_deadline (settings);
}

static void
read_leaving_out (CommyResilience *out, const Settings *settings)
{
  out->breaker = (CommyBreakerPolicy){
    .enabled = get_bool (settings, "breaker"),
    .failures = get_uint (settings, "breaker-failures"),
    .success = get_double (settings, "breaker-success"),
    .window_ns = get_whole (settings, "breaker-window"),
    .volume = get_uint (settings, "breaker-volume"),
    .penalty_ns = get_whole (settings, "breaker-penalty"),
    .penalty_max_ns = get_whole (settings, "breaker-penalty-max"),
    .max_in_flight = get_uint (settings, "max-in-flight"),
  };
  out->ejection = (CommyEjectionPolicy){
    .enabled = get_bool (settings, "ejection"),
    .failures = get_uint (settings, "ejection-failures"),
    .interval_ns = get_whole (settings, "ejection-interval"),
    .difference = get_double (settings, "ejection-difference"),
    .time_ns = get_whole (settings, "ejection-time"),
    .time_max_ns = get_whole (settings, "ejection-time-max"),
    .share = get_double (settings, "ejection-share"),
  };
}

static gboolean
read_all (CommyResilience *out, const Settings *settings, GError **error)
{
  if (!check_pair (settings, "retry-backoff", "retry-backoff-max", error)
      || !check_pair (settings, "breaker-penalty", "breaker-penalty-max", error)
      || !check_pair (settings, "ejection-time", "ejection-time-max", error))
    return FALSE;
  read_sending (out, settings);
  read_leaving_out (out, settings);
  out->rate = (CommyRateLimitPolicy){
    .rate = get_double (settings, "rate-limit"),
    .burst = get_uint (settings, "rate-burst"),
  };
  out->throttle = (CommyThrottlePolicy){
    .enabled = get_bool (settings, "throttle"),
    .success = get_double (settings, "throttle-success"),
  };
  out->bulkhead = get_uint (settings, "bulkhead");
  out->timeout_ns = -1;
  if (settings->method != NULL
      && commy_config_get (settings->config, settings->method, "timeout") != NULL)
    out->timeout_ns = commy_config_get_duration (settings->config, settings->method, "timeout");
  return TRUE;
}

gboolean
commy_resilience_read (CommyResilience *out, CommyConfig *config, const char *group, GError **error)
{
  const Settings settings = { config, NULL, group };

  return read_all (out, &settings, error);
}

gboolean
commy_resilience_read_method (CommyResilience *out,
                              CommyConfig *config,
                              const char *service,
                              const char *method,
                              GError **error)
{
  g_autofree char *of_method = dup_method_group (service, method);
  g_autofree char *of_service = g_strconcat (SERVICE, service, NULL);
  const Settings settings = { config, of_method, of_service };

  return read_all (out, &settings, error);
}

CommyDeadlinePolicy
commy_resilience_read_deadline (CommyConfig *config, const char *service, const char *method)
{
  g_autofree char *of_method = dup_method_group (service, method);
  g_autofree char *of_service = g_strconcat (SERVICE, service, NULL);
  const Settings settings = { config, of_method, of_service };

  return read_deadline (&settings);
}

gboolean
commy_resilience_read_serve (CommyServePolicy *out,
                             CommyConfig *config,
                             const char *service,
                             const char *method)
{
  g_autofree char *of_method = dup_method_group (service, method);
  g_autofree char *of_service = g_strconcat (SERVICE, service, NULL);
  const Settings settings = { config, of_method, of_service };
  const char *own = method != NULL ? of_method : of_service;

  /* A name that no keyfile can have is refused when it is offered. */
  if (own == NULL || commy_config_get (config, own, "serve-rate-limit") == NULL)
    return FALSE;
  *out = (CommyServePolicy){
    .rate = { .rate = get_double (&settings, "serve-rate-limit"),
              .burst = get_uint (&settings, "serve-rate-burst") },
    .is_shared = g_strcmp0 (commy_config_get (config, group_of (&settings, "serve-rate-scope"),
                                              "serve-rate-scope"),
                            "service")
                 == 0,
  };
  if (method == NULL)
    {
      out->of_principal = (CommyRateLimitPolicy){
        .rate = get_double (&settings, "serve-rate-limit-per-principal"),
        .burst = get_uint (&settings, "serve-rate-burst-per-principal")
      };
      out->of_address
          = (CommyRateLimitPolicy){ .rate = get_double (&settings, "serve-rate-limit-per-address"),
                                    .burst = get_uint (&settings, "serve-rate-burst-per-address") };
    }
  return out->rate.rate > 0 || out->of_principal.rate > 0 || out->of_address.rate > 0;
}

char *
commy_resilience_dup_group (CommyConfig *config,
                            const char *service,
                            const char *method,
                            const char *const *keys)
{
  g_autofree char *of_method = dup_method_group (service, method);

  for (guint i = 0; of_method != NULL && keys[i] != NULL; i++)
    if (commy_config_get (config, of_method, keys[i]) != NULL)
      return g_steal_pointer (&of_method);
  return g_strconcat (SERVICE, service, NULL);
}

GPtrArray *
commy_resilience_list_methods (CommyConfig *config, const char *service)
{
  g_autofree char *beginning = g_strdup_printf (METHOD "%s.", service);
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, beginning);
  GPtrArray *methods = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < groups->len; i++)
    {
      const char *method = (const char *) groups->pdata[i] + strlen (beginning);

      /* Else it is of a service with a longer name. */
      if (method[0] != '\0' && strchr (method, '.') == NULL)
        g_ptr_array_add (methods, g_strdup (method));
    }
  return methods;
}

const char *
commy_resilience_where (CommyConfig *config,
                        const char *service,
                        const char *method,
                        const char *key,
                        const char **out_value)
{
  g_autofree char *of_method = dup_method_group (service, method);
  g_autofree char *of_service = g_strconcat (SERVICE, service, NULL);
  const Settings settings = { config, of_method, of_service };
  const char *group = group_of (&settings, key);

  *out_value = commy_config_get (config, group, key);
  return commy_config_get_origin (config, group, key);
}

static gboolean
check_method (CommyConfig *config, const char *group, GError **error)
{
  g_autofree char *service = g_strdup (group + strlen (METHOD));
  char *dot = strrchr (service, '.');
  CommyResilience unused;

  if (dot == NULL || dot == service || dot[1] == '\0')
    {
      commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                       "%s: [%s] names no method; write [method SERVICE.METHOD]",
                       commy_config_get_origin (config, group, NULL), group);
      return FALSE;
    }
  *dot = '\0';
  return commy_resilience_read_method (&unused, config, service, dot + 1, error);
}

gboolean
commy_resilience_check (CommyConfig *config, GError **error)
{
  g_autoptr (GPtrArray) services = commy_config_list_groups (config, SERVICE);
  g_autoptr (GPtrArray) methods = commy_config_list_groups (config, METHOD);
  CommyResilience unused;

  for (guint i = 0; i < services->len; i++)
    if (!commy_resilience_read (&unused, config, services->pdata[i], error))
      return FALSE;
  for (guint i = 0; i < methods->len; i++)
    if (!check_method (config, methods->pdata[i], error))
      return FALSE;
  return TRUE;
}
