/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The database as the store sees it: read a prefix, read what changed, change it in one
 * transaction, and keep the rows of leases. It knows nothing of watches, locks or the host.
 */
#pragma once

#include "commy-sqlite-schema.h"

#include <commy/commy-store.h>
#include <sys/types.h>

typedef enum
{
  COMMY_SQLITE_BEGIN_READ,
  COMMY_SQLITE_BEGIN_WRITE,
  COMMY_SQLITE_COMMIT,
  COMMY_SQLITE_GET_STATE,
  COMMY_SQLITE_SET_STATE,
  COMMY_SQLITE_RANGE,
  COMMY_SQLITE_CHANGES,
  COMMY_SQLITE_GET_REVISIONS,
  COMMY_SQLITE_PUT,
  COMMY_SQLITE_UNBURY,
  COMMY_SQLITE_BURY,
  COMMY_SQLITE_DELETE,
  COMMY_SQLITE_BURY_LEASE,
  COMMY_SQLITE_DELETE_LEASE_KEYS,
  COMMY_SQLITE_HORIZON,
  COMMY_SQLITE_COMPACT,
  COMMY_SQLITE_HAS_LEASE,
  COMMY_SQLITE_ADD_LEASE,
  COMMY_SQLITE_END_LEASE,
  COMMY_SQLITE_LIST_LEASES,
  COMMY_SQLITE_NEXT_LEASE,
  COMMY_SQLITE_N_STATEMENTS,
} CommySqliteStatement;

typedef struct
{
  gint64 revision;
  gint64 compacted;
  gint64 tombstones;
} CommySqliteState;

typedef struct
{
  sqlite3 *sql;
  char *path;
  gint64 history;  /* tombstones that are kept at least */
  gsize max_value; /* bytes */
  dev_t device;    /* the file that was opened, to notice when it is taken away */
  ino_t inode;
  char *log_path;  /* "-wal" */
  ino_t log_inode; /* 0: it was not there */
  sqlite3_stmt *statements[COMMY_SQLITE_N_STATEMENTS];
} CommySqliteDb;

typedef struct
{
  gint64 id;
  gint64 pid;
} CommySqliteLeaseRow;

CommySqliteDb *
commy_sqlite_db_new (const char *dir, int busy_ms, gboolean full_sync, GError **error);
void commy_sqlite_db_free (CommySqliteDb *self);
/* Forgets it without touching the file: what a forked child does with its parent's. */
void commy_sqlite_db_abandon (CommySqliteDb *self);
/* Whether the names still lead to the files that were opened. */
gboolean commy_sqlite_db_check_file (CommySqliteDb *self, GError **error);

/* The prepared statement, reset and without bindings; NULL with @error. */
sqlite3_stmt *commy_sqlite_db_get (CommySqliteDb *self, CommySqliteStatement which, GError **error);
/* Runs @statement to its end. */
gboolean commy_sqlite_db_run (CommySqliteDb *self, sqlite3_stmt *statement, GError **error);
gboolean commy_sqlite_db_begin (CommySqliteDb *self, CommySqliteStatement how, GError **error);
gboolean commy_sqlite_db_commit (CommySqliteDb *self, GError **error);
void commy_sqlite_db_rollback (CommySqliteDb *self);
gboolean commy_sqlite_db_get_state (CommySqliteDb *self, CommySqliteState *out, GError **error);
/* Binds @prefix and its upper bound as two parameters from @first. */
void commy_sqlite_bind_prefix (sqlite3_stmt *statement, int first, const char *prefix);
void commy_sqlite_bind_key (sqlite3_stmt *statement, int index, const char *key);

/* An array of CommyStoreEntry that owns keys and values; NULL with @error. */
GArray *commy_sqlite_db_range (CommySqliteDb *self,
                               const char *prefix,
                               gint64 *out_revision,
                               GError **error);
/* Begins to look at what changed, for several prefixes at one revision; ended by a rollback. */
gboolean commy_sqlite_db_look (CommySqliteDb *self, CommySqliteState *out, GError **error);
/* What changed after a revision, inside such a look; fails if that is no longer known. */
GArray *commy_sqlite_db_changes (CommySqliteDb *self,
                                 const CommySqliteState *state,
                                 const char *prefix,
                                 gint64 after,
                                 GError **error);
gboolean commy_sqlite_db_get_revision (CommySqliteDb *self, gint64 *out_revision, GError **error);

/* commy-sqlite-txn.c: everything that writes. */
gboolean commy_sqlite_db_txn (CommySqliteDb *self,
                              const CommyStoreCompare *compares,
                              gsize n_compares,
                              const CommyStoreOp *ops,
                              gsize n_ops,
                              gboolean *out_succeeded,
                              CommySqliteState *out_state,
                              GError **error);
/* Goes on after @revision, which was told although it is not in the file any more: whoever watches
 * reads all of it again. */
gboolean commy_sqlite_db_raise (CommySqliteDb *self, gint64 revision, GError **error);
gboolean commy_sqlite_db_add_lease (
    CommySqliteDb *self, gint64 id, gint64 ttl_ns, CommySqliteState *out_state, GError **error);
/* Removes leases and their keys at one revision; @out_ended says how many were there. */
gboolean commy_sqlite_db_end_leases (CommySqliteDb *self,
                                     const gint64 *ids,
                                     gsize n_ids,
                                     guint *out_ended,
                                     CommySqliteState *out_state,
                                     GError **error);
/* An array of CommySqliteLeaseRow; NULL with @error. */
GArray *commy_sqlite_db_list_leases (CommySqliteDb *self, GError **error);
/* The ring of owners, each of whom stands where his first lease does: the next one after @after
 * that is another process than @pid; its id is 0 if there is none. */
gboolean commy_sqlite_db_next_lease (
    CommySqliteDb *self, gint64 after, gint64 pid, CommySqliteLeaseRow *out, GError **error);
