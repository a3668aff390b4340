/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading: what one certificate says, and a node's whole set of files, which must fit together.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

static char *
hex (const guint8 *bytes, gsize size)
{
  GString *text = g_string_sized_new (2 * size + 1);

  for (gsize i = 0; i < size; i++)
    g_string_append_printf (text, "%02x", bytes[i]);
  return g_string_free (text, FALSE);
}

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
  info->fingerprint = hex (bytes, size);
  size = sizeof bytes;
  info->serial
      = gnutls_x509_crt_get_serial (crt, bytes, &size) < 0 ? g_strdup ("") : hex (bytes, size);
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
  g_free (info);
}

static gboolean
check_key_fits (gnutls_x509_crt_t crt, const char *key_pem, GError **error)
{
  g_auto (gnutls_x509_privkey_t) key = NULL;
  gnutls_datum_t text = { (guint8 *) key_pem, (unsigned) strlen (key_pem) };
  guint8 ids[2][32];
  gsize sizes[2] = { sizeof ids[0], sizeof ids[1] };

  if (!commy_pki_check (gnutls_x509_privkey_init (&key), "key", error)
      || !commy_pki_check (gnutls_x509_privkey_import (key, &text, GNUTLS_X509_FMT_PEM),
                           "the key cannot be read", error))
    return FALSE;
  if (gnutls_x509_privkey_get_key_id (key, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]) >= 0
      && gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]) >= 0
      && sizes[0] == sizes[1] && memcmp (ids[0], ids[1], sizes[0]) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "%s is not the key of %s",
               COMMY_PKI_KEY_FILE, COMMY_PKI_CERT_FILE);
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

  if (!import_pem (self->cert_pem, &crt, error) || !check_key_fits (crt, self->key_pem, error))
    return FALSE;
  chain = dup_chain (self->cert_pem, error);
  if (chain == NULL)
    return FALSE;
  self->not_after_s = gnutls_x509_crt_get_expiration_time (crt);
  self->id = commy_pki_trust_verify (self->trust, (GBytes *const *) chain->pdata, chain->len,
                                     COMMY_PKI_CLIENT, COMMY_PKI_ANY_TIME, NULL, error);
  return self->id != NULL;
}

CommyPkiCredentials *
commy_pki_credentials_load (const char *dir, GError **error)
{
  g_autoptr (CommyPkiCredentials) self = g_new0 (CommyPkiCredentials, 1);
  g_autofree char *ca_pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, error);

  if (ca_pem == NULL)
    return NULL;
  self->cert_pem = commy_pki_read_file (dir, COMMY_PKI_CERT_FILE, FALSE, error);
  if (self->cert_pem == NULL)
    return NULL;
  self->key_pem = commy_pki_read_file (dir, COMMY_PKI_KEY_FILE, TRUE, error);
  if (self->key_pem == NULL)
    return NULL;
  self->trust = commy_pki_trust_new (ca_pem, error);
  if (self->trust == NULL || !check_credentials (self, error))
    {
      g_prefix_error (error, "the credentials in %s cannot be used: ", dir);
      return NULL;
    }
  return g_steal_pointer (&self);
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
