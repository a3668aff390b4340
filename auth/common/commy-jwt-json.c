/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading JSON: one pass, one level of recursion for each level of the text.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"

#include <string.h>

typedef struct
{
  const char *at;
  const char *end;
  guint left; /* values that may still come */
  guint depth;
} Reader;

static JwtJson *read_value (Reader *reader);

void
jwt_json_free (JwtJson *value)
{
  if (value == NULL)
    return;
  if (value->text != NULL)
    explicit_bzero (value->text, strlen (value->text));
  g_free (value->text);
  g_clear_pointer (&value->items, g_ptr_array_unref);
  g_clear_pointer (&value->names, g_ptr_array_unref);
  g_free (value);
}

static JwtJson *
json_new (JwtJsonType type)
{
  JwtJson *value = g_new0 (JwtJson, 1);

  value->type = type;
  return value;
}

static void
skip_space (Reader *reader)
{
  while (reader->at < reader->end && strchr (" \t\r\n", *reader->at) != NULL && *reader->at != '\0')
    reader->at++;
}

static gboolean
take (Reader *reader, char c)
{
  if (reader->at == reader->end || *reader->at != c)
    return FALSE;
  reader->at++;
  return TRUE;
}

static gboolean
take_word (Reader *reader, const char *word)
{
  gsize size = strlen (word);

  if ((gsize) (reader->end - reader->at) < size || memcmp (reader->at, word, size) != 0)
    return FALSE;
  reader->at += size;
  return TRUE;
}

/* --- strings --- */

static gboolean
read_unit (Reader *reader, gunichar *out_unit)
{
  gunichar unit = 0;

  if (reader->end - reader->at < 4)
    return FALSE;
  for (int i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (*reader->at++);

      if (digit < 0)
        return FALSE;
      unit = unit << 4 | (gunichar) digit;
    }
  *out_unit = unit;
  return TRUE;
}

/* Behind "\u". Half a pair is no character; nor is NUL, to which all of C would stop. */
static gboolean
read_escaped (Reader *reader, GString *text)
{
  gunichar c, low;

  if (!read_unit (reader, &c) || c == 0 || (c >= 0xdc00 && c <= 0xdfff))
    return FALSE;
  if (c >= 0xd800 && c <= 0xdbff)
    {
      if (!take_word (reader, "\\u") || !read_unit (reader, &low) || low < 0xdc00 || low > 0xdfff)
        return FALSE;
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
  g_string_append_unichar (text, c);
  return TRUE;
}

static gboolean
read_escape (Reader *reader, GString *text)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *letter;

  if (take (reader, 'u'))
    return read_escaped (reader, text);
  if (reader->at == reader->end || *reader->at == '\0')
    return FALSE;
  letter = strchr (letters, *reader->at++);
  if (letter == NULL)
    return FALSE;
  g_string_append_c (text, meanings[letter - letters]);
  return TRUE;
}

