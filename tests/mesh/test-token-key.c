/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates of somebody else's authority: files that lie elsewhere, an authority that names no
 * trust domain, and a key that never leaves a PKCS#11 token (SoftHSM, another maker's). Calls go
 * over them.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "tests/pki/join-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define PIN "83294"
#define SETTINGS \
  "credentials-dir=%s\n[selection]\npreference=pin\ntransports=tls\nmin-security=mutual\n"

static void
write_text (const char *dir, const char *name, const char *text, guint mode)
{
  g_autoptr (GError) error = NULL;

  commy_pki_write_file (dir, name, text, mode, FALSE, &error);
  g_assert_no_error (error);
}

static void
run (const char *const *argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  int status;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("%s: %s%s", argv[0], out, err);
}

static gboolean
has_token_tools (void)
{
  g_autofree char *tool = g_find_program_in_path ("softhsm2-util");

  if (tool != NULL && g_file_test (MODULE, G_FILE_TEST_EXISTS))
    return TRUE;
  g_test_skip ("there is no softhsm2-util, which makes the tokens (package softhsm2)");
  return FALSE;
}

/* A token with a fresh key that was made in it; the PIN lies in a file. */
static char *
make_token (MeshFixture *fixture)
{
  g_autofree char *tokens = g_build_filename (fixture->dir, "tokens", NULL);
  g_autofree char *conf = g_build_filename (fixture->dir, "softhsm2.conf", NULL);
  g_autofree char *text
      = g_strdup_printf ("directories.tokendir = %s\nlog.level = ERROR\n", tokens);
  g_autofree char *uri = NULL;
  const char *const init[] = { "softhsm2-util",
                               "--init-token",
                               "--free",
                               "--label",
                               "commy",
                               "--so-pin",
                               PIN,
                               "--pin",
                               PIN,
                               NULL };
  int code;

  g_assert_cmpint (g_mkdir (tokens, 0700), ==, 0);
  g_assert_true (g_file_set_contents (conf, text, -1, NULL));
  g_setenv ("SOFTHSM2_CONF", conf, TRUE);
  write_text (fixture->dir, "pin", PIN, 0600);
  run (init);
  uri = g_strdup_printf ("pkcs11:token=commy?pin-source=%s/pin", fixture->dir);
  code = gnutls_pkcs11_privkey_generate2 (
      uri, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), "node", 0, NULL,
      GNUTLS_PKCS11_OBJ_FLAG_LOGIN | GNUTLS_PKCS11_OBJ_FLAG_MARK_SENSITIVE);
  if (code < 0)
    g_error ("no key in the token: %s", gnutls_strerror (code));
  return g_strdup_printf ("pkcs11:token=commy;object=node;type=private?pin-source=%s/pin",
                          fixture->dir);
}

/* A certificate for the key in the token. */
static char *
issue_for (CommyPkiAuthority *authority, const char *uri)
{
  g_auto (gnutls_pubkey_t) public_key = NULL;
  gnutls_privkey_t key = NULL;
  g_autoptr (GError) error = NULL;
  char *pem;

  g_assert_cmpint (gnutls_privkey_init (&key), >=, 0);
  g_assert_cmpint (gnutls_privkey_import_url (key, uri, 0), >=, 0);
  g_assert_cmpint (gnutls_pubkey_init (&public_key), >=, 0);
  g_assert_cmpint (gnutls_pubkey_import_privkey (public_key, key, 0, 0), >=, 0);
  pem = commy_pki_sign (authority, public_key, "/host/vault/user/tester", fixture_now () - 60,
                        fixture_now () + DAY, &error);
  g_assert_no_error (error);
  gnutls_privkey_deinit (key);
  return pem;
}

typedef struct
{
  char *authority, *caller, *server;
} Folders;

