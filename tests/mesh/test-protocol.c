/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that break the protocol: their channel is closed with a number and a reason, and a
 * right client of the same service notices nothing.
 */
#include "config.h"

#include "fake-scene.h"

#include <string.h>

#define SETTINGS "[limits]\nhandshake-timeout=3s\nmessage=256KiB\nmethods=16\n"

/* --- what may be sent wrongly --- */

static void
announce (FakeClient *fake, guint32 id, const char *name, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_METHOD, .method = id };

  fake_client_send_frame (fake, &spec, name, size);
}

static void
send_count (FakeClient *fake, guint32 sequence)
{
  g_autoptr (GVariant) nothing = g_variant_ref_sink (g_variant_new ("()"));
  CommyFrameSpec spec = { .type = COMMY_FRAME_ONEWAY,
                          .flags = COMMY_FRAME_FLAG_ORDERED,
                          .serializer = fake_client_wire_of (fake, "gvariant"),
                          .method = 1,
                          .flow = 1,
                          .sequence = sequence,
                          .signature = "()",
                          .signature_size = 2 };

  fake_client_send_frame (fake, &spec, g_variant_get_data (nothing), g_variant_get_size (nothing));
}

/* A frame without payload in which one byte, or some, are overwritten. */
static void
send_bent (FakeClient *fake, gsize offset, const char *bytes, gsize n)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_PING, .stream = 1 };
  guint8 frame[COMMY_FRAME_HEADER_SIZE];

  g_assert_cmpuint (commy_frame_write (frame, &spec, 0), ==, sizeof frame);
  memcpy (frame + offset, bytes, n);
  fake_client_send (fake, frame, sizeof frame);
}

static void
wild_length (FakeClient *fake)
{
  send_bent (fake, 0, "\xff\xff\xff\xff", 4);
}

static void
short_length (FakeClient *fake)
{
  send_bent (fake, 0, "\x10\0\0\0", 4);
}

static void
truncated (FakeClient *fake)
{
  fake_client_send (fake, "CMY", 3);
}

static void
bad_version (FakeClient *fake)
{
  send_bent (fake, 4, "\x4d", 1);
}

static void
bad_type (FakeClient *fake)
{
  send_bent (fake, 5, "\x63", 1);
}

static void
bad_flags (FakeClient *fake)
{
  send_bent (fake, 6, "\x00\x80", 2);
}

static void
wild_extension_length (FakeClient *fake)
{
  send_bent (fake, 10, "\xf8\xff", 2);
}

/* Takes a right extension that must be understood and gives it a type that nobody knows. */
static void
unknown_extension (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_PING, .stream = 1, .deadline_ns = 1000 };
  guint8 frame[256];
  gsize size = commy_frame_write (frame, &spec, 0);

  for (gsize i = COMMY_FRAME_HEADER_SIZE; i < size; i++)
    if (frame[i] == COMMY_EXT_DEADLINE)
      {
        frame[i] = 200;
        break;
      }
  fake_client_send (fake, frame, size);
}

static void
method_out_of_order (FakeClient *fake)
{
  announce (fake, 5, "Pid", 3);
}

static void
method_without_name (FakeClient *fake)
{
  announce (fake, 1, "", 0);
}

static void
method_of_long_name (FakeClient *fake)
{
  g_autofree char *name = g_strnfill (300, 'x');

  announce (fake, 1, name, 300);
}

static void
method_that_is_no_text (FakeClient *fake)
{
  announce (fake, 1, "\xff\xfe", 2);
}

static void
too_many_methods (FakeClient *fake)
{
  for (guint32 i = 1; i <= 17; i++)
    announce (fake, i, "Pid", 3);
}

static void
unknown_method_id (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .stream = 1, .method = 7 };

  fake_client_send_frame (fake, &spec, NULL, 0);
}

static void
sequence_gap (FakeClient *fake)
{
  announce (fake, 1, "Count", 5);
  send_count (fake, 2);
}

static void
hello_again (FakeClient *fake)
{
  CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = (char *) "x" };

  fake_client_greet (fake, &hello);
}

static void
welcome_from_client (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_WELCOME };

  fake_client_send_frame (fake, &spec, "x", 1);
}

