/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel's trains: large messages go in pieces over paths that copy, so that small ones pass
 * between the pieces. Inside this folder; the rest of the library sends messages and gets them
 * whole.
 *
 * On the wire: the frame itself with COMMY_EXT_TRAIN and the beginning of its payload, then
 * FRAGMENT frames with the train's number as their stream, until as many bytes have come as the
 * extension said. An empty FRAGMENT drops the rest. Every piece is an ordered frame of the flow.
 * At most COMMY_TRAINS_OPEN trains of one priority are open in one direction.
 */
#pragma once

#include "channel/commy-channel.h"
#include "channel/commy-train-queue.h"
#include "channel/commy-window.h"

/* Bytes of a piece: with its headers one TLS record, some ten microseconds of work. Half of it
 * makes large messages slower, twice as much lets small ones wait longer (bench/README.md). */
#define COMMY_TRAIN_PIECE (16u * 1024 - 64)
#define COMMY_TRAINS_OPEN_MAX (COMMY_TRAINS_OPEN * COMMY_TRAIN_PRIORITIES)
/* What is no larger goes whole: the window lets as much lie ahead of a small message. */
#define COMMY_TRAIN_ABOVE COMMY_WINDOW_MIN
/* After so much with no small message between, nobody is in a hurry here, and more may be on its
 * way. The next small message waits for that once. */
#define COMMY_TRAIN_ALONE_AFTER (256u << 10)
#define COMMY_TRAIN_ALONE_FLOOR (1u << 20)
/* Then they are handed to the transport some at a time. */
#define COMMY_TRAIN_ALONE_BATCH (8u * COMMY_TRAIN_PIECE)
/* Received and not acknowledged yet: then a frame goes that says nothing else. Less than the
 * smallest window, or a sender could wait for a word that never comes. */
#define COMMY_TRAIN_ACK_AFTER (2u * COMMY_TRAIN_PIECE)
/* The same while only whole messages come, which wait for room in what their sender keeps, or
 * while pieces come alone, which have the larger window; less than the limit "kept" may be. Who
 * has nothing more to read does not wait for that much. */
#define COMMY_TRAIN_ACK_BULK (12u * COMMY_TRAIN_PIECE)
#define COMMY_TRAIN_ACK_POLLS 64u

/* What a channel sends; made with the first train. */
typedef struct
{
  CommyTrainQueue queue;
  CommyWindow window;
  CommyTrain *building; /* the open reservation; NULL: none */
  gsize piece;          /* bytes of a piece; less than usual where the connection takes less */
  gsize alone;          /* bytes of pieces since something else was sent */
  guint32 last_id;
  gboolean stuck; /* the transport had no room: it tells when it has */
} CommyTrainsOut;

typedef struct
{
  CommyFrame frame; /* the first piece's, with the payload size of the whole */
  guint8 *bytes;    /* a block: its header and extensions, then the payload */
  gsize room;       /* in @bytes */
  gsize fill;
  gsize size;           /* of @bytes when whole */
  GUnixFDList *handles; /* that came with the first piece, or NULL */
} CommyTrainIn;

/* What is put together; plain memory and no channel, so that it is fuzzed alone. Zeroed: empty. */
typedef struct
{
  CommyTrainIn *trains;
  guint n;
  gsize bytes;       /* that have arrived of them */
  CommyStock *stock; /* where they are put together; may be NULL */
} CommyTrainsIn;

typedef enum
{
  COMMY_TRAIN_MORE,  /* taken; it is not whole */
  COMMY_TRAIN_WHOLE, /* the last piece came */
  COMMY_TRAIN_END,   /* the sender dropped it */
  COMMY_TRAIN_WRONG, /* against the protocol */
} CommyTrainStep;

/* Takes a frame at @bytes that is a piece of a train. *@out_whole (on WHOLE) owns its copy;
 * *@out_why (on WRONG) says what is wrong. @limit: largest message; at most twice that lies here
 * unfinished. */
CommyTrainStep commy_trains_in_take (CommyTrainsIn *trains,
                                     const CommyFrame *frame,
                                     const guint8 *bytes,
                                     gsize limit,
                                     CommyIncoming *out_whole,
                                     const char **out_why);
/* What came with the first piece of an open train comes out with the whole. (transfer full) */
void commy_trains_in_keep (CommyTrainsIn *trains, guint32 id, GUnixFDList *handles);
void commy_trains_in_clear (CommyTrainsIn *trains);

static inline gboolean
commy_train_is_piece (const CommyFrame *frame)
{
  return frame->has_train || frame->type == COMMY_FRAME_FRAGMENT;
}

/* --- a channel's; commy-train-send.c --- */

/* Whether a frame has to go as a train, or behind one. */
gboolean commy_train_is_needed (CommyChannel *channel, const CommyFrameSpec *spec, gsize payload);
/* As commy_channel_reserve(), with memory of the train. */
CommyIo commy_train_reserve (CommyChannel *channel,
                             const CommyFrameSpec *spec,
                             gsize payload,
                             CommySpan *out_span);
CommyIo commy_train_commit (CommyChannel *channel, CommyFrameSpec *spec, gsize used);
void commy_train_abandon (CommyChannel *channel);
/* Queues a message; keeps a reference of @bytes, or a copy of @payload if that is NULL. */
CommyIo commy_train_send (CommyChannel *channel,
                          const CommyFrameSpec *spec,
                          GBytes *bytes,
                          gconstpointer payload,
                          gsize size);
/* Sends what may go now, up to a budget. Whether more could go at once. */
gboolean commy_train_pump (CommyChannel *channel);
/* Whether pumping would send something. */
gboolean commy_train_is_ready (CommyChannel *channel);
/* The peer has everything up to @ack. */
void commy_train_acked (CommyChannel *channel, guint32 ack);
/* Appends the frame to @pieces, in pieces if the path does not take it whole. */
void commy_train_cut (CommyChannel *channel, GBytes *frame, GQueue *pieces);
/* Gives the transport what it takes at once, before an orderly end. */
void commy_train_hurry (CommyChannel *channel);
/* The channel closed: drops them all. How many messages were in them. */
guint64 commy_train_lose (CommyChannel *channel);
/* Whether the message of this piece has not left as a whole, or was dropped. */
gboolean commy_train_is_under_way (CommyChannel *channel, guint32 id);

/* --- a channel's; commy-train-receive.c --- */

/* A frame of the flow arrived from a peer that sends trains: its window waits for word of it, and
 * often there is nothing else to say. Whole messages count, too: those that follow a train. */
void commy_train_acknowledge (CommyChannel *channel, const CommyFrame *frame);
/* A piece arrived; gives @incoming back. */
void commy_train_receive (CommyChannel *channel, CommyIncoming *incoming);
