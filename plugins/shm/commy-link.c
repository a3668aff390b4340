/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An open connection. The fast path is reserve, commit, flush, peek and release: no system call,
 * no lock and no allocation while the peer is awake. Everything that talks to the kernel (a new
 * arena segment, a doorbell, the news of a death) hangs off the slow path of one of them.
 */
#include "config.h"

#include "commy-link.h"

#include "commy-packet.h"
#include "plugins/common/commy-defence.h"
#include "plugins/common/commy-failpoints.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NONE UINT16_MAX
#define FIRST_ENTRIES 8
/* How often a spinning reader looks whether the peer closed: it costs a line of the peer's. */
#define CLOSED_EVERY 64
/* A parked caller looks this often whether the peer lives, in case nobody kicks it. */
#define PARK_SLICE_NS 100000000ll
#define PACKETS_A_TURN 256

#define INTEREST_READ 1u
#define INTEREST_WRITE 2u

enum
{
  BORROW_FREE = 0,
  BORROW_INLINE,
  BORROW_LOAN,
  BORROW_SPLIT,
};

/* What a packet says that is longer than a doorbell's byte. */
typedef struct
{
  uint32_t kind;
  uint32_t id;
  uint64_t size;
} Notice;

static ShmResult
fail (ShmLink *self, const char *why)
{
  if (!self->broken)
    {
      self->why = why;
      shm_packet_refuse_fds (self->socket_fd);
    }
  self->broken = true;
  return SHM_BROKEN;
}

static void
note_hang_up (ShmLink *self)
{
  if (self->hung_up)
    return;
  self->hung_up = true;
  if (self->broken)
    return;
  /* A peer that ends in order says so in memory before it closes the socket. */
  if (shm_consumer_closed (&self->rx))
    {
      self->why = "closed by peer";
      return;
    }
  snprintf (self->why_text, sizeof self->why_text, "peer process %d died", self->peer_pid);
  self->why = self->why_text;
}

/* --- the slow side: packets from the peer --- */

/* NULL, or why not. */
static const char *
map_segment (ShmForeign *table, const Notice *notice, int fd)
{
  ShmSegment segment;
  const char *why;

  if (!shm_segment_map (&segment, fd, notice->size, &why))
    return why;
  if (shm_foreign_add (table, notice->id, segment.data, segment.size))
    return NULL;
  shm_segment_clear (&segment);
  return "no memory for the table of arena segments";
}

static void
add_segment (ShmLink *self, ShmForeign *table, const Notice *notice, int fd)
{
  const char *why = shm_foreign_check_add (table, notice->id, notice->size);

  if (why == NULL && !shm_maps_take (self->maps, self->maps_user))
    why = shm_maps_full;
  else if (why == NULL)
    {
      why = map_segment (table, notice, fd);
      if (why != NULL)
        shm_maps_give (self->maps, self->maps_user);
    }
  if (why != NULL)
    fail (self, why);
}

static void
remove_segment (ShmLink *self, ShmForeign *table, const Notice *notice)
{
  ShmForeignSegment segment;
  const char *why = shm_foreign_remove (table, notice->id, &segment);
  ShmSegment mapped;

  if (why != NULL)
    {
      fail (self, why);
      return;
    }
  mapped = (ShmSegment){ .data = (uint8_t *) segment.data, .size = segment.size };
  shm_segment_clear (&mapped);
  shm_maps_give (self->maps, self->maps_user);
}

static void
handle_packet (ShmLink *self, const Notice *notice, size_t size, int fd)
{
  uint32_t kind = size == sizeof *notice ? notice->kind : 0;
  bool is_block = kind == SHM_NOTICE_BLOCK || kind == SHM_NOTICE_BLOCK_DROP;
  ShmForeign *table = is_block ? &self->blocks : &self->foreign;

  if (size == 1 && fd < 0)
    return;
  if ((kind == SHM_NOTICE_SEGMENT || kind == SHM_NOTICE_BLOCK) && fd >= 0)
    add_segment (self, table, notice, fd);
  else if ((kind == SHM_NOTICE_DROP || kind == SHM_NOTICE_BLOCK_DROP) && fd < 0)
    remove_segment (self, table, notice);
  else
    fail (self, "the peer sent a packet that makes no sense");
}

