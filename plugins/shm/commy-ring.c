/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring. A record begins on a line with one word, its mark: sequence, kind and size. The
 * consumer polls the mark of the next record instead of the tail, so a small message costs the
 * transfer of its own lines and of nothing else.
 *
 * A batch becomes visible at one stroke: all its marks but the first are written when the
 * records are committed, then a zero behind the last, and the first mark at the end, with
 * release order. The line behind the tail therefore always holds a zero, so that no payload of
 * an earlier lap can be taken for a mark; it costs one line of capacity.
 *
 * A record never wraps. What is left at the end of the ring is filled by one padding record.
 */
#include "commy-ring.h"

#include "plugins/common/commy-defence.h"

enum
{
  KIND_NONE = 0,
  KIND_INLINE = 1,
  KIND_LOAN = 2,
  KIND_PADDING = 3,
};

#define KIND_SHIFT 30
#define SIZE_MASK ((1u << KIND_SHIFT) - 1)

static uint32_t
lines (uint32_t payload)
{
  return (payload + SHM_MARK_BYTES + SHM_LINE - 1) & ~(SHM_LINE - 1);
}

/* The position itself is the sequence: 32 bits of it, which no legal peer can be a lap behind. */
static uint64_t
mark_new (uint64_t position, uint32_t kind, uint32_t size)
{
  uint32_t sequence = (uint32_t) (position / SHM_LINE) + 1;

  return (uint64_t) sequence << 32 | (uint64_t) kind << KIND_SHIFT | size;
}

static uint64_t *
mark_at (const ShmProducer *self, uint64_t position)
{
  return (uint64_t *) (void *) (self->data + (position & (self->capacity - 1)));
}

static uint64_t
mark_load (const ShmConsumer *self, uint64_t position)
{
  const void *at = self->data + (position & (self->capacity - 1));

  return __atomic_load_n ((const uint64_t *) at, __ATOMIC_ACQUIRE);
}

bool
shm_ring_valid_capacity (uint64_t capacity)
{
  return capacity >= SHM_RING_MIN && capacity <= SHM_RING_MAX && (capacity & (capacity - 1)) == 0;
}

/* A quarter: the padding in front of a record is smaller than the record, and a second one may
 * be under way while the first is read. */
uint32_t
shm_ring_max_inline (uint64_t capacity)
{
  return (uint32_t) (capacity / 4 - SHM_MARK_BYTES);
}

void
shm_producer_init (ShmProducer *self,
                   ShmHeader *own,
                   uint8_t *data,
                   uint64_t capacity,
                   uint32_t max_inline,
                   const ShmHeader *peer)
{
  *self = (ShmProducer){
    .own = own, .peer = peer, .data = data, .capacity = capacity, .max_inline = max_inline
  };
}

/* The peer's cursor, if it is one that a correct consumer can have. */
static bool
refresh_cursor (ShmProducer *self)
{
  uint64_t cursor = __atomic_load_n (&self->peer->cursor, __ATOMIC_ACQUIRE);

  if (COMMY_DEFENCE (8, cursor < self->peer_cursor || cursor > self->published
                            || cursor % SHM_LINE != 0))
    {
      self->broken = "the peer's read position is impossible";
      return false;
    }
  self->peer_cursor = cursor;
  return true;
}

/* One more line than the record needs stays free, for the zero behind the tail. */
static bool
fits (const ShmProducer *self, uint64_t bytes)
{
  return self->head + bytes + SHM_LINE - self->peer_cursor <= self->capacity;
}

static uint32_t
padding_before (const ShmProducer *self, uint32_t need)
{
  uint64_t left = self->capacity - (self->head & (self->capacity - 1));

  return need <= left ? 0 : (uint32_t) left;
}

bool
shm_producer_has_room (ShmProducer *self, uint32_t size)
{
  uint32_t need = lines (size);
  uint64_t bytes = (uint64_t) need + padding_before (self, need);

  return fits (self, bytes) || !refresh_cursor (self) || fits (self, bytes);
}

ShmResult
shm_producer_reserve (ShmProducer *self, uint32_t size, uint8_t **out_data)
{
  uint32_t need = lines (size);
  uint32_t padding = padding_before (self, need);

  self->reserved = 0;
  if (self->broken != NULL)
    return SHM_BROKEN;
  if (size > self->max_inline)
    return SHM_NEVER;
  if (!fits (self, (uint64_t) need + padding))
    {
      if (!refresh_cursor (self))
        return SHM_BROKEN;
      if (!fits (self, (uint64_t) need + padding))
        return SHM_FULL;
    }
  self->padding = padding;
  self->reserved = need + padding;
  *out_data = (uint8_t *) mark_at (self, self->head + padding) + SHM_MARK_BYTES;
  return SHM_OK;
}

