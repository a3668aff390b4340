/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of fuzz-segment. Both sides do what the plugin lets them do; the peer also writes
 * any word of its memory and sends any packet. As long as it did not, nothing may be lost,
 * repeated or changed; and whatever it does, the victim never gets or gives memory that is not
 * the connection's, and never more than was agreed.
 */
#include "config.h"

#include "segment-peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SMALLEST 8u
#define PAGE 4096u
#define READ 1u
#define BOTH 3u

void
segment_check (bool ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "fuzz-segment: not true: %s\n", what);
  __builtin_trap ();
}

uint64_t
segment_input_take (SegmentInput *self, unsigned bytes)
{
  uint64_t value = 0;

  for (unsigned i = 0; i < bytes && self->left > 0; i++, self->left--)
    value |= (uint64_t) *self->at++ << 8 * i;
  return value;
}

/* --- what must hold --- */

/* Without branches: where the kernel put the maps may not show in what is covered. */
static bool
within (const uint8_t *data, uint64_t size, const uint8_t *start, uint64_t length)
{
  uint64_t offset = (uint64_t) ((uintptr_t) data - (uintptr_t) start);

  return (start != NULL) & (size <= length) & (offset <= length - size);
}

static bool
is_in_ring (const ShmSegment *segment, const uint8_t *data, uint64_t size)
{
  return within (data, size, segment->data + SHM_HEADER_BYTES, segment->size - SHM_HEADER_BYTES);
}

static bool
is_in_foreign (const ShmForeign *foreign, const uint8_t *data, uint64_t size)
{
  for (unsigned i = 0; foreign->segments != NULL && i < SHM_ARENA_SEGMENTS; i++)
    if (within (data, size, foreign->segments[i].data, foreign->segments[i].size))
      return true;
  return false;
}

static bool
is_in_arena (const ShmArena *arena, const uint8_t *data, uint64_t size)
{
  for (unsigned i = 0; arena->table != NULL && i < SHM_ARENA_SEGMENTS; i++)
    if (within (data, size, arena->table->segments[i].data, arena->table->segments[i].size))
      return true;
  return false;
}

static void
check_foreign (const ShmForeign *foreign)
{
  uint64_t total = 0;

  for (unsigned i = 0; foreign->segments != NULL && i < SHM_ARENA_SEGMENTS; i++)
    if (foreign->segments[i].data != NULL)
      total += foreign->segments[i].size;
  SEGMENT_CHECK (total == foreign->total);
  SEGMENT_CHECK (total <= foreign->limit);
}

static void
check_side (Segment *self, SegmentSide *side)
{
  ShmLink *link = &side->link;

  if (link->own.data == NULL)
    return;
  SEGMENT_CHECK (link->rx.cursor >= side->cursor && link->rx.cursor <= link->rx.position);
  side->cursor = link->rx.cursor;
  for (unsigned i = 0; i < side->n_held; i++)
    if (is_in_ring (&link->peer, side->held[i].data, side->held[i].size))
      SEGMENT_CHECK (link->borrows[(uint16_t) side->held[i].token].start >= side->cursor);
  SEGMENT_CHECK (link->n_borrowed == side->n_held);
  SEGMENT_CHECK (link->arena.total <= link->arena.limit);
  SEGMENT_CHECK (!link->broken || link->why != NULL);
  SEGMENT_CHECK (!self->honest || !link->broken);
  check_foreign (&link->foreign);
  check_foreign (&link->blocks);
}

/* --- messages --- */

static void
write_message (uint8_t *data, uint64_t size, uint32_t number)
{
  memcpy (data, &number, sizeof number);
  memcpy (data + size - sizeof number, &number, sizeof number);
}

