/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading: what one certificate says, and a node's whole set of files, which must fit together.
 */
#include "config.h"

#include "auth/common/commy-pki-admission.h"
#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SAVE_LOCK "credentials.lock"

static gboolean
import_pem (const char *pem, gnutls_x509_crt_t *out_crt, GError **error)
{
  gnutls_datum_t text = { (guint8 *) pem, (unsigned) strlen (pem) };

  return commy_pki_check (gnutls_x509_crt_init (out_crt), "certificate", error)
         && commy_pki_check (gnutls_x509_crt_import (*out_crt, &text, GNUTLS_X509_FMT_PEM),
                             "the certificate cannot be read", error);
}

static char *
dup_issuer (gnutls_x509_crt_t crt)
{
  gnutls_datum_t name = { NULL, 0 };
  char *text;

  if (gnutls_x509_crt_get_issuer_dn3 (crt, &name, 0) < 0)
    return g_strdup ("");
  text = g_strndup ((const char *) name.data, name.size);
  gnutls_free (name.data);
  return text;
}

CommyPkiInfo *
commy_pki_info_new (const char *pem, GError **error)
{
  g_autoptr (CommyPkiInfo) info = g_new0 (CommyPkiInfo, 1);
  g_auto (gnutls_x509_crt_t) crt = NULL;
  guint8 bytes[64];
  gsize size = sizeof bytes;

  if (!import_pem (pem, &crt, error)
      || !commy_pki_check (gnutls_x509_crt_get_fingerprint (crt, GNUTLS_DIG_SHA256, bytes, &size),
                           "the certificate has no fingerprint", error))
    return NULL;
  info->fingerprint = commy_pki_hex (bytes, size);
  size = sizeof bytes;
  info->serial = gnutls_x509_crt_get_serial (crt, bytes, &size) < 0 ? g_strdup ("")
                                                                    : commy_pki_hex (bytes, size);
  info->name = commy_pki_crt_dup_name (crt);
  info->id = commy_pki_crt_dup_uri (crt, NULL);
  if (info->id == NULL)
    info->id = g_strdup ("");
  info->issuer = dup_issuer (crt);
  info->not_before_s = gnutls_x509_crt_get_activation_time (crt);
  info->not_after_s = gnutls_x509_crt_get_expiration_time (crt);
  return g_steal_pointer (&info);
}

void
commy_pki_info_free (CommyPkiInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->id);
  g_free (info->issuer);
  g_free (info->serial);
  g_free (info->fingerprint);
  g_free (info->name);
  g_free (info);
}

/* One that is away may come back. */
static gboolean
check_token (int code, GError **error)
{
  if (code == GNUTLS_E_PKCS11_PIN_ERROR || code == GNUTLS_E_PKCS11_PIN_EXPIRED
      || code == GNUTLS_E_PKCS11_PIN_LOCKED)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED, "the token refuses the PIN: %s",
                 gnutls_strerror (code));
  else
    commy_pki_check (
        code, "the token's key cannot be used (p11tool --list-tokens shows what there is)", error);
  return code >= 0;
}

/* The id of a key's public half, from PEM or a token. */
static gboolean
find_key_id (const char *key, guint8 out_id[32], GError **error)
{
  g_auto (gnutls_pubkey_t) public_key = NULL;
  gnutls_privkey_t private_key = NULL;
  gnutls_datum_t text = { (guint8 *) key, (unsigned) strlen (key) };
  gsize size = 32;
  int code = gnutls_privkey_init (&private_key);

  if (code >= 0)
    code = commy_pki_is_token_key (key)
               ? gnutls_privkey_import_url (private_key, key, 0)
               : gnutls_privkey_import_x509_raw (private_key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
  if (code >= 0)
    code = gnutls_pubkey_init (&public_key);
  if (code >= 0)
    code = gnutls_pubkey_import_privkey (public_key, private_key, 0, 0);
  if (code >= 0)
    code = gnutls_pubkey_get_key_id (public_key, GNUTLS_KEYID_USE_SHA256, out_id, &size);
  gnutls_privkey_deinit (private_key);
  return commy_pki_is_token_key (key) ? check_token (code, error)
                                      : commy_pki_check (code, "the key cannot be read", error);
}

static gboolean
check_key_fits (gnutls_x509_crt_t crt, const char *key, GError **error)
{
  guint8 ids[2][32];
  gsize size = sizeof ids[1];

  if (!find_key_id (key, ids[0], error))
    return FALSE;
  if (gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, ids[1], &size) >= 0
      && memcmp (ids[0], ids[1], sizeof ids[0]) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "%s is not the key of %s",
               commy_pki_is_token_key (key) ? "what key= names" : COMMY_PKI_KEY_FILE,
               COMMY_PKI_CERT_FILE);
  return FALSE;
}

