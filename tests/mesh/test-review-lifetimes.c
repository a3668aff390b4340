/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Things that applications keep for longer than the mesh: answers, invocations, clients; and
 * ends that come from inside.
 */
#include "config.h"

#include "../fixtures/test-child.h"
#include "mesh-fixture.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONLY_SHM "[selection]\ntransports=shm\n"

static void
test_answer_outlives_mesh (MeshFixture *fixture, gconstpointer explicitly)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY_SHM);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  g_autofree char *text = g_strnfill (100000, 'x');
  g_autoptr (GBytes) sent = g_bytes_new (text, 100000);
  g_autoptr (GBytes) got = NULL;
  g_autoptr (GError) error = NULL;

  got = commy_client_call_bytes_sync (client, "Echo", sent, NULL, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (client);
  if (explicitly != NULL)
    commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  g_assert_true (g_bytes_equal (sent, got));
  g_clear_pointer (&got, g_bytes_unref);
  service_child_free (child);
}

static void
on_hold (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  *(CommyInvocation **) data = invocation;
}

static void
on_failed (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_client_call_finish (COMMY_CLIENT (source), result, &error));
  g_assert_nonnull (error);
  ++*(guint *) data;
}

static void
test_invocation_outlives_mesh (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  CommyService *service = commy_service_new (mesh, "org.example.Hold", NULL);
  CommyClient *client = commy_client_new (mesh, "org.example.Hold");
  CommyInvocation *held = NULL;
  g_autoptr (GError) error = NULL;
  guint ended = 0;

  commy_service_handle (service, "Hold", on_hold, &held, NULL);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  commy_client_call (client, "Hold", NULL, NULL, NULL, on_failed, &ended);
  while (held == NULL)
    g_main_context_iteration (NULL, TRUE);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  while (ended == 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (client);
  g_object_unref (service);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  commy_invocation_return_value (held, NULL);
  g_object_unref (mesh);
}

static void
on_leave (CommyService *service, CommyInvocation *invocation, gpointer mesh)
{
  commy_mesh_leave_sync (mesh, NULL, NULL);
  commy_invocation_return_value (invocation, NULL);
}

/* The mesh thread stops the very thread that waits for it. */
static void
test_leave_in_handler (MeshFixture *fixture, gconstpointer workers)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  CommyService *service = commy_service_new (mesh, "org.example.Leave", NULL);
  CommyClient *client = commy_client_new (mesh, "org.example.Leave");
  g_autoptr (GError) error = NULL;
  guint ended = 0;

  commy_service_handle (service, "Leave", on_leave, mesh, NULL);
  commy_service_set_workers (service, GPOINTER_TO_UINT (workers));
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  commy_client_call (client, "Leave", NULL, NULL, NULL, on_failed, &ended);
  while (ended == 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (client);
  g_object_unref (service);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_object_unref (mesh);
}

static void
on_destroyed (gpointer flag)
{
  g_atomic_int_set ((gint *) flag, 1);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  ++*(guint *) data;
}

/* A stop that the leave overtakes still ends, and gives everything back. */
static void
test_leave_while_stopping (MeshFixture *fixture, gconstpointer workers)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  CommyService *service = commy_service_new (mesh, "org.example.Hold", NULL);
  CommyClient *client = commy_client_new (mesh, "org.example.Hold");
  CommyInvocation *held = NULL;
  g_autoptr (GError) error = NULL;
  guint ended = 0, stopped = 0;
  gint destroyed = 0;

  commy_service_handle (service, "Hold", on_hold, &held, NULL);
  commy_service_handle (service, "Never", on_hold, &destroyed, on_destroyed);
  commy_service_set_workers (service, GPOINTER_TO_UINT (workers));
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  commy_client_call (client, "Hold", NULL, NULL, NULL, on_failed, &ended);
  while (g_atomic_pointer_get (&held) == NULL)
    g_main_context_iteration (NULL, workers == NULL);
  commy_service_stop (service, NULL, on_stopped, &stopped);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  while (ended == 0 || stopped == 0)
    g_main_context_iteration (NULL, TRUE);
  commy_invocation_return_value (held, NULL);
  g_object_unref (client);
  g_object_unref (service);
  while (!g_atomic_int_get (&destroyed))
    g_main_context_iteration (NULL, FALSE);
  g_object_unref (mesh);
}

