/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order in which pieces leave, counted and not timed.
 */
#include "config.h"

#include "channel/commy-train-queue.h"

#define ANY 0

/* Pieces of ten bytes. */
#define PIECE 10u

static void
add (CommyTrainQueue *queue, guint8 type, guint32 stream, int priority, gsize pieces)
{
  CommyFrameSpec spec = { .type = type,
                          .stream = stream,
                          .priority = priority < 0 ? 0 : (guint8) (priority + 1),
                          .signature = "(ay)",
                          .signature_size = 4 };
  CommyTrain *train = commy_train_new (&spec);

  train->size = pieces * PIECE;
  train->bytes = g_bytes_new_take (g_malloc0 (train->size), train->size);
  train->data = g_bytes_get_data (train->bytes, NULL);
  commy_train_queue_add (queue, train);
}

/* Sends one piece; the stream it was of, 0 if there is none. */
static guint32
step (CommyTrainQueue *queue)
{
  CommyTrain *train = commy_train_queue_next (queue);
  guint32 stream;

  if (train == NULL)
    return 0;
  g_assert_true (commy_train_queue_next (queue) == train);
  stream = train->spec.stream;
  train->id = stream;
  train->at += MIN (PIECE, train->size - train->at);
  commy_train_queue_sent (queue, train, train->at == train->size);
  return stream;
}

/* What leaves, as text: one digit a piece. */
static char *
steps (CommyTrainQueue *queue, guint n)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    {
      guint32 stream = step (queue);

      if (stream == 0)
        break;
      g_string_append_c (text, (char) ('0' + stream));
    }
  return g_string_free (text, FALSE);
}

static void
expect (CommyTrainQueue *queue, const char *order)
{
  g_autofree char *got = steps (queue, 1000);

  g_assert_cmpstr (got, ==, order);
  g_assert_cmpuint (queue->n, ==, 0);
  g_assert_cmpuint (queue->bytes, ==, 0);
}

static void
test_turns (void)
{
  CommyTrainQueue queue = { 0 };

  add (&queue, COMMY_FRAME_CALL, 1, -1, 4);
  add (&queue, COMMY_FRAME_CALL, 2, -1, 2);
  add (&queue, COMMY_FRAME_REPLY, 3, 4, 3); /* the default, said */
  g_assert_cmpuint (queue.bytes, ==, 90);
  expect (&queue, "123123131");
}

static void
test_open (void)
{
  CommyTrainQueue queue = { 0 };

  for (guint32 i = 1; i <= 9; i++)
    add (&queue, COMMY_FRAME_CALL, i, -1, 2);
  /* The ninth waits until one of the eight is through. */
  expect (&queue, "123456781234567899");
}

static void
test_priorities (void)
{
  CommyTrainQueue queue = { 0 };

  add (&queue, COMMY_FRAME_CALL, 1, 0, 2);
  add (&queue, COMMY_FRAME_CALL, 7, 7, 3);
  add (&queue, COMMY_FRAME_CALL, 4, -1, 2);
  expect (&queue, "7774411");
}

static void
test_share (void)
{
  CommyTrainQueue queue = { 0 };
  g_autofree char *order = NULL;
  guint counts[10] = { 0 };

  add (&queue, COMMY_FRAME_CALL, 1, 1, 1000);
  add (&queue, COMMY_FRAME_CALL, 2, 2, 1000);
  add (&queue, COMMY_FRAME_CALL, 7, 7, 1000);
  order = steps (&queue, 320);
  for (const char *at = order; *at != '\0'; at++)
    counts[*at - '0']++;
  g_assert_cmpuint (counts[7], ==, 300);
  g_assert_cmpuint (counts[2], ==, 10);
  g_assert_cmpuint (counts[1], ==, 10);
  g_assert_true (g_str_has_prefix (order, "7777777777777772777777777777777177"));
  commy_train_queue_drop (&queue, 1);
  commy_train_queue_drop (&queue, 2);
  commy_train_queue_drop (&queue, 7);
  for (guint i = 0; i < 3; i++)
    step (&queue);
  g_assert_cmpuint (queue.n, ==, 0);
}

