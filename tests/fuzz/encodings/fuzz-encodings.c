/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All encodings against each other. Input: the number of a format, as a digit, a type string, a
 * NUL, bytes in that format. What one reads, all others carry: each gives the same value back, or
 * says that it is too deep, or not in normal form. A format is a line of the table and a file that
 * brings it in.
 */
#include "config.h"

#include "../../../serializers/common/commy-values.h"

#include <commy/commy-plugin.h>
#include <stdint.h>
#include <string.h>

const CommyPluginDescriptor *commy_plugin_query_gvariant (void);
const CommyPluginDescriptor *commy_plugin_query_json (void);
const CommyPluginDescriptor *commy_plugin_query_compact (void);
const CommyPluginDescriptor *commy_plugin_query_msgpack (void);
const CommyPluginDescriptor *commy_plugin_query_cbor (void);

/* The numbers are in the corpus: a new one goes to the end. */
static const CommyPluginDescriptor *(*const formats[]) (void) = {
  commy_plugin_query_gvariant, commy_plugin_query_json, commy_plugin_query_compact,
  commy_plugin_query_msgpack,  commy_plugin_query_cbor,
};

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* --- a plugin without a core --- */

typedef struct
{
  CommyHost host;
  const CommyPluginDescriptor *descriptor;
  const CommySerializerOps *ops;
  gpointer instance;
} Format;

static const char *
default_of (CommyHost *host, const char *name)
{
  const CommyPluginDescriptor *descriptor = ((Format *) host->core)->descriptor;

  for (gsize i = 0; i < descriptor->n_params; i++)
    if (strcmp (descriptor->params[i].name, name) == 0)
      return "1073741824"; /* all of them are bytes, at most */
  g_assert_not_reached ();
}

static void
format_start (Format *self, guint number)
{
  self->descriptor = formats[number]();
  self->ops = self->descriptor->ops;
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost), .core = self, .param = default_of };
  self->instance = g_aligned_alloc0 (1, MAX (self->descriptor->instance_size, 1), 64);
  g_assert (self->descriptor->init (self->instance, &self->host, NULL));
}

static void
format_stop (Format *self)
{
  self->descriptor->fini (self->instance);
  g_aligned_free (self->instance);
}

/* --- the comparison --- */

/* Levels of the value, those in its variants included. */
static guint
depth_of (GVariant *value)
{
  guint deepest = commy_values_nesting (g_variant_get_type (value));

  for (gsize i = 0; g_variant_is_container (value) && i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      guint below = depth_of (child);

      deepest = MAX (deepest, 1 + below);
    }
  return deepest;
}

/* The same value in its own normal form: GLib calls a tuple normal that has no bytes at all where
 * framing offsets belong. */
static GVariant *
make_anew (GVariant *value)
{
  GVariantBuilder builder;

  if (!g_variant_is_container (value))
    return g_variant_ref (value);
  g_variant_builder_init (&builder, g_variant_get_type (value));
  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      g_autoptr (GVariant) anew = make_anew (child);

      g_variant_builder_add_value (&builder, anew);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* @read is what a format gave, @value the same made anew. */
static void
assert_carried (guint number, GVariant *read, GVariant *value)
{
  Format format;
  g_autofree guint8 *out = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GVariant) anew = NULL;
  gsize bound;
  gssize size;

  format_start (&format, number);
  bound = format.ops->bound (format.instance, read);
  out = g_malloc (MAX (bound, 1));
  size = format.ops->encode (format.instance, read, out, bound, NULL);
  if (size < 0)
    g_assert (depth_of (value) > COMMY_VALUES_MAX_NESTING
              || g_variant_get_size (read) != g_variant_get_size (value));
  else
    {
      bytes = g_bytes_new (out, (gsize) size);
      back = format.ops->decode (format.instance, bytes, g_variant_get_type (value), NULL);
      anew = back != NULL ? make_anew (back) : NULL;
      if (anew == NULL || !g_variant_equal (anew, value))
        g_error ("format %u does not carry a value of type %s", number,
                 g_variant_get_type_string (value));
    }
  g_clear_pointer (&back, g_variant_unref);
  format_stop (&format);
}

static GVariant *
read_value (guint number, const uint8_t *data, size_t size, const GVariantType *type)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  Format format;
  GVariant *value;

  format_start (&format, number);
  value = format.ops->decode (format.instance, bytes, type, NULL);
  format_stop (&format);
  return value;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 1 ? memchr (data + 1, 0, MIN (size - 1, 256)) : NULL;
  guint number = size > 0 ? (guint) data[0] - '0' : G_MAXUINT;
  const GVariantType *type = (const GVariantType *) (data + 1);
  g_autoptr (GVariant) read = NULL;
  g_autoptr (GVariant) value = NULL;

  if (end == NULL || number >= G_N_ELEMENTS (formats)
      || !g_variant_type_string_is_valid ((const char *) data + 1)
      || !g_variant_type_is_definite (type))
    return 0;
  read = read_value (number, end + 1, size - (size_t) (end + 1 - data), type);
  value = read != NULL ? make_anew (read) : NULL;
  for (guint i = 0; value != NULL && i < G_N_ELEMENTS (formats); i++)
    assert_carried (i, read, value);
  return 0;
}
