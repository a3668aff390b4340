/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of a scenario's groups and keys, and what they come to.
 */
#include "config.h"

#include "simulate/commy-sim-scenario.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "config/commy-config-locality.h"
#include "config/commy-config-resilience.h"
#include "config/commy-config-schema.h"

#include <string.h>

#define MAX_PLACES 10000u
#define MAX_CALLS 1e7
#define MAX_INTERVALS 100000

#define FAULTS "slow;fail;stop;crash;partition"
#define SHAPES "constant;exponential;lognormal"

static const CommyKeySchema simulation_keys[] = {
  { "duration", WHOLE (DURATION, MS, 24 * HOUR), "60s", "how much time passes" },
  { "interval", WHOLE (DURATION, MS, HOUR), "1s", "step of the time line" },
  { "seed", WHOLE (INT, 0, G_MAXINT64), "1", "the same seed gives the same run" },
};

static const CommyKeySchema arrivals_keys[] = {
  { "process", CHOICE ("poisson;constant"), "poisson", "how calls follow each other" },
  { "rate", REAL (DOUBLE, 0.001, 1e6), "100", "calls a second, of all clients together" },
  { "steps", LIST (STRING), "", "other rates from a time on, as TIME:RATE" },
};

static const CommyKeySchema clients_keys[] = {
  { "count", WHOLE (INT, 1, 1000), "1", "clients, each with its own view" },
  { "balancer", PLAIN (ID), "", "how an instance is picked; empty: as meshes do" },
  { "timeout", WHOLE (DURATION, MS, HOUR), "1s", "time for a call" },
  { "idempotent", PLAIN (BOOL), "true", "whether calls may be sent twice" },
  { "zone", PLAIN (TAG), "", "where they are; empty: nobody says" },
  { "region", PLAIN (TAG), "", "likewise" },
  COMMY_RESILIENCE_KEYS,
  COMMY_LOCALITY_KEYS,
};

static const CommyKeySchema instance_keys[] = {
  { "count", WHOLE (INT, 1, MAX_PLACES), "1", "how many such; then called NAME-1, NAME-2, ..." },
  { "distribution", CHOICE (SHAPES), "exponential", "of the service time" },
  { "service-time", WHOLE (DURATION, US, HOUR), "10ms", "mean time that a call takes a worker" },
  { "sigma", REAL (DOUBLE, 0, 5), "0.5", "spread of the logarithm, for lognormal" },
  { "workers", WHOLE (INT, 1, 10000), "1", "calls that are served at a time" },
  { "queue", WHOLE (INT, 0, 1 << 20), "1000", "calls that wait; more are refused" },
  { "weight", WHOLE (INT, 1, 1000000), "1", "for balancers that heed it" },
  { "latency", WHOLE (DURATION, 0, HOUR), "100us", "of the network, one way" },
  { "zone", PLAIN (TAG), "", "where it is; that of the clients is near" },
  { "region", PLAIN (TAG), "", "likewise" },
};

static const CommyKeySchema fault_keys[] = {
  { "kind", CHOICE (FAULTS), NULL, "what goes wrong" },
  { "instances", LIST (GLOB), "*", "where, as patterns of names" },
  { "at", WHOLE (DURATION, 0, 24 * HOUR), "0", "when it begins" },
  { "until", WHOLE (DURATION, 0, 24 * HOUR), "0", "when it ends; 0: not at all" },
  { "factor", REAL (DOUBLE, 0.001, 1e6), "10", "of the service time, for slow" },
  { "share", REAL (SHARE, 0, 1), "100%", "of the calls, for fail" },
};

static const CommyGroupSchema groups[] = {
  GROUP ("simulation", NULL, simulation_keys), GROUP ("arrivals", NULL, arrivals_keys),
  GROUP ("clients", NULL, clients_keys),       GROUP ("instance", "NAME", instance_keys),
  GROUP ("fault", "NAME", fault_keys),
};

const char *
commy_sim_fault_to_string (CommySimFaultKind kind)
{
  static const char *const names[] = { "slow", "fail", "stop", "crash", "partition" };

  return names[kind];
}

static void
place_free (gpointer data)
{
  CommySimPlace *place = data;

  g_free (place->name);
  g_free (place);
}

static void
fault_free (gpointer data)
{
  CommySimFault *fault = data;

  g_free (fault->name);
  g_array_unref (fault->instances);
  g_free (fault);
}

void
commy_sim_scenario_free (CommySimScenario *scenario)
{
  if (scenario == NULL)
    return;
  g_free (scenario->balancer);
  g_array_unref (scenario->steps);
  g_ptr_array_unref (scenario->places);
  g_ptr_array_unref (scenario->faults);
  g_free (scenario);
}

/* The position of a checked text among the words of @choices. */
static guint
find_choice (const char *choices, const char *text)
{
  g_auto (GStrv) all = g_strsplit (choices, ";", -1);
  guint at = 0;

  while (all[at] != NULL && strcmp (all[at], text) != 0)
    at++;
  return at;
}

/* --- arrivals --- */

