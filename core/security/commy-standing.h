/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What open connections rest on: a connection is set up with a proof of who the other side is, and
 * the proof may end, be taken back or be denied while the connection is open. Each connection has a
 * standing; one look goes over all of them and says what became of each. Time and chance are
 * arguments: microseconds since 1970.
 */
#pragma once

#include "security/commy-deny-list.h"

#include <commy/commy-auth.h>

typedef enum
{
  COMMY_STANDING_GOOD,
  COMMY_STANDING_FADING, /* to be replaced, by the side that connected */
  COMMY_STANDING_OVER,   /* to be closed */
} CommyStandingState;

#define COMMY_STANDING_PROOFS_MAX 8u

/* One of the proofs, and whom to ask for it. */
typedef struct
{
  CommyProof proof;
  CommyAuthStandsFunc stands;
  gpointer instance;
} CommyStandingProof;

typedef struct _CommyStandings CommyStandings;
typedef struct _CommyStanding CommyStanding;

/* @ask_every_us: how often providers are asked whether a proof holds. @grace_us: how long a
 * connection stays after its proof ended, or was to be made anew. */
CommyStandings *commy_standings_new (gint64 ask_every_us, gint64 grace_us);
CommyStandings *commy_standings_ref (CommyStandings *standings); /* any thread */
void commy_standings_unref (CommyStandings *standings);          /* any thread */
/* Mesh thread. (transfer none) */
CommyDenyList *commy_standings_get_deny_list (CommyStandings *standings);
/* Mesh thread: @func is called when there is one more. NULL: nobody is. */
void
commy_standings_tell_added (CommyStandings *standings, void (*func) (gpointer data), gpointer data);
guint commy_standings_get_n (CommyStandings *standings);

/* Mesh thread: a new connection's, looked at once. @principals: words, all that it was proved to
 * be; the first is what it counts as, and who denies one of them denies it. @random: so that not
 * all are replaced at the same moment. */
CommyStanding *commy_standings_add (CommyStandings *standings,
                                    const char *principals,
                                    const CommyStandingProof *proofs,
                                    guint n_proofs,
                                    gint64 now_us,
                                    guint32 random);
/* Mesh thread: looks at all, and tells the owners of those that are not good. When there will be
 * something to see by time alone; G_MAXINT64: never. */
gint64 commy_standings_look (CommyStandings *standings, gint64 now_us);

/* --- one of them; any thread --- */

void commy_standing_free (CommyStanding *standing);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyStanding, commy_standing_free)
/* @data is told whenever a look finds it not good: @hold takes a reference that @tell gives back.
 * Who is told must free the standing before the last reference goes. NULL: nobody is. */
void commy_standing_watch (CommyStanding *standing,
                           void (*hold) (gpointer data),
                           void (*tell) (gpointer data),
                           gpointer data);
CommyStandingState commy_standing_get_state (const CommyStanding *standing);
/* Once it is over: why, a phrase. (transfer none) */
const char *commy_standing_get_reason (const CommyStanding *standing);
/* Names of all its proofs, "" if they have none; and when the first of them ends, 0: none does. */
const char *commy_standing_get_ids (const CommyStanding *standing);
gint64 commy_standing_get_until_s (const CommyStanding *standing);
