/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the serializer "json". Input: a type string, a NUL, the text. What is accepted must be
 * normal, must come back equal from our own text, and measuring must say what writing needs.
 */
#include "config.h"

#include "../../../serializers/json/commy-json-text.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 0 ? memchr (data, 0, MIN (size, 256)) : NULL;
  const GVariantType *type = (const GVariantType *) data;
  g_autofree char *text = NULL;
  g_autofree char *ours = NULL;
  g_autofree char *why = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) again = NULL;
  g_autoptr (GVariant) untrusted = NULL;
  g_autoptr (GBytes) memory = NULL;
  gsize length, needed;

  if (end == NULL || !g_variant_type_string_is_valid ((const char *) data)
      || !g_variant_type_is_definite (type))
    return 0;
  length = size - (size_t) (end + 1 - data);
  text = g_memdup2 (end + 1, length); /* of its own, so that a sanitizer sees its end */
  value = commy_json_read (text, length, type, &why);
  g_assert ((value == NULL) == (why != NULL));
  if (value == NULL)
    return 0;
  memory = g_variant_get_data_as_bytes (value);
  untrusted = g_variant_ref_sink (g_variant_new_from_bytes (type, memory, FALSE));
  g_assert (g_variant_is_normal_form (untrusted));
  needed = commy_json_write (value, NULL, 0);
  g_assert (needed > 0);
  ours = g_malloc (needed);
  g_assert (commy_json_write (value, (guint8 *) ours, needed) == needed);
  again = commy_json_read (ours, needed, type, &why);
  g_assert (again != NULL && g_variant_equal (again, value));
  return 0;
}
