/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages one way through a ring with one producer and one consumer in shared memory: the sequence
 * number in the message's own line; copied in and out and published in batches or one by one;
 * written and read in place; descriptors only. And copying alone, in one process.
 */
#include "config.h"

#include "limit.h"

#include <string.h>

#define BATCH 64
#define RING_BYTES (256u << 10) /* stays in a processor's own cache */
#define SLOTS_MIN 4u
#define LINE_SLOTS 1024u

typedef enum
{
  SHAPE_BATCHED,
  SHAPE_SINGLY,
  SHAPE_IN_PLACE,
  SHAPE_DESCRIPTOR,
} Shape;

typedef struct
{
  guint64 written __attribute__ ((aligned (128))); /* by the producer */
  guint64 read __attribute__ ((aligned (128)));    /* by the consumer */
  guint8 slots[] __attribute__ ((aligned (128)));
} Shared;

typedef struct
{
  Shared *shared;
  Shape shape;
  gsize size; /* of a message */
  gsize slot; /* of its place */
  guint64 n_slots, batch;
  guint8 *private;
  guint64 sum;
} Ring;

typedef struct
{
  guint64 sequence;
  guint8 payload[56];
} Line;

static guint8 *
get_slot (const Ring *self, guint64 i)
{
  return self->shared->slots + (i & (self->n_slots - 1)) * self->slot;
}

static guint64
await_above (guint64 *word, guint64 least)
{
  guint64 seen;

  while ((seen = __atomic_load_n (word, __ATOMIC_ACQUIRE)) < least)
    bench_relax ();
  return seen;
}

/* --- cursors --- */

static inline void
take (Ring *self, const guint8 *slot)
{
  guint64 first;

  switch (self->shape)
    {
    case SHAPE_BATCHED:
    case SHAPE_SINGLY:
      memcpy (self->private, slot, self->size);
      break;
    case SHAPE_IN_PLACE:
      self->sum += bench_sum (slot, self->size);
      break;
    case SHAPE_DESCRIPTOR:
    default:
      memcpy (&first, slot, sizeof first);
      self->sum += first;
      break;
    }
}

static inline void
put (Ring *self, guint8 *slot, guint64 i)
{
  const guint64 descriptor[2] = { i, self->size };

  switch (self->shape)
    {
    case SHAPE_BATCHED:
    case SHAPE_SINGLY:
      memcpy (slot, self->private, self->size);
      break;
    case SHAPE_IN_PLACE:
      bench_fill (slot, self->size, (guint8) i);
      break;
    case SHAPE_DESCRIPTOR:
    default:
      memcpy (slot, descriptor, sizeof descriptor);
      break;
    }
}

static void
consume (gpointer data)
{
  Ring self = *(const Ring *) data;
  guint64 i = 0;

  for (;;)
    {
      guint64 written = await_above (&self.shared->written, i + 1);

      while (i < written)
        {
          guint64 stop = MIN (written, i + self.batch);

          for (; i < stop; i++)
            take (&self, get_slot (&self, i));
          __atomic_store_n (&self.shared->read, i, __ATOMIC_RELEASE);
        }
    }
}

/* Until @until, in whole batches, and until all of it was read. Returns how many. */
static guint64
produce (Ring *self, gint64 until)
{
  guint64 written = self->shared->written;
  guint64 read = self->shared->read;

  do
    for (guint again = 0; again < BATCH / self->batch; again++)
      {
        if (written + self->batch > read + self->n_slots)
          read = await_above (&self->shared->read, written + self->batch - self->n_slots);
        for (guint64 stop = written + self->batch; written < stop; written++)
          put (self, get_slot (self, written), written);
        __atomic_store_n (&self->shared->written, written, __ATOMIC_RELEASE);
      }
  while (bench_now () < until);
  await_above (&self->shared->read, written);
  return written;
}

/* --- the sequence number in the line --- */

static void
consume_lines (gpointer data)
{
  Ring self = *(const Ring *) data;
  Line *lines = (gpointer) self.shared->slots;

  for (guint64 i = 0;; i++)
    {
      Line *line = &lines[i & (LINE_SLOTS - 1)];

      await_above (&line->sequence, i + 1);
      memcpy (self.private, line->payload, sizeof line->payload);
      if ((i & (BATCH - 1)) == BATCH - 1)
        __atomic_store_n (&self.shared->read, i + 1, __ATOMIC_RELEASE);
    }
}

