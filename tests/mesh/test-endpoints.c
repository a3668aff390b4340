/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts that share no store: two sets of folders, certificates of one authority, and endpoints
 * in the keyfile or in DNS. The other host is a real process that listens on loopback.
 */
#include "config.h"

#include "auth/common/commy-pki.h"
#include "mesh-fixture.h"
#include "mesh/commy-node-report.h"
#include "tests/control/dns-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

/* "here" calls, "there" offers. */
typedef struct
{
  MeshFixture here, there;
} Hosts;

static void
issue (MeshFixture *authority_of, MeshFixture *host, const char *name, const char *user)
{
  g_autofree char *from = g_build_filename (authority_of->dir, "state", "test", "pki", NULL);
  g_autofree char *dir = g_build_filename (host->dir, "state", "test", "pki", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (from, &error);
  g_autoptr (CommyPkiPair) pair = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  pair = commy_pki_issue (authority, name, user, now - 60, now + 86400, &error);
  g_assert_no_error (error);
  commy_pki_pair_save (pair, authority, dir, &error);
  g_assert_no_error (error);
}

static void
hosts_set_up_for (Hosts *hosts, const char *user)
{
  mesh_fixture_set_up (&hosts->here, NULL);
  mesh_fixture_set_up (&hosts->there, NULL);
  mesh_fixture_make_credentials (&hosts->here);
  issue (&hosts->here, &hosts->there, "otherhost", user);
}

static void
hosts_set_up (Hosts *hosts, gconstpointer data)
{
  hosts_set_up_for (hosts, "tester");
}

static void
hosts_tear_down (Hosts *hosts, gconstpointer data)
{
  mesh_fixture_tear_down (&hosts->there, NULL);
  mesh_fixture_tear_down (&hosts->here, NULL);
}

/* The TLS port of an instance over there, as its own store says. */
static guint
port_of (MeshFixture *host, const ServiceChild *child)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (host, NULL);
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, NULL);
  GVariantIter instances;
  GVariant *instance;
  guint port = 0;

  g_variant_iter_init (&instances, list);
  while ((instance = g_variant_iter_next_value (&instances)) != NULL)
    {
      g_autoptr (GVariant) endpoints = g_variant_lookup_value (instance, "endpoints", NULL);
      const char *id, *transport, *address;
      GVariantIter iter;

      g_variant_lookup (instance, "instance", "&s", &id);
      g_variant_iter_init (&iter, endpoints);
      while (g_variant_iter_next (&iter, "(&s&s)", &transport, &address))
        if (strcmp (id, child->instance) == 0 && strcmp (transport, "tls") == 0)
          port = (guint) g_ascii_strtoull (strrchr (address, ':') + 1, NULL, 10);
      g_variant_unref (instance);
    }
  g_assert_cmpuint (port, !=, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return port;
}

G_GNUC_PRINTF (2, 3)
static CommyMesh *
join_with (Hosts *hosts, const char *format, ...)
{
  g_autofree char *endpoints = NULL;
  g_autofree char *settings = NULL;
  va_list args;

  va_start (args, format);
  endpoints = g_strdup_vprintf (format, args);
  va_end (args);
  settings = g_strdup_printf ("[service " TEST_SERVICE "]\nendpoints=%s\n", endpoints);
  return mesh_fixture_join (&hosts->here, settings);
}

static int
call_pid (CommyClient *client)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  gint32 pid;

  commy_call_options_set_idempotent (options, TRUE);
  value = commy_client_call_sync (client, "Pid", NULL, options, NULL, &error);

  g_assert_no_error (error);
  g_variant_get (value, "(i)", &pid);
  return pid;
}

static void
fail_with (CommyMesh *mesh, int code, const char *words)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

  g_assert_null (value);
  g_test_message ("%s", error->message);
  g_assert_error (error, COMMY_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
}

static GVariant *
only_instance (CommyMesh *mesh)
{
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, NULL);

  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  return g_variant_get_child_value (list, 0);
}

static const char *
text_of (GVariant *instance, const char *key)
{
  const char *text = NULL;

  g_variant_lookup (instance, key, "&s", &text);
  return text;
}

