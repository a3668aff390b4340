/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The survivor on a copy. The copy is a forked process whose maps of shared memory are replaced
 * by private ones at the same addresses, so that the product's own code runs on the state as it
 * is, and nothing it does is seen by the two that go on.
 */
#include "config.h"

#include "crash-survivor.h"

#include "plugins/shm/commy-packet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRESH_MESSAGES 1000u
#define INTEREST_READ 1u
#define FDS 64
#define REGIONS (2 + 3 * SHM_ARENA_SEGMENTS + SHM_KNOWN_BLOCKS)

typedef struct
{
  uint8_t *data;
  size_t size;
} Region;

/* --- the memory of a link --- */

static void
add_region (Region *regions, unsigned *n, const uint8_t *data, size_t size)
{
  if (data != NULL)
    regions[(*n)++] = (Region){ (uint8_t *) data, size };
}

static unsigned
list_regions (const ShmLink *link, Region *regions)
{
  unsigned n = 0;

  add_region (regions, &n, link->own.data, link->own.size);
  add_region (regions, &n, link->peer.data, link->peer.size);
  for (unsigned i = 0; i < SHM_ARENA_SEGMENTS && link->arena.table != NULL; i++)
    add_region (regions, &n, link->arena.table->segments[i].data,
                link->arena.table->segments[i].size);
  for (unsigned i = 0; i < SHM_ARENA_SEGMENTS && link->foreign.segments != NULL; i++)
    add_region (regions, &n, link->foreign.segments[i].data, link->foreign.segments[i].size);
  for (unsigned i = 0; i < SHM_ARENA_SEGMENTS && link->blocks.segments != NULL; i++)
    add_region (regions, &n, link->blocks.segments[i].data, link->blocks.segments[i].size);
  for (unsigned i = 0; i < SHM_KNOWN_BLOCKS && link->lender != NULL; i++)
    if (link->lender->known[i].block != NULL)
      add_region (regions, &n, link->lender->known[i].block->data,
                  link->lender->known[i].block->size);
  return n;
}

void
crash_survivor_share (CrashSide *survivor)
{
  Region regions[REGIONS];
  unsigned n = list_regions (&survivor->link, regions);

  for (unsigned i = 0; i < n; i++)
    madvise (regions[i].data, regions[i].size, MADV_DOFORK);
}

