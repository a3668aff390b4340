/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Beginnings and ends: fork, kill, directories that cannot be used, closing from inside
 * callbacks, clients that outlive their mesh, many of everything, and limits that are reached.
 */
#include "config.h"

#include "../fixtures/test-child.h"
#include "mesh-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"

/* --- helpers --- */

static void
start (CommyService *service)
{
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
}

static void
leave (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
}

static void
check_add (CommyClient *client, gint32 a, gint32 b)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", a, b), NULL, NULL, &error);
  gint32 sum;

  g_assert_no_error (error);
  g_variant_get (value, "(i)", &sum);
  g_assert_cmpint (sum, ==, a + b);
}

static void
on_result (GObject *source, GAsyncResult *result, gpointer out_result)
{
  *(GAsyncResult **) out_result = g_object_ref (result);
}

static GAsyncResult *
wait_for (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

/* --- fork --- */

static int
expect_forked (GError **error, int step)
{
  gboolean right = g_error_matches (*error, COMMY_ERROR, COMMY_ERROR_FORKED);

  g_clear_error (error);
  return right ? 0 : step;
}

/* What a child may try with what it inherited; 0 if each is refused. */
static int
try_all (CommyMesh *mesh, CommyClient *client)
{
  GError *error = NULL;
  CommyService *service = test_service_new (mesh, 0);

  if (commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error) != NULL
      || expect_forked (&error, 1) != 0)
    return 1;
  if (commy_client_send (client, "Count", NULL, NULL, &error) || expect_forked (&error, 2) != 0)
    return 2;
  if (commy_client_resolve (client, "Span", &error) != 0 || expect_forked (&error, 3) != 0)
    return 3;
  if (commy_client_explain (client, 64, NULL, NULL, &error) != NULL
      || expect_forked (&error, 4) != 0)
    return 4;
  if (commy_mesh_join_sync (mesh, NULL, &error) || expect_forked (&error, 5) != 0)
    return 5;
  if (commy_mesh_list_services_sync (mesh, NULL, NULL, &error) != NULL
      || expect_forked (&error, 6) != 0)
    return 6;
  if (commy_service_start_sync (service, NULL, &error) || expect_forked (&error, 7) != 0)
    return 7;
  commy_mesh_leave_sync (mesh, NULL, NULL); /* touches nothing, hangs nowhere */
  return 0;
}

static void
test_fork (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  int status = -1;
  GPid pid;

  check_add (client, 1, 2);
  pid = fork ();
  if (pid == 0)
    {
      alarm (20);
      test_child_exit (try_all (mesh, client));
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  check_add (client, 3, 4);
  leave (mesh);
  service_child_free (child);
}

/* --- kill --- */

static void
list_files (const char *path, GPtrArray *names)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      if (g_file_test (child, G_FILE_TEST_IS_DIR))
        list_files (child, names);
      else
        g_ptr_array_add (names, g_steal_pointer (&child));
    }
}

static GPtrArray *
list_run (MeshFixture *fixture)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *run = g_build_filename (fixture->dir, "run", NULL);

  list_files (run, names);
  return names;
}

static guint
count_instances (CommyMesh *mesh, const char *service)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, service, NULL, &error);

  g_assert_no_error (error);
  return (guint) g_variant_n_children (list);
}

static void
test_killed_leaves_nothing (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *first = service_child_start (fixture, NULL, 0);
  ServiceChild *second;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GPtrArray) left = NULL;
  gint64 killed_at;

  service_child_kill (first);
  killed_at = g_get_monotonic_time ();
  second = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, NULL);
  while (count_instances (mesh, TEST_SERVICE) > 1)
    g_usleep (5000);
  g_assert_cmpint (g_get_monotonic_time () - killed_at, <, 2 * G_USEC_PER_SEC); /* the promise */
  client = commy_client_new (mesh, TEST_SERVICE);
  check_add (client, 1, 1);
  leave (mesh);
  service_child_free (first);
  service_child_free (second);
  left = list_run (fixture);
  for (guint i = 0; i < left->len; i++)
    {
      g_test_message ("left: %s", (char *) left->pdata[i]);
      g_assert_false (g_str_has_suffix (left->pdata[i], ".sock"));
    }
}

