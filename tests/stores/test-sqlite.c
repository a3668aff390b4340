/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "sqlite": the conformance suite, and what only it has: its files and how they go
 * wrong, the safety re-read, several instances in one process, the bounded memory of deletions.
 */
#include "config.h"

#include "../conformance/commy-store-conformance.h"
#include "../fixtures/test-child.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)

typedef struct
{
  CommyTestHost *host;
  char *state;
  char *file;
  CommyStoreUnderTest store;
} Fixture;

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *loaded = commy_test_load ("store", "sqlite", &error);

  g_assert_no_error (error);
  return loaded;
}

static void
fixture_start (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  fixture->store.instance = commy_test_host_start (fixture->host, &error);
  g_assert_no_error (error);
}

static void
fixture_set_up (Fixture *fixture, gconstpointer unused)
{
  fixture->host = commy_test_host_new (NULL, descriptor ());
  fixture->state = g_build_filename (commy_test_host_get_dir (fixture->host), "state", NULL);
  fixture->file = g_build_filename (fixture->state, "store-1.db", NULL);
  fixture->store = (CommyStoreUnderTest){ fixture->host, descriptor ()->ops, NULL };
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_free (fixture->host);
  g_free (fixture->state);
  g_free (fixture->file);
}

static void
assert_refused (Fixture *fixture, int code, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_test_host_start (fixture->host, &error));
  g_assert_error (error, COMMY_TEST_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, part));
  g_assert_nonnull (strstr (error->message, fixture->state));
}

