/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heads of chains: an end that was taken away is missed, whatever else was done to hide that; and
 * nothing that crashes, disks and the trail's own housekeeping leave is taken for such a deed.
 */
#include "config.h"

#include "audit-fixture.h"

#include "security/commy-audit-heads.h"
#include "security/commy-audit-tail.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define ANY G_MAXUINT64
#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define DAY_US (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC)

/* --- a chain in steps --- */

typedef struct
{
  AuditFixture *fixture;
  CommyAuditChain *chain;
  guint n;
} Writer;

static Writer
writer_new (AuditFixture *fixture, gsize max_file_size)
{
  CommyAuditLogSetup setup = audit_fixture_setup (fixture);

  setup.chain.max_file_size = max_file_size;
  setup.chain.retention_us = DAY_US;
  return (Writer){ fixture, commy_audit_chain_new (&setup.chain, fixture->wall_us), 0 };
}

/* @n calls, as long after what was before as makes a seal due. */
static void
writer_add (Writer *self, guint n, gboolean durable)
{
  g_autoptr (GError) error = NULL;

  self->fixture->boot_ns += COMMY_AUDIT_SEAL_NS;
  for (guint i = 0; i < n; i++)
    {
      char method[16];
      CommyAuditRecord record = audit_fixture_call (self->fixture, self->n++, method);

      commy_audit_chain_add (self->chain, &record);
    }
  commy_audit_chain_flush (self->chain, self->fixture->wall_us, self->fixture->boot_ns, durable,
                           &error);
  g_assert_no_error (error);
}

static void
writer_close (Writer *self)
{
  g_autoptr (GError) error = NULL;

  commy_audit_chain_close (self->chain, self->fixture->wall_us, self->fixture->boot_ns, &error);
  g_assert_no_error (error);
  g_clear_pointer (&self->chain, commy_audit_chain_free);
}

/* Its process dies. */
static void
writer_die (Writer *self)
{
  g_clear_pointer (&self->chain, commy_audit_chain_free);
}

/* A process that starts later, and looks at what there is. */
static void
tidy (AuditFixture *fixture)
{
  Writer writer = writer_new (fixture, 64 << 20);
  g_autoptr (GError) error = NULL;

  commy_audit_chain_tidy (writer.chain, fixture->wall_us, fixture->boot_ns, &error);
  g_assert_no_error (error);
  writer_add (&writer, 1, TRUE);
  writer_close (&writer);
}

/* Three files. */
static void
make_files (AuditFixture *fixture)
{
  Writer writer = writer_new (fixture, 4096);

  for (guint i = 0; i < 3; i++)
    writer_add (&writer, 20, TRUE);
  writer_close (&writer);
  g_assert_cmpuint (audit_fixture_count_files (fixture, ".audit"), ==, 3);
  g_assert_cmpuint (audit_fixture_count_files (fixture, ".head"), ==, 1);
  audit_assert_whole (fixture);
}

static void
take_away (AuditFixture *fixture, const char *suffix, guint nth)
{
  g_autofree char *name = audit_fixture_dup_file (fixture, suffix, nth);
  g_autofree char *path = g_build_filename (fixture->dir, name, NULL);

  g_assert_cmpint (g_unlink (path), ==, 0);
}

static void
assert_fault (AuditFixture *fixture, const char *fault, guint64 record)
{
  g_autoptr (GVariant) report = audit_fixture_verify (fixture, NULL);
  g_autofree char *text = g_variant_print (report, FALSE);

  if (!audit_report_has (report, fault, record, ANY))
    g_error ("no \"%s\" in %s", fault, text);
}

/* --- what was taken away --- */

static void
test_last_file (AuditFixture *self, gconstpointer data)
{
  g_autoptr (GVariant) report = NULL;
  g_autofree char *end = NULL;
  guint64 last;

  make_files (self);
  take_away (self, ".audit", 2);
  take_away (self, ".names", 2);
  report = audit_fixture_verify (self, NULL);
  end = audit_report_dup_end (report);
  last = g_ascii_strtoull (end, NULL, 10);
  g_assert_cmpuint (last, >, 20);
  g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 1);
  g_assert_true (audit_report_has (report, "tail missing", last + 1, ANY));
}

static void
test_all_files (AuditFixture *self, gconstpointer data)
{
  make_files (self);
  for (guint i = 0; i < 3; i++)
    {
      take_away (self, ".audit", 0);
      take_away (self, ".names", 0);
    }
  assert_fault (self, "tail missing", 1);
}

static void
test_with_the_head (AuditFixture *self, gconstpointer data)
{
  make_files (self);
  take_away (self, ".audit", 2);
  take_away (self, ".names", 2);
  take_away (self, ".head", 0);
  assert_fault (self, "head", 0);
}

