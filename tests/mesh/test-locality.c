/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Near and far instances, and more than a client wants, between processes. Two zones on one host:
 * what the keyfiles say wins over what the host is.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

#define MAX_CHILDREN 4
#define HERE "zone=a\nregion=r\n[calibration]\nmode=off\n"
#define THERE "zone=b\nregion=r\n"
#define ON_SERVICE "[service " TEST_SERVICE "]\n"

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
  ServiceChild *children[MAX_CHILDREN];
  guint n_children;
  guint calls[MAX_CHILDREN];
} Scene;

/* @n_near in the zone of the client, then @n_far in another one. */
static void
scene_init (Scene *self, MeshFixture *fixture, guint n_near, guint n_far, const char *settings)
{
  g_autofree char *all = g_strconcat (HERE, settings, NULL);

  memset (self, 0, sizeof *self);
  for (guint i = 0; i < n_near + n_far; i++)
    self->children[self->n_children++]
        = service_child_start (fixture, i < n_near ? HERE : THERE, 0);
  self->mesh = mesh_fixture_join (fixture, all);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

static void
scene_clear (Scene *self)
{
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  for (guint i = 0; i < self->n_children; i++)
    service_child_free (self->children[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

static void
call (Scene *self, guint n)
{
  memset (self->calls, 0, sizeof self->calls);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (CommyCallOptions) options = commy_call_options_new ();
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = NULL;
      guint child = 0;
      gint32 pid;

      commy_call_options_set_idempotent (options, TRUE);
      answer = commy_client_call_sync (self->client, "Pid", NULL, options, NULL, &error);
      g_assert_no_error (error);
      g_variant_get (answer, "(i)", &pid);
      while (self->children[child]->pid != pid)
        g_assert_cmpuint (++child, <, self->n_children);
      self->calls[child]++;
    }
}

static void
expect_words (Scene *self, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyDecision) decision = commy_client_explain (self->client, 64, NULL, NULL, &error);
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  text = commy_decision_to_string (decision);
  if (strstr (text, words) == NULL)
    g_error ("\"%s\" is not in\n%s", words, text);
}

/* --- levels --- */

static void
test_near_first (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture, 2, 1, "");
  call (&scene, 30);
  g_assert_cmpuint (scene.calls[0], ==, 15);
  g_assert_cmpuint (scene.calls[1], ==, 15);
  expect_words (&scene, "levels: host 100 % (2 of 2 well), region 0 % (1 of 1 well)");
  expect_words (&scene, " (region)  ");
}

static void
test_off (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture, 2, 1, ON_SERVICE "locality=off\n");
  call (&scene, 30);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (scene.calls[i], ==, 10);
}

/* All near ones die: the far one has the calls, and the near ones again when they are back. */
static void
test_spill_over (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture, 2, 1, "");
  call (&scene, 10);
  service_child_kill (scene.children[0]);
  service_child_kill (scene.children[1]);
  call (&scene, 20);
  g_assert_cmpuint (scene.calls[2], ==, 20);
  scene.children[scene.n_children++] = service_child_start (fixture, HERE, 0);
  do
    call (&scene, 1);
  while (scene.calls[3] == 0);
  call (&scene, 10);
  g_assert_cmpuint (scene.calls[3], ==, 10);
}

static void
on_slow (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, NULL);

  g_assert_null (answer);
  *(gboolean *) data = TRUE;
}

/* One of two near ones takes no more calls: the other one gets 70 %, the far one the rest. */
static void
test_in_proportion (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gboolean done = FALSE;
  guint busy;

  scene_init (&scene, fixture, 2, 1, ON_SERVICE "max-in-flight=1\n");
  call (&scene, 4);
  commy_client_call (scene.client, "Slow", NULL, NULL, cancellable, on_slow, &done);
  call (&scene, 300);
  busy = scene.calls[0] == 0 ? 0 : 1;
  g_assert_cmpuint (scene.calls[busy], ==, 0);
  /* 90 on average, and seven times the standard deviation around it. */
  g_assert_cmpuint (scene.calls[2], >, 90 - 56);
  g_assert_cmpuint (scene.calls[2], <, 90 + 56);
  g_cancellable_cancel (cancellable);
  while (!done)
    g_main_context_iteration (NULL, TRUE);
  call (&scene, 10);
  g_assert_cmpuint (scene.calls[2], ==, 0);
}

/* --- subsets --- */

static guint
count_called (const Scene *scene)
{
  guint n = 0;

  for (guint i = 0; i < scene->n_children; i++)
    n += scene->calls[i] > 0;
  return n;
}

static void
test_subset (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  guint first = 0;

  scene_init (&scene, fixture, 4, 0, ON_SERVICE "subset=2\n");
  call (&scene, 20);
  g_assert_cmpuint (count_called (&scene), ==, 2);
  expect_words (&scene, "2 of 4 instances are considered (subset=2, program:");
  while (scene.calls[first] == 0)
    first++;
  g_assert_cmpuint (scene.calls[first], ==, 10);
  service_child_kill (scene.children[first]);
  /* Another one takes its place as soon as the store says so; until then one is left. */
  do
    {
      call (&scene, 20);
      g_assert_cmpuint (scene.calls[first], ==, 0);
    }
  while (count_called (&scene) < 2);
  g_assert_cmpuint (count_called (&scene), ==, 2);
}

static void
test_subset_near_first (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture, 1, 3, ON_SERVICE "subset=2\n");
  call (&scene, 10);
  g_assert_cmpuint (scene.calls[0], ==, 10);
  expect_words (&scene, "levels: host 100 % (1 of 1 well), region 0 % (1 of 1 well)");
}

/* --- slow start --- */

/* Where all have just begun nobody is left out for that. */
static void
test_all_young (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, fixture, 2, 0, ON_SERVICE "slow-start=24h\n");
  call (&scene, 20);
  g_assert_cmpuint (scene.calls[0], ==, 10);
  g_assert_cmpuint (scene.calls[1], ==, 10);
}

#define ADD(path, test) \
  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, test, mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  ADD ("/mesh/locality/near-instances-get-all-calls", test_near_first);
  ADD ("/mesh/locality/off-makes-all-equal", test_off);
  ADD ("/mesh/locality/far-ones-stand-in", test_spill_over);
  ADD ("/mesh/locality/calls-spill-over-in-proportion", test_in_proportion);
  ADD ("/mesh/subset/others-are-left-out-and-take-the-place-of-the-dead", test_subset);
  ADD ("/mesh/subset/near-ones-are-in-it-first", test_subset_near_first);
  ADD ("/mesh/slow-start/where-all-are-young-all-are-equal", test_all_young);
  return g_test_run ();
}
