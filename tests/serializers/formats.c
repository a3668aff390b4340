/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats of this build: see the header.
 */
#include "config.h"

#include "formats.h"

const char *const formats_names[] = {
#ifdef WITH_GVARIANT
  "gvariant",
#endif
#ifdef WITH_RAW
  "raw",
#endif
#ifdef WITH_JSON
  "json",
#endif
#ifdef WITH_COMPACT
  "compact",
#endif
#ifdef WITH_MSGPACK
  "msgpack",
#endif
#ifdef WITH_CBOR
  "cbor",
#endif
  NULL,
};

typedef struct
{
  const char *id;
  void (*test) (Format *format);
} Case;

Format *
format_start (const char *id)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("serializer", id, &error);
  Format *self = g_new0 (Format, 1);

  g_assert_no_error (error);
  self->id = id;
  self->host = commy_test_host_new (NULL, descriptor);
  self->ops = descriptor->ops;
  self->instance = commy_test_host_start (self->host, &error);
  g_assert_no_error (error);
  return self;
}

void
format_stop (Format *self)
{
  commy_test_host_free (self->host);
  g_free (self);
}

static void
run_case (gconstpointer data)
{
  const Case *self = data;
  g_autoptr (Format) format = format_start (self->id);

  self->test (format);
}

void
formats_add_case (const char *id, const char *name, void (*test) (Format *format))
{
  g_autofree char *path = g_strdup_printf ("/serializer/%s/%s", id, name);
  Case *self = g_new0 (Case, 1);

  *self = (Case){ .id = id, .test = test };
  g_test_add_data_func_full (path, self, run_case, g_free);
}

GBytes *
format_encode (Format *self, GVariant *value)
{
  gsize bound = self->ops->bound (self->instance, value);
  guint8 *out = g_malloc (bound);
  g_autoptr (GError) error = NULL;
  gssize size = self->ops->encode (self->instance, value, out, bound, &error);

  g_assert_no_error (error);
  g_assert_cmpint (size, >=, 0);
  return g_bytes_new_take (out, (gsize) size);
}
