/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes at the other ends: one pidfd for all connections to the same process, because a
 * process may have a thousand connections, and descriptors are what runs out first. Any thread.
 */
#pragma once

#include <glib.h>

typedef struct
{
  GMutex lock;
  GArray *peers; /* under the lock */
} ShmPeers;

void commy_shm_peers_init (ShmPeers *self);
void commy_shm_peers_clear (ShmPeers *self);
/* Takes @pidfd of process @pid, and returns the one to use for it; -1 stays -1. */
int commy_shm_peers_share (ShmPeers *self, int pid, int pidfd);
/* As often as it was shared. @peers: a ShmPeers. */
void commy_shm_peers_release (void *peers, int pidfd);
