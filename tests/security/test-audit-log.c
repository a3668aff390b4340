/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the audit trail: full disks under both settings, a writer that is killed, files that end
 * and go, floods, many threads.
 */
#include "config.h"

#include "audit-fixture.h"
#include "security/commy-audit-alike.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND G_GINT64_CONSTANT (1000000000)
#define ANY G_MAXUINT64

static gboolean
add (CommyAuditLog *log, const char *type, guint i)
{
  char method[24];

  g_snprintf (method, sizeof method, "Get%u", i);
  return commy_audit_log_add (log, &(CommyAuditEvent){ {
                                       [COMMY_AUDIT_TYPE] = type,
                                       [COMMY_AUDIT_OUTCOME] = "denied",
                                       [COMMY_AUDIT_PRINCIPAL] = "unix:uid=1000",
                                       [COMMY_AUDIT_SERVICE] = "org.example.A",
                                       [COMMY_AUDIT_METHOD] = method,
                                   } });
}

typedef struct
{
  guint64 records; /* of all */
  guint64 calls;   /* that they stand for */
  guint64 gap;
  guint opened, closed, recovered, removed, checkpoints;
  char *details; /* of the last record of the trail's own */
  char *reason;
} Tally;

static void
tally_clear (Tally *tally)
{
  g_free (tally->details);
  g_free (tally->reason);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Tally, tally_clear)

static gboolean
count (GVariant *record, gpointer data)
{
  Tally *tally = data;
  const char *type = NULL, *outcome = NULL;
  guint64 n = audit_report_get (record, "count");

  tally->records++;
  g_variant_lookup (record, "type", "&s", &type);
  g_variant_lookup (record, "outcome", "&s", &outcome);
  if (strcmp (type, COMMY_AUDIT_TRAIL) != 0)
    {
      tally->calls += n;
      return TRUE;
    }
  tally->gap += strcmp (outcome, COMMY_AUDIT_GAP) == 0 ? n : 0;
  tally->opened += strcmp (outcome, COMMY_AUDIT_OPENED) == 0;
  tally->closed += strcmp (outcome, COMMY_AUDIT_CLOSED) == 0;
  tally->checkpoints += strcmp (outcome, COMMY_AUDIT_CHECKPOINT) == 0;
  if (strcmp (outcome, COMMY_AUDIT_RECOVERED) == 0 || strcmp (outcome, COMMY_AUDIT_REMOVED) == 0)
    {
      tally->recovered += strcmp (outcome, COMMY_AUDIT_RECOVERED) == 0;
      tally->removed += strcmp (outcome, COMMY_AUDIT_REMOVED) == 0;
      tally_clear (tally);
      if (!g_variant_lookup (record, "details", "s", &tally->details))
        tally->details = g_strdup ("");
      if (!g_variant_lookup (record, "reason", "s", &tally->reason))
        tally->reason = g_strdup ("");
    }
  return TRUE;
}

static void
read_tally (AuditFixture *self, Tally *tally)
{
  g_autoptr (GError) error = NULL;

  commy_audit_read (self->dir, count, tally, &error);
  g_assert_no_error (error);
}

/* --- the disk is full --- */

static void
set_file_limit (rlim_t bytes)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  limit.rlim_cur = MIN (bytes, limit.rlim_max);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
}

#define FILE_LIMIT ((rlim_t) 40 << 10)

/* Until the disk takes no more, and what waits has filled its room; how many were taken. */
static guint
fill_disk (CommyAuditLog *log)
{
  guint i = 0;

  set_file_limit (FILE_LIMIT);
  while (commy_audit_log_sync (log))
    for (guint k = 0; k < 16; k++)
      add (log, "call", i++);
  return i;
}

