/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attacks through what a peer may write, its own header and ring: values that change while they
 * are looked at, that point elsewhere, go backwards, or ask to be woken for ever.
 */
#include "config.h"

#include "attack.h"

#include <linux/sockios.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --- 6: a word that has two values --- */

#define SIZE_BITS 0x3fffffffu

static guint64 *
first_mark (const HostilePeer *peer)
{
  return (guint64 *) (gpointer) (peer->own + SHM_HEADER_BYTES);
}

static void
publish_bytes (HostilePeer *peer, gsize size)
{
  guint8 *room;

  g_assert_cmpint (shm_producer_reserve (&peer->tx, (guint32) size, &room), ==, SHM_OK);
  memset (room, 'x', size);
  shm_producer_commit (&peer->tx, (guint32) size);
  shm_producer_publish (&peer->tx);
}

static void
play_double_fetch (int control, gconstpointer address)
{
  HostilePeer peer;
  guint64 *mark;
  guint64 good;

  hostile_connect_well (&peer, address);
  publish_bytes (&peer, 64);
  mark = first_mark (&peer);
  good = *mark;
  hostile_say (control, 'n');
  for (;;)
    {
      __atomic_store_n (mark, (good & ~(guint64) SIZE_BITS) | 0x10000000, __ATOMIC_RELAXED);
      __atomic_store_n (mark, good, __ATOMIC_RELAXED);
    }
}

