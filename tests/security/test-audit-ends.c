/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a trail that go, and what excuses that they are gone: their own time and a note that
 * fits, and nothing that somebody else can do to the folder.
 */
#include "config.h"

#include "audit-fixture.h"

#include "security/commy-audit-files.h"
#include "security/commy-audit-note.h"
#include "security/commy-audit-tail.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANY G_MAXUINT64
#define DAY_US (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC)
#define RETENTION_US (10 * DAY_US)
#define FILE_SIZE (64u << 10)

/* --- chains --- */

static CommyAuditChain *
chain_new (AuditFixture *self, gint64 retention_us, gsize max_file_size, gsize max_total_size)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);

  setup.chain.max_file_size = max_file_size;
  setup.chain.retention_us = retention_us;
  setup.chain.max_total_size = max_total_size;
  return commy_audit_chain_new (&setup.chain, self->wall_us);
}

static void
chain_add_file (CommyAuditChain *chain, AuditFixture *self, const CommyAuditRecord *record)
{
  g_autoptr (GError) error = NULL;

  commy_audit_chain_add (chain, record);
  commy_audit_chain_flush (chain, self->wall_us, self->boot_ns, TRUE, &error);
  g_assert_no_error (error);
}

static void
chain_end (CommyAuditChain *chain, AuditFixture *self)
{
  g_autoptr (GError) error = NULL;

  commy_audit_chain_close (chain, self->wall_us, self->boot_ns, &error);
  g_assert_no_error (error);
  commy_audit_chain_free (chain);
}

/* Closed, with a file of each of so many days. */
static void
make_days (AuditFixture *self, guint n)
{
  CommyAuditChain *chain = chain_new (self, RETENTION_US, 1, 0); /* each flush is a file */

  for (guint i = 0; i < n; i++)
    {
      char method[16];
      CommyAuditRecord record = audit_fixture_call (self, i, method);

      chain_add_file (chain, self, &record);
      self->wall_us += DAY_US;
    }
  chain_end (chain, self);
  audit_assert_whole (self);
}

/* A process that comes by and goes, and removes what has to go. */
static void
come_by (AuditFixture *self, gsize max_total_size)
{
  CommyAuditChain *chain
      = chain_new (self, max_total_size > 0 ? 0 : RETENTION_US, FILE_SIZE, max_total_size);
  g_autoptr (GError) error = NULL;
  char method[16];
  CommyAuditRecord record = audit_fixture_call (self, 7, method);

  commy_audit_chain_tidy (chain, self->wall_us, self->boot_ns, &error);
  g_assert_no_error (error);
  chain_add_file (chain, self, &record);
  chain_end (chain, self);
}

/* One whose records say that a file was removed, for whatever reason its maker has. */
static void
claim (AuditFixture *self, const char *about, const char *reason, gint64 retention_us)
{
  CommyAuditChain *chain = chain_new (self, retention_us, FILE_SIZE, 0);
  g_autofree char *stem = commy_audit_file_stem (about);
  const CommyAuditRecord record = { .wall_us = self->wall_us,
                                    .boot_ns = self->boot_ns,
                                    .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                               [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_REMOVED,
                                               [COMMY_AUDIT_REASON] = reason,
                                               [COMMY_AUDIT_DETAILS] = stem } };

  chain_add_file (chain, self, &record);
  chain_end (chain, self);
}

/* --- files --- */

static char *
dup_path (AuditFixture *self, const char *name)
{
  return g_build_filename (self->dir, name, NULL);
}

static gboolean
is_there (AuditFixture *self, const char *name)
{
  g_autofree char *path = dup_path (self, name);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
take_away (AuditFixture *self, const char *name)
{
  g_autofree char *path = dup_path (self, name);
  g_autofree char *stem = commy_audit_file_stem (path);
  g_autofree char *names = g_strconcat (stem, ".names", NULL);

  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_unlink (names), ==, 0);
}