static void
sql (Fixture *fixture, const char *text)
{
  sqlite3 *connection = NULL;

  g_assert_cmpint (sqlite3_open (fixture->file, &connection), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (connection, text, NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_close (connection), ==, SQLITE_OK);
}

typedef struct
{
  guint n_entries;
  GError *error;
} Seen;

static void
on_event (gpointer user_data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  Seen *seen = user_data;

  seen->n_entries += (guint) n_entries;
  if (error != NULL)
    seen->error = g_error_copy (error);
}

static void
test_files_are_ours (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *leases = g_build_filename (fixture->state, "leases", NULL);
  g_autoptr (GDir) dir = NULL;
  const char *name;
  struct stat info;

  fixture_start (fixture);
  commy_store_put (&fixture->store, "k", "v", commy_store_grant (&fixture->store));
  dir = g_dir_open (fixture->state, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (fixture->state, name, NULL);

      g_assert_null (strstr (name, ".new-"));
      g_assert_cmpint (g_stat (path, &info), ==, 0);
      g_assert_cmpuint (info.st_mode & 077, ==, 0);
    }
  commy_test_host_stop (fixture->host);
  g_clear_pointer (&dir, g_dir_close);
  dir = g_dir_open (leases, 0, NULL);
  g_assert_null (g_dir_read_name (dir)); /* the lease went with its owner */
}

static void
test_open_to_others (Fixture *fixture, gconstpointer unused)
{
  g_assert_cmpint (g_chmod (fixture->state, 0777), ==, 0);
  assert_refused (fixture, 602, "nobody else can write");
}

static void
test_link_as_file (Fixture *fixture, gconstpointer unused)
{
  g_assert_cmpint (symlink ("/dev/null", fixture->file), ==, 0);
  assert_refused (fixture, 601, "regular file");
}

/* Root can write everywhere, so root becomes somebody else in a child. */
static void
test_unwritable (Fixture *fixture, gconstpointer unused)
{
  gboolean is_root = geteuid () == 0;
  int status = 0;
  pid_t pid;

  g_assert_cmpint (g_chmod (fixture->state, 0500), ==, 0);
  if (!is_root)
    {
      assert_refused (fixture, 602, "cannot be written");
      return;
    }
  g_assert_cmpint (chown (fixture->state, 65534, 65534), ==, 0);
  g_assert_cmpint (g_chmod (commy_test_host_get_dir (fixture->host), 0755), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      if (setgroups (0, NULL) != 0 || setresgid (65534, 65534, 65534) != 0
          || setresuid (65534, 65534, 65534) != 0)
        test_child_exit (77);
      assert_refused (fixture, 602, "cannot be written");
      test_child_exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  if (WEXITSTATUS (status) == 77)
    g_test_skip ("cannot become another user here");
  else
    g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static void
test_not_a_database (Fixture *fixture, gconstpointer unused)
{
  static const char *const contents[]
      = { "", "this is not a database, it is a letter to a friend" };

  for (gsize i = 0; i < G_N_ELEMENTS (contents); i++)
    {
      g_autofree char *after = NULL;

      g_assert_true (g_file_set_contents_full (fixture->file, contents[i], -1,
                                               G_FILE_SET_CONTENTS_NONE, 0600, NULL));
      assert_refused (fixture, 601, "store-1.db");
      g_assert_true (g_file_get_contents (fixture->file, &after, NULL, NULL));
      g_assert_cmpstr (after, ==, contents[i]); /* left as it was */
    }
}

static void
test_other_major (Fixture *fixture, gconstpointer unused)
{
  fixture_start (fixture);
  commy_test_host_stop (fixture->host);
  sql (fixture, "PRAGMA user_version = 2003");
  assert_refused (fixture, 601, "schema 2.3");
  sql (fixture, "PRAGMA user_version = 1007; ALTER TABLE entries ADD COLUMN later TEXT");
  fixture_start (fixture); /* another minor only adds */
  commy_store_put (&fixture->store, "k", "v", 0);
}

/* An error of a damaged file says so, which file it is, and what to do. */
static gboolean
says_what_to_do (Fixture *fixture, const GError *error)
{
  return strstr (error->message, fixture->file) != NULL
         && strstr (error->message, "move it away") != NULL;
}

/* Every byte of the first pages is spoiled in turn of a prime: error or right answer, no crash. */
static void
test_damaged (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *good = NULL;
  gsize size = 0;
  guint refused = 0, advised = 0;

  fixture_start (fixture);
  for (int i = 0; i < 100; i++)
    {
      g_autofree char *key = g_strdup_printf ("key/%03d", i);

      commy_store_put (&fixture->store, key, "value", 0);
    }
  commy_test_host_stop (fixture->host);
  g_assert_true (g_file_get_contents (fixture->file, &good, &size, NULL));
  for (gsize at = 0; at < size; at += 997)
    {
      g_autofree char *bad = g_memdup2 (good, size);
      g_autoptr (GError) error = NULL;

      memset (bad + at, 0xa5, MIN (size - at, 64));
      g_assert_true (g_file_set_contents_full (fixture->file, bad, (gssize) size,
                                               G_FILE_SET_CONTENTS_NONE, 0600, NULL));
      fixture->store.instance = commy_test_host_start (fixture->host, &error);
      if (fixture->store.instance != NULL)
        {
          g_auto (CommyStoreAnswer) answer = { 0 };

          commy_store_range (&fixture->store, "", &answer);
          refused += answer.error != NULL;
          advised += answer.error != NULL && says_what_to_do (fixture, answer.error);
          if (answer.error == NULL)
            g_assert_cmpuint (answer.entries->len, ==, 100); /* never less, in silence */
          commy_test_host_stop (fixture->host);
        }
      else
        {
          g_assert_true (error->domain == COMMY_TEST_ERROR);
          refused++;
          advised += says_what_to_do (fixture, error);
          if (!says_what_to_do (fixture, error))
            g_test_message ("%s", error->message);
        }
    }
  g_assert_cmpuint (refused, >, 3);
  g_assert_cmpuint (advised, ==, refused);
}

static void
write_file (Fixture *fixture, const char *bytes, gsize size)
{
  g_assert_cmpint (g_unlink (fixture->file), ==, 0); /* some GLib leaves what is longer */
  g_assert_true (g_file_set_contents_full (fixture->file, bytes, (gssize) size,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* Files that end early, and a page that says that nothing is in it. */
static void
test_cut (Fixture *fixture, gconstpointer unused)
{
  static const gsize cuts[] = { 4096, 4096 + 1, 3 * 4096 };
  g_autofree char *good = NULL;
  gsize size = 0;

  fixture_start (fixture);
  for (int i = 0; i < 300; i++)
    {
      g_autofree char *key = g_strdup_printf ("key/%03d", i);

      commy_store_put (&fixture->store, key, "a value that is not the shortest", 0);
    }
  commy_test_host_stop (fixture->host);
  g_assert_true (g_file_get_contents (fixture->file, &good, &size, NULL));
  g_assert_cmpuint (size, >, 8 * 4096);
  for (gsize i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      write_file (fixture, good, size - cuts[i]);
      assert_refused (fixture, 601, "move it away");
    }
  for (gsize page = 1; page < size / 4096; page++)
    {
      g_autofree char *bad = g_memdup2 (good, size);

      if (bad[page * 4096] != 0x0d || bad[page * 4096 + 4] == 0)
        continue; /* no leaf of a table, or none with cells */
      memset (bad + page * 4096 + 3, 0, 2);
      write_file (fixture, bad, size);
      assert_refused (fixture, 601, "move it away");
    }
  write_file (fixture, good, size);
  fixture_start (fixture);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 300);
}

/* Taken away under it: nothing is written beside what others see. */
static void
test_log_removed_while_used (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *log = g_strconcat (fixture->file, "-wal", NULL);
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  const CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  g_auto (CommyStoreAnswer) read = { 0 };
  g_auto (CommyStoreAnswer) written = { 0 };

  fixture_start (fixture);
  commy_store_put (&fixture->store, "k", "v", 0);
  g_assert_cmpint (g_unlink (log), ==, 0);
  commy_store_range (&fixture->store, "", &read);
  g_assert_error (read.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (read.error->message, "-wal was removed"));
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &written);
  g_assert_error (written.error, COMMY_TEST_ERROR, 601);
}

/* Lost between two lives: that is said, and nobody takes old revisions for new ones. */
static void
test_log_lost (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  g_autofree char *early = NULL;
  gsize size = 0;
  gint64 told;
  Seen behind = { 0 };

  fixture_start (fixture);
  g_assert_true (g_file_get_contents (fixture->file, &early, &size, NULL));
  for (int i = 0; i < 10; i++)
    told = commy_store_put (&fixture->store, "k", "v", 0);
  commy_test_host_stop (fixture->host);
  write_file (fixture, early, size);
  fixture_start (fixture);
  g_assert_cmpuint (commy_test_host_count_log (fixture->host, "its last changes are lost"), ==, 1);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 0);
  ops->watch (fixture->store.instance, "", told, on_event, &behind);
  commy_test_run_until (NULL, behind.error != NULL);
  g_assert_nonnull (strstr (behind.error->message, "read the range again"));
  g_clear_error (&behind.error);
  g_assert_cmpint (commy_store_put (&fixture->store, "k", "v", 0), >, told);
  commy_test_host_stop (fixture->host);
  fixture_start (fixture); /* once is enough */
  g_assert_cmpuint (commy_test_host_count_log (fixture->host, "its last changes are lost"), ==, 1);
}

/* A limit on the size of files behaves like a full disk and works everywhere. */
static void
test_disk_full (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) big = g_bytes_new_take (g_malloc0 (1024 * 1024), 1024 * 1024);
  CommyStoreOp op = { COMMY_STORE_PUT, "big", big, 0 };
  g_auto (CommyStoreAnswer) failed = { 0 };
  struct rlimit before;
  struct rlimit small;

  signal (SIGXFSZ, SIG_IGN);
  fixture_start (fixture);
  commy_store_put (&fixture->store, "kept", "v", 0);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  small = before;
  small.rlim_cur = 256 * 1024;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &failed);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_error (failed.error, COMMY_TEST_ERROR, 601);
  g_test_message ("%s", failed.error->message);
  g_assert_nonnull (strstr (failed.error->message, "disk"));
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 1);
  commy_store_put (&fixture->store, "after", "v", 0); /* it goes on once there is room */
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 2);
}

