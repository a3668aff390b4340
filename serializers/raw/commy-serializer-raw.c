/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "raw": opaque bytes, which the core moves itself, and GVariant in place: the
 * memory of the value is the message. A decoded value holds a reference on the message and is
 * copied only if that lies at an address the type cannot live at. Both sides need the same
 * byte order, and the receiver must trust the sender not to write after sending.
 */
#include "config.h"

#include "../common/commy-normal.h"
#include "../common/commy-values.h"

static gssize
raw_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  return commy_values_store (value, FALSE, out, size, error);
}

static GVariant *
raw_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autoptr (GVariant) value = NULL;

  if (!commy_values_check_type (type, "raw", error))
    return NULL;
  /* GLib takes a reference on aligned bytes and copies the others. */
  value = commy_normal_from_bytes (type, bytes);
  if (value == NULL)
    {
      commy_values_refuse_bytes (bytes, type, "the normal form", NULL, error);
      return NULL;
    }
  return g_steal_pointer (&value);
}

static const CommySerializerOps raw_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = commy_values_bound,
  .encode = raw_encode,
  .decode = raw_decode,
};

/* Costs depend on the type more than on the size: dictionaries take 6 ns a byte to store and 4 to
 * check, arrays of numbers a memcpy. Small messages are taken for the former, big ones for the
 * latter, and sigma says how far off that can be. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "raw",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "opaque bytes, and GVariant in place",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_BYTES | COMMY_CAP_VALUES | COMMY_CAP_NATIVE_ENDIAN
                                   | COMMY_CAP_IN_PLACE,
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
                                   .recv_cpu_ns_per_byte = 0.15 } });
COMMY_PLUGIN_DEFINE (
    CommyStateless, commy_stateless_init, NULL, commy_stateless_fini, NULL, 0, &raw_ops);