static gboolean
parse_step (const char *text, CommySimStep *out)
{
  const CommyValueSpec rate = REAL (DOUBLE, 0, 1e6);
  const char *colon = strchr (text, ':');
  g_autofree char *time = NULL;
  g_autofree char *why = NULL;

  if (colon == NULL)
    return FALSE;
  time = g_strndup (text, (gsize) (colon - text));
  if (!commy_parse_duration (time, &out->at_ns) || out->at_ns < 0
      || !commy_value_check (&rate, colon + 1, &why))
    return FALSE;
  out->rate = commy_value_get_real (&rate, colon + 1);
  return TRUE;
}

static gboolean
read_arrivals (CommySimScenario *self, CommyConfig *config, GError **error)
{
  g_auto (GStrv) texts = commy_config_get_list (config, "arrivals", "steps");
  CommySimStep step = { 0, commy_config_get_double (config, "arrivals", "rate") };
  gint64 last = 0;

  self->poisson = strcmp (commy_config_get (config, "arrivals", "process"), "poisson") == 0;
  g_array_append_val (self->steps, step);
  for (char **text = texts; *text != NULL; text++)
    {
      if (**text == '\0')
        continue;
      if (!parse_step (*text, &step) || step.at_ns < last)
        {
          commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                           "%s: \"%.80s\" is no step; write TIME:RATE, such as 10s:2000, in the "
                           "order of time",
                           commy_config_get_origin (config, "arrivals", "steps"), *text);
          return FALSE;
        }
      last = step.at_ns;
      g_array_append_val (self->steps, step);
    }
  return TRUE;
}

/* What cannot be held in memory, or would run for an hour, is more likely a mistake. */
static gboolean
check_amount (const CommySimScenario *self, const char *path, GError **error)
{
  double calls = 0;

  for (guint i = 0; i < self->steps->len; i++)
    {
      const CommySimStep *step = &g_array_index (self->steps, CommySimStep, i);
      const gint64 end = i + 1 < self->steps->len
                             ? g_array_index (self->steps, CommySimStep, i + 1).at_ns
                             : self->duration_ns;

      calls += step->rate * (double) MAX (MIN (end, self->duration_ns) - step->at_ns, 0) / 1e9;
    }
  if (calls > MAX_CALLS)
    commy_set_error (
        error, COMMY_ERROR_CONFIG_VALUE,
        "%s: this makes %.0f calls; at most %.0f are simulated: take a lower rate or a "
        "shorter duration",
        path, calls, MAX_CALLS);
  else if (self->duration_ns / self->interval_ns > MAX_INTERVALS)
    commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                     "%s: the time line has more than %d intervals: take a longer interval", path,
                     MAX_INTERVALS);
  else
    return TRUE;
  return FALSE;
}

/* --- instances --- */

/* How near it is to the clients. */
static CommyLevel
level_of (CommyConfig *config, const char *group)
{
  const CommyPlace here = { .zone = commy_config_get (config, "clients", "zone"),
                            .region = commy_config_get (config, "clients", "region") };
  const CommyPlace there = { .zone = commy_config_get (config, group, "zone"),
                             .region = commy_config_get (config, group, "region") };

  return commy_place_get_level (&here, &there);
}

static void
add_place (CommySimScenario *self, CommyConfig *config, const char *group, char *name)
{
  CommySimPlace *place = g_new (CommySimPlace, 1);

  *place = (CommySimPlace){
    .name = name,
    .times = { .shape = (CommySimShape) find_choice (
                   SHAPES, commy_config_get (config, group, "distribution")),
               .mean_ns = (double) commy_config_get_duration (config, group, "service-time"),
               .sigma = commy_config_get_double (config, group, "sigma") },
    .workers = (guint) commy_config_get_int (config, group, "workers"),
    .queue = (guint) commy_config_get_int (config, group, "queue"),
    .weight = (guint) commy_config_get_int (config, group, "weight"),
    .latency_ns = commy_config_get_duration (config, group, "latency"),
    .level = self->locality.enabled ? level_of (config, group) : COMMY_LEVEL_PROCESS,
  };
  g_ptr_array_add (self->places, place);
  self->has_levels
      |= place->level != ((const CommySimPlace *) g_ptr_array_index (self->places, 0))->level;
}

static gboolean
read_places (CommySimScenario *self, CommyConfig *config, const char *path, GError **error)
{
  g_autoptr (GPtrArray) names = commy_config_list_groups (config, "instance ");

  for (guint i = 0; i < names->len; i++)
    {
      const char *group = g_ptr_array_index (names, i);
      const char *name = group + strlen ("instance ");
      const guint n = (guint) commy_config_get_int (config, group, "count");

      if (self->places->len + n > MAX_PLACES)
        {
          commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: more than %u instances",
                           commy_config_get_origin (config, group, NULL), MAX_PLACES);
          return FALSE;
        }
      for (guint k = 1; k <= n; k++)
        add_place (self, config, group,
                   n > 1 ? g_strdup_printf ("%s-%u", name, k) : g_strdup (name));
    }
  if (self->places->len > 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: there is nobody to call; write a group [instance NAME]", path);
  return FALSE;
}

