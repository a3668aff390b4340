/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value built in the memory it will have, from front to back: GVariant's normal form without a
 * tree of GVariants in between. It costs the size of the value and 8 bytes for each part whose end
 * must be remembered; nothing is taken in advance.
 */
#pragma once

#include "commy-layout.h"

typedef struct
{
  guint8 *data;
  gsize size, room;
  gsize *ends; /* of the parts of the containers that are open, the innermost one's last */
  gsize n_ends, ends_room;
} CommyFill;

/* A container that is open. */
typedef struct
{
  gsize start;  /* where it begins in the data */
  gsize n_ends; /* how many ends there were before */
} CommyFillFrame;

/* @expected: the size that the value may have. */
void commy_fill_init (CommyFill *self, gsize expected);
void commy_fill_clear (CommyFill *self);
void commy_fill_grow (CommyFill *self, gsize more);

/* Room for the next @size bytes, valid until the next call; the caller fills it. */
static inline guint8 *
commy_fill_add (CommyFill *self, gsize size)
{
  guint8 *room;

  if (size > self->room - self->size)
    commy_fill_grow (self, size);
  room = self->data + self->size;
  self->size += size;
  return room;
}

/* Called before each value, also before one that will have no bytes. */
static inline void
commy_fill_align (CommyFill *self, guint8 alignment)
{
  gsize padding = commy_layout_align (self->size, alignment) - self->size;
  guint8 *room = commy_fill_add (self, padding);

  for (gsize i = 0; i < padding; i++)
    room[i] = 0;
}

CommyFillFrame commy_fill_open (const CommyFill *self);
/* After a part whose end must be remembered: of an array, if the element has no fixed size; of a
 * tuple the same, but for the last member. */
void commy_fill_end_part (CommyFill *self, CommyFillFrame frame);
void commy_fill_close_array (CommyFill *self, CommyFillFrame frame);
void commy_fill_close_tuple (CommyFill *self, CommyFillFrame frame, const CommyLayout *layout);

/* The value, floating; nothing is left in @self. */
GVariant *commy_fill_take (CommyFill *self, const GVariantType *type);
