/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When messages of a given rate are meant to leave, fixed before the first one does: what holds
 * the sender up moves no later message, so its delay is told and not omitted. Pure.
 */
#pragma once

#include <glib.h>

typedef struct
{
  gint64 start_ns;
  double per_second;
  guint64 sent;
} BenchPace;

/* @per_second is above 0. */
void bench_pace_init (BenchPace *pace, gint64 start_ns, double per_second);
/* When the next message is meant to leave; does not move. */
gint64 bench_pace_get (const BenchPace *pace);
/* The same, and the one after it is then the next. */
gint64 bench_pace_take (BenchPace *pace);
/* How many should have left by @now_ns and have not. */
guint64 bench_pace_behind (const BenchPace *pace, gint64 now_ns);
