/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is noted of a simulation, and the record that is made of it in the end.
 */
#pragma once

#include "simulate/commy-sim-scenario.h"

/* How a call ended. Those before COMMY_SIM_ENDED_NOBODY never began. */
typedef enum
{
  COMMY_SIM_ENDED_OK,
  COMMY_SIM_ENDED_RATE,
  COMMY_SIM_ENDED_BULKHEAD,
  COMMY_SIM_ENDED_THROTTLE,
  COMMY_SIM_ENDED_NOBODY, /* nobody could be picked */
  COMMY_SIM_ENDED_DEADLINE,
  COMMY_SIM_ENDED_TIMEOUT,     /* of the last attempt */
  COMMY_SIM_ENDED_FAILED,      /* the instance failed it */
  COMMY_SIM_ENDED_UNREACHABLE, /* nobody is there */
  COMMY_SIM_ENDED_LOST,        /* the connection broke */
  COMMY_SIM_ENDED_FULL,        /* the queue was full */
  COMMY_SIM_ENDED_SHED,        /* could not meet its deadline */
  COMMY_SIM_N_ENDS,
} CommySimEnd;

typedef struct
{
  guint64 calls, attempts, retries, hedges;
  guint64 ends[COMMY_SIM_N_ENDS];
  GArray *latencies; /* of gint64, ns: of calls that succeeded */
} CommySimCounts;

typedef struct
{
  guint64 attempts, succeeded, failed;
  guint64 ejections, openings;
} CommySimInstanceCounts;

/* When clients stopped picking an instance that a fault is on. */
typedef struct
{
  guint64 first, n, sum; /* ns after it began; how many clients and instances */
  guint8 *noticed;       /* [instance of the fault][client] */
} CommySimNotice;

typedef struct
{
  const CommySimScenario *scenario;
  CommySimCounts all, now; /* of the whole, and of this interval */
  gint64 interval_ns;      /* when this interval began */
  CommySimInstanceCounts *instances;
  CommySimNotice *notices; /* of each fault */
  GVariantBuilder timeline;
  char *first_refusal; /* the first reason why nobody could be picked, or NULL */
  gint64 first_refusal_ns;
} CommySimRecord;

void commy_sim_record_init (CommySimRecord *record, const CommySimScenario *scenario);
void commy_sim_record_clear (CommySimRecord *record);
void commy_sim_record_end (CommySimRecord *record, CommySimEnd end, gint64 took_ns);
/* A client does not pick an instance any more. */
void commy_sim_record_blocked (CommySimRecord *record, guint instance, guint client, gint64 now_ns);
/* The interval is over; how many instances are left out, as the mean of all clients. */
void commy_sim_record_interval (CommySimRecord *record, gint64 now_ns, double ejected, double open);
/* Floating; the timeline is taken. */
GVariant *commy_sim_record_finish (CommySimRecord *record, const char *balancer);