/* What is left after a segment was mapped waits for the next turn: how many there are, and in which
 * order with those that go, is the peer's to say. */
static void
drain_packets (ShmLink *self)
{
  uint32_t n_mapped = self->foreign.n_added + self->blocks.n_added;

  for (int i = 0; i < PACKETS_A_TURN && !self->broken; i++)
    {
      Notice notice = { 0 };
      size_t size = 0;
      int fd = -1;
      ShmPacket result = shm_packet_receive (self->socket_fd, &notice, sizeof notice, &size, &fd);

      if (result == SHM_PACKET_OK)
        handle_packet (self, &notice, size, fd);
      /* There is room in the socket again, which the peer may have been short of. */
      self->unsettled = true;
      shm_packet_discard (fd);
      if (result == SHM_PACKET_END)
        note_hang_up (self);
      if (result == SHM_PACKET_FAULT)
        fail (self, "the peer sent descriptors that were not asked for");
      self->drained = result != SHM_PACKET_OK;
      if (self->drained
          || COMMY_DEFENCE (18, self->foreign.n_added + self->blocks.n_added != n_mapped))
        return;
    }
}

/* Reads what came over the socket and finds out whether the peer is gone: it hung up, or, with a
 * child of it that keeps the socket open, its process ended. */
static void
probe (ShmLink *self)
{
  struct pollfd ready[] = { { .fd = self->socket_fd, .events = POLLIN | POLLRDHUP },
                            { .fd = self->pid_fd, .events = POLLIN } };

  self->drained = true;
  if (poll (ready, 2, 0) <= 0)
    return;
  if (ready[0].revents != 0 || ready[1].revents != 0)
    drain_packets (self);
  if (ready[1].revents != 0)
    note_hang_up (self);
}

/* --- the arena's way to the kernel and the peer --- */

bool
shm_link_tell (ShmLink *self, uint32_t kind, uint32_t id, uint64_t size, int fd)
{
  Notice notice = { .kind = kind, .id = id, .size = size };
  ShmPacket result = shm_packet_send (self->socket_fd, &notice, sizeof notice, fd);

  /* A peer that is gone is found on the reading side, with what it left behind. */
  errno = result == SHM_PACKET_FAULT ? EIO : EAGAIN;
  return result == SHM_PACKET_OK;
}

static uint8_t *
grow_arena (void *user_data, uint32_t id, uint64_t size)
{
  ShmLink *self = user_data;
  ShmSegment segment;
  const char *step;
  int fd;
  bool told;
  int saved_errno;

  if (COMMY_FAILPOINT ("shm-grow") || !shm_segment_create (&segment, size, &fd, &step))
    return NULL;
  told = shm_link_tell (self, SHM_NOTICE_SEGMENT, id, size, fd);
  saved_errno = errno;
  close (fd);
  if (!told)
    shm_segment_clear (&segment);
  errno = saved_errno;
  return segment.data;
}

static bool
drop_from_arena (void *user_data, uint32_t id, uint8_t *data, uint64_t size)
{
  ShmLink *self = user_data;
  ShmSegment segment = { .data = data, .size = size };

  if (!self->closing
      && (COMMY_FAILPOINT ("shm-shrink") || !shm_link_tell (self, SHM_NOTICE_DROP, id, 0, -1)))
    return false;
  shm_segment_clear (&segment);
  return true;
}

/* --- life --- */