/* A small file system of this process's own. FALSE: it may not have one. */
static gboolean
mount_small (const char *path)
{
  g_autofree char *map = g_strdup_printf ("0 %u 1", (guint) geteuid ());
  int flags = CLONE_NEWNS | (geteuid () != 0 ? CLONE_NEWUSER : 0);

  if (unshare (flags) != 0)
    return FALSE;
  if ((flags & CLONE_NEWUSER) != 0
      && !g_file_set_contents_full ("/proc/self/uid_map", map, -1, G_FILE_SET_CONTENTS_NONE, 0600,
                                    NULL))
    return FALSE;
  return mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
         && mount ("tmpfs", path, "tmpfs", 0, "size=1m,mode=0700") == 0;
}

static void
fill_up (const char *path)
{
  static const char zeros[4096];
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  while (write (fd, zeros, sizeof zeros) > 0)
    ;
  g_assert_cmpint (errno, ==, ENOSPC);
  close (fd);
}

/* Until the store has no room either: how many were acknowledged. */
static guint
put_until_full (Fixture *fixture)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (8192), 8192);
  guint n = 0;

  for (;;)
    {
      g_autofree char *key = g_strdup_printf ("full/%u", n);
      CommyStoreOp op = { COMMY_STORE_PUT, key, value, 0 };
      g_auto (CommyStoreAnswer) answer = { 0 };

      commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
      if (answer.error == NULL)
        {
          n++;
          continue;
        }
      g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
      g_assert_nonnull (strstr (answer.error->message, "disk"));
      return n;
    }
}

