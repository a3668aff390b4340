/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How streams end, over every transport: closed, cancelled, late, killed, refused or stopped; and
 * what else runs while a handler waits for one.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"
#include "stream-scene.h"

#include <string.h>

/* --- how streams end --- */

static void
test_half_close (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  g_autoptr (GError) error = NULL;

  write_int (stream, 1);
  close_write (stream);
  g_assert_false (commy_stream_write_sync (stream, g_variant_new_int32 (2), NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  expect_end (stream);
  g_assert_cmpuint (result_u (stream), ==, 1);
  g_clear_error (&error);
  g_assert_false (commy_stream_write_sync (stream, g_variant_new_int32 (2), NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  g_object_unref (stream);

  /* An answer right behind messages that are under way. */
  stream = open_stream (scene, "Burst", NULL);
  g_assert_cmpuint (result_u (stream), ==, 3);
  g_assert_cmpuint (commy_stream_get_unread (stream), ==, 3);
  for (guint i = 1; i <= 3; i++)
    {
      g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, NULL);

      g_assert_cmpuint (g_variant_get_uint32 (value), ==, i);
    }
  expect_end (stream);
  g_object_unref (stream);
  scene_free (scene);
}

static void
test_cancel (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  commy_stream_cancel (stream, "seen it");
  commy_stream_cancel (stream, "again");
  expect_error (stream, COMMY_ERROR_CANCELLED, "seen it");
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_CANCELLED);
  g_object_unref (stream);

  /* The last reference does the same. */
  stream = open_stream (scene, "Relay", NULL);
  write_int (stream, 1);
  g_object_unref (stream);
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_CANCELLED);

  stream = open_stream (scene, "Enough", NULL);
  write_int (stream, 1);
  expect_error (stream, COMMY_ERROR_CANCELLED, "enough");
  g_object_unref (stream);

  stream = open_stream (scene, "Fails", NULL);
  write_int (stream, 1);
  expect_error (stream, COMMY_ERROR_REMOTE, "as you wished");
  g_object_unref (stream);
  scene_free (scene);
}

/* The service is warned, in its own process. */
static void
test_dropped (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene;
  CommyStream *stream;

  mesh_fixture_capture_log (fixture);
  scene = scene_new (fixture, transport, 1, NULL);
  stream = open_stream (scene, "Drop", NULL);
  expect_error (stream, COMMY_ERROR_FAILED, "without an answer");
  g_object_unref (stream);
  mesh_fixture_await_log (fixture, "Drop was never answered");
  scene_free (scene);
}

static gpointer
cancel_elsewhere (gpointer stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_WRONG_THREAD);
  commy_stream_cancel (stream, "from elsewhere");
  g_object_unref (stream);
  return NULL;
}

static void
on_end (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) value
      = commy_stream_read_finish (COMMY_STREAM (source), result, (GError **) data);

  g_assert_null (value);
}

static void
test_threads (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);
  g_autoptr (GError) error = NULL;

  commy_stream_read (stream, NULL, on_end, &error);
  g_thread_join (g_thread_new ("other", cancel_elsewhere, g_object_ref (stream)));
  while (error == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  g_assert_nonnull (strstr (error->message, "from elsewhere"));
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_CANCELLED);
  g_object_unref (stream);

  /* The last reference goes on a thread that the stream does not belong to. */
  stream = open_stream (scene, "Relay", NULL);
  g_thread_join (g_thread_new ("other", cancel_elsewhere, stream));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_CANCELLED);
  scene_free (scene);
}

