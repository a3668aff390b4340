/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One look at one path, over each transport: what counts and what does not. The clock is the
 * test's: it stands still but for what is declared to take long.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "mesh/commy-probe.h"
#include "mesh/commy-survey.h"

#define N_SMALL 4u
#define N_LARGE 4u
#define WAKING_TRIPS 1u /* that do not count: of the small ones */
#define COLD_TRIPS 2u   /* of the large ones */
#define LONG_NS G_GINT64_CONSTANT (1000000)

typedef struct
{
  CommyEnv env;
  GThread *thread; /* that looks: for the others the clock stands still */
  gint64 started_ns, passed_ns;
  CommyProbeResult result;
  CommyMesh *mesh;
  ServiceChild *child;
  CommySnapshot *snapshot;
} Scene;

/* Whether the round trip under way is one of a connection that was used for nothing like it yet. */
static gboolean
is_cold (const CommyProbeResult *result)
{
  if (result->large_size == 0)
    return result->round_trips < WAKING_TRIPS;
  return result->round_trips < WAKING_TRIPS + N_SMALL + COLD_TRIPS;
}

static gint64
scene_now (gpointer data)
{
  Scene *self = data;

  if (g_thread_self () != self->thread)
    return self->started_ns;
  self->passed_ns += is_cold (&self->result) ? LONG_NS : 1;
  return self->started_ns + self->passed_ns;
}

static void
scene_init (Scene *self, MeshFixture *fixture)
{
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("x", 1);
  g_autoptr (GBytes) answer = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  self->child = service_child_start (fixture, NULL, 1);
  self->mesh = mesh_fixture_join (fixture, "[calibration]\nmode=off\n");
  client = commy_client_new (self->mesh, TEST_SERVICE);
  answer = commy_client_call_bytes_sync (client, "Echo", bytes, NULL, NULL, &error);
  g_assert_no_error (error);
  self->snapshot = commy_registry_lookup (self->mesh->registry, TEST_SERVICE);
  g_assert_cmpuint (self->snapshot->instances->len, ==, 1);
}

static void
scene_clear (Scene *self)
{
  commy_snapshot_unref (self->snapshot);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  service_child_free (self->child);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

static const CommySurveyEndpoint *
find_endpoint (Scene *self, const char *transport)
{
  const CommySurvey *survey = self->snapshot->survey;

  for (guint i = 0; i < survey->instances[0]->n_endpoints; i++)
    if (g_str_equal (survey->instances[0]->endpoints[i].id, transport))
      return &survey->instances[0]->endpoints[i];
  return NULL;
}

static void
run (Scene *self, const char *transport, guint n_small, guint n_large)
{
  const CommySurveyEndpoint *endpoint = find_endpoint (self, transport);
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  CommyWorker *worker;
  CommyProbe probe;

  g_assert_nonnull (endpoint);
  g_assert_nonnull (endpoint->address);
  worker = commy_worker_new (context, FALSE, self->mesh->env, &error);
  g_assert_no_error (error);
  probe = (CommyProbe){ .mesh = self->mesh,
                        .worker = worker,
                        .transport = endpoint->transport,
                        .instance = self->snapshot->instances->pdata[0],
                        .address = endpoint->address,
                        .profile = &endpoint->facts->profile,
                        .cancellable = cancellable,
                        .n_small = n_small,
                        .n_large = n_large };
  self->env = *self->mesh->env;
  self->env.now_ns = scene_now;
  self->env.data = self;
  self->started_ns = commy_env_now (self->mesh->env);
  self->passed_ns = 0;
  self->thread = g_thread_self ();
  self->mesh->env = &self->env;
  commy_probe_run (&probe, &self->result, &error);
  self->mesh->env = commy_env_system ();
  g_assert_no_error (error);
  commy_worker_unref (worker);
}

/* Memory that nobody touched, a window that is not open: what only a new connection pays is not
 * the path's. A transport that is slow at first only lost large messages to a slower one. */
static void
test_cold (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture);
  run (&scene, data, N_SMALL, N_LARGE);
  g_assert_cmpuint (scene.result.n_small, ==, N_SMALL);
  g_assert_cmpuint (scene.result.n_large, ==, N_LARGE);
  g_assert_cmpint (scene.passed_ns, >, 2 * (WAKING_TRIPS + COLD_TRIPS) * LONG_NS - 1);
  for (guint i = 0; i < N_SMALL; i++)
    g_assert_cmpint (scene.result.small_ns[i], <, LONG_NS / 4);
  for (guint i = 0; i < N_LARGE; i++)
    g_assert_cmpint (scene.result.large_ns[i], <, LONG_NS / 4);
}

/* What does not count was sent all the same: ceilings on bytes hold for it. */
static void
test_told (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  const CommyProbeResult *result = &scene.result;

  scene_init (&scene, fixture);
  run (&scene, "unix", N_SMALL, N_LARGE);
  g_assert_cmpuint (result->round_trips, ==, WAKING_TRIPS + N_SMALL + COLD_TRIPS + N_LARGE);
  g_assert_cmpuint (result->bytes, ==,
                    (WAKING_TRIPS + N_SMALL) * result->small_size
                        + (COLD_TRIPS + N_LARGE) * result->large_size);
}

#define ADD(path, data, test) \
  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  ADD ("/probe/what-only-the-first-ones-pay-does-not-count/shm", "shm", test_cold);
  ADD ("/probe/what-only-the-first-ones-pay-does-not-count/unix", "unix", test_cold);
  ADD ("/probe/what-only-the-first-ones-pay-does-not-count/tls", "tls", test_cold);
  ADD ("/probe/all-that-was-sent-is-told", NULL, test_told);
  return g_test_run ();
}
