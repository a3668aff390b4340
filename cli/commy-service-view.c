/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures of the instances of a service: what their nodes count, what their callers saw, and the
 * time of a round trip to each of them.
 */
#include "config.h"

#include "cli/commy-service-view.h"

#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>
#include <time.h>

#define PING_TIMEOUT_US (2 * G_USEC_PER_SEC)

/* --- what callers saw --- */

typedef struct
{
  guint64 calls, failed, p99_ns;
  double p50_sum; /* of the medians, each as often as there were calls */
} Seen;

static void
add_seen (GHashTable *seen, GVariant *flow)
{
  const char *instance = commy_record_get_string (flow, "instance");
  guint64 calls = commy_record_get_uint (flow, "calls");
  Seen *sum = g_hash_table_lookup (seen, instance);

  if (sum == NULL)
    {
      sum = g_new0 (Seen, 1);
      g_hash_table_insert (seen, g_strdup (instance), sum);
    }
  sum->calls += calls;
  sum->failed += commy_record_get_uint (flow, "calls-failed");
  sum->p99_ns = MAX (sum->p99_ns, commy_record_get_uint (flow, "call-p99-ns"));
  sum->p50_sum += (double) calls * (double) commy_record_get_uint (flow, "call-p50-ns");
}

/* The calling sides of all nodes; instance -> Seen. A node that does not answer is told. */
static GHashTable *
ask_callers (CommyMesh *mesh, const char *service)
{
  GHashTable *seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (mesh, NULL, NULL);

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) flows
          = commy_lookup_ask_for (mesh, nodes->pdata[i], "Flows", NULL, "aa{sv}", &error);
      gsize n = flows != NULL ? g_variant_n_children (flows) : 0;

      if (flows == NULL)
        commy_cli_fail (error);
      for (gsize j = 0; j < n; j++)
        {
          g_autoptr (GVariant) flow = g_variant_get_child_value (flows, j);

          if (strcmp (commy_record_get_string (flow, "side"), "calls") == 0
              && strcmp (commy_record_get_string (flow, "service"), service) == 0)
            add_seen (seen, flow);
        }
    }
  return seen;
}

/* --- what the instance's node counts --- */

/* (transfer full) (nullable): the org.commy.Node1 instance of the node of an instance */
static GVariant *
find_node (GPtrArray *nodes, GVariant *instance)
{
  const char *id = commy_record_get_string (instance, "node");

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    if (id[0] != '\0' && strcmp (commy_record_get_string (nodes->pdata[i], "node"), id) == 0)
      return g_variant_ref (nodes->pdata[i]);
  return NULL;
}

/* (transfer full) (nullable): the offer in the node's Stats */
static GVariant *
ask_offer (CommyMesh *mesh, GVariant *node, const char *instance, GError **error)
{
  g_autoptr (GVariant) stats = commy_lookup_ask_for (mesh, node, "Stats", NULL, "a{sv}", error);
  g_autoptr (GVariant) offers
      = stats != NULL ? g_variant_lookup_value (stats, "offers", G_VARIANT_TYPE ("aa{sv}")) : NULL;
  gsize n = offers != NULL ? g_variant_n_children (offers) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) offer = g_variant_get_child_value (offers, i);

      if (strcmp (commy_record_get_string (offer, "instance"), instance) == 0)
        return g_steal_pointer (&offer);
    }
  if (stats != NULL)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "instance %.8s is not offered any more",
                         instance);
  return NULL;
}

static void
add_uint (GVariantBuilder *record, const char *key, guint64 number)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_uint64 (number));
}

/* @offer: NULL: its node does not answer */
static GVariant *
describe (GVariant *instance, GVariant *offer, const Seen *seen)
{
  static const char *const of_offer[]
      = { "channels", "in-flight", "served", "served-failed", "received", "sent" };
  static const char *const of_record[] = { "instance", "node", "host" };
  const Seen none = { 0 };
  GVariantBuilder record;

  seen = seen != NULL ? seen : &none;
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < G_N_ELEMENTS (of_record); i++)
    g_variant_builder_add (&record, "{sv}", of_record[i],
                           g_variant_new_string (commy_record_get_string (instance, of_record[i])));
  for (guint i = 0; offer != NULL && i < G_N_ELEMENTS (of_offer); i++)
    add_uint (&record, of_offer[i], commy_record_get_uint (offer, of_offer[i]));
  add_uint (&record, "calls", seen->calls);
  add_uint (&record, "failed", seen->failed);
  if (seen->calls > 0)
    {
      add_uint (&record, "p50-ns", (guint64) (seen->p50_sum / (double) seen->calls));
      add_uint (&record, "p99-ns", seen->p99_ns);
    }
  return g_variant_ref_sink (g_variant_builder_end (&record));
}

static void
add_count (CommyTable *table, GVariant *record, const char *key)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (record, key, G_VARIANT_TYPE_UINT64);

  if (value != NULL)
    commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, g_variant_get_uint64 (value)));
  else
    commy_table_add (table, NULL);
}

static void
add_time (CommyTable *table, GVariant *record, const char *key)
{
  guint64 ns = commy_record_get_uint (record, key);

  if (ns > 0)
    commy_table_take (table, commy_quantity_format_ns ((double) ns));
  else
    commy_table_add (table, NULL);
}

static void
add_who (CommyTable *table, GVariant *record)
{
  commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (record, "instance")));
  commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (record, "node")));
  commy_table_add (table, commy_record_get_string (record, "host"));
}

static void
add_stats_row (CommyTable *table, GVariant *record)
{
  add_who (table, record);
  add_count (table, record, "calls");
  add_count (table, record, "failed");
  add_count (table, record, "in-flight");
  add_count (table, record, "served");
  add_count (table, record, "served-failed");
  add_count (table, record, "received");
  add_count (table, record, "sent");
  add_time (table, record, "p50-ns");
  add_time (table, record, "p99-ns");
}