static void
too_big (FakeClient *fake)
{
  g_autofree char *much = g_malloc0 (300 * 1024);

  announce (fake, 1, much, 300 * 1024);
}

static void
garbage (FakeClient *fake)
{
  g_autofree guint8 *bytes = g_malloc (4096);

  for (guint i = 0; i < 4096; i++)
    bytes[i] = (guint8) (i * 167 + 13);
  fake_client_send (fake, bytes, 4096);
}

static void
hello_of_32_kib (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_HELLO };
  g_autofree char *much = g_malloc0 (32 << 10);

  fake_client_send_frame (fake, &spec, much, 32 << 10);
}

static void
hello_of_garbage (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_HELLO };

  fake_client_send_frame (fake, &spec, "\xff\x00\xfe\x01\x80garbage", 12);
}

static void
empty_hello (FakeClient *fake)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_HELLO };

  fake_client_send_frame (fake, &spec, NULL, 0);
}

static void
hello_of_other_version (FakeClient *fake)
{
  CommyHello hello = {
    .service = (char *) TEST_SERVICE, .instance = (char *) "x", .min_version = 98, .max_version = 99
  };

  fake_client_greet (fake, &hello);
}

static void
hello_of_other_mesh (FakeClient *fake)
{
  CommyHello hello
      = { .mesh = (char *) "other", .service = (char *) TEST_SERVICE, .instance = (char *) "x" };

  fake_client_greet (fake, &hello);
}

static void
hello_for_nobody (FakeClient *fake)
{
  CommyHello hello = { .service = (char *) TEST_SERVICE,
                       .instance = (char *) "ffffffffffffffffffffffffffffffff" };

  fake_client_greet (fake, &hello);
}

/* The beginning of a train of calls, or of what @type says; ordered. */
static void
send_first (
    FakeClient *fake, guint8 type, guint32 train, guint32 total, gsize size, guint32 sequence)
{
  CommyFrameSpec spec = { .type = type,
                          .flags = COMMY_FRAME_FLAG_ORDERED,
                          .serializer = fake_client_wire_of (fake, "raw"),
                          .stream = 100 + train,
                          .method = 1,
                          .flow = 1,
                          .sequence = sequence,
                          .train = train,
                          .train_size = total };
  g_autofree guint8 *payload = g_malloc0 (size + 1);

  fake_client_send_frame (fake, &spec, payload, size);
}

static void
send_piece (FakeClient *fake, guint32 train, gsize size, guint32 sequence)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_FRAGMENT,
                          .flags = sequence != 0 ? COMMY_FRAME_FLAG_ORDERED : 0,
                          .stream = train,
                          .flow = 1,
                          .sequence = sequence };
  g_autofree guint8 *payload = g_malloc0 (size + 1);

  fake_client_send_frame (fake, &spec, payload, size);
}

static void
train_unknown (FakeClient *fake)
{
  send_piece (fake, 7, 10, 1);
}

static void
train_too_long (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 1);
  send_piece (fake, 1, 11, 2);
}

static void
train_without_beginning (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 0, 1);
}

static void
train_over_the_limit (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 256 * 1024 + 1, 10, 1);
}

static void
train_that_is_full_at_once (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 10, 10, 1);
}

static void
train_twice (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 1);
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 2);
}

static void
train_after_its_end (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 1);
  send_piece (fake, 1, 0, 2);
  send_piece (fake, 1, 10, 3);
}

static void
train_of_methods (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_METHOD, 1, 20, 10, 1);
}

static void
train_in_a_train (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_FRAGMENT, 1, 20, 10, 1);
}

static void
train_outside_of_the_flow (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 1);
  send_piece (fake, 1, 10, 0);
}

static void
train_with_a_gap (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 30, 10, 1);
  send_piece (fake, 1, 10, 3);
}

static void
train_of_an_unknown_method (FakeClient *fake)
{
  send_first (fake, COMMY_FRAME_CALL, 1, 20, 10, 1);
  send_piece (fake, 1, 10, 2);
}

static void
too_many_trains (FakeClient *fake)
{
  for (guint32 i = 1; i <= 65; i++)
    send_first (fake, COMMY_FRAME_CALL, i, 1000, 10, i);
}

