/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring and the arena alone: positions, the end of the ring, full and empty, and a peer that
 * writes whatever it likes into its own memory.
 */
#include "config.h"

#include "plugins/shm/commy-arena.h"
#include "plugins/shm/commy-ring.h"

#include <glib.h>
#include <string.h>

#define CAPACITY 4096u

typedef struct
{
  ShmHeader *ours;  /* the producer's */
  ShmHeader *peers; /* the consumer's */
  guint8 *ring;
  ShmProducer producer;
  ShmConsumer consumer;
} Ring;

static Ring *
ring_new (void)
{
  Ring *self = g_new0 (Ring, 1);
  guint32 max_inline = shm_ring_max_inline (CAPACITY);

  self->ours = g_aligned_alloc0 (1, sizeof (ShmHeader), 64);
  self->peers = g_aligned_alloc0 (1, sizeof (ShmHeader), 64);
  self->ring = g_aligned_alloc0 (1, CAPACITY, 64);
  shm_producer_init (&self->producer, self->ours, self->ring, CAPACITY, max_inline, self->peers);
  shm_consumer_init (&self->consumer, self->peers, self->ours, self->ring, CAPACITY, max_inline);
  return self;
}

static void
ring_free (Ring *self)
{
  g_aligned_free (self->ours);
  g_aligned_free (self->peers);
  g_aligned_free (self->ring);
  g_free (self);
}

static ShmResult
put (Ring *self, guint32 size, guint8 fill)
{
  guint8 *data;
  ShmResult result = shm_producer_reserve (&self->producer, size, &data);

  if (result != SHM_OK)
    return result;
  memset (data, fill, size);
  shm_producer_commit (&self->producer, size);
  return SHM_OK;
}

static void
get (Ring *self, guint32 size, guint8 fill)
{
  ShmRecord record;

  g_assert_cmpint (shm_consumer_take (&self->consumer, &record), ==, SHM_OK);
  g_assert_cmpuint (record.size, ==, size);
  for (guint32 i = 0; i < size; i++)
    g_assert_cmpuint (record.data[i], ==, fill);
  shm_consumer_release_to (&self->consumer, self->consumer.position);
}

static void
test_wrap (void)
{
  Ring *self = ring_new ();
  ShmRecord record;

  for (guint32 i = 0; i < 20000; i++)
    {
      guint32 size = 1 + (i * 7919u) % self->producer.max_inline;

      /* Bytes that look like marks, for the laps to come. */
      g_assert_cmpint (put (self, size, (guint8) (i % 4 == 0 ? 0x40 : i)), ==, SHM_OK);
      g_assert_cmpint (shm_consumer_take (&self->consumer, &record), ==, SHM_EMPTY);
      g_assert_true (shm_producer_publish (&self->producer));
      get (self, size, (guint8) (i % 4 == 0 ? 0x40 : i));
      g_assert_cmpint (shm_consumer_take (&self->consumer, &record), ==, SHM_EMPTY);
      g_assert_false (shm_producer_publish (&self->producer));
    }
  ring_free (self);
}

static void
test_full (void)
{
  Ring *self = ring_new ();

  for (guint round = 0; round < 300; round++)
    {
      /* The first one fills the ring to the last line that may be filled. */
      guint32 size = round == 0 ? 56 : 1 + (round * 31) % self->producer.max_inline;
      guint n = 0;

      while (put (self, size, (guint8) n) == SHM_OK)
        n++;
      g_assert_cmpuint (n, >=, 2);
      g_assert_false (shm_producer_has_room (&self->producer, size));
      shm_producer_publish (&self->producer);
      for (guint i = 0; i < n; i++)
        get (self, size, (guint8) i);
      g_assert_cmpint (shm_consumer_take (&self->consumer, &(ShmRecord){ 0 }), ==, SHM_EMPTY);
      g_assert_true (shm_producer_has_room (&self->producer, self->producer.max_inline));
    }
  g_assert_cmpint (put (self, self->producer.max_inline + 1, 0), ==, SHM_NEVER);
  ring_free (self);
}

static void
test_cursor_lies (void)
{
  const guint64 lies[] = { 1, 63, 64 * 1000, G_MAXUINT64, G_MAXUINT64 - 63, 1ull << 63 };

  for (guint i = 0; i < G_N_ELEMENTS (lies) + 1; i++)
    {
      Ring *self = ring_new ();

      while (put (self, 100, 1) == SHM_OK)
        continue;
      shm_producer_publish (&self->producer);
      get (self, 100, 1);
      g_assert_true (shm_producer_has_room (&self->producer, 50));
      put (self, 100, 1);
      /* The last lie is a step back. */
      self->peers->cursor = i < G_N_ELEMENTS (lies) ? lies[i] : 0;
      g_assert_cmpint (put (self, 1000, 1), ==, SHM_BROKEN);
      g_assert_nonnull (self->producer.broken);
      ring_free (self);
    }
}

