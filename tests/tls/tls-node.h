/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A node as the TLS transport sees it: the real module, loaded from modules/, with a host on a
 * GMainContext. Two of them in one process talk to each other.
 */
#pragma once

#include <commy/commy-error.h>
#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost host;
  const CommyPluginDescriptor *descriptor;
  const CommyTransportOps *ops;
  gpointer instance;
  GMainContext *context;
  char *dir;           /* credentials; owned by the test */
  GHashTable *params;  /* name -> value in base units */
  GHashTable *sources; /* id -> GSource */
  guint last_id;
  GString *log;
  gint64 ahead_ns; /* of the real clock, for what asks for the time */
  /* listening */
  gpointer listener;
  CommyAcceptor acceptor;
  guint allowed;     /* how many more connections `alloc` gives */
  GHashTable *alive; /* connections of this side that nobody freed */
  gpointer accepted; /* the last one that opened */
  char *refusal;     /* why the last one did not */
  guint n_settled;
} TlsNode;

/* @params: "name=value" in base units, NULL at the end. */
TlsNode *tls_node_new (const char *dir, const char *const *params);
void tls_node_free (TlsNode *self);
void tls_node_listen (TlsNode *self);
void tls_node_unlisten (TlsNode *self);

gpointer tls_node_alloc_connection (TlsNode *self);
void tls_node_close (TlsNode *self, gpointer connection); /* and frees the memory */

/* One attempt to connect. */
typedef struct
{
  TlsNode *node;
  gpointer connection; /* NULL once it failed: its memory was given back */
  gboolean settled;
  char *refusal;
  int code;
} TlsAttempt;

void tls_attempt_start (TlsAttempt *self, TlsNode *node, const char *address);
void tls_attempt_clear (TlsAttempt *self);

void tls_node_turn (void); /* one turn of the shared loop; blocks until something happens */
