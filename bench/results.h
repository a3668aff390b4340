/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What came out: rows with a figure of each round, their medians and ratios, the goals that are
 * judged by them, and how all that is told.
 */
#pragma once

#include "bench.h"

/* --- rows (bench-rows.c) --- */

typedef struct
{
  guint round;
  BenchSample sample;
} BenchRound;

typedef struct
{
  char *id;
  BenchUnit unit;
  guint64 size;
  GArray *rounds; /* of BenchRound, those with a figure */
  char *note;     /* why a round has none, or NULL */
  gboolean failed;
} BenchRow;

typedef enum
{
  BENCH_FIELD_VALUE, /* p50 of times */
  BENCH_FIELD_P90,
  BENCH_FIELD_P99,
  BENCH_FIELD_P999,
  BENCH_FIELD_MAX,
  BENCH_FIELD_CALLER_CPU,
  BENCH_FIELD_SERVICE_CPU,
  BENCH_FIELD_REF,
} BenchField;

typedef struct
{
  GPtrArray *rows; /* of BenchRow, in the order in which they came */
  GHashTable *by_id;
} BenchRows;

BenchRows *bench_rows_new (void);
void bench_rows_free (BenchRows *rows);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchRows, bench_rows_free)

void bench_rows_add (BenchRows *rows, guint round, const BenchSample *sample);
/* NULL: nobody said anything of it. */
const BenchRow *bench_rows_find (const BenchRows *rows, const char *id);
/* Of those that match the glob and have figures, the best; NULL: none. */
const BenchRow *bench_rows_find_best (const BenchRows *rows, const char *pattern);

gboolean bench_row_has_figure (const BenchRow *row);
/* The median of the rounds, and the least and the most of them (may be NULL). */
double bench_row_get (const BenchRow *row, BenchField field);
double
bench_row_get_spread (const BenchRow *row, BenchField field, double *out_least, double *out_most);
guint64 bench_row_get_n (const BenchRow *row);

typedef enum
{
  BENCH_RATIO_KNOWN,
  BENCH_RATIO_NO_FIGURE, /* of one of the two */
  BENCH_RATIO_MOVED,     /* the processors were never as far apart in both */
} BenchRatioResult;

/* The median of what @row is of @other in each round in which both can be compared. */
BenchRatioResult
bench_row_compare (const BenchRow *row, const BenchRow *other, BenchField field, double *out_ratio);

/* --- goals (bench-goals.c) --- */

typedef enum
{
  BENCH_MET,
  BENCH_MISSED,
  BENCH_NOT_MEASURED,
} BenchVerdict;

typedef struct
{
  const char *id;   /* such as P1 */
  const char *text; /* what is wanted, with its bound */
  BenchVerdict verdict;
  double figure; /* unless it was not measured */
  double bound;
  char *told; /* the figure with its unit, or why there is none */
} BenchJudgement;

/* Judges every goal by @rows; in the order of their table. (element-type BenchJudgement) */
GPtrArray *bench_goals_judge (const BenchRows *rows);
const char *bench_verdict_to_string (BenchVerdict verdict);

/* --- telling --- */

/* What is told of the run itself. */
typedef struct
{
  char *processor;
  char *kernel;
  guint processors;
  char *date;
  char *command;
  char *version;
  guint rounds;
  const char *length;
  gint64 took_ns;
  GPtrArray *peers; /* of BenchPeerInfo (bench-peers.c) */
} BenchFacts;

/* What there is of a peer, or why there is nothing. */
typedef struct
{
  char *name;
  char *version; /* NULL: not there */
  char *note;    /* why, then */
} BenchPeerInfo;

/* "1.23 us", "12.3 M/s", "640 KiB" (bench-units.c) */
char *bench_format (BenchUnit unit, double value);
char *bench_format_size (guint64 size);
/* Of the rate @row, bytes a second. */
double bench_row_get_bytes_per_second (const BenchRow *row);

/* bench-table.c */
void bench_table_print_head (const BenchFacts *facts, gboolean colour);
void bench_table_print_rows (const BenchRows *rows, guint from, gboolean colour);
void bench_table_print_goals (const GPtrArray *goals, gboolean colour);
/* bench-json.c */
char *bench_json_write (const BenchFacts *facts, const BenchRows *rows, const GPtrArray *goals);
/* bench-page.c */
gboolean bench_page_write (const char *path,
                           const char *style,
                           const BenchFacts *facts,
                           const BenchRows *rows,
                           const GPtrArray *goals,
                           GError **error);
