/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a plugin truly costs, in the terms of its profile: the middle of many messages, size by
 * size, on this machine now.
 */
#pragma once

#include "commy-conformance.h"

G_BEGIN_DECLS

#define COMMY_MEASURE_SIZES 5

typedef struct
{
  gsize size;        /* bytes of a message */
  guint n;           /* how many were sent */
  double send_ns;    /* the sender's time: reserve to flush, or encode */
  double recv_ns;    /* the receiver's time: the look that found it, and release; or decode */
  double latency_ns; /* between the two; 0 for serializers */
  double claim_ns;   /* all three as the profile has it; 0 where it claims nothing */
} CommyMeasuredSize;

typedef struct
{
  CommyMeasuredSize sizes[COMMY_MEASURE_SIZES];
  guint n_sizes;
  double connect_ns; /* transports */
} CommyMeasurement;

/* Measures for about @budget_ns; kinds: transports and serializers. Ends the process if the plugin
 * breaks its contract. FALSE with @error set if there is nothing to measure. */
gboolean commy_measure (const CommyPluginDescriptor *descriptor,
                        const CommyConformanceOptions *options,
                        gint64 budget_ns,
                        CommyMeasurement *out,
                        GError **error);

/* Whether the claim for the smallest message is so far from what was measured that a busy machine
 * does not explain it: 20 times too low and a millisecond. */
gboolean commy_measurement_contradicts (const CommyMeasurement *measurement);

G_END_DECLS
