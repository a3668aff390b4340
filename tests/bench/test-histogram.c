/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every figure of bench/ rests on: the histogram that keeps it and the times at which messages
 * of a rate are meant to leave.
 */
#include "config.h"

#include "bench/bench-histogram.h"
#include "bench/bench-pace.h"

#include <string.h>

/* --- the histogram --- */

static void
test_empty (void)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();

  g_assert_cmpfloat (bench_histogram_get (histogram, 0.5), ==, 0);
  g_assert_cmpuint (histogram->max, ==, 0);
}

static void
test_small_exact (void)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();

  for (gint64 value = 1; value <= 1000; value++)
    bench_histogram_add (histogram, value);
  g_assert_cmpfloat (bench_histogram_get (histogram, 0), ==, 1);
  g_assert_cmpfloat (bench_histogram_get (histogram, 0.5), ==, 500);
  g_assert_cmpfloat (bench_histogram_get (histogram, 0.99), ==, 990);
  g_assert_cmpfloat (bench_histogram_get (histogram, 0.999), ==, 999);
  g_assert_cmpfloat (bench_histogram_get (histogram, 1), ==, 1000);
  g_assert_cmpuint (histogram->n, ==, 1000);
}

/* Every power of two and its neighbours, up to where the last cell begins. */
static void
test_large_close (void)
{
  for (guint power = 0; power < 44; power++)
    for (gint64 off = -1; off <= 1; off++)
      {
        g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
        gint64 value = ((gint64) 1 << power) + off;
        double got;

        bench_histogram_add (histogram, value);
        bench_histogram_add (histogram, (gint64) 1 << 43); /* so that the maximum is another */
        got = bench_histogram_get (histogram, 0.5);
        g_assert_cmpfloat_with_epsilon (got, (double) value, (double) value / 512 + 0.5);
      }
}

static void
test_order (void)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  double last = 0;

  for (gint64 value = 1; value < ((gint64) 1 << 40); value += value / 7 + 1)
    bench_histogram_add (histogram, value);
  for (guint i = 0; i <= 1000; i++)
    {
      double got = bench_histogram_get (histogram, i / 1000.0);

      g_assert_cmpfloat (got, >=, last);
      last = got;
    }
  g_assert_cmpfloat (last, <=, (double) histogram->max);
}

static void
test_extremes (void)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();

  bench_histogram_add (histogram, -5);
  g_assert_cmpfloat (bench_histogram_get (histogram, 1), ==, 0);
  bench_histogram_add (histogram, G_MAXINT64);
  g_assert_cmpuint (histogram->max, ==, G_MAXINT64);
  g_assert_cmpuint (histogram->cells[BENCH_HISTOGRAM_CELLS - 1], ==, 1);
  g_assert_cmpfloat (bench_histogram_get (histogram, -1), ==, 0);
  g_assert_cmpfloat (bench_histogram_get (histogram, 2), >, 1e13);
}

static void
test_never_above_maximum (void)
{
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();

  bench_histogram_add (histogram, 1000001);
  g_assert_cmpfloat (bench_histogram_get (histogram, 0.5), <=, 1000001);
}

static void
test_merge (void)
{
  g_autoptr (BenchHistogram) low = bench_histogram_new ();
  g_autoptr (BenchHistogram) high = bench_histogram_new ();
  g_autoptr (BenchHistogram) both = bench_histogram_new ();

  for (gint64 value = 0; value < 3000; value++)
    {
      bench_histogram_add (value % 3 == 0 ? low : high, value * value);
      bench_histogram_add (both, value * value);
    }
  bench_histogram_merge (low, high);
  g_assert_cmpmem (low, sizeof *low, both, sizeof *both);
  bench_histogram_clear (low);
  g_assert_cmpuint (low->n, ==, 0);
  g_assert_cmpfloat (bench_histogram_get (low, 0.5), ==, 0);
}

/* --- the rate --- */

static void
test_pace_even (void)
{
  BenchPace pace;

  bench_pace_init (&pace, 5000, 1e6);
  for (gint64 i = 0; i < 1000; i++)
    g_assert_cmpint (bench_pace_take (&pace), ==, 5000 + i * 1000);
}

/* A third of a million a second: no gap is a whole number of ns, and still no error adds up. */
static void
test_pace_no_drift (void)
{
  BenchPace pace;

  bench_pace_init (&pace, 0, 1e6 / 3);
  pace.sent = (guint64) 1000000 * 1000;
  g_assert_cmpint (bench_pace_get (&pace), ==, (gint64) 3000000 * 1000000);
}

/* Who is held up is behind by what should have left, and the times of later ones stay. */
static void
test_pace_after_stall (void)
{
  BenchPace pace;
  gint64 now = 10000;

  bench_pace_init (&pace, 0, 1e6);
  g_assert_cmpuint (bench_pace_behind (&pace, -1), ==, 0);
  g_assert_cmpuint (bench_pace_behind (&pace, 0), ==, 1);
  g_assert_cmpuint (bench_pace_behind (&pace, now), ==, 11);
  for (gint64 i = 0; i <= 10; i++)
    g_assert_cmpint (now - bench_pace_take (&pace), ==, 10000 - i * 1000);
  g_assert_cmpuint (bench_pace_behind (&pace, now), ==, 0);
  g_assert_cmpint (bench_pace_get (&pace), ==, 11000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bench/histogram/of-nothing-says-zero", test_empty);
  g_test_add_func ("/bench/histogram/small-values-are-exact", test_small_exact);
  g_test_add_func ("/bench/histogram/large-values-are-known-to-a-five-hundredth", test_large_close);
  g_test_add_func ("/bench/histogram/quantiles-never-fall", test_order);
  g_test_add_func ("/bench/histogram/takes-negative-and-huge-values", test_extremes);
  g_test_add_func ("/bench/histogram/no-quantile-is-above-the-maximum", test_never_above_maximum);
  g_test_add_func ("/bench/histogram/merged-is-as-if-counted-together", test_merge);
  g_test_add_func ("/bench/pace/gaps-are-even", test_pace_even);
  g_test_add_func ("/bench/pace/errors-do-not-add-up", test_pace_no_drift);
  g_test_add_func ("/bench/pace/a-stall-moves-no-later-message", test_pace_after_stall);
  return g_test_run ();
}
