/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers with units, read and written without regard to the locale: a keyfile means the
 * same everywhere. Signs, exponents, hexadecimal, "inf" and "nan" are not numbers here.
 */
#include "config.h"

#include "base/commy-units.h"

#include <math.h>
#include <string.h>

#define MAX_TEXT 64u

typedef struct
{
  const char *name;
  guint64 factor;
} Unit;

/* A number as written: exact while it has no fraction. */
typedef struct
{
  gboolean whole;
  guint64 integer;
  double real;
  const char *unit; /* the rest of the text */
} Number;

static const Unit size_units[] = {
  { "", 1 },
  { "B", 1 },
  { "k", 1ull << 10 },
  { "K", 1ull << 10 },
  { "KiB", 1ull << 10 },
  { "M", 1ull << 20 },
  { "MiB", 1ull << 20 },
  { "G", 1ull << 30 },
  { "GiB", 1ull << 30 },
  { "T", 1ull << 40 },
  { "TiB", 1ull << 40 },
  { "PiB", 1ull << 50 },
  { "EiB", 1ull << 60 },
  { "kB", 1000ull },
  { "KB", 1000ull },
  { "MB", 1000000ull },
  { "GB", 1000000000ull },
  { "TB", 1000000000000ull },
};

static const Unit time_units[] = {
  { "", 1 },
  { "ns", 1 },
  { "us", 1000ull },
  { "\xc2\xb5s", 1000ull },
  { "ms", 1000000ull },
  { "s", 1000000000ull },
  { "min", 60000000000ull },
  { "h", 3600000000000ull },
};

static const Unit *
find_unit (const Unit *units, gsize n_units, const char *name, gsize length)
{
  for (gsize i = 0; i < n_units; i++)
    if (strlen (units[i].name) == length && strncmp (units[i].name, name, length) == 0)
      return &units[i];
  return NULL;
}

static gboolean
parse_number (const char *text, Number *out)
{
  const char *at = text;
  const char *digits_end;

  if (text == NULL || strlen (text) > MAX_TEXT || !g_ascii_isdigit (*text))
    return FALSE;
  while (g_ascii_isdigit (*at))
    at++;
  digits_end = at;
  if (*at == '.')
    {
      if (!g_ascii_isdigit (at[1]))
        return FALSE;
      for (at++; g_ascii_isdigit (*at); at++)
        ;
    }
  {
    g_autofree char *number = g_strndup (text, (gsize) (at - text));

    out->real = g_ascii_strtod (number, NULL);
    out->whole = at == digits_end
                 && g_ascii_string_to_unsigned (number, 10, 0, G_MAXUINT64, &out->integer, NULL);
  }
  while (*at == ' ')
    at++;
  out->unit = at;
  return TRUE;
}

static gboolean
parse_whole (const char *text, const Unit *units, gsize n_units, guint64 maximum, guint64 *out)
{
  Number number;
  const Unit *unit;
  double value;

  if (!parse_number (text, &number))
    return FALSE;
  unit = find_unit (units, n_units, number.unit, strlen (number.unit));
  if (unit == NULL)
    return FALSE;
  if (number.whole)
    {
      guint64 product;

      if (!g_uint64_checked_mul (&product, number.integer, unit->factor) || product > maximum)
        return FALSE;
      *out = product;
      return TRUE;
    }
  value = nearbyint (number.real * (double) unit->factor);
  /* The maximum itself is not exact as a double, so the comparison leaves it out. */
  if (!isfinite (value) || value >= (double) maximum)
    return FALSE;
  *out = (guint64) value;
  return TRUE;
}

gboolean
commy_parse_size (const char *text, guint64 *out_bytes)
{
  return parse_whole (text, size_units, G_N_ELEMENTS (size_units), G_MAXUINT64, out_bytes);
}

gboolean
commy_parse_duration (const char *text, gint64 *out_ns)
{
  guint64 ns;

  if (!parse_whole (text, time_units, G_N_ELEMENTS (time_units), G_MAXINT64, &ns))
    return FALSE;
  *out_ns = (gint64) ns;
  return TRUE;
}

gboolean
commy_parse_rate (const char *text, double *out_bytes_per_second)
{
  Number number;
  const Unit *unit;
  gsize length;
  double value;

  if (!parse_number (text, &number))
    return FALSE;
  length = strlen (number.unit);
  if (g_str_has_suffix (number.unit, "/s"))
    {
      length -= strlen ("/s");
      if (length == 0)
        return FALSE; /* "12/s" is a number of what? */
    }
  unit = find_unit (size_units, G_N_ELEMENTS (size_units), number.unit, length);
  if (unit == NULL)
    return FALSE;
  value = number.real * (double) unit->factor;
  if (!isfinite (value))
    return FALSE;
  *out_bytes_per_second = value;
  return TRUE;
}

gboolean
commy_parse_share (const char *text, double *out_share)
{
  Number number;
  double value;

  if (!parse_number (text, &number))
    return FALSE;
  if (strcmp (number.unit, "%") == 0)
    value = number.real / 100;
  else if (*number.unit == '\0')
    value = number.real;
  else
    return FALSE;
  if (!(value <= 1))
    return FALSE;
  *out_share = value;
  return TRUE;
}

/* Formats with a '.' and without zeros at the end. */
static char *
format_short (double value, const char *format, const char *unit)
{
  char number[64];

  g_ascii_formatd (number, sizeof number, format, value);
  if (strchr (number, '.') != NULL)
    {
      char *end = number + strlen (number);

      while (end[-1] == '0')
        *--end = '\0';
      if (end[-1] == '.')
        end[-1] = '\0';
    }
  return g_strconcat (number, " ", unit, NULL);
}

char *
commy_format_duration (double ns)
{
  static const char *const units[] = { "ns", "us", "ms", "s" };
  double value = fabs (ns);
  guint i = 0;

  if (!isfinite (ns))
    return g_strdup (isnan (ns) ? "unknown" : ns > 0 ? "never" : "-never");
  /* 999.5 already rounds to 1000 at three digits. */
  while (i + 1 < G_N_ELEMENTS (units) && value >= 999.5)
    {
      value /= 1000;
      i++;
    }
  return format_short (copysign (value, ns),
                       value >= 99.95   ? "%.0f"
                       : value >= 9.995 ? "%.1f"
                                        : "%.2f",
                       units[i]);
}

char *
commy_format_size (guint64 bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double value = (double) bytes;
  guint i = 0;

  while (i + 1 < G_N_ELEMENTS (units) && value >= (i == 0 ? 1024 : 1023.95))
    {
      value /= 1024;
      i++;
    }
  return format_short (value, i == 0 ? "%.0f" : "%.1f", units[i]);
}

guint
commy_edit_distance (const char *a, const char *b, guint limit)
{
  gsize n = strlen (a);
  gsize m = strlen (b);
  g_autofree gsize *row = NULL;

  if ((n > m ? n - m : m - n) > limit)
    return limit + 1;
  row = g_new (gsize, m + 1);
  for (gsize j = 0; j <= m; j++)
    row[j] = j;
  for (gsize i = 1; i <= n; i++)
    {
      gsize diagonal = row[0];
      gsize best = i;

      row[0] = i;
      for (gsize j = 1; j <= m; j++)
        {
          gsize above = row[j];
          gsize change = diagonal + (a[i - 1] != b[j - 1]);

          row[j] = MIN (change, MIN (above, row[j - 1]) + 1);
          diagonal = above;
          best = MIN (best, row[j]);
        }
      if (best > limit)
        return limit + 1;
    }
  return (guint) MIN (row[m], (gsize) limit + 1);
}
