/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SplitMix64 (Steele, Lea and Flood, 2014), and inverse or Box-Muller transforms of it.
 */
#include "config.h"

#include "simulate/commy-sim-random.h"

#include "control/commy-chance.h"

#include <math.h>

guint64
commy_sim_random_next (CommySimRandom *random)
{
  guint64 z = random->state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
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
