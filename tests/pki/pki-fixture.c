/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates for tests. The odd ones are made with GnuTLS directly: our own code cannot.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"

#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <string.h>

gint64
fixture_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static char *
make_temporary_dir (void)
{
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("commy-pki-XXXXXX", &error);

  g_assert_no_error (error);
  return dir;
}

char *
fixture_authority_dir (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority
      = commy_pki_authority_new ("test", fixture_now () - 20 * DAY, &error);
  char *dir = make_temporary_dir ();

  g_assert_no_error (error);
  commy_pki_authority_save (authority, dir, &error);
  g_assert_no_error (error);
  return dir;
}

void
fixture_issue (const char *authority_dir, const char *dir, int from_day, int until_day)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (authority_dir, &error);
  g_autoptr (CommyPkiPair) pair = NULL;

  g_assert_no_error (error);
  pair = commy_pki_issue (authority, "h1", "u1", fixture_now () + from_day * DAY,
                          fixture_now () + until_day * DAY, &error);
  g_assert_no_error (error);
  commy_pki_pair_save (pair, authority, dir, &error);
  g_assert_no_error (error);
}

char *
fixture_credentials_dir (const char *authority_dir, int from_day, int until_day)
{
  char *dir = make_temporary_dir ();

  fixture_issue (authority_dir, dir, from_day, until_day);
  return dir;
}

static gnutls_x509_crt_t
load_crt (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *pem = NULL;
  gnutls_x509_crt_t crt;
  gnutls_datum_t text;

  g_assert_true (g_file_get_contents (path, &pem, NULL, NULL));
  text.data = (guint8 *) pem;
  text.size = (unsigned) strlen (pem);
  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_import (crt, &text, GNUTLS_X509_FMT_PEM), >=, 0);
  return crt;
}

static gnutls_x509_privkey_t
load_key (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *pem = NULL;
  gnutls_x509_privkey_t key;
  gnutls_datum_t text;

  g_assert_true (g_file_get_contents (path, &pem, NULL, NULL));
  text.data = (guint8 *) pem;
  text.size = (unsigned) strlen (pem);
  g_assert_cmpint (gnutls_x509_privkey_init (&key), >=, 0);
  g_assert_cmpint (gnutls_x509_privkey_import (key, &text, GNUTLS_X509_FMT_PEM), >=, 0);
  return key;
}

static void
add_uri (gnutls_x509_crt_t crt, const char *uri, gsize size)
{
  g_assert_cmpint (gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_URI, uri, (unsigned) size,
                                                         GNUTLS_FSAN_APPEND),
                   >=, 0);
}

/* GnuTLS does not write a name with a NUL in it, so the extension is put together by hand. */
static void
add_uri_with_nul (gnutls_x509_crt_t crt, const char *good)
{
  gsize size = strlen (good);
  g_autofree guint8 *der = g_malloc0 (size + 4);

  g_assert_cmpuint (size, <, 126);
  der[0] = 0x30; /* sequence */
  der[1] = (guint8) (size + 2);
  der[2] = 0x86; /* uniformResourceIdentifier */
  der[3] = (guint8) size;
  memcpy (der + 4, good, size);
  der[4 + size - 1] = '\0';
  g_assert_cmpint (gnutls_x509_crt_set_extension_by_oid (crt, "2.5.29.17", der, size + 4, 0), >=,
                   0);
}

static void
fill_names (gnutls_x509_crt_t crt, OddKind kind, const char *domain)
{
  g_autofree char *good = g_strdup_printf ("spiffe://%s/host/h1/user/u1", domain);
  g_autofree char *second = g_strdup_printf ("spiffe://%s/host/h2/user/u2", domain);
  g_autofree char *bare = g_strdup_printf ("spiffe://%s", domain);
  const char *foreign = "spiffe://test-00000000/host/h1/user/u1";

  if (kind == ODD_NO_URI)
    return;
  if (kind == ODD_NO_PATH)
    add_uri (crt, bare, strlen (bare));
  else if (kind == ODD_OTHER_DOMAIN)
    add_uri (crt, foreign, strlen (foreign));
  else if (kind == ODD_NUL_IN_URI)
    add_uri_with_nul (crt, good);
  else
    add_uri (crt, good, strlen (good));
  if (kind == ODD_TWO_URIS)
    add_uri (crt, second, strlen (second));
}

static void
fill_uses (gnutls_x509_crt_t crt, OddKind kind)
{
  unsigned usage = GNUTLS_KEY_DIGITAL_SIGNATURE;

  if (kind == ODD_SIGNS_CERTIFICATES || kind == ODD_IS_AUTHORITY)
    usage |= GNUTLS_KEY_KEY_CERT_SIGN;
  gnutls_x509_crt_set_key_usage (crt, usage);
  gnutls_x509_crt_set_basic_constraints (crt, kind == ODD_IS_AUTHORITY, -1);
  if (kind == ODD_NO_PURPOSE)
    return;
  if (kind == ODD_WRONG_PURPOSE)
    {
      gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_CODE_SIGNING, 0);
      return;
    }
  gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
  gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
}

void
fixture_make_odd (const char *authority_dir, const char *dir, OddKind kind)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (authority_dir, &error);
  gnutls_x509_crt_t issuer = load_crt (authority_dir, COMMY_PKI_CA_FILE);
  gnutls_x509_privkey_t issuer_key = load_key (authority_dir, COMMY_PKI_AUTHORITY_KEY_FILE);
  gnutls_x509_privkey_t key = load_key (dir, COMMY_PKI_KEY_FILE);
  gnutls_datum_t pem = { NULL, 0 };
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL);
  gnutls_x509_crt_t crt;

  g_assert_no_error (error);
  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  gnutls_x509_crt_set_version (crt, 3);
  gnutls_x509_crt_set_serial (crt, "\x01\x02", 2);
  gnutls_x509_crt_set_dn_by_oid (crt, GNUTLS_OID_X520_COMMON_NAME, 0, "odd", 3);
  gnutls_x509_crt_set_key (crt, key);
  gnutls_x509_crt_set_activation_time (crt, (time_t) (fixture_now () - DAY));
  gnutls_x509_crt_set_expiration_time (crt, (time_t) (fixture_now () + DAY));
  fill_names (crt, kind, commy_pki_authority_get_domain (authority));
  fill_uses (crt, kind);
  g_assert_cmpint (gnutls_x509_crt_sign2 (crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_PEM, &pem), >=, 0);
  g_assert_true (g_file_set_contents (path, (const char *) pem.data, pem.size, NULL));
  gnutls_free (pem.data);
  gnutls_x509_crt_deinit (crt);
  gnutls_x509_crt_deinit (issuer);
  gnutls_x509_privkey_deinit (key);
  gnutls_x509_privkey_deinit (issuer_key);
}

GBytes *
fixture_der (const char *dir)
{
  gnutls_x509_crt_t crt = load_crt (dir, COMMY_PKI_CERT_FILE);
  gnutls_datum_t der = { NULL, 0 };
  GBytes *bytes;

  g_assert_cmpint (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_DER, &der), >=, 0);
  bytes = g_bytes_new (der.data, der.size);
  gnutls_free (der.data);
  gnutls_x509_crt_deinit (crt);
  return bytes;
}

void
fixture_remove (char *dir)
{
  g_autofree char *owned = dir;
  GDir *listing = g_dir_open (dir, 0, NULL);
  const char *name;

  g_assert_nonnull (listing);
  while ((name = g_dir_read_name (listing)) != NULL)
    {
      g_autofree char *path = g_build_filename (dir, name, NULL);

      g_unlink (path);
    }
  g_dir_close (listing);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}
