/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams as applications use them, over every transport: all kinds, waiting and not, and the
 * credits that bound them.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"
#include "stream-scene.h"

#include <string.h>

#define WINDOW 262144u
#define COST 64u /* of a message beside its bytes */

/* --- the three kinds --- */

static void
test_client_stream (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Sum", NULL);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  gint64 sum;

  for (gint32 i = 1; i <= 100; i++)
    write_int (stream, i);
  close_write (stream);
  close_write (stream);
  expect_end (stream);
  result = commy_stream_wait_result_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(x)", &sum);
  g_assert_cmpint (sum, ==, 5050);
  expect_end (stream);
  g_object_unref (stream);
  scene_free (scene);
}

static void
test_server_stream (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  const guint32 n = 100000;
  CommyStream *stream = open_stream (scene, "Numbers", g_variant_new ("(u)", n));

  for (guint32 i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

      g_assert_no_error (error);
      g_assert_nonnull (value);
      g_assert_cmpuint (g_variant_get_uint32 (value), ==, i);
    }
  expect_end (stream);
  g_assert_cmpuint (result_u (stream), ==, n);
  g_object_unref (stream);
  scene_free (scene);
}

static void
test_both (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);

  g_assert_cmpstr (commy_stream_get_transport (stream), ==, transport);
  g_assert_nonnull (commy_principal_get_name (commy_stream_get_peer (stream)));
  g_assert_cmpint (commy_stream_get_deadline (stream), ==, G_MAXINT64);
  for (guint i = 0; i < 1000; i++)
    {
      g_autoptr (GVariant) sent = g_variant_ref_sink (
          i % 2 == 0 ? g_variant_new ("(us)", i, "even") : g_variant_new_int32 ((gint32) i));
      g_autoptr (GVariant) got = NULL;
      g_autoptr (GError) error = NULL;

      commy_stream_write_sync (stream, sent, NULL, &error);
      g_assert_no_error (error);
      got = commy_stream_read_sync (stream, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (sent, got));
    }
  g_assert_null (commy_stream_get_result (stream));
  close_write (stream);
  expect_end (stream);
  g_assert_cmpuint (result_u (stream), ==, 1000);
  g_object_unref (stream);
  scene_free (scene);
}

static void
mirror_bytes (CommyStream *stream, gsize size)
{
  g_autoptr (GBytes) sent = some_bytes (size);
  g_autoptr (GBytes) got = NULL;
  g_autoptr (GVariant) none = NULL;
  g_autoptr (GError) wrong = NULL;
  g_autoptr (GError) error = NULL;

  commy_stream_write_bytes_sync (stream, sent, NULL, &error);
  g_assert_no_error (error);
  none = commy_stream_read_sync (stream, NULL, &wrong);
  g_assert_error (wrong, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (wrong->message, "commy_stream_read_bytes()"));
  got = commy_stream_read_bytes_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (sent, got));
}

/* A message of any size passes, and what follows it waits. */
static void
test_large (MeshFixture *fixture, gconstpointer transport)
{
  static const gsize sizes[]
      = { 1, WINDOW - COST, WINDOW, WINDOW + 1, 5 * WINDOW + 3, 4u << 20, 100 };
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    mirror_bytes (stream, sizes[i]);
  close_write (stream);
  expect_end (stream);
  g_assert_cmpuint (result_u (stream), ==, G_N_ELEMENTS (sizes));
  g_object_unref (stream);
  scene_free (scene);
}

static void
test_many (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *streams[40];

  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    streams[i] = open_stream (scene, "Relay", NULL);
  for (guint round = 0; round < 20; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
        write_int (streams[i], (gint32) (round * 100 + i));
      for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
        {
          g_autoptr (GVariant) value = commy_stream_read_sync (streams[i], NULL, NULL);

          g_assert_nonnull (value);
          g_assert_cmpint (g_variant_get_int32 (value), ==, (gint32) (round * 100 + i));
        }
    }
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      close_write (streams[i]);
      g_assert_cmpuint (result_u (streams[i]), ==, 20);
      g_object_unref (streams[i]);
    }
  scene_free (scene);
}

/* --- without waiting --- */

typedef struct
{
  CommyStream *stream;
  gint32 next_read;
  guint written;
  gint32 n;
  gboolean done;
} Chat;

