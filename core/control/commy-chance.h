/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random numbers as policies use them: given as 64 bits, used as a share.
 */
#pragma once

#include <glib.h>

/* From 0 to below 1; as many values as a double tells apart there. */
static inline double
commy_chance (guint64 random)
{
  return (double) (random >> 11) * 0x1p-53;
}

/* Every bit of the result hangs on every bit of @x: SplitMix64's finalizer (Steele, Lea, Flood,
 * "Fast splittable pseudorandom number generators", 2014). One to one. */
static inline guint64
commy_chance_mix (guint64 x)
{
  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* The next of the numbers that begin with any @state. */
static inline guint64
commy_chance_next (guint64 *state)
{
  *state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return commy_chance_mix (*state);
}