CommyExit
commy_service_view_stats (CommyCli *cli, CommyMesh *mesh, const char *service)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_service (mesh, service, &error);
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (mesh, NULL, NULL);
  g_autoptr (GHashTable) seen = NULL;
  g_autoptr (CommyTable) table
      = commy_table_new ("INSTANCE", "NODE", "HOST", "CALLS", "FAILED", "IN FLIGHT", "SERVED",
                         "ERRORS", "RECEIVED", "SENT", "P50", "P99", NULL);
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder records;

  if (instances == NULL)
    return commy_cli_fail (error);
  seen = ask_callers (mesh, service);
  g_variant_builder_init (&records, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < instances->len; i++)
    {
      g_autoptr (GError) cause = NULL;
      const char *id = commy_record_get_string (instances->pdata[i], "instance");
      g_autoptr (GVariant) node = find_node (nodes, instances->pdata[i]);
      g_autoptr (GVariant) offer = node != NULL ? ask_offer (mesh, node, id, &cause) : NULL;
      g_autoptr (GVariant) record
          = describe (instances->pdata[i], offer, g_hash_table_lookup (seen, id));

      if (cause != NULL)
        status = commy_cli_fail (cause);
      add_stats_row (table, record);
      g_variant_builder_add_value (&records, record);
    }
  if (cli->json)
    commy_cli_json (cli, g_variant_builder_end (&records));
  else
    {
      g_variant_builder_clear (&records);
      commy_table_print (table);
    }
  return status;
}

/* --- round trips --- */

typedef struct
{
  guint sent, answered;
  guint64 min_ns, max_ns, sum_ns;
  GError *error; /* of the last that failed */
} Trips;

static void
trips_clear (Trips *trips)
{
  g_clear_error (&trips->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Trips, trips_clear)

static guint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (guint64) now.tv_sec * 1000000000u + (guint64) now.tv_nsec;
}

/* One that does not count: it connects. */
static void
make_trips (CommyMesh *mesh, GVariant *node, gint count, Trips *trips)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, COMMY_NODE_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  commy_call_options_set_idempotent (options, TRUE);
  commy_call_options_set_timeout (options, PING_TIMEOUT_US);
  commy_client_set_instance (client, commy_record_get_string (node, "instance"));
  for (gint i = -1; i < count; i++)
    {
      guint64 began = now_ns (), took;
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer
          = commy_client_call_sync (client, "Ping", NULL, options, NULL, &error);

      took = now_ns () - began;
      if (answer == NULL)
        {
          g_clear_error (&trips->error);
          trips->error = g_steal_pointer (&error);
        }
      if (i < 0 && answer != NULL)
        continue;
      trips->sent++;
      /* Who cannot be connected to is not asked again. */
      if (i < 0)
        return;
      if (answer == NULL)
        continue;
      trips->min_ns = trips->answered == 0 ? took : MIN (trips->min_ns, took);
      trips->max_ns = MAX (trips->max_ns, took);
      trips->sum_ns += took;
      trips->answered++;
    }
}

static GVariant *
describe_trips (GVariant *instance, const Trips *trips)
{
  static const char *const of_record[] = { "instance", "node", "host" };
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < G_N_ELEMENTS (of_record); i++)
    g_variant_builder_add (&record, "{sv}", of_record[i],
                           g_variant_new_string (commy_record_get_string (instance, of_record[i])));
  add_uint (&record, "sent", trips->sent);
  add_uint (&record, "answered", trips->answered);
  if (trips->answered > 0)
    {
      add_uint (&record, "min-ns", trips->min_ns);
      add_uint (&record, "avg-ns", trips->sum_ns / trips->answered);
      add_uint (&record, "max-ns", trips->max_ns);
    }
  if (trips->error != NULL)
    g_variant_builder_add (&record, "{sv}", "error", g_variant_new_string (trips->error->message));
  return g_variant_ref_sink (g_variant_builder_end (&record));
}

static void
add_trips_row (CommyTable *table, GVariant *record)
{
  add_who (table, record);
  add_count (table, record, "sent");
  add_count (table, record, "answered");
  add_time (table, record, "min-ns");
  add_time (table, record, "avg-ns");
  add_time (table, record, "max-ns");
}

CommyExit
commy_service_view_ping (CommyCli *cli, CommyMesh *mesh, const char *service, gint count)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = commy_lookup_service (mesh, service, &error);
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (mesh, NULL, NULL);
  g_autoptr (CommyTable) table
      = commy_table_new ("INSTANCE", "NODE", "HOST", "SENT", "ANSWERED", "MIN", "AVG", "MAX", NULL);
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder records;

  if (instances == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&records, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < instances->len; i++)
    {
      g_auto (Trips) trips = { 0 };
      g_autoptr (GVariant) node = find_node (nodes, instances->pdata[i]);
      g_autoptr (GVariant) record = NULL;

      if (node != NULL)
        make_trips (mesh, node, count, &trips);
      else
        commy_cli_set_error (&trips.error, COMMY_ERROR_UNREACHABLE,
                             "the node of instance %.8s is not in the mesh",
                             commy_record_get_string (instances->pdata[i], "instance"));
      if (trips.error != NULL)
        status = commy_cli_fail (trips.error);
      record = describe_trips (instances->pdata[i], &trips);
      add_trips_row (table, record);
      g_variant_builder_add_value (&records, record);
    }
  if (cli->json)
    commy_cli_json (cli, g_variant_builder_end (&records));
  else
    {
      g_variant_builder_clear (&records);
      commy_table_print (table);
    }
  return status;
}
