/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy introspect`: which methods a service has, as a table, as D-Bus introspection XML, or as
 * JSON. The node that offers it is asked.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-nearest.h"
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

/* --- which instances --- */

static gboolean
fits (GVariant *instance, const char *of)
{
  return of == NULL || g_str_has_prefix (commy_record_get_string (instance, "instance"), of)
         || g_str_has_prefix (commy_record_get_string (instance, "node"), of);
}

/* Says which name may have been meant. */
static void
set_not_found (CommyMesh *mesh, const char *service, GError **error)
{
  g_autoptr (GPtrArray) others = commy_lookup_instances (mesh, NULL, TRUE, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *hint = NULL;

  for (guint i = 0; others != NULL && i < others->len; i++)
    g_ptr_array_add (names, (gpointer) commy_record_get_string (others->pdata[i], "service"));
  g_ptr_array_add (names, NULL);
  hint = commy_nearest_dup_hint (service, (const char *const *) names->pdata);
  commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "nobody offers %s in the mesh \"%s\"%s",
                       service, commy_mesh_get_name (mesh), hint);
}

static GPtrArray *
find_instances (CommyMesh *mesh, const char *service, const char *of, GError **error)
{
  g_autoptr (GPtrArray) all = commy_lookup_instances (mesh, service, TRUE, error);
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  if (all == NULL)
    return NULL;
  for (guint i = 0; i < all->len; i++)
    if (strcmp (commy_record_get_string (all->pdata[i], "service"), service) == 0
        && fits (all->pdata[i], of))
      g_ptr_array_add (found, g_variant_ref (all->pdata[i]));
  if (found->len > 0)
    return g_steal_pointer (&found);
  if (all->len > 0)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE,
                         "no instance of %s fits \"%s\" (commy services ls shows all)", service,
                         of);
  else
    set_not_found (mesh, service, error);
  return NULL;
}

/* (transfer full) (element-type GVariant) */
static GPtrArray *
ask (CommyMesh *mesh, GPtrArray *instances, GError **error)
{
  g_autoptr (GPtrArray) interfaces
      = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (guint i = 0; i < instances->len; i++)
    {
      GVariant *interface = commy_interface_ask (mesh, instances->pdata[i], error);

      if (interface == NULL)
        return NULL;
      g_ptr_array_add (interfaces, interface);
    }
  return g_steal_pointer (&interfaces);
}

static gboolean
are_same (GVariant *a, GVariant *b)
{
  g_autoptr (GVariant) x = g_variant_lookup_value (a, "methods", NULL);
  g_autoptr (GVariant) y = g_variant_lookup_value (b, "methods", NULL);

  return strcmp (commy_record_get_string (a, "xml"), commy_record_get_string (b, "xml")) == 0
         && (x == y || (x != NULL && y != NULL && g_variant_equal (x, y)));
}

static guint
find_different (GPtrArray *interfaces)
{
  for (guint i = 1; i < interfaces->len; i++)
    if (!are_same (interfaces->pdata[0], interfaces->pdata[i]))
      return i;
  return 0;
}

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

/* What is unknown is said to be, in a form that readers of such XML skip. */
static char *
make_xml (GVariant *interface)
{
  g_auto (GStrv) methods = commy_interface_dup_methods (interface);
  GString *xml = g_string_new ("<node>\n");
  g_autofree char *begin = g_markup_printf_escaped ("  <interface name=\"%s\">\n",
                                                    commy_record_get_string (interface, "service"));

  g_string_append (xml, begin);
  for (guint i = 0; methods[i] != NULL; i++)
    {
      g_autofree char *method = g_markup_printf_escaped (
          "    <method name=\"%s\">\n"
          "      <annotation name=\"org.commy.Untyped\" value=\"true\"/>\n"
          "    </method>\n",
          methods[i]);

      g_string_append (xml, method);
    }
  g_string_append (xml, "  </interface>\n</node>\n");
  return g_string_free (xml, FALSE);
}

static void
print_xml (GVariant *interface)
{
  const char *told = commy_record_get_string (interface, "xml");
  g_autofree char *xml = told[0] != '\0' ? g_strdup (told) : make_xml (interface);
  g_autofree char *clean = commy_output_clean (xml, TRUE);

  commy_output_print ("%s", clean);
}

static CommyExit
print (CommyCli *cli, const char *service, GPtrArray *interfaces)
{
  guint other = find_different (interfaces);

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
  g_autoptr (GPtrArray) instances = NULL;
  g_autoptr (GPtrArray) interfaces = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strv_length (arguments) != 2)
    return commy_cli_misuse (&verb, "needs the name of one service");
  mesh = commy_cli_join (cli, &error);
  if (mesh != NULL)
    instances = find_instances (mesh, arguments[1], of, &error);
  if (instances != NULL)
    interfaces = ask (mesh, instances, &error);
  if (interfaces == NULL)
    return commy_cli_fail (error);
  return print (cli, arguments[1], interfaces);
}
