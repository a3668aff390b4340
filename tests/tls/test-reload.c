/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a node that change at a moment when they cannot be read: what was revoked then is
 * revoked soon after, and what was renewed is used, without another change.
 */
#include "config.h"

#include "auth/mtls/commy-mtls.h"
#include "plugins/tls/commy-tls.h"
#include "tests/pki/pki-fixture.h"

#include <string.h>
#include <sys/resource.h>

#define MS G_GINT64_CONSTANT (1000000)

typedef struct
{
  CommyHost host;
  char *authority, *dir; /* folders */
  gint64 now_ns;
  GString *log;
  MtlsProofs proofs;
  TlsInstance tls;
} Node;

static void
host_log (CommyHost *host, guint level, const char *message)
{
  g_string_append_printf (((Node *) host->core)->log, "%s\n", message);
}

static gint64
host_now (CommyHost *host)
{
  return ((Node *) host->core)->now_ns;
}

static const char *
host_info (CommyHost *host, CommyHostInfo what)
{
  return what == COMMY_HOST_CREDENTIALS_DIR ? ((Node *) host->core)->dir : NULL;
}

static void
node_init (Node *self)
{
  memset (self, 0, sizeof *self);
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost),
                            .core = self,
                            .log = host_log,
                            .now_ns = host_now,
                            .info = host_info };
  self->authority = fixture_authority_dir ();
  self->dir = fixture_credentials_dir (self->authority, -1, 5);
  self->now_ns = 1000 * MS;
  self->log = g_string_new (NULL);
  self->tls.host = &self->host;
  mtls_proofs_init (&self->proofs, &self->host);
}

static void
node_clear (Node *self)
{
  mtls_proofs_clear (&self->proofs);
  tls_credential_cache_clear (&self->tls.credentials);
  g_string_free (self->log, TRUE);
  fixture_remove (self->dir);
  fixture_remove (self->authority);
}

/* No file can be opened while this is so. */
static void
exhaust_descriptors (gboolean exhausted)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  limit.rlim_cur = exhausted ? 0 : limit.rlim_max;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
}

