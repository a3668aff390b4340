/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and reading: see the header. Every read of more than one statement is one
 * transaction, so that entries and revision belong together.
 */
#include "config.h"

#include "commy-sqlite-db.h"

#include "plugins/common/commy-failpoints.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define IN_PREFIX(key, first, last) \
  key " >= ?" #first " AND (?" #last " IS NULL OR " key " < ?" #last ")"

/* The unary plus keeps a condition from choosing the index: changes are few, keys many. */
static const char *const statement_sql[COMMY_SQLITE_N_STATEMENTS] = {
  [COMMY_SQLITE_BEGIN_READ] = "BEGIN",
  [COMMY_SQLITE_BEGIN_WRITE] = "BEGIN IMMEDIATE",
  [COMMY_SQLITE_COMMIT] = "COMMIT",
  [COMMY_SQLITE_GET_STATE] = "SELECT revision, compacted, tombstones FROM state WHERE id = 0",
  [COMMY_SQLITE_SET_STATE]
  = "UPDATE state SET revision = ?1, compacted = ?2, tombstones = ?3 WHERE id = 0",
  [COMMY_SQLITE_RANGE] = "SELECT key, value, create_revision, mod_revision, lease FROM entries"
                         " WHERE " IN_PREFIX ("key", 1, 2) " ORDER BY key",
  [COMMY_SQLITE_CHANGES]
  = "SELECT key, value, create_revision, mod_revision, lease FROM entries"
    " WHERE mod_revision > ?1 AND " IN_PREFIX (
        "+key",
        2,
        3) " UNION ALL SELECT key, NULL, create_revision, mod_revision, lease FROM tombstones"
           " WHERE mod_revision > ?1 AND " IN_PREFIX ("+key", 2, 3) " ORDER BY 4, 1",
  [COMMY_SQLITE_GET_REVISIONS] = "SELECT create_revision, mod_revision FROM entries WHERE key = ?1",
  [COMMY_SQLITE_PUT]
  = "INSERT INTO entries (key, value, create_revision, mod_revision, lease)"
    " VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, mod_revision = excluded.mod_revision, lease = excluded.lease",
  [COMMY_SQLITE_UNBURY] = "DELETE FROM tombstones WHERE key = ?1",
  [COMMY_SQLITE_BURY] = "INSERT INTO tombstones SELECT key, create_revision, ?3, lease FROM entries"
                        " WHERE " IN_PREFIX ("key", 1, 2),
  [COMMY_SQLITE_DELETE] = "DELETE FROM entries WHERE " IN_PREFIX ("key", 1, 2),
  [COMMY_SQLITE_BURY_LEASE]
  = ("INSERT INTO tombstones SELECT key, create_revision, ?2, lease FROM entries"
     " WHERE lease = ?1 AND lease != 0"),
  [COMMY_SQLITE_DELETE_LEASE_KEYS] = "DELETE FROM entries WHERE lease = ?1 AND lease != 0",
  [COMMY_SQLITE_HORIZON]
  = "SELECT mod_revision FROM tombstones ORDER BY mod_revision DESC LIMIT 1 OFFSET ?1",
  [COMMY_SQLITE_COMPACT] = "DELETE FROM tombstones WHERE mod_revision <= ?1",
  [COMMY_SQLITE_HAS_LEASE] = "SELECT 1 FROM leases WHERE id = ?1",
  [COMMY_SQLITE_ADD_LEASE] = "INSERT INTO leases (id, pid, ttl_ns) VALUES (?1, ?2, ?3)",
  [COMMY_SQLITE_END_LEASE] = "DELETE FROM leases WHERE id = ?1",
  [COMMY_SQLITE_LIST_LEASES] = "SELECT id, pid FROM leases",
  [COMMY_SQLITE_NEXT_LEASE]
  = "SELECT id, pid FROM leases AS one WHERE id > ?1 AND pid != ?2 AND NOT EXISTS"
    " (SELECT 1 FROM leases WHERE id < one.id AND pid = one.pid) ORDER BY id LIMIT 1",
};

