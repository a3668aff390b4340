/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Posts and their queues. A value is encoded when the first subscriber needs it; subscribers with
 * the same serializer share the bytes.
 */
#include "config.h"

#include "mesh/commy-post.h"

#include "base/commy-error-private.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64u
#define FIRST_CAPACITY 8u

/* --- posts --- */

static CommyPost *
post_new (gsize size)
{
  CommyPost *self = g_new0 (CommyPost, 1);

  g_atomic_ref_count_init (&self->refs);
  self->size = size;
  return self;
}

CommyPost *
commy_post_new_value (GVariant *value)
{
  CommyPost *self = post_new (g_variant_get_size (value));

  self->value = g_variant_ref_sink (value);
  return self;
}

CommyPost *
commy_post_new_bytes (GBytes *bytes)
{
  CommyPost *self = post_new (g_bytes_get_size (bytes));

  self->bytes = g_bytes_ref (bytes);
  return self;
}

CommyPost *
commy_post_new_buffer (gsize capacity)
{
  CommyPost *self = post_new (0);

  self->capacity = (MAX (capacity, 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  self->buffer = aligned_alloc (ALIGNMENT, self->capacity);
  if (self->buffer == NULL)
    g_error ("no memory for a publication of %" G_GSIZE_FORMAT " bytes", capacity);
  return self;
}

CommyPost *
commy_post_new_shared (CommyPool *pool, gsize capacity)
{
  CommyBuffer *shared = commy_pool_take (pool, capacity);
  CommyPost *self;

  if (shared == NULL)
    return NULL;
  self = post_new (0);
  self->pool = commy_pool_ref (pool);
  self->shared = shared;
  self->buffer = shared->block.data;
  self->capacity = shared->block.size;
  return self;
}

void
commy_post_set_pool (CommyPost *post, CommyPool *pool)
{
  if (post->pool == NULL && pool != NULL)
    post->pool = commy_pool_ref (pool);
}

CommyPost *
commy_post_ref (CommyPost *post)
{
  g_atomic_ref_count_inc (&post->refs);
  return post;
}

static void
forget_encoding (CommyPost *self, guint i)
{
  g_clear_pointer (&self->encodings[i].bytes, g_bytes_unref);
  g_clear_pointer (&self->encodings[i].shared, commy_buffer_unref);
}

void
commy_post_unref (gpointer data)
{
  CommyPost *self = data;

  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  for (guint i = 0; i < COMMY_POST_ENCODINGS; i++)
    forget_encoding (self, i);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  if (self->shared == NULL)
    free (self->buffer);
  commy_buffer_unref (self->shared);
  commy_pool_unref (self->pool);
  g_free (self);
}

gboolean
commy_post_is_alone (CommyPost *post)
{
  return g_atomic_ref_count_compare (&post->refs, 1);
}

/* @out_shared: where they lie, or NULL. Both (transfer full) */
static GBytes *
encode (CommyPost *self, CommyPlugin *serializer, CommyBuffer **out_shared, GError **error)
{
  const CommySerializerOps *ops = &serializer->ops.serializer;
  gsize bound = MAX (ops->bound (serializer->instance, self->value), 1);
  g_autoptr (CommyBuffer) shared = NULL;
  g_autofree guint8 *buffer = NULL;
  guint8 *out;
  gssize size;

  if (self->pool != NULL && bound >= COMMY_POOL_FROM)
    shared = commy_pool_take (self->pool, bound);
  if (shared == NULL)
    buffer = g_malloc (bound);
  out = shared != NULL ? shared->block.data : buffer;
  size = ops->encode (serializer->instance, self->value, out, bound, error);
  if (size < 0)
    return NULL;
  if (shared == NULL)
    return g_bytes_new_take (g_steal_pointer (&buffer), (gsize) size);
  *out_shared = commy_buffer_ref (shared);
  return g_bytes_new_with_free_func (out, (gsize) size, commy_buffer_unref,
                                     g_steal_pointer (&shared));
}

/* (transfer full) */
static GBytes *
dup_encoding (CommyPost *self, CommyPlugin *serializer, GError **error)
{
  CommyBuffer *shared = NULL;
  GBytes *bytes;
  guint i;

  for (i = 0; i < COMMY_POST_ENCODINGS && self->encodings[i].bytes != NULL; i++)
    if (self->encodings[i].serializer == serializer)
      return g_bytes_ref (self->encodings[i].bytes);
  bytes = encode (self, serializer, &shared, error);
  if (bytes == NULL)
    return NULL;
  /* The last place is for whoever came last. */
  i = MIN (i, COMMY_POST_ENCODINGS - 1);
  forget_encoding (self, i);
  self->encodings[i].serializer = serializer;
  self->encodings[i].shared = shared;
  self->encodings[i].bytes = g_bytes_ref (bytes);
  return bytes;
}

gboolean
commy_post_payload (CommyPost *self,
                    CommyPlugin *serializer,
                    const guint8 **out_data,
                    gsize *out_size,
                    GError **error)
{
  g_autoptr (GBytes) encoded = NULL;

  if (self->buffer != NULL)
    {
      *out_data = self->buffer;
      *out_size = self->size;
      return TRUE;
    }
  if (self->value != NULL)
    encoded = dup_encoding (self, serializer, error);
  if (self->value != NULL && encoded == NULL)
    return FALSE;
  *out_data = g_bytes_get_data (encoded != NULL ? encoded : self->bytes, out_size);
  return TRUE;
}

GBytes *
commy_post_dup_payload (CommyPost *self, CommyPlugin *serializer, GError **error)
{
  if (self->value != NULL)
    return dup_encoding (self, serializer, error);
  if (self->bytes != NULL)
    return g_bytes_ref (self->bytes);
  return g_bytes_new_with_free_func (self->buffer, self->size, commy_post_unref,
                                     commy_post_ref (self));
}

/* Bytes of the application's are copied once, for all. */
static CommyBuffer *
share_bytes (CommyPost *self)
{
  gsize size;
  gconstpointer data;

  if (self->shared != NULL || self->bytes == NULL)
    return self->shared;
  data = g_bytes_get_data (self->bytes, &size);
  self->shared = commy_pool_take (self->pool, size);
  if (self->shared != NULL)
    memcpy (self->shared->block.data, data, size);
  else
    g_clear_pointer (&self->pool, commy_pool_unref); /* the next one need not try again */
  return self->shared;
}

CommyBuffer *
commy_post_shared (CommyPost *self, CommyPlugin *serializer, CommyChannel *channel)
{
  if (self->pool == NULL || !commy_pool_reaches (self->pool, channel)
      || !commy_pool_admits (self->pool, channel))
    return NULL;
  if (self->value == NULL)
    return share_bytes (self);
  for (guint i = 0; i < COMMY_POST_ENCODINGS && self->encodings[i].bytes != NULL; i++)
    if (self->encodings[i].serializer == serializer)
      return self->encodings[i].shared;
  return NULL;
}

/* --- queues --- */

void
commy_post_queue_init (CommyPostQueue *queue, guint max_length, gsize max_bytes)
{
  *queue = (CommyPostQueue){ .max_length = max_length, .max_bytes = max_bytes };
}

void
commy_post_queue_clear (CommyPostQueue *queue)
{
  CommyPost *post;

  while ((post = commy_post_queue_pop (queue)) != NULL)
    commy_post_unref (post);
  g_clear_pointer (&queue->slots, g_free);
  queue->capacity = queue->first = 0;
}

gboolean
commy_post_queue_is_full (const CommyPostQueue *queue, gsize size)
{
  return queue->length > 0
         && (queue->length >= queue->max_length || queue->bytes > queue->max_bytes
             || size > queue->max_bytes - queue->bytes);
}

CommyPost *
commy_post_queue_get (const CommyPostQueue *queue, guint i)
{
  return queue->slots[(queue->first + i) & (queue->capacity - 1)];
}

static void
grow (CommyPostQueue *queue)
{
  guint capacity = queue->capacity > 0 ? queue->capacity * 2 : FIRST_CAPACITY;
  CommyPost **slots = g_new (CommyPost *, capacity);

  for (guint i = 0; i < queue->length; i++)
    slots[i] = commy_post_queue_get (queue, i);
  g_free (queue->slots);
  queue->slots = slots;
  queue->capacity = capacity;
  queue->first = 0;
}

void
commy_post_queue_push (CommyPostQueue *queue, CommyPost *post)
{
  if (queue->length == queue->capacity)
    grow (queue);
  queue->slots[(queue->first + queue->length) & (queue->capacity - 1)] = commy_post_ref (post);
  queue->length++;
  queue->bytes += post->size;
}

CommyPost *
commy_post_queue_peek (const CommyPostQueue *queue)
{
  return queue->length > 0 ? queue->slots[queue->first] : NULL;
}

CommyPost *
commy_post_queue_pop (CommyPostQueue *queue)
{
  CommyPost *post = commy_post_queue_peek (queue);

  if (post == NULL)
    return NULL;
  queue->first = (queue->first + 1) & (queue->capacity - 1);
  queue->length--;
  queue->bytes -= post->size;
  return post;
}

void
commy_post_queue_put_back (CommyPostQueue *queue, CommyPost *post)
{
  g_assert (queue->length < queue->capacity);
  queue->first = (queue->first - 1) & (queue->capacity - 1);
  queue->slots[queue->first] = post;
  queue->length++;
  queue->bytes += post->size;
}

CommyPost *
commy_post_queue_remember (CommyPostQueue *queue, CommyPost *post)
{
  CommyPost *spare = NULL;
  gboolean fits = queue->max_length > 0 && post->size <= queue->max_bytes;

  while (queue->length > 0 && (!fits || commy_post_queue_is_full (queue, post->size)))
    {
      commy_post_unref (spare);
      spare = commy_post_queue_pop (queue);
    }
  if (fits)
    commy_post_queue_push (queue, post);
  if (spare != NULL && commy_post_is_alone (spare))
    return spare;
  commy_post_unref (spare);
  return NULL;
}
