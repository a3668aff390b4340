/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commy-simulate: runs a scenario and prints what came of it, or the error, as one dictionary in
 * GVariant's text. `commy simulate` starts it and shows the result. Balancers are those that a
 * mesh with the same settings would load.
 */
#include "config.h"

#include "simulate/commy-sim-world.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <locale.h>
#include <stdio.h>

/* (transfer full): "; there are: a, b" */
static char *
list_balancers (CommyCatalog *catalog)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();
  const char *kind = commy_plugin_kind_to_string (COMMY_PLUGIN_BALANCER);

  for (guint i = 0; i < commy_catalog_get_n_plugins (catalog); i++)
    {
      const CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);

      if (plugin->state == COMMY_PLUGIN_STATE_FOUND && g_str_has_prefix (plugin->name, kind))
        g_ptr_array_add (ids, (gpointer) plugin->note.id);
    }
  g_ptr_array_add (ids, NULL);
  return g_strjoinv (", ", (char **) ids->pdata);
}

static CommyPlugin *
find_balancer (CommyCatalog *catalog,
               CommyConfig *config,
               CommySimScenario *scenario,
               GError **error)
{
  g_autofree char *known = NULL;
  CommyPlugin *plugin;

  if (scenario->balancer[0] == '\0')
    {
      g_free (scenario->balancer);
      scenario->balancer = g_strdup (commy_config_get (config, "mesh", "balancer"));
    }
  plugin = commy_catalog_find (catalog, COMMY_PLUGIN_BALANCER, scenario->balancer);
  if (plugin != NULL)
    return plugin;
  known = list_balancers (catalog);
  commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                   "there is no usable balancer \"%s\"; there are: %s", scenario->balancer, known);
  return NULL;
}

static GVariant *
simulate (CommySimScenario *scenario, GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (CommyConfig) config = NULL;
  g_autoptr (CommyCatalog) catalog = NULL;
  const CommyHostSetup setup = { .context = context,
                                 .mesh = "simulation",
                                 .node = "simulation",
                                 .runtime_dir = "",
                                 .state_dir = "",
                                 .credentials_dir = "",
                                 .host_id = "",
                                 .env = commy_env_system () };
  CommyConfigSources sources;
  CommySimBalancer balancer;
  CommyPlugin *plugin;
  GVariant *result;

  commy_config_sources_default (&sources);
  config = commy_config_load (&sources, error);
  if (config == NULL)
    return NULL;
  catalog = commy_catalog_new (config, NULL, error);
  plugin = catalog != NULL ? find_balancer (catalog, config, scenario, error) : NULL;
  if (plugin == NULL || !commy_plugin_load (plugin, config, error)
      || !commy_plugin_start (plugin, config, &setup, error))
    return NULL;
  balancer = (CommySimBalancer){ &plugin->ops.balancer, plugin->instance };
  result = commy_sim_run (scenario, &balancer);
  commy_plugin_quiesce (plugin);
  commy_plugin_stop (plugin);
  return g_variant_ref_sink (result);
}

static GVariant *
list_keys (void)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, "keys", commy_sim_scenario_list_keys ());
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

static GVariant *
error_to_variant (const GError *error)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "error-code", "i", error->code);
  g_variant_dict_insert (&dict, "error", "s", error->message);
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

int
main (int argc, char **argv)
{
  g_autoptr (CommySimScenario) scenario = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  setlocale (LC_CTYPE, "");
  setlocale (LC_MESSAGES, "");
  if (argc < 2)
    {
      fputs ("usage: commy-simulate SCENARIO [GROUP.KEY=VALUE...] | --keys; see commy simulate "
             "--help\n",
             stderr);
      return 2;
    }
  if (g_str_equal (argv[1], "--keys"))
    result = list_keys ();
  else
    scenario = commy_sim_scenario_load (argv[1], (const char *const *) argv + 2, &error);
  if (scenario != NULL)
    result = simulate (scenario, &error);
  if (result == NULL)
    result = error_to_variant (error);
  text = g_variant_print (result, TRUE);
  return puts (text) < 0 || fflush (stdout) != 0 ? 1 : 0;
}