/* Looks at every page, and at both ends. */
static bool
read_message (const ShmMessage *message, uint32_t number)
{
  const volatile uint8_t *bytes = message->data;
  uint32_t first = 0, last = 0;

  for (uint64_t at = 0; at < message->size; at += PAGE)
    (void) bytes[at];
  if (message->size < SMALLEST)
    return false;
  (void) bytes[message->size - 1];
  memcpy (&first, message->data, sizeof first);
  memcpy (&last, message->data + message->size - sizeof last, sizeof last);
  return first == number && last == number;
}

/* The head is a copy, the body lies in a block that several may read; no side here lends any. */
static void
check_parts (const Segment *self, const SegmentSide *side, const ShmMessage *message)
{
  const ShmLink *link = &side->link;
  const ShmMessage body = { .data = message->body, .size = message->body_size };

  SEGMENT_CHECK (!self->honest);
  SEGMENT_CHECK (message->size <= link->rx.max_inline);
  SEGMENT_CHECK (!is_in_ring (&link->peer, message->data, MAX (message->size, 1)));
  SEGMENT_CHECK (is_in_foreign (&link->blocks, body.data, body.size));
  read_message (message, 0);
  read_message (&body, 0);
}

static void
check_message (const Segment *self, const SegmentSide *side, const ShmMessage *message)
{
  const ShmLink *link = &side->link;
  bool in_ring = is_in_ring (&link->peer, message->data, message->size);

  if (message->body != NULL)
    {
      check_parts (self, side, message);
      return;
    }
  SEGMENT_CHECK (message->size > 0);
  SEGMENT_CHECK (in_ring || is_in_foreign (&link->foreign, message->data, message->size));
  SEGMENT_CHECK (!in_ring || message->size <= link->rx.max_inline);
  for (unsigned i = 0; in_ring && i < side->n_held; i++)
    SEGMENT_CHECK (message->data + message->size <= side->held[i].data
                   || side->held[i].data + side->held[i].size <= message->data);
  SEGMENT_CHECK (read_message (message, side->n_taken) || !self->honest);
}

static ShmResult
take (Segment *self, SegmentSide *side)
{
  ShmMessage message;
  ShmResult result;

  if (side->n_held == SEGMENT_HELD)
    return SHM_FULL;
  result = shm_link_peek (&side->link, &message);
  if (result != SHM_OK)
    {
      SEGMENT_CHECK (result != SHM_BROKEN || side->link.why != NULL);
      return result;
    }
  check_message (self, side, &message);
  side->number[side->n_held] = side->n_taken++;
  side->held[side->n_held++] = message;
  return SHM_OK;
}

static void
give_back (Segment *self, SegmentSide *side, unsigned index)
{
  if (side->n_held == 0)
    {
      if (side->stale != 0)
        shm_link_release (&side->link, side->stale);
      return;
    }
  index %= side->n_held;
  /* Nobody overwrote it while it was in use. */
  SEGMENT_CHECK (read_message (&side->held[index], side->number[index]) || !self->honest);
  side->stale = side->held[index].token;
  shm_link_release (&side->link, side->stale);
  side->n_held--;
  side->held[index] = side->held[side->n_held];
  side->number[index] = side->number[side->n_held];
}

/* Sizes around every limit: what fits a record, what needs a loan, what is too much. */
static uint64_t
choose_size (Segment *self, const SegmentSide *side)
{
  uint64_t raw = segment_input_take (&self->input, 2);

  switch (raw & 3)
    {
    case 0:
      return SMALLEST + (raw >> 2 & 0xff);
    case 1:
      return side->link.tx.max_inline + 1 - (raw >> 2 & 0x3f);
    case 2:
      return SMALLEST + (raw << 2);
    default:
      return SMALLEST + (raw << 3);
    }
}

