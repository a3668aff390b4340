/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The prober: a thread of its own that measures the paths routes could take, those in use and
 * their rivals alike, within ceilings on time and bytes; and the table of what it found, which
 * outlives the process. Nothing is probed that no call asked about.
 */
#pragma once

#include "mesh/commy-mesh-private.h"
#include "mesh/commy-survey.h"
#include "route/commy-measurement.h"

/* What is known of one transport to one place. */
typedef struct
{
  CommyCalibration calibration; /* `bare` */
  guint64 probes;
  gint64 probed_ns; /* by this process; 0: only by an earlier one */
  char text[128];   /* "36 round trips, the last 2.1 s ago"; "" if there were none */
} CommyFinding;

/* When a path is looked at again. */
typedef enum
{
  COMMY_PROBE_FLOOR,  /* every probe-every */
  COMMY_PROBE_DOUBT,  /* soon: something changed, or is not certain */
  COMMY_PROBE_VERIFY, /* at once: a switch is about to happen */
} CommyProbeUrgency;

/* Reads the file of earlier measurements. Mesh thread. */
CommyProber *commy_prober_new (CommyMesh *mesh);
/* Ends its thread and writes the file. Mesh thread. */
void commy_prober_stop (CommyProber *prober);
void commy_prober_free (CommyProber *prober);

/* Any thread inside a worker from here on. The mesh's epoch grows whenever there is something new
 * to decide by. */

/* Whether probes are made at all (mode active and ceilings above nothing). */
gboolean commy_prober_is_active (CommyProber *prober);
/* Fills @out_finding, all zero if nothing is known. */
void commy_prober_get (CommyProber *prober,
                       const char *transport,
                       const CommyInstance *instance,
                       CommyFinding *out_finding);
/* Asks for a look at an endpoint that is allowed. Returns at once. */
void commy_prober_ask (CommyProber *prober,
                       CommyInstance *instance,
                       const CommySurveyEndpoint *endpoint,
                       CommyProbeUrgency urgency);
/* What was spent and the ceilings, a line. (transfer full) */
char *commy_prober_describe (CommyProber *prober);