static void on_chat_read (GObject *source, GAsyncResult *result, gpointer data);

static void
on_chat_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  Chat *chat = data;
  g_autoptr (GError) error = NULL;

  chat->stream = commy_client_open_stream_finish (COMMY_CLIENT (source), result, &error);
  g_assert_no_error (error);
}

static void
on_chat_written (GObject *source, GAsyncResult *result, gpointer data)
{
  Chat *chat = data;
  g_autoptr (GError) error = NULL;

  commy_stream_write_finish (COMMY_STREAM (source), result, &error);
  g_assert_no_error (error);
  chat->written++;
}

static void
on_chat_result (GObject *source, GAsyncResult *result, gpointer data)
{
  Chat *chat = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_stream_wait_result_finish (COMMY_STREAM (source), result, &error);
  guint32 n;

  g_assert_no_error (error);
  g_variant_get (value, "(u)", &n);
  g_assert_cmpuint (n, ==, (guint32) chat->n);
  chat->done = TRUE;
}

static void
on_chat_read (GObject *source, GAsyncResult *result, gpointer data)
{
  Chat *chat = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_stream_read_finish (COMMY_STREAM (source), result, &error);

  g_assert_no_error (error);
  if (value == NULL)
    {
      commy_stream_wait_result (chat->stream, NULL, on_chat_result, chat);
      return;
    }
  g_assert_cmpint (g_variant_get_int32 (value), ==, chat->next_read);
  chat->next_read++;
  commy_stream_read (chat->stream, NULL, on_chat_read, chat);
}

/* Everything at once: the writes queue up, and the end behind them. The same context serves. */
static void
chat (CommyClient *client)
{
  Chat chat = { .n = 20000 };

  commy_client_open_stream (client, "Relay", NULL, NULL, NULL, on_chat_opened, &chat);
  g_assert_null (chat.stream);
  while (chat.stream == NULL)
    g_main_context_iteration (NULL, TRUE);
  for (gint32 i = 0; i < chat.n; i++)
    commy_stream_write (chat.stream, g_variant_new_int32 (i), NULL, on_chat_written, &chat);
  close_write (chat.stream);
  commy_stream_read (chat.stream, NULL, on_chat_read, &chat);
  g_assert_cmpuint (chat.written, ==, 0);
  while (!chat.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (chat.next_read, ==, chat.n);
  g_assert_cmpuint (chat.written, ==, (guint) chat.n);
  g_object_unref (chat.stream);
}

static void
test_async (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 0, NULL);

  chat (scene->client);
  scene_free (scene);
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  *(CommyStream **) data = commy_client_open_stream_finish (COMMY_CLIENT (source), result, &error);
  g_assert_no_error (error);
}

/* Both sides in one context: asynchronously that works, waiting would never end and says so. */
static void
test_same_context (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (mesh, 0);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (CommyStream) none = NULL;
  CommyStream *stream = NULL;
  g_autoptr (GError) error = NULL;

  stream_handlers_add (service);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  chat (client);
  none = commy_client_open_stream_sync (client, "Relay", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_WOULD_DEADLOCK);
  commy_client_open_stream (client, "Relay", NULL, NULL, NULL, on_opened, &stream);
  while (stream == NULL)
    g_main_context_iteration (NULL, TRUE);
  expect_error (stream, COMMY_ERROR_WOULD_DEADLOCK, "asynchronously");
  g_object_unref (stream);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- credits --- */

static void
on_held_written (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  commy_stream_write_bytes_finish (COMMY_STREAM (source), result, &error);
  g_assert_no_error (error);
  ++*(guint *) data;
}

static guint32
unread (Scene *scene)
{
  g_autoptr (GVariant) value = call (scene, "Unread");
  guint32 n;

  g_variant_get (value, "(u)", &n);
  return n;
}

/* Who does not read stops who writes, at the byte; nobody else notices. */
static void
test_slow_reader (MeshFixture *fixture, gconstpointer transport)
{
  const guint size = 1024, n = 2000;
  const guint fit = (WINDOW + size + COST - 1) / (size + COST);
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Hold", NULL);
  g_autoptr (GBytes) bytes = some_bytes (size);
  guint written = 0;

  for (guint i = 0; i < n; i++)
    commy_stream_write_bytes (stream, bytes, NULL, on_held_written, &written);
  close_write (stream);
  while (written < fit)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) sum = commy_client_call_sync (
          scene->client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

      g_assert_no_error (error);
    }
  g_assert_cmpuint (unread (scene), ==, fit);
  g_assert_cmpint (commy_stream_get_credit (stream), <=, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (written, ==, fit);
  g_variant_unref (call (scene, "Go"));
  while (written < n)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (result_u (stream), ==, n);
  g_assert_cmpint (fate (scene), ==, 0);
  g_object_unref (stream);
  scene_free (scene);
}

/* The same the other way, with a writer that waits: the caller keeps no more than a window. */
static void
test_slow_caller (MeshFixture *fixture, gconstpointer transport)
{
  const guint size = 1024, n = 2000;
  const guint fit = (WINDOW + size + COST - 1) / (size + COST);
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Blocks", g_variant_new ("(u)", n));

  while (commy_stream_get_unread (stream) < fit)
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) block = NULL;

      while (g_main_context_iteration (NULL, FALSE))
        g_assert_cmpuint (commy_stream_get_unread (stream), <=, fit);
      block = commy_stream_read_bytes_sync (stream, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (block), ==, size);
    }
  g_assert_cmpuint (result_u (stream), ==, n);
  g_object_unref (stream);
  scene_free (scene);
}

