/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools. Blocks are powers of two, kept in the order in which they were taken: the free one that
 * was taken last is the warmest. One of another size is given up only for the limit.
 */
#include "config.h"

#include "commy-pool.h"

#include "commy-segment.h"
#include "plugins/common/commy-failpoints.h"

#include <stdlib.h>
#include <unistd.h>

/* So much of a pool a single reader may keep from the others. */
#define QUOTA_PART 4

struct _ShmPool
{
  uint64_t limit;
  uint64_t total;
  ShmBlock *blocks[SHM_POOL_BLOCKS]; /* the last one taken is the last */
  uint32_t n_blocks;
};

/* --- blocks --- */

static ShmBlock *
block_new (uint64_t size, uint64_t quota)
{
  ShmBlock *self = calloc (1, sizeof *self);
  ShmSegment segment;
  const char *step;

  if (self == NULL)
    return NULL;
  if (COMMY_FAILPOINT ("shm-pool") || !shm_segment_create (&segment, size, &self->fd, &step))
    {
      free (self);
      return NULL;
    }
  self->data = segment.data;
  self->size = size;
  self->quota = quota;
  self->holders = 1;
  return self;
}

void
shm_block_hold (ShmBlock *block)
{
  __atomic_add_fetch (&block->holders, 1, __ATOMIC_RELAXED);
}

void
shm_block_drop (ShmBlock *block)
{
  ShmSegment segment = { .data = block->data, .size = block->size };

  if (__atomic_sub_fetch (&block->holders, 1, __ATOMIC_ACQ_REL) > 0)
    return;
  shm_segment_clear (&segment);
  close (block->fd);
  free (block);
}

static void
use (ShmBlock *block)
{
  shm_block_hold (block);
  __atomic_add_fetch (&block->uses, 1, __ATOMIC_RELAXED);
}

void
shm_block_give (ShmBlock *block)
{
  __atomic_sub_fetch (&block->uses, 1, __ATOMIC_RELEASE);
  shm_block_drop (block);
}

bool
shm_block_is_retired (const ShmBlock *block)
{
  return __atomic_load_n (&block->retired, __ATOMIC_RELAXED) != 0;
}

static bool
is_free (const ShmBlock *block)
{
  return __atomic_load_n (&block->uses, __ATOMIC_ACQUIRE) == 0;
}

/* --- loans --- */

void
shm_loan_begin (
    ShmLoan *loan, ShmBlock *block, uint64_t position, const uint32_t *word, ShmLent *account)
{
  /* Zero is what the words in the reader's header begin with. */
  if (++loan->generation == 0)
    loan->generation = 1;
  loan->block = block;
  loan->position = position;
  loan->word = word;
  loan->account = account;
  loan->previous = NULL;
  loan->next = block->loans;
  if (loan->next != NULL)
    loan->next->previous = loan;
  block->loans = loan;
  account->bytes += block->size;
  account->n++;
  use (block);
}

void
shm_loan_end (ShmLoan *loan)
{
  ShmBlock *block = loan->block;

  if (block == NULL)
    return;
  if (loan->previous != NULL)
    loan->previous->next = loan->next;
  else
    block->loans = loan->next;
  if (loan->next != NULL)
    loan->next->previous = loan->previous;
  loan->block = NULL;
  loan->account->bytes -= block->size;
  loan->account->n--;
  shm_block_give (block);
}

/* A word that names another generation says nothing. */
void
shm_loan_look (ShmLoan *loan)
{
  if (loan->block != NULL && __atomic_load_n (loan->word, __ATOMIC_ACQUIRE) == loan->generation)
    shm_loan_end (loan);
}

/* --- pools --- */

ShmPool *
shm_pool_new (uint64_t limit)
{
  ShmPool *self = calloc (1, sizeof *self);

  if (self != NULL)
    self->limit = limit;
  return self;
}

static void
collect (ShmPool *self)
{
  for (uint32_t i = 0; i < self->n_blocks; i++)
    for (ShmLoan *loan = self->blocks[i]->loans, *next; loan != NULL; loan = next)
      {
        next = loan->next;
        shm_loan_look (loan);
      }
}

static ShmBlock *
remove_block (ShmPool *self, uint32_t index)
{
  ShmBlock *block = self->blocks[index];

  self->n_blocks--;
  for (uint32_t i = index; i < self->n_blocks; i++)
    self->blocks[i] = self->blocks[i + 1];
  return block;
}

/* Connections tell their readers when they are next used. */
static void
retire (ShmPool *self, uint32_t index)
{
  ShmBlock *block = remove_block (self, index);

  self->total -= block->size;
  __atomic_store_n (&block->retired, 1, __ATOMIC_RELAXED);
  shm_block_drop (block);
}

/* The coldest first. */
static bool
retire_one (ShmPool *self)
{
  for (uint32_t i = 0; i < self->n_blocks; i++)
    if (is_free (self->blocks[i]))
      {
        retire (self, i);
        return true;
      }
  return false;
}

void
shm_pool_free (ShmPool *self)
{
  while (self != NULL && self->n_blocks > 0)
    retire (self, self->n_blocks - 1);
  free (self);
}

static uint64_t
block_bytes (const ShmPool *self, uint64_t size)
{
  uint64_t bytes = SHM_POOL_MIN_BLOCK;

  while (bytes < size)
    bytes *= 2;
  return bytes < self->limit ? bytes : self->limit;
}

static ShmBlock *
take_free (ShmPool *self, uint64_t bytes)
{
  for (uint32_t i = self->n_blocks; i-- > 0;)
    if (self->blocks[i]->size == bytes && is_free (self->blocks[i]))
      return remove_block (self, i);
  return NULL;
}

static ShmBlock *
make_block (ShmPool *self, uint64_t bytes)
{
  ShmBlock *block;

  while (self->total + bytes > self->limit || self->n_blocks == SHM_POOL_BLOCKS)
    if (!retire_one (self))
      return NULL;
  block = block_new (bytes, self->limit / QUOTA_PART);
  if (block != NULL)
    self->total += bytes;
  return block;
}

ShmResult
shm_pool_take (ShmPool *self, uint64_t size, ShmBlock **out_block)
{
  ShmBlock *block;

  if (size > self->limit)
    return SHM_NEVER;
  collect (self);
  block = take_free (self, block_bytes (self, size));
  if (block == NULL)
    block = make_block (self, block_bytes (self, size));
  if (block == NULL)
    return SHM_FULL;
  self->blocks[self->n_blocks++] = block;
  use (block);
  *out_block = block;
  return SHM_OK;
}
