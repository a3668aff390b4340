/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers as text and back, bit by bit the same: integers of 64 bits, the shortest decimals that
 * give the same double, and the doubles that JSON has no number for.
 */
#include "config.h"

#include "commy-json-text.h"

#include <math.h>
#include <string.h>

#define NAN_BITS G_GUINT64_CONSTANT (0x7ff8000000000000)
#define NEGATIVE_NAN_BITS G_GUINT64_CONSTANT (0xfff8000000000000) /* what x86 makes of 0/0 */
#define NAN_PREFIX "NaN:"

typedef union
{
  guint8 y;
  gint16 n;
  guint16 q;
  gint32 i;
  guint32 u;
  gint64 x;
  guint64 t;
  double d;
} Number;

static void
format_not_finite (double number, char text[COMMY_JSON_NUMBER_MAX])
{
  guint64 bits;

  memcpy (&bits, &number, sizeof bits);
  if (isinf (number))
    g_strlcpy (text, number > 0 ? "Infinity" : "-Infinity", COMMY_JSON_NUMBER_MAX);
  else if (bits == NAN_BITS)
    g_strlcpy (text, "NaN", COMMY_JSON_NUMBER_MAX);
  else if (bits == NEGATIVE_NAN_BITS)
    g_strlcpy (text, "-NaN", COMMY_JSON_NUMBER_MAX);
  else
    g_snprintf (text, COMMY_JSON_NUMBER_MAX, NAN_PREFIX "%016" G_GINT64_MODIFIER "x", bits);
}

static gboolean
parse_not_finite (const char *text, double *out)
{
  guint64 bits = 0;
  gboolean plain = TRUE;

  if (strcmp (text, "Infinity") == 0 || strcmp (text, "-Infinity") == 0)
    {
      *out = text[0] == '-' ? -HUGE_VAL : HUGE_VAL;
      return TRUE;
    }
  if (strcmp (text, "NaN") == 0)
    bits = NAN_BITS;
  else if (strcmp (text, "-NaN") == 0)
    bits = NEGATIVE_NAN_BITS;
  else
    plain = FALSE;
  if (!plain
      && (!g_str_has_prefix (text, NAN_PREFIX)
          || !g_ascii_string_to_unsigned (text + strlen (NAN_PREFIX), 16, 0, G_MAXUINT64, &bits,
                                          NULL)))
    return FALSE;
  memcpy (out, &bits, sizeof bits);
  return isnan (*out);
}

/* @whole divided by 10^@places. */
static void
format_decimal (gboolean negative, guint64 whole, guint places, char text[COMMY_JSON_NUMBER_MAX])
{
  char digits[COMMY_JSON_NUMBER_MAX];
  char *at = digits + sizeof digits;

  if (places == 0)
    *--at = '0';
  for (guint i = 0; i < places; i++, whole /= 10)
    *--at = (char) ('0' + whole % 10);
  *--at = '.';
  do
    *--at = (char) ('0' + whole % 10);
  while ((whole /= 10) > 0);
  if (negative)
    *--at = '-';
  memcpy (text, at, (gsize) (digits + sizeof digits - at));
  text[digits + sizeof digits - at] = '\0';
}

/* Numbers that people and sensors wrote with some places, in a fraction of the time. Both parts of
 * the division are exact, so its result is the double next to the decimal, as reading gives it; and
 * with at most 15 digits no decimal is shorter and none of that length another one. */
static gboolean
format_few_places (double number, char text[COMMY_JSON_NUMBER_MAX])
{
  static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
  double magnitude = fabs (number);

  if (!(magnitude >= 1e-4 && magnitude < 1e9)) /* beyond, "%g" has an exponent, or 15 digits end */
    return FALSE;
  for (guint places = 0; places < G_N_ELEMENTS (tens); places++)
    {
      guint64 whole = (guint64) (magnitude * tens[places] + 0.5);

      if ((double) whole / tens[places] == magnitude)
        {
          format_decimal (number < 0, whole, places, text);
          return TRUE;
        }
    }
  return FALSE;
}

