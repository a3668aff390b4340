/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy introspect`: which methods a service has, as a table, as D-Bus introspection XML, or as
 * JSON. The node that offers it is asked.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "introspect",
  .usage = "SERVICE",
  .summary = N_ ("The methods of a service with their arguments and results, told by the process\n"
                 "that offers it. An untyped service knows the names of its methods only."),
  .description = N_ ("Where instances of a service differ, --of says which is meant.\n\n"
                     "Example: what can be called, and as XML for code generators\n"
                     "  commy introspect org.example.Echo\n"
                     "  commy introspect org.example.Typed -o xml > typed.xml\n"
                     "  commy introspect org.example.Echo --of 3f2a -o json"),
  .has_format = TRUE,
  .more_format = "xml",
};

/* --- printing --- */

static void
print_table (GVariant *interface)
{
  const char *name = commy_record_get_string (interface, "interface");
  g_autofree char *clean = commy_output_clean (name, FALSE);
  g_auto (GStrv) methods = commy_interface_dup_methods (interface);
  g_autoptr (CommyTable) table = commy_table_new ("METHOD", "ARGUMENTS", "RESULT", "STATE", NULL);

  if (name[0] != '\0')
    commy_output_print (_ ("interface %s\n"), clean);
  else
    commy_output_print (_ ("untyped: any arguments are let through to the handler\n"));
  for (guint i = 0; methods[i] != NULL; i++)
    {
      g_autoptr (GVariant) method = commy_interface_find_method (interface, methods[i]);
      gboolean typed = commy_interface_is_typed (method);
      gboolean handled = commy_record_get_boolean (method, "handled");

      commy_table_add_toned (table, methods[i], COMMY_TONE_STRONG);
      commy_table_take (table, typed ? commy_interface_dup_arguments (method, "in")
                                     : g_strdup (_ ("unknown")));
      commy_table_take (table, typed ? commy_interface_dup_arguments (method, "out")
                                     : g_strdup (_ ("unknown")));
      commy_table_add_toned (table, handled ? _ ("ready") : _ ("no handler"),
                             handled ? COMMY_TONE_GOOD : COMMY_TONE_BAD);
    }
  commy_table_print (table);
}

static void
print_xml (GVariant *interface)
{
  g_autofree char *xml = commy_interface_dup_xml (interface);
  g_autofree char *clean = commy_output_clean (xml, TRUE);

  commy_output_print ("%s", clean);
}

static CommyExit
print (CommyCli *cli, const char *service, GPtrArray *interfaces)
{
  guint other = commy_interface_find_different (interfaces);

  if (cli->json)
    {
      commy_cli_json (cli,
                      g_variant_new_array (G_VARIANT_TYPE_VARDICT,
                                           (GVariant *const *) interfaces->pdata, interfaces->len));
      return COMMY_EXIT_DONE;
    }
  if (other > 0)
    {
      g_autofree char *first
          = commy_lookup_dup_short (commy_record_get_string (interfaces->pdata[0], "instance"));
      g_autofree char *second
          = commy_lookup_dup_short (commy_record_get_string (interfaces->pdata[other], "instance"));

      return commy_cli_misuse (&verb,
                               "instances of %s differ: say which with --of, such as --of %s or "
                               "--of %s",
                               service, first, second);
    }
  if (cli->format != NULL && strcmp (cli->format, "xml") == 0)
    print_xml (interfaces->pdata[0]);
  else
    print_table (interfaces->pdata[0]);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_introspect (CommyCli *cli, char **argv)
{
  g_autofree char *of = NULL;
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &of,
      N_ ("Only this instance: the beginning of its id or of its node's"), "INSTANCE" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GPtrArray) interfaces = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strv_length (arguments) != 2)
    return commy_cli_misuse (&verb, "needs the name of one service");
  mesh = commy_cli_join (cli, &error);
  if (mesh != NULL)
    interfaces = commy_interface_ask_all (mesh, arguments[1], of, &error);
  if (interfaces == NULL)
    return commy_cli_fail (error);
  return print (cli, arguments[1], interfaces);
}