static void
too_much_unfinished (FakeClient *fake)
{
  for (guint32 i = 1; i <= 4; i++)
    send_first (fake, COMMY_FRAME_CALL, i, 200 * 1024, 190 * 1024, i);
}

static void
nothing (FakeClient *fake)
{
}

typedef struct
{
  const char *name;
  void (*attack) (FakeClient *fake);
  gboolean greeted; /* after a right set-up */
  guint32 code;
  const char *words;
} Attack;

static const Attack attacks[] = {
  { "wild-length", wild_length, TRUE, COMMY_ERROR_PROTOCOL, "length" },
  { "short-length", short_length, TRUE, COMMY_ERROR_PROTOCOL, "" },
  { "truncated", truncated, TRUE, COMMY_ERROR_PROTOCOL, "" },
  { "bad-version", bad_version, TRUE, COMMY_ERROR_VERSION, "version" },
  { "unknown-type", bad_type, TRUE, COMMY_ERROR_PROTOCOL, "type" },
  { "unknown-flags", bad_flags, TRUE, COMMY_ERROR_PROTOCOL, "flag" },
  { "wild-extension-length", wild_extension_length, TRUE, COMMY_ERROR_PROTOCOL, "extension" },
  { "unknown-critical-extension", unknown_extension, TRUE, COMMY_ERROR_PROTOCOL, "extension" },
  { "method-out-of-order", method_out_of_order, TRUE, COMMY_ERROR_PROTOCOL, "method" },
  { "method-without-name", method_without_name, TRUE, COMMY_ERROR_PROTOCOL, "method" },
  { "method-of-long-name", method_of_long_name, TRUE, COMMY_ERROR_PROTOCOL, "method" },
  { "method-that-is-no-text", method_that_is_no_text, TRUE, COMMY_ERROR_PROTOCOL, "method" },
  { "too-many-methods", too_many_methods, TRUE, COMMY_ERROR_TOO_BIG, "methods" },
  { "unknown-method-id", unknown_method_id, TRUE, COMMY_ERROR_PROTOCOL, "unknown method" },
  { "sequence-gap", sequence_gap, TRUE, COMMY_ERROR_PROTOCOL, "missing" },
  { "hello-again", hello_again, TRUE, COMMY_ERROR_PROTOCOL, "after set-up" },
  { "welcome-from-client", welcome_from_client, TRUE, COMMY_ERROR_PROTOCOL, "after set-up" },
  { "message-over-the-limit", too_big, TRUE, COMMY_ERROR_PROTOCOL, "limit" },
  { "train-unknown", train_unknown, TRUE, COMMY_ERROR_PROTOCOL, "unknown train" },
  { "train-too-long", train_too_long, TRUE, COMMY_ERROR_PROTOCOL, "longer" },
  { "train-without-beginning", train_without_beginning, TRUE, COMMY_ERROR_PROTOCOL, "payload" },
  { "train-over-the-limit", train_over_the_limit, TRUE, COMMY_ERROR_PROTOCOL, "limit" },
  { "train-full-at-once", train_that_is_full_at_once, TRUE, COMMY_ERROR_PROTOCOL, "extension" },
  { "train-twice", train_twice, TRUE, COMMY_ERROR_PROTOCOL, "open one" },
  { "train-after-its-end", train_after_its_end, TRUE, COMMY_ERROR_PROTOCOL, "unknown train" },
  { "train-of-methods", train_of_methods, TRUE, COMMY_ERROR_PROTOCOL, "never cut" },
  { "train-in-a-train", train_in_a_train, TRUE, COMMY_ERROR_PROTOCOL, "within" },
  { "train-outside-of-the-flow", train_outside_of_the_flow, TRUE, COMMY_ERROR_PROTOCOL, "flow" },
  { "train-with-a-gap", train_with_a_gap, TRUE, COMMY_ERROR_PROTOCOL, "missing" },
  { "train-of-an-unknown-method", train_of_an_unknown_method, TRUE, COMMY_ERROR_PROTOCOL,
    "unknown method" },
  { "too-many-trains", too_many_trains, TRUE, COMMY_ERROR_PROTOCOL, "too many" },
  { "too-much-unfinished", too_much_unfinished, TRUE, COMMY_ERROR_PROTOCOL, "unfinished" },
  { "garbage-for-hello", garbage, FALSE, COMMY_ERROR_PROTOCOL, "" },
  { "frame-for-hello", unknown_method_id, FALSE, COMMY_ERROR_PROTOCOL, "before the end of set-up" },
  { "hello-of-32-kib", hello_of_32_kib, FALSE, COMMY_ERROR_PROTOCOL, "bytes" },
  { "hello-of-garbage", hello_of_garbage, FALSE, COMMY_ERROR_PROTOCOL, "hello" },
  { "empty-hello", empty_hello, FALSE, COMMY_ERROR_PROTOCOL, "hello" },
  { "hello-of-other-version", hello_of_other_version, FALSE, COMMY_ERROR_VERSION, "98 to 99" },
  { "hello-of-other-mesh", hello_of_other_mesh, FALSE, COMMY_ERROR_REFUSED, "mesh \"other\"" },
  { "hello-for-nobody", hello_for_nobody, FALSE, COMMY_ERROR_NO_SERVICE, "not offered" },
  { "nothing-at-all", nothing, FALSE, COMMY_ERROR_HANDSHAKE, "3000 ms" },
};