CommySqliteDb *
commy_sqlite_db_new (const char *dir, int busy_ms, gboolean full_sync, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_SQLITE_FILE, NULL);
  sqlite3 *sql = commy_sqlite_open (path, busy_ms, full_sync, error);
  CommySqliteDb *self;
  struct stat info;

  if (sql == NULL)
    return NULL;
  if (lstat (path, &info) != 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE, "cannot find %s: %s", path,
                   g_strerror (errno));
      sqlite3_close (sql);
      return NULL;
    }
  self = g_new0 (CommySqliteDb, 1);
  self->sql = sql;
  self->log_path = g_strconcat (path, "-wal", NULL);
  self->path = g_steal_pointer (&path);
  self->device = info.st_dev;
  self->inode = info.st_ino;
  self->log_inode = lstat (self->log_path, &info) == 0 ? info.st_ino : 0;
  return self;
}

void
commy_sqlite_db_free (CommySqliteDb *self)
{
  if (self == NULL)
    return;
  for (int i = 0; i < COMMY_SQLITE_N_STATEMENTS; i++)
    sqlite3_finalize (self->statements[i]);
  sqlite3_close (self->sql);
  commy_sqlite_db_abandon (self);
}

void
commy_sqlite_db_abandon (CommySqliteDb *self)
{
  if (self == NULL)
    return;
  g_free (self->log_path);
  g_free (self->path);
  g_free (self);
}

gboolean
commy_sqlite_db_check_file (CommySqliteDb *self, GError **error)
{
  struct stat info;

  const char *gone = NULL;

  if (lstat (self->path, &info) != 0 || info.st_dev != self->device || info.st_ino != self->inode)
    gone = self->path;
  else if (self->log_inode != 0
           && (lstat (self->log_path, &info) != 0 || info.st_ino != self->log_inode))
    gone = self->log_path;
  if (gone == NULL)
    return TRUE;
  g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
               "%s was removed or replaced while it was in use: start the process again", gone);
  return FALSE;
}

sqlite3_stmt *
commy_sqlite_db_get (CommySqliteDb *self, CommySqliteStatement which, GError **error)
{
  sqlite3_stmt **statement = &self->statements[which];

  if (*statement == NULL
      && sqlite3_prepare_v3 (self->sql, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                             statement, NULL)
             != SQLITE_OK)
    {
      commy_sqlite_set_error (error, self->sql, self->path, "read");
      return NULL;
    }
  sqlite3_reset (*statement);
  sqlite3_clear_bindings (*statement);
  return *statement;
}

gboolean
commy_sqlite_db_run (CommySqliteDb *self, sqlite3_stmt *statement, GError **error)
{
  gboolean ok;

  if (statement == NULL)
    return FALSE;
  ok = sqlite3_step (statement) == SQLITE_DONE;
  if (!ok)
    commy_sqlite_set_error (error, self->sql, self->path, "write to");
  sqlite3_reset (statement);
  return ok;
}

gboolean
commy_sqlite_db_begin (CommySqliteDb *self, CommySqliteStatement how, GError **error)
{
  return commy_sqlite_db_run (self, commy_sqlite_db_get (self, how, error), error);
}

gboolean
commy_sqlite_db_commit (CommySqliteDb *self, GError **error)
{
  if (COMMY_FAILPOINT ("sqlite-commit"))
    commy_sqlite_set_error (error, self->sql, self->path, "write to");
  else if (commy_sqlite_db_run (self, commy_sqlite_db_get (self, COMMY_SQLITE_COMMIT, error),
                                error))
    {
      if (!COMMY_FAILPOINT ("sqlite-committed"))
        return TRUE;
      commy_sqlite_set_error (error, self->sql, self->path, "write to");
    }
  commy_sqlite_db_rollback (self);
  return FALSE;
}

