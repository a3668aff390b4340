/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "json": values as JSON text, for peers and people that read nothing else. The
 * type goes beside the text, so nothing is lost. What becomes what is in README.md.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-json-text.h"

static gsize
json_bound (gpointer instance, GVariant *value)
{
  return commy_json_write (value, NULL, 0);
}

static gssize
json_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  gsize needed = commy_json_write (value, out, size);

  if (needed > size)
    return commy_values_refuse_room (value, needed, size, error);
  return needed > 0 ? (gssize) needed : commy_values_refuse_value (value, "json", error);
}

static GVariant *
json_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  g_autofree char *why = NULL;
  const char *text;
  GVariant *value;
  gsize size;

  if (!commy_values_check_type (type, "json", error))
    return NULL;
  text = g_bytes_get_data (bytes, &size);
  value = commy_json_read (text, size, type, &why);
  if (value == NULL)
    commy_values_refuse_bytes (bytes, type, "the JSON", why, error);
  return value;
}

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
                                   .send_cpu_ns_per_byte = 8,
                                   .recv_cpu_ns = 400,
                                   .recv_cpu_ns_per_byte = 6 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 5000,
                                   .send_cpu_ns_per_byte = 8,
                                   .recv_cpu_ns = 5000,
                                   .recv_cpu_ns_per_byte = 5 } });
COMMY_PLUGIN_DEFINE (
    CommyStateless, commy_stateless_init, NULL, commy_stateless_fini, NULL, 0, &json_ops);
