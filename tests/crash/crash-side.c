/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One side of a link under test: the steps of a script.
 */
#include "config.h"

#include "crash-side.h"

#include "plugins/shm/commy-packet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INTEREST_BOTH 3u

/* What a message begins with; words that follow from its number are spread over the rest. */
typedef struct
{
  uint32_t number;
  uint32_t size;
  uint64_t check;
} MessageHead;

_Static_assert(sizeof (MessageHead) + sizeof (uint64_t) == CRASH_SMALLEST, "one word at least");

void
crash_side_fail (CrashSide *self, const char *format, ...)
{
  va_list args;

  if (self->ledger->fault[0] != '\0')
    return;
  va_start (args, format);
  vsnprintf (self->ledger->fault, sizeof self->ledger->fault, format, args);
  va_end (args);
}

void
crash_side_init (CrashSide *self, CrashLedger *ledger, int socket_fd, int peer_pid)
{
  memset (self, 0, sizeof *self);
  self->ledger = ledger;
  self->link.socket_fd = socket_fd;
  self->link.pid_fd = -1;
  self->link.peer_pid = peer_pid;
}

/* --- messages --- */

static uint64_t
word_of (uint32_t number, uint32_t at)
{
  return ((uint64_t) number + 1) * 0x9e3779b97f4a7c15u ^ at;
}

/* Small ones are filled; of large ones some thirty words are written, the last among them. */
static uint32_t
step_of (uint32_t size)
{
  return size <= 256 ? sizeof (uint64_t) : size / 32 & ~7u;
}

static void
write_word (uint8_t *data, uint32_t number, uint32_t at)
{
  uint64_t word = word_of (number, at);

  memcpy (data + at, &word, sizeof word);
}

static void
write_message (uint8_t *data, uint32_t number, uint32_t size)
{
  MessageHead head = { .number = number, .size = size, .check = word_of (number, size) };

  memcpy (data, &head, sizeof head);
  for (uint32_t at = sizeof head; at + sizeof (uint64_t) <= size; at += step_of (size))
    write_word (data, number, at);
  write_word (data, number, size - (uint32_t) sizeof (uint64_t));
}

static bool
is_word (const uint8_t *data, uint32_t number, uint32_t at)
{
  uint64_t word;

  memcpy (&word, data + at, sizeof word);
  return word == word_of (number, at);
}

static bool
is_last_word (const uint8_t *data, uint32_t number, uint32_t size)
{
  return is_word (data, number, size - (uint32_t) sizeof (uint64_t));
}

/* The last word lies over the one before it unless the size is a multiple. */
static bool
is_part (const uint8_t *data, uint64_t bytes, uint32_t number)
{
  uint32_t size = (uint32_t) bytes;
  uint32_t last = size - (uint32_t) sizeof (uint64_t);
  MessageHead head;

  if (size < CRASH_SMALLEST)
    return false;
  memcpy (&head, data, sizeof head);
  if (head.number != number || head.size != size || head.check != word_of (number, size))
    return false;
  for (uint32_t at = sizeof head; at + sizeof (uint64_t) <= last; at += step_of (size))
    if (!is_word (data, number, at))
      return false;
  return is_last_word (data, number, size);
}

static bool
is_message (const ShmMessage *message, uint32_t number)
{
  return is_part (message->data, message->size, number)
         && (message->body == NULL || is_part (message->body, message->body_size, number));
}

/* --- sending --- */

static void
note_sent (CrashSide *self, uint32_t number)
{
  CrashSent *sent = &self->sent[number];
  ShmLink *link = &self->link;

  *sent = (CrashSent){ .end = link->tx.head, .is_loan = link->open_is_loan };
  if (!sent->is_loan)
    return;
  sent->slot = link->open_slot;
  sent->generation = link->arena.table->slots[link->open_slot].generation;
}

/* Whether there was room. */
static bool
commit_one (CrashSide *self, uint32_t size)
{
  uint32_t number = self->ledger->begun;
  uint8_t *data;
  ShmResult result;

  if (number == CRASH_MESSAGES)
    return false;
  self->ledger->inside = 1;
  result = shm_link_reserve (&self->link, size, &data);
  if (result == SHM_OK)
    {
      write_message (data, number, size);
      self->ledger->begun = number + 1;
      result = shm_link_commit (&self->link, size);
      self->ledger->inside = 0;
      note_sent (self, number);
    }
  self->ledger->inside = 0;
  if (result != SHM_OK && result != SHM_FULL)
    crash_side_fail (self, "sending of %u: result %d, %s", number, (int) result,
                     self->link.why != NULL ? self->link.why : "no reason");
  /* Looking for room publishes what was held back. */
  if (result == SHM_FULL)
    self->ledger->sent = number;
  return result == SHM_OK;
}

