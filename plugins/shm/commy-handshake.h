/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Setting up a connection on the mesh thread: both sides say what they speak and pass the memory
 * they write; each reads a number out of the other's memory and says it back, which proves that
 * one kernel serves both. Then the link is open.
 */
#pragma once

#include "commy-link.h"
#include "commy-peers.h"
#include "plugins/common/commy-door.h"

#include <commy/commy-plugin.h>

typedef struct _ShmHandshake ShmHandshake;

/* The end of it, on the mesh thread and never from inside a call; @error is the callee's to
 * look at only. The handshake has no watch any more; with @error its link was closed. */
typedef void (*ShmHandshakeDone) (ShmHandshake *handshake, const GError *error);

struct _ShmHandshake
{
  CommyHost *host;
  ShmPeers *peers;
  ShmMaps *maps;
  ShmLink *link;
  ShmShape own_shape;
  ShmShape peer_shape;
  guint16 borrow_limit;
  gboolean is_client;
  gboolean greeted; /* the peer's hello came, its memory is mapped */
  guint watch;
  DoorPeer peer;
  guint8 binding[32];
  ShmHandshakeDone done;
};

/* Takes @fd and sends our hello. `host`, `peers`, `link`, shape, limit and `done` are set. With
 * FALSE nothing is left and `done` is not called. */
gboolean commy_shm_handshake_start (ShmHandshake *self, int fd, gboolean is_client, GError **error);
/* Ends it without a word; closes the link. */
void commy_shm_handshake_stop (ShmHandshake *self);