static void
test_rejoin (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY_SHM);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) got = NULL;

      if (i > 0)
        {
          commy_mesh_join_sync (mesh, NULL, &error);
          g_assert_no_error (error);
        }
      got = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  g_object_unref (client);
  g_object_unref (mesh);
  service_child_free (child);
}

typedef struct
{
  CommyMesh *mesh;
  gint calls; /* atomic */
} Looper;

static gpointer
call_in_loop (gpointer data)
{
  Looper *looper = data;
  g_autoptr (CommyClient) client = commy_client_new (looper->mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;

  while (error == NULL)
    {
      g_autoptr (GVariant) got = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

      g_atomic_int_inc (&looper->calls);
    }
  return NULL;
}

static void
test_leave_under_calls (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 1);

  for (guint i = 0; i < 10; i++)
    {
      Looper looper = { mesh_fixture_join (fixture, ONLY_SHM), 0 };
      GThread *threads[3];

      for (guint k = 0; k < G_N_ELEMENTS (threads); k++)
        threads[k] = g_thread_new ("caller", call_in_loop, &looper);
      while (g_atomic_int_get (&looper.calls) < (gint) i * 20)
        g_thread_yield ();
      commy_mesh_leave_sync (looper.mesh, NULL, NULL);
      for (guint k = 0; k < G_N_ELEMENTS (threads); k++)
        g_thread_join (threads[k]);
      g_object_unref (looper.mesh);
    }
  service_child_free (child);
}

/* A child that drops what it inherited does its parent no harm. */
static void
test_fork (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY_SHM);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  g_autofree char *text = g_strnfill (100000, 'x');
  g_autoptr (GBytes) sent = g_bytes_new (text, 100000);
  g_autoptr (GError) error = NULL;
  GBytes *got = commy_client_call_bytes_sync (client, "Echo", sent, NULL, NULL, &error);
  GVariant *pid;
  int status;
  pid_t forked;

  g_assert_no_error (error);
  forked = fork ();
  if (forked == 0)
    {
      g_bytes_unref (got);
      g_object_unref (client);
      g_object_unref (mesh);
      test_child_exit (0);
    }
  g_assert_cmpint (waitpid (forked, &status, 0), ==, forked);
  g_assert_cmpint (status, ==, 0);
  pid = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_unref (pid);
  g_bytes_unref (got);
  g_object_unref (client);
  g_object_unref (mesh);
  service_child_free (child);
}

static void
add (const char *path, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("/review/answer-outlives-left-mesh", "yes", test_answer_outlives_mesh);
  add ("/review/answer-outlives-dropped-mesh", NULL, test_answer_outlives_mesh);
  add ("/review/invocation-outlives-mesh", NULL, test_invocation_outlives_mesh);
  add ("/review/leave-in-handler/own-context", NULL, test_leave_in_handler);
  add ("/review/leave-in-handler/workers", GUINT_TO_POINTER (2), test_leave_in_handler);
  add ("/review/leave-while-stopping/own-context", NULL, test_leave_while_stopping);
  add ("/review/leave-while-stopping/workers", GUINT_TO_POINTER (1), test_leave_while_stopping);
  add ("/review/rejoin-with-an-old-client", NULL, test_rejoin);
  add ("/review/leave-under-calls-of-other-threads", NULL, test_leave_under_calls);
  add ("/review/forked-child-drops-what-it-inherited", NULL, test_fork);
  return g_test_run ();
}
