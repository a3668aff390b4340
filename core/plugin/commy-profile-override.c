/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The operator's word on a plugin's cost: `profile.*` of its group replaces what the plugin
 * claims. Such a profile is taken as given from then on.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "plugin/commy-plugin-private.h"

#define MAX_NS G_GINT64_CONSTANT (1000000000000000) /* as for a plugin's own claim */

typedef enum
{
  VALUE_DURATION,
  VALUE_RATE, /* bytes per second; the profile holds ns per byte */
} ValueType;

typedef struct
{
  const char *key;
  ValueType type;
  gboolean in_segments;
  gsize offset;
} Override;

#define IN_SEGMENTS(KEY, TYPE, FIELD)                                        \
  {                                                                          \
    "profile." KEY, TYPE, TRUE, G_STRUCT_OFFSET (CommyProfileSegment, FIELD) \
  }
#define IN_PROFILE(KEY, TYPE, FIELD)                                   \
  {                                                                    \
    "profile." KEY, TYPE, FALSE, G_STRUCT_OFFSET (CommyProfile, FIELD) \
  }

static const Override overrides[] = {
  IN_SEGMENTS ("latency", VALUE_DURATION, latency_ns),
  IN_SEGMENTS ("bandwidth", VALUE_RATE, wire_ns_per_byte),
  IN_SEGMENTS ("send-cpu", VALUE_DURATION, send_cpu_ns),
  IN_SEGMENTS ("recv-cpu", VALUE_DURATION, recv_cpu_ns),
  IN_PROFILE ("connect", VALUE_DURATION, connect_ns),
};

static gboolean
parse_value (ValueType type, const char *text, double *out_value)
{
  gint64 ns;
  double rate;

  switch (type)
    {
    case VALUE_DURATION:
      if (!commy_parse_duration (text, &ns) || ns < 0 || ns > MAX_NS)
        return FALSE;
      *out_value = (double) ns;
      return TRUE;
    case VALUE_RATE:
      if (!commy_parse_rate (text, &rate) || rate <= 0)
        return FALSE;
      *out_value = 1e9 / rate;
      return TRUE;
    default:
      return FALSE;
    }
}

static void
apply (CommyProfile *profile, const Override *override, double value)
{
  if (!override->in_segments)
    {
      G_STRUCT_MEMBER (double, profile, override->offset) = value;
      return;
    }
  for (guint i = 0; i < profile->n_segments; i++)
    G_STRUCT_MEMBER (double, &profile->segments[i], override->offset) = value;
}

gboolean
commy_plugin_override_profile (CommyPlugin *plugin, CommyConfig *config, GError **error)
{
  g_autofree char *group = commy_plugin_dup_group (plugin);

  for (guint i = 0; i < G_N_ELEMENTS (overrides); i++)
    {
      const Override *override = &overrides[i];
      const char *text = commy_config_get (config, group, override->key);
      const char *origin;
      double value;

      if (text == NULL || text[0] == '\0')
        continue;
      origin = commy_config_get_origin (config, group, override->key);
      if (plugin->profile_origin == NULL)
        plugin->profile_origin = g_strdup (origin);
      if (!parse_value (override->type, text, &value))
        {
          commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: \"%s\" is no value for %s", origin,
                           text, override->key);
          return FALSE;
        }
      apply (&plugin->profile, override, value);
    }
  if (plugin->profile_origin == NULL)
    return TRUE;
  plugin->profile.provenance = COMMY_PROVENANCE_OPERATOR;
  plugin->profile.sigma = 0;
  /* One number for all segments may bend the curve in a way that is refused to a plugin. */
  return TRUE;
}
