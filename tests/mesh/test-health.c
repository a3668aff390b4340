/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether instances are well: what they say of themselves, and each kind of look at them, over real
 * processes, ports and commands. A mesh is asked through org.commy.Node1 what it found.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#define CHECKED(KIND, REST)                                                   \
  "[service " TEST_SERVICE "]\nhealth-check=" KIND "\nhealth-interval=40ms\n" \
  "health-timeout=400ms\nhealth-rise=2\nhealth-fall=2\n" REST

/* --- asking --- */

static CommyClient *
node_client (CommyMesh *mesh)
{
  CommyClient *client = commy_client_new (mesh, "org.commy.Node1");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node, *id;

      g_assert_true (g_variant_lookup (instance, "node", "&s", &node));
      g_assert_true (g_variant_lookup (instance, "instance", "&s", &id));
      if (strcmp (node, commy_mesh_get_node_id (mesh)) == 0)
        commy_client_set_instance (client, id);
    }
  return client;
}

static GVariant *
ask (CommyMesh *mesh, const char *method, const char *service)
{
  g_autoptr (CommyClient) client = node_client (mesh);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (
      client, method, service != NULL ? g_variant_new ("(s)", service) : NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return g_variant_get_child_value (answer, 0);
}

/* (transfer full): "STATE REASON" of the first that @mesh sees of the test service; or "none" */
static char *
look (CommyMesh *mesh)
{
  g_autoptr (GVariant) list = ask (mesh, "HealthOf", TEST_SERVICE);

  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
      const char *source, *state, *reason;

      g_assert_true (g_variant_lookup (record, "source", "&s", &source));
      g_assert_true (g_variant_lookup (record, "state", "&s", &state));
      g_assert_true (g_variant_lookup (record, "reason", "&s", &reason));
      if (strcmp (source, "seen") == 0)
        return g_strdup_printf ("%s %s", state, reason);
    }
  return g_strdup ("none");
}

/* Until what is seen begins with @expected. */
static void
await (CommyMesh *mesh, const char *expected)
{
  gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;

  for (;;)
    {
      g_autofree char *seen = look (mesh);

      if (g_str_has_prefix (seen, expected))
        return;
      if (g_get_monotonic_time () > until)
        g_error ("it is \"%s\", not \"%s\"", seen, expected);
      g_usleep (5000);
    }
}

static void
use (CommyMesh *mesh)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
}

static gsize
count_steps (CommyMesh *mesh, const char *from, const char *to)
{
  g_autoptr (GVariant) list = ask (mesh, "HealthHistory", TEST_SERVICE);
  gsize n = 0;
  gint64 last = 0;

  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
      const char *its_from, *its_to;
      gint64 time;

      g_assert_true (g_variant_lookup (record, "from", "&s", &its_from));
      g_assert_true (g_variant_lookup (record, "to", "&s", &its_to));
      g_assert_true (g_variant_lookup (record, "time", "x", &time));
      g_assert_cmpint (time, >=, last);
      last = time;
      n += strcmp (its_from, from) == 0 && strcmp (its_to, to) == 0;
    }
  return n;
}

/* --- what it says --- */

