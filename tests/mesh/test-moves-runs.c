/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flows that move, and paths that go, while an application writes in their memory: messages that
 * share a frame, and a span that was reserved, each still open when that happens.
 */
#include "config.h"

#include "moves-scene.h"

#include "mesh/commy-stream-private.h"

#include <string.h>

#define ROUND 60u   /* messages before a flush, at most */
#define WINDOW 400u /* and on their way */

typedef struct
{
  MovesScene *scene;
  CommyStream *stream;
  guint64 written, read;
  guint open_runs; /* that a move began in */
} Numbers;

static void
write_number (Numbers *self, gsize size)
{
  g_autoptr (GError) error = NULL;
  CommySpan span;

  commy_stream_reserve (self->stream, size, &span, &error);
  g_assert_no_error (error);
  moves_fill (span.data, size, self->written++);
  span.size = size;
  commy_stream_commit (self->stream, &span, &error);
  g_assert_no_error (error);
}

static void
read_number (Numbers *self)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize size;

  commy_stream_peek (self->stream, &data, &size, &error);
  g_assert_no_error (error);
  moves_check (data, size, self->read++);
  commy_stream_release (self->stream);
}

static void
flush (Numbers *self)
{
  g_autoptr (GError) error = NULL;

  commy_stream_flush (self->stream, &error);
  g_assert_no_error (error);
}

/* Waits, without looking at the path, until the next path's set-up asks to leave this one. */
static void
await_visit (Numbers *self)
{
  while (!commy_channel_has_visits (self->scene->channel))
    g_thread_yield ();
}

/* Messages of one size; a move may begin among them, and both sides have said where they stand, or
 * the path is gone, before the next one is written. */
static void
write_round (Numbers *self)
{
  MovesScene *scene = self->scene;
  gsize size = (gsize) g_rand_int_range (scene->rand, 8, 120);
  guint n = (guint) g_rand_int_range (scene->rand, 3, ROUND);
  guint at = (guint) g_rand_int_range (scene->rand, 0, (gint32) n);

  for (guint i = 0; i < n; i++)
    {
      write_number (self, size);
      if (i != at || !moves_scene_settled (scene) || moves_scene_is_through (scene))
        continue;
      self->open_runs += self->stream->run.begin != NULL;
      moves_scene_next (scene);
      if (!scene->is_cut)
        await_visit (self);
    }
  flush (self);
}

static void
test_runs (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  Numbers numbers = { .scene = scene };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  guint64 n;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  scene->wanted = 4;
  scene->wanted_cut = 2;
  numbers.stream = commy_client_open_stream_sync (scene->client, "Runs", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  while (!moves_scene_settled (scene) || !moves_scene_is_through (scene))
    {
      write_round (&numbers);
      while (numbers.written - numbers.read > WINDOW - ROUND)
        read_number (&numbers);
    }
  while (numbers.read < numbers.written)
    read_number (&numbers);
  commy_stream_close_write (numbers.stream, &error);
  g_assert_no_error (error);
  result = commy_stream_wait_result_sync (numbers.stream, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(t)", &n);
  g_assert_cmpuint (n, ==, numbers.written);
  g_assert_cmpuint (numbers.open_runs, >, scene->total / 2);
  moves_scene_report (scene, 2 * n);
  g_object_unref (numbers.stream);
  moves_scene_free (scene);
}

/* --- the path goes, and this side has seen it, before what is written there is sent --- */

static void
await_adrift (MovesScene *scene)
{
  while (!scene->channel->moves.adrift)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_span (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (GError) error = NULL;
  CommyMethod method;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  method = commy_client_resolve (scene->client, "Span", &error);
  g_assert_no_error (error);
  for (int i = 0; i < 2 * MOVES_PATHS; i++)
    {
      CommyReply reply;
      CommySpan span;

      g_assert_true (commy_client_reserve (scene->client, method, 4, &span, &error));
      g_assert_no_error (error);
      moves_scene_cut (scene, (moves_path_of (scene->path) + 1) % MOVES_PATHS);
      await_adrift (scene);
      memcpy (span.data, "\1\2\3\4", 4);
      g_assert_true (commy_client_exchange (scene->client, method, &span, &reply, 0, &error));
      g_assert_no_error (error);
      g_assert_cmpmem (reply.data, reply.size, "\4\3\2\1", 4);
      commy_reply_clear (&reply);
      while (!moves_scene_settled (scene))
        moves_scene_call (scene);
    }
  moves_scene_report (scene, 2 * MOVES_PATHS);
  moves_scene_free (scene);
}

/* @data: how many messages lie before it in the same frame */
static void
test_stream_span (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  Numbers numbers = { .scene = scene };
  g_autoptr (GError) error = NULL;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  numbers.stream = commy_client_open_stream_sync (scene->client, "Runs", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 2 * MOVES_PATHS; i++)
    {
      CommySpan span;

      for (guint k = 0; k < GPOINTER_TO_UINT (data); k++)
        write_number (&numbers, 64);
      g_assert_true (commy_stream_reserve (numbers.stream, 64, &span, &error));
      moves_scene_cut (scene, (moves_path_of (scene->path) + 1) % MOVES_PATHS);
      await_adrift (scene);
      moves_fill (span.data, 64, numbers.written++);
      g_assert_true (commy_stream_commit (numbers.stream, &span, &error));
      g_assert_no_error (error);
      flush (&numbers);
      while (numbers.read < numbers.written)
        read_number (&numbers);
      while (!moves_scene_settled (scene))
        {
          write_number (&numbers, 8);
          read_number (&numbers);
        }
    }
  g_object_unref (numbers.stream);
  moves_scene_free (scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, moves_service_extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/moves/messages-that-share-a-frame-go-on-in-order", MeshFixture, NULL,
              mesh_fixture_set_up, test_runs, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/a-span-outlives-its-path", MeshFixture, NULL, mesh_fixture_set_up,
              test_span, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/a-message-being-written-outlives-its-path/alone", MeshFixture,
              GUINT_TO_POINTER (0), mesh_fixture_set_up, test_stream_span, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/a-message-being-written-outlives-its-path/behind-others", MeshFixture,
              GUINT_TO_POINTER (5), mesh_fixture_set_up, test_stream_span, mesh_fixture_tear_down);
  return g_test_run ();
}
