/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail as bytes: lines both ways, and everything that can be done to a file of it found
 * and named.
 */
#include "config.h"

#include "audit-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define RECORDS 12u
#define ANY G_MAXUINT64

/* --- lines --- */

static void
test_line (void)
{
  CommyAuditRecord record
      = { .sequence = 42,
          .wall_us = G_GINT64_CONSTANT (1767225600000001),
          .boot_ns = 7,
          .count = 3,
          .texts
          = { [COMMY_AUDIT_TYPE] = "call", [COMMY_AUDIT_REASON] = "a\"b\\c\nd\177\303\251\377" } };
  char out[COMMY_AUDIT_LINE_MAX];
  guint8 hash[COMMY_AUDIT_HASH_SIZE] = { 0xab };
  gsize hashed = commy_audit_record_write (&record, out);
  gsize size = commy_audit_record_end (out, hashed, hash);
  g_autofree char *reason = NULL;
  CommyAuditLine line;

  g_assert_cmpmem (
      out, hashed,
      "{\"seq\":42,\"time\":\"2026-01-01T00:00:00.000001Z\",\"boot\":7,"
      "\"type\":\"call\",\"reason\":\"a\\\"b\\\\c\\u000ad\\u007f\303\251\357\277\275\","
      "\"count\":3",
      hashed);
  g_assert_cmpint (out[size - 1], ==, '\n');
  g_assert_null (commy_audit_line_parse (out, size - 1, &line));
  g_assert_cmpuint (line.sequence, ==, 42);
  g_assert_cmpuint (line.count, ==, 3);
  g_assert_cmpint (line.boot_ns, ==, 7);
  g_assert_cmpuint (line.hashed, ==, hashed);
  g_assert_cmpmem (line.hash, sizeof line.hash, hash, sizeof hash);
  g_assert_true (commy_audit_span_is (line.texts[COMMY_AUDIT_TYPE], "call"));
  reason = commy_audit_span_dup (line.texts[COMMY_AUDIT_REASON]);
  g_assert_cmpstr (reason, ==, "a\"b\\c\nd\177\303\251\357\277\275");
}

/* Whatever goes in, the line fits and reads. */
static void
test_long (void)
{
  g_autofree char *text = g_strnfill (5000, '\001');
  g_autofree char *commitment = g_strnfill (COMMY_AUDIT_HEX_SIZE, 'a');
  CommyAuditRecord record
      = { .sequence = G_MAXUINT64, .wall_us = G_MAXINT64, .count = G_MAXUINT64 };
  char out[COMMY_AUDIT_LINE_MAX];
  guint8 hash[COMMY_AUDIT_HASH_SIZE] = { 0 };
  CommyAuditLine line;
  gsize size;

  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    record.texts[i] = commy_audit_text_is_personal (i) ? commitment : text;
  size = commy_audit_record_end (out, commy_audit_record_write (&record, out), hash);
  g_assert_cmpuint (size, <, COMMY_AUDIT_LINE_MAX);
  g_assert_null (commy_audit_line_parse (out, size - 1, &line));
  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    if (!commy_audit_text_is_personal (i))
      g_assert_cmpuint (line.texts[i].size, >, COMMY_AUDIT_TEXT_MAX - 16);
}

static void
test_not_canonical (void)
{
#define HASH ",\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\"}"
#define HEAD "{\"seq\":1,\"time\":\"2026-01-01T00:00:00.000001Z\",\"boot\":7"
  static const char *const texts[] = {
    "",
    "{",
    HEAD HASH, /* no type */
    HEAD ",\"type\":\"a\"" HASH " ",
    HEAD ",\"type\":\"a\",\"type\":\"a\"" HASH,
    HEAD ",\"outcome\":\"a\",\"type\":\"a\"" HASH,
    HEAD ",\"type\":\"a\",\"other\":\"a\"" HASH,
    HEAD ",\"type\":\"a\",\"rule\":\"\"" HASH,
    HEAD ",\"type\":\"a\\n\"" HASH,
    HEAD ",\"type\":\"a\001\"" HASH,
    HEAD ",\"type\":\"a\\u0A00\"" HASH,
    HEAD ",\"type\":\"a\\",
    HEAD ",\"type\":\"\xff\"" HASH,
    HEAD ",\"type\":\"a\",\"principal\":\"unix:uid=0\"" HASH, /* a name, and no commitment */
    HEAD ",\"type\":\"a\",\"count\":1" HASH,
    HEAD ",\"type\":\"a\",\"count\":02" HASH,
    HEAD ",\"type\":\"a\",\"count\":99999999999999999999" HASH,
    "{\"seq\":01,\"time\":\"2026-01-01T00:00:00.000001Z\",\"boot\":7,\"type\":\"a\"" HASH,
    "{\"seq\":1,\"time\":\"2026-01-01 00:00:00.000001Z\",\"boot\":7,\"type\":\"a\"" HASH,
    HEAD ",\"type\":\"a\",\"hash\":\"00\"}",
  };
  CommyAuditLine line;

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_nonnull (commy_audit_line_parse (texts[i], strlen (texts[i]), &line));
  g_assert_null (commy_audit_line_parse (HEAD ",\"type\":\"a\"" HASH,
                                         strlen (HEAD ",\"type\":\"a\"" HASH), &line));
}