static char *
dup_name (Node *self)
{
  g_autofree char *pem = commy_pki_read_file (self->dir, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autoptr (CommyPkiInfo) info = commy_pki_info_new (pem, NULL);

  return g_strdup (info->name);
}

/* Revokes @name; the list comes into the node's folder. */
static void
revoke_name (Node *self, const char *name)
{
  g_auto (CommyPkiRevocation) revocation = { NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *crl = NULL;

  commy_pki_revoke (self->authority, name, fixture_now (), &revocation, &error);
  g_assert_no_error (error);
  crl = commy_pki_read_file (self->authority, COMMY_PKI_CRL_FILE, FALSE, &error);
  g_assert_no_error (error);
  commy_pki_write_file (self->dir, COMMY_PKI_CRL_FILE, crl, 0644, FALSE, &error);
  g_assert_no_error (error);
}

static guint
count_lines (Node *self, const char *words)
{
  guint n = 0;

  for (const char *at = self->log->str; (at = strstr (at, words)) != NULL; at++)
    n++;
  return n;
}

static CommyProofState
judge (Node *self, const char *name)
{
  char reason[128];

  return mtls_proof_judge (&self->proofs, name, reason, sizeof reason);
}

static void
test_revoked (void)
{
  Node node;
  g_autofree char *name = NULL;

  node_init (&node);
  name = dup_name (&node);
  g_assert_cmpint (judge (&node, name), ==, COMMY_PROOF_GOOD);
  revoke_name (&node, name);
  exhaust_descriptors (TRUE);
  for (guint i = 0; i < 50; i++)
    {
      node.now_ns += 100 * MS;
      g_assert_cmpint (judge (&node, name), ==, COMMY_PROOF_GOOD); /* what was there before */
    }
  exhaust_descriptors (FALSE);
  g_assert_cmpuint (count_lines (&node, "judged by what was there before"), ==, 1);
  node.now_ns += 10000 * MS;
  g_assert_cmpint (judge (&node, name), ==, COMMY_PROOF_REVOKED);
  node_clear (&node);
}

static gint64
certificate_end (Node *self)
{
  g_autoptr (GError) error = NULL;
  TlsCredentials *credentials = tls_credentials_get (&self->tls, &error);
  gint64 end_s;

  g_assert_no_error (error);
  end_s = credentials->not_after_s;
  tls_credentials_unref (credentials);
  return end_s;
}

static gboolean
is_revoked (Node *self, const char *name)
{
  g_autoptr (GError) error = NULL;
  TlsCredentials *credentials = tls_credentials_get (&self->tls, &error);
  gboolean revoked;

  g_assert_no_error (error);
  revoked = commy_pki_trust_judge_names (credentials->trust, name) == COMMY_PKI_NAMES_REVOKED;
  tls_credentials_unref (credentials);
  return revoked;
}

static void
test_handshakes (void)
{
  Node node;
  g_autofree char *name = NULL;
  gint64 end_s;

  node_init (&node);
  name = dup_name (&node);
  end_s = certificate_end (&node);
  fixture_issue (node.authority, node.dir, -1, 9);
  revoke_name (&node, name);
  exhaust_descriptors (TRUE);
  for (guint i = 0; i < 50; i++)
    {
      node.now_ns += 100 * MS;
      g_assert_cmpint (certificate_end (&node), ==, end_s);
    }
  exhaust_descriptors (FALSE);
  g_assert_cmpuint (count_lines (&node, "the old ones stay"), ==, 1);
  node.now_ns += 10000 * MS;
  g_assert_cmpint (certificate_end (&node), >, end_s);
  g_assert_true (is_revoked (&node, name));
  node_clear (&node);
}

/* How often a file is tried that stays as bad as it is, in an hour; the log is not filled by it. */
static void
test_waits (void)
{
  CommyPkiReload reload = { 0 };
  const CommyPkiStamps bad = { .files = { { .inode = 1 } } };
  const CommyPkiStamps other = { .files = { { .inode = 2 } } };
  g_autoptr (GError) error = g_error_new (TLS_ERROR, COMMY_ERROR_CERTIFICATE, "bad");
  g_autoptr (GError) refused = g_error_new (TLS_ERROR, COMMY_ERROR_REFUSED, "PIN");
  guint tries = 0, told = 0;

  for (gint64 now_ns = 0; now_ns < 3600 * 1000 * MS; now_ns += 100 * MS)
    if (commy_pki_reload_is_due (&reload, &bad, now_ns))
      {
        tries++;
        told += commy_pki_reload_failed (&reload, &bad, error, now_ns) ? 1 : 0;
      }
  g_assert_cmpuint (tries, >, 350);
  g_assert_cmpuint (tries, <, 370);
  g_assert_cmpuint (told, ==, 1);
  /* Others are tried at once; a PIN is not offered twice to a token that counts. */
  g_assert_true (commy_pki_reload_is_due (&reload, &other, 0));
  g_assert_true (commy_pki_reload_failed (&reload, &other, refused, 0));
  g_assert_false (commy_pki_reload_is_due (&reload, &other, G_MAXINT64 - 1));
  g_assert_true (commy_pki_reload_is_due (&reload, &bad, 0));
  commy_pki_reload_done (&reload, &bad);
  g_assert_false (commy_pki_reload_is_due (&reload, &bad, 0));
  commy_pki_reload_clear (&reload);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: descriptors are exhausted while a certificate is revoked; defence: what could not be
   * read is read again, with pauses */
  g_test_add_func ("/tls/reload/a-revocation-that-could-not-be-read-is-read-again", test_revoked);
  g_test_add_func ("/tls/reload/handshakes-take-up-what-could-not-be-read-once", test_handshakes);
  g_test_add_func ("/tls/reload/what-stays-bad-is-tried-seldom-and-told-once", test_waits);
  return g_test_run ();
}