/* --- faults --- */

static void
find_instances (const CommySimScenario *self, CommySimFault *fault, char **patterns)
{
  for (guint i = 0; i < self->places->len; i++)
    {
      const CommySimPlace *place = g_ptr_array_index (self->places, i);

      for (char **pattern = patterns; *pattern != NULL; pattern++)
        if (g_pattern_match_simple (*pattern, place->name))
          {
            g_array_append_val (fault->instances, i);
            break;
          }
    }
}

static gboolean
check_fault (const CommySimFault *fault, CommyConfig *config, const char *group, GError **error)
{
  if (fault->instances->len == 0)
    commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: no instance is called \"%s\"",
                     commy_config_get_origin (config, group, "instances"),
                     commy_config_get (config, group, "instances"));
  else if (fault->until_ns <= fault->at_ns)
    commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                     "%s: the fault \"%s\" ends before it begins, or begins when all is over",
                     commy_config_get_origin (config, group, NULL), fault->name);
  else
    return TRUE;
  return FALSE;
}

static gboolean
read_fault (CommySimScenario *self, CommyConfig *config, const char *group, GError **error)
{
  const char *kind = commy_config_get (config, group, "kind");
  g_auto (GStrv) patterns = commy_config_get_list (config, group, "instances");
  const gint64 until = commy_config_get_duration (config, group, "until");
  CommySimFault *fault;

  if (kind == NULL)
    {
      commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                       "%s: [%s] needs kind=, one of slow, fail, stop, crash and partition",
                       commy_config_get_origin (config, group, NULL), group);
      return FALSE;
    }
  fault = g_new (CommySimFault, 1);
  *fault = (CommySimFault){
    .name = g_strdup (group + strlen ("fault ")),
    .kind = (CommySimFaultKind) find_choice (FAULTS, kind),
    .at_ns = commy_config_get_duration (config, group, "at"),
    .until_ns = until == 0 ? self->duration_ns : MIN (until, self->duration_ns),
    .factor = commy_config_get_double (config, group, "factor"),
    .share = commy_config_get_double (config, group, "share"),
    .instances = g_array_new (FALSE, FALSE, sizeof (guint)),
  };
  g_ptr_array_add (self->faults, fault);
  find_instances (self, fault, patterns);
  return check_fault (fault, config, group, error);
}

static gboolean
read_faults (CommySimScenario *self, CommyConfig *config, GError **error)
{
  g_autoptr (GPtrArray) names = commy_config_list_groups (config, "fault ");

  for (guint i = 0; i < names->len; i++)
    if (!read_fault (self, config, g_ptr_array_index (names, i), error))
      return FALSE;
  return TRUE;
}

/* --- the whole --- */

static gboolean
read_all (CommySimScenario *self, CommyConfig *config, const char *path, GError **error)
{
  self->duration_ns = commy_config_get_duration (config, "simulation", "duration");
  self->interval_ns = commy_config_get_duration (config, "simulation", "interval");
  self->seed = (guint64) commy_config_get_int (config, "simulation", "seed");
  self->n_clients = (guint) commy_config_get_int (config, "clients", "count");
  self->balancer = g_strdup (commy_config_get (config, "clients", "balancer"));
  self->timeout_ns = commy_config_get_duration (config, "clients", "timeout");
  self->idempotent = commy_config_get_bool (config, "clients", "idempotent");
  commy_locality_policy_read (&self->locality, config, "clients");
  return commy_resilience_read (&self->policy, config, "clients", error)
         && read_arrivals (self, config, error) && check_amount (self, path, error)
         && read_places (self, config, path, error) && read_faults (self, config, error);
}

CommySimScenario *
commy_sim_scenario_load (const char *path, const char *const *settings, GError **error)
{
  g_autoptr (CommyConfig) config
      = commy_config_load_as (groups, G_N_ELEMENTS (groups), path, settings, error);
  g_autoptr (CommySimScenario) self = NULL;

  if (config == NULL)
    return NULL;
  self = g_new0 (CommySimScenario, 1);
  self->steps = g_array_new (FALSE, FALSE, sizeof (CommySimStep));
  self->places = g_ptr_array_new_with_free_func (place_free);
  self->faults = g_ptr_array_new_with_free_func (fault_free);
  return read_all (self, config, path, error) ? g_steal_pointer (&self) : NULL;
}

GVariant *
commy_sim_scenario_list_keys (void)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ssss)"));
  for (gsize i = 0; i < G_N_ELEMENTS (groups); i++)
    for (gsize k = 0; k < groups[i].n_keys; k++)
      {
        const CommyKeySchema *key = &groups[i].keys[k];
        const char *instance = groups[i].instance;
        g_autofree char *name = g_strconcat (groups[i].name, instance != NULL ? " " : "",
                                             instance != NULL ? instance : "", NULL);

        g_variant_builder_add (&builder, "(ssss)", name, key->name,
                               key->default_value != NULL ? key->default_value : "", key->help);
      }
  return g_variant_builder_end (&builder);
}
