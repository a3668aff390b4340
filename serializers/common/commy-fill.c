/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value built in place: see the header. The form is that of the GVariant specification:
 * parts padded to their alignment, offsets of their ends behind them, little-endian.
 */
#include "config.h"

#include "commy-fill.h"

#include <string.h>

#define ROOM_FIRST 64u
#define ENDS_FIRST 8u

void
commy_fill_init (CommyFill *self, gsize expected)
{
  *self = (CommyFill){ .room = MAX (expected, ROOM_FIRST) };
  self->data = g_malloc (self->room);
}

void
commy_fill_clear (CommyFill *self)
{
  g_clear_pointer (&self->data, g_free);
  g_clear_pointer (&self->ends, g_free);
}

void
commy_fill_grow (CommyFill *self, gsize more)
{
  self->room = MAX (self->room * 2, self->size + more);
  self->data = g_realloc (self->data, self->room);
}

CommyFillFrame
commy_fill_open (const CommyFill *self)
{
  return (CommyFillFrame){ .start = self->size, .n_ends = self->n_ends };
}

void
commy_fill_end_part (CommyFill *self, CommyFillFrame frame)
{
  if (self->n_ends == self->ends_room)
    {
      self->ends_room = MAX (self->ends_room * 2, ENDS_FIRST);
      self->ends = g_renew (gsize, self->ends, self->ends_room);
    }
  self->ends[self->n_ends++] = self->size - frame.start;
}

/* @backwards: as tuples have them. */
static void
add_offsets (CommyFill *self, CommyFillFrame frame, gboolean backwards)
{
  gsize n = self->n_ends - frame.n_ends;
  guint width = commy_layout_offset_size (self->size - frame.start, n);
  guint8 *out = commy_fill_add (self, n * width);

  for (gsize i = 0; i < n; i++)
    {
      gsize end = GSIZE_TO_LE (self->ends[frame.n_ends + (backwards ? n - 1 - i : i)]);

      memcpy (out + i * width, &end, width);
    }
  self->n_ends = frame.n_ends;
}

void
commy_fill_close_array (CommyFill *self, CommyFillFrame frame)
{
  add_offsets (self, frame, FALSE);
}

void
commy_fill_close_tuple (CommyFill *self, CommyFillFrame frame, const CommyLayout *layout)
{
  if (layout->fixed_size == 0)
    {
      add_offsets (self, frame, TRUE);
      return;
    }
  commy_fill_align (self, layout->alignment);
  if (layout->n_members == 0)
    *commy_fill_add (self, 1) = 0;
}

GVariant *
commy_fill_take (CommyFill *self, const GVariantType *type)
{
  g_autoptr (GBytes) bytes = NULL;

  /* Who keeps the value should not keep much more. */
  if (self->room - self->size > MAX (self->size, ROOM_FIRST))
    self->data = g_realloc (self->data, MAX (self->size, 1));
  bytes = g_bytes_new_take (g_steal_pointer (&self->data), self->size);
  commy_fill_clear (self);
  return g_variant_new_from_bytes (type, bytes, TRUE);
}
