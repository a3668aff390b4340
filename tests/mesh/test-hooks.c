/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks that a keyfile puts on transports: calls pass them, decisions and lists name them, and
 * settings that make no sense are told.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#define MS 1000

typedef struct
{
  char *file; /* the keyfile of this process */
  CommyMesh *mesh;
  ServiceChild *child;
  CommyClient *client;
} Scene;

/* The hooks are on this side's transports only, as an operator would have it. */
static Scene *
scene_new (MeshFixture *fixture, const char *text)
{
  Scene *scene = g_new0 (Scene, 1);

  mesh_fixture_make_credentials (fixture);
  scene->child = service_child_start (fixture, NULL, 1);
  scene->file = mesh_fixture_use_keyfile (fixture, "hooks.conf", text);
  scene->mesh = mesh_fixture_join (fixture, NULL);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  return scene;
}

static void
scene_free (Scene *scene)
{
  g_object_unref (scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  service_child_free (scene->child);
  g_free (scene->file);
  g_free (scene);
}

static void
check_sum (Scene *scene, gint32 a)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (
      scene->client, "Add", g_variant_new ("(ii)", a, 1), NULL, NULL, &error);
  gint32 sum;

  g_assert_no_error (error);
  g_variant_get (answer, "(i)", &sum);
  g_assert_cmpint (sum, ==, a + 1);
}

static void
check_over (Scene *scene, const char *transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (scene->client, "Who", NULL, NULL, NULL, &error);
  const char *over;

  g_assert_no_error (error);
  g_variant_get (answer, "(&s&s)", NULL, &over);
  g_assert_cmpstr (over, ==, transport);
}

/* The record of a plugin, as lists show it. */
static GVariant *
find_plugin (CommyMesh *mesh, const char *id)
{
  g_autoptr (GVariant) plugins = commy_mesh_list_plugins (mesh);
  gsize n = g_variant_n_children (plugins);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *found;

      if (g_variant_lookup (plugin, "id", "&s", &found) && strcmp (found, id) == 0)
        return g_steal_pointer (&plugin);
    }
  g_assert_not_reached ();
}

static void
check_field (GVariant *plugin, const char *field, const char *expected)
{
  g_autofree const char **names = NULL;
  g_autofree char *joined = NULL;

  g_assert_true (g_variant_lookup (plugin, field, "^a&s", &names));
  joined = g_strjoinv (";", (char **) names);
  g_assert_cmpstr (joined, ==, expected);
}

static void
test_calls_pass (MeshFixture *fixture, gconstpointer data)
{
  const char *transport = data;
  g_autofree char *text = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n"
                                           "[plugin transport/%s]\nhooks=trace;trace\n",
                                           transport, transport);
  Scene *scene = scene_new (fixture, text);

  for (gint32 i = 0; i < 200; i++)
    check_sum (scene, i);
  check_over (scene, transport);
  scene_free (scene);
}

static void
test_are_named (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugin transport/shm]\nhooks=trace\n");
  g_autofree char *words = g_strdup_printf ("transport/shm has hooks: trace (%s:2)", scene->file);
  g_autoptr (CommyDecision) decision = NULL;
  g_autoptr (GVariant) shm = find_plugin (scene->mesh, "shm");
  g_autoptr (GVariant) trace = find_plugin (scene->mesh, "trace");
  g_autoptr (GVariant) delay = find_plugin (scene->mesh, "delay");
  g_autofree char *told = NULL;
  g_autoptr (GError) error = NULL;
  const char *state;

  check_over (scene, "shm");
  decision = commy_client_explain (scene->client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  told = commy_decision_to_string (decision);
  g_assert_nonnull (strstr (told, words));
  g_assert_null (strstr (told, "candidate trace"));
  check_field (shm, "hooks", "trace");
  check_field (trace, "wraps", "transport/shm");
  check_field (delay, "wraps", "");
  g_variant_lookup (trace, "state", "&s", &state);
  g_assert_cmpstr (state, ==, "active");
  g_variant_lookup (delay, "state", "&s", &state);
  g_assert_cmpstr (state, ==, "found");
  scene_free (scene);
}

/* Sent and received messages wait; sooner than that no answer comes. */
static void
test_delay (MeshFixture *fixture, gconstpointer data)
{
  const char *direction = data;
  gint64 least = (strcmp (direction, "both") == 0 ? 10 : 5) * MS;
  g_autofree char *text
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=unix\n"
                         "[plugin transport/unix]\nhooks=trace;delay\n"
                         "[plugin transport/delay]\nparam.delay=5ms\nparam.jitter=100us\n"
                         "param.direction=%s\n",
                         direction);
  Scene *scene = scene_new (fixture, text);
  gint64 began;

  check_sum (scene, 1); /* the connection is there */
  for (gint32 i = 0; i < 5; i++)
    {
      began = g_get_monotonic_time ();
      check_sum (scene, i);
      g_assert_cmpint (g_get_monotonic_time () - began, >=, least);
    }
  scene_free (scene);
}

typedef struct
{
  guint n_done;
  guint next;
} Answers;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Answers *answers = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);
  gint32 sum;

  g_assert_no_error (error);
  g_variant_get (answer, "(i)", &sum);
  g_assert_cmpint (sum, ==, (gint32) answers->next++); /* nothing overtakes */
  answers->n_done++;
}

