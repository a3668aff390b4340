/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a sender keeps of an ordered flow until the other side has it: copies of frames, for paths
 * that do not leave them in the sender's own memory. A ring of bytes that grows with what is on
 * its way and shrinks when all of it arrived. Plain memory and no channel, so that it is tested
 * alone.
 */
#pragma once

#include <glib.h>

typedef struct _CommyKeep CommyKeep;

/* @limit: bytes; a frame may still be added while less is kept, so one of any size always may. */
CommyKeep *commy_keep_new (gsize limit);
void commy_keep_free (CommyKeep *keep);

gboolean commy_keep_has_room (const CommyKeep *keep);
gboolean commy_keep_is_empty (const CommyKeep *keep);
/* Sequences come in order, each one more than the last. */
void commy_keep_add (CommyKeep *keep, guint32 sequence, gconstpointer frame, gsize size);
/* Everything up to @sequence, which wraps, has arrived. */
void commy_keep_acked (CommyKeep *keep, guint32 sequence);
/* Takes the oldest one out; NULL: it is empty. (transfer full) */
GBytes *commy_keep_take (CommyKeep *keep, guint32 *out_sequence);
