/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two ends of an in-process connection share, and the data slots over it. The ends
 * live on different threads and may close at any time; the last one frees the link.
 */
#pragma once

#include "commy-inproc-lane.h"
#include "commy-inproc-sleeper.h"

#include <commy/commy-plugin.h>

typedef struct
{
  gatomicrefcount refs;
  guint8 binding[32];
  _Atomic bool closed[2];
  InprocLane lanes[2];       /* lanes[i]: what side i sends */
  InprocSleeper sleepers[2]; /* sleepers[i]: how side i sleeps */
} InprocLink;

typedef struct _InprocInstance InprocInstance;

typedef struct
{
  InprocInstance *instance; /* mesh thread only */
  InprocLink *link;         /* NULL once closed */
  guint side;
  const char *why;
  CommyConnectedFunc done; /* NULL unless it is connecting */
  gpointer user_data;
  guint timer; /* while it is about to fail */
} InprocConnection;

/* NULL, with errno, if the system gives no descriptors or memory. */
InprocLink *inproc_link_new (guint length, gsize max_message, gsize max_bytes);
InprocLink *inproc_link_ref (InprocLink *link);
void inproc_link_unref (InprocLink *link);
bool inproc_link_is_closed (InprocLink *link, guint side);

/* Data slots; see commy-transport.h. */
CommyIo inproc_connection_reserve (gpointer connection, gsize size, CommySpan *out_span);
CommyIo inproc_connection_attach (gpointer connection, const int *fds, gsize n_fds);
gsize inproc_connection_take_fds (gpointer connection,
                                  const CommyMessage *message,
                                  int *out_fds,
                                  gsize max);
CommyIo inproc_connection_commit (gpointer connection, gsize used);
CommyIo inproc_connection_flush (gpointer connection);
CommyIo inproc_connection_peek (gpointer connection, CommyMessage *out_message);
void inproc_connection_release (gpointer connection, const CommyMessage *message);
int inproc_connection_fd (gpointer connection);
guint inproc_connection_arm (gpointer connection, guint interest, guint *out_events);
CommyIo inproc_connection_wait (gpointer connection,
                                const guint32 *kick_word,
                                guint32 kick_seen,
                                gint64 deadline_ns);
void inproc_connection_evidence (gpointer connection, CommyEvidence *out_evidence);
const char *inproc_connection_why (gpointer connection);
gboolean inproc_connection_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data);
/* Leaves the link; the connection has no part in it afterwards. */
void inproc_connection_leave (InprocConnection *connection);
