/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Round trips in shared memory, both sides looking all the time: a line that carries its own
 * sequence number, a header beside its cursor, and payloads that are written and read in place, or
 * copied there by the caller, on by the service, and out by the caller.
 */
#include "config.h"

#include "limit.h"

#include <string.h>

typedef enum
{
  SHAPE_LINE,
  SHAPE_HEADER,
  SHAPE_IN_PLACE,
  SHAPE_COPIED,
} Shape;

/* One direction. Processors fetch lines in pairs, hence 128. */
typedef struct
{
  guint32 cursor __attribute__ ((aligned (128)));
  struct
  {
    guint32 sequence;
    guint32 length;
    guint64 offset;
    guint8 rest[48];
  } header __attribute__ ((aligned (128)));
  guint8 payload[BENCH_LARGEST] __attribute__ ((aligned (128)));
} Lane;

typedef struct
{
  Lane there;
  Lane back;
} Shared;

typedef struct
{
  Shared *shared;
  Shape shape;
  gsize size;
  guint32 turn;
  guint8 *private;
} Memory;

/* Where the word lies that says that something new is there. */
static guint32 *
get_word (Lane *lane, Shape shape)
{
  return shape == SHAPE_LINE ? &lane->header.sequence : &lane->cursor;
}

static void
await (Lane *lane, Shape shape, guint32 turn)
{
  guint32 *word = get_word (lane, shape);

  while (__atomic_load_n (word, __ATOMIC_ACQUIRE) != turn)
    bench_relax ();
}

static void
publish (Lane *lane, Shape shape, guint32 turn, gsize size)
{
  lane->header.length = (guint32) size;
  lane->header.offset = turn;
  __atomic_store_n (get_word (lane, shape), turn, __ATOMIC_RELEASE);
}

static void
answer (gpointer data)
{
  const Memory *self = data;
  Lane *there = &self->shared->there;
  Lane *back = &self->shared->back;

  for (guint32 turn = 1;; turn++)
    {
      await (there, self->shape, turn);
      if (self->shape == SHAPE_COPIED)
        memcpy (back->payload, there->payload, self->size);
      else if (self->shape == SHAPE_IN_PLACE)
        bench_fill (back->payload, self->size, (guint8) bench_sum (there->payload, self->size));
      publish (back, self->shape, turn, there->header.length);
    }
}

static gboolean
exchange (gpointer data, GError **error)
{
  Memory *self = data;
  Lane *there = &self->shared->there;
  Lane *back = &self->shared->back;
  guint32 turn = ++self->turn;

  if (self->shape == SHAPE_COPIED)
    memcpy (there->payload, self->private, self->size);
  else if (self->shape == SHAPE_IN_PLACE)
    bench_fill (there->payload, self->size, (guint8) turn);
  publish (there, self->shape, turn, self->size);
  await (back, self->shape, turn);
  if (self->shape == SHAPE_COPIED)
    memcpy (self->private, back->payload, self->size);
  else if (self->shape == SHAPE_IN_PLACE)
    self->private[0] = (guint8) bench_sum (back->payload, self->size);
  return back->header.length == self->size || bench_fail (error, "the answer is of another size");
}

static gboolean
measure (BenchRun *run, const BenchScene *scene, Shape shape, gsize size, GError **error)
{
  static const char *const names[] = { "line", "header", "in-place", "copied" };
  Memory self = { .shape = shape, .size = size };
  char id[BENCH_ID_MAX];
  GPid partner;
  gboolean ok = FALSE;

  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, names[shape], size);
  self.shared = limit_share (sizeof (Shared), error);
  if (self.shared == NULL)
    return FALSE;
  self.private = g_malloc0 (MAX (size, 1));
  if (limit_partner_start (run, answer, &self, &partner, error))
    {
      ok = bench_time_each (run, id, size, exchange, &self, error);
      limit_partner_stop (run, partner);
    }
  g_free (self.private);
  limit_unshare (self.shared, sizeof (Shared));
  return ok;
}

gboolean
limit_memory (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);

  if (!measure (run, scene, SHAPE_LINE, 64, error)
      || !measure (run, scene, SHAPE_HEADER, 64, error))
    return FALSE;
  for (gsize i = 0; sizes[i] != 0; i++)
    if (!measure (run, scene, SHAPE_IN_PLACE, sizes[i], error)
        || !measure (run, scene, SHAPE_COPIED, sizes[i], error))
      return FALSE;
  return TRUE;
}