static void
test_many_in_flight (MeshFixture *fixture, gconstpointer data)
{
  enum
  {
    N = 2000
  };
  Scene *scene = scene_new (fixture, "[selection]\npreference=pin\ntransports=unix\n"
                                     "[plugin transport/unix]\nhooks=delay\n"
                                     "[plugin transport/delay]\nparam.delay=1ms\n"
                                     "param.jitter=500us\nparam.rate=100MiB\n");
  Answers answers = { 0 };

  check_sum (scene, 1); /* the connection is there */
  for (gint32 i = 0; i < N; i++)
    commy_client_call (scene->client, "Add", g_variant_new ("(ii)", i, 0), NULL, NULL, on_answer,
                       &answers);
  while (answers.n_done < N)
    g_main_context_iteration (NULL, TRUE);
  scene_free (scene);
}

/* Descriptors wait with their message. */
static void
test_handles_pass (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugin transport/unix]\nhooks=trace;delay\n"
                                     "[plugin transport/delay]\nparam.delay=1ms\n");
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  guint before;

  check_sum (scene, 1);
  for (guint i = 0; i < 3; i++)
    {
      int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

      g_unix_fd_list_append (list, fd, NULL);
      close (fd);
    }
  before = 0;
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = commy_client_call_with_unix_fd_list_sync (
          scene->client, "Who", NULL, list, NULL, NULL, NULL, &error);
      const char *over;

      g_assert_no_error (error);
      g_variant_get (answer, "(&s&s)", NULL, &over);
      g_assert_cmpstr (over, ==, "unix");
      before = i == 0 ? count_fds () : before;
      /* Who watches for the peer's death opens some when it gets to that. */
      g_assert_cmpuint (count_fds (), <=, before + 4);
    }
  scene_free (scene);
}

/* A hook that cannot be put on leaves the transport out, with the reason and its line. */
static void
test_bad_setting (MeshFixture *fixture, gconstpointer data)
{
  g_auto (GStrv) parts = g_strsplit (data, "|", 2);
  g_autofree char *text = g_strdup_printf ("[plugin transport/shm]\nhooks=%s\n", parts[0]);
  Scene *scene = scene_new (fixture, text);
  g_autofree char *place = g_strdup_printf ("%s:2", scene->file);
  g_autoptr (GVariant) shm = find_plugin (scene->mesh, "shm");
  g_autoptr (GVariant) trace = find_plugin (scene->mesh, "trace");
  const char *state;
  const char *reason;

  g_variant_lookup (shm, "state", "&s", &state);
  g_variant_lookup (shm, "reason", "&s", &reason);
  g_assert_cmpstr (state, ==, "failed");
  g_assert_nonnull (strstr (reason, parts[1]));
  g_assert_nonnull (strstr (reason, place));
  g_variant_lookup (trace, "state", "&s", &state);
  g_assert_cmpstr (state, !=, "active"); /* taken off again */
  check_over (scene, "unix");
  scene_free (scene);
}

static void
test_bad_param (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugin transport/shm]\nhooks=delay\n"
                                     "[plugin transport/delay]\nparam.direction=up\n");
  g_autoptr (GVariant) shm = find_plugin (scene->mesh, "shm");
  const char *reason;

  g_variant_lookup (shm, "reason", "&s", &reason);
  g_assert_nonnull (strstr (reason, "direction"));
  check_over (scene, "unix");
  scene_free (scene);
}

static void
test_only_transports (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugin serializer/raw]\nhooks=trace\n");
  g_autoptr (GVariant) raw = find_plugin (scene->mesh, "raw");
  const char *reason;

  g_variant_lookup (raw, "reason", "&s", &reason);
  g_assert_nonnull (strstr (reason, "only transports have hooks"));
  check_sum (scene, 1);
  scene_free (scene);
}

static void
test_leave_and_join (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "hooks.conf",
                                                    "[plugin transport/shm]\nhooks=trace;delay\n"
                                                    "[plugin transport/inproc]\nhooks=trace\n"
                                                    "[plugin transport/unix]\nhooks=delay\n");
  guint before = 0;

  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
      g_autoptr (GVariant) trace = find_plugin (mesh, "trace");

      check_field (trace, "wraps", "transport/inproc;transport/shm");
      commy_mesh_leave_sync (mesh, NULL, NULL);
      before = i == 0 ? count_fds () : before;
      g_assert_cmpuint (count_fds (), ==, before);
    }
}

static void
add (const char *path, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("/hooks/calls-pass/shm", "shm", test_calls_pass);
  add ("/hooks/calls-pass/unix", "unix", test_calls_pass);
#ifdef HAVE_GNUTLS
  add ("/hooks/calls-pass/tls", "tls", test_calls_pass);
#endif
  add ("/hooks/are-named-in-decisions-and-lists", NULL, test_are_named);
  add ("/hooks/delay-waits/out", "out", test_delay);
  add ("/hooks/delay-waits/in", "in", test_delay);
  add ("/hooks/delay-waits/both", "both", test_delay);
  add ("/hooks/delay-keeps-order-of-many", NULL, test_many_in_flight);
  add ("/hooks/descriptors-pass", NULL, test_handles_pass);
  add ("/hooks/unknown-hook-is-told", "trace;nothing|no usable plugin transport/nothing",
       test_bad_setting);
  add ("/hooks/what-is-no-hook-is-told", "inproc;trace|transport/inproc is no hook",
       test_bad_setting);
  add ("/hooks/wrong-parameter-is-told", NULL, test_bad_param);
  add ("/hooks/only-transports-have-them", NULL, test_only_transports);
  add ("/hooks/leave-takes-them-off", NULL, test_leave_and_join);
  return g_test_run ();
}
