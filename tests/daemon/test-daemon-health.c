/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon looks at instances once for all programs of its host: they use what it found, and
 * look for themselves when it is away, or when they want it done in another way. Where it is
 * counted who looked, the programs' time is the test's: it goes on when the host's word has come,
 * however long that took.
 */
#include "config.h"

#include "daemon-fixture.h"

#include "mesh/commy-mesh-private.h"
#include "tests/mesh/mesh-scene.h"

#include <string.h>

#define CHECK                                                                          \
  "[service " TEST_SERVICE "]\nhealth-check=call\nhealth-target=Look\nhealth-fall=1\n" \
  "health-rise=1\nhealth-timeout=10s\n"
#define EVERY "health-interval=1500ms\n"
#define STEP_NS G_GINT64_CONSTANT (1000000000) /* less than what a word of the host holds for */
#define STEPS 4u
#define AHEAD_NS \
  G_GINT64_CONSTANT (3600000000000) /* no call is late by a clock that stands still */
#define N_PROGRAMS 2u

typedef struct
{
  MeshFixture mesh;
  TestDaemon *daemon;
  char *store;   /* settings */
  char *keyfile; /* the daemon's */
  ServiceChild *child;
  CommyMesh *programs[N_PROGRAMS];
  CommyClient *clients[N_PROGRAMS];
  CommyClient *nodes[N_PROGRAMS]; /* the programs' own */
  CommyEnv env;                   /* with a clock of the test's */
  gint64 now_ns;                  /* atomic */
} Fixture;

/* --- the service --- */

typedef struct
{
  gint n_looks; /* atomic */
  gint is_ill;  /* atomic */
} Patient;

static void
on_look (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Patient *self = data;

  g_atomic_int_inc (&self->n_looks);
  if (g_atomic_int_get (&self->is_ill))
    commy_invocation_return_error (invocation, "it is ill");
  else
    commy_invocation_return_value (invocation, NULL);
}

static void
on_looks (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint n = g_atomic_int_get (&((Patient *) data)->n_looks);

  commy_invocation_return_value (invocation, g_variant_new ("(i)", n));
}

static void
on_be_ill (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_atomic_int_set (&((Patient *) data)->is_ill, 1);
  commy_invocation_return_value (invocation, NULL);
}

static void
extend (CommyService *service)
{
  Patient *patient = g_new0 (Patient, 1);

  commy_service_handle (service, "Look", on_look, patient, NULL);
  commy_service_handle (service, "Looks", on_looks, patient, NULL);
  commy_service_handle (service, "BeIll", on_be_ill, patient, g_free);
}

/* --- the scene --- */

static void
set_up (Fixture *self, gconstpointer unused)
{
  mesh_fixture_set_up (&self->mesh, NULL);
  self->daemon = test_daemon_new ();
  self->store = g_strdup_printf ("store=commyd\n[plugin store/commyd]\nparam.socket=%s\n",
                                 self->daemon->socket);
  self->keyfile = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n" CHECK EVERY,
                                   self->mesh.dir, self->mesh.dir);
  test_daemon_write_keyfile (self->daemon, self->keyfile);
  test_daemon_start (self->daemon);
  self->child = service_child_start (&self->mesh, self->store, 1);
}

static gint
call (CommyClient *client, const char *method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (client, method, NULL, NULL, NULL, &error);
  gint value = 0;

  g_assert_no_error (error);
  if (g_variant_is_of_type (answer, G_VARIANT_TYPE ("(i)")))
    g_variant_get (answer, "(i)", &value);
  return value;
}

static gint64
fixture_now (gpointer data)
{
  return __atomic_load_n (&((Fixture *) data)->now_ns, __ATOMIC_RELAXED);
}

typedef struct
{
  CommyMesh *mesh;
  const CommyEnv *env;
  guint is_set; /* atomic */
} Clock;

static void
on_clock (gpointer data)
{
  Clock *clock = data;

  clock->mesh->env = clock->env;
  __atomic_store_n (&clock->is_set, 1, __ATOMIC_RELEASE);
}

static void
set_clock (CommyMesh *mesh, const CommyEnv *env)
{
  Clock clock = { mesh, env };

  commy_mesh_invoke (mesh, on_clock, &clock);
  while (!__atomic_load_n (&clock.is_set, __ATOMIC_ACQUIRE))
    g_thread_yield ();
}

/* A program that uses the service, and looks at it as @check says. @env: NULL for the system's
 * clock; else that of the threads that call stays the system's. */
static void
start_program (Fixture *self, guint i, const char *check, const CommyEnv *env)
{
  g_autofree char *text = g_strconcat (self->store, check, "[calibration]\nmode=off\n", NULL);

  self->programs[i] = mesh_fixture_join (&self->mesh, text);
  self->clients[i] = commy_client_new (self->programs[i], TEST_SERVICE);
  self->nodes[i] = mesh_node_client_new (self->programs[i]);
  g_variant_unref (mesh_ask_client (self->nodes[i], "Health", NULL));
  if (env != NULL)
    set_clock (self->programs[i], env);
  call (self->clients[i], "Pid");
}

