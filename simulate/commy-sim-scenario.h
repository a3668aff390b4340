/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scenario: what is simulated. Read from a keyfile by the same rules as settings, so that what
 * is wrong is told with file, line and the nearest name.
 */
#pragma once

#include "control/commy-locality.h"
#include "control/commy-resilience.h"
#include "simulate/commy-sim-random.h"

typedef struct
{
  gint64 at_ns;
  double rate; /* calls a second of all clients together */
} CommySimStep;

typedef enum
{
  COMMY_SIM_SLOW,
  COMMY_SIM_FAIL,
  COMMY_SIM_STOP,
  COMMY_SIM_CRASH,
  COMMY_SIM_PARTITION,
} CommySimFaultKind;

typedef struct
{
  char *name;
  CommySimFaultKind kind;
  gint64 at_ns, until_ns; /* the latter at most the end */
  double factor;          /* of slow */
  double share;           /* of the calls that fail */
  GArray *instances;      /* of guint: indexes */
} CommySimFault;

typedef struct
{
  char *name;
  CommySimTimes times;
  guint workers, queue, weight;
  gint64 latency_ns; /* one way */
  CommyLevel level;  /* seen by the clients */
} CommySimPlace;

typedef struct
{
  gint64 duration_ns, interval_ns;
  guint64 seed;
  gboolean poisson;
  GArray *steps; /* of CommySimStep; the first at 0 */
  guint n_clients;
  char *balancer; /* "": the one that is set for meshes */
  gint64 timeout_ns;
  gboolean idempotent;
  CommyResilience policy;
  CommyLocalityPolicy locality;
  gboolean has_levels; /* not all instances are as near */
  GPtrArray *places;   /* of CommySimPlace */
  GPtrArray *faults;   /* of CommySimFault */
} CommySimScenario;

/* @settings: "GROUP.KEY=VALUE" up to NULL, which win over the file. */
CommySimScenario *
commy_sim_scenario_load (const char *path, const char *const *settings, GError **error);
void commy_sim_scenario_free (CommySimScenario *scenario);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySimScenario, commy_sim_scenario_free)

/* a(ssss) of group, key, default ("" for none) and what it says. Floating. */
GVariant *commy_sim_scenario_list_keys (void);

const char *commy_sim_fault_to_string (CommySimFaultKind kind);
