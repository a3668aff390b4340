/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring: variable-length records from one producer to one consumer through memory that only
 * the producer may write. Freestanding (no GLib, no system call), so that model checkers and
 * the thread sanitizer read the very source that runs. It knows nothing of descriptors,
 * processes or sleeping; commy-wait.c does the waking, commy-arena.c what is too big for a record.
 *
 * Every shared word has one writer. What the other side wrote is read once, copied and then
 * checked; a value that cannot be right ends the ring with a reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_LAYOUT_VERSION 1u
#define SHM_LINE 64u
#define SHM_HEADER_BYTES 4096u
#define SHM_RING_MIN 4096u
#define SHM_RING_MAX (64u << 20)
/* The word in front of a record's payload. */
#define SHM_MARK_BYTES 8u
#define SHM_LOAN_SLOTS 256u
#define SHM_LENT_SLOTS 16u /* blocks of pools that one reader may have at a time */

/* Positions are multiples of a line; this bit of the tail says "nothing follows". */
#define SHM_TAIL_CLOSED 1u

/* The first page of a segment: written by its owner, read by the other side. Each group of words
 * has a line of its own, because each moves at another time. */
typedef struct
{
  /* Set once, before the segment is passed. */
  uint64_t magic;
  uint32_t layout;
  uint32_t reserved;
  uint8_t nonce[16];
  uint8_t fill0[SHM_LINE - 32];
  /* Producer: end of what is published. Its low half is the word a parked consumer sleeps on. */
  uint64_t tail;
  uint8_t fill1[SHM_LINE - 8];
  /* Consumer of the reverse ring: everything before `cursor` may be overwritten, all loans
   * before `seen` were taken over. */
  uint64_t cursor;
  uint64_t seen;
  uint8_t fill2[SHM_LINE - 16];
  /* How the owner sleeps and for what: see commy-wait.h. */
  uint32_t state;
  uint8_t fill3[SHM_LINE - 4];
  /* Consumer: the generation of the loan that was given back last, a word per slot. */
  uint32_t released[SHM_LOAN_SLOTS];
  /* The same for blocks of pools. */
  uint32_t lent[SHM_LENT_SLOTS];
  uint8_t fill4[SHM_LINE]; /* lines are fetched in pairs */
  /* Consumer: everything before it was taken and looked at. Written with every message and read by
   * the producer only at the end, so that its line stays where it is written; 0 from who does not
   * say. */
  uint64_t taken;
  uint8_t fill5[SHM_HEADER_BYTES - 5 * SHM_LINE - 4 * SHM_LOAN_SLOTS - 4 * SHM_LENT_SLOTS - 8];
} ShmHeader;

_Static_assert(sizeof (ShmHeader) == SHM_HEADER_BYTES, "the header is one page");

typedef enum
{
  SHM_OK = 0,
  SHM_EMPTY,  /* nothing to read */
  SHM_FULL,   /* no room at present */
  SHM_NEVER,  /* can never fit */
  SHM_BROKEN, /* the other side broke the rules; ask `broken` */
} ShmResult;

/* What a record that points into the arena says; one that points to a block of a pool has a head
 * behind it: the first part of its message. */
typedef struct
{
  uint32_t segment;
  uint32_t slot;
  uint32_t generation;
  uint32_t reserved;
  uint64_t offset;
  uint64_t length;
} ShmLoanRecord;

/* As many bytes of a record are fetched ahead; the processor finds the rest by itself. */
#define SHM_FETCH_BYTES 2048u

/* Has the line of @at brought here for writing, without waiting for it. Stores wait for each other,
 * and the last of a message is what its reader waits for. */
static inline void
shm_fetch_to_write (uint8_t *at)
{
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*at)); /* the builtin would fetch it to read */
#else
  __builtin_prefetch (at, 1);
#endif
}

