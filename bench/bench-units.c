/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures with their units, as people read them.
 */
#include "config.h"

#include "results.h"

typedef struct
{
  double factor;
  const char *name;
} Step;

/* Three digits that mean something. */
static char *
format_scaled (double value, const Step *steps, guint n)
{
  guint i = 0;
  double scaled;

  while (i + 1 < n && ABS (value) >= steps[i + 1].factor)
    i++;
  scaled = value / steps[i].factor;
  return g_strdup_printf ("%.*f%s",
                          scaled >= 100 || (i == 0 && scaled >= 10) ? 0
                          : scaled >= 10                            ? 1
                                                                    : 2,
                          scaled, steps[i].name);
}

char *
bench_format (BenchUnit unit, double value)
{
  static const Step times[] = { { 1, " ns" }, { 1e3, " us" }, { 1e6, " ms" }, { 1e9, " s" } };
  static const Step rates[] = { { 1, " /s" }, { 1e3, " k/s" }, { 1e6, " M/s" }, { 1e9, " G/s" } };
  static const Step bytes[]
      = { { 1, " B" }, { 1024, " KiB" }, { 1048576, " MiB" }, { 1073741824, " GiB" } };
  static const Step plain[] = { { 1, "" } };

  switch (unit)
    {
    case BENCH_TIME:
      return format_scaled (value, times, G_N_ELEMENTS (times));
    case BENCH_RATE:
      return format_scaled (value, rates, G_N_ELEMENTS (rates));
    case BENCH_BYTES:
      return format_scaled (value, bytes, G_N_ELEMENTS (bytes));
    case BENCH_RATIO:
    case BENCH_COUNT:
    default:
      return format_scaled (value, plain, G_N_ELEMENTS (plain));
    }
}

char *
bench_format_size (guint64 size)
{
  if (size >= 1048576 && size % 1048576 == 0)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " MiB", size / 1048576);
  if (size >= 1024 && size % 1024 == 0)
    return g_strdup_printf ("%" G_GUINT64_FORMAT " KiB", size / 1024);
  return g_strdup_printf ("%" G_GUINT64_FORMAT " B", size);
}
