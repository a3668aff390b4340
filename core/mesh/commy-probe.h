/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One look at one path: a connection of its own, a few small and a few large round trips, and the
 * end. Blocks; belongs to the prober's thread.
 */
#pragma once

#include "control/commy-instance.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-route.h"

#define COMMY_PROBE_SAMPLES 16u

/* Where to. */
typedef struct
{
  CommyMesh *mesh;
  CommyWorker *worker; /* of the calling thread */
  CommyPlugin *transport;
  CommyInstance *instance;
  const char *address;
  const CommyProfile *profile;
  GCancellable *cancellable;
  guint n_small, n_large; /* round trips that count; at most COMMY_PROBE_SAMPLES */
} CommyProbe;

/* What came out: one way, ns. */
typedef struct
{
  gint64 small_ns[COMMY_PROBE_SAMPLES], large_ns[COMMY_PROBE_SAMPLES];
  guint n_small, n_large;
  gsize small_size, large_size;
  guint64 bytes;       /* sent */
  guint64 round_trips; /* those that do not count included */
} CommyProbeResult;

/* FALSE with @error: no connection, or nothing came back. What was found so far is in the result.
 */
gboolean commy_probe_run (const CommyProbe *probe, CommyProbeResult *out_result, GError **error);
