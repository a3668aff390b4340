/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text to a value of a known type, in one pass and by RFC 8259 to the letter. The type leads:
 * depth is its depth, a number is read as what it must be, and nothing is built that does not
 * belong to the value. That is built in the memory it will have.
 */
#include "config.h"

#include "../common/commy-fill.h"
#include "../common/commy-values.h"
#include "commy-json-text.h"

#include <string.h>

#define NUMBER_TEXT_MAX 400 /* digits in plenty; a double needs 17 */

typedef struct
{
  const char *start, *at, *end;
  CommyFill fill;
  char *why;
} Reader;

static gboolean read_value (Reader *reader, const CommyLayout *layout, guint level);

/* The first reason counts. Returns FALSE, for the caller to pass on. */
static gboolean G_GNUC_PRINTF (2, 3) fail (Reader *reader, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  if (reader->why != NULL)
    return FALSE;
  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  reader->why
      = g_strdup_printf ("%s at byte %" G_GSIZE_FORMAT, text, (gsize) (reader->at - reader->start));
  return FALSE;
}

static gboolean
fail_type (Reader *reader, const CommyLayout *layout)
{
  return fail (reader, "what is no %.*s%s", (int) MIN (layout->text_size, 32), layout->text,
               layout->text_size > 32 ? "..." : "");
}

/* --- texts that are no part of the value: at the end of it for a while --- */

static void
add_text (Reader *reader, const char *text, gsize size)
{
  if (size > 0)
    memcpy (commy_fill_add (&reader->fill, size), text, size);
}

/* Takes off what was added since @size, and returns it; valid until more is added. */
static const char *
take_back (Reader *reader, gsize size)
{
  reader->fill.size = size;
  return (const char *) reader->fill.data + size;
}

/* --- tokens --- */

/* The next character that is no blank, or NUL at the end. */
static char
peek (Reader *reader)
{
  while (reader->at < reader->end && memchr (" \t\n\r", *reader->at, 4) != NULL)
    reader->at++;
  return reader->at < reader->end ? *reader->at : '\0';
}

static gboolean
take (Reader *reader, char c)
{
  if (peek (reader) != c)
    return FALSE;
  reader->at++;
  return TRUE;
}

static gboolean
expect (Reader *reader, char c)
{
  return take (reader, c) || fail (reader, "no '%c'", c);
}

static gboolean
take_word (Reader *reader, const char *word)
{
  gsize size = strlen (word);

  peek (reader);
  if ((gsize) (reader->end - reader->at) < size || memcmp (reader->at, word, size) != 0)
    return FALSE;
  reader->at += size;
  return TRUE;
}

/* Four hexadecimal digits behind "\u". */
static gboolean
take_unit (Reader *reader, guint32 *out)
{
  *out = 0;
  if (reader->end - reader->at < 4)
    return FALSE;
  for (int i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (*reader->at++);

      if (digit < 0)
        return FALSE;
      *out = *out << 4 | (guint32) digit;
    }
  return TRUE;
}