static void
live_on_a_full_disk (Fixture *fixture)
{
  g_autofree char *filler = g_build_filename (fixture->state, "filler", NULL);
  guint n;

  fixture_start (fixture);
  commy_store_put (&fixture->store, "kept", "v", 0);
  fill_up (filler);
  n = put_until_full (fixture);
  g_assert_cmpuint (commy_store_count (&fixture->store, "full/"), ==, n);
  g_assert_cmpuint (put_until_full (fixture), ==, 0); /* it goes on saying so */
  commy_test_host_stop (fixture->host);
  fixture_start (fixture); /* what is there can be read, and a new process comes in */
  g_assert_cmpuint (commy_store_count (&fixture->store, "kept"), ==, 1);
  g_assert_cmpuint (commy_store_count (&fixture->store, "full/"), ==, n);
  g_assert_cmpint (g_unlink (filler), ==, 0);
  commy_store_put (&fixture->store, "after", "v", commy_store_grant (&fixture->store));
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, n + 2);
}

static void
test_disk_really_full (Fixture *fixture, gconstpointer unused)
{
  int status = 0;
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      if (!mount_small (fixture->state))
        test_child_exit (77);
      live_on_a_full_disk (fixture);
      commy_test_host_stop (fixture->host);
      test_child_exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    g_test_skip ("namespaces are refused here");
  else
    g_assert_cmpint (status, ==, 0);
}

static void
test_no_room_to_begin (Fixture *fixture, gconstpointer unused)
{
  struct rlimit before;
  struct rlimit small;

  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  small = before;
  small.rlim_cur = 8 * 1024;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  assert_refused (fixture, 601, "store-1.db");
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_false (g_file_test (fixture->file, G_FILE_TEST_EXISTS));
  fixture_start (fixture);
}

static void
test_locked_too_long (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  g_auto (CommyStoreAnswer) locked = { 0 };
  sqlite3 *other = NULL;

  commy_test_host_set_param (fixture->host, "busy-timeout", "1ms");
  fixture_start (fixture);
  g_assert_cmpint (sqlite3_open (fixture->file, &other), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (other, "BEGIN IMMEDIATE", NULL, NULL, NULL), ==, SQLITE_OK);
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &locked);
  g_assert_error (locked.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (locked.error->message, "too long"));
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 0); /* readers do not wait */
  g_assert_cmpint (sqlite3_close (other), ==, SQLITE_OK);
  commy_store_put (&fixture->store, "k", "v", 0);
}

static void
test_value_limit (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (2049), 2049);
  CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_test_host_set_param (fixture->host, "max-value", "2 KiB");
  fixture_start (fixture);
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, 309);
}

static void
test_deletions_are_forgotten (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  Seen behind = { 0 };
  Seen current = { 0 };
  gint64 first;

  commy_test_host_set_param (fixture->host, "history", "10");
  fixture_start (fixture);
  first = commy_store_put (&fixture->store, "k", "v", 0);
  for (int i = 0; i < 40; i++)
    {
      g_autofree char *key = g_strdup_printf ("gone/%d", i);
      CommyStoreOp op = { COMMY_STORE_DELETE, key, NULL, 0 };
      g_auto (CommyStoreAnswer) answer = { 0 };

      commy_store_put (&fixture->store, key, "v", 0);
      commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
      g_assert_no_error (answer.error);
    }
  ops->watch (fixture->store.instance, "", first, on_event, &behind);
  commy_test_run_until (NULL, behind.error != NULL);
  g_assert_error (behind.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (behind.error->message, "read the range again"));
  g_clear_error (&behind.error);
  ops->watch (fixture->store.instance, "", first + 79, on_event, &current);
  commy_test_run_until (NULL, current.n_entries > 0);
  g_assert_cmpuint (current.n_entries, ==, 1);
}

