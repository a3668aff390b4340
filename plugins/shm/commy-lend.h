/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A link's part in pools. As a sender: which blocks the reader knows, which of them it has, and
 * records that carry a head of their own and point to a block. As a reader: messages in two
 * parts, of which the first is copied out of the ring, so that who keeps the second for long
 * holds up nothing. No GLib.
 */
#pragma once

#include "commy-arena.h"
#include "commy-pool.h"

/* Places in the reader's table of blocks, which has room for SHM_ARENA_SEGMENTS. */
#define SHM_KNOWN_BLOCKS 64u

typedef struct
{
  ShmBlock *block; /* NULL: the place is free */
  uint32_t id;     /* as with segments: the place, plus a multiple of what the table has room for */
} ShmKnown;

/* Allocated with the first block that is lent. */
typedef struct
{
  ShmLoan loans[SHM_LENT_SLOTS];
  ShmKnown known[SHM_KNOWN_BLOCKS];
  uint64_t known_bytes;
  ShmLent lent;
} ShmLender;

/* The parts of a message that was taken; allocated with the first one of its place. */
typedef struct
{
  const uint8_t *body;
  uint64_t body_size;
  uint32_t room;
  _Alignas(8) uint8_t head[];
} ShmSplit;

struct _ShmLink;

/* A message of @head and the first @size bytes of @block, to be published by shm_link_flush(). As
 * shm_link_reserve(), and SHM_NEVER if it is to be sent another way: the head is too large, the
 * reader has too much already, or cannot be told of the block. An open reservation is given back.
 */
ShmResult shm_link_lend (
    struct _ShmLink *link, const void *head, uint64_t head_size, ShmBlock *block, uint64_t size);
/* Looks what came back, and has the reader forget what is not used any more. */
void shm_lender_settle (struct _ShmLink *link);
/* Everything is at home. */
void shm_lender_free (struct _ShmLink *link);
/* What our own record at @position points to; NULL if it came back since, or if it is none of ours:
 * see shm_arena_find(). */
const uint8_t *
shm_lender_find (const ShmLender *self, const ShmLoanRecord *record, uint64_t position);

/* Whether a record that was taken is of a message in two parts. */
static inline bool
shm_record_is_split (const ShmRecord *record)
{
  return record->is_loan && record->data != NULL;
}

/* Puts the parts of such a record into *@split, which grows. False without memory. */
bool shm_split_fill (ShmSplit **split, const ShmRecord *record, const uint8_t *body);