/* With its names. */
static void
move (AuditFixture *self, const char *name, const char *to)
{
  const char *const suffixes[] = { ".audit", ".names" };
  g_autofree char *stem = commy_audit_file_stem (name);
  g_autofree char *to_stem = commy_audit_file_stem (to);

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *file = g_strconcat (stem, suffixes[i], NULL);
      g_autofree char *to_file = g_strconcat (to_stem, suffixes[i], NULL);
      g_autofree char *path = dup_path (self, file);
      g_autofree char *to_path = dup_path (self, to_file);

      g_assert_cmpint (g_rename (path, to_path), ==, 0);
    }
}

static gsize
size_of (AuditFixture *self, const char *suffix, guint n)
{
  gsize size = 0;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = audit_fixture_dup_file (self, suffix, i);
      g_autoptr (GByteArray) file = audit_fixture_read (self, name);

      size += file->len;
    }
  return size;
}

static void
touch (AuditFixture *self, const char *name, gint64 wall_us)
{
  struct timespec times[2] = { { 0, UTIME_OMIT }, { wall_us / G_USEC_PER_SEC, 0 } };
  g_autofree char *path = dup_path (self, name);

  g_assert_cmpint (utimensat (AT_FDCWD, path, times, 0), ==, 0);
}

/* How it ends, as one says who removes it. */
static CommyAuditNote
note_of (AuditFixture *self, const char *name)
{
  g_autoptr (CommyAuditTools) tools = commy_audit_tools_new ();
  g_autofree char *path = dup_path (self, name);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  CommyAuditNote note = { .cause = COMMY_AUDIT_BY_AGE };
  CommyAuditTail tail;

  g_assert_true (commy_audit_tail_read (fd, tools, &tail));
  close (fd);
  g_assert_true (tail.fits);
  note.sequence = tail.sequence;
  note.last_us = tail.wall_us;
  memcpy (note.hash, tail.hash, sizeof note.hash);
  return note;
}

static void
assert_fault (AuditFixture *self, const char *fault, const char *text)
{
  g_autoptr (GVariant) report = audit_fixture_verify (self, NULL);
  g_autofree char *all = g_variant_print (report, FALSE);

  if (!audit_report_has (report, fault, ANY, ANY) || strstr (all, text) == NULL)
    g_error ("no \"%s\" with \"%s\" in %s", fault, text, all);
}

/* --- whose time is over --- */

/* The records say how old a file is: neither what a touch makes old goes, nor what it makes new
 * stays. */
static void
test_touched (AuditFixture *self, gconstpointer data)
{
  g_autofree char *old = NULL;
  g_autofree char *young = NULL;

  make_days (self, 4);
  old = audit_fixture_dup_file (self, ".audit", 0);
  young = audit_fixture_dup_file (self, ".audit", 2);
  self->wall_us += 8 * DAY_US;
  touch (self, old, self->wall_us);
  touch (self, young, G_GINT64_CONSTANT (1000000000000000));
  come_by (self, 0);
  g_assert_false (is_there (self, old));
  g_assert_true (is_there (self, young));
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 4 - 2 + 1);
  audit_assert_whole (self);
}

/* The same where the size of all decides: the oldest by their records. */
static void
test_touched_by_size (AuditFixture *self, gconstpointer data)
{
  g_autofree char *old = NULL;
  g_autofree char *young = NULL;

  make_days (self, 2);
  old = audit_fixture_dup_file (self, ".audit", 0);
  young = audit_fixture_dup_file (self, ".audit", 1);
  self->wall_us += DAY_US;
  make_days (self, 1);
  touch (self, old, self->wall_us);
  touch (self, young, G_GINT64_CONSTANT (1000000000000000));
  come_by (self, FILE_SIZE + size_of (self, ".audit", 3) + size_of (self, ".names", 3) - 1);
  g_assert_false (is_there (self, old));
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 3 - 1 + 1);
  audit_assert_whole (self);
}

/* While somebody reads the first one nothing behind it goes: a hole is what thieves leave. */
static void
test_read_meanwhile (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  int fd;

  make_days (self, 3);
  name = audit_fixture_dup_file (self, ".audit", 0);
  path = dup_path (self, name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (flock (fd, LOCK_SH), ==, 0);
  self->wall_us += 100 * DAY_US;
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 4);
  audit_assert_whole (self);
  close (fd);
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 2);
  audit_assert_whole (self);
}