static void
test_says (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) other = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (other, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) node = NULL;
  g_autoptr (GVariant) all = NULL;
  g_autoptr (GVariant) first = NULL;
  const char *text;

  commy_service_set_workers (service, 1);
  commy_service_set_health (service, FALSE, "loading\nits data");
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  use (mesh);
  await (mesh, "unwell it says: loading its data");
  node = ask (other, "Health", NULL);
  g_assert_cmpstr (g_variant_get_string (node, NULL), ==,
                   "not-serving: " TEST_SERVICE ": loading its data");
  all = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, &error);
  g_assert_no_error (error);
  first = g_variant_get_child_value (all, 0);
  g_assert_true (g_variant_lookup (first, "health", "&s", &text));
  g_assert_cmpstr (text, ==, "not-serving: loading its data");
  commy_service_set_health (service, TRUE, NULL);
  await (mesh, "well");
  commy_service_set_health (service, FALSE, NULL);
  await (mesh, "unwell it says that it does not serve");
  g_assert_cmpuint (count_steps (mesh, "unwell", "well"), ==, 1);
  g_assert_cmpuint (count_steps (mesh, "well", "unwell"), ==, 1);
  g_assert_cmpuint (count_steps (other, "well", "unwell"), ==, 1);
  commy_mesh_leave_sync (other, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* Faster than the store takes it: what is there in the end is the last. */
static void
test_says_fast (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) other = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (other, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) left = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  use (mesh);
  for (guint round = 0; round < 20; round++)
    {
      g_autofree char *reason = g_strdup_printf ("round %u", round);
      g_autofree char *expected = g_strdup_printf ("unwell it says: round %u", round);

      for (guint i = 0; i < 10; i++)
        commy_service_set_health (service, i % 2 == 0, reason);
      if (round % 5 == 0)
        await (mesh, expected);
    }
  /* And one that is withdrawn while it is written does not come back. */
  commy_service_set_health (service, FALSE, "last");
  commy_mesh_leave_sync (other, NULL, NULL);
  left = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (left), ==, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- through the mesh --- */

static void
test_hung (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, CHECKED ("heartbeat", ""));

  use (mesh);
  await (mesh, "well");
  g_assert_cmpint (kill (child->pid, SIGSTOP), ==, 0);
  await (mesh, "unwell no answer within 400 ms");
  g_assert_cmpint (kill (child->pid, SIGCONT), ==, 0);
  await (mesh, "well");
  g_assert_cmpuint (count_steps (mesh, "unknown", "well"), ==, 1);
  g_assert_cmpuint (count_steps (mesh, "well", "unwell"), >=, 1);
  g_assert_cmpuint (count_steps (mesh, "unwell", "well"), >=, 1);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* A record of a node of whom there is another one, which leads nowhere and comes first. */
static void
write_false_node (CommyMesh *mesh, const char *node)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      g_autoptr (GVariant) entry = NULL;
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GString) text = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autofree char *key = NULL;
      const char *its_node, *id;

      g_assert_true (g_variant_lookup (instance, "node", "&s", &its_node));
      g_assert_true (g_variant_lookup (instance, "instance", "&s", &id));
      if (strcmp (its_node, node) != 0)
        continue;
      key = g_strdup_printf ("services/org.commy.Node1/%s", id);
      entry = commy_mesh_store_get_sync (mesh, key, NULL, &error);
      g_assert_no_error (error);
      value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
      text = g_string_new_len (g_variant_get_data (value), (gssize) g_variant_get_size (value));
      g_assert_cmpuint (g_string_replace (text, ".sock", ".gone", 0), >, 0);
      bytes = g_bytes_new (text->str, text->len);
      commy_mesh_store_put_sync (mesh, "services/org.commy.Node1/00000000", bytes,
                                 COMMY_STORE_ANY_REVISION, COMMY_STORE_WRITE_RESERVED, NULL,
                                 &error);
      g_assert_no_error (error);
      return;
    }
  g_assert_not_reached ();
}

static char *
dup_node_of (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, &error);
  g_autoptr (GVariant) first = NULL;
  char *node;

  g_assert_no_error (error);
  first = g_variant_get_child_value (all, 0);
  g_assert_true (g_variant_lookup (first, "node", "s", &node));
  return node;
}

/* Until @mesh itself has looked so often at whom it sees of the test service. */
static void
await_looks (CommyMesh *mesh, guint64 wanted)
{
  gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  guint64 looks = 0;

  while (looks < wanted)
    {
      g_autoptr (GVariant) list = ask (mesh, "HealthOf", TEST_SERVICE);
      g_autoptr (GVariant) record = g_variant_get_child_value (list, 0);

      g_assert_true (g_variant_lookup (record, "looks", "t", &looks));
      if (g_get_monotonic_time () > until)
        g_error ("looked %" G_GUINT64_FORMAT " times", looks);
      g_usleep (5000);
    }
}

