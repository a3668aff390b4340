/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks of memory for messages. Large ones are used again, because the kernel takes longer to
 * find and clear fresh pages than a processor needs to send what is put there. What nobody used for
 * a second goes back to the system. Any thread.
 */
#pragma once

#include <glib.h>

/* Smaller blocks are malloc()'s. */
#define COMMY_STOCK_FROM (32u << 10)

typedef struct _CommyStock CommyStock;

/* At most @limit bytes lie here unused. What lies too long is swept in @context. */
CommyStock *commy_stock_new (gsize limit, GMainContext *context);
/* Blocks that are out may still come back later. NULL: nothing. */
void commy_stock_close (CommyStock *stock);
/* Bytes that lie here unused. */
gsize commy_stock_get_idle (CommyStock *stock);

/* A block of at least @size bytes, aligned to 16; @stock NULL: of malloc(). Given back with
 * commy_block_free(). */
guint8 *commy_stock_take (CommyStock *stock, gsize size);
/* One that lies here unused, or NULL: takes no memory that this process does not have already, so
 * that a peer's word for @size may be taken. */
guint8 *commy_stock_find (CommyStock *stock, gsize size);

/* The same bytes in a block of @size or more. */
guint8 *commy_block_grow (guint8 *block, gsize size);
gsize commy_block_get_size (const guint8 *block);
void commy_block_free (gpointer block); /* NULL: nothing */
