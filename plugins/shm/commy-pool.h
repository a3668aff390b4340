/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: memory that several connections show to their readers at a time. A block is a segment
 * of its own; who has it is known in private memory only: uses, and a list of its loans, each of
 * which ends when its reader's word says so or its connection does. Connections know blocks,
 * blocks know their loans, and neither knows the pool. No GLib.
 *
 * A pool and the connections it is lent over belong to one thread; blocks are given back on any.
 */
#pragma once

#include "commy-ring.h"

#define SHM_POOL_BLOCKS 64u
#define SHM_POOL_MIN_BLOCK 16384u

typedef struct _ShmPool ShmPool;
typedef struct _ShmBlock ShmBlock;
typedef struct _ShmLoan ShmLoan;

/* What one connection's reader has of all pools. */
typedef struct
{
  uint64_t bytes;
  uint32_t n;
} ShmLent;

struct _ShmLoan
{
  ShmBlock *block; /* NULL: none; the generation stays */
  ShmLoan *previous;
  ShmLoan *next; /* of the same block */
  const uint32_t *word;
  ShmLent *account;
  uint64_t position; /* of its record */
  uint32_t generation;
};

struct _ShmBlock
{
  uint8_t *data;
  uint64_t size;
  uint64_t quota; /* most bytes that one connection may have out where it takes this one, too */
  ShmLoan *loans;
  int fd;           /* for readers that come later */
  uint32_t uses;    /* atomic: who writes it or keeps it to send it, and loans; 0: free */
  uint32_t holders; /* atomic: uses, the pool, and connections whose readers know it */
  uint32_t retired; /* atomic: nobody will take it again */
};

/* @limit: most bytes of all blocks, and the largest one. NULL without memory. */
ShmPool *shm_pool_new (uint64_t limit);
/* Blocks that are in use live on. */
void shm_pool_free (ShmPool *self);
/* A block for @size bytes, the warmest there is. SHM_FULL while all that would be needed is in use,
 * SHM_NEVER if @size is beyond the limit. */
ShmResult shm_pool_take (ShmPool *self, uint64_t size, ShmBlock **out_block);
void shm_block_give (ShmBlock *block); /* any thread */
bool shm_block_is_retired (const ShmBlock *block);
/* Keeps the memory, not what is in it. */
void shm_block_hold (ShmBlock *block);
void shm_block_drop (ShmBlock *block);

/* @word: where the reader will write the new generation. */
void shm_loan_begin (
    ShmLoan *loan, ShmBlock *block, uint64_t position, const uint32_t *word, ShmLent *account);
void shm_loan_end (ShmLoan *loan);
/* Ends it if the reader gave it back. */
void shm_loan_look (ShmLoan *loan);
