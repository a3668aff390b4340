/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guards of one service on one thread: all clients there share what calls have shown of its
 * instances, however short their own lives are. A method with settings of its own has a guard of
 * its own; calls of the others share one. Owner's thread only; but what the keyfile limits, all
 * threads of the mesh share.
 */
#pragma once

#include "control/commy-guard.h"
#include "mesh/commy-peers.h"

#define COMMY_NOT_IN_WARD G_MAXUINT32

typedef struct
{
  char *method; /* NULL: all that have none of their own */
  CommyResilience policy;
  CommyGuard guard;
} CommyWardGuard;

struct _CommyWard
{
  GPtrArray *guards; /* of CommyWardGuard; the first is for all other methods */
  CommyPeers *peers; /* borrowed, theirs */
  CommyMesh *mesh;   /* borrowed */
  char *service;
  GPtrArray *members;      /* CommyPeer, references, in the guard's order */
  CommySnapshot *snapshot; /* that the members were last held against; or NULL */
  guint32 epoch;           /* the mesh's then */
  guint64 chance;          /* state of commy_chance_next() */
  gboolean is_called;      /* by calls of the program, not only to look how instances are */
  guint64 n_messages;      /* of its open channels, when that was last looked at */
};

/* (transfer none): lives as long as @peers. */
CommyWard *commy_peers_ensure_ward (CommyPeers *peers, const char *service);
void commy_ward_free (CommyWard *ward);
/* A call is made. Told now and then, for the record of what this process calls. */
void commy_ward_note_call (CommyWard *ward);
/* Inside the worker: the same of streams that were opened before and have gone on since the last
 * time. */
void commy_peers_note_streams (CommyPeers *peers);

CommyGuard *commy_ward_find_guard (const CommyWard *ward, const char *method);
static inline CommyGuard *
commy_ward_get_guard (const CommyWard *ward, const char *method)
{
  if (G_LIKELY (ward->guards->len == 1))
    return &((CommyWardGuard *) ward->guards->pdata[0])->guard;
  return commy_ward_find_guard (ward, method);
}

/* A route was decided: its members are this service's, as @snapshot has them, and who is no more in
 * it is forgotten. */
void commy_ward_update (CommyWard *ward,
                        CommySnapshot *snapshot,
                        CommyPeer *const *members,
                        guint n_members);

/* Whom a call has been sent to, by slots of peers. */
#define COMMY_TRIES_MAX 16u

typedef struct
{
  guint n;
  guint32 slots[COMMY_TRIES_MAX];
} CommyTries;

static inline void
commy_tries_add (CommyTries *tries, const CommyPeer *peer)
{
  tries->slots[tries->n++ % COMMY_TRIES_MAX] = peer->slot;
}

/* It was not sent after all. */
static inline void
commy_tries_remove (CommyTries *tries, const CommyPeer *peer)
{
  if (tries->n > 0 && tries->n <= COMMY_TRIES_MAX && tries->slots[tries->n - 1] == peer->slot)
    tries->n--;
}

/* From the @first-th on. */
static inline gboolean
commy_tries_has (const CommyTries *tries, guint first, const CommyPeer *peer)
{
  for (guint i = first; i < MIN (tries->n, COMMY_TRIES_MAX); i++)
    if (tries->slots[i] == peer->slot)
      return TRUE;
  return FALSE;
}

/* A call under way to an instance. */
typedef struct
{
  CommyPeer *peer; /* reference; NULL: none is */
  CommyGuard *guard;
  CommyGuardAttempt guarded;
  guint32 term; /* the peer's, when it began */
} CommyGuarded;

void commy_ward_begin (CommyGuard *guard, CommyGuarded *call, CommyPeer *peer, gint64 now_ns);
/* Nothing where none is under way. */
void commy_ward_end (CommyWard *ward, CommyGuarded *call, CommyOutcome outcome, gint64 now_ns);
/* Whether it is sent again, and when. @tries: NULL where there is nobody else. */
CommyRetryVerdict commy_ward_decide_retry (CommyWard *ward,
                                           CommyGuard *guard,
                                           const CommyTries *tries,
                                           guint n_sent,
                                           CommyOutcome outcome,
                                           gboolean idempotent,
                                           gint64 now_ns,
                                           gint64 deadline_ns,
                                           gint64 *out_at_ns);

/* One bit a member of a route that is not to be picked. */
typedef struct
{
  guint n_words;
  const CommyGuard *guard; /* that it was made by */
  guint64 serial;          /* of the guard, when `blocked` was made; 0: not yet */
  guint64 version;         /* grows whenever it is made, by whichever guard */
  guint n_blocked, n_barred;
  guint64 *blocked;
  guint64 *barred;   /* as the guard says */
  guint64 *excluded; /* for one call */
} CommyRouteMask;

typedef enum
{
  COMMY_WARD_NOBODY, /* may be picked */
  COMMY_WARD_UNWELL, /* only those may that are not well, because all are so */
  COMMY_WARD_WELL,   /* at least one is */
} CommyWardVerdict;

void commy_route_mask_clear (CommyRouteMask *mask);
/* Who of @members may not be picked. */
CommyWardVerdict commy_ward_exclude (CommyGuard *guard,
                                     CommyRouteMask *mask,
                                     CommyPeer *const *members,
                                     guint n_members,
                                     const CommyTries *tries,
                                     gint64 now_ns,
                                     const guint64 **out_excluded);
/* Whether @peer is not to be picked while others are well. */
gboolean commy_ward_leaves_out (const CommyGuard *guard, const CommyPeer *peer);
/* When that may change because time passes; one second at most. */
gint64 commy_ward_get_recheck (const CommyGuard *guard, gint64 now_ns);
/* (transfer full): why none of them can be picked. */
char *
commy_ward_explain (CommyWard *ward, CommyGuard *guard, const CommyTries *tries, gint64 now_ns);
/* What became of a call, for whom it was sent to. @error: NULL if it went well. */
CommyOutcome commy_outcome_judge (const GError *error, gboolean sent);
