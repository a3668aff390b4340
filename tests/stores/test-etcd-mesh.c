/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs on the store "etcd" that do not know of it: they register, call, are killed and
 * replaced, and come back after a lease that ended under them.
 */
#include "config.h"

#include "etcd-cluster.h"
#include "tests/mesh/mesh-fixture.h"

#include <string.h>

static EtcdCluster *cluster;

static char *
settings (void)
{
  return g_strdup_printf ("store=etcd\n[plugin store/etcd]\nparam.endpoints=%s\n",
                          etcd_cluster_get_endpoints (cluster));
}

static gint32
ask_pid (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  gint32 pid = 0;

  g_assert_no_error (error);
  g_variant_get (answer, "(i)", &pid);
  return pid;
}

static void
leave (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
}

static void
test_replacement (MeshFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = settings ();
  ServiceChild *first = service_child_start (fixture, text, 1);
  ServiceChild *second;
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, text);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);

  g_assert_cmpint (ask_pid (client), ==, first->pid);
  second = service_child_start (fixture, text, 1);
  service_child_kill (first);
  g_assert_cmpint (ask_pid (client), ==, second->pid);
  service_child_free (first);
  service_child_free (second);
  leave (mesh);
}

/* Number of instances in etcd; they are in JSON as "count". */
static gint64
count_instances (void)
{
  /* commy/test/services/ and what follows it */
  g_autofree char *answer = etcd_cluster_post (
      cluster, 0, "/v3/kv/range",
      "{\"key\":\"Y29tbXkvdGVzdC9zZXJ2aWNlcy8=\",\"range_end\":\"Y29tbXkvdGVzdC9zZXJ2aWNlczA=\","
      "\"count_only\":true}");
  const char *count = strstr (answer, "\"count\":\"");

  return count != NULL ? g_ascii_strtoll (count + strlen ("\"count\":\""), NULL, 10) : 0;
}

/* Ends every lease there is, as time does with those whose owners were stopped for too long. */
static void
end_leases (void)
{
  g_autofree char *answer = etcd_cluster_post (cluster, 0, "/v3/lease/leases", "{}");
  guint n = 0;

  for (const char *at = strstr (answer, "\"ID\":\""); at != NULL; at = strstr (at + 1, "\"ID\":\""))
    {
      const char *id = at + strlen ("\"ID\":\"");
      g_autofree char *body = g_strdup_printf ("{\"ID\":\"%.*s\"}", (int) strcspn (id, "\""), id);
      g_autofree char *said = etcd_cluster_post (cluster, 0, "/v3/lease/revoke", body);

      g_assert_nonnull (said);
      n++;
    }
  g_assert_cmpuint (n, >=, 2);
}

static void
test_lost_lease (MeshFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = settings ();
  ServiceChild *child = service_child_start (fixture, text, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, text);
  g_autoptr (CommyMesh) late = NULL;
  g_autoptr (CommyClient) client = NULL;
  gint64 n = count_instances ();

  g_assert_cmpint (n, ==, 3); /* two nodes and the service */
  end_leases ();
  while (count_instances () < n) /* each look is an answer of etcd */
    continue;
  late = mesh_fixture_join (fixture, text);
  client = commy_client_new (late, TEST_SERVICE);
  g_assert_cmpint (ask_pid (client), ==, child->pid);
  leave (late);
  leave (mesh);
  service_child_free (child);
}

static void
test_store_away (MeshFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = settings ();
  ServiceChild *child = service_child_start (fixture, text, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, text);
  g_autoptr (CommyMesh) refused = NULL;
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autofree char *impatient = g_strconcat (text, "param.timeout=200ms\n", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (ask_pid (client), ==, child->pid);
  etcd_cluster_kill (cluster, 0);
  g_assert_cmpint (ask_pid (client), ==, child->pid); /* calls never ask it */
  refused = mesh_fixture_new (fixture, impatient, &error);
  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (refused, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STORE);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "127.0.0.1"));
  etcd_cluster_start (cluster, 0);
  etcd_cluster_wait (cluster, 0);
  g_assert_cmpint (ask_pid (client), ==, child->pid);
  leave (mesh);
  service_child_free (child);
}

#define ADD(path, test)                                                               \
  g_test_add ("/store/etcd/mesh/" path, MeshFixture, NULL, mesh_fixture_set_up, test, \
              mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status = 0;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  if (!etcd_is_there ())
    {
      g_print ("1..0 # SKIP etcd is not installed\n");
      return 0;
    }
  cluster = etcd_cluster_new (1, FALSE);
  ADD ("a-lease-that-ended-is-taken-anew", test_lost_lease);
  ADD ("a-killed-instance-is-replaced", test_replacement);
  ADD ("calls-go-on-while-the-store-is-away", test_store_away);
  status = g_test_run ();
  etcd_cluster_free (cluster);
  return status;
}