/* A record made older than it is, with its hash or without: what is to be found stays. */
static void
test_changed_stays (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  char *time;

  make_days (self, 1);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  time = g_strrstr_len ((char *) file->data, file->len, "\"time\":\"");
  g_assert_nonnull (time);
  memcpy (time + 8, "2020", 4);
  audit_fixture_write (self, name, file->data, file->len);
  come_by (self, 0);
  g_assert_true (is_there (self, name));
  assert_fault (self, "changed", "does not fit its hash");
}

/* One that was cut off is shorter than its head says: neither goes. */
static void
test_cut_stays (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;

  make_days (self, 2);
  name = audit_fixture_dup_file (self, ".audit", 1);
  audit_fixture_write (self, name, "", 0);
  self->wall_us = g_get_real_time () + 100 * DAY_US;
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 2);
  assert_fault (self, "tail missing", "the end was taken away");
}

/* --- what excuses --- */

/* Somebody takes the first file away and says that its time was over. */
static void
test_claims (AuditFixture *self, gconstpointer data)
{
  static const struct
  {
    gint64 age_us;       /* it says that it is so old */
    gint64 retention_us; /* its chain says that it keeps so long */
    gint sequence;       /* added to what is right */
    gboolean is_sealed;
    const char *why;
  } claims[] = {
    { 11 * DAY_US, RETENTION_US, 0, FALSE, "nobody sealed it" },
    { 9 * DAY_US, RETENTION_US, 0, TRUE, "its time was not over" },
    { 11 * DAY_US, 0, 0, TRUE, "its chain kept files for ever" },
    { 11 * DAY_US, RETENTION_US, -1, TRUE, "this file does not go on" },
    { 11 * DAY_US, RETENTION_US, 1, TRUE, "this file does not go on" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      AuditFixture one = { NULL };
      g_autofree char *name = NULL;
      g_autofree char *reason = NULL;
      CommyAuditNote note;

      audit_fixture_set_up (&one, NULL);
      make_days (&one, 3);
      name = audit_fixture_dup_file (&one, ".audit", 0);
      note = note_of (&one, name);
      note.last_us = one.wall_us - claims[i].age_us;
      note.sequence += (guint64) claims[i].sequence;
      reason = commy_audit_note_dup (&note);
      take_away (&one, name);
      one.is_dumb = !claims[i].is_sealed;
      claim (&one, name, reason, claims[i].retention_us);
      assert_fault (&one, "missing", claims[i].why);
      audit_fixture_tear_down (&one, NULL);
    }
}

/* An excuse in no form that is known, and one about a file that is there and ends elsewhere. */
static void
test_wrong_claims (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *reason = NULL;
  CommyAuditNote note;

  make_days (self, 2);
  name = audit_fixture_dup_file (self, ".audit", 0);
  note = note_of (self, name);
  note.last_us -= 100 * DAY_US;
  note.hash[5] = note.hash[5] == '0' ? '1' : '0';
  reason = commy_audit_note_dup (&note);
  claim (self, name, reason, RETENTION_US);
  assert_fault (self, "note", "or the note was");
  take_away (self, name);
  assert_fault (self, "missing", "this file does not go on");
  claim (self, name, "1:00 of yesterday by age", RETENTION_US);
  assert_fault (self, "missing", "this file does not go on");
}

/* The files at the beginning are gone, and the others are called as if they were these. */
static void
test_renamed (AuditFixture *self, gconstpointer data)
{
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  make_days (self, 3);
  first = audit_fixture_dup_file (self, ".audit", 0);
  second = audit_fixture_dup_file (self, ".audit", 1);
  take_away (self, first);
  move (self, second, first);
  assert_fault (self, "missing", "it is called the first file of its chain");
}

/* The head is gone with the end, and a note about a file that never was is to excuse it. */
static void
test_head_excused (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *head = NULL;
  g_autofree char *reason = NULL;
  CommyAuditNote note;

  make_days (self, 2);
  name = audit_fixture_dup_file (self, ".audit", 1);
  head = audit_fixture_dup_file (self, ".head", 0);
  note = note_of (self, name);
  note.last_us -= 100 * DAY_US;
  reason = commy_audit_note_dup (&note);
  take_away (self, name);
  {
    g_autofree char *path = dup_path (self, head);

    g_assert_cmpint (g_unlink (path), ==, 0);
  }
  self->is_dumb = TRUE;
  claim (self, name, reason, RETENTION_US);
  assert_fault (self, "head", "is not there");
}

/* --- seals --- */

/* A trail that nobody seals has its files removed as well, and it is told that this is a claim. */
static void
test_claimed (AuditFixture *self, gconstpointer data)
{
  const gboolean is_dumb = data != NULL;
  g_autoptr (GVariant) report = NULL;
  g_autoptr (GVariant) unjudged = NULL;

  self->is_dumb = is_dumb;
  make_days (self, 3);
  self->wall_us += 8 * DAY_US;
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 3);
  report = audit_fixture_verify (self, NULL);
  g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 0);
  g_assert_cmpuint (audit_report_get (report, "removals"), ==, 1);
  g_assert_cmpuint (audit_report_get (report, "removals_claimed"), ==, is_dumb ? 1 : 0);
  unjudged = commy_audit_verify (self->dir, NULL, NULL, NULL);
  g_assert_cmpuint (audit_report_get (unjudged, "removals_claimed"), ==, 1);
}

