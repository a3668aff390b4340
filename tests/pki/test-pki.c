/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certificate helper: what it makes it accepts, and what is odd in one way it refuses,
 * saying why.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"

#include <commy/commy-error.h>

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static CommyPkiTrust *
load_trust (const char *dir)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, &error);
  CommyPkiTrust *trust = commy_pki_trust_new (pem, &error);

  g_assert_no_error (error);
  return trust;
}

static char *
judge (
    const char *authority_dir, const char *dir, gint64 when, CommyPkiFault *fault, GError **error)
{
  g_autoptr (CommyPkiTrust) trust = load_trust (authority_dir);
  g_autoptr (GBytes) der = fixture_der (dir);

  return commy_pki_trust_verify (trust, &der, 1, COMMY_PKI_SERVER, when, fault, error);
}

static void
assert_refused (const char *authority_dir,
                const char *dir,
                gint64 when,
                CommyPkiFault expected,
                const char *words)
{
  CommyPkiFault fault = COMMY_PKI_FAULT_NONE;
  g_autoptr (GError) error = NULL;
  g_autofree char *id = judge (authority_dir, dir, when, &fault, &error);

  g_assert_null (id);
  g_assert_nonnull (error);
  g_assert_cmpint (error->code, ==, COMMY_ERROR_CERTIFICATE);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
  g_assert_cmpint (fault, ==, expected);
}

