/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom this instance has wait after failed attempts is told to the others through the store, and
 * what they tell counts here. The records are part of the deny list, whose watch hands them over.
 * Mesh thread only.
 */
#pragma once

#include "mesh/commy-mesh-private.h"
#include "security/commy-deny-list.h"

/* Records of this instance that are in the store at a time. Further sources wait here alone. */
#define COMMY_LOCK_OUTS_MAX 256u

typedef struct _CommyLockOuts CommyLockOuts;

/* After mesh->setup has its attempts. */
CommyLockOuts *commy_lock_outs_new (CommyMesh *mesh);
void commy_lock_outs_free (CommyLockOuts *lock_outs);
/* A record whose subject is a lock-out, as it is in the store now. */
void commy_lock_outs_take (CommyLockOuts *lock_outs, const CommyDenial *denial, gint64 revision);
/* It was in the store, and was taken away at @revision. */
void commy_lock_outs_take_away (CommyLockOuts *lock_outs, const char *subject, gint64 revision);
/* The watch that hands them over has ended: what the store has of this instance's counts no more,
 * so that nobody is let off where the store ends it. It is written anew when the watch is back. */
void commy_lock_outs_lose (CommyLockOuts *lock_outs);
void commy_lock_outs_resume (CommyLockOuts *lock_outs);
/* Takes those of this instance away that have ended; it does so by itself within a second or two.
 */
void commy_lock_outs_tidy_up (CommyLockOuts *lock_outs);
/* How many of this instance's are in the store, or on the way there. */
guint commy_lock_outs_get_n (CommyLockOuts *lock_outs);
