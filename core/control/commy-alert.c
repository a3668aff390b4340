/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Alerts: rules of the keyfile, and the three states.
 */
#include "config.h"

#include "control/commy-alert.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"

#include <math.h>
#include <string.h>

typedef enum
{
  UNIT_SHARE,
  UNIT_TIME,
  UNIT_NUMBER,
  UNIT_BYTES,
  UNIT_NONE, /* no limit can be said: more than nothing is bad */
} Unit;

static const struct
{
  const char *name;
  Unit unit;
} figures[] = {
  [COMMY_ALERT_ERRORS] = { "errors", UNIT_SHARE },
  [COMMY_ALERT_LATENCY_P99] = { "latency-p99", UNIT_TIME },
  [COMMY_ALERT_INSTANCES] = { "instances", UNIT_NUMBER },
  [COMMY_ALERT_UNWELL] = { "unwell", UNIT_NUMBER },
  [COMMY_ALERT_DROPS] = { "drops", UNIT_NUMBER },
  [COMMY_ALERT_MEMORY] = { "memory", UNIT_BYTES },
  [COMMY_ALERT_LOAD] = { "load", UNIT_NUMBER },
  [COMMY_ALERT_STORE_AWAY] = { "store-away", UNIT_NONE },
};

const char *
commy_alert_when_to_string (CommyAlertWhen when)
{
  return figures[when].name;
}

const char *
commy_alert_state_to_string (CommyAlertState state)
{
  static const char *const words[] = { "quiet", "pending", "firing" };

  return words[state];
}

/* --- rules --- */

static gboolean
read_number (const char *text, double *out_value)
{
  char *end;

  *out_value = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && isfinite (*out_value) && *out_value >= 0;
}

static gboolean
read_limit (Unit unit, const char *text, double *out_value)
{
  guint64 bytes;
  gint64 ns;
  gboolean ok;

  switch (unit)
    {
    case UNIT_SHARE:
      return commy_parse_share (text, out_value) && *out_value >= 0 && *out_value <= 1;
    case UNIT_TIME:
      ok = commy_parse_duration (text, &ns);
      *out_value = ok ? (double) ns : 0;
      return ok;
    case UNIT_BYTES:
      ok = commy_parse_size (text, &bytes);
      *out_value = ok ? (double) bytes : 0;
      return ok;
    case UNIT_NUMBER:
      return read_number (text, out_value);
    case UNIT_NONE:
    default:
      return FALSE;
    }
}

static const char *
unit_example (Unit unit)
{
  static const char *const examples[] = { "a share, such as 5%", "a time, such as 20ms", "a number",
                                          "a size, such as 1GiB", "no limit: it is so or not" };

  return examples[unit];
}

static gboolean
read_key (CommyConfig *config,
          const char *group,
          const char *key,
          CommyAlertRule *rule,
          gboolean *out_has,
          double *out_value,
          GError **error)
{
  const char *text = commy_config_get (config, group, key);
  Unit unit = figures[rule->when].unit;

  *out_has = text != NULL && text[0] != '\0';
  if (!*out_has || read_limit (unit, text, out_value))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: \"%s\" of [%s] is \"%s\", but when=%s takes %s",
                   commy_config_get_origin (config, group, key), key, group, text,
                   figures[rule->when].name, unit_example (unit));
  return FALSE;
}

/* What a rule needs beyond what its keys can say alone. */
static gboolean
check (CommyConfig *config, const char *group, CommyAlertRule *rule, GError **error)
{
  const char *needs = NULL;
  Unit unit = figures[rule->when].unit;

  if (rule->when == COMMY_ALERT_INSTANCES && rule->service[0] == '\0')
    needs = "service=";
  else if (rule->when != COMMY_ALERT_UNWELL && unit != UNIT_NONE && !rule->has_above
           && !rule->has_below)
    needs = "above= or below=";
  if (needs == NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: when=%s of [%s] needs %s",
                   commy_config_get_origin (config, group, "when"), figures[rule->when].name, group,
                   needs);
  return FALSE;
}

static gboolean
read_command (CommyConfig *config, const char *group, CommyAlertRule *rule, GError **error)
{
  const char *text = commy_config_get (config, group, "command");

  if (text == NULL || text[0] == '\0' || g_shell_parse_argv (text, NULL, &rule->command, NULL))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: \"command\" of [%s] is no command: %s",
                   commy_config_get_origin (config, group, "command"), group, text);
  return FALSE;
}

