/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows, percentiles, and how they are told: as a table for people, as JSON for programs.
 */
#include "config.h"

#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static int
compare_ns (const void *a, const void *b)
{
  gint64 left = *(const gint64 *) a;
  gint64 right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

void
bench_row_free (gpointer data)
{
  BenchRow *row = data;

  g_free (row->name);
  g_free (row->wait);
  g_free (row->limit);
  g_free (row);
}

/* The row that @row is compared with: that name at its size, else at the smallest. */
static const BenchRow *
find_limit (const Bench *bench, const BenchRow *row)
{
  const BenchRow *found = NULL;

  for (guint i = 0; row->limit != NULL && i < bench->rows->len; i++)
    {
      const BenchRow *other = g_ptr_array_index (bench->rows, i);

      if (strcmp (other->name, row->limit) == 0 && (found == NULL || other->size == row->size))
        found = other;
    }
  return found;
}

static void
print_row (const Bench *bench, const BenchRow *row)
{
  const BenchRow *limit = find_limit (bench, row);

  if (row->is_rate)
    g_print ("%-28s %-9s %8" G_GSIZE_FORMAT " %8" G_GSIZE_FORMAT " %11.0f calls/s\n", row->name,
             row->wait, row->size, row->n, row->p50);
  else if (limit != NULL)
    g_print ("%-28s %-9s %8" G_GSIZE_FORMAT " %8" G_GSIZE_FORMAT
             " %11.3f %11.3f  %7.2f %7.2f x %s, %" G_GSIZE_FORMAT " bytes\n",
             row->name, row->wait, row->size, row->n, row->p50 / 1000, row->p99 / 1000,
             row->p50 / limit->p50, row->p99 / limit->p99, limit->name, limit->size);
  else
    g_print ("%-28s %-9s %8" G_GSIZE_FORMAT " %8" G_GSIZE_FORMAT " %11.3f %11.3f\n", row->name,
             row->wait, row->size, row->n, row->p50 / 1000, row->p99 / 1000);
}

static void
take (Bench *bench, BenchRow *row)
{
  g_ptr_array_add (bench->rows, row);
  if (!bench->json)
    print_row (bench, row);
}

void
bench_add (Bench *bench,
           const char *name,
           const char *wait,
           gsize size,
           const char *limit,
           gint64 *ns,
           gsize n)
{
  BenchRow *row = g_new0 (BenchRow, 1);

  qsort (ns, n, sizeof *ns, compare_ns);
  row->name = g_strdup (name);
  row->wait = g_strdup (wait);
  row->size = size;
  row->limit = g_strdup (limit);
  row->n = n;
  row->p50 = (double) ns[n / 2];
  row->p99 = (double) ns[n - 1 - n / 100];
  take (bench, row);
}

void
bench_add_rate (Bench *bench, const char *name, const char *wait, gsize size, double rate)
{
  BenchRow *row = g_new0 (BenchRow, 1);

  row->name = g_strdup (name);
  row->wait = g_strdup (wait);
  row->size = size;
  row->p50 = row->p99 = rate;
  row->is_rate = TRUE;
  take (bench, row);
}

/* --- the machine --- */

static char *
dup_cpu_model (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL)
      && (line = strstr (text, "model name")) != NULL && (line = strchr (line, ':')) != NULL)
    {
      g_autofree char *model = g_strndup (line + 1, strcspn (line + 1, "\n"));

      return g_str_to_ascii (g_strstrip (model), "C");
    }
  return g_strdup ("unknown processor");
}

void
bench_print_head (const Bench *bench)
{
  g_autofree char *model = dup_cpu_model ();
  struct utsname kernel;

  uname (&kernel);
  g_print ("machine: %s, %u processors, %s %s, %s\n", model, g_get_num_processors (),
           kernel.sysname, kernel.release, kernel.machine);
  if (bench->can_spin)
    g_print ("pinned: caller to processor %d, service to %d\n", bench->cpus[0], bench->cpus[1]);
  else
    g_print ("pinned: both to processor %d; with one processor nothing can spin: left out\n",
             bench->cpus[0]);
  g_print ("command: bench/commy-bench %s\n", bench->command);
  g_print ("%-28s %-9s %8s %8s %11s %11s  %15s\n", "round trip", "wait", "bytes", "times",
           "p50 us", "p99 us", "ratio: p50 p99");
}

void
bench_print_json (const Bench *bench)
{
  g_autofree char *model = dup_cpu_model ();
  g_autofree char *model_text = g_strescape (model, NULL);
  g_autofree char *command = g_strescape (bench->command, NULL);
  struct utsname kernel;

  uname (&kernel);
  g_print ("{\"machine\":{\"processor\":\"%s\",\"processors\":%u,\"kernel\":\"%s %s %s\"},"
           "\"command\":\"bench/commy-bench %s\",\"rows\":[",
           model_text, g_get_num_processors (), kernel.sysname, kernel.release, kernel.machine,
           command);
  for (guint i = 0; i < bench->rows->len; i++)
    {
      const BenchRow *row = g_ptr_array_index (bench->rows, i);
      const BenchRow *limit = find_limit (bench, row);

      g_print ("%s\n{\"name\":\"%s\",\"wait\":\"%s\",\"bytes\":%" G_GSIZE_FORMAT, i > 0 ? "," : "",
               row->name, row->wait, row->size);
      if (row->is_rate)
        g_print (",\"calls_per_s\":%.0f}", row->p50);
      else
        g_print (",\"times\":%" G_GSIZE_FORMAT ",\"p50_ns\":%.0f,\"p99_ns\":%.0f", row->n, row->p50,
                 row->p99);
      if (limit != NULL)
        g_print (",\"limit\":\"%s\",\"limit_bytes\":%" G_GSIZE_FORMAT ",\"ratio\":%.3f,\"ratio_p99\":%.3f",
                 limit->name, limit->size, row->p50 / limit->p50, row->p99 / limit->p99);
      if (!row->is_rate)
        g_print ("}");
    }
  g_print ("\n]}\n");
}
