/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program that calls for weeks keeps of instances that are gone: nothing. One after the
 * other is replaced by another, of another node and behind another address, and the memory that is
 * in use is counted where all that has a limit is full. Where they die, each is a process; where
 * they leave, all of it is counted, both sides and the store; and there are some of another host,
 * which are looked at and not called.
 */
#include "config.h"

#include "control/commy-registry.h"
#include "mesh-fixture.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-decision-log.h"

#include <malloc.h>

#define ROUNDS 30u /* between two counts; COMMY_TEST_ROUNDS is another number */
#define SAMPLES 5u
/* Bytes a replacement: less than an instance alone has. What tables and arenas are rounded up to
 * comes to a third of it. */
#define MOST_KEPT 400

typedef struct
{
  MeshFixture *fixture;
  const char *settings;
  CommyMesh *mesh;
  CommyClient *client;
  /* who offers it now: a process, a mesh of this one, or nobody */
  ServiceChild *child;
  CommyMesh *other;
  CommyService *service;
  CommyInstance *instance;
  guint n_instances;
} Scene;

typedef struct
{
  void (*begin) (Scene *self);
  void (*end) (Scene *self);
  void (*use) (Scene *self, CommyClient *client);
} Kind;

static void
run_loop (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Until the caller knows this one instance, and no other. */
static void
await_only (Scene *self, const char *instance)
{
  gboolean is_so = FALSE;

  while (!is_so)
    {
      g_autoptr (CommySnapshot) snapshot
          = commy_registry_lookup (self->mesh->registry, TEST_SERVICE);

      is_so = snapshot != NULL && snapshot->instances->len == 1
              && strcmp (((CommyInstance *) snapshot->instances->pdata[0])->id, instance) == 0;
      run_loop ();
      g_usleep (200);
    }
}

static void
call (Scene *self, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  run_loop ();
}

/* --- who offers it --- */

static void
begin_child (Scene *self)
{
  self->child = service_child_start (self->fixture, self->settings, 0);
}

static void
end_child (Scene *self)
{
  service_child_kill (self->child);
  g_clear_pointer (&self->child, service_child_free);
}

static void
begin_other (Scene *self)
{
  g_autoptr (GError) error = NULL;

  self->other = mesh_fixture_join (self->fixture, self->settings);
  self->service = test_service_new (self->other, 1);
  commy_service_start_sync (self->service, NULL, &error);
  g_assert_no_error (error);
}

static void
end_other (Scene *self)
{
  commy_mesh_leave_sync (self->other, NULL, NULL);
  g_object_run_dispose (G_OBJECT (self->service)); /* handlers hold what holds the service */
  g_clear_object (&self->service);
  run_loop ();
  g_clear_object (&self->other);
}

/* --- nobody --- */

static void
on_told (gpointer latch, const GError *error)
{
  commy_latch_answer (latch, NULL, NULL, error);
}

typedef struct
{
  Scene *scene;
  CommyLatch *latch;
} Telling;

static void
tell_begin (gpointer data)
{
  Telling *telling = data;

  commy_registry_add (telling->scene->mesh->registry, telling->scene->instance, on_told,
                      telling->latch);
}

static void
tell_end (gpointer data)
{
  Telling *telling = data;

  commy_registry_remove (telling->scene->mesh->registry, telling->scene->instance, on_told,
                         telling->latch);
}

static void
tell (Scene *self, CommyWorkFunc func)
{
  g_autoptr (GError) error = NULL;
  Telling telling = { self, commy_latch_new () };

  commy_mesh_post (self->mesh, func, &telling);
  commy_latch_wait (telling.latch, G_MAXINT64, NULL, NULL, &error);
  g_assert_no_error (error);
}

/* Of another host: that its doors are not here is said of each of them. */
static void
begin_elsewhere (Scene *self)
{
  g_autofree char *id = g_strdup_printf ("%032x", ++self->n_instances);
  g_autofree char *door = g_strconcat ("/nowhere/", id, NULL);

  self->instance = commy_instance_new (id, TEST_SERVICE);
  self->instance->node = g_strdup (id);
  self->instance->host = g_strdup ("elsewhere");
  self->instance->host_id = g_strdup (id);
  self->instance->serializers = g_strsplit ("gvariant,json", ",", -1);
  commy_instance_add_endpoint (self->instance, "unix", door);
  commy_instance_add_endpoint (self->instance, "shm", door);
  tell (self, tell_begin);
}

static void
end_elsewhere (Scene *self)
{
  tell (self, tell_end);
  g_clear_pointer (&self->instance, commy_instance_unref);
}

static void
explain (Scene *self, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyDecision) decision = commy_client_explain (client, 64, NULL, NULL, &error);

  g_assert_no_error (error);
  run_loop ();
}

