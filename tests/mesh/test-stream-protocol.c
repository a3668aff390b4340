/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that break the rules of streams: their channel is closed with a number and a reason; what
 * an honest peer can do by bad luck is dropped; and a right client notices nothing.
 */
#include "config.h"

#include "fake-scene.h"
#include "stream-handlers.h"

#include <string.h>

#define WINDOW COMMY_FRAME_STREAM_WINDOW
#define STREAM 7u

/* A stream of the right client works from end to end. */
static void
check_mirror (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyStream) stream
      = commy_client_open_stream_sync (client, "Mirror", NULL, NULL, NULL, &error);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) result = NULL;

  g_assert_no_error (error);
  commy_stream_write_sync (stream, g_variant_new_string ("right"), NULL, &error);
  g_assert_no_error (error);
  value = commy_stream_read_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "right");
  commy_stream_close_write (stream, NULL);
  result = commy_stream_wait_result_sync (stream, NULL, &error);
  g_assert_no_error (error);
}

static FakeScene *
scene_new (MeshFixture *fixture, const char *transport)
{
  return fake_scene_new (fixture, transport, "[limits]\nmessage=1MiB\n", 1, check_mirror);
}

static void
announce (FakeClient *fake, guint32 id, const char *name)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_METHOD, .method = id };

  fake_client_send_frame (fake, &spec, name, strlen (name));
}

/* Connected, with "Hold" as method 1, "Mirror" as 2 and "Relay" as 3. */
static FakeClient *
connect_fake (FakeScene *scene, const char *transport)
{
  FakeClient *fake = fake_scene_connect (scene, transport);

  fake_scene_greet (scene, fake);
  announce (fake, 1, "Hold");
  announce (fake, 2, "Mirror");
  announce (fake, 3, "Relay");
  return fake;
}

/* --- frames --- */

static void
open_as (FakeClient *fake, guint8 type, guint32 method, guint32 stream)
{
  CommyFrameSpec spec = { .type = type,
                          .flags = COMMY_FRAME_FLAG_STREAM,
                          .serializer = fake_client_wire_of (fake, "gvariant"),
                          .stream = stream,
                          .method = method,
                          .signature = "()",
                          .signature_size = 2 };

  fake_client_send_frame (fake, &spec, "", 1); /* "()" is one zero byte */
}

static void
open_held (FakeClient *fake)
{
  open_as (fake, COMMY_FRAME_CALL, 1, STREAM);
}

static void
send_data (FakeClient *fake, guint32 stream, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_DATA,
                          .serializer = fake_client_wire_of (fake, "raw"),
                          .stream = stream };
  g_autofree guint8 *data = g_malloc0 (MAX (size, 1));

  fake_client_send_frame (fake, &spec, data, size);
}

static void
send_bare (FakeClient *fake, guint8 type, guint32 stream, guint32 method)
{
  CommyFrameSpec spec = { .type = type, .stream = stream, .method = method };

  fake_client_send_frame (fake, &spec, NULL, 0);
}

/* --- offences --- */

static void
ignore_credit (FakeClient *fake)
{
  open_held (fake);
  send_data (fake, STREAM, WINDOW);
  send_data (fake, STREAM, 1);
}

static void
flood_with_nothing (FakeClient *fake)
{
  open_held (fake);
  for (guint i = 0; i <= WINDOW / COMMY_FRAME_STREAM_COST; i++)
    send_data (fake, STREAM, 0);
}

static void
end_twice (FakeClient *fake)
{
  open_held (fake);
  send_bare (fake, COMMY_FRAME_END, STREAM, 0);
  send_bare (fake, COMMY_FRAME_END, STREAM, 0);
}

static void
write_after_end (FakeClient *fake)
{
  open_held (fake);
  send_bare (fake, COMMY_FRAME_END, STREAM, 0);
  send_data (fake, STREAM, 1);
}

static void
overflow_credit (FakeClient *fake)
{
  open_held (fake);
  send_bare (fake, COMMY_FRAME_CREDIT, STREAM, G_MAXINT32 - WINDOW);
  send_bare (fake, COMMY_FRAME_CREDIT, STREAM, 1);
}

static void
wrap_credit (FakeClient *fake)
{
  open_held (fake);
  send_bare (fake, COMMY_FRAME_CREDIT, STREAM, G_MAXUINT32);
}

static void
give_no_credit (FakeClient *fake)
{
  open_held (fake);
  send_bare (fake, COMMY_FRAME_CREDIT, STREAM, 0);
}

static void
open_twice (FakeClient *fake)
{
  open_held (fake);
  open_held (fake);
}

static void
open_nothing (FakeClient *fake)
{
  open_as (fake, COMMY_FRAME_CALL, 1, 0);
}

static void
open_one_way (FakeClient *fake)
{
  open_as (fake, COMMY_FRAME_ONEWAY, 1, STREAM);
}

static const struct
{
  const char *name;
  void (*attack) (FakeClient *fake);
  const char *words;
} attacks[] = {
  { "credit-is-ignored", ignore_credit, "without credit" },
  { "empty-messages-cost-credit-too", flood_with_nothing, "without credit" },
  { "end-twice", end_twice, "ended twice" },
  { "message-after-end", write_after_end, "after its end" },
  { "credit-beyond-bounds", overflow_credit, "out of bounds" },
  { "credit-wraps", wrap_credit, "out of bounds" },
  { "no-credit", give_no_credit, "out of bounds" },
  { "opened-twice", open_twice, "open already" },
  { "stream-zero", open_nothing, "open already" },
  { "one-way-stream", open_one_way, "one-way" },
};

