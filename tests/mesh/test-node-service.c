/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a node tells about itself: its channels of both sides, sums of them, and the interfaces
 * of what it offers. And the facts about places that a mesh gives without being joined.
 */
#include "config.h"

#include "mesh-scene.h"

#include <string.h>

/* (transfer full) (nullable): the record that says @side and @service */
static GVariant *
find_flow (GVariant *flows, const char *side, const char *service)
{
  gsize n = g_variant_n_children (flows);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *its_side = "", *its_service = "";

      g_variant_lookup (flow, "side", "&s", &its_side);
      g_variant_lookup (flow, "service", "&s", &its_service);
      if (strcmp (side, its_side) == 0 && strcmp (service, its_service) == 0)
        return g_steal_pointer (&flow);
    }
  return NULL;
}

static guint64
get (GVariant *record, const char *key)
{
  guint64 number = 0;
  guint32 narrow = 0;

  if (!g_variant_lookup (record, key, "t", &number))
    {
      g_assert_true (g_variant_lookup (record, key, "u", &narrow));
      return narrow;
    }
  return number;
}

static void
call_add (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) sum
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
}

/* What a node received is told beside what it issued, of the node and of each offer. */
static void
check_sums_of_server (CommyMesh *server)
{
  g_autoptr (GVariant) stats = mesh_ask_node (server, "Stats", NULL);
  g_autoptr (GVariant) serves = g_variant_lookup_value (stats, "serves", G_VARIANT_TYPE_VARDICT);
  g_autoptr (GVariant) offers = g_variant_lookup_value (stats, "offers", NULL);
  guint n = 0;

  g_assert_cmpuint (get (serves, "served"), >=, 11);
  g_assert_cmpuint (get (serves, "calls"), ==, 0);
  for (gsize i = 0; i < g_variant_n_children (offers); i++)
    {
      g_autoptr (GVariant) offer = g_variant_get_child_value (offers, i);
      const char *service = "";

      g_variant_lookup (offer, "service", "&s", &service);
      if (strcmp (service, TEST_SERVICE) != 0)
        continue;
      n++;
      g_assert_cmpuint (get (offer, "served"), ==, 11);
      g_assert_cmpuint (get (offer, "served-failed"), ==, 1);
    }
  g_assert_cmpuint (n, ==, 1);
}

static void
test_flows_of_both_sides (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) server = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (server, 1);
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) called = NULL;
  g_autoptr (GVariant) served = NULL;
  g_autoptr (GVariant) out = NULL;
  g_autoptr (GVariant) in = NULL;
  g_autoptr (GVariant) stats = NULL;
  g_autoptr (GVariant) sum = NULL;
  g_autoptr (GVariant) failed = NULL;
  g_autoptr (GError) error = NULL;
  const char *node = "";

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  client = commy_client_new (caller, TEST_SERVICE);
  for (guint i = 0; i < 10; i++)
    call_add (client);
  failed = commy_client_call_sync (client, "NoSuchMethod", NULL, NULL, NULL, NULL);
  g_assert_null (failed);
  called = mesh_ask_node (caller, "Flows", NULL);
  out = find_flow (called, "calls", TEST_SERVICE);
  g_assert_nonnull (out);
  g_assert_cmpuint (get (out, "calls"), ==, 11);
  g_assert_cmpuint (get (out, "calls-failed"), ==, 1);
  g_assert_cmpuint (get (out, "served"), ==, 0);
  g_assert_cmpuint (get (out, "call-p99-ns"), >=, get (out, "call-p50-ns"));
  g_assert_cmpuint (get (out, "call-p50-ns"), >, 0);
  g_assert_null (find_flow (called, "serves", TEST_SERVICE));
  served = mesh_ask_node (server, "Flows", NULL);
  in = find_flow (served, "serves", TEST_SERVICE);
  g_assert_nonnull (in);
  g_assert_cmpuint (get (in, "calls"), ==, 0);
  g_assert_cmpuint (get (in, "served"), ==, 11);
  g_assert_cmpuint (get (in, "served-failed"), ==, 1);
  /* The names of methods are announced besides. */
  g_assert_cmpuint (get (in, "received"), >=, get (out, "sent"));
  g_assert_cmpuint (get (in, "received-bytes"), >=, get (out, "sent-bytes"));
  g_assert_cmpuint (get (in, "unanswered"), ==, 0);
  g_assert_true (g_variant_lookup (in, "peer-node", "&s", &node));
  g_assert_cmpstr (node, ==, commy_mesh_get_node_id (caller));
  stats = mesh_ask_node (caller, "Stats", NULL);
  sum = g_variant_lookup_value (stats, "calls", G_VARIANT_TYPE_VARDICT);
  g_assert_cmpuint (get (sum, "calls"), >=, 10);
  g_assert_cmpuint (get (stats, "busy-threads"), ==, 0);
  check_sums_of_server (server);
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (server, NULL, NULL);
}