static void
test_deadline (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (CommyStream) other = NULL;
  g_autoptr (GError) error = NULL;

  g_variant_unref (call (scene, "Unread")); /* connecting must not use the time up */
  commy_call_options_set_timeout (options, 500 * 1000);
  stream = commy_client_open_stream_sync (scene->client, "Relay", NULL, options, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (commy_stream_get_deadline (stream), <, G_MAXINT64);
  expect_error (stream, COMMY_ERROR_DEADLINE, "passed");
  g_assert_false (commy_stream_write_sync (stream, g_variant_new_int32 (2), NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_DEADLINE);
  g_clear_error (&error);
  other = commy_client_open_stream_sync (scene->client, "Relay", NULL, options, NULL, &error);
  g_assert_no_error (error);
  commy_stream_read (other, NULL, on_end, &error);
  while (error == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_cmpint (fate (scene), ==, COMMY_ERROR_DEADLINE);
  scene_free (scene);
}

/* What had arrived is read, then the end is told. */
static void
test_killed (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Three", NULL);

  while (commy_stream_get_unread (stream) < 3)
    g_main_context_iteration (NULL, TRUE);
  service_child_kill (scene->child);
  for (guint i = 1; i <= 3; i++)
    {
      g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, NULL);

      g_assert_cmpuint (g_variant_get_uint32 (value), ==, i);
    }
  expect_error (stream, COMMY_ERROR_OUTCOME_UNKNOWN, "outcome unknown");
  g_object_unref (stream);
  scene_free (scene);
}

/* Messages that nobody read are counted. */
static void
test_counted (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Burst", NULL);
  guint64 before = dropped (scene, "cancelled");

  g_assert_cmpuint (result_u (stream), ==, 3);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  g_object_unref (stream);
  g_assert_cmpuint (dropped (scene, "cancelled") - before, ==, 2);
  scene_free (scene);
}

/* --- what does not fit --- */

static void
expect_refusal (CommyStream *stream, gint code, const char *words)
{
  expect_error (stream, code, words);
  g_object_unref (stream);
}

static void
test_mismatch (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  CommyStream *stream;

  expect_refusal (open_stream (scene, "Pid", NULL), COMMY_ERROR_TYPE, "commy_client_call()");
  expect_refusal (open_stream (scene, "Span", NULL), COMMY_ERROR_TYPE, "commy_client_call()");
  expect_refusal (open_stream (scene, "Nothing", NULL), COMMY_ERROR_NO_METHOD, "Nothing");
  value = commy_client_call_sync (scene->client, "Sum", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "commy_client_open_stream()"));
  stream = open_stream (scene, "Numbers", g_variant_new ("(u)", 1000000));
  write_int (stream, 1);
  for (;;)
    {
      g_clear_error (&error);
      g_clear_pointer (&value, g_variant_unref);
      value = commy_stream_read_sync (stream, NULL, &error);
      if (value == NULL)
        break;
    }
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "reads no messages"));
  g_object_unref (stream);
  scene_free (scene);
}

static void
on_typed (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) refused = NULL;

  value = commy_stream_read_sync (stream, NULL, &error);
  if (value == NULL)
    {
      commy_invocation_return_gerror (invocation, error);
      return;
    }
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE ("(ss)")));
  g_assert_false (commy_stream_write_sync (stream, g_variant_new_int32 (1), NULL, &refused));
  g_assert_error (refused, COMMY_ERROR, COMMY_ERROR_TYPE);
  commy_stream_write_sync (stream, g_variant_new_string ("right"), NULL, &error);
  g_assert_no_error (error);
  commy_invocation_return_value (invocation, g_variant_new ("(u)", 1));
}

