/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a set-up, for its files: new channels, who the other side is, and flows that go on
 * over another path.
 * Mesh thread only.
 */
#pragma once

#include "channel/commy-channel-private.h"
#include "channel/commy-setup.h"

#define COMMY_SETUP_FRAME_MAX 16384u
/* What is larger than this, and no mistake, is refused at its header; the rest is told why. */
#define COMMY_SETUP_MESSAGE_MAX 65536u

struct _CommySetup
{
  CommySetupShared *shared;
  CommyListener *listener; /* NULL: connecting side */
  CommyPlugin *transport;
  const CommyTransportOps *ops;
  gpointer connection;
  CommyWorker *worker; /* connecting side: (transfer full) */
  char *service;
  char *instance;
  const char *interface_name; /* accepting side: what the instance offers, for the welcome */
  const char *interface_hash;
  char *expected_node;
  CommySetupDoneFunc done;
  gpointer data;
  CommyPrincipal *peer;
  char *proved;            /* all that a chain found the peer to be, words; `peer` first */
  GArray *proofs;          /* CommyStandingProof: what either side's providers say of theirs */
  CommyStanding *standing; /* that rests on them */
  CommySeat *seat;         /* accepting side: among those that are set up */
  CommySeat *channel;      /* and among the open ones; the channel's once there is one */
  GSource *fd_source;
  guint fd_events;
  GSource *timeout;
  gboolean open;

  struct _CommyExchange *exchange; /* about who the other side is; commy-exchange.h */

  /* flows that move; commy-setup-move.c */
  gboolean wants_moves; /* connecting side: its caller can look for another path */
  CommyFlowName given;  /* accepting side: the name of the new flow; 0: it cannot move */
  CommyChannel *flow;   /* that goes on here, or NULL; a reference */
  guint32 number;       /* of its move */
  struct _CommySetupTicket *ticket; /* accepting side: its worker is asked */
  gboolean awaits_ack; /* accepting side: what the other side received is still to come */
  guint32 received;    /* what this side received */
  gboolean peer_keeps;
  gboolean borrows; /* messages in two parts can go over it */
  int peer_cpu;
};

/* @listener: NULL: connecting side. */
CommySetup *
commy_setup_new (CommySetupShared *shared, CommyListener *listener, CommyPlugin *transport);
void commy_setup_drop_source (GSource **source);
/* Frees what is left; the connection too unless it was handed on. */
void commy_setup_free (CommySetup *self);
/* (transfer full): the connection, which is somebody else's from now on, whose peer is known. */
gpointer commy_setup_hand_over (CommySetup *self);
/* It failed: both sides hear why. */
void commy_setup_fail (CommySetup *self, const GError *error, gboolean tell_peer);
void commy_setup_send_close (CommySetup *self, const GError *error);
gboolean
commy_setup_send_frame (CommySetup *self, CommyFrameSpec *spec, gconstpointer payload, gsize size);
/* The path is open. */
void commy_setup_on_open (CommySetup *self);
/* Reads the one frame that set-up waits for, or sleeps until it is there. */
void commy_setup_progress (CommySetup *self);
/* Zeroed, at an address that is a multiple of 64; for free(). */
gpointer commy_setup_alloc (gsize size);

/* --- commy-setup-greeting.c --- */

gboolean commy_setup_send_greeting (CommySetup *self, guint8 type);
/* The one frame that set-up waits for. */
void commy_setup_on_frame (CommySetup *self, const guint8 *data, gsize size);
/* Accepting side: a HELLO, from a peer that is who it must be. */
void commy_setup_on_hello (CommySetup *self, const CommyHello *hello);

/* Whether the other side may offer the service. */
gboolean commy_setup_may_offer (CommySetup *self, GError **error);
/* By one of our own names, or by another one on another host. */
gboolean commy_setup_is_own_user (const CommySetup *self);

/* --- commy-listener.c --- */

/* Whether the log hears of a refusal with this code. */
gboolean commy_listener_tells (CommyListener *listener, int code);
/* The connection is not its any more. */
void commy_listener_forget (CommyListener *listener, gpointer connection);

/* --- commy-setup-auth.c, commy-setup-steps.c --- */

/* Who the other side is, as far as that can be told when the path is open: `peer`. */
gboolean commy_setup_judge (CommySetup *self, GError **error);
/* What the connection rests on, from what providers said so far. FALSE: it is denied. */
gboolean commy_setup_take_standing (CommySetup *self, GError **error);
/* What a HELLO says of auth; the lists are (transfer container). */
void commy_setup_add_auth (CommySetup *self, CommyHello *hello);
/* Accepting side: has the caller prove who it is, then goes on with its HELLO. Takes what is in
 * @hello if that takes longer. */
void commy_setup_authenticate (CommySetup *self, CommyHello *hello);
/* An AUTH frame. */
void commy_setup_on_auth (CommySetup *self, const CommyFrame *frame, const guint8 *payload);
/* Whether an AUTH frame may come now, and whether nothing else may. */
gboolean commy_setup_takes_auth (const CommySetup *self, gboolean *out_only);
/* A provider thinks: nothing is read meanwhile. */
gboolean commy_setup_is_thinking (const CommySetup *self);
void commy_setup_drop_exchange (CommySetup *self);

/* --- commy-setup-move.c --- */

/* What a greeting says of moves. */
void commy_setup_add_moves (CommySetup *self, guint8 type, CommyHello *hello);
/* Accepting side: a HELLO with "resume". */
void commy_setup_on_resume (CommySetup *self, const CommyHello *hello);
/* Accepting side: the last word of it, what the other side received. */
void commy_setup_on_received (CommySetup *self, guint32 received);
/* Connecting side: the WELCOME to a flow that goes on. */
void commy_setup_on_resumed (CommySetup *self, const CommyHello *hello);
void commy_setup_drop_ticket (CommySetup *self);