/* --- directories --- */

static void
check_dir_error (MeshFixture *fixture, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STATE_DIR);
  g_assert_nonnull (strstr (error->message, path));
}

static void
test_dir_is_file (MeshFixture *fixture, gconstpointer which)
{
  g_autofree char *path = g_build_filename (fixture->dir, which, NULL);

  g_assert_true (g_file_set_contents (path, "", 0, NULL));
  check_dir_error (fixture, path);
}

static void
test_dir_unwritable (MeshFixture *fixture, gconstpointer which)
{
  g_autofree char *path = g_build_filename (fixture->dir, which, "test", NULL);

  g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
  if (geteuid () == 0) /* root may write everywhere, but not into what is another's */
    g_assert_cmpint (chown (path, 54321, 54321), ==, 0);
  else
    g_assert_cmpint (g_chmod (path, 0500), ==, 0);
  check_dir_error (fixture, path);
  if (geteuid () == 0)
    g_assert_cmpint (chown (path, 0, 0), ==, 0);
  g_assert_cmpint (g_chmod (path, 0700), ==, 0);
}

static void
test_dir_open_to_others (MeshFixture *fixture, gconstpointer which)
{
  g_autofree char *path = g_build_filename (fixture->dir, which, "test", NULL);

  g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
  g_assert_cmpint (g_chmod (path, 0777), ==, 0);
  check_dir_error (fixture, path);
}

/* A limit on the size of files is as good as a disk that is full. */
static void
test_disk_full (MeshFixture *fixture, gconstpointer data)
{
  struct rlimit limit = { 0, 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autofree char *state = g_build_filename (fixture->dir, "state", "test", NULL);

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      return;
    }
  alarm (20);
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  mesh = mesh_fixture_new (fixture, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_INIT); /* the store's own words follow */
  g_assert_nonnull (strstr (error->message, "full disk"));
  g_assert_nonnull (strstr (error->message, state));
}

/* --- threads --- */

static gpointer
call_from_elsewhere (gpointer client)
{
  GError *error = NULL;
  GVariant *value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

  g_assert_null (value);
  return error;
}

static void
test_wrong_thread (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;

  start (service);
  check_add (client, 1, 1);
  error = g_thread_join (g_thread_new ("elsewhere", call_from_elsewhere, client));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_WRONG_THREAD);
  check_add (client, 2, 2);
  leave (mesh);
}

static gpointer
call_often (gpointer mesh)
{
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  for (gint i = 0; i < 200; i++)
    check_add (client, i, 7);
  g_object_unref (client);
  return NULL;
}

static void
test_many_threads (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  ServiceChild *child;
  CommyMesh *mesh;
  GThread *threads[8];

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 2);
  mesh = mesh_fixture_join (fixture, settings);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("caller", call_often, mesh);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  leave (mesh);
  g_object_unref (mesh);
  service_child_free (child);
}

/* --- closing inside callbacks --- */

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
  GMainLoop *loop;
  GAsyncResult *stopped;
  gboolean answered;
} Inside;

static void
on_stop_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Inside *inside = data;

  commy_service_stop (service, NULL, on_result, &inside->stopped);
  commy_invocation_return_value (invocation, NULL);
}

static void
on_stop_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  ((Inside *) data)->answered = TRUE;
}

/* data: number of workers */
static void
test_stop_inside_handler (MeshFixture *fixture, gconstpointer data)
{
  Inside inside = { 0 };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, GPOINTER_TO_UINT (data));
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GMainContext) context = g_main_context_new ();

  commy_service_handle (service, "Stop", on_stop_call, &inside, NULL);
  start (service);
  commy_client_call (client, "Stop", NULL, NULL, NULL, on_stop_answer, &inside);
  while (!inside.answered || (inside.stopped == NULL && GPOINTER_TO_UINT (data) == 0))
    g_main_context_iteration (NULL, TRUE);
  while (count_instances (mesh, TEST_SERVICE) > 0)
    g_usleep (2000);
  /* What is connected already is told a moment later. */
  while ((value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error)) != NULL)
    g_clear_pointer (&value, g_variant_unref);
  g_assert_nonnull (error);
  leave (mesh);
  g_clear_object (&inside.stopped);
}