static void
test_mentions (void)
{
  g_assert_true (commy_audit_name_mentions ("unix:uid=100", "unix:uid=100"));
  g_assert_false (commy_audit_name_mentions ("unix:uid=1000", "unix:uid=100"));
  g_assert_true (commy_audit_name_mentions ("unix:uid=1000 not unix:uid=100.", "unix:uid=100"));
  g_assert_false (commy_audit_name_mentions ("xunix:uid=100", "unix:uid=100"));
  g_assert_false (commy_audit_name_mentions ("spiffe://d/user/anna", "spiffe://d/user/ann"));
  g_assert_true (commy_audit_name_mentions ("(spiffe://d/user/ann)", "spiffe://d/user/ann"));
  g_assert_false (commy_audit_name_mentions ("anything", ""));
}

/* --- what is done to files --- */

static gsize
line_begin (const GByteArray *file, gsize at)
{
  while (at > 0 && file->data[at - 1] != '\n')
    at--;
  return at;
}

/* Offsets of lines, and the file's size behind the last. */
static GArray *
find_lines (const GByteArray *file)
{
  GArray *offsets = g_array_new (FALSE, FALSE, sizeof (gsize));

  for (gsize at = 0; at <= file->len; at++)
    if (at == 0 || file->data[at - 1] == '\n')
      g_array_append_val (offsets, at);
  return offsets;
}

static void
flip_every (AuditFixture *self, const char *name, gboolean has_lines)
{
  static const guint8 masks[] = { 0x01, 0x20, 0x80 };
  g_autoptr (GByteArray) file = audit_fixture_read (self, name);

  for (gsize m = 0; m < G_N_ELEMENTS (masks); m++)
    for (gsize at = 0; at < file->len; at++)
      {
        g_autoptr (GVariant) report = NULL;
        gsize begin = line_begin (file, at);

        audit_fixture_put (self, name, at, file->data[at] ^ masks[m]);
        report = audit_fixture_verify (self, NULL);
        audit_fixture_put (self, name, at, file->data[at]);
        if (!audit_report_has (report, NULL, ANY, has_lines ? begin : ANY))
          {
            g_autofree char *text = g_variant_print (report, FALSE);

            g_error ("byte %zu of %s, flipped by %02x, is not found at %zu: %s", at, name, masks[m],
                     begin, text);
          }
      }
  audit_assert_whole (self);
}

static void
test_flipped (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;

  self->is_dumb = data != NULL;
  audit_fixture_make (self, RECORDS);
  audit_assert_whole (self);
  name = audit_fixture_dup_file (self, ".audit", 0);
  flip_every (self, name, TRUE);
}

static void
test_flipped_name (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;

  audit_fixture_make (self, RECORDS);
  name = audit_fixture_dup_file (self, ".names", 0);
  flip_every (self, name, FALSE);
}

/* In records, which count from 1. */
static void
test_removed (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GArray) lines = NULL;

  audit_fixture_make (self, RECORDS);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  lines = find_lines (file);
  g_assert_cmpuint (lines->len, ==, RECORDS + 5); /* opened, sealed, closed, sealed, and the end */
  for (guint i = 0; i + 1 < lines->len; i++)
    for (guint n = 1; n <= 3 && i + n < lines->len; n++)
      {
        gsize from = g_array_index (lines, gsize, i), to = g_array_index (lines, gsize, i + n);
        g_autoptr (GByteArray) cut = g_byte_array_new ();
        g_autoptr (GVariant) report = NULL;

        g_byte_array_append (cut, file->data, (guint) from);
        g_byte_array_append (cut, file->data + to, file->len - (guint) to);
        audit_fixture_write (self, name, cut->data, cut->len);
        report = audit_fixture_verify (self, NULL);
        if (i + n + 1 == lines->len)
          g_assert_true (audit_report_has (report, "truncated", ANY, from));
        else if (i == 0)
          g_assert_true (audit_report_has (report, "missing", n + 1, 0));
        else
          g_assert_true (audit_report_has (report, "missing", i + 1, from));
      }
}