static void
tear_down (Fixture *self, gconstpointer unused)
{
  for (guint i = 0; i < N_PROGRAMS; i++)
    {
      if (self->programs[i] == NULL)
        continue;
      set_clock (self->programs[i], commy_env_system ());
      g_clear_object (&self->clients[i]);
      g_clear_object (&self->nodes[i]);
      commy_mesh_leave_sync (self->programs[i], NULL, NULL);
      g_clear_object (&self->programs[i]);
    }
  service_child_free (self->child);
  test_daemon_free (self->daemon);
  mesh_fixture_tear_down (&self->mesh, NULL);
  g_free (self->store);
  g_free (self->keyfile);
}

typedef struct
{
  char by[8], state[16];
  guint64 looks; /* of its own */
  guint64 age_ns;
} Finding;

static Finding
ask (CommyClient *node)
{
  g_autoptr (GVariant) list
      = mesh_ask_client (node, "HealthOf", g_variant_new ("(s)", TEST_SERVICE));
  Finding finding = { 0 };

  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
      const char *by = "", *state = "";

      g_variant_lookup (record, "by", "&s", &by);
      g_variant_lookup (record, "state", "&s", &state);
      g_variant_lookup (record, "looks", "t", &finding.looks);
      g_variant_lookup (record, "age", "t", &finding.age_ns);
      g_strlcpy (finding.by, by, sizeof finding.by);
      g_strlcpy (finding.state, state, sizeof finding.state);
    }
  return finding;
}

static Finding
await (CommyClient *node, const char *by, const char *state)
{
  Finding finding = ask (node);

  while (strcmp (finding.by, by) != 0 || strcmp (finding.state, state) != 0)
    finding = ask (node);
  return finding;
}

static void
await_looks (Fixture *self, gint n)
{
  gint until = call (self->clients[0], "Looks") + n;

  while (call (self->clients[0], "Looks") < until)
    g_main_context_iteration (NULL, FALSE);
}

static void
start_programs (Fixture *self, const CommyEnv *env)
{
  for (guint i = 0; i < N_PROGRAMS; i++)
    start_program (self, i, CHECK EVERY, env);
  for (guint i = 0; i < N_PROGRAMS; i++)
    await (self->nodes[i], "host", "well");
}

/* Their time is the test's from before they knew of the service: each looks once, and then the
 * host's word holds as long as time stands. */
static void
start_stopped_programs (Fixture *self)
{
  self->now_ns = commy_env_now (commy_env_system ()) + AHEAD_NS;
  self->env = *commy_env_system ();
  self->env.now_ns = fixture_now;
  self->env.data = self;
  start_programs (self, &self->env);
  for (guint i = 0; i < N_PROGRAMS; i++)
    {
      while (ask (self->nodes[i]).looks == 0)
        ;
      await (self->nodes[i], "host", "well");
    }
}

/* The host's word that was heard since time went on last. */
static void
await_word (CommyClient *node)
{
  Finding finding;

  do
    finding = await (node, "host", "well");
  while (finding.age_ns > 0);
}

/* --- the tests --- */

static void
test_once (Fixture *self, gconstpointer unused)
{
  start_stopped_programs (self);
  for (guint step = 0; step < STEPS; step++)
    {
      __atomic_add_fetch (&self->now_ns, STEP_NS, __ATOMIC_RELAXED);
      for (guint i = 0; i < N_PROGRAMS; i++)
        await_word (self->nodes[i]);
    }
  /* Somebody did look meanwhile, and all of it but the first was the daemon's. */
  await_looks (self, 3);
  for (guint i = 0; i < N_PROGRAMS; i++)
    {
      Finding finding = ask (self->nodes[i]);

      g_assert_cmpuint (finding.looks, ==, 1);
      g_assert_cmpstr (finding.by, ==, "host");
    }
}

static void
test_verdict (Fixture *self, gconstpointer unused)
{
  start_stopped_programs (self);
  call (self->clients[0], "BeIll");
  for (guint i = 0; i < N_PROGRAMS; i++)
    g_assert_cmpuint (await (self->nodes[i], "host", "unwell").looks, ==, 1);
}

/* Whoever used the daemon's word looks for itself, and uses it again when it is back. */
static void
test_killed (Fixture *self, gconstpointer unused)
{
  guint64 before[N_PROGRAMS];

  start_programs (self, NULL);
  for (guint i = 0; i < N_PROGRAMS; i++)
    before[i] = ask (self->nodes[i]).looks;
  test_daemon_kill (self->daemon);
  for (guint i = 0; i < N_PROGRAMS; i++)
    g_assert_cmpuint (await (self->nodes[i], "node", "well").looks, >, before[i]);
  test_daemon_start (self->daemon);
  for (guint i = 0; i < N_PROGRAMS; i++)
    await (self->nodes[i], "host", "well");
}

static void
test_another_way (Fixture *self, gconstpointer unused)
{
  start_program (self, 0, CHECK EVERY, NULL);
  start_program (self, 1, CHECK "health-interval=100ms\n", NULL);
  await (self->nodes[0], "host", "well");
  await_looks (self, 20);
  g_assert_cmpstr (ask (self->nodes[1]).by, ==, "node");
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, TEST) g_test_add ("/daemon/health/" NAME, Fixture, NULL, set_up, TEST, tear_down)
  ADD ("instances-are-looked-at-once", test_once);
  ADD ("what-is-found-is-told-to-all", test_verdict);
  ADD ("programs-look-for-themselves-while-it-is-away", test_killed);
  ADD ("who-looks-in-another-way-looks-itself", test_another_way);
  return g_test_run ();
}