/* Some failures have ended the transaction already; then there is nothing to roll back. */
void
commy_sqlite_db_rollback (CommySqliteDb *self)
{
  for (int i = 0; i < COMMY_SQLITE_N_STATEMENTS; i++)
    sqlite3_reset (self->statements[i]);
  if (!sqlite3_get_autocommit (self->sql))
    sqlite3_exec (self->sql, "ROLLBACK", NULL, NULL, NULL);
}

gboolean
commy_sqlite_db_get_state (CommySqliteDb *self, CommySqliteState *out, GError **error)
{
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_GET_STATE, error);

  if (statement == NULL)
    return FALSE;
  if (sqlite3_step (statement) != SQLITE_ROW)
    {
      commy_sqlite_set_error (error, self->sql, self->path, "read");
      sqlite3_reset (statement);
      return FALSE;
    }
  out->revision = sqlite3_column_int64 (statement, 0);
  out->compacted = sqlite3_column_int64 (statement, 1);
  out->tombstones = sqlite3_column_int64 (statement, 2);
  sqlite3_reset (statement);
  return TRUE;
}

void
commy_sqlite_bind_key (sqlite3_stmt *statement, int index, const char *key)
{
  sqlite3_bind_blob (statement, index, key, (int) strlen (key), SQLITE_TRANSIENT);
}

/* The first key behind all that begin with "ab" is "ac"; behind 0xff there is none. */
void
commy_sqlite_bind_prefix (sqlite3_stmt *statement, int first, const char *prefix)
{
  g_autofree char *upper = g_strdup (prefix);
  gsize length = strlen (upper);

  if (length == 0)
    sqlite3_bind_zeroblob (statement, first, 0);
  else
    commy_sqlite_bind_key (statement, first, prefix);
  while (length > 0 && (guint8) upper[length - 1] == 0xff)
    length--;
  if (length == 0)
    return;
  upper[length - 1]++;
  sqlite3_bind_blob (statement, first + 1, upper, (int) length, SQLITE_TRANSIENT);
}

static void
entry_clear (gpointer data)
{
  CommyStoreEntry *entry = data;

  g_free ((char *) entry->key);
  g_bytes_unref (entry->value);
}

static GArray *
read_entries (CommySqliteDb *self, sqlite3_stmt *statement, GError **error)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  int rc;

  g_array_set_clear_func (entries, entry_clear);
  while ((rc = sqlite3_step (statement)) == SQLITE_ROW)
    {
      CommyStoreEntry entry = { 0 };
      /* The order of calls matters: blob first, then its size. */
      const void *key = sqlite3_column_blob (statement, 0);

      entry.key = g_strndup (key != NULL ? key : "", (gsize) sqlite3_column_bytes (statement, 0));
      if (sqlite3_column_type (statement, 1) != SQLITE_NULL)
        {
          const void *value = sqlite3_column_blob (statement, 1);

          entry.value = g_bytes_new (value, (gsize) sqlite3_column_bytes (statement, 1));
        }
      entry.create_revision = sqlite3_column_int64 (statement, 2);
      entry.mod_revision = sqlite3_column_int64 (statement, 3);
      entry.lease = sqlite3_column_int64 (statement, 4);
      g_array_append_val (entries, entry);
    }
  if (rc != SQLITE_DONE)
    {
      commy_sqlite_set_error (error, self->sql, self->path, "read");
      sqlite3_reset (statement);
      return NULL;
    }
  sqlite3_reset (statement);
  return g_steal_pointer (&entries);
}

GArray *
commy_sqlite_db_range (CommySqliteDb *self,
                       const char *prefix,
                       gint64 *out_revision,
                       GError **error)
{
  g_autoptr (GArray) entries = NULL;
  CommySqliteState state;
  sqlite3_stmt *statement;

  if (!commy_sqlite_db_look (self, &state, error))
    return NULL;
  statement = commy_sqlite_db_get (self, COMMY_SQLITE_RANGE, error);
  if (statement != NULL)
    {
      commy_sqlite_bind_prefix (statement, 1, prefix);
      entries = read_entries (self, statement, error);
    }
  commy_sqlite_db_rollback (self);
  if (entries != NULL)
    *out_revision = state.revision;
  return g_steal_pointer (&entries);
}

