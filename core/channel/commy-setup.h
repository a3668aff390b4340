/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Setting a channel up, on the mesh thread, on both sides: transport, who the other side is,
 * hello and welcome. Everything before a peer is authenticated happens here, bounded in
 * number, size and time.
 */
#pragma once

#include "channel/commy-channel.h"
#include "security/commy-attempts.h"
#include "security/commy-auth-chain.h"
#include "security/commy-standing.h"

typedef struct _CommySetup CommySetup;
typedef struct _CommyListener CommyListener;

/* Where an accepted channel goes. */
typedef struct
{
  CommyWorker *worker; /* (transfer none) */
  const CommyChannelHandler *handler;
  gpointer handler_data;      /* a reference of the channel's; given back by handler->closed */
  const char *instance;       /* its id, (transfer none) */
  const char *interface_name; /* what it offers, (transfer none); NULL: it does not say */
  const char *interface_hash;
} CommyDestination;

/* What all set-ups of a node share; mesh thread. */
typedef struct
{
  const CommyChannelShared *channel;
  GMainContext *context;
  const char *mesh;
  const char *node;
  char **serializers;       /* offered, in wire order from 1 */
  CommyPlugin **auth;       /* asked in this order; NULL-terminated */
  CommyAuthChains *chains;  /* who has to accept a peer */
  CommyAttempts *attempts;  /* of peers that failed to prove who they are */
  CommyAttempts *addresses; /* and where they came from; NULL: that is not counted */
  /* One more of @source has failed, whom a transport knows by evidence of @kind (KERNEL: this host
   * alone knows whom that means); NULL: nobody is told. */
  void (*locked_out) (gpointer data, const char *source, CommyEvidenceKind kind);
  gpointer locked_out_data;
  CommyStandings *standings; /* what connections rest on; NULL: nobody looks after it */
  gint64 timeout_ns;
  CommyQuota *handshakes; /* accepted and under way */
  CommyQuota *channels;   /* accepted and open */
  gint turned_away;       /* because there were too many; atomic */
  GHashTable *connecting; /* CommySetup of this side; NULL: none yet */
  /* Finds the instance an incoming hello names; @instance "": any of @service. */
  gboolean (*locate) (gpointer data,
                      const char *service,
                      const char *instance,
                      CommyDestination *out_destination,
                      GError **error);
  gpointer locate_data;
} CommySetupShared;

/* @channel: (transfer full), not yet given to its worker; or @error. */
typedef void (*CommySetupDoneFunc) (gpointer data, CommyChannel *channel, const GError *error);

/* Connects for @worker. @done comes later, exactly once. @instance "": whichever the other side
 * picks; the welcome tells. Without a node in @endpoint any may answer. */
CommySetup *commy_setup_connect (CommySetupShared *shared,
                                 CommyPlugin *transport,
                                 const CommyEndpoint *endpoint,
                                 const char *service,
                                 const char *instance,
                                 CommyWorker *worker,
                                 CommySetupDoneFunc done,
                                 gpointer data);
/* Right after it: its caller looks for another path when the channel loses this one
 * (commy_channel_on_adrift()). */
void commy_setup_allow_moves (CommySetup *setup);
/* Connects for a flow that @channel has; its worker is told first, and @done is called then,
 * without a channel: whether the flow is adrift tells how it went. With @error nothing happened. */
void commy_setup_resume (CommySetupShared *shared,
                         CommyPlugin *transport,
                         const CommyEndpoint *endpoint,
                         CommyChannel *channel,
                         guint32 number,
                         CommySetupDoneFunc done,
                         gpointer data);
/* Fails all that connect, and tells them. */
void commy_setup_cancel_all (CommySetupShared *shared);

/* Accepts on a transport. */
CommyListener *
commy_listener_new (CommySetupShared *shared, CommyPlugin *transport, GError **error);
const char *commy_listener_get_address (CommyListener *listener);
const char *commy_listener_get_transport (CommyListener *listener);
void commy_listener_free (CommyListener *listener);

/* Gives a set-up channel to its worker; any thread. */
void commy_channel_adopt (CommyChannel *channel);
/* The same from the worker's own thread, at once. */
void commy_channel_adopt_here (CommyChannel *channel);
/* Tells the connecting side about the end of its channel. */
void commy_channel_on_closed (CommyChannel *channel,
                              void (*func) (gpointer data, CommyChannel *channel),
                              gpointer data);

/* Security of a stack before it is connected: what the transport and the providers promise. */
guint commy_setup_expected_security (CommySetupShared *shared, const CommyProfile *transport);