/* Takes the first record again and again, as if it came anew. */
AttackEnd
attack_double_fetch (void)
{
  const guint n_tries = attack_count (1000000);
  Victim victim;
  Hostile hostile;
  gpointer connection;
  ShmConsumer fresh;
  guint taken = 0;
  guint refused = 0;
  guint fooled = 0;

  victim_open (&victim);
  hostile = hostile_start (play_double_fetch, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  g_assert_nonnull (connection);
  fresh = ((const ShmLink *) connection)->rx;
  hostile_hear (hostile.control);
  /* Both values must have been seen often enough for the other to come between. */
  while (fooled == 0 && (taken + refused < n_tries || MIN (taken, refused) < n_tries / 1000))
    {
      ShmConsumer consumer = fresh;
      ShmRecord record;

      if (shm_consumer_take (&consumer, &record) != SHM_OK)
        refused++;
      else if (record.size <= HOSTILE_INLINE)
        taken++;
      else
        fooled++;
    }
  g_print ("# taken %u, refused %u, fooled %u\n", taken, refused, fooled);
  hostile_end (&hostile);
  shm_test_host_close (victim.host, connection);
  victim_close (&victim);
  return fooled == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 7: records that point elsewhere --- */

static const ShmLoanRecord bad_loans[] = {
  { .segment = 0,
    .slot = 0,
    .generation = 1,
    .offset = G_GUINT64_CONSTANT (1) << 40,
    .length = 64 },
  { .segment = 0, .slot = 0, .generation = 1, .offset = 0, .length = 1 << 30 },
  { .segment = 0, .slot = 0, .generation = 1, .offset = 0, .length = G_MAXUINT64 },
  { .segment = 0, .slot = 0, .generation = 1, .offset = G_MAXUINT64 - 63, .length = 128 },
  { .segment = 0, .slot = 1 << 24, .generation = 1, .offset = 0, .length = 64 },
  { .segment = 0, .slot = G_MAXUINT32, .generation = 1, .offset = 0, .length = 64 },
  { .segment = 0, .slot = 0, .generation = 1, .offset = 3, .length = 64 },
  { .segment = 0, .slot = 0, .generation = 1, .offset = 0, .length = 0 },
  { .segment = 7, .slot = 0, .generation = 1, .offset = 0, .length = 64 },
};

/* Sizes beyond what was agreed, and beyond the ring. */
static const guint32 bad_sizes[] = { HOSTILE_INLINE + 1, HOSTILE_RING, SIZE_BITS, 0 };

typedef struct
{
  guint32 kind; /* as the link's packets have it */
  guint32 id;
  guint64 size;
} Notice;

/* The arena segment that loans point into: a second one of right memory. */
static void
announce_segment (const HostilePeer *peer)
{
  const Notice notice = { .kind = 1, .id = 0, .size = HOSTILE_BYTES };
  guint8 *own;
  int fd = hostile_memory (TRUE, HOSTILE_SEALS, &own);

  hostile_send_fds (peer->socket_fd, &notice, sizeof notice, &fd, 1);
  close (fd);
}

static void
play_records (int control, gconstpointer address)
{
  for (guint i = 0; i < G_N_ELEMENTS (bad_loans) + G_N_ELEMENTS (bad_sizes); i++)
    {
      HostilePeer peer;

      hostile_connect_well (&peer, address);
      announce_segment (&peer);
      if (i < G_N_ELEMENTS (bad_loans))
        {
          guint8 *room;

          g_assert_cmpint (shm_producer_reserve (&peer.tx, sizeof (ShmLoanRecord), &room), ==,
                           SHM_OK);
          shm_producer_commit_loan (&peer.tx, &bad_loans[i]);
          shm_producer_publish (&peer.tx);
        }
      else
        {
          publish_bytes (&peer, 64);
          *first_mark (&peer) = (*first_mark (&peer) & ~(guint64) SIZE_BITS)
                                | bad_sizes[i - G_N_ELEMENTS (bad_loans)];
        }
      hostile_say (control, 's');
      hostile_hear (control);
      hostile_disconnect (&peer);
    }
}

/* As an application would: every byte is read, and the message given back. */
static gboolean
take_message (const Victim *victim, gpointer connection)
{
  const CommyTransportOps *ops = victim->host->ops;
  CommyMessage message;

  if (!shm_test_receive (victim->host, connection, &message))
    return FALSE;
  for (gsize i = 0; i < message.size; i += 64)
    (void) ((volatile const guint8 *) message.data)[i];
  ops->release (connection, &message);
  return TRUE;
}

AttackEnd
attack_records (void)
{
  Victim victim;
  Hostile hostile;
  guint taken = 0;

  victim_open (&victim);
  hostile = hostile_start (play_records, shm_test_host_address (victim.host));
  for (guint i = 0; i < G_N_ELEMENTS (bad_loans) + G_N_ELEMENTS (bad_sizes); i++)
    {
      gpointer connection = victim_let_in (&victim);

      g_assert_nonnull (connection);
      hostile_hear (hostile.control);
      taken += take_message (&victim, connection);
      shm_test_host_close (victim.host, connection);
      hostile_say (hostile.control, 'n');
    }
  hostile_end (&hostile);
  victim_close (&victim);
  return taken == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 8: positions that go where none can --- */

static ShmHeader *
header_of (const HostilePeer *peer)
{
  return (ShmHeader *) (gpointer) peer->own;
}

/* A record that was read once stands where the next one is expected. */
static void
replay_record (HostilePeer *peer, int control)
{
  publish_bytes (peer, 56);
  hostile_say (control, 's');
  hostile_hear (control);
  memcpy (peer->own + SHM_HEADER_BYTES + SHM_LINE, peer->own + SHM_HEADER_BYTES, SHM_LINE);
  __atomic_store_n (&header_of (peer)->tail, 2 * SHM_LINE, __ATOMIC_RELEASE);
  hostile_say (control, 's');
  hostile_hear (control);
}

/* Says that it has read what was never written, or half a line. */
static void
claim_cursor (HostilePeer *peer, int control, guint64 cursor)
{
  __atomic_store_n (&header_of (peer)->cursor, cursor, __ATOMIC_RELEASE);
  hostile_say (control, 's');
  hostile_hear (control);
}

static const guint64 bad_cursors[] = { 1 << 20, G_MAXUINT64 & ~(guint64) 63, 32 };

static void
play_positions (int control, gconstpointer address)
{
  HostilePeer peer;

  hostile_connect_well (&peer, address);
  replay_record (&peer, control);
  hostile_disconnect (&peer);
  for (guint i = 0; i < G_N_ELEMENTS (bad_cursors); i++)
    {
      hostile_connect_well (&peer, address);
      claim_cursor (&peer, control, bad_cursors[i]);
      hostile_disconnect (&peer);
    }
}

/* Sends until the ring is full, or the wrong cursor is seen. */
static CommyIo
fill_ring (const Victim *victim, gpointer connection)
{
  const CommyTransportOps *ops = victim->host->ops;
  CommySpan span;
  CommyIo io;

  while ((io = ops->reserve (connection, 1000, &span)) == COMMY_IO_OK)
    {
      memset (span.data, 'v', 1000);
      ops->commit (connection, 1000);
      ops->flush (connection);
    }
  return io;
}

AttackEnd
attack_positions (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  guint fooled;

  victim_open (&victim);
  hostile = hostile_start (play_positions, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  hostile_hear (hostile.control);
  g_assert_true (take_message (&victim, connection));
  hostile_say (hostile.control, 'n');
  hostile_hear (hostile.control);
  fooled = take_message (&victim, connection);
  shm_test_host_close (victim.host, connection);
  hostile_say (hostile.control, 'n');
  for (guint i = 0; i < G_N_ELEMENTS (bad_cursors); i++)
    {
      connection = victim_let_in (&victim);
      hostile_hear (hostile.control);
      fooled += fill_ring (&victim, connection) != COMMY_IO_CLOSED;
      shm_test_host_close (victim.host, connection);
      hostile_say (hostile.control, 'n');
    }
  hostile_end (&hostile);
  victim_close (&victim);
  return fooled == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 11: a sleeper that is never reached --- */

/* Announces one sleep after the other, has all the room there is, and never reads its socket. */
static void
play_doorbell (int control, gconstpointer address)
{
  HostilePeer peer;
  guint32 epoch = 0;

  hostile_connect_well (&peer, address);
  hostile_say (control, 'n');
  for (;;)
    {
      const ShmHeader *theirs = (const ShmHeader *) (gconstpointer) peer.theirs;
      guint64 tail = __atomic_load_n (&theirs->tail, __ATOMIC_ACQUIRE);
      guint32 how = SHM_STATE_SOCKET | SHM_STATE_DATA | SHM_STATE_ROOM;

      __atomic_store_n (&header_of (&peer)->cursor, tail & ~(guint64) SHM_TAIL_CLOSED,
                        __ATOMIC_RELEASE);
      __atomic_store_n (&header_of (&peer)->state, ++epoch << SHM_STATE_BITS | how,
                        __ATOMIC_RELEASE);
    }
}

AttackEnd
attack_doorbell (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  const CommyTransportOps *ops;
  const ShmLink *link;
  guint32 last = 0;
  int queued = 0;

  victim_open (&victim);
  ops = victim.host->ops;
  hostile = hostile_start (play_doorbell, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  g_assert_nonnull (connection);
  link = connection;
  hostile_hear (hostile.control);
  /* Many more naps than the socket has room for bytes. */
  for (guint n_naps = 0; n_naps < attack_count (5000);)
    {
      guint32 state = __atomic_load_n (&link->bell.peer->state, __ATOMIC_RELAXED);
      CommySpan span;

      n_naps += state != last;
      last = state;
      if (ops->reserve (connection, 64, &span) == COMMY_IO_OK)
        ops->commit (connection, 64);
      ops->flush (connection);
    }
  g_assert_cmpint (ioctl (link->socket_fd, SIOCOUTQ, &queued), ==, 0);
  g_print ("# %d bytes wait in the socket\n", queued);
  g_assert_cmpint (queued, >, 1 << 16);
  hostile_end (&hostile);
  shm_test_host_close (victim.host, connection);
  victim_close (&victim);
  return ATTACK_REPELLED;
}

/* --- the mutator --- */

typedef struct
{
  HostilePeer peer;
  guint32 seed;
} Mutator;

static guint32
next_random (guint32 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

/* Every byte of the header and the ring is among those that are hit; most are put back, so that
 * there are right messages between the wrong ones. */
static void *
mutate (void *data)
{
  Mutator *self = data;

  for (;;)
    {
      guint32 where = next_random (&self->seed);
      guint8 *byte = self->peer.own
                     + (where & 1 ? (where >> 8) % 512 : (where >> 8) % (guint32) HOSTILE_BYTES);
      guint8 old = __atomic_load_n (byte, __ATOMIC_RELAXED);

      __atomic_store_n (byte, (guint8) next_random (&self->seed), __ATOMIC_RELAXED);
      if ((where & 14) != 0)
        __atomic_store_n (byte, old, __ATOMIC_RELAXED);
    }
  return NULL;
}

static void
exchange (Mutator *self)
{
  guint32 chance = self->seed;

  for (guint i = 0; i < 200; i++)
    {
      ShmHeader *own = header_of (&self->peer);
      const ShmHeader *theirs = (const ShmHeader *) (gconstpointer) self->peer.theirs;
      guint8 *room;

      if (shm_producer_reserve (&self->peer.tx, next_random (&chance) % HOSTILE_INLINE + 1, &room)
          == SHM_OK)
        {
          shm_producer_commit (&self->peer.tx, next_random (&chance) % 64 + 1);
          shm_producer_publish (&self->peer.tx);
        }
      __atomic_store_n (&own->cursor,
                        __atomic_load_n (&theirs->tail, __ATOMIC_ACQUIRE) & ~(guint64) 63,
                        __ATOMIC_RELEASE);
    }
}

static void
play_mutator (int control, gconstpointer address)
{
  guint32 seed = (guint32) strtoul (g_getenv ("COMMY_TEST_SEED"), NULL, 10);
  Mutator self = { .seed = seed };
  pthread_t thread;

  hostile_connect_well (&self.peer, address);
  announce_segment (&self.peer);
  pthread_create (&thread, NULL, mutate, &self);
  exchange (&self);
  hostile_say (control, 's');
  pause ();
}

/* Reads, answers and sleeps as a node does, until the peer breaks a rule or has said all. */
static guint
serve (const Victim *victim, gpointer connection, int control)
{
  const CommyTransportOps *ops = victim->host->ops;
  guint n_messages = 0;

  for (guint idle = 0; idle < 100;)
    {
      guint events;
      CommyMessage message;
      CommySpan span;
      CommyIo io = ops->peek (connection, &message);

      if (io == COMMY_IO_CLOSED)
        break;
      idle = io == COMMY_IO_OK ? 0 : idle + 1;
      if (io == COMMY_IO_OK)
        {
          for (gsize i = 0; i < message.size; i++)
            (void) ((volatile const guint8 *) message.data)[i];
          ops->release (connection, &message);
          n_messages++;
        }
      io = ops->reserve (connection, n_messages % 5 == 0 ? 10000 : 100, &span);
      if (io == COMMY_IO_OK)
        {
          memset (span.data, 'v', span.size);
          ops->commit (connection, span.size);
        }
      ops->flush (connection);
      ops->arm (connection, COMMY_INTEREST_READ | COMMY_INTEREST_WRITE, &events);
    }
  return n_messages;
}

AttackEnd
attack_mutator (void)
{
  const char *seconds = g_getenv ("COMMY_TEST_SECONDS");
  gint64 until
      = g_get_monotonic_time () + (seconds != NULL ? atoi (seconds) : 0) * (gint64) G_USEC_PER_SEC;
  guint seed = g_getenv ("COMMY_TEST_SEED") != NULL
                   ? (guint) strtoul (g_getenv ("COMMY_TEST_SEED"), NULL, 10)
                   : g_random_int ();
  guint64 n_messages = 0;
  guint n_peers = 0;
  Victim victim;

  victim_open (&victim);
  g_print ("# seed %u\n", seed);
  for (; n_peers < attack_count (100) || g_get_monotonic_time () < until; n_peers++)
    {
      g_autofree char *text = g_strdup_printf ("%u", (seed + n_peers) | 1);
      Hostile hostile;
      gpointer connection;

      g_setenv ("COMMY_TEST_SEED", text, TRUE);
      hostile = hostile_start (play_mutator, shm_test_host_address (victim.host));
      connection = victim_let_in (&victim);
      g_assert_nonnull (connection);
      n_messages += serve (&victim, connection, hostile.control);
      shm_test_host_close (victim.host, connection);
      hostile_end (&hostile);
    }
  g_print ("# %u peers, %" G_GUINT64_FORMAT " messages\n", n_peers, n_messages);
  victim_close (&victim);
  return ATTACK_REPELLED;
}
