/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client does when calls fail, between processes: it sends again what is safe, leaves out
 * who fails, holds back what its own limits do not allow, hedges, and says why.
 */
#include "config.h"

#include "mesh-scene.h"
#include "mesh/commy-client-private.h"
#include "mesh/commy-service-private.h"

#include <string.h>
#include <unistd.h>

#define GROUP "[calibration]\nmode=off\n[service " TEST_SERVICE "]\n"
#define OF_METHOD "[method " TEST_SERVICE ".Work]\n"

#define N_TOILS 6u /* methods with guards of their own: more than a client keeps routes for */

/* --- the service --- */

static gboolean
answer_late (gpointer invocation)
{
  commy_invocation_return_value (invocation, g_variant_new ("(i)", (gint32) getpid ()));
  return G_SOURCE_REMOVE;
}

static void
on_work (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *behaviour = g_getenv (MESH_SCENE_BEHAVIOUR);

  if (g_strcmp0 (behaviour, "fragile") == 0)
    _exit (0);
  if (g_strcmp0 (behaviour, "failing") == 0)
    commy_invocation_return_error (invocation, "the disk is full");
  else if (g_strcmp0 (behaviour, "slow") == 0)
    g_timeout_add (100, answer_late, invocation);
  else if (g_strcmp0 (behaviour, "stuck") == 0)
    g_timeout_add_seconds (3600, answer_late, invocation); /* never, that is */
  else
    commy_invocation_return_value (invocation, g_variant_new ("(i)", (gint32) getpid ()));
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Work", on_work, NULL, NULL);
  for (guint i = 0; i < N_TOILS; i++)
    {
      g_autofree char *method = g_strdup_printf ("Toil%u", i);

      commy_service_handle (service, method, on_work, NULL, NULL);
    }
}

/* --- what a test does --- */

static gboolean
work (MeshScene *self, gint64 timeout_us, gboolean idempotent, GError **error)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GVariant) answer = NULL;

  commy_call_options_set_timeout (options, timeout_us);
  commy_call_options_set_idempotent (options, idempotent);
  answer = commy_client_call_sync (self->client, "Work", NULL, options, NULL, error);
  return answer != NULL;
}

static void
assert_says (const GError *error, CommyError code, const char *words)
{
  g_assert_error (error, COMMY_ERROR, (gint) code);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

typedef struct
{
  guint n, failed;
  GError *last;
} Ends;

static void
on_end (GObject *source, GAsyncResult *result, gpointer data)
{
  Ends *ends = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  ends->n++;
  ends->failed += answer == NULL;
  if (error != NULL && ends->last == NULL)
    ends->last = g_steal_pointer (&error);
}

static void
start_work (MeshScene *self, gint64 timeout_us, gboolean idempotent, Ends *ends)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  commy_call_options_set_timeout (options, timeout_us);
  commy_call_options_set_idempotent (options, idempotent);
  commy_client_call (self->client, "Work", NULL, options, NULL, on_end, ends);
}

static void
await_ends (const Ends *ends, guint n)
{
  while (ends->n < n)
    g_main_context_iteration (NULL, TRUE);
}

/* --- again --- */

static void
test_idempotent_goes_elsewhere (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "fragile good", GROUP);
  for (guint i = 0; i < 4; i++)
    {
      work (&scene, 5 * G_USEC_PER_SEC, TRUE, &error);
      g_assert_no_error (error);
    }
}

static void
test_others_do_not (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  guint n_unknown = 0;

  mesh_scene_init (&scene, fixture, "fragile good", GROUP);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GError) error = NULL;

      work (&scene, 5 * G_USEC_PER_SEC, FALSE, &error);
      n_unknown += g_error_matches (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
      if (error != NULL)
        g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
    }
  g_assert_cmpuint (n_unknown, ==, 1);
}

static void
test_says_why_not_again (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "fragile fragile", GROUP "retry-budget=0\nretry-reserve=0\n");
  g_assert_false (work (&scene, 5 * G_USEC_PER_SEC, TRUE, &error));
  assert_says (error, COMMY_ERROR_OUTCOME_UNKNOWN, "(sent 1 time, and not again: budget)");
}

