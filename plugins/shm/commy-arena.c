/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arena. Chunks come in size classes, powers of two from 4 KiB; the last class is the limit
 * itself. A class takes back what was released before it hands out, last in first out, so a
 * steady stream stays in warm pages, and it grows only while few of its chunks wait in the ring:
 * a fast writer is held back, not given more memory to pollute the cache with. Chunks that the
 * reader took and keeps do not count against that.
 */
#include "commy-arena.h"

#include "plugins/common/commy-defence.h"

#include <errno.h>
#include <stdlib.h>

enum
{
  SLOT_UNUSED = 0,
  SLOT_FREE,
  SLOT_OPEN, /* reserved, not sent */
  SLOT_HELD, /* the reader has it */
};

#define SMALL_SEGMENT_BYTES (64u << 10)
#define WAITING_BYTES (1u << 20)
#define WAITING_MIN 4u

void
shm_arena_init (ShmArena *self,
                uint64_t limit,
                const ShmHeader *peer,
                ShmArenaGrow grow,
                ShmArenaDrop drop,
                void *user_data)
{
  *self = (ShmArena){
    .limit = limit, .peer = peer, .grow = grow, .drop = drop, .user_data = user_data
  };
}

static uint64_t
class_bytes (const ShmArena *self, uint32_t size_class)
{
  uint64_t bytes = (uint64_t) SHM_ARENA_MIN_CHUNK << size_class;

  return bytes < self->limit ? bytes : self->limit;
}

static uint32_t
class_of (uint64_t size)
{
  uint32_t size_class = 0;

  while ((uint64_t) SHM_ARENA_MIN_CHUNK << size_class < size)
    size_class++;
  return size_class;
}

static uint32_t
chunks_per_segment (uint64_t chunk)
{
  return chunk >= SMALL_SEGMENT_BYTES ? 1 : (uint32_t) (SMALL_SEGMENT_BYTES / chunk);
}

static void
push_free (ShmArenaTable *table, uint32_t slot)
{
  uint32_t size_class = table->slots[slot].size_class;

  table->slots[slot].state = SLOT_FREE;
  table->free_slots[size_class][table->n_free[size_class]++] = (uint16_t) slot;
}

/* Takes back what the reader released. A word that names another generation says nothing. */
static void
collect (ShmArena *self)
{
  ShmArenaTable *table = self->table;
  uint16_t kept = 0;

  for (uint16_t i = 0; i < table->n_held; i++)
    {
      uint16_t slot = table->held[i];
      uint32_t word = __atomic_load_n (&self->peer->released[slot], __ATOMIC_ACQUIRE);

      if (word == table->slots[slot].generation)
        push_free (table, slot);
      else
        table->held[kept++] = slot;
    }
  table->n_held = kept;
}

void
shm_arena_look_ahead (const ShmArena *self)
{
  const ShmArenaTable *table = self->table;

  if (table != NULL && table->n_held > 0)
    __builtin_prefetch (&self->peer->released[table->held[table->n_held - 1]]);
}

static bool
has_held (const ShmArenaTable *table, uint32_t segment)
{
  for (uint32_t i = 0; i < SHM_LOAN_SLOTS; i++)
    if (table->slots[i].segment == segment
        && (table->slots[i].state == SLOT_HELD || table->slots[i].state == SLOT_OPEN))
      return true;
  return false;
}

/* Forgets the slots of a segment; their generations go on, the words in the header stay. */
static void
forget_slots (ShmArenaTable *table, uint32_t segment)
{
  uint32_t size_class = table->segments[segment].size_class;
  uint16_t kept = 0;

  for (uint16_t i = 0; i < table->n_free[size_class]; i++)
    {
      uint16_t slot = table->free_slots[size_class][i];

      if (table->slots[slot].segment == segment)
        table->slots[slot].state = SLOT_UNUSED;
      else
        table->free_slots[size_class][kept++] = slot;
    }
  table->n_free[size_class] = kept;
}

/* Gives one idle segment of another class back to the system. */
static bool
retire_one (ShmArena *self, uint32_t wanted_class)
{
  ShmArenaTable *table = self->table;

  for (uint32_t i = 0; i < SHM_ARENA_SEGMENTS; i++)
    {
      ShmArenaSegment *segment = &table->segments[i];

      if (segment->data == NULL || segment->size_class == wanted_class || has_held (table, i))
        continue;
      if (!self->drop (self->user_data, segment->id, segment->data, segment->size))
        return false;
      forget_slots (table, i);
      self->total -= segment->size;
      *segment = (ShmArenaSegment){ .id = segment->id + SHM_ARENA_SEGMENTS };
      return true;
    }
  return false;
}

