/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arena: memory for messages that are too big for the ring. The writer's side hands out
 * chunks and learns from words in the reader's header which ones came back; who holds what is
 * known here, in private memory, and nowhere else. The reader's side knows the segments and
 * checks what records say about them. No GLib, no system call: segments come from functions
 * that the owner gives.
 */
#pragma once

#include "commy-ring.h"

#define SHM_ARENA_SEGMENTS 128
#define SHM_ARENA_MIN_CHUNK 4096u
#define SHM_ARENA_MAX (1u << 30)
#define SHM_ARENA_CLASSES 19

/* Makes segment @id known to both sides; NULL (with errno, EAGAIN: later) if that cannot be. */
typedef uint8_t *(*ShmArenaGrow) (void *user_data, uint32_t id, uint64_t size);
/* Takes it from both sides again; false (with errno, EAGAIN: later) if the reader cannot be told.
 */
typedef bool (*ShmArenaDrop) (void *user_data, uint32_t id, uint8_t *data, uint64_t size);

typedef struct
{
  uint32_t generation;
  uint32_t segment;
  uint64_t offset;
  uint64_t position; /* of its record, while it is held */
  uint8_t state;
  uint8_t size_class;
} ShmSlot;

/* A place in the table is used again, an id is not: it is the place plus a multiple of their
 * number. So a reader never takes an old segment for a new one in its place. */
typedef struct
{
  uint8_t *data;
  uint64_t size;
  uint32_t id;
  uint32_t size_class;
} ShmArenaSegment;

/* Allocated with the first loan: most connections never need one. */
typedef struct
{
  ShmSlot slots[SHM_LOAN_SLOTS];
  ShmArenaSegment segments[SHM_ARENA_SEGMENTS];
  /* Per class: free slots as a stack, held ones in the order they were sent. */
  uint16_t free_slots[SHM_ARENA_CLASSES][SHM_LOAN_SLOTS];
  uint16_t n_free[SHM_ARENA_CLASSES];
  uint16_t held[SHM_LOAN_SLOTS];
  uint16_t n_held;
} ShmArenaTable;

typedef struct
{
  const ShmHeader *peer;
  uint64_t limit;
  uint64_t total;
  ShmArenaGrow grow;
  ShmArenaDrop drop;
  void *user_data;
  ShmArenaTable *table;
} ShmArena;

void shm_arena_init (ShmArena *self,
                     uint64_t limit,
                     const ShmHeader *peer,
                     ShmArenaGrow grow,
                     ShmArenaDrop drop,
                     void *user_data);
void shm_arena_deinit (ShmArena *self);
/* A chunk for @size bytes. SHM_FULL while the reader holds what would be needed, SHM_NEVER if
 * @size is beyond the limit or the system has no memory for it. */
ShmResult shm_arena_take (ShmArena *self, uint64_t size, uint32_t *out_slot, uint8_t **out_data);
void shm_arena_cancel (ShmArena *self, uint32_t slot);
/* The record for a chunk that is being sent with the record at @position. */
void shm_arena_lend (
    ShmArena *self, uint32_t slot, uint64_t length, uint64_t position, ShmLoanRecord *out_record);
bool shm_arena_has_room (ShmArena *self, uint64_t size);
/* A message came, and with an answer mostly what was lent for the question comes back: the word
 * that says so is fetched before it is asked for. */
void shm_arena_look_ahead (const ShmArena *self);
/* The bytes that our own record at @position points to; NULL if the chunk came back since, or if it
 * is none of ours: who lies about where our records begin may have had us write something that
 * looks like one. */
const uint8_t *
shm_arena_find (const ShmArena *self, const ShmLoanRecord *record, uint64_t position);

/* The reader's side. */
typedef struct
{
  const uint8_t *data;
  uint64_t size;
  uint32_t id;
  uint32_t borrowed;
} ShmForeignSegment;

typedef struct
{
  uint64_t limit;
  uint64_t total;
  uint32_t n_added;            /* so far */
  ShmForeignSegment *segments; /* SHM_ARENA_SEGMENTS of them, with the first one */
} ShmForeign;

/* Why a segment of that id and size cannot be taken, or NULL. */
const char *shm_foreign_check_add (const ShmForeign *self, uint32_t id, uint64_t size);
bool shm_foreign_add (ShmForeign *self, uint32_t id, const uint8_t *data, uint64_t size);
/* Why it cannot be given up, or NULL with the memory to unmap. */
const char *shm_foreign_remove (ShmForeign *self, uint32_t id, ShmForeignSegment *out_segment);
/* The bytes a record points to; SHM_EMPTY if its segment is not known (yet). */
ShmResult
shm_foreign_borrow (ShmForeign *self, const ShmLoanRecord *record, const uint8_t **out_data);
void shm_foreign_release (ShmForeign *self, uint32_t id);
