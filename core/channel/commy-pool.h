/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool of one transport for what goes to several peers at a time: they share one buffer. It is
 * for a set of principals, because each of them can read all that is written into it. Its
 * owner is inside the worker of the channels it is lent over; buffers are given back anywhere.
 */
#pragma once

#include "channel/commy-channel.h"

#define COMMY_POOL_FROM 16384u /* bytes; below, a copy is cheaper */

typedef struct _CommyPool CommyPool;

/* A buffer of a pool. Written by who took it, until it is lent for the first time. */
typedef struct
{
  gatomicrefcount refs;
  CommyPool *pool;
  CommyBlock block;
} CommyBuffer;

/* For what goes over the path that @channel is on now: nobody may read it yet. NULL: its transport
 * has none. */
CommyPool *commy_pool_new (CommyChannel *channel, gsize limit);
CommyPool *commy_pool_ref (CommyPool *pool); /* any thread */
void commy_pool_unref (CommyPool *pool);     /* any thread */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPool, commy_pool_unref)

/* --- whom it is for --- */

/* Whether @channel can be lent something of @pool, as far as transports go. */
gboolean commy_pool_reaches (CommyPool *pool, CommyChannel *channel);
/* Whether its peer may read what is in there. */
gboolean commy_pool_admits (CommyPool *pool, CommyChannel *channel);
/* Adds the peer of @channel, before the first buffer is taken. */
void commy_pool_add (CommyPool *pool, CommyChannel *channel);
/* Looks whether the peers of some channels are those that the pool is for, and all of them: begin,
 * one call for each channel (FALSE: it is not), and the end. */
void commy_pool_count_begin (CommyPool *pool);
gboolean commy_pool_count (CommyPool *pool, CommyChannel *channel);
gboolean commy_pool_count_end (CommyPool *pool);

/* --- buffers --- */

/* NULL: there is no room at present. */
CommyBuffer *commy_pool_take (CommyPool *pool, gsize size);
CommyBuffer *commy_buffer_ref (CommyBuffer *buffer); /* any thread */
void commy_buffer_unref (gpointer buffer);           /* any thread */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyBuffer, commy_buffer_unref)

/* --- commy-channel-shared.c --- */

/* Whether the path of @channel takes messages that lie in pools. */
gboolean commy_channel_borrows (CommyChannel *channel);
/* One frame with the first @size bytes of @buffer as its payload, held back until it is flushed. As
 * reserving and committing, or UNSUPPORTED: copy it. */
CommyIo commy_channel_send_shared (CommyChannel *channel,
                                   CommyFrameSpec *spec,
                                   CommyBuffer *buffer,
                                   gsize size);