/* Kinds of keys that the mesh's TLS can use. */
static gboolean
check_kind (gnutls_x509_crt_t crt, GError **error)
{
  int kind = gnutls_x509_crt_get_pk_algorithm (crt, NULL);

  if (kind == GNUTLS_PK_ECDSA || kind == GNUTLS_PK_EDDSA_ED25519)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
               "the certificate's key is %s, which nodes do not take: ECDSA (P-256, P-384) or "
               "Ed25519",
               gnutls_pk_get_name (kind));
  return FALSE;
}

/* All certificates of cert.pem: one's own first, then those that lead to the authority. */
static GPtrArray *
dup_chain (const char *pem, GError **error)
{
  g_autoptr (GPtrArray) ders = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gnutls_datum_t text = { (guint8 *) pem, (unsigned) strlen (pem) };
  gnutls_x509_crt_t crts[COMMY_PKI_CHAIN_MAX] = { NULL };
  unsigned n = COMMY_PKI_CHAIN_MAX;

  if (!commy_pki_check (gnutls_x509_crt_list_import (crts, &n, &text, GNUTLS_X509_FMT_PEM,
                                                     GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED),
                        "the certificate cannot be read", error))
    return NULL;
  for (unsigned i = 0; i < n; i++)
    {
      gnutls_datum_t der = { NULL, 0 };

      if (gnutls_x509_crt_export2 (crts[i], GNUTLS_X509_FMT_DER, &der) >= 0)
        g_ptr_array_add (ders,
                         g_bytes_new_with_free_func (der.data, der.size, gnutls_free, der.data));
      gnutls_x509_crt_deinit (crts[i]);
    }
  return g_steal_pointer (&ders);
}

static gboolean
check_credentials (CommyPkiCredentials *self, GError **error)
{
  g_auto (gnutls_x509_crt_t) crt = NULL;
  g_autoptr (GPtrArray) chain = NULL;

  if (!import_pem (self->cert_pem, &crt, error) || !check_kind (crt, error)
      || !check_key_fits (crt, self->key_pem, error))
    return FALSE;
  chain = dup_chain (self->cert_pem, error);
  if (chain == NULL)
    return FALSE;
  self->not_before_s = gnutls_x509_crt_get_activation_time (crt);
  self->not_after_s = gnutls_x509_crt_get_expiration_time (crt);
  self->id = commy_pki_trust_verify (self->trust, (GBytes *const *) chain->pdata, chain->len,
                                     COMMY_PKI_CLIENT, COMMY_PKI_ANY_TIME, NULL, error);
  return self->id != NULL;
}

CommyPkiCredentials *
commy_pki_credentials_new (const char *ca_pem,
                           const char *cert_pem,
                           const char *key_pem,
                           GError **error)
{
  g_autoptr (CommyPkiCredentials) self = g_new0 (CommyPkiCredentials, 1);

  self->cert_pem = g_strdup (cert_pem);
  self->key_pem = g_strdup (key_pem);
  self->trust = commy_pki_trust_new (ca_pem, error);
  return self->trust != NULL && check_credentials (self, error) ? g_steal_pointer (&self) : NULL;
}

/* What is revoked, where a list says so. */
static gboolean
take_crl (CommyPkiCredentials *self, const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CRL_FILE, NULL);
  g_autofree char *pem = NULL;

  return commy_pki_read_crl (path, &pem, error)
         && (pem == NULL || commy_pki_trust_add_crls (self->trust, pem, error));
}

/* Reads the files, with the key from @key_file. */
static CommyPkiCredentials *
load_with (const char *dir, const char *key_file, GError **error)
{
  g_autofree char *ca_pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, error);
  g_autofree char *cert_pem = NULL;
  CommyPkiCredentials *self = NULL;
  char *key_pem;

  if (ca_pem != NULL)
    cert_pem = commy_pki_read_file (dir, COMMY_PKI_CERT_FILE, FALSE, error);
  if (cert_pem == NULL)
    return NULL;
  key_pem = commy_pki_read_file (dir, key_file, TRUE, error);
  if (key_pem == NULL)
    return NULL;
  self = commy_pki_credentials_new (ca_pem, cert_pem, key_pem, error);
  commy_pki_free_secret (key_pem);
  if (self != NULL && !take_crl (self, dir, error))
    g_clear_pointer (&self, commy_pki_credentials_free);
  if (self == NULL)
    g_prefix_error (error, "the credentials in %s cannot be used: ", dir);
  return self;
}