/* What somebody's record says of its node makes nobody unwell who answers himself. */
static void
test_false_node (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, CHECKED ("heartbeat", ""));
  g_autofree char *node = dup_node_of (mesh);

  write_false_node (mesh, node);
  use (mesh);
  await_looks (mesh, 5);
  g_assert_cmpuint (count_steps (mesh, "unknown", "well"), ==, 1);
  g_assert_cmpuint (count_steps (mesh, "well", "unwell"), ==, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_leaves_while_looking (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (
      fixture, "[service " TEST_SERVICE "]\nhealth-check=heartbeat\nhealth-interval=10ms\n"
               "health-timeout=1h\n");

  use (mesh);
  await (mesh, "well");
  g_assert_cmpint (kill (child->pid, SIGSTOP), ==, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL); /* comes back although nobody answers for an hour */
  g_assert_cmpint (kill (child->pid, SIGCONT), ==, 0);
  service_child_free (child);
}

static void
test_call (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) well = mesh_fixture_join (fixture, CHECKED ("call", "health-target=Pid\n"));
  g_autoptr (CommyMesh) unwell
      = mesh_fixture_join (fixture, CHECKED ("call", "health-target=Fail\n"));

  use (well);
  use (unwell);
  await (well, "well");
  await (unwell, "unwell remote: as you wished");
  commy_mesh_leave_sync (well, NULL, NULL);
  commy_mesh_leave_sync (unwell, NULL, NULL);
  service_child_free (child);
}

/* --- ports --- */

/* A server that answers as it is told. */
typedef struct
{
  GSocketService *service;
  guint16 port;
  const char *text; /* atomic: what it writes; NULL: nothing, until the client goes */
  gboolean endless; /* atomic: again and again */
  gint n_now, n_most, n_all;
} Server;

/* Whether the client is still there. */
static gboolean
write_text (GOutputStream *output, const char *text)
{
  return g_output_stream_write_all (output, text, strlen (text), NULL, NULL, NULL);
}

static gboolean
on_run (GThreadedSocketService *service, GSocketConnection *connection, GObject *from, Server *self)
{
  GIOStream *stream = G_IO_STREAM (connection);
  const char *text = g_atomic_pointer_get (&self->text);
  char bytes[256];
  gint now = g_atomic_int_add (&self->n_now, 1) + 1;

  for (gint most = g_atomic_int_get (&self->n_most); now > most;)
    if (g_atomic_int_compare_and_exchange (&self->n_most, most, now))
      break;
    else
      most = g_atomic_int_get (&self->n_most);
  g_input_stream_read (g_io_stream_get_input_stream (stream), bytes, sizeof bytes, NULL, NULL);
  while (text != NULL && write_text (g_io_stream_get_output_stream (stream), text)
         && g_atomic_int_get (&self->endless))
    ;
  if (text == NULL)
    g_input_stream_read (g_io_stream_get_input_stream (stream), bytes, 1, NULL, NULL);
  g_atomic_int_add (&self->n_now, -1);
  g_atomic_int_inc (&self->n_all);
  return TRUE;
}

static void
server_start (Server *self, guint16 port)
{
  g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new (loopback, port);
  g_autoptr (GSocketAddress) effective = NULL;
  g_autoptr (GError) error = NULL;

  self->service = g_threaded_socket_service_new (64);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address, G_SOCKET_TYPE_STREAM,
                                 G_SOCKET_PROTOCOL_TCP, NULL, &effective, &error);
  g_assert_no_error (error);
  self->port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (effective));
  g_signal_connect (self->service, "run", G_CALLBACK (on_run), self);
  g_socket_service_start (self->service);
}