static void
on_unref_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Inside *inside = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_clear_object (&inside->client);
  g_main_loop_quit (inside->loop);
}

static void
test_unref_inside_callback (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  Inside inside = { .loop = g_main_loop_new (NULL, FALSE) };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);

  start (service);
  inside.client = commy_client_new (mesh, TEST_SERVICE);
  commy_client_call (inside.client, "Pid", NULL, NULL, NULL, on_unref_answer, &inside);
  g_main_loop_run (inside.loop);
  g_assert_null (inside.client);
  g_main_loop_unref (inside.loop);
  leave (mesh);
}

static void
on_leave_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Inside *inside = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  leave (inside->mesh);
  g_main_loop_quit (inside->loop);
}

static void
test_leave_inside_callback (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  Inside inside = { .mesh = mesh, .loop = g_main_loop_new (NULL, FALSE) };
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  start (service);
  commy_client_call (client, "Pid", NULL, NULL, NULL, on_leave_answer, &inside);
  g_main_loop_run (inside.loop);
  g_main_loop_unref (inside.loop);
  value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
}

static void
on_leave_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Inside *inside = data;

  leave (inside->mesh);
  commy_invocation_return_value (invocation, NULL); /* meets nobody */
  __atomic_store_n (&inside->answered, TRUE, __ATOMIC_RELEASE);
  g_main_context_wakeup (NULL);
}

static void
on_any_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_null (value);
  g_assert_nonnull (error);
  *(gboolean *) data = TRUE;
}

/* data: number of workers */
static void
test_leave_inside_handler (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  g_autoptr (CommyService) service = test_service_new (mesh, GPOINTER_TO_UINT (data));
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  Inside inside = { .mesh = mesh };
  gboolean failed = FALSE;

  commy_service_handle (service, "Leave", on_leave_call, &inside, NULL);
  start (service);
  commy_client_call (client, "Leave", NULL, NULL, NULL, on_any_answer, &failed);
  while (!failed || !__atomic_load_n (&inside.answered, __ATOMIC_ACQUIRE))
    g_main_context_iteration (NULL, TRUE);
}

static void
test_leave_async (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, GPOINTER_TO_UINT (data));
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  start (service);
  commy_mesh_leave (mesh, NULL, on_result, &result);
  g_assert_true (commy_mesh_leave_finish (mesh, wait_for (&result), &error));
  g_assert_no_error (error);
  g_assert_true (commy_mesh_join_sync (mesh, NULL, &error)); /* and again */
  g_assert_no_error (error);
  leave (mesh);
}

/* --- outliving --- */

