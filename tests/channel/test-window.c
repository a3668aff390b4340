/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window of trains on paths that are only numbers: a bottleneck with a rate and a delay.
 */
#include "config.h"

#include "channel/commy-window.h"

#include <glib.h>

#define PIECE 32768u
#define MS G_GINT64_CONSTANT (1000000)

/* A path that takes so many bytes a second, and how long a byte and its acknowledgement travel. */
typedef struct
{
  CommyWindow window;
  gint64 now_ns;
  gint64 free_ns; /* when the bottleneck is done with what it has */
  gint64 trip_ns;
  double ns_per_byte;
  guint32 sequence;
  GArray *acks; /* gint64: when the acknowledgement of the next sequence arrives */
  guint32 acked;
  guint64 sent;
} Path;

static Path *
path_new (gint64 trip_ns, double bytes_per_second)
{
  Path *path = g_new0 (Path, 1);

  path->now_ns = 5 * MS;
  path->trip_ns = trip_ns;
  path->ns_per_byte = 1e9 / bytes_per_second;
  path->acks = g_array_new (FALSE, FALSE, sizeof (gint64));
  return path;
}

static void
path_free (Path *path)
{
  g_array_free (path->acks, TRUE);
  g_free (path);
}

static void
fill (Path *path)
{
  while (commy_window_has_room (&path->window, PIECE))
    {
      gint64 there;

      path->free_ns = MAX (path->free_ns, path->now_ns) + (gint64) (PIECE * path->ns_per_byte);
      there = path->free_ns + path->trip_ns;
      g_array_append_val (path->acks, there);
      commy_window_sent (&path->window, ++path->sequence, PIECE, path->now_ns);
      path->sent += PIECE;
    }
}

/* Sends all the time for @ns. */
static void
run (Path *path, gint64 ns)
{
  gint64 until = path->now_ns + ns;

  while (path->now_ns < until)
    {
      fill (path);
      g_assert_cmpuint (path->acked, <, path->acks->len); /* else nothing would ever move again */
      path->now_ns = MAX (path->now_ns, g_array_index (path->acks, gint64, path->acked));
      commy_window_acked (&path->window, ++path->acked, path->now_ns);
    }
}

static void
test_first (void)
{
  CommyWindow window = { 0 };

  g_assert_cmpuint (commy_window_size (&window), ==, COMMY_WINDOW_MIN);
  g_assert_true (commy_window_has_room (&window, 10 * COMMY_WINDOW_MAX)); /* one always may */
  commy_window_sent (&window, 1, COMMY_WINDOW_MIN, 10);
  g_assert_false (commy_window_has_room (&window, 1));
  commy_window_acked (&window, 1, 20);
  g_assert_cmpuint (window.in_flight, ==, 0);
  g_assert_true (commy_window_has_room (&window, 1));
}

static void
test_floor (void)
{
  CommyWindow window = { .floor = 1 << 20 };

  g_assert_cmpuint (commy_window_size (&window), ==, 1 << 20);
  window.emptying = true;
  g_assert_cmpuint (commy_window_size (&window), ==, COMMY_WINDOW_MIN);
}

static void
test_sequences (void)
{
  CommyWindow window = { 0 };

  g_assert_false (commy_window_is_news (&window, 0));
  g_assert_false (commy_window_is_news (&window, 7));
  commy_window_sent (&window, G_MAXUINT32, 100, 10);
  commy_window_sent (&window, 1, 200, 10); /* 0 was a small message */
  g_assert_false (commy_window_is_news (&window, G_MAXUINT32 - 1));
  commy_window_acked (&window, G_MAXUINT32 - 1, 20);
  g_assert_cmpuint (window.in_flight, ==, 300);
  g_assert_true (commy_window_is_news (&window, G_MAXUINT32));
  commy_window_acked (&window, 0, 20);
  g_assert_cmpuint (window.in_flight, ==, 200);
  commy_window_acked (&window, 5, 30); /* a small message after it */
  g_assert_cmpuint (window.in_flight, ==, 0);
  g_assert_cmpuint (window.delivered, ==, 300);
}

static void
test_bounded (void)
{
  CommyWindow window = { 0 };
  guint32 n = 0;

  while (commy_window_has_room (&window, 1))
    commy_window_sent (&window, ++n, 1, 10);
  g_assert_cmpuint (n, ==, COMMY_WINDOW_PIECES);
  commy_window_sent (&window, ++n, 1, 10); /* not remembered */
  g_assert_cmpuint (window.in_flight, ==, COMMY_WINDOW_PIECES);
}

