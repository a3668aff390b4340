/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy alerts ls`: the alerts of every node's keyfiles and how they stand.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "alerts",
  .usage = "[ls]",
  .summary
  = N_ ("  ls  the rules ([alert NAME] in the keyfiles) of every node: whether each is quiet,\n"
        "      pending (bad, but not for long enough) or firing, and its figure"),
  .description = N_ ("Example: does anything fire, and what did the echo server's node measure?\n"
                     "  commy alerts\n"
                     "  commy alerts ls --of org.example.Echo --watch\n"
                     "  commy alerts ls -o json"),
  .has_format = TRUE,
};

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  char *of;
  CommyWatch watch;
} Query;

static void
query_clear (Query *query)
{
  g_free (query->of);
  commy_watch_clear (&query->watch);
  g_clear_object (&query->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Query, query_clear)

/* The record with who told it. */
static GVariant *
describe (GVariant *node, GVariant *alert)
{
  g_auto (GVariantDict) record = G_VARIANT_DICT_INIT (alert);

  g_variant_dict_insert (&record, "node", "s", commy_record_get_string (node, "node"));
  g_variant_dict_insert (&record, "host", "s", commy_record_get_string (node, "host"));
  return g_variant_dict_end (&record);
}

static CommyTone
tone_of (const char *state)
{
  return strcmp (state, "firing") == 0    ? COMMY_TONE_BAD
         : strcmp (state, "pending") == 0 ? COMMY_TONE_STRONG
                                          : COMMY_TONE_FAINT;
}

static void
print_table (GVariant *alerts)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("NODE", "HOST", "ALERT", "STATE", "SEVERITY", "FIGURE", NULL);

  for (gsize i = 0; i < g_variant_n_children (alerts); i++)
    {
      g_autoptr (GVariant) alert = g_variant_get_child_value (alerts, i);
      const char *state = commy_record_get_string (alert, "state");

      commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (alert, "node")));
      commy_table_add (table, commy_record_get_string (alert, "host"));
      commy_table_add_toned (table, commy_record_get_string (alert, "name"), COMMY_TONE_STRONG);
      commy_table_add_toned (table, state, tone_of (state));
      commy_table_add (table, commy_record_get_string (alert, "severity"));
      commy_table_add (table, commy_record_get_string (alert, "text"));
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print (_ ("no node has an alert in its keyfiles\n"));
}

static CommyExit
show (gpointer data)
{
  Query *query = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (query->mesh, query->of, &error);
  g_autoptr (GVariant) alerts = NULL;
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder builder;

  if (nodes == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) cause = NULL;
      g_autoptr (GVariant) list
          = commy_lookup_ask_for (query->mesh, nodes->pdata[i], "Alerts", NULL, "aa{sv}", &cause);

      if (list == NULL)
        status = commy_cli_fail (cause);
      for (gsize k = 0; list != NULL && k < g_variant_n_children (list); k++)
        {
          g_autoptr (GVariant) alert = g_variant_get_child_value (list, k);

          g_variant_builder_add_value (&builder, describe (nodes->pdata[i], alert));
        }
    }
  alerts = g_variant_ref_sink (g_variant_builder_end (&builder));
  if (query->cli->json)
    commy_cli_json (query->cli, alerts);
  else
    print_table (alerts);
  return status;
}

CommyExit
commy_cmd_alerts (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &query.of,
      N_ ("Only nodes that fit: the beginning of an id, or a service they offer"), "NODE" },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GError) error = NULL;
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (n > 2 || (n == 2 && strcmp (arguments[1], "ls") != 0))
    return commy_cli_misuse (&verb, "say ls, or nothing");
  if (!commy_watch_check (&query.watch, &verb))
    return COMMY_EXIT_USAGE;
  query.mesh = commy_cli_join (cli, &error);
  if (query.mesh == NULL)
    return commy_cli_fail (error);
  return commy_watch_run (&query.watch, cli, show, &query);
}
