/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy stats` and `commy drops`: what nodes count. They are asked; nothing here is about this
 * command's own process.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-node-view.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

#define OF_HELP N_ ("Only nodes that fit: the beginning of an id, or a service they offer")

static const CommyCliVerb stats_verb = {
  .name = "stats",
  .usage = "",
  .summary
  = N_ ("Counts and times of every node: what it offers, its open channels of both sides,\n"
        "how often it had to wait (blocked: the peer would not take more; parked: the\n"
        "owner went to sleep), and how long calls took (P50, P99)."),
  .description = N_ ("Example: what goes on, and what goes on with one service?\n"
                     "  commy stats\n"
                     "  commy stats --of org.example.Echo --watch\n"
                     "  commy stats -o json"),
  .has_format = TRUE,
};

static const CommyCliVerb drops_verb = {
  .name = "drops",
  .usage = "",
  .summary = N_ ("Messages that were not delivered, by reason, with the last culprit: what was\n"
                 "sent is what was delivered plus what stands here."),
  .description = N_ ("Example: did anything get lost, and why?\n"
                     "  commy drops\n"
                     "  commy drops --of org.example.Echo --watch --every 500ms"),
  .has_format = TRUE,
};

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  char *of;
  gboolean all;
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

static void
open_answer (GVariantBuilder *answers, GVariant *node)
{
  g_variant_builder_open (answers, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (answers, "{sv}", "node",
                         g_variant_new_string (commy_record_get_string (node, "node")));
  g_variant_builder_add (answers, "{sv}", "host",
                         g_variant_new_string (commy_record_get_string (node, "host")));
  g_variant_builder_add (answers, "{sv}", "pid",
                         g_variant_new_uint64 (commy_record_get_uint (node, "pid")));
}

static CommyExit
finish (Query *query, GVariantBuilder *answers, CommyExit status)
{
  g_autoptr (GVariant) all = g_variant_ref_sink (g_variant_builder_end (answers));

  if (query->cli->json)
    commy_cli_json (query->cli, all);
  return status;
}

/* --- drops --- */

static CommyExit
show_drops (gpointer data)
{
  Query *query = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (query->mesh, query->of, &error);
  g_autoptr (CommyTable) table = commy_table_new ("NODE", "REASON", "COUNT", "LAST CULPRIT", NULL);
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder answers;

  if (nodes == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&answers, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) cause = NULL;
      g_autoptr (GVariant) drops
          = commy_lookup_ask_for (query->mesh, nodes->pdata[i], "Drops", NULL, "a(sts)", &cause);
      g_autofree char *id
          = commy_lookup_dup_short (commy_record_get_string (nodes->pdata[i], "node"));

      if (drops == NULL)
        {
          status = commy_cli_fail (cause);
          continue;
        }
      commy_node_view_add_drops (table, id, drops);
      open_answer (&answers, nodes->pdata[i]);
      g_variant_builder_add (&answers, "{sv}", "drops", drops);
      g_variant_builder_close (&answers);
    }
  if (!query->cli->json && commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else if (!query->cli->json)
    commy_output_print (_ ("nothing was dropped (nodes asked: %u)\n"), nodes->len);
  return finish (query, &answers, status);
}

/* --- stats --- */

typedef struct
{
  CommyTable *offers;
  CommyTable *flows;
  guint busy; /* threads whose channels could not be looked at */
} Tables;

static void
add_number (CommyTable *table, GVariant *record, const char *key)
{
  commy_table_take (table,
                    g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (record, key)));
}

/* Of a topic's publisher; services have none. */
static void
add_subscribers (CommyTable *table, GVariant *offer)
{
  g_autoptr (GVariant) n = g_variant_lookup_value (offer, "subscribers", NULL);

  if (n != NULL)
    add_number (table, offer, "subscribers");
  else
    commy_table_add (table, "-");
}

static void
add_offers (Query *query, CommyTable *table, const char *node, GVariant *stats)
{
  g_autoptr (GVariant) offers = g_variant_lookup_value (stats, "offers", G_VARIANT_TYPE ("aa{sv}"));
  gsize n = offers != NULL ? g_variant_n_children (offers) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) offer = g_variant_get_child_value (offers, i);
      const char *service = commy_record_get_string (offer, "service");

      if (!query->all && g_str_has_prefix (service, "org.commy."))
        continue;
      commy_table_add (table, node);
      commy_table_add_toned (table, service, COMMY_TONE_STRONG);
      commy_table_take (table,
                        commy_lookup_dup_short (commy_record_get_string (offer, "instance")));
      add_number (table, offer, "methods");
      add_number (table, offer, "threads");
      add_number (table, offer, "channels");
      add_subscribers (table, offer);
      add_number (table, offer, "in-flight");
      add_number (table, offer, "served");
      add_number (table, offer, "served-failed");
      add_number (table, offer, "received");
      add_number (table, offer, "sent");
    }
}

/* A name of a service narrows the flows down to it; an id does not. */
static const char *
service_of (Query *query)
{
  return query->of != NULL && strchr (query->of, '.') != NULL ? query->of : NULL;
}

static gboolean
add_node (Query *query, Tables *tables, GVariantBuilder *answers, GVariant *node, GError **error)
{
  g_autoptr (GVariant) stats
      = commy_lookup_ask_for (query->mesh, node, "Stats", NULL, "a{sv}", error);
  g_autoptr (GVariant) flows
      = stats != NULL ? commy_lookup_ask_for (query->mesh, node, "Flows", NULL, "aa{sv}", error)
                      : NULL;
  g_autofree char *id = commy_lookup_dup_short (commy_record_get_string (node, "node"));

  if (flows == NULL)
    return FALSE;
  tables->busy += (guint) commy_record_get_uint (stats, "busy-threads");
  add_offers (query, tables->offers, id, stats);
  commy_node_view_add_flows (tables->flows, id, flows, service_of (query), query->all);
  open_answer (answers, node);
  g_variant_builder_add (answers, "{sv}", "stats", stats);
  g_variant_builder_add (answers, "{sv}", "flows", flows);
  g_variant_builder_close (answers);
  return TRUE;
}

static void
print_tables (Tables *tables)
{
  if (commy_table_get_n_rows (tables->offers) > 0)
    commy_table_print (tables->offers);
  else
    commy_output_print (_ ("nothing is offered\n"));
  commy_output_print ("\n");
  if (commy_table_get_n_rows (tables->flows) > 0)
    commy_table_print (tables->flows);
  else
    commy_output_print (_ ("no channel is open\n"));
  if (tables->busy > 0)
    commy_output_print (ngettext ("in the middle of a call, so not listed: %u thread\n",
                                  "in the middle of a call, so not listed: %u threads\n",
                                  tables->busy),
                        tables->busy);
}

static CommyExit
show_stats (gpointer data)
{
  Query *query = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (query->mesh, query->of, &error);
  g_autoptr (CommyTable) offers
      = commy_table_new ("NODE", "SERVICE", "INSTANCE", "METHODS", "THREADS", "CHANNELS",
                         "SUBSCRIBERS", "IN FLIGHT", "SERVED", "ERRORS", "RECEIVED", "SENT", NULL);
  g_autoptr (CommyTable) flows = commy_node_view_new_flows (TRUE);
  Tables tables = { .offers = offers, .flows = flows };
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder answers;

  if (nodes == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&answers, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) cause = NULL;

      if (!add_node (query, &tables, &answers, nodes->pdata[i], &cause))
        status = commy_cli_fail (cause);
    }
  if (!query->cli->json)
    print_tables (&tables);
  return finish (query, &answers, status);
}

/* --- both --- */

static CommyExit
run (Query *query, const CommyCliVerb *verb, char **arguments, CommyWatchFunc show)
{
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (verb, "takes no arguments; --of says which nodes");
  if (!commy_watch_check (&query->watch, verb))
    return COMMY_EXIT_USAGE;
  query->mesh = commy_cli_join (query->cli, &error);
  if (query->mesh == NULL)
    return commy_cli_fail (error);
  return commy_watch_run (&query->watch, query->cli, show, query);
}

CommyExit
commy_cmd_stats (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &query.of, OF_HELP, "NODE" },
    { "all", 'a', 0, G_OPTION_ARG_NONE, &query.all, N_ ("Services of org.commy.* too"), NULL },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &stats_verb, entries, argv);

  return run (&query, &stats_verb, arguments, show_stats);
}

CommyExit
commy_cmd_drops (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &query.of, OF_HELP, "NODE" },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &drops_verb, entries, argv);

  return run (&query, &drops_verb, arguments, show_drops);
}
