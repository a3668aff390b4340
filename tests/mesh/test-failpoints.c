/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every fail point of the core, enumerated from the linker's section so that none is forgotten:
 * a process that is killed there leaves nothing that the next one does not take over, and an
 * operation that fails there can be tried again. Only in builds with --enable-failpoints.
 */
#include "config.h"

#include "base/commy-failpoint.h"
#include "mesh-fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define TRIES 5

static gboolean
join_somehow (CommyMesh *mesh)
{
  for (guint i = 0; i < TRIES; i++)
    if (commy_mesh_join_sync (mesh, NULL, NULL))
      return TRUE;
  return FALSE;
}

static gboolean
start_somehow (CommyService *service)
{
  for (guint i = 0; i < TRIES; i++)
    if (commy_service_start_sync (service, NULL, NULL))
      return TRUE;
  return FALSE;
}

static gboolean
call_somehow (CommyClient *client)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  commy_call_options_set_idempotent (options, TRUE);
  commy_call_options_set_timeout (options, G_USEC_PER_SEC);
  for (guint i = 0; i < TRIES; i++)
    {
      g_autoptr (GVariant) sum = commy_client_call_sync (
          client, "Add", g_variant_new ("(ii)", 1, 2), options, NULL, NULL);

      if (sum != NULL)
        return TRUE;
      g_usleep (150000); /* longer than the first back-off of a path that failed */
    }
  return FALSE;
}

/* Joins, offers, calls over shared memory, leaves: passes every fail point. */
static int
scenario (const char *settings)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", settings, &error);
  g_autoptr (CommyService) service = NULL;
  g_autoptr (CommyClient) client = NULL;
  gboolean ok;

  if (mesh == NULL || !join_somehow (mesh))
    return 2;
  service = test_service_new (mesh, 1);
  if (!start_somehow (service))
    return 3;
  client = commy_client_new (mesh, TEST_SERVICE);
  commy_client_set_instance (client, commy_service_get_instance_id (service));
  ok = call_somehow (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return ok ? 0 : 4;
}

static int
run_scenario (MeshFixture *fixture, const char *failpoint)
{
  g_autofree char *settings = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n",
                                               fixture->dir, fixture->dir);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  char *argv[] = { self, (char *) "--scenario", settings, NULL };
  g_auto (GStrv) env = g_get_environ ();
  g_autoptr (GError) error = NULL;
  int status;

  if (failpoint != NULL)
    env = g_environ_setenv (env, "COMMY_FAILPOINT", failpoint, TRUE);
  g_spawn_sync (NULL, argv, env, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  return status;
}

static void
test_kill (MeshFixture *fixture, gconstpointer name)
{
  g_autofree char *spec = g_strdup_printf ("%s:1:kill", (const char *) name);
  int status = run_scenario (fixture, spec);

  g_assert_true (WIFSIGNALED (status)); /* it was passed */
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
  g_assert_cmpint (run_scenario (fixture, NULL), ==, 0);
}

static void
test_error (MeshFixture *fixture, gconstpointer name)
{
  g_autofree char *spec = g_strdup_printf ("%s:1:error", (const char *) name);

  g_assert_cmpint (run_scenario (fixture, spec), ==, 0);
}

static void
add (const char *what, const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/failpoints/%s/%s", name, what);

  g_test_add (path, MeshFixture, name, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--scenario") == 0)
    return scenario (argv[2]);
  g_test_init (&argc, &argv, NULL);
  for (const CommyFailpoint *p = commy_failpoints_begin (); p != commy_failpoints_end (); p++)
    {
      add ("killed-there", p->name, test_kill);
      add ("failing-there", p->name, test_error);
    }
  return g_test_run ();
}
