/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value as JSON text, straight into the frame: no tree in between. The items come from
 * ../common/commy-items.h; what stands between them and ends them is found here from how many parts
 * an array or object has left. Writing without room measures, by the same steps.
 */
#include "config.h"

#include "../common/commy-items.h"
#include "../common/commy-values.h"
#include "commy-json-text.h"

#include <string.h>

#define BASE64_STEP 3072 /* bytes at a time; a multiple of 3, so that no padding is in between */
#define LEVELS_MAX (COMMY_VALUES_MAX_NESTING + 1)
/* The integers that every reader of JSON has exactly: RFC 7493, 2.2. */
#define EXACT_MAX G_GINT64_CONSTANT (9007199254740991)

/* An array or object that is open. */
typedef struct
{
  gsize left; /* items */
  gboolean begun;
  gboolean object; /* a key, if an even number is left */
} Level;

typedef struct
{
  CommyItemOut out; /* first: it is what the items are written to */
  guint n_levels;
  Level levels[LEVELS_MAX];
} Writer;

static void
put_char (CommyItemOut *out, char c)
{
  commy_item_put (out, &c, 1);
}

/* GVariant's strings are UTF-8 without NUL: only what JSON forbids is escaped. */
static void
write_string (CommyItemOut *out, const char *text, gsize size)
{
  const char *end = text + size;

  put_char (out, '"');
  for (;;)
    {
      const char *from = text;
      char escape[7];

      while (text < end && (guchar) *text >= 0x20 && *text != '"' && *text != '\\')
        text++;
      commy_item_put (out, from, (gsize) (text - from));
      if (text == end)
        break;
      if (*text == '"' || *text == '\\')
        g_snprintf (escape, sizeof escape, "\\%c", *text);
      else if (*text == '\n')
        g_strlcpy (escape, "\\n", sizeof escape);
      else
        g_snprintf (escape, sizeof escape, "\\u%04x", (guint) *text);
      commy_item_put (out, escape, strlen (escape));
      text++;
    }
  put_char (out, '"');
}

static gboolean
needs_quotes (char type, gconstpointer data, const char *text)
{
  gint64 x;
  guint64 t;

  switch (type)
    {
    case 'x':
      memcpy (&x, data, sizeof x);
      return x > EXACT_MAX || x < -EXACT_MAX;
    case 't':
      memcpy (&t, data, sizeof t);
      return t > (guint64) EXACT_MAX;
    case 'd':
      return strpbrk (text, "Ny") != NULL; /* NaN, Infinity */
    default:
      return FALSE;
    }
}

/* @is_key: of an object, where only strings stand. */
static void
write_number (CommyItemOut *out, char type, gconstpointer data, gboolean is_key)
{
  char text[COMMY_JSON_NUMBER_MAX];
  gboolean quotes;

  if (type == 'b')
    {
      const guint8 *flag = data;

      g_strlcpy (text, *flag ? "true" : "false", sizeof text);
    }
  else
    commy_json_format_number (type, data, text);
  quotes = is_key || needs_quotes (type, data, text);
  if (quotes)
    put_char (out, '"');
  commy_item_put (out, text, strlen (text));
  if (quotes)
    put_char (out, '"');
}

/* --- what stands between items --- */

/* Before each item. Returns whether it is a key. */
static gboolean
begin_item (CommyItemOut *out)
{
  Writer *writer = (Writer *) out;
  Level *level = writer->n_levels > 0 ? &writer->levels[writer->n_levels - 1] : NULL;
  gboolean is_key;

  if (level == NULL)
    return FALSE;
  is_key = level->object && level->left % 2 == 0;
  if (level->object && !is_key)
    put_char (out, ':');
  else if (level->begun)
    put_char (out, ',');
  level->begun = TRUE;
  level->left--;
  return is_key;
}

/* After each item: closes what has no part left, which ends an item in turn. */
static void
end_item (CommyItemOut *out)
{
  Writer *writer = (Writer *) out;

  while (writer->n_levels > 0 && writer->levels[writer->n_levels - 1].left == 0)
    put_char (out, writer->levels[--writer->n_levels].object ? '}' : ']');
}

static void
open_level (CommyItemOut *out, gboolean object, gsize n_items)
{
  Writer *writer = (Writer *) out;

  begin_item (out);
  put_char (out, object ? '{' : '[');
  writer->levels[writer->n_levels++] = (Level){ .left = n_items, .object = object };
  end_item (out);
}

/* --- items --- */

static void
put_nothing (CommyItemOut *out)
{
  begin_item (out);
  commy_item_put (out, "null", strlen ("null"));
  end_item (out);
}

static void
put_numbers (CommyItemOut *out, char kind, const guint8 *data, gsize n)
{
  gsize width = commy_values_basic_size (kind);

  for (gsize i = 0; i < n; i++)
    {
      gboolean is_key = begin_item (out);

      write_number (out, kind, data + i * width, is_key);
      end_item (out);
    }
}

static void
put_text (CommyItemOut *out, const char *text, gsize size)
{
  begin_item (out);
  write_string (out, text, size);
  end_item (out);
}

static void
put_bytes (CommyItemOut *out, const guint8 *data, gsize size)
{
  begin_item (out);
  put_char (out, '"');
  if (out->data == NULL)
    out->size += (size + 2) / 3 * 4;
  else
    for (gsize at = 0; at < size; at += BASE64_STEP)
      {
        g_autofree char *text = g_base64_encode (data + at, MIN (size - at, BASE64_STEP));

        commy_item_put (out, text, strlen (text));
      }
  put_char (out, '"');
  end_item (out);
}

static void
put_array (CommyItemOut *out, gsize n)
{
  open_level (out, FALSE, n);
}

static void
put_map (CommyItemOut *out, gsize n)
{
  open_level (out, TRUE, 2 * n);
}

static const CommyItemForm form = {
  .name = "json",
  .max_parts = G_MAXSSIZE,
  .nothing = put_nothing,
  .numbers = put_numbers,
  .text = put_text,
  .bytes = put_bytes,
  .array = put_array,
  .map = put_map,
};

gsize
commy_json_write (GVariant *value, guint8 *out, gsize size)
{
  Writer writer;

  writer.out = (CommyItemOut){ .data = out, .room = size };
  writer.n_levels = 0;
  return commy_items_write (&form, value, &writer.out) ? writer.out.size : 0;
}