static void
test_removed_while_used (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  g_auto (CommyStoreAnswer) answer = { 0 };
  Seen seen = { 0 };

  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  ops->watch (fixture->store.instance, "", 0, on_event, &seen);
  commy_test_host_advance (fixture->host, 0);
  g_assert_no_error (seen.error);
  g_assert_cmpint (g_unlink (fixture->file), ==, 0);
  commy_test_host_advance (fixture->host, 2 * SECOND_NS);
  g_assert_error (seen.error, COMMY_TEST_ERROR, 601);
  commy_store_range (&fixture->store, "", &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
  g_clear_error (&seen.error);
}

/* Without the doorbell: the file is written behind the store's back. */
static void
test_reread_finds_changes (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  Seen seen = { 0 };

  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  ops->watch (fixture->store.instance, "", 0, on_event, &seen);
  sql (fixture, "BEGIN IMMEDIATE; INSERT INTO entries VALUES (x'6b', x'76', 1, 1, 0);"
                "UPDATE state SET revision = 1; COMMIT");
  commy_test_host_advance (fixture->host, 2 * SECOND_NS);
  g_assert_cmpuint (seen.n_entries, ==, 1);
}

/* A lease row whose owner is gone, as SIGKILL leaves it. */
static void
leave_dead_lease (Fixture *fixture)
{
  sql (fixture, "BEGIN IMMEDIATE; INSERT INTO leases VALUES (77, 1, 1);"
                "INSERT INTO entries VALUES (x'6b', x'76', 1, 1, 77);"
                "UPDATE state SET revision = 1; COMMIT");
}

static void
test_reread_finds_dead (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  leave_dead_lease (fixture);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 1);
  commy_test_host_advance (fixture->host, 2 * SECOND_NS);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 0);
}

/* Nothing was missed for long: what nobody is notified of waits, but not for ever. */
static void
test_reread_becomes_rare (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  commy_test_host_advance (fixture->host, 2 * SECOND_NS);
  leave_dead_lease (fixture);
  commy_test_host_advance (fixture->host, 15 * SECOND_NS);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 1);
  commy_test_host_advance (fixture->host, SECOND_NS);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 0);
}

/* The kernel closes the files of who dies; by the clock nothing would happen. */
static void
test_closed_file_ends_lease (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *path = g_strdup_printf ("%s/leases/%016x", fixture->state, 77);
  int fd;

  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  fd = open (path, O_RDWR | O_CREAT, 0600);
  g_assert_cmpint (fd, >=, 0);
  leave_dead_lease (fixture);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 1);
  close (fd);
  commy_test_run_until (NULL, commy_store_count (&fixture->store, "") == 0);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

/* Takes a lease and forks a child, which keeps all files open and lives on. */
static G_NORETURN void
hold_and_fork (Fixture *fixture, int out)
{
  pid_t child;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  commy_test_host_set_seed (fixture->host, 2);
  fixture_start (fixture);
  commy_store_put (&fixture->store, "held", "v", commy_store_grant (&fixture->store));
  child = fork ();
  if (child == 0)
    for (;;)
      pause ();
  g_assert_cmpint (write (out, &child, sizeof child), ==, sizeof child);
  for (;;)
    pause ();
}

/* Nothing is closed then: the process itself is watched by the one whose lease is before its own.
 * No clock moves. */
static void
test_forking_owner (Fixture *fixture, gconstpointer unused)
{
  pid_t owner, child = 0;
  int told[2];

  g_assert_cmpint (pipe (told), ==, 0);
  owner = fork ();
  g_assert_cmpint (owner, >=, 0);
  if (owner == 0)
    hold_and_fork (fixture, told[1]);
  g_assert_cmpint (read (told[0], &child, sizeof child), ==, sizeof child);
  commy_test_host_use_virtual_clock (fixture->host);
  fixture_start (fixture);
  commy_store_grant (&fixture->store);
  g_assert_cmpuint (commy_store_count (&fixture->store, "held"), ==, 1);
  kill (owner, SIGKILL);
  g_assert_cmpint (waitpid (owner, NULL, 0), ==, owner);
  commy_test_run_until (NULL, commy_store_count (&fixture->store, "held") == 0);
  g_assert_cmpint (kill (child, 0), ==, 0); /* and that one lives */
  kill (child, SIGKILL);
  close (told[0]);
  close (told[1]);
}