void
shm_link_open (ShmLink *self,
               const ShmShape *own_shape,
               const ShmShape *peer_shape,
               uint16_t borrow_limit)
{
  ShmHeader *own = (ShmHeader *) (void *) self->own.data;
  const ShmHeader *peer = (const ShmHeader *) (void *) self->peer.data;
  /* Both sides come to the same: nobody maps more of the other's than he would give himself. */
  uint64_t arena_max
      = own_shape->arena_max < peer_shape->arena_max ? own_shape->arena_max : peer_shape->arena_max;

  self->free_entry = self->first_inline = self->last_inline = NONE;
  self->drained = true;
  self->borrow_limit = borrow_limit;
  shm_producer_init (&self->tx, own, self->own.data + SHM_HEADER_BYTES, own_shape->ring_size,
                     own_shape->max_inline, peer);
  shm_consumer_init (&self->rx, own, peer, self->peer.data + SHM_HEADER_BYTES,
                     peer_shape->ring_size, peer_shape->max_inline);
  shm_bell_init (&self->bell, own, peer, self->socket_fd);
  shm_arena_init (&self->arena, arena_max, peer, grow_arena, drop_from_arena, self);
  self->foreign = (ShmForeign){ .limit = arena_max };
  self->blocks = (ShmForeign){ .limit = arena_max };
}

static void
unmap (ShmLink *self, ShmForeign *table)
{
  for (int i = 0; table->segments != NULL && i < SHM_ARENA_SEGMENTS; i++)
    {
      ShmSegment segment
          = { .data = (uint8_t *) table->segments[i].data, .size = table->segments[i].size };

      if (segment.data != NULL)
        shm_maps_give (self->maps, self->maps_user);
      shm_segment_clear (&segment);
    }
  free (table->segments);
  table->segments = NULL;
}

static void
free_borrows (ShmLink *self)
{
  for (uint16_t i = 0; i < self->n_entries; i++)
    free (self->borrows[i].split);
  free (self->borrows);
  self->borrows = NULL;
  self->n_entries = 0;
}

/* Whoever comes for the next one has looked at all before it. */
static void
note_taken (ShmLink *self)
{
  shm_consumer_took (&self->rx, self->is_waiting ? self->waiting.start : self->rx.position);
}

void
shm_link_close (ShmLink *self)
{
  self->closing = true;
  if (self->tx.own != NULL && !COMMY_FAILPOINT ("shm-close"))
    {
      note_taken (self);
      /* What was committed and never flushed is not sent. */
      self->tx.head = self->tx.published;
      shm_producer_close (&self->tx);
      shm_bell_ring (&self->bell, SHM_STATE_DATA | SHM_STATE_ROOM);
    }
  if (self->tx.own != NULL)
    shm_arena_deinit (&self->arena);
  shm_lender_free (self);
  unmap (self, &self->foreign);
  unmap (self, &self->blocks);
  if (self->socket_fd >= 0)
    {
      shutdown (self->socket_fd, SHUT_RDWR);
      close (self->socket_fd);
    }
  if (self->pid_fd >= 0)
    self->release_pid (self->release_data, self->pid_fd);
  self->socket_fd = self->pid_fd = -1;
  shm_segment_clear (&self->own);
  if (self->peer.data != NULL)
    shm_maps_give (self->maps, self->maps_user);
  shm_segment_clear (&self->peer);
  free_borrows (self);
}

/* --- sending --- */

static void
cancel_reservation (ShmLink *self)
{
  if (self->open_size != 0 && self->open_is_loan)
    shm_arena_cancel (&self->arena, self->open_slot);
  shm_producer_cancel (&self->tx);
  self->open_size = 0;
}

/* All lines but the first, at a time. */
static void
fetch_rest (uint8_t *place, uint32_t size)
{
  uint32_t end = size < SHM_FETCH_BYTES ? size : SHM_FETCH_BYTES;

  for (uint32_t at = SHM_LINE; at < end; at += SHM_LINE)
    shm_fetch_to_write (place + at);
}

/* A small message is made in memory of one's own and copied when it is complete: its reader polls
 * the very line it begins in, and would pull that away from a writer who takes his time. The other
 * lines are on their way meanwhile. */
static ShmResult
reserve_inline (ShmLink *self, uint32_t size, uint8_t **out_data)
{
  uint8_t *place;
  ShmResult result = shm_producer_reserve (&self->tx, size, &place);
  bool staged = size <= SHM_STAGE_BYTES;

  if (result != SHM_OK)
    return result;
  fetch_rest (place, size);
  self->staged_for = staged ? place : NULL;
  *out_data = staged ? self->stage : place;
  return SHM_OK;
}

static void
unstage (ShmLink *self, uint64_t used)
{
  if (self->staged_for != NULL)
    memcpy (self->staged_for, self->stage, used);
}

