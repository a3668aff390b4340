/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The figures that alerts are about, as this process has them. Those of calls are sums over the
 * last seconds of what each of its channels counted. Mesh thread.
 */
#pragma once

#include "control/commy-alert.h"
#include "mesh/commy-mesh-private.h"

/* One second each. */
#define COMMY_ALERT_SLOTS_MAX 60u

typedef struct
{
  guint n_slots;
  CommyCounters *slots; /* of calls to the rule's service; NULL: it is not about those */
  guint64 *drops;       /* NULL: nor about drops */
} CommyAlertWindow;

void commy_alert_window_init (CommyAlertWindow *window, const CommyAlertRule *rule);
void commy_alert_window_clear (CommyAlertWindow *window);

typedef struct _CommyAlertFigures CommyAlertFigures;

CommyAlertFigures *commy_alert_figures_new (CommyMesh *mesh);
void commy_alert_figures_free (CommyAlertFigures *figures);

/* A second is over: reads every channel once, for all windows of all rules. */
typedef struct
{
  const CommyAlertRule *rule;
  CommyAlertWindow *window;
} CommyAlertFigure;

void commy_alert_figures_tick (CommyAlertFigures *self, const CommyAlertFigure *of, guint n);
/* FALSE: there is none (yet). */
gboolean
commy_alert_figures_get (CommyAlertFigures *self, const CommyAlertFigure *of, double *out_value);
