/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "compact": both sides hold the signature, so the message has neither names nor
 * types, and numbers take the bytes that they need. The format is docs/formats/compact.md.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-compact.h"

static gsize
compact_bound (gpointer instance, GVariant *value)
{
  return commy_compact_bound (instance, value);
}

static gssize
compact_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  const CompactFormat *self = instance;
  gsize needed = commy_compact_write (self, value, out, size);

  if (needed > size)
    return commy_values_refuse_room (value, needed, size, error);
  if (needed > 0)
    return (gssize) needed;
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_TYPE,
               "compact does not carry this value of type %s: it needs more than %" G_GSIZE_FORMAT
               " bytes of memory (max-size of the serializer) or has more than %u levels",
               g_variant_get_type_string (value), self->max_size, COMMY_VALUES_MAX_NESTING);
  return -1;
}

static GVariant *
compact_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autofree char *why = NULL;
  const guint8 *data;
  GVariant *value;
  gsize size;

  if (!commy_values_check_type (type, "compact", error))
    return NULL;
  data = g_bytes_get_data (bytes, &size);
  value = commy_compact_read (instance, data, size, type, &why);
  if (value == NULL)
    commy_values_refuse_bytes (bytes, type, "the compact form", why, error);
  return value;
}

static gboolean
compact_init (gpointer instance, CommyHost *host, GError **error)
{
  const char *max_size = host->param (host, "max-size");

  commy_compact_format_init (instance, (gsize) g_ascii_strtoull (max_size, NULL, 10));
  return TRUE;
}

static void
compact_fini (gpointer instance)
{
  commy_compact_format_clear (instance);
}

static const CommyParamSpec params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "max-size",
    .default_value = "1GiB",
    .minimum = 1024 * 1024,
    .maximum = G_MAXUINT32,
    .help = "Most memory of one value. A message may unfold to 48 times its size while it is "
            "read." },
};

static const CommySerializerOps compact_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = compact_bound,
  .encode = compact_encode,
  .decode = compact_decode,
};

/* As with the other serializers: small messages are taken for dictionaries, big ones for arrays.
 * How this was measured is in README.md. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "compact",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "numbers of variable length, no names and no types",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_VALUES,
                   .size_factor = 0.65,
                   .sigma = 0.7,
                   .n_segments = 2,
                   .segments = { { .max_bytes = 1024,
                                   .send_cpu_ns = 170,
                                   .send_cpu_ns_per_byte = 1.8,
                                   .recv_cpu_ns = 180,
                                   .recv_cpu_ns_per_byte = 1.2 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 1100,
                                   .send_cpu_ns_per_byte = 0.3,
                                   .recv_cpu_ns = 1500,
                                   .recv_cpu_ns_per_byte = 0.6 } });
COMMY_PLUGIN_DEFINE (
    CompactFormat, compact_init, NULL, compact_fini, params, G_N_ELEMENTS (params), &compact_ops);