static ShmResult
reserve_loan (ShmLink *self, uint64_t size, uint8_t **out_data)
{
  ShmResult result = shm_producer_reserve (&self->tx, sizeof (ShmLoanRecord), out_data);

  if (result == SHM_OK)
    result = shm_arena_take (&self->arena, size, &self->open_slot, out_data);
  return result;
}

ShmResult
shm_link_reserve (ShmLink *self, uint64_t size, uint8_t **out_data)
{
  ShmResult result;

  if (self->open_size != 0)
    cancel_reservation (self);
  if (self->why != NULL)
    return SHM_BROKEN;
  if (size == 0)
    size = 1;
  self->open_is_loan = size > self->tx.max_inline;
  result = self->open_is_loan ? reserve_loan (self, size, out_data)
                              : reserve_inline (self, (uint32_t) size, out_data);
  if (result == SHM_OK)
    {
      self->open_size = size;
      return SHM_OK;
    }
  shm_producer_cancel (&self->tx);
  if (result == SHM_BROKEN)
    return fail (self, self->tx.broken);
  if (result == SHM_FULL)
    {
      /* Room comes from what the peer reads, so it must see what is held back. */
      self->wanted = size;
      shm_link_flush (self);
    }
  return result;
}

ShmResult
shm_link_commit (ShmLink *self, uint64_t used)
{
  uint64_t size = self->open_size;
  ShmLoanRecord record;

  if (used == 0 || used > size)
    {
      if (size != 0)
        cancel_reservation (self);
      return self->why != NULL ? SHM_BROKEN : SHM_OK;
    }
  self->open_size = 0;
  self->wanted = 0;
  if (!self->open_is_loan)
    {
      unstage (self, used);
      shm_producer_commit (&self->tx, (uint32_t) used);
      return SHM_OK;
    }
  shm_arena_lend (&self->arena, self->open_slot, used, self->tx.head + self->tx.padding, &record);
  shm_producer_commit_loan (&self->tx, &record);
  return SHM_OK;
}

void
shm_link_commit_split (ShmLink *self, const ShmLoanRecord *record, uint32_t head)
{
  self->open_size = 0;
  self->wanted = 0;
  unstage (self, sizeof *record + head);
  shm_producer_commit_split (&self->tx, record, head);
}

/* The producer may overwrite everything before the oldest inline message that is borrowed, and
 * before a record that was not handed out yet. */
static uint64_t
cursor_target (const ShmLink *self)
{
  if (self->first_inline != NONE)
    return self->borrows[self->first_inline].start;
  return self->is_waiting ? self->waiting.start : self->rx.position;
}

static void
publish_cursor (ShmLink *self)
{
  uint64_t cursor = cursor_target (self);

  if (cursor != self->rx.cursor)
    shm_consumer_release_to (&self->rx, cursor);
}

/* Tells a peer that sleeps for room of what was released since it was last told. */
static void
settle (ShmLink *self)
{
  publish_cursor (self);
  if (self->settled_cursor == self->rx.cursor && !self->unsettled)
    return;
  self->settled_cursor = self->rx.cursor;
  self->unsettled = false;
  shm_bell_ring (&self->bell, SHM_STATE_ROOM);
}

ShmResult
shm_link_flush (ShmLink *self)
{
  if (COMMY_FAILPOINT ("shm-publish"))
    return fail (self, "fail point shm-publish");
  if (shm_producer_publish (&self->tx))
    {
      /* One fence answers for both. */
      publish_cursor (self);
      self->settled_cursor = self->rx.cursor;
      self->unsettled = false;
      if (COMMY_FAILPOINT ("shm-published"))
        return fail (self, "fail point shm-published");
      shm_bell_ring (&self->bell, SHM_STATE_DATA | SHM_STATE_ROOM);
    }
  else
    settle (self);
  return self->why != NULL ? SHM_BROKEN : SHM_OK;
}

/* --- receiving --- */

