/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text to a value of a known type, in one pass and by RFC 8259 to the letter. The type leads:
 * depth is its depth, a number is read as what it must be, and nothing is built that does not
 * belong to the value. Every part that costs memory beyond its text counts against a limit.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-json-text.h"

#include <string.h>

#define NUMBER_TEXT_MAX 400    /* digits in plenty; a double needs 17 */
#define NUMBERS_MAX (1u << 30) /* bytes of one array; what GLib can count is not far above */

typedef struct
{
  const char *start, *at, *end;
  guint values_left;
  char *why;
} Reader;

static GVariant *read_value (Reader *reader, const GVariantType *type, guint level);

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
fail_type (Reader *reader, const GVariantType *type)
{
  g_autofree char *name = g_variant_type_dup_string (type);

  return fail (reader, "what is no %.32s%s", name, strlen (name) > 32 ? "..." : "");
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
read_unicode (Reader *reader, GString *out)
{
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
  g_string_append_unichar (out, c);
  return TRUE;
}

static gboolean
read_escape (Reader *reader, GString *out)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *found;
  char c = reader->at < reader->end ? *reader->at++ : '\0';

  if (c == 'u')
    return read_unicode (reader, out);
  found = c != '\0' ? strchr (letters, c) : NULL;
  if (found == NULL)
    return fail (reader, "an unknown escape");
  g_string_append_c (out, meanings[found - letters]);
  return TRUE;
}

/* (transfer full); the text is UTF-8, which was checked as a whole. */
static char *
read_string (Reader *reader)
{
  g_autoptr (GString) out = NULL;

  if (!expect (reader, '"'))
    return NULL;
  out = g_string_new (NULL);
  for (;;)
    {
      const char *from = reader->at;

      while (reader->at < reader->end && (guchar) *reader->at >= 0x20 && *reader->at != '"'
             && *reader->at != '\\')
        reader->at++;
      g_string_append_len (out, from, reader->at - from);
      if (reader->at == reader->end || (guchar) *reader->at < 0x20)
        {
          fail (reader, "a text that does not end");
          return NULL;
        }
      if (*reader->at++ == '"')
        return g_string_free (g_steal_pointer (&out), FALSE);
      if (!read_escape (reader, out))
        return NULL;
    }
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

/* "true" and numbers into @out, 8 bytes of room; from quoted text too. */
static gboolean
number_from_text (Reader *reader, const GVariantType *type, const char *text, gpointer out)
{
  char letter = g_variant_type_peek_string (type)[0];
  guint8 *flag = out;

  if (letter != 'b')
    return commy_json_parse_number (letter, text, out) || fail_type (reader, type);
  *flag = strcmp (text, "true") == 0;
  return *flag || strcmp (text, "false") == 0 || fail_type (reader, type);
}

static gboolean
read_number (Reader *reader, const GVariantType *type, gpointer out)
{
  char letter = g_variant_type_peek_string (type)[0];
  guint8 *flag = out;
  gsize size;
  char text[NUMBER_TEXT_MAX];

  if (letter == 'b')
    {
      *flag = take_word (reader, "true");
      return *flag || take_word (reader, "false") || fail_type (reader, type);
    }
  if (peek (reader) == '"')
    {
      g_autofree char *quoted = read_string (reader);

      return quoted != NULL && number_from_text (reader, type, quoted, out);
    }
  size = measure_number (reader->at, reader->end);
  if (size == 0 || size >= sizeof text)
    return fail_type (reader, type);
  memcpy (text, reader->at, size);
  text[size] = '\0';
  if (!number_from_text (reader, type, text, out))
    return FALSE;
  reader->at += size;
  return TRUE;
}

static gsize
size_of (const GVariantType *type)
{
  return g_variant_type_equal (type, G_VARIANT_TYPE_BOOLEAN) ? 1 : commy_values_number_size (type);
}

static GVariant *
take_memory (const GVariantType *type, GByteArray *memory)
{
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (memory);

  return g_variant_new_from_bytes (type, bytes, TRUE);
}

/* Takes @text. */
static GVariant *
string_value (Reader *reader, const GVariantType *type, char *text)
{
  g_autofree char *owned = text;
  char letter = g_variant_type_peek_string (type)[0];

  if ((letter == 'o' && !g_variant_is_object_path (text))
      || (letter == 'g' && !g_variant_is_signature (text)))
    {
      fail_type (reader, type);
      return NULL;
    }
  if (letter == 'o')
    return g_variant_new_object_path (text);
  if (letter == 'g')
    return g_variant_new_signature (text);
  return g_variant_new_take_string (g_steal_pointer (&owned));
}

/* @is_key: of an object: numbers stand in quotes there. */
static GVariant *
read_basic (Reader *reader, const GVariantType *type, gboolean is_key)
{
  gsize size = size_of (type);
  guint64 number = 0;

  if (size == 0 || is_key)
    {
      g_autofree char *text = read_string (reader);

      if (text == NULL)
        return NULL;
      if (size == 0)
        return string_value (reader, type, g_steal_pointer (&text));
      if (!number_from_text (reader, type, text, &number))
        return NULL;
    }
  else if (!read_number (reader, type, &number))
    return NULL;
  return take_memory (type, g_byte_array_append (g_byte_array_new (), (guint8 *) &number, size));
}

/* --- containers --- */

static GVariant *
read_base64 (Reader *reader)
{
  g_autofree char *text = read_string (reader);
  g_autofree char *again = NULL;
  g_autoptr (GBytes) bytes = NULL;
  guint8 *data;
  gsize size;

  if (text == NULL)
    return NULL;
  data = g_base64_decode (text, &size);
  bytes = g_bytes_new_take (data, size);
  /* GLib skips what is no base64; one byte string has one text. */
  again = g_base64_encode (data, size);
  if (strcmp (again, text) == 0)
    return g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);
  fail (reader, "no base64 in the text that ends");
  return NULL;
}

