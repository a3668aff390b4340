/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signing requests (PKCS#10): a newcomer makes one beside its key; the authority takes the key
 * out of it, and nothing else.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

gboolean
commy_pki_request_new (char **out_key_pem, GBytes **out_der, GError **error)
{
  g_auto (gnutls_x509_privkey_t) key = NULL;
  g_auto (gnutls_x509_crq_t) request = NULL;
  gnutls_datum_t der = { NULL, 0 };
  char *key_pem;
  int code;

  if (!commy_pki_new_key (&key, error)
      || !commy_pki_check (gnutls_x509_crq_init (&request), "cannot make a request", error))
    return FALSE;
  code = gnutls_x509_crq_set_version (request, 1);
  if (code >= 0)
    code = gnutls_x509_crq_set_key (request, key);
  if (code >= 0)
    code = gnutls_x509_crq_sign2 (request, key, GNUTLS_DIG_SHA256, 0);
  if (code >= 0)
    code = gnutls_x509_crq_export2 (request, GNUTLS_X509_FMT_DER, &der);
  if (!commy_pki_check (code, "cannot make a request", error))
    return FALSE;
  key_pem = commy_pki_export_key (key, error);
  if (key_pem != NULL)
    {
      *out_key_pem = key_pem;
      *out_der = g_bytes_new (der.data, der.size);
    }
  gnutls_free (der.data);
  return key_pem != NULL;
}

/* Keys that the mesh's TLS can use. */
static gboolean
is_usable (gnutls_pubkey_t key)
{
  gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
  int algorithm = gnutls_pubkey_get_pk_algorithm (key, NULL);

  if (algorithm == GNUTLS_PK_EDDSA_ED25519)
    return TRUE;
  return algorithm == GNUTLS_PK_ECDSA
         && gnutls_pubkey_export_ecc_raw2 (key, &curve, NULL, NULL, 0) >= 0
         && (curve == GNUTLS_ECC_CURVE_SECP256R1 || curve == GNUTLS_ECC_CURVE_SECP384R1);
}

static gboolean
import_request (GBytes *bytes, gnutls_pubkey_t key, GError **error)
{
  g_auto (gnutls_x509_crq_t) request = NULL;
  gnutls_datum_t der;
  gsize size;

  der.data = (guint8 *) g_bytes_get_data (bytes, &size);
  der.size = (unsigned) size;
  if (size == 0 || size > COMMY_PKI_REQUEST_MAX)
    {
      g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_TOO_BIG,
                           "the signing request is empty or larger than 8 KiB");
      return FALSE;
    }
  if (!commy_pki_check (gnutls_x509_crq_init (&request), "request", error)
      || !commy_pki_check (gnutls_x509_crq_import (request, &der, GNUTLS_X509_FMT_DER),
                           "the signing request cannot be read", error)
      || !commy_pki_check (gnutls_x509_crq_verify (request, 0),
                           "the signing request is not signed with its own key", error)
      || !commy_pki_check (gnutls_pubkey_import_x509_crq (key, request, 0),
                           "the signing request has no key", error))
    return FALSE;
  if (is_usable (key))
    return TRUE;
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                       "the signing request's key is none of ECDSA P-256, P-384 or Ed25519");
  return FALSE;
}

char *
commy_pki_sign_request (CommyPkiAuthority *authority,
                        GBytes *request,
                        const char *path,
                        gint64 not_before_s,
                        gint64 not_after_s,
                        char **out_key,
                        GError **error)
{
  g_auto (gnutls_pubkey_t) key = NULL;
  guint8 id[32];
  gsize size = sizeof id;
  char *pem;

  if (!commy_pki_check (gnutls_pubkey_init (&key), "request", error)
      || !import_request (request, key, error)
      || !commy_pki_check (gnutls_pubkey_get_key_id (key, GNUTLS_KEYID_USE_SHA256, id, &size),
                           "the key has no id", error))
    return NULL;
  pem = commy_pki_sign (authority, key, path, not_before_s, not_after_s, error);
  if (pem != NULL)
    *out_key = commy_pki_hex (id, sizeof id);
  return pem;
}

gboolean
commy_pki_key_id (GBytes *bytes, guint8 out_id[32], GError **error)
{
  g_auto (gnutls_x509_crt_t) crt = NULL;
  gnutls_datum_t der;
  gsize size;
  gsize id_size = 32;

  der.data = (guint8 *) g_bytes_get_data (bytes, &size);
  der.size = (unsigned) size;
  return commy_pki_check (gnutls_x509_crt_init (&crt), "certificate", error)
         && commy_pki_check (gnutls_x509_crt_import (crt, &der, GNUTLS_X509_FMT_DER),
                             "the certificate cannot be read", error)
         && commy_pki_check (
             gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, out_id, &id_size),
             "the certificate's key has no id", error);
}