static void
test_round_trip (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, 0, 90);
  g_autoptr (GError) error = NULL;
  g_autofree char *id = judge (authority_dir, dir, fixture_now () + 1, NULL, &error);
  g_autoptr (CommyPkiCredentials) credentials = commy_pki_credentials_load (dir, &error);
  g_autofree char *key_path = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_autofree char *stray = g_build_filename (dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  struct stat about;

  g_assert_no_error (error);
  g_assert_true (g_regex_match_simple ("^spiffe://test-[0-9a-f]{8}/host/h1/user/u1$", id, 0, 0));
  g_assert_cmpstr (credentials->id, ==, id);
  g_assert_cmpint (stat (key_path, &about), ==, 0);
  g_assert_cmpuint (about.st_mode & 07777, ==, 0600);
  g_assert_false (g_file_test (stray, G_FILE_TEST_EXISTS));
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static void
test_two_authorities_never_share_a_domain (void)
{
  g_autoptr (CommyPkiAuthority) one = commy_pki_authority_new ("test", fixture_now (), NULL);
  g_autoptr (CommyPkiAuthority) two = commy_pki_authority_new ("test", fixture_now (), NULL);

  g_assert_cmpstr (commy_pki_authority_get_domain (one), !=, commy_pki_authority_get_domain (two));
}

static void
test_authority_is_never_overwritten (void)
{
  char *dir = fixture_authority_dir ();
  g_autoptr (CommyPkiAuthority) other = commy_pki_authority_new ("test", fixture_now (), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (commy_pki_authority_save (other, dir, &error));
  g_assert_nonnull (strstr (error->message, "never overwritten"));
  fixture_remove (dir);
}

static void
test_credentials_of_another_authority_are_not_overwritten (void)
{
  char *one = fixture_authority_dir ();
  char *two = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (one, 0, 1);
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (two, NULL);
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, "h", "u", fixture_now (), fixture_now () + DAY, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (commy_pki_pair_save (pair, authority, dir, &error));
  g_assert_nonnull (strstr (error->message, "another authority"));
  fixture_remove (dir);
  fixture_remove (two);
  fixture_remove (one);
}

static void
test_other_authority (void)
{
  char *one = fixture_authority_dir ();
  char *two = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (two, 0, 1);

  assert_refused (one, dir, fixture_now (), COMMY_PKI_FAULT_UNKNOWN_AUTHORITY,
                  "not signed by this mesh");
  fixture_remove (dir);
  fixture_remove (two);
  fixture_remove (one);
}

static void
test_time (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *expired = fixture_credentials_dir (authority_dir, -2, -1);
  char *early = fixture_credentials_dir (authority_dir, 1, 2);
  g_autofree char *id = NULL;

  assert_refused (authority_dir, expired, fixture_now (), COMMY_PKI_FAULT_EXPIRED, "expired at");
  assert_refused (authority_dir, early, fixture_now (), COMMY_PKI_FAULT_EXPIRED,
                  "not valid before");
  id = judge (authority_dir, early, fixture_now () + DAY + DAY / 2, NULL, NULL);
  g_assert_nonnull (id);
  assert_refused (authority_dir, early, fixture_now () + 2 * COMMY_PKI_AUTHORITY_LIFE_DAYS * DAY,
                  COMMY_PKI_FAULT_EXPIRED, "expired at");
  fixture_remove (early);
  fixture_remove (expired);
  fixture_remove (authority_dir);
}

static void
test_certificate_does_not_outlive_its_authority (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, 0, 2 * COMMY_PKI_AUTHORITY_LIFE_DAYS);
  g_autofree char *pem = commy_pki_read_file (dir, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autofree char *ca_pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);
  g_autoptr (CommyPkiInfo) info = commy_pki_info_new (pem, NULL);
  g_autoptr (CommyPkiInfo) ca = commy_pki_info_new (ca_pem, NULL);

  g_assert_cmpint (info->not_after_s, ==, ca->not_after_s);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

typedef struct
{
  const char *name;
  OddKind kind;
  CommyPkiFault fault;
  const char *words;
} OddCase;

static const OddCase odd_cases[] = {
  /* attack: a certificate with two SPIFFE names; defence: exactly one; test: /pki/refuses/two-uris
   */
  { "two-uris", ODD_TWO_URIS, COMMY_PKI_FAULT_NAME, "more than one URI name" },
  { "no-uri", ODD_NO_URI, COMMY_PKI_FAULT_NAME, "no URI name" },
  { "no-purpose", ODD_NO_PURPOSE, COMMY_PKI_FAULT_PURPOSE, "does not say" },
  { "wrong-purpose", ODD_WRONG_PURPOSE, COMMY_PKI_FAULT_PURPOSE, "not meant for servers" },
  /* attack: a node's certificate that is an authority, or signs; defence: purpose and constraints
   * are checked; test: /pki/refuses/is-authority */
  { "is-authority", ODD_IS_AUTHORITY, COMMY_PKI_FAULT_PURPOSE, "authority's own" },
  { "signs", ODD_SIGNS_CERTIFICATES, COMMY_PKI_FAULT_PURPOSE, "not for handshakes" },
  { "other-domain", ODD_OTHER_DOMAIN, COMMY_PKI_FAULT_NAME, "another trust domain" },
  /* attack: a name with a NUL in it; defence: refused by its bytes, not read as text; test:
     /pki/refuses/nul */
  { "nul", ODD_NUL_IN_URI, COMMY_PKI_FAULT_NAME, "NUL" },
  { "no-path", ODD_NO_PATH, COMMY_PKI_FAULT_NAME, "no node" },
};

/* What is told of one that was refused: bounded, and nothing that a log would take for more. */
static void
check_shown (GBytes *der)
{
  g_autofree char *text = commy_pki_describe_shown (&der, 1);

  for (const char *at = text; at != NULL && *at != '\0'; at++)
    g_assert_true (g_ascii_isprint (*at));
  g_assert_cmpuint (text != NULL ? strlen (text) : 0, <, 600);
}

static void
test_odd (gconstpointer data)
{
  const OddCase *odd = data;
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  g_autoptr (GBytes) der = NULL;
  g_autofree char *shown = NULL;
  g_autofree char *id = NULL;

  /* The maker of odd ones makes good ones too: the refusal below is for the oddity alone. */
  fixture_make_odd (authority_dir, dir, ODD_NOTHING);
  id = judge (authority_dir, dir, fixture_now (), NULL, NULL);
  g_assert_nonnull (id);
  fixture_make_odd (authority_dir, dir, odd->kind);
  assert_refused (authority_dir, dir, fixture_now (), odd->fault, odd->words);
  der = fixture_der (dir);
  check_shown (der);
  shown = commy_pki_describe_shown (&der, 1);
  g_assert_true (g_str_has_prefix (shown, "it shows x509:"));
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static void
test_hostile_der (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  g_autoptr (CommyPkiTrust) trust = load_trust (authority_dir);
  g_autoptr (GBytes) der = fixture_der (dir);
  gsize size;
  const guint8 *good = g_bytes_get_data (der, &size);

  for (gsize i = 0; i < size; i++)
    {
      g_autofree guint8 *bad = g_memdup2 (good, size);
      g_autoptr (GBytes) changed = NULL;
      g_autoptr (GBytes) cut = g_bytes_new (good, i);
      g_autoptr (GError) error = NULL;

      bad[i] ^= 1;
      changed = g_bytes_new (bad, size);
      g_assert_null (commy_pki_trust_verify (trust, &changed, 1, COMMY_PKI_SERVER, fixture_now (),
                                             NULL, NULL));
      g_assert_null (
          commy_pki_trust_verify (trust, &cut, 1, COMMY_PKI_SERVER, fixture_now (), NULL, &error));
      g_assert_nonnull (error);
      check_shown (changed);
      check_shown (cut);
    }
  check_shown (der);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static void
test_chain_limits (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  g_autoptr (CommyPkiTrust) trust = load_trust (authority_dir);
  g_autoptr (GBytes) der = fixture_der (dir);
  GBytes *chain[] = { der, der, der, der, der };
  CommyPkiFault fault;

  g_assert_null (commy_pki_trust_verify (trust, chain, G_N_ELEMENTS (chain), COMMY_PKI_CLIENT,
                                         fixture_now (), &fault, NULL));
  g_assert_cmpint (fault, ==, COMMY_PKI_FAULT_MALFORMED);
  g_assert_null (
      commy_pki_trust_verify (trust, NULL, 0, COMMY_PKI_CLIENT, fixture_now (), &fault, NULL));
  g_assert_cmpint (fault, ==, COMMY_PKI_FAULT_MISSING);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static void
test_ids (void)
{
  static const char *const good[]
      = { "spiffe://a", "spiffe://a-b.c_9/x", "spiffe://a/host/H.x/user/u_-1", "spiffe://a/..." };
  static const char *const bad[] = { "",
                                     "spiffe:",
                                     "http://a/b",
                                     "SPIFFE://a/b",
                                     "spiffe://",
                                     "spiffe:///",
                                     "spiffe://A/b",
                                     "spiffe://a/",
                                     "spiffe://a//b",
                                     "spiffe://a/b/",
                                     "spiffe://a/.",
                                     "spiffe://a/../b",
                                     "spiffe://a/b c",
                                     "spiffe://a/%41",
                                     "spiffe://a:1/b",
                                     "spiffe://a@b/c",
                                     "spiffe://a/b?c",
                                     "spiffe://a/b#c",
                                     "spiffe://\xc3\xa4/b" };
  g_autofree char *longest = g_strnfill (600, 'a');

  memcpy (longest, "spiffe://d/", 11);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autofree char *domain = commy_pki_parse_id (good[i], strlen (good[i]), NULL, NULL);

      g_assert_nonnull (domain);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_pki_parse_id (bad[i], strlen (bad[i]), NULL, &error));
      g_assert_nonnull (error);
    }
  g_assert_null (commy_pki_parse_id (longest, COMMY_PKI_ID_MAX + 1, NULL, NULL));
  g_free (commy_pki_parse_id (longest, COMMY_PKI_ID_MAX, NULL, NULL));
  g_assert_false (commy_pki_check_segment ("..", "host", NULL));
  g_assert_false (commy_pki_check_segment ("a/b", "host", NULL));
  g_assert_true (commy_pki_check_segment ("a.b", "host", NULL));
  g_assert_null (commy_pki_authority_new ("Not Lower", fixture_now (), NULL));
}

static void
assert_load_fails (const char *dir, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiCredentials) credentials = commy_pki_credentials_load (dir, &error);

  g_assert_null (credentials);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
test_credentials_that_do_not_fit (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  char *other = fixture_credentials_dir (authority_dir, -1, 1);
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_autofree char *cert = g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL);
  g_autofree char *text = NULL;
  gsize size;

  g_assert_cmpint (g_chmod (key, 0640), ==, 0);
  assert_load_fails (dir, "chmod 600");
  g_assert_cmpint (g_chmod (key, 0600), ==, 0);
  g_assert_cmpint (g_chmod (cert, 0646), ==, 0);
  assert_load_fails (dir, "everybody could write");
  g_assert_cmpint (g_chmod (cert, 0644), ==, 0);
  g_assert_true (g_file_get_contents (cert, &text, &size, NULL));
  size = (gsize) (strstr (text, "-----END") - text);
  for (gsize cut = 0; cut < size; cut += 7) /* half written */
    {
      g_autoptr (CommyPkiCredentials) credentials = NULL;

      g_assert_true (g_file_set_contents (cert, text, (gssize) cut, NULL));
      credentials = commy_pki_credentials_load (dir, NULL);
      g_assert_null (credentials);
    }
  g_clear_pointer (&text, g_free);
  text = commy_pki_read_file (other, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_assert_true (g_file_set_contents (cert, text, -1, NULL));
  assert_load_fails (dir, "is not the key of");
  g_assert_cmpint (g_unlink (cert), ==, 0);
  assert_load_fails (dir, "cert.pem");
  fixture_remove (other);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pki/what-was-issued-is-accepted", test_round_trip);
  g_test_add_func ("/pki/authority/two-never-share-a-domain",
                   test_two_authorities_never_share_a_domain);
  g_test_add_func ("/pki/authority/is-never-overwritten", test_authority_is_never_overwritten);
  g_test_add_func ("/pki/issue/another-authoritys-directory-is-left-alone",
                   test_credentials_of_another_authority_are_not_overwritten);
  g_test_add_func ("/pki/issue/does-not-outlive-its-authority",
                   test_certificate_does_not_outlive_its_authority);
  /* attack: a certificate of another authority; defence: only the mesh's own is believed */
  g_test_add_func ("/pki/refuses/another-authority", test_other_authority);
  g_test_add_func ("/pki/refuses/expired-and-not-yet-valid", test_time);
  for (guint i = 0; i < G_N_ELEMENTS (odd_cases); i++)
    {
      g_autofree char *path = g_strconcat ("/pki/refuses/", odd_cases[i].name, NULL);

      g_test_add_data_func (path, &odd_cases[i], test_odd);
    }
  /* attack: a certificate with a bit turned, or cut; defence: nothing of it counts */
  g_test_add_func ("/pki/refuses/each-flipped-bit-and-each-cut", test_hostile_der);
  g_test_add_func ("/pki/refuses/chains-too-long-or-empty", test_chain_limits);
  /* attack: a SPIFFE name with tricks: dots, escapes, empty parts, other letters; defence: one
   * strict form */
  g_test_add_func ("/pki/id/strict-characters", test_ids);
  g_test_add_func ("/pki/credentials/have-to-fit-together", test_credentials_that_do_not_fit);
  return g_test_run ();
}
