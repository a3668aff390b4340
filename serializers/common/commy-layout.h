/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How values of a type lie in memory: a type string taken apart once, so that who goes through
 * many values asks nothing of it twice. For serializers that read and write GVariant's memory
 * themselves.
 */
#pragma once

#include <glib.h>

/* One type; the types inside it follow at once, each with what is inside it. */
typedef struct
{
  const char *text; /* its type string, not ended by a NUL */
  gsize text_size;
  gsize fixed_size; /* of every value of it; 0 if they differ */
  gsize n_layouts;  /* of itself and all inside: so far is the next one on the same level */
  gsize n_members;  /* of a tuple or dictionary entry */
  guint8 alignment; /* less one */
  guint8 nesting;   /* levels of containers */
  char kind;        /* the first letter of the type string */
} CommyLayout;

#define COMMY_LAYOUTS_FEW 12

typedef struct
{
  CommyLayout few[COMMY_LAYOUTS_FEW];
  CommyLayout *many; /* used if @few are too few */
} CommyLayouts;

/* Takes a valid, definite type apart; @text is referred to, not copied. The result lives until
 * commy_layouts_clear(), which must be called. @self need not be initialised. */
const CommyLayout *commy_layouts_take (CommyLayouts *self, const char *text, gsize size);
void commy_layouts_clear (CommyLayouts *self);

/* Where a part of this @alignment begins, at @at or behind. */
static inline gsize
commy_layout_align (gsize at, guint8 alignment)
{
  return (at + alignment) & ~(gsize) alignment;
}

/* Bytes of each offset in a container of @body bytes to which @n_offsets are added. */
guint commy_layout_offset_size (gsize body, gsize n_offsets);