static guint64
produce_lines (Ring *self, gint64 until)
{
  guint64 read = self->shared->read;
  guint64 written = self->shared->written;
  Line *lines = (gpointer) self->shared->slots;

  do
    {
      if (written + BATCH > read + LINE_SLOTS)
        read = await_above (&self->shared->read, written + BATCH - LINE_SLOTS);
      for (guint64 stop = written + BATCH; written < stop; written++)
        {
          Line *line = &lines[written & (LINE_SLOTS - 1)];

          memcpy (line->payload, self->private, sizeof line->payload);
          __atomic_store_n (&line->sequence, written + 1, __ATOMIC_RELEASE);
        }
    }
  while (bench_now () < until);
  self->shared->written = written;
  await_above (&self->shared->read, written);
  return written;
}

/* --- measuring --- */

static gboolean
measure_with (BenchRun *run,
              const char *id,
              Ring *self,
              LimitPartner consumer,
              guint64 (*producer) (Ring *, gint64),
              GError **error)
{
  gsize bytes = sizeof (Shared) + self->slot * self->n_slots;
  GPid partner;
  gboolean ok;

  self->shared = limit_share (bytes, error);
  if (self->shared == NULL)
    return FALSE;
  self->private = g_malloc0 (self->size);
  bench_placement_check (run);
  ok = limit_partner_start (run, consumer, self, &partner, error);
  if (ok)
    {
      guint64 before = producer (self, bench_now () + bench_get_budget (run) / 4);
      gint64 start = bench_now ();
      guint64 n = producer (self, start + bench_get_budget (run)) - before;

      bench_tell (run, id, BENCH_RATE, self->size, n,
                  (double) n * 1e9 / (double) (bench_now () - start));
      limit_partner_stop (run, partner);
    }
  g_free (self->private);
  limit_unshare (self->shared, bytes);
  return ok;
}

static gboolean
measure (BenchRun *run, const BenchScene *scene, Shape shape, gsize size, GError **error)
{
  static const char *const names[] = { "batched", "singly", "in-place", "descriptor" };
  Ring self = { .shape = shape, .size = size, .slot = size, .n_slots = SLOTS_MIN, .batch = 1 };
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, names[shape], size);
  if (shape == SHAPE_DESCRIPTOR)
    self.slot = 16;
  while (self.n_slots * self.slot < RING_BYTES)
    self.n_slots *= 2;
  if (shape == SHAPE_BATCHED)
    self.batch = MIN (BATCH, self.n_slots / 2);
  return measure_with (run, id, &self, consume, produce, error);
}

gboolean
limit_rings (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_stream_sizes (run);
  Ring lines = { .size = 64, .slot = sizeof (Line), .n_slots = LINE_SLOTS };
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "line/64");
  if (!measure_with (run, id, &lines, consume_lines, produce_lines, error))
    return FALSE;
  for (gsize i = 0; sizes[i] != 0; i++)
    for (guint shape = SHAPE_BATCHED; shape <= SHAPE_DESCRIPTOR; shape++)
      if (!measure (run, scene, shape, sizes[i], error))
        return FALSE;
  return TRUE;
}

/* --- copying alone --- */

gboolean
limit_copy (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_stream_sizes (run);
  g_autofree guint8 *from = g_malloc0 (1 << 20);
  g_autofree guint8 *to = g_malloc0 (1 << 20);

  bench_pin (bench_cpu_of (run, scene->pins, 0));
  for (gsize i = 0; sizes[i] != 0; i++)
    {
      gint64 start = bench_now ();
      guint64 n = 0;
      char id[BENCH_ID_MAX];

      do
        for (guint again = 0; again < BATCH; again++, n++)
          {
            memcpy (to, from, sizes[i]);
            __asm__ volatile("" : : "r"(to), "r"(from) : "memory"); /* it did happen */
          }
      while (bench_now () < start + bench_get_budget (run));
      bench_id (id, scene, "copy/%" G_GSIZE_FORMAT, sizes[i]);
      bench_tell (run, id, BENCH_RATE, sizes[i], n,
                  (double) n * 1e9 / (double) (bench_now () - start));
    }
  return TRUE;
}