static void
publish (CrashSide *self)
{
  self->ledger->inside = 1;
  shm_link_flush (&self->link);
  self->ledger->sent = self->ledger->begun;
  self->ledger->inside = 0;
}

static void
send_some (CrashSide *self, const CrashStep *step)
{
  for (uint32_t i = 0; i < step->count && commit_one (self, step->size); i++)
    if (step->op == CRASH_SEND)
      publish (self);
  if (step->op == CRASH_BATCH)
    publish (self);
}

/* --- lending --- */

/* The slot that the link took for what it lent last, which began at @head or behind it. */
static void
note_lent (CrashSide *self, uint32_t number, uint64_t head)
{
  const ShmLender *lender = self->link.lender;
  CrashSent *sent = &self->sent[number];

  *sent = (CrashSent){ .end = self->link.tx.head, .is_lent = true };
  for (uint32_t i = 0; i < SHM_LENT_SLOTS; i++)
    if (lender->loans[i].block != NULL && lender->loans[i].position >= head)
      {
        sent->slot = i;
        sent->generation = lender->loans[i].generation;
      }
}

static ShmResult
lend_block (CrashSide *self, ShmBlock *block, uint32_t size)
{
  uint32_t number = self->ledger->begun;
  uint64_t head_before = self->link.tx.head;
  uint8_t head[CRASH_HEAD];
  ShmResult result;

  write_message (head, number, sizeof head);
  write_message (block->data, number, size);
  self->ledger->begun = number + 1;
  result = shm_link_lend (&self->link, head, sizeof head, block, size);
  if (result == SHM_OK)
    note_lent (self, number, head_before);
  else
    self->ledger->begun = number;
  return result;
}

/* Whether there was a block, and room for it. */
static bool
lend_one (CrashSide *self, uint32_t size)
{
  ShmBlock *block = NULL;
  ShmResult result = SHM_FULL;

  if (self->ledger->begun == CRASH_MESSAGES)
    return false;
  self->ledger->inside = 1;
  if (self->pool == NULL)
    self->pool = shm_pool_new (CRASH_ARENA_BYTES);
  if (self->pool != NULL && shm_pool_take (self->pool, size, &block) == SHM_OK)
    {
      result = lend_block (self, block, size);
      shm_block_give (block);
    }
  self->ledger->inside = 0;
  if (result == SHM_BROKEN)
    crash_side_fail (self, "lending: %s", self->link.why != NULL ? self->link.why : "no reason");
  /* What did not go had the rest published. */
  publish (self);
  return result == SHM_OK;
}

static void
lend_some (CrashSide *self, const CrashStep *step)
{
  for (uint32_t i = 0; i < step->count && lend_one (self, step->size); i++)
    ;
}

static void
cancel (CrashSide *self, uint32_t size)
{
  uint8_t *data;

  self->ledger->inside = 1;
  if (shm_link_reserve (&self->link, size, &data) == SHM_OK)
    {
      write_message (data, CRASH_MESSAGES, size);
      shm_link_commit (&self->link, 0);
    }
  else
    self->ledger->sent = self->ledger->begun;
  self->ledger->inside = 0;
}

/* --- receiving --- */

ShmResult
crash_side_take (CrashSide *self)
{
  ShmMessage message;
  ShmResult result;

  if (self->n_held == CRASH_HELD)
    return SHM_EMPTY;
  self->ledger->taking = self->next + 1;
  self->ledger->inside = 1;
  result = shm_link_peek (&self->link, &message);
  self->ledger->inside = 0;
  if (result != SHM_OK)
    {
      self->ledger->taking = self->next;
      return result;
    }
  self->ledger->handed++;
  if (!is_message (&message, self->next))
    crash_side_fail (self, "message %u is torn, repeated or another", self->next);
  self->held[self->n_held] = message;
  self->held_number[self->n_held++] = self->next++;
  return SHM_OK;
}