static void
test_attempt_timeout (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  Ends ends = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck good", GROUP "attempt-timeout=50ms\nejection=false\n");
  for (guint i = 0; i < 2; i++)
    {
      work (&scene, 20 * G_USEC_PER_SEC, TRUE, &error);
      g_assert_no_error (error);
      start_work (&scene, 20 * G_USEC_PER_SEC, TRUE, &ends);
    }
  await_ends (&ends, 2);
  g_assert_no_error (ends.last);
}

/* --- who is left out --- */

static void
test_ejects_who_answers_errors (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  guint n_failed = 0;

  mesh_scene_init (&scene, fixture, "good good failing", GROUP);
  for (guint i = 0; i < 100; i++)
    n_failed += !work (&scene, 5 * G_USEC_PER_SEC, FALSE, NULL);
  g_assert_cmpuint (n_failed, ==, 5);
}

/* An application's errors are no reason to call nobody. */
static void
test_all_answer_errors (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };

  mesh_scene_init (&scene, fixture, "failing failing", GROUP);
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GError) error = NULL;

      work (&scene, 5 * G_USEC_PER_SEC, FALSE, &error);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REMOTE);
    }
}

static void
echo (MeshScene *self, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("x", 1);
  g_autoptr (GBytes) answer
      = commy_client_call_bytes_sync (self->client, "Echo", bytes, NULL, NULL, error);
}

static void
test_breaker (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) open = NULL;
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck", GROUP "breaker-failures=3\nbreaker-penalty=300ms\n");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) late = NULL;

      work (&scene, 20000, FALSE, &late);
      g_assert_error (late, COMMY_ERROR, COMMY_ERROR_DEADLINE);
    }
  work (&scene, G_USEC_PER_SEC, FALSE, &open);
  assert_says (open, COMMY_ERROR_UNAVAILABLE, "(3 failures)");
  /* One call tries when the penalty is over, and lets the others in. */
  do
    {
      g_clear_error (&error);
      echo (&scene, &error);
    }
  while (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE));
  g_assert_no_error (error);
  echo (&scene, &error);
  g_assert_no_error (error);
}

/* --- one's own limits --- */

static void
test_rate (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "good", GROUP "rate-limit=0.001\nrate-burst=2\n");
  g_assert_true (work (&scene, G_USEC_PER_SEC, FALSE, NULL));
  g_assert_true (work (&scene, G_USEC_PER_SEC, FALSE, NULL));
  g_assert_false (work (&scene, G_USEC_PER_SEC, FALSE, &error));
  assert_says (error, COMMY_ERROR_LIMITED, "rate-limit=0.001");
}

typedef struct
{
  MeshScene *scene;
  const char *method;
  guint n_tries;
} Caller;

/* On a thread of its own, with a client of its own: how many calls were sent. */
static gpointer
call_from_a_thread (gpointer data)
{
  const Caller *caller = data;
  g_autoptr (CommyClient) client = commy_client_new (caller->scene->mesh, TEST_SERVICE);
  gsize n = 0;

  for (guint i = 0; i < caller->n_tries; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer
          = commy_client_call_sync (client, caller->method, NULL, NULL, NULL, &error);

      n += answer != NULL;
      if (answer == NULL)
        assert_says (error, COMMY_ERROR_LIMITED, "rate-limit=0.001");
    }
  return GSIZE_TO_POINTER (n);
}

/* The keyfile says how many calls a program sends, however many threads it has; and a method with a
 * group of its own that says nothing of it is one of them. */
static void
test_rate_of_all_threads (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  const Caller callers[]
      = { { &scene, "Work", 10 }, { &scene, "Pid", 10 }, { &scene, "Toil0", 10 } };
  GThread *threads[G_N_ELEMENTS (callers)];
  gsize n = 0;

  mesh_scene_init (&scene, fixture, "good",
                   GROUP "rate-limit=0.001\nrate-burst=7\n" OF_METHOD "retry-attempts=1\n"
                         "[method " TEST_SERVICE ".Toil0]\nrate-burst=3\n");
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    threads[i] = g_thread_new ("caller", call_from_a_thread, (gpointer) &callers[i]);
  for (guint i = 0; i < 2; i++)
    n += GPOINTER_TO_SIZE (g_thread_join (threads[i]));
  g_assert_cmpuint (n, ==, 7);
  g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (threads[2])), ==, 3);
}