static void
test_full_continue (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  CommyAuditLog *log;
  guint64 lost;
  guint n;

  setup.queue_size = 64 << 10;
  log = commy_audit_log_new (&setup);
  n = fill_disk (log);
  for (; commy_audit_log_get_lost (log) < 100; n++)
    g_assert_true (add (log, "call", n));
  g_assert_false (commy_audit_log_sync (log));
  set_file_limit (RLIM_INFINITY);
  while (!commy_audit_log_sync (log))
    ;
  g_assert_true (add (log, "call", n++));
  lost = commy_audit_log_get_lost (log);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (lost, >=, 100);
  g_assert_cmpuint (tally.gap, ==, lost);
  g_assert_cmpuint (tally.calls + lost, ==, n);
}

static void
test_full_refuse (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  g_autoptr (GError) error = NULL;
  CommyAuditLog *log;
  guint n;

  setup.refuses = TRUE;
  log = commy_audit_log_new (&setup);
  n = fill_disk (log);
  for (guint i = 0; i < 100; i++)
    g_assert_false (add (log, "call", n++));
  g_assert_false (commy_audit_log_check (log, &(CommyAuditEvent){ { "x" } }, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_AUDIT);
  n++;
  set_file_limit (RLIM_INFINITY);
  while (!commy_audit_log_sync (log))
    ;
  g_assert_true (add (log, "call", n++));
  g_assert_cmpuint (commy_audit_log_get_lost (log), ==, 0);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.gap, ==, 0);
  g_assert_cmpuint (tally.calls, ==, n); /* what was refused was tried, and that is noted */
}

/* --- the disk fails --- */

/* While it is broken it says that it could not write, and later, as Linux does, that all is well.
 */
static int
sync_fails (gpointer is_broken, int fd)
{
  if (!g_atomic_int_get ((gint *) is_broken))
    return 0;
  errno = EIO;
  return -1;
}

/* What was written and not synced may be gone whatever the disk says later. */
static void
test_failed_sync (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  gint is_broken = FALSE;
  guint n_fails = GPOINTER_TO_UINT (data);
  guint n = 0;
  CommyAuditLog *log;

  setup.refuses = TRUE;
  setup.retry_us = (gint64) 3600 * G_USEC_PER_SEC; /* it looks when somebody asks for a sync */
  setup.chain.sync = sync_fails;
  setup.chain.sync_data = &is_broken;
  log = commy_audit_log_new (&setup);
  g_assert_true (add (log, "call", n++));
  g_assert_true (commy_audit_log_sync (log));
  __atomic_add_fetch (&self->boot_ns, COMMY_AUDIT_SYNC_NS, __ATOMIC_RELAXED);
  g_atomic_int_set (&is_broken, TRUE);
  add (log, "call", n++); /* whether somebody knows yet or not */
  for (guint i = 0; i < n_fails; i++)
    {
      g_assert_false (commy_audit_log_sync (log));
      g_assert_false (add (log, "call", n++));
      g_assert_cmpuint (audit_fixture_count_files (self, ".open"), <=, 2);
    }
  g_atomic_int_set (&is_broken, FALSE);
  g_assert_true (commy_audit_log_sync (log));
  g_assert_true (add (log, "call", n++));
  commy_audit_log_free (log);
  audit_assert_whole (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 2);
  g_assert_cmpuint (audit_fixture_count_files (self, ".open"), ==, 0);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.gap, ==, 1);
  g_assert_cmpuint (tally.calls, ==, n);
}

/* --- what is on the disk when --- */

typedef struct
{
  gint n_syncs;
  gint n_written; /* bytes when it was synced last */
  const char *dir;
} Disk;

static int
sync_notes (gpointer data, int fd)
{
  Disk *disk = data;
  struct stat status;

  g_atomic_int_inc (&disk->n_syncs);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  g_atomic_int_set (&disk->n_written, (gint) status.st_size);
  return 0;
}

