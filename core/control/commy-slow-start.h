/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slow start: an instance that has just begun, with cold caches, gets few calls at first and more
 * with its age. Who is left out of a pick is a matter of chance, so every balancer does it, also
 * one that knows no weights. Belongs to one thread; allocates when the set of instances changes;
 * time and chance are arguments.
 */
#pragma once

#include <glib.h>

typedef struct
{
  gint64 window_ns;  /* until then an instance is young; 0: off */
  double aggression; /* 1: its share grows like its age; more: it grows faster at first */
} CommySlowStartPolicy;

/* The part of its usual share that an instance of this age gets: max (0.1, (age / window) ^ (1 /
 * aggression)), as in Envoy; 1 from the window's end on. */
double commy_slow_start_get_factor (const CommySlowStartPolicy *policy, gint64 age_ns);

/* When an instance began, on the steady clock: from what its record says in Unix time, and both
 * clocks when the record was first seen. What cannot be right, such as tomorrow, is "now"; 0, which
 * is "it does not say", is long ago. From then on the wall clock may be set as it likes. */
gint64 commy_slow_start_get_birth (gint64 started_s, gint64 wall_s, gint64 now_ns);

typedef struct
{
  guint n_members, n_words;
  gint64 *births;    /* of each member */
  double *factors;   /* as they were at `looked_ns` */
  guint64 *excluded; /* one bit a member: not this time */
  gint64 looked_ns;
  gint64 until_ns; /* when the last one is old */
} CommySlowStart;

void commy_slow_start_clear (CommySlowStart *slow);
void commy_slow_start_set_members (CommySlowStart *slow,
                                   const CommySlowStartPolicy *policy,
                                   const gint64 *births,
                                   guint n);

/* Whether a pick at @now_ns has to ask at all. */
static inline gboolean
commy_slow_start_is_on (const CommySlowStart *slow, gint64 now_ns)
{
  return now_ns < slow->until_ns;
}

/* @excluded (nullable) and the young members that chance leaves out of this pick. Never all that
 * were left: the oldest of them stays, so where all are young all are equal. Good until the next
 * call. */
const guint64 *commy_slow_start_exclude (CommySlowStart *slow,
                                         const CommySlowStartPolicy *policy,
                                         const guint64 *excluded,
                                         gint64 now_ns,
                                         guint64 random);
