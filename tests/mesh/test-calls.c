/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls as applications make them, over every transport, between processes and inside one.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"

/* --- one process --- */

static void
test_in_process (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  gint32 sum;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  client = commy_client_new (mesh, TEST_SERVICE);
  result
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(i)", &sum);
  g_assert_cmpint (sum, ==, 42);
  commy_mesh_leave_sync (mesh, NULL, NULL); /* an offered service keeps its mesh until then */
}

static void
test_would_deadlock (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 0);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  result = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_WOULD_DEADLOCK);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_nobody (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyClient) client = commy_client_new (mesh, "org.example.Nobody");
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  result = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
  g_assert_nonnull (strstr (error->message, "CMY0301"));
}

static void
test_not_joined (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) result = NULL;

  g_assert_no_error (error);
  client = commy_client_new (mesh, TEST_SERVICE);
  result = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
}

/* --- two processes; data: the transport --- */

typedef struct
{
  CommyMesh *mesh;
  ServiceChild *child;
  CommyClient *client;
} Pair;

static Pair *
pair_new (MeshFixture *fixture, const char *transport, guint workers)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), transport);
  Pair *pair = g_new0 (Pair, 1);

  mesh_fixture_make_credentials (fixture);
  pair->child = service_child_start (fixture, NULL, workers);
  pair->mesh = mesh_fixture_join (fixture, settings);
  pair->client = commy_client_new (pair->mesh, TEST_SERVICE);
  return pair;
}

static void
pair_free (Pair *pair)
{
  g_object_unref (pair->client);
  commy_mesh_leave_sync (pair->mesh, NULL, NULL);
  g_object_unref (pair->mesh);
  service_child_free (pair->child);
  g_free (pair);
}

static void
check_echo (CommyClient *client, gsize size)
{
  g_autofree guint8 *bytes = g_malloc (size + 1);
  g_autoptr (GBytes) sent = NULL;
  g_autoptr (GBytes) got = NULL;
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (i * 31 + (i >> 8));
  sent = g_bytes_new (bytes, size);
  got = commy_client_call_bytes_sync (client, "Echo", sent, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (sent, got));
}

static void
test_sizes (MeshFixture *fixture, gconstpointer transport)
{
  static const gsize sizes[]
      = { 0, 1, 7, 8, 64, 1000, 2047, 2048, 2049, 4096, 65536, 1 << 20, 8 << 20 };
  Pair *pair = pair_new (fixture, transport, 1);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_echo (pair->client, sizes[i]);
  for (guint i = 0; i < 300; i++)
    check_echo (pair->client, i * 37);
  pair_free (pair);
}

static void
test_values (MeshFixture *fixture, gconstpointer transport)
{
  static const char *const texts[] = { "()",
                                       "(1, 'two', 3.0)",
                                       "([1, 2, 3], {'a': <1>, 'b': <'x'>})",
                                       "(just 5, @ms nothing)",
                                       "(b'bytes', ['', 'ä', '\\u2603'])",
                                       "(<<<(1, 2)>>>,)" };
  Pair *pair = pair_new (fixture, transport, 0);

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = g_variant_parse (NULL, texts[i], NULL, NULL, &error);
      g_autoptr (GVariant) got = NULL;

      g_assert_no_error (error);
      got = commy_client_call_sync (pair->client, "Echo", value, NULL, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (value, got));
    }
  pair_free (pair);
}

static void
test_errors (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (GError) remote = NULL;
  g_autoptr (GError) missing = NULL;
  g_autoptr (GError) type = NULL;
  g_autoptr (GError) result_type = NULL;

  g_assert_null (commy_client_call_sync (pair->client, "Fail", NULL, NULL, NULL, &remote));
  g_assert_error (remote, COMMY_ERROR, COMMY_ERROR_REMOTE);
  g_assert_cmpstr (commy_error_get_remote (remote), ==, "as you wished");
  g_assert_null (commy_client_call_sync (pair->client, "Nope", NULL, NULL, NULL, &missing));
  g_assert_error (missing, COMMY_ERROR, COMMY_ERROR_NO_METHOD);
  g_assert_null (commy_client_call_sync (pair->client, "Add", g_variant_new ("(ss)", "a", "b"),
                                         NULL, NULL, &type));
  g_assert_error (type, COMMY_ERROR, COMMY_ERROR_TYPE);
  check_echo (pair->client, 100);
  pair_free (pair);
}

