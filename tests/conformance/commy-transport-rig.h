/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two hosts with one instance of a transport each, a listener on the first, and helpers that
 * drive connections through the vtable alone. Knows no transport.
 */
#pragma once

#include "commy-conformance.h"

/* What the suite must know of a transport beside its descriptor. */
typedef struct
{
  const char *id; /* or the path of its file */
  /* Gives both hosts what they need before they start (credentials, say); NULL if nothing. */
  void (*prepare) (CommyTestHost *server, CommyTestHost *client);
  const char *hook; /* id or path of a hook that wraps it, or NULL */
  /* Gives the hook's host its parameters; NULL if the defaults do. */
  void (*prepare_hook) (CommyTestHost *host);
  /* (nullable): parameters and credentials of the plugin, or of the hook if there is one */
  const CommyConformanceOptions *options;
} CommyTransportSubject;

/* One `connect` under way. */
typedef struct
{
  gpointer connection; /* NULL once closed or failed */
  guint n_done;
  GError *error;
  gboolean close_in_done;
  const CommyTransportOps *ops;
} RigAttempt;

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommyTransportOps *ops;
  GMainContext *contexts[2]; /* 0: of the listener, 1: of the connector */
  CommyTestHost *hosts[2];
  gpointer instances[2];        /* the hook's, where there is one */
  CommyTestHost *hook_hosts[2]; /* NULL without a hook */
  CommyTransportOps below;      /* what a hook wraps, complete as the core makes it */
  CommyTransportOps composed;   /* a hook with room for what it wraps */
  gpointer listener;            /* NULL once unlistened */
  CommyAcceptor acceptor;
  GPtrArray *pending;  /* memory of connections that the listener sets up; freed with it */
  GPtrArray *accepted; /* open connections of the listener's side */
  guint n_alloc;
  guint n_opened;
  guint n_failed;
  gboolean alloc_nothing;
  gboolean close_in_opened;
  RigAttempt *attempt; /* of the pair */
  gpointer client;     /* the pair's ends, borrowed; NULL once closed */
  gpointer server;
} Rig;

typedef enum
{
  RIG_NONE = 0,
  RIG_TWO_CONTEXTS = 1 << 0, /* the connector's side is started by somebody else */
} RigFlags;

Rig *rig_new (const CommyPluginDescriptor *descriptor,
              const CommyTransportSubject *subject,
              RigFlags flags);
void rig_free (Rig *rig);
void rig_start_client (Rig *rig);
void rig_unlisten (Rig *rig);
CommyEndpoint rig_endpoint (Rig *rig);
/* Lets both mesh threads do what they have to do; waits a moment if that is nothing. */
void rig_pump (Rig *rig);
#define rig_until(rig, condition) \
  do                              \
    {                             \
      while (!(condition))        \
        rig_pump (rig);           \
    }                             \
  while (0)

RigAttempt *rig_connect (Rig *rig, const CommyEndpoint *endpoint);
void rig_attempt_close (RigAttempt *attempt);
void rig_attempt_free (RigAttempt *attempt);
/* A stranger's socket, connected to the listener, that says nothing: TCP for "host:port", else
 * a Unix socket, with packets or without. */
int rig_knock (Rig *rig);
/* Connects and waits for both ends. */
void rig_make_pair (Rig *rig);
void rig_close_client (Rig *rig);
void rig_close_server (Rig *rig);

/* Commits one message; does not flush. */
CommyIo rig_put (Rig *rig, gpointer connection, gconstpointer data, gsize size);
/* Puts and flushes: it must fit. */
void rig_send (Rig *rig, gpointer connection, gconstpointer data, gsize size);
/* The next message of @connection; meanwhile @sender may flush. Fails the test if none comes. */
CommyIo rig_receive (Rig *rig, gpointer connection, gpointer sender, CommyMessage *out_message);
void rig_expect (Rig *rig, gpointer connection, gpointer sender, gconstpointer data, gsize size);
/* Sends messages of @size, numbered from @first, until there is no room. Returns how many. */
guint rig_fill (Rig *rig, gpointer from, gsize size, guint32 first);
/* As rig_expect(), for a message that begins with @number. */
void rig_expect_number (Rig *rig, gpointer to, gpointer from, guint32 number);
/* Waits until the armed descriptor says so. */
void rig_poll (Rig *rig, gpointer connection, guint events);
/* Whether the descriptor is ready at present. */
gboolean rig_is_ready (Rig *rig, gpointer connection, guint events);
