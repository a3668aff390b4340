/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of one process: what it asks, what it watches, the leases it holds. It ends with
 * the connection or with the process, whichever is first, and its leases with it.
 */
#pragma once

#include "daemon/commyd-server.h"

#include "stores/common/commy-store-stream.h"

#define COMMYD_NOBODY G_MAXUINT32 /* no user has this number */
#define COMMYD_MAX_REQUESTS 256u  /* that the store has not answered */

struct _CommydSession
{
  grefcount refs;
  CommydServer *server;
  CommydUser *user;
  guint32 uid;
  gint32 pid;
  int pidfd; /* -1: cannot be had */
  StoreStream stream;
  gboolean is_greeted;
  gboolean is_closed;
  gboolean is_waiting; /* a write of it waits for its turn: what follows waits, too */
  guint n_requests;
  guint64 waiting;     /* what was counted for the user */
  GHashTable *watches; /* guint64 to CommydWatch */
  GHashTable *leases;  /* set of gint64 */
  guint in_source;
  guint out_source;
  guint death_source;
  guint go_on; /* an idle source: frames lie here that may be looked at */
};

/* Takes @fd over. */
CommydSession *commyd_session_new (CommydServer *server, int fd, GError **error);
CommydSession *commyd_session_ref (CommydSession *self);
void commyd_session_unref (gpointer session);
/* Ends it; @why is logged, NULL: nothing is. */
void commyd_session_close (CommydSession *self, const GError *why);

/* Sends a frame, which is taken over. */
void commyd_session_send (CommydSession *self, GByteArray *frame);
void commyd_session_send_error (CommydSession *self, guint64 id, const GError *error);
/* RESULT or EVENT, cut into frames, with owners taken off the values. FALSE: it was too much. */
gboolean commyd_session_send_answer (CommydSession *self,
                                     guint type,
                                     guint64 id,
                                     const CommyStoreResult *result);
/* Whether so much waits for this reader that nothing is to be added unasked. */
gboolean commyd_session_is_slow (const CommydSession *self);
/* Looks on at what came, when what it waited for has ended. */
void commyd_session_go_on (CommydSession *self);

/* Answers a frame (commyd-request.c). FALSE: the other side breaks the rules. */
gboolean commyd_request_handle (CommydSession *session,
                                const StoreWireHeader *header,
                                const guint8 *payload,
                                GError **error);
void commyd_watch_free (gpointer watch);
