/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of revoked certificates as an authority signs them: what they say, to a reader of somebody
 * else's, too, and how many certificates they can name.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"
#include "tests/pki/pki-fixture.h"

#include <gio/gio.h>
#include <string.h>

#define LISTED_MAX (COMMY_PKI_REVOKED_MAX / 2)
#define REGISTER "register.ini"

static CommyPkiTrust *
trust_of (const char *dir, const char *crl)
{
  g_autofree char *ca = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);
  g_autoptr (GError) error = NULL;
  CommyPkiTrust *trust = commy_pki_trust_new (ca, NULL);

  g_assert_true (commy_pki_trust_add_crls (trust, crl, &error));
  g_assert_no_error (error);
  return trust;
}

static char *
read_lists (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CRL_FILE, NULL);
  g_autoptr (GError) error = NULL;
  char *pem = NULL;

  g_assert_true (commy_pki_read_crl (path, &pem, &error));
  g_assert_no_error (error);
  g_assert_nonnull (pem);
  return pem;
}

/* --- how many --- */

static char *
name_of (const char *id, guint i)
{
  return g_strdup_printf (COMMY_PKI_NAME_SCHEME "%s:40%014x%024x", id, i, i);
}

/* As if @n certificates had been revoked one after the other. */
static void
fill_register (const char *dir, const char *id, guint n)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = name_of (id, i);

      g_string_append_printf (text, "[" COMMY_PKI_REVOKED_GROUP "%s]\nat=1700000000\nuntil=%d\n",
                              name, G_MAXINT32);
    }
  commy_pki_write_file (dir, REGISTER, text->str, 0600, FALSE, &error);
  g_assert_no_error (error);
}

static void
test_as_many_as_there_can_be (void)
{
  char *dir = fixture_authority_dir ();
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, NULL);
  g_autofree char *id = commy_pki_authority_dup_id (authority);
  g_auto (CommyPkiRevocation) last = { NULL };
  g_auto (CommyPkiRevocation) one_more = { NULL };
  g_autoptr (CommyPkiTrust) trust = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;

  fill_register (dir, id, LISTED_MAX - 1);
  commy_pki_revoke (dir, "0a0b", fixture_now (), &last, &error);
  g_assert_no_error (error);
  before = read_lists (dir);
  trust = trust_of (dir, before);
  for (guint i = 0; i < LISTED_MAX - 1; i++)
    {
      g_autofree char *name = name_of (id, i);

      g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_REVOKED);
    }
  g_assert_cmpint (commy_pki_trust_judge_names (trust, last.names->pdata[0]), ==,
                   COMMY_PKI_NAMES_REVOKED);
  /* What no node could take in is not written. */
  g_assert_false (commy_pki_revoke (dir, "0a0c", fixture_now (), &one_more, &error));
  g_assert_error (error, COMMY_PKI_ERROR, COMMY_ERROR_TOO_BIG);
  g_assert_nonnull (strstr (error->message, "commy pki rotate"));
  after = read_lists (dir);
  g_assert_cmpstr (after, ==, before);
  fixture_remove (dir);
}

/* What would have ended by itself leaves the list, however many they are. */
static void
test_ended_ones_go (void)
{
  char *dir = fixture_authority_dir ();
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, NULL);
  g_autofree char *id = commy_pki_authority_dup_id (authority);
  g_autofree char *name = name_of (id, 7);
  g_auto (CommyPkiRevocation) other = { NULL };
  g_autoptr (CommyPkiTrust) trust = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *pem = NULL;

  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *ended = name_of (id, i);

      g_string_append_printf (text, "[" COMMY_PKI_REVOKED_GROUP "%s]\nat=1\nuntil=2\n", ended);
    }
  commy_pki_write_file (dir, REGISTER, text->str, 0600, FALSE, &error);
  g_assert_no_error (error);
  commy_pki_revoke (dir, "0a0b", fixture_now (), &other, &error);
  g_assert_no_error (error);
  pem = read_lists (dir);
  trust = trust_of (dir, pem);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, other.names->pdata[0]), ==,
                   COMMY_PKI_NAMES_REVOKED);
  fixture_remove (dir);
}

/* --- whose, not since when --- */

/* A list counts that should have been renewed long ago, and one of an authority whose clock is
 * ahead; one whose signature does not fit does not, however old. */
static void
test_any_age (void)
{
  static const gint64 times[] = { 1000000000, 0, G_GINT64_CONSTANT (9000000000) };
  const guint8 serial = 0x0a;

  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    {
      gint64 time_s = times[i] != 0 ? times[i] : fixture_now ();
      g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("old", time_s, NULL);
      g_autoptr (CommyPkiAuthority) other = commy_pki_authority_new ("old", time_s, NULL);
      g_autofree char *id = commy_pki_authority_dup_id (authority);
      g_autofree char *name = g_strconcat (COMMY_PKI_NAME_SCHEME, id, ":0a", NULL);
      g_autoptr (CommyPkiTrust) trust = commy_pki_trust_new (authority->pem, NULL);
      g_autoptr (CommyPkiTrust) stranger = commy_pki_trust_new (other->pem, NULL);
      g_autoptr (GByteArray) one = g_byte_array_new ();
      g_autoptr (GError) error = NULL;
      g_autofree char *pem = NULL;

      commy_pki_crl_append (one, &serial, 1, time_s);
      pem = commy_pki_crl_sign (authority, one, 1, time_s, NULL);
      g_assert_false (commy_pki_trust_add_crls (stranger, pem, NULL));
      g_assert_true (commy_pki_trust_add_crls (trust, pem, &error));
      g_assert_no_error (error);
      g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_REVOKED);
    }
}

