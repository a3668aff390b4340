/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a scenario holds while it measures: the clock, the processors, the check of where they are,
 * loops that time, and the pipe on which its figures go to the program that started it.
 */
#pragma once

#include "bench-histogram.h"

#include <commy/commy.h>

#define BENCH_ERROR (g_quark_from_static_string ("commy-bench-quark"))
#define BENCH_ID_MAX 96
#define BENCH_NOTE_MAX 200
#define BENCH_NODES_MAX 64

typedef enum
{
  BENCH_FULL,
  BENCH_QUICK,
  BENCH_SMOKE, /* a few times, to see that it works */
} BenchLength;

typedef enum
{
  BENCH_TIME,  /* ns; less is better */
  BENCH_RATE,  /* messages a second; more is better */
  BENCH_BYTES, /* less is better */
  BENCH_RATIO, /* less is better */
  BENCH_COUNT, /* less is better */
} BenchUnit;

/* Where the two ends run. */
typedef enum
{
  BENCH_PINS_TWO,
  BENCH_PINS_ONE,
  BENCH_PINS_FREE,
} BenchPins;

/* One figure of one round, or why there is none. Goes over the pipe as it is. */
typedef struct
{
  char id[BENCH_ID_MAX]; /* scenario/what/size */
  BenchUnit unit;
  guint64 size;                   /* bytes of a message, 0 if that means nothing */
  guint64 n;                      /* how many were measured */
  double value;                   /* p50 of times, else the figure */
  double p90, p99, p999, max;     /* of times */
  double caller_cpu, service_cpu; /* ns of processor time a message; negative: not measured */
  double ref_ns;                  /* the cache line's round trip just before; 0: not asked */
  gboolean failed;                /* there should have been a figure */
  char note[BENCH_NOTE_MAX];      /* why there is none */
} BenchSample;

typedef struct _BenchRun BenchRun;
typedef struct _BenchScene BenchScene;
typedef struct _BenchPonger BenchPonger;

typedef gboolean (*BenchSceneFunc) (BenchRun *run, const BenchScene *scene, GError **error);

/* What is measured by one process in one go. */
struct _BenchScene
{
  const char *name;  /* glob of --only; begins the ids of its figures */
  const char *group; /* scenarios with the same one are measured in turns */
  const char *what;  /* for people */
  BenchSceneFunc measure;
  const char *transport;
  const char *wait;
  BenchPins pins;
  const char *extra; /* what is special */
  guint number;
};

struct _BenchRun
{
  BenchLength length;
  int cpus[2];
  gboolean can_spin; /* two processors: both ends can run at a time */
  gboolean has_tls;
  const char *dir; /* private, gone afterwards */
  int out;         /* samples go here */
  BenchPins pins;
  BenchPonger *ponger;
  double ref_ns;               /* of the row that is being measured */
  GPid nodes[BENCH_NODES_MAX]; /* other processes of this scenario, which stand still meanwhile */
  guint n_nodes;
};

/* --- clock and processors (bench-clock.c) --- */

gint64 bench_now (void);
/* A processor, or -1 for any. */
void bench_pin (int cpu);
/* The processor of the caller (0) or of the service (1) under @pins; -1: any. */
int bench_cpu_of (const BenchRun *run, BenchPins pins, guint end);
/* Processor time of a whole process (0: this one), ns; negative if it cannot be told. */
gint64 bench_cpu_time (GPid pid);
/* To be called inside of a waiting loop. */
static inline void
bench_relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* --- where the processors are (bench-placement.c) --- */

/* Starts the process that answers; before any thread is. */
gboolean bench_placement_start (BenchRun *run, GError **error);
void bench_placement_stop (BenchRun *run);
/* Measures the cache line's round trip while the scenario's other processes stand still, and
 * notes it for the figures that follow. */
void bench_placement_check (BenchRun *run);

/* --- measuring (bench-measure.c) --- */

/* Does once what is timed. */
typedef gboolean (*BenchOnce) (gpointer data, GError **error);

/* How long a row is measured, ns; 0 for a few times only. */
gint64 bench_get_budget (const BenchRun *run);
/* @full, or a few times to see that it works. */
gsize bench_get_count (const BenchRun *run, gsize full);
/* Checks the placement, warms up, and times @once again and again. */
gboolean bench_time_each (
    BenchRun *run, const char *id, gsize size, BenchOnce once, gpointer data, GError **error);
/* One of several things that are timed in turns (bench-turns.c). */
typedef struct
{
  BenchOnce once;
  gpointer data;
  gsize batch; /* so many are timed at once */
  BenchHistogram *histogram;
} BenchTurn;

BenchTurn *bench_turn_new (BenchOnce once, gpointer data);
void bench_turn_free (BenchTurn *turn);
/* For half the budget each. */
gboolean bench_time_in_turns (BenchRun *run, GPtrArray *turns, GError **error);

/* Figures for the program that started this one. */
void bench_tell_times (BenchRun *run,
                       const char *id,
                       gsize size,
                       const BenchHistogram *histogram,
                       double caller_cpu,
                       double service_cpu);
void
bench_tell (BenchRun *run, const char *id, BenchUnit unit, gsize size, guint64 n, double value);
void bench_tell_sample (BenchRun *run, const BenchSample *sample);
/* There is no figure, for a good reason. */
G_GNUC_PRINTF (3, 4)
void bench_tell_missing (BenchRun *run, const char *id, const char *format, ...);
/* There should have been one. Takes @error. */
void bench_tell_failed (BenchRun *run, const char *id, GError *error);
G_GNUC_PRINTF (2, 3) gboolean bench_fail (GError **error, const char *format, ...);
/* Like a printf() into @id: the scenario's name, a slash, and @format. */
G_GNUC_PRINTF (3, 4)
void bench_id (char id[BENCH_ID_MAX], const BenchScene *scene, const char *format, ...);

/* --- the bytes, touched the same way by limits and calls (bench-bytes.c) --- */

static inline void
bench_fill (guint8 *bytes, gsize size, guint8 value)
{
  __builtin_memset (bytes, value, size);
}

/* Reads every byte. */
guint64 bench_sum (const guint8 *bytes, gsize size);

/* The sizes that round trips and streams are measured at, ended by 0; fewer where it only matters
 * whether it works. */
#define BENCH_LARGEST ((gsize) 16 << 20)
const gsize *bench_get_round_trip_sizes (const BenchRun *run);
const gsize *bench_get_stream_sizes (const BenchRun *run);
