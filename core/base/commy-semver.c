/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads versions piece by piece, without numbers of the machine: digits are compared as text, so
 * no version is too large.
 */
#include "config.h"

#include "base/commy-semver.h"

#include <string.h>

#define N_NUMBERS 3u

typedef struct
{
  const char *at;
  gsize length;
} Piece;

typedef struct
{
  Piece numbers[N_NUMBERS]; /* length 0: not there */
  Piece pre;                /* behind '-'; length 0: none */
} Version;

static gsize
count_digits (const char *text)
{
  return strspn (text, "0123456789");
}

/* Identifiers joined by '.', none of them empty. NULL: it is something else. */
static const char *
skip_identifiers (const char *text)
{
  for (;;)
    {
      gsize length
          = strspn (text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-");

      if (length == 0)
        return NULL;
      text += length;
      if (*text != '.')
        return text;
      text++;
    }
}

static gboolean
parse (const char *text, Version *out)
{
  const char *end;

  memset (out, 0, sizeof *out);
  if (strlen (text) > COMMY_SEMVER_MAX)
    return FALSE;
  for (guint i = 0; i < N_NUMBERS; i++)
    {
      out->numbers[i] = (Piece){ text, count_digits (text) };
      if (out->numbers[i].length == 0)
        return FALSE;
      text += out->numbers[i].length;
      if (*text != '.')
        break;
      if (i < N_NUMBERS - 1)
        text++;
    }
  if (*text == '-')
    {
      end = skip_identifiers (text + 1);
      if (end == NULL)
        return FALSE;
      out->pre = (Piece){ text + 1, (gsize) (end - text - 1) };
      text = end;
    }
  if (*text == '+')
    text = skip_identifiers (text + 1);
  return text != NULL && *text == '\0';
}

gboolean
commy_semver_is_valid (const char *text)
{
  Version version;

  return parse (text, &version);
}

/* As a number; nothing is 0. */
static int
compare_numbers (Piece a, Piece b)
{
  for (; a.length > 0 && *a.at == '0'; a.at++)
    a.length--;
  for (; b.length > 0 && *b.at == '0'; b.at++)
    b.length--;
  if (a.length != b.length)
    return a.length < b.length ? -1 : 1;
  return a.length > 0 ? memcmp (a.at, b.at, a.length) : 0;
}

static Piece
next_identifier (Piece *rest)
{
  const char *dot = memchr (rest->at, '.', rest->length);
  Piece piece = { rest->at, dot != NULL ? (gsize) (dot - rest->at) : rest->length };
  gsize taken = piece.length + (dot != NULL);

  rest->at += taken;
  rest->length -= taken;
  return piece;
}

static gboolean
is_number (Piece piece)
{
  for (gsize i = 0; i < piece.length; i++)
    if (!g_ascii_isdigit (piece.at[i]))
      return FALSE;
  return TRUE;
}

/* Numbers come before words. */
static int
compare_identifiers (Piece a, Piece b)
{
  gboolean a_counts = is_number (a), b_counts = is_number (b);
  int order;

  if (a_counts && b_counts)
    return compare_numbers (a, b);
  if (a_counts != b_counts)
    return a_counts ? -1 : 1;
  order = memcmp (a.at, b.at, MIN (a.length, b.length));
  return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* A version comes after those that were before it; with a common beginning fewer are less. */
static int
compare_pre (Piece a, Piece b)
{
  if (a.length == 0 || b.length == 0)
    return (a.length == 0) - (b.length == 0);
  while (a.length > 0 && b.length > 0)
    {
      int order = compare_identifiers (next_identifier (&a), next_identifier (&b));

      if (order != 0)
        return order;
    }
  return (a.length > 0) - (b.length > 0);
}

int
commy_semver_compare (const char *a, const char *b)
{
  Version x, y;

  if (!parse (a, &x) || !parse (b, &y))
    g_return_val_if_reached (0);
  for (guint i = 0; i < N_NUMBERS; i++)
    {
      int order = compare_numbers (x.numbers[i], y.numbers[i]);

      if (order != 0)
        return order;
    }
  return compare_pre (x.pre, y.pre);
}
