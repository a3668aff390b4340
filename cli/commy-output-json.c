/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values as JSON. json-glib has a conversion of its own, but it makes unsigned numbers above the
 * signed range negative and prints what is not finite, which is no JSON.
 */
#include "config.h"

#include "cli/commy-output.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

static JsonNode *to_node (GVariant *value);

static JsonNode *
new_double (double value)
{
  JsonNode *node;

  if (!isfinite (value))
    return json_node_new (JSON_NODE_NULL);
  node = json_node_new (JSON_NODE_VALUE);
  json_node_set_double (node, value);
  return node;
}

static JsonNode *
new_int (gint64 value)
{
  JsonNode *node = json_node_new (JSON_NODE_VALUE);

  json_node_set_int (node, value);
  return node;
}

static JsonNode *
new_unsigned (guint64 value)
{
  return value <= G_MAXINT64 ? new_int ((gint64) value) : new_double ((double) value);
}

static JsonNode *
new_string (const char *text)
{
  JsonNode *node = json_node_new (JSON_NODE_VALUE);

  json_node_set_string (node, text);
  return node;
}

static JsonNode *
new_boolean (gboolean value)
{
  JsonNode *node = json_node_new (JSON_NODE_VALUE);

  json_node_set_boolean (node, value);
  return node;
}

static JsonNode *
new_base64 (GVariant *bytes)
{
  gsize size;
  const guchar *data = g_variant_get_fixed_array (bytes, &size, 1);
  g_autofree char *text = g_base64_encode (data, size);

  return new_string (text);
}

static JsonNode *
new_object (GVariant *dictionary)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonObject) object = json_object_new ();
  gsize n = g_variant_n_children (dictionary);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (dictionary, i);
      g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
      g_autoptr (GVariant) value = g_variant_get_child_value (entry, 1);

      json_object_set_member (object, g_variant_get_string (key, NULL), to_node (value));
    }
  json_node_set_object (node, object);
  return node;
}

static JsonNode *
new_array (GVariant *container)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  g_autoptr (JsonArray) array = json_array_new ();
  gsize n = g_variant_n_children (container);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (container, i);

      json_array_add_element (array, to_node (child));
    }
  json_node_set_array (node, array);
  return node;
}

static JsonNode *
new_container (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    return new_base64 (value);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE ("a{s*}"))
      || g_variant_is_of_type (value, G_VARIANT_TYPE ("a{o*}"))
      || g_variant_is_of_type (value, G_VARIANT_TYPE ("a{g*}")))
    return new_object (value);
  return new_array (value);
}

static JsonNode *
new_inner (GVariant *inner)
{
  g_autoptr (GVariant) owned = inner;

  return owned == NULL ? json_node_new (JSON_NODE_NULL) : to_node (owned);
}

static JsonNode *
to_node (GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      return new_boolean (g_variant_get_boolean (value));
    case G_VARIANT_CLASS_BYTE:
      return new_int (g_variant_get_byte (value));
    case G_VARIANT_CLASS_INT16:
      return new_int (g_variant_get_int16 (value));
    case G_VARIANT_CLASS_UINT16:
      return new_int (g_variant_get_uint16 (value));
    case G_VARIANT_CLASS_INT32:
      return new_int (g_variant_get_int32 (value));
    case G_VARIANT_CLASS_UINT32:
      return new_int (g_variant_get_uint32 (value));
    case G_VARIANT_CLASS_HANDLE:
      return new_int (g_variant_get_handle (value));
    case G_VARIANT_CLASS_INT64:
      return new_int (g_variant_get_int64 (value));
    case G_VARIANT_CLASS_UINT64:
      return new_unsigned (g_variant_get_uint64 (value));
    case G_VARIANT_CLASS_DOUBLE:
      return new_double (g_variant_get_double (value));
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      return new_string (g_variant_get_string (value, NULL));
    case G_VARIANT_CLASS_VARIANT:
      return new_inner (g_variant_get_variant (value));
    case G_VARIANT_CLASS_MAYBE:
      return new_inner (g_variant_get_maybe (value));
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
    default:
      return new_container (value);
    }
}

/* What JSON need not escape, and a terminal obeys. It stands in strings only; all below a space is
 * escaped already, or is JSON's own. */
static char *
escape_orders (const char *json)
{
  GString *out = g_string_new (NULL);

  for (const char *at = json; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (c > ' ' && commy_output_is_order (c))
        g_string_append_printf (out, "\\u%04x", c);
      else
        g_string_append_unichar (out, c);
    }
  return g_string_free (out, FALSE);
}

char *
commy_output_to_json (GVariant *value, gboolean pretty)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (value);
  g_autoptr (JsonNode) node = to_node (owned);
  g_autofree char *json = json_to_string (node, pretty);

  return escape_orders (json);
}

void
commy_output_json (GVariant *value)
{
  g_autofree char *text = commy_output_to_json (value, TRUE);

  commy_output_print ("%s\n", text);
}
