/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the choice of a path costs against an oracle: the same call over each transport alone, and
 * as the library chooses after its probes. The chosen row is compared with the best of the others.
 */
#include "config.h"

#include "bench.h"

#include <string.h>

#define WARM_UP 20000
#define CALLS 5000
#define PAYLOAD 64

static gboolean
call_often (CommyClient *client, gint64 *ns, gsize n, GError **error)
{
  static const guint8 payload[PAYLOAD] = { 0 };
  g_autoptr (GBytes) bytes = g_bytes_new_static (payload, sizeof payload);

  for (gsize i = 0; i < n; i++)
    {
      gint64 start = bench_now ();
      g_autoptr (GBytes) got
          = commy_client_call_bytes_sync (client, "Echo", bytes, NULL, NULL, error);

      if (got == NULL)
        return FALSE;
      if (ns != NULL)
        ns[i] = bench_now () - start;
    }
  return TRUE;
}

/* @transport NULL: as the library chooses. */
static gboolean
measure (Bench *bench,
         CommyMesh *mesh,
         const char *name,
         const char *transport,
         const char *limit,
         GError **error)
{
  const char *const ids[] = { transport, NULL };
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  gsize n = bench_count (bench, CALLS);
  g_autofree gint64 *ns = g_new (gint64, n);

  if (transport != NULL)
    {
      commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, ids);
      commy_client_set_requirements (client, requirements);
    }
  if (!call_often (client, NULL, bench_count (bench, WARM_UP), error)
      || !call_often (client, ns, n, error))
    return FALSE;
  bench_add (bench, name, "adaptive", PAYLOAD, limit, ns, n);
  return TRUE;
}

/* Every transport that is allowed, each once. (transfer full) */
static GPtrArray *
list_allowed (GVariant *decision)
{
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GVariant) rows = g_variant_lookup_value (decision, "candidates", NULL);
  GVariantIter iter;
  GVariant *row;

  g_variant_iter_init (&iter, rows);
  while (g_variant_iter_loop (&iter, "@a{sv}", &row))
    {
      const char *id = NULL;
      gboolean allowed = FALSE;

      g_variant_lookup (row, "transport", "&s", &id);
      g_variant_lookup (row, "allowed", "b", &allowed);
      if (allowed && !g_ptr_array_find_with_equal_func (ids, id, g_str_equal, NULL))
        g_ptr_array_add (ids, g_strdup (id));
    }
  return ids;
}

static gboolean
measure_all (Bench *bench, CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (CommyDecision) decision = commy_client_explain (client, PAYLOAD, NULL, NULL, error);
  g_autoptr (GVariant) record = NULL;
  g_autoptr (GPtrArray) ids = NULL;
  g_autofree char *best = NULL;
  double least = G_MAXDOUBLE;

  if (decision == NULL)
    return FALSE;
  record = commy_decision_to_variant (decision);
  ids = list_allowed (record);
  for (guint i = 0; i < ids->len; i++)
    {
      g_autofree char *name = g_strdup_printf ("call over %s alone", (char *) ids->pdata[i]);
      const BenchRow *row;

      if (!measure (bench, mesh, name, ids->pdata[i], NULL, error))
        return FALSE;
      row = bench->rows->pdata[bench->rows->len - 1];
      if (row->p50 >= least)
        continue;
      least = row->p50;
      g_free (best);
      best = g_strdup (name);
    }
  return measure (bench, mesh, "call as it is chosen", NULL, best, error);
}

gboolean
bench_choice (Bench *bench, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (bench, "adaptive", NULL);
  g_autoptr (CommyMesh) mesh = NULL;
  BenchChild server;
  gboolean ok = FALSE;

  if (!bench_child_start (bench, "serve", keyfile, &server, error))
    return FALSE;
  if (bench_child_wait (&server, error) && (mesh = bench_join (keyfile, error)) != NULL)
    {
      ok = measure_all (bench, mesh, error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  return bench_child_end (&server, ok ? error : NULL) && ok;
}
