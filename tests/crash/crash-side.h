/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One side of a shared memory link in a crash test: it does what a script says and writes into a
 * ledger, before and after, what it sent, took and gave back. Every message carries its number
 * and enough to know it again. No GLib: these instructions are stepped one by one.
 */
#pragma once

#include "plugins/shm/commy-link.h"
#include "plugins/shm/commy-pool.h"

#define CRASH_MESSAGES 4096
#define CRASH_HELD 12
#define CRASH_RING_BYTES SHM_RING_MIN
#define CRASH_ARENA_BYTES (512u << 10)
#define CRASH_SMALLEST 24u
#define CRASH_HEAD 40u /* of a message whose rest lies in a block */

typedef enum
{
  CRASH_GREET,   /* make our memory and pass it */
  CRASH_MEET,    /* take the peer's and open the link */
  CRASH_SEND,    /* `count` messages of `size`, each published; fewer if there is no room */
  CRASH_BATCH,   /* the same, published at one stroke */
  CRASH_COMMIT,  /* the same, not published */
  CRASH_LEND,    /* `count` messages in blocks of a pool, each published; fewer if there are none */
  CRASH_CANCEL,  /* reserve, write, give back */
  CRASH_TAKE,    /* and keep; fewer if there is nothing */
  CRASH_RELEASE, /* `count` of what is kept, the oldest first */
  CRASH_RETURN,  /* the same, the newest first */
  CRASH_DRAIN,   /* take and release until there is nothing */
  CRASH_ARM,     /* say that we sleep in poll */
  CRASH_PARK,    /* sleep as a caller does; somebody kicks */
  CRASH_CLOSE,
} CrashOp;

typedef enum
{
  CRASH_VICTIM,
  CRASH_SURVIVOR,
} CrashWho;

typedef struct
{
  CrashWho who;
  CrashOp op;
  uint32_t count;
  uint32_t size;
} CrashStep;

/* What a side began and finished. The victim's lies where the tracer reads it. */
typedef struct
{
  volatile uint32_t begun; /* commits that were begun */
  volatile uint32_t sent;  /* of which publishing came back */
  volatile uint32_t taking;
  volatile uint32_t handed; /* messages that the library handed out */
  volatile uint8_t inside;  /* the library, or a message that is being written */
  volatile uint8_t closing;
  volatile uint8_t release_begun[CRASH_MESSAGES];
  volatile uint8_t released[CRASH_MESSAGES];
  char fault[160];
} CrashLedger;

/* Where a message went, to judge by what its reader says. */
typedef struct
{
  uint64_t end;
  uint32_t slot;
  uint32_t generation;
  bool is_loan;
  bool is_lent; /* a block of the pool */
} CrashSent;

typedef struct
{
  ShmLink link;
  CrashLedger *ledger;
  bool is_open;
  ShmPool *pool; /* NULL before the first block; ends with the link */
  uint32_t next; /* number of the message to be taken next */
  uint32_t n_held;
  ShmMessage held[CRASH_HELD];
  uint32_t held_number[CRASH_HELD];
  CrashSent sent[CRASH_MESSAGES];
} CrashSide;

/* Takes over @socket_fd. */
void crash_side_init (CrashSide *self, CrashLedger *ledger, int socket_fd, int peer_pid);
void crash_side_run (CrashSide *self, const CrashStep *step);
/* Notes what is wrong, once. */
void crash_side_fail (CrashSide *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
/* Takes and keeps one message. SHM_BROKEN at the end of the link. */
ShmResult crash_side_take (CrashSide *self);
/* Gives back the one at @index of those that are kept, if it is still what it was. */
void crash_side_give_back (CrashSide *self, uint32_t index);
/* Whether everything that is kept is still what was sent. */
bool crash_side_held_are_whole (CrashSide *self);