static void
test_client_outlives_mesh (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  CommyMesh *mesh = mesh_fixture_join (fixture, settings);
  CommyService *service = test_service_new (mesh, 1);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) hot = NULL;
  CommyMethod method;
  CommySpan span;

  start (service);
  check_add (client, 1, 2);
  method = commy_client_resolve (client, "Span", &error);
  g_assert_no_error (error);
  leave (mesh);
  g_object_unref (mesh);
  g_object_unref (service);
  g_assert_null (commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  g_assert_false (commy_client_reserve (client, method, 8, &span, &hot));
  g_assert_error (hot, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  g_object_unref (client);
}

static void
test_reply_outlives_client (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  g_autoptr (GBytes) sent = g_bytes_new_take (g_malloc0 (300000), 300000);
  g_autoptr (GBytes) got = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 1);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  got = commy_client_call_bytes_sync (client, "Echo", sent, NULL, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (client);
  leave (mesh);
  g_object_unref (mesh);
  service_child_free (child);
  g_assert_true (g_bytes_equal (sent, got));
}

/* --- more than one --- */

static void
test_two_meshes (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n",
                                               fixture->dir, fixture->dir);
  g_autoptr (CommyMesh) one = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) same = mesh_fixture_join (fixture, ONLY ("shm"));
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) other = commy_mesh_new_with_settings ("other", settings, &error);
  g_autoptr (CommyService) service = test_service_new (one, 1);
  g_autoptr (CommyClient) near = commy_client_new (one, TEST_SERVICE);
  g_autoptr (CommyClient) across = commy_client_new (same, TEST_SERVICE);
  g_autoptr (CommyClient) apart = NULL;

  g_assert_no_error (error);
  commy_mesh_join_sync (other, NULL, &error);
  g_assert_no_error (error);
  start (service);
  check_add (near, 1, 2);
  check_add (across, 3, 4);
  g_assert_cmpstr (commy_mesh_get_node_id (one), !=, commy_mesh_get_node_id (same));
  apart = commy_client_new (other, TEST_SERVICE);
  g_assert_null (commy_client_call_sync (apart, "Pid", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
  leave (other);
  check_add (across, 5, 6);
  leave (same);
  check_add (near, 7, 8);
  leave (one);
}

static void
test_many_services (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GPtrArray) services = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 64; i++)
    {
      g_autofree char *name = g_strdup_printf ("org.example.Many.S%u", i);
      CommyService *service = commy_service_new (mesh, name, NULL);

      commy_service_set_workers (service, i % 8 == 0 ? 1 : 0);
      g_ptr_array_add (services, service);
      start (service);
    }
  g_assert_cmpuint (count_instances (mesh, "org.example.Many.*"), ==, 64);
  for (guint i = 0; i < 64; i++)
    {
      g_autofree char *name = g_strdup_printf ("org.example.Many.S%u", i);
      g_autoptr (CommyClient) client = commy_client_new (mesh, name);
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      commy_client_call (client, "Nothing", NULL, NULL, NULL, on_result, &result);
      value = commy_client_call_finish (client, wait_for (&result), &error);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_METHOD);
    }
  leave (mesh);
  g_object_unref (mesh);
}

/* --- calls under way --- */

static void
test_stop_drains (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 0);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) counted = NULL;
  g_autoptr (GAsyncResult) stopped = NULL;
  g_autoptr (GAsyncResult) released = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) first = NULL;
  g_autoptr (GVariant) last = NULL;
  g_autoptr (GError) error = NULL;

  start (service);
  commy_client_call (client, "Slow", NULL, NULL, NULL, on_result, &slow);
  commy_client_call (client, "Counted", NULL, NULL, NULL, on_result, &counted);
  first = commy_client_call_finish (client, wait_for (&counted), &error);
  g_assert_no_error (error);
  /* Order is kept: the slow call is held by its handler now. */
  commy_client_call (client, "Release", NULL, NULL, NULL, on_result, &released);
  commy_service_stop (service, NULL, on_result, &stopped);
  value = commy_client_call_finish (client, wait_for (&slow), &error);
  g_assert_no_error (error);
  last = commy_client_call_finish (client, wait_for (&released), &error);
  g_assert_no_error (error);
  g_assert_true (commy_service_stop_finish (service, wait_for (&stopped), &error));
  g_assert_no_error (error);
  leave (mesh);
}

static void
test_sync_beside_async (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) released = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  check_add (client, 0, 0);
  commy_client_call (client, "Slow", NULL, NULL, NULL, on_result, &slow);
  for (gint i = 0; i < 50; i++)
    check_add (client, i, i);
  g_assert_null (slow);
  released = commy_client_call_sync (client, "Release", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (slow); /* its callback waits for the main context */
  value = commy_client_call_finish (client, wait_for (&slow), &error);
  g_assert_no_error (error);
  g_assert_nonnull (value);
  leave (mesh);
  service_child_free (child);
}

/* --- limits --- */

static void
test_too_big (MeshFixture *fixture, gconstpointer transport)
{
  const gsize limit = 1024 * 1024;
  g_autofree char *settings
      = g_strdup_printf (ONLY ("%s") "[limits]\nmessage=1MiB\n", (const char *) transport);
  g_autofree guint8 *memory = g_malloc0 (limit + 1);
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, "[limits]\nmessage=1MiB\n", 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  for (guint i = 0; i < 3; i++)
    {
      gsize size = limit - 1 + i;
      g_autoptr (GBytes) sent = g_bytes_new_static (memory, size);
      g_autoptr (GBytes) got = NULL;
      g_autoptr (GError) error = NULL;

      got = commy_client_call_bytes_sync (client, "Echo", sent, NULL, NULL, &error);
      if (size > limit)
        g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG);
      else
        g_assert_no_error (error);
      g_assert_true (size > limit || g_bytes_equal (sent, got));
      check_add (client, 1, 1);
    }
  leave (mesh);
  service_child_free (child);
}

