/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a sender keeps of an ordered flow until the other side has it, for paths that do not leave
 * it in the sender's own memory: copies of small frames, and references to the messages that larger
 * ones are pieces of. Memory follows what is on its way and goes back when that arrived. Plain
 * memory and no channel, so that it is tested alone.
 */
#pragma once

#include "base/commy-stock.h"

typedef struct _CommyKeep CommyKeep;

/* @limit: bytes; a frame may still be added while less is kept, so one of any size always may.
 * @stock (nullable): where memory comes from when much is on its way. */
CommyKeep *commy_keep_new (gsize limit, CommyStock *stock);
void commy_keep_free (CommyKeep *keep);

gboolean commy_keep_has_room (const CommyKeep *keep);
gboolean commy_keep_is_empty (const CommyKeep *keep);
/* Sequences come in order, each one more than the last. */
void commy_keep_add (CommyKeep *keep, guint32 sequence, gconstpointer frame, gsize size);
/* The same for a frame that is @prefix, which is copied, and @size bytes of @message from @at on.
 */
void commy_keep_add_piece (CommyKeep *keep,
                           guint32 sequence,
                           gconstpointer prefix,
                           gsize prefix_size,
                           GBytes *message,
                           gsize at,
                           gsize size);
/* Everything up to @sequence, which wraps, has arrived. */
void commy_keep_acked (CommyKeep *keep, guint32 sequence);
/* Tells of each that is kept, oldest first: a frame of @size bytes, of which the first @head_size
 * stand at @head. */
typedef void (*CommyKeepFunc) (gpointer data, const guint8 *head, gsize head_size, gsize size);
void commy_keep_foreach (const CommyKeep *keep, CommyKeepFunc func, gpointer data);
/* Takes the oldest one out; NULL: it is empty. (transfer full) */
GBytes *commy_keep_take (CommyKeep *keep, guint32 *out_sequence);
