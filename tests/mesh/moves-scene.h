/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client whose flow is made to move between shared memory, a Unix socket and TLS, planned and
 * by cutting the path under it; and the service at the other end, which checks every number.
 */
#pragma once

#include "mesh-fixture.h"

#include "channel/commy-channel-private.h"
#include "mesh/commy-client-private.h"

enum
{
  MOVES_SHM,
  MOVES_UNIX,
  MOVES_TLS,
  MOVES_PATHS
};

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyChannel *channel; /* the flow */
  CommyPath *path;       /* it is on, or on its way to */
  guint32 seed;
  GRand *rand;
  /* a move under way */
  gboolean moving;
  int from, to;
  gboolean is_cut;
  /* ended moves: how many, and how many of them by a cut */
  guint n[MOVES_PATHS][MOVES_PATHS];
  guint n_cut[MOVES_PATHS][MOVES_PATHS];
  guint total;
  guint elsewhere; /* that went to another path than was meant */
  guint wanted;    /* moves of each ordered pair */
  guint wanted_cut;
} MovesScene;

/* Methods of the service: "Numbers" (a stream; each message begins with its number, is checked
 * and answered by one as large), "Runs" (the same with messages in place), "Next" (a call with a
 * number, answered by it), "Tick" (the same, one-way), "Ticks" (how many came), "Fd" (gives its
 * descriptors back). Whatever is out of order ends the child. */
void moves_service_extend (CommyService *service);

/* @seed 0: of COMMY_SEED, or by chance; printed. */
MovesScene *moves_scene_new (MeshFixture *fixture, const char *settings, guint32 seed);
void moves_scene_free (MovesScene *scene);

const char *moves_path_name (int path);
int moves_path_of (const CommyPath *path);
CommyPath *moves_find_path (MovesScene *scene, int path);
/* Takes hold of the client's flow, after its first call. */
void moves_scene_attach (MovesScene *scene);
/* Calls, which must succeed: the path is there then. */
void moves_scene_call (MovesScene *scene);

/* Begins the next move that the schedule wants, if none is under way. FALSE: there is none left. */
gboolean moves_scene_next (MovesScene *scene);
/* Begins this one. */
void moves_scene_move (MovesScene *scene, int to);
void moves_scene_cut (MovesScene *scene, int to);
/* Ends the path under the flow, as seen by both sides. */
void moves_cut_path (CommyChannel *channel, int how);
/* Its mover has not heard the end of it yet. */
gboolean moves_is_moving (MovesScene *scene);
/* Notes the end of the one under way; whether there is none any more. */
gboolean moves_scene_settled (MovesScene *scene);
gboolean moves_scene_is_through (MovesScene *scene);
void moves_scene_report (MovesScene *scene, guint64 messages);

/* A message with a number, of @size bytes, at least 8. */
GBytes *moves_message (guint64 number, gsize size);
guint64 moves_number (GBytes *message);
/* The same in place. */
void moves_fill (guint8 *data, gsize size, guint64 number);
void moves_check (const guint8 *data, gsize size, guint64 number);