static void
on_cancelled_op (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  commy_stream_write_bytes_finish (COMMY_STREAM (source), result, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  *(gboolean *) data = TRUE;
}

/* A write or a read that is cancelled leaves the stream as it is. */
static void
test_cancelled_operations (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Hold", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) bytes = some_bytes (WINDOW);
  g_autoptr (GVariant) none = NULL;
  g_autoptr (GError) error = NULL;
  gboolean cancelled = FALSE;
  guint written = 0;

  commy_stream_write_bytes (stream, bytes, NULL, on_held_written, &written);
  commy_stream_write_bytes (stream, bytes, cancellable, on_cancelled_op, &cancelled);
  commy_stream_write_bytes (stream, bytes, NULL, on_held_written, &written);
  close_write (stream);
  g_cancellable_cancel (cancellable);
  while (!cancelled || written < 1)
    g_main_context_iteration (NULL, TRUE);
  none = commy_stream_read_sync (stream, cancellable, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  g_variant_unref (call (scene, "Go"));
  while (written < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (result_u (stream), ==, 2);
  g_object_unref (stream);
  scene_free (scene);
}

static void
test_wide_window (MeshFixture *fixture, gconstpointer transport)
{
  const guint size = 1024, n = 2000;
  const guint fit = (4 * WINDOW + size + COST - 1) / (size + COST);
  Scene *scene = scene_new (fixture, transport, 1, "[limits]\nstream-window=1MiB\n");
  CommyStream *stream = open_stream (scene, "Hold", NULL);
  g_autoptr (GBytes) bytes = some_bytes (size);
  guint written = 0;

  for (guint i = 0; i < n; i++)
    commy_stream_write_bytes (stream, bytes, NULL, on_held_written, &written);
  close_write (stream);
  while (written < fit)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (unread (scene), ==, fit);
  g_assert_cmpuint (written, ==, fit);
  g_variant_unref (call (scene, "Go"));
  while (written < n)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (result_u (stream), ==, n);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- where --- */

static void
add_everywhere (const char *transport)
{
  stream_add ("a-client-streams", transport, test_client_stream);
  stream_add ("a-server-streams-100000-messages", transport, test_server_stream);
  stream_add ("both-stream-values-of-any-type", transport, test_both);
  stream_add ("messages-larger-than-the-window-pass", transport, test_large);
  stream_add ("many-streams-share-a-channel", transport, test_many);
  stream_add ("nobody-waits", transport, test_async);
  stream_add ("a-slow-reader-stops-its-writer-and-nobody-else", transport, test_slow_reader);
  stream_add ("a-slow-caller-stops-the-service", transport, test_slow_caller);
  stream_add ("cancelled-operations-harm-nothing", transport, test_cancelled_operations);
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
      stream_add ("a-wider-window-is-given-at-once", remote[i], test_wide_window);
    }
  stream_add ("one-context-serves-both-sides", NULL, test_same_context);
  return g_test_run ();
}
