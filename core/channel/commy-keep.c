/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of kept frames: each behind a word that says its size and sequence, padded to eight
 * bytes, and wrapped where the memory ends.
 */
#include "config.h"

#include "channel/commy-keep.h"

#include <string.h>

#define FIRST_SIZE 4096u
#define IDLE_SIZE 65536u /* what an empty ring may hold on to */

typedef struct
{
  guint32 size;
  guint32 sequence;
} Mark;

/* Positions only grow; a position is in the memory at its remainder by the capacity. */
struct _CommyKeep
{
  guint8 *data;
  gsize capacity; /* a power of two, or 0 */
  guint64 head, tail;
  gsize limit;
};

CommyKeep *
commy_keep_new (gsize limit)
{
  CommyKeep *self = g_new0 (CommyKeep, 1);

  self->limit = limit;
  return self;
}

void
commy_keep_free (CommyKeep *self)
{
  if (self == NULL)
    return;
  g_free (self->data);
  g_free (self);
}

gboolean
commy_keep_has_room (const CommyKeep *self)
{
  return self->head - self->tail < self->limit;
}

gboolean
commy_keep_is_empty (const CommyKeep *self)
{
  return self->head == self->tail;
}

static void
read_at (const CommyKeep *self, guint64 position, gpointer out, gsize size)
{
  gsize at = (gsize) (position & (self->capacity - 1));
  gsize first = MIN (size, self->capacity - at);

  memcpy (out, self->data + at, first);
  memcpy ((guint8 *) out + first, self->data, size - first);
}

static void
write_at (CommyKeep *self, guint64 position, gconstpointer from, gsize size)
{
  gsize at = (gsize) (position & (self->capacity - 1));
  gsize first = MIN (size, self->capacity - at);

  memcpy (self->data + at, from, first);
  memcpy (self->data, (const guint8 *) from + first, size - first);
}

static gsize
room_of (gsize size)
{
  return sizeof (Mark) + ((size + 7) & ~(gsize) 7);
}

static void
grow (CommyKeep *self, gsize wanted)
{
  gsize used = (gsize) (self->head - self->tail);
  gsize capacity = MAX (self->capacity, FIRST_SIZE);
  guint8 *data;

  while (capacity < used + wanted)
    capacity *= 2;
  if (capacity == self->capacity)
    return;
  data = g_malloc (capacity);
  if (used > 0)
    read_at (self, self->tail, data, used);
  g_free (self->data);
  self->data = data;
  self->capacity = capacity;
  self->tail = 0;
  self->head = used;
}

void
commy_keep_add (CommyKeep *self, guint32 sequence, gconstpointer frame, gsize size)
{
  Mark mark = { (guint32) size, sequence };

  if (G_UNLIKELY (self->head - self->tail + room_of (size) > self->capacity))
    grow (self, room_of (size));
  write_at (self, self->head, &mark, sizeof mark);
  write_at (self, self->head + sizeof mark, frame, size);
  self->head += room_of (size);
}

/* An idle channel does not hold on to what a busy moment needed. */
static void
settle (CommyKeep *self)
{
  if (self->head != self->tail || self->capacity <= IDLE_SIZE)
    return;
  g_clear_pointer (&self->data, g_free);
  self->capacity = 0;
  self->head = self->tail = 0;
}

void
commy_keep_acked (CommyKeep *self, guint32 sequence)
{
  Mark mark;

  while (self->head != self->tail)
    {
      read_at (self, self->tail, &mark, sizeof mark);
      if ((gint32) (sequence - mark.sequence) < 0)
        return;
      self->tail += room_of (mark.size);
    }
  settle (self);
}

GBytes *
commy_keep_take (CommyKeep *self, guint32 *out_sequence)
{
  guint8 *frame;
  Mark mark;

  if (self->head == self->tail)
    return NULL;
  read_at (self, self->tail, &mark, sizeof mark);
  frame = g_malloc (MAX (mark.size, 1));
  read_at (self, self->tail + sizeof mark, frame, mark.size);
  self->tail += room_of (mark.size);
  *out_sequence = mark.sequence;
  settle (self);
  return g_bytes_new_take (frame, mark.size);
}