/* All attacks on one server, one after the other, with a right call after each. */
static void
test_attacks (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = fake_scene_new (fixture, transport, SETTINGS, 0, fake_scene_check_add);

  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      const Attack *attack = &attacks[i];
      FakeClient *fake = fake_scene_connect (scene, transport);

      g_test_message ("%s", attack->name);
      if (attack->greeted)
        fake_scene_greet (scene, fake);
      attack->attack (fake);
      fake_client_expect_close (fake, attack->code, attack->words);
      fake_client_free (fake);
      fake_scene_check_add (scene->client);
    }
  fake_scene_free (scene);
}

static void
test_hang_ups (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = fake_scene_new (fixture, transport, SETTINGS, 0, fake_scene_check_add);

  for (guint i = 0; i < 24; i++)
    {
      FakeClient *fake = fake_scene_connect (scene, transport);

      if (i % 4 > 0)
        fake_scene_greet (scene, fake);
      if (i % 4 > 1)
        {
          announce (fake, 1, "Echo", 4);
          send_first (fake, COMMY_FRAME_CALL, 1, 200 * 1024, 100 * 1024, 1);
        }
      if (i % 4 > 2) /* an answer that nobody acknowledges */
        send_piece (fake, 1, 100 * 1024, 2);
      fake_client_hang_up (fake);
      fake_client_free (fake);
    }
  fake_scene_free (scene);
}

/* What is odd but no offence: a message twice, an answer that nobody waits for. */
static void
test_tolerated (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = fake_scene_new (fixture, transport, SETTINGS, 0, fake_scene_check_add);
  FakeClient *fake = fake_scene_connect (scene, transport);
  CommyFrameSpec answer = { .type = COMMY_FRAME_REPLY, .stream = 77 };
  CommyFrameSpec cancel = { .type = COMMY_FRAME_CANCEL, .stream = 78 };
  CommyFrameSpec ping = { .type = COMMY_FRAME_PING, .stream = 79 };
  g_autofree char *text = NULL;
  g_autoptr (GVariant) counted = NULL;
  g_autoptr (GError) error = NULL;
  CommyFrame frame;
  gint32 n;

  fake_scene_greet (scene, fake);
  announce (fake, 1, "Count", 5);
  send_count (fake, 1);
  send_count (fake, 1);
  send_count (fake, 2);
  fake_client_send_frame (fake, &answer, NULL, 0);
  fake_client_send_frame (fake, &cancel, NULL, 0);
  fake_client_send_frame (fake, &ping, NULL, 0);
  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_PONG);
  g_assert_cmpuint (frame.stream, ==, 79);
  counted = commy_client_call_sync (scene->client, "Counted", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (counted, "(i)", &n);
  g_assert_cmpint (n, ==, 2);
  fake_client_free (fake);
  fake_scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/protocol/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      add ("offences-close-that-channel-only", transports[i], test_attacks);
      add ("hang-ups-harm-nobody", transports[i], test_hang_ups);
      add ("duplicates-and-strays-are-dropped", transports[i], test_tolerated);
    }
  return g_test_run ();
}
