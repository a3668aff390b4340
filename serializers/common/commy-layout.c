/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Type strings taken apart: see the header. Sizes and alignments are those of the GVariant
 * specification.
 */
#include "config.h"

#include "commy-layout.h"
#include "commy-values.h"

static const char *add_layout (const char *at, CommyLayout **next);

/* Tuples and dictionary entries. Returns what follows the closing bracket. */
static const char *
add_members (CommyLayout *self, const char *at, CommyLayout **next)
{
  char end = self->kind == '(' ? ')' : '}';
  gboolean fixed = TRUE;
  gsize size = 0;

  while (*at != end)
    {
      const CommyLayout *member = *next;

      at = add_layout (at, next);
      self->n_members++;
      self->alignment |= member->alignment;
      self->nesting = MAX (self->nesting, (guint8) (member->nesting + 1));
      fixed = fixed && member->fixed_size > 0;
      size = commy_layout_align (size, member->alignment) + member->fixed_size;
    }
  if (fixed)
    self->fixed_size = MAX (commy_layout_align (size, self->alignment), 1);
  self->nesting = MAX (self->nesting, 1);
  return at + 1;
}

/* As deep as the type, of which GLib calls at most 128 levels valid. */
static const char *
add_layout (const char *at, CommyLayout **next)
{
  CommyLayout *self = (*next)++;
  guint basic = commy_values_basic_size (*at);

  *self = (CommyLayout){ .text = at, .kind = *at, .fixed_size = basic };
  at++;
  if (basic > 0)
    self->alignment = (guint8) (basic - 1);
  else if (self->kind == 'v')
    self->alignment = 7;
  else if (self->kind == 'a' || self->kind == 'm')
    {
      const CommyLayout *element = *next;

      at = add_layout (at, next);
      self->alignment = element->alignment;
      self->nesting = (guint8) (element->nesting + 1);
    }
  else if (self->kind == '(' || self->kind == '{')
    at = add_members (self, at, next);
  self->text_size = (gsize) (at - self->text);
  self->n_layouts = (gsize) (*next - self);
  return at;
}

const CommyLayout *
commy_layouts_take (CommyLayouts *self, const char *text, gsize size)
{
  CommyLayout *next = self->few;

  /* No more types than letters. */
  self->many = size > COMMY_LAYOUTS_FEW ? g_new (CommyLayout, size) : NULL;
  if (self->many != NULL)
    next = self->many;
  add_layout (text, &next);
  return self->many != NULL ? self->many : self->few;
}

void
commy_layouts_clear (CommyLayouts *self)
{
  g_clear_pointer (&self->many, g_free);
}

guint
commy_layout_offset_size (gsize body, gsize n_offsets)
{
  if (body + n_offsets <= G_MAXUINT8)
    return 1;
  if (body + 2 * n_offsets <= G_MAXUINT16)
    return 2;
  return body + 4 * n_offsets <= G_MAXUINT32 ? 4 : 8;
}
