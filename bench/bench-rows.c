/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows with a figure of each round: medians, spread, and ratios that use only rounds in which the
 * processors were as far apart in both rows.
 */
#include "config.h"

#include "results.h"

#include <stdlib.h>
#include <string.h>

#define MOVED 1.5 /* the cache line's round trips differ by more: not comparable */

static void
free_row (gpointer data)
{
  BenchRow *row = data;

  g_free (row->id);
  g_free (row->note);
  g_array_unref (row->rounds);
  g_free (row);
}

BenchRows *
bench_rows_new (void)
{
  BenchRows *rows = g_new0 (BenchRows, 1);

  rows->rows = g_ptr_array_new_with_free_func (free_row);
  rows->by_id = g_hash_table_new (g_str_hash, g_str_equal);
  return rows;
}

void
bench_rows_free (BenchRows *rows)
{
  g_hash_table_unref (rows->by_id);
  g_ptr_array_unref (rows->rows);
  g_free (rows);
}

static BenchRow *
get_row (BenchRows *rows, const BenchSample *sample)
{
  BenchRow *row = g_hash_table_lookup (rows->by_id, sample->id);

  if (row != NULL)
    return row;
  row = g_new0 (BenchRow, 1);
  row->id = g_strdup (sample->id);
  row->rounds = g_array_new (FALSE, FALSE, sizeof (BenchRound));
  g_ptr_array_add (rows->rows, row);
  g_hash_table_insert (rows->by_id, row->id, row);
  return row;
}

void
bench_rows_add (BenchRows *rows, guint round, const BenchSample *sample)
{
  BenchRow *row = get_row (rows, sample);
  BenchRound one = { round, *sample };

  row->failed = row->failed || sample->failed;
  if (sample->note[0] != '\0')
    {
      g_free (row->note);
      row->note = g_strdup (sample->note);
      return;
    }
  row->unit = sample->unit;
  row->size = sample->size;
  g_array_append_val (row->rounds, one);
}

const BenchRow *
bench_rows_find (const BenchRows *rows, const char *id)
{
  return g_hash_table_lookup (rows->by_id, id);
}

gboolean
bench_row_has_figure (const BenchRow *row)
{
  return row != NULL && row->rounds->len > 0;
}

const BenchRow *
bench_rows_find_best (const BenchRows *rows, const char *pattern)
{
  const BenchRow *best = NULL;

  for (guint i = 0; i < rows->rows->len; i++)
    {
      const BenchRow *row = rows->rows->pdata[i];
      double value;

      if (!bench_row_has_figure (row) || !g_pattern_match_simple (pattern, row->id))
        continue;
      value = bench_row_get (row, BENCH_FIELD_VALUE);
      if (best == NULL
          || (row->unit == BENCH_RATE ? value > bench_row_get (best, BENCH_FIELD_VALUE)
                                      : value < bench_row_get (best, BENCH_FIELD_VALUE)))
        best = row;
    }
  return best;
}

/* --- medians --- */

static double
get_field (const BenchSample *sample, BenchField field)
{
  switch (field)
    {
    case BENCH_FIELD_P90:
      return sample->p90;
    case BENCH_FIELD_P99:
      return sample->p99;
    case BENCH_FIELD_P999:
      return sample->p999;
    case BENCH_FIELD_MAX:
      return sample->max;
    case BENCH_FIELD_CALLER_CPU:
      return sample->caller_cpu;
    case BENCH_FIELD_SERVICE_CPU:
      return sample->service_cpu;
    case BENCH_FIELD_REF:
      return sample->ref_ns;
    case BENCH_FIELD_VALUE:
    default:
      return sample->value;
    }
}

static int
compare (const void *a, const void *b)
{
  double left = *(const double *) a;
  double right = *(const double *) b;

  return (left > right) - (left < right);
}

/* Sorts; of an even number the mean of the two in the middle. */
static double
take_median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare);
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double
bench_row_get_spread (const BenchRow *row, BenchField field, double *out_least, double *out_most)
{
  guint n = row->rounds->len;
  g_autofree double *values = g_new0 (double, MAX (n, 1));
  double median;

  for (guint i = 0; i < n; i++)
    values[i] = get_field (&g_array_index (row->rounds, BenchRound, i).sample, field);
  median = n > 0 ? take_median (values, n) : 0;
  if (out_least != NULL)
    *out_least = values[0];
  if (out_most != NULL)
    *out_most = n > 0 ? values[n - 1] : 0;
  return median;
}

double
bench_row_get (const BenchRow *row, BenchField field)
{
  return bench_row_get_spread (row, field, NULL, NULL);
}

guint64
bench_row_get_n (const BenchRow *row)
{
  guint64 n = 0;

  for (guint i = 0; i < row->rounds->len; i++)
    n += g_array_index (row->rounds, BenchRound, i).sample.n;
  return n;
}

double
bench_row_get_bytes_per_second (const BenchRow *row)
{
  return bench_row_get (row, BENCH_FIELD_VALUE) * (double) row->size;
}

/* --- ratios --- */

static gboolean
is_as_far (const BenchSample *a, const BenchSample *b)
{
  if (a->ref_ns <= 0 || b->ref_ns <= 0)
    return TRUE; /* one of them does not depend on it */
  return MAX (a->ref_ns, b->ref_ns) <= MOVED * MIN (a->ref_ns, b->ref_ns);
}

static const BenchSample *
find_round (const BenchRow *row, guint round)
{
  for (guint i = 0; i < row->rounds->len; i++)
    {
      const BenchRound *one = &g_array_index (row->rounds, BenchRound, i);

      if (one->round == round)
        return &one->sample;
    }
  return NULL;
}

BenchRatioResult
bench_row_compare (const BenchRow *row, const BenchRow *other, BenchField field, double *out_ratio)
{
  g_autofree double *ratios = NULL;
  guint n = 0;

  if (!bench_row_has_figure (row) || !bench_row_has_figure (other))
    return BENCH_RATIO_NO_FIGURE;
  ratios = g_new0 (double, row->rounds->len);
  for (guint i = 0; i < row->rounds->len; i++)
    {
      const BenchRound *mine = &g_array_index (row->rounds, BenchRound, i);
      const BenchSample *theirs = find_round (other, mine->round);

      if (theirs != NULL && get_field (theirs, field) > 0 && is_as_far (&mine->sample, theirs))
        ratios[n++] = get_field (&mine->sample, field) / get_field (theirs, field);
    }
  /* A median of the few rounds in which nothing moved says little of all. */
  if (2 * n < MIN (row->rounds->len, other->rounds->len))
    return BENCH_RATIO_MOVED;
  *out_ratio = take_median (ratios, n);
  return BENCH_RATIO_KNOWN;
}
