/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long calls take: quantiles of the last one to two periods, from counts in cells whose width
 * grows with the time (a sixteenth of it at most). A period is a second, or longer where calls are
 * few. Pure; no allocation.
 */
#pragma once

#include <glib.h>

#define COMMY_SERVICE_TIME_CELLS 512u

typedef struct
{
  guint32 cells[2][COMMY_SERVICE_TIME_CELLS]; /* this period's and the last one's */
  guint32 n[2];
  double sum[2];
  gint64 begun_ns; /* this period */
  struct
  {
    double quantile;
    gint64 took_ns;
    guint64 n; /* seen when it was counted; 0: not yet */
  } known[2];  /* of high and of other quantiles */
} CommyServiceTime;

void commy_service_time_add (CommyServiceTime *times, gint64 now_ns, gint64 took_ns);
/* The least time that the share @quantile of calls does not exceed; 0 while fewer than
 * COMMY_SERVICE_TIME_ENOUGH were seen. Counted anew after some more calls only. */
#define COMMY_SERVICE_TIME_ENOUGH 20u
gint64 commy_service_time_get (CommyServiceTime *times, double quantile);
/* 0 while fewer were seen. */
gint64 commy_service_time_get_mean (const CommyServiceTime *times);
