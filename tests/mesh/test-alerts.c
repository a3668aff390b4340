/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Alerts of a running mesh: the program hears of them, a command is run, the node lists them.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

typedef struct
{
  GString *heard; /* "gone+ gone- " */
} Ear;

static void
on_alert (CommyMesh *mesh, const char *name, gboolean firing, GVariant *details, Ear *ear)
{
  const char *its_name = "", *severity = "", *text = "";

  g_assert_true (g_variant_lookup (details, "name", "&s", &its_name));
  g_assert_true (g_variant_lookup (details, "severity", "&s", &severity));
  g_assert_true (g_variant_lookup (details, "text", "&s", &text));
  g_assert_cmpstr (its_name, ==, name);
  g_assert_cmpstr (severity, ==, strcmp (name, "gone") == 0 ? "critical" : "warning");
  g_assert_cmpstr (text, !=, "");
  g_string_append_printf (ear->heard, "%s%c ", name, firing ? '+' : '-');
}

static gboolean
on_tick (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

static void
await_heard (Ear *ear, const char *words)
{
  gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  guint tick = g_timeout_add (20, on_tick, NULL);

  while (strstr (ear->heard->str, words) == NULL)
    {
      if (g_get_monotonic_time () > until)
        g_error ("heard \"%s\", not \"%s\"", ear->heard->str, words);
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
}

/* The state that the node itself tells. */
static char *
dup_state (CommyMesh *mesh, const char *name)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, "org.commy.Node1");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, &error);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GVariant) list = NULL;

  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node, *id;

      g_assert_true (g_variant_lookup (instance, "node", "&s", &node));
      g_assert_true (g_variant_lookup (instance, "instance", "&s", &id));
      if (strcmp (node, commy_mesh_get_node_id (mesh)) == 0)
        commy_client_set_instance (client, id);
    }
  answer = commy_client_call_sync (client, "Alerts", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  list = g_variant_get_child_value (answer, 0);
  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
      const char *its_name = "", *state = "";

      g_assert_true (g_variant_lookup (record, "name", "&s", &its_name));
      g_assert_true (g_variant_lookup (record, "state", "&s", &state));
      if (strcmp (its_name, name) == 0)
        return g_strdup (state);
    }
  return g_strdup ("none");
}

/* First nobody is there, then somebody who is unwell, then all is well. */
static void
test_instances (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->dir, "told", NULL);
  g_autofree char *settings
      = g_strdup_printf ("[alert gone]\nwhen=instances\nservice=" TEST_SERVICE "\nbelow=1\nfor=0\n"
                         "cool-down=0\nseverity=critical\n"
                         "command=sh -c 'echo \"$COMMY_ALERT $COMMY_ALERT_STATE\" >> %s'\n"
                         "[alert sick]\nwhen=unwell\nservice=" TEST_SERVICE "\nfor=0\n"
                         "[alert quiet]\nwhen=drops\nabove=1000000\n",
                         path);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (CommyMesh) other = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (other, 1);
  g_autoptr (GString) heard = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  Ear ear = { heard };
  g_autofree char *firing = NULL;
  g_autofree char *over = NULL;
  g_autofree char *quiet = NULL;
  g_autofree char *text = NULL;

  g_signal_connect (mesh, "alert", G_CALLBACK (on_alert), &ear);
  await_heard (&ear, "gone+ ");
  firing = dup_state (mesh, "gone");
  g_assert_cmpstr (firing, ==, "firing");
  commy_service_set_health (service, FALSE, "flu");
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  await_heard (&ear, "gone+ sick+ ");
  commy_service_set_health (service, TRUE, NULL);
  await_heard (&ear, "gone+ sick+ gone- sick- ");
  over = dup_state (mesh, "gone");
  g_assert_cmpstr (over, ==, "quiet");
  quiet = dup_state (mesh, "quiet");
  g_assert_cmpstr (quiet, ==, "quiet");
  while (!g_file_get_contents (path, &text, NULL, NULL) || strstr (text, "gone over\n") == NULL)
    {
      g_clear_pointer (&text, g_free);
      g_usleep (2000);
    }
  g_assert_cmpstr (text, ==, "gone firing\ngone over\n");
  commy_mesh_leave_sync (other, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_calls (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (
      fixture, "[alert errors]\nwhen=errors\nservice=" TEST_SERVICE "\nabove=40%\nfor=0\nover=5s\n"
               "[alert slow]\nwhen=latency-p99\nabove=1ns\nfor=0\n"
               "[alert fat]\nwhen=memory\nabove=1\nfor=0\ncommand=sleep 1000\n"
               "[alert busy]\nwhen=load\nbelow=1000000\nfor=0\n"
               "[alert away]\nwhen=store-away\nfor=0\n"
               "[alert others]\nwhen=errors\nservice=org.example.Other\nabove=0\nfor=0\n");
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GString) heard = g_string_new (NULL);
  Ear ear = { heard };

  g_signal_connect (mesh, "alert", G_CALLBACK (on_alert), &ear);
  while (strstr (heard->str, "errors+ ") == NULL || strstr (heard->str, "slow+ ") == NULL)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) well = commy_client_call_sync (
          client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);
      g_autoptr (GVariant) none = NULL;

      g_assert_no_error (error);
      none = commy_client_call_sync (client, "Fail", NULL, NULL, NULL, &error);
      g_assert_null (none);
      g_usleep (1000);
      g_main_context_iteration (NULL, FALSE);
    }
  await_heard (&ear, "fat+ ");
  await_heard (&ear, "busy+ ");
  g_assert_null (strstr (heard->str, "others"));
  g_assert_null (strstr (heard->str, "away"));
  commy_mesh_leave_sync (mesh, NULL, NULL); /* although a command goes on for long */
  service_child_free (child);
}