static void
test_bulkhead (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  Ends ends = { 0 };

  mesh_scene_init (&scene, fixture, "stuck", GROUP "bulkhead=1\n");
  start_work (&scene, 300000, FALSE, &ends);
  start_work (&scene, 300000, FALSE, &ends);
  await_ends (&ends, 1);
  assert_says (ends.last, COMMY_ERROR_LIMITED, "bulkhead=1");
  await_ends (&ends, 2);
  g_clear_error (&ends.last);
  /* What ended leaves its place. */
  start_work (&scene, 20000, FALSE, &ends);
  await_ends (&ends, 3);
  g_assert_error (ends.last, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_clear_error (&ends.last);
}

static void
test_hot_calls_are_limited (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;
  CommyMethod method;
  CommySpan span;

  mesh_scene_init (&scene, fixture, "good", GROUP "rate-limit=0.001\nrate-burst=2\n");
  method = commy_client_resolve (scene.client, "Span", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      CommyReply reply;

      g_assert_true (commy_client_reserve (scene.client, method, 8, &span, &error));
      memset (span.data, 0, 8);
      g_assert_true (commy_client_exchange (scene.client, method, &span, &reply, 0, &error));
      commy_reply_clear (&reply);
    }
  g_assert_false (commy_client_reserve (scene.client, method, 8, &span, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_LIMITED);
}

/* --- who is not as good --- */

static void
start_other (MeshScene *scene, MeshFixture *fixture)
{
  g_setenv (MESH_SCENE_BEHAVIOUR, "good", TRUE);
  scene->children[scene->n_children++]
      = service_child_start (fixture, "[plugins]\ndeny=transport/shm\n", 0);
}

/* One that only a slower path leads to is not balanced over; it stands in all the same. */
static void
test_stands_in (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  guint n_failed = 0;

  mesh_scene_init (&scene, fixture, "stuck", GROUP "breaker-failures=3\nattempt-timeout=50ms\n");
  start_other (&scene, fixture);
  for (guint i = 0; i < 40; i++)
    n_failed += !work (&scene, 20 * G_USEC_PER_SEC, FALSE, NULL);
  g_assert_cmpuint (n_failed, >=, 3); /* until the breaker opened */
  g_assert_cmpuint (n_failed, <=, 4);
}

#define OPENS "breaker-failures=3\nattempt-timeout=50ms\nbreaker-penalty=60s\n"

/* Who answers; -1: nobody. */
static gint32
ask (MeshScene *scene, const char *method)
{
  g_autoptr (GVariant) answer = NULL;
  gint32 pid = -1;

  answer = commy_client_call_sync (scene->client, method, NULL, NULL, NULL, NULL);
  if (answer != NULL)
    g_variant_get (answer, "(i)", &pid);
  return pid;
}

/* Calls of other methods do not go where those of one had to. */
static void
test_of_one_method (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  gint32 one, other;

  mesh_scene_init (&scene, fixture, "stuck", GROUP OF_METHOD OPENS);
  one = ask (&scene, "Pid");
  g_assert_cmpint (one, !=, -1);
  start_other (&scene, fixture);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (ask (&scene, "Work"), ==, -1);
  while ((other = ask (&scene, "Work")) == -1)
    ;
  g_assert_cmpint (other, !=, one);
  for (guint i = 0; i < 20; i++)
    {
      g_assert_cmpint (ask (&scene, "Pid"), ==, one);
      g_assert_cmpint (ask (&scene, "Work"), ==, other);
    }
}

static char *
toil_settings (guint n)
{
  GString *text = g_string_new (GROUP);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "[method " TEST_SERVICE ".Toil%u]\n" OPENS, i);
  return g_string_free (text, FALSE);
}

static gint32
toil (MeshScene *scene, guint i)
{
  g_autofree char *method = g_strdup_printf ("Toil%u", i);

  return ask (scene, method);
}

/* Decisions of @scene that are not among those of @before, which are kept so that none has the
 * address of another. */
static guint
count_new_decisions (MeshScene *scene, GPtrArray *before)
{
  g_autoptr (GPtrArray) now = commy_mesh_list_decisions (scene->mesh);
  guint n = 0;

  for (guint i = 0; i < now->len; i++)
    n += !g_ptr_array_find (before, now->pdata[i], NULL);
  return n;
}

/* Methods that go around the same instance take turns, and each keeps what was decided for it. */
static void
take_turns (MeshFixture *fixture, guint n_methods)
{
  g_auto (MeshScene) scene = { 0 };
  g_autofree char *settings = toil_settings (n_methods);
  g_autoptr (GPtrArray) before = NULL;

  mesh_scene_init (&scene, fixture, "stuck", settings);
  g_assert_cmpint (ask (&scene, "Pid"), !=, -1);
  start_other (&scene, fixture);
  for (guint i = 0; i < n_methods; i++)
    {
      for (guint k = 0; k < 3; k++)
        g_assert_cmpint (toil (&scene, i), ==, -1);
      while (toil (&scene, i) == -1)
        ;
    }
  before = commy_mesh_list_decisions (scene.mesh);
  for (guint k = 0; k < 60; k++)
    g_assert_cmpint (toil (&scene, k % n_methods), !=, -1);
  /* One a second and method would be right; one a call is what must not be. */
  g_assert_cmpuint (count_new_decisions (&scene, before), <, 30);
}

static void
test_two_take_turns (MeshFixture *fixture, gconstpointer data)
{
  take_turns (fixture, 2);
}

static void
test_many_take_turns (MeshFixture *fixture, gconstpointer data)
{
  G_STATIC_ASSERT (N_TOILS > COMMY_CLIENT_AROUNDS);
  take_turns (fixture, N_TOILS);
}

/* That there was nobody is not remembered for as long as the breaker is open. */
static void
test_comes_later (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck", GROUP OPENS);
  for (guint i = 0; i < 3; i++)
    g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, NULL));
  g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE);
  start_other (&scene, fixture);
  while (ask (&scene, "Work") == -1)
    ;
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (ask (&scene, "Work"), !=, -1);
}

