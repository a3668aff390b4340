/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Trains: messages that are cut into pieces, and what must not overtake them. This is the order
 * in which pieces leave: by priority, in turns within one, in order within a lane.
 */
#pragma once

#include "base/commy-stock.h"
#include "wire/commy-frame.h"

#include <glib.h>

#define COMMY_TRAINS_OPEN 8u /* of one priority, each way */
#define COMMY_TRAIN_PRIORITIES (COMMY_FRAME_PRIORITY_MAX + 1u)
#define COMMY_TRAIN_LOWER_SHARE 16u /* one of so many pieces is for those of lower priority */

/* What must stay in order among itself. */
typedef enum
{
  COMMY_LANE_OWN,    /* nothing: calls and their answers */
  COMMY_LANE_ONEWAY, /* one-way messages of one priority */
  COMMY_LANE_STREAM, /* frames of one stream */
} CommyLane;

typedef struct
{
  CommyFrameSpec spec;
  CommyLane lane;
  guint8 priority;
  guint32 id;         /* 0: nothing of it has left */
  gboolean dropped;   /* only the word that says so is still to be sent */
  gint64 deadline_ns; /* 0: none */
  const guint8 *data;
  gsize size, at;
  guint8 *memory; /* a block that is still written to */
  GBytes *bytes;  /* the message; NULL: empty, or not complete */
  char *signature;
  gpointer cargo; /* goes with the first piece: descriptors, or NULL */
  GDestroyNotify cargo_free;
  void (*done) (gpointer data); /* NULL, or called once when the train is gone, however it ended */
  gpointer done_data;
  GQueue followers; /* of its lane, in order */
} CommyTrain;

typedef struct
{
  GQueue waiting; /* first of their lanes */
  CommyTrain *open[COMMY_TRAINS_OPEN];
  guint n_open;
  guint turn;
} CommyTrainLevel;

/* Zeroed memory is an empty queue. */
typedef struct
{
  CommyTrainLevel levels[COMMY_TRAIN_PRIORITIES];
  guint n;      /* trains in it */
  gsize bytes;  /* sum of their sizes */
  guint pieces; /* since those of lower priority had a turn */
  guint lower;  /* who had it */
} CommyTrainQueue;

CommyLane commy_train_lane (const CommyFrameSpec *spec);
guint8 commy_train_priority (const CommyFrameSpec *spec);
/* Copies @spec with its signature. */
CommyTrain *commy_train_new (const CommyFrameSpec *spec);
void commy_train_free (CommyTrain *train);

/* Whether a frame like @spec must queue, because something of its lane does. */
gboolean commy_train_queue_is_lane_busy (const CommyTrainQueue *queue, const CommyFrameSpec *spec);
/* Takes over @train. */
void commy_train_queue_add (CommyTrainQueue *queue, CommyTrain *train);
/* Whose turn it is, or NULL. Stays the same until something is added, sent or dropped. */
CommyTrain *commy_train_queue_next (CommyTrainQueue *queue);
/* A piece of it was sent; @is_last: it was the last one, and @train is freed. */
void commy_train_queue_sent (CommyTrainQueue *queue, CommyTrain *train, gboolean is_last);
/* A frame of @type on @stream that has not left as a whole; NULL: none. */
CommyTrain *
commy_train_queue_find (const CommyTrainQueue *queue, CommyFrameType type, guint32 stream);
/* Drops all frames of @stream but one-way messages: what has not begun is freed, what has begun
 * gives its memory back and is marked. How many messages. */
guint commy_train_queue_drop (CommyTrainQueue *queue, guint32 stream);
/* Empties it. @lost is told about each message that has not been dropped before. */
void commy_train_queue_clear (CommyTrainQueue *queue,
                              void (*lost) (gpointer data, const CommyTrain *train),
                              gpointer data);
