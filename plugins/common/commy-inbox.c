/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks of received bytes: see the header.
 */
#include "config.h"

#include "commy-inbox.h"

#include <string.h>

/* A message of 64 KiB and what stands in front of it. */
#define BLOCK_SIZE (68 * 1024)
#define BLOCK_GROWTH 4

struct _InboxBlock
{
  gsize refs; /* the inbox's, and one a loan */
  gsize size;
  gsize fill;
  gsize reserved;
  guint8 data[]; /* aligned to 8, because the head is 32 bytes */
};

G_STATIC_ASSERT (G_STRUCT_OFFSET (InboxBlock, data) % 8 == 0);

static InboxBlock *
block_new (Inbox *self, gsize size)
{
  InboxBlock *block = NULL;

  if (self->spare != NULL && self->spare->size >= size)
    block = g_steal_pointer (&self->spare);
  else
    {
      size = MAX (size, BLOCK_SIZE);
      block = g_malloc (sizeof *block + size);
      block->size = size;
    }
  block->refs = 1;
  block->fill = 0;
  return block;
}

static void
block_unref (Inbox *self, InboxBlock *block)
{
  if (--block->refs > 0)
    return;
  if (self->spare == NULL && self->block != NULL && block->size == BLOCK_SIZE)
    self->spare = block;
  else
    g_free (block);
}

gsize
commy_inbox_have (const Inbox *self)
{
  return self->block == NULL ? 0 : self->block->fill - self->parsed;
}

const guint8 *
commy_inbox_data (const Inbox *self)
{
  return self->block->data + self->parsed;
}

static void
make_room (Inbox *self, gsize need)
{
  InboxBlock *block = self->block;
  gsize have = commy_inbox_have (self);
  gsize size;

  if (block == NULL)
    {
      self->block = block_new (self, BLOCK_SIZE);
      self->parsed = 0;
      return;
    }
  if (have == 0 && block->refs == 1 && block->size == BLOCK_SIZE)
    self->parsed = block->fill = 0;
  if (block->fill < block->size && (self->parsed == 0 || self->parsed + need <= block->size))
    return;
  size = MAX (BLOCK_SIZE, MIN (need, BLOCK_GROWTH * have));
  if (block->refs == 1 && have > 0 && size <= block->size)
    {
      memmove (block->data, block->data + self->parsed, have);
      block->fill = have;
    }
  else if (block->refs == 1 && have > 0 && self->parsed == 0)
    {
      block = g_realloc (block, sizeof *block + size);
      block->size = size;
    }
  else
    {
      block = block_new (self, size);
      memcpy (block->data, self->block->data + self->parsed, have);
      block->fill = have;
      block_unref (self, self->block);
    }
  self->block = block;
  self->parsed = 0;
}

guint8 *
commy_inbox_room (Inbox *self, gsize need, gsize *out_size)
{
  make_room (self, need);
  *out_size = self->block->size - self->block->fill;
  return self->block->data + self->block->fill;
}

void
commy_inbox_filled (Inbox *self, gsize size)
{
  self->block->fill += size;
}

void
commy_inbox_take (Inbox *self, gsize size)
{
  self->parsed += size;
}

guint64
commy_inbox_lend (Inbox *self, gsize size)
{
  self->block->refs++;
  self->parsed += size;
  return (guint64) (gsize) self->block;
}

void
commy_inbox_give_back (Inbox *self, guint64 token)
{
  block_unref (self, (InboxBlock *) (gsize) token);
}

void
commy_inbox_clear (Inbox *self)
{
  InboxBlock *block = g_steal_pointer (&self->block);

  if (block != NULL)
    block_unref (self, block);
  g_clear_pointer (&self->spare, g_free);
}
