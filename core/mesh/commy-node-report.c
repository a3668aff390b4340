/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records about this node: its channels of both sides, sums over them, and the interfaces of what
 * it offers. Read where they are kept, without stopping anybody for longer than a moment.
 */
#include "config.h"

#include "mesh/commy-node-report.h"

#include "mesh/commy-service-private.h"
#include "mesh/commy-topics.h"

#include <string.h>

/* A thread that spins is inside for microseconds at a time; one in a handler for much longer. */
#define ENTER_TRIES 40u
#define ENTER_PAUSE_US 50u

static gboolean
enter_soon (CommyWorker *worker)
{
  for (guint i = 0; i < ENTER_TRIES; i++)
    {
      if (commy_worker_try_enter (worker))
        return TRUE;
      g_usleep (ENTER_PAUSE_US);
    }
  return FALSE;
}

guint
commy_node_visit_workers (CommyMesh *mesh, GFunc func, gpointer data)
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (mesh);
  guint busy = 0;

  for (guint i = 0; i < workers->len; i++)
    {
      CommyMeshWorker *worker = workers->pdata[i];

      if (!enter_soon (worker->worker))
        {
          busy++;
          continue;
        }
      func (worker, data);
      commy_worker_exit (worker->worker);
    }
  return busy;
}

typedef struct
{
  GFunc func;
  gpointer data;
} Visit;

static void
visit_worker (gpointer worker, gpointer data)
{
  const Visit *visit = data;

  commy_worker_foreach_channel (((CommyMeshWorker *) worker)->worker, visit->func, visit->data);
}

guint
commy_node_report_visit_channels (CommyMesh *mesh, GFunc func, gpointer data)
{
  Visit visit = { func, data };

  return commy_node_visit_workers (mesh, visit_worker, &visit);
}

/* --- flows --- */

static void
describe_open (gpointer channel, gpointer flows)
{
  if (commy_channel_is_open (channel))
    commy_channel_describe (channel, flows);
}

GVariant *
commy_node_report_flows (CommyMesh *mesh)
{
  GVariantBuilder flows;

  g_variant_builder_init (&flows, G_VARIANT_TYPE ("aa{sv}"));
  commy_node_report_visit_channels (mesh, describe_open, &flows);
  return g_variant_builder_end (&flows);
}

/* --- counts --- */

typedef struct
{
  guint channels;
  CommyCounters counters;
} Sum;

typedef struct
{
  Sum calls;           /* channels that this node opened */
  Sum serves;          /* channels that others opened */
  GHashTable *by_name; /* instance id -> Sum, of the second kind */
} Sums;

static void
sum_add (Sum *sum, CommyChannel *channel)
{
  sum->channels++;
  commy_counters_merge (&sum->counters, commy_channel_get_counters (channel));
}

static void
add_up (gpointer channel, gpointer data)
{
  Sums *sums = data;
  const char *instance = commy_channel_get_instance (channel);
  Sum *own;

  if (!commy_channel_is_open (channel))
    return;
  if (!commy_channel_is_accepting (channel))
    {
      sum_add (&sums->calls, channel);
      return;
    }
  sum_add (&sums->serves, channel);
  own = g_hash_table_lookup (sums->by_name, instance);
  if (own == NULL)
    {
      own = g_new0 (Sum, 1);
      g_hash_table_insert (sums->by_name, g_strdup (instance), own);
    }
  sum_add (own, channel);
}

static void
add_uint (GVariantBuilder *record, const char *key, guint number)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_uint32 (number));
}

static void
add_sum (GVariantBuilder *record, const Sum *sum)
{
  add_uint (record, "channels", sum->channels);
  commy_counters_describe (&sum->counters, record);
}

static GVariant *
describe_sum (const Sum *sum)
{
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_sum (&record, sum);
  return g_variant_builder_end (&record);
}

/* --- topics --- */

static const char *const publisher_keys[] = { "subscribers", "published", "delivered", "dropped" };
static const char *const subscription_keys[] = { "publishers", "received", NULL, "lost" };

