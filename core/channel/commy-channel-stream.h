/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pipe: one side of a stream on its channel. It keeps what arrived until it is read, knows how
 * much either side may still send, and how the stream ended. What messages mean, and who waits
 * for them, is its owner's business. Channel's worker only.
 */
#pragma once

#include "channel/commy-channel.h"

typedef struct _CommyPipe CommyPipe;

/* A message that waits to be read. */
typedef struct
{
  GList link;
  GBytes *bytes;
  char *signature; /* GRefString; NULL: raw bytes */
  gsize credit;    /* to give back when it was read */
  gsize run;       /* bytes of each of several messages in @bytes; 0: it is one */
  gsize taken;     /* bytes of them */
  guint16 serializer;
  guint32 number; /* the frame's field "method", which streams leave to their owners */
} CommyPipeMessage;

typedef struct
{
  /* There is a message, credit, room or the end. */
  void (*changed) (gpointer owner);
  /* Connecting side: the answer came, with which the stream has ended. Before `changed`. */
  void (*answered) (gpointer owner, CommyChannel *channel, CommyIncoming *incoming);
  /* The path's memory is wanted: what commy_pipe_hold() told of is to be put back or released. */
  void (*wanted) (gpointer owner);
} CommyPipeOwner;

/* Fields are for reading. */
struct _CommyPipe
{
  gatomicrefcount refs;
  CommyChannel *channel; /* reference */
  guint32 id;
  guint32 method;      /* accepting side: of the CALL */
  gint64 deadline_ns;  /* G_MAXINT64: none */
  gboolean is_open;    /* frames may still go and come */
  gboolean undecided;  /* accepting side: whether the CALL may be made */
  gboolean accepting;  /* the handler's side */
  gboolean sent;       /* connecting side: the request was published */
  gboolean rx_ended;   /* the other side sends no more messages */
  gboolean tx_ended;   /* this side sends none */
  gboolean end_waits;  /* END found no room */
  gboolean room_waits; /* among the channel's waiters */
  gint64 tx_credit;
  gint64 rx_credit;
  gint64 unreported;    /* read, and not given back as credit */
  GList holding;        /* among the channel's holders, if data is not NULL */
  GQueue inbox;         /* CommyPipeMessage; as many bytes as came, however many messages */
  guint n_unread;       /* messages in it */
  CommyIncoming *taker; /* where the next message goes if it is raw bytes; NULL: to the inbox */
  char *signature;      /* GRefString: of the last message, as most have the same */
  GError *error;        /* why it ended; NULL: it has not, or well */
  const CommyPipeOwner *functions;
  gpointer owner; /* NULL: nobody is told */
};

CommyPipe *commy_pipe_ref (CommyPipe *pipe); /* any thread */
void commy_pipe_unref (CommyPipe *pipe);     /* any thread */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPipe, commy_pipe_unref)

/* Connecting side: a stream to be opened by a CALL with the pipe's id. NULL: too many. */
CommyPipe *commy_pipe_open (CommyChannel *channel, gint64 deadline_ns, GError **error);
/* The CALL was published. */
void commy_pipe_opened (CommyPipe *pipe);
/* Accepting side: the stream that a CALL opened, for who handles it. (transfer none) (nullable) */
CommyPipe *commy_channel_find_pipe (CommyChannel *channel, guint32 stream);
/* @owner NULL: it lost interest. */
void commy_pipe_own (CommyPipe *pipe, const CommyPipeOwner *functions, gpointer owner);

/* A DATA frame with @payload bytes, of one message or a run of them, was sent; it may be while
 * tx_credit is positive. */
void commy_pipe_charge (CommyPipe *pipe, gsize payload);
/* `changed` is called when the channel may have room. */
void commy_pipe_await_room (CommyPipe *pipe);
/* This side sends no more messages. */
void commy_pipe_end_write (CommyPipe *pipe);

/* The oldest message stays (of a run all that is left), or is taken; its credit is given back when
 * it was read. */
CommyPipeMessage *commy_pipe_peek (CommyPipe *pipe);
CommyPipeMessage *commy_pipe_take (CommyPipe *pipe);
/* Its owner took several messages in one frame, and has not read all of them; or has. */
void commy_pipe_hold (CommyPipe *pipe);
void commy_pipe_let_go (CommyPipe *pipe);
/* Raw messages of @each bytes, taken before all that wait, are to be read later. They are copied.
 */
void commy_pipe_put_back (
    CommyPipe *pipe, gconstpointer data, gsize size, gsize each, guint16 serializer, gsize credit);
/* Messages that came with so much credit were read. */
void commy_pipe_give_back (CommyPipe *pipe, gsize credit);
void commy_pipe_message_free (CommyPipeMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPipeMessage, commy_pipe_message_free)

/* Ends the stream from this side and tells the other why. */
void commy_pipe_abort (CommyPipe *pipe, guint32 code, const char *text);
/* Ends it if its deadline passed: whether it did. */
gboolean commy_pipe_expire (CommyPipe *pipe, gint64 now_ns);
/* Ends it without a word: the answer says it all, or the CALL was never sent. */
void commy_pipe_close (CommyPipe *pipe);
