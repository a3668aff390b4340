/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy services ls | info`: who offers what in the mesh, as the store says.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "services",
  .usage = "ls [PATTERN] | info SERVICE",
  .summary = N_ ("  ls    the instances of all services, or of those whose name fits PATTERN\n"
                 "  info  everything about the instances of one service"),
  .description = N_ ("Example: who offers something of example.org, and where?\n"
                     "  commy services ls 'org.example.*'\n"
                     "  commy services info org.example.Echo"),
  .has_format = TRUE,
};

static GVariant *
to_array (GPtrArray *instances)
{
  return g_variant_new_array (G_VARIANT_TYPE_VARDICT, (GVariant *const *) instances->pdata,
                              instances->len);
}

static void
print_list (GPtrArray *instances)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("SERVICE", "INSTANCE", "NODE", "HOST", "PID", "TRANSPORTS", NULL);

  for (guint i = 0; i < instances->len; i++)
    {
      GVariant *instance = instances->pdata[i];

      commy_table_add_toned (table, commy_record_get_string (instance, "service"),
                             COMMY_TONE_STRONG);
      commy_table_take (table,
                        commy_lookup_dup_short (commy_record_get_string (instance, "instance")));
      commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (instance, "node")));
      commy_table_add (table, commy_record_get_string (instance, "host"));
      /* Of an endpoint that no store lists the process is not known. */
      commy_table_take (table, commy_record_get_uint (instance, "pid") == 0
                                   ? g_strdup ("-")
                                   : g_strdup_printf ("%" G_GUINT64_FORMAT,
                                                      commy_record_get_uint (instance, "pid")));
      commy_table_take (table, commy_record_dup_transports (instance));
    }
  commy_table_print (table);
}

static CommyExit
list (CommyCli *cli, CommyMesh *mesh, const char *pattern, gboolean all)
{
  g_autoptr (GError) error = NULL;
  /* Who asks for reserved names by name wants them. */
  gboolean reserved = pattern != NULL && g_str_has_prefix (pattern, "org.commy.");
  g_autoptr (GPtrArray) instances = commy_lookup_instances (mesh, pattern, all || reserved, &error);

  if (instances == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_output_json (to_array (instances));
  else if (instances->len > 0)
    print_list (instances);
  else
    commy_cli_note ("nobody offers %s in the mesh \"%s\"",
                    pattern != NULL ? pattern : _ ("anything"), commy_mesh_get_name (mesh));
  return COMMY_EXIT_DONE;
}

static void
print_pairs (GVariant *instance, const char *key, const char *title)
{
  g_autoptr (GVariant) pairs = g_variant_lookup_value (instance, key, G_VARIANT_TYPE ("a(ss)"));
  GVariantIter iter;
  const char *transport, *text;

  if (pairs == NULL)
    return;
  g_variant_iter_init (&iter, pairs);
  while (g_variant_iter_next (&iter, "(&s&s)", &transport, &text))
    {
      g_autofree char *clean = commy_output_clean (text, FALSE);

      commy_output_print ("  %-12s %s: %s\n", title, transport, clean);
      title = "";
    }
}

static void
print_instance (GVariant *instance)
{
  g_autoptr (GVariant) serializers
      = g_variant_lookup_value (instance, "serializers", G_VARIANT_TYPE_STRING_ARRAY);
  const char *interface = commy_record_get_string (instance, "interface");
  const char *origin = commy_record_get_string (instance, "origin");
  g_autofree char *host = commy_output_clean (commy_record_get_string (instance, "host"), FALSE);

  commy_output_print ("%s\n", commy_record_get_string (instance, "service"));
  commy_output_print ("  %-12s %s\n", "instance", commy_record_get_string (instance, "instance"));
  if (origin[0] != '\0')
    {
      g_autofree char *clean = commy_output_clean (origin, FALSE);

      /* Nothing but its address is known, unless somebody was there. */
      commy_output_print ("  %-12s %s\n", "host", host);
      commy_output_print ("  %-12s %s, priority %" G_GUINT64_FORMAT "\n", "listed by", clean,
                          commy_record_get_uint (instance, "priority"));
      print_pairs (instance, "endpoints", "endpoints");
      return;
    }
  commy_output_print ("  %-12s %s\n", "node", commy_record_get_string (instance, "node"));
  commy_output_print ("  %-12s %s, pid %" G_GUINT64_FORMAT "\n", "host", host,
                      commy_record_get_uint (instance, "pid"));
  commy_output_print ("  %-12s %s\n", "interface",
                      interface[0] != '\0' ? interface : _ ("untyped"));
  if (serializers != NULL)
    {
      g_autofree const char **names = g_variant_get_strv (serializers, NULL);
      g_autofree char *joined = g_strjoinv (", ", (char **) names);

      commy_output_print ("  %-12s %s\n", "serializers", joined);
    }
  print_pairs (instance, "endpoints", "endpoints");
  print_pairs (instance, "withheld", "withheld");
}

static CommyExit
info (CommyCli *cli, CommyMesh *mesh, const char *service)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_instances (mesh, service, TRUE, &error);

  if (instances == NULL)
    return commy_cli_fail (error);
  if (instances->len == 0)
    {
      commy_cli_set_error (&error, COMMY_ERROR_NO_SERVICE,
                           "nobody offers %s in the mesh \"%s\" (commy services ls shows who is "
                           "there)",
                           service, commy_mesh_get_name (mesh));
      return commy_cli_fail (error);
    }
  if (cli->json)
    commy_output_json (to_array (instances));
  for (guint i = 0; i < instances->len && !cli->json; i++)
    print_instance (instances->pdata[i]);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_services (CommyCli *cli, char **argv)
{
  gboolean all = FALSE;
  const GOptionEntry entries[] = {
    { "all", 'a', 0, G_OPTION_ARG_NONE, &all, N_ ("ls: those of org.commy.* too"), NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;
  gboolean is_info;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  is_info = g_strcmp0 (arguments[1], "info") == 0;
  if (!is_info && g_strcmp0 (arguments[1], "ls") != 0)
    return commy_cli_misuse (&verb, "say one of ls, info");
  if (is_info && n != 3)
    return commy_cli_misuse (&verb, "info needs the name of one service");
  if (n > 3)
    return commy_cli_misuse (&verb, "ls takes one pattern; put it in quotes");
  mesh = commy_cli_join (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  return is_info ? info (cli, mesh, arguments[2]) : list (cli, mesh, arguments[2], all);
}
