/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the router thinks: a decision told with its whole record, through the public API; and
 * its hot path and a re-score, which no API shows, by a program of their own where it was built.
 */
#include "config.h"

#include "node.h"

#include <json-glib/json-glib.h>

static gboolean
explain (gpointer data, GError **error)
{
  g_autoptr (CommyDecision) decision = commy_client_explain (data, 4096, NULL, NULL, error);

  return decision != NULL;
}

static gboolean
explain_often (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "explained/4096");
  return bench_time_each (run, id, 4096, explain, client, error);
}

gboolean
scene_decision (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, explain_often, error);
}

/* --- lines of bench-route: {"row":"hot-path","p50_ns":8.2} --- */

static void
take_line (BenchRun *run, const BenchScene *scene, const char *line)
{
  g_autoptr (JsonNode) node = json_from_string (line, NULL);
  JsonObject *object
      = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *row;
  char id[BENCH_ID_MAX];

  if (object == NULL || !json_object_has_member (object, "row")
      || !json_object_has_member (object, "p50_ns"))
    return;
  row = json_object_get_string_member (object, "row");
  bench_id (id, scene, "%s", row);
  bench_tell (run, id, BENCH_TIME, 0, 1, json_object_get_double_member (object, "p50_ns"));
}

gboolean
scene_route (BenchRun *run, const BenchScene *scene, GError **error)
{
  const char *argv[] = { BENCH_BUILD_DIR "/bench/bench-route", "-o", "json", NULL, NULL };
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  int status;

  if (!g_file_test (argv[0], G_FILE_TEST_IS_EXECUTABLE))
    {
      bench_tell_missing (run, scene->name, "bench/bench-route was not built");
      return TRUE;
    }
  if (run->length == BENCH_SMOKE)
    argv[3] = "--smoke";
  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text, NULL, &status,
                     error)
      || !g_spawn_check_wait_status (status, error))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    take_line (run, scene, lines[i]);
  return TRUE;
}