/* (transfer full) */
static char *
read_string (Reader *reader)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (!take (reader, '"'))
    return NULL;
  while (!take (reader, '"'))
    {
      if (reader->at == reader->end || (guchar) *reader->at < ' ')
        return NULL;
      if (!take (reader, '\\'))
        g_string_append_c (text, *reader->at++);
      else if (!read_escape (reader, text))
        return NULL;
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* --- numbers --- */

static gboolean
skip_digits (Reader *reader)
{
  const char *begin = reader->at;

  while (reader->at < reader->end && g_ascii_isdigit (*reader->at))
    reader->at++;
  return reader->at > begin;
}

static JwtJson *
read_number (Reader *reader)
{
  const char *begin = reader->at;
  gboolean is_whole = !take (reader, '-');
  const char *digits = reader->at;
  gint64 value = 0;
  JwtJson *json;

  if (!skip_digits (reader) || (*digits == '0' && reader->at - digits > 1))
    return NULL;
  if (take (reader, '.'))
    {
      is_whole = FALSE;
      if (!skip_digits (reader))
        return NULL;
    }
  if (take (reader, 'e') || take (reader, 'E'))
    {
      is_whole = FALSE;
      if (!take (reader, '+'))
        take (reader, '-');
      if (!skip_digits (reader))
        return NULL;
    }
  for (const char *c = begin; is_whole && c < reader->at; c++)
    {
      value = value * 10 + (*c - '0');
      is_whole = value <= JWT_JSON_INTEGER_MAX;
    }
  json = json_new (is_whole ? JWT_JSON_INTEGER : JWT_JSON_NUMBER);
  json->integer = is_whole ? value : -1;
  return json;
}

/* --- arrays and objects --- */

static gboolean
has_name (GPtrArray *names, const char *name)
{
  for (guint i = 0; i < names->len; i++)
    if (strcmp (g_ptr_array_index (names, i), name) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
read_member (Reader *reader, JwtJson *object)
{
  char *name;
  JwtJson *value;

  skip_space (reader);
  name = read_string (reader);
  if (name == NULL)
    return FALSE;
  if (has_name (object->names, name))
    {
      g_free (name);
      return FALSE;
    }
  g_ptr_array_add (object->names, name);
  skip_space (reader);
  value = take (reader, ':') ? read_value (reader) : NULL;
  if (value == NULL)
    return FALSE;
  g_ptr_array_add (object->items, value);
  return TRUE;
}

static gboolean
read_item (Reader *reader, JwtJson *array)
{
  JwtJson *value = read_value (reader);

  if (value != NULL)
    g_ptr_array_add (array->items, value);
  return value != NULL;
}

static JwtJson *
read_many (Reader *reader, JwtJsonType type, char end)
{
  g_autoptr (JwtJson) json = json_new (type);

  json->items = g_ptr_array_new_with_free_func ((GDestroyNotify) jwt_json_free);
  json->names = g_ptr_array_new_with_free_func (g_free);
  if (++reader->depth > JWT_JSON_DEPTH_MAX)
    return NULL;
  skip_space (reader);
  if (!take (reader, end))
    for (;;)
      {
        if (!(type == JWT_JSON_OBJECT ? read_member : read_item) (reader, json))
          return NULL;
        skip_space (reader);
        if (take (reader, end))
          break;
        if (!take (reader, ','))
          return NULL;
      }
  reader->depth--;
  return g_steal_pointer (&json);
}

static JwtJson *
read_text (Reader *reader)
{
  char *text = read_string (reader);
  JwtJson *json;

  if (text == NULL)
    return NULL;
  json = json_new (JWT_JSON_STRING);
  json->text = text;
  return json;
}

static JwtJson *
read_literal (Reader *reader)
{
  JwtJson *json;

  if (take_word (reader, "null"))
    return json_new (JWT_JSON_NULL);
  if (take_word (reader, "false"))
    return json_new (JWT_JSON_BOOLEAN);
  if (!take_word (reader, "true"))
    return NULL;
  json = json_new (JWT_JSON_BOOLEAN);
  json->integer = 1;
  return json;
}

static JwtJson *
read_value (Reader *reader)
{
  skip_space (reader);
  if (reader->at == reader->end || reader->left-- == 0)
    {
      reader->left = 0;
      return NULL;
    }
  switch (*reader->at)
    {
    case '{':
      reader->at++;
      return read_many (reader, JWT_JSON_OBJECT, '}');
    case '[':
      reader->at++;
      return read_many (reader, JWT_JSON_ARRAY, ']');
    case '"':
      return read_text (reader);
    case 't':
    case 'f':
    case 'n':
      return read_literal (reader);
    default:
      return read_number (reader);
    }
}

JwtJson *
jwt_json_parse (const char *text, gsize size, guint max_values)
{
  Reader reader = { .at = text, .end = text + size, .left = max_values };
  g_autoptr (JwtJson) json = NULL;

  if (!g_utf8_validate_len (text, size, NULL)) /* which takes no NUL either */
    return NULL;
  json = read_value (&reader);
  skip_space (&reader);
  return reader.at == reader.end ? g_steal_pointer (&json) : NULL;
}

/* --- looking --- */

const JwtJson *
jwt_json_get (const JwtJson *object, const char *name)
{
  if (object == NULL || object->type != JWT_JSON_OBJECT)
    return NULL;
  for (guint i = 0; i < object->names->len; i++)
    if (strcmp (g_ptr_array_index (object->names, i), name) == 0)
      return g_ptr_array_index (object->items, i);
  return NULL;
}

const char *
jwt_json_get_text (const JwtJson *object, const char *name)
{
  const JwtJson *value = jwt_json_get (object, name);

  return value != NULL && value->type == JWT_JSON_STRING ? value->text : NULL;
}

gboolean
jwt_json_has (const JwtJson *object, const char *name)
{
  return jwt_json_get (object, name) != NULL;
}
