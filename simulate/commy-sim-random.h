/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chance of a simulation: a generator with a seed, and times that are distributed in some way.
 */
#pragma once

#include <glib.h>

typedef enum
{
  COMMY_SIM_CONSTANT,
  COMMY_SIM_EXPONENTIAL,
  COMMY_SIM_LOGNORMAL,
} CommySimShape;

typedef struct
{
  CommySimShape shape;
  double mean_ns;
  double sigma; /* of the logarithm, for lognormal */
} CommySimTimes;

typedef struct
{
  guint64 state;
} CommySimRandom;

guint64 commy_sim_random_next (CommySimRandom *random);
/* From 0 to below 1. */
double commy_sim_random_share (CommySimRandom *random);
/* From 0 to below @n. */
guint commy_sim_random_below (CommySimRandom *random, guint n);
gint64 commy_sim_random_time (CommySimRandom *random, const CommySimTimes *times);
