/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "gvariant": GVariant's normal form, little-endian on every machine. A decoded
 * value owns a copy of its bytes, so nothing of the message is kept and nobody can change them
 * after they were checked.
 */
#include "config.h"

#include "../common/commy-normal.h"

#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost *host;
} Gvariant;

static GQuark
error_domain (void)
{
  return g_quark_from_static_string ("commy-error-quark");
}

/* An empty array has no bytes at all, but a bound of 0 would say "cannot carry it". */
static gsize
gvariant_bound (gpointer instance, GVariant *value)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);

  return MAX (g_variant_get_size (normal), 1);
}

static gssize
gvariant_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
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
  if (G_BYTE_ORDER == G_BIG_ENDIAN)
    {
      g_autoptr (GVariant) swapped = g_variant_byteswap (normal);

      g_variant_store (swapped, out);
    }
  else
    {
      g_variant_store (normal, out);
    }
  return (gssize) needed;
}

static GVariant *
gvariant_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) copy = NULL;

  if (type == NULL || !g_variant_type_is_definite (type))
    {
      g_set_error_literal (error, error_domain (), COMMY_ERROR_TYPE,
                           "gvariant does not say its type: a definite type must be given");
      return NULL;
    }
  /* malloc's memory is 8-aligned, which is what a GVariant needs at most. */
  copy = g_bytes_new (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  value = commy_normal_from_bytes (type, copy);
  if (value == NULL)
    {
      g_set_error (error, error_domain (), COMMY_ERROR_PROTOCOL,
                   "%" G_GSIZE_FORMAT " bytes are not the normal form of a value of type %.*s",
                   g_bytes_get_size (bytes), (int) g_variant_type_get_string_length (type),
                   g_variant_type_peek_string (type));
      return NULL;
    }
  return G_BYTE_ORDER == G_BIG_ENDIAN ? g_variant_byteswap (value) : g_steal_pointer (&value);
}

static gboolean
gvariant_init (gpointer instance, CommyHost *host, GError **error)
{
  Gvariant *self = instance;

  self->host = host;
  return TRUE;
}

static void
gvariant_fini (gpointer instance)
{
  Gvariant *self = instance;

  self->host = NULL;
}

static const CommySerializerOps gvariant_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = gvariant_bound,
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
COMMY_PLUGIN_DEFINE (Gvariant, gvariant_init, NULL, gvariant_fini, NULL, 0, &gvariant_ops);
