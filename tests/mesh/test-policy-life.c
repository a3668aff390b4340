/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policy where it is in force: the same decisions over every transport, and what becomes of what
 * is open when the policy changes, or its time is over.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"
#include "stream-scene.h"

#include <string.h>

#define NODE "org.commy.Node1"
#define ENDED "may not offer " TEST_SERVICE " any more"
#define OFFERS(NAME, REST) RULE (NAME, "verbs=offer\n" REST)
#define RULE(NAME, REST) "[policy " NAME "]\nprincipals=*\nservices=" TEST_SERVICE "\n" REST "\n"

/* --- asking the node that serves --- */

static void
choose_server (CommyClient *client, CommyMesh *mesh, gboolean is_other)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, NODE, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_variant_lookup (instance, "node", "&s", &node);
      g_variant_lookup (instance, "instance", "&s", &id);
      if ((strcmp (node, commy_mesh_get_node_id (mesh)) != 0) == is_other)
        commy_client_set_instance (client, id);
    }
}

static GVariant *
ask_server (Scene *scene, const char *method, GVariant *parameters, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, NODE);

  choose_server (client, scene->mesh, scene->child != NULL);
  return commy_client_call_sync (client, method, parameters, NULL, NULL, error);
}

static void
rewrite (const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static gboolean
reload (Scene *scene, GError **error)
{
  g_autoptr (GVariant) answer = NULL;

  if (scene->child == NULL)
    return commy_mesh_reload_policy (scene->mesh, error);
  answer = ask_server (scene, "ReloadPolicy", NULL, error);
  return answer != NULL;
}

static void
reload_well (Scene *scene)
{
  g_autoptr (GError) error = NULL;

  reload (scene, &error);
  g_assert_no_error (error);
}

static gboolean
may_call (Scene *scene, const char *method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (scene->client, method, NULL, NULL, NULL, &error);

  if (value == NULL)
    g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DENIED);
  return value != NULL;
}

/* --- the same everywhere --- */

static void
test_decisions (MeshFixture *fixture, gconstpointer transport)
{
  gboolean is_local = strcmp (transport, "tls") != 0;
  g_autofree char *path = mesh_fixture_use_keyfile (
      fixture, "policy.conf",
      "[role all]\nmembers=*\n" RULE (
          "none",
          "effect=deny") "[policy role]\nroles=all\n"
                         "services=" TEST_SERVICE "\nmethods=Pid\neffect=allow\n" RULE (
                             "local", "methods=Who\nfrom=local\neffect=allow")
                             RULE ("remote", "methods=Counted\nfrom=127.0.0.0/8;::1\neffect=allow")
                                 RULE ("floor", "methods=Unread\nmin-security=mutual\neffect=allow")
                                     RULE ("kernel",
                                           "methods=Inside\nmin-security=kernel\neffect=allow")
                                         RULE ("past", "methods=Pid\nuntil=2001-01-01\neffect=deny")
                                             RULE ("trial",
                                                   "methods=Pid\nmode=observe\neffect=deny"));
  Scene *scene = scene_new (fixture, transport, 1, NULL);

  g_assert_true (may_call (scene, "Pid"));
  g_assert_false (may_call (scene, "Go"));
  g_assert_cmpint (may_call (scene, "Who"), ==, is_local);
  g_assert_cmpint (may_call (scene, "Counted"), ==, !is_local);
  g_assert_cmpint (may_call (scene, "Unread"), ==, !is_local);
  g_assert_true (may_call (scene, "Inside"));
  g_assert_true (may_call (scene, "Pid"));
  scene_free (scene);
}

/* --- it changes --- */

static void
test_change (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf", "[commy]\n");
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *denied = open_stream (scene, "Three", NULL);
  CommyStream *other = open_stream (scene, "Relay", NULL);
  g_autoptr (GVariant) got = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (may_call (scene, "Pid"));
  rewrite (path, RULE ("no-more", "methods=Three;Pid\neffect=deny"));
  reload_well (scene);
  for (guint i = 0; i < 3; i++) /* what had been sent before */
    g_variant_unref (commy_stream_read_sync (denied, NULL, NULL));
  expect_error (denied, COMMY_ERROR_DENIED, "policy.conf:5");
  g_assert_false (may_call (scene, "Pid"));
  /* What is allowed goes on. */
  write_int (other, 7);
  got = commy_stream_read_sync (other, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (got);
  close_write (other);
  expect_end (other);
  rewrite (path, "[commy]\n");
  reload_well (scene);
  g_assert_true (may_call (scene, "Pid"));
  g_object_unref (denied);
  g_object_unref (other);
  scene_free (scene);
}

/* With a mistake in it the one before stays, whole. */
static void
test_mistake (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf",
                                                    RULE ("no-pid", "methods=Pid\neffect=deny"));
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);
  static const char *const mistakes[]
      = { "[role a]\ninherits=b\n[role b]\ninherits=a\n", "[policy x]\nprincipals=*\n",
          "[policy x]\nnonsense=1\n", "no keyfile" };

  for (gsize i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autoptr (GError) error = NULL;

      rewrite (path, mistakes[i]);
      g_assert_false (reload (scene, &error));
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, "policy.conf:"));
      g_assert_false (may_call (scene, "Pid"));
    }
  close_write (stream);
  expect_end (stream);
  g_object_unref (stream);
  scene_free (scene);
}