static gboolean
on_tick (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

static void
server_stop (Server *self)
{
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  while (g_atomic_int_get (&self->n_now) > 0)
    g_usleep (1000);
  g_clear_object (&self->service);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* The server accepts in the main context. */
static void
await_serving (CommyMesh *mesh, const char *expected)
{
  gint64 until = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  guint tick = g_timeout_add (5, on_tick, NULL);

  for (;;)
    {
      g_autofree char *seen = look (mesh);

      if (g_str_has_prefix (seen, expected))
        break;
      if (g_get_monotonic_time () > until)
        g_error ("it is \"%s\", not \"%s\"", seen, expected);
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
}

static CommyMesh *
join_checking (MeshFixture *fixture, const char *kind, guint16 port, const char *path)
{
  g_autofree char *settings = g_strdup_printf (
      "[service " TEST_SERVICE "]\nhealth-check=%s\nhealth-interval=20ms\nhealth-timeout=500ms\n"
      "health-rise=2\nhealth-fall=2\nhealth-target=%u%s\n",
      kind, port, path);
  CommyMesh *mesh = mesh_fixture_join (fixture, settings);

  use (mesh);
  return mesh;
}

static void
test_tcp (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  Server server = { .text = "" };
  g_autoptr (CommyMesh) mesh = NULL;

  server_start (&server, 0);
  mesh = join_checking (fixture, "tcp", server.port, "");
  await_serving (mesh, "well");
  server_stop (&server);
  await (mesh, "unwell ");
  server_start (&server, server.port);
  await_serving (mesh, "well");
  server_stop (&server);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_http (MeshFixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *text;
    gboolean endless;
    const char *expected;
  } rows[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", FALSE, "well" },
    { "HTTP/1.1 503 Service Unavailable\r\n\r\n", FALSE, "unwell HTTP status 503" },
    { "HTTP/1.0 302\r\n", FALSE, "well" },
    { "HTTP/1.1 999 x\r\n", FALSE, "unwell HTTP status 999" },
    { "HTTP/1.1 204 No Content\n", FALSE, "well" },
    { "HTTP/1.1 2000\r\n", FALSE, "unwell port" },
    { "HTTP/1.1 200 and then any number of lines\r\n", TRUE, "well" },
    { "no end of a line in sight ", TRUE, "unwell port" },
    { "HTTP/1.1 200 OK\r\n", FALSE, "well" },
    { "", FALSE, "unwell port" },
    { "HTTP/1.1 299\r\n", FALSE, "well" },
    { "\r\n\r\nHTTP/1.1 200 OK\r\n", FALSE, "unwell port" },
    { "HTTP/1.1 200 OK\r\n", FALSE, "well" },
    { "\xff\xfe\x01garbage\n", FALSE, "unwell port" },
    { "HTTP/1.1 399 \r\n", FALSE, "well" },
    { NULL, FALSE, "unwell no answer within 500 ms" },
  };
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  Server server = { .text = rows[0].text };
  g_autoptr (CommyMesh) mesh = NULL;

  server_start (&server, 0);
  mesh = join_checking (fixture, "http", server.port, "/ready?now=1");
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_atomic_pointer_set (&server.text, (gpointer) rows[i].text);
      g_atomic_int_set (&server.endless, rows[i].endless);
      await_serving (mesh, rows[i].expected);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  server_stop (&server);
  service_child_free (child);
}

static void
test_bounded (MeshFixture *fixture, gconstpointer data)
{
  CommyService *services[40];
  g_autoptr (CommyMesh) offering = mesh_fixture_join (fixture, NULL);
  Server server = { .text = "HTTP/1.1 200 OK\r\n" };
  g_autoptr (CommyMesh) mesh = NULL;
  g_autofree char *settings = NULL;
  g_autoptr (GError) error = NULL;

  server_start (&server, 0);
  settings = g_strdup_printf ("[limits]\nhealth-checks=3\n[service " TEST_SERVICE "]\n"
                              "health-check=http\nhealth-interval=100ms\nhealth-target=%u\n",
                              server.port);
  for (guint i = 0; i < G_N_ELEMENTS (services); i++)
    {
      services[i] = test_service_new (offering, 0);
      commy_service_start_sync (services[i], NULL, &error);
      g_assert_no_error (error);
    }
  mesh = mesh_fixture_join (fixture, settings);
  {
    g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
    g_autoptr (CommyDecision) decided = commy_client_explain (client, 10, NULL, NULL, &error);

    g_assert_no_error (error);
  }
  while (g_atomic_int_get (&server.n_all) < 160)
    g_main_context_iteration (NULL, TRUE);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  server_stop (&server);
  g_assert_cmpint (server.n_most, <=, 3);
  commy_mesh_leave_sync (offering, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (services); i++)
    g_object_unref (services[i]);
}

/* --- commands --- */

static void
test_command (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autofree char *flag = g_build_filename (fixture->dir, "well", NULL);
  g_autofree char *settings = g_strdup_printf (
      CHECKED ("command",
               "health-target=sh -c 'test -e %s && test \"$COMMY_SERVICE\" = " TEST_SERVICE
               " && test ${#COMMY_INSTANCE} = 32'\n"),
      flag);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (GError) error = NULL;

  use (mesh);
  await (mesh, "unwell sh ended with status 1");
  g_file_set_contents (flag, "", 0, &error);
  g_assert_no_error (error);
  await (mesh, "well");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_command_hangs (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autofree char *pid_file = g_build_filename (fixture->dir, "pid", NULL);
  g_autofree char *settings = g_strdup_printf (
      CHECKED ("command", "health-target=sh -c 'sleep 1000 & echo $! > %s; wait'\n"), pid_file);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autofree char *text = NULL;

  use (mesh);
  await (mesh, "unwell no answer within 400 ms");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  /* The command's child is gone with it. Somebody else reaps it. */
  g_assert_true (g_file_get_contents (pid_file, &text, NULL, NULL));
  while (text[0] != '\0' && kill ((pid_t) atoi (text), 0) == 0)
    {
      g_autofree char *status = g_strdup_printf ("/proc/%d/stat", atoi (text));
      g_autofree char *stat = NULL;

      if (g_file_get_contents (status, &stat, NULL, NULL) && strstr (stat, ") Z ") != NULL)
        break;
      g_usleep (2000);
    }
  service_child_free (child);
}

static void
test_missing_command (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_join (fixture, CHECKED ("command", "health-target=/no/such/program\n"));

  use (mesh);
  await (mesh, "unwell program cannot be run: ");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* --- settings --- */

static void
test_settings (MeshFixture *fixture, gconstpointer data)
{
  static const char *const bad[][2] = {
    { "call", "" },           { "tcp", "" },       { "tcp", "0" },
    { "tcp", "65536" },       { "tcp", "80/x" },   { "tcp", "host" },
    { "http", "" },           { "http", "/path" }, { "http", "80path" },
    { "http", "80/with sp" }, { "command", "" },   { "command", "'open" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *settings = g_strdup_printf (
          "[service " TEST_SERVICE "]\nhealth-check=%s\nhealth-target=%s\n", bad[i][0], bad[i][1]);
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, settings, &error);

      g_assert_no_error (error);
      g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
      g_assert_nonnull (strstr (error->message, "program:"));
      g_assert_nonnull (strstr (error->message, "health-target="));
    }
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
  ADD ("/mesh/health/clients-hear-what-an-instance-says", test_says);
  ADD ("/mesh/health/what-is-said-last-stays", test_says_fast);
  ADD ("/mesh/health/heartbeat-notices-a-hung-process-and-its-return", test_hung);
  /* attack: have an instance taken for unwell by a record of its node that leads nowhere; defence:
   * where its node does not answer it is asked itself; test:
   * /mesh/health/a-false-record-of-its-node-makes-nobody-unwell */
  ADD ("/mesh/health/a-false-record-of-its-node-makes-nobody-unwell", test_false_node);
  ADD ("/mesh/health/leaving-does-not-wait-for-a-look", test_leaves_while_looking);
  ADD ("/mesh/health/a-method-that-fails-is-unwell", test_call);
  ADD ("/mesh/health/a-port-that-closes-is-unwell", test_tcp);
  ADD ("/mesh/health/http-answers-of-any-kind", test_http);
  ADD ("/mesh/health/few-looks-at-a-time-however-many-instances", test_bounded);
  ADD ("/mesh/health/a-command-says-who-is-well", test_command);
  ADD ("/mesh/health/a-command-that-hangs-is-killed-with-its-children", test_command_hangs);
  ADD ("/mesh/health/a-command-that-is-not-there-is-unwell", test_missing_command);
  ADD ("/mesh/health/targets-that-cannot-be-are-told", test_settings);
#undef ADD
  return g_test_run ();
}