/* @keys: what peers, published, sent and dropped are called; NULL: left out */
static void
describe_counts (GVariantBuilder *record, CommyTopicCounts *counts, const char *const *keys)
{
  const guint64 values[] = { __atomic_load_n (&counts->peers, __ATOMIC_RELAXED),
                             __atomic_load_n (&counts->published, __ATOMIC_RELAXED),
                             __atomic_load_n (&counts->sent, __ATOMIC_RELAXED),
                             __atomic_load_n (&counts->dropped, __ATOMIC_RELAXED) };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    if (keys[i] != NULL)
      g_variant_builder_add (record, "{sv}", keys[i], g_variant_new_uint64 (values[i]));
}

static GVariant *
describe_subscriptions (CommyMesh *mesh)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_mutex_lock (&mesh->lock);
  for (guint i = 0; i < mesh->watchers->len; i++)
    {
      CommyTopicWatcher *watcher = mesh->watchers->pdata[i];
      GVariantBuilder record;

      g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&record, "{sv}", "pattern", g_variant_new_string (watcher->pattern));
      describe_counts (&record, watcher->counts, subscription_keys);
      g_variant_builder_add_value (&list, g_variant_builder_end (&record));
    }
  g_mutex_unlock (&mesh->lock);
  return g_variant_builder_end (&list);
}

/* --- offers --- */

/* What the keyfile says that the service needs. */
static void
describe_needs (CommyService *service, GVariantBuilder *record)
{
  g_autofree char *group = g_strconcat ("service ", service->name, NULL);
  g_auto (GStrv) needs = commy_config_get_list (service->mesh->config, group, "depends");

  g_variant_builder_add (record, "{sv}", "depends",
                         g_variant_new_strv ((const char *const *) needs, -1));
}

static void
describe_offer (CommyService *service, const char *id, const Sum *sum, GVariantBuilder *offers)
{
  const Sum none = { 0 };
  GVariantBuilder record;
  guint in_flight, threads;

  g_mutex_lock (&service->lock);
  in_flight = __atomic_load_n (&service->in_flight, __ATOMIC_RELAXED);
  threads = service->threads->len;
  g_mutex_unlock (&service->lock);
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "service", g_variant_new_string (service->name));
  g_variant_builder_add (&record, "{sv}", "instance", g_variant_new_string (id));
  add_uint (&record, "methods", g_hash_table_size (service->methods));
  add_uint (&record, "threads", threads);
  add_uint (&record, "in-flight", in_flight);
  add_sum (&record, sum != NULL ? sum : &none);
  describe_needs (service, &record);
  if (service->counts != NULL)
    describe_counts (&record, service->counts, publisher_keys);
  g_variant_builder_add_value (offers, g_variant_builder_end (&record));
}

static GVariant *
describe_offers (CommyMesh *mesh, const Sums *sums)
{
  GVariantBuilder offers;
  GHashTableIter iter;
  gpointer id, service;

  g_variant_builder_init (&offers, G_VARIANT_TYPE ("aa{sv}"));
  g_hash_table_iter_init (&iter, mesh->offers);
  while (g_hash_table_iter_next (&iter, &id, &service))
    describe_offer (service, id, g_hash_table_lookup (sums->by_name, id), &offers);
  return g_variant_builder_end (&offers);
}

GVariant *
commy_node_report_stats (CommyMesh *mesh)
{
  g_autoptr (GHashTable) by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Sums sums = { .by_name = by_name };
  guint64 dropped = 0;
  GVariantBuilder record;
  guint busy = commy_node_report_visit_channels (mesh, add_up, &sums);

  for (guint i = 0; i < COMMY_DROP_LAST; i++)
    dropped += commy_ledger_get (&mesh->ledger, i);
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_uint (&record, "services", g_hash_table_size (mesh->offers));
  add_uint (&record, "listeners", mesh->listeners->len);
  add_uint (&record, "handshakes", commy_quota_get_used (mesh->setup.handshakes));
  add_uint (&record, "turned-away", (guint) g_atomic_int_get (&mesh->setup.turned_away));
  g_variant_builder_add (&record, "{sv}", "dropped", g_variant_new_uint64 (dropped));
  add_uint (&record, "busy-threads", busy);
  g_variant_builder_add (&record, "{sv}", "calls", describe_sum (&sums.calls));
  g_variant_builder_add (&record, "{sv}", "serves", describe_sum (&sums.serves));
  g_variant_builder_add (&record, "{sv}", "offers", describe_offers (mesh, &sums));
  g_variant_builder_add (&record, "{sv}", "subscriptions", describe_subscriptions (mesh));
  return g_variant_builder_end (&record);
}

