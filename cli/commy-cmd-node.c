/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy node info | flows | decisions | drops | stats | health`: what a running process tells
 * about itself. It is asked; nothing here is about this command's own process.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-decision-view.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "node",
  .usage = "info | flows | decisions | drops | stats | health",
  .summary = "  info       mesh, process, version, and as whom it is known\n"
             "  flows      its connections: service, transport, messages, times of calls\n"
             "  decisions  the last choices of paths\n"
             "  drops      messages that were not delivered, by reason\n"
             "  stats      counts of the process\n"
             "  health     whether it serves",
  .description = "Without --of every other node of the mesh is asked.\n\n"
                 "Example: which path do the calls of a program take?\n"
                 "  commy node info\n"
                 "  commy node flows --of org.example.Echo\n"
                 "  commy node drops --of 3f2a -o json",
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

static char *
dup_text (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    {
      g_autofree const char **names = g_variant_get_strv (value, NULL);

      return g_strjoinv (", ", (char **) names);
    }
  return g_variant_print (value, FALSE);
}

static void
print_dictionary (GVariant *value)
{
  GVariantIter iter;
  const char *key;
  GVariant *member;

  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &member))
    {
      g_autofree char *text = dup_text (member);
      g_autofree char *clean = commy_output_clean (text, FALSE);
      g_autofree char *name = commy_output_clean (key, FALSE);

      commy_output_print ("  %-12s %s\n", name, clean);
      g_variant_unref (member);
    }
}

static void
print_flow (GVariant *flow)
{
  GVariantIter iter;
  const char *key;
  GVariant *member;
  g_autofree char *short_id = commy_lookup_dup_short (commy_record_get_string (flow, "instance"));
  g_autofree char *head = g_strdup_printf (
      "%s %s over %s, %s", commy_record_get_string (flow, "service"), short_id,
      commy_record_get_string (flow, "transport"), commy_record_get_string (flow, "peer"));
  g_autofree char *clean = commy_output_clean (head, FALSE);

  commy_output_print ("  %s\n   ", clean);
  g_variant_iter_init (&iter, flow);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &member))
    {
      if (g_variant_is_of_type (member, G_VARIANT_TYPE_UINT64) && g_variant_get_uint64 (member) > 0)
        commy_output_print (" %s %" G_GUINT64_FORMAT, key, g_variant_get_uint64 (member));
      g_variant_unref (member);
    }
  commy_output_print ("\n");
}

static void
print_flows (GVariant *value)
{
  gsize n = g_variant_n_children (value);

  if (n == 0)
    commy_output_print ("  no connection\n");
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (value, i);

      print_flow (flow);
    }
}

static void
print_decisions (GVariant *value)
{
  if (g_variant_n_children (value) == 0)
    commy_output_print ("  no decision yet\n");
  else
    commy_decision_view_print_list (value);
}

static void
print_drops (GVariant *value)
{
  g_autoptr (CommyTable) table = commy_table_new ("  REASON", "COUNT", "LAST CULPRIT", NULL);
  GVariantIter iter;
  const char *reason, *culprit;
  guint64 count;

  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "(&st&s)", &reason, &count, &culprit))
    {
      if (count == 0)
        continue;
      commy_table_take (table, g_strconcat ("  ", reason, NULL));
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, count));
      commy_table_add (table, culprit);
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print ("  nothing was dropped\n");
}

static void
print_string (GVariant *value)
{
  g_autofree char *clean = commy_output_clean (g_variant_get_string (value, NULL), FALSE);

  commy_output_print ("  %s\n", clean);
}

static const Topic topics[] = {
  { "info", "Info", "a{sv}", print_dictionary },
  { "flows", "Flows", "aa{sv}", print_flows },
  { "decisions", "Decisions", "aa{sv}", print_decisions },
  { "drops", "Drops", "a(sts)", print_drops },
  { "stats", "Stats", "a{sv}", print_dictionary },
  { "health", "Health", "s", print_string },
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

static GVariant *
ask (CommyMesh *mesh, GVariant *node, const Topic *topic, GError **error)
{
  g_autoptr (GVariant) value = commy_lookup_ask (mesh, node, topic->method, NULL, error);

  if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE (topic->type)))
    return g_steal_pointer (&value);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s of a node answered %s, not %s", topic->method,
                       g_variant_get_type_string (value), topic->type);
  return NULL;
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
      g_autoptr (GVariant) value = ask (mesh, nodes->pdata[i], topic, &error);

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
      "Only this node: the beginning of its id, or a service it offers", "NODE" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  const Topic *topic = arguments != NULL ? find_topic (arguments[1]) : NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GPtrArray) nodes = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (topic == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say one of info, flows, decisions, drops, stats, health");
  mesh = commy_cli_join (cli, &error);
  nodes = mesh != NULL ? commy_lookup_nodes (mesh, of, &error) : NULL;
  if (nodes == NULL)
    return commy_cli_fail (error);
  return ask_all (cli, mesh, nodes, topic);
}