/* The clock stands still: only what somebody waits for is synced, and it is before he goes on. */
static void
test_durable (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  Disk disk = { 0 };
  CommyAuditEvent act = { { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_ADMIN, [COMMY_AUDIT_METHOD] = "x" } };
  g_autoptr (GError) error = NULL;
  CommyAuditLog *log;

  setup.refuses = GPOINTER_TO_INT (data);
  setup.chain.sync = sync_notes;
  setup.chain.sync_data = &disk;
  log = commy_audit_log_new (&setup);
  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *name = NULL;
      g_autoptr (GByteArray) file = NULL;
      gint n = g_atomic_int_get (&disk.n_syncs);
      gboolean ok = i % 2 && setup.refuses ? commy_audit_log_check_rare (log, &act, &error)
                                           : commy_audit_log_check_written (log, &act, &error);

      g_assert_no_error (error);
      g_assert_true (ok);
      /* Of names and of records. */
      g_assert_cmpint (g_atomic_int_get (&disk.n_syncs), >=, n + 2);
      name = audit_fixture_dup_file (self, ".open", 0);
      file = audit_fixture_read (self, name);
      g_assert_cmpuint (file->len, ==, g_atomic_int_get (&disk.n_written));
    }
  commy_audit_log_free (log);
  audit_assert_whole (self);
}

/* What cannot be recorded is refused: so nobody waits a second to find out whether it can be. */
static void
test_synced_soon (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  Disk disk = { 0 };
  CommyAuditLog *log;
  gint n;

  setup.refuses = TRUE;
  setup.chain.sync = sync_notes;
  setup.chain.sync_data = &disk;
  log = commy_audit_log_new (&setup);
  add (log, "call", 1);
  g_assert_true (commy_audit_log_sync (log));
  n = g_atomic_int_get (&disk.n_syncs);
  add (log, "call", 2);
  while (g_atomic_int_get (&disk.n_syncs) == n) /* or the test is stopped */
    g_thread_yield ();
  commy_audit_log_free (log);
}

/* A folder that others can read: nothing goes there, and nothing is lost until it is ours. */
static void
test_open_folder (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  CommyAuditLog *log;

  g_assert_cmpint (g_mkdir (self->dir, 0755), ==, 0);
  log = commy_audit_log_new (&setup);
  add (log, "call", 1);
  g_assert_false (commy_audit_log_sync (log));
  g_assert_cmpint (g_chmod (self->dir, 0700), ==, 0);
  while (!commy_audit_log_sync (log))
    ;
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 1);
}

/* --- files that end --- */

static void
test_rotated (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  g_autofree char *middle = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GVariant) report = NULL;
  CommyAuditLog *log;
  struct stat status;
  guint n_files;

  setup.chain.max_file_size = 16 << 10;
  log = commy_audit_log_new (&setup);
  for (guint i = 0; i < 500; i++)
    {
      add (log, "call", i);
      g_assert_true (commy_audit_log_sync (log));
    }
  commy_audit_log_free (log);
  n_files = audit_fixture_count_files (self, ".audit");
  g_assert_cmpuint (n_files, >, 5);
  g_assert_cmpuint (audit_fixture_count_files (self, ".open"), ==, 0);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 500);
  g_assert_cmpuint (tally.opened, ==, n_files);
  g_assert_cmpuint (tally.closed, ==, n_files);

  middle = audit_fixture_dup_file (self, ".audit", 2);
  path = g_build_filename (self->dir, middle, NULL);
  g_assert_cmpint (g_stat (path, &status), ==, 0);
  g_assert_cmpuint (status.st_mode & 07777, ==, 0600);
  g_assert_cmpint (g_stat (self->dir, &status), ==, 0);
  g_assert_cmpuint (status.st_mode & 07777, ==, 0700);
  g_assert_cmpint (g_unlink (path), ==, 0);
  report = audit_fixture_verify (self, NULL);
  g_assert_true (audit_report_has (report, "missing", ANY, 0));
}

/* Of files, names included. */
static guint64
measure_folder (AuditFixture *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->dir, 0, NULL);
  guint64 sum = 0;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->dir, name, NULL);
      struct stat status;

      g_assert_cmpint (g_stat (path, &status), ==, 0);
      sum += (guint64) status.st_size;
    }
  return sum;
}