/* After a part: more follow, or the end. */
static gboolean
take_separator (Reader *reader, char end, gboolean *out_more)
{
  *out_more = take (reader, ',');
  return *out_more || expect (reader, end);
}

/* Numbers are not counted: their texts are at least a quarter of what they need. */
static GVariant *
read_numbers (Reader *reader, const GVariantType *type)
{
  const GVariantType *element = g_variant_type_element (type);
  g_autoptr (GByteArray) memory = g_byte_array_new ();
  gsize size = size_of (element);
  gboolean more;

  if (!expect (reader, '['))
    return NULL;
  for (more = !take (reader, ']'); more;)
    {
      guint64 number;

      if (!read_number (reader, element, &number) || !take_separator (reader, ']', &more))
        return NULL;
      if (memory->len >= NUMBERS_MAX)
        {
          fail (reader, "an array of more than 1 GiB");
          return NULL;
        }
      g_byte_array_append (memory, (guint8 *) &number, (guint) size);
    }
  return take_memory (type, g_steal_pointer (&memory));
}

static void
unref_parts (GPtrArray *parts)
{
  for (guint i = 0; i < parts->len; i++)
    g_variant_unref (g_variant_ref_sink (parts->pdata[i]));
  g_ptr_array_unref (parts);
}

/* What was read so far is floating. */
typedef GPtrArray Parts;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Parts, unref_parts)

static GVariant *
read_entry (Reader *reader, const GVariantType *type, guint level)
{
  GVariant *key = read_basic (reader, g_variant_type_key (type), TRUE);
  GVariant *value = NULL;

  if (key != NULL && expect (reader, ':'))
    value = read_value (reader, g_variant_type_value (type), level + 1);
  if (value != NULL)
    return g_variant_new_dict_entry (key, value);
  g_clear_pointer (&key, g_variant_unref);
  return NULL;
}

static GVariant *
read_array (Reader *reader, const GVariantType *type, guint level)
{
  const GVariantType *element = g_variant_type_element (type);
  gboolean entries = g_variant_type_is_dict_entry (element);
  g_autoptr (Parts) parts = g_ptr_array_new ();
  GVariant *array;
  char end = entries ? '}' : ']';
  gboolean more;

  if (g_variant_type_equal (type, G_VARIANT_TYPE_BYTESTRING) && peek (reader) == '"')
    return read_base64 (reader);
  if (size_of (element) > 0)
    return read_numbers (reader, type);
  if (!expect (reader, entries ? '{' : '['))
    return NULL;
  for (more = !take (reader, end); more;)
    {
      GVariant *part = entries ? read_entry (reader, element, level + 1)
                               : read_value (reader, element, level + 1);

      if (part == NULL)
        return NULL;
      g_ptr_array_add (parts, part);
      if (!take_separator (reader, end, &more))
        return NULL;
    }
  array = g_variant_new_array (element, (GVariant *const *) parts->pdata, parts->len);
  g_ptr_array_set_size (parts, 0); /* the array has them now */
  return array;
}

