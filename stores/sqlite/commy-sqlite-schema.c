/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The database file: see the header. A new file is built aside, whole and already in WAL mode,
 * and then linked to its name: processes that start together cannot meet a half-made one, and
 * the file is never opened except by SQLite, whose locks would be lost when another descriptor
 * of it is closed.
 */
#include "config.h"

#include "commy-sqlite-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x434d5953 /* "CMYS" */
#define SCHEMA_MAJOR 1
#define SCHEMA_VERSION (SCHEMA_MAJOR * 1000)
#define DAMAGED                                                                      \
  "; the file is damaged: stop the mesh's processes, move it away together with its" \
  " -wal and -shm files, and a new one is made at the next start"

/* Deletions are remembered as tombstones; that and mod_revision are the whole change log. */
static const char schema_sql[]
    = "PRAGMA journal_mode = WAL;"
      "BEGIN;"
      "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL,"
      " compacted INTEGER NOT NULL, tombstones INTEGER NOT NULL);"
      "INSERT INTO state VALUES (0, 0, 0, 0);"
      "CREATE TABLE entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
      " create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, lease INTEGER NOT NULL);"
      "CREATE INDEX entries_by_revision ON entries (mod_revision);"
      "CREATE INDEX entries_by_lease ON entries (lease) WHERE lease != 0;"
      "CREATE TABLE tombstones (key BLOB PRIMARY KEY NOT NULL, create_revision INTEGER NOT NULL,"
      " mod_revision INTEGER NOT NULL, lease INTEGER NOT NULL);"
      "CREATE INDEX tombstones_by_revision ON tombstones (mod_revision);"
      "CREATE TABLE leases (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, ttl_ns INTEGER NOT NULL);"
      "PRAGMA application_id = " G_STRINGIFY (
          APPLICATION_ID) ";"
                          "PRAGMA user_version = 1000;"
                          "COMMIT;"
                          "PRAGMA wal_checkpoint (TRUNCATE);"; /* the file alone gets the name, so
                                                                  all must be in it */
G_STATIC_ASSERT (SCHEMA_VERSION == 1000);

gboolean
commy_sqlite_check_dir (const char *path, GError **error)
{
  struct stat info;

  if (g_mkdir_with_parents (path, 0700) != 0 || lstat (path, &info) != 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR,
                   "cannot make the directory %s: %s; set state-dir to one that can be"
                   " written",
                   path, g_strerror (errno));
      return FALSE;
    }
  if (!S_ISDIR (info.st_mode) || info.st_uid != geteuid () || (info.st_mode & 022) != 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR,
                   "%s must be a directory that belongs to user %u and that nobody else can write"
                   " to (it is owned by %u, mode %04o): correct that or set state-dir",
                   path, (guint) geteuid (), (guint) info.st_uid, (guint) info.st_mode & 07777);
      return FALSE;
    }
  if (access (path, W_OK | X_OK) != 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR,
                   "the directory %s cannot be written: %s; correct its mode or set"
                   " state-dir to another",
                   path, g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

void
commy_sqlite_set_error (GError **error, sqlite3 *sql, const char *path, const char *doing)
{
  const char *detail = sql != NULL ? sqlite3_errmsg (sql) : "out of memory";
  const char *way_out = "";

  switch (sql != NULL ? sqlite3_errcode (sql) & 0xff : SQLITE_NOMEM)
    {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* our statements do not change, so what they are about has */
      way_out = DAMAGED;
      break;
    case SQLITE_FULL:
      way_out = "; nothing was changed: make room on the disk";
      break;
    case SQLITE_IOERR:
      way_out = "; nothing was changed: look for a full disk, a file size limit or a failing disk";
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      way_out = "; another process holds it for too long: nothing was changed, try again";
      break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      way_out = "; make the file and its directory writable for this user";
      break;
    default:
      break;
    }
  g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE, "cannot %s %s: %s%s", doing, path,
               detail, way_out);
}

static gboolean
create (const char *path, GError **error)
{
  g_autofree char *aside = g_strdup_printf ("%s.new-XXXXXX", path);
  sqlite3 *sql = NULL;
  gboolean built;
  int fd = g_mkstemp_full (aside, O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR,
                   "cannot make a file next to %s: %s; make the directory writable or set"
                   " state-dir to another",
                   path, g_strerror (errno));
      return FALSE;
    }
  close (fd);
  built = sqlite3_open_v2 (aside, &sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL)
              == SQLITE_OK
          && sqlite3_exec (sql, schema_sql, NULL, NULL, NULL) == SQLITE_OK;
  if (!built)
    commy_sqlite_set_error (error, sql, aside, "make the store");
  sqlite3_close (sql);
  if (built && link (aside, path) != 0 && errno != EEXIST)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR,
                   "cannot link the new store to %s: %s; set state-dir to a file system"
                   " with hard links",
                   path, g_strerror (errno));
      built = FALSE;
    }
  g_unlink (aside);
  if (!built)
    {
      g_autofree char *wal = g_strconcat (aside, "-wal", NULL);
      g_autofree char *shm = g_strconcat (aside, "-shm", NULL);
      g_autofree char *journal = g_strconcat (aside, "-journal", NULL);

      g_unlink (wal);
      g_unlink (shm);
      g_unlink (journal);
    }
  return built;
}

