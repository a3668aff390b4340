/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS for admissions, the same on both sides: version 1.3, one protocol name, nothing resumed.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

#define PRIORITY                                                                       \
  "NONE:+VERS-TLS1.3:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+ECDHE-ECDSA:" \
  "+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+SIGN-ECDSA-SECP256R1-SHA256:"      \
  "+SIGN-ECDSA-SECP384R1-SHA384:+SIGN-EDDSA-ED25519:+COMP-NULL:+CTYPE-X509"
#define HANDSHAKE_PACKET_MAX (16 * 1024)

int
commy_pki_tls_priority (gnutls_priority_t *out_priority)
{
  return gnutls_priority_init (out_priority, PRIORITY, NULL);
}

int
commy_pki_tls_session (gnutls_session_t *out_session,
                       guint flags,
                       gnutls_priority_t priority,
                       gnutls_certificate_credentials_t credentials,
                       int fd)
{
  gnutls_datum_t protocol = { (guint8 *) COMMY_PKI_ALPN, sizeof COMMY_PKI_ALPN - 1 };
  int code
      = gnutls_init (out_session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);

  if (code < 0)
    return code;
  code = gnutls_priority_set (*out_session, priority);
  if (code >= 0)
    code = gnutls_credentials_set (*out_session, GNUTLS_CRD_CERTIFICATE, credentials);
  if (code >= 0)
    code = gnutls_alpn_set_protocols (*out_session, &protocol, 1,
                                      (flags & GNUTLS_SERVER) != 0 ? GNUTLS_ALPN_MANDATORY : 0);
  gnutls_handshake_set_max_packet_length (*out_session, HANDSHAKE_PACKET_MAX);
  gnutls_transport_set_int (*out_session, fd);
  return code;
}

gboolean
commy_pki_tls_has_alpn (gnutls_session_t session)
{
  gnutls_datum_t chosen = { NULL, 0 };

  return gnutls_alpn_get_selected_protocol (session, &chosen) >= 0
         && chosen.size == sizeof COMMY_PKI_ALPN - 1
         && memcmp (chosen.data, COMMY_PKI_ALPN, chosen.size) == 0;
}

/* The key stays in its token: what is to be signed goes there. */
static int
set_token_key (gnutls_certificate_credentials_t credentials, gnutls_datum_t *chain, const char *uri)
{
  gnutls_pcert_st certificates[COMMY_PKI_CHAIN_MAX];
  unsigned n = COMMY_PKI_CHAIN_MAX;
  gnutls_privkey_t key = NULL;
  int code = gnutls_pcert_list_import_x509_raw (certificates, &n, chain, GNUTLS_X509_FMT_PEM,
                                                GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);

  if (code < 0)
    return code;
  code = gnutls_privkey_init (&key);
  if (code >= 0)
    code = gnutls_privkey_import_url (key, uri, 0);
  if (code >= 0)
    code = gnutls_certificate_set_key (credentials, NULL, 0, certificates, (int) n, key);
  if (code >= 0)
    return code; /* they are the credentials' now */
  for (unsigned i = 0; i < n; i++)
    gnutls_pcert_deinit (&certificates[i]);
  gnutls_privkey_deinit (key);
  return code;
}

int
commy_pki_tls_credentials (gnutls_certificate_credentials_t *out_credentials,
                           const char *chain_pem,
                           const char *key_pem)
{
  gnutls_datum_t chain = { (guint8 *) chain_pem, (unsigned) strlen (chain_pem) };
  gnutls_datum_t key = { (guint8 *) key_pem, (unsigned) strlen (key_pem) };
  int code = gnutls_certificate_allocate_credentials (out_credentials);

  if (code >= 0 && commy_pki_is_token_key (key_pem))
    return set_token_key (*out_credentials, &chain, key_pem);
  return code < 0 ? code
                  : gnutls_certificate_set_x509_key_mem2 (*out_credentials, &chain, &key,
                                                          GNUTLS_X509_FMT_PEM, NULL, 0);
}

GPtrArray *
commy_pki_tls_dup_chain (gnutls_session_t session)
{
  GPtrArray *chain = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  unsigned n = 0;
  const gnutls_datum_t *certificates = gnutls_certificate_get_peers (session, &n);

  for (unsigned i = 0; certificates != NULL && i < n; i++)
    g_ptr_array_add (chain, g_bytes_new (certificates[i].data, certificates[i].size));
  return chain;
}
