/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the check behind the serializers "gvariant" and "raw". Input: a type string, a NUL, the
 * bytes. What is accepted must be in GLib's eyes normal and must encode to the same bytes.
 */
#include "config.h"

#include "../../../serializers/common/commy-normal.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 0 ? memchr (data, 0, MIN (size, 256)) : NULL;
  const char *type = (const char *) data;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) again = NULL;
  g_autofree char *text = NULL;

  if (end == NULL || !g_variant_type_string_is_valid (type)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return 0;
  bytes = g_bytes_new (end + 1, size - (size_t) (end + 1 - data));
  value = commy_normal_from_bytes (G_VARIANT_TYPE (type), bytes);
  if (value == NULL)
    return 0;
  again = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
  g_assert (g_variant_is_normal_form (again));
  g_assert (g_variant_equal (value, again));
  text = g_variant_print (value, TRUE);
  return 0;
}