static bool
grow_entries (ShmLink *self)
{
  uint32_t n = self->n_entries == 0 ? FIRST_ENTRIES : 2u * self->n_entries;
  ShmBorrow *borrows;

  if (n > self->borrow_limit)
    n = self->borrow_limit;
  borrows = realloc (self->borrows, n * sizeof *borrows);
  if (borrows == NULL)
    return false;
  self->borrows = borrows;
  for (uint32_t i = self->n_entries; i < n; i++)
    {
      borrows[i] = (ShmBorrow){ .next = self->free_entry };
      self->free_entry = (uint16_t) i;
    }
  self->n_entries = (uint16_t) n;
  return true;
}

/* Whether one more message may be borrowed, with an entry ready for it. */
static bool
may_borrow (ShmLink *self)
{
  if (self->free_entry != NONE)
    return true;
  return self->n_borrowed < self->borrow_limit && grow_entries (self);
}

static void
append_inline (ShmLink *self, uint16_t index)
{
  ShmBorrow *borrow = &self->borrows[index];

  borrow->previous = self->last_inline;
  borrow->next = NONE;
  if (self->last_inline != NONE)
    self->borrows[self->last_inline].next = index;
  else
    self->first_inline = index;
  self->last_inline = index;
}

static void
remove_inline (ShmLink *self, const ShmBorrow *borrow)
{
  if (borrow->previous != NONE)
    self->borrows[borrow->previous].next = borrow->next;
  else
    self->first_inline = borrow->next;
  if (borrow->next != NONE)
    self->borrows[borrow->next].previous = borrow->previous;
  else
    self->last_inline = borrow->previous;
}

/* Small steps are kept back: a writer that looks for room and a reader that makes it would pull
 * the line back and forth with every message. */
static void
advance_cursor (ShmLink *self)
{
  uint64_t step = cursor_target (self) - self->rx.cursor;

  if (step >= self->rx.capacity / 8)
    shm_consumer_release_to (&self->rx, cursor_target (self));
  if (self->armed || self->rx.cursor - self->settled_cursor >= self->rx.capacity / 2)
    settle (self);
}

static ShmResult
borrow_loan (ShmLink *self,
             ShmForeign *table,
             const ShmLoanRecord *record,
             const uint8_t **out_data)
{
  ShmResult result = shm_foreign_borrow (table, record, out_data);

  if (result == SHM_EMPTY)
    {
      /* The segment was sent before the record that needs it, and perhaps behind others. */
      probe (self);
      if (self->broken)
        return SHM_BROKEN;
      result = shm_foreign_borrow (table, record, out_data);
      if (result == SHM_EMPTY && !self->drained)
        return SHM_EMPTY;
    }
  return result == SHM_OK ? SHM_OK : fail (self, "a loan points outside of its arena");
}

/* The head leaves the ring at once: who keeps the block for long holds up nothing. */
static ShmResult
borrow_split (ShmLink *self, const ShmRecord *record, ShmBorrow *borrow, ShmMessage *out_message)
{
  const uint8_t *body;
  ShmResult result;

  /* The slot is an index into our own header. */
  if (record->loan.slot >= SHM_LENT_SLOTS)
    return fail (self, "a lent block has an impossible slot");
  result = borrow_loan (self, &self->blocks, &record->loan, &body);
  if (result != SHM_OK)
    return result;
  if (!shm_split_fill (&borrow->split, record, body))
    return fail (self, "no memory for a message in two parts");
  out_message->data = borrow->split->head;
  out_message->size = record->size - sizeof record->loan;
  out_message->body = body;
  out_message->body_size = record->loan.length;
  return SHM_OK;
}

/* Not a byte of it was given to anybody, and nothing behind it is looked at before. */
static ShmResult
put_off (ShmLink *self, const ShmRecord *record)
{
  self->waiting = *record;
  self->is_waiting = true;
  return SHM_EMPTY;
}

