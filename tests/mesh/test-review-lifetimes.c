/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Things that applications keep for longer than the mesh: answers, invocations, clients; and
 * ends that come from inside.
 */
#include "config.h"

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

/*MORE*/
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
  /*ADD*/
  return g_test_run ();
}
