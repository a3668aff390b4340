/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "raw": opaque bytes, which the core moves itself, and GVariant in place: the
 * memory of the value is the message. A decoded value holds a reference on the message and is
 * copied only if that lies at an address the type cannot live at. Both sides need the same
 * byte order, and the receiver must trust the sender not to write after sending.
 */
#include "config.h"

#include "../common/commy-normal.h"

#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost *host;
} Raw;

static GQuark
error_domain (void)
{
  return g_quark_from_static_string ("commy-error-quark");
}

/* An empty array has no bytes at all, but a bound of 0 would say "cannot carry it". */
static gsize
raw_bound (gpointer instance, GVariant *value)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);

  return MAX (g_variant_get_size (normal), 1);
}

static gssize
raw_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  gsize needed = g_variant_get_size (normal);

  if (needed > size)
    {
      g_set_error (error, error_domain (), COMMY_ERROR_INVALID_ARGUMENT,
                   "a value of type %s needs %" G_GSIZE_FORMAT " bytes, there is room for only"
                   " %" G_GSIZE_FORMAT,
                   g_variant_get_type_string (value), needed, size);
      return -1;
    }
  g_variant_store (normal, out);
  return (gssize) needed;
}

static GVariant *
raw_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autoptr (GVariant) value = NULL;

  if (type == NULL || !g_variant_type_is_definite (type))
    {
      g_set_error_literal (error, error_domain (), COMMY_ERROR_TYPE,
                           "raw does not say its type: a definite type must be given");
      return NULL;
    }
  /* GLib takes a reference on aligned bytes and copies the others. */
  value = commy_normal_from_bytes (type, bytes);
  if (value == NULL)
    {
      g_set_error (error, error_domain (), COMMY_ERROR_PROTOCOL,
                   "%" G_GSIZE_FORMAT " bytes are not the normal form of a value of type %.*s",
                   g_bytes_get_size (bytes), (int) g_variant_type_get_string_length (type),
                   g_variant_type_peek_string (type));
      return NULL;
    }
  return g_steal_pointer (&value);
}

static gboolean
raw_init (gpointer instance, CommyHost *host, GError **error)
{
  Raw *self = instance;

  self->host = host;
  return TRUE;
}

static void
raw_fini (gpointer instance)
{
  Raw *self = instance;

  self->host = NULL;
}

static const CommySerializerOps raw_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = raw_bound,
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
COMMY_PLUGIN_DEFINE (Raw, raw_init, NULL, raw_fini, NULL, 0, &raw_ops);