/* However much comes, the folder keeps its size; what went is noted, and the rest is whole. */
static void
test_total_size (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  CommyAuditLog *log;

  setup.chain.max_file_size = 16 << 10;
  setup.chain.max_total_size = 64 << 10;
  for (guint round = 0; round < 2; round++)
    {
      log = commy_audit_log_new (&setup);
      for (guint i = 0; i < 400; i++)
        {
          add (log, "call", i);
          g_assert_true (commy_audit_log_sync (log));
          /* A file may be longer by what ends it. */
          g_assert_cmpuint (measure_folder (self), <=, (64 + 4) << 10);
        }
      commy_audit_log_free (log);
      self->wall_us += 2 * G_USEC_PER_SEC;
    }
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.removed, >, 0);
  g_assert_cmpuint (tally.opened, >, 2); /* it takes no more than it has to */
  g_assert_cmpuint (measure_folder (self), >, 32 << 10);
}

/* --- a writer that dies --- */

/* Becomes a child that writes until it is killed. */
static int
write_for_ever (const char *dir)
{
  AuditFixture self = { .dir = (char *) dir, .wall_us = 1, .boot_ns = 1 };
  CommyAuditLogSetup setup = audit_fixture_setup (&self);
  CommyAuditLog *log = commy_audit_log_new (&setup);

  for (guint i = 0;; i++)
    {
      add (log, "call", i);
      if (i == 5000 && commy_audit_log_sync (log) && write (1, "5", 1) != 1)
        return 1;
    }
}

static void
kill_a_writer (AuditFixture *self)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL); /* Not the checker's own. */
  const char *argv[] = { program, "--writer", self->dir, NULL };
  g_autoptr (GError) error = NULL;
  int out = -1, status;
  char byte;
  GPid pid;

  g_spawn_async_with_pipes (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                            NULL, &out, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (out, &byte, 1), ==, 1);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  close (out);
}

/* What is torn is what a kill leaves at most; here it is made, because a kill seldom does. */
static void
test_killed (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  g_autofree char *live = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GVariant) before = NULL;
  g_autoptr (GVariant) cut = NULL;
  const char *at;

  kill_a_writer (self);
  live = audit_fixture_dup_file (self, ".open", 0);
  before = audit_fixture_verify (self, NULL);
  g_assert_true (audit_report_has (before, "truncated", ANY, ANY));
  g_assert_false (audit_report_has (before, "changed", ANY, ANY));
  g_assert_false (audit_report_has (before, "missing", ANY, ANY));
  g_assert_cmpuint (audit_report_get (before, "records"), >=, 5000);
  file = audit_fixture_read (self, live);
  g_byte_array_append (file, (const guint8 *) "{\"seq\":123", 10);
  audit_fixture_write (self, live, file->data, file->len);

  commy_audit_log_free (commy_audit_log_new (&setup));
  g_assert_cmpuint (audit_fixture_count_files (self, ".open"), ==, 0);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.recovered, ==, 1);
  g_assert_true (g_str_has_prefix (live, tally.details));
  at = strstr (tally.reason, " torn ");
  g_assert_nonnull (at);
  g_assert_cmpuint (g_ascii_strtoull (at + 6, NULL, 10), >=, 10);
  /* Nothing was taken away: what is torn was noted, and one byte less or more is a fault. */
  audit_assert_whole (self);
  live[strlen (live) - strlen (".open")] = '\0';
  audit_fixture_write (self, live, file->data, file->len - 1);
  cut = audit_fixture_verify (self, NULL);
  g_assert_true (audit_report_has (cut, "torn", ANY, ANY));
  g_assert_cmpuint (audit_report_get (cut, "fault_count"), ==, 1);
  audit_fixture_write (self, live, file->data, file->len);

  /* A second look finds nothing left to note. */
  commy_audit_log_free (commy_audit_log_new (&setup));
  tally_clear (&tally);
  tally = (Tally){ 0 };
  read_tally (self, &tally);
  g_assert_cmpuint (tally.recovered, ==, 1);
}