/* The first mark of a batch is held back; whoever stands in front of it sees none of the batch. */
static void
append_mark (ShmProducer *self, uint64_t mark, uint32_t bytes)
{
  if (self->head == self->published)
    self->first_mark = mark;
  else
    __atomic_store_n (mark_at (self, self->head), mark, __ATOMIC_RELAXED);
  self->head += bytes;
}

static void
append_padding (ShmProducer *self)
{
  if (self->padding != 0)
    append_mark (self, mark_new (self->head, KIND_PADDING, self->padding), self->padding);
  self->reserved = 0;
}

void
shm_producer_commit (ShmProducer *self, uint32_t used)
{
  append_padding (self);
  append_mark (self, mark_new (self->head, KIND_INLINE, used), lines (used));
}

void
shm_producer_commit_loan (ShmProducer *self, const ShmLoanRecord *loan)
{
  shm_producer_commit_split (self, loan, 0);
}

void
shm_producer_commit_split (ShmProducer *self, const ShmLoanRecord *loan, uint32_t head)
{
  uint32_t size = (uint32_t) sizeof *loan + head;

  append_padding (self);
  __builtin_memcpy ((uint8_t *) mark_at (self, self->head) + SHM_MARK_BYTES, loan, sizeof *loan);
  append_mark (self, mark_new (self->head, KIND_LOAN, size), lines (size));
}

/* The head behind a loan's record. */
static const uint8_t *
head_of (const uint8_t *payload, uint32_t size)
{
  return size > sizeof (ShmLoanRecord) ? payload + sizeof (ShmLoanRecord) : NULL;
}

void
shm_producer_cancel (ShmProducer *self)
{
  self->reserved = 0;
}

bool
shm_producer_publish (ShmProducer *self)
{
  uint64_t first = self->published;

  if (self->head == first)
    return false;
  __atomic_store_n (mark_at (self, self->head), 0, __ATOMIC_RELAXED);
  self->published = self->head;
  __atomic_store_n (mark_at (self, first), self->first_mark, __ATOMIC_RELEASE);
  __atomic_store_n (&self->own->tail, self->head, __ATOMIC_RELEASE);
  return true;
}

/* Everything that is read here is our own; only where to begin is the peer's word, and checked. */
bool
shm_producer_walk (ShmProducer *self, uint64_t *position, ShmRecord *out_record)
{
  shm_producer_publish (self); /* now each record has its mark */
  if (self->broken == NULL)
    refresh_cursor (self);
  if (*position < self->peer_cursor)
    *position = self->peer_cursor;
  while (*position < self->head)
    {
      uint64_t mark = *mark_at (self, *position);
      uint32_t kind = (uint32_t) mark >> KIND_SHIFT;
      const uint8_t *payload = (const uint8_t *) mark_at (self, *position) + SHM_MARK_BYTES;
      uint64_t bytes = (uint32_t) mark & SIZE_MASK;

      out_record->size = (uint32_t) mark & SIZE_MASK;
      out_record->start = *position;
      if (kind != KIND_PADDING)
        bytes = lines (out_record->size);
      if (bytes == 0 || bytes % SHM_LINE != 0 || bytes > self->head - *position
          || (*position & (self->capacity - 1)) + bytes > self->capacity)
        return false; /* the cursor was a lie: this is no record's beginning */
      *position += bytes;
      if (kind == KIND_PADDING)
        continue;
      out_record->is_loan = kind == KIND_LOAN;
      out_record->data = out_record->is_loan ? head_of (payload, out_record->size) : payload;
      if (out_record->is_loan)
        __builtin_memcpy (&out_record->loan, payload, sizeof out_record->loan);
      return true;
    }
  return false;
}

void
shm_producer_close (ShmProducer *self)
{
  shm_producer_publish (self);
  __atomic_store_n (&self->own->tail, self->published | SHM_TAIL_CLOSED, __ATOMIC_RELEASE);
}

void
shm_consumer_init (ShmConsumer *self,
                   ShmHeader *own,
                   const ShmHeader *peer,
                   const uint8_t *data,
                   uint64_t capacity,
                   uint32_t max_inline)
{
  *self = (ShmConsumer){
    .own = own, .peer = peer, .data = data, .capacity = capacity, .max_inline = max_inline
  };
}

bool
shm_consumer_ready (const ShmConsumer *self)
{
  return self->broken != NULL || mark_load (self, self->position) != 0;
}

bool
shm_consumer_closed (const ShmConsumer *self)
{
  return (__atomic_load_n (&self->peer->tail, __ATOMIC_ACQUIRE) & SHM_TAIL_CLOSED) != 0;
}

static ShmResult
broken (ShmConsumer *self, const char *why)
{
  self->broken = why;
  return SHM_BROKEN;
}

