/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One direction of an in-process connection: a queue of buffers that change their owner.
 *
 * Two rings, each with one producer and one consumer: `sent` takes filled buffers to the
 * receiver, `returned` takes them back to the sender's pool. The number of buffers that are
 * away from the pool is bounded, so neither ring can overflow and neither has a shared tail.
 * No locks, and no allocation once the pool has what the traffic needs. Plain C without GLib,
 * so that the thread sanitizer sees all of it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INPROC_LANE_MIN_SHIFT 6 /* the smallest buffer has 64 bytes */
#define INPROC_LANE_CLASSES 32  /* one for each power of two */
#define INPROC_LANE_MAX_LENGTH 65536u

typedef struct _InprocBuffer InprocBuffer;

struct _InprocBuffer
{
  InprocBuffer *next; /* in the pool */
  size_t size;        /* bytes that count */
  int *handles;       /* descriptors that go along, malloc()ed; NULL: none */
  uint32_t n_handles;
  uint32_t class; /* the buffer holds 1 << (class + INPROC_LANE_MIN_SHIFT) bytes */
  _Alignas(16) uint8_t data[];
};

typedef enum
{
  INPROC_LANE_OK,
  INPROC_LANE_FULL,
  INPROC_LANE_TOO_BIG,
  INPROC_LANE_NO_MEMORY,
} InprocLaneResult;

typedef struct
{
  /* fixed once the lane is made */
  InprocBuffer **sent;
  InprocBuffer **returned;
  uint32_t length; /* a power of two */
  size_t max_message;
  size_t max_bytes;

  /* the sender's; others read only `sent_head` */
  _Alignas(64) _Atomic uint32_t sent_head; /* published */
  uint32_t sent_next;                      /* committed */
  uint32_t returned_tail;
  uint32_t n_away;   /* buffers reserved, queued, borrowed or on their way back */
  size_t away_bytes; /* and their room */
  size_t pool_bytes;
  size_t wanted; /* the size that did not fit last time; 0 if all did */
  InprocBuffer *reserved;
  InprocBuffer *pool[INPROC_LANE_CLASSES];

  /* the receiver's; others read only `returned_head` and, at the end, `sent_tail` */
  _Alignas(64) _Atomic uint32_t returned_head;
  _Atomic uint32_t sent_tail; /* of the next message to be taken */
  uint32_t sent_seen;         /* last known value of `sent_head` */
} InprocLane;

/* length: at most this many messages under way, rounded up to a power of two.
 * max_bytes: raised to the room of one message of max_message bytes. False without memory. */
bool inproc_lane_init (InprocLane *lane, uint32_t length, size_t max_message, size_t max_bytes);
/* When neither side uses the lane any more. */
void inproc_lane_deinit (InprocLane *lane);

/* Sender. */
InprocLaneResult inproc_lane_reserve (InprocLane *lane, size_t size, InprocBuffer **out_buffer);
void inproc_lane_commit (InprocLane *lane, size_t used);
bool inproc_lane_publish (InprocLane *lane); /* whether there was anything */
bool inproc_lane_has_room (InprocLane *lane);
void inproc_lane_drop_unsent (InprocLane *lane); /* the reservation, the unpublished, the pool */

typedef void (*InprocLaneFunc) (void *user_data, const uint8_t *data, size_t size);
/* Each message that was committed and that the receiver has not taken, oldest first. It may take
 * some of them meanwhile. */
void inproc_lane_each_not_taken (InprocLane *lane, InprocLaneFunc each, void *user_data);

/* Descriptors for the reservation; they are the lane's then. False without memory. */
bool inproc_lane_attach (InprocLane *lane, const int *fds, uint32_t n);

/* Receiver. */
bool inproc_lane_has_message (InprocLane *lane);
InprocBuffer *inproc_lane_take (InprocLane *lane); /* NULL if there is nothing */
/* Hands over up to @max of what came with a buffer. */
uint32_t inproc_buffer_take_handles (InprocBuffer *buffer, int *out_fds, size_t max);
void inproc_lane_give_back (InprocLane *lane, InprocBuffer *buffer);
