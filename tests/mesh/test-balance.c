/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several instances and a balancer, between processes: who is picked, what the balancer is told,
 * sticky keys, which balancer it is and where that stands; and a run with a slow instance and one
 * that fails fast.
 */
#include "config.h"

#include "mesh-scene.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNMEASURED "[calibration]\nmode=off\n"

/* --- the service --- */

/* What it is made to do, as its pid; by value or by bytes. */
static void
on_work (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *behaviour = g_getenv (MESH_SCENE_BEHAVIOUR);

  if (g_strcmp0 (behaviour, "failing") == 0)
    {
      commy_invocation_return_error (invocation, "the disk is full");
      return;
    }
  g_usleep (g_strcmp0 (behaviour, "slow") == 0 ? 10000 : 500);
  commy_invocation_return_value (invocation, g_variant_new ("(i)", (gint32) getpid ()));
}

static void
on_tell (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint32 pid = getpid ();
  g_autoptr (GBytes) bytes = g_bytes_new (&pid, sizeof pid);

  commy_invocation_return_bytes (invocation, bytes);
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Work", on_work, NULL, NULL);
  commy_service_handle (service, "Tell", on_tell, NULL, NULL);
}

/* --- what a test does --- */

static guint
child_of (const MeshScene *self, gint32 pid)
{
  for (guint i = 0; i < self->n_children; i++)
    if (self->children[i]->pid == pid)
      return i;
  g_error ("nobody has the process %d", pid);
}

static guint
ask (MeshScene *self, CommyClient *client, const CommyCallOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Work", NULL, options, NULL, &error);
  gint32 pid;

  g_assert_no_error (error);
  g_variant_get (answer, "(i)", &pid);
  return child_of (self, pid);
}

static guint
ask_hot (MeshScene *self, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (client, "Tell", &error);
  CommyReply reply;
  CommySpan span;
  gint32 pid;

  g_assert_no_error (error);
  commy_client_reserve (client, method, 8, &span, &error);
  g_assert_no_error (error);
  memset (span.data, 0, 8);
  commy_client_exchange (client, method, &span, &reply, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (reply.size, ==, sizeof pid);
  memcpy (&pid, reply.data, sizeof pid);
  commy_reply_clear (&reply);
  return child_of (self, pid);
}

static void
set_balancer (CommyClient *client, const char *id)
{
  g_autoptr (GError) error = NULL;

  commy_client_set_balancer (client, id, &error);
  g_assert_no_error (error);
}

static void
check_turns (MeshFixture *fixture, const char *instances, guint n)
{
  g_auto (MeshScene) scene = { 0 };
  guint hot[MESH_SCENE_MAX_CHILDREN] = { 0 };

  mesh_scene_init (&scene, fixture, instances, UNMEASURED);
  for (guint i = 0; i < 10 * n; i++)
    scene.calls[ask (&scene, scene.client, NULL)]++;
  for (guint i = 0; i < 10 * n; i++)
    hot[ask_hot (&scene, scene.client)]++;
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpuint (scene.calls[i], ==, 10);
      g_assert_cmpuint (hot[i], ==, 10);
    }
}

static void
test_turns (MeshFixture *fixture, gconstpointer data)
{
  check_turns (fixture, "good good good", 3);
}

/* Who asked the balancer twice for a call would always call the same one. */
static void
test_turns_of_two (MeshFixture *fixture, gconstpointer data)
{
  check_turns (fixture, "good good", 2);
}

/* What a program named is there again when the mesh is joined again. */
static void
test_joined_again (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "good good", UNMEASURED);
  set_balancer (scene.client, "performance");
  for (guint i = 0; i < 4; i++)
    ask (&scene, scene.client, NULL);
  commy_mesh_leave_sync (scene.mesh, NULL, NULL);
  commy_mesh_join_sync (scene.mesh, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 4; i++)
    ask (&scene, scene.client, NULL);
  decision = commy_client_explain (scene.client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  text = commy_decision_to_string (decision);
  g_assert_nonnull (strstr (text, "balancer performance picks"));
}

/* --- many at a time --- */

typedef struct
{
  MeshScene *scene;
  guint to_begin, pending;
  guint errors;
  GArray *took; /* gint64, of those that were answered */
} Crowd;

typedef struct
{
  Crowd *crowd;
  gint64 began_us;
} Begun;

static void begin_one (Crowd *crowd);