/* Reads until the end or a violation; touches every byte it is given. */
static guint
read_all (Ring *self)
{
  ShmRecord record;
  guint n = 0;
  volatile guint8 sink = 0;

  while (shm_consumer_take (&self->consumer, &record) == SHM_OK)
    {
      g_assert_cmpuint (++n, <, 10000);
      if (record.is_loan)
        continue;
      g_assert_true (record.data >= self->ring);
      g_assert_true (record.data + record.size <= self->ring + CAPACITY);
      for (guint32 i = 0; i < record.size; i++)
        sink = (guint8) (sink + record.data[i]);
    }
  return n;
}

/* Every byte of every mark, every bit of it, and every value of the first byte of the size. */
static void
test_mutations (void)
{
  guint n_broken = 0;

  for (guint at = 0; at < 512; at++)
    for (guint change = 1; change < 256; change++)
      {
        Ring *self = ring_new ();

        for (guint i = 0; i < 4; i++)
          g_assert_cmpint (put (self, 100, 0), ==, SHM_OK);
        shm_producer_publish (&self->producer);
        self->ring[at] ^= (guint8) change;
        read_all (self);
        n_broken += self->consumer.broken != NULL;
        if (self->consumer.broken != NULL)
          g_assert_cmpint (shm_consumer_take (&self->consumer, &(ShmRecord){ 0 }), ==, SHM_BROKEN);
        ring_free (self);
      }
  g_assert_cmpuint (n_broken, >, 4 * 4 * 255);
}

static void
set_mark (Ring *self, guint64 position, guint32 kind, guint32 size)
{
  guint64 mark = (guint64) ((guint32) (position / 64) + 1) << 32 | (guint64) kind << 30 | size;

  memcpy (self->ring + position % CAPACITY, &mark, sizeof mark);
}

static void
broken_at (guint64 position, guint32 kind, guint32 size, const char *why)
{
  Ring *self = ring_new ();

  self->consumer.position = self->consumer.cursor = position;
  set_mark (self, position, kind, size);
  g_assert_cmpint (shm_consumer_take (&self->consumer, &(ShmRecord){ 0 }), ==, SHM_BROKEN);
  g_assert_cmpstr (self->consumer.broken, ==, why);
  ring_free (self);
}

static void
test_forged_marks (void)
{
  broken_at (0, 0, 10, "a record has no kind or no size");
  broken_at (0, 1, 0, "a record has no kind or no size");
  broken_at (0, 1, 1017, "a record is larger than was agreed");
  broken_at (0, 1, (1u << 30) - 1, "a record is larger than was agreed");
  broken_at (4032, 1, 57, "a record goes beyond the end of the ring");
  broken_at (0, 2, 31, "a loan record has the wrong size");
  broken_at (0, 2, 1017, "a loan record has the wrong size");
  broken_at (4032, 2, 57, "a record goes beyond the end of the ring");
  broken_at (0, 3, 4096, "padding does not end where the ring does");
  broken_at (64, 3, 4096, "padding does not end where the ring does");
  broken_at (64, 3, 64, "padding does not end where the ring does");
}

/* A producer that goes on over what was not given back. */
static void
test_overrun (void)
{
  Ring *self = ring_new ();
  ShmRecord record;

  for (guint64 position = 0; position < 3 * CAPACITY; position += 64)
    {
      set_mark (self, position, 1, 1);
      if (shm_consumer_take (&self->consumer, &record) == SHM_OK)
        continue;
      g_assert_cmpuint (position, ==, CAPACITY - 64);
      break;
    }
  g_assert_cmpstr (self->consumer.broken, ==,
                   "the producer wrote over records that were not given back");
  ring_free (self);
}

/* Endless random memory: never out of bounds, never without an end. */
static void
test_random_memory (void)
{
  for (guint round = 0; round < 20000; round++)
    {
      Ring *self = ring_new ();

      for (guint64 position = 0; position < CAPACITY; position += 64)
        if (g_test_rand_int_range (0, 4) != 0)
          set_mark (self, position, (guint32) g_test_rand_int_range (1, 4),
                    (guint32) (g_test_rand_int_range (0, 3) != 0 ? g_test_rand_int_range (0, 300)
                                                                 : (gint32) (CAPACITY - position)));
      read_all (self);
      ring_free (self);
    }
}

