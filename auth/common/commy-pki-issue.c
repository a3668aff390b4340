/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making: an authority of one's own, and certificates for the nodes of its mesh. All keys are
 * ECDSA P-256, the fastest that every library knows.
 */
#include "config.h"

#include "auth/common/commy-pki-admission.h"
#include "auth/common/commy-pki-private.h"

#include <gnutls/crypto.h>
#include <string.h>

gboolean
commy_pki_check (int code, const char *what, GError **error)
{
  if (code >= 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "%s: %s", what,
               gnutls_strerror (code));
  return FALSE;
}

gint64
commy_pki_backdate (gint64 life_s)
{
  return MIN (COMMY_PKI_BACKDATE_S, life_s / 4);
}

gboolean
commy_pki_new_key (gnutls_x509_privkey_t *out_key, GError **error)
{
  const unsigned bits = GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1);

  return commy_pki_check (gnutls_x509_privkey_init (out_key), "cannot make a key", error)
         && commy_pki_check (gnutls_x509_privkey_generate (*out_key, GNUTLS_PK_ECDSA, bits, 0),
                             "cannot make a key", error);
}

static gboolean
public_half (gnutls_x509_privkey_t key, gnutls_pubkey_t *out_key, GError **error)
{
  gnutls_privkey_t private_key = NULL;
  int code = gnutls_privkey_init (&private_key);

  if (code >= 0)
    code = gnutls_privkey_import_x509 (private_key, key, GNUTLS_PRIVKEY_IMPORT_COPY);
  if (code >= 0)
    code = gnutls_pubkey_init (out_key);
  if (code >= 0)
    code = gnutls_pubkey_import_privkey (*out_key, private_key, 0, 0);
  gnutls_privkey_deinit (private_key);
  return commy_pki_check (code, "cannot read the key", error);
}

/* The first 8 hex digits of SHA-256 of the public key (SubjectPublicKeyInfo, DER). */
static char *
key_digits (gnutls_pubkey_t key, GError **error)
{
  gnutls_datum_t der = { NULL, 0 };
  char *digest;

  if (!commy_pki_check (gnutls_pubkey_export2 (key, GNUTLS_X509_FMT_DER, &der),
                        "cannot read the key", error))
    return NULL;
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, der.data, der.size);
  gnutls_free (der.data);
  digest[8] = '\0';
  return digest;
}

static int
set_serial (gnutls_x509_crt_t crt)
{
  guint8 serial[16];
  int code = gnutls_rnd (GNUTLS_RND_NONCE, serial, sizeof serial);

  serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and as long as it says */
  return code < 0 ? code : gnutls_x509_crt_set_serial (crt, serial, sizeof serial);
}

/* What all certificates have: version, serial, key, URI name, validity, key ids. */
static int
fill_common (gnutls_x509_crt_t crt,
             gnutls_pubkey_t key,
             const char *uri,
             gint64 not_before_s,
             gint64 not_after_s)
{
  guint8 key_id[20];
  gsize size = sizeof key_id;
  int code = gnutls_x509_crt_set_version (crt, 3);

  if (code >= 0)
    code = set_serial (crt);
  if (code >= 0)
    code = gnutls_x509_crt_set_pubkey (crt, key);
  if (code >= 0)
    code = gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_URI, uri, (unsigned) strlen (uri),
                                                 GNUTLS_FSAN_SET);
  if (code >= 0)
    code = gnutls_x509_crt_set_activation_time (crt, (time_t) not_before_s);
  if (code >= 0)
    code = gnutls_x509_crt_set_expiration_time (crt, (time_t) not_after_s);
  if (code >= 0)
    code = gnutls_pubkey_get_key_id (key, GNUTLS_KEYID_USE_SHA1, key_id, &size);
  if (code >= 0)
    code = gnutls_x509_crt_set_subject_key_id (crt, key_id, size);
  return code;
}

static int
set_common_name (gnutls_x509_crt_t crt, const char *name)
{
  return gnutls_x509_crt_set_dn_by_oid (crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                        (unsigned) strlen (name));
}

char *
commy_pki_export_crt (gnutls_x509_crt_t crt, GError **error)
{
  gnutls_datum_t pem = { NULL, 0 };
  char *text;

  if (!commy_pki_check (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_PEM, &pem),
                        "cannot write the certificate", error))
    return NULL;
  text = g_strndup ((const char *) pem.data, pem.size);
  gnutls_free (pem.data);
  return text;
}

