/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moving the channel of one path to another path of the same instance: because a route switched,
 * or because the path was lost. A route is at home on the path that its messages keep their order
 * on; a channel moves only where everybody who is at home with it may go. Owner's thread only.
 */
#pragma once

#include "mesh/commy-peers.h"

/* A route's place. Zeroed memory is nowhere. */
struct _CommyHome
{
  CommyPeer *peer;    /* reference */
  CommyPath *path;    /* NULL: nowhere */
  GPtrArray *allowed; /* CommyPath of that peer, best first; NULL: nothing is known to be */
  gboolean was_moved; /* with others: the route's next decision begins from there */
};

/* The route that @home belongs to was decided: it is at home on @path of @peer, and @allowed
 * (transfer full) are the paths it could take as well. If it was on another path of that peer, the
 * channel goes along, where it can. @must_leave: nothing more may be sent over the old one.
 * Whether the channel moves. */
gboolean commy_home_settle (
    CommyHome *home, CommyPeer *peer, CommyPath *path, GPtrArray *allowed, gboolean must_leave);
/* A new decision is under way: what was allowed may not be any more. */
void commy_home_doubt (CommyHome *home);
void commy_home_leave (CommyHome *home);

/* Moves the channel of @from to @to; FALSE: it cannot. */
gboolean commy_path_move (CommyPath *from, CommyPath *to, gboolean must_leave);
/* A function for commy_channel_on_fading(): sets the same path up once more, and goes over to it
 * when it is there. If that fails the old one stays. */
void commy_path_on_fading (gpointer path, CommyChannel *channel);
/* A function for commy_channel_on_adrift(): looks for another path for @path's channel. */
gboolean commy_path_on_adrift (gpointer path, CommyChannel *channel, const GError *error);