static void
test_lanes (void)
{
  CommyTrainQueue queue = { 0 };
  CommyFrameSpec small = { .type = COMMY_FRAME_ONEWAY };
  CommyFrameSpec end = { .type = COMMY_FRAME_END, .stream = 5 };

  g_assert_false (commy_train_queue_is_lane_busy (&queue, &small));
  add (&queue, COMMY_FRAME_ONEWAY, 1, -1, 2); /* streams are only names here */
  add (&queue, COMMY_FRAME_ONEWAY, 2, -1, 1);
  add (&queue, COMMY_FRAME_DATA, 5, -1, 2);
  add (&queue, COMMY_FRAME_ONEWAY, 3, -1, 1);
  add (&queue, COMMY_FRAME_DATA, 5, 6, 1); /* does not overtake its own stream */
  add (&queue, COMMY_FRAME_DATA, 6, -1, 1);
  g_assert_true (commy_train_queue_is_lane_busy (&queue, &small));
  g_assert_true (commy_train_queue_is_lane_busy (&queue, &end));
  small.priority = 1 + 7;
  g_assert_false (commy_train_queue_is_lane_busy (&queue, &small)); /* another lane */
  end.stream = 8;
  g_assert_false (commy_train_queue_is_lane_busy (&queue, &end));
  expect (&queue, "15615253");
}

static void
test_opening_call (void)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .stream = 3 };

  g_assert_cmpint (commy_train_lane (&spec), ==, COMMY_LANE_OWN);
  spec.flags = COMMY_FRAME_FLAG_STREAM;
  g_assert_cmpint (commy_train_lane (&spec), ==, COMMY_LANE_STREAM);
  spec.type = COMMY_FRAME_ERROR;
  g_assert_cmpint (commy_train_lane (&spec), ==, COMMY_LANE_STREAM);
}

static void
count (gpointer data)
{
  ++*(guint *) data;
}

static void
test_drop (void)
{
  CommyTrainQueue queue = { 0 };
  CommyTrain *train;
  guint gone = 0;

  add (&queue, COMMY_FRAME_CALL, 1, -1, 3);
  add (&queue, COMMY_FRAME_CALL, 2, -1, 3);
  add (&queue, COMMY_FRAME_DATA, 5, -1, 3);
  add (&queue, COMMY_FRAME_DATA, 5, -1, 3);
  train = commy_train_queue_find (&queue, COMMY_FRAME_CALL, 2);
  train->done = count;
  train->done_data = &gone;
  g_assert_cmpuint (step (&queue), ==, 1);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 9), ==, 0);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 2), ==, 1); /* had not begun: gone */
  g_assert_cmpuint (gone, ==, 1);
  g_assert_null (commy_train_queue_find (&queue, COMMY_FRAME_CALL, 2));
  g_assert_cmpuint (commy_train_queue_drop (&queue, 1), ==, 1); /* had: its end is to be told */
  g_assert_cmpuint (commy_train_queue_drop (&queue, 1), ==, 0);
  g_assert_null (commy_train_queue_find (&queue, COMMY_FRAME_CALL, 1));
  g_assert_cmpuint (queue.n, ==, 3);
  g_assert_cmpuint (queue.bytes, ==, 6 * PIECE);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 5), ==, 2);
  g_assert_cmpuint (queue.bytes, ==, 0);
  expect (&queue, "1");
}

static void
count_lost (gpointer data, const CommyTrain *train)
{
  ++*(guint *) data;
}

/* END is no message: it was not counted when it was sent. */
static void
test_end_does_not_count (void)
{
  CommyTrainQueue queue = { 0 };
  guint lost = 0;

  add (&queue, COMMY_FRAME_DATA, 1, -1, 2);
  add (&queue, COMMY_FRAME_DATA, 1, -1, 1);
  add (&queue, COMMY_FRAME_END, 1, -1, 0);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 1), ==, 2);
  add (&queue, COMMY_FRAME_DATA, 2, -1, 2);
  add (&queue, COMMY_FRAME_END, 2, -1, 0);
  commy_train_queue_clear (&queue, count_lost, &lost);
  g_assert_cmpuint (lost, ==, 1);
  g_assert_cmpuint (queue.n, ==, 0);
}