static gboolean
check_known (CommySqliteDb *self, gint64 after, const CommySqliteState *state, GError **error)
{
  if (after >= state->compacted && after <= state->revision)
    return TRUE;
  g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
               "the changes after revision %" G_GINT64_FORMAT " are not known any more in %s (it"
               " has %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT "): read the range again and watch"
               " from its revision",
               after, self->path, state->compacted, state->revision);
  return FALSE;
}

gboolean
commy_sqlite_db_look (CommySqliteDb *self, CommySqliteState *out, GError **error)
{
  if (!commy_sqlite_db_begin (self, COMMY_SQLITE_BEGIN_READ, error))
    return FALSE;
  if (commy_sqlite_db_get_state (self, out, error))
    return TRUE;
  commy_sqlite_db_rollback (self);
  return FALSE;
}

GArray *
commy_sqlite_db_changes (CommySqliteDb *self,
                         const CommySqliteState *state,
                         const char *prefix,
                         gint64 after,
                         GError **error)
{
  sqlite3_stmt *statement;

  if (!check_known (self, after, state, error))
    return NULL;
  statement = commy_sqlite_db_get (self, COMMY_SQLITE_CHANGES, error);
  if (statement == NULL)
    return NULL;
  sqlite3_bind_int64 (statement, 1, after);
  commy_sqlite_bind_prefix (statement, 2, prefix);
  return read_entries (self, statement, error);
}

gboolean
commy_sqlite_db_get_revision (CommySqliteDb *self, gint64 *out_revision, GError **error)
{
  CommySqliteState state;

  if (!commy_sqlite_db_get_state (self, &state, error))
    return FALSE;
  *out_revision = state.revision;
  return TRUE;
}

GArray *
commy_sqlite_db_list_leases (CommySqliteDb *self, GError **error)
{
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (CommySqliteLeaseRow));
  sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_LIST_LEASES, error);
  int rc;

  if (statement == NULL)
    return NULL;
  while ((rc = sqlite3_step (statement)) == SQLITE_ROW)
    {
      CommySqliteLeaseRow row
          = { sqlite3_column_int64 (statement, 0), sqlite3_column_int64 (statement, 1) };

      g_array_append_val (rows, row);
    }
  if (rc != SQLITE_DONE)
    commy_sqlite_set_error (error, self->sql, self->path, "read");
  sqlite3_reset (statement);
  return rc == SQLITE_DONE ? g_steal_pointer (&rows) : NULL;
}

gboolean
commy_sqlite_db_next_lease (
    CommySqliteDb *self, gint64 after, gint64 pid, CommySqliteLeaseRow *out, GError **error)
{
  const gint64 from[] = { after, 0 };
  int rc = SQLITE_DONE;

  *out = (CommySqliteLeaseRow){ 0 };
  for (guint i = 0; i < G_N_ELEMENTS (from) && rc == SQLITE_DONE; i++)
    {
      sqlite3_stmt *statement = commy_sqlite_db_get (self, COMMY_SQLITE_NEXT_LEASE, error);

      if (statement == NULL)
        return FALSE;
      sqlite3_bind_int64 (statement, 1, from[i]);
      sqlite3_bind_int64 (statement, 2, pid);
      rc = sqlite3_step (statement);
      if (rc == SQLITE_ROW)
        *out = (CommySqliteLeaseRow){ sqlite3_column_int64 (statement, 0),
                                      sqlite3_column_int64 (statement, 1) };
      else if (rc != SQLITE_DONE)
        commy_sqlite_set_error (error, self->sql, self->path, "read");
      sqlite3_reset (statement);
    }
  return rc == SQLITE_ROW || rc == SQLITE_DONE;
}
