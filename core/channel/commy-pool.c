/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools and their buffers: whom a pool is for, and what keeps it alive. The memory itself is the
 * transport's.
 */
#include "config.h"

#include "channel/commy-pool.h"

#include "channel/commy-channel-private.h"

#include <string.h>
#include <unistd.h>

typedef struct
{
  CommyPrincipal *principal;
  gboolean counted;
} Reader;

struct _CommyPool
{
  gatomicrefcount refs;
  GObject *owner; /* the plugins' code and tables are the mesh's */
  CommyPlugin *transport;
  gpointer pool;
  GArray *readers; /* Reader */
  guint n_counted;
  pid_t pid; /* a forked child has neither the memory nor a say */
};

/* --- life --- */

static void
reader_clear (gpointer data)
{
  commy_principal_unref (((Reader *) data)->principal);
}

CommyPool *
commy_pool_new (CommyChannel *channel, gsize limit)
{
  CommyPlugin *transport = channel->transport;
  gpointer pool = transport->ops.transport.pool_new (transport->instance, limit);
  CommyPool *self;

  if (pool == NULL)
    return NULL;
  self = g_new0 (CommyPool, 1);
  g_atomic_ref_count_init (&self->refs);
  self->owner = g_object_ref (channel->shared->owner);
  self->transport = transport;
  self->pool = pool;
  self->pid = getpid ();
  self->readers = g_array_new (FALSE, FALSE, sizeof (Reader));
  g_array_set_clear_func (self->readers, reader_clear);
  return self;
}

CommyPool *
commy_pool_ref (CommyPool *pool)
{
  g_atomic_ref_count_inc (&pool->refs);
  return pool;
}

void
commy_pool_unref (CommyPool *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs) || self->pid != getpid ())
    return;
  self->transport->ops.transport.pool_free (self->pool);
  g_array_unref (self->readers);
  g_object_unref (self->owner);
  g_free (self);
}

/* --- whom it is for --- */

/* Who it is depends on the path: the same peer has a name for each way to prove who it is. */
static CommyPrincipal *
peer_of (CommyChannel *channel)
{
  return channel->moves.peer != NULL ? channel->moves.peer : channel->peer;
}

static Reader *
find (CommyPool *self, CommyPrincipal *principal)
{
  for (guint i = 0; i < self->readers->len; i++)
    {
      Reader *reader = &g_array_index (self->readers, Reader, i);

      if (reader->principal == principal
          || strcmp (commy_principal_get_name (reader->principal),
                     commy_principal_get_name (principal))
                 == 0)
        return reader;
    }
  return NULL;
}

gboolean
commy_pool_reaches (CommyPool *pool, CommyChannel *channel)
{
  return channel->borrows && channel->transport == pool->transport;
}

gboolean
commy_pool_admits (CommyPool *pool, CommyChannel *channel)
{
  return find (pool, peer_of (channel)) != NULL;
}

void
commy_pool_add (CommyPool *pool, CommyChannel *channel)
{
  Reader reader = { .counted = TRUE };

  if (find (pool, peer_of (channel)) != NULL)
    return;
  reader.principal = commy_principal_ref (peer_of (channel));
  g_array_append_val (pool->readers, reader);
}

void
commy_pool_count_begin (CommyPool *pool)
{
  pool->n_counted = 0;
  for (guint i = 0; i < pool->readers->len; i++)
    g_array_index (pool->readers, Reader, i).counted = FALSE;
}

gboolean
commy_pool_count (CommyPool *pool, CommyChannel *channel)
{
  Reader *reader = find (pool, peer_of (channel));

  if (reader == NULL)
    return FALSE;
  pool->n_counted += !reader->counted;
  reader->counted = TRUE;
  return TRUE;
}

gboolean
commy_pool_count_end (CommyPool *pool)
{
  return pool->n_counted == pool->readers->len;
}

/* --- buffers --- */

CommyBuffer *
commy_pool_take (CommyPool *pool, gsize size)
{
  CommyBlock block;
  CommyBuffer *self;

  if (pool->transport->ops.transport.pool_take (pool->pool, MAX (size, 1), &block) != COMMY_IO_OK)
    return NULL;
  self = g_new (CommyBuffer, 1);
  g_atomic_ref_count_init (&self->refs);
  self->pool = commy_pool_ref (pool);
  self->block = block;
  return self;
}

CommyBuffer *
commy_buffer_ref (CommyBuffer *buffer)
{
  g_atomic_ref_count_inc (&buffer->refs);
  return buffer;
}

void
commy_buffer_unref (gpointer data)
{
  CommyBuffer *self = data;

  if (self == NULL || !g_atomic_ref_count_dec (&self->refs) || self->pool->pid != getpid ())
    return;
  self->pool->transport->ops.transport.pool_give (&self->block);
  commy_pool_unref (self->pool);
  g_free (self);
}
