/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy nodes ls | info`: the processes of a mesh, and one of them in detail.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-node-view.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "nodes",
  .usage = "[ls] | info NODE",
  .summary
  = N_ ("  ls    every process that joined the mesh, and what it offers\n"
        "  info  what one of them tells about itself: NODE is the beginning of its id, or\n"
        "        a service that it offers"),
  .description = N_ ("Example: who is there, and which version does the echo server run?\n"
                     "  commy nodes\n"
                     "  commy nodes ls --watch\n"
                     "  commy nodes info org.example.Echo"),
  .has_format = TRUE,
};

/* --- ls --- */

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
} List;

/* (transfer full): names of what a node offers, without the reserved ones */
static char **
dup_offers (GPtrArray *instances, const char *node)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < instances->len; i++)
    {
      const char *service = commy_record_get_string (instances->pdata[i], "service");

      if (strcmp (commy_record_get_string (instances->pdata[i], "node"), node) == 0
          && !g_str_has_prefix (service, "org.commy."))
        g_ptr_array_add (names, g_strdup (service));
    }
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (names, FALSE);
}

static GVariant *
describe (GVariant *node, GPtrArray *instances)
{
  const char *id = commy_record_get_string (node, "node");
  g_auto (GStrv) offers = dup_offers (instances, id);
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "node", g_variant_new_string (id));
  g_variant_builder_add (&record, "{sv}", "host",
                         g_variant_new_string (commy_record_get_string (node, "host")));
  g_variant_builder_add (&record, "{sv}", "pid",
                         g_variant_new_uint64 (commy_record_get_uint (node, "pid")));
  g_variant_builder_add (&record, "{sv}", "transports",
                         g_variant_new_take_string (commy_record_dup_transports (node)));
  g_variant_builder_add (&record, "{sv}", "services",
                         g_variant_new_strv ((const char *const *) offers, -1));
  return g_variant_builder_end (&record);
}

static void
print_nodes (GVariant *nodes)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("NODE", "HOST", "PID", "TRANSPORTS", "SERVICES", NULL);
  gsize n = g_variant_n_children (nodes);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) node = g_variant_get_child_value (nodes, i);
      g_autoptr (GVariant) services
          = g_variant_lookup_value (node, "services", G_VARIANT_TYPE_STRING_ARRAY);
      g_autofree const char **names = g_variant_get_strv (services, NULL);

      commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (node, "node")));
      commy_table_add (table, commy_record_get_string (node, "host"));
      commy_table_take (
          table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (node, "pid")));
      commy_table_add (table, commy_record_get_string (node, "transports"));
      commy_table_take (table, g_strjoinv (", ", (char **) names));
    }
  commy_table_print (table);
}

static CommyExit
list (gpointer data)
{
  List *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_instances (self->mesh, NULL, TRUE, &error);
  g_autoptr (GVariant) nodes = NULL;
  GVariantBuilder builder;

  if (instances == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < instances->len; i++)
    if (strcmp (commy_record_get_string (instances->pdata[i], "service"), COMMY_NODE_SERVICE) == 0)
      g_variant_builder_add_value (&builder, describe (instances->pdata[i], instances));
  nodes = g_variant_ref_sink (g_variant_builder_end (&builder));
  if (self->cli->json)
    commy_cli_json (self->cli, nodes);
  else if (g_variant_n_children (nodes) > 0)
    print_nodes (nodes);
  else
    commy_cli_note ("no other node is in the mesh \"%s\"", commy_mesh_get_name (self->mesh));
  return COMMY_EXIT_DONE;
}

/* --- info --- */

static GVariant *
ask_everything (CommyMesh *mesh, GVariant *node, GVariant *offers, GError **error)
{
  static const struct
  {
    const char *key, *method, *type;
  } questions[] = {
    { "info", "Info", "a{sv}" },
    { "health", "Health", "s" },
    { "stats", "Stats", "a{sv}" },
  };
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < G_N_ELEMENTS (questions); i++)
    {
      g_autoptr (GVariant) answer
          = commy_lookup_ask_for (mesh, node, questions[i].method, NULL, questions[i].type, error);

      if (answer == NULL)
        {
          g_variant_builder_clear (&record);
          return NULL;
        }
      g_variant_builder_add (&record, "{sv}", questions[i].key, answer);
    }
  g_variant_builder_add (&record, "{sv}", "node", offers);
  return g_variant_ref_sink (g_variant_builder_end (&record));
}

static CommyExit
info (CommyCli *cli, CommyMesh *mesh, const char *of)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = commy_lookup_nodes (mesh, of, &error);
  g_autoptr (GPtrArray) instances
      = nodes != NULL ? commy_lookup_instances (mesh, NULL, TRUE, &error) : NULL;
  g_autoptr (GVariant) record = NULL;

  if (instances != NULL)
    record = ask_everything (mesh, nodes->pdata[0], describe (nodes->pdata[0], instances), &error);
  if (record == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_cli_json (cli, record);
  else
    commy_node_view_print_record (record);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_nodes (CommyCli *cli, char **argv)
{
  g_auto (CommyWatch) watch = { FALSE };
  const GOptionEntry entries[] = { COMMY_WATCH_OPTIONS (watch), { NULL } };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;
  List self = { .cli = cli };
  gboolean is_info;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  is_info = g_strcmp0 (arguments[1], "info") == 0;
  if (n > 1 && !is_info && strcmp (arguments[1], "ls") != 0)
    return commy_cli_misuse (&verb, "say one of ls, info");
  if (n != (is_info ? 3u : MIN (n, 2u)))
    return is_info ? commy_cli_misuse (&verb, "info needs one node")
                   : commy_cli_misuse (&verb, "ls takes no arguments");
  if (is_info && watch.on)
    return commy_cli_misuse (&verb, "--watch is for ls");
  if (!commy_watch_check (&watch, &verb))
    return COMMY_EXIT_USAGE;
  mesh = commy_cli_join (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  if (is_info)
    return info (cli, mesh, arguments[2]);
  self.mesh = mesh;
  return commy_watch_run (&watch, cli, list, &self);
}
