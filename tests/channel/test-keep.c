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
  CommyKeep *keep = commy_keep_new (1 << 20);
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

/* Numbers wrap, and so does the ring, at every offset. */
static void
test_wraps (void)
{
  CommyKeep *keep = commy_keep_new (1 << 20);
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
  CommyKeep *keep = commy_keep_new (1 << 20);

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
  CommyKeep *keep = commy_keep_new (1000);

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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/keep/frames-come-out-in-order", test_in_order);
  g_test_add_func ("/channel/keep/numbers-and-ring-wrap", test_wraps);
  g_test_add_func ("/channel/keep/old-acknowledgements-say-nothing", test_old_news);
  g_test_add_func ("/channel/keep/beyond-the-limit-there-is-no-room", test_limit);
  return g_test_run ();
}