/* So many, and none of them where there is one more. */
static void
test_how_many (void)
{
  const gint64 now_s = fixture_now ();
  g_autoptr (GString) authorities = g_string_new (NULL);
  g_autoptr (GString) lists = g_string_new (NULL);
  g_autoptr (GByteArray) none = g_byte_array_new ();
  g_autoptr (CommyPkiTrust) trust = NULL;
  g_autofree char *pem = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i <= COMMY_PKI_AUTHORITIES_MAX; i++)
    {
      g_autoptr (CommyPkiAuthority) one = commy_pki_authority_new ("many", now_s, NULL);
      g_autoptr (CommyPkiTrust) all = NULL;

      g_string_append (authorities, one->pem);
      all = commy_pki_trust_new (authorities->str, NULL);
      g_assert_true ((all != NULL) == (i < COMMY_PKI_AUTHORITIES_MAX));
      if (i > 0)
        continue;
      pem = commy_pki_crl_sign (one, none, 1, now_s, &error);
      g_assert_no_error (error);
      trust = g_steal_pointer (&all);
    }
  for (guint i = 0; i < COMMY_PKI_CRLS_MAX; i++)
    g_string_append (lists, pem);
  g_assert_true (commy_pki_trust_add_crls (trust, lists->str, &error));
  g_assert_no_error (error);
  g_string_append (lists, pem);
  g_assert_false (commy_pki_trust_add_crls (trust, lists->str, &error));
  g_assert_nonnull (strstr (error->message, "more than 16 lists"));
}

/* --- what they say --- */

static const struct
{
  const char *serial;
  gint64 when_s;
  const char *shown; /* as openssl prints the number */
  const char *date;
} rows[] = {
  { "0a0b", 1, "0A0B", "Jan  1 00:00:01 1970 GMT" },
  { "7f", 1700000000, "7F", "Nov 14 22:13:20 2023 GMT" },
  { "00c4", 2524607999, "C4", "Dec 31 23:59:59 2049 GMT" },   /* a sign in front of a high bit */
  { "000012", 2524608000, "12", "Jan  1 00:00:00 2050 GMT" }, /* no need to */
  { "4000000000000000000000000000000000000001", 253402300799,
    "4000000000000000000000000000000000000001", "Dec 31 23:59:59 9999 GMT" },
};

static char *
sign_rows (const char *dir)
{
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  char *pem;

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      guint8 serial[64];
      gsize size = sizeof serial;

      g_assert_true (commy_pki_parse_serial (rows[i].serial, serial, &size));
      commy_pki_crl_append (bytes, serial, size, rows[i].when_s);
    }
  pem = commy_pki_crl_sign (authority, bytes, 300, fixture_now (), &error);
  g_assert_no_error (error);
  return pem;
}

static void
test_read_by_openssl (void)
{
  char *dir = fixture_authority_dir ();
  g_autofree char *program = g_find_program_in_path ("openssl");
  g_autofree char *ca = g_build_filename (dir, COMMY_PKI_CA_FILE, NULL);
  const char *argv[] = { "openssl", "crl", "-noout", "-text", "-CAfile", ca, NULL };
  g_autofree char *pem = sign_rows (dir);
  g_autofree char *out = NULL;
  g_autoptr (GSubprocess) child = NULL;
  g_autoptr (GError) error = NULL;

  if (program == NULL)
    {
      g_test_skip ("openssl is not installed");
      fixture_remove (dir);
      return;
    }
  child = g_subprocess_newv (argv,
                             G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                 | G_SUBPROCESS_FLAGS_STDERR_MERGE,
                             &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (child, pem, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  g_test_message ("%s", out);
  g_assert_true (g_subprocess_get_successful (child));
  g_assert_nonnull (strstr (out, "verify OK"));
  g_assert_nonnull (strstr (out, "Version 2 (0x1)"));
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *row = g_strdup_printf ("Serial Number: %s\n        Revocation Date: %s\n",
                                              rows[i].shown, rows[i].date);

      if (strstr (out, row) == NULL)
        g_error ("openssl does not find \"%s\"", row);
    }
  fixture_remove (dir);
}

static void
test_numbered (void)
{
  char *dir = fixture_authority_dir ();
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, NULL);
  g_autoptr (GByteArray) none = g_byte_array_new ();
  g_autofree char *full = sign_rows (dir);
  g_autofree char *empty = commy_pki_crl_sign (authority, none, 9, fixture_now (), NULL);
  g_autoptr (CommyPkiTrust) trust = trust_of (dir, empty);

  g_assert_cmpint (commy_pki_crl_get_number (full), ==, 300);
  g_assert_cmpint (commy_pki_crl_get_number (empty), ==, 9);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, "x509:aa:0a0b"), ==,
                   COMMY_PKI_NAMES_STRANGE);
  fixture_remove (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pki/lists/as-many-as-there-can-be", test_as_many_as_there_can_be);
  g_test_add_func ("/pki/lists/what-ended-leaves-them", test_ended_ones_go);
  /* attack: a revoked certificate, once the list that names it is out of date; defence: its own age
   * counts for nothing; test: /pki/lists/of-any-age-count */
  g_test_add_func ("/pki/lists/of-any-age-count", test_any_age);
  g_test_add_func ("/pki/lists/so-many-and-so-many-authorities", test_how_many);
  g_test_add_func ("/pki/lists/openssl-reads-the-same", test_read_by_openssl);
  g_test_add_func ("/pki/lists/have-numbers", test_numbered);
  return g_test_run ();
}
