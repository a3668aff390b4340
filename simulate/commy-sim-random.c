/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The numbers of commy_chance_next(), and inverse or Box-Muller transforms of them.
 */
#include "config.h"

#include "simulate/commy-sim-random.h"

#include "control/commy-chance.h"

#include <math.h>

guint64
commy_sim_random_next (CommySimRandom *random)
{
  return commy_chance_next (&random->state);
}

double
commy_sim_random_share (CommySimRandom *random)
{
  return commy_chance (commy_sim_random_next (random));
}

guint
commy_sim_random_below (CommySimRandom *random, guint n)
{
  return (guint) (commy_sim_random_share (random) * n);
}

static double
draw_normal (CommySimRandom *random)
{
  const double radius = sqrt (-2 * log (1 - commy_sim_random_share (random)));

  return radius * cos (2 * G_PI * commy_sim_random_share (random));
}

gint64
commy_sim_random_time (CommySimRandom *random, const CommySimTimes *times)
{
  double factor = 1;

  if (times->shape == COMMY_SIM_EXPONENTIAL)
    factor = -log (1 - commy_sim_random_share (random));
  else if (times->shape == COMMY_SIM_LOGNORMAL)
    /* So that the mean is what was asked for. */
    factor = exp (times->sigma * draw_normal (random) - times->sigma * times->sigma / 2);
  return (gint64) MIN (times->mean_ns * factor, 1e15);
}
