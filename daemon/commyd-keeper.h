/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper's end of the doors: one process for each user that is connected, which reads what
 * that user's programs say (commyd-door.h). A door speaks for its own user and for nobody else:
 * whose it is, the keeper knows by its own accept, and what it counts for a user it counts here.
 */
#pragma once

#include "daemon/commyd-collect.h"
#include "daemon/commyd-link.h"
#include "daemon/commyd-server.h"

/* A user of the host, with all of its connections. */
struct _CommydUser
{
  grefcount refs;
  CommydServer *server;
  guint32 uid;
  guint n_watches;
  guint n_leases;
  guint64 waiting;      /* bytes of requests that wait */
  GHashTable *sessions; /* guint64 to CommydSession; those that the door has yet to close, too */
  CommydCollect collect;
  CommydLink link;
  GPid pid; /* 0: there is no door */
  guint in_source;
  guint out_source;
  guint timer;       /* see on_timer() */
  guint stall_timer; /* while the door has something to take */
  guint64 n_taken;   /* records, when that began */
  guint pause_ms;
  gboolean is_pausing; /* its door has died: the next one waits */
  gboolean is_ready;
  guint64 confinement; /* what its door says of itself, before it has read anything */
  gint64 begun_us;
};

/* The user, entered if it is not there. NULL with @error: it has as many connections as it may, or
 * there are as many users. */
CommydUser *commyd_keeper_enter (CommydServer *server, guint32 uid, GError **error);
/* Ends the door and forgets the user, whose sessions are over. */
void commyd_keeper_user_leave (gpointer user);
/* What waits is counted until it is over, whoever has left by then. */
CommydUser *commyd_keeper_user_ref (CommydUser *self);
void commyd_keeper_user_unref (CommydUser *self);

/* A session begins: its door gets the connection. */
void commyd_keeper_open (CommydUser *self, CommydSession *session);
/* Its door is to close it; the session stays known until it has. Without a door it is over at once.
 */
void commyd_keeper_close (CommydUser *self, CommydSession *session);
/* It has, or the door is no more. */
void commyd_keeper_forget (CommydUser *self, CommydSession *session);
/* Whole frames for a client; taken over. @type: ANSWER, EVENT or END. */
void commyd_keeper_send (
    CommydUser *self, CommydInnerType type, guint64 connection, guint64 id, GByteArray *frames);
/* Whether so much waits for this door that nothing is to be added unasked. */
gboolean commyd_keeper_is_slow (const CommydUser *self);
/* Limits have changed. */
void commyd_keeper_configure (CommydUser *self);