/* Of whom no store says anything a caller knows only what it found. */
static void
check_unknown (CommyMesh *mesh)
{
  g_autoptr (GVariant) all = g_variant_ref_sink (commy_node_report_endpoints (mesh, TEST_SERVICE));
  g_autoptr (GVariant) endpoint = NULL;
  gboolean is_listed = TRUE;

  g_assert_cmpuint (g_variant_n_children (all), ==, 1);
  endpoint = g_variant_get_child_value (all, 0);
  g_assert_true (g_variant_lookup (endpoint, "listed", "b", &is_listed));
  g_assert_false (is_listed);
  g_assert_cmpstr (text_of (endpoint, "health"), ==, "unknown");
  g_assert_cmpstr (text_of (endpoint, "version"), ==, "");
}

/* --- keyfile --- */

static void
test_called (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->there, NULL, 0);
  g_autoptr (CommyMesh) mesh
      = join_with (hosts, "tls://127.0.0.1:%u", port_of (&hosts->there, child));
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) before = only_instance (mesh);
  g_autoptr (GVariant) after = NULL;
  g_autoptr (GVariant) who = NULL;
  const char *caller, *transport;

  g_assert_cmpstr (text_of (before, "origin"), ==, "program:5");
  g_assert_cmpstr (text_of (before, "node"), ==, "");
  g_assert_cmpint (call_pid (client), ==, child->pid);
  who = commy_client_call_sync (client, "Who", NULL, NULL, NULL, NULL);
  g_variant_get (who, "(&s&s)", &caller, &transport);
  g_assert_true (g_str_has_suffix (caller, "/host/testhost/user/tester"));
  g_assert_cmpstr (transport, ==, "tls");
  after = only_instance (mesh);
  g_assert_cmpstr (text_of (after, "instance"), ==, text_of (before, "instance"));
  g_assert_cmpuint (strlen (text_of (after, "node")), ==, 32);
  check_unknown (mesh);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* Another process at the same address is another node, and that is all right. */
/* Who is there says at the door what it offers. */
static CommyClient *
written_for_pid (CommyMesh *mesh)
{
  g_autoptr (GDBusNodeInfo) node
      = commy_schema_parse ("<node><interface name='" TEST_SERVICE "'><method name='Pid'>"
                            "<arg type='i' direction='out'/></method></interface></node>",
                            -1, NULL);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  commy_client_set_interface (client, node->interfaces[0]);
  return client;
}

static void
test_other_version (Hosts *hosts, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child;

  g_setenv (TEST_INTERFACE,
            "<node><interface name='" TEST_SERVICE "'><method name='Pid'>"
            "<arg type='s' direction='out'/></method></interface></node>",
            TRUE);
  child = service_child_start (&hosts->there, NULL, 0);
  g_unsetenv (TEST_INTERFACE);
  mesh = join_with (hosts, "tls://127.0.0.1:%u", port_of (&hosts->there, child));
  client = written_for_pid (mesh);
  g_assert_null (commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "method Pid, result 1 is \"s\", not \"i\""));
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_newer_version (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->there, NULL, 0);
  g_autoptr (CommyMesh) mesh
      = join_with (hosts, "tls://127.0.0.1:%u", port_of (&hosts->there, child));
  g_autoptr (CommyClient) client = written_for_pid (mesh);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  commy_client_call (client, "Pid", NULL, NULL, NULL, keep_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  value = commy_client_call_finish (client, result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (call_pid (client), ==, child->pid);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_restarted (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->there, NULL, 0);
  guint port = port_of (&hosts->there, child);
  g_autofree char *fixed = g_strdup_printf ("[plugin transport/tls]\nparam.port=%u\n", port);
  g_autoptr (CommyMesh) mesh = join_with (hosts, "tls://127.0.0.1:%u", port);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) value = NULL;

  g_assert_cmpint (call_pid (client), ==, child->pid);
  service_child_kill (child);
  service_child_free (child);
  child = service_child_start (&hosts->there, fixed, 0);
  /* The path is not tried again at once: calls fail until it is. */
  while ((value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, NULL)) == NULL)
    g_thread_yield ();
  g_assert_cmpint (call_pid (client), ==, child->pid);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_several (Hosts *hosts, gconstpointer data)
{
  ServiceChild *one = service_child_start (&hosts->there, NULL, 0);
  ServiceChild *two = service_child_start (&hosts->there, NULL, 0);
  guint port = port_of (&hosts->there, one);
  g_autoptr (CommyMesh) mesh
      = join_with (hosts, "tls://127.0.0.1:%u;tls://127.0.0.1:%u;tls://127.0.0.1:%u", port,
                   port_of (&hosts->there, two), port);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, NULL);
  guint of_one = 0, of_two = 0;

  g_assert_cmpuint (g_variant_n_children (list), ==, 2);
  for (guint i = 0; i < 100; i++)
    {
      int pid = call_pid (client);

      of_one += pid == one->pid;
      of_two += pid == two->pid;
    }
  g_assert_cmpuint (of_one, >, 0);
  g_assert_cmpuint (of_two, >, 0);
  service_child_kill (one);
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (call_pid (client), ==, two->pid);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (one);
  service_child_free (two);
}