/* As few digits as give the number back; with a point or an exponent, so that readers which tell
 * integers from doubles by their looks see a double. */
static void
format_double (double number, char text[COMMY_JSON_NUMBER_MAX])
{
  static const char *const formats[] = { "%.15g", "%.16g", "%.17g" };

  if (!isfinite (number))
    {
      format_not_finite (number, text);
      return;
    }
  if (format_few_places (number, text))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      double back;

      g_ascii_formatd (text, COMMY_JSON_NUMBER_MAX, formats[i], number);
      if (i + 1 == G_N_ELEMENTS (formats)) /* 17 digits always do */
        break;
      back = g_ascii_strtod (text, NULL);
      if (memcmp (&back, &number, sizeof back) == 0)
        break;
    }
  if (strpbrk (text, ".e") == NULL)
    g_strlcat (text, ".0", COMMY_JSON_NUMBER_MAX);
}

void
commy_json_format_number (char type, gconstpointer data, char text[COMMY_JSON_NUMBER_MAX])
{
  static const guint8 sizes[] = { ['y'] = 1, ['n'] = 2, ['q'] = 2, ['i'] = 4, ['u'] = 4,
                                  ['h'] = 4, ['x'] = 8, ['t'] = 8, ['d'] = 8 };
  Number number = { 0 };

  memcpy (&number, data, sizes[(guchar) type]);
  if (type == 'd')
    format_double (number.d, text);
  else if (type == 't')
    g_snprintf (text, COMMY_JSON_NUMBER_MAX, "%" G_GUINT64_FORMAT, number.t);
  else
    g_snprintf (text, COMMY_JSON_NUMBER_MAX, "%" G_GINT64_FORMAT,
                type == 'y'                  ? (gint64) number.y
                : type == 'n'                ? (gint64) number.n
                : type == 'q'                ? (gint64) number.q
                : type == 'i' || type == 'h' ? (gint64) number.i
                : type == 'u'                ? (gint64) number.u
                                             : number.x);
}

static gboolean
parse_double (const char *text, double *out)
{
  char *end = NULL;

  /* strtod takes "inf", "nan", hexadecimal and blanks as well. */
  if (text[0] == '+' || strspn (text, "+-.0123456789eE") != strlen (text))
    return parse_not_finite (text, out);
  *out = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && isfinite (*out);
}

static gboolean
parse_signed (const char *text, gint64 min, gint64 max, gint64 *out)
{
  return g_ascii_string_to_signed (text, 10, min, max, out, NULL);
}

gboolean
commy_json_parse_number (char type, const char *text, gpointer out)
{
  Number number = { 0 };
  gint64 wide = 0;

  switch (type)
    {
    case 'd':
      return parse_double (text, out);
    case 't':
      return g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, out, NULL);
    case 'x':
      return parse_signed (text, G_MININT64, G_MAXINT64, out);
    case 'y':
      if (!parse_signed (text, 0, G_MAXUINT8, &wide))
        return FALSE;
      number.y = (guint8) wide;
      break;
    case 'n':
      if (!parse_signed (text, G_MININT16, G_MAXINT16, &wide))
        return FALSE;
      number.n = (gint16) wide;
      break;
    case 'q':
      if (!parse_signed (text, 0, G_MAXUINT16, &wide))
        return FALSE;
      number.q = (guint16) wide;
      break;
    case 'u':
      if (!parse_signed (text, 0, G_MAXUINT32, &wide))
        return FALSE;
      number.u = (guint32) wide;
      break;
    default: /* 'i', 'h' */
      if (!parse_signed (text, G_MININT32, G_MAXINT32, &wide))
        return FALSE;
      number.i = (gint32) wide;
    }
  memcpy (out, &number, sizeof number);
  return TRUE;
}
