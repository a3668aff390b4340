/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing: compare and set, leases, and the bounded memory of deletions. Every function here is
 * one IMMEDIATE transaction: what it reads first is what it changes.
 */
#include "config.h"

#include "commy-sqlite-db.h"

#include "stores/common/commy-store-check.h"

#include <unistd.h>

/* Reads one row's existence and second column (0 without a row). */
static gboolean
step_row (CommySqliteDb *self,
          sqlite3_stmt *statement,
          int column,
          gboolean *out_found,
          gint64 *out_number,
          GError **error)
{
  int rc = sqlite3_step (statement);

  if (rc != SQLITE_ROW && rc != SQLITE_DONE)
    {
      commy_sqlite_set_error (error, self->sql, self->path, "read");
      sqlite3_reset (statement);
      return FALSE;
    }
  *out_found = rc == SQLITE_ROW;
  *out_number = rc == SQLITE_ROW ? sqlite3_column_int64 (statement, column) : 0;
  sqlite3_reset (statement);
  return TRUE;
}

static gboolean
compare_all (CommySqliteDb *self,
             const CommyStoreCompare *compares,
             gsize n_compares,
             gboolean *out_equal,
             GError **error)
{
  *out_equal = TRUE;
  for (gsize i = 0; i < n_compares && *out_equal; i++)
    {
      sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_GET_REVISIONS, error);
      gboolean found;
      gint64 revision;

      if (statement == NULL)
        return FALSE;
      commy_sqlite_bind_key (statement, 1, compares[i].key);
      if (!step_row (self, statement, 1, &found, &revision, error))
        return FALSE;
      *out_equal = revision == compares[i].mod_revision;
    }
  return TRUE;
}

static gboolean
has_lease (CommySqliteDb *self, gint64 lease, gboolean *out_found, GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_HAS_LEASE, error);
  gint64 ignored;

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, lease);
  return step_row (self, statement, 0, out_found, &ignored, error);
}

/* A put under a lease that has ended would stay for ever: nobody removes it any more. */
static gboolean
check_lease (CommySqliteDb *self, gint64 lease, GError **error)
{
  gboolean found = FALSE;

  if (lease == 0)
    return TRUE;
  if (!has_lease (self, lease, &found, error))
    return FALSE;
  if (!found)
    g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                 "lease %" G_GINT64_FORMAT " has ended or never was in %s: ask for a new one",
                 lease, self->path);
  return found;
}

static gboolean
unbury (CommySqliteDb *self, const char *key, CommySqliteState *state, GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_UNBURY, error);

  if (statement == NULL)
    return FALSE;
  commy_sqlite_bind_key (statement, 1, key);
  if (!commy_sqlite_db_run (self, statement, error))
    return FALSE;
  state->tombstones -= sqlite3_changes (self->sql);
  return TRUE;
}

static gboolean
put (CommySqliteDb *self, const CommyStoreOp *op, CommySqliteState *state, GError **error)
{
  sqlite3_stmt *statement;
  gsize size;
  const void *data = g_bytes_get_data (op->value, &size);

  if (!check_lease (self, op->lease, error) || !unbury (self, op->key, state, error))
    return FALSE;
  statement = commy_sqlite_db_get (self, COMMY_SQLITE_PUT, error);
  if (statement == NULL)
    return FALSE;
  commy_sqlite_bind_key (statement, 1, op->key);
  if (size > 0)
    sqlite3_bind_blob64 (statement, 2, data, size, SQLITE_STATIC);
  else
    sqlite3_bind_zeroblob (statement, 2, 0);
  sqlite3_bind_int64 (statement, 3, state->revision);
  sqlite3_bind_int64 (statement, 4, op->lease);
  return commy_sqlite_db_run (self, statement, error);
}

/* A single key is the prefix range from itself to itself with the lowest byte appended. */
static void
bind_range (sqlite3_stmt *statement, const CommyStoreOp *op)
{
  g_autofree char *upper = NULL;

  if (op->kind == COMMY_STORE_DELETE_PREFIX)
    {
      commy_sqlite_bind_prefix (statement, 1, op->key);
      return;
    }
  commy_sqlite_bind_key (statement, 1, op->key);
  upper = g_strconcat (op->key, "\1", NULL);
  commy_sqlite_bind_key (statement, 2, upper);
}