static bool
make_private (const Region *region)
{
  uint8_t *copy
      = mmap (NULL, region->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (copy == MAP_FAILED)
    return false;
  memcpy (copy, region->data, region->size);
  return mremap (copy, region->size, region->size, MREMAP_MAYMOVE | MREMAP_FIXED, region->data)
         != MAP_FAILED;
}

static bool
is_unmapped (const Region *region)
{
  return msync (region->data, region->size, MS_ASYNC) < 0 && errno == ENOMEM;
}

static unsigned
count_fds (void)
{
  unsigned n = 0;

  for (int fd = 0; fd < FDS; fd++)
    n += fcntl (fd, F_GETFD) >= 0;
  return n;
}

/* A pool keeps its blocks' descriptors for readers to come; all other sealed memory that is open
 * was sent by the victim, and not read yet. */
static unsigned
count_own_blocks (const CrashWorld *world)
{
  unsigned n = 0;

  for (int fd = 0; fd < FDS; fd++)
    n += fcntl (fd, F_GET_SEALS) > F_SEAL_SEAL;
  for (uint32_t i = 0; i < world->n_packets; i++)
    n -= world->packets[i].fd >= 0;
  return n;
}

/* --- the end of the victim --- */

static void
release_pid (void *data, int pid_fd)
{
  close (pid_fd);
}

/* Gives the copy a socket of its own with what the victim had sent; the end that is the
 * victim's, or -1 if it is closed already. */
static int
replace_socket (CrashWorld *world, unsigned how)
{
  ShmLink *link = &world->survivor->link;
  int pair[2];

  close (link->socket_fd);
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    crash_side_fail (world->survivor, "socketpair: %s", strerror (errno));
  for (uint32_t i = 0; i < world->n_packets; i++)
    shm_packet_send (pair[1], world->packets[i].bytes, world->packets[i].size,
                     world->packets[i].fd);
  link->socket_fd = link->bell.socket_fd = pair[0];
  if ((how & CRASH_PIDFD) == 0)
    {
      close (pair[1]);
      return -1;
    }
  link->pid_fd = dup (world->dead_pidfd);
  link->release_pid = release_pid;
  return pair[1];
}

/* Sleeping is how a death is found: the descriptors are readable. FALSE: it was not found. */
static bool
find_out (CrashSide *self, unsigned how)
{
  const uint32_t kick = 0;

  if ((how & CRASH_BY_PARK) != 0)
    return shm_link_wait (&self->link, &kick, 0, shm_now_ns (), SHM_PARK_BEST) != SHM_WAIT_TIMEOUT;
  return shm_link_arm (&self->link, INTEREST_READ) != 0;
}

/* Takes everything, keeps some of it for a while, until the link says it is over. */
static void
drain (CrashSide *self, unsigned how)
{
  for (;;)
    {
      ShmResult result = crash_side_take (self);

      if (result == SHM_BROKEN)
        return;
      if (result == SHM_EMPTY && self->n_held < CRASH_HELD && !find_out (self, how))
        {
          crash_side_fail (self, "the victim's death is not noticed");
          return;
        }
      if (self->n_held == CRASH_HELD)
        crash_side_give_back (self, self->next % CRASH_HELD);
      if (self->ledger->fault[0] != '\0')
        return;
    }
}

static void
check_delivery (CrashSide *self, const CrashLedger *victim, int victim_pid)
{
  char died[64];
  const char *why = self->link.why;

  snprintf (died, sizeof died, "peer process %d died", victim_pid);
  if (why == NULL
      || (strcmp (why, died) != 0 && (!victim->closing || strcmp (why, "closed by peer") != 0)))
    crash_side_fail (self, "the end is told as: %s", why != NULL ? why : "nothing");
  if (self->next != victim->sent && (self->next != victim->begun || victim->closing))
    crash_side_fail (self, "%u were delivered, %u were sent, %u begun", self->next, victim->sent,
                     victim->begun);
  if (!crash_side_held_are_whole (self))
    crash_side_fail (self, "what is kept was overwritten");
}

/* --- what the victim had read --- */

static bool
says_released (const CrashSide *self, const CrashSent *sent)
{
  const ShmHeader *peer = (const ShmHeader *) (const void *) self->link.peer.data;

  const uint32_t *word = sent->is_lent ? &peer->lent[sent->slot] : &peer->released[sent->slot];

  return __atomic_load_n (word, __ATOMIC_ACQUIRE) == sent->generation;
}

/* Whether a later message lies in the same loan. */
static bool
is_reused (const CrashSide *self, uint32_t number)
{
  const CrashSent *sent = &self->sent[number];

  for (uint32_t i = number + 1; i < self->ledger->begun; i++)
    if (self->sent[i].is_loan == sent->is_loan && self->sent[i].is_lent == sent->is_lent
        && self->sent[i].slot == sent->slot)
      return true;
  return false;
}

static void
check_loan (CrashSide *self, const CrashLedger *victim, uint32_t number)
{
  const CrashSent *sent = &self->sent[number];

  if (is_reused (self, number))
    {
      if (!victim->release_begun[number])
        crash_side_fail (self, "loan %u was lent again while it was in use", number);
    }
  else if (says_released (self, sent) && !victim->release_begun[number])
    crash_side_fail (self, "loan %u came back while it was in use", number);
  else if (!says_released (self, sent) && victim->released[number])
    crash_side_fail (self, "loan %u did not come back", number);
}

/* What the reader's words allow the writer to overwrite was given back. */
static void
check_returns (CrashSide *self, const CrashLedger *victim)
{
  const ShmHeader *peer = (const ShmHeader *) (const void *) self->link.peer.data;
  uint64_t cursor = __atomic_load_n (&peer->cursor, __ATOMIC_ACQUIRE);

  if (cursor > self->link.tx.published || cursor % SHM_LINE != 0)
    crash_side_fail (self, "an impossible cursor");
  for (uint32_t number = 0; number < self->ledger->begun; number++)
    {
      const CrashSent *sent = &self->sent[number];

      if (sent->end <= cursor && number >= victim->taking)
        crash_side_fail (self, "the cursor passes message %u, which was not taken", number);
      if (sent->end <= cursor && !sent->is_loan && !sent->is_lent && !victim->release_begun[number])
        crash_side_fail (self, "the cursor passes message %u, which is in use", number);
      if (sent->is_loan || sent->is_lent)
        check_loan (self, victim, number);
    }
}

/* What the writer finds in its own ring, and what the reader wrote into its book: the two agree but
 * for the one message that the reader may have had in its hands. */
static void
check_account (CrashSide *self, const CrashLedger *victim)
{
  uint64_t position = 0;
  uint32_t n_left = 0, n_taken;
  ShmMessage message;

  while (shm_link_unsent (&self->link, &position, &message))
    n_left++;
  n_taken = self->ledger->begun - n_left;
  if (n_taken > victim->handed || n_taken + 1 < victim->handed)
    crash_side_fail (self, "of %u sent the writer finds %u left, and the reader had %u",
                     self->ledger->begun, n_left, victim->handed);
}

/* --- afterwards --- */

static void
exchange (CrashSide *from, CrashSide *to, uint32_t number)
{
  const CrashStep send
      = { .op = CRASH_SEND, .count = 1, .size = number % 50 == 49 ? 6000 : 24 + number % 200 };

  crash_side_run (from, &send);
  if (crash_side_take (to) != SHM_OK)
    crash_side_fail (from, "message %u to a fresh peer did not arrive", number);
  else
    crash_side_give_back (to, 0);
}

static void
check_fresh_peer (CrashSide *self)
{
  static const CrashStep greet = { .op = CRASH_GREET };
  static const CrashStep meet = { .op = CRASH_MEET };
  static const CrashStep end = { .op = CRASH_CLOSE };
  CrashSide sides[2];
  CrashLedger ledgers[2];
  int pair[2];

  memset (ledgers, 0, sizeof ledgers);
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    crash_side_fail (self, "socketpair: %s", strerror (errno));
  for (int i = 0; i < 2; i++)
    crash_side_init (&sides[i], &ledgers[i], pair[i], (int) getpid ());
  for (int i = 0; i < 2; i++)
    crash_side_run (&sides[i], &greet);
  for (int i = 0; i < 2; i++)
    crash_side_run (&sides[i], &meet);
  for (uint32_t i = 0; i < FRESH_MESSAGES && ledgers[0].fault[0] == '\0'; i++)
    exchange (&sides[i % 2], &sides[(i + 1) % 2], i);
  for (int i = 0; i < 2; i++)
    {
      crash_side_run (&sides[i], &end);
      if (ledgers[i].fault[0] != '\0')
        crash_side_fail (self, "with a fresh peer: %s", ledgers[i].fault);
    }
}

static void
check_link (CrashWorld *world, unsigned how)
{
  static const CrashStep end = { .op = CRASH_CLOSE };
  CrashSide *self = world->survivor;
  unsigned n_fds = count_fds ();
  unsigned n_blocks = count_own_blocks (world);
  Region regions[REGIONS];
  unsigned n_regions;
  int kept;

  n_regions = list_regions (&self->link, regions);
  for (unsigned i = 0; i < n_regions; i++)
    if (!make_private (&regions[i]))
      crash_side_fail (self, "copying of the memory: %s", strerror (errno));
  kept = replace_socket (world, how);
  if (!crash_side_held_are_whole (self))
    crash_side_fail (self, "what is in use was overwritten");
  drain (self, how);
  check_delivery (self, world->victim, world->victim_pid);
  check_returns (self, world->victim);
  check_account (self, world->victim);
  n_regions = list_regions (&self->link, regions);
  crash_side_run (self, &end);
  for (unsigned i = 0; i < n_regions; i++)
    if (!is_unmapped (&regions[i]))
      crash_side_fail (self, "memory stays mapped after the end");
  if (self->link.borrows != NULL || self->link.arena.table != NULL)
    crash_side_fail (self, "tables stay after the end");
  if (kept >= 0)
    close (kept);
  /* The socket, and what the pool had for readers to come. */
  if (count_fds () != n_fds - 1 - n_blocks)
    crash_side_fail (self, "%u descriptors became %u", n_fds, count_fds ());
}

bool
crash_survivor_check (CrashWorld *world, unsigned how)
{
  unsigned n_fds;

  if (world->survivor->is_open)
    check_link (world, how);
  n_fds = count_fds ();
  check_fresh_peer (world->survivor);
  if (count_fds () != n_fds)
    crash_side_fail (world->survivor, "a fresh peer leaves descriptors");
  return world->survivor->ledger->fault[0] == '\0';
}

void
crash_survivor_finish (CrashWorld *world)
{
  static const CrashStep end = { .op = CRASH_CLOSE };
  CrashSide *self = world->survivor;

  if (self->is_open)
    {
      drain (self, CRASH_HANG_UP);
      check_delivery (self, world->victim, world->victim_pid);
      check_returns (self, world->victim);
    }
  crash_side_run (self, &end);
}