static void
test_swapped (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GArray) lines = NULL;

  audit_fixture_make (self, RECORDS);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  lines = find_lines (file);
  for (guint i = 1; i + 2 < lines->len; i++)
    {
      gsize a = g_array_index (lines, gsize, i), b = g_array_index (lines, gsize, i + 1);
      gsize end = g_array_index (lines, gsize, i + 2);
      g_autoptr (GByteArray) other = g_byte_array_new ();
      g_autoptr (GVariant) report = NULL;

      g_byte_array_append (other, file->data, (guint) a);
      g_byte_array_append (other, file->data + b, (guint) (end - b));
      g_byte_array_append (other, file->data + a, (guint) (b - a));
      g_byte_array_append (other, file->data + end, file->len - (guint) end);
      audit_fixture_write (self, name, other->data, other->len);
      report = audit_fixture_verify (self, NULL);
      g_assert_true (audit_report_has (report, "swapped", i + 1, a));
    }
}

static void
test_repeated (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GArray) lines = NULL;

  audit_fixture_make (self, RECORDS);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  lines = find_lines (file);
  for (guint i = 0; i + 1 < lines->len; i++)
    {
      gsize from = g_array_index (lines, gsize, i), to = g_array_index (lines, gsize, i + 1);
      g_autoptr (GByteArray) other = g_byte_array_new ();
      g_autoptr (GVariant) report = NULL;

      g_byte_array_append (other, file->data, (guint) to);
      g_byte_array_append (other, file->data + from, file->len - (guint) from);
      audit_fixture_write (self, name, other->data, other->len);
      report = audit_fixture_verify (self, NULL);
      g_assert_true (audit_report_has (report, "repeated", i + 1, to));
    }
}

/* Every length: without what was noted earlier what is missing at the end shows because the closing
 * record does, and with it because the record does. */
static void
test_truncated (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  g_autofree char *expect = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (GVariant) whole = NULL;

  self->is_dumb = data != NULL;
  audit_fixture_make (self, RECORDS);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  whole = audit_fixture_verify (self, NULL);
  expect = audit_report_dup_end (whole);
  path = g_build_filename (self->dir, name, NULL);
  for (gsize size = file->len; size-- > 0;)
    {
      g_autoptr (GVariant) report = NULL;
      g_autoptr (GVariant) compared = NULL;

      g_assert_cmpint (truncate (path, (off_t) size), ==, 0);
      report = audit_fixture_verify (self, NULL);
      g_assert_true (audit_report_has (report, "truncated", ANY, ANY));
      g_assert_true (line_begin (file, size) == size
                     || audit_report_has (report, "torn", ANY, line_begin (file, size)));
      compared = audit_fixture_verify (self, expect);
      g_assert_true (audit_report_has (compared, "expected", ANY, ANY));
    }
  audit_fixture_write (self, name, file->data, file->len);
  g_clear_pointer (&whole, g_variant_unref);
  whole = audit_fixture_verify (self, expect);
  g_assert_cmpuint (audit_report_get (whole, "fault_count"), ==, 0);
}