static void
test_start_finds_dead (Fixture *fixture, gconstpointer unused)
{
  fixture_start (fixture);
  commy_test_host_stop (fixture->host);
  leave_dead_lease (fixture);
  fixture_start (fixture);
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 0);
}

/* Closing any descriptor of a lock file drops the lock: the instances must not look into each
 * other's. */
static void
test_two_in_one_process (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor ());
  g_autoptr (GError) error = NULL;
  CommyStoreUnderTest second = { host, ops, NULL };
  g_autofree char *path = NULL;
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  gint64 lease;
  int status = -1;
  pid_t pid;

  fixture_start (fixture);
  lease = commy_store_grant (&fixture->store);
  commy_store_put (&fixture->store, "k", "v", lease);
  commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, fixture->state);
  commy_test_host_set_seed (host, 2);
  second.instance = commy_test_host_start (host, &error);
  g_assert_no_error (error);
  ops->suspect (second.instance, lease);
  g_assert_cmpuint (commy_store_count (&second, "k"), ==, 1);
  path = g_strdup_printf ("%s/leases/%016" G_GINT64_MODIFIER "x", fixture->state, lease);
  pid = fork (); /* only another process can see the lock */
  if (pid == 0)
    {
      int fd = open (path, O_RDWR);

      test_child_exit (fd >= 0 && fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK ? 0
                                                                                            : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

static void
on_done_code (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  *(int *) user_data = error != NULL ? error->code : 0;
}

static void
test_forked_child_is_refused (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  int status = -1;
  pid_t pid;

  fixture_start (fixture);
  commy_store_put (&fixture->store, "k", "v", commy_store_grant (&fixture->store));
  pid = fork ();
  if (pid == 0)
    {
      int code = 0;

      ops->range (fixture->store.instance, "", on_done_code, &code);
      descriptor ()->fini (fixture->store.instance);
      test_child_exit (code == 702 ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (commy_store_count (&fixture->store, "k"), ==, 1);
}

#define ADD(path, test) \
  g_test_add ("/store/sqlite/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main (int argc, char **argv)
{
  int status = 0;

  if (commy_store_conformance_child (descriptor (), NULL, argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  commy_store_conformance_add (descriptor (), NULL);
  ADD ("files/only-the-owner-can-read-them", test_files_are_ours);
  ADD ("files/directory-open-to-others-is-refused", test_open_to_others);
  ADD ("files/link-in-place-of-the-file-is-refused", test_link_as_file);
  ADD ("files/unwritable-directory-is-named", test_unwritable);
  ADD ("files/foreign-file-is-left-untouched", test_not_a_database);
  ADD ("files/other-major-is-refused-by-name", test_other_major);
  ADD ("files/damage-is-an-error", test_damaged);
  ADD ("files/cut-or-emptied-is-an-error", test_cut);
  ADD ("files/log-removed-while-in-use-is-said", test_log_removed_while_used);
  ADD ("files/changes-that-are-lost-are-said", test_log_lost);
  ADD ("files/full-disk-loses-nothing", test_disk_full);
  ADD ("files/full-file-system-loses-nothing", test_disk_really_full);
  ADD ("files/no-room-to-begin-leaves-nothing", test_no_room_to_begin);
  ADD ("files/removed-while-in-use-is-said", test_removed_while_used);
  ADD ("limits/locked-too-long", test_locked_too_long);
  ADD ("limits/value", test_value_limit);
  ADD ("limits/deletions-are-forgotten", test_deletions_are_forgotten);
  ADD ("reread/finds-changes-without-a-doorbell", test_reread_finds_changes);
  ADD ("reread/finds-dead-owners", test_reread_finds_dead);
  ADD ("reread/becomes-rare-while-nothing-happens", test_reread_becomes_rare);
  ADD ("lease/ends-when-its-file-is-closed", test_closed_file_ends_lease);
  ADD ("lease/ends-with-an-owner-whose-child-lives", test_forking_owner);
  ADD ("lease/start-removes-what-the-dead-left", test_start_finds_dead);
  ADD ("lease/two-instances-in-one-process", test_two_in_one_process);
  ADD ("process/forked-child-is-refused", test_forked_child_is_refused);
  return g_test_run ();
}
