/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wall clock is stepped, by an hour or by years and both ways, under a mesh that is at work:
 * this program is the wall clock of all libraries in it. Deadlines, leases and routes do not live
 * on it.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Calls that are late on purpose are no reason to leave out who is late. */
#define SETTINGS "[service " TEST_SERVICE "]\nbreaker=false\nejection=false\n"
#define YEAR_S (365 * 86400)
#define LIBRARIES_SEE __attribute__ ((visibility ("default")))

/* lint: allow-static the wall clock is one of the process; atomic */
static gint64 offset_s;
/* lint: allow-static likewise */
static guint n_asked;

LIBRARIES_SEE int
clock_gettime (clockid_t which, struct timespec *out)
{
  int result = (int) syscall (SYS_clock_gettime, which, out);

  if (result == 0 && which == CLOCK_REALTIME)
    {
      out->tv_sec += __atomic_load_n (&offset_s, __ATOMIC_RELAXED);
      __atomic_add_fetch (&n_asked, 1, __ATOMIC_RELAXED);
    }
  return result;
}

LIBRARIES_SEE int
gettimeofday (struct timeval *restrict out, void *restrict zone)
{
  struct timespec now;
  int result = clock_gettime (CLOCK_REALTIME, &now);

  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return result;
}

static void
step (gint64 by_s)
{
  guint asked = __atomic_load_n (&n_asked, __ATOMIC_RELAXED);

  __atomic_add_fetch (&offset_s, by_s, __ATOMIC_RELAXED);
  g_get_real_time ();
  g_assert_cmpuint (__atomic_load_n (&n_asked, __ATOMIC_RELAXED), >, asked);
}

static void
call (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
}

/* Which nobody answers. @data: where its error goes. */
static void
on_late (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) answer
      = commy_client_call_finish (COMMY_CLIENT (source), result, (GError **) data);

  g_assert_null (answer);
}

static void
leave (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
}

static guint
count_nodes (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) nodes = commy_mesh_list_nodes_sync (mesh, NULL, &error);

  g_assert_no_error (error);
  return (guint) g_variant_n_children (nodes);
}

/* A call that began before a step forward is not late by it, one that began before a step back is
 * late when its time is over, and who comes then finds everybody. */
static void
test_steps (MeshFixture *fixture, gconstpointer unused)
{
  static const gint64 steps[] = { 3600, -3600, 30 * (gint64) YEAR_S, -31 * (gint64) YEAR_S, 1, -1 };
  g_autoptr (CommyMesh) server = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, SETTINGS);
  g_autoptr (CommyService) service = test_service_new (server, 1);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) released = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  call (client);
  commy_call_options_set_timeout (options, G_USEC_PER_SEC / 10);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autoptr (CommyMesh) newcomer = NULL;
      g_autoptr (CommyClient) its_client = NULL;
      g_autoptr (GError) late = NULL;

      commy_client_call (client, "Slow", NULL, options, NULL, on_late, &late);
      step (steps[i]);
      call (client);
      while (late == NULL)
        g_main_context_iteration (NULL, TRUE);
      g_assert_error (late, COMMY_ERROR, COMMY_ERROR_DEADLINE);
      newcomer = mesh_fixture_join (fixture, NULL);
      g_assert_cmpuint (count_nodes (newcomer), ==, 3);
      its_client = commy_client_new (newcomer, TEST_SERVICE);
      call (its_client);
      g_clear_object (&its_client);
      leave (newcomer);
    }
  released = commy_client_call_sync (client, "Release", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  leave (caller);
  leave (server);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/clock/steps-of-the-wall-clock-change-nothing", MeshFixture, NULL,
              mesh_fixture_set_up, test_steps, mesh_fixture_tear_down);
  return g_test_run ();
}