/* What was noted is compared: a file that is shorter by a record later is a fault. */
static void
test_cut_after_recovery (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GVariant) report = NULL;
  gsize end;

  kill_a_writer (self);
  name = audit_fixture_dup_file (self, ".open", 0);
  commy_audit_log_free (commy_audit_log_new (&setup));
  name[strlen (name) - strlen (".open")] = '\0';
  file = audit_fixture_read (self, name);
  for (end = file->len / 2; file->data[end - 1] != '\n'; end--)
    ;
  audit_fixture_write (self, name, file->data, end);
  report = audit_fixture_verify (self, NULL);
  g_assert_true (audit_report_has (report, "truncated", ANY, end));
}

/* --- floods --- */

static void
test_flood (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_auto (Tally) tally = { 0 };

  for (guint second = 0; second < 3; second++)
    {
      for (guint i = 0; i < 10000; i++)
        add (log, "call", 1);
      g_assert_true (commy_audit_log_sync (log));
      __atomic_add_fetch (&self->boot_ns, SECOND, __ATOMIC_RELAXED);
    }
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 30000);
  g_assert_cmpuint (tally.records, <, 16);
}

/* More kinds than are remembered: nothing is lost, only less is gained. */
static void
test_many_kinds (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_auto (Tally) tally = { 0 };

  for (guint i = 0; i < 5000; i++)
    add (log, "call", i % 200);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 5000);
}

/* More names than are remembered. */
static void
test_many_names (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_autoptr (GVariant) report = NULL;
  guint n = 3 * COMMY_AUDIT_NAMES_MAX / 2;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("unix:uid=%u", i);

      commy_audit_log_add (log, &(CommyAuditEvent){ {
                                    [COMMY_AUDIT_TYPE] = "call",
                                    [COMMY_AUDIT_OUTCOME] = "denied",
                                    [COMMY_AUDIT_PRINCIPAL] = name,
                                    [COMMY_AUDIT_PEER] = name,
                                } });
    }
  commy_audit_log_free (log);
  report = audit_fixture_verify (self, NULL);
  g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 0);
  g_assert_cmpuint (audit_report_get (report, "names"), ==, n);
}

/* --- strangers --- */

static void
assert_alike (const char *text, const char *alike)
{
  g_autofree char *got = commy_audit_dup_alike (text);

  g_assert_cmpstr (got, ==, alike);
}

static void
test_alike (void)
{
  assert_alike ("", NULL);
  assert_alike ("the handshake with 192.0.2.1 failed: a : b :: c", NULL);
  assert_alike ("the handshake with 192.0.2.1 failed: no", NULL);
  assert_alike ("refused the peer at 2001:db8:1:2:3:4:5:6: it showed no certificate",
                "refused the peer at 2001:db8:1:2::/64: it showed no certificate");
  assert_alike ("[2001:db8::7]:4711 and fe80::1%eth0.", "[2001:db8::/64]:4711 and fe80::/64%eth0.");
  assert_alike ("it is 2001:db8::7.", "it is 2001:db8::/64.");
  assert_alike ("::ffff:192.0.2.1 is one of IPv4", NULL);
  assert_alike ("spiffe://abc:def/ab:cd:ef:12:34:56 1:2:3:4:5:6:7:8:9:a:b:c:d:e:f", NULL);
}