static ShmResult
hand_out (ShmLink *self, const ShmRecord *record, ShmMessage *out_message)
{
  uint16_t index = self->free_entry;
  ShmBorrow *borrow = &self->borrows[index];
  ShmResult result = SHM_OK;

  if (COMMY_FAILPOINT ("shm-borrow"))
    return fail (self, "fail point shm-borrow");
  out_message->data = record->data;
  out_message->size = record->size;
  out_message->body = NULL;
  shm_arena_look_ahead (&self->arena);
  if (record->is_loan && record->data != NULL)
    result = borrow_split (self, record, borrow, out_message);
  else if (record->is_loan)
    {
      result = borrow_loan (self, &self->foreign, &record->loan, &out_message->data);
      out_message->size = record->loan.length;
    }
  if (result != SHM_OK)
    return result == SHM_EMPTY ? put_off (self, record) : result;
  self->free_entry = borrow->next;
  self->n_borrowed++;
  borrow->start = record->start;
  borrow->serial = ++self->serial;
  out_message->token = (uint64_t) borrow->serial << 32 | index;
  if (!record->is_loan)
    {
      borrow->kind = BORROW_INLINE;
      append_inline (self, index);
      return SHM_OK;
    }
  borrow->kind = BORROW_LOAN;
  if (record->data != NULL)
    borrow->kind = BORROW_SPLIT;
  borrow->segment = record->loan.segment;
  borrow->slot = record->loan.slot;
  borrow->generation = record->loan.generation;
  /* The writer counts what was not taken yet, even while the cursor stands still. */
  self->unsettled = true;
  self->took_loan = true;
  return SHM_OK;
}

/* Nothing to read: the moment for everything that can wait until there is a moment. */
static ShmResult
nothing (ShmLink *self)
{
  bool gone = self->hung_up;

  settle (self);
  if (!gone && ++self->empty_polls % CLOSED_EVERY == 0)
    gone = shm_consumer_closed (&self->rx);
  /* What was published before the end is visible once the end is; so look again. */
  if (!gone || shm_consumer_ready (&self->rx))
    return SHM_EMPTY;
  note_hang_up (self);
  return SHM_BROKEN;
}

ShmResult
shm_link_peek (ShmLink *self, ShmMessage *out_message)
{
  ShmRecord record;
  ShmResult result;

  note_taken (self);
  if (self->took_loan)
    {
      /* Not before: who dies with it in his hands has not read it. */
      self->took_loan = false;
      advance_cursor (self);
    }
  if (self->armed)
    {
      self->armed = false;
      shm_bell_awake (&self->bell);
    }
  if (self->broken)
    return SHM_BROKEN;
  if (!may_borrow (self))
    return SHM_EMPTY;
  if (__builtin_expect (self->is_waiting, false))
    {
      record = self->waiting;
      self->is_waiting = false;
      return hand_out (self, &record, out_message);
    }
  result = shm_consumer_take (&self->rx, &record);
  if (result == SHM_OK)
    return hand_out (self, &record, out_message);
  if (result == SHM_BROKEN)
    return fail (self, self->rx.broken);
  return nothing (self);
}

void
shm_link_release (ShmLink *self, uint64_t token)
{
  uint16_t index = (uint16_t) token;
  ShmBorrow *borrow = &self->borrows[index];

  if (index >= self->n_entries || borrow->kind == BORROW_FREE || borrow->serial != token >> 32)
    return;
  if (COMMY_FAILPOINT ("shm-release"))
    fail (self, "fail point shm-release");
  if (borrow->kind == BORROW_INLINE)
    remove_inline (self, borrow);
  else if (borrow->kind == BORROW_SPLIT)
    {
      shm_consumer_release_lent (&self->rx, borrow->slot, borrow->generation);
      shm_foreign_release (&self->blocks, borrow->segment);
    }
  else
    {
      shm_consumer_release_loan (&self->rx, borrow->slot, borrow->generation);
      shm_foreign_release (&self->foreign, borrow->segment);
    }
  if (borrow->kind == BORROW_INLINE)
    advance_cursor (self);
  else
    self->unsettled = true;
  borrow->kind = BORROW_FREE;
  borrow->next = self->free_entry;
  self->free_entry = index;
  self->n_borrowed--;
  if (self->armed)
    settle (self);
}

bool
shm_link_body (ShmLink *self, uint64_t token, const uint8_t **out_data, uint64_t *out_size)
{
  const ShmBorrow *borrow = &self->borrows[(uint16_t) token];

  if ((uint16_t) token >= self->n_entries || borrow->kind != BORROW_SPLIT
      || borrow->serial != token >> 32)
    return false;
  *out_data = borrow->split->body;
  *out_size = borrow->split->body_size;
  return true;
}