static CommyPkiAuthority *
folders_init (Folders *self, MeshFixture *fixture)
{
  g_autoptr (GError) error = NULL;
  CommyPkiAuthority *authority = commy_pki_authority_new ("test", fixture_now (), &error);
  g_autoptr (CommyPkiPair) pair = NULL;

  g_assert_no_error (error);
  self->authority = g_build_filename (fixture->dir, "authority", NULL);
  self->caller = g_build_filename (fixture->dir, "caller", NULL);
  self->server = g_build_filename (fixture->dir, "server", NULL);
  g_assert_true (commy_pki_authority_save (authority, self->authority, &error));
  g_assert_true (commy_pki_make_dir (self->server, &error));
  pair = commy_pki_issue (authority, "callhost", "tester", fixture_now () - 60,
                          fixture_now () + DAY, &error);
  g_assert_true (commy_pki_pair_save (pair, authority, self->caller, &error));
  return authority;
}

static void
folders_clear (Folders *self)
{
  g_free (self->authority);
  g_free (self->caller);
  g_free (self->server);
}

static void
call_over (MeshFixture *fixture, const Folders *folders)
{
  g_autofree char *served = g_strdup_printf (SETTINGS, folders->server);
  g_autofree char *calling = g_strdup_printf (SETTINGS, folders->caller);
  ServiceChild *child = service_child_start (fixture, served, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, calling);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error);
  const char *transport = "";

  g_assert_no_error (error);
  g_variant_get_child (answer, 1, "&s", &transport);
  g_assert_cmpstr (transport, ==, "tls");
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
test_token_key (MeshFixture *fixture, gconstpointer data)
{
  Folders folders;
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autofree char *uri = NULL;
  g_autofree char *pem = NULL;
  g_autofree char *conf = NULL;
  g_autofree char *listing = NULL;

  if (!has_token_tools ())
    return;
  authority = folders_init (&folders, fixture);
  uri = make_token (fixture);
  pem = issue_for (authority, uri);
  write_text (folders.server, "vault.pem", pem, 0644);
  conf = g_strdup_printf ("[credentials]\ncertificate=vault.pem\nkey=%s\nauthority=%s/ca.pem\n",
                          uri, folders.authority);
  write_text (folders.server, "credentials.conf", conf, 0644);
  call_over (fixture, &folders);
  listing = g_build_filename (folders.server, COMMY_PKI_KEY_FILE, NULL);
  g_assert_false (g_file_test (listing, G_FILE_TEST_EXISTS));
  folders_clear (&folders);
}

static void
assert_refused (const char *dir, const char *conf, const char *words)
{
  g_autoptr (GError) error = NULL;

  write_text (dir, "credentials.conf", conf, 0644);
  g_assert_null (commy_pki_credentials_load (dir, &error));
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
  g_assert_null (strstr (error->message, PIN));
}

/* Where the PIN may be, and what is said where the key cannot be used. */
static void
test_bad_settings (MeshFixture *fixture, gconstpointer data)
{
  Folders folders;
  g_autoptr (CommyPkiAuthority) authority = folders_init (&folders, fixture);
  g_autofree char *open_pin = NULL;

  write_text (fixture->dir, "open", PIN, 0644);
  open_pin = g_strdup_printf ("[credentials]\nkey=pkcs11:token=a?pin-source=file:%s/open\n",
                              fixture->dir);
  assert_refused (folders.caller, "[credentials]\nkey=pkcs11:token=a?pin-value=" PIN "\n",
                  "a PIN does not stand in a keyfile");
  assert_refused (folders.caller, "[credentials]\nkey=pkcs11:token=a?pin-source=|cat\n",
                  "is the absolute path of a file");
  assert_refused (folders.caller, open_pin, "is open to others");
  assert_refused (folders.caller, "[credentials]\nkey=pkcs11:token=there-is-none\n",
                  "the token's key cannot be used");
  assert_refused (folders.caller, "[credentials]\ncert=x\n", "there is no \"cert\"");
  assert_refused (folders.caller, "[other]\nkey=x\n", "it has no group [credentials]");
  assert_refused (folders.caller, "nothing", "credentials.conf");
  assert_refused (folders.caller, "[credentials]\nauthority=/nowhere/ca.pem\n", "/nowhere/ca.pem");
  folders_clear (&folders);
}

