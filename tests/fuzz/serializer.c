/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes a stateless serializer, whose source is linked with this one. Input: a type string, a NUL,
 * the message. What is accepted must be in normal form, and come back equal from our own bytes, for
 * which `bound` is enough.
 */
#include "config.h"

#include <commy/commy-plugin.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Of the plugin. */
const CommyPluginDescriptor *commy_plugin_query_v1 (void);

static void
assert_comes_back (const CommySerializerOps *ops, GVariant *value)
{
  gsize bound = ops->bound (NULL, value);
  g_autofree guint8 *out = g_malloc (bound); /* of its own, so that a sanitizer sees its end */
  gssize size = ops->encode (NULL, value, out, bound, NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) again = NULL;

  g_assert (size > 0 && (gsize) size <= bound);
  bytes = g_bytes_new (out, (gsize) size);
  again = ops->decode (NULL, bytes, g_variant_get_type (value), NULL);
  g_assert (again != NULL && g_variant_equal (again, value));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const CommySerializerOps *ops = commy_plugin_query_v1 ()->ops;
  const uint8_t *end = size > 0 ? memchr (data, 0, MIN (size, 256)) : NULL;
  const GVariantType *type = (const GVariantType *) data;
  g_autoptr (GBytes) message = NULL;
  g_autoptr (GBytes) memory = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) untrusted = NULL;
  g_autoptr (GError) error = NULL;

  if (end == NULL || !g_variant_type_string_is_valid ((const char *) data)
      || !g_variant_type_is_definite (type))
    return 0;
  message = g_bytes_new (end + 1, size - (size_t) (end + 1 - data));
  value = ops->decode (NULL, message, type, &error);
  g_assert ((value == NULL) == (error != NULL));
  if (value == NULL)
    return 0;
  memory = g_variant_get_data_as_bytes (value);
  untrusted = g_variant_ref_sink (g_variant_new_from_bytes (type, memory, FALSE));
  g_assert (g_variant_is_normal_form (untrusted));
  assert_comes_back (ops, value);
  return 0;
}