static void
test_drop_waiting (void)
{
  CommyTrainQueue queue = { 0 };

  for (guint32 i = 1; i <= 9; i++)
    add (&queue, COMMY_FRAME_CALL, i, -1, 1);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 9), ==, 1);
  g_assert_cmpuint (commy_train_queue_drop (&queue, 1), ==, 1);
  expect (&queue, "2345678");
}

static void
lost (gpointer data, const CommyTrain *train)
{
  g_assert_cmpstr (train->signature, ==, "(ay)");
  ++*(guint *) data;
}

static void
test_clear (void)
{
  CommyTrainQueue queue = { 0 };
  guint n = 0;

  for (guint32 i = 1; i <= 9; i++)
    add (&queue, COMMY_FRAME_CALL, i, -1, 2);
  for (guint32 i = 0; i < 5; i++)
    add (&queue, COMMY_FRAME_ONEWAY, ANY, 2, 2);
  step (&queue);
  commy_train_queue_drop (&queue, 1);
  commy_train_queue_clear (&queue, lost, &n);
  g_assert_cmpuint (n, ==, 13);
  expect (&queue, "");
}

/* Whatever is added, sent and dropped: lanes stay in order, and nothing is lost. */
static void
test_random (void)
{
  CommyTrainQueue queue = { 0 };
  gsize added = 0, sent = 0, dropped = 0;
  guint32 next = 10;

  for (guint i = 0; i < 20000; i++)
    {
      int choice = g_test_rand_int_range (0, 20);

      if (choice < 8)
        {
          guint8 type = choice < 4   ? COMMY_FRAME_CALL
                        : choice < 6 ? COMMY_FRAME_DATA
                                     : COMMY_FRAME_ONEWAY;
          guint32 stream
              = type == COMMY_FRAME_CALL ? next++ : (guint32) g_test_rand_int_range (1, 5);

          add (&queue, type, stream, g_test_rand_int_range (-1, 8),
               (gsize) g_test_rand_int_range (1, 6));
          added++;
        }
      else if (choice == 8)
        dropped
            += commy_train_queue_drop (&queue, (guint32) g_test_rand_int_range (1, (gint32) next));
      else
        {
          gsize before = queue.n;
          CommyTrain *train = commy_train_queue_next (&queue);
          gboolean counts = train != NULL && !train->dropped;

          step (&queue);
          if (queue.n < before && counts)
            sent++;
        }
    }
  for (guint i = 0; queue.n > 0; i++)
    {
      gsize before = queue.n;
      gboolean counts = !commy_train_queue_next (&queue)->dropped;

      step (&queue);
      if (queue.n < before && counts)
        sent++;
      g_assert_cmpuint (i, <, 1000000);
    }
  g_assert_cmpuint (added, ==, sent + dropped);
  g_assert_cmpuint (queue.bytes, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/train-queue/equals-take-turns", test_turns);
  g_test_add_func ("/channel/train-queue/eight-are-open", test_open);
  g_test_add_func ("/channel/train-queue/the-more-urgent-goes-first", test_priorities);
  g_test_add_func ("/channel/train-queue/the-less-urgent-has-a-share", test_share);
  g_test_add_func ("/channel/train-queue/lanes-keep-their-order", test_lanes);
  g_test_add_func ("/channel/train-queue/what-opens-and-ends-a-stream-is-in-its-lane",
                   test_opening_call);
  g_test_add_func ("/channel/train-queue/what-is-dropped-is-gone-or-says-so", test_drop);
  g_test_add_func ("/channel/train-queue/who-waits-can-be-dropped", test_drop_waiting);
  g_test_add_func ("/channel/train-queue/an-end-is-no-message", test_end_does_not_count);
  g_test_add_func ("/channel/train-queue/clearing-tells-of-each", test_clear);
  g_test_add_func ("/channel/train-queue/added-is-sent-or-dropped", test_random);
  return g_test_run ();
}
