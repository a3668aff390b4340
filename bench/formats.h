/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializers of this build, each alone. They are started with a host that knows their
 * parameters and nothing else, because a serializer asks for no more.
 */
#pragma once

#include "bench.h"

#include <commy/commy-plugin.h>

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommySerializerOps *ops;
  CommyHost host;
  gpointer instance;
} BenchFormat;

/* NULL without @error if this build has none. */
BenchFormat *bench_format_load (const char *id, GError **error);
void bench_format_free (BenchFormat *format);

/* All there are. */
GPtrArray *bench_formats_load (GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BenchFormat, bench_format_free)
