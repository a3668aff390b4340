/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The "param.*" keys of plugins against the plugins' own specs. What a plugin says is checked
 * too: a spec may be older or newer than ours, or wrong.
 */
#include "config.h"

#include "config/commy-config-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define PREFIX "param."

/* Specs of a plugin built against another minor have another size. */
static const CommyParamSpec *
spec_at (const CommyParamSpec *specs, gsize i)
{
  return (const CommyParamSpec *) (gconstpointer) ((const char *) specs + i * specs->struct_size);
}

static gboolean
to_value_spec (const CommyParamSpec *spec, CommyValueSpec *out)
{
  static const CommyValueType types[] = {
    [COMMY_PARAM_BOOL] = COMMY_VALUE_BOOL,     [COMMY_PARAM_INT] = COMMY_VALUE_INT,
    [COMMY_PARAM_SIZE] = COMMY_VALUE_SIZE,     [COMMY_PARAM_DURATION] = COMMY_VALUE_DURATION,
    [COMMY_PARAM_STRING] = COMMY_VALUE_STRING, [COMMY_PARAM_CHOICE] = COMMY_VALUE_CHOICE,
  };

  if (spec->type < COMMY_PARAM_BOOL || spec->type > COMMY_PARAM_CHOICE)
    return FALSE;
  *out = (CommyValueSpec){
    .type = types[spec->type],
    .choices = spec->choices != NULL ? spec->choices : "",
    .minimum = spec->minimum,
    .maximum = spec->maximum,
  };
  return TRUE;
}

static gboolean
check_spec (const char *plugin, const CommyParamSpec *spec, GError **error)
{
  CommyValueSpec value;
  g_autofree char *why = NULL;

  if (spec->name == NULL || *spec->name == '\0' || spec->default_value == NULL
      || !to_value_spec (spec, &value))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM,
                       "%s declares a parameter without name, default or known type", plugin);
      return FALSE;
    }
  if (!commy_value_check (&value, spec->default_value, &why))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM,
                       "%s declares a default for parameter \"%s\" that is none: %s", plugin,
                       spec->name, why);
      return FALSE;
    }
  return TRUE;
}

static gboolean
fail_unknown (const char *plugin,
              const CommyConfigEntry *entry,
              const CommyParamSpec *specs,
              gsize n_specs,
              GError **error)
{
  g_autofree const char **names = g_new0 (const char *, n_specs + 1);
  g_autofree char *suggestion = NULL;
  const char *name = entry->key + strlen (PREFIX);

  for (gsize i = 0; i < n_specs; i++)
    names[i] = spec_at (specs, i)->name;
  suggestion = n_specs > 0 ? commy_value_suggest (name, names) : g_strdup ("; it has none");
  commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM, "%s: unknown parameter \"%s\" of %s%s",
                   entry->origin, name, plugin, suggestion);
  return FALSE;
}

static gboolean
check_entry (const char *plugin,
             const CommyConfigEntry *entry,
             const CommyParamSpec *specs,
             gsize n_specs,
             GError **error)
{
  for (gsize i = 0; i < n_specs; i++)
    {
      const CommyParamSpec *spec = spec_at (specs, i);
      CommyValueSpec value;
      g_autofree char *why = NULL;

      if (!g_str_equal (spec->name, entry->key + strlen (PREFIX)))
        continue;
      if (to_value_spec (spec, &value) && commy_value_check (&value, entry->text, &why))
        return TRUE;
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM, "%s: parameter \"%s\" of %s: %s",
                       entry->origin, spec->name, plugin, why);
      return FALSE;
    }
  return fail_unknown (plugin, entry, specs, n_specs, error);
}

gboolean
commy_config_check_params (CommyConfig *config,
                           const char *plugin,
                           const CommyParamSpec *specs,
                           gsize n_specs,
                           GError **error)
{
  g_autofree char *name = g_strconcat ("plugin ", plugin, NULL);
  CommyConfigGroup *group = commy_config_find_group (config, name);

  if (n_specs > 0 && specs->struct_size < sizeof (CommyParamSpec))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM,
                       "%s describes its parameters in structs that are too short", plugin);
      return FALSE;
    }
  for (gsize i = 0; i < n_specs; i++)
    if (!check_spec (plugin, spec_at (specs, i), error))
      return FALSE;
  for (guint i = 0; group != NULL && i < group->entries->len; i++)
    {
      const CommyConfigEntry *entry = g_ptr_array_index (group->entries, i);

      if (g_str_has_prefix (entry->key, PREFIX)
          && !check_entry (plugin, entry, specs, n_specs, error))
        return FALSE;
    }
  return TRUE;
}

char *
commy_config_dup_param (CommyConfig *config, const char *plugin, const CommyParamSpec *spec)
{
  g_autofree char *group = g_strconcat ("plugin ", plugin, NULL);
  g_autofree char *key = g_strconcat (PREFIX, spec->name, NULL);
  const char *text = commy_config_get (config, group, key);
  CommyValueSpec value;

  if (text == NULL)
    text = spec->default_value;
  return to_value_spec (spec, &value) ? commy_value_dup_base (&value, text) : g_strdup (text);
}
