/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the serializer "compact". Input: a type string, a NUL, the bytes. What is accepted must
 * be a value in normal form whose one encoding are these bytes; it fits the bound, and it takes no
 * more memory than the document says.
 */
#include "config.h"

#include "../../../serializers/compact/commy-compact.h"

#include <stdint.h>
#include <string.h>

#define MAX_SIZE (16u << 20)
#define UNFOLDS_TO 48u /* docs/formats/compact.md, "Limits" */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (const CompactFormat *format, GVariant *value, const uint8_t *bytes, gsize length)
{
  gsize bound = commy_compact_bound (format, value);
  g_autofree uint8_t *ours = g_malloc (length);

  g_assert (g_variant_is_normal_form (value));
  g_assert (g_variant_get_size (value) <= UNFOLDS_TO * length + 8);
  g_assert (commy_compact_write (format, value, NULL, 0) == length);
  g_assert (bound >= length);
  g_assert (commy_compact_write (format, value, ours, length) == length);
  g_assert (memcmp (ours, bytes, length) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 0 ? memchr (data, 0, MIN (size, 256)) : NULL;
  const GVariantType *type = (const GVariantType *) data;
  CompactFormat format;
  g_autofree uint8_t *bytes = NULL;
  g_autofree char *why = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) checked = NULL;
  g_autoptr (GBytes) memory = NULL;
  gsize length;

  if (end == NULL || !g_variant_type_string_is_valid ((const char *) data)
      || !g_variant_type_is_definite (type))
    return 0;
  length = size - (size_t) (end + 1 - data);
  bytes = g_memdup2 (end + 1, length); /* of its own, so that a sanitizer sees its end */
  commy_compact_format_init (&format, MAX_SIZE);
  value = commy_compact_read (&format, bytes, length, type, &why);
  g_assert ((value == NULL) == (why != NULL));
  if (value != NULL)
    {
      /* Said to be normal: GLib looks for itself. */
      memory = g_variant_get_data_as_bytes (value);
      checked = g_variant_ref_sink (g_variant_new_from_bytes (type, memory, FALSE));
      check (&format, checked, bytes, length);
    }
  commy_compact_format_clear (&format);
  return 0;
}