static void
send_one (Segment *self, SegmentSide *side, unsigned how)
{
  uint64_t size = choose_size (self, side);
  uint64_t used = (how & 1) != 0 ? MAX (size / 2, SMALLEST) : size;
  ShmLink *link = &side->link;
  uint8_t *data = NULL;
  ShmResult result = shm_link_reserve (link, size, &data);

  side->is_open = false;
  SEGMENT_CHECK (result == SHM_OK || link->open_size == 0);
  SEGMENT_CHECK (result != SHM_BROKEN || link->why != NULL);
  if (result != SHM_OK)
    return;
  SEGMENT_CHECK (is_in_ring (&link->own, data, size) || is_in_arena (&link->arena, data, size)
                 || within (data, size, link->stage, sizeof link->stage));
  SEGMENT_CHECK (((uintptr_t) data & 7) == 0);
  if ((how & 2) != 0)
    used = 0;
  else
    write_message (data, used, side->n_sent++);
  shm_link_commit (link, used);
  if ((how & 4) == 0)
    shm_link_flush (link);
}

/* A message that is written over some steps, while anything else may happen. */
static void
begin_one (Segment *self, SegmentSide *side)
{
  uint64_t size = choose_size (self, side);
  uint8_t *data = NULL;

  side->is_open = shm_link_reserve (&side->link, size, &data) == SHM_OK;
  if (side->is_open)
    write_message (data, size, side->n_sent);
  side->open_size = size;
}

/* More than was reserved is none at all. */
static void
end_one (SegmentSide *side, unsigned how)
{
  uint64_t used = (how & 2) == 0 ? side->open_size : (how & 1) == 0 ? 0 : side->open_size + 1;

  side->is_open = false;
  side->n_sent += used == side->open_size;
  shm_link_commit (&side->link, used);
  if ((how & 4) == 0)
    shm_link_flush (&side->link);
}

static void
build (Segment *self, SegmentSide *side, unsigned how)
{
  if (side->is_open)
    end_one (side, how);
  else
    begin_one (self, side);
}

/* What nobody has in hand may be given back again: nothing comes of it. */
static void
give_back_again (Segment *self, SegmentSide *side)
{
  uint64_t token = side->stale ^ segment_input_take (&self->input, 2)
                   ^ segment_input_take (&self->input, 1) << 32;

  if (side->stale == 0)
    return;
  for (unsigned i = 0; i < side->n_held; i++)
    if (side->held[i].token == token)
      return;
  shm_link_release (&side->link, token);
}

static void
look_at_unsent (SegmentSide *side)
{
  ShmLink *link = &side->link;
  uint64_t position = 0;
  ShmMessage message;

  while (shm_link_unsent (link, &position, &message))
    {
      SEGMENT_CHECK (is_in_ring (&link->own, message.data, message.size)
                     || is_in_arena (&link->arena, message.data, message.size));
      if (message.size > 0) /* where to begin is the peer's word */
        read_message (&message, 0);
    }
}

/* Neither may sleep: one is kicked already, for the other it is too late. */
static void
wait_at_once (SegmentSide *side, unsigned how)
{
  const bool kicked = (how & 1) != 0;
  const uint32_t kick_word = kicked ? 1 : 0;
  ShmWait result = shm_link_wait (&side->link, &kick_word, 0, kicked ? INT64_MAX : 0,
                                  (how & 2) != 0 ? SHM_PARK_WITHOUT_WAITV : SHM_PARK_BEST);

  SEGMENT_CHECK (result != SHM_WAIT_CLOSED || side->link.why != NULL);
}

/* --- what only a bad peer does --- */

static void
poke_word (Segment *self, uint64_t *word, unsigned how)
{
  uint64_t raw = segment_input_take (&self->input, how < 2 ? 8 : 1);
  uint64_t value = __atomic_load_n (word, __ATOMIC_RELAXED);

  switch (how)
    {
    case 0:
    case 1:
      value = raw;
      break;
    case 2:
      value += (uint64_t) (int64_t) (int8_t) raw * SHM_LINE;
      break;
    case 3:
      value ^= (uint64_t) 1 << (raw & 63);
      break;
    default:
      value += (uint64_t) (int64_t) (int8_t) raw;
      break;
    }
  self->honest = false;
  __atomic_store_n (word, value, __ATOMIC_RELAXED);
}

