/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the benchmark share: the run with its rows, the limits of this machine, the
 * other process, and the calls that are compared with the limits.
 */
#pragma once

#include <commy/commy.h>

#define BENCH_ERROR (g_quark_from_static_string ("commy-bench-quark"))
#define BENCH_SERVICE "org.example.Bench"

typedef struct
{
  char *name;  /* what, over what */
  char *wait;  /* how the waiting side waits */
  gsize size;  /* bytes each way */
  char *limit; /* name of the row to compare with, or NULL */
  gsize n;
  double p50, p99; /* nanoseconds, or calls per second */
  gboolean is_rate;
} BenchRow;

typedef struct
{
  gboolean smoke;
  gboolean json;
  gboolean can_spin; /* two processors: both ends can run at a time */
  int cpus[2];
  char *only; /* the part of the calls to measure, or NULL */
  char *dir;
  char *command;   /* its arguments */
  GPtrArray *rows; /* of BenchRow */
} Bench;

gint64 bench_now (void);
void bench_pin (int cpu);
/* How often to measure: @full, or a few times to see that it works. */
gsize bench_count (const Bench *bench, gsize full);
G_GNUC_PRINTF (2, 3) void bench_fail (GError **error, const char *format, ...);

/* --- rows (bench-report.c) --- */

/* Sorts @ns; the newest row is also printed as it comes, unless the output is JSON. */
void bench_add (Bench *bench,
                const char *name,
                const char *wait,
                gsize size,
                const char *limit,
                gint64 *ns,
                gsize n);
void bench_add_rate (Bench *bench, const char *name, const char *wait, gsize size, double rate);
void bench_row_free (gpointer row);
void bench_print_head (const Bench *bench);
void bench_print_json (const Bench *bench);

/* --- limits (bench-limits.c) --- */

gboolean bench_limits (Bench *bench, GError **error);

/* --- the other process (bench-service.c) --- */

typedef struct
{
  GPid pid;
  int fd; /* closing it ends the process */
} BenchChild;

/* The keyfile of a mesh that waits as @wait and uses @transports (NULL: any). */
char *bench_keyfile (const Bench *bench, const char *wait, const char *transports);
/* Starts this program again in the role @role; returns at once. */
gboolean bench_child_start (
    const Bench *bench, const char *role, const char *keyfile, BenchChild *out, GError **error);
/* Waits until the process says that it is ready. */
gboolean bench_child_wait (BenchChild *child, GError **error);
gboolean bench_child_end (BenchChild *child, GError **error);
CommyMesh *bench_join (const char *keyfile, GError **error);
/* Whether this process is a child; then @out_status is what main returns. */
gboolean bench_child_main (int argc, char **argv, int *out_status);

/* --- calls (bench-calls.c, bench-choice.c, bench-more.c, bench-beside.c) --- */

gboolean bench_calls (Bench *bench, const char *transport, const char *wait, GError **error);
gboolean bench_pipelined (Bench *bench, const char *transport, const char *wait, GError **error);
gboolean bench_beside (Bench *bench, const char *transport, const char *wait, GError **error);
gboolean bench_start (Bench *bench, GError **error);
gboolean bench_decision (Bench *bench, GError **error);
gboolean bench_choice (Bench *bench, GError **error);
