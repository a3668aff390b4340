/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections that nobody needs are closed after a time that the keyfile says, and only those; the
 * next call makes a new one, also when it begins just as the old one goes.
 */
#include "config.h"

#include "mesh-scene.h"
#include "mesh/commy-farewell.h"
#include "mesh/commy-mesh-private.h"
#include "stream-handlers.h"
#include "topic-puppet.h"

#include <stdlib.h>
#include <string.h>

#define IDLE_US 10000
#define ENOUGH 3u /* times that somebody else's connection is closed meanwhile */
#define LARGE (256u << 10)
#define TOPIC "sensors"

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
  ServiceChild *child;
  char *settings;
} Scene;

static void
scene_open (Scene *self, MeshFixture *fixture, const char *transport)
{
  self->settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n[calibration]\nmode=off\n"
                         "[service " TEST_SERVICE "]\nidle-timeout=10ms\n"
                         "[service topic:" TOPIC "]\nidle-timeout=10ms\n",
                         transport);
  mesh_fixture_make_credentials (fixture);
  self->child = service_child_start (fixture, self->settings, 1);
  self->mesh = mesh_fixture_join (fixture, self->settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

static void
scene_close (Scene *self)
{
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  service_child_free (self->child);
  g_free (self->settings);
}

static void
call (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
}

/* Runs the main context, which closes what is idle. */
static guint
count_connections_to (CommyMesh *mesh, const char *name)
{
  g_autoptr (GVariant) flows = mesh_ask_node (mesh, "Flows", NULL);
  guint n = 0;

  for (gsize i = 0; i < g_variant_n_children (flows); i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *service;

      g_assert_true (g_variant_lookup (flow, "service", "&s", &service));
      n += strcmp (service, name) == 0;
    }
  return n;
}

static guint
count_connections (CommyMesh *mesh)
{
  return count_connections_to (mesh, TEST_SERVICE);
}

static void
await_none (CommyMesh *mesh)
{
  while (count_connections (mesh) > 0)
    ;
}

static void
test_closes (MeshFixture *fixture, gconstpointer transport)
{
  Scene scene;

  scene_open (&scene, fixture, transport);
  for (guint i = 0; i < ENOUGH; i++)
    {
      call (scene.client);
      await_none (scene.mesh);
    }
  call (scene.client);
  scene_close (&scene);
}

/* --- what was replaced --- */

static gpointer
answer (gpointer invocation)
{
  commy_invocation_return_value (invocation, NULL);
  return NULL;
}

/* Says GOAWAY, then answers, and serves on: another thread's answer waits its turn. */
static void
on_goaway (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_farewell_tell (service);
  g_thread_unref (g_thread_new ("answer", answer, invocation));
}

static void
extend (CommyService *service)
{
  stream_handlers_add (service);
  commy_service_handle (service, "GoAway", on_goaway, NULL, NULL);
}

/* The peer wants nothing new on a connection and leaves it open: there is another one, and both go
 * when they are idle. */
static void
test_replaced (MeshFixture *fixture, gconstpointer transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) told = NULL;
  Scene scene;

  scene_open (&scene, fixture, transport);
  told = commy_client_call_sync (scene.client, "GoAway", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  call (scene.client);
  await_none (scene.mesh);
  call (scene.client);
  scene_close (&scene);
}

/* --- what is needed stays --- */

typedef gpointer (*NeedFunc) (Scene *scene);
typedef void (*LeaveFunc) (Scene *scene, gpointer need);

typedef struct
{
  const char *transport;
  NeedFunc need;
  LeaveFunc leave;
} Need;

static void
take_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

/* Which the service answers when it is told to. */
static gpointer
need_call (Scene *scene)
{
  GAsyncResult **result = g_new0 (GAsyncResult *, 1);

  commy_client_call (scene->client, "Slow", NULL, NULL, NULL, take_result, result);
  return result;
}

static void
leave_call (Scene *scene, gpointer need)
{
  g_autofree GAsyncResult **result = need;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) released
      = commy_client_call_sync (scene->client, "Release", NULL, NULL, NULL, &error);
  g_autoptr (GVariant) answer = NULL;

  g_assert_no_error (error);
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  answer = commy_client_call_finish (scene->client, *result, &error);
  g_assert_no_error (error);
  g_object_unref (*result);
}

