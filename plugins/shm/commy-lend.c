/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lending blocks of pools over a link, and taking such messages.
 */
#include "config.h"

#include "commy-lend.h"

#include "commy-link.h"

#include <stdlib.h>
#include <string.h>

/* --- what the reader knows --- */

static bool
is_lent (const ShmLender *self, const ShmBlock *block)
{
  for (uint32_t i = 0; i < SHM_LENT_SLOTS; i++)
    if (self->loans[i].block == block)
      return true;
  return false;
}

/* Has the reader give up a block that it does not have on loan. */
static bool
forget (ShmLink *link, ShmKnown *known)
{
  ShmLender *self = link->lender;

  if (!shm_link_tell (link, SHM_NOTICE_BLOCK_DROP, known->id, 0, -1))
    return false;
  self->known_bytes -= known->block->size;
  shm_block_drop (known->block);
  *known = (ShmKnown){ .id = known->id + SHM_ARENA_SEGMENTS };
  return true;
}

static void
forget_retired (ShmLink *link)
{
  ShmLender *self = link->lender;

  for (uint32_t i = 0; i < SHM_KNOWN_BLOCKS; i++)
    {
      ShmKnown *known = &self->known[i];

      if (known->block != NULL && shm_block_is_retired (known->block)
          && !is_lent (self, known->block) && !forget (link, known))
        return;
    }
}

static bool
forget_one (ShmLink *link, const ShmBlock *but)
{
  ShmLender *self = link->lender;

  for (uint32_t i = 0; i < SHM_KNOWN_BLOCKS; i++)
    {
      ShmKnown *known = &self->known[i];

      if (known->block != NULL && known->block != but && !is_lent (self, known->block))
        return forget (link, known);
    }
  return false;
}

static ShmKnown *
find_known (ShmLender *self, const ShmBlock *block)
{
  for (uint32_t i = 0; i < SHM_KNOWN_BLOCKS; i++)
    if (self->known[i].block == block)
      return &self->known[i];
  return NULL;
}

/* The place of a block that the reader knows then; NULL if that cannot be. */
static ShmKnown *
introduce (ShmLink *link, ShmBlock *block)
{
  ShmLender *self = link->lender;
  ShmKnown *known = find_known (self, block);

  if (known != NULL)
    return known;
  while (self->known_bytes + block->size > link->arena.limit
         || (known = find_known (self, NULL)) == NULL)
    if (!forget_one (link, block))
      return NULL;
  if (!shm_link_tell (link, SHM_NOTICE_BLOCK, known->id, block->size, block->fd))
    return NULL;
  shm_block_hold (block);
  known->block = block;
  self->known_bytes += block->size;
  return known;
}

/* --- lending --- */

static ShmLender *
lender_new (void)
{
  ShmLender *self = calloc (1, sizeof *self);

  for (uint32_t i = 0; self != NULL && i < SHM_KNOWN_BLOCKS; i++)
    self->known[i].id = i;
  return self;
}

void
shm_lender_settle (ShmLink *link)
{
  ShmLender *self = link->lender;

  if (self == NULL)
    return;
  for (uint32_t i = 0; self->lent.n > 0 && i < SHM_LENT_SLOTS; i++)
    shm_loan_look (&self->loans[i]);
  forget_retired (link);
}

void
shm_lender_free (ShmLink *link)
{
  ShmLender *self = link->lender;

  for (uint32_t i = 0; self != NULL && i < SHM_LENT_SLOTS; i++)
    shm_loan_end (&self->loans[i]);
  for (uint32_t i = 0; self != NULL && i < SHM_KNOWN_BLOCKS; i++)
    if (self->known[i].block != NULL)
      shm_block_drop (self->known[i].block);
  free (self);
  link->lender = NULL;
}

/* A place for one more loan, if the reader may have @block, too. */
static ShmLoan *
find_place (ShmLender *self, const ShmBlock *block)
{
  if (self->lent.n > 0 && self->lent.bytes + block->size > block->quota)
    return NULL;
  for (uint32_t i = 0; i < SHM_LENT_SLOTS; i++)
    if (self->loans[i].block == NULL)
      return &self->loans[i];
  return NULL;
}

ShmResult
shm_link_lend (ShmLink *link, const void *head, uint64_t head_size, ShmBlock *block, uint64_t size)
{
  uint8_t *data;
  ShmResult result;
  ShmLoanRecord record;
  const ShmKnown *known;
  ShmLoan *loan;
  uint32_t slot;

  if (head_size == 0 || head_size > link->tx.max_inline
      || head_size + sizeof record > link->tx.max_inline || size == 0 || size > block->size)
    return SHM_NEVER;
  if (link->lender == NULL && (link->lender = lender_new ()) == NULL)
    return SHM_NEVER;
  shm_lender_settle (link);
  loan = find_place (link->lender, block);
  if (loan == NULL)
    return SHM_NEVER;
  result = shm_link_reserve (link, sizeof record + head_size, &data);
  if (result != SHM_OK)
    return result;
  known = introduce (link, block);
  if (known == NULL)
    {
      shm_link_commit (link, 0);
      return SHM_NEVER;
    }
  slot = (uint32_t) (loan - link->lender->loans);
  shm_loan_begin (loan, block, link->tx.head + link->tx.padding, &link->tx.peer->lent[slot],
                  &link->lender->lent);
  record = (ShmLoanRecord){
    .segment = known->id, .slot = slot, .generation = loan->generation, .length = size
  };
  memcpy (data + sizeof record, head, head_size);
  shm_link_commit_split (link, &record, (uint32_t) head_size);
  return SHM_OK;
}

const uint8_t *
shm_lender_find (const ShmLender *self, const ShmLoanRecord *record, uint64_t position)
{
  const ShmLoan *loan;

  if (self == NULL || record->slot >= SHM_LENT_SLOTS)
    return NULL;
  loan = &self->loans[record->slot];
  if (loan->block == NULL || loan->generation != record->generation || loan->position != position
      || record->length > loan->block->size)
    return NULL;
  return loan->block->data;
}

/* --- reading --- */

bool
shm_split_fill (ShmSplit **split, const ShmRecord *record, const uint8_t *body)
{
  uint32_t head_size = record->size - (uint32_t) sizeof record->loan;
  ShmSplit *parts = *split;

  if (parts == NULL || parts->room < head_size)
    {
      parts = realloc (parts, sizeof *parts + head_size);
      if (parts == NULL)
        return false;
      parts->room = head_size;
      *split = parts;
    }
  memcpy (parts->head, record->data, head_size);
  parts->body = body;
  parts->body_size = record->loan.length;
  return true;
}
