/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "gvariant": GVariant's normal form, little-endian on every machine. A decoded
 * value owns a copy of its bytes, so nothing of the message is kept and nobody can change them
 * after they were checked.
 */
#include "config.h"

#include "../common/commy-normal.h"
#include "../common/commy-values.h"

static gssize
gvariant_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  return commy_values_store (value, G_BYTE_ORDER == G_BIG_ENDIAN, out, size, error);
}

static GVariant *
gvariant_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) copy = NULL;

  if (!commy_values_check_type (type, "gvariant", error))
    return NULL;
  /* malloc's memory is 8-aligned, which is what a GVariant needs at most. */
  copy = g_bytes_new (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  value = commy_normal_from_bytes (type, copy);
  if (value == NULL)
    {
      commy_values_refuse_bytes (bytes, type, "the normal form", NULL, error);
      return NULL;
    }
  return G_BYTE_ORDER == G_BIG_ENDIAN ? g_variant_byteswap (value) : g_steal_pointer (&value);
}

static const CommySerializerOps gvariant_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = commy_values_bound,
  .encode = gvariant_encode,
  .decode = gvariant_decode,
};

/* Costs depend on the type more than on the size: dictionaries take 6 ns a byte to store and 4 to
 * check, arrays of numbers a memcpy. Small messages are taken for the former, big ones for the
 * latter, and sigma says how far off that can be. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "gvariant",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "GVariant normal form, little-endian",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_VALUES,
                   .size_factor = 1.0,
                   .sigma = 0.7,
                   .n_segments = 2,
                   .segments = { { .max_bytes = 1024,
                                   .send_cpu_ns = 70,
                                   .send_cpu_ns_per_byte = 1,
                                   .recv_cpu_ns = 250,
                                   .recv_cpu_ns_per_byte = 1.5 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 1000,
                                   .send_cpu_ns_per_byte = 0.1,
                                   .recv_cpu_ns = 1500,
                                   .recv_cpu_ns_per_byte = 0.75 } });
COMMY_PLUGIN_DEFINE (
    CommyStateless, commy_stateless_init, NULL, commy_stateless_fini, NULL, 0, &gvariant_ops);
