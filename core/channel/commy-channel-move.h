/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A flow that outlives its path: a channel leaves one connection and goes on over another. What
 * the other side had not received is sent again under new numbers, which begin behind the last
 * one it says it has; so nothing is lost, repeated or out of order, whatever became of the old
 * path. The connecting side decides to move; the accepting side only waits for it.
 */
#pragma once

#include "channel/commy-channel.h"
#include "channel/commy-hello.h"
#include "security/commy-standing.h"

/* A connection that was set up for a flow; its fields are the new owner's. */
typedef struct
{
  CommyPlugin *transport;
  gpointer connection;
  guint32 number;      /* of the move */
  guint32 received;    /* the last sequence that the other side has */
  gboolean peer_keeps; /* and wants acknowledgements */
  gboolean borrows;    /* both sides take messages in two parts over it */
  int peer_cpu;
  CommyPrincipal *peer;    /* who it proved to be on this connection */
  CommyStanding *standing; /* what that rests on, or NULL */
} CommyNewPath;

void commy_new_path_free (CommyNewPath *path);

/* Runs @func on the channel's worker, soon: also while a synchronous caller waits for the channel
 * there. Once, and also if the channel closes first. Any thread. */
void commy_channel_visit (CommyChannel *channel,
                          void (*func) (gpointer data, CommyChannel *channel),
                          gpointer data);

/* Who the peer proved to be on the path it is on now, and what is known of that; NULL: it never
 * moved. Any thread. (transfer full) */
CommyPrincipal *commy_channel_dup_present (CommyChannel *channel, CommyPolicyPath *out_path);

/* --- inside the worker --- */

/* Both sides agreed that the flow may move, and the path it is on can tell what did not arrive. */
gboolean commy_channel_can_move (CommyChannel *channel);
/* It goes over a connection of @transport. */
gboolean commy_channel_is_on (CommyChannel *channel, const CommyPlugin *transport);
/* It has no path at present. */
gboolean commy_channel_is_adrift (CommyChannel *channel);
void commy_channel_get_flow (CommyChannel *channel, CommyFlowName *out_flow);
/* How often it went on over another connection. */
guint64 commy_channel_count_moves (CommyChannel *channel);
/* Connecting side: a number for the next attempt. */
guint32 commy_channel_next_move (CommyChannel *channel);
/* Connecting side: @func is asked when the path is lost, with the data of on_closed; TRUE: it looks
 * for another one, and closes the channel if there is none. */
void commy_channel_on_adrift (CommyChannel *channel,
                              gboolean (*func) (gpointer data,
                                                CommyChannel *channel,
                                                const GError *error));

/* Connecting side: @func is told when the path is to be replaced by another of the same kind,
 * because what it was set up with nears its end; with the data of on_closed, and again until it
 * happened. */
void commy_channel_on_fading (CommyChannel *channel,
                              void (*func) (gpointer data, CommyChannel *channel));

/* Gives the path up: what is sent from now on waits for the next one. */
void commy_channel_cast_off (CommyChannel *channel);
/* Goes on over @path (transfer full). FALSE: that failed and the channel is adrift, or closed. */
gboolean commy_channel_land (CommyChannel *channel, CommyNewPath *path);
/* Whether the peer may do the same under the name that it has on another path. */
gboolean commy_channel_has_same_rights (CommyChannel *channel, CommyPrincipal *peer);