/* Who cannot seal leaves what is sealed. */
static void
test_sealed_stays (AuditFixture *self, gconstpointer data)
{
  make_days (self, 2);
  self->wall_us += 100 * DAY_US;
  self->is_dumb = TRUE;
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 3);
  audit_assert_whole (self);
  self->is_dumb = FALSE;
  come_by (self, 0);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 2);
  audit_assert_whole (self);
}

/* --- a process that dies with its file empty, or with a part of a record --- */

static void
test_dies_at_once (AuditFixture *self, gconstpointer data)
{
  const char *text = data;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *names = NULL;

  make_days (self, 1);
  first = audit_fixture_dup_file (self, ".audit", 0);
  second = g_strdup_printf ("%.*s000002.audit.open", (int) (strlen (first) - 12), first);
  names = g_strdup_printf ("%.*s000002.names", (int) (strlen (first) - 12), first);
  audit_fixture_write (self, names, "", 0);
  audit_fixture_write (self, second, text, strlen (text));
  self->wall_us = g_get_real_time () + DAY_US;
  touch (self, second, self->wall_us - DAY_US);
  come_by (self, 1 << 30);
  audit_assert_whole (self);
  self->wall_us += 100 * DAY_US;
  come_by (self, 0);
  audit_assert_whole (self);
  come_by (self, 0);
  audit_assert_whole (self);
  g_assert_false (is_there (self, first));
}

/* --- all of it --- */