/* --- the arena --- */

typedef struct
{
  guint n_segments;
  guint64 total;
  guint64 most;
  gboolean mute; /* the peer cannot be told */
} Backing;

static guint8 *
grow (gpointer user_data, guint32 id, guint64 size)
{
  Backing *backing = user_data;

  if (backing->mute)
    return NULL;
  backing->n_segments++;
  backing->total += size;
  backing->most = MAX (backing->most, backing->total);
  return g_aligned_alloc (1, size, 64);
}

static bool
drop (gpointer user_data, guint32 id, guint8 *data, guint64 size)
{
  Backing *backing = user_data;

  backing->n_segments--;
  backing->total -= size;
  g_aligned_free (data);
  return true;
}

static void
lend (ShmArena *arena, guint64 size, ShmLoanRecord *record)
{
  guint8 *data;
  guint32 slot;

  g_assert_cmpint (shm_arena_take (arena, size, &slot, &data), ==, SHM_OK);
  memset (data, 1, size);
  shm_arena_lend (arena, slot, size, 0, record);
}

static void
test_arena_reuse (void)
{
  ShmHeader *peer = g_aligned_alloc0 (1, sizeof (ShmHeader), 64);
  Backing backing = { 0 };
  ShmArena arena;
  ShmLoanRecord first;
  ShmLoanRecord second;

  shm_arena_init (&arena, 1 << 20, peer, grow, drop, &backing);
  lend (&arena, 100000, &first);
  peer->released[first.slot] = first.generation;
  for (guint i = 0; i < 1000; i++)
    {
      lend (&arena, 100000, &second);
      g_assert_cmpuint (second.slot, ==, first.slot);
      g_assert_cmpuint (second.generation, ==, first.generation + i + 1);
      /* An old generation, or one to come, gives nothing back. */
      peer->released[second.slot] = second.generation + (i % 2 ? 1 : -1);
      g_assert_true (shm_arena_has_room (&arena, 100000));
      g_assert_cmpuint (backing.n_segments, <=, 2);
      peer->released[second.slot] = second.generation;
    }
  shm_arena_deinit (&arena);
  g_assert_cmpuint (backing.n_segments, ==, 0);
  g_aligned_free (peer);
}

/* The limit holds for the sum over all classes, and idle memory of one serves the others. */
static void
test_arena_limit (void)
{
  ShmHeader *peer = g_aligned_alloc0 (1, sizeof (ShmHeader), 64);
  Backing backing = { 0 };
  ShmArena arena;
  ShmLoanRecord record;
  guint8 *data;
  guint32 slot;

  peer->seen = G_MAXUINT64;
  shm_arena_init (&arena, 1 << 20, peer, grow, drop, &backing);
  for (guint round = 0; round < 50; round++)
    {
      guint64 size = 2000u << (round % 10);
      guint n = 0;

      while (shm_arena_take (&arena, size, &slot, &data) == SHM_OK)
        {
          shm_arena_lend (&arena, slot, size, 0, &record);
          g_assert_cmpuint (++n, <=, SHM_LOAN_SLOTS);
        }
      g_assert_cmpuint (n, >=, 1);
      g_assert_cmpint (shm_arena_take (&arena, (1 << 20) + 1, &slot, &data), ==, SHM_NEVER);
      for (guint i = 0; i < SHM_LOAN_SLOTS; i++)
        peer->released[i] = arena.table->slots[i].generation;
    }
  g_assert_cmpuint (backing.most, <=, 1 << 20);
  backing.mute = TRUE;
  g_assert_cmpint (shm_arena_take (&arena, 5000, &slot, &data), ==, SHM_NEVER);
  shm_arena_deinit (&arena);
  g_aligned_free (peer);
}

