/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short table of the processes at the other ends, looked through when a connection is made or
 * closed.
 */
#include "config.h"

#include "commy-peers.h"

#include <poll.h>
#include <unistd.h>

typedef struct
{
  int pid;
  int pidfd;
  guint users;
} Peer;

void
commy_shm_peers_init (ShmPeers *self)
{
  g_mutex_init (&self->lock);
  self->peers = g_array_new (FALSE, FALSE, sizeof (Peer));
}

void
commy_shm_peers_clear (ShmPeers *self)
{
  g_clear_pointer (&self->peers, g_array_unref);
  g_mutex_clear (&self->lock);
}

/* While the process lives its number is not given to another one. */
static gboolean
is_alive (int pidfd)
{
  struct pollfd ended = { .fd = pidfd, .events = POLLIN };

  return poll (&ended, 1, 0) == 0;
}

int
commy_shm_peers_share (ShmPeers *self, int pid, int pidfd)
{
  Peer peer = { .pid = pid, .pidfd = pidfd, .users = 1 };

  if (pidfd < 0)
    return pidfd;
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->peers->len && peer.users > 0; i++)
    {
      Peer *known = &g_array_index (self->peers, Peer, i);

      if (known->pid != pid || !is_alive (known->pidfd))
        continue;
      known->users++;
      close (pidfd);
      pidfd = known->pidfd;
      peer.users = 0;
    }
  if (peer.users > 0)
    g_array_append_val (self->peers, peer);
  g_mutex_unlock (&self->lock);
  return pidfd;
}

void
commy_shm_peers_release (void *peers, int pidfd)
{
  ShmPeers *self = peers;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->peers->len; i++)
    {
      Peer *known = &g_array_index (self->peers, Peer, i);

      if (known->pidfd != pidfd)
        continue;
      if (--known->users == 0)
        {
          close (pidfd);
          g_array_remove_index_fast (self->peers, i);
        }
      break;
    }
  g_mutex_unlock (&self->lock);
}