/* Who can write the files and has no key makes all hashes fit; the seals do not. */
static void
test_rewritten (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *expect = NULL;
  g_autoptr (GByteArray) file = NULL;
  g_autoptr (CommyAuditTools) tools = commy_audit_tools_new ();
  g_autoptr (GString) other = g_string_new (NULL);
  g_autoptr (GVariant) report = NULL;
  g_autoptr (GVariant) whole = NULL;
  guint8 hash[COMMY_AUDIT_HASH_SIZE] = { 0 };
  g_auto (GStrv) lines = NULL;

  audit_fixture_make (self, RECORDS);
  whole = audit_fixture_verify (self, NULL);
  expect = audit_report_dup_end (whole);
  name = audit_fixture_dup_file (self, ".audit", 0);
  file = audit_fixture_read (self, name);
  g_byte_array_append (file, (const guint8 *) "", 1);
  lines = g_strsplit ((char *) file->data, "\n", -1);
  for (guint i = 0; lines[i][0] != '\0'; i++)
    {
      char out[COMMY_AUDIT_LINE_MAX];
      char *hit = strstr (lines[i], "allowed");
      CommyAuditLine line;

      if (hit != NULL)
        memcpy (hit, "allOwed", 7);
      g_assert_null (commy_audit_line_parse (lines[i], strlen (lines[i]), &line));
      memcpy (out, lines[i], line.hashed);
      commy_audit_chain (tools, hash, out, line.hashed, hash);
      g_string_append_len (other, out, (gssize) commy_audit_record_end (out, line.hashed, hash));
    }
  audit_fixture_write (self, name, other->str, other->len);
  report = audit_fixture_verify (self, expect);
  g_assert_true (audit_report_has (report, "seal", ANY, ANY));
  g_assert_true (audit_report_has (report, "expected", ANY, ANY));
  g_assert_false (audit_report_has (report, "changed", ANY, ANY));
}

/* --- names --- */

static gboolean
count_principals (GVariant *record, gpointer data)
{
  GHashTable *seen = data;
  const char *principal = NULL;

  if (g_variant_lookup (record, "principal", "&s", &principal))
    g_hash_table_add (seen, g_strdup (principal));
  return TRUE;
}

static GHashTable *
read_principals (AuditFixture *self)
{
  GHashTable *seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  g_assert_true (commy_audit_read (self->dir, count_principals, seen, NULL));
  return seen;
}

static void
test_erased (AuditFixture *self, gconstpointer data)
{
  g_autoptr (GHashTable) before = NULL;
  g_autoptr (GHashTable) after = NULL;
  g_autoptr (GVariant) report = NULL;
  g_autofree char *name = NULL;
  g_autoptr (GByteArray) names = NULL;
  guint64 n = 0;

  audit_fixture_make (self, RECORDS);
  before = read_principals (self);
  g_assert_true (g_hash_table_contains (before, "unix:uid=1000"));
  g_assert_cmpuint (g_hash_table_size (before), ==, 2);
  g_assert_true (commy_audit_erase (self->dir, "unix:uid=100", &n, NULL));
  g_assert_cmpuint (n, ==, 0);
  g_assert_true (commy_audit_erase (self->dir, "unix:uid=1000", &n, NULL));
  g_assert_cmpuint (n, ==, 1);

  after = read_principals (self);
  g_assert_false (g_hash_table_contains (after, "unix:uid=1000"));
  g_assert_true (g_hash_table_contains (after, "spiffe://d/host/h/user/ann"));
  g_assert_cmpuint (g_hash_table_size (after), ==, 2);
  report = audit_fixture_verify (self, NULL);
  g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 0);
  g_assert_cmpuint (audit_report_get (report, "erased"), ==, 1);
  name = audit_fixture_dup_file (self, ".names", 0);
  names = audit_fixture_read (self, name);
  g_byte_array_append (names, (const guint8 *) "", 1);
  g_assert_null (strstr ((char *) names->data, "uid="));
}

/* Nobody can say of whom a commitment is by trying names: the salts differ from file to file. */
static void
test_salted (AuditFixture *self, gconstpointer data)
{
  g_autofree char *one = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GByteArray) names = NULL;
  g_autoptr (GByteArray) other_names = NULL;

  audit_fixture_make (self, 1);
  audit_fixture_make (self, 1);
  one = audit_fixture_dup_file (self, ".names", 0);
  other = audit_fixture_dup_file (self, ".names", 1);
  names = audit_fixture_read (self, one);
  other_names = audit_fixture_read (self, other);
  g_assert_cmpuint (names->len, ==, other_names->len);
  g_assert_cmpint (memcmp (names->data, other_names->data, COMMY_AUDIT_HEX_SIZE), !=, 0);
}

static void
test_no_names (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GVariant) report = NULL;

  audit_fixture_make (self, 2);
  name = audit_fixture_dup_file (self, ".names", 0);
  path = g_build_filename (self->dir, name, NULL);
  g_assert_cmpint (g_unlink (path), ==, 0);
  report = audit_fixture_verify (self, NULL);
  g_assert_true (audit_report_has (report, "name", ANY, ANY));
  g_assert_false (audit_report_has (report, "changed", ANY, ANY));
}

