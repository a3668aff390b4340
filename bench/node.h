/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other processes of a scenario: this program again in a role, with settings of its own,
 * pinned, that says when it is ready and ends when its pipe does.
 */
#pragma once

#include "bench.h"

#define BENCH_SERVICE "org.example.Bench"

typedef struct
{
  GPid pid;
  int fd; /* closing it ends the process */
} BenchNode;

/* The keyfile of a mesh that waits as @wait and uses only @transport (NULL: any); @more may add
 * groups that are not there yet. Policy is on. */
char *
bench_keyfile (const BenchRun *run, const char *wait, const char *transport, const char *more);
CommyMesh *bench_join (const char *keyfile, GError **error);

/* Starts this program in the role @role; returns at once. @cpu may be -1. */
gboolean bench_node_start (BenchRun *run,
                           const char *role,
                           const char *keyfile,
                           const char *argument,
                           int cpu,
                           BenchNode *out,
                           GError **error);
/* Waits until the process says that it is ready. */
gboolean bench_node_wait (const BenchNode *node, GError **error);
/* Asks it to end and waits for that. */
gboolean bench_node_end (BenchRun *run, BenchNode *node, GError **error);
/* Ends it as a crash would, and does not wait for it. */
void bench_node_kill (const BenchNode *node);
/* Waits for one that was killed. */
void bench_node_reap (BenchRun *run, BenchNode *node);
/* Blocks of bytes, either way. */
gboolean bench_node_send (int fd, gconstpointer bytes, gsize size);
gboolean bench_node_receive (int fd, gpointer bytes, gsize size);

typedef gboolean (*BenchWithMesh) (BenchRun *run,
                                   const BenchScene *scene,
                                   CommyMesh *mesh,
                                   GError **error);
/* Calls @func with a joined mesh in which somebody serves: another process, or, where the
 * scenario's transport stays in its process, this one. @more goes into both keyfiles. */
gboolean bench_with_service (
    BenchRun *run, const BenchScene *scene, const char *more, BenchWithMesh func, GError **error);

/* --- being one (bench-roles.c) --- */

/* Whether this process is a node; then @out_status is what main returns. */
gboolean bench_node_main (int argc, char **argv, int *out_status);
/* Offers BENCH_SERVICE with @workers threads. (bench-service.c) */
CommyService *bench_serve (CommyMesh *mesh, guint workers, GError **error);
#define BENCH_NODE_FD 3
/* Says that it is ready. */
void bench_node_say_ready (void);
/* Sleeps until the process that started this one is done with it. */
void bench_node_await_end (void);

/* Roles that belong to one scenario. */
gboolean bench_role_many (const char *keyfile, const char *argument, GError **error);
gboolean bench_role_subscribe (const char *keyfile, const char *argument, GError **error);

/* --- scenarios --- */

gboolean scene_round_trips (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_loans (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_serializers (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_rates (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_streams (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_async (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_mix (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_many (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_idle (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_start (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_fallback (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_floods (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_death (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_memory (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_choice (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_beside (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_encoding (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_direct (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_decision (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_fan_out (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_policy (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_token (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_audit (BenchRun *run, const BenchScene *scene, GError **error);
gboolean scene_route (BenchRun *run, const BenchScene *scene, GError **error);