static void
poke_header (Segment *self, unsigned how)
{
  ShmHeader *header = (ShmHeader *) (void *) self->peer.link.own.data;
  unsigned which = (unsigned) segment_input_take (&self->input, 1);
  uint64_t *words[]
      = { &header->tail, &header->cursor, &header->seen, (uint64_t *) (void *) &header->state };

  if (which < 64)
    poke_word (self, words[which % G_N_ELEMENTS (words)], how);
  else
    poke_word (self, (uint64_t *) (void *) &header->released[which & (SHM_LOAN_SLOTS - 2)], how);
}

/* The word @offset bytes from where the victim reads next. */
static uint64_t *
ring_word (Segment *self, uint64_t offset)
{
  ShmLink *link = &self->peer.link;
  uint64_t ring = link->own.size - SHM_HEADER_BYTES;
  uint64_t at = (self->victim.link.rx.position + offset) & (ring - 1) & ~(uint64_t) 7;

  return (uint64_t *) (void *) (link->own.data + SHM_HEADER_BYTES + at);
}

static void
poke_ring (Segment *self, unsigned how)
{
  poke_word (self, ring_word (self, segment_input_take (&self->input, 1) * 8), how);
}

/* A mark with the right sequence; kind and size are the input's. */
static void
forge_mark (Segment *self)
{
  uint64_t offset = segment_input_take (&self->input, 1) * SHM_LINE;
  uint64_t sequence = (self->victim.link.rx.position + offset) / SHM_LINE + 1;
  uint64_t low = segment_input_take (&self->input, 4);

  self->honest = false;
  __atomic_store_n (ring_word (self, offset), sequence << 32 | low, __ATOMIC_RELEASE);
}

static void
make_loan (Segment *self, uint64_t words[4])
{
  words[0] = segment_input_take (&self->input, 1) | segment_input_take (&self->input, 2) << 32;
  words[1] = segment_input_take (&self->input, 1);
  words[2] = segment_input_take (&self->input, 2) * SHM_LINE;
  words[3] = segment_input_take (&self->input, 4);
}

/* A loan where the victim reads next. */
static void
forge_loan (Segment *self)
{
  uint64_t words[4];

  make_loan (self, words);
  self->honest = false;
  for (unsigned i = 0; i < 4; i++)
    __atomic_store_n (ring_word (self, SHM_MARK_BYTES + 8 * i), words[i], __ATOMIC_RELAXED);
  __atomic_store_n (ring_word (self, 0),
                    (self->victim.link.rx.position / SHM_LINE + 1) << 32 | 2u << 30
                        | sizeof (ShmLoanRecord),
                    __ATOMIC_RELEASE);
}

/* The victim sends what the peer wanted to be sent, as a service that echoes does: in the second
 * line of the payload there is what a record begins with, a loan's or any. */
static void
have_echoed (Segment *self, unsigned how)
{
  enum
  {
    LINE = SHM_LINE - SHM_MARK_BYTES
  };
  uint64_t words[5] = { 2u << 30 | sizeof (ShmLoanRecord) };
  uint8_t *data = NULL;

  if (how != 0)
    words[0] = segment_input_take (&self->input, 4);
  make_loan (self, words + 1);
  self->victim.is_open = false;
  if (shm_link_reserve (&self->victim.link, 2 * SHM_LINE + SMALLEST, &data) != SHM_OK)
    return;
  write_message (data, 2 * SHM_LINE + SMALLEST, self->victim.n_sent++);
  memcpy (data + LINE, words, sizeof words);
  shm_link_commit (&self->victim.link, 2 * SHM_LINE + SMALLEST);
  shm_link_flush (&self->victim.link);
}

/* Every kind there is, and at times one that there is not. */
static uint32_t
choose_notice (Segment *self)
{
  uint32_t raw = (uint32_t) segment_input_take (&self->input, 1);

  return raw < 240 ? 1 + raw % 3 : SHM_NOTICE_BLOCK_DROP + raw % 2;
}