static void
on_worked (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Begun *begun = data;
  Crowd *crowd = begun->crowd;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, NULL);
  gint64 took_us = g_get_monotonic_time () - begun->began_us;
  gint32 pid;

  crowd->pending--;
  if (answer == NULL)
    crowd->errors++;
  else
    {
      g_variant_get (answer, "(i)", &pid);
      crowd->scene->calls[child_of (crowd->scene, pid)]++;
      g_array_append_val (crowd->took, took_us);
    }
  if (crowd->to_begin > 0)
    begin_one (crowd);
}

static void
begin_one (Crowd *crowd)
{
  Begun *begun = g_new (Begun, 1);

  *begun = (Begun){ crowd, g_get_monotonic_time () };
  crowd->to_begin--;
  crowd->pending++;
  commy_client_call (crowd->scene->client, "Work", NULL, NULL, NULL, on_worked, begun);
}

static gint
by_size (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

/* @n calls, of which @at_once are under way; how many failed. */
static guint
run_crowd (MeshScene *scene, guint n, guint at_once, gint64 *out_p99_us)
{
  g_autoptr (GArray) took = g_array_new (FALSE, FALSE, sizeof (gint64));
  Crowd crowd = { .scene = scene, .to_begin = n, .took = took };

  memset (scene->calls, 0, sizeof scene->calls);
  for (guint i = 0; i < at_once; i++)
    begin_one (&crowd);
  while (crowd.pending > 0)
    g_main_context_iteration (NULL, TRUE);
  g_array_sort (took, by_size);
  *out_p99_us = g_array_index (took, gint64, took->len * 99 / 100);
  return crowd.errors;
}

/* Of two the less busy one is always found, if the balancer knows who is busy: half each, though
 * all are begun before one is answered. */
static void
test_calls_under_way (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  gint64 p99_us;

  mesh_scene_init (&scene, fixture, "slow slow", UNMEASURED);
  set_balancer (scene.client, "least-connections");
  for (guint round = 0; round < 3; round++)
    {
      g_assert_cmpuint (run_crowd (&scene, 20, 20, &p99_us), ==, 0);
      g_assert_cmpuint (scene.calls[0], ==, 10);
      g_assert_cmpuint (scene.calls[1], ==, 10);
    }
}

/* What another client of the thread has under way counts too: its calls fill the first instance,
 * so that these go to the second. */
static void
test_clients_know_of_each_other (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (CommyClient) other = NULL;
  Crowd crowd = { .scene = &scene, .to_begin = 20 };
  CommyClient *own;

  mesh_scene_init (&scene, fixture, "slow slow", UNMEASURED);
  set_balancer (scene.client, "least-connections");
  ask (&scene, scene.client, NULL); /* it knows both by now */
  other = commy_client_new (scene.mesh, TEST_SERVICE);
  commy_client_set_instance (other, scene.children[0]->instance);
  crowd.took = g_array_new (FALSE, FALSE, sizeof (gint64));
  own = g_steal_pointer (&scene.client);
  scene.client = other;
  while (crowd.to_begin > 10)
    begin_one (&crowd);
  scene.client = own;
  while (crowd.to_begin > 0)
    begin_one (&crowd);
  while (crowd.pending > 0)
    g_main_context_iteration (NULL, TRUE);
  g_array_unref (crowd.took);
  g_assert_cmpuint (scene.calls[0], ==, 10);
  g_assert_cmpuint (scene.calls[1], ==, 10);
}

/* --- sticky keys --- */

static void
test_sticky (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (CommyClient) other = NULL;
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();

  mesh_scene_init (&scene, fixture, "good good good",
                   UNMEASURED "[service " TEST_SERVICE "]\nbalancer=consistent-hash\n");
  other = commy_client_new (scene.mesh, TEST_SERVICE);
  for (guint i = 0; i < 40; i++)
    {
      g_autofree char *key = g_strdup_printf ("user %u", i);
      guint whose;

      commy_client_set_sticky_key (scene.client, key);
      whose = ask (&scene, scene.client, NULL);
      scene.calls[whose]++;
      g_assert_cmpuint (ask (&scene, scene.client, NULL), ==, whose);
      g_assert_cmpuint (ask_hot (&scene, scene.client), ==, whose);
      /* Another client, by its options, whatever its own key. */
      commy_client_set_sticky_key (other, "somebody else");
      commy_call_options_set_sticky_key (options, key);
      g_assert_cmpuint (ask (&scene, other, options), ==, whose);
    }
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (scene.calls[i], >, 0);
}

/* --- which balancer --- */

static void
test_named_by_program (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  g_autoptr (CommyDecision) before = NULL, after = NULL;
  g_autofree char *text = NULL, *text_after = NULL;
  g_autoptr (GError) error = NULL;

  mesh_scene_init (&scene, fixture, "good good", NULL);
  before = commy_client_explain (scene.client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  text = commy_decision_to_string (before);
  g_assert_nonnull (strstr (text, "balancer round-robin picks"));
  g_assert_false (commy_client_set_balancer (scene.client, "randon", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  g_assert_nonnull (strstr (error->message, "did you mean \"random\""));
  g_clear_error (&error);
  set_balancer (scene.client, "random");
  after = commy_client_explain (scene.client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  text_after = commy_decision_to_string (after);
  g_assert_nonnull (strstr (text_after, "balancer random picks"));
  g_assert_nonnull (strstr (text_after, "(program)"));
  ask (&scene, scene.client, NULL);
  set_balancer (scene.client, NULL);
  ask (&scene, scene.client, NULL);
}

static void
expect_refusal (MeshFixture *fixture, const char *settings, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, settings, &error);

  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
test_misspelled (MeshFixture *fixture, gconstpointer data)
{
  expect_refusal (fixture, "balancer=rond-robin\n", "did you mean \"round-robin\"");
  expect_refusal (fixture, "[service org.example.Other]\nbalancer=weigted\n",
                  "[service org.example.Other] (program:");
  expect_refusal (fixture, "[plugins]\ndeny=balancer/*\n", "cannot be used");
}

/* --- one slow, one that fails fast --- */

/* COMMY_TEST_CALLS: of each run; many for figures (docs/guide/balancing.md). */
static double
show (MeshScene *scene, const char *id, const char *policies)
{
  const char *text = g_getenv ("COMMY_TEST_CALLS");
  const guint n = text != NULL ? (guint) atoi (text) : 200;
  double share;
  gint64 p99_us;

  set_balancer (scene->client, id);
  share = 100.0 * run_crowd (scene, n, 8, &p99_us) / n;
  g_test_message ("%-18s %s: errors %5.2f %%, p99 %6.2f ms, the slow one's share %4.1f %%", id,
                  policies, share, (double) p99_us / 1000, 100.0 * scene->calls[2] / n);
  return share;
}

static void
test_one_slow_one_failing (MeshFixture *fixture, gconstpointer data)
{
  g_auto (MeshScene) scene = { 0 };
  double performance;

  mesh_scene_init (&scene, fixture, "good good slow failing",
                   UNMEASURED "[service " TEST_SERVICE "]\nejection=false\n");
  g_assert_cmpfloat (show (&scene, "round-robin", "no ejection"), ==, 25);
  g_assert_cmpfloat (show (&scene, "least-connections", "no ejection"), >, 0);
  performance = show (&scene, "performance", "no ejection");
  g_assert_cmpfloat (performance, >, 0); /* it must be tried to be known */
  g_assert_cmpfloat (performance, <, 20);
}

/* The one that fails is left out however it is balanced. */
static void
test_the_same_with_ejection (MeshFixture *fixture, gconstpointer data)
{
  static const char *const ids[] = { "round-robin", "least-connections", "performance" };

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_auto (MeshScene) scene = { 0 };

      mesh_scene_init (&scene, fixture, "good good slow failing", UNMEASURED);
      g_assert_cmpfloat (show (&scene, ids[i], "ejection"), <, 10);
    }
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
  ADD ("/balance/round-robin/instances-take-turns-in-named-and-hot-calls", test_turns);
  ADD ("/balance/round-robin/two-take-turns-too", test_turns_of_two);
  ADD ("/balance/load/calls-under-way-are-known", test_calls_under_way);
  ADD ("/balance/load/those-of-another-client-too", test_clients_know_of_each_other);
  ADD ("/balance/sticky/a-key-has-one-instance-for-all-clients", test_sticky);
  ADD ("/balance/name/a-program-names-one", test_named_by_program);
  ADD ("/balance/name/it-is-there-again-with-the-mesh", test_joined_again);
  ADD ("/balance/name/a-misspelled-one-is-refused-with-the-nearest", test_misspelled);
  ADD ("/balance/run/one-slow-and-one-that-fails-fast", test_one_slow_one_failing);
  ADD ("/balance/run/the-same-with-ejection", test_the_same_with_ejection);
  return g_test_run ();
}
