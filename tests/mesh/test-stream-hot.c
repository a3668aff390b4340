/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams in the memory of the path: one message after the other, as many as the window lets
 * out, and small ones that share frames.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"
#include "stream-scene.h"

#include <string.h>

#define WINDOW 262144u
#define COST 64u /* of a message beside its bytes */

static void
write_hot (CommyStream *stream, guint32 i, gsize size)
{
  g_autoptr (GError) error = NULL;
  CommySpan span;

  commy_stream_reserve (stream, size + 8, &span, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (span.size, ==, size + 8);
  memset (span.data, (int) (i & 0xff), size);
  span.size = size;
  commy_stream_commit (stream, &span, &error);
  g_assert_no_error (error);
}

static void
expect_hot (CommyStream *stream, guint32 i, gsize size)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize got;

  g_assert_true (commy_stream_peek (stream, &data, &got, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (got, ==, size);
  g_assert_cmpuint (data[0], ==, i & 0xff);
  g_assert_cmpuint (data[size - 1], ==, i & 0xff);
}

/* Messages in the memory of the path: one by one, then as many as the window lets out. */
static void
test_hot (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  g_autoptr (GBytes) none = NULL;
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize size;
  guint32 n = 0;

  for (guint32 i = 0; i < 5000; i++)
    {
      write_hot (stream, n + i, 64);
      expect_hot (stream, n + i, 64);
      commy_stream_release (stream);
    }
  n += 5000;
  for (guint round = 0; round < 20; round++)
    {
      for (guint32 i = 0; i < 100; i++)
        write_hot (stream, n + i, 1000);
      commy_stream_flush (stream, &error);
      g_assert_no_error (error);
      for (guint32 i = 0; i < 100; i++)
        {
          expect_hot (stream, n + i, 1000);
          commy_stream_release (stream);
        }
      n += 100;
    }
  for (guint32 i = 0; i < 10; i++)
    {
      write_hot (stream, n + i, 100000);
      expect_hot (stream, n + i, 100000);
      commy_stream_release (stream);
    }
  n += 10;
  write_hot (stream, 1, 10);
  commy_stream_flush (stream, NULL);
  expect_hot (stream, 1, 10);
  none = commy_stream_read_bytes_sync (stream, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_BUSY);
  g_clear_error (&error);
  commy_stream_release (stream);
  commy_stream_write_sync (stream, g_variant_new_int32 (7), NULL, &error);
  g_assert_no_error (error);
  g_assert_false (commy_stream_peek (stream, &data, &size, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_clear_error (&error);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  close_write (stream);
  g_assert_false (commy_stream_peek (stream, &data, &size, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (result_u (stream), ==, n + 2);
  g_object_unref (stream);

  /* What is reserved and lent when the stream goes is given back. */
  stream = open_stream (scene, "Mirror", NULL);
  {
    CommySpan span;

    write_hot (stream, 1, 10);
    expect_hot (stream, 1, 10);
    g_assert_true (commy_stream_reserve (stream, 10, &span, NULL));
    commy_stream_cancel (stream, NULL);
    g_assert_false (commy_stream_commit (stream, &span, &error));
    g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  }
  g_object_unref (stream);
  stream = open_stream (scene, "Mirror", NULL);
  {
    CommySpan span;

    g_assert_true (commy_stream_reserve (stream, 10, &span, NULL));
    g_object_unref (stream);
  }
  scene_free (scene);
}

/* Small messages that are flushed together share frames; nobody who reads them notices. */
static void
test_runs (MeshFixture *fixture, gconstpointer transport)
{
  static const gsize sizes[] = { 1, 8, 64, 65, 500, 502, 503, 2000 };
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  g_autoptr (GError) error = NULL;
  guint32 n = 0;

  for (gsize s = 0; s < G_N_ELEMENTS (sizes); s++)
    {
      guint count = (guint) (WINDOW / 4 / (sizes[s] + COST));

      for (guint round = 0; round < 4; round++)
        {
          for (guint i = 0; i < count; i++)
            write_hot (stream, n + i, sizes[s]);
          g_assert_true (commy_stream_flush (stream, NULL));
          for (guint i = 0; i < count; i++)
            {
              if (i % 3 == 2)
                {
                  g_autoptr (GBytes) bytes = commy_stream_read_bytes_sync (stream, NULL, &error);

                  g_assert_no_error (error);
                  g_assert_cmpuint (g_bytes_get_size (bytes), ==, sizes[s]);
                  continue;
                }
              expect_hot (stream, n + i, sizes[s]);
              commy_stream_release (stream);
            }
          n += count;
        }
    }
  close_write (stream);
  g_assert_cmpuint (result_u (stream), ==, n);
  g_object_unref (stream);
  scene_free (scene);
}

static void
write_run (CommyStream *stream, guint n)
{
  for (guint i = 0; i < n; i++)
    write_hot (stream, i, 64);
}

/* What is committed leaves with the next thing that the path is wanted for, whatever that is. */
static void
test_runs_end (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  CommyStream *other = open_stream (scene, "Mirror", NULL);
  g_autoptr (GError) error = NULL;
  CommySpan span;

  write_run (stream, 10);
  commy_stream_write_sync (stream, g_variant_new_int32 (7), NULL, &error);
  g_assert_no_error (error);
  write_run (stream, 10);
  write_run (other, 10);
  write_run (stream, 3);
  /* One that turns out smaller, and one that is longer: each goes behind those before it. */
  g_assert_true (commy_stream_reserve (stream, 72, &span, NULL));
  memset (span.data, 77, 5);
  span.size = 5;
  g_assert_true (commy_stream_commit (stream, &span, NULL));
  write_hot (stream, 78, 100);
  write_run (stream, 4);
  close_write (stream);
  close_write (other);
  for (guint i = 0; i < 10; i++)
    {
      expect_hot (stream, i, 64);
      commy_stream_release (stream);
    }
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  for (guint i = 0; i < 13; i++)
    {
      expect_hot (stream, i < 10 ? i : i - 10, 64);
      commy_stream_release (stream);
    }
  expect_hot (stream, 77, 5);
  commy_stream_release (stream);
  expect_hot (stream, 78, 100);
  commy_stream_release (stream);
  for (guint i = 0; i < 4; i++)
    {
      expect_hot (stream, i, 64);
      commy_stream_release (stream);
    }
  g_assert_cmpuint (result_u (stream), ==, 30);
  for (guint i = 0; i < 10; i++)
    {
      expect_hot (other, i, 64);
      commy_stream_release (other);
    }
  g_assert_cmpuint (result_u (other), ==, 10);
  g_object_unref (stream);
  g_object_unref (other);
  scene_free (scene);
}

/* A reader that stops within a frame holds up nothing that comes behind it, nor the other side. */
static void
test_runs_wait (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  guint n = WINDOW / 2 / (64 + COST);
  const guint8 *data;
  gsize size;

  write_run (stream, 40);
  commy_stream_flush (stream, NULL);
  expect_hot (stream, 0, 64);
  commy_stream_release (stream);
  g_assert_true (commy_stream_peek (stream, &data, &size, NULL));
  /* The handler keeps its thread, so that this only looks at the path, and in vain. */
  commy_call_options_set_timeout (options, 1000);
  g_assert_null (commy_client_call_sync (scene->client, "Inside", NULL, options, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_cmpuint (size, ==, 64);
  g_assert_true (data[0] == 1 && data[63] == 1);
  commy_stream_release (stream);
  expect_hot (stream, 2, 64);
  commy_stream_release (stream);
  for (guint i = 0; i < n; i++)
    write_hot (stream, 40 + i, 64);
  close_write (stream);
  g_assert_cmpuint (result_u (stream), ==, 40 + n);
  g_assert_cmpuint (commy_stream_get_unread (stream), ==, 37 + n);
  for (guint i = 3; i < 40 + n; i++)
    {
      expect_hot (stream, i, 64);
      commy_stream_release (stream);
    }
  g_assert_cmpuint (commy_stream_get_unread (stream), ==, 0);
  g_object_unref (stream);
  scene_free (scene);
}

/* What was taken in one frame and not read is dropped when its stream is cancelled. */
static void
test_runs_are_dropped (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);

  for (guint cancelled = 0; cancelled < 2; cancelled++)
    {
      CommyStream *stream = open_stream (scene, "Mirror", NULL);
      g_autoptr (GError) error = NULL;
      const guint8 *data;
      gsize size;

      write_run (stream, 40);
      commy_stream_flush (stream, NULL);
      expect_hot (stream, 0, 64);
      commy_stream_release (stream);
      expect_hot (stream, 1, 64);
      if (cancelled)
        {
          commy_stream_cancel (stream, NULL);
          commy_stream_release (stream);
          g_assert_false (commy_stream_peek (stream, &data, &size, &error));
          g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
          g_assert_cmpuint (commy_stream_get_unread (stream), ==, 0);
        }
      write_run (stream, cancelled ? 0 : 5);
      g_object_unref (stream);
    }
  g_variant_unref (call (scene, "Inside"));
  scene_free (scene);
}

/* Of messages that are larger than the window the next one comes while one is being read. */
static void
test_large_overlap (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Mirror", NULL);
  const guint n = 4;

  for (guint i = 0; i < 2; i++)
    {
      write_hot (stream, i, 2 * WINDOW);
      commy_stream_flush (stream, NULL);
    }
  for (guint i = 0; i < n; i++)
    {
      expect_hot (stream, i, 2 * WINDOW);
      while (i + 1 < n && commy_stream_get_unread (stream) == 0)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (commy_stream_get_unread (stream), ==, i + 1 < n ? 1 : 0);
      commy_stream_release (stream);
      if (i + 2 < n)
        write_hot (stream, i + 2, 2 * WINDOW);
      commy_stream_flush (stream, NULL);
    }
  close_write (stream);
  expect_end (stream);
  g_assert_cmpuint (result_u (stream), ==, n);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- where --- */

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/streams/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
    "inproc",
    "shm",
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
      add ("messages-in-place", transports[i], test_hot);
      add ("small-messages-share-frames", transports[i], test_runs);
      add ("shared-frames-end-when-the-path-is-wanted", transports[i], test_runs_end);
      add ("shared-frames-wait-for-their-reader", transports[i], test_runs_wait);
      add ("shared-frames-are-dropped-with-their-stream", transports[i], test_runs_are_dropped);
      add ("the-next-large-one-comes-while-one-is-read", transports[i], test_large_overlap);
    }
  return g_test_run ();
}