/* --- who is gone --- */

/* However many instances have come and gone, those that are there are all that is kept. */
static void
test_gone_are_forgotten (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  GHashTable *peers;

  mesh_scene_init (&scene, fixture, "good", GROUP "breaker=false\nejection=false\n");
  for (guint i = 0; i < 20; i++)
    {
      g_assert_true (work (&scene, 20 * G_USEC_PER_SEC, TRUE, NULL));
      service_child_kill (scene.children[0]);
      service_child_free (scene.children[0]);
      scene.children[0] = service_child_start (fixture, NULL, 0);
      while (g_main_context_iteration (NULL, FALSE)) /* there it is heard that a channel ended */
        ;
    }
  while (!work (&scene, 20 * G_USEC_PER_SEC, TRUE, NULL))
    ;
  peers = scene.client->worker->peers->peers;
  g_assert_cmpuint (g_hash_table_size (peers), <=, 3);
  g_assert_cmpuint (scene.client->worker->peers->n_slots, <=, 12);
}

/* --- paths that are there before they are needed --- */

static guint
count_ready (const MeshScene *scene)
{
  GHashTableIter iter;
  gpointer peer;
  guint n = 0;

  g_hash_table_iter_init (&iter, scene->client->worker->peers->peers);
  while (g_hash_table_iter_next (&iter, NULL, &peer))
    {
      const GPtrArray *paths = ((CommyPeer *) peer)->paths;

      for (guint i = 0; i < paths->len; i++)
        n += commy_path_is_up (paths->pdata[i]);
    }
  return n;
}

static void
test_warm (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };

  /* The second one is not balanced over: nothing but this connects to it. */
  mesh_scene_init (&scene, fixture, "good", GROUP "warm-paths=1\n");
  start_other (&scene, fixture);
  g_assert_true (work (&scene, 20 * G_USEC_PER_SEC, FALSE, NULL));
  while (count_ready (&scene) < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (work (&scene, 20 * G_USEC_PER_SEC, FALSE, NULL));
  g_assert_cmpuint (count_ready (&scene), ==, 2);
}

/* --- of one method --- */

