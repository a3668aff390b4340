/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who depends on whom: observed, because a node that offers S calls T, or did lately as its record
 * in the store says; or declared in a keyfile. A table, JSON, or a graph for Graphviz.
 */
#include "config.h"

#include "cli/commy-service-view.h"

#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib/gi18n.h>
#include <string.h>

typedef struct
{
  char *from; /* a service, or "node ID" of one that offers none */
  char *to;
  gboolean observed, declared;
  gboolean is_open; /* a channel is, now */
  gint64 seen_s;    /* the last call, Unix time, to a quarter of an hour; 0: nobody recorded one */
  guint64 calls, failed, p99_ns;
} Edge;

typedef struct
{
  CommyMesh *mesh;
  GPtrArray *instances; /* GVariant */
  GHashTable *edges;    /* "from\nto" -> Edge */
} Graph;

static void
edge_free (gpointer data)
{
  Edge *edge = data;

  g_free (edge->from);
  g_free (edge->to);
  g_free (edge);
}

static Edge *
ensure_edge (Graph *graph, const char *from, const char *to)
{
  g_autofree char *key = g_strconcat (from, "\n", to, NULL);
  Edge *edge = g_hash_table_lookup (graph->edges, key);

  if (edge != NULL)
    return edge;
  edge = g_new0 (Edge, 1);
  edge->from = g_strdup (from);
  edge->to = g_strdup (to);
  g_hash_table_insert (graph->edges, g_steal_pointer (&key), edge);
  return edge;
}

/* --- collecting --- */

static gboolean
is_own (const char *service)
{
  return g_str_has_prefix (service, "org.commy.");
}

/* (transfer full): what a node is called as a caller: the services that it offers, else itself */
static GPtrArray *
list_callers (Graph *graph, const char *node)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < graph->instances->len; i++)
    {
      GVariant *instance = graph->instances->pdata[i];
      const char *service = commy_record_get_string (instance, "service");

      if (strcmp (commy_record_get_string (instance, "node"), node) == 0 && !is_own (service)
          && !g_ptr_array_find_with_equal_func (names, service, g_str_equal, NULL))
        g_ptr_array_add (names, g_strdup (service));
    }
  if (names->len == 0)
    g_ptr_array_add (names, g_strdup_printf ("node %.8s", node));
  return names;
}

static void
add_flows (Graph *graph, GPtrArray *callers, GVariant *flows)
{
  gsize n = g_variant_n_children (flows);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *to = commy_record_get_string (flow, "service");

      if (strcmp (commy_record_get_string (flow, "side"), "calls") != 0 || is_own (to))
        continue;
      for (guint j = 0; j < callers->len; j++)
        {
          Edge *edge = ensure_edge (graph, callers->pdata[j], to);

          edge->observed = edge->is_open = TRUE;
          edge->calls += commy_record_get_uint (flow, "calls");
          edge->failed += commy_record_get_uint (flow, "calls-failed");
          edge->p99_ns = MAX (edge->p99_ns, commy_record_get_uint (flow, "call-p99-ns"));
        }
    }
}

/* What the node's record says that it called, also over channels that are closed by now; and of one
 * that does not answer. */
static void
add_recorded (Graph *graph, GVariant *node)
{
  g_autoptr (GVariant) calls = g_variant_lookup_value (node, "calls", G_VARIANT_TYPE ("a(sx)"));
  g_autoptr (GPtrArray) callers = list_callers (graph, commy_record_get_string (node, "node"));
  gsize n = calls != NULL ? g_variant_n_children (calls) : 0;

  for (gsize i = 0; i < n; i++)
    {
      const char *to;
      gint64 seen_s;

      g_variant_get_child (calls, i, "(&sx)", &to, &seen_s);
      for (guint j = 0; j < callers->len; j++)
        {
          Edge *edge = ensure_edge (graph, callers->pdata[j], to);

          edge->observed = TRUE;
          edge->seen_s = MAX (edge->seen_s, seen_s);
        }
    }
}

