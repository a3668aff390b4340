/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy endpoints SERVICE`: the instances of a service as their callers see them: what the
 * balancer weighs, and why one is not picked. It differs from caller to caller, so the callers are
 * asked.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "endpoints",
  .usage = "SERVICE",
  .summary
  = N_ ("The instances of SERVICE as callers see them: where each is, over which transport it is\n"
        "reached, the version it says and its health as the caller knows it, its weight, calls\n"
        "under way, mean time and share of successes, and the state:\n\n"
        "  closed     it may be picked\n"
        "  open       it failed too often; after UNTIL it is tried again\n"
        "  half-open  it is being tried\n"
        "  ejected    it is worse than the others, until UNTIL\n"
        "  draining   it takes no new calls\n"
        "  unwell     its health check says so\n\n"
        "Of an endpoint that no store lists, version and health are unknown; unless checks of\n"
        "the caller look at it."),
  .description = N_ ("Without --of every other node of the mesh that calls SERVICE is asked.\n\n"
                     "Example: why does nobody call the second instance?\n"
                     "  commy endpoints org.example.Echo\n"
                     "  commy endpoints org.example.Echo --of org.example.Shop --watch=1s"),
  .has_format = TRUE,
};

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  const char *service;
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

/* --- rows --- */

/* NULL: the caller does not say. */
static const char *
level_of (GVariant *endpoint)
{
  static const char *const names[]
      = { N_ ("process"), N_ ("host"), N_ ("zone"), N_ ("region"), N_ ("elsewhere") };
  guint32 level;

  if (!g_variant_lookup (endpoint, "level", "u", &level) || level >= G_N_ELEMENTS (names))
    return NULL;
  return _ (names[level]);
}

static CommyTone
tone_of (const char *state)
{
  if (strcmp (state, "closed") == 0)
    return COMMY_TONE_GOOD;
  return strcmp (state, "half-open") == 0 ? COMMY_TONE_PLAIN : COMMY_TONE_BAD;
}

static CommyTone
tone_of_health (const char *health)
{
  if (strcmp (health, "well") == 0)
    return COMMY_TONE_GOOD;
  return strcmp (health, "unwell") == 0 ? COMMY_TONE_BAD : COMMY_TONE_FAINT;
}

/* A caller of an earlier release says neither. */
static void
add_known (CommyTable *table, GVariant *endpoint)
{
  const char *version = commy_record_get_string (endpoint, "version");
  const char *health = commy_record_get_string (endpoint, "health");

  commy_table_add (table, commy_record_get_boolean (endpoint, "listed") ? version : "unknown");
  health = health[0] != '\0' ? health : "unknown";
  commy_table_add_toned (table, health, tone_of_health (health));
}

static void
add_time (CommyTable *table, guint64 ns)
{
  commy_table_take (table, ns > 0 ? commy_quantity_format_ns ((double) ns) : g_strdup ("-"));
}

static void
add_row (CommyTable *table, const char *node, GVariant *endpoint)
{
  const char *state = commy_record_get_string (endpoint, "state");
  double success = commy_record_get_double (endpoint, "success");
  char share[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (share, sizeof share, "%.1f", CLAMP (success, 0, 1) * 100);
  commy_table_add (table, node);
  commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (endpoint, "instance")));
  commy_table_add (table, commy_record_get_string (endpoint, "host"));
  commy_table_add (table, commy_record_get_string (endpoint, "zone"));
  commy_table_add (table, level_of (endpoint));
  commy_table_add (table, commy_record_get_string (endpoint, "transport"));
  add_known (table, endpoint);
  commy_table_add_toned (table, state, tone_of (state));
  commy_table_take (
      table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (endpoint, "weight")));
  commy_table_take (
      table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (endpoint, "in-flight")));
  add_time (table, commy_record_get_uint (endpoint, "mean"));
  commy_table_take (table, g_strconcat (share, "%", NULL));
  add_time (table, commy_record_get_uint (endpoint, "until"));
  commy_table_add (table, commy_record_get_string (endpoint, "why"));
}

/* --- asking --- */

static void
add_answer (GVariantBuilder *answers, GVariant *node, GVariant *endpoints)
{
  g_variant_builder_open (answers, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (answers, "{sv}", "node",
                         g_variant_new_string (commy_record_get_string (node, "node")));
  g_variant_builder_add (answers, "{sv}", "host",
                         g_variant_new_string (commy_record_get_string (node, "host")));
  g_variant_builder_add (answers, "{sv}", "pid",
                         g_variant_new_uint64 (commy_record_get_uint (node, "pid")));
  g_variant_builder_add (answers, "{sv}", "endpoints", endpoints);
  g_variant_builder_close (answers);
}

static gboolean
ask_node (Query *query, GVariant *node, CommyTable *table, GVariantBuilder *answers, GError **error)
{
  g_autoptr (GVariant) endpoints = commy_lookup_ask_for (
      query->mesh, node, "Endpoints", g_variant_new ("(s)", query->service), "aa{sv}", error);
  g_autofree char *id = commy_lookup_dup_short (commy_record_get_string (node, "node"));
  gsize n = endpoints != NULL ? g_variant_n_children (endpoints) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) endpoint = g_variant_get_child_value (endpoints, i);

      add_row (table, id, endpoint);
    }
  /* Who does not call it has no view. */
  if (endpoints != NULL && (n > 0 || query->of != NULL))
    add_answer (answers, node, endpoints);
  return endpoints != NULL;
}

static GPtrArray *
find_nodes (Query *query, GError **error)
{
  g_autoptr (GPtrArray) instances = commy_lookup_service (query->mesh, query->service, error);

  if (instances == NULL)
    return NULL;
  return commy_lookup_all_nodes (query->mesh, query->of, error);
}

static CommyExit
show (gpointer data)
{
  Query *query = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) nodes = find_nodes (query, &error);
  g_autoptr (CommyTable) table = commy_table_new (
      "CALLER", "INSTANCE", "HOST", "ZONE", "LEVEL", "TRANSPORT", "VERSION", "HEALTH", "STATE",
      "WEIGHT", "IN FLIGHT", "MEAN", "SUCCESS", "UNTIL", "WHY", NULL);
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder answers;

  if (nodes == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&answers, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < nodes->len; i++)
    {
      g_autoptr (GError) cause = NULL;

      if (!ask_node (query, nodes->pdata[i], table, &answers, &cause))
        status = commy_cli_fail (cause);
    }
  if (query->cli->json)
    commy_cli_json (query->cli, g_variant_builder_end (&answers));
  else
    {
      g_variant_builder_clear (&answers);
      if (commy_table_get_n_rows (table) > 0)
        commy_table_print (table);
      else
        commy_cli_note (
            "no node says that it calls %s now (nodes asked: %u); one in the middle of a "
            "call is left out",
            query->service, nodes->len);
    }
  return status;
}

CommyExit
commy_cmd_endpoints (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "of", 0, 0, G_OPTION_ARG_STRING, &query.of,
      N_ ("Only as these callers see it: the beginning of an id, or a service they offer"),
      "NODE" },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strv_length (arguments) != 2)
    return commy_cli_misuse (&verb, "needs the name of one service");
  if (!commy_watch_check (&query.watch, &verb))
    return COMMY_EXIT_USAGE;
  query.service = arguments[1];
  query.mesh = commy_cli_join (cli, &error);
  if (query.mesh == NULL)
    return commy_cli_fail (error);
  return commy_watch_run (&query.watch, cli, show, &query);
}