static void
test_deadline (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) released = NULL;
  gint64 began = g_get_monotonic_time ();

  commy_call_options_set_timeout (options, 50000);
  g_assert_null (commy_client_call_sync (pair->client, "Slow", NULL, options, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 50000);
  g_clear_error (&error);
  released = commy_client_call_sync (pair->client, "Release", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  check_echo (pair->client, 10);
  pair_free (pair);
}

static gpointer
cancel_soon (gpointer cancellable)
{
  g_usleep (20000);
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_cancel (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  check_echo (pair->client, 1);
  thread = g_thread_new ("cancel", cancel_soon, cancellable);
  g_assert_null (commy_client_call_sync (pair->client, "Slow", NULL, NULL, cancellable, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  g_thread_join (thread);
  g_clear_error (&error);
  g_variant_unref (commy_client_call_sync (pair->client, "Release", NULL, NULL, NULL, &error));
  pair_free (pair);
}

static void
test_one_way (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) counted = NULL;
  gint32 n;

  for (guint i = 0; i < 50; i++)
    {
      commy_client_send (pair->client, "Count", NULL, NULL, &error);
      g_assert_no_error (error);
    }
  counted = commy_client_call_sync (pair->client, "Counted", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (counted, "(i)", &n);
  g_assert_cmpint (n, ==, 50);
  pair_free (pair);
}

typedef struct
{
  GMainLoop *loop;
  guint left;
} Many;

static void
on_many (GObject *source, GAsyncResult *result, gpointer data)
{
  Many *many = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
  if (--many->left == 0)
    g_main_loop_quit (many->loop);
}

static void
test_async (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 1);
  Many many = { g_main_loop_new (NULL, FALSE), 2000 };

  for (gint i = 0; i < 2000; i++)
    commy_client_call (pair->client, "Add", g_variant_new ("(ii)", i, 1), NULL, NULL, on_many,
                       &many);
  g_main_loop_run (many.loop);
  g_main_loop_unref (many.loop);
  pair_free (pair);
}

static void
test_hot (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 1);
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (pair->client, "Span", &error);

  g_assert_no_error (error);
  for (guint i = 0; i < 1000; i++)
    {
      gsize size = 1 + (i * 61) % 5000;
      CommyReply reply;
      CommySpan span;

      commy_client_reserve (pair->client, method, size, &span, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (span.size, ==, size);
      for (gsize k = 0; k < size; k++)
        span.data[k] = (guint8) ((k + i) % 250);
      commy_client_exchange (pair->client, method, &span, &reply, 0, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (reply.size, ==, size);
      for (gsize k = 0; k < size; k++)
        g_assert_cmpuint (reply.data[k], ==, (guint8) ((size - 1 - k + i) % 250));
      commy_reply_clear (&reply);
    }
  pair_free (pair);
}

static void
on_reversed (GObject *source, GAsyncResult *result, gpointer data)
{
  Many *many = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);
  gsize size;
  const guint8 *answer;

  g_assert_no_error (error);
  answer = g_bytes_get_data (bytes, &size);
  g_assert_cmpuint (size, ==, 1000);
  g_assert_cmpuint (answer[999], ==, 200 - many->left);
  if (--many->left == 0)
    g_main_loop_quit (many->loop);
}

/* Nobody takes the answers until all calls were sent. */
static void
test_hot_room (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 1);
  Many many = { g_main_loop_new (NULL, FALSE), 200 };
  guint8 argument[1000] = { 0 };

  check_echo (pair->client, 1);
  for (; argument[0] < 200; argument[0]++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (argument, sizeof argument);

      commy_client_call_bytes (pair->client, "Span", bytes, NULL, NULL, on_reversed, &many);
    }
  g_main_loop_run (many.loop);
  g_main_loop_unref (many.loop);
  pair_free (pair);
}

static void
test_hot_error (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 1);
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (pair->client, "Span", &error);
  CommyReply reply;
  CommySpan span;

  commy_client_reserve (pair->client, method, 4, &span, &error);
  g_assert_no_error (error);
  memset (span.data, 0xff, 4);
  g_assert_false (commy_client_exchange (pair->client, method, &span, &reply, 0, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REMOTE);
  commy_client_reserve (pair->client, method, 4, &span, NULL);
  commy_client_discard (pair->client);
  check_echo (pair->client, 5);
  pair_free (pair);
}

static void
test_who (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (pair->client, "Who", NULL, NULL, NULL, &error);
  const char *principal, *over;

  g_assert_no_error (error);
  g_variant_get (value, "(&s&s)", &principal, &over);
  g_assert_cmpstr (over, ==, transport);
  if (strcmp (transport, "tls") == 0)
    g_assert_true (g_str_has_prefix (principal, "spiffe://test-"));
  else
    g_assert_true (g_str_has_prefix (principal, "unix:uid="));
  pair_free (pair);
}

/* --- a killed server --- */

static void
test_killed (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) again = NULL;

  check_echo (pair->client, 10);
  service_child_kill (pair->child);
  g_assert_null (commy_client_call_sync (pair->client, "Pid", NULL, NULL, NULL, &error));
  g_assert_nonnull (error);
  g_assert_null (commy_client_call_sync (pair->client, "Pid", NULL, NULL, NULL, &again));
  g_assert_nonnull (again);
  pair_free (pair);
}

typedef struct
{
  GPid pid;
} Killer;

static gpointer
kill_soon (gpointer data)
{
  g_usleep (30000);
  kill (((Killer *) data)->pid, SIGKILL);
  return NULL;
}

static void
test_killed_in_call (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  Killer killer = { pair->child->pid };
  g_autoptr (GError) error = NULL;
  GThread *thread;
  gint64 began;

  check_echo (pair->client, 10);
  thread = g_thread_new ("killer", kill_soon, &killer);
  began = g_get_monotonic_time ();
  g_assert_null (commy_client_call_sync (pair->client, "Slow", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_assert_cmpint (g_get_monotonic_time () - began, <,
                   5 * G_USEC_PER_SEC); /* the deadline is 10 s */
  g_thread_join (thread);
  waitpid (pair->child->pid, NULL, 0);
  pair->child->pid = 0;
  pair_free (pair);
}

static void
test_fallback (MeshFixture *fixture, gconstpointer transport)
{
  Pair *pair = pair_new (fixture, transport, 0);
  ServiceChild *second = service_child_start (fixture, NULL, 0);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  Killer killer = { pair->child->pid };
  GThread *thread;

  commy_call_options_set_idempotent (options, TRUE);
  thread = g_thread_new ("killer", kill_soon, &killer);
  for (guint i = 0; i < 3000; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value
          = commy_client_call_sync (pair->client, "Pid", NULL, options, NULL, &error);

      g_assert_no_error (error);
    }
  g_thread_join (thread);
  waitpid (pair->child->pid, NULL, 0);
  pair->child->pid = 0;
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value
          = commy_client_call_sync (pair->client, "Pid", NULL, options, NULL, &error);
      gint32 pid;

      g_assert_no_error (error);
      g_variant_get (value, "(i)", &pid);
      g_assert_cmpint (pid, ==, second->pid);
    }
  pair_free (pair);
  service_child_free (second);
}

static void
test_nothing_leaks (MeshFixture *fixture, gconstpointer transport)
{
  guint before = 0;

  mesh_fixture_make_credentials (fixture);
  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
      ServiceChild *child = service_child_start (fixture, NULL, 0);
      CommyMesh *mesh = mesh_fixture_join (fixture, settings);
      CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

      check_echo (client, 100000);
      g_object_unref (client);
      commy_mesh_leave_sync (mesh, NULL, NULL);
      g_object_unref (mesh);
      service_child_free (child);
      if (i == 0)
        before = count_fds (); /* what the first one opens for good is GLib's */
    }
  g_assert_cmpuint (count_fds (), ==, before);
}

static void
add (const char *rule, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/%s/%s", transport, rule);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = { "shm", "unix", "tls" };
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/inproc/add", MeshFixture, NULL, mesh_fixture_set_up, test_in_process,
              mesh_fixture_tear_down);
  g_test_add ("/mesh/sync-call-of-own-context-would-deadlock", MeshFixture, NULL,
              mesh_fixture_set_up, test_would_deadlock, mesh_fixture_tear_down);
  g_test_add ("/mesh/nobody-offers", MeshFixture, NULL, mesh_fixture_set_up, test_nobody,
              mesh_fixture_tear_down);
  g_test_add ("/mesh/not-joined", MeshFixture, NULL, mesh_fixture_set_up, test_not_joined,
              mesh_fixture_tear_down);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      add ("sizes", transports[i], test_sizes);
      add ("values", transports[i], test_values);
      add ("errors", transports[i], test_errors);
      add ("deadline", transports[i], test_deadline);
      add ("cancel", transports[i], test_cancel);
      add ("one-way", transports[i], test_one_way);
      add ("async-many", transports[i], test_async);
      add ("hot", transports[i], test_hot);
      add ("hot-answers-wait-for-room", transports[i], test_hot_room);
      add ("hot-error", transports[i], test_hot_error);
      add ("who", transports[i], test_who);
      add ("killed-server-is-an-error", transports[i], test_killed);
      add ("killed-in-a-call-is-no-hang", transports[i], test_killed_in_call);
      add ("fallback-to-another-instance", transports[i], test_fallback);
      add ("nothing-leaks", transports[i], test_nothing_leaks);
    }
  return g_test_run ();
}