/* An instance that the store lists, too, is one instance once it has been met; which it would never
 * be if what the store says of its host came first. */
static void
test_listed_twice (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->here, NULL, 0);
  g_autofree char *settings
      = g_strdup_printf ("[service " TEST_SERVICE "]\nendpoints=tls://127.0.0.1:%u\nlocality=off\n"
                         "[plugins]\ndeny=transport/shm;transport/unix\n",
                         port_of (&hosts->here, child));
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (&hosts->here, settings);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, NULL);
  g_autoptr (GVariant) only = NULL;

  g_assert_cmpuint (g_variant_n_children (list), ==, 2);
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (call_pid (client), ==, child->pid);
  only = only_instance (mesh);
  g_assert_cmpstr (text_of (only, "instance"), ==, child->instance);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* --- what is wrong --- */

static void
test_other_user (void)
{
  Hosts hosts = { { NULL } };
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;

  hosts_set_up_for (&hosts, "stranger");
  child = service_child_start (&hosts.there, NULL, 0);
  mesh = join_with (&hosts, "tls://127.0.0.1:%u", port_of (&hosts.there, child));
  fail_with (mesh, COMMY_ERROR_NOT_OFFERED, "/host/otherhost/user/stranger may not offer");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
  hosts_tear_down (&hosts, NULL);
}