char *
commy_pki_export_key (gnutls_x509_privkey_t key, GError **error)
{
  gnutls_datum_t pem = { NULL, 0 };
  char *text;

  if (!commy_pki_check (gnutls_x509_privkey_export2_pkcs8 (key, GNUTLS_X509_FMT_PEM, NULL,
                                                           GNUTLS_PKCS_PLAIN, &pem),
                        "cannot write the key", error))
    return NULL;
  text = g_strndup ((const char *) pem.data, pem.size);
  gnutls_memset (pem.data, 0, pem.size);
  gnutls_free (pem.data);
  return text;
}

static int
sign_authority (CommyPkiAuthority *self, gnutls_pubkey_t key, gint64 now_s)
{
  g_autofree char *uri = g_strconcat ("spiffe://", self->domain, NULL);
  gint64 end = now_s + COMMY_PKI_AUTHORITY_LIFE_DAYS * COMMY_PKI_SECONDS_PER_DAY;
  int code = fill_common (self->crt, key, uri, now_s - COMMY_PKI_BACKDATE_S, end);

  if (code >= 0)
    code = set_common_name (self->crt, "Commy authority");
  if (code >= 0)
    code = gnutls_x509_crt_set_dn_by_oid (self->crt, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                          self->domain, (unsigned) strlen (self->domain));
  if (code >= 0)
    code = gnutls_x509_crt_set_basic_constraints (self->crt, 1, 0);
  if (code >= 0)
    code
        = gnutls_x509_crt_set_key_usage (self->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
  if (code >= 0)
    code = gnutls_x509_crt_sign2 (self->crt, self->crt, self->key, GNUTLS_DIG_SHA256, 0);
  return code;
}

static gboolean
check_mesh (const char *mesh, GError **error)
{
  g_autofree char *id = g_strconcat ("spiffe://", mesh, NULL);
  g_autofree char *domain = NULL;

  if (strlen (mesh) <= 48) /* with its digits it is the organisation name, at most 64 */
    domain = commy_pki_parse_id (id, strlen (id), NULL, NULL);
  if (g_strcmp0 (domain, mesh) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "the mesh's name cannot be a trust domain: \"%s\" (allowed are 1 to 48 lower case "
               "letters, digits, '.', '-' and '_')",
               mesh);
  return FALSE;
}

/* With a key that it has, and the domain that it is to speak for. */
static gboolean
complete (CommyPkiAuthority *self, gnutls_pubkey_t key, gint64 now_s, GError **error)
{
  if (!commy_pki_check (gnutls_x509_crt_init (&self->crt), "cannot make a certificate", error)
      || !commy_pki_check (sign_authority (self, key, now_s),
                           "cannot sign the authority's certificate", error))
    return FALSE;
  self->own_pem = commy_pki_export_crt (self->crt, error);
  self->pem = g_strdup (self->own_pem);
  return self->pem != NULL;
}

CommyPkiAuthority *
commy_pki_authority_new (const char *mesh, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiAuthority) self = g_new0 (CommyPkiAuthority, 1);
  g_auto (gnutls_pubkey_t) key = NULL;
  g_autofree char *digits = NULL;

  if (!check_mesh (mesh, error) || !commy_pki_new_key (&self->key, error)
      || !public_half (self->key, &key, error))
    return NULL;
  digits = key_digits (key, error);
  if (digits == NULL)
    return NULL;
  self->domain = g_strdup_printf ("%s-%s", mesh, digits);
  return complete (self, key, now_s, error) ? g_steal_pointer (&self) : NULL;
}

CommyPkiAuthority *
commy_pki_authority_new_successor (const CommyPkiAuthority *before, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiAuthority) self = g_new0 (CommyPkiAuthority, 1);
  g_auto (gnutls_pubkey_t) key = NULL;

  self->domain = g_strdup (before->domain);
  return commy_pki_new_key (&self->key, error) && public_half (self->key, &key, error)
                 && complete (self, key, now_s, error)
             ? g_steal_pointer (&self)
             : NULL;
}