void
crash_side_give_back (CrashSide *self, uint32_t index)
{
  uint32_t number = self->held_number[index];
  ShmMessage message = self->held[index];

  if (!is_message (&message, number))
    crash_side_fail (self, "message %u was overwritten while it was in use", number);
  self->n_held--;
  for (uint32_t i = index; i < self->n_held; i++)
    {
      self->held[i] = self->held[i + 1];
      self->held_number[i] = self->held_number[i + 1];
    }
  self->ledger->inside = 1;
  self->ledger->release_begun[number] = 1;
  shm_link_release (&self->link, message.token);
  self->ledger->released[number] = 1;
  self->ledger->inside = 0;
}

bool
crash_side_held_are_whole (CrashSide *self)
{
  for (uint32_t i = 0; i < self->n_held; i++)
    if (!is_message (&self->held[i], self->held_number[i]))
      return false;
  return true;
}

static void
drain (CrashSide *self)
{
  for (;;)
    {
      while (self->n_held > 0)
        crash_side_give_back (self, 0);
      if (crash_side_take (self) != SHM_OK)
        return;
    }
}

/* --- life --- */

static void
greet (CrashSide *self)
{
  static const char word[] = "hello";
  const char *step;
  int fd;

  self->ledger->inside = 1;
  if (!shm_segment_create (&self->link.own, SHM_HEADER_BYTES + CRASH_RING_BYTES, &fd, &step))
    {
      crash_side_fail (self, "%s: %s", step, strerror (errno));
      return;
    }
  if (shm_packet_send (self->link.socket_fd, word, sizeof word, fd) != SHM_PACKET_OK)
    crash_side_fail (self, "passing of memory failed");
  close (fd);
  self->ledger->inside = 0;
}

static void
meet (CrashSide *self)
{
  const ShmShape shape = { .ring_size = CRASH_RING_BYTES,
                           .arena_max = CRASH_ARENA_BYTES,
                           .max_inline = shm_ring_max_inline (CRASH_RING_BYTES) };
  const char *why = "no memory came";
  char word[8];
  size_t size;
  int fd = -1;

  self->ledger->inside = 1;
  if (shm_packet_receive (self->link.socket_fd, word, sizeof word, &size, &fd) != SHM_PACKET_OK
      || !shm_segment_map (&self->link.peer, fd, SHM_HEADER_BYTES + CRASH_RING_BYTES, &why))
    crash_side_fail (self, "meeting: %s", why);
  else
    shm_link_open (&self->link, &shape, &shape, CRASH_HELD + 1);
  self->is_open = true;
  close (fd);
  self->ledger->inside = 0;
}

static void
park (CrashSide *self)
{
  const uint32_t kick = 1;

  self->ledger->inside = 1;
  shm_link_wait (&self->link, &kick, 0, INT64_MAX, SHM_PARK_BEST);
  self->ledger->sent = self->ledger->begun;
  self->ledger->inside = 0;
}

static void
arm (CrashSide *self)
{
  self->ledger->inside = 1;
  shm_link_arm (&self->link, INTEREST_BOTH);
  self->ledger->sent = self->ledger->begun;
  self->ledger->inside = 0;
}

static void
close_link (CrashSide *self)
{
  self->ledger->closing = 1;
  self->ledger->inside = 1;
  shm_link_close (&self->link);
  shm_pool_free (self->pool);
  self->pool = NULL;
  self->is_open = false;
  self->ledger->inside = 0;
}

static void
give_back_some (CrashSide *self, const CrashStep *step)
{
  for (uint32_t i = 0; i < step->count && self->n_held > 0; i++)
    crash_side_give_back (self, step->op == CRASH_RELEASE ? 0 : self->n_held - 1);
}

void
crash_side_run (CrashSide *self, const CrashStep *step)
{
  switch (step->op)
    {
    case CRASH_GREET:
      greet (self);
      break;
    case CRASH_MEET:
      meet (self);
      break;
    case CRASH_SEND:
    case CRASH_BATCH:
    case CRASH_COMMIT:
      send_some (self, step);
      break;
    case CRASH_LEND:
      lend_some (self, step);
      break;
    case CRASH_CANCEL:
      cancel (self, step->size);
      break;
    case CRASH_TAKE:
      for (uint32_t i = 0; i < step->count && crash_side_take (self) == SHM_OK; i++)
        ;
      break;
    case CRASH_RELEASE:
    case CRASH_RETURN:
      give_back_some (self, step);
      break;
    case CRASH_DRAIN:
      drain (self);
      break;
    case CRASH_ARM:
      arm (self);
      break;
    case CRASH_PARK:
      park (self);
      break;
    case CRASH_CLOSE:
    default:
      close_link (self);
      break;
    }
}
