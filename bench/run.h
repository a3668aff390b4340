/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program that measures nothing itself: which scenarios there are, which are wanted, and
 * running each in a process of its own, round after round.
 */
#pragma once

#include "results.h"

typedef struct
{
  BenchLength length;
  guint rounds;
  char **only; /* globs, or NULL */
  char *peers_dir;
  char **peer_commands; /* NAME=COMMAND, or NULL */
  gboolean json;
  gboolean list;
  char *report;
} BenchOptions;

typedef struct
{
  BenchOptions options;
  BenchRun run; /* what each scenario's process starts with */
  char *dir;
  GPtrArray *scenes; /* of BenchScene, in order */
  GPtrArray *peers;  /* of BenchPeer */
  BenchRows *rows;
  gboolean failed; /* something of ours has no figure and should */
  gboolean colour;
} Bench;

/* --- scenarios (bench-scenes.c) --- */

/* All of them, those of the peers at the end of their groups. (transfer full) */
GPtrArray *bench_scenes_list (const GPtrArray *peers);
/* Whether @only, one of which must match, asks for it; a glob also asks for what lies below. */
gboolean bench_scene_is_wanted (const BenchScene *scene, char *const *only);

/* --- running them (bench-run.c) --- */

void bench_run_all (Bench *bench);

/* --- peers (bench-peers.c) --- */

typedef struct
{
  BenchPeerInfo info;
  char **argv;       /* its command */
  GPtrArray *scenes; /* of BenchScene; owned */
} BenchPeer;

/* Asks all of the folder and of @commands what they are. (transfer full) */
GPtrArray *bench_peers_find (const char *dir, char *const *commands);
gboolean scene_peer (BenchRun *run, const BenchScene *scene, GError **error);