static void
add_stranger (CommyAuditLog *log, guint network, guint host)
{
  g_autofree char *text = g_strdup_printf (
      "refused the peer at 2001:db8:0:%x::%x: it showed no certificate", network, host);
  g_autofree char *alike = commy_audit_dup_alike (text);

  g_assert_true (commy_audit_log_add (log, &(CommyAuditEvent){
                                               .texts = { [COMMY_AUDIT_TYPE] = "peer",
                                                          [COMMY_AUDIT_OUTCOME] = "refused",
                                                          [COMMY_AUDIT_PEER] = text,
                                                          [COMMY_AUDIT_TRANSPORT] = "tls",
                                                          [COMMY_AUDIT_REASON] = "CMY0311" },
                                               .is_stranger = TRUE,
                                               .alike = alike,
                                           }));
}

static gboolean
note_peer (GVariant *record, gpointer data)
{
  const char *peer = NULL;

  if (g_variant_lookup (record, "peer", "&s", &peer))
    g_ptr_array_add (
        data, g_strdup_printf ("%s x%" G_GUINT64_FORMAT, peer, audit_report_get (record, "count")));
  return TRUE;
}

/* From one network a new address each time: the first is recorded, and how many there were. */
static void
test_one_network (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_autoptr (GPtrArray) peers = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 1; i <= 1000; i++)
    add_stranger (log, 7, i);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  g_assert_true (commy_audit_read (self->dir, note_peer, peers, NULL));
  g_assert_cmpuint (peers->len, ==, 2);
  g_assert_cmpstr (peers->pdata[0], ==,
                   "refused the peer at 2001:db8:0:7::1: it showed no certificate x1");
  g_assert_cmpstr (peers->pdata[1], ==,
                   "refused the peer at 2001:db8:0:7::/64: it showed no certificate x999");
}

/* From everywhere: so many are recorded, the others counted, and nobody else goes without. */
static void
test_many_networks (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_auto (Tally) tally = { 0 };
  CommyAuditLog *log;

  setup.strangers_per_second = 2;
  log = commy_audit_log_new (&setup);
  for (guint minute = 0; minute < 3; minute++)
    {
      for (guint i = 0; i < 1000; i++)
        add_stranger (log, minute * 1000 + i, 1);
      for (guint i = 0; i < 200; i++)
        add (log, "call", i);
      g_assert_true (commy_audit_log_sync (log));
      __atomic_add_fetch (&self->boot_ns, 60 * SECOND, __ATOMIC_RELAXED);
    }
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 3 * 1200);
  /* A minute's worth of strangers, a record of the others, and the trail's own. */
  g_assert_cmpuint (tally.records, >=, 3 * (2 * 60 + 1 + 200));
  g_assert_cmpuint (tally.records, <, 3 * (2 * 60 + 1 + 200) + 16);
}

/* --- seals and threads --- */

static void
test_seals (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_auto (Tally) tally = { 0 };
  g_autoptr (GVariant) report = NULL;

  for (guint i = 0; i < 3500; i++)
    add (log, "call", i);
  g_assert_true (commy_audit_log_sync (log));
  __atomic_add_fetch (&self->boot_ns, COMMY_AUDIT_SEAL_NS, __ATOMIC_RELAXED);
  g_assert_true (commy_audit_log_sync (log)); /* because of the time */
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.checkpoints, ==, 3 + 1 + 2);
  g_assert_cmpuint (tally.calls, ==, 3500);
}

typedef struct
{
  CommyAuditLog *log;
  guint thread;
} Adder;

static gpointer
add_many (gpointer data)
{
  Adder *adder = data;

  for (guint i = 0; i < 5000; i++)
    add (adder->log, "call", adder->thread * 5000 + i);
  return NULL;
}

