/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is published, once in memory for all who wait for it, and the queues that hold references:
 * a publisher's history and what waits for a subscriber. What is large lies in a pool, where there
 * is one, so that subscribers read it there. Its owner's thread, but for references.
 */
#pragma once

#include "channel/commy-pool.h"

/* A value has at most one encoding for each serializer of a mesh; what is beyond is not kept. */
#define COMMY_POST_ENCODINGS 4u

typedef struct
{
  gatomicrefcount refs;
  guint64 sequence;
  gsize size;          /* what it counts for in limits */
  GVariant *value;     /* NULL: raw bytes, */
  GBytes *bytes;       /* these or */
  guint8 *buffer;      /* these: of the hot loop, 64-byte aligned */
  gsize capacity;      /* of @buffer */
  CommyPool *pool;     /* where to put what is shared, or NULL */
  CommyBuffer *shared; /* raw bytes in the pool: @buffer or a copy of @bytes; or NULL */
  struct
  {
    CommyPlugin *serializer;
    GBytes *bytes;
    CommyBuffer *shared; /* where they lie, or NULL */
  } encodings[COMMY_POST_ENCODINGS];
} CommyPost;

CommyPost *commy_post_new_value (GVariant *value); /* keeps a reference */
CommyPost *commy_post_new_bytes (GBytes *bytes);   /* the same */
CommyPost *commy_post_new_buffer (gsize capacity); /* `size` is for who fills it */
/* The same in a pool. NULL: there is no room in it. */
CommyPost *commy_post_new_shared (CommyPool *pool, gsize capacity);
/* What is sent of it is to lie in @pool, as far as there is room. */
void commy_post_set_pool (CommyPost *post, CommyPool *pool);
CommyPost *commy_post_ref (CommyPost *post); /* any thread */
void commy_post_unref (gpointer post);       /* any thread */
/* Whether the caller's is the only reference. */
gboolean commy_post_is_alone (CommyPost *post);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPost, commy_post_unref)

/* What goes over the wire, encoded once for each @serializer (of values; ignored for raw bytes).
 * Borrowed from the post. NULL data with @error: it cannot be encoded. */
gboolean commy_post_payload (CommyPost *post,
                             CommyPlugin *serializer,
                             const guint8 **out_data,
                             gsize *out_size,
                             GError **error);
/* The same as bytes that keep the post. (transfer full) */
GBytes *commy_post_dup_payload (CommyPost *post, CommyPlugin *serializer, GError **error);
/* The same where @channel can be lent it. (transfer none); NULL: it cannot, copy */
CommyBuffer *commy_post_shared (CommyPost *post, CommyPlugin *serializer, CommyChannel *channel);

/* --- queues --- */

/* References in order; grows as needed up to @max_length and @max_bytes. */
typedef struct
{
  CommyPost **slots;
  guint capacity; /* a power of two, or 0 */
  guint first;
  guint length;
  gsize bytes;
  guint max_length;
  gsize max_bytes;
} CommyPostQueue;

void commy_post_queue_init (CommyPostQueue *queue, guint max_length, gsize max_bytes);
void commy_post_queue_clear (CommyPostQueue *queue);
/* Whether one more of @size bytes would exceed a limit. An empty queue takes any. */
gboolean commy_post_queue_is_full (const CommyPostQueue *queue, gsize size);
void commy_post_queue_push (CommyPostQueue *queue, CommyPost *post); /* keeps a reference */
CommyPost *commy_post_queue_peek (const CommyPostQueue *queue);      /* (transfer none); or NULL */
CommyPost *commy_post_queue_get (const CommyPostQueue *queue, guint i); /* (transfer none) */
CommyPost *commy_post_queue_pop (CommyPostQueue *queue); /* (transfer full); or NULL */
/* The one that was taken last, back to its place. (transfer full) */
void commy_post_queue_put_back (CommyPostQueue *queue, CommyPost *post);

/* For a history: without gaps the last ones that fit; one that never fits empties it. What went out
 * last and has no other reference comes back to be used again. (transfer full) (nullable) */
CommyPost *commy_post_queue_remember (CommyPostQueue *queue, CommyPost *post);