/* Why @mark cannot stand at the consumer's position, or NULL. @mark is our own copy. */
static const char *
check_mark (const ShmConsumer *self, uint64_t mark)
{
  uint32_t size = (uint32_t) mark & SIZE_MASK;
  uint32_t kind = ((uint32_t) mark) >> KIND_SHIFT;
  uint64_t offset = self->position & (self->capacity - 1);
  uint64_t bytes = kind == KIND_PADDING ? size : lines (size);

  if (COMMY_DEFENCE (8, mark >> 32 != mark_new (self->position, 0, 0) >> 32))
    return "a record has the wrong sequence number";
  if (kind == KIND_NONE || size == 0)
    return "a record has no kind or no size";
  if (kind == KIND_PADDING && (offset == 0 || offset + size != self->capacity))
    return "padding does not end where the ring does";
  if (COMMY_DEFENCE (7, kind == KIND_INLINE && size > self->max_inline))
    return "a record is larger than was agreed";
  if (kind == KIND_LOAN
      && (size < sizeof (ShmLoanRecord)
          || (size > sizeof (ShmLoanRecord) && size > self->max_inline)))
    return "a loan record has the wrong size";
  if (COMMY_DEFENCE (7, offset + bytes > self->capacity))
    return "a record goes beyond the end of the ring";
  if (COMMY_DEFENCE (7, self->position + bytes + SHM_LINE - self->cursor > self->capacity))
    return "the producer wrote over records that were not given back";
  return NULL;
}

/* Copies what the producer could still change, each word once. */
static void
copy_loan (const uint8_t *from, ShmLoanRecord *to)
{
  const ShmLoanRecord *shared = (const ShmLoanRecord *) (const void *) from;

  to->segment = __atomic_load_n (&shared->segment, __ATOMIC_RELAXED);
  to->slot = __atomic_load_n (&shared->slot, __ATOMIC_RELAXED);
  to->generation = __atomic_load_n (&shared->generation, __ATOMIC_RELAXED);
  to->reserved = __atomic_load_n (&shared->reserved, __ATOMIC_RELAXED);
  to->offset = __atomic_load_n (&shared->offset, __ATOMIC_RELAXED);
  to->length = __atomic_load_n (&shared->length, __ATOMIC_RELAXED);
}

/* All at a time: one after the other each costs a way to the producer's processor. */
static inline void
fetch_to_read (const uint8_t *payload, uint32_t size)
{
  uint32_t end = size < SHM_FETCH_BYTES ? size : SHM_FETCH_BYTES;

  for (uint32_t at = SHM_LINE; at < end; at += SHM_LINE)
    __builtin_prefetch (payload + at);
}

ShmResult
shm_consumer_take (ShmConsumer *self, ShmRecord *out_record)
{
  uint64_t mark = mark_load (self, self->position);
  const char *why;
  const uint8_t *payload;

  if (self->broken != NULL)
    return SHM_BROKEN;
  if (mark == 0)
    return SHM_EMPTY;
  why = check_mark (self, mark);
  if (why != NULL)
    return broken (self, why);
  if ((uint32_t) mark >> KIND_SHIFT == KIND_PADDING)
    {
      /* Padding leads to the ring's first line, where there can be none: one step, no loop. */
      self->position += (uint32_t) mark & SIZE_MASK;
      mark = mark_load (self, self->position);
      if (mark == 0)
        return SHM_EMPTY;
      why = check_mark (self, mark);
      if (why != NULL)
        return broken (self, why);
    }
  if (!COMMY_DEFENCE (6, true))
    mark = mark_load (self, self->position);
  payload = self->data + (self->position & (self->capacity - 1)) + SHM_MARK_BYTES;
  out_record->size = (uint32_t) mark & SIZE_MASK;
  fetch_to_read (payload, out_record->size);
  out_record->start = self->position;
  out_record->is_loan = (uint32_t) mark >> KIND_SHIFT == KIND_LOAN;
  out_record->data = payload;
  if (out_record->is_loan)
    {
      copy_loan (payload, &out_record->loan);
      out_record->data = head_of (payload, out_record->size);
    }
  self->position += lines (out_record->size);
  if (out_record->is_loan)
    __atomic_store_n (&self->own->seen, self->position, __ATOMIC_RELEASE);
  return SHM_OK;
}

void
shm_consumer_release_to (ShmConsumer *self, uint64_t cursor)
{
  self->cursor = cursor;
  __atomic_store_n (&self->own->cursor, cursor, __ATOMIC_RELEASE);
}

void
shm_consumer_release_loan (ShmConsumer *self, uint32_t slot, uint32_t generation)
{
  __atomic_store_n (&self->own->released[slot], generation, __ATOMIC_RELEASE);
}

void
shm_consumer_release_lent (ShmConsumer *self, uint32_t slot, uint32_t generation)
{
  __atomic_store_n (&self->own->lent[slot], generation, __ATOMIC_RELEASE);
}