/* Behind "\u": one character, which beyond the first 65536 comes in two halves. */
static gboolean
read_unicode (Reader *reader)
{
  char text[6];
  guint32 c, low;

  if (!take_unit (reader, &c))
    return fail (reader, "no four digits behind \\u");
  if (c >= 0xd800 && c < 0xdc00)
    {
      if (reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u')
        return fail (reader, "half of a character");
      reader->at += 2;
      if (!take_unit (reader, &low) || low < 0xdc00 || low > 0xdfff)
        return fail (reader, "half of a character");
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
  else if (c >= 0xdc00 && c < 0xe000)
    return fail (reader, "half of a character");
  if (c == 0)
    return fail (reader, "a character 0, which no text of GVariant holds,");
  add_text (reader, text, (gsize) g_unichar_to_utf8 (c, text));
  return TRUE;
}

static gboolean
read_escape (Reader *reader)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *found;
  char c = reader->at < reader->end ? *reader->at++ : '\0';

  if (c == 'u')
    return read_unicode (reader);
  found = c != '\0' ? strchr (letters, c) : NULL;
  if (found == NULL)
    return fail (reader, "an unknown escape");
  add_text (reader, &meanings[found - letters], 1);
  return TRUE;
}

/* Adds a text and a NUL; it is UTF-8, which was checked as a whole. */
static gboolean
read_string (Reader *reader)
{
  if (!expect (reader, '"'))
    return FALSE;
  for (;;)
    {
      const char *from = reader->at;

      while (reader->at < reader->end && (guchar) *reader->at >= 0x20 && *reader->at != '"'
             && *reader->at != '\\')
        reader->at++;
      add_text (reader, from, (gsize) (reader->at - from));
      if (reader->at == reader->end || (guchar) *reader->at < 0x20)
        return fail (reader, "a text that does not end");
      if (*reader->at++ == '"')
        break;
      if (!read_escape (reader))
        return FALSE;
    }
  add_text (reader, "", 1);
  return TRUE;
}

static gsize
count_digits (const char *at, const char *end)
{
  gsize n = 0;

  while (at + n < end && g_ascii_isdigit (at[n]))
    n++;
  return n;
}

/* Bytes of the number that begins at @at by JSON's grammar; 0 if none does. */
static gsize
measure_number (const char *at, const char *end)
{
  const char *from = at;
  gsize digits;

  if (at < end && *at == '-')
    at++;
  digits = count_digits (at, end);
  if (digits == 0 || (digits > 1 && *at == '0'))
    return 0;
  at += digits;
  if (at < end && *at == '.')
    {
      digits = count_digits (++at, end);
      if (digits == 0)
        return 0;
      at += digits;
    }
  if (at < end && (*at == 'e' || *at == 'E'))
    {
      at++;
      if (at < end && (*at == '+' || *at == '-'))
        at++;
      digits = count_digits (at, end);
      if (digits == 0)
        return 0;
      at += digits;
    }
  return (gsize) (at - from);
}

/* --- basic values --- */

/* "true" and numbers, from quoted text too. */
static gboolean
add_number (Reader *reader, const CommyLayout *layout, const char *text)
{
  guint8 number[8] = { 0 };
  gboolean done;

  if (layout->kind != 'b')
    done = commy_json_parse_number (layout->kind, text, number);
  else
    {
      number[0] = strcmp (text, "true") == 0;
      done = number[0] || strcmp (text, "false") == 0;
    }
  if (!done)
    return fail_type (reader, layout);
  memcpy (commy_fill_add (&reader->fill, layout->fixed_size), number, layout->fixed_size);
  return TRUE;
}

static gboolean
read_quoted_number (Reader *reader, const CommyLayout *layout)
{
  gsize start = reader->fill.size;
  g_autofree char *text = NULL;

  if (!read_string (reader))
    return FALSE;
  text = g_strdup (take_back (reader, start));
  return add_number (reader, layout, text);
}

static gboolean
read_number (Reader *reader, const CommyLayout *layout)
{
  gsize size;
  char text[NUMBER_TEXT_MAX];

  if (layout->kind == 'b')
    {
      if (take_word (reader, "true"))
        return add_number (reader, layout, "true");
      return take_word (reader, "false") ? add_number (reader, layout, "false")
                                         : fail_type (reader, layout);
    }
  if (peek (reader) == '"')
    return read_quoted_number (reader, layout);
  size = measure_number (reader->at, reader->end);
  if (size == 0 || size >= sizeof text)
    return fail_type (reader, layout);
  memcpy (text, reader->at, size);
  text[size] = '\0';
  if (!add_number (reader, layout, text))
    return FALSE;
  reader->at += size;
  return TRUE;
}

/* @is_key: of an object: numbers stand in quotes there. */
static gboolean
read_basic (Reader *reader, const CommyLayout *layout, gboolean is_key)
{
  gsize start = reader->fill.size;
  const char *text;

  if (layout->fixed_size > 0)
    return is_key ? read_quoted_number (reader, layout) : read_number (reader, layout);
  if (!read_string (reader))
    return FALSE;
  text = (const char *) reader->fill.data + start;
  if ((layout->kind == 'o' && !g_variant_is_object_path (text))
      || (layout->kind == 'g' && !g_variant_is_signature (text)))
    return fail_type (reader, layout);
  return TRUE;
}

/* --- containers --- */

static gboolean
read_base64 (Reader *reader)
{
  gsize start = reader->fill.size;
  g_autofree char *again = NULL;
  g_autofree guint8 *data = NULL;
  const char *text;
  gsize size;

  if (!read_string (reader))
    return FALSE;
  text = take_back (reader, start);
  data = g_base64_decode (text, &size);
  /* GLib skips what is no base64; one byte string has one text. */
  again = g_base64_encode (data, size);
  if (strcmp (again, text) != 0)
    return fail (reader, "no base64 in the text that ends");
  add_text (reader, (const char *) data, size);
  return TRUE;
}

/* After a part: more follow, or the end. */
static gboolean
take_separator (Reader *reader, char end, gboolean *out_more)
{
  *out_more = take (reader, ',');
  return *out_more || expect (reader, end);
}

static gboolean
read_entry (Reader *reader, const CommyLayout *layout, guint level)
{
  const CommyLayout *key = layout + 1;
  CommyFillFrame frame;

  commy_fill_align (&reader->fill, layout->alignment);
  frame = commy_fill_open (&reader->fill);
  if (!read_basic (reader, key, TRUE) || !expect (reader, ':'))
    return FALSE;
  if (key->fixed_size == 0)
    commy_fill_end_part (&reader->fill, frame);
  if (!read_value (reader, key + 1, level + 1))
    return FALSE;
  commy_fill_close_tuple (&reader->fill, frame, layout);
  return TRUE;
}

static gboolean
read_array (Reader *reader, const CommyLayout *layout, guint level)
{
  const CommyLayout *element = layout + 1;
  gboolean entries = element->kind == '{';
  CommyFillFrame frame = commy_fill_open (&reader->fill);
  char end = entries ? '}' : ']';
  gboolean more;

  if (element->kind == 'y' && peek (reader) == '"')
    return read_base64 (reader);
  if (!expect (reader, entries ? '{' : '['))
    return FALSE;
  for (more = !take (reader, end); more;)
    {
      if (entries ? !read_entry (reader, element, level + 1)
                  : !read_value (reader, element, level + 1))
        return FALSE;
      if (element->fixed_size == 0)
        commy_fill_end_part (&reader->fill, frame);
      if (!take_separator (reader, end, &more))
        return FALSE;
    }
  commy_fill_close_array (&reader->fill, frame);
  return TRUE;
}

static gboolean
read_tuple (Reader *reader, const CommyLayout *layout, guint level)
{
  CommyFillFrame frame = commy_fill_open (&reader->fill);
  const CommyLayout *member = layout + 1;

  if (!expect (reader, '['))
    return FALSE;
  for (gsize i = 0; i < layout->n_members; i++, member += member->n_layouts)
    {
      if ((i > 0 && !expect (reader, ',')) || !read_value (reader, member, level + 1))
        return FALSE;
      if (member->fixed_size == 0 && i + 1 < layout->n_members)
        commy_fill_end_part (&reader->fill, frame);
    }
  commy_fill_close_tuple (&reader->fill, frame, layout);
  return expect (reader, ']');
}

static gboolean
read_maybe (Reader *reader, const CommyLayout *layout, guint level)
{
  const CommyLayout *element = layout + 1;
  gboolean wrapped = element->kind == 'm';

  if (take_word (reader, "null"))
    return TRUE;
  if ((wrapped && !expect (reader, '[')) || !read_value (reader, element, level + 1))
    return FALSE;
  if (element->fixed_size == 0)
    add_text (reader, "", 1);
  return !wrapped || expect (reader, ']');
}

/* What is in a variant of type @type, which comes from outside: it must be one, and not deeper than
 * is left. */
static gboolean
read_inner (Reader *reader, const char *type, guint level)
{
  CommyLayouts layouts;
  const CommyLayout *layout;
  gboolean done;

  if (!g_variant_type_string_is_valid (type) || !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return fail (reader, "\"%.32s\", which is no type,", type);
  layout = commy_layouts_take (&layouts, type, strlen (type));
  if (level + layout->nesting > COMMY_VALUES_MAX_NESTING)
    done = fail (reader, "more than %u levels", COMMY_VALUES_MAX_NESTING);
  else
    done = expect (reader, ',') && read_value (reader, layout, level);
  commy_layouts_clear (&layouts);
  return done;
}

static gboolean
read_variant (Reader *reader, guint level)
{
  gsize start = reader->fill.size;
  g_autofree char *type = NULL;

  if (!expect (reader, '[') || !read_string (reader))
    return FALSE;
  type = g_strdup (take_back (reader, start));
  if (!read_inner (reader, type, level + 1))
    return FALSE;
  add_text (reader, "", 1);
  add_text (reader, type, strlen (type));
  return expect (reader, ']');
}

/* As deep as the type, which is bounded where the text or a variant begins. */
static gboolean
read_value (Reader *reader, const CommyLayout *layout, guint level)
{
  commy_fill_align (&reader->fill, layout->alignment);
  switch (layout->kind)
    {
    case 'a':
      return read_array (reader, layout, level);
    case '(':
      return read_tuple (reader, layout, level);
    case '{':
      return expect (reader, '{') && read_entry (reader, layout, level) && expect (reader, '}');
    case 'm':
      return read_maybe (reader, layout, level);
    case 'v':
      return read_variant (reader, level);
    default:
      return read_basic (reader, layout, FALSE);
    }
}

static gboolean
read_all (Reader *reader, const GVariantType *type)
{
  CommyLayouts layouts;
  const CommyLayout *layout = commy_layouts_take (&layouts, g_variant_type_peek_string (type),
                                                  g_variant_type_get_string_length (type));
  const char *bad = NULL;
  gboolean done = FALSE;

  if (layout->nesting > COMMY_VALUES_MAX_NESTING)
    fail (reader, "a type of more than %u levels", COMMY_VALUES_MAX_NESTING);
  else if (reader->at == reader->end)
    fail (reader, "nothing");
  else if (!g_utf8_validate_len (reader->at, (gsize) (reader->end - reader->at), &bad))
    {
      reader->at = bad;
      fail (reader, "what is no UTF-8");
    }
  else
    done = read_value (reader, layout, 0);
  commy_layouts_clear (&layouts);
  return done && (peek (reader) == '\0' || fail (reader, "more than one value"));
}

GVariant *
commy_json_read (const char *text, gsize size, const GVariantType *type, char **out_why)
{
  Reader reader = { .start = text, .at = text, .end = text };
  GVariant *value = NULL;

  if (size > 0) /* no text may have no address */
    reader.end += size;
  commy_fill_init (&reader.fill, size);
  if (read_all (&reader, type))
    value = g_variant_ref_sink (commy_fill_take (&reader.fill, type));
  commy_fill_clear (&reader.fill);
  *out_why = reader.why;
  return value;
}
