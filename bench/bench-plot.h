/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drawings of results as SVG inside of a page: lines over sizes with logarithmic axes, and bars. No
 * script; colours are the page's, by class.
 */
#pragma once

#include "results.h"

typedef enum
{
  BENCH_INK_OURS, /* the strongest */
  BENCH_INK_OURS_2,
  BENCH_INK_OURS_3,
  BENCH_INK_LIMIT, /* dashed */
  BENCH_INK_LIMIT_2,
  BENCH_INK_PEER, /* one colour after the other */
} BenchInk;

typedef struct _BenchPlot BenchPlot;

/* @per_second: rates are drawn as bytes a second. */
BenchPlot *bench_plot_new (const char *title, gboolean bytes_per_second);
void bench_plot_free (BenchPlot *plot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchPlot, bench_plot_free)

/* A line through all rows that match @pattern, the best at each size; none if there are none. */
void bench_plot_add (
    BenchPlot *plot, const BenchRows *rows, const char *pattern, const char *name, BenchInk ink);
/* One such line of each peer for the metric and the wait. */
void bench_plot_add_peers (BenchPlot *plot,
                           const BenchRows *rows,
                           const BenchFacts *facts,
                           const char *metric,
                           const char *wait);
/* Writes the figure; nothing if there is no line. */
void bench_plot_write (const BenchPlot *plot, GString *html);

/* Bars of the best rows that match, the best on top. */
typedef struct _BenchBars BenchBars;

BenchBars *bench_bars_new (const char *title);
void bench_bars_free (BenchBars *bars);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchBars, bench_bars_free)
void bench_bars_add (
    BenchBars *bars, const BenchRows *rows, const char *pattern, const char *name, BenchInk ink);
/* Sorted unless @as_given. */
void bench_bars_write (BenchBars *bars, gboolean as_given, GString *html);