/* Buries and deletes with a pair of statements; counts what went. */
static gboolean
run_pair (CommySqliteDb *self,
          sqlite3_stmt *bury,
          sqlite3_stmt *delete,
          CommySqliteState *state,
          gint64 *changed,
          GError **error)
{
  if (!commy_sqlite_db_run (self, bury, error) || !commy_sqlite_db_run (self, delete, error))
    return FALSE;
  *changed += sqlite3_changes (self->sql);
  state->tombstones += sqlite3_changes (self->sql);
  return TRUE;
}

static gboolean
delete_range (CommySqliteDb *self,
              const CommyStoreOp *op,
              CommySqliteState *state,
              gint64 *changed,
              GError **error)
{
  sqlite3_stmt *bury = commy_sqlite_db_get (self, COMMY_SQLITE_BURY, error);
  sqlite3_stmt *delete
      = bury != NULL ? commy_sqlite_db_get (self, COMMY_SQLITE_DELETE, error) : NULL;

  if (delete == NULL)
    return FALSE;
  bind_range (bury, op);
  sqlite3_bind_int64 (bury, 3, state->revision);
  bind_range (delete, op);
  return run_pair (self, bury, delete, state, changed, error);
}

static gboolean
delete_lease_keys (
    CommySqliteDb *self, gint64 lease, CommySqliteState *state, gint64 *changed, GError **error)
{
  sqlite3_stmt *bury = commy_sqlite_db_get (self, COMMY_SQLITE_BURY_LEASE, error);
  sqlite3_stmt *delete
      = bury != NULL ? commy_sqlite_db_get (self, COMMY_SQLITE_DELETE_LEASE_KEYS, error) : NULL;

  if (delete == NULL)
    return FALSE;
  sqlite3_bind_int64 (bury, 1, lease);
  sqlite3_bind_int64 (bury, 2, state->revision);
  sqlite3_bind_int64 (delete, 1, lease);
  return run_pair (self, bury, delete, state, changed, error);
}

static gboolean
compact_to (CommySqliteDb *self, gint64 horizon, CommySqliteState *state, GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_COMPACT, error);

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, horizon);
  if (!commy_sqlite_db_run (self, statement, error))
    return FALSE;
  state->tombstones -= sqlite3_changes (self->sql);
  state->compacted = horizon;
  return TRUE;
}

/* Twice the history is where old tombstones go, so that not every deletion pays for it. */
static gboolean
compact (CommySqliteDb *self, CommySqliteState *state, GError **error)
{
  sqlite3_stmt *statement;
  gboolean found;
  gint64 horizon;

  if (state->tombstones <= 2 * self->history)
    return TRUE;
  statement = commy_sqlite_db_get (self, COMMY_SQLITE_HORIZON, error);
  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, self->history);
  return step_row (self, statement, 0, &found, &horizon, error)
         && (!found || compact_to (self, horizon, state, error));
}

static gboolean
set_state (CommySqliteDb *self, const CommySqliteState *state, GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_SET_STATE, error);

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, state->revision);
  sqlite3_bind_int64 (statement, 2, state->compacted);
  sqlite3_bind_int64 (statement, 3, state->tombstones);
  return commy_sqlite_db_run (self, statement, error);
}

/* Begins to write: @state is at the new revision from here on. */
static gboolean
begin (CommySqliteDb *self, CommySqliteState *state, GError **error)
{
  if (!commy_sqlite_db_check_file (self, error)
      || !commy_sqlite_db_begin (self, COMMY_SQLITE_BEGIN_WRITE, error))
    return FALSE;
  if (!commy_sqlite_db_get_state (self, state, error))
    {
      commy_sqlite_db_rollback (self);
      return FALSE;
    }
  state->revision++;
  return TRUE;
}