static void
test_nothing (AuditFixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) bad = NULL;

  g_assert_null (commy_audit_verify (self->dir, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_AUDIT);
  audit_fixture_make (self, 1);
  g_assert_null (commy_audit_verify (self->dir, NULL, "12:34", &bad));
  g_assert_error (bad, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
}

/* What was held back is older on both clocks. */
static void
test_clock_set_back (AuditFixture *self, gconstpointer data)
{
  static const struct
  {
    gint64 wall_s, boot_s;
  } times[] = { { 0, 0 }, { 10, 10 }, { 3, 3 }, { 11, 11 }, { 4, 12 }, { 5, 13 } };
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_autoptr (CommyAuditChain) chain = commy_audit_chain_new (&setup.chain, self->wall_us);
  g_autoptr (GVariant) report = NULL;
  g_autofree char *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    {
      char method[16];
      CommyAuditRecord record = audit_fixture_call (self, i, method);

      record.wall_us = self->wall_us + times[i].wall_s * G_USEC_PER_SEC;
      record.boot_ns = self->boot_ns + times[i].boot_s * 1000 * 1000 * 1000;
      commy_audit_chain_add (chain, &record);
    }
  g_assert_true (commy_audit_chain_close (chain, self->wall_us + 6 * G_USEC_PER_SEC,
                                          self->boot_ns + 14 * G_GINT64_CONSTANT (1000000000),
                                          NULL));
  report = commy_audit_verify (self->dir, NULL, NULL, NULL);
  text = g_variant_print (report, FALSE);
  g_assert_nonnull (strstr (text, "the clock was set back 1 times"));
}

/* A file among them that was put there by others. */
static void
test_link (AuditFixture *self, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *link_path = NULL;
  g_autoptr (GError) error = NULL;

  audit_fixture_make (self, 1);
  name = audit_fixture_dup_file (self, ".audit", 0);
  link_path = g_build_filename (self->dir, "x-000001.audit", NULL);
  g_assert_cmpint (symlink (name, link_path), ==, 0);
  g_assert_null (commy_audit_verify (self->dir, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_AUDIT);
}

#define ADD(PATH, DATA, FUNC) \
  g_test_add (PATH, AuditFixture, DATA, audit_fixture_set_up, FUNC, audit_fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/audit/line/both-ways", test_line);
  g_test_add_func ("/audit/line/is-bounded", test_long);
  g_test_add_func ("/audit/line/nothing-else-is-read", test_not_canonical);
  g_test_add_func ("/audit/name/whole-words", test_mentions);
  /* attack: an audit file with a flipped byte; defence: a chain of hashes names the record */
  ADD ("/audit/file/every-flipped-byte-is-named", NULL, test_flipped);
  ADD ("/audit/file/every-flipped-byte-is-named-without-seals", "dumb", test_flipped);
  ADD ("/audit/file/every-flipped-byte-of-names-is-found", NULL, test_flipped_name);
  /* attack: a removed record; defence: numbers and the chain */
  ADD ("/audit/file/removed-records-are-named", NULL, test_removed);
  /* attack: swapped records; defence: numbers and the chain */
  ADD ("/audit/file/swapped-records-are-named", NULL, test_swapped);
  ADD ("/audit/file/repeated-records-are-named", NULL, test_repeated);
  /* attack: a truncated tail; defence: a file ends with a record that says so, and with a seal */
  ADD ("/audit/file/every-truncation-is-found", NULL, test_truncated);
  ADD ("/audit/file/every-truncation-is-found-without-seals", "dumb", test_truncated);
  /* attack: a trail written anew from its beginning; defence: seals by keys that were forgotten
   * since */
  ADD ("/audit/file/written-anew-shows-at-its-seals", NULL, test_rewritten);
  ADD ("/audit/name/erased-leaves-the-chain-whole", NULL, test_erased);
  ADD ("/audit/name/salts-differ", NULL, test_salted);
  ADD ("/audit/name/file-is-missed", NULL, test_no_names);
  ADD ("/audit/file/nothing-to-read", NULL, test_nothing);
  ADD ("/audit/file/clock-set-back", NULL, test_clock_set_back);
  /* attack: a link among the audit files; defence: only files of their own are read */
  ADD ("/audit/file/no-links", NULL, test_link);
  return g_test_run ();
}
