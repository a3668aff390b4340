/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server: the store below, the ledger of who wrote what, the users with their sessions, and
 * the listening socket. Everything happens in one thread, in the default main context.
 */
#pragma once

#include "daemon/commyd-audit.h"
#include "daemon/commyd-ledger.h"
#include "daemon/commyd-rights.h"

#include "config/commy-config.h"

#include <commy/commy-store.h>

typedef struct _CommydServer CommydServer;
typedef struct _CommydSession CommydSession;
typedef struct _CommydUser CommydUser; /* commyd-keeper.h */

/* Who connects, by the kernel's word. */
typedef struct
{
  guint32 uid;
  gint32 pid;
  int pidfd; /* -1: cannot be had */
} CommydPeer;

/* Starts the door of a user: the end of its socket that is ours, not blocking. @out_pid: 0: it is
 * no process of ours. */
typedef gboolean (*CommydSpawnFunc) (CommydServer *server,
                                     GPid *out_pid,
                                     int *out_fd,
                                     GError **error);

typedef void (*CommydEndedFunc) (gpointer data, const GError *error);

/* A write that has its turn; ends with commyd_server_end_write(). */
typedef void (*CommydWriteFunc) (gpointer data);

struct _CommydServer
{
  const CommyStoreOps *ops;
  gpointer store;
  const char *store_name;
  char *mesh;
  CommydLedger *ledger;
  CommydRights rights;
  CommyAuditLog *audit; /* (nullable): the trail */
  gint64 since;         /* seconds since 1970 */
  GHashTable *users;    /* uid to CommydUser */
  CommydSpawnFunc spawn;
  guint linger_ms; /* that a door stays when nobody is connected */
  guint stall_ms;  /* that one may take nothing of what there is for it */
  guint64 last_connection;
  int listener;
  guint listener_source;
  guint pause_timer;
  /* One write is with the store at a time: what it may do is decided on what is there. */
  gboolean is_writing;
  GQueue writes;      /* of CommydWriteFunc and its data, in turns */
  GHashTable *leases; /* set of gint64: those of sessions, and our own */
  GArray *doomed;     /* leases whose owners are gone and whose keys have yet to go */
  guint doom_timer;
  guint grace_timer; /* until what an earlier daemon left goes */
  gint64 grace_ns;
  gint64 revision; /* of the store, as we saw it last */
  guint64 boot;
  gboolean is_loading;
  GError *load_error;
  gboolean is_closing;
  guint64 n_refused; /* connections */
  guint64 n_cut;     /* watches of readers that were too slow */
  guint64 n_limited; /* watches and leases of users who have as many as they may */
  guint64 n_doors_lost;
  gboolean is_loose_told; /* that doors have no filter of system calls */
  gint64 host_lease;
  guint host_timer;
  char *host_key;
  double host_load;
};

/* @audit: (transfer full) (nullable). @config: what the limits and the policy are read from. Error:
 * the store below cannot be read, or is not commyd's. Returns when it was read. */
CommydServer *commyd_server_new (const CommyStoreOps *ops,
                                 gpointer store,
                                 const char *store_name,
                                 const char *mesh,
                                 CommyAuditLog *audit,
                                 CommyConfig *config,
                                 GError **error);
/* Settings that may change while it runs: limits and policy. */
gboolean commyd_server_configure (CommydServer *self, CommyConfig *config, GError **error);
/* Takes connections from now on; @fd stays the caller's. */
void commyd_server_listen (CommydServer *self, int fd);
/* One that was accepted: takes @fd and @peer's pidfd over. @peer (nullable): who connects; NULL:
 * that is asked. FALSE with @error: it is refused, and was told. */
gboolean commyd_server_admit (CommydServer *self, int fd, const CommydPeer *peer, GError **error);
/* Ends every session and what it had, then frees. The store is still open. */
void commyd_server_free (CommydServer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommydServer, commyd_server_free)

/* How the daemon is, as GVariant's text: what `commyd --status` and the doctor show.
 * (transfer full) */
char *commyd_server_report (CommydServer *self);

/* --- for sessions --- */

void commyd_server_write (CommydServer *self, CommydWriteFunc func, gpointer data);
void commyd_server_end_write (CommydServer *self);
gboolean commyd_server_is_writing (CommydServer *self);
/* A new lease. Leases are the daemon's own: the store below does not know them. */
gint64 commyd_server_grant (CommydServer *self);
/* Ends a lease and removes its keys, within a write that has its turn. */
void
commyd_server_end_lease (CommydServer *self, gint64 lease, CommydEndedFunc done, gpointer data);
/* The same from anywhere; tries until the store has done it. */
void commyd_server_doom (CommydServer *self, gint64 lease);
/* The store was seen at a revision. */
void commyd_server_note (CommydServer *self, gint64 revision);

/* --- what is said of this host (commyd-host.c) --- */

void commyd_host_start (CommydServer *self);
void commyd_host_stop (CommydServer *self);
