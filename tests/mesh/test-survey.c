/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of thousands of instances, surveyed one after the other: what is taken over from the
 * one before, what is asked again, and how much of that one snapshot does at most.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "mesh/commy-mesh-private.h"
#include "mesh/commy-survey.h"

#define MANY 600u
#define AT_ONCE 256u
#define LATER_NS G_GINT64_CONSTANT (11000000000)

typedef struct
{
  CommyEnv env;
  gint64 now_ns;
  CommyMesh *mesh;
} Scene;

static gint64
scene_now (gpointer data)
{
  return ((Scene *) data)->now_ns;
}

static void
scene_init (Scene *self, MeshFixture *fixture)
{
  self->mesh = mesh_fixture_join (fixture, "[calibration]\nmode=off\n");
  self->env = *self->mesh->env;
  self->env.now_ns = scene_now;
  self->env.data = self;
  self->now_ns = commy_env_now (self->mesh->env);
  self->mesh->env = &self->env;
}

static void
scene_clear (Scene *self)
{
  self->mesh->env = commy_env_system ();
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

/* Of another host, so that what is found out holds for a while. */
static CommyInstance *
make_instance (guint number)
{
  g_autofree char *id = g_strdup_printf ("%032u", number);
  CommyInstance *instance = commy_instance_new (id, TEST_SERVICE);

  instance->node = g_strdup ("another");
  instance->host = g_strdup ("another");
  instance->host_id = g_strdup ("another");
  commy_instance_add_endpoint (instance, "tls", "127.0.0.1:12345");
  return instance;
}

/* Of the instances of @before and one more, @number. */
static CommySnapshot *
follow (Scene *self, const CommySnapshot *before, guint number)
{
  CommySnapshot *snapshot = commy_snapshot_new (TEST_SERVICE, number, NULL);

  for (guint i = 0; before != NULL && i < before->instances->len; i++)
    g_ptr_array_add (snapshot->instances, commy_instance_ref (before->instances->pdata[i]));
  g_ptr_array_add (snapshot->instances, make_instance (number));
  commy_survey_snapshot (self->mesh, snapshot, before);
  return snapshot;
}

static CommySnapshot *
make_many (Scene *self, guint n)
{
  CommySnapshot *snapshot = commy_snapshot_new (TEST_SERVICE, 1, NULL);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (snapshot->instances, make_instance (i));
  commy_survey_snapshot (self->mesh, snapshot, NULL);
  return snapshot;
}

static guint
count_asked (const CommySnapshot *before, const CommySnapshot *after)
{
  const CommySurvey *a = before->survey, *b = after->survey;
  guint n = 0;

  for (guint i = 0; i < a->n_instances; i++)
    n += a->instances[i] != b->instances[i];
  return n;
}

static void
test_taken_over (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (CommySnapshot) first = NULL;
  g_autoptr (CommySnapshot) second = NULL;

  scene_init (&scene, fixture);
  first = make_many (&scene, MANY);
  second = follow (&scene, first, MANY);
  g_assert_cmpuint (((const CommySurvey *) second->survey)->n_instances, ==, MANY + 1);
  g_assert_cmpuint (count_asked (first, second), ==, 0);
}

/* All of them in as many snapshots as that takes, and then nobody. */
static void
test_asked_again (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (CommySnapshot) snapshot = NULL;
  guint sum = 0;

  scene_init (&scene, fixture);
  snapshot = make_many (&scene, MANY);
  scene.now_ns += LATER_NS;
  for (guint i = 0; i < 2 * (MANY / AT_ONCE + 1); i++)
    {
      g_autoptr (CommySnapshot) before = g_steal_pointer (&snapshot);
      guint asked;

      snapshot = follow (&scene, before, MANY + i);
      asked = count_asked (before, snapshot);
      g_assert_cmpuint (asked, <=, AT_ONCE);
      sum += asked;
    }
  g_assert_cmpuint (sum, ==, MANY);
}

static void
test_few_at_once (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (CommySnapshot) first = NULL;
  g_autoptr (CommySnapshot) second = NULL;

  scene_init (&scene, fixture);
  first = make_many (&scene, AT_ONCE - 1);
  scene.now_ns += LATER_NS;
  second = follow (&scene, first, MANY);
  g_assert_cmpuint (count_asked (first, second), ==, AT_ONCE - 1);
}

/* On this host, where its door is looked for: the reason names it. */
static CommySnapshot *
make_gone (Scene *self, const CommySnapshot *before, guint number)
{
  CommySnapshot *snapshot = commy_snapshot_new (TEST_SERVICE, number, NULL);
  CommyInstance *instance = make_instance (number);
  g_autofree char *address = g_strdup_printf ("/nowhere/%u", number);

  g_free (instance->host_id);
  instance->host_id = g_strdup (commy_env_host_id ());
  commy_instance_add_endpoint (instance, "unix", address);
  g_ptr_array_add (snapshot->instances, instance);
  commy_survey_snapshot (self->mesh, snapshot, before);
  return snapshot;
}

/* One replaces the other, and what was said of those before is not kept. */
static void
test_forgotten (MeshFixture *fixture, gconstpointer data)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (CommySnapshot) snapshot = NULL;
  guint most = 0;

  scene_init (&scene, fixture);
  snapshot = make_gone (&scene, NULL, 0);
  most = 2 * g_hash_table_size (((const CommySurvey *) snapshot->survey)->facts);
  for (guint i = 1; i < 100; i++)
    {
      g_autoptr (CommySnapshot) before = g_steal_pointer (&snapshot);

      snapshot = make_gone (&scene, before, i);
      g_assert_cmpuint (g_hash_table_size (((const CommySurvey *) snapshot->survey)->facts), <=,
                        most);
    }
}

#define ADD(path, test) \
  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, test, mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/survey/what-is-known-is-taken-over", test_taken_over);
  ADD ("/survey/of-many-a-part-is-asked-again-at-a-time", test_asked_again);
  ADD ("/survey/few-are-asked-again-at-once", test_few_at_once);
  ADD ("/survey/what-was-said-of-those-who-are-gone-is-forgotten", test_forgotten);
  return g_test_run ();
}
