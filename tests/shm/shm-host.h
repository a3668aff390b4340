/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small host for the plugin under test: it lives on a GMainContext of its own, listens,
 * connects, and keeps what was accepted. Nothing of libcommy is in it.
 */
#pragma once

#include <commy/commy-error.h>
#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost host;
  GMainContext *context;
  const CommyTransportOps *ops;
  const CommyPluginDescriptor *descriptor;
  gpointer instance;
  gpointer listener;
  CommyAcceptor acceptor;
  GHashTable *params;
  char *directory;
  char node[33];
  GPtrArray *accepted; /* open connections, the test's to close */
  guint n_failed;      /* set-ups of incoming connections that failed */
  GPtrArray *pending;  /* allocated, neither opened nor failed */
  gboolean refuse;     /* `alloc` says no */
  GError *last_error;
} ShmTestHost;

char *shm_test_directory_new (void);
void shm_test_directory_free (char *directory);

/* @params: "name=value;..." or NULL. */
ShmTestHost *shm_test_host_new (const char *directory, const char *params);
void shm_test_host_free (ShmTestHost *self);
void shm_test_host_listen (ShmTestHost *self);
void shm_test_host_unlisten (ShmTestHost *self);
const char *shm_test_host_address (ShmTestHost *self);
/* Runs the host's context until the connection is open; NULL with @error. */
gpointer shm_test_host_connect (ShmTestHost *self, const char *address, GError **error);
/* Runs the context until one more connection was accepted. */
gpointer shm_test_host_accept (ShmTestHost *self);
void shm_test_host_iterate (ShmTestHost *self);
/* Closes and frees. */
void shm_test_host_close (ShmTestHost *self, gpointer connection);

/* Sends one message of @size bytes, each @fill; waits for room. */
void shm_test_send (ShmTestHost *self, gpointer connection, gsize size, guint8 fill);
/* The next message; waits for it. CLOSED ends it with FALSE. */
gboolean shm_test_receive (ShmTestHost *self, gpointer connection, CommyMessage *out_message);
/* Arms, and polls for as long as nothing is met. */
guint shm_test_sleep (ShmTestHost *self, gpointer connection, guint interest);

guint shm_test_count_fds (void);
guint shm_test_count_maps (void);