static gboolean
read_when (CommyConfig *config, const char *group, CommyAlertRule *rule, GError **error)
{
  const char *text = commy_config_get (config, group, "when");

  for (guint i = 0; text != NULL && i < G_N_ELEMENTS (figures); i++)
    if (strcmp (text, figures[i].name) == 0)
      {
        rule->when = i;
        return TRUE;
      }
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: [%s] needs when=", commy_config_get_origin (config, group, NULL), group);
  return FALSE;
}

CommyAlertRule *
commy_alert_rule_new (CommyConfig *config, const char *group, GError **error)
{
  g_autoptr (CommyAlertRule) self = g_new0 (CommyAlertRule, 1);
  const char *service = commy_config_get (config, group, "service");

  self->name = g_strdup (group + strlen ("alert "));
  self->service = g_strdup (service != NULL ? service : "");
  self->over_ns = commy_config_get_duration (config, group, "over");
  self->for_ns = commy_config_get_duration (config, group, "for");
  self->cool_down_ns = commy_config_get_duration (config, group, "cool-down");
  self->severity = g_intern_string (commy_config_get (config, group, "severity"));
  if (!read_when (config, group, self, error)
      || !read_key (config, group, "above", self, &self->has_above, &self->above, error)
      || !read_key (config, group, "below", self, &self->has_below, &self->below, error)
      || !check (config, group, self, error) || !read_command (config, group, self, error))
    return NULL;
  /* Any unwell instance, and a store that is away, are bad without a limit. */
  if (!self->has_above && !self->has_below)
    self->has_above = TRUE;
  return g_steal_pointer (&self);
}

void
commy_alert_rule_free (CommyAlertRule *self)
{
  if (self == NULL)
    return;
  g_free (self->name);
  g_free (self->service);
  g_strfreev (self->command);
  g_free (self);
}

/* --- states --- */

static void
set_state (CommyAlert *self, CommyAlertState state, gint64 now_ns)
{
  self->state = state;
  self->since_ns = now_ns;
}

CommyAlertStep
commy_alert_step (CommyAlert *self, const CommyAlertRule *rule, const double *value, gint64 now_ns)
{
  gboolean bad
      = value != NULL
        && ((rule->has_above && *value > rule->above) || (rule->has_below && *value < rule->below));
  CommyAlertState was = self->state;

  self->known = value != NULL;
  self->value = value != NULL ? *value : 0;
  if (!bad)
    {
      if (was != COMMY_ALERT_QUIET)
        set_state (self, COMMY_ALERT_QUIET, now_ns);
      return was == COMMY_ALERT_FIRING ? COMMY_ALERT_OVER : COMMY_ALERT_SAME;
    }
  if (was == COMMY_ALERT_QUIET)
    set_state (self, COMMY_ALERT_PENDING, now_ns);
  if (self->state != COMMY_ALERT_PENDING || now_ns - self->since_ns < rule->for_ns
      || (self->fired && now_ns - self->fired_ns < rule->cool_down_ns))
    return COMMY_ALERT_SAME;
  set_state (self, COMMY_ALERT_FIRING, now_ns);
  self->fired = TRUE;
  self->fired_ns = now_ns;
  return COMMY_ALERT_FIRED;
}

static char *
dup_figure (Unit unit, double value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  switch (unit)
    {
    case UNIT_SHARE:
      g_ascii_formatd (number, sizeof number, "%.3g", 100 * value);
      return g_strconcat (number, "%", NULL);
    case UNIT_TIME:
      return commy_format_duration (value);
    case UNIT_BYTES:
      return commy_format_size ((guint64) value);
    case UNIT_NUMBER:
    case UNIT_NONE:
    default:
      return g_strdup (g_ascii_formatd (number, sizeof number, "%.15g", value));
    }
}

char *
commy_alert_describe (const CommyAlert *self, const CommyAlertRule *rule)
{
  Unit unit = figures[rule->when].unit;
  g_autofree char *value = self->known ? dup_figure (unit, self->value) : g_strdup ("not known");
  g_autofree char *above = dup_figure (unit, rule->above);
  g_autofree char *below = dup_figure (unit, rule->below);
  GString *text = g_string_new (figures[rule->when].name);

  if (rule->service[0] != '\0')
    g_string_append_printf (text, " of %s", rule->service);
  g_string_append_printf (text, ": %s", value);
  if (unit != UNIT_NONE && rule->has_above)
    g_string_append_printf (text, " (limit: above %s)", above);
  if (unit != UNIT_NONE && rule->has_below)
    g_string_append_printf (text, " (limit: below %s)", below);
  return g_string_free (text, FALSE);
}
