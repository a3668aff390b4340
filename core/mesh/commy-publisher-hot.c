/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishing in the hot loop: raw bytes in a buffer that all subscribers share, used again as soon
 * as nobody needs it. What is large is written where they read it, if they can. No payload's
 * memory is allocated while everybody keeps up.
 */
#include "config.h"

#include "mesh/commy-publisher-private.h"

#include "base/commy-error-private.h"

/* What is larger is not kept for the next publication. */
#define SPARE_MAX (1024u * 1024u)

static void
keep_spare (CommyPublisher *self, CommyPost *post)
{
  if (self->spare == NULL && post->shared == NULL && post->capacity <= SPARE_MAX
      && commy_post_is_alone (post))
    self->spare = post;
  else
    commy_post_unref (post);
}

/* NULL: in memory of its own. */
static CommyPost *
reserve_shared (CommyPublisher *self, gsize size)
{
  CommyWorker *worker = self->worker->worker;
  CommyPost *post = NULL;
  CommyPool *pool;

  if (size < COMMY_POOL_FROM)
    return NULL;
  commy_worker_enter (worker);
  pool = commy_publisher_get_pool (self);
  if (pool != NULL)
    post = commy_post_new_shared (pool, size);
  commy_worker_exit (worker);
  return post;
}

static CommyPost *
reserve_private (CommyPublisher *self, gsize size)
{
  CommyPost *post = g_steal_pointer (&self->spare);

  if (post != NULL && post->capacity >= size)
    return post;
  commy_post_unref (post);
  return commy_post_new_buffer (size);
}

gboolean
commy_publisher_reserve (CommyPublisher *self, gsize size, CommySpan *out_span, GError **error)
{
  CommyPost *post;

  g_return_val_if_fail (self->building == NULL, FALSE);
  if (!commy_publisher_check (self, error))
    return FALSE;
  if (size > self->mesh->shared.max_payload)
    {
      commy_set_error (error, COMMY_ERROR_TOO_BIG,
                       "%" G_GSIZE_FORMAT " bytes are more than the limit \"message\" allows",
                       size);
      return FALSE;
    }
  post = reserve_shared (self, size);
  if (post == NULL)
    post = reserve_private (self, size);
  self->building = post;
  out_span->data = post->buffer;
  out_span->size = size;
  return TRUE;
}

gboolean
commy_publisher_commit (CommyPublisher *self, const CommySpan *span, GError **error)
{
  CommyPost *post = self->building;

  g_return_val_if_fail (post != NULL && span->data == post->buffer, FALSE);
  g_return_val_if_fail (span->size <= post->capacity, FALSE);
  if (!commy_publisher_check (self, error))
    {
      commy_publisher_discard (self);
      return FALSE;
    }
  self->building = NULL;
  post->size = span->size;
  commy_publisher_spread (self, post, FALSE);
  keep_spare (self, post);
  return TRUE;
}

void
commy_publisher_discard (CommyPublisher *self)
{
  CommyPost *post = g_steal_pointer (&self->building);

  if (post != NULL)
    keep_spare (self, post);
}

void
commy_publisher_flush (CommyPublisher *self)
{
  CommyWorker *worker;

  if (!commy_publisher_check (self, NULL))
    return;
  worker = self->worker->worker;
  commy_worker_enter_sync (worker);
  self->walking++;
  for (guint i = 0; i < self->readers->len; i++)
    {
      CommyReader *reader = self->readers->pdata[i];

      while (!reader->ended && !commy_reader_is_idle (reader) && commy_reader_poll (reader))
        ;
      if (!reader->ended)
        commy_reader_pump (reader);
      commy_reader_flush (reader);
    }
  self->walking--;
  commy_worker_leave_sync (worker);
  commy_publisher_turn (self);
}