/* However many there are, all are looked at: half a trail would be called whole. */
static void
test_many_files (AuditFixture *self, gconstpointer data)
{
  const guint n = 100001;
  g_autoptr (GPtrArray) names = NULL;
  g_autoptr (GError) error = NULL;
  int dir;

  g_assert_cmpint (g_mkdir (self->dir, 0700), ==, 0);
  dir = open (self->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  audit_fixture_write (self, "a-000001.audit", "", 0);
  for (guint i = 2; i <= n; i++)
    {
      char name[32];

      g_snprintf (name, sizeof name, "a-%06u.audit", i);
      if (linkat (dir, "a-000001.audit", dir, name, 0) < 0)
        audit_fixture_write (self, name, "", 0);
    }
  close (dir);
  names = commy_audit_list_files (self->dir, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (names->len, ==, n);
  g_assert_cmpstr (names->pdata[n - 1], ==, "a-100001.audit");
}

/* --- texts --- */

static void
test_texts (void)
{
  static const char hash[] = "00000000000000000000000000000000000000000000000000000000000000ab";
  static const char *const bad[] = { "",
                                     ":",
                                     "1:00",
                                     "01:%s",
                                     "1:%s ",
                                     "1:%s torn 0",
                                     "1:%s of 2026-02-30T00:00:00.000000Z by age",
                                     "1:%s of 2026-01-30T00:00:00.000000Z by hand",
                                     "1:%s of 2026-01-30T00:00:00.000000Z by age!",
                                     "1:%s of 2026-01-30T00:00:00.000000Z" };
  static const char *const bad_rules[] = { "", "retention us", "retention 1 us, max-total-size 02",
                                           "retention 1 us, max-total-size 2 ",
                                           "retention 18446744073709551615 us, max-total-size 2" };
  CommyAuditNote note;
  CommyAuditRules rules;
  g_autofree char *good
      = g_strdup_printf ("7:%s torn 3 of 2026-01-30T00:00:00.000000Z by size", hash);

  g_assert_true (commy_audit_note_parse (good, &note));
  g_assert_cmpuint (note.sequence, ==, 7);
  g_assert_cmpuint (note.torn, ==, 3);
  g_assert_cmpint (note.cause, ==, COMMY_AUDIT_BY_SIZE);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto (GStrv) parts = g_strsplit (bad[i], "%s", 2);
      g_autofree char *text = g_strjoinv (hash, parts);

      g_assert_false (commy_audit_note_parse (text, &note));
    }
  g_assert_true (
      commy_audit_rules_parse ("retention 5 us, max-total-size 6, behind a seal", &rules));
  g_assert_cmpint (rules.retention_us, ==, 5);
  g_assert_cmpuint (rules.max_total_size, ==, 6);
  g_assert_true (rules.after_seal);
  for (guint i = 0; i < G_N_ELEMENTS (bad_rules); i++)
    g_assert_false (commy_audit_rules_parse (bad_rules[i], &rules));
}

#define ADD_WITH(PATH, DATA, FUNC) \
  g_test_add (PATH, AuditFixture, DATA, audit_fixture_set_up, FUNC, audit_fixture_tear_down)
#define ADD(PATH, FUNC) ADD_WITH (PATH, NULL, FUNC)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/audit-ends/texts-have-one-form", test_texts);
  /* attack: make a file of the trail look old, so that it is removed; defence: its records say how
   * old it is */
  ADD ("/audit-ends/age/is-not-what-a-touch-says", test_touched);
  ADD ("/audit-ends/age/is-not-what-a-touch-says-by-size", test_touched_by_size);
  /* attack: have what was changed or cut off in a trail removed by its own housekeeping; defence:
   * what does not end as its chain says stays */
  ADD ("/audit-ends/age/what-was-changed-stays", test_changed_stays);
  ADD ("/audit-ends/age/what-was-cut-off-stays", test_cut_stays);
  ADD ("/audit-ends/age/nothing-goes-behind-what-stays", test_read_meanwhile);
  /* attack: take a file away and note that its time was over; defence: a note counts under a seal,
   * of a time that was over, and where the next file goes on */
  ADD ("/audit-ends/excuses/must-fit", test_claims);
  ADD ("/audit-ends/excuses/are-compared-with-what-is-there", test_wrong_claims);
  ADD ("/audit-ends/excuses/of-heads-must-fit", test_head_excused);
  /* attack: take the first files of a chain away and call the others as if they were these;
   * defence: the first one begins with record 1 */
  ADD ("/audit-ends/renamed-is-missed", test_renamed);
  ADD ("/audit-ends/seals/make-a-removal-more-than-a-claim", test_claimed);
  ADD_WITH ("/audit-ends/seals/without-them-a-removal-is-a-claim", "dumb", test_claimed);
  ADD ("/audit-ends/seals/who-has-none-leaves-what-is-sealed", test_sealed_stays);
  ADD_WITH ("/audit-ends/dies/before-the-first-record", "", test_dies_at_once);
  ADD_WITH ("/audit-ends/dies/in-the-first-record", "{\"seq\":3", test_dies_at_once);
  ADD ("/audit-ends/all-files-are-read", test_many_files);
  return g_test_run ();
}