static gpointer
need_stream (Scene *scene)
{
  g_autoptr (GError) error = NULL;
  CommyStream *stream
      = commy_client_open_stream_sync (scene->client, "Three", NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return stream;
}

static void
leave_stream (Scene *scene, gpointer need)
{
  commy_stream_cancel (need, NULL);
  g_object_unref (need);
}

/* Memory of the path, which the answer lies in. */
static gpointer
need_loan (Scene *scene)
{
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (LARGE), LARGE);
  g_autoptr (GError) error = NULL;
  GBytes *answer = commy_client_call_bytes_sync (scene->client, "Echo", bytes, NULL, NULL, &error);

  g_assert_no_error (error);
  return answer;
}

static void
leave_loan (Scene *scene, gpointer need)
{
  g_bytes_unref (need);
}

/* Another's connection, as old and as idle, goes again and again meanwhile. */
static void
test_needed (MeshFixture *fixture, gconstpointer data)
{
  const Need *need = data;
  g_autoptr (CommyMesh) other = NULL;
  g_autoptr (CommyClient) witness = NULL;
  gpointer what;
  Scene scene;

  scene_open (&scene, fixture, need->transport);
  other = mesh_fixture_join (fixture, scene.settings);
  witness = commy_client_new (other, TEST_SERVICE);
  what = need->need (&scene);
  for (guint i = 0; i < ENOUGH; i++)
    {
      call (witness);
      await_none (other);
      g_assert_cmpuint (count_connections (scene.mesh), ==, 1);
    }
  need->leave (&scene, what);
  await_none (scene.mesh);
  g_clear_object (&witness);
  commy_mesh_leave_sync (other, NULL, NULL);
  scene_close (&scene);
}

/* --- beside another one --- */

#define SPARE "[service " TEST_SERVICE "]\nspare-timeout="

static CommyClient *
client_over_network (CommyMesh *mesh)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  commy_requirements_set_preference (requirements, COMMY_PREFER_NETWORK_ONLY, NULL);
  commy_client_set_requirements (client, requirements);
  return client;
}

/* A call for which the route is decided anew, as it is now and then. */
static void
call_anew (Scene *scene)
{
  __atomic_add_fetch (&scene->mesh->epoch, 1, __ATOMIC_RELEASE);
  call (scene->client);
}

/* Two connections to one instance: the one that another client of the thread left is closed once
 * the other was used for long enough, and made anew when it is needed. */
static void
test_spare (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyClient) other = NULL;
  Scene scene = { 0 };

  mesh_fixture_make_credentials (fixture);
  scene.settings = g_strdup ("[calibration]\nmode=off\n" SPARE "10ms\n");
  scene.child = service_child_start (fixture, scene.settings, 1);
  scene.mesh = mesh_fixture_join (fixture, scene.settings);
  scene.client = commy_client_new (scene.mesh, TEST_SERVICE);
  other = client_over_network (scene.mesh);
  for (guint i = 0; i < ENOUGH; i++)
    {
      call (scene.client);
      call (other);
      g_assert_cmpuint (count_connections (scene.mesh), ==, 2);
      do
        call_anew (&scene);
      while (count_connections (scene.mesh) > 1);
    }
  call (other);
  g_clear_object (&other);
  scene_close (&scene);
}

/* Nobody wakes for spare ones, and 0 keeps them however much the other is used. */
static void
test_spare_stays (MeshFixture *fixture, gconstpointer timeout)
{
  const gboolean is_silent = strcmp (timeout, "0") != 0;
  g_autoptr (CommyClient) other = NULL;
  Scene scene = { 0 };

  mesh_fixture_make_credentials (fixture);
  scene.settings = g_strconcat ("[calibration]\nmode=off\n" SPARE, timeout, "\n", NULL);
  scene.child = service_child_start (fixture, scene.settings, 1);
  scene.mesh = mesh_fixture_join (fixture, scene.settings);
  scene.client = commy_client_new (scene.mesh, TEST_SERVICE);
  other = client_over_network (scene.mesh);
  call (scene.client);
  call (other);
  for (guint i = 0; i < 2 * ENOUGH; i++)
    {
      if (!is_silent)
        call_anew (&scene);
      g_assert_cmpuint (count_connections (scene.mesh), ==, 2);
      g_usleep (IDLE_US);
    }
  g_assert_cmpuint (count_connections (scene.mesh), ==, 2);
  g_clear_object (&other);
  scene_close (&scene);
}

/* --- subscriptions --- */

/* Another's connection goes again and again meanwhile. */
static void
assert_stays (Scene *scene)
{
  for (guint i = 0; i < ENOUGH; i++)
    {
      call (scene->client);
      await_none (scene->mesh);
    }
}

