/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializers of this build, each alone: see the header.
 */
#include "config.h"

#include "formats.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* Defaults as the core gives them: bytes without a unit. */
static const char *
get_param (CommyHost *host, const char *name)
{
  const CommyPluginDescriptor *descriptor = host->core;

  for (guint i = 0; i < descriptor->n_params; i++)
    if (strcmp (descriptor->params[i].name, name) == 0)
      return descriptor->params[i].type == COMMY_PARAM_SIZE ? "1073741824"
                                                            : descriptor->params[i].default_value;
  return NULL;
}

void
bench_format_free (BenchFormat *self)
{
  if (self->instance != NULL)
    self->descriptor->fini (self->instance);
  free (self->instance);
  g_free (self);
}

BenchFormat *
bench_format_load (const char *id, GError **error)
{
  g_autofree char *path
      = g_strdup_printf ("%s/modules/.libs/libcommy-serializer-%s.so", BENCH_BUILD_DIR, id);
  g_autoptr (BenchFormat) self = g_new0 (BenchFormat, 1);
  gpointer module = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  CommyPluginQueryFunc query = NULL;
  gpointer memory;

  if (module == NULL)
    return NULL;
  *(void **) &query = dlsym (module, COMMY_QUERY_SYMBOL);
  dlclose (module);
  if (query == NULL)
    {
      bench_fail (error, "%s is no plugin", path);
      return NULL;
    }
  self->descriptor = query ();
  self->ops = self->descriptor->ops;
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost),
                            .core = (gpointer) self->descriptor,
                            .param = get_param };
  if (posix_memalign (&memory, 64, self->descriptor->instance_size) != 0)
    {
      bench_fail (error, "no memory for %s", id);
      return NULL;
    }
  memset (memory, 0, self->descriptor->instance_size);
  if (!self->descriptor->init (memory, &self->host, error))
    {
      free (memory);
      return NULL;
    }
  self->instance = memory;
  return g_steal_pointer (&self);
}

GPtrArray *
bench_formats_load (GError **error)
{
  static const char *const ids[] = { "json", "msgpack", "cbor", "gvariant", "compact", "raw" };
  g_autoptr (GPtrArray) formats
      = g_ptr_array_new_with_free_func ((GDestroyNotify) bench_format_free);

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_autoptr (GError) cause = NULL;
      BenchFormat *format = bench_format_load (ids[i], &cause);

      if (cause != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return NULL;
        }
      if (format != NULL)
        g_ptr_array_add (formats, format);
    }
  return g_steal_pointer (&formats);
}
