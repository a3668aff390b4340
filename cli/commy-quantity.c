/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sizes and times as people write and read them, alike in every locale.
 */
#include "config.h"

#include "cli/commy-quantity.h"

#include <math.h>

typedef struct
{
  const char *name;
  double factor;
} Unit;

static gboolean
parse (const char *text, const Unit *units, guint n_units, double *out_value)
{
  char *end;
  double number;

  if (!g_ascii_isdigit (text[0]))
    return FALSE;
  number = g_ascii_strtod (text, &end);
  if (!isfinite (number))
    return FALSE;
  while (*end == ' ')
    end++;
  for (guint i = 0; i < n_units; i++)
    if (g_ascii_strcasecmp (end, units[i].name) == 0)
      {
        *out_value = number * units[i].factor;
        return TRUE;
      }
  return FALSE;
}

gboolean
commy_quantity_parse_size (const char *text, guint64 *out_bytes)
{
  static const Unit units[] = {
    { "", 1 },        { "b", 1 },         { "k", 1024 },       { "kib", 1024 },
    { "m", 1048576 }, { "mib", 1048576 }, { "g", 1073741824 }, { "gib", 1073741824 },
  };
  double bytes;

  if (!parse (text, units, G_N_ELEMENTS (units), &bytes) || bytes > 1e15 || bytes != floor (bytes))
    return FALSE;
  *out_bytes = (guint64) bytes;
  return TRUE;
}

gboolean
commy_quantity_parse_time (const char *text, gint64 *out_us)
{
  static const Unit units[] = {
    { "us", 1 }, { "ms", 1e3 }, { "s", 1e6 }, { "m", 60e6 }, { "min", 60e6 }, { "h", 3600e6 },
  };
  double us;

  if (!parse (text, units, G_N_ELEMENTS (units), &us) || us < 1 || us > 1e15)
    return FALSE;
  *out_us = (gint64) us;
  return TRUE;
}

/* Three digits: "278", "14.1", "2". */
static char *
format (double value, const char *unit)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  double tenths = floor (value * 10 + 0.5);
  gboolean whole = value >= 99.95 || fmod (tenths, 10) < 0.5;

  g_ascii_formatd (text, sizeof text, whole ? "%.0f" : "%.1f", whole ? value : tenths / 10);
  return g_strdup_printf ("%s %s", text, unit);
}

char *
commy_quantity_format_ns (double ns)
{
  if (!(ns >= 0) || ns > 1e18)
    return g_strdup ("unknown");
  if (ns < 999.5)
    return format (ns, "ns");
  if (ns < 999.5e3)
    return format (ns / 1e3, "us");
  if (ns < 999.5e6)
    return format (ns / 1e6, "ms");
  return format (ns / 1e9, "s");
}

char *
commy_quantity_format_size (guint64 bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  double value = (double) bytes;
  guint unit = 0;

  while (value >= 1023.95 && unit + 1 < G_N_ELEMENTS (units))
    {
      value /= 1024;
      unit++;
    }
  return format (value, units[unit]);
}
