/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The histogram's arithmetic: which cell a value is counted in, and which value a cell stands for.
 */
#include "config.h"

#include "bench-histogram.h"

#include <math.h>
#include <string.h>

#define HALF (BENCH_HISTOGRAM_EXACT / 2)

BenchHistogram *
bench_histogram_new (void)
{
  return g_new0 (BenchHistogram, 1);
}

void
bench_histogram_free (BenchHistogram *histogram)
{
  g_free (histogram);
}

void
bench_histogram_clear (BenchHistogram *histogram)
{
  memset (histogram, 0, sizeof *histogram);
}

static guint
find_cell (guint64 value)
{
  guint octave;

  if (value < BENCH_HISTOGRAM_EXACT)
    return (guint) value;
  /* 2^10 is the first of octave 0. */
  octave = 63u - (guint) __builtin_clzll (value) - 10u;
  if (octave >= BENCH_HISTOGRAM_OCTAVES)
    return BENCH_HISTOGRAM_CELLS - 1;
  return BENCH_HISTOGRAM_EXACT + octave * HALF + (guint) (value >> (octave + 1)) - HALF;
}

static double
get_middle (guint cell)
{
  guint octave;
  double width;

  if (cell < BENCH_HISTOGRAM_EXACT)
    return cell;
  octave = (cell - BENCH_HISTOGRAM_EXACT) / HALF;
  width = (double) (2ull << octave);
  return ((double) ((cell - BENCH_HISTOGRAM_EXACT) % HALF + HALF) * width) + (width - 1) / 2;
}

void
bench_histogram_add (BenchHistogram *histogram, gint64 value)
{
  guint64 counted = value > 0 ? (guint64) value : 0;

  histogram->n++;
  histogram->max = MAX (histogram->max, counted);
  histogram->cells[find_cell (counted)]++;
}

void
bench_histogram_merge (BenchHistogram *histogram, const BenchHistogram *other)
{
  histogram->n += other->n;
  histogram->max = MAX (histogram->max, other->max);
  for (guint i = 0; i < BENCH_HISTOGRAM_CELLS; i++)
    histogram->cells[i] += other->cells[i];
}

double
bench_histogram_get (const BenchHistogram *histogram, double quantile)
{
  guint64 rank = (guint64) ceil (CLAMP (quantile, 0, 1) * (double) histogram->n);
  guint64 passed = 0;

  for (guint i = 0; i < BENCH_HISTOGRAM_CELLS && histogram->n > 0; i++)
    {
      passed += histogram->cells[i];
      if (passed >= MAX (rank, 1))
        return MIN (get_middle (i), (double) histogram->max);
    }
  return 0;
}
