/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting trains together: whole ones, interleaved ones, and every way to break the rules.
 */
#include "config.h"

#include "channel/commy-train.h"

#include <string.h>

#define LIMIT (1u << 20)

typedef struct
{
  CommyTrainsIn trains;
  CommyIncoming whole;
  const char *why;
  guint32 sequence;
} Join;

static CommyTrainStep
take (Join *self, CommyFrameSpec *spec, char fill, gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);
  g_autofree guint8 *frame = g_malloc (prefix + size);
  CommyFrame parsed;

  spec->flags |= COMMY_FRAME_FLAG_ORDERED;
  spec->sequence = ++self->sequence;
  g_assert_cmpuint (commy_frame_write (frame, spec, size), ==, prefix);
  memset (frame + prefix, fill, size);
  g_assert_cmpint (commy_frame_parse (frame, prefix + size, LIMIT, &parsed), ==, COMMY_FRAME_OK);
  return commy_trains_in_take (&self->trains, &parsed, frame, LIMIT, &self->whole, &self->why);
}

static CommyTrainStep
first (Join *self, guint32 id, gsize total, char fill, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL,
                          .stream = 100 + id,
                          .method = 3,
                          .signature = "(ay)",
                          .signature_size = 4,
                          .deadline_ns = 12345,
                          .train = id,
                          .train_size = total };

  return take (self, &spec, fill, size);
}

static CommyTrainStep
piece (Join *self, guint32 id, char fill, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_FRAGMENT, .stream = id };

  return take (self, &spec, fill, size);
}

static void
expect_whole (Join *self, guint32 stream, const char *payload)
{
  const CommyFrame *frame = &self->whole.frame;

  g_assert_cmpuint (frame->stream, ==, stream);
  g_assert_cmpint (frame->type, ==, COMMY_FRAME_CALL);
  g_assert_false (frame->has_train);
  g_assert_cmpuint (frame->deadline_ns, ==, 12345);
  g_assert_cmpmem (self->whole.bytes + frame->signature_offset, frame->signature_size, "(ay)", 4);
  g_assert_cmpmem (commy_incoming_payload (&self->whole), frame->payload_size, payload,
                   strlen (payload));
  g_assert_cmpuint ((gsize) commy_incoming_payload (&self->whole) % 8, ==, 0);
  g_assert_true (self->whole.is_exact && !self->whole.borrowed);
  g_clear_pointer (&self->whole.copy, commy_block_free);
}

static void
expect_wrong (Join *self, CommyTrainStep step, const char *words)
{
  g_assert_cmpint (step, ==, COMMY_TRAIN_WRONG);
  g_test_message ("%s", self->why);
  g_assert_nonnull (strstr (self->why, words));
  commy_trains_in_clear (&self->trains);
  g_assert_cmpuint (self->trains.n, ==, 0);
  g_assert_cmpuint (self->trains.bytes, ==, 0);
}

static void
test_whole (void)
{
  Join self = { 0 };

  g_assert_cmpint (first (&self, 1, 10, 'a', 4), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (piece (&self, 1, 'b', 3), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (piece (&self, 1, 'c', 3), ==, COMMY_TRAIN_WHOLE);
  expect_whole (&self, 101, "aaaabbbccc");
  g_assert_cmpuint (self.trains.n, ==, 0);
  g_assert_cmpuint (self.trains.bytes, ==, 0);
  /* Its number is free again. */
  g_assert_cmpint (first (&self, 1, 3, 'x', 1), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (piece (&self, 1, 'y', 2), ==, COMMY_TRAIN_WHOLE);
  expect_whole (&self, 101, "xyy");
  commy_trains_in_clear (&self.trains);
}

static void
test_interleaved (void)
{
  Join self = { 0 };

  g_assert_cmpint (first (&self, 1, 4, 'a', 2), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (first (&self, 2, 3, 'b', 1), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (first (&self, 3, 9, 'c', 1), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (piece (&self, 1, 'k', 2), ==, COMMY_TRAIN_WHOLE);
  expect_whole (&self, 101, "aakk");
  g_assert_cmpint (piece (&self, 3, 'e', 0), ==, COMMY_TRAIN_END);
  g_assert_cmpint (piece (&self, 2, 'f', 2), ==, COMMY_TRAIN_WHOLE);
  expect_whole (&self, 102, "bff");
  expect_wrong (&self, piece (&self, 3, 'g', 1), "unknown");
}

/* A first piece that promises much costs little. */
static void
test_memory (void)
{
  Join self = { 0 };

  for (guint32 i = 1; i <= COMMY_TRAINS_OPEN_MAX; i++)
    g_assert_cmpint (first (&self, i, LIMIT, 'x', 1), ==, COMMY_TRAIN_MORE);
  for (guint i = 0; i < self.trains.n; i++)
    g_assert_cmpuint (self.trains.trains[i].room, <=, 256 * 1024);
  expect_wrong (&self, first (&self, 1000, 10, 'x', 1), "too many");
}

static void
test_unfinished (void)
{
  Join self = { 0 };

  g_assert_cmpint (first (&self, 1, LIMIT, 'x', LIMIT - 1), ==, COMMY_TRAIN_MORE);
  g_assert_cmpint (first (&self, 2, LIMIT, 'x', LIMIT - 1), ==, COMMY_TRAIN_MORE);
  expect_wrong (&self, first (&self, 3, LIMIT, 'x', LIMIT - 1), "unfinished");
}

static void
test_wrong (void)
{
  Join self = { 0 };
  CommyFrameSpec ping = { .type = COMMY_FRAME_PING, .train = 1, .train_size = 10 };
  CommyFrameSpec nested
      = { .type = COMMY_FRAME_FRAGMENT, .stream = 1, .train = 1, .train_size = 9 };

  expect_wrong (&self, piece (&self, 1, 'x', 1), "unknown");
  expect_wrong (&self, first (&self, 1, 10, 'x', 0), "without payload");
  expect_wrong (&self, take (&self, &ping, 'x', 1), "never cut");
  expect_wrong (&self, take (&self, &nested, 'x', 1), "within");
  first (&self, 1, 10, 'x', 5);
  expect_wrong (&self, first (&self, 1, 10, 'x', 5), "number of an open one");
  first (&self, 1, 10, 'x', 5);
  expect_wrong (&self, piece (&self, 1, 'x', 6), "longer");
}

static void
test_unordered (void)
{
  Join self = { 0 };
  CommyFrame frame = { .type = COMMY_FRAME_FRAGMENT, .stream = 1 };

  expect_wrong (&self,
                commy_trains_in_take (&self.trains, &frame, NULL, LIMIT, &self.whole, &self.why),
                "outside of the flow");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/train-join/pieces-become-the-message", test_whole);
  g_test_add_func ("/channel/train-join/trains-may-be-interleaved-and-dropped", test_interleaved);
  g_test_add_func ("/channel/train-join/promises-cost-no-memory", test_memory);
  g_test_add_func ("/channel/train-join/unfinished-trains-are-bounded", test_unfinished);
  g_test_add_func ("/channel/train-join/rules-are-kept", test_wrong);
  g_test_add_func ("/channel/train-join/pieces-belong-to-the-flow", test_unordered);
  return g_test_run ();
}
