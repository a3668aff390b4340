/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "json": values as JSON text, for peers and people that read nothing else. The
 * type goes beside the text, so nothing is lost. What becomes what is in README.md.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-json-text.h"

typedef struct
{
  guint max_values;
} Json;

static gsize
json_bound (gpointer instance, GVariant *value)
{
  const Json *self = instance;

  return commy_json_write (value, self->max_values, NULL, 0);
}

static gssize
json_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  const Json *self = instance;
  gsize needed = commy_json_write (value, self->max_values, out, size);

  if (needed > size)
    return commy_values_refuse_room (value, needed, size, error);
  if (needed > 0)
    return (gssize) needed;
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_TYPE,
               "json does not carry this value of type %s: it has more than %u values inside "
               "(max-values of the serializer) or more than %u levels",
               g_variant_get_type_string (value), self->max_values, COMMY_VALUES_MAX_NESTING);
  return -1;
}

static GVariant *
json_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  const Json *self = instance;
  g_autofree char *why = NULL;
  const char *text;
  GVariant *value;
  gsize size;

  if (!commy_values_check_type (type, "json", error))
    return NULL;
  text = g_bytes_get_data (bytes, &size);
  value = commy_json_read (text, size, type, self->max_values, &why);
  if (value == NULL)
    commy_values_refuse_bytes (bytes, type, "the JSON", why, error);
  return value;
}

static gboolean
json_init (gpointer instance, CommyHost *host, GError **error)
{
  Json *self = instance;

  self->max_values = (guint) g_ascii_strtoull (host->param (host, "max-values"), NULL, 10);
  return TRUE;
}

static void
json_fini (gpointer instance)
{
}

static const CommyParamSpec params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "max-values",
    .default_value = "1000000",
    .minimum = 1000,
    .maximum = 100000000,
    .help = "Most values inside one message, numbers in arrays of numbers not counted. One costs "
            "up to 64 bytes of memory while it is read." },
};

static const CommySerializerOps json_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = json_bound,
  .encode = json_encode,
  .decode = json_decode,
};

/* As with the other serializers: small messages are taken for dictionaries, big ones for arrays.
 * How this was measured is in README.md. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "json",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "JSON text",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_VALUES | COMMY_CAP_TEXT,
                   .size_factor = 1.2,
                   .sigma = 0.7,
                   .n_segments = 2,
                   .segments = { { .max_bytes = 1024,
                                   .send_cpu_ns = 500,
                                   .send_cpu_ns_per_byte = 12,
                                   .recv_cpu_ns = 500,
                                   .recv_cpu_ns_per_byte = 12 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 5000,
                                   .send_cpu_ns_per_byte = 8,
                                   .recv_cpu_ns = 5000,
                                   .recv_cpu_ns_per_byte = 8 } });
COMMY_PLUGIN_DEFINE (Json, json_init, NULL, json_fini, params, G_N_ELEMENTS (params), &json_ops);