static gboolean
add_records (Graph *graph, GError **error)
{
  g_autoptr (GVariant) nodes = commy_mesh_list_nodes_sync (graph->mesh, NULL, error);
  gsize n = nodes != NULL ? g_variant_n_children (nodes) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) node = g_variant_get_child_value (nodes, i);

      add_recorded (graph, node);
    }
  return nodes != NULL;
}

static void
add_declared (Graph *graph, GVariant *stats)
{
  g_autoptr (GVariant) offers = g_variant_lookup_value (stats, "offers", G_VARIANT_TYPE ("aa{sv}"));
  gsize n = offers != NULL ? g_variant_n_children (offers) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) offer = g_variant_get_child_value (offers, i);
      g_autofree const char **needs = NULL;

      if (!g_variant_lookup (offer, "depends", "^a&s", &needs))
        continue;
      for (guint j = 0; needs[j] != NULL; j++)
        ensure_edge (graph, commy_record_get_string (offer, "service"), needs[j])->declared = TRUE;
    }
}

static gboolean
add_node (Graph *graph, GVariant *node, GError **error)
{
  g_autoptr (GVariant) flows
      = commy_lookup_ask_for (graph->mesh, node, "Flows", NULL, "aa{sv}", error);
  g_autoptr (GVariant) stats
      = flows != NULL ? commy_lookup_ask_for (graph->mesh, node, "Stats", NULL, "a{sv}", error)
                      : NULL;
  g_autoptr (GPtrArray) callers = NULL;

  if (stats == NULL)
    return FALSE;
  callers = list_callers (graph, commy_record_get_string (node, "node"));
  add_flows (graph, callers, flows);
  add_declared (graph, stats);
  return TRUE;
}

/* --- showing --- */

static gint
compare (gconstpointer a, gconstpointer b)
{
  const Edge *x = *(Edge *const *) a, *y = *(Edge *const *) b;
  gint order = strcmp (x->from, y->from);

  return order != 0 ? order : strcmp (x->to, y->to);
}

/* (transfer container): in order of their names */
static GPtrArray *
list_edges (Graph *graph, const char *service)
{
  GPtrArray *edges = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, graph->edges);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Edge *edge = value;

      if (service == NULL || strcmp (edge->from, service) == 0 || strcmp (edge->to, service) == 0)
        g_ptr_array_add (edges, edge);
    }
  g_ptr_array_sort (edges, compare);
  return edges;
}

static gboolean
is_there (Graph *graph, const char *service)
{
  for (guint i = 0; i < graph->instances->len; i++)
    if (strcmp (commy_record_get_string (graph->instances->pdata[i], "service"), service) == 0)
      return TRUE;
  return FALSE;
}

static const char *
kind_of (const Edge *edge)
{
  if (edge->observed && edge->declared)
    return "both";
  return edge->observed ? "observed" : "declared";
}

/* (transfer full): how long ago it was called; hosts need not agree what time it is */
static char *
format_seen (const Edge *edge)
{
  const gint64 age_s = g_get_real_time () / G_USEC_PER_SEC - edge->seen_s;

  if (edge->is_open)
    return g_strdup (_ ("now"));
  return edge->seen_s > 0 ? commy_quantity_format_ns ((double) MAX (age_s, 0) * 1e9) : NULL;
}

static void
print_table (Graph *graph, GPtrArray *edges)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("FROM", "TO", "KIND", "CALLS", "FAILED", "P99", "SEEN", "THERE", NULL);

  for (guint i = 0; i < edges->len; i++)
    {
      const Edge *edge = edges->pdata[i];
      gboolean there = is_there (graph, edge->to);

      commy_table_add_toned (table, edge->from, COMMY_TONE_STRONG);
      commy_table_add_toned (table, edge->to, COMMY_TONE_STRONG);
      commy_table_add (table, kind_of (edge));
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, edge->calls));
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, edge->failed));
      commy_table_take (table, edge->p99_ns > 0 ? commy_quantity_format_ns ((double) edge->p99_ns)
                                                : g_strdup ("-"));
      commy_table_take (table, format_seen (edge));
      commy_table_add_toned (table, there ? "yes" : "no",
                             there ? COMMY_TONE_PLAIN : COMMY_TONE_BAD);
    }
  commy_table_print (table);
}

