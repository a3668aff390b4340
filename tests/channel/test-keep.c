/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a sender keeps: frames come out as they went in, in order, what arrived is gone, and what
 * nobody needs any more takes no memory for long.
 */
#include "config.h"

#include "channel/commy-keep.h"

#include <string.h>

static void
add (CommyKeep *keep, guint32 sequence, gsize size)
{
  g_autofree guint8 *frame = g_malloc (MAX (size, 1));

  memset (frame, (int) (sequence & 0xff), size);
  commy_keep_add (keep, sequence, frame, size);
}

static void
expect (CommyKeep *keep, guint32 sequence, gsize size)
{
  guint32 got;
  g_autoptr (GBytes) frame = commy_keep_take (keep, &got);
  gsize n;
  const guint8 *data;

  g_assert_nonnull (frame);
  data = g_bytes_get_data (frame, &n);
  g_assert_cmpuint (got, ==, sequence);
  g_assert_cmpuint (n, ==, size);
  for (gsize i = 0; i < n; i++)
    g_assert_cmpuint (data[i], ==, sequence & 0xff);
}

static void
test_in_order (void)
{
  CommyKeep *keep = commy_keep_new (1 << 20, NULL);
  guint32 got;

  g_assert_true (commy_keep_is_empty (keep));
  g_assert_null (commy_keep_take (keep, &got));
  add (keep, 7, 0);
  add (keep, 8, 1);
  add (keep, 9, 100000);
  g_assert_false (commy_keep_is_empty (keep));
  expect (keep, 7, 0);
  expect (keep, 8, 1);
  expect (keep, 9, 100000);
  g_assert_true (commy_keep_is_empty (keep));
  commy_keep_free (keep);
}

/* Numbers wrap, and frames go from one chunk to the next at every offset. */
static void
test_wraps (void)
{
  CommyKeep *keep = commy_keep_new (1 << 20, NULL);
  guint32 first = G_MAXUINT32 - 1000, next = first;

  for (guint i = 0; i < 20000; i++)
    {
      add (keep, next, 32 + next % 301);
      next++;
      if (i >= 20)
        commy_keep_acked (keep, next - 20);
    }
  for (guint32 sequence = next - 19; sequence != next; sequence++)
    expect (keep, sequence, 32 + sequence % 301);
  g_assert_true (commy_keep_is_empty (keep));
  commy_keep_free (keep);
}

static void
test_old_news (void)
{
  CommyKeep *keep = commy_keep_new (1 << 20, NULL);

  add (keep, 5, 10);
  add (keep, 6, 10);
  commy_keep_acked (keep, 4);
  commy_keep_acked (keep, 5 - G_MAXINT32);
  commy_keep_acked (keep, 5);
  commy_keep_acked (keep, 5);
  expect (keep, 6, 10);
  commy_keep_free (keep);
}

static void
test_limit (void)
{
  CommyKeep *keep = commy_keep_new (1000, NULL);

  add (keep, 1, 5000); /* one of any size */
  g_assert_false (commy_keep_has_room (keep));
  commy_keep_acked (keep, 1);
  g_assert_true (commy_keep_has_room (keep));
  add (keep, 2, 500);
  g_assert_true (commy_keep_has_room (keep));
  add (keep, 3, 500);
  g_assert_false (commy_keep_has_room (keep));
  commy_keep_acked (keep, 2);
  g_assert_true (commy_keep_has_room (keep));
  expect (keep, 3, 500);
  commy_keep_free (keep);
}

typedef struct
{
  guint8 *data;
  gboolean *freed;
} Note;

static void
note_free (gpointer data)
{
  Note *note = data;

  *note->freed = TRUE;
  g_free (note->data);
  g_free (note);
}

static GBytes *
make_message (gsize size, gboolean *freed)
{
  Note *note = g_new (Note, 1);

  *note = (Note){ .data = g_malloc (size), .freed = freed };
  for (gsize i = 0; i < size; i++)
    note->data[i] = (guint8) (i * 7);
  *freed = FALSE;
  return g_bytes_new_with_free_func (note->data, size, note_free, note);
}

/* Pieces and copies in turns, out as whole frames; the message goes with its last piece. */
static void
test_pieces (void)
{
  CommyKeep *keep = commy_keep_new (1 << 20, NULL);
  gboolean freed;
  GBytes *message = make_message (300000, &freed);
  guint32 sequence = 100, got;

  for (gsize at = 0; at < 300000; at += 100000)
    {
      commy_keep_add_piece (keep, sequence++, "prefix", 6, message, at, 100000);
      add (keep, sequence++, 33);
    }
  g_bytes_unref (message);
  g_assert_true (commy_keep_has_room (keep)); /* 300117 of 1 MiB */
  commy_keep_acked (keep, 101);
  for (gsize at = 100000; at < 300000; at += 100000)
    {
      g_autoptr (GBytes) frame = commy_keep_take (keep, &got);
      gsize size;
      const guint8 *data = g_bytes_get_data (frame, &size);

      g_assert_cmpmem (data, 6, "prefix", 6);
      for (gsize i = 0; i < 100000; i++)
        g_assert_cmpuint (data[6 + i], ==, (guint8) ((at + i) * 7));
      g_assert_cmpuint (size, ==, 100006);
      g_assert_cmpint (freed, ==, at == 200000);
      expect (keep, got + 1, 33);
    }
  g_assert_true (commy_keep_is_empty (keep));
  commy_keep_free (keep);
}

/* What is acknowledged or given up lets go of its message; what counts is what is on its way. */
static void
test_pieces_let_go (void)
{
  CommyKeep *keep = commy_keep_new (1000, NULL);
  gboolean freed;
  GBytes *message = make_message (5000, &freed);

  commy_keep_add_piece (keep, 1, "x", 1, message, 0, 900);
  g_assert_true (commy_keep_has_room (keep));
  commy_keep_add_piece (keep, 2, "x", 1, message, 900, 4100);
  g_bytes_unref (message);
  g_assert_false (commy_keep_has_room (keep));
  commy_keep_acked (keep, 1);
  g_assert_false (freed);
  commy_keep_acked (keep, 2);
  g_assert_true (freed && commy_keep_has_room (keep) && commy_keep_is_empty (keep));

  message = make_message (5000, &freed);
  commy_keep_add_piece (keep, 3, "x", 1, message, 0, 5000);
  g_bytes_unref (message);
  g_assert_false (freed);
  commy_keep_free (keep);
  g_assert_true (freed);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/keep/frames-come-out-in-order", test_in_order);
  g_test_add_func ("/channel/keep/numbers-wrap", test_wraps);
  g_test_add_func ("/channel/keep/old-acknowledgements-say-nothing", test_old_news);
  g_test_add_func ("/channel/keep/beyond-the-limit-there-is-no-room", test_limit);
  g_test_add_func ("/channel/keep/pieces-come-out-whole", test_pieces);
  g_test_add_func ("/channel/keep/pieces-let-go-of-their-message", test_pieces_let_go);
  return g_test_run ();
}