static gboolean
read_number (sqlite3 *sql, const char *text, gint64 *out)
{
  sqlite3_stmt *statement = NULL;
  gboolean ok = sqlite3_prepare_v2 (sql, text, -1, &statement, NULL) == SQLITE_OK
                && sqlite3_step (statement) == SQLITE_ROW;

  if (ok)
    *out = sqlite3_column_int64 (statement, 0);
  sqlite3_finalize (statement);
  return ok;
}

static gboolean
check_version (sqlite3 *sql, const char *path, GError **error)
{
  gint64 application = 0;
  gint64 version = 0;

  if (!read_number (sql, "PRAGMA application_id", &application)
      || !read_number (sql, "PRAGMA user_version", &version))
    {
      commy_sqlite_set_error (error, sql, path, "read");
      return FALSE;
    }
  if (application != APPLICATION_ID)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                   "%s is not a store of Commy: it is left untouched; move it away or set"
                   " state-dir to another directory",
                   path);
      return FALSE;
    }
  if (version / 1000 != SCHEMA_MAJOR)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                   "%s has schema %d.%d, this version of Commy reads %d.x only: use the version"
                   " that wrote it or set state-dir to another directory",
                   path, (int) (version / 1000), (int) (version % 1000), SCHEMA_MAJOR);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_file (const char *path, GError **error)
{
  struct stat info;

  if (lstat (path, &info) != 0)
    return errno == ENOENT ? create (path, error) : TRUE; /* SQLite will say why */
  if (S_ISREG (info.st_mode) && info.st_uid == geteuid () && (info.st_mode & 022) == 0)
    return TRUE;
  g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
               "%s must be a regular file that belongs to user %u and that nobody else can write"
               " to: move it away",
               path, (guint) geteuid ());
  return FALSE;
}

/* Pages that were changed by something else than SQLite would be met one day, or read as if nothing
 * were there. All are read: a millisecond for a thousand instances, 33 for ten thousand. */
static gboolean
check_pages (sqlite3 *sql, const char *path, GError **error)
{
  sqlite3_stmt *statement = NULL;
  const char *said = NULL;
  gboolean ok;

  if (sqlite3_prepare_v2 (sql, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK
      && sqlite3_step (statement) == SQLITE_ROW)
    said = (const char *) sqlite3_column_text (statement, 0);
  ok = g_strcmp0 (said, "ok") == 0;
  if (!ok && said != NULL)
    g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE, "cannot read %s: %s%s", path, said,
                 DAMAGED);
  else if (!ok)
    commy_sqlite_set_error (error, sql, path, "read");
  sqlite3_finalize (statement);
  return ok;
}

/* Who holds the file does so for less than a millisecond, so it is asked for every millisecond.
 * (SQLite's own handler sleeps for up to 100 ms: of two who write much the same one always comes
 * too late.) */
static int
on_busy (void *limit_ms, int n_waits)
{
  if (n_waits >= GPOINTER_TO_INT (limit_ms))
    return 0;
  g_usleep (1000);
  return 1;
}

static sqlite3 *
connect_to (const char *path, int busy_ms, GError **error)
{
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  sqlite3 *sql = NULL;

  if (sqlite3_open_v2 (path, &sql, flags, NULL) != SQLITE_OK)
    {
      commy_sqlite_set_error (error, sql, path, "open");
      sqlite3_close (sql);
      return NULL;
    }
  sqlite3_busy_handler (sql, on_busy, GINT_TO_POINTER (busy_ms));
  return sql;
}

/* By a connection of its own: what reading all pages takes would else be kept, 90 KiB for each
 * process. */
static gboolean
check_content (const char *path, int busy_ms, GError **error)
{
  sqlite3 *sql = connect_to (path, busy_ms, error);
  gboolean ok = sql != NULL && check_version (sql, path, error) && check_pages (sql, path, error);

  sqlite3_close (sql);
  return ok;
}

sqlite3 *
commy_sqlite_open (const char *path, int busy_ms, gboolean full_sync, GError **error)
{
  sqlite3 *sql;
  gint64 revision;

  if (!check_file (path, error) || !check_content (path, busy_ms, error))
    return NULL;
  sql = connect_to (path, busy_ms, error);
  if (sql == NULL)
    return NULL;
  /* Keep what a crash of this library could reach small: no schema tricks, checked cells. */
  sqlite3_db_config (sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config (sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  if (sqlite3_exec (sql,
                    full_sync ? "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304"
                              : "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304",
                    NULL, NULL, NULL)
          != SQLITE_OK
      || !read_number (sql, "SELECT revision FROM state", &revision))
    {
      commy_sqlite_set_error (error, sql, path, "read");
      sqlite3_close (sql);
      return NULL;
    }
  return sql;
}
