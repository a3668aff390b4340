/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy config show | check`: the settings in force with their origin, and whether keyfiles are
 * right.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-output.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "config",
  .usage = "show [GROUP] | check FILE...",
  .summary = N_ ("  show   every setting in force: group, key, value, and the line that set it\n"
                 "  check  whether keyfiles are right: file, line and the nearest known name"),
  .description = N_ ("Example: what decides about paths, and is my file right?\n"
                     "  commy config show selection\n"
                     "  commy config show plugin transport/shm\n"
                     "  commy config check ~/.config/commy/commy.conf"),
  .has_format = TRUE,
};

/* --- show --- */

static GVariant *
filter_settings (GVariant *settings, const char *group)
{
  GVariantBuilder builder;
  GVariantIter iter;
  const char *its_group, *key, *value, *origin;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &its_group, &key, &value, &origin))
    {
      if (group != NULL && strcmp (group, its_group) != 0)
        continue;
      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "group", g_variant_new_string (its_group));
      g_variant_builder_add (&builder, "{sv}", "key", g_variant_new_string (key));
      g_variant_builder_add (&builder, "{sv}", "value", g_variant_new_string (value));
      g_variant_builder_add (&builder, "{sv}", "origin", g_variant_new_string (origin));
      g_variant_builder_close (&builder);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
print_settings (GVariant *rows)
{
  g_autoptr (CommyTable) table = commy_table_new ("GROUP", "KEY", "VALUE", "ORIGIN", NULL);
  gsize n = g_variant_n_children (rows);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rows, i);
      const char *group = NULL, *key = NULL, *value = NULL, *origin = NULL;
      gboolean is_default;

      g_variant_lookup (row, "group", "&s", &group);
      g_variant_lookup (row, "key", "&s", &key);
      g_variant_lookup (row, "value", "&s", &value);
      g_variant_lookup (row, "origin", "&s", &origin);
      is_default = g_strcmp0 (origin, "default") == 0;
      commy_table_add (table, group);
      commy_table_add (table, key);
      commy_table_add (table, value);
      commy_table_add_toned (table, origin, is_default ? COMMY_TONE_FAINT : COMMY_TONE_PLAIN);
    }
  commy_table_print (table);
}

static CommyExit
show (CommyCli *cli, const char *group)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (cli->mesh, &error);
  g_autoptr (GVariant) settings = NULL;
  g_autoptr (GVariant) rows = NULL;

  if (mesh == NULL)
    return commy_cli_fail (error);
  settings = commy_mesh_list_settings (mesh);
  rows = filter_settings (settings, group);
  if (group != NULL && g_variant_n_children (rows) == 0)
    {
      commy_cli_note ("nothing is set in a group [%s] (commy config show lists all)", group);
      return COMMY_EXIT_NOT_FOUND;
    }
  if (cli->json)
    commy_output_json (rows);
  else
    print_settings (rows);
  return COMMY_EXIT_DONE;
}

/* --- check --- */

static CommyExit
check (CommyCli *cli, char **files)
{
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder results;

  g_variant_builder_init (&results, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; files[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *name = g_filename_display_name (files[i]);
      gboolean ok = commy_mesh_check_keyfile (files[i], &error);

      g_variant_builder_open (&results, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&results, "{sv}", "file", g_variant_new_string (name));
      g_variant_builder_add (&results, "{sv}", "ok", g_variant_new_boolean (ok));
      if (!ok)
        g_variant_builder_add (&results, "{sv}", "error",
                               g_variant_new_take_string (g_utf8_make_valid (error->message, -1)));
      g_variant_builder_close (&results);
      if (ok && !cli->json)
        commy_output_print ("%s: ok\n", name);
      if (!ok)
        {
          commy_cli_fail (error);
          status = COMMY_EXIT_USAGE;
        }
    }
  if (cli->json)
    commy_output_json (g_variant_builder_end (&results));
  else
    g_variant_builder_clear (&results);
  return status;
}

CommyExit
commy_cmd_config (CommyCli *cli, char **argv)
{
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strcmp0 (arguments[1], "show") == 0)
    {
      g_autofree char *group = arguments[2] != NULL ? g_strjoinv (" ", arguments + 2) : NULL;

      return show (cli, group);
    }
  if (g_strcmp0 (arguments[1], "check") != 0)
    return commy_cli_misuse (&verb, "say one of show, check");
  if (arguments[2] == NULL)
    return commy_cli_misuse (&verb, "check needs the name of a keyfile");
  return check (cli, arguments + 2);
}