/* A short path: the queue stays short, and the path is busy all the same. */
static void
test_short_path (void)
{
  Path *path = path_new (20000, 1e9);

  run (path, 1000 * MS);
  g_assert_cmpuint (commy_window_size (&path->window), <, 3 * COMMY_WINDOW_MIN);
  g_assert_cmpuint (path->sent, >, 950000000);
  path_free (path);
}

/* A long one: the window follows, twice what the path holds, no more. */
static void
test_long_path (void)
{
  Path *path = path_new (50 * MS, 1e8);
  guint64 holds = 5000000 + PIECE;
  guint64 before;

  run (path, 1000 * MS);
  g_assert_cmpuint (commy_window_size (&path->window), >, holds * 3 / 2);
  g_assert_cmpuint (commy_window_size (&path->window), <, holds * 5 / 2);
  before = path->sent;
  run (path, 1000 * MS);
  g_assert_cmpuint (path->sent - before, >, 95000000);
  path_free (path);
}

static void
test_huge_path (void)
{
  Path *path = path_new (300 * MS, 1e10);

  run (path, 5000 * MS);
  g_assert_cmpuint (commy_window_size (&path->window), ==, COMMY_WINDOW_MAX);
  path_free (path);
}

/* The path becomes slower: an old rate is forgotten. */
static void
test_slower (void)
{
  Path *path = path_new (50 * MS, 1e8);

  run (path, 1000 * MS);
  path->ns_per_byte *= 10;
  run (path, 30000 * MS);
  g_assert_cmpuint (commy_window_size (&path->window), <, 3000000);
  path_free (path);
}

/* The path becomes longer: without a look at an empty path the window would stay too small. */
static void
test_longer (void)
{
  Path *path = path_new (10 * MS, 1e8);
  guint64 before;

  run (path, 1000 * MS);
  path->trip_ns = 80 * MS;
  run (path, 30000 * MS);
  before = path->sent;
  run (path, 5000 * MS);
  g_assert_cmpuint (commy_window_size (&path->window), >, 8000000);
  g_assert_cmpuint (path->sent - before, >, 450000000);
  path_free (path);
}

/* Acknowledgements that come in one bundle do not look like a fast path. */
static void
test_bundles (void)
{
  CommyWindow window = { 0 };
  gint64 now = 0;
  guint32 n = 0;

  for (guint i = 0; i < 100; i++)
    {
      for (guint k = 0; k < 4; k++)
        commy_window_sent (&window, ++n, PIECE, now + k * MS);
      now += 4 * MS;
      for (guint32 k = n - 3; k <= n; k++)
        commy_window_acked (&window, k, now);
    }
  g_assert_cmpuint (window.rate[0], <=, 4 * PIECE * 250u + 1000);
}

/* Bursts with rests between them: the time that nothing was sent does not count. */
static void
test_rest (void)
{
  Path *path = path_new (50 * MS, 1e8);
  guint64 size;

  run (path, 1000 * MS);
  size = commy_window_size (&path->window);
  for (guint i = 0; i < 40; i++)
    {
      fill (path);
      while (path->acked < path->acks->len)
        {
          path->now_ns = MAX (path->now_ns, g_array_index (path->acks, gint64, path->acked));
          commy_window_acked (&path->window, ++path->acked, path->now_ns);
        }
      path->now_ns += 1000 * MS;
    }
  g_assert_cmpuint (commy_window_size (&path->window), >, size / 3);
  path_free (path);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/window/begins-small-and-lets-one-piece-go", test_first);
  g_test_add_func ("/channel/window/who-is-alone-may-have-more", test_floor);
  g_test_add_func ("/channel/window/sequences-wrap", test_sequences);
  g_test_add_func ("/channel/window/pieces-are-bounded", test_bounded);
  g_test_add_func ("/channel/window/short-path-is-busy-with-a-short-queue", test_short_path);
  g_test_add_func ("/channel/window/long-path-is-filled-twice", test_long_path);
  g_test_add_func ("/channel/window/never-more-than-the-maximum", test_huge_path);
  g_test_add_func ("/channel/window/follows-a-path-that-gets-slower", test_slower);
  g_test_add_func ("/channel/window/follows-a-path-that-gets-longer", test_longer);
  g_test_add_func ("/channel/window/bundled-acknowledgements-are-no-rate", test_bundles);
  g_test_add_func ("/channel/window/a-rest-is-no-slow-path", test_rest);
  return g_test_run ();
}
