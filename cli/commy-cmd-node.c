/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy node info | flows | decisions | drops | stats | health | reload-policy`: what a running
 * process tells about itself. It is asked; nothing here is about this command's own process.
 */
#include "config.h"

#include "cli/commy-act.h"
#include "cli/commy-cmd.h"
#include "cli/commy-decision-view.h"
#include "cli/commy-lookup.h"
#include "cli/commy-node-view.h"
#include "cli/commy-output.h"

#include <string.h>

#define RELOAD "reload-policy"

static const CommyCliVerb verb = {
  .name = "node",
  .usage = "info | flows | decisions | drops | stats | health | reload-policy",
  .summary = N_ ("  info       mesh, process, version, and as whom it is known\n"
                 "  flows      its connections: service, transport, messages, times of calls\n"
                 "  decisions  the last choices of paths\n"
                 "  drops      messages that were not delivered, by reason\n"
                 "  stats      counts of the process\n"
                 "  health     whether it serves\n"
                 "  reload-policy  has it read the groups about policy again"),
  .description = N_ ("Without --of every other node of the mesh is asked.\n\n"
                     "Example: which path do the calls of a program take?\n"
                     "  commy node info\n"
                     "  commy node flows --of org.example.Echo\n"
                     "  commy node drops --of 3f2a -o json"),
  .has_format = TRUE,
};

typedef void (*PrintFunc) (GVariant *value);

typedef struct
{
  const char *name;
  const char *method;
  const char *type;
  PrintFunc print;
} Topic;

/* --- printing --- */

static void
print_flows (GVariant *value)
{
  g_autoptr (CommyTable) table = commy_node_view_new_flows (FALSE);

  commy_node_view_add_flows (table, NULL, value, NULL, TRUE);
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print (_ ("  no connection\n"));
}

static void
print_decisions (GVariant *value)
{
  if (g_variant_n_children (value) == 0)
    commy_output_print (_ ("  no decision yet\n"));
  else
    commy_decision_view_print_list (value);
}

static void
print_drops (GVariant *value)
{
  g_autoptr (CommyTable) table = commy_table_new ("  REASON", "COUNT", "LAST CULPRIT", NULL);

  if (commy_node_view_add_drops (table, "  ", value))
    commy_table_print (table);
  else
    commy_output_print (_ ("  nothing was dropped\n"));
}

static void
print_string (GVariant *value)
{
  g_autofree char *clean = commy_output_clean (g_variant_get_string (value, NULL), FALSE);

  commy_output_print ("  %s\n", clean);
}

static const Topic topics[] = {
  { "info", "Info", "a{sv}", commy_node_view_print_record },
  { "flows", "Flows", "aa{sv}", print_flows },
  { "decisions", "Decisions", "aa{sv}", print_decisions },
  { "drops", "Drops", "a(sts)", print_drops },
  { "stats", "Stats", "a{sv}", commy_node_view_print_record },
  { "health", "Health", "s", print_string },
  { RELOAD, "ReloadPolicy", "s", print_string },
};

/* --- asking --- */

static void
print_head (GVariant *node)
{
  g_autofree char *id = commy_lookup_dup_short (commy_record_get_string (node, "node"));
  g_autofree char *host = commy_output_clean (commy_record_get_string (node, "host"), FALSE);

  commy_output_print ("node %s  %s, pid %" G_GUINT64_FORMAT "\n", id, host,
                      commy_record_get_uint (node, "pid"));
}

static void
add_answer (GVariantBuilder *builder, GVariant *node, const Topic *topic, GVariant *value)
{
  g_variant_builder_open (builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (builder, "{sv}", "node",
                         g_variant_new_string (commy_record_get_string (node, "node")));
  g_variant_builder_add (builder, "{sv}", topic->name, value);
  g_variant_builder_close (builder);
}

static CommyExit
ask_all (CommyCli *cli, CommyMesh *mesh, GPtrArray *nodes, const Topic *topic)
{
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder answers;

  g_variant_builder_init (&answers, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value
          = commy_lookup_ask_for (mesh, nodes->pdata[i], topic->method, NULL, topic->type, &error);

      if (!cli->json)
        print_head (nodes->pdata[i]);
      if (value == NULL)
        status = commy_cli_fail (error);
      else if (cli->json)
        add_answer (&answers, nodes->pdata[i], topic, value);
      else
        topic->print (value);
    }
  if (cli->json)
    commy_output_json (g_variant_builder_end (&answers));
  else
    g_variant_builder_clear (&answers);
  return status;
}

static const Topic *
find_topic (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (topics); i++)
    if (g_strcmp0 (topics[i].name, name) == 0)
      return &topics[i];
  return NULL;
}

CommyExit
commy_cmd_node (CommyCli *cli, char **argv)
{
  g_autofree char *of = NULL;
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &of,
      N_ ("Only this node: the beginning of its id, or a service it offers"), "NODE" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  const Topic *topic = arguments != NULL ? find_topic (arguments[1]) : NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GPtrArray) nodes = NULL;
  g_autoptr (GError) error = NULL;
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (topic == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say one of info, flows, decisions, drops, stats, health");
  mesh = commy_cli_join_anyway (cli, &error);
  nodes = mesh != NULL ? commy_lookup_nodes (mesh, of, &error) : NULL;
  if (nodes == NULL)
    return commy_cli_fail (error);
  if (strcmp (topic->name, RELOAD) != 0)
    return ask_all (cli, mesh, nodes, topic);
  if (!commy_act_begin (&act, cli, mesh, "node reload-policy", of))
    return act.status;
  return commy_act_end (&act, ask_all (cli, mesh, nodes, topic));
}