static void
send_notice (Segment *self, unsigned kind)
{
  struct
  {
    uint32_t kind;
    uint32_t id;
    uint64_t size;
  } notice = { .kind = choose_notice (self),
               .id = (uint32_t) segment_input_take (&self->input, 2),
               .size = segment_input_take (&self->input, 2) * 1024 };

  self->honest = false;
  segment_send_packet (self, &notice, sizeof notice, kind);
}

static void
send_bytes (Segment *self, unsigned kind)
{
  uint8_t bytes[64];
  size_t size = (size_t) segment_input_take (&self->input, 1) % sizeof bytes;

  for (size_t i = 0; i < size; i++)
    bytes[i] = (uint8_t) segment_input_take (&self->input, 1);
  self->honest = false;
  segment_send_packet (self, bytes, size, kind);
}

/* More of them than are read in one turn. */
static void
ring_bells (Segment *self, unsigned how)
{
  const uint8_t byte = 'w';

  self->honest = false;
  for (unsigned i = 0; i < 8u << how; i++)
    segment_send_packet (self, &byte, sizeof byte, SEGMENT_NO_FD);
}

static void
hang_up (Segment *self, unsigned how)
{
  self->honest = false;
  if (how == 0)
    {
      self->peer.n_held = 0;
      self->peer.is_open = false;
      shm_link_close (&self->peer.link);
    }
  else if (self->peer.link.socket_fd >= 0)
    shutdown (self->peer.link.socket_fd, how == 1 ? SHUT_RDWR : how == 2 ? SHUT_RD : SHUT_WR);
}

/* --- a step --- */

static void
attack (Segment *self, unsigned which, unsigned how)
{
  switch (which)
    {
    case 0:
      poke_header (self, how);
      break;
    case 1:
      poke_ring (self, how);
      break;
    case 2:
      forge_mark (self);
      break;
    case 3:
      forge_loan (self);
      break;
    case 4:
      send_notice (self, how);
      break;
    case 5:
      send_bytes (self, how);
      break;
    case 6:
      have_echoed (self, how);
      break;
    default:
      hang_up (self, how & 3);
      break;
    }
}

/* What a correct side may do while it is attacked, and packets as they are rare. */
static void
do_more (Segment *self, unsigned which, unsigned how)
{
  switch (which)
    {
    case 0:
      build (self, &self->victim, how);
      break;
    case 1:
      build (self, &self->peer, how);
      break;
    case 2:
      give_back_again (self, &self->victim);
      break;
    case 3:
      ring_bells (self, how);
      break;
    case 4:
      send_notice (self, SEGMENT_RARE_FDS + how);
      break;
    default:
      break;
    }
}

static void
act (Segment *self, SegmentSide *side, unsigned which, unsigned how)
{
  switch (which)
    {
    case 0:
      take (self, side);
      break;
    case 1:
      give_back (self, side, how);
      break;
    case 2:
      send_one (self, side, how);
      break;
    case 3:
      shm_link_flush (&side->link);
      break;
    case 4:
      shm_link_arm (&side->link, how % BOTH + READ);
      break;
    case 5:
      wait_at_once (side, how);
      break;
    case 6:
      while (take (self, side) == SHM_OK)
        give_back (self, side, how);
      break;
    default:
      /* What the peer's own memory says is what the input wrote there. */
      if (side == &self->victim || self->honest)
        look_at_unsent (side);
      break;
    }
}

void
segment_step (Segment *self)
{
  unsigned op = (unsigned) segment_input_take (&self->input, 1);
  unsigned how = op >> 5;
  unsigned which = op & 31;

  if (which < 8)
    act (self, &self->victim, which, how);
  else if (self->peer.link.own.data == NULL)
    return;
  else if (which < 16)
    act (self, &self->peer, which - 8, how);
  else if (which < 24)
    attack (self, which - 16, how);
  else
    do_more (self, which - 24, how);
  check_side (self, &self->victim);
  if (self->honest)
    check_side (self, &self->peer);
}