static void
test_threads (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_auto (Tally) tally = { 0 };
  GThread *threads[4];
  Adder adders[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      adders[i] = (Adder){ log, i };
      threads[i] = g_thread_new ("adder", add_many, &adders[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (commy_audit_log_get_lost (log), ==, 0);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  read_tally (self, &tally);
  g_assert_cmpuint (tally.calls, ==, 20000);
}

static void
test_null (void)
{
  g_assert_true (commy_audit_log_add (NULL, &(CommyAuditEvent){ { "x" } }));
  g_assert_false (commy_audit_log_wants_calls (NULL, FALSE));
  g_assert_true (commy_audit_log_sync (NULL));
  commy_audit_log_free (NULL);
}

/* Erased while it is written: the name does not come back into that file. */
static void
test_erased_live (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  CommyAuditLog *log = commy_audit_log_new (&setup);
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) names = NULL;
  guint64 n;

  add (log, "call", 1);
  g_assert_true (commy_audit_log_sync (log));
  audit_assert_whole (self);
  g_assert_true (commy_audit_erase (self->dir, "unix:uid=1000", &n, NULL));
  g_assert_cmpuint (n, ==, 1);
  add (log, "call", 2);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  name = audit_fixture_dup_file (self, ".names", 0);
  names = audit_fixture_read (self, name);
  g_byte_array_append (names, (const guint8 *) "", 1);
  g_assert_null (strstr ((char *) names->data, "uid="));
}

#define ADD_WITH(PATH, DATA, FUNC) \
  g_test_add (PATH, AuditFixture, DATA, audit_fixture_set_up, FUNC, audit_fixture_tear_down)
#define ADD(PATH, FUNC) ADD_WITH (PATH, NULL, FUNC)

int
main (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--writer") == 0)
    return write_for_ever (argv[2]);
  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* it warns of full disks */
  signal (SIGXFSZ, SIG_IGN);
  g_test_add_func ("/audit-log/none-is-nothing", test_null);
  ADD ("/audit-log/full-disk/goes-on-and-counts", test_full_continue);
  ADD ("/audit-log/full-disk/refuses", test_full_refuse);
  /* attack: a disk that says once that it could not write, and then that all is well; defence: what
   * may be missing is a gap, and the trail goes on in another file */
  ADD_WITH ("/audit-log/failed-sync/is-a-gap", GUINT_TO_POINTER (1), test_failed_sync);
  ADD_WITH ("/audit-log/failed-sync/again-leaves-no-more-files", GUINT_TO_POINTER (5),
            test_failed_sync);
  ADD_WITH ("/audit-log/durable/act-with-continue", GINT_TO_POINTER (FALSE), test_durable);
  ADD_WITH ("/audit-log/durable/act-with-refuse", GINT_TO_POINTER (TRUE), test_durable);
  ADD ("/audit-log/durable/synced-soon-with-refuse", test_synced_soon);
  /* attack: a folder for the trail that others can write; defence: it is refused */
  ADD ("/audit-log/folder-must-be-ours-alone", test_open_folder);
  ADD ("/audit-log/files/go-on-in-the-next", test_rotated);
  ADD ("/audit-log/files/keep-the-size-of-the-folder", test_total_size);
  ADD ("/audit-log/killed/is-noted-and-nothing-taken-away", test_killed);
  ADD ("/audit-log/killed/what-was-noted-is-compared", test_cut_after_recovery);
  /* attack: have so much recorded that something is forgotten; defence: equal events are one record
   * with a count, and what is lost is a record, too */
  ADD ("/audit-log/flood/is-counted", test_flood);
  ADD ("/audit-log/flood/of-many-kinds", test_many_kinds);
  ADD ("/audit-log/flood/of-many-names", test_many_names);
  g_test_add_func ("/audit-log/strangers/are-alike-but-for-their-address", test_alike);
  /* attack: fill the disk with refusals of an address that is another one each time; defence:
   * strangers of a network are one record with a count */
  ADD ("/audit-log/strangers/of-one-network-are-one-record", test_one_network);
  /* attack: the same from everywhere; defence: strangers have a budget of records, beyond which
   * they are counted; test: /audit-log/strangers/have-a-budget */
  ADD ("/audit-log/strangers/have-a-budget", test_many_networks);
  ADD ("/audit-log/seals", test_seals);
  ADD ("/audit-log/threads", test_threads);
  ADD ("/audit-log/erased-while-written", test_erased_live);
  return g_test_run ();
}