/* The CLOSE frame, behind whatever else was said before. */
static void
await_close (FakeClient *fake, const char *words)
{
  for (;;)
    {
      g_autofree char *text = NULL;
      CommyFrame frame;

      g_assert_true (fake_client_receive (fake, &frame, &text));
      if (frame.type != COMMY_FRAME_CLOSE)
        continue;
      g_test_message ("closed with %u: %s", frame.method, text);
      g_assert_cmpuint (frame.method, ==, COMMY_ERROR_PROTOCOL);
      g_assert_nonnull (strstr (text, words));
      return;
    }
}

static void
test_attacks (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = scene_new (fixture, transport);

  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      FakeClient *fake = connect_fake (scene, transport);

      g_test_message ("%s", attacks[i].name);
      attacks[i].attack (fake);
      await_close (fake, attacks[i].words);
      fake_client_free (fake);
      check_mirror (scene->client);
    }
  fake_scene_free (scene);
}

/* --- bad luck --- */

static void
expect_frame (FakeClient *fake, guint8 type, guint32 stream, guint32 method)
{
  g_autofree char *text = NULL;
  CommyFrame frame;

  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_test_message ("%s: %s", commy_frame_type_to_string (frame.type), text);
  g_assert_cmpint (frame.type, ==, type);
  g_assert_cmpuint (frame.stream, ==, stream);
  g_assert_cmpuint (frame.method, ==, method);
}

/* Frames of a stream that is over, or never was: the other side may have ended it meanwhile. */
static void
test_strays (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = scene_new (fixture, transport);
  FakeClient *fake = connect_fake (scene, transport);

  for (guint i = 0; i < 1000; i++)
    send_data (fake, 1000 + i, 1000);
  send_bare (fake, COMMY_FRAME_CREDIT, 77, 1);
  send_bare (fake, COMMY_FRAME_END, 77, 0);
  send_bare (fake, COMMY_FRAME_CANCEL, 77, 0);
  open_held (fake);
  send_bare (fake, COMMY_FRAME_CANCEL, STREAM, 0);
  send_data (fake, STREAM, 1);
  send_bare (fake, COMMY_FRAME_END, STREAM, 0);
  open_held (fake); /* the number is free again */
  send_bare (fake, COMMY_FRAME_PING, 5, 0);
  expect_frame (fake, COMMY_FRAME_PONG, 5, 0);
  fake_client_free (fake);
  fake_scene_free (scene);
}

/* A message that cannot be read is its stream's trouble only. */
static void
test_unreadable (MeshFixture *fixture, gconstpointer transport)
{
  static const struct
  {
    guint16 serializer;
    const char *signature;
    const char *payload;
  } messages[] = {
    { 1, "zz", "abc" }, { 1, "a{vs}", "abc" }, { 99, "s", "abc" },
    { 2, "s", "abc" },  { 0, "s", "abc" },     { 1, "*", "abc" },
  };
  FakeScene *scene = scene_new (fixture, transport);
  FakeClient *fake = connect_fake (scene, transport);

  for (guint i = 0; i < G_N_ELEMENTS (messages); i++)
    {
      CommyFrameSpec spec = { .type = COMMY_FRAME_DATA,
                              .serializer = messages[i].serializer,
                              .stream = 100 + i,
                              .signature = messages[i].signature,
                              .signature_size = strlen (messages[i].signature) };
      g_autofree char *text = NULL;
      CommyFrame frame;

      open_as (fake, COMMY_FRAME_CALL, 3, 100 + i);
      fake_client_send_frame (fake, &spec, messages[i].payload, strlen (messages[i].payload));
      g_assert_true (fake_client_receive (fake, &frame, &text));
      g_test_message ("%s", text);
      g_assert_cmpint (frame.type, ==, COMMY_FRAME_ERROR);
      g_assert_cmpuint (frame.stream, ==, 100 + i);
    }
  fake_client_free (fake);
  fake_scene_free (scene);
}

/* A peer that vanishes: its handler is told. */
static void
test_hang_up (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = scene_new (fixture, transport);
  FakeClient *fake = connect_fake (scene, transport);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  gint32 code;

  open_as (fake, COMMY_FRAME_CALL, 3, STREAM);
  send_bare (fake, COMMY_FRAME_PING, 5, 0);
  expect_frame (fake, COMMY_FRAME_PONG, 5, 0);
  fake_client_hang_up (fake);
  value = commy_client_call_sync (scene->client, "Fate", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (value, "(i)", &code);
  g_assert_cmpint (code, ==, COMMY_ERROR_UNREACHABLE);
  fake_client_free (fake);
  fake_scene_free (scene);
}

/* One more than the limit is refused; a place that is free again is used. */
static void
test_too_many (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = scene_new (fixture, transport);
  FakeClient *fake = connect_fake (scene, transport);

  for (guint i = 1; i <= 256; i++)
    open_as (fake, COMMY_FRAME_CALL, 1, i);
  open_as (fake, COMMY_FRAME_CALL, 1, 257);
  expect_frame (fake, COMMY_FRAME_ERROR, 257, COMMY_ERROR_BUSY);
  send_bare (fake, COMMY_FRAME_CANCEL, 1, 0);
  open_as (fake, COMMY_FRAME_CALL, 3, 258);
  send_bare (fake, COMMY_FRAME_END, 258, 0);
  expect_frame (fake, COMMY_FRAME_REPLY, 258, 0);
  fake_client_free (fake);
  fake_scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/streams/protocol/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
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
      add ("offences-close-that-channel-only", transports[i], test_attacks);
      add ("strays-are-dropped", transports[i], test_strays);
      add ("what-cannot-be-read-ends-its-stream-only", transports[i], test_unreadable);
      add ("a-hang-up-is-told", transports[i], test_hang_up);
      add ("too-many-streams-are-refused", transports[i], test_too_many);
    }
  return g_test_run ();
}
