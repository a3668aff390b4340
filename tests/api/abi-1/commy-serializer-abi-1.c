/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A serializer outside of Commy's tree: abi-1s (D. J. Bernstein, 1997), "5:hello,". It carries
 * strings, bytes and lists of strings and refuses every other type by name; then another serializer
 * is taken. Written against the installed headers only; read it from the bottom up.
 */
#include <commy/commy-error.h>
#include <commy/commy-plugin.h>

#include <string.h>

typedef struct
{
  CommyHost *host;
} Instance;

/* What is still to be read; the bytes are hostile. */
typedef struct
{
  const guint8 *at;
  gsize left;
} Reader;

#define ERROR_DOMAIN (g_quark_from_static_string ("commy-error-quark"))

static gboolean
is_carried (const GVariantType *type)
{
  return type != NULL
         && (g_variant_type_equal (type, G_VARIANT_TYPE_STRING)
             || g_variant_type_equal (type, G_VARIANT_TYPE_BYTESTRING)
             || g_variant_type_equal (type, G_VARIANT_TYPE_STRING_ARRAY));
}

/* --- writing --- */

static void
put (GString *out, gconstpointer data, gsize size)
{
  g_string_append_printf (out, "%" G_GSIZE_FORMAT ":", size);
  g_string_append_len (out, data, (gssize) size);
  g_string_append_c (out, ',');
}

/* (transfer full): the bytes, or NULL if the type is not carried */
static GString *
write_value (GVariant *value)
{
  g_autoptr (GVariant) normal = NULL;
  GString *out;

  if (!is_carried (g_variant_get_type (value)))
    return NULL;
  /* A value that came from elsewhere need not be what its type promises. */
  normal = g_variant_get_normal_form (value);
  out = g_string_new (NULL);
  if (g_variant_is_of_type (normal, G_VARIANT_TYPE_STRING_ARRAY))
    {
      gsize n = g_variant_n_children (normal);

      for (gsize i = 0; i < n; i++)
        {
          const char *text;

          g_variant_get_child (normal, i, "&s", &text);
          put (out, text, strlen (text));
        }
    }
  else if (g_variant_is_of_type (normal, G_VARIANT_TYPE_STRING))
    put (out, g_variant_get_string (normal, NULL), strlen (g_variant_get_string (normal, NULL)));
  else
    put (out, g_variant_get_data (normal), g_variant_get_size (normal));
  return out;
}

/* A bound may be generous; 20 digits are the longest length there is. */
static gsize
abi_1_bound (gpointer instance, GVariant *value)
{
  gsize n_strings = 1;

  if (!is_carried (g_variant_get_type (value)))
    return 0;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    n_strings = g_variant_n_children (value);
  return g_variant_get_size (value) + (n_strings + 1) * (20 + 2);
}

static gssize
abi_1_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  GString *text = write_value (value);
  gssize used = -1;

  if (text == NULL)
    g_set_error (error, ERROR_DOMAIN, COMMY_ERROR_TYPE, "abi-1: the type %s is not carried",
                 g_variant_get_type_string (value));
  else if (text->len > size)
    g_set_error (error, ERROR_DOMAIN, COMMY_ERROR_TYPE,
                 "abi-1: %" G_GSIZE_FORMAT " bytes do not fit into %" G_GSIZE_FORMAT, text->len,
                 size);
  else
    {
      memcpy (out, text->str, text->len);
      used = (gssize) text->len;
    }
  if (text != NULL)
    g_string_free (text, TRUE);
  return used;
}

/* --- reading --- */

/* The next string; nothing is taken that is not there, and one length has one spelling. */
static gboolean
take (Reader *self, const guint8 **out_data, gsize *out_size)
{
  gsize size = 0, digits = 0;

  while (digits < self->left && g_ascii_isdigit (self->at[digits]))
    {
      if (digits > 0 && size == 0)
        return FALSE; /* a leading zero */
      if (size > self->left)
        return FALSE;
      size = size * 10 + (gsize) (self->at[digits++] - '0');
    }
  if (digits == 0 || digits == self->left || self->at[digits] != ':')
    return FALSE;
  self->at += digits + 1;
  self->left -= digits + 1;
  if (size >= self->left || self->at[size] != ',')
    return FALSE;
  *out_data = self->at;
  *out_size = size;
  self->at += size + 1;
  self->left -= size + 1;
  return TRUE;
}

/* Text without NUL, in UTF-8. (transfer full): floating, or NULL */
static GVariant *
take_text (Reader *reader)
{
  const guint8 *data;
  gsize size;

  if (!take (reader, &data, &size) || !g_utf8_validate_len ((const char *) data, size, NULL))
    return NULL;
  return g_variant_new_take_string (g_strndup ((const char *) data, size));
}

static GVariant *
take_list (Reader *reader)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);

  while (reader->left > 0)
    {
      GVariant *text = take_text (reader);

      if (text == NULL)
        {
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add_value (&builder, text);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
take_bytes (Reader *reader)
{
  const guint8 *data;
  gsize size;

  return take (reader, &data, &size)
             ? g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1)
             : NULL;
}

static GVariant *
abi_1_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  Reader reader = { NULL, 0 };
  GVariant *value = NULL;

  if (!is_carried (type))
    {
      g_set_error (error, ERROR_DOMAIN, COMMY_ERROR_TYPE, "abi-1: the type %.*s is not carried",
                   type != NULL ? (int) g_variant_type_get_string_length (type) : 1,
                   type != NULL ? g_variant_type_peek_string (type) : "?");
      return NULL;
    }
  reader.at = g_bytes_get_data (bytes, &reader.left);
  if (g_variant_type_equal (type, G_VARIANT_TYPE_STRING_ARRAY))
    value = take_list (&reader);
  else if (g_variant_type_equal (type, G_VARIANT_TYPE_STRING))
    value = take_text (&reader);
  else
    value = take_bytes (&reader);
  if (value != NULL)
    g_variant_ref_sink (value);
  if (value != NULL && reader.left == 0)
    return value;
  g_clear_pointer (&value, g_variant_unref);
  g_set_error_literal (error, ERROR_DOMAIN, COMMY_ERROR_TYPE, "abi-1: the bytes are not right");
  return NULL;
}

/* --- the plugin --- */

static gboolean
abi_1_init (gpointer instance, CommyHost *host, GError **error)
{
  ((Instance *) instance)->host = host;
  return TRUE;
}

static void
abi_1_fini (gpointer instance)
{
}

static const CommySerializerOps abi_1_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = abi_1_bound,
  .encode = abi_1_encode,
  .decode = abi_1_decode,
};

/* COMMY_CAP_VALUES is left out: not every value is carried. `commy plugin bench` measures. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "abi-1",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "Strings, bytes and lists of strings as abi-1s",
                   "",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .capabilities = COMMY_CAP_TEXT,
                   .size_factor = 1.1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 300,
                                   .send_cpu_ns_per_byte = 0.5,
                                   .recv_cpu_ns = 300,
                                   .recv_cpu_ns_per_byte = 1 } });

COMMY_PLUGIN_DEFINE (Instance, abi_1_init, NULL, abi_1_fini, NULL, 0, &abi_1_ops);
