/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is left of a connection after close: a socket with bytes the kernel would not take, or a
 * peer that has not read the last words. Lives on the mesh thread, briefly and in limited number.
 */
#pragma once

#include <commy/commy-plugin.h>

/* Of one instance of a transport. */
typedef struct
{
  CommyHost *host;
  GMutex lock; /* protects the next one */
  GPtrArray *lingers;
} LingerList;

void commy_linger_init (LingerList *list, CommyHost *host);
/* Sends what it can at once, then ends all. */
void commy_linger_deinit (LingerList *list);
/* Takes over @fd and @buffer (nullable; g_free()), of which [@at, @end) is still to be sent; then
 * says that nothing follows, and waits a little for the peer, because closing at once could
 * throw away what the peer has not read yet; longer, but not without end, for one that goes on
 * reading. Any thread. */
void commy_linger_add (LingerList *list, int fd, guint8 *buffer, gsize at, gsize end);
