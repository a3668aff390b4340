/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy services ls | info | stats | ping | deps`: who offers what in the mesh, as the store says,
 * and what their nodes tell about it.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-health-seen.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-service-view.h"
#include "cli/commy-watch.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "services",
  .usage = "ls [PATTERN] | info SERVICE | stats SERVICE | ping SERVICE | deps [SERVICE]",
  .summary
  = N_ ("  ls     the instances of all services, or of those whose name fits PATTERN\n"
        "  info   everything about the instances of one service\n"
        "  stats  calls, failures and times of each instance: CALLS, FAILED, P50 and P99 as\n"
        "         the callers that are connected saw them (P99 the worst of theirs), the rest\n"
        "         as its node counts: SERVED calls came in, ERRORS of them were refused or\n"
        "         answered with an error\n"
        "  ping   round trips to each instance through Commy, the first one not counted\n"
        "  deps   who calls whom, or did in the last hour, and who is meant to (depends= of\n"
        "         [service NAME]); --dot prints a graph for Graphviz"),
  .description = N_ ("Example: who offers something of example.org, and is it quick?\n"
                     "  commy services ls 'org.example.*' --watch\n"
                     "  commy services info org.example.Echo\n"
                     "  commy services ping org.example.Echo --count 100\n"
                     "  commy services deps --dot | dot -Tsvg > deps.svg"),
  .has_format = TRUE,
};

#define PINGS 10
#define MAX_PINGS 1000000

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  CommyWatch watch;
  const char *name; /* a service or pattern, or NULL */
  gint count;
  gboolean all;
  gboolean dot;
} Query;

static void
query_clear (Query *query)
{
  commy_watch_clear (&query->watch);
  g_clear_object (&query->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Query, query_clear)

/* --- ls --- */

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
list (gpointer data)
{
  Query *query = data;
  CommyMesh *mesh = query->mesh;
  const char *pattern = query->name;
  g_autoptr (GError) error = NULL;
  /* Who asks for reserved names by name wants them. */
  gboolean reserved = pattern != NULL && g_str_has_prefix (pattern, "org.commy.");
  g_autoptr (GPtrArray) instances
      = commy_lookup_instances (mesh, pattern, query->all || reserved, &error);

  if (instances == NULL)
    return commy_cli_fail (error);
  if (query->cli->json)
    commy_cli_json (query->cli, to_array (instances));
  else if (instances->len > 0)
    print_list (instances);
  else
    commy_cli_note ("nobody offers %s in the mesh \"%s\"",
                    pattern != NULL ? pattern : _ ("anything"), commy_mesh_get_name (mesh));
  return COMMY_EXIT_DONE;
}

/* --- info --- */

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
print_text (GVariant *instance, const char *key)
{
  g_autofree char *clean = commy_output_clean (commy_record_get_string (instance, key), FALSE);

  if (clean[0] != '\0')
    commy_output_print ("  %-12s %s\n", key, clean);
}

static void
print_words (GVariant *instance, const char *key)
{
  g_autofree const char **words = NULL;
  g_autofree char *joined = NULL;
  g_autofree char *clean = NULL;

  if (!g_variant_lookup (instance, key, "^a&s", &words) || words[0] == NULL)
    return;
  joined = g_strjoinv (", ", (char **) words);
  clean = commy_output_clean (joined, FALSE);
  commy_output_print ("  %-12s %s\n", key, clean);
}

static void
print_metadata (GVariant *instance)
{
  g_autoptr (GVariant) pairs
      = g_variant_lookup_value (instance, "metadata", G_VARIANT_TYPE ("a{ss}"));
  const char *title = "metadata";
  const char *key, *value;
  GVariantIter iter;

  if (pairs == NULL)
    return;
  g_variant_iter_init (&iter, pairs);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    {
      g_autofree char *clean_key = commy_output_clean (key, FALSE);
      g_autofree char *clean_value = commy_output_clean (value, FALSE);

      commy_output_print ("  %-12s %s: %s\n", title, clean_key, clean_value);
      title = "";
    }
}

/* What its owner says of it. */
static void
print_facts (GVariant *instance)
{
  gint64 started_s = 0;

  print_text (instance, "interface-hash");
  print_text (instance, "version");
  print_text (instance, "zone");
  print_text (instance, "region");
  print_words (instance, "tags");
  print_metadata (instance);
  commy_output_print ("  %-12s %" G_GUINT64_FORMAT "\n", "weight",
                      commy_record_get_uint (instance, "weight"));
  if (g_variant_lookup (instance, "started", "x", &started_s) && started_s > 0)
    {
      g_autoptr (GDateTime) started = g_date_time_new_from_unix_local (started_s);
      g_autofree char *text
          = started != NULL ? g_date_time_format (started, "%F %T %z") : g_strdup ("?");

      commy_output_print ("  %-12s %s\n", "since", text);
    }
  if (commy_record_get_boolean (instance, "draining"))
    commy_output_print (_ ("  %-12s it takes no new calls\n"), "draining");
  print_text (instance, "health");
}

/* An endpoint that no store lists says nothing of itself; but nodes that use it may look at it. */
static void
print_seen (CommyMesh *mesh, GPtrArray *nodes, GVariant *instance)
{
  g_auto (CommySeen) seen = { 0 };
  g_autofree char *reason = NULL;
  const char *state;

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    {
      g_autoptr (GVariant) findings = commy_seen_ask (
          mesh, nodes->pdata[i], commy_record_get_string (instance, "service"), NULL);

      if (findings != NULL)
        commy_seen_add_all (&seen, commy_record_get_string (instance, "instance"), findings);
    }
  state = commy_seen_get_state (&seen);
  reason = commy_output_clean (seen.reason != NULL ? seen.reason : "", FALSE);
  if (seen.n_well + seen.n_unwell == 0)
    commy_output_print (_ ("  %-12s unknown: no node of the mesh that uses it has looked\n"),
                        "health");
  else
    commy_output_print (_ ("  %-12s %s: %u nodes found it well, %u unwell (%s)%s%s\n"), "health",
                        state, seen.n_well, seen.n_unwell, seen.check != NULL ? seen.check : "-",
                        reason[0] != '\0' ? ": " : "", reason);
}

/* Its node is asked. */
static void
print_health (CommyMesh *mesh, GPtrArray *nodes, GVariant *instance)
{
  const char *id = commy_record_get_string (instance, "node");

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) health = NULL;
      g_autofree char *clean = NULL;

      if (strcmp (commy_record_get_string (nodes->pdata[i], "node"), id) != 0)
        continue;
      health = commy_lookup_ask_for (mesh, nodes->pdata[i], "Health", NULL, "s", &error);
      clean = commy_output_clean (
          health != NULL ? g_variant_get_string (health, NULL) : error->message, FALSE);
      commy_output_print ("  %-12s %s\n", "its node is", clean);
      return;
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
      commy_output_print (_ ("  %-12s unknown\n"), "version");
      print_pairs (instance, "endpoints", "endpoints");
      return;
    }
  commy_output_print ("  %-12s %s\n", "node", commy_record_get_string (instance, "node"));
  commy_output_print ("  %-12s %s, pid %" G_GUINT64_FORMAT "\n", "host", host,
                      commy_record_get_uint (instance, "pid"));
  commy_output_print ("  %-12s %s\n", "interface",
                      interface[0] != '\0' ? interface : _ ("untyped"));
  print_facts (instance);
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
info (Query *query)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_service (query->mesh, query->name, &error);
  g_autoptr (GPtrArray) nodes = NULL;

  if (instances == NULL)
    return commy_cli_fail (error);
  if (query->cli->json)
    {
      commy_cli_json (query->cli, to_array (instances));
      return COMMY_EXIT_DONE;
    }
  nodes = commy_lookup_all_nodes (query->mesh, NULL, NULL);
  for (guint i = 0; i < instances->len; i++)
    {
      print_instance (instances->pdata[i]);
      if (commy_record_get_string (instances->pdata[i], "origin")[0] != '\0')
        print_seen (query->mesh, nodes, instances->pdata[i]);
      else
        print_health (query->mesh, nodes, instances->pdata[i]);
    }
  return COMMY_EXIT_DONE;
}

/* --- the verb --- */

static CommyExit
show_stats (gpointer data)
{
  Query *query = data;

  return commy_service_view_stats (query->cli, query->mesh, query->name);
}

static CommyExit
show_deps (gpointer data)
{
  Query *query = data;

  return commy_service_view_deps (query->cli, query->mesh, query->name, query->dot);
}

static CommyExit
run (Query *query, const char *what)
{
  g_autoptr (GError) error = NULL;

  query->mesh = commy_cli_join (query->cli, &error);
  if (query->mesh == NULL)
    return commy_cli_fail (error);
  if (strcmp (what, "info") == 0)
    return info (query);
  if (strcmp (what, "ping") == 0)
    return commy_service_view_ping (query->cli, query->mesh, query->name, query->count);
  return commy_watch_run (&query->watch, query->cli,
                          strcmp (what, "stats") == 0  ? show_stats
                          : strcmp (what, "deps") == 0 ? show_deps
                                                       : list,
                          query);
}

/* NULL: nothing is wrong. */
static const char *
find_misuse (const Query *query, char **arguments)
{
  static const char *const words[] = { "ls", "info", "stats", "ping", "deps", NULL };
  const char *what = arguments[1] != NULL ? arguments[1] : "";
  gboolean watchable = strcmp (what, "info") != 0 && strcmp (what, "ping") != 0;
  gboolean needs_name = !watchable || strcmp (what, "stats") == 0;

  if (!g_strv_contains (words, what))
    return N_ ("say one of ls, info, stats, ping, deps");
  if (needs_name && g_strv_length (arguments) != 3)
    return N_ ("info, stats and ping need the name of one service");
  if (g_strv_length (arguments) > 3)
    return strcmp (what, "ls") == 0 ? N_ ("ls takes one pattern; put it in quotes")
                                    : N_ ("deps takes one service, or none for all");
  if (query->watch.on && !watchable)
    return N_ ("--watch is for ls, stats and deps");
  if (query->dot && strcmp (what, "deps") != 0)
    return N_ ("--dot is for deps");
  if (query->count != 0 && (strcmp (what, "ping") != 0))
    return N_ ("--count is for ping");
  if (query->count < 0 || query->count > MAX_PINGS)
    return N_ ("--count is from 1 to 1000000");
  return NULL;
}

CommyExit
commy_cmd_services (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "all", 'a', 0, G_OPTION_ARG_NONE, &query.all, N_ ("ls: those of org.commy.* too"), NULL },
    { "count", 'n', 0, G_OPTION_ARG_INT, &query.count, N_ ("ping: how many round trips (10)"),
      "NUMBER" },
    { "dot", 0, 0, G_OPTION_ARG_NONE, &query.dot, N_ ("deps: a graph for Graphviz"), NULL },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  const char *misuse;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  misuse = find_misuse (&query, arguments);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (!commy_watch_check (&query.watch, &verb))
    return COMMY_EXIT_USAGE;
  query.name = arguments[2];
  query.count = query.count > 0 ? query.count : PINGS;
  return run (&query, arguments[1]);
}