static uint32_t
count_unused_slots (const ShmArenaTable *table)
{
  uint32_t n = 0;

  for (uint32_t i = 0; i < SHM_LOAN_SLOTS; i++)
    n += table->slots[i].state == SLOT_UNUSED;
  return n;
}

static int
find_segment_index (const ShmArenaTable *table)
{
  for (int i = 0; i < SHM_ARENA_SEGMENTS; i++)
    if (table->segments[i].data == NULL)
      return i;
  return -1;
}

static void
add_slots (ShmArenaTable *table, uint32_t index, uint64_t chunk, uint32_t n)
{
  for (uint32_t i = 0; i < SHM_LOAN_SLOTS && n > 0; i++)
    {
      ShmSlot *slot = &table->slots[i];

      if (slot->state != SLOT_UNUSED)
        continue;
      n--;
      slot->segment = index;
      slot->offset = n * chunk;
      slot->size_class = (uint8_t) table->segments[index].size_class;
      push_free (table, i);
    }
}

static bool
grow (ShmArena *self, uint32_t size_class)
{
  ShmArenaTable *table = self->table;
  uint64_t chunk = class_bytes (self, size_class);
  uint32_t n = chunks_per_segment (chunk);
  ShmArenaSegment *segment;
  int index;
  uint8_t *data;

  while (self->total + n * chunk > self->limit || count_unused_slots (table) < n
         || find_segment_index (table) < 0)
    if (!retire_one (self, size_class))
      return false;
  index = find_segment_index (table);
  segment = &table->segments[index];
  data = self->grow (self->user_data, segment->id, n * chunk);
  if (data == NULL)
    return false;
  *segment = (ShmArenaSegment){
    .data = data, .size = n * chunk, .id = segment->id, .size_class = size_class
  };
  self->total += n * chunk;
  add_slots (table, (uint32_t) index, chunk, n);
  return true;
}

/* Whether as many chunks of the class as are good for the cache wait in the ring unread. */
static bool
enough_waiting (const ShmArena *self, uint32_t size_class)
{
  const ShmArenaTable *table = self->table;
  uint64_t seen = __atomic_load_n (&self->peer->seen, __ATOMIC_ACQUIRE);
  uint64_t most = WAITING_BYTES / class_bytes (self, size_class);
  uint64_t waiting = 0;

  for (uint16_t i = 0; i < table->n_held; i++)
    {
      const ShmSlot *slot = &table->slots[table->held[i]];

      waiting += slot->size_class == size_class && slot->position >= seen;
    }
  return waiting >= (most > WAITING_MIN ? most : WAITING_MIN);
}

static ShmArenaTable *
table_new (void)
{
  ShmArenaTable *table = calloc (1, sizeof *table);

  for (uint32_t i = 0; table != NULL && i < SHM_ARENA_SEGMENTS; i++)
    table->segments[i].id = i;
  return table;
}

static ShmResult
provide (ShmArena *self, uint64_t size, uint32_t *out_class)
{
  uint32_t size_class = class_of (size);

  *out_class = size_class;
  if (size > self->limit)
    return SHM_NEVER;
  if (self->table == NULL)
    self->table = table_new ();
  if (self->table == NULL)
    return SHM_NEVER;
  collect (self);
  if (self->table->n_free[size_class] > 0)
    return SHM_OK;
  if (enough_waiting (self, size_class))
    return SHM_FULL;
  errno = 0;
  if (grow (self, size_class))
    return SHM_OK;
  /* What is held will come back; with nothing held there is nothing to wait for. */
  return self->table->n_held > 0 || errno == EAGAIN ? SHM_FULL : SHM_NEVER;
}

ShmResult
shm_arena_take (ShmArena *self, uint64_t size, uint32_t *out_slot, uint8_t **out_data)
{
  uint32_t size_class;
  ShmResult result = provide (self, size, &size_class);
  ShmArenaTable *table = self->table;
  ShmSlot *slot;

  if (result != SHM_OK)
    return result;
  *out_slot = table->free_slots[size_class][--table->n_free[size_class]];
  slot = &table->slots[*out_slot];
  slot->state = SLOT_OPEN;
  *out_data = table->segments[slot->segment].data + slot->offset;
  shm_fetch_to_write (*out_data); /* its reader has it, from the last time */
  return SHM_OK;
}

bool
shm_arena_has_room (ShmArena *self, uint64_t size)
{
  uint32_t size_class;

  return provide (self, size, &size_class) != SHM_FULL;
}

