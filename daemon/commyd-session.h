/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of one process, as the keeper knows it: who it is, what it watches, the leases it
 * holds. What it says is read by its user's door. It ends with the connection or with the process,
 * whichever is first, and its leases with it.
 */
#pragma once

#include "daemon/commyd-keeper.h"

struct _CommydSession
{
  grefcount refs;
  CommydServer *server;
  CommydUser *user; /* NULL: it is over */
  guint32 uid;
  gint32 pid;
  int pidfd; /* -1: cannot be had */
  guint64 connection;
  int fd;             /* kept until a door has taken it, for the next one; -1: not, or given away */
  guint n_doors;      /* that it was given to */
  gboolean is_taken;  /* by its door (OPENED), which may have read of it */
  gboolean is_closed; /* but its door may not know yet */
  gboolean is_asking; /* one thing at a time; the door keeps the rest */
  GHashTable *watches; /* guint64 to CommydWatch */
  GHashTable *leases;  /* set of gint64 */
  guint death_source;
};

/* Begins; @fd and what is in @peer are taken over. */
void commyd_session_start (CommydUser *user, int fd, const CommydPeer *peer);
CommydSession *commyd_session_ref (CommydSession *self);
void commyd_session_unref (gpointer session);
/* Its process has ended: its watches and leases end, and its door is told. */
void commyd_session_close (CommydSession *self);
/* Its door has taken it (OPENED). What is wrong with that; NULL: nothing. */
const char *commyd_session_taken (CommydSession *self);
/* Its door has closed it (CLOSED). */
void commyd_session_closed (CommydSession *self, const CommydInner *record);
/* Its door is no more. */
void commyd_session_end (CommydSession *self);

/* Sends frames, which are taken over; @type: ANSWER, EVENT or END. */
void
commyd_session_send (CommydSession *self, CommydInnerType type, guint64 id, GByteArray *frames);

/* Does what a record asks (commyd-request.c). What is wrong with it; NULL: nothing. */
const char *commyd_request_take (CommydSession *session, const CommydInner *record);
void commyd_watch_free (gpointer watch);
