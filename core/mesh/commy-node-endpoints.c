/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the clients of this process know of the instances of a service: one record for each thread
 * that calls it and each instance it may call.
 */
#include "config.h"

#include "mesh/commy-health-checks.h"
#include "mesh/commy-node-report.h"
#include "mesh/commy-survey.h"
#include "mesh/commy-ward.h"

#include <string.h>

typedef struct
{
  CommyMesh *mesh;
  const char *service;
  GVariantBuilder *records;
} Visit;

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text != NULL ? text : ""));
}

static void
add_uint (GVariantBuilder *record, const char *key, guint32 number)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_uint32 (number));
}

static CommyPath *
find_open_path (CommyPeer *peer)
{
  for (guint i = 0; i < peer->paths->len; i++)
    if (commy_path_is_up (peer->paths->pdata[i]))
      return peer->paths->pdata[i];
  return NULL;
}

/* What is known of the instances of a snapshot now; a peer keeps its first record. */
typedef struct
{
  const CommyInstance *instance;
  guint level;
} Known;

/* (transfer full): instance id -> Known */
static GHashTable *
index_snapshot (const CommySnapshot *snapshot)
{
  GHashTable *index
      = g_hash_table_new_full (commy_instance_hash, commy_instance_equal, NULL, g_free);
  const CommySurvey *survey = snapshot->survey;

  for (guint i = 0; i < snapshot->instances->len; i++)
    {
      CommyInstance *instance = snapshot->instances->pdata[i];
      Known *known = g_new (Known, 1);

      *known = (Known){ instance, survey != NULL && i < survey->n_instances
                                      ? survey->instances[i]->level
                                      : COMMY_LEVEL_ELSEWHERE };
      g_hash_table_insert (index, instance, known);
    }
  return index;
}

/* What a call there took lately, whatever carried it. */
static gint64
get_mean_ns (CommyPath *path)
{
  const CommyCounters *counters = commy_channel_get_counters (path->channel);
  const guint64 n = commy_histogram_total (&counters->call_ns);

  return n > 0 ? (gint64) (counters->call_ns.sum / n) : 0;
}

/* As the service has it; where only a method's own guard leaves it out, as that one has it. */
static void
view_all (CommyWard *ward, guint index, gint64 now_ns, CommyGuardView *out_view)
{
  commy_guard_view (commy_ward_get_guard (ward, ""), index, now_ns, out_view);
  for (guint i = 1; i < ward->guards->len; i++)
    {
      CommyWardGuard *of_method = ward->guards->pdata[i];
      const guint in_flight = out_view->in_flight;
      CommyGuardView view;

      commy_guard_view (&of_method->guard, index, now_ns, &view);
      if (out_view->why == NULL && view.why != NULL)
        {
          *out_view = view;
          out_view->why = g_strdup_printf ("%s: %s", of_method->method, view.why);
        }
      out_view->in_flight = in_flight + view.in_flight;
      g_free (view.why);
    }
}

/* Of an endpoint that no store lists neither is known, but by looking. */
static void
add_known (GVariantBuilder *record, CommyMesh *mesh, const CommyInstance *instance)
{
  CommyHealthFinding finding;

  commy_health_checks_get (mesh->health, instance, &finding);
  g_variant_builder_add (record, "{sv}", "listed",
                         g_variant_new_boolean (instance->origin == NULL));
  add_text (record, "version", instance->version);
  add_text (record, "health", commy_health_state_to_string (finding.state));
}

static void
describe (const Visit *visit, CommyWard *ward, GHashTable *listed, guint index, gint64 now_ns)
{
  CommyPeer *peer = ward->members->pdata[index];
  const Known *known = g_hash_table_lookup (listed, peer->instance);
  const CommyInstance *instance = known != NULL ? known->instance : peer->instance;
  CommyPath *path = find_open_path (peer);
  GVariantBuilder record;
  CommyGuardView view;

  view_all (ward, index, now_ns, &view);
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "instance", instance->id);
  add_text (&record, "host", instance->host);
  add_text (&record, "zone", instance->zone);
  add_uint (&record, "level", known != NULL ? known->level : COMMY_LEVEL_ELSEWHERE);
  add_text (&record, "transport", path != NULL ? path->transport->note.id : "");
  add_known (&record, visit->mesh, instance);
  add_text (&record, "state", view.state);
  add_uint (&record, "weight", instance->weight);
  add_uint (&record, "in-flight", view.in_flight);
  g_variant_builder_add (&record, "{sv}", "mean",
                         g_variant_new_uint64 (path != NULL ? (guint64) get_mean_ns (path) : 0));
  g_variant_builder_add (&record, "{sv}", "success", g_variant_new_double (view.success));
  g_variant_builder_add (&record, "{sv}", "until",
                         g_variant_new_uint64 ((guint64) MAX (view.until_ns - now_ns, 0)));
  add_text (&record, "why", view.why);
  g_free (view.why);
  g_variant_builder_add_value (visit->records, g_variant_builder_end (&record));
}

static void
visit_worker (gpointer data, gpointer user_data)
{
  CommyMeshWorker *worker = data;
  const Visit *visit = user_data;
  const gint64 now_ns = commy_env_now (visit->mesh->env);
  CommyWard *ward = g_hash_table_lookup (worker->peers->wards, visit->service);
  g_autoptr (GHashTable) listed = NULL;

  if (ward == NULL || ward->members->len == 0)
    return;
  listed = index_snapshot (ward->snapshot);
  for (guint i = 0; i < ward->members->len; i++)
    describe (visit, ward, listed, i, now_ns);
}

GVariant *
commy_node_report_endpoints (CommyMesh *mesh, const char *service)
{
  GVariantBuilder records;
  Visit visit = { mesh, service, &records };

  g_variant_builder_init (&records, G_VARIANT_TYPE ("aa{sv}"));
  commy_node_visit_workers (mesh, visit_worker, &visit);
  return g_variant_builder_end (&records);
}
