/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the bytes of a stream arrive and messages are lent from, without a second copy. Knows
 * blocks and positions, neither sockets nor headers. Belongs to one thread at a time.
 *
 * Bytes are put into blocks; a block lives while it is the one being filled or something in it
 * is lent, so messages may come back in any order. Memory follows what arrived, never what a
 * header claims: a block grows to at most a few times what is in it.
 */
#pragma once

#include <glib.h>

/* How many bytes come in before others of the thread have their turn, though more are there. */
#define COMMY_INBOX_TURN (128u * 1024)

typedef struct _InboxBlock InboxBlock;

typedef struct
{
  InboxBlock *block; /* NULL before the first byte */
  InboxBlock *spare;
  gsize parsed; /* what was taken out of `block`; a multiple of 8 as long as records are */
} Inbox;

/* Bytes that arrived and were not taken, and where they begin: aligned to 8. */
gsize commy_inbox_have (const Inbox *self);
const guint8 *commy_inbox_data (const Inbox *self);
/* Room for more, in a block where @need bytes from the first one not taken can come to lie. */
guint8 *commy_inbox_room (Inbox *self, gsize need, gsize *out_size);
/* So many bytes were written into that room. */
void commy_inbox_filled (Inbox *self, gsize size);
/* Takes the first @size bytes; they may still be looked at until the next room. */
void commy_inbox_take (Inbox *self, gsize size);
/* Takes them on loan; the token gives them back. */
guint64 commy_inbox_lend (Inbox *self, gsize size);
void commy_inbox_give_back (Inbox *self, guint64 token);
/* Whoever still has something on loan may give it back later. */
void commy_inbox_clear (Inbox *self);