/* An authority as others make it: its certificate bears no SPIFFE name. */
static void
test_nameless_authority (MeshFixture *fixture, gconstpointer data)
{
  Folders folders;
  g_autoptr (CommyPkiAuthority) authority = folders_init (&folders, fixture);
  g_autofree char *domain = g_strdup (commy_pki_authority_get_domain (authority));
  g_autofree char *conf = NULL;
  g_autofree char *nameless = NULL;
  g_autoptr (CommyPkiPair) pair = NULL;
  g_autoptr (GError) error = NULL;
  gnutls_x509_crt_t crt;
  gnutls_datum_t pem = { NULL, 0 };
  const char *const dirs[] = { folders.server, folders.caller };

  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  gnutls_x509_crt_set_version (crt, 3);
  gnutls_x509_crt_set_serial (crt, "\x01", 1);
  gnutls_x509_crt_set_dn (crt, "O=Example,CN=Root", NULL);
  gnutls_x509_crt_set_key (crt, authority->key);
  gnutls_x509_crt_set_activation_time (crt, fixture_now () - DAY);
  gnutls_x509_crt_set_expiration_time (crt, fixture_now () + DAY);
  gnutls_x509_crt_set_basic_constraints (crt, 1, -1);
  gnutls_x509_crt_set_key_usage (crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
  g_assert_cmpint (gnutls_x509_crt_sign2 (crt, crt, authority->key, GNUTLS_DIG_SHA256, 0), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_PEM, &pem), >=, 0);
  nameless = g_strndup ((const char *) pem.data, pem.size);
  gnutls_free (pem.data);
  /* It issues from now on: without a key id, so that its name alone tells whose they are. */
  gnutls_x509_crt_deinit (authority->crt);
  authority->crt = crt;
  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++)
    {
      pair = commy_pki_issue (authority, i == 0 ? "testhost" : "callhost", "tester",
                              fixture_now () - 60, fixture_now () + DAY / 2, &error);
      g_assert_no_error (error);
      write_text (dirs[i], "root.pem", nameless, 0644);
      write_text (dirs[i], "mine.pem", pair->cert_pem, 0644);
      write_text (dirs[i], "mine.key", pair->key_pem, 0600);
      g_clear_pointer (&pair, commy_pki_pair_free);
      assert_refused (dirs[i],
                      "[credentials]\ncertificate=mine.pem\nkey=mine.key\n"
                      "authority=root.pem\n",
                      "names no trust domain");
      assert_refused (dirs[i],
                      "[credentials]\ncertificate=mine.pem\nkey=mine.key\n"
                      "authority=root.pem\ntrust-domain=a/b\n",
                      "trust-domain is no trust domain");
      conf = g_strdup_printf ("[credentials]\ncertificate=mine.pem\nkey=mine.key\n"
                              "authority=root.pem\ntrust-domain=%s\n",
                              domain);
      write_text (dirs[i], "credentials.conf", conf, 0644);
      g_clear_pointer (&conf, g_free);
    }
  call_over (fixture, &folders);
  folders_clear (&folders);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) \
  g_test_add (PATH, MeshFixture, NULL, mesh_fixture_set_up, FUNC, mesh_fixture_tear_down)
  ADD ("/mesh/token-key/calls-go-over-a-key-that-never-leaves-its-token", test_token_key);
  ADD ("/mesh/token-key/a-setting-that-cannot-be-is-refused-and-tells-no-pin", test_bad_settings);
  ADD ("/mesh/token-key/an-authority-without-a-name-is-given-one", test_nameless_authority);
  return g_test_run ();
}