static const char typed_xml[] = "<node><interface name='org.example.Typed'>"
                                "<method name='Half'><arg name='of' type='i' direction='in'/>"
                                "<arg type='d' direction='out'/></method>"
                                "<method name='None'/></interface></node>";

static void
on_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, NULL);
}

static void
check_method (GVariant *methods, gsize at, const char *name, gboolean typed, gboolean handled)
{
  g_autoptr (GVariant) method = g_variant_get_child_value (methods, at);
  const char *its_name = "";
  gboolean its_typed = !typed, its_handled = !handled;

  g_assert_true (g_variant_lookup (method, "name", "&s", &its_name));
  g_assert_true (g_variant_lookup (method, "typed", "b", &its_typed));
  g_assert_true (g_variant_lookup (method, "handled", "b", &its_handled));
  g_assert_cmpstr (its_name, ==, name);
  g_assert_cmpint (its_typed, ==, typed);
  g_assert_cmpint (its_handled, ==, handled);
}

static void
test_interfaces (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GDBusNodeInfo) info = g_dbus_node_info_new_for_xml (typed_xml, NULL);
  g_autoptr (CommyService) service
      = commy_service_new (mesh, "org.example.Typed", info->interfaces[0]);
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GVariant) none = NULL;
  g_autoptr (GVariant) everything = NULL;
  g_autoptr (GVariant) interface = NULL;
  g_autoptr (GVariant) methods = NULL;
  g_autoptr (GDBusNodeInfo) told = NULL;
  g_autoptr (GError) error = NULL;
  const char *xml = "";

  commy_service_handle (service, "Half", on_call, NULL, NULL);
  commy_service_handle (service, "Extra", on_call, NULL, NULL);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  list = mesh_ask_node (mesh, "Introspect", g_variant_new ("(ss)", "org.example.Typed", ""));
  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  interface = g_variant_get_child_value (list, 0);
  methods = g_variant_lookup_value (interface, "methods", G_VARIANT_TYPE ("aa{sv}"));
  g_assert_cmpuint (g_variant_n_children (methods), ==, 3);
  check_method (methods, 0, "Half", TRUE, TRUE);
  check_method (methods, 1, "None", TRUE, FALSE);
  check_method (methods, 2, "Extra", FALSE, TRUE);
  g_assert_true (g_variant_lookup (interface, "xml", "&s", &xml));
  told = g_dbus_node_info_new_for_xml (xml, &error);
  g_assert_no_error (error);
  g_assert_nonnull (g_dbus_interface_info_lookup_method (told->interfaces[0], "Half"));
  none = mesh_ask_node (mesh, "Introspect",
                        g_variant_new ("(ss)", "org.example.Typed", "no-such-instance"));
  g_assert_cmpuint (g_variant_n_children (none), ==, 0);
  everything = mesh_ask_node (mesh, "Introspect", g_variant_new ("(ss)", "", ""));
  g_assert_cmpuint (g_variant_n_children (everything), ==, 2);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_places (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "more.conf", "[selection]\n");
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);
  g_autoptr (GVariant) files = commy_mesh_list_keyfiles ();
  GVariantIter iter;
  const char *layer, *file, *last = "";
  gboolean ours = FALSE, shipped = FALSE;

  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (commy_mesh_get_runtime_dir (mesh), fixture->dir));
  g_assert_true (g_str_has_prefix (commy_mesh_get_state_dir (mesh), fixture->dir));
  g_assert_true (g_str_has_prefix (commy_mesh_get_credentials_dir (mesh), fixture->dir));
  g_variant_iter_init (&iter, files);
  while (g_variant_iter_next (&iter, "(&s&s)", &layer, &file))
    {
      shipped |= strcmp (layer, "shipped") == 0 && last[0] == '\0';
      ours |= strcmp (layer, "environment") == 0 && strcmp (file, path) == 0;
      last = layer;
    }
  g_assert_true (shipped); /* and first */
  g_assert_true (ours);
  g_assert_cmpstr (last, ==, "environment");
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/node-service/flows/both-sides-count-the-same", MeshFixture, NULL,
              mesh_fixture_set_up, test_flows_of_both_sides, mesh_fixture_tear_down);
  g_test_add ("/node-service/introspect/types-and-handlers", MeshFixture, NULL, mesh_fixture_set_up,
              test_interfaces, mesh_fixture_tear_down);
  g_test_add ("/mesh/places/are-known-before-joining", MeshFixture, NULL, mesh_fixture_set_up,
              test_places, mesh_fixture_tear_down);
  return g_test_run ();
}
