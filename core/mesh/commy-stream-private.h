/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a stream, for its files: life and end, synchronous and asynchronous operations.
 */
#pragma once

#include "channel/commy-channel-stream.h"
#include "mesh/commy-client-private.h"
#include "mesh/commy-service-private.h"

typedef struct _CommyStreamOp CommyStreamOp;

/* Equal small messages on their way out that share one frame. */
typedef struct
{
  guint8 *begin; /* of the reservation; NULL: there is no run */
  guint8 *at;    /* of the next message */
  gsize size;    /* of each message */
  gsize stride;  /* from one to the next */
  gsize n_left;  /* messages that there is room for, the one being written included */
} CommyRun;

/* What is left of a frame that was taken from the path. */
typedef struct
{
  const guint8 *at;
  gsize size; /* of each message */
  gsize stride;
  guint n; /* 0: nothing was taken */
} CommyLentRun;

struct _CommyStream
{
  GObject parent_instance;

  CommyPipe *pipe; /* NULL once disposed */
  GObject *mesh;   /* reference: the channel uses what it owns */
  GThread *thread;
  char *method;
  CommyPlugin *serializer;
  GVariant *result;
  GError *result_error; /* the answer could not be read */
  gboolean closed_write;

  /* client's side */
  CommyMeshWorker *keeper; /* reference: the channel's worker lives */
  CommyPeer *peer;         /* reference while it counts as a call under way */
  gboolean same_context;   /* the service runs where this side would wait */

  /* handler's side */
  CommyService *service; /* reference */
  guint32 stops;         /* how often the service had been stopped */
  CommyServiceMethod *entry;
  CommyWorkFunc written; /* waits until everything was written */
  gpointer written_data;

  CommyWorkFunc watch; /* told whenever the pipe changed */
  gpointer watch_data;

  /* hot */
  gboolean peeked;        /* a message is lent */
  CommyLentRun lent_run;  /* the rest of the frame in @lent, the lent one included */
  gsize lent_credit;      /* to give back when it was read */
  CommyIncoming lent;     /* it, as it lies on the path */
  CommyPipeMessage *kept; /* or as it lay in the inbox, owned; NULL: on the path */
  CommySpan span;         /* the application's open reservation; NULL data: none */
  CommyRun run;           /* what it is part of, if begin is not NULL */
  CommyFrameSpec spec;    /* of frames with one message */
  gsize owed;             /* credit for what was released meanwhile */
  guint since_flush;      /* messages that were committed; 1 stands for more as well */
  gboolean flushes_many;  /* there were several before the last flush */

  GQueue reads;  /* CommyStreamOp */
  GQueue writes; /* the same, in order of sending */
  GQueue waits;  /* for the result */
};

/* The calling client's side of @pipe, whose CALL was published. */
CommyStream *commy_stream_new_opened (CommyClient *client,
                                      const CommyRequest *request,
                                      CommyPipe *pipe,
                                      CommyPlugin *serializer,
                                      CommyPeer *peer);
/* The handler's side. */
CommyStream *commy_stream_new_accepted (CommyService *service,
                                        CommyServiceMethod *method,
                                        CommyPipe *pipe,
                                        CommyPlugin *serializer);

/* For who reads and writes the pipe itself; NULL: nobody. On the worker. */
void commy_stream_watch (CommyStream *stream, CommyWorkFunc func, gpointer data);

/* --- handler's side, on the worker --- */

/* Whether the other side still waits for the answer. */
gboolean commy_stream_is_open (CommyStream *stream);
/* FALSE: everything was written. Else @func is called once it is, or cannot be. */
gboolean commy_stream_when_written (CommyStream *stream, CommyWorkFunc func, gpointer data);
/* The answer was sent. */
void commy_stream_answered (CommyStream *stream);
/* Any thread: there will be no answer. */
void commy_stream_dropped (CommyStream *stream);

/* --- for its files --- */

gboolean commy_stream_check (CommyStream *stream, GError **error);
gboolean commy_stream_may_write (CommyStream *stream, GVariant *value, GError **error);
/* The serializer for values or bytes; NULL: the sides have none in common. */
CommyPlugin *commy_stream_serializer_for (CommyStream *stream, guint64 capability, GError **error);
/* Synchronous waiting; a handler id goes from begin to end. */
gulong commy_stream_begin_wait (CommyStream *stream, GCancellable *cancellable);
void commy_stream_end_wait (CommyStream *stream, GCancellable *cancellable, gulong handler);
/* Until something may have changed since @kick_seen. FALSE: the caller does not want to wait. */
gboolean commy_stream_wait (CommyStream *stream,
                            gboolean room,
                            guint32 kick_seen,
                            GCancellable *cancellable,
                            GError **error);
/* commy-stream-hot.c: gives back what is lent and reserved. */
void commy_stream_clear_hot (CommyStream *stream);
/* What commy_stream_peek() took and did not lend yet is copied, so that the path is free. */
void commy_stream_keep_rest (CommyStream *stream);
/* Sends the messages that were committed, as far as they have not left yet. Inside the worker. */
void commy_stream_end_run (CommyStream *stream);
/* The next message of a frame that commy_stream_peek() took and did not lend yet; inside the
 * worker. NULL: there is none. (transfer full) */
GBytes *commy_stream_take_lent (CommyStream *stream);
/* Sends one message now. WOULD_BLOCK: no credit, or (*out_room) no room on the path. */
CommyIo commy_stream_try_write (
    CommyStream *stream, GVariant *value, GBytes *bytes, gboolean *out_room, GError **error);
/* What a read gets now: TRUE with a message, the end (NULL) or an error; FALSE: it must wait. */
gboolean
commy_stream_try_read (CommyStream *stream, gboolean as_bytes, gpointer *out, GError **error);
/* TRUE: the stream has ended, with a result or an error. */
gboolean commy_stream_try_result (CommyStream *stream, GVariant **out_result, GError **error);
/* commy-stream-async.c: something changed. */
void commy_stream_serve (CommyStream *stream);