static void
on_only_reads (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (commy_stream_write_sync (commy_invocation_get_stream (invocation),
                                           g_variant_new_int32 (1), NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  commy_invocation_return_value (invocation, g_variant_new ("(u)", 2));
}

static const char typed_xml[] = "<node><interface name='org.example.Typed'>"
                                "<method name='Talk'><arg type='u' direction='out'/>"
                                "<annotation name='org.commy.Stream' value='both'/>"
                                "<annotation name='org.commy.Stream.In' value='(ss)'/>"
                                "<annotation name='org.commy.Stream.Out' value='s'/></method>"
                                "<method name='Listen'><arg type='u' direction='out'/>"
                                "<annotation name='org.commy.Stream' value='client'/></method>"
                                "</interface></node>";

/* What the interface says is enough to make a method stream, and is checked. */
static void
test_interface (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (typed_xml, NULL);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = commy_service_new (mesh, TEST_SERVICE, node->interfaces[0]);
  Scene scene = { .mesh = mesh };
  CommyStream *stream;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  commy_service_handle (service, "Talk", on_typed, NULL, NULL);
  commy_service_handle (service, "Listen", on_only_reads, NULL, NULL);
  commy_service_set_workers (service, 1);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  scene.client = commy_client_new (mesh, TEST_SERVICE);
  stream = open_stream (&scene, "Talk", NULL);
  commy_stream_write_sync (stream, g_variant_new ("(ss)", "a", "b"), NULL, &error);
  g_assert_no_error (error);
  value = commy_stream_read_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "right");
  g_assert_cmpuint (result_u (stream), ==, 1);
  g_object_unref (stream);
  stream = open_stream (&scene, "Talk", NULL);
  write_int (stream, 1);
  expect_refusal (stream, COMMY_ERROR_TYPE, "reads (ss), the message has i");
  stream = open_stream (&scene, "Listen", NULL);
  g_assert_cmpuint (result_u (stream), ==, 2);
  g_object_unref (stream);
  g_object_unref (scene.client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_denied (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1,
                            "[policy no-sum]\nprincipals=*\nservices=" TEST_SERVICE
                            "\nmethods=Sum\neffect=deny\n");

  expect_refusal (open_stream (scene, "Sum", NULL), COMMY_ERROR_DENIED, "may not call");
  scene_free (scene);
}

static void
test_limit (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, "[limits]\nstreams=2\n");
  CommyStream *one = open_stream (scene, "Relay", NULL);
  CommyStream *two = open_stream (scene, "Relay", NULL);

  expect_refusal (open_stream (scene, "Relay", NULL), COMMY_ERROR_BUSY, "streams");
  close_write (one);
  g_assert_cmpuint (result_u (one), ==, 0);
  g_object_unref (one);
  one = open_stream (scene, "Relay", NULL);
  close_write (one);
  g_assert_cmpuint (result_u (one), ==, 0);
  g_object_unref (one);
  g_object_unref (two);
  scene_free (scene);
}

/* --- what goes on beside a handler that waits --- */

typedef struct
{
  guint answered;
  guint inside;
  guint busy;
} Visits;

static void
on_visited (GObject *source, GAsyncResult *result, gpointer data)
{
  Visits *visits = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);
  gboolean inside = FALSE;

  visits->answered++;
  if (value == NULL)
    {
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_BUSY);
      visits->busy++;
      return;
    }
  g_variant_get (value, "(b)", &inside);
  visits->inside += inside;
}

/* Calls of the same channel arrive while its only thread waits in a handler: none runs inside. */
static void
visit (Scene *scene, guint n, guint limit)
{
  CommyStream *stream = open_stream (scene, "Gate", NULL);
  CommyStream *second = open_stream (scene, "Mirror", NULL);
  Visits visits = { 0 };

  write_int (second, 42); /* of a stream whose handler has not begun */
  for (guint i = 0; i < n; i++)
    commy_client_call (scene->client, "Inside", NULL, NULL, NULL, on_visited, &visits);
  while (visits.answered < (n > limit ? n - limit : 0))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (visits.answered, ==, visits.busy);
  write_int (stream, 1);
  close_write (second);
  while (visits.answered < n)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (visits.inside, ==, 0);
  g_assert_cmpuint (visits.busy, ==, n > limit ? n - limit : 0);
  g_variant_unref (commy_stream_read_sync (second, NULL, NULL));
  g_assert_cmpuint (result_u (second), ==, 1);
  g_object_unref (second);
  g_object_unref (stream);
}