/* Ends it: the new revision only counts if something has changed. */
static gboolean
finish (CommySqliteDb *self, gboolean ok, gint64 changed, CommySqliteState *state, GError **error)
{
  if (ok && changed > 0)
    ok = compact (self, state, error) && set_state (self, state, error);
  if (ok)
    ok = commy_sqlite_db_commit (self, error);
  else
    commy_sqlite_db_rollback (self);
  if (ok && changed == 0)
    state->revision--;
  return ok;
}

static gboolean
apply (CommySqliteDb *self,
       const CommyStoreOp *ops,
       gsize n_ops,
       CommySqliteState *state,
       gint64 *changed,
       GError **error)
{
  for (gsize i = 0; i < n_ops; i++)
    {
      if (ops[i].kind != COMMY_STORE_PUT)
        {
          if (!delete_range (self, &ops[i], state, changed, error))
            return FALSE;
          continue;
        }
      if (!put (self, &ops[i], state, error))
        return FALSE;
      (*changed)++;
    }
  return TRUE;
}

gboolean
commy_sqlite_db_txn (CommySqliteDb *self,
                     const CommyStoreCompare *compares,
                     gsize n_compares,
                     const CommyStoreOp *ops,
                     gsize n_ops,
                     gboolean *out_succeeded,
                     CommySqliteState *out_state,
                     GError **error)
{
  CommySqliteState state;
  gboolean equal = FALSE;
  gint64 changed = 0;
  gboolean ok;

  if (!commy_store_check_txn (compares, n_compares, ops, n_ops, self->max_value, error)
      || !begin (self, &state, error))
    return FALSE;
  ok = compare_all (self, compares, n_compares, &equal, error);
  if (ok && equal)
    ok = apply (self, ops, n_ops, &state, &changed, error);
  if (!finish (self, ok, changed, &state, error))
    return FALSE;
  *out_succeeded = equal;
  *out_state = state;
  return TRUE;
}

gboolean
commy_sqlite_db_raise (CommySqliteDb *self, gint64 revision, GError **error)
{
  CommySqliteState state;
  gboolean ok = TRUE;
  gint64 changed = 0;

  if (!begin (self, &state, error))
    return FALSE;
  if (state.revision <= revision)
    {
      state.revision = revision + 1;
      changed = 1;
      ok = compact_to (self, state.revision, &state, error);
    }
  return finish (self, ok, changed, &state, error);
}

gboolean
commy_sqlite_db_add_lease (
    CommySqliteDb *self, gint64 id, gint64 ttl_ns, CommySqliteState *out_state, GError **error)
{
  CommySqliteState state;
  sqlite3_stmt *statement;

  if (!begin (self, &state, error))
    return FALSE;
  statement = commy_sqlite_db_get (self, COMMY_SQLITE_ADD_LEASE, error);
  if (statement != NULL)
    {
      sqlite3_bind_int64 (statement, 1, id);
      sqlite3_bind_int64 (statement, 2, getpid ());
      sqlite3_bind_int64 (statement, 3, ttl_ns);
    }
  if (!finish (self, commy_sqlite_db_run (self, statement, error), 0, &state, error))
    return FALSE;
  *out_state = state;
  return TRUE;
}

static gboolean
end_lease (CommySqliteDb *self,
           gint64 id,
           guint *ended,
           CommySqliteState *state,
           gint64 *changed,
           GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_END_LEASE, error);

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, id);
  if (!commy_sqlite_db_run (self, statement, error))
    return FALSE;
  if (sqlite3_changes (self->sql) == 0)
    return TRUE;
  (*ended)++;
  return delete_lease_keys (self, id, state, changed, error);
}

gboolean
commy_sqlite_db_end_leases (CommySqliteDb *self,
                            const gint64 *ids,
                            gsize n_ids,
                            guint *out_ended,
                            CommySqliteState *out_state,
                            GError **error)
{
  CommySqliteState state;
  gint64 changed = 0;
  guint ended = 0;
  gboolean ok = TRUE;

  if (!begin (self, &state, error))
    return FALSE;
  for (gsize i = 0; i < n_ids && ok; i++)
    ok = end_lease (self, ids[i], &ended, &state, &changed, error);
  if (!finish (self, ok, changed, &state, error))
    return FALSE;
  *out_ended = ended;
  *out_state = state;
  return TRUE;
}
