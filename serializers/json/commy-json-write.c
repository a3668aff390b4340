/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value as JSON text, straight into the frame: no tree in between. Writing without room
 * measures, by the same steps.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-json-text.h"

#include <string.h>

#define BASE64_STEP 3072 /* bytes at a time; a multiple of 3, so that no padding is in between */
/* The integers that every reader of JSON has exactly: RFC 7493, 2.2. */
#define EXACT_MAX G_GINT64_CONSTANT (9007199254740991)

typedef struct
{
  guint8 *out;
  gsize room;
  gsize size; /* of the whole text, also beyond the room */
  gboolean refused;
} Writer;

static void write_value (Writer *writer, GVariant *value, guint level);

static void
put (Writer *writer, const char *text, gsize size)
{
  if (writer->out != NULL && writer->size <= writer->room && size <= writer->room - writer->size)
    memcpy (writer->out + writer->size, text, size);
  writer->size += size;
}

static void
put_char (Writer *writer, char c)
{
  put (writer, &c, 1);
}

/* GVariant's strings are UTF-8 without NUL: only what JSON forbids is escaped. */
static void
put_string (Writer *writer, const char *text)
{
  put_char (writer, '"');
  for (;;)
    {
      gsize plain = 0;
      guchar c;
      char escape[7];

      while ((guchar) text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
        plain++;
      put (writer, text, plain);
      c = (guchar) text[plain];
      if (c == '\0')
        break;
      if (c == '"' || c == '\\')
        g_snprintf (escape, sizeof escape, "\\%c", c);
      else if (c == '\n')
        g_strlcpy (escape, "\\n", sizeof escape);
      else
        g_snprintf (escape, sizeof escape, "\\u%04x", c);
      put (writer, escape, strlen (escape));
      text += plain + 1;
    }
  put_char (writer, '"');
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
write_number (Writer *writer, char type, gconstpointer data, gboolean is_key)
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
    put_char (writer, '"');
  put (writer, text, strlen (text));
  if (quotes)
    put_char (writer, '"');
}

static void
write_basic (Writer *writer, GVariant *value, gboolean is_key)
{
  char type = g_variant_get_type_string (value)[0];

  if (type == 's' || type == 'o' || type == 'g')
    put_string (writer, g_variant_get_string (value, NULL));
  else
    write_number (writer, type, g_variant_get_data (value), is_key);
}

static void
write_bytes (Writer *writer, GVariant *value)
{
  gsize size;
  const guint8 *data = g_variant_get_fixed_array (value, &size, 1);

  put_char (writer, '"');
  if (writer->out == NULL)
    writer->size += (size + 2) / 3 * 4;
  else
    for (gsize at = 0; at < size; at += BASE64_STEP)
      {
        g_autofree char *text = g_base64_encode (data + at, MIN (size - at, BASE64_STEP));

        put (writer, text, strlen (text));
      }
  put_char (writer, '"');
}

static void
write_numbers (Writer *writer, GVariant *value, const GVariantType *type)
{
  gsize step = MAX (commy_values_number_size (type), 1);
  gsize n;
  const guint8 *data = g_variant_get_fixed_array (value, &n, step);
  char letter = g_variant_type_peek_string (type)[0];

  put_char (writer, '[');
  for (gsize i = 0; i < n; i++)
    {
      if (i > 0)
        put_char (writer, ',');
      write_number (writer, letter, data + i * step, FALSE);
    }
  put_char (writer, ']');
}

static void
write_entry (Writer *writer, GVariant *entry, guint level)
{
  g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
  g_autoptr (GVariant) value = g_variant_get_child_value (entry, 1);

  write_basic (writer, key, TRUE);
  put_char (writer, ':');
  write_value (writer, value, level);
}

/* The parts of an array or tuple; @entries: of an array of dictionary entries. */
static void
write_parts (Writer *writer, GVariant *value, gboolean entries, guint level)
{
  gsize n = g_variant_n_children (value);

  put_char (writer, entries ? '{' : '[');
  for (gsize i = 0; i < n && !writer->refused; i++)
    {
      g_autoptr (GVariant) part = g_variant_get_child_value (value, i);

      if (i > 0)
        put_char (writer, ',');
      if (entries)
        write_entry (writer, part, level + 2);
      else
        write_value (writer, part, level + 1);
    }
  put_char (writer, entries ? '}' : ']');
}

static void
write_array (Writer *writer, GVariant *value, guint level)
{
  const GVariantType *element = g_variant_type_element (g_variant_get_type (value));
  char letter = g_variant_type_peek_string (element)[0];

  if (letter == 'y')
    write_bytes (writer, value);
  else if (letter == 'b' || commy_values_number_size (element) > 0)
    write_numbers (writer, value, element);
  else
    write_parts (writer, value, g_variant_type_is_dict_entry (element), level);
}

/* What is there stands for itself, unless it could be null too. */
static void
write_maybe (Writer *writer, GVariant *value, guint level)
{
  g_autoptr (GVariant) just = g_variant_get_maybe (value);
  gboolean wrapped = g_variant_type_is_maybe (g_variant_type_element (g_variant_get_type (value)));

  if (just == NULL)
    {
      put (writer, "null", strlen ("null"));
      return;
    }
  if (wrapped)
    put_char (writer, '[');
  write_value (writer, just, level + 1);
  if (wrapped)
    put_char (writer, ']');
}

static void
write_variant (Writer *writer, GVariant *value, guint level)
{
  g_autoptr (GVariant) inner = g_variant_get_variant (value);

  if (level + 1 + commy_values_nesting (g_variant_get_type (inner)) > COMMY_VALUES_MAX_NESTING)
    {
      writer->refused = TRUE;
      return;
    }
  put_char (writer, '[');
  put_string (writer, g_variant_get_type_string (inner));
  put_char (writer, ',');
  write_value (writer, inner, level + 1);
  put_char (writer, ']');
}

/* As deep as the type, which is bounded where a value or a variant begins. */
static void
write_value (Writer *writer, GVariant *value, guint level)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_ARRAY:
      write_array (writer, value, level);
      break;
    case G_VARIANT_CLASS_TUPLE:
      write_parts (writer, value, FALSE, level);
      break;
    case G_VARIANT_CLASS_DICT_ENTRY:
      put_char (writer, '{');
      write_entry (writer, value, level + 1);
      put_char (writer, '}');
      break;
    case G_VARIANT_CLASS_MAYBE:
      write_maybe (writer, value, level);
      break;
    case G_VARIANT_CLASS_VARIANT:
      write_variant (writer, value, level);
      break;
    default:
      write_basic (writer, value, FALSE);
    }
}

gsize
commy_json_write (GVariant *value, guint8 *out, gsize size)
{
  g_autoptr (GVariant) normal = NULL;
  Writer writer = { .out = out, .room = size };

  if (commy_values_nesting (g_variant_get_type (value)) > COMMY_VALUES_MAX_NESTING)
    return 0;
  normal = g_variant_get_normal_form (value);
  write_value (&writer, normal, 0);
  return writer.refused ? 0 : writer.size;
}