/* What somebody calls that is not there is dropped here, and counts here. */
static void
test_drops (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_join (fixture, "[alert lost]\nwhen=drops\nabove=0\nfor=0\nover=60s\n");
  g_autoptr (CommyMesh) other = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (other, TEST_SERVICE);
  g_autoptr (GString) heard = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  Ear ear = { heard };

  g_signal_connect (mesh, "alert", G_CALLBACK (on_alert), &ear);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  while (strstr (heard->str, "lost+ ") == NULL)
    {
      g_clear_error (&error);
      g_assert_null (commy_client_call_sync (client, "Nothing", NULL, NULL, NULL, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_METHOD);
      g_usleep (1000);
      g_main_context_iteration (NULL, FALSE);
    }
  commy_mesh_leave_sync (other, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* A record that cannot be read is news about the store, not that it is away. */
static void
test_unreadable_record (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) writer = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GBytes) junk = g_bytes_new_static ("junk", 4);
  g_autoptr (GString) heard = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  Ear ear = { heard };

  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* the log says why */
  commy_mesh_store_put_sync (writer, "services/org.commy.Node1/junk", junk,
                             COMMY_STORE_ANY_REVISION, COMMY_STORE_WRITE_RESERVED, NULL, &error);
  g_assert_no_error (error);
  mesh = mesh_fixture_join (fixture, "[alert away]\nwhen=store-away\nfor=0\n"
                                     "[alert fat]\nwhen=memory\nabove=1\nfor=0\n");
  g_signal_connect (mesh, "alert", G_CALLBACK (on_alert), &ear);
  await_heard (&ear, "fat+ ");
  g_assert_null (strstr (heard->str, "away"));
  commy_mesh_leave_sync (mesh, NULL, NULL);
  commy_mesh_leave_sync (writer, NULL, NULL);
}

static void
test_bad_rule (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (
      fixture, "[alert one]\nwhen=drops\nabove=1\n[alert two]\nwhen=errors\n", &error);

  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  g_assert_nonnull (strstr (error->message, "[alert two]"));
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) \
  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, func, mesh_fixture_tear_down)
  ADD ("/mesh/alerts/no-instance-fires-and-a-new-one-ends-it", test_instances);
  ADD ("/mesh/alerts/figures-of-calls-and-of-the-process", test_calls);
  ADD ("/mesh/alerts/what-is-dropped-fires", test_drops);
  ADD ("/mesh/alerts/a-record-that-cannot-be-read-is-no-store-that-is-away",
       test_unreadable_record);
  ADD ("/mesh/alerts/a-rule-that-cannot-be-keeps-from-joining", test_bad_rule);
#undef ADD
  return g_test_run ();
}
