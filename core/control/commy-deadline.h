/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deadlines: what a hop has left of one, and whether work can still meet it. Work that cannot is
 * refused at once, because done in vain it only delays what could. Points of time are of one
 * process; between processes only what is left travels. Pure.
 */
#pragma once

#include "control/commy-service-time.h"

typedef struct
{
  gboolean shed;
  double quantile; /* share of the calls that are served in the time that must be left */
} CommyDeadlinePolicy;

/* What to give the next hop of @deadline_ns: what is left without the way there and back; 0: no
 * time is left. G_MAXINT64 is no deadline, and none it stays. */
gint64 commy_deadline_get_left (gint64 deadline_ns, gint64 now_ns, gint64 round_trip_ns);

/* Whether work with @left_ns left can be done where @ahead of others wait for @workers. */
gboolean commy_deadline_can_meet (const CommyDeadlinePolicy *policy,
                                  CommyServiceTime *times,
                                  gint64 left_ns,
                                  guint ahead,
                                  guint workers);