static void
test_not_offered (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->there, NULL, 0);
  g_autofree char *settings
      = g_strdup_printf ("[service org.example.Other]\nendpoints=tls://127.0.0.1:%u\n",
                         port_of (&hosts->there, child));
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (&hosts->here, settings);
  g_autoptr (CommyClient) client = commy_client_new (mesh, "org.example.Other");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

  g_assert_null (value);
  g_assert_nonnull (strstr (error->message, "org.example.Other is not offered here"));
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_nobody_there (Hosts *hosts, gconstpointer data)
{
  ServiceChild *child = service_child_start (&hosts->there, NULL, 0);
  guint port = port_of (&hosts->there, child);
  g_autoptr (CommyMesh) mesh = join_with (hosts, "tls://127.0.0.1:%u", port);

  service_child_kill (child);
  fail_with (mesh, COMMY_ERROR_UNREACHABLE, "Connection refused");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_unknown_transport (Hosts *hosts, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = join_with (hosts, "pigeon://127.0.0.1:7001");

  fail_with (mesh, COMMY_ERROR_NO_ROUTE, "no plugin of this name here");
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_port_taken (Hosts *hosts, gconstpointer data)
{
  ServiceChild *one = service_child_start (&hosts->there, NULL, 0);
  guint port = port_of (&hosts->there, one);
  g_autofree char *fixed = g_strdup_printf ("[plugin transport/tls]\nparam.port=%u\n", port);
  g_autofree char *words = g_strdup_printf ("port %u: Address already in use", port);
  ServiceChild *two;

  mesh_fixture_capture_log (&hosts->there);
  two = service_child_start (&hosts->there, fixed, 0);
  mesh_fixture_await_log (&hosts->there, TEST_SERVICE " is not offered over tls");
  mesh_fixture_await_log (&hosts->there, words);
  service_child_free (two);
  service_child_free (one);
}

/* --- DNS --- */

#define NAME "_commy-test._tcp.example.org"

static void
test_dns (Hosts *hosts, gconstpointer data)
{
  ServiceChild *first = service_child_start (&hosts->there, NULL, 0);
  ServiceChild *second = service_child_start (&hosts->there, NULL, 0);
  g_autofree char *records = g_strdup_printf (
      "srv-host=" NAME ",host-b.example.org,%u,10,1\nsrv-host=" NAME ",host-b.example.org,%u,20,1\n"
      "address=/host-b.example.org/127.0.0.1\n",
      port_of (&hosts->there, first), port_of (&hosts->there, second));
  DnsServer server = { NULL };
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *table = NULL;

  dns_server_start (&server, records);
  mesh = join_with (hosts, "srv:");
  client = commy_client_new (mesh, TEST_SERVICE);
  /* The second is for when the first cannot be used. */
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (call_pid (client), ==, first->pid);
  decision = commy_client_explain (client, 64, NULL, NULL, NULL);
  table = commy_decision_to_string (decision);
  g_test_message ("%s", table);
  g_assert_nonnull (strstr (table, "required priority 0, offered priority 1 (" NAME ")"));
  service_child_kill (first);
  while (call_pid (client) != second->pid)
    ;
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  dns_server_stop (&server);
  service_child_free (first);
  service_child_free (second);
}

static void
test_dns_without_answer (Hosts *hosts, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = join_with (hosts, "srv:example.org");

  fail_with (mesh, COMMY_ERROR_NO_SERVICE, "DNS does not answer for " NAME);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_no_domain (Hosts *hosts, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (&hosts->here, "[service Test]\nendpoints=srv:\n");
  g_autoptr (CommyClient) client = commy_client_new (mesh, "Test");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  g_test_expect_message ("Commy", G_LOG_LEVEL_WARNING, "*program:5*needs a service with a domain*");
  value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_null (value);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
  g_assert_nonnull (strstr (error->message, "program:5: \"srv:\" alone needs a service"));
  g_test_assert_expected_messages ();
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
skip (gconstpointer why)
{
  g_test_skip (why);
}

static void
add (const char *path, void (*func) (Hosts *, gconstpointer))
{
  g_autofree char *whole = g_strconcat ("/mesh/endpoints/", path, NULL);

  g_test_add (whole, Hosts, NULL, hosts_set_up, func, hosts_tear_down);
}

int
main (int argc, char **argv)
{
  const char *why;
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  why = dns_fixture_enter ();
  g_test_init (&argc, &argv, NULL);
  add ("a-host-without-common-store-is-called", test_called);
  add ("another-version-is-not-called", test_other_version);
  add ("a-version-that-offers-more-is-called", test_newer_version);
  add ("another-process-at-the-address-is-taken", test_restarted);
  add ("several-share-the-calls-and-stand-in", test_several);
  add ("an-instance-of-the-store-is-not-counted-twice", test_listed_twice);
  g_test_add_func ("/mesh/endpoints/another-user-may-not-offer", test_other_user);
  add ("a-name-not-offered-there-is-said", test_not_offered);
  add ("nobody-there-is-said", test_nobody_there);
  add ("an-unknown-transport-is-said", test_unknown_transport);
  add ("a-port-that-is-taken-is-said", test_port_taken);
  add ("srv/needs-a-domain", test_no_domain);
  if (why != NULL)
    {
      g_test_add_data_func ("/mesh/endpoints/srv/obeys-priorities", why, skip);
      g_test_add_data_func ("/mesh/endpoints/srv/without-an-answer-says-so", why, skip);
    }
  else
    {
      add ("srv/obeys-priorities", test_dns);
      add ("srv/without-an-answer-says-so", test_dns_without_answer);
    }
  return g_test_run ();
}
