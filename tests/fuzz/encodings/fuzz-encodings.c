/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All encodings against each other. Input: the number of a format, as a digit, a type string, a
 * NUL, bytes in that format. What one reads, all others carry: each gives the same value back, or
 * each says that it is too deep. A format is a line of the table and its two functions.
 */
#include "config.h"

#include "../../../serializers/common/commy-normal.h"
#include "../../../serializers/common/commy-values.h"
#include "../../../serializers/compact/commy-compact.h"
#include "../../../serializers/json/commy-json-text.h"

#include <stdint.h>
#include <string.h>

#define MAX_VALUES 1000000u
#define MAX_SIZE (16u << 20)

typedef struct
{
  const char *id;
  /* NULL if the format does not carry the value. */
  GBytes *(*write) (GVariant *value);
  /* NULL if the bytes are no such value. */
  GVariant *(*read) (GBytes *bytes, const GVariantType *type);
} Encoding;

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* --- gvariant --- */

static GBytes *
write_gvariant (GVariant *value)
{
  return g_bytes_new (g_variant_get_data (value), g_variant_get_size (value));
}

/* --- json --- */

static GBytes *
write_json (GVariant *value)
{
  gsize size = commy_json_write (value, MAX_VALUES, NULL, 0);
  guint8 *out = g_malloc (MAX (size, 1));

  commy_json_write (value, MAX_VALUES, out, size);
  if (size > 0)
    return g_bytes_new_take (out, size);
  g_free (out);
  return NULL;
}

static GVariant *
read_json (GBytes *bytes, const GVariantType *type)
{
  g_autofree char *why = NULL;
  gsize size;
  const char *text = g_bytes_get_data (bytes, &size);

  return commy_json_read (text, size, type, MAX_VALUES, &why);
}

/* --- compact --- */

static GBytes *
write_compact (GVariant *value)
{
  CompactFormat format;
  gsize bound, size;
  guint8 *out;

  commy_compact_format_init (&format, MAX_SIZE);
  bound = commy_compact_bound (&format, value);
  out = g_malloc (MAX (bound, 1));
  size = commy_compact_write (&format, value, out, bound);
  commy_compact_format_clear (&format);
  g_assert (size <= bound);
  if (size > 0)
    return g_bytes_new_take (out, size);
  g_free (out);
  return NULL;
}

static GVariant *
read_compact (GBytes *bytes, const GVariantType *type)
{
  g_autofree char *why = NULL;
  CompactFormat format;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  GVariant *value;

  commy_compact_format_init (&format, MAX_SIZE);
  value = commy_compact_read (&format, data, size, type, &why);
  commy_compact_format_clear (&format);
  return value;
}

static GVariant *
read_gvariant (GBytes *bytes, const GVariantType *type)
{
  g_autoptr (GBytes) copy = g_bytes_new (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));

  return commy_normal_from_bytes (type, copy);
}

static const Encoding encodings[] = {
  { "gvariant", write_gvariant, read_gvariant },
  { "json", write_json, read_json },
  { "compact", write_compact, read_compact },
};

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
assert_carried (const Encoding *encoding, GVariant *read, GVariant *value)
{
  g_autoptr (GBytes) bytes = encoding->write (read);
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GVariant) anew = NULL;

  if (bytes == NULL)
    {
      g_assert (depth_of (value) > COMMY_VALUES_MAX_NESTING);
      return;
    }
  back = encoding->read (bytes, g_variant_get_type (value));
  anew = back != NULL ? make_anew (back) : NULL;
  if (anew == NULL || !g_variant_equal (anew, value))
    g_error ("%s does not carry a value of type %s", encoding->id,
             g_variant_get_type_string (value));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 1 ? memchr (data + 1, 0, MIN (size - 1, 256)) : NULL;
  guint number = size > 0 ? (guint) data[0] - '0' : G_MAXUINT;
  const GVariantType *type = (const GVariantType *) (data + 1);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) read = NULL;
  g_autoptr (GVariant) value = NULL;

  if (end == NULL || number >= G_N_ELEMENTS (encodings)
      || !g_variant_type_string_is_valid ((const char *) data + 1)
      || !g_variant_type_is_definite (type))
    return 0;
  bytes = g_bytes_new (end + 1, size - (size_t) (end + 1 - data));
  read = encodings[number].read (bytes, type);
  value = read != NULL ? make_anew (read) : NULL;
  for (gsize i = 0; value != NULL && i < G_N_ELEMENTS (encodings); i++)
    assert_carried (&encodings[i], read, value);
  return 0;
}