static const char *
get_instance (Scene *self)
{
  if (self->instance != NULL)
    return self->instance->id;
  return self->child != NULL ? self->child->instance
                             : commy_service_get_instance_id (self->service);
}

/* --- counting --- */

/* What is kept up to a number is full of the same again, and what was under way has ended. */
static gint64
count_memory (Scene *self, const Kind *kind)
{
  struct mallinfo2 info;

  for (guint i = 0; i < COMMY_DECISION_LOG_MOST; i++)
    {
      g_autoptr (CommyClient) client = commy_client_new (self->mesh, TEST_SERVICE);

      kind->use (self, client);
    }
  run_loop ();
  info = mallinfo2 ();
  return (gint64) (info.uordblks + info.hblkhd);
}

static void
replace (Scene *self, const Kind *kind)
{
  kind->end (self);
  kind->begin (self);
  await_only (self, get_instance (self));
  kind->use (self, self->client);
}

/* Under a sanitizer the numbers stand still. */
static void
count (Scene *self, const Kind *kind)
{
  const char *asked = g_getenv ("COMMY_TEST_ROUNDS");
  const guint rounds = asked != NULL ? (guint) atoi (asked) : ROUNDS;
  gint64 memory[SAMPLES];

  for (guint i = 0; i < SAMPLES; i++)
    {
      for (guint k = 0; k < rounds; k++)
        replace (self, kind);
      memory[i] = count_memory (self, kind);
      g_test_message ("%u replacements: %" G_GINT64_FORMAT " bytes in use", (i + 1) * rounds,
                      memory[i]);
    }
  /* The first of them is the warm-up. */
  g_assert_cmpint (memory[SAMPLES - 1] - memory[0], <, MOST_KEPT * rounds * (SAMPLES - 1));
}

static void
run (MeshFixture *fixture, const char *transport, const Kind *kind)
{
  g_autofree char *settings
      = transport != NULL
            ? g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport)
            : NULL;
  Scene self = { .fixture = fixture, .settings = settings };

  self.mesh = mesh_fixture_join (fixture, settings);
  self.client = commy_client_new (self.mesh, TEST_SERVICE);
  kind->begin (&self);
  kind->use (&self, self.client);
  count (&self, kind);
  kind->end (&self);
  g_clear_object (&self.client);
  commy_mesh_leave_sync (self.mesh, NULL, NULL);
  run_loop ();
  g_clear_object (&self.mesh);
}

static void
test_leave (MeshFixture *fixture, gconstpointer transport)
{
  static const Kind kind = { begin_other, end_other, call };

  /* Without credentials: GnuTLS keeps 192 bytes for each thread that ever used it. */
  run (fixture, transport, &kind);
}

static void
test_die (MeshFixture *fixture, gconstpointer transport)
{
  static const Kind kind = { begin_child, end_child, call };

  mesh_fixture_make_credentials (fixture);
  run (fixture, transport, &kind);
}

static void
test_elsewhere (MeshFixture *fixture, gconstpointer data)
{
  static const Kind kind = { begin_elsewhere, end_elsewhere, explain };

  run (fixture, NULL, &kind);
}

#define ADD(path, transport, test)                                                       \
  g_test_add ("/mesh/replaced/" path, MeshFixture, transport, mesh_fixture_set_up, test, \
              mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  ADD ("unix/leave", "unix", test_leave);
  ADD ("shm/leave", "shm", test_leave);
#ifdef HAVE_GNUTLS
  ADD ("tls/die", "tls", test_die);
#else
  ADD ("unix/die", "unix", test_die);
#endif
  ADD ("elsewhere", NULL, test_elsewhere);
  return g_test_run ();
}