void
shm_arena_cancel (ShmArena *self, uint32_t slot)
{
  push_free (self->table, slot);
}

void
shm_arena_lend (
    ShmArena *self, uint32_t slot, uint64_t length, uint64_t position, ShmLoanRecord *out_record)
{
  ShmArenaTable *table = self->table;
  ShmSlot *lent = &table->slots[slot];

  /* Zero is what the words in the reader's header begin with. */
  if (++lent->generation == 0)
    lent->generation = 1;
  lent->state = SLOT_HELD;
  lent->position = position;
  table->held[table->n_held++] = (uint16_t) slot;
  *out_record = (ShmLoanRecord){ .segment = table->segments[lent->segment].id,
                                 .slot = slot,
                                 .generation = lent->generation,
                                 .offset = lent->offset,
                                 .length = length };
}

/* A chunk that was lent again, or of which the segment went, has another generation or id. Where
 * it lies is our own memory's to say; of the record only the length counts. */
const uint8_t *
shm_arena_find (const ShmArena *self, const ShmLoanRecord *record, uint64_t position)
{
  const ShmArenaTable *table = self->table;
  const ShmArenaSegment *segment;
  const ShmSlot *slot;

  if (table == NULL || record->slot >= SHM_LOAN_SLOTS)
    return NULL;
  slot = &table->slots[record->slot];
  segment = &table->segments[slot->segment];
  if (slot->state != SLOT_HELD || slot->generation != record->generation
      || slot->position != position || segment->data == NULL || segment->id != record->segment
      || record->length > class_bytes (self, slot->size_class))
    return NULL;
  return segment->data + slot->offset;
}

void
shm_arena_deinit (ShmArena *self)
{
  if (self->table != NULL)
    for (uint32_t i = 0; i < SHM_ARENA_SEGMENTS; i++)
      if (self->table->segments[i].data != NULL)
        self->drop (self->user_data, self->table->segments[i].id, self->table->segments[i].data,
                    self->table->segments[i].size);
  free (self->table);
  self->table = NULL;
}

const char *
shm_foreign_check_add (const ShmForeign *self, uint32_t id, uint64_t size)
{
  if (size == 0 || size > self->limit || self->total + size > self->limit)
    return "the arena grows beyond what was agreed";
  if (self->segments != NULL && self->segments[id % SHM_ARENA_SEGMENTS].data != NULL)
    return "an arena segment was announced in the place of another";
  return NULL;
}

bool
shm_foreign_add (ShmForeign *self, uint32_t id, const uint8_t *data, uint64_t size)
{
  if (self->segments == NULL)
    self->segments = calloc (SHM_ARENA_SEGMENTS, sizeof *self->segments);
  if (self->segments == NULL)
    return false;
  self->segments[id % SHM_ARENA_SEGMENTS]
      = (ShmForeignSegment){ .data = data, .size = size, .id = id };
  self->total += size;
  self->n_added++;
  return true;
}

static ShmForeignSegment *
find_foreign (const ShmForeign *self, uint32_t id)
{
  ShmForeignSegment *segment;

  if (self->segments == NULL)
    return NULL;
  segment = &self->segments[id % SHM_ARENA_SEGMENTS];
  return segment->data != NULL && segment->id == id ? segment : NULL;
}

const char *
shm_foreign_remove (ShmForeign *self, uint32_t id, ShmForeignSegment *out_segment)
{
  ShmForeignSegment *segment = find_foreign (self, id);

  if (segment == NULL)
    return "an arena segment was withdrawn that is not there";
  if (segment->borrowed != 0)
    return "an arena segment was withdrawn while its messages are in use";
  *out_segment = *segment;
  self->total -= segment->size;
  *segment = (ShmForeignSegment){ 0 };
  return NULL;
}

ShmResult
shm_foreign_borrow (ShmForeign *self, const ShmLoanRecord *record, const uint8_t **out_data)
{
  ShmForeignSegment *segment = find_foreign (self, record->segment);

  if (COMMY_DEFENCE (7, record->slot >= SHM_LOAN_SLOTS || record->offset % SHM_LINE != 0
                            || record->length == 0))
    return SHM_BROKEN;
  if (segment == NULL)
    return SHM_EMPTY;
  if (COMMY_DEFENCE (7, record->offset > segment->size
                            || record->length > segment->size - record->offset))
    return SHM_BROKEN;
  segment->borrowed++;
  *out_data = segment->data + record->offset;
  return SHM_OK;
}

void
shm_foreign_release (ShmForeign *self, uint32_t id)
{
  ShmForeignSegment *segment = find_foreign (self, id);

  if (segment != NULL)
    segment->borrowed--;
}
