/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A keeper in the test's own process, over a store of the test's, whose doors are played by the
 * test: it says to the keeper what it likes, and reads what it gets, or does not.
 */
#pragma once

#include "daemon/commyd-session.h"

#define USER_A 1001
#define USER_B 1002
#define MOST_DOORS 8u
#define A 0 /* doors of two users, in the order of their start */
#define B 1
#define OF_A 1u /* connections, the same */
#define OF_B 2u

typedef struct
{
  CommydServer *server;
  CommyAuditLog *audit;  /* the server's */
  char *dir;             /* of the trail */
  int doors[MOST_DOORS]; /* our ends, in the order of their start */
  int ends[MOST_DOORS];  /* the keeper's */
  guint n_doors;
  gboolean takes_late; /* doors say by keeper_scene_take() alone that they have a connection */
  GArray *clients;     /* of descriptors: the programs that connected */
  /* the store */
  GBytes *value;  /* what each range has, below one key */
  gboolean holds; /* all is answered by keeper_scene_answer_all() */
  GQueue asked;
  CommyStoreWatchEventFunc on_event;
  gpointer watcher;
  guint n_written; /* operations */
} KeeperScene;

KeeperScene *keeper_scene_new (const char *keyfile);
/* Users A and B with a program each. */
KeeperScene *keeper_scene_two (const char *keyfile);
void keeper_scene_free (KeeperScene *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (KeeperScene, keeper_scene_free)

/* A program of a user connects; whether it is let in. */
gboolean keeper_scene_connect (KeeperScene *self, guint32 uid);
/* Its door says that it has a connection of a user: the last one. */
void keeper_scene_take (KeeperScene *self, guint32 uid, guint64 connection);
void keeper_scene_run (KeeperScene *self); /* everything that is there to do */
void keeper_scene_answer_all (KeeperScene *self);
void keeper_scene_change (KeeperScene *self, GBytes *value); /* the watch hears of it */
CommydUser *keeper_scene_find (KeeperScene *self, guint32 uid);
guint keeper_scene_count (KeeperScene *self, guint32 uid); /* its connections */

/* As a door. */
void door_say (int door, const CommydInnerHead *head, const char *key);
void door_say_piece (int door, const CommydInnerHead *head, gsize size);
/* The next record that is there; FALSE: none. Its value's bytes are copied to @out_bytes. */
gboolean door_hear (int door, CommydInnerHead *out_head, GByteArray *out_bytes);
/* The answer to something that is asked; whether it is no error. */
gboolean door_ask (KeeperScene *scene, int door, const CommydInnerHead *head, const char *key);
CommydInnerHead door_head (CommydInnerType type, guint64 connection, guint64 id);
/* Whether a range is answered. */
gboolean door_serves (KeeperScene *scene, guint door, guint64 connection);
/* A lease of a connection of A's or B's. */
gint64 door_grant (KeeperScene *scene, guint door, guint64 connection);
/* Whether a key may be written. */
gboolean
door_put (KeeperScene *scene, guint door, guint64 connection, const char *key, gint64 lease);