/* Somebody else's: nothing is replaced here while it is read. */
static CommyPkiCredentials *
load_external (const CommyPkiPlaces *places, GError **error)
{
  g_autoptr (CommyPkiCredentials) self = g_new0 (CommyPkiCredentials, 1);

  self->trust = commy_pki_places_load_trust (places, error);
  if (self->trust == NULL)
    return NULL;
  self->cert_pem = commy_pki_read_file ("/", places->certificate, FALSE, error);
  if (self->cert_pem != NULL)
    self->key_pem = commy_pki_is_token_key (places->key)
                        ? g_strdup (places->key)
                        : commy_pki_read_file ("/", places->key, TRUE, error);
  return self->key_pem != NULL && check_credentials (self, error) ? g_steal_pointer (&self) : NULL;
}

CommyPkiCredentials *
commy_pki_credentials_load (const char *dir, GError **error)
{
  g_auto (CommyPkiPlaces) places = { NULL };
  CommyPkiCredentials *self;

  if (!commy_pki_places_find (dir, &places, error))
    return NULL;
  if (places.is_external)
    return load_external (&places, error);
  self = load_with (dir, COMMY_PKI_KEY_FILE, error);
  /* Between two steps of commy_pki_credentials_save() the new key lies beside the old; and when
   * that ended while we looked, the first look was at two different states. */
  if (self == NULL)
    self = load_with (dir, COMMY_PKI_NEXT_KEY_FILE, NULL);
  if (self == NULL)
    self = load_with (dir, COMMY_PKI_KEY_FILE, NULL);
  if (self != NULL)
    g_clear_error (error);
  return self;
}

/* Ends a save that a crash cut off after the certificate was in place. */
static gboolean
settle (const char *dir, GError **error)
{
  g_autofree char *next = g_build_filename (dir, COMMY_PKI_NEXT_KEY_FILE, NULL);
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_autoptr (CommyPkiCredentials) good = NULL;

  if (!g_file_test (next, G_FILE_TEST_EXISTS))
    return TRUE;
  good = load_with (dir, COMMY_PKI_NEXT_KEY_FILE, NULL);
  if (good == NULL || g_rename (next, key) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot write %s: %s", key,
               g_strerror (errno));
  return FALSE;
}

static gboolean
replace (
    const char *dir, const char *ca_pem, const char *cert_pem, const char *key_pem, GError **error)
{
  g_autofree char *next = g_build_filename (dir, COMMY_PKI_NEXT_KEY_FILE, NULL);
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_autofree char *old_ca = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);

  if (!settle (dir, error)
      || !commy_pki_write_file (dir, COMMY_PKI_NEXT_KEY_FILE, key_pem, 0600, FALSE, error))
    return FALSE;
  if (g_strcmp0 (old_ca, ca_pem) != 0
      && !commy_pki_write_file (dir, COMMY_PKI_CA_FILE, ca_pem, 0644, FALSE, error))
    return FALSE;
  if (!commy_pki_write_file (dir, COMMY_PKI_CERT_FILE, cert_pem, 0644, FALSE, error))
    return FALSE;
  if (g_rename (next, key) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot write %s: %s", key,
               g_strerror (errno));
  return FALSE;
}

gboolean
commy_pki_credentials_save (
    const char *dir, const char *ca_pem, const char *cert_pem, const char *key_pem, GError **error)
{
  int lock = commy_pki_lock (dir, SAVE_LOCK, TRUE, error);
  gboolean saved = lock >= 0 && replace (dir, ca_pem, cert_pem, key_pem, error);

  if (lock >= 0)
    close (lock);
  return saved;
}

void
commy_pki_credentials_free (CommyPkiCredentials *self)
{
  if (self == NULL)
    return;
  if (self->key_pem != NULL)
    gnutls_memset (self->key_pem, 0, strlen (self->key_pem));
  g_free (self->key_pem);
  g_free (self->cert_pem);
  g_free (self->id);
  commy_pki_trust_free (self->trust);
  g_free (self);
}