static void
check_no_reentry (MeshFixture *fixture, const char *transport, guint workers)
{
  Scene *scene = scene_new (fixture, transport, workers, "[limits]\npending-calls=50\n");

  visit (scene, 40, G_MAXUINT);
  if (scene->child != NULL)
    visit (scene, 200, 49); /* the second stream has the fiftieth place */
  scene_free (scene);
}

static void
test_no_reentry (MeshFixture *fixture, gconstpointer transport)
{
  check_no_reentry (fixture, transport, 1);
}

static void
test_no_reentry_main (MeshFixture *fixture, gconstpointer transport)
{
  check_no_reentry (fixture, transport, 0);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  *(gboolean *) data = TRUE;
}

/* A stream is a call under way: stopping waits for it. */
static void
test_stop (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "inproc", 1, NULL);
  CommyStream *stream = open_stream (scene, "Relay", NULL);
  gboolean stopped = FALSE;

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  commy_service_stop (scene->service, NULL, on_stopped, &stopped);
  for (gint32 i = 0; i < 100; i++)
    {
      g_autoptr (GVariant) value = NULL;

      write_int (stream, i);
      value = commy_stream_read_sync (stream, NULL, NULL);
      g_assert_cmpint (g_variant_get_int32 (value), ==, i);
    }
  g_assert_false (stopped);
  close_write (stream);
  g_assert_cmpuint (result_u (stream), ==, 101);
  while (!stopped)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (stream);
  scene_free (scene);
}

/* After the time for that is over, a handler that waits is told. */
static void
test_stop_aborts (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "inproc", 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  gboolean stopped = FALSE;

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  commy_service_stop (scene->service, NULL, on_stopped, &stopped);
  while (!stopped)
    g_main_context_iteration (NULL, TRUE);
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

    g_assert_null (value);
    g_assert_nonnull (error);
    g_test_message ("%s", error->message);
  }
  g_object_unref (stream);
  scene_free (scene);
}

/* The same when the mesh is left: the handler's thread must come out of its wait. */
static void
test_leave_aborts (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "inproc", 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  write_int (stream, 1);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  commy_mesh_leave_sync (scene->mesh, NULL, &error);
  g_assert_no_error (error);
  value = commy_stream_read_sync (stream, NULL, &error);
  g_assert_null (value);
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- where --- */

static void
add_everywhere (const char *transport)
{
  stream_add ("half-close", transport, test_half_close);
  stream_add ("either-side-cancels", transport, test_cancel);
  stream_add ("other-threads-may-only-cancel", transport, test_threads);
  stream_add ("the-deadline-ends-both-sides", transport, test_deadline);
  stream_add ("unread-messages-are-counted", transport, test_counted);
  stream_add ("streams-and-calls-are-not-mixed", transport, test_mismatch);
  stream_add ("no-handler-runs-inside-another", transport, test_no_reentry);
}

int
main (int argc, char **argv)
{
  static const char *const remote[] = {
    "shm",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add_everywhere ("inproc");
  for (guint i = 0; i < G_N_ELEMENTS (remote); i++)
    {
      add_everywhere (remote[i]);
      stream_add ("a-killed-peer-leaves-what-had-arrived", remote[i], test_killed);
      stream_add ("a-handler-that-gives-up-ends-the-stream", remote[i], test_dropped);
      stream_add ("nor-in-the-main-context", remote[i], test_no_reentry_main);
      stream_add ("policy-denies", remote[i], test_denied);
      stream_add ("open-streams-are-limited", remote[i], test_limit);
    }
  stream_add ("the-interface-describes-messages", NULL, test_interface);
  stream_add ("stopping-waits-for-streams", NULL, test_stop);
  stream_add ("stopping-does-not-wait-forever", NULL, test_stop_aborts);
  stream_add ("nor-does-leaving", NULL, test_leave_aborts);
  return g_test_run ();
}
