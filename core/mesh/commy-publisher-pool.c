/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pool of a publisher: for exactly the principals that are subscribed at present. Who has been
 * lent something can read whatever is written into the same pool later; so when one of them goes,
 * the next large publication begins another pool, and when one comes, too, which could read
 * what was written before it came.
 */
#include "config.h"

#include "mesh/commy-publisher-private.h"

/* Publications on their way, besides those that wait for a subscriber or are history. */
#define POOL_PER_TOPIC_MEMORY 4

static CommyChannel *
channel_of (const CommyReader *reader)
{
  return reader->stream->pipe->channel;
}

static gboolean
fits (CommyPublisher *self)
{
  commy_pool_count_begin (self->pool);
  for (guint i = 0; i < self->readers->len; i++)
    {
      const CommyReader *reader = self->readers->pdata[i];

      if (!reader->ended && commy_pool_reaches (self->pool, channel_of (reader))
          && !commy_pool_count (self->pool, channel_of (reader)))
        return FALSE;
    }
  return commy_pool_count_end (self->pool);
}

/* Of the transport of the first subscriber that can; the others get copies. */
static CommyPool *
make_pool (CommyPublisher *self)
{
  gsize memory = commy_config_get_size (self->mesh->config, "limits", "topic-memory");
  CommyPool *pool = NULL;

  for (guint i = 0; i < self->readers->len; i++)
    {
      const CommyReader *reader = self->readers->pdata[i];

      if (reader->ended || !commy_channel_borrows (channel_of (reader)))
        continue;
      if (pool == NULL)
        pool = commy_pool_new (channel_of (reader), POOL_PER_TOPIC_MEMORY * memory);
      if (pool != NULL && commy_pool_reaches (pool, channel_of (reader)))
        commy_pool_add (pool, channel_of (reader));
    }
  return pool;
}

CommyPool *
commy_publisher_get_pool (CommyPublisher *self)
{
  if (self->pool != NULL && fits (self))
    return self->pool;
  g_clear_pointer (&self->pool, commy_pool_unref);
  self->pool = make_pool (self);
  return self->pool;
}
