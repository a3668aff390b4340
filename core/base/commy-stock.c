/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stock: a short list of unused blocks, the last one that came back goes out first. Each
 * block knows its stock, and holds it while it is out.
 */
#include "config.h"

#include "base/commy-stock.h"

#define SWEEP_S 1u
#define IDLE_MAX 64u /* blocks */
/* A block is not given to who wants much less. */
#define WASTE 4u
#define GRAIN 4096u

/* In front of the bytes. */
typedef struct
{
  CommyStock *stock; /* NULL: malloc()'s alone; else a reference while the block is out */
  gsize size;
} Block;

G_STATIC_ASSERT (sizeof (Block) == 16);

typedef struct
{
  Block *block;
  gboolean old; /* has lain here since before the last sweep */
} Idle;

struct _CommyStock
{
  gatomicrefcount refs;
  GMainContext *context;
  gsize limit;
  GMutex lock; /* of all below */
  Idle idle[IDLE_MAX];
  guint n_idle;
  gsize bytes;
  GSource *sweeper; /* NULL: nothing to sweep */
  gboolean closed;
};

static Block *
block_of (gconstpointer bytes)
{
  return (Block *) (gpointer) ((guint8 *) bytes - sizeof (Block));
}

static guint8 *
bytes_of (Block *block)
{
  return (guint8 *) (block + 1);
}

static Block *
block_new (gsize size)
{
  Block *block = g_malloc (sizeof *block + size);

  *block = (Block){ .stock = NULL, .size = size };
  return block;
}

/* --- the stock --- */

CommyStock *
commy_stock_new (gsize limit, GMainContext *context)
{
  CommyStock *self = g_new0 (CommyStock, 1);

  g_atomic_ref_count_init (&self->refs);
  self->limit = limit;
  self->context = g_main_context_ref (context);
  g_mutex_init (&self->lock);
  return self;
}

static void
stock_unref (gpointer data)
{
  CommyStock *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static Block *
take_at (CommyStock *self, guint at)
{
  Block *block = self->idle[at].block;

  self->bytes -= block->size;
  self->n_idle--;
  for (guint i = at; i < self->n_idle; i++)
    self->idle[i] = self->idle[i + 1];
  return block;
}

static void
drop_at (CommyStock *self, guint at)
{
  g_free (take_at (self, at));
}

static gboolean
sweep (gpointer data)
{
  CommyStock *self = data;
  gboolean more;

  g_mutex_lock (&self->lock);
  for (guint i = self->n_idle; i-- > 0;)
    if (self->idle[i].old)
      drop_at (self, i);
    else
      self->idle[i].old = TRUE;
  more = self->n_idle > 0 && !self->closed;
  if (!more)
    g_clear_pointer (&self->sweeper, g_source_unref);
  g_mutex_unlock (&self->lock);
  return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* Under the lock. */
static void
start_sweeping (CommyStock *self)
{
  if (self->sweeper != NULL)
    return;
  self->sweeper = g_timeout_source_new_seconds (SWEEP_S);
  g_source_set_static_name (self->sweeper, "commy stock");
  g_atomic_ref_count_inc (&self->refs);
  g_source_set_callback (self->sweeper, sweep, self, stock_unref);
  g_source_attach (self->sweeper, self->context);
}

void
commy_stock_close (CommyStock *self)
{
  g_autoptr (GSource) sweeper = NULL;

  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  while (self->n_idle > 0)
    drop_at (self, self->n_idle - 1);
  sweeper = g_steal_pointer (&self->sweeper);
  g_mutex_unlock (&self->lock);
  if (sweeper != NULL)
    g_source_destroy (sweeper);
  stock_unref (self);
}

gsize
commy_stock_get_idle (CommyStock *self)
{
  gsize bytes;

  g_mutex_lock (&self->lock);
  bytes = self->bytes;
  g_mutex_unlock (&self->lock);
  return bytes;
}

/* --- blocks --- */

/* The smallest that fits; of equal ones the last that came. */
static Block *
find (CommyStock *self, gsize size)
{
  Block *found = NULL;
  guint best = IDLE_MAX;

  g_mutex_lock (&self->lock);
  for (guint i = self->n_idle; i-- > 0;)
    {
      gsize there = self->idle[i].block->size;

      if (there >= size && there / WASTE <= size
          && (best == IDLE_MAX || there < self->idle[best].block->size))
        best = i;
    }
  if (best != IDLE_MAX)
    found = take_at (self, best);
  g_mutex_unlock (&self->lock);
  if (found != NULL)
    {
      g_atomic_ref_count_inc (&self->refs);
      found->stock = self;
    }
  return found;
}

guint8 *
commy_stock_find (CommyStock *self, gsize size)
{
  Block *block = self != NULL && size >= COMMY_STOCK_FROM ? find (self, size) : NULL;

  return block != NULL ? bytes_of (block) : NULL;
}

guint8 *
commy_stock_take (CommyStock *self, gsize size)
{
  guint8 *bytes = commy_stock_find (self, size);
  Block *block;

  if (bytes != NULL)
    return bytes;
  if (self == NULL || size < COMMY_STOCK_FROM)
    return bytes_of (block_new (size));
  block = block_new ((size + GRAIN - 1) / GRAIN * GRAIN);
  g_atomic_ref_count_inc (&self->refs);
  block->stock = self;
  return bytes_of (block);
}

guint8 *
commy_block_grow (guint8 *bytes, gsize size)
{
  Block *block = block_of (bytes);

  if (size <= block->size)
    return bytes;
  block = g_realloc (block, sizeof *block + size);
  block->size = size;
  return bytes_of (block);
}

gsize
commy_block_get_size (const guint8 *bytes)
{
  return block_of (bytes)->size;
}

/* FALSE: there is no place for it. */
static gboolean
put (CommyStock *self, Block *block)
{
  gboolean taken;

  g_mutex_lock (&self->lock);
  taken = !self->closed && block->size <= self->limit;
  while (taken && (self->n_idle == IDLE_MAX || self->bytes + block->size > self->limit))
    drop_at (self, 0);
  if (taken)
    {
      self->idle[self->n_idle++] = (Idle){ .block = block };
      self->bytes += block->size;
      start_sweeping (self);
    }
  g_mutex_unlock (&self->lock);
  return taken;
}

void
commy_block_free (gpointer bytes)
{
  Block *block;
  CommyStock *stock;

  if (bytes == NULL)
    return;
  block = block_of (bytes);
  stock = g_steal_pointer (&block->stock);
  if (stock == NULL || !put (stock, block))
    g_free (block);
  if (stock != NULL)
    stock_unref (stock);
}
