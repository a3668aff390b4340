/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The simulated world: clients, instances, and what flies between them. A client has the guard
 * and the balancer of a real one; only time, the network and the work are made up.
 */
#pragma once

#include "control/commy-guard.h"
#include "simulate/commy-sim-agenda.h"
#include "simulate/commy-sim-record.h"
#include "simulate/commy-sim-scenario.h"

#include <commy/commy-balancer.h>

#define COMMY_SIM_MAX_OPEN 10u /* attempts of a call under way: retries and hedges, 5 each */

typedef struct
{
  const CommyBalancerOps *ops;
  gpointer instance;
} CommySimBalancer;

typedef struct
{
  const CommySimPlace *place;
  guint index;
  guint busy;
  GQueue waiting;     /* of CommySimAttempt */
  GPtrArray *serving; /* of CommySimAttempt, borrowed: each has an event */
  CommyServiceTime times;
  /* Faults that are on, how many of each: they may overlap. */
  guint n_stops, n_crashes, n_partitions;
  double slow;        /* factor */
  double fail;        /* share: the greatest of the faults that are on */
  GPtrArray *failing; /* of CommySimFault, borrowed */
  gint64 stopped_ns;  /* since when */
} CommySimInstance;

typedef struct
{
  CommyGuard guard;
  CommyLocality locality;
  gpointer state; /* the balancer's */
  CommyBalancerMember *members;
} CommySimClient;

typedef struct _CommySimAttempt CommySimAttempt;

typedef struct
{
  guint refs;
  CommySimClient *client;
  gint64 begun_ns, deadline_ns;
  guint n_attempts, n_copies; /* one after the other; sent as hedges, the first included */
  guint n_open, n_planned;    /* attempts under way; retries to come */
  gboolean over;
  CommySimEnd end;  /* of the last attempt that failed, */
  gssize failed_at; /* and whose it was; -1: none yet */
  CommySimAttempt *open[COMMY_SIM_MAX_OPEN];
  guint64 tried[]; /* one bit an instance */
} CommySimCall;

struct _CommySimAttempt
{
  guint refs;
  CommySimCall *call;
  CommySimInstance *instance;
  CommyGuardAttempt guarded;
  gint64 deadline_ns;       /* what the instance is told: until then somebody waits for it */
  gboolean open;            /* the client waits for it */
  gboolean serving;         /* a worker has it */
  gboolean parked;          /* its end came while the instance stood still */
  gint64 begun_ns, ends_ns; /* of the work */
};

typedef struct
{
  const CommySimScenario *scenario;
  CommySimBalancer balancer;
  CommySimRandom random;
  CommySimAgenda agenda;
  gint64 now_ns;
  guint step; /* of the arrivals */
  CommySimInstance *instances;
  CommySimClient *clients;
  const char **names; /* of the instances, for reasons */
  CommySimRecord record;
} CommySimWorld;

/* (transfer full): everything that came of it, floating: a{sv} */
GVariant *commy_sim_run (const CommySimScenario *scenario, const CommySimBalancer *balancer);

/* --- clients --- */

void commy_sim_client_init (CommySimWorld *world, CommySimClient *client);
void commy_sim_client_clear (CommySimWorld *world, CommySimClient *client);
void commy_sim_client_call (CommySimWorld *world, CommySimClient *client);
/* An answer came for @attempt, which is consumed. */
void commy_sim_client_receive (CommySimWorld *world,
                               CommySimAttempt *attempt,
                               CommyOutcome outcome,
                               CommySimEnd end);

CommySimAttempt *commy_sim_attempt_ref (CommySimAttempt *attempt);
void commy_sim_attempt_unref (CommySimAttempt *attempt);

/* --- instances --- */

void commy_sim_instance_init (CommySimInstance *instance, const CommySimPlace *place, guint index);
void commy_sim_instance_clear (CommySimInstance *instance);
/* An attempt is on its way to it; takes a reference over. */
void commy_sim_instance_send (CommySimWorld *world, CommySimAttempt *attempt);
void commy_sim_instance_begin_fault (CommySimWorld *world,
                                     CommySimInstance *instance,
                                     const CommySimFault *fault);
void commy_sim_instance_end_fault (CommySimWorld *world,
                                   CommySimInstance *instance,
                                   const CommySimFault *fault);