/* --- sleeping --- */

/* Also when packets were left for the next turn, behind which may be anything, such as the end. */
static bool
can_read (ShmLink *self)
{
  if (self->broken || !self->drained
      || (self->n_borrowed < self->borrow_limit
          && (self->is_waiting || shm_consumer_ready (&self->rx))))
    return true;
  if (!self->hung_up && shm_consumer_closed (&self->rx))
    note_hang_up (self);
  /* Again: it may have been published between the first look and the end. */
  return self->hung_up;
}

static bool
can_write (ShmLink *self)
{
  if (self->why != NULL)
    return true;
  if (self->wanted <= self->tx.max_inline)
    return shm_producer_has_room (&self->tx, (uint32_t) self->wanted);
  return shm_producer_has_room (&self->tx, sizeof (ShmLoanRecord))
         && shm_arena_has_room (&self->arena, self->wanted);
}

static unsigned
met (ShmLink *self, unsigned interest)
{
  unsigned bits = 0;

  if ((interest & INTEREST_READ) != 0 && can_read (self))
    bits |= INTEREST_READ;
  if ((interest & INTEREST_WRITE) != 0 && can_write (self))
    bits |= INTEREST_WRITE;
  return bits;
}

/* Old bytes are drained first: a byte of this nap must not be swallowed before it counts. */
unsigned
shm_link_arm (ShmLink *self, unsigned interest)
{
  uint32_t how = SHM_STATE_SOCKET;
  unsigned bits;

  probe (self);
  shm_lender_settle (self);
  shm_link_flush (self);
  if ((interest & INTEREST_READ) != 0)
    how |= SHM_STATE_DATA;
  if ((interest & INTEREST_WRITE) != 0)
    how |= SHM_STATE_ROOM;
  shm_bell_announce (&self->bell, how);
  bits = met (self, interest);
  self->armed = bits == 0;
  if (!self->armed)
    shm_bell_awake (&self->bell);
  /* The peer's death is told whatever was asked for. */
  if (self->why != NULL && (interest & INTEREST_READ) != 0)
    bits |= INTEREST_READ;
  return bits;
}

/* One nap, or the reason why there is none. */
static bool
nap (ShmLink *self,
     const uint32_t *kick_word,
     uint32_t kick_seen,
     int64_t deadline_ns,
     ShmParkMode mode,
     ShmPark *out_park)
{
  const uint32_t *word = shm_tail_word (self->rx.peer);
  uint32_t seen = __atomic_load_n (word, __ATOMIC_ACQUIRE);
  int64_t slice_ns;

  shm_bell_announce (&self->bell, SHM_STATE_FUTEX | SHM_STATE_DATA);
  probe (self);
  if (can_read (self))
    return false;
  slice_ns = shm_now_ns () + PARK_SLICE_NS;
  *out_park = shm_park (word, seen, kick_word, kick_seen,
                        slice_ns < deadline_ns ? slice_ns : deadline_ns, mode);
  return true;
}

ShmWait
shm_link_wait (ShmLink *self,
               const uint32_t *kick_word,
               uint32_t kick_seen,
               int64_t deadline_ns,
               ShmParkMode mode)
{
  self->armed = false;
  shm_link_flush (self);
  for (;;)
    {
      ShmPark park = SHM_PARK_WOKEN;
      bool napped = nap (self, kick_word, kick_seen, deadline_ns, mode, &park);

      if (napped && park != SHM_PARK_KICKED && !can_read (self)
          && (park == SHM_PARK_WOKEN || shm_now_ns () < deadline_ns))
        continue;
      shm_bell_awake (&self->bell);
      if (can_read (self))
        return self->broken
                       || (self->hung_up && !self->is_waiting && !shm_consumer_ready (&self->rx))
                   ? SHM_WAIT_CLOSED
                   : SHM_WAIT_READY;
      return park == SHM_PARK_KICKED ? SHM_WAIT_KICKED : SHM_WAIT_TIMEOUT;
    }
}