/* However little is published, a subscription is no idleness; two of one program share a
 * connection, and it stays until the last one is gone. */
static void
test_subscribed (MeshFixture *fixture, gconstpointer transport)
{
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 0);
  Listener *first, *last;
  CommyPublisher *publisher;
  CommyMesh *publishing, *subscribing;
  Scene scene;

  scene_open (&scene, fixture, transport);
  publishing = mesh_fixture_join (fixture, scene.settings);
  subscribing = mesh_fixture_join (fixture, scene.settings);
  publisher = publisher_new (publishing, TOPIC, 0);
  first = listener_new (subscribing, TOPIC, options);
  last = listener_new (subscribing, TOPIC, options);
  await_subscribers (publisher, 2);
  g_assert_cmpuint (count_connections_to (subscribing, "topic:" TOPIC), ==, 1);
  assert_stays (&scene);
  listener_free (first);
  assert_stays (&scene);
  g_assert_cmpuint (count_connections_to (subscribing, "topic:" TOPIC), ==, 1);
  publish (publisher, 1, 3);
  listener_await (last, 3);
  g_assert_cmpuint (last->lost + last->removed, ==, 0);
  listener_free (last);
  while (count_connections_to (subscribing, "topic:" TOPIC) > 0)
    ;
  g_object_unref (publisher);
  leave (subscribing);
  leave (publishing);
  scene_close (&scene);
}

/* --- just then --- */

static gboolean
on_time (gpointer is_over)
{
  *(gboolean *) is_over = TRUE;
  return G_SOURCE_REMOVE;
}

/* Calls whose pauses are about as long as a connection may be idle: none fails. */
static void
test_race (MeshFixture *fixture, gconstpointer transport)
{
  const char *text = g_getenv ("COMMY_TEST_ROUNDS");
  guint rounds = text != NULL ? (guint) atoi (text) : 150;
  Scene scene;

  scene_open (&scene, fixture, transport);
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (GSource) source
          = g_timeout_source_new ((guint) g_test_rand_int_range (IDLE_US - 1000, 13500) / 1000);
      GAsyncResult *result = NULL;
      gboolean is_over = FALSE;

      g_source_set_callback (source, on_time, &is_over, NULL);
      g_source_attach (source, NULL);
      while (!is_over)
        g_main_context_iteration (NULL, TRUE);
      if (i % 2 == 0)
        call (scene.client);
      else
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (GVariant) answer = NULL;

          commy_client_call (scene.client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL,
                             take_result, &result);
          while (result == NULL)
            g_main_context_iteration (NULL, TRUE);
          answer = commy_client_call_finish (scene.client, result, &error);
          g_assert_no_error (error);
          g_object_unref (result);
        }
    }
  scene_close (&scene);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  static const Need needs[] = { { "shm", need_call, leave_call },
                                { "unix", need_stream, leave_stream },
                                { "shm", need_loan, leave_loan } };
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, DATA, FUNC) \
  g_test_add (PATH, MeshFixture, DATA, mesh_fixture_set_up, FUNC, mesh_fixture_tear_down)
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autofree char *closes = g_strconcat ("/mesh/idle/closes/", transports[i], NULL);
      g_autofree char *replaced = g_strconcat ("/mesh/idle/replaced/", transports[i], NULL);
      g_autofree char *race = g_strconcat ("/mesh/idle/call-just-then/", transports[i], NULL);

      ADD (closes, transports[i], test_closes);
      ADD (replaced, transports[i], test_replaced);
      ADD (race, transports[i], test_race);
    }
  ADD ("/mesh/idle/stays/with-a-call", &needs[0], test_needed);
  ADD ("/mesh/idle/stays/with-a-stream", &needs[1], test_needed);
  ADD ("/mesh/idle/stays/with-a-loan", &needs[2], test_needed);
#ifdef HAVE_GNUTLS
  ADD ("/mesh/idle/closes/beside-one-that-is-used", NULL, test_spare);
  ADD ("/mesh/idle/stays/beside-one-that-is-silent", "10ms", test_spare_stays);
  ADD ("/mesh/idle/stays/beside-one-where-the-keyfile-says-so", "0", test_spare_stays);
#endif
  ADD ("/mesh/idle/stays/until-the-last-subscription-is-gone/shm", "shm", test_subscribed);
  ADD ("/mesh/idle/stays/until-the-last-subscription-is-gone/unix", "unix", test_subscribed);
  return g_test_run ();
}