/* Nobody says so: the file changes. Only the service looks. */
static void
test_watched (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf", "[commy]\n");
  Scene *scene;
  CommyStream *stream;

  mesh_fixture_capture_log (fixture);
  scene = scene_new (fixture, transport, 1, "[security]\npolicy-watch=true\n");
  stream = open_stream (scene, "Relay", NULL);
  g_assert_true (may_call (scene, "Pid"));
  rewrite (path, "[policy x]\nprincipals=*\n");
  mesh_fixture_await_log (fixture, "the policy stays as it was: CMY0103");
  g_assert_true (may_call (scene, "Pid"));
  rewrite (path, RULE ("no-pid", "methods=Pid\neffect=deny"));
  mesh_fixture_await_log (fixture, "the policy was read again");
  g_assert_false (may_call (scene, "Pid"));
  close_write (stream);
  expect_end (stream);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- time --- */

static void
test_time_is_over (MeshFixture *fixture, gconstpointer transport)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add_seconds (now, 3);
  g_autofree char *when = g_date_time_format_iso8601 (soon);
  g_autofree char *text = g_strdup_printf (
      RULE ("none", "effect=deny") RULE ("a-while", "until=%s\neffect=allow"), when);
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf", text);
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  expect_error (stream, COMMY_ERROR_DENIED, "policy.conf:4");
  g_assert_false (may_call (scene, "Pid"));
  g_object_unref (stream);
  scene_free (scene);
}

static void
on_end (GObject *source, GAsyncResult *result, gpointer out_error)
{
  g_assert_null (commy_stream_read_finish (COMMY_STREAM (source), result, out_error));
}

/* The same on the calling side: who may offer no more is not called any more, whether a thread
 * waits for it or none does. */
static void
test_offer_is_over (MeshFixture *fixture, gconstpointer transport)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add_seconds (now, 3);
  g_autofree char *when = g_date_time_format_iso8601 (soon);
  g_autofree char *text = g_strdup_printf (
      OFFERS ("none", "effect=deny") OFFERS ("a-while", "until=%s\neffect=allow"), when);
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf", text);
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) ended = NULL;
  g_autoptr (GError) error = NULL;

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  if (strcmp (transport, "unix") != 0)
    expect_error (stream, COMMY_ERROR_OUTCOME_UNKNOWN, ENDED);
  else
    {
      commy_stream_read (stream, NULL, on_end, &ended);
      while (ended == NULL)
        g_main_context_iteration (NULL, TRUE);
      g_assert_error (ended, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
      g_assert_nonnull (strstr (ended->message, ENDED));
    }
  value = commy_client_call_sync (scene->client, "Pid", NULL, NULL, NULL, &error);
  g_assert_null (value); /* refused, or not even tried again yet */
  g_object_unref (stream);
  scene_free (scene);
}

/* --- control, trial --- */

static void
test_control (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (
      fixture, "policy.conf",
      "[policy hands-off]\nprincipals=*\nverbs=control\noperations=cor*;drain\neffect=deny\n");
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) again = NULL;

  g_assert_null (ask_server (scene, "Cordon", g_variant_new ("(b)", TRUE), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DENIED);
  g_assert_nonnull (strstr (error->message, "may not cordon this node"));
  g_assert_null (
      ask_server (scene, "Drain", g_variant_new ("(t)", G_GUINT64_CONSTANT (0)), &again));
  g_assert_error (again, COMMY_ERROR, COMMY_ERROR_DENIED);
  reload_well (scene);
  g_assert_true (may_call (scene, "Pid"));
  scene_free (scene);
}

static void
test_trial (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (
      fixture, "policy.conf", "[security]\npolicy-mode=observe\n" RULE ("all", "effect=deny"));
  Scene *scene;

  mesh_fixture_capture_log (fixture);
  scene = scene_new (fixture, transport, 1, NULL);
  g_assert_true (may_call (scene, "Pid"));
  g_assert_true (may_call (scene, "Pid"));
  mesh_fixture_await_log (fixture, "would be denied call " TEST_SERVICE ".Pid");
  scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/policy/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
    "inproc",
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      add ("the-same-decisions", transports[i], test_decisions);
      add ("streams-end-when-their-right-goes", transports[i], test_change);
      /* attack: a policy with an error; defence: the old one stays, whole; test:
       * /policy/tls/a-mistake-changes-nothing */
      add ("a-mistake-changes-nothing", transports[i], test_mistake);
    }
  add ("streams-end-when-their-time-is-over", "shm", test_time_is_over);
  /* attack: go on answering over a connection when the right to offer is over; defence: it is
   * looked at when it ends, and the connection closed; test:
   * /policy/tls/an-offer-ends-when-its-time-is-over */
  for (guint i = 1; i < G_N_ELEMENTS (transports); i++)
    add ("an-offer-ends-when-its-time-is-over", transports[i], test_offer_is_over);
  add ("a-watched-keyfile-is-read-again", "shm", test_watched);
  /* attack: who may call a node tells it to drain; defence: control is a permission of its own;
   * test: /policy/shm/control-is-a-permission-of-its-own */
  add ("control-is-a-permission-of-its-own", "shm", test_control);
  add ("a-trial-is-told-and-lets-pass", "shm", test_trial);
  return g_test_run ();
}