/* What looks like a record of ours, but is something that we were asked to send, is none. */
static void
test_own_loans (void)
{
  ShmHeader *peer = g_aligned_alloc0 (1, sizeof (ShmHeader), 64);
  Backing backing = { 0 };
  ShmArena arena;
  ShmLoanRecord record, lie;
  const guint8 *data;
  guint8 *chunk;
  guint32 slot;

  shm_arena_init (&arena, 1 << 20, peer, grow, drop, &backing);
  g_assert_cmpint (shm_arena_take (&arena, 5000, &slot, &chunk), ==, SHM_OK);
  shm_arena_lend (&arena, slot, 5000, 640, &record);
  data = shm_arena_find (&arena, &record, 640);
  g_assert_true (data == chunk);
  g_assert_null (shm_arena_find (&arena, &record, 704));
  lie = record;
  lie.offset = 1 << 30;
  g_assert_true (shm_arena_find (&arena, &lie, 640) == chunk);
#define LIE(field, value) \
  lie = record;           \
  lie.field = (value);    \
  g_assert_null (shm_arena_find (&arena, &lie, 640))
  LIE (length, 8193);
  LIE (length, G_MAXUINT64);
  LIE (segment, record.segment + 1);
  LIE (segment, record.segment + SHM_ARENA_SEGMENTS);
  LIE (slot, record.slot + 1);
  LIE (slot, SHM_LOAN_SLOTS);
  LIE (generation, record.generation + 1);
#undef LIE
  peer->released[record.slot] = record.generation;
  g_assert_true (shm_arena_has_room (&arena, 5000));
  g_assert_null (shm_arena_find (&arena, &record, 640));
  shm_arena_deinit (&arena);
  g_aligned_free (peer);
}

static void
test_loan_lies (void)
{
  guint8 *memory = g_aligned_alloc0 (1, 8192, 64);
  ShmForeign foreign = { .limit = 8192 };
  const ShmLoanRecord good = { .segment = 3, .slot = 1, .offset = 4096, .length = 4096 };
  ShmLoanRecord lie;
  const guint8 *data;
  ShmForeignSegment segment;

  g_assert_nonnull (shm_foreign_check_add (&foreign, 3, 0));
  g_assert_nonnull (shm_foreign_check_add (&foreign, 3, 8193));
  g_assert_nonnull (shm_foreign_check_add (&foreign, 3, G_MAXUINT64));
  g_assert_null (shm_foreign_check_add (&foreign, 3, 8192));
  g_assert_true (shm_foreign_add (&foreign, 3, memory, 8192));
  g_assert_nonnull (shm_foreign_check_add (&foreign, 4, 64));
  foreign.limit *= 2;
  g_assert_nonnull (shm_foreign_check_add (&foreign, 3 + SHM_ARENA_SEGMENTS, 64));
  g_assert_cmpint (shm_foreign_borrow (&foreign, &good, &data), ==, SHM_OK);
  g_assert_true (data == memory + 4096);
  g_assert_nonnull (shm_foreign_remove (&foreign, 3, &segment));
#define LIE(field, value, result) \
  lie = good;                     \
  lie.field = (value);            \
  g_assert_cmpint (shm_foreign_borrow (&foreign, &lie, &data), ==, result)
  LIE (segment, 2, SHM_EMPTY);
  LIE (segment, 3 + SHM_ARENA_SEGMENTS, SHM_EMPTY);
  LIE (segment, G_MAXUINT32, SHM_EMPTY);
  LIE (slot, SHM_LOAN_SLOTS, SHM_BROKEN);
  LIE (offset, 4104, SHM_BROKEN);
  LIE (offset, 8192 + 64, SHM_BROKEN);
  LIE (offset, G_MAXUINT64 - 63, SHM_BROKEN);
  LIE (length, 4097, SHM_BROKEN);
  LIE (length, G_MAXUINT64, SHM_BROKEN);
  LIE (length, 0, SHM_BROKEN);
#undef LIE
  shm_foreign_release (&foreign, 3);
  g_assert_null (shm_foreign_remove (&foreign, 3, &segment));
  g_assert_nonnull (shm_foreign_remove (&foreign, 3, &segment));
  free (foreign.segments);
  g_aligned_free (memory);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/shm/ring/every-size-over-the-end", test_wrap);
  g_test_add_func ("/shm/ring/full-and-empty-again", test_full);
  g_test_add_func ("/shm/ring/impossible-cursor-ends-it", test_cursor_lies);
  g_test_add_func ("/shm/ring/every-changed-byte-is-harmless", test_mutations);
  g_test_add_func ("/shm/ring/forged-marks-are-named", test_forged_marks);
  g_test_add_func ("/shm/ring/overrun-ends-it", test_overrun);
  g_test_add_func ("/shm/ring/random-memory-is-harmless", test_random_memory);
  g_test_add_func ("/shm/arena/last-released-is-next", test_arena_reuse);
  g_test_add_func ("/shm/arena/limit-holds-and-idle-memory-moves", test_arena_limit);
  g_test_add_func ("/shm/arena/lies-about-loans-are-refused", test_loan_lies);
  g_test_add_func ("/shm/arena/only-its-own-records-are-sent-again", test_own_loans);
  return g_test_run ();
}