/* The service's context does not run: what was taken waits, what finds no room is refused. */
static void
test_back_pressure (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings
      = g_strdup_printf (ONLY ("%s") "[limits]\nmessage=64KiB\n", (const char *) transport);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (CommyService) service = test_service_new (mesh, 0);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) counted = NULL;
  g_autoptr (GError) error = NULL;
  gint32 taken = 0, seen;

  start (service);
  while (commy_client_send (client, "Count", NULL, NULL, &error) && taken < 10000000)
    taken++;
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_cmpint (taken, >, 0);
  g_test_message ("%d messages were taken", taken);
  commy_client_call (client, "Counted", NULL, NULL, NULL, on_result, &result);
  counted = commy_client_call_finish (client, wait_for (&result), &error);
  g_assert_no_error (error);
  g_variant_get (counted, "(i)", &seen);
  g_assert_cmpint (seen, ==, taken);
  leave (mesh);
}

/* --- */

static void
add (const char *name, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/lifecycle/%s", name);

  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

static void
add_all (void)
{
  const gpointer worker = GUINT_TO_POINTER (1);

  add ("forked-child-is-refused", NULL, test_fork);
  add ("killed-server-leaves-nothing", NULL, test_killed_leaves_nothing);
  add ("state-dir-is-a-file", "state", test_dir_is_file);
  add ("runtime-dir-is-a-file", "run", test_dir_is_file);
  add ("state-dir-cannot-be-written", "state", test_dir_unwritable);
  add ("runtime-dir-cannot-be-written", "run", test_dir_unwritable);
  add ("state-dir-open-to-others", "state", test_dir_open_to_others);
  add ("disk-full", NULL, test_disk_full);
  add ("wrong-thread", NULL, test_wrong_thread);
  add ("stop-inside-handler", NULL, test_stop_inside_handler);
  add ("stop-inside-handler-of-worker", worker, test_stop_inside_handler);
  add ("leave-inside-handler", NULL, test_leave_inside_handler);
  add ("leave-inside-handler-of-worker", worker, test_leave_inside_handler);
  add ("leave-async-and-join-again", NULL, test_leave_async);
  add ("leave-async-with-worker", worker, test_leave_async);
  add ("two-meshes-in-one-process", NULL, test_two_meshes);
  add ("sixty-four-services", NULL, test_many_services);
  add ("stop-drains-unanswered-call", NULL, test_stop_drains);
}

static void
add_for (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("%s/%s", name, transport);

  add (path, transport, test);
}

int
main (int argc, char **argv)
{
  static const char *const inside[] = { "inproc", "shm", "unix" };
  static const char *const between[] = { "shm", "unix", "tls" };
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add_all ();
  for (guint i = 0; i < G_N_ELEMENTS (inside); i++)
    {
      add_for ("unref-client-inside-its-callback", inside[i], test_unref_inside_callback);
      add_for ("leave-inside-callback", inside[i], test_leave_inside_callback);
      add_for ("client-outlives-mesh", inside[i], test_client_outlives_mesh);
      add_for ("back-pressure-loses-nothing", inside[i], test_back_pressure);
    }
#ifdef HAVE_GNUTLS
  for (guint i = 0; i < G_N_ELEMENTS (between); i++)
#else
  for (guint i = 0; i < 2; i++)
#endif
    {
      add_for ("eight-threads-without-main-loop", between[i], test_many_threads);
      add_for ("sync-call-beside-async-one", between[i], test_sync_beside_async);
      add_for ("limit-of-message-size", between[i], test_too_big);
      add_for ("answer-outlives-its-client", between[i], test_reply_outlives_client);
    }
  return g_test_run ();
}
