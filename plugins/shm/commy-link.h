/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An open connection: the two rings, the two arenas, the bell and the borrowed messages of one
 * side, and the socket behind them. Its functions are the data slots, but for their types; no
 * GLib. Belongs to one thread at a time.
 */
#pragma once

#include "commy-arena.h"
#include "commy-lend.h"
#include "commy-maps.h"
#include "commy-ring.h"
#include "commy-segment.h"
#include "commy-wait.h"

/* What a side has agreed to write: sizes of its ring, records and arena. */
typedef struct
{
  uint64_t ring_size;
  uint64_t arena_max;
  uint32_t max_inline;
} ShmShape;

/* Messages up to this size, their frame included, are made outside of the ring. */
#define SHM_STAGE_BYTES 256u

/* One message that was taken and not given back. Inline ones form a list in ring order. */
typedef struct
{
  uint64_t start;
  uint32_t serial;
  uint32_t segment;
  uint32_t slot;
  uint32_t generation;
  uint16_t previous;
  uint16_t next;
  uint8_t kind;
  ShmSplit *split; /* the parts of one in two parts; stays for the next one */
} ShmBorrow;

typedef struct _ShmLink
{
  ShmProducer tx;
  ShmConsumer rx;
  ShmBell bell;
  ShmBorrow *borrows;
  uint16_t n_entries;
  uint16_t n_borrowed;
  uint16_t free_entry;
  uint16_t first_inline;
  uint16_t last_inline;
  uint16_t borrow_limit;
  uint32_t serial;
  bool armed;
  bool hung_up; /* the peer is gone; what it published is still read */
  bool broken;  /* the peer broke the rules; nothing more is read */
  bool closing;
  uint32_t empty_polls;
  uint64_t settled_cursor; /* as the peer was last told of, if it sleeps */
  bool unsettled;          /* something but the cursor moved since then */
  uint64_t wanted;         /* size of the message that would not fit; 0 for any */
  uint64_t open_size;      /* of the reservation; 0 if there is none */
  uint32_t open_slot;
  bool open_is_loan;
  uint8_t *staged_for; /* where in the ring the reservation belongs that lies in `stage`, or NULL */
  ShmArena arena;
  ShmForeign foreign;
  ShmLender *lender; /* NULL: nothing was lent yet */
  ShmForeign blocks; /* of pools, lent by the peer */
  ShmMaps *maps;     /* what the next two, `foreign` and `blocks` count in; or NULL */
  uint32_t maps_user;
  ShmRecord waiting; /* needs a segment that was announced and not mapped yet */
  bool is_waiting;
  bool drained; /* the last look at the socket left nothing there */
  ShmSegment own;
  ShmSegment peer;
  int socket_fd;
  int pid_fd; /* of the peer's process, shared with other links to it; -1: none */
  void (*release_pid) (void *data, int pid_fd);
  void *release_data;
  int peer_pid;
  const char *why;
  char why_text[96];
  uint8_t stage[SHM_STAGE_BYTES] __attribute__ ((aligned (8)));
} ShmLink;

typedef struct
{
  const uint8_t *data;
  uint64_t size;
  uint64_t token;
  const uint8_t *body; /* the second part of one in two parts, or NULL */
  uint64_t body_size;
} ShmMessage;

/* `own`, `peer`, `socket_fd`, `pid_fd` with its release and `peer_pid` are set; they become the
 * link's. The socket is what tells that there is something to do. */
void shm_link_open (ShmLink *self,
                    const ShmShape *own_shape,
                    const ShmShape *peer_shape,
                    uint16_t borrow_limit);
void shm_link_close (ShmLink *self);

ShmResult shm_link_reserve (ShmLink *self, uint64_t size, uint8_t **out_data);
ShmResult shm_link_commit (ShmLink *self, uint64_t used);
ShmResult shm_link_flush (ShmLink *self);
/* SHM_BROKEN stands for every end: the peer closed, died or broke the rules; `why` says. */
ShmResult shm_link_peek (ShmLink *self, ShmMessage *out_message);
void shm_link_release (ShmLink *self, uint64_t token);
/* The second part of a borrowed message. False if it has none. */
bool shm_link_body (ShmLink *self, uint64_t token, const uint8_t **out_data, uint64_t *out_size);

/* The next message that was committed and that the peer may not have taken; *@position is 0 at
 * first. False at the end. */
bool shm_link_unsent (ShmLink *self, uint64_t *position, ShmMessage *out_message);

/* --- for commy-lend.c --- */

enum
{
  SHM_NOTICE_SEGMENT = 1,
  SHM_NOTICE_DROP = 2,
  SHM_NOTICE_BLOCK = 3,
  SHM_NOTICE_BLOCK_DROP = 4,
};

/* A packet for the slow side of the peer; false (with errno, EAGAIN: later) if it did not go. */
bool shm_link_tell (ShmLink *self, uint32_t kind, uint32_t id, uint64_t size, int fd);
/* The record for which there is a reservation, with @head bytes that are behind it already. */
void shm_link_commit_split (ShmLink *self, const ShmLoanRecord *record, uint32_t head);

/* Bits: 1 read, 2 write. */
unsigned shm_link_arm (ShmLink *self, unsigned interest);
typedef enum
{
  SHM_WAIT_READY,
  SHM_WAIT_CLOSED,
  SHM_WAIT_KICKED,
  SHM_WAIT_TIMEOUT,
} ShmWait;
ShmWait shm_link_wait (ShmLink *self,
                       const uint32_t *kick_word,
                       uint32_t kick_seen,
                       int64_t deadline_ns,
                       ShmParkMode mode);
