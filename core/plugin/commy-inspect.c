/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One plugin file by itself, without a mesh, search path or keyfile: for its author, who wants
 * to know what a mesh would say of it.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <commy/commy-mesh.h>

#include <string.h>
#include <unistd.h>

/* The file is named by whoever asks, so nobody's ownership has to be proved. */
static CommyConfig *
make_config (GError **error)
{
  static const char text[] = "[plugins]\ntrust=any\n";

  return commy_config_load_text (text, strlen (text), "inspect", error);
}

static gboolean
read_note (CommyPlugin *plugin, GError **error)
{
  int fd = commy_plugin_open (plugin->path, NULL, COMMY_TRUST_ANY, &plugin->note, error);

  if (fd < 0)
    return FALSE;
  close (fd);
  if (!commy_note_check (&plugin->note, error))
    return FALSE;
  plugin->has_note = TRUE;
  plugin->profile = plugin->note.profile;
  plugin->name
      = g_strdup_printf ("%s/%s", commy_plugin_kind_to_string (plugin->note.kind), plugin->note.id);
  return TRUE;
}

static const char *
type_to_string (guint type)
{
  static const char *const names[] = { "?", "bool", "int", "size", "duration", "string", "choice" };

  return names[type < G_N_ELEMENTS (names) ? type : 0];
}

static GVariant *
list_params (const CommyPluginDescriptor *descriptor)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));

  for (gsize i = 0; i < descriptor->n_params; i++)
    {
      const CommyParamSpec *spec = &descriptor->params[i];
      g_autofree char *help = g_utf8_make_valid (spec->help, -1);
      g_autofree char *value = g_utf8_make_valid (spec->default_value, -1);
      g_autofree char *name = g_utf8_make_valid (spec->name, -1);

      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "name", g_variant_new_string (name));
      g_variant_builder_add (&builder, "{sv}", "type",
                             g_variant_new_string (type_to_string (spec->type)));
      g_variant_builder_add (&builder, "{sv}", "default", g_variant_new_string (value));
      g_variant_builder_add (&builder, "{sv}", "help", g_variant_new_string (help));
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

/* (transfer full) */
static GVariant *
describe (const CommyPlugin *plugin)
{
  g_autoptr (GVariant) record = g_variant_ref_sink (commy_plugin_list (plugin, NULL));
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (record);

  g_variant_dict_insert (&dict, "hook", "b", commy_plugin_is_hook (plugin));
  if (plugin->descriptor != NULL)
    g_variant_dict_insert_value (&dict, "parameters", list_params (plugin->descriptor));
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

GVariant *
commy_plugin_inspect (const char *path, gboolean load, GError **error)
{
  g_autofree char *absolute = NULL;
  g_autoptr (CommyConfig) config = NULL;
  CommyPlugin plugin = { .state = COMMY_PLUGIN_STATE_FOUND, .bias = 1 };
  GVariant *record = NULL;

  g_return_val_if_fail (path != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);
  config = make_config (error);
  if (config == NULL)
    return NULL;
  absolute = g_canonicalize_filename (path, NULL);
  plugin.path = absolute;
  if (read_note (&plugin, error) && (!load || commy_plugin_load (&plugin, config, error)))
    record = describe (&plugin);
  g_free (plugin.name);
  g_free (plugin.reason);
  return record;
}