static GVariant *
to_variant (Graph *graph, GPtrArray *edges)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < edges->len; i++)
    {
      const Edge *edge = edges->pdata[i];

      g_variant_builder_add_parsed (
          &list,
          "{'from': <%s>, 'to': <%s>, 'observed': <%b>, 'declared': <%b>, 'calls': <%t>, "
          "'failed': <%t>, 'p99-ns': <%t>, 'open': <%b>, 'seen': <%x>, 'there': <%b>}",
          edge->from, edge->to, edge->observed, edge->declared, edge->calls, edge->failed,
          edge->p99_ns, edge->is_open, edge->seen_s, is_there (graph, edge->to));
    }
  return g_variant_builder_end (&list);
}

/* (transfer full): a name inside quotes */
static char *
quote (const char *name)
{
  g_autofree char *clean = commy_output_clean (name, FALSE);
  g_auto (GStrv) parts = g_strsplit_set (clean, "\"\\", -1);

  return g_strjoinv ("_", parts);
}

static void
print_dot (Graph *graph, GPtrArray *edges)
{
  commy_output_print ("digraph commy {\n  rankdir=LR;\n  node [shape=box];\n");
  for (guint i = 0; i < edges->len; i++)
    {
      const Edge *edge = edges->pdata[i];
      g_autofree char *from = quote (edge->from);
      g_autofree char *to = quote (edge->to);

      if (!is_there (graph, edge->to))
        commy_output_print ("  \"%s\" [color=red];\n", to);
      commy_output_print ("  \"%s\" -> \"%s\" [style=%s, label=\"%" G_GUINT64_FORMAT "\"];\n", from,
                          to, edge->observed ? "solid" : "dashed", edge->calls);
    }
  commy_output_print ("}\n");
}

static void
show (CommyCli *cli, Graph *graph, const char *service, gboolean dot)
{
  g_autoptr (GPtrArray) edges = list_edges (graph, service);

  if (cli->json)
    commy_cli_json (cli, to_variant (graph, edges));
  else if (dot)
    print_dot (graph, edges);
  else if (edges->len > 0)
    print_table (graph, edges);
  else
    commy_cli_note ("no dependency is declared, and no node has called another service in the last "
                    "hour");
  for (guint i = 0; i < edges->len; i++)
    {
      const Edge *edge = edges->pdata[i];

      if (edge->declared && !is_there (graph, edge->to))
        commy_cli_note ("%s needs %s, which nobody offers", edge->from, edge->to);
    }
}

CommyExit
commy_service_view_deps (CommyCli *cli, CommyMesh *mesh, const char *service, gboolean dot)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_instances (mesh, NULL, TRUE, &error);
  g_autoptr (GPtrArray) nodes = NULL;
  g_autoptr (GHashTable) edges = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, edge_free);
  Graph graph = { .mesh = mesh, .instances = instances, .edges = edges };
  CommyExit status = COMMY_EXIT_DONE;

  if (instances != NULL && service != NULL && !is_there (&graph, service))
    commy_lookup_set_missing (mesh, service, &error);
  else if (instances != NULL)
    nodes = commy_lookup_all_nodes (mesh, NULL, &error);
  if (nodes == NULL)
    return commy_cli_fail (error);
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) cause = NULL;

      if (!add_node (&graph, nodes->pdata[i], &cause))
        status = commy_cli_fail (cause);
    }
  if (!add_records (&graph, &error))
    status = commy_cli_fail (error);
  show (cli, &graph, service, dot);
  return status;
}