/* --- interfaces --- */

static GVariant *
describe_arguments (GDBusArgInfo **arguments)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("a(ss)"));
  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    g_variant_builder_add (&list, "(ss)", arguments[i]->name != NULL ? arguments[i]->name : "",
                           arguments[i]->signature);
  return g_variant_builder_end (&list);
}

/* @info: NULL for a method that only has a handler. */
static void
add_method (GVariantBuilder *methods, const char *name, GDBusMethodInfo *info, gboolean handled)
{
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "name", g_variant_new_string (name));
  g_variant_builder_add (&record, "{sv}", "handled", g_variant_new_boolean (handled));
  g_variant_builder_add (&record, "{sv}", "typed", g_variant_new_boolean (info != NULL));
  if (info != NULL)
    {
      g_variant_builder_add (&record, "{sv}", "in", describe_arguments (info->in_args));
      g_variant_builder_add (&record, "{sv}", "out", describe_arguments (info->out_args));
    }
  g_variant_builder_add_value (methods, g_variant_builder_end (&record));
}

static GVariant *
describe_methods (CommyService *service)
{
  GDBusInterfaceInfo *interface = service->interface;
  g_autoptr (GList) names
      = g_list_sort (g_hash_table_get_keys (service->methods), (GCompareFunc) strcmp);
  GVariantBuilder methods;

  g_variant_builder_init (&methods, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0;
       interface != NULL && interface->methods != NULL && interface->methods[i] != NULL; i++)
    add_method (&methods, interface->methods[i]->name, interface->methods[i],
                g_hash_table_contains (service->methods, interface->methods[i]->name));
  for (GList *at = names; at != NULL; at = at->next)
    if (interface == NULL || g_dbus_interface_info_lookup_method (interface, at->data) == NULL)
      add_method (&methods, at->data, NULL, TRUE);
  return g_variant_builder_end (&methods);
}

char *
commy_node_report_dup_xml (GDBusInterfaceInfo *interface)
{
  GString *xml = g_string_new (NULL);

  if (interface == NULL)
    return g_string_free (xml, FALSE);
  g_string_append (xml, "<node>\n");
  g_dbus_interface_info_generate_xml (interface, 2, xml);
  g_string_append (xml, "</node>\n");
  return g_string_free (xml, FALSE);
}

static GVariant *
describe_interface (CommyService *service, const char *id)
{
  const char *name = service->interface != NULL ? service->interface->name : "";
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "service", g_variant_new_string (service->name));
  g_variant_builder_add (&record, "{sv}", "instance", g_variant_new_string (id));
  g_variant_builder_add (&record, "{sv}", "interface", g_variant_new_string (name));
  g_variant_builder_add (
      &record, "{sv}", "xml",
      g_variant_new_take_string (commy_node_report_dup_xml (service->interface)));
  g_variant_builder_add (&record, "{sv}", "methods", describe_methods (service));
  return g_variant_builder_end (&record);
}

GVariant *
commy_node_report_interfaces (CommyMesh *mesh, const char *service, const char *instance)
{
  GVariantBuilder list;
  GHashTableIter iter;
  gpointer id, offer;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_hash_table_iter_init (&iter, mesh->offers);
  while (g_hash_table_iter_next (&iter, &id, &offer))
    if ((service[0] == '\0' || strcmp (((CommyService *) offer)->name, service) == 0)
        && g_str_has_prefix (id, instance))
      g_variant_builder_add_value (&list, describe_interface (offer, id));
  return g_variant_builder_end (&list);
}
