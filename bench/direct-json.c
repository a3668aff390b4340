/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json-glib driven directly: its builder and generator, its parser and reader of nodes. Bytes are
 * base64, as in ours: as numbers they would take four times as long.
 */
#include "config.h"

#include "direct.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* --- writing --- */

static void
generate (DirectOut *out, JsonNode *root)
{
  g_autoptr (JsonGenerator) generator = json_generator_new ();
  g_autofree char *text = NULL;
  gsize size;

  json_generator_set_root (generator, root);
  text = json_generator_to_data (generator, &size);
  memcpy (out->data + out->size, text, size);
  out->size += size;
}

static void
end_array (DirectOut *out, JsonBuilder *builder)
{
  g_autoptr (JsonNode) root = NULL;

  json_builder_end_array (builder);
  root = json_builder_get_root (builder);
  generate (out, root);
}

static void
write_text (JsonBuilder *builder, const DirectText *text)
{
  g_autofree char *ended = g_strndup (text->text, text->size);

  json_builder_add_string_value (builder, ended);
}

static void
write_record (DirectOut *out, const DirectRecord *record)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autofree char *time = g_strdup_printf ("%" G_GUINT64_FORMAT, record->time);

  json_builder_begin_array (builder);
  json_builder_add_string_value (builder, time); /* doubles cannot say it */
  write_text (builder, &record->name);
  json_builder_add_double_value (builder, record->reading);
  json_builder_add_boolean_value (builder, record->good);
  json_builder_add_int_value (builder, record->count);
  json_builder_add_int_value (builder, record->offset);
  json_builder_add_int_value (builder, record->level);
  if (record->note.text != NULL)
    write_text (builder, &record->note);
  else
    json_builder_add_null_value (builder);
  end_array (out, builder);
}

static void
write_bytes (DirectOut *out, const guint8 *bytes, gsize n)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_VALUE);
  g_autofree char *text = g_base64_encode (bytes, n);

  json_node_set_string (root, text);
  generate (out, root);
}

static void
write_doubles (DirectOut *out, const double *doubles, gsize n)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  for (gsize i = 0; i < n; i++)
    json_builder_add_double_value (builder, doubles[i]);
  end_array (out, builder);
}

static void
write_integers (DirectOut *out, const gint32 *integers, gsize n)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_array (builder);
  for (gsize i = 0; i < n; i++)
    json_builder_add_int_value (builder, integers[i]);
  end_array (out, builder);
}

/* --- reading --- */

static JsonParser *
parse (const guint8 *data, gsize size)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();

  return json_parser_load_from_data (parser, (const char *) data, (gssize) size, NULL)
             ? g_steal_pointer (&parser)
             : NULL;
}

static DirectText
text_of (JsonArray *array, guint i)
{
  const char *text = json_array_get_string_element (array, i);

  return (DirectText){ text, strlen (text) };
}

static gboolean
read_record (const guint8 *data, gsize size, DirectRecord *out)
{
  JsonParser *parser = parse (data, size);
  JsonArray *array;

  out->keep = parser;
  out->free_keep = g_object_unref;
  if (parser == NULL || !JSON_NODE_HOLDS_ARRAY (json_parser_get_root (parser)))
    return FALSE;
  array = json_node_get_array (json_parser_get_root (parser));
  if (json_array_get_length (array) != 8)
    return FALSE;
  out->time = g_ascii_strtoull (json_array_get_string_element (array, 0), NULL, 10);
  out->name = text_of (array, 1);
  out->reading = json_array_get_double_element (array, 2);
  out->good = json_array_get_boolean_element (array, 3);
  out->count = (guint32) json_array_get_int_element (array, 4);
  out->offset = (gint16) json_array_get_int_element (array, 5);
  out->level = (guint8) json_array_get_int_element (array, 6);
  out->note = text_of (array, 7);
  return TRUE;
}

static gpointer
read_bytes (const guint8 *data, gsize size, gsize *out_n)
{
  g_autoptr (JsonParser) parser = parse (data, size);

  return parser != NULL
             ? g_base64_decode (json_node_get_string (json_parser_get_root (parser)), out_n)
             : NULL;
}

static gpointer
read_doubles (const guint8 *data, gsize size, gsize *out_n)
{
  g_autoptr (JsonParser) parser = parse (data, size);
  JsonArray *array;
  double *doubles;

  if (parser == NULL)
    return NULL;
  array = json_node_get_array (json_parser_get_root (parser));
  *out_n = json_array_get_length (array);
  doubles = g_new (double, *out_n);
  for (guint i = 0; i < *out_n; i++)
    doubles[i] = json_array_get_double_element (array, i);
  return doubles;
}

static gpointer
read_integers (const guint8 *data, gsize size, gsize *out_n)
{
  g_autoptr (JsonParser) parser = parse (data, size);
  JsonArray *array;
  gint32 *integers;

  if (parser == NULL)
    return NULL;
  array = json_node_get_array (json_parser_get_root (parser));
  *out_n = json_array_get_length (array);
  integers = g_new (gint32, *out_n);
  for (guint i = 0; i < *out_n; i++)
    integers[i] = (gint32) json_array_get_int_element (array, i);
  return integers;
}

const DirectLibrary direct_json = {
  .format = "json",
  .write_record = write_record,
  .write_bytes = write_bytes,
  .write_doubles = write_doubles,
  .write_integers = write_integers,
  .read_record = read_record,
  .read_bytes = read_bytes,
  .read_doubles = read_doubles,
  .read_integers = read_integers,
};
