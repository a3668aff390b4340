/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A histogram of times in fixed memory, after the idea of Gil Tene's HdrHistogram: exact below
 * 1024, then 512 equal steps to each power of two, so that a value is known to 0.2 % at worst.
 * Pure.
 */
#pragma once

#include <glib.h>

#define BENCH_HISTOGRAM_EXACT 1024u /* values below are counted one by one */
#define BENCH_HISTOGRAM_OCTAVES 34u /* above: up to 2^44, five hours in ns */
#define BENCH_HISTOGRAM_CELLS \
  (BENCH_HISTOGRAM_EXACT + BENCH_HISTOGRAM_OCTAVES * (BENCH_HISTOGRAM_EXACT / 2))

typedef struct
{
  guint64 n;
  guint64 max; /* as it was, not as it was counted */
  guint64 cells[BENCH_HISTOGRAM_CELLS];
} BenchHistogram;

BenchHistogram *bench_histogram_new (void);
void bench_histogram_free (BenchHistogram *histogram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchHistogram, bench_histogram_free)

/* Negative ones count as 0; what is beyond the last cell counts there. */
void bench_histogram_add (BenchHistogram *histogram, gint64 value);
void bench_histogram_merge (BenchHistogram *histogram, const BenchHistogram *other);
void bench_histogram_clear (BenchHistogram *histogram);
/* The least value that at least the share @quantile (0 to 1) of all is not above: the middle of its
 * cell, never more than the maximum; 0 if nothing was added. */
double bench_histogram_get (const BenchHistogram *histogram, double quantile);