/* What a method's own group does not say is as the service's group has it. */
static void
test_method (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck",
                   GROUP "breaker-failures=3\nattempt-timeout=50ms\nrate-limit=0.001\n"
                         "rate-burst=1000\n" OF_METHOD "rate-burst=5\n");
  for (guint i = 0; i < 3; i++)
    {
      g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
      g_clear_error (&error);
    }
  /* Its breaker is open; that of the others is not. */
  g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE);
  g_clear_error (&error);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GVariant) pid
          = commy_client_call_sync (scene.client, "Pid", NULL, NULL, NULL, &error);

      g_assert_no_error (error);
    }
  g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE);
  g_clear_error (&error);
  g_assert_false (work (&scene, 20 * G_USEC_PER_SEC, FALSE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_LIMITED);
  g_assert_nonnull (strstr (error->message, "rate-limit=0.001 (program:"));
}

/* What a method's group says of time goes before its service's. */
static void
test_timeout_of_method (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "slow",
                   GROUP "timeout=20ms\nattempt-timeout=0\n" OF_METHOD "timeout=60s\n");
  answer = commy_client_call_sync (scene.client, "Work", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (commy_client_call_sync (scene.client, "Toil0", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_clear_error (&error);
  /* And what the call says goes before both. */
  g_assert_false (work (&scene, 20000, FALSE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
}

static void
expect_refused (MeshFixture *fixture, const char *settings, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, settings, &error);

  if (mesh != NULL)
    g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
test_method_contradicts (MeshFixture *fixture, gconstpointer data)
{
  expect_refused (fixture, "[method Work]\nretry-attempts=2\n", "write [method SERVICE.METHOD]");
  expect_refused (fixture, GROUP "retry-backoff-max=1s\n" OF_METHOD "retry-backoff=2s\n",
                  "retry-backoff=2s in [method " TEST_SERVICE ".Work] is more than");
}

/* --- what cannot be in time --- */

static void
test_shed (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  guint n_shed = 0;
  Ends ends = { 0 };

  /* Each call is measured; it takes 100 ms. */
  mesh_scene_init (&scene, fixture, "slow",
                   "[calibration]\nsample-every=1\n[service " TEST_SERVICE "]\nbreaker=false\n");
  for (guint i = 0; i < 40; i++)
    start_work (&scene, 20 * G_USEC_PER_SEC, FALSE, &ends);
  await_ends (&ends, 40);
  g_assert_no_error (ends.last);
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (work (&scene, 30000, FALSE, &error));
      n_shed += g_error_matches (error, COMMY_ERROR, COMMY_ERROR_OVERLOADED);
    }
  /* One now and then is begun all the same. */
  g_assert_cmpuint (n_shed, >=, 5);
  /* What is quick is not blamed for what is slow. */
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr (CommyCallOptions) options = commy_call_options_new ();
      g_autoptr (GVariant) answer = NULL;
      g_autoptr (GError) error = NULL;

      commy_call_options_set_timeout (options, 30000);
      answer = commy_client_call_sync (scene.client, "Pid", NULL, options, NULL, &error);
      g_assert_false (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_OVERLOADED));
    }
  g_assert_true (work (&scene, 20 * G_USEC_PER_SEC, FALSE, NULL));
}

static const CommyServiceMethod *
method_of (CommyService *service, const char *name)
{
  return g_hash_table_lookup (service->methods, name);
}

/* Where its group says so, a method begins what it cannot end in time. */
static void
test_shed_of_method (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (
      fixture, OF_METHOD "shed=false\n[method " TEST_SERVICE ".Toil0]\nshed-quantile=90%\n");
  g_autoptr (CommyService) service = test_service_new (mesh, 1);

  extend (service);
  g_assert_null (method_of (service, "Work")->shed);
  g_assert_cmpfloat (method_of (service, "Toil0")->shed->quantile, ==, 0.9);
  g_assert_cmpfloat (method_of (service, "Toil1")->shed->quantile, ==, 0.5);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- copies --- */

static void
test_hedge (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  Ends ends = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck good",
                   GROUP "hedge-attempts=2\nhedge-after=5ms\nejection=false\nbreaker=false\n");
  for (guint i = 0; i < 6; i++)
    {
      work (&scene, 20 * G_USEC_PER_SEC, TRUE, &error);
      g_assert_no_error (error);
      start_work (&scene, 20 * G_USEC_PER_SEC, TRUE, &ends);
    }
  await_ends (&ends, 6);
  g_assert_no_error (ends.last);
}

static void
test_hedge_of_nobody (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "stuck stuck", GROUP "hedge-attempts=3\nhedge-after=2ms\n");
  work (&scene, 50000, TRUE, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
}

/* --- told --- */

static void
test_contradiction (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_new (fixture, GROUP "breaker-penalty=2s\nbreaker-penalty-max=1s\n", &error);

  g_assert_null (mesh);
  assert_says (error, COMMY_ERROR_CONFIG_VALUE, "breaker-penalty=2s");
}

static void
test_endpoints (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (GVariant) endpoints = NULL;
  guint n_ejected = 0;

  mesh_scene_init (&scene, fixture, "good failing", GROUP);
  for (guint i = 0; i < 20; i++)
    work (&scene, 5 * G_USEC_PER_SEC, FALSE, NULL);
  endpoints = mesh_ask_node (scene.mesh, "Endpoints", g_variant_new ("(s)", TEST_SERVICE));
  g_assert_cmpuint (g_variant_n_children (endpoints), ==, 2);
  for (gsize i = 0; i < 2; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (endpoints, i);
      const char *state = NULL, *why = NULL;
      guint64 until = 0;
      guint32 level = 0;

      g_assert_true (g_variant_lookup (record, "level", "u", &level));
      g_assert_cmpuint (level, ==, 1); /* this host */
      g_assert_true (g_variant_lookup (record, "state", "&s", &state));
      g_assert_true (g_variant_lookup (record, "why", "&s", &why));
      g_assert_true (g_variant_lookup (record, "until", "t", &until));
      if (strcmp (state, "ejected") == 0)
        {
          n_ejected++;
          g_assert_nonnull (strstr (why, " failures)"));
          g_assert_cmpuint (until, >, 0);
        }
      else
        g_assert_cmpstr (why, ==, "");
    }
  g_assert_cmpuint (n_ejected, ==, 1);
}

#define ADD(path, test) \
  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, test, mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  ADD ("/guard/again/what-is-idempotent-goes-elsewhere", test_idempotent_goes_elsewhere);
  ADD ("/guard/again/what-is-not-fails-once", test_others_do_not);
  ADD ("/guard/again/the-error-says-why-not", test_says_why_not_again);
  ADD ("/guard/again/an-attempt-has-a-time-of-its-own", test_attempt_timeout);
  ADD ("/guard/out/who-alone-answers-errors-is-ejected", test_ejects_who_answers_errors);
  ADD ("/guard/out/where-all-answer-errors-nobody-is", test_all_answer_errors);
  ADD ("/guard/out/a-breaker-opens-and-closes", test_breaker);
  ADD ("/guard/limits/rate", test_rate);
  ADD ("/guard/limits/all-threads-have-one-rate", test_rate_of_all_threads);
  ADD ("/guard/limits/bulkhead", test_bulkhead);
  ADD ("/guard/limits/hot-calls-too", test_hot_calls_are_limited);
  ADD ("/guard/route/who-is-not-as-good-stands-in", test_stands_in);
  ADD ("/guard/route/of-one-method-alone", test_of_one_method);
  ADD ("/guard/route/two-methods-that-take-turns-keep-theirs", test_two_take_turns);
  ADD ("/guard/route/many-methods-that-take-turns-share", test_many_take_turns);
  ADD ("/guard/route/who-comes-later-stands-in", test_comes_later);
  ADD ("/guard/method/its-own-settings-and-the-service's", test_method);
  ADD ("/guard/method/its-own-time", test_timeout_of_method);
  ADD ("/guard/method/contradictions", test_method_contradicts);
  ADD ("/guard/gone/is-forgotten", test_gone_are_forgotten);
  ADD ("/guard/warm/another-path-is-ready", test_warm);
  ADD ("/guard/shed/what-cannot-be-in-time-is-refused-at-once", test_shed);
  ADD ("/guard/shed/not-where-the-method-says-so", test_shed_of_method);
  ADD ("/guard/hedge/another-instance-answers", test_hedge);
  ADD ("/guard/hedge/where-nobody-answers-the-deadline-does", test_hedge_of_nobody);
  ADD ("/guard/told/contradicting-settings", test_contradiction);
  ADD ("/guard/told/endpoints-say-who-may-be-picked", test_endpoints);
  return g_test_run ();
}
