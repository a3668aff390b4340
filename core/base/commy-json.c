/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints a GVariant as JSON: always valid JSON, in UTF-8, the same in every locale.
 */
#include "config.h"

#include "base/commy-json.h"

#include <math.h>

typedef struct
{
  GString *out;
  guint indent;
  guint depth;
} Printer;

static void print_value (Printer *printer, GVariant *value);

static void
print_string (Printer *printer, const char *text)
{
  g_string_append_c (printer->out, '"');
  for (const guchar *at = (const guchar *) text; *at != '\0'; at++)
    switch (*at)
      {
      case '"':
        g_string_append (printer->out, "\\\"");
        break;
      case '\\':
        g_string_append (printer->out, "\\\\");
        break;
      case '\n':
        g_string_append (printer->out, "\\n");
        break;
      case '\t':
        g_string_append (printer->out, "\\t");
        break;
      default:
        if (*at < 0x20 || *at == 0x7f)
          g_string_append_printf (printer->out, "\\u%04x", *at);
        else
          g_string_append_c (printer->out, (char) *at);
      }
  g_string_append_c (printer->out, '"');
}

static void
print_double (Printer *printer, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (value))
    {
      g_string_append (printer->out, "null");
      return;
    }
  /* The short form if it reads back as the same number. */
  g_ascii_formatd (text, sizeof text, "%.15g", value);
  if (g_ascii_strtod (text, NULL) < value || g_ascii_strtod (text, NULL) > value)
    g_ascii_dtostr (text, sizeof text, value);
  g_string_append (printer->out, text);
}

static void
print_break (Printer *printer)
{
  if (printer->indent == 0)
    return;
  g_string_append_c (printer->out, '\n');
  for (guint i = 0; i < printer->depth * printer->indent; i++)
    g_string_append_c (printer->out, ' ');
}

static void
print_bytes (Printer *printer, GVariant *value)
{
  gsize size;
  const guchar *data = g_variant_get_fixed_array (value, &size, 1);
  g_autofree char *text = g_base64_encode (data, size);

  print_string (printer, text);
}

static void
print_member (Printer *printer, GVariant *entry)
{
  g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
  g_autoptr (GVariant) value = g_variant_get_child_value (entry, 1);

  print_string (printer, g_variant_get_string (key, NULL));
  g_string_append (printer->out, printer->indent > 0 ? ": " : ":");
  print_value (printer, value);
}

static void
print_container (Printer *printer, GVariant *value)
{
  const GVariantType *type = g_variant_get_type (value);
  gboolean is_object = g_variant_type_is_subtype_of (type, G_VARIANT_TYPE ("a{s*}"))
                       || g_variant_type_is_subtype_of (type, G_VARIANT_TYPE ("a{o*}"))
                       || g_variant_type_is_subtype_of (type, G_VARIANT_TYPE ("a{g*}"));
  gsize n = g_variant_n_children (value);

  g_string_append_c (printer->out, is_object ? '{' : '[');
  printer->depth++;
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      if (i > 0)
        g_string_append_c (printer->out, ',');
      print_break (printer);
      if (is_object)
        print_member (printer, child);
      else
        print_value (printer, child);
    }
  printer->depth--;
  if (n > 0)
    print_break (printer);
  g_string_append_c (printer->out, is_object ? '}' : ']');
}

static void
print_inner (Printer *printer, GVariant *inner)
{
  if (inner == NULL)
    g_string_append (printer->out, "null");
  else
    print_value (printer, inner);
}

static void
print_value (Printer *printer, GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      g_string_append (printer->out, g_variant_get_boolean (value) ? "true" : "false");
      break;
    case G_VARIANT_CLASS_BYTE:
      g_string_append_printf (printer->out, "%u", g_variant_get_byte (value));
      break;
    case G_VARIANT_CLASS_INT16:
      g_string_append_printf (printer->out, "%d", g_variant_get_int16 (value));
      break;
    case G_VARIANT_CLASS_UINT16:
      g_string_append_printf (printer->out, "%u", g_variant_get_uint16 (value));
      break;
    case G_VARIANT_CLASS_INT32:
      g_string_append_printf (printer->out, "%d", g_variant_get_int32 (value));
      break;
    case G_VARIANT_CLASS_HANDLE:
      g_string_append_printf (printer->out, "%d", g_variant_get_handle (value));
      break;
    case G_VARIANT_CLASS_UINT32:
      g_string_append_printf (printer->out, "%u", g_variant_get_uint32 (value));
      break;
    case G_VARIANT_CLASS_INT64:
      g_string_append_printf (printer->out, "%" G_GINT64_FORMAT, g_variant_get_int64 (value));
      break;
    case G_VARIANT_CLASS_UINT64:
      g_string_append_printf (printer->out, "%" G_GUINT64_FORMAT, g_variant_get_uint64 (value));
      break;
    case G_VARIANT_CLASS_DOUBLE:
      print_double (printer, g_variant_get_double (value));
      break;
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      print_string (printer, g_variant_get_string (value, NULL));
      break;
    case G_VARIANT_CLASS_VARIANT:
    case G_VARIANT_CLASS_MAYBE:
      {
        g_autoptr (GVariant) inner = g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT)
                                         ? g_variant_get_variant (value)
                                         : g_variant_get_maybe (value);

        print_inner (printer, inner);
        break;
      }
    case G_VARIANT_CLASS_ARRAY:
      if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
        {
          print_bytes (printer, value);
          break;
        }
      print_container (printer, value);
      break;
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
    default:
      print_container (printer, value);
      break;
    }
}

char *
commy_json_print (GVariant *value, guint indent)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (value);
  Printer printer = { .out = g_string_new (NULL), .indent = MIN (indent, 8) };

  print_value (&printer, owned);
  return g_string_free (printer.out, FALSE);
}
