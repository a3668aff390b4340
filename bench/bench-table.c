/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table for people at a terminal.
 */
#include "config.h"

#include "results.h"

#include <string.h>

#define BOLD "\033[1m"
#define FAINT "\033[2m"
#define GREEN "\033[32m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

static const char *
paint (gboolean colour, const char *code)
{
  return colour ? code : "";
}

void
bench_table_print_head (const BenchFacts *facts, gboolean colour)
{
  g_print ("%sCommy %s%s, %s, %u processors, %s\n", paint (colour, BOLD), facts->version,
           paint (colour, PLAIN), facts->processor, facts->processors, facts->kernel);
  g_print ("%s\n%u rounds, %s; figures are their medians\n", facts->command, facts->rounds,
           facts->length);
  for (guint i = 0; i < facts->peers->len; i++)
    {
      const BenchPeerInfo *peer = facts->peers->pdata[i];

      if (peer->version != NULL)
        g_print ("peer %s %s\n", peer->name, peer->version);
      else
        g_print ("peer %s: not measured: %s\n", peer->name, peer->note);
    }
}

/* --- rows --- */

static char *
format_cpu (const BenchRow *row)
{
  double mine = bench_row_get (row, BENCH_FIELD_CALLER_CPU);
  double theirs = bench_row_get (row, BENCH_FIELD_SERVICE_CPU);
  g_autofree char *left = mine >= 0 ? bench_format (BENCH_TIME, mine) : g_strdup ("");
  g_autofree char *right = theirs >= 0 ? bench_format (BENCH_TIME, theirs) : g_strdup ("");

  if (mine < 0 && theirs < 0)
    return g_strdup ("");
  return g_strdup_printf ("%s + %s", mine >= 0 ? left : "?", theirs >= 0 ? right : "?");
}

static char *
format_extra (const BenchRow *row)
{
  g_autofree char *p99 = NULL;
  g_autofree char *most = NULL;
  g_autofree char *bytes = NULL;

  switch (row->unit)
    {
    case BENCH_TIME:
      p99 = bench_format (BENCH_TIME, bench_row_get (row, BENCH_FIELD_P99));
      most = bench_format (BENCH_TIME, bench_row_get (row, BENCH_FIELD_P999));
      return bench_row_get (row, BENCH_FIELD_P99) > 0 ? g_strdup_printf (
                 "%11s %11s", p99, bench_row_get (row, BENCH_FIELD_P999) > 0 ? most : "")
                                                      : g_strdup_printf ("%23s", "");
    case BENCH_RATE:
      bytes = bench_format (BENCH_BYTES, bench_row_get_bytes_per_second (row));
      return g_strdup_printf ("%9s/s %11s", bytes, "");
    case BENCH_BYTES:
    case BENCH_RATIO:
    case BENCH_COUNT:
    default:
      return g_strdup_printf ("%23s", "");
    }
}

static void
print_row (const BenchRow *row, gboolean colour)
{
  double least, most;
  double median = bench_row_get_spread (row, BENCH_FIELD_VALUE, &least, &most);
  g_autofree char *value = bench_format (row->unit, median);
  g_autofree char *extra = format_extra (row);
  g_autofree char *cpu = format_cpu (row);
  double ref = bench_row_get (row, BENCH_FIELD_REF);
  g_autofree char *ref_text = bench_format (BENCH_TIME, ref);
  double spread = median > 0 ? 100 * (most - least) / median : 0;

  g_print ("  %-46s %s%11s%s %s %5.0f %% %7s  %s\n", row->id, paint (colour, BOLD), value,
           paint (colour, PLAIN), extra, spread, ref > 0 ? ref_text : "", cpu);
}

void
bench_table_print_rows (const BenchRows *rows, guint from, gboolean colour)
{
  if (from < rows->rows->len)
    g_print ("\n%s  %-46s %11s %11s %11s %7s %7s  %s%s\n", paint (colour, FAINT), "", "p50, rate",
             "p99, bytes", "p99.9", "spread", "ref", "processor time, both ends",
             paint (colour, PLAIN));
  for (guint i = from; i < rows->rows->len; i++)
    {
      const BenchRow *row = rows->rows->pdata[i];

      if (bench_row_has_figure (row))
        print_row (row, colour);
      if (row->note != NULL)
        g_print ("  %-46s %s%s: %s%s\n", row->id, paint (colour, row->failed ? RED : FAINT),
                 row->failed ? "failed" : "not measured", row->note, paint (colour, PLAIN));
    }
}

/* --- goals --- */

static const char *
get_colour (BenchVerdict verdict)
{
  switch (verdict)
    {
    case BENCH_MET:
      return GREEN;
    case BENCH_MISSED:
      return RED;
    case BENCH_NOT_MEASURED:
    default:
      return FAINT;
    }
}

void
bench_table_print_goals (const GPtrArray *goals, gboolean colour)
{
  guint counts[3] = { 0 };

  g_print ("\n");
  for (guint i = 0; i < goals->len; i++)
    {
      const BenchJudgement *goal = goals->pdata[i];

      counts[goal->verdict]++;
      g_print ("%-7s %s%-12s%s %-86s %s\n", goal->id, paint (colour, get_colour (goal->verdict)),
               bench_verdict_to_string (goal->verdict), paint (colour, PLAIN), goal->text,
               goal->told);
    }
  g_print ("\ngoals: %u met, %u missed, %u not measured\n", counts[BENCH_MET], counts[BENCH_MISSED],
           counts[BENCH_NOT_MEASURED]);
}