/* Who knows what a head is, and what it has, but not what it had. */
static void
test_head_written_anew (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *end = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GVariant) report = NULL;
  char line[COMMY_AUDIT_HEAD_SIZE];
  CommyAuditHead head;

  make_files (self);
  take_away (self, ".audit", 2);
  take_away (self, ".names", 2);
  report = audit_fixture_verify (self, NULL);
  end = audit_report_dup_end (report);
  name = audit_fixture_dup_file (self, ".head", 0);
  file = audit_fixture_read (self, name);
  g_assert_true (commy_audit_head_parse ((char *) file->data, file->len, &head));
  head.sequence = g_ascii_strtoull (end, NULL, 10);
  g_assert_true (commy_audit_from_hex (strchr (end, ':') + 1, sizeof head.hash, head.hash));
  commy_audit_head_write (&head, line);
  audit_fixture_write (self, name, line, sizeof line);
  assert_fault (self, "tail missing", head.sequence + 1);
}

/* A commitment of one's own in the last checkpoint that is left: its seal is about that, too. */
static void
test_checkpoint_written_anew (AuditFixture *self, gconstpointer data)
{
  g_autoptr (CommyAuditTools) tools = commy_audit_tools_new ();
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  char out[COMMY_AUDIT_LINE_MAX], commitment[COMMY_AUDIT_HEX_SIZE + 1];
  char text[COMMY_AUDIT_HEAD_SIZE];
  CommyAuditHead head = { .sequence = 1 };
  guint8 before[COMMY_AUDIT_HASH_SIZE];
  CommyAuditLine line;
  char *last, *hash;
  gsize size;

  audit_fixture_make (self, 10);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  g_byte_array_append (file, (const guint8 *) "", 1);
  last = (char *) file->data + file->len - 2;
  while (last[-1] != '\n')
    last--;
  hash = g_strrstr_len ((char *) file->data, last - (char *) file->data, "\"hash\":\"");
  g_assert_true (commy_audit_from_hex (hash + 8, sizeof before, before));
  commy_audit_head_commit (&head, tools, commitment);
  size = strlen (last) - 1;
  g_assert_null (commy_audit_line_parse (last, size, &line));
  g_assert_cmpuint (line.texts[COMMY_AUDIT_HEAD].size, ==, COMMY_AUDIT_HEX_SIZE);
  memcpy ((char *) line.texts[COMMY_AUDIT_HEAD].at, commitment, COMMY_AUDIT_HEX_SIZE);
  memcpy (out, last, line.hashed);
  commy_audit_chain (tools, before, out, line.hashed, head.hash);
  head.sequence = line.sequence;
  size = commy_audit_record_end (out, line.hashed, head.hash);
  g_byte_array_set_size (file, (guint) (last - (char *) file->data));
  g_byte_array_append (file, (const guint8 *) out, (guint) size);
  audit_fixture_write (self, name, file->data, file->len);
  g_free (name);
  name = audit_fixture_dup_file (self, ".head", 0);
  commy_audit_head_write (&head, text);
  audit_fixture_write (self, name, text, sizeof text);
  assert_fault (self, "seal", head.sequence);
}

static void
test_flipped (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;

  audit_fixture_make (self, 10);
  name = audit_fixture_dup_file (self, ".head", 0);
  file = audit_fixture_read (self, name);
  g_assert_cmpuint (file->len, ==, COMMY_AUDIT_HEAD_SIZE);
  for (guint at = 0; at < file->len; at++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autoptr (GVariant) report = NULL;

        audit_fixture_put (self, name, at, file->data[at] ^ (guint8) (1u << bit));
        report = audit_fixture_verify (self, NULL);
        g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 1);
        audit_fixture_put (self, name, at, file->data[at]);
      }
  audit_fixture_write (self, name, file->data, 0);
  assert_fault (self, "head", 0);
  audit_fixture_write (self, name, file->data, file->len);
  audit_assert_whole (self);
}

/* One that was killed, whose file was then cut off, and that was noted so. */
static void
test_cut_after_death (AuditFixture *self, gconstpointer data)
{
  Writer writer = writer_new (self, 64 << 20);
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  guint8 *end;

  writer_add (&writer, 20, TRUE);
  writer_add (&writer, 20, TRUE);
  writer_die (&writer);
  name = audit_fixture_dup_file (self, ".open", 0);
  file = audit_fixture_read (self, name);
  end = file->data + file->len / 2;
  while (end[-1] != '\n')
    end--;
  audit_fixture_write (self, name, file->data, (gsize) (end - file->data));
  tidy (self);
  assert_fault (self, "tail missing", ANY);
}

/* --- what was not --- */

