/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The paths of one worker: for every instance it talks to, a path per transport with its
 * channel, what was measured, and how it failed. Shared by all clients of the worker; owner's
 * thread only.
 */
#pragma once

#include "channel/commy-channel-move.h"
#include "channel/commy-setup.h"
#include "control/commy-instance.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-route.h"

typedef struct _CommyPeer CommyPeer;
typedef struct _CommyPathMove CommyPathMove;
typedef struct _CommyHome CommyHome;
typedef struct _CommyWard CommyWard;

/* Whose calls under way changed last: what routes that balance read. */
typedef struct
{
  guint64 n_changes;
  guint32 slots[64]; /* of the last ones, in a ring */
} CommyLoads;

struct _CommyPeers
{
  CommyMesh *mesh;
  CommyWorker *worker;
  GHashTable *peers; /* CommyInstance, as commy_instance_equal() -> CommyPeer */
  GHashTable *wards; /* service -> CommyWard */
  guint32 epoch;
  guint32 n_slots;         /* that peers have had */
  GArray *free_slots;      /* guint32: those of peers that are gone */
  CommyLoads *loads;       /* NULL: nobody balances */
  guint32 last_generation; /* of the sets of members that are balanced over */
};

typedef struct
{
  CommyPeer *peer; /* borrowed */
  CommyPlugin *transport;
  char *address;
  CommyChannel *channel; /* NULL: not connected; it may still be on its way from another path */
  CommyPathMove *move;   /* that is under way; commy-path-move.c */
  GPtrArray *homes;      /* CommyHome of the routes that keep their order here */
  CommyCalibration calibration;
  guint failures;     /* in a row */
  gint64 retry_at_ns; /* not to be tried before */
  char *failure;      /* why, a phrase */
  gboolean connecting;
  GPtrArray *waiters; /* PathWaiter */
} CommyPath;

struct _CommyPeer
{
  gatomicrefcount refs;
  CommyPeers *peers; /* borrowed; NULL once the table is gone */
  CommyInstance *instance;
  GPtrArray *paths;   /* CommyPath */
  guint32 in_flight;  /* calls and streams; commy_peer_begin() */
  guint32 slot;       /* a number below the table's n_slots, its own while it is there */
  gint64 born_ns;     /* when the instance began, on the steady clock; commy-slow-start.h */
  guint32 ward_index; /* in its service's ward, or COMMY_NOT_IN_WARD */
  guint32 ward_term;  /* how often it has come into it */
};

typedef void (*CommyPathFunc) (gpointer data, CommyPath *path, const GError *error);

CommyPeers *commy_peers_new (CommyMesh *mesh, CommyWorker *worker);
void commy_peers_free (CommyPeers *peers);
/* Grows whenever a path came or went: routes look again. */
static inline guint32
commy_peers_get_epoch (const CommyPeers *peers)
{
  return peers->epoch;
}

void commy_peers_touch (CommyPeers *peers);

/* A path was dialled for a service, and its peer judged by whether it may offer that one: no other
 * service has a share in it, whatever id its record has. */
CommyPeer *commy_peers_ensure (CommyPeers *peers, CommyInstance *instance); /* (transfer none) */
/* Instances of @service that are not in @present (CommyInstance -> anything) are gone for good:
 * those that nobody uses any more are forgotten. */
void commy_peers_prune (CommyPeers *peers, const char *service, GHashTable *present);
CommyPeer *commy_peer_ref (CommyPeer *peer);
void commy_peer_unref (CommyPeer *peer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPeer, commy_peer_unref)

/* From now on changes of calls under way are written down. How many slots there are. */
guint32 commy_peers_watch_loads (CommyPeers *peers);

static inline void
commy_peer_note_load (CommyPeer *peer)
{
  CommyLoads *loads = peer->peers != NULL ? peer->peers->loads : NULL;

  if (G_UNLIKELY (loads != NULL))
    loads->slots[loads->n_changes++ % G_N_ELEMENTS (loads->slots)] = peer->slot;
}

/* A call is under way; each ends once. */
static inline void
commy_peer_begin (CommyPeer *peer)
{
  peer->in_flight++;
  commy_peer_note_load (peer);
}

static inline void
commy_peer_end (CommyPeer *peer)
{
  peer->in_flight--;
  commy_peer_note_load (peer);
}

CommyPath *commy_peer_ensure_path (CommyPeer *peer, CommyPlugin *transport, const char *address);
CommyPath *commy_peer_find_path (CommyPeer *peer, const char *transport);

/* A usable channel is there. */
gboolean commy_path_is_up (CommyPath *path);
/* Connects; @func is called exactly once, from the worker's source, or at once if it is up. */
void commy_path_connect (CommyPath *path, CommyPathFunc func, gpointer data);
gboolean commy_path_connect_sync (CommyPath *path,
                                  gint64 deadline_us,
                                  GCancellable *cancellable,
                                  GError **error);
/* The channel was put into the path: its end is told here. */
void commy_path_own_channel (CommyPath *path);
/* It failed: back off, and let the store look whether the peer is dead. */
void commy_path_failed (CommyPath *path, const GError *error);
