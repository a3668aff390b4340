/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy nodes ls | info | cordon | uncordon | drain`: the processes of a mesh, one of them in
 * detail, and whether one takes work.
 */
#include "config.h"

#include "cli/commy-act.h"
#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-node-view.h"
#include "cli/commy-quantity.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

#define DRAIN_MAX_US \
  (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC) /* of a node whose keyfile decides */
#define GRACE_US (10 * G_USEC_PER_SEC)

static const CommyCliVerb verb = {
  .name = "nodes",
  .usage = "[ls] | info NODE | cordon NODE | uncordon NODE | drain NODE",
  .summary
  = N_ ("  ls        every process that joined the mesh: where it is, how loaded, what it offers\n"
        "  info      what one of them tells about itself: NODE is the beginning of its id, or\n"
        "            a service that it offers\n"
        "  cordon    it takes no new work; what is under way goes on\n"
        "  uncordon  it does again\n"
        "  drain     cordons it, waits until nothing is under way, and stops what it offers"),
  .description
  = N_ ("The state of a node is up, cordoned or draining. LOAD is that of its host in the last\n"
        "minute, and the processors; MEMORY what is available, of all. Both are told when they\n"
        "changed enough.\n\n"
        "Example: who is there, which version does the echo server run, and take it out\n"
        "  commy nodes\n"
        "  commy nodes ls --watch\n"
        "  commy nodes info org.example.Echo\n"
        "  commy nodes drain 3f2a --timeout 1m"),
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

/* (transfer full) (nullable): the node's own record in @nodes; older ones have none */
static GVariant *
find_record (GVariant *nodes, const char *id)
{
  gsize n = g_variant_n_children (nodes);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (nodes, i);

      if (strcmp (commy_record_get_string (record, "node"), id) == 0)
        return g_steal_pointer (&record);
    }
  return NULL;
}

/* What @own says that is not said already. */
static void
add_own (GVariantBuilder *record, GVariant *own)
{
  static const char *const said[] = { "node", "host", "pid", "transports", NULL };
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, own);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      if (!g_strv_contains (said, key))
        g_variant_builder_add (record, "{sv}", key, value);
      g_variant_unref (value);
    }
}

/* @node: its instance of the node's service; @nodes: the records of all */
static GVariant *
describe (GVariant *node, GVariant *nodes, GPtrArray *instances)
{
  const char *id = commy_record_get_string (node, "node");
  g_autoptr (GVariant) own = find_record (nodes, id);
  g_auto (GStrv) offers = dup_offers (instances, id);
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  if (own != NULL)
    add_own (&record, own);
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
add_place (CommyTable *table, GVariant *node)
{
  const char *zone = commy_record_get_string (node, "zone");
  const char *region = commy_record_get_string (node, "region");

  if (region[0] != '\0')
    commy_table_take (table, g_strdup_printf ("%s/%s", region, zone[0] != '\0' ? zone : "-"));
  else
    commy_table_add (table, zone[0] != '\0' ? zone : NULL);
}

static void
add_state (CommyTable *table, GVariant *node)
{
  const char *state = commy_record_get_string (node, "state");
  gboolean is_up = strcmp (state, "up") == 0;

  commy_table_add_toned (table, state[0] != '\0' ? state : NULL,
                         is_up ? COMMY_TONE_GOOD : COMMY_TONE_BAD);
}

static void
add_resources (CommyTable *table, GVariant *node)
{
  guint64 cpus = commy_record_get_uint (node, "cpus");
  guint64 total = commy_record_get_uint (node, "memory-total");
  g_autofree char *available
      = commy_quantity_format_size (commy_record_get_uint (node, "memory-available"));
  g_autofree char *all = commy_quantity_format_size (total);

  commy_table_take (table, cpus > 0 ? g_strdup_printf ("%.2f/%" G_GUINT64_FORMAT,
                                                       commy_record_get_double (node, "load"), cpus)
                                    : NULL);
  commy_table_take (table, total > 0 ? g_strdup_printf ("%s/%s", available, all) : NULL);
}

static void
print_nodes (GVariant *nodes)
{
  g_autoptr (CommyTable) table = commy_table_new ("NODE", "HOST", "PID", "PROGRAM", "ZONE", "STATE",
                                                  "LOAD", "MEMORY", "TRANSPORTS", "SERVICES", NULL);
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
      commy_table_add (table, commy_record_get_string (node, "program"));
      add_place (table, node);
      add_state (table, node);
      add_resources (table, node);
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
  g_autoptr (GVariant) records = commy_mesh_list_nodes_sync (self->mesh, NULL, &error);
  g_autoptr (GPtrArray) instances
      = records != NULL ? commy_lookup_instances (self->mesh, NULL, TRUE, &error) : NULL;
  g_autoptr (GVariant) nodes = NULL;
  GVariantBuilder builder;

  if (instances == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < instances->len; i++)
    if (strcmp (commy_record_get_string (instances->pdata[i], "service"), COMMY_NODE_SERVICE) == 0)
      g_variant_builder_add_value (&builder, describe (instances->pdata[i], records, instances));
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
  g_autoptr (GVariant) records
      = nodes != NULL ? commy_mesh_list_nodes_sync (mesh, NULL, &error) : NULL;
  g_autoptr (GPtrArray) instances
      = records != NULL ? commy_lookup_instances (mesh, NULL, TRUE, &error) : NULL;
  g_autoptr (GVariant) record = NULL;

  if (instances != NULL)
    record = ask_everything (mesh, nodes->pdata[0], describe (nodes->pdata[0], records, instances),
                             &error);
  if (record == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_cli_json (cli, record);
  else
    commy_node_view_print_record (record);
  return COMMY_EXIT_DONE;
}

/* --- cordon, uncordon, drain --- */

static CommyExit
cordon (CommyCli *cli, CommyMesh *mesh, GVariant *node, gboolean cordoned)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) state
      = commy_lookup_ask_for (mesh, node, "Cordon", g_variant_new ("(b)", cordoned), "s", &error);
  g_autofree char *id = NULL;

  if (state == NULL)
    return commy_cli_fail (error);
  id = commy_lookup_dup_short (commy_record_get_string (node, "node"));
  if (cli->json)
    commy_cli_json (cli, state);
  else
    commy_output_print ("node %s is %s\n", id, g_variant_get_string (state, NULL));
  return COMMY_EXIT_DONE;
}

/* The calls that were left, as a variant. @timeout_us: -1 for what the node's keyfile says. */
static GVariant *
ask_to_drain (CommyMesh *mesh, GVariant *node, gint64 timeout_us, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, COMMY_NODE_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  guint64 timeout_ns = timeout_us < 0 ? G_MAXUINT64 : (guint64) timeout_us * 1000;
  g_autoptr (GVariant) result = NULL;

  commy_call_options_set_timeout (options, timeout_us < 0 ? DRAIN_MAX_US : timeout_us + GRACE_US);
  commy_client_set_instance (client, commy_record_get_string (node, "instance"));
  result = commy_client_call_sync (client, "Drain", g_variant_new ("(t)", timeout_ns), options,
                                   NULL, error);
  if (result == NULL)
    return NULL;
  if (g_variant_is_of_type (result, G_VARIANT_TYPE ("(u)")))
    return g_variant_get_child_value (result, 0);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "Drain of a node answered %s, not (u)",
                       g_variant_get_type_string (result));
  return NULL;
}

static CommyExit
drain (CommyCli *cli, CommyMesh *mesh, GVariant *node, gint64 timeout_us)
{
  g_autofree char *id = commy_lookup_dup_short (commy_record_get_string (node, "node"));
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) left = NULL;

  commy_cli_note ("draining node %s", id);
  left = ask_to_drain (mesh, node, timeout_us, &error);
  if (left != NULL && g_variant_get_uint32 (left) > 0)
    commy_cli_set_error (&error, COMMY_ERROR_DEADLINE,
                         "node %s is stopped, but %u calls were still under way: give it more time "
                         "(--timeout)",
                         id, g_variant_get_uint32 (left));
  if (error != NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_cli_json (cli, left);
  else
    commy_output_print ("node %s is drained\n", id);
  return COMMY_EXIT_DONE;
}

/* --- which --- */

typedef enum
{
  ACTION_LS,
  ACTION_INFO,
  ACTION_CORDON,
  ACTION_UNCORDON,
  ACTION_DRAIN,
  N_ACTIONS,
} Action;

static const char *const actions[] = { [ACTION_LS] = "ls",
                                       [ACTION_INFO] = "info",
                                       [ACTION_CORDON] = "cordon",
                                       [ACTION_UNCORDON] = "uncordon",
                                       [ACTION_DRAIN] = "drain" };

/* N_ACTIONS: none is called so. */
static Action
find_action (const char *name)
{
  for (guint i = 0; i < N_ACTIONS; i++)
    if (name == NULL || strcmp (actions[i], name) == 0)
      return (Action) i;
  return N_ACTIONS;
}

/* What changes a node is recorded here as well as there. */
static CommyExit
change (CommyCli *cli, CommyMesh *mesh, Action action, const char *of, gint64 timeout_us)
{
  static const char *const acts[] = { [ACTION_CORDON] = "nodes cordon",
                                      [ACTION_UNCORDON] = "nodes uncordon",
                                      [ACTION_DRAIN] = "nodes drain" };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = commy_lookup_nodes (mesh, of, &error);
  GVariant *node = nodes != NULL ? nodes->pdata[0] : NULL;
  CommyAct act;

  if (node == NULL)
    return commy_cli_fail (error);
  if (!commy_act_begin (&act, cli, mesh, acts[action], commy_record_get_string (node, "node")))
    return act.status;
  return commy_act_end (&act, action == ACTION_DRAIN
                                  ? drain (cli, mesh, node, timeout_us)
                                  : cordon (cli, mesh, node, action == ACTION_CORDON));
}

CommyExit
commy_cmd_nodes (CommyCli *cli, char **argv)
{
  g_auto (CommyWatch) watch = { FALSE };
  g_autofree char *timeout = NULL;
  const GOptionEntry entries[]
      = { COMMY_WATCH_OPTIONS (watch),
          { "timeout", 't', 0, G_OPTION_ARG_STRING, &timeout,
            N_ ("How long a drain waits (as the node's keyfile says)"), "TIME" },
          { NULL } };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;
  List self = { .cli = cli };
  gint64 timeout_us = -1;
  Action action;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  action = find_action (arguments[1]);
  if (action == N_ACTIONS)
    return commy_cli_misuse (&verb, "say one of ls, info, cordon, uncordon, drain");
  if (action == ACTION_LS && n > 2)
    return commy_cli_misuse (&verb, "ls takes no arguments");
  if (action != ACTION_LS && n != 3)
    return commy_cli_misuse (&verb, "%s needs one node", actions[action]);
  if (action != ACTION_LS && watch.on)
    return commy_cli_misuse (&verb, "--watch is for ls");
  if (timeout != NULL && action != ACTION_DRAIN)
    return commy_cli_misuse (&verb, "--timeout is for drain");
  if (timeout != NULL && !commy_quantity_parse_time (timeout, &timeout_us))
    return commy_cli_misuse (&verb, "\"%s\" is no time with its unit, such as 2s or 250ms",
                             timeout);
  if (!commy_watch_check (&watch, &verb))
    return COMMY_EXIT_USAGE;
  mesh = commy_cli_join (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  if (action != ACTION_LS)
    return action == ACTION_INFO ? info (cli, mesh, arguments[2])
                                 : change (cli, mesh, action, arguments[2], timeout_us);
  self.mesh = mesh;
  return commy_watch_run (&watch, cli, list, &self);
}