static int
sign_leaf (CommyPkiAuthority *authority, gnutls_x509_crt_t crt)
{
  guint8 issuer_id[64];
  gsize size = sizeof issuer_id;
  int code = set_common_name (crt, "Commy node");

  if (code >= 0)
    code = gnutls_x509_crt_set_basic_constraints (crt, 0, -1);
  if (code >= 0)
    code = gnutls_x509_crt_set_key_usage (crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
  if (code >= 0)
    code = gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
  if (code >= 0)
    code = gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
  if (code >= 0 && gnutls_x509_crt_get_subject_key_id (authority->crt, issuer_id, &size, NULL) >= 0)
    code = gnutls_x509_crt_set_authority_key_id (crt, issuer_id, size);
  if (code >= 0)
    code = gnutls_x509_crt_sign2 (crt, authority->crt, authority->key, GNUTLS_DIG_SHA256, 0);
  return code;
}

char *
commy_pki_sign (CommyPkiAuthority *authority,
                gnutls_pubkey_t key,
                const char *path,
                gint64 not_before_s,
                gint64 not_after_s,
                GError **error)
{
  g_auto (gnutls_x509_crt_t) crt = NULL;
  g_autofree char *uri = g_strconcat ("spiffe://", authority->domain, path, NULL);

  not_after_s = MIN (not_after_s, (gint64) gnutls_x509_crt_get_expiration_time (authority->crt));
  if (!commy_pki_check (gnutls_x509_crt_init (&crt), "cannot make a certificate", error)
      || !commy_pki_check (fill_common (crt, key, uri, not_before_s, not_after_s),
                           "cannot fill the certificate", error)
      || !commy_pki_check (sign_leaf (authority, crt), "cannot sign the certificate", error))
    return NULL;
  return commy_pki_export_crt (crt, error);
}

char *
commy_pki_node_path (const char *host, const char *user, GError **error)
{
  if (!commy_pki_check_segment (host, "host", error)
      || !commy_pki_check_segment (user, "user", error))
    return NULL;
  return g_strdup_printf ("/host/%s/user/%s", host, user);
}

CommyPkiPair *
commy_pki_issue_path (CommyPkiAuthority *authority,
                      const char *path,
                      gint64 not_before_s,
                      gint64 not_after_s,
                      GError **error)
{
  g_autoptr (CommyPkiPair) pair = g_new0 (CommyPkiPair, 1);
  g_auto (gnutls_x509_privkey_t) key = NULL;
  g_auto (gnutls_pubkey_t) public_key = NULL;

  if (!commy_pki_new_key (&key, error) || !public_half (key, &public_key, error))
    return NULL;
  pair->cert_pem = commy_pki_sign (authority, public_key, path, not_before_s, not_after_s, error);
  if (pair->cert_pem == NULL)
    return NULL;
  pair->key_pem = commy_pki_export_key (key, error);
  return pair->key_pem == NULL ? NULL : g_steal_pointer (&pair);
}

CommyPkiPair *
commy_pki_issue (CommyPkiAuthority *authority,
                 const char *host,
                 const char *user,
                 gint64 not_before_s,
                 gint64 not_after_s,
                 GError **error)
{
  g_autofree char *path = commy_pki_node_path (host, user, error);

  return path == NULL ? NULL
                      : commy_pki_issue_path (authority, path, not_before_s, not_after_s, error);
}

void
commy_pki_pair_free (CommyPkiPair *pair)
{
  if (pair == NULL)
    return;
  g_free (pair->cert_pem);
  commy_pki_free_secret (pair->key_pem);
  g_free (pair);
}

static gboolean
check_same_authority (CommyPkiAuthority *authority, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CA_FILE, NULL);
  g_autofree char *pem = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, error);
  if (pem == NULL)
    return FALSE;
  /* Its own, of whatever stage of a change. */
  if (strcmp (pem, authority->pem) == 0 || strstr (pem, authority->own_pem) != NULL
      || strstr (authority->pem, pem) != NULL)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
               "%s holds the credentials of another authority: choose another directory", dir);
  return FALSE;
}

gboolean
commy_pki_pair_save (const CommyPkiPair *pair,
                     CommyPkiAuthority *authority,
                     const char *dir,
                     GError **error)
{
  return commy_pki_make_dir (dir, error) && check_same_authority (authority, dir, error)
         && commy_pki_credentials_save (dir, authority->pem, pair->cert_pem, pair->key_pem, error);
}