static GVariant *
read_tuple (Reader *reader, const GVariantType *type, guint level)
{
  const GVariantType *first = g_variant_type_first (type);
  g_autoptr (Parts) parts = g_ptr_array_new ();
  GVariant *tuple;

  if (!expect (reader, '['))
    return NULL;
  for (const GVariantType *member = first; member != NULL; member = g_variant_type_next (member))
    {
      GVariant *part;

      if (member != first && !expect (reader, ','))
        return NULL;
      part = read_value (reader, member, level + 1);
      if (part == NULL)
        return NULL;
      g_ptr_array_add (parts, part);
    }
  if (!expect (reader, ']'))
    return NULL;
  tuple = g_variant_new_tuple ((GVariant *const *) parts->pdata, parts->len);
  g_ptr_array_set_size (parts, 0);
  return tuple;
}

static GVariant *
read_maybe (Reader *reader, const GVariantType *type, guint level)
{
  const GVariantType *element = g_variant_type_element (type);
  gboolean wrapped = g_variant_type_is_maybe (element);
  GVariant *just;

  if (take_word (reader, "null"))
    return g_variant_new_maybe (element, NULL);
  if (wrapped && !expect (reader, '['))
    return NULL;
  just = read_value (reader, element, level + 1);
  if (just == NULL)
    return NULL;
  if (!wrapped || expect (reader, ']'))
    return g_variant_new_maybe (element, just);
  g_variant_unref (just);
  return NULL;
}

/* The type comes from outside: it must be one, and not deeper than is left. */
static gboolean
check_inner_type (Reader *reader, const char *text, guint level)
{
  if (!g_variant_type_string_is_valid (text) || !g_variant_type_is_definite (G_VARIANT_TYPE (text)))
    return fail (reader, "\"%.32s\", which is no type,", text);
  if (level + 1 + commy_values_nesting (G_VARIANT_TYPE (text)) > COMMY_VALUES_MAX_NESTING)
    return fail (reader, "more than %u levels", COMMY_VALUES_MAX_NESTING);
  return TRUE;
}

static GVariant *
read_variant (Reader *reader, guint level)
{
  g_autofree char *type = NULL;
  GVariant *inner;

  if (!expect (reader, '['))
    return NULL;
  type = read_string (reader);
  if (type == NULL || !check_inner_type (reader, type, level) || !expect (reader, ','))
    return NULL;
  inner = read_value (reader, G_VARIANT_TYPE (type), level + 1);
  if (inner == NULL)
    return NULL;
  if (expect (reader, ']'))
    return g_variant_new_variant (inner);
  g_variant_unref (inner);
  return NULL;
}

static GVariant *
read_lone_entry (Reader *reader, const GVariantType *type, guint level)
{
  GVariant *entry = expect (reader, '{') ? read_entry (reader, type, level) : NULL;

  if (entry == NULL || expect (reader, '}'))
    return entry;
  g_variant_unref (entry);
  return NULL;
}

/* As deep as the type, which is bounded where the text or a variant begins. Floating. */
static GVariant *
read_value (Reader *reader, const GVariantType *type, guint level)
{
  if (reader->values_left == 0)
    {
      fail (reader, "more values than max-values of this serializer allows");
      return NULL;
    }
  reader->values_left--;
  if (g_variant_type_is_array (type))
    return read_array (reader, type, level);
  if (g_variant_type_is_tuple (type))
    return read_tuple (reader, type, level);
  if (g_variant_type_is_dict_entry (type))
    return read_lone_entry (reader, type, level);
  if (g_variant_type_is_maybe (type))
    return read_maybe (reader, type, level);
  if (g_variant_type_is_variant (type))
    return read_variant (reader, level);
  return read_basic (reader, type, FALSE);
}

GVariant *
commy_json_read (
    const char *text, gsize size, const GVariantType *type, guint max_values, char **out_why)
{
  Reader reader = { .start = text, .at = text, .end = text, .values_left = max_values };
  const char *bad = NULL;
  GVariant *value = NULL;

  if (size > 0) /* no text may have no address */
    reader.end += size;
  if (commy_values_nesting (type) > COMMY_VALUES_MAX_NESTING)
    fail (&reader, "a type of more than %u levels", COMMY_VALUES_MAX_NESTING);
  else if (size == 0)
    fail (&reader, "nothing");
  else if (!g_utf8_validate_len (text, size, &bad))
    {
      reader.at = bad;
      fail (&reader, "what is no UTF-8");
    }
  else
    value = read_value (&reader, type, 0);
  if (value != NULL && peek (&reader) != '\0')
    {
      fail (&reader, "more than one value");
      g_clear_pointer (&value, g_variant_unref);
    }
  *out_why = reader.why;
  return value != NULL ? g_variant_ref_sink (value) : NULL;
}