/* At each point at which a process can end, with what the disk may have kept of it. */
static void
test_death (AuditFixture *self, gconstpointer data)
{
  for (guint steps = 0; steps < 6; steps++)
    for (guint behind = 0; behind < 2; behind++)
      {
        Writer writer = writer_new (self, 4096);
        g_autofree char *name = NULL;
        g_autoptr (GByteArray) before = NULL;

        writer_add (&writer, 1, FALSE);
        g_free (name);
        name = NULL;
        for (guint i = 0; i < steps; i++)
          {
            g_autoptr (GPtrArray) heads
                = commy_audit_list_beside (self->dir, COMMY_AUDIT_HEAD_SUFFIX);

            if (behind && i + 1 == steps)
              for (guint k = 0; k < heads->len; k++)
                {
                  CommyAuditHead head;
                  gboolean is_live = FALSE;

                  g_assert_cmpint (
                      commy_audit_head_read (self->dir, heads->pdata[k], &head, &is_live), ==,
                      COMMY_AUDIT_HEAD_GOOD);
                  if (!is_live)
                    continue;
                  name = g_strdup (heads->pdata[k]);
                  before = audit_fixture_read (self, name);
                }
            writer_add (&writer, 12, i % 2 == 0);
          }
        writer_die (&writer);
        /* The records reached the disk, and the head did not. */
        if (before != NULL)
          audit_fixture_write (self, name, before->data, before->len);
        tidy (self);
        audit_assert_whole (self);
      }
}

/* All are removed when their time is over, the heads with the last of each. */
static void
test_retention (AuditFixture *self, gconstpointer data)
{
  Writer writer = writer_new (self, 4096);

  make_files (self);
  writer_add (&writer, 20, TRUE);
  writer_die (&writer);
  self->wall_us = g_get_real_time ();
  tidy (self);
  self->wall_us += 3 * DAY_US;
  tidy (self);
  audit_assert_whole (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 1);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 1);
}

/* The process that removes them dies after the head. */
static void
test_death_in_retention (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *names = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GByteArray) names_file = NULL;

  audit_fixture_make (self, 5);
  name = audit_fixture_dup_file (self, ".audit", 0);
  names = audit_fixture_dup_file (self, ".names", 0);
  file = audit_fixture_read (self, name);
  names_file = audit_fixture_read (self, names);
  self->wall_us = g_get_real_time () + 3 * DAY_US;
  tidy (self);
  audit_assert_whole (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".audit"), ==, 1);
  audit_fixture_write (self, name, file->data, file->len);
  audit_fixture_write (self, names, names_file->data, names_file->len);
  audit_assert_whole (self);
}

/* One that runs, is between two files, and has had nothing to record for so long. */
static void
test_retention_of_a_quiet_one (AuditFixture *self, gconstpointer data)
{
  Writer quiet = writer_new (self, 1024);

  writer_add (&quiet, 20, TRUE);
  g_assert_cmpuint (audit_fixture_count_files (self, ".open"), ==, 0);
  self->wall_us = g_get_real_time () + 3 * DAY_US;
  tidy (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 2);
  audit_assert_whole (self);
  writer_close (&quiet);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 1);
  audit_assert_whole (self);
}

/* A head without anything is what a process leaves that could not begin a file. */
static void
test_idle_heads (AuditFixture *self, gconstpointer data)
{
  const CommyAuditHead head = { 0 };
  char line[COMMY_AUDIT_HEAD_SIZE];

  self->wall_us = g_get_real_time ();
  audit_fixture_make (self, 1);
  commy_audit_head_write (&head, line);
  audit_fixture_write (self, "20260101T000000Z-1-00000000.head", line, sizeof line);
  audit_assert_whole (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 2);
  self->wall_us = g_get_real_time () - DAY_US / 2; /* it may be about to be locked */
  tidy (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 3);
  self->wall_us = g_get_real_time () + DAY_US / 4;
  tidy (self);
  g_assert_cmpuint (audit_fixture_count_files (self, ".head"), ==, 3);
  audit_assert_whole (self);
}

/* Names are erased beside it. */
static void
test_erased (AuditFixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint64 n = 0;

  make_files (self);
  g_assert_true (commy_audit_erase (self->dir, "unix:uid=1000", &n, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (n, >, 0);
  audit_assert_whole (self);
}

#define ADD(PATH, FUNC) \
  g_test_add (PATH, AuditFixture, NULL, audit_fixture_set_up, FUNC, audit_fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: take the last files of a trail away; defence: a head beside them says how far it went
   */
  ADD ("/audit-head/taken-away/last-file", test_last_file);
  ADD ("/audit-head/taken-away/all-files", test_all_files);
  ADD ("/audit-head/taken-away/with-the-head", test_with_the_head);
  /* attack: the same, and the head is made to say less; defence: with each seal it shows another
   * secret, and the earlier ones are gone */
  ADD ("/audit-head/taken-away/head-written-anew", test_head_written_anew);
  ADD ("/audit-head/taken-away/checkpoint-written-anew", test_checkpoint_written_anew);
  ADD ("/audit-head/taken-away/after-a-death", test_cut_after_death);
  ADD ("/audit-head/every-flipped-bit-is-found", test_flipped);
  ADD ("/audit-head/whole/whenever-a-process-ends", test_death);
  ADD ("/audit-head/whole/when-its-time-is-over", test_retention);
  ADD ("/audit-head/whole/when-who-removes-it-ends", test_death_in_retention);
  ADD ("/audit-head/whole/where-nothing-happens-for-long", test_retention_of_a_quiet_one);
  ADD ("/audit-head/whole/with-heads-of-nothing", test_idle_heads);
  ADD ("/audit-head/whole/with-names-erased", test_erased);
  return g_test_run ();
}