/* The producer's side. */
typedef struct
{
  ShmHeader *own;
  const ShmHeader *peer;
  uint8_t *data;
  uint64_t capacity;
  uint32_t max_inline;
  /* A reservation: how much of the ring it takes, its padding included; 0 if there is none. */
  uint32_t reserved;
  uint32_t padding;
  uint64_t head;        /* end of what is committed */
  uint64_t published;   /* end of what the consumer may see */
  uint64_t first_mark;  /* of the first record that is committed and not published */
  uint64_t peer_cursor; /* last value that was checked */
  const char *broken;
} ShmProducer;

/* The consumer's side. */
typedef struct
{
  ShmHeader *own;
  const ShmHeader *peer;
  const uint8_t *data;
  uint64_t capacity;
  uint32_t max_inline;
  uint64_t position; /* of the next record */
  uint64_t cursor;   /* as published in our own header */
  uint64_t taken;    /* the same */
  const char *broken;
} ShmConsumer;

/* One record as the consumer took it. */
typedef struct
{
  const uint8_t *data; /* NULL for a loan, but the head behind it, if there is one */
  uint32_t size;       /* of the record: with a head that of both */
  bool is_loan;
  uint64_t start;
  ShmLoanRecord loan;
} ShmRecord;

/* The largest payload that a ring of @capacity can always take, whatever its position. */
uint32_t shm_ring_max_inline (uint64_t capacity);
bool shm_ring_valid_capacity (uint64_t capacity);

void shm_producer_init (ShmProducer *self,
                        ShmHeader *own,
                        uint8_t *data,
                        uint64_t capacity,
                        uint32_t max_inline,
                        const ShmHeader *peer);
/* Room for @size bytes of payload, aligned to 8; a second call gives the first room back. */
ShmResult shm_producer_reserve (ShmProducer *self, uint32_t size, uint8_t **out_data);
bool shm_producer_has_room (ShmProducer *self, uint32_t size);
/* Completes what was reserved; nobody sees it before shm_producer_publish(). */
void shm_producer_commit (ShmProducer *self, uint32_t used);
/* The same for a record that points into the arena; the reservation was for its size. */
void shm_producer_commit_loan (ShmProducer *self, const ShmLoanRecord *loan);
/* And with @head bytes behind it, which are there already. */
void shm_producer_commit_split (ShmProducer *self, const ShmLoanRecord *loan, uint32_t head);
void shm_producer_cancel (ShmProducer *self);
/* Walks what is committed and, as far as the consumer says, was neither taken nor given back,
 * oldest first: starts at *@position, 0 at first, and moves it on. The payload stays where it is; a
 * loan's record is copied. False at the end. */
bool shm_producer_walk (ShmProducer *self, uint64_t *position, ShmRecord *out_record);
/* Makes everything committed visible. Says whether there was anything. Needs a full fence
 * afterwards before the peer's state is looked at. */
bool shm_producer_publish (ShmProducer *self);
/* Says that nothing follows; publishes first. */
void shm_producer_close (ShmProducer *self);

void shm_consumer_init (ShmConsumer *self,
                        ShmHeader *own,
                        const ShmHeader *peer,
                        const uint8_t *data,
                        uint64_t capacity,
                        uint32_t max_inline);
/* Takes the next record; it stays where it is until shm_consumer_release_to() passes it. */
ShmResult shm_consumer_take (ShmConsumer *self, ShmRecord *out_record);
/* Whether there is a record, or something that must be looked at. */
bool shm_consumer_ready (const ShmConsumer *self);
/* Everything before @cursor may be overwritten. */
void shm_consumer_release_to (ShmConsumer *self, uint64_t cursor);
/* Everything before @position was taken, and looked at by whom it was handed to. */
static inline void
shm_consumer_took (ShmConsumer *self, uint64_t position)
{
  if (position == self->taken)
    return;
  self->taken = position;
  __atomic_store_n (&self->own->taken, position, __ATOMIC_RELEASE);
}
void shm_consumer_release_loan (ShmConsumer *self, uint32_t slot, uint32_t generation);
/* The same for a block of a pool. */
void shm_consumer_release_lent (ShmConsumer *self, uint32_t slot, uint32_t generation);
/* Whether the producer said that nothing follows. */
bool shm_consumer_closed (const ShmConsumer *self);
