/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judging: is this certificate of our authority, valid now, meant for this, and whose is it.
 * The rules are those of SPIFFE's X509-SVID, sections 2 to 5; the common name counts for nothing.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

#define NAMES_MAX 16
#define PURPOSES_MAX 16
#define SHOWN_MAX 160u /* of each thing that is told of one that was refused */

/* A chain as GnuTLS wants it. */
typedef struct
{
  gnutls_x509_crt_t crts[COMMY_PKI_CHAIN_MAX];
  guint n;
} Chain;

static void
chain_clear (Chain *chain)
{
  for (guint i = 0; i < chain->n; i++)
    gnutls_x509_crt_deinit (chain->crts[i]);
  chain->n = 0;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Chain, chain_clear)

static gboolean
refuse (CommyPkiFault *out_fault, CommyPkiFault fault, GError **error, const char *why)
{
  if (out_fault != NULL)
    *out_fault = fault;
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, why);
  return FALSE;
}

/* Finds the URI names. Returns how many there are (0 where there is no such extension), or -1. */
static int
find_uris (gnutls_x509_crt_t crt, char **out_first, gsize *out_size)
{
  g_auto (gnutls_subject_alt_names_t) names = NULL;
  gnutls_datum_t extension = { NULL, 0 };
  int n_uris = 0;
  int code = gnutls_x509_crt_get_extension_by_oid2 (crt, "2.5.29.17", 0, &extension, NULL);

  if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
    return 0;
  if (code < 0 || gnutls_subject_alt_names_init (&names) < 0)
    return -1;
  code = gnutls_x509_ext_import_subject_alt_names (&extension, names, 0);
  gnutls_free (extension.data);
  for (unsigned i = 0; code >= 0; i++)
    {
      gnutls_datum_t name;
      unsigned type;

      code = gnutls_subject_alt_names_get (names, i, &type, &name, NULL);
      if (code < 0 || type != GNUTLS_SAN_URI)
        continue;
      if (i >= NAMES_MAX)
        return -1;
      if (n_uris++ == 0)
        {
          *out_first = g_strndup ((const char *) name.data, name.size);
          *out_size = name.size;
        }
    }
  return code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? n_uris : -1;
}

char *
commy_pki_crt_dup_uri (gnutls_x509_crt_t crt, GError **error)
{
  g_autofree char *uri = NULL;
  gsize size = 0;
  int n = find_uris (crt, &uri, &size);

  if (n == 1 && strlen (uri) == size)
    return g_steal_pointer (&uri);
  refuse (NULL, COMMY_PKI_FAULT_NAME, error,
          n < 0    ? "the certificate's alternative names cannot be read"
          : n == 0 ? "the certificate has no URI name (a spiffe:// id is needed)"
          : n == 1 ? "the certificate's name holds a NUL byte"
                   : "the certificate has more than one URI name");
  return NULL;
}

char *
commy_pki_crt_dup_domain (gnutls_x509_crt_t crt, GError **error)
{
  g_autofree char *uri = commy_pki_crt_dup_uri (crt, error);
  g_autofree char *domain = NULL;
  const char *path = NULL;

  if (uri != NULL)
    domain = commy_pki_parse_id (uri, strlen (uri), &path, error);
  if (domain == NULL)
    {
      g_prefix_error (error, "the authority names no trust domain: ");
      return NULL;
    }
  if (*path == '\0')
    return g_steal_pointer (&domain);
  refuse (NULL, COMMY_PKI_FAULT_NAME, error,
          "the authority's name has a path: it must be a domain");
  return NULL;
}

static char *
dup_given_domain (const char *domain, GError **error)
{
  g_autofree char *id = g_strconcat ("spiffe://", domain, NULL);
  g_autofree char *read = commy_pki_parse_id (id, strlen (id), NULL, error);

  if (read != NULL && strcmp (read, domain) == 0)
    return g_steal_pointer (&read);
  g_clear_error (error);
  refuse (NULL, COMMY_PKI_FAULT_NAME, error, "trust-domain is no trust domain");
  return NULL;
}

static gboolean
add_authority (CommyPkiTrust *self, gnutls_x509_crt_t crt, const char *domain, GError **error)
{
  CommyPkiAnchor *authority = &self->anchors[self->n_anchors];

  if (gnutls_x509_crt_get_ca_status (crt, NULL) <= 0)
    return refuse (NULL, COMMY_PKI_FAULT_MALFORMED, error,
                   "ca.pem holds a certificate of no authority");
  authority->domain = commy_pki_crt_dup_domain (crt, domain == NULL ? error : NULL);
  if (authority->domain == NULL && domain != NULL)
    authority->domain = dup_given_domain (domain, error);
  if (authority->domain == NULL)
    return FALSE;
  self->n_anchors++;
  return commy_pki_check (gnutls_x509_trust_list_init (&authority->trust, 1), "cannot keep trust",
                          error)
         && commy_pki_check (gnutls_x509_trust_list_add_cas (authority->trust, &crt, 1, 0),
                             "cannot keep trust", error);
}

CommyPkiTrust *
commy_pki_trust_new (const char *pem, GError **error)
{
  return commy_pki_trust_new_for (pem, NULL, error);
}

CommyPkiTrust *
commy_pki_trust_new_for (const char *pem, const char *domain, GError **error)
{
  g_autoptr (CommyPkiTrust) self = g_new0 (CommyPkiTrust, 1);
  gnutls_datum_t text = { (guint8 *) pem, (unsigned) strlen (pem) };
  gnutls_x509_crt_t crts[COMMY_PKI_AUTHORITIES_MAX] = { NULL };
  unsigned n = COMMY_PKI_AUTHORITIES_MAX;
  gboolean good = TRUE;

  if (!commy_pki_check (gnutls_x509_crt_list_import (crts, &n, &text, GNUTLS_X509_FMT_PEM,
                                                     GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED),
                        "the authority's certificate cannot be read", error))
    return NULL;
  for (unsigned i = 0; i < n; i++)
    {
      CommyPkiAnchor *authority = &self->anchors[self->n_anchors];

      if (good && add_authority (self, crts[i], domain, error))
        authority->crt = crts[i];
      else
        {
          good = FALSE;
          gnutls_x509_crt_deinit (crts[i]);
        }
    }
  return good ? g_steal_pointer (&self) : NULL;
}

void
commy_pki_trust_free (CommyPkiTrust *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_anchors; i++)
    {
      if (self->anchors[i].trust != NULL)
        gnutls_x509_trust_list_deinit (self->anchors[i].trust, 0);
      if (self->anchors[i].crt != NULL)
        gnutls_x509_crt_deinit (self->anchors[i].crt);
      g_free (self->anchors[i].domain);
    }
  g_clear_pointer (&self->revoked, g_hash_table_unref);
  g_free (self);
}

static gboolean
import_chain (Chain *chain, GBytes *const *ders, gsize n, CommyPkiFault *fault, GError **error)
{
  if (n == 0)
    return refuse (fault, COMMY_PKI_FAULT_MISSING, error, "the peer showed no certificate");
  if (n > COMMY_PKI_CHAIN_MAX)
    return refuse (fault, COMMY_PKI_FAULT_MALFORMED, error,
                   "the chain is longer than 4 certificates");
  for (gsize i = 0; i < n; i++)
    {
      gnutls_datum_t der;
      gsize size;

      der.data = (guint8 *) g_bytes_get_data (ders[i], &size);
      der.size = (unsigned) size;
      if (gnutls_x509_crt_init (&chain->crts[i]) < 0)
        return refuse (fault, COMMY_PKI_FAULT_MALFORMED, error, "out of memory");
      chain->n++;
      if (size > 64 * 1024
          || gnutls_x509_crt_import (chain->crts[i], &der, GNUTLS_X509_FMT_DER) < 0)
        return refuse (fault, COMMY_PKI_FAULT_MALFORMED, error,
                       "the certificate cannot be decoded");
    }
  return TRUE;
}

static const char *
purpose_oid (CommyPkiPurpose purpose)
{
  return purpose == COMMY_PKI_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
}

/* Stricter than GnuTLS, for which a certificate without purposes is good for everything. */
static gboolean
has_purpose (gnutls_x509_crt_t leaf, const char *wanted)
{
  for (unsigned i = 0; i < PURPOSES_MAX; i++)
    {
      char oid[128];
      gsize size = sizeof oid;

      if (gnutls_x509_crt_get_key_purpose_oid (leaf, i, oid, &size, NULL) < 0)
        return FALSE;
      if (strcmp (oid, wanted) == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
check_leaf_use (gnutls_x509_crt_t leaf, CommyPkiFault *fault, GError **error)
{
  unsigned usage = 0;

  if (gnutls_x509_crt_get_ca_status (leaf, NULL) > 0)
    return refuse (fault, COMMY_PKI_FAULT_PURPOSE, error, "the certificate is an authority's own");
  if (gnutls_x509_crt_get_key_usage (leaf, &usage, NULL) < 0
      || (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0
      || (usage & (GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN)) != 0)
    return refuse (fault, COMMY_PKI_FAULT_PURPOSE, error,
                   "the certificate's key is not for handshakes");
  return TRUE;
}

/* The authority that signed the chain, signatures and purpose checked, time not. */
static const CommyPkiAnchor *
find_signer (CommyPkiTrust *self,
             Chain *chain,
             CommyPkiPurpose purpose,
             CommyPkiFault *fault,
             GError **error)
{
  const unsigned flags
      = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_PROFILE_TO_VFLAGS (GNUTLS_PROFILE_MEDIUM);
  unsigned seen = 0;

  for (guint i = 0; i < self->n_anchors; i++)
    {
      gnutls_typed_vdata_st data
          = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (guint8 *) purpose_oid (purpose) };
      unsigned status = 0;

      if (gnutls_x509_trust_list_verify_crt2 (self->anchors[i].trust, chain->crts, chain->n, &data,
                                              1, flags, &status, NULL)
          < 0)
        continue;
      if (status == 0)
        return &self->anchors[i];
      seen |= status;
    }
  if ((seen & GNUTLS_CERT_PURPOSE_MISMATCH) != 0)
    refuse (fault, COMMY_PKI_FAULT_PURPOSE, error,
            purpose == COMMY_PKI_SERVER ? "the certificate is not meant for servers"
                                        : "the certificate is not meant for clients");
  else
    refuse (fault, COMMY_PKI_FAULT_UNKNOWN_AUTHORITY, error,
            "the certificate is not signed by this mesh's authority");
  return NULL;
}

static char *
format_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%d %H:%M:%S UTC");
}

static gboolean
check_time (
    gnutls_x509_crt_t crt, const char *whose, gint64 now_s, CommyPkiFault *fault, GError **error)
{
  gint64 from = gnutls_x509_crt_get_activation_time (crt);
  gint64 until = gnutls_x509_crt_get_expiration_time (crt);
  g_autofree char *text = NULL;
  g_autofree char *why = NULL;

  if (now_s == COMMY_PKI_ANY_TIME)
    return TRUE;
  if (from != -1 && until != -1 && from <= now_s && now_s <= until)
    return TRUE;
  text = format_time (now_s < from ? from : until);
  why = g_strdup_printf (now_s < from ? "the %s is not valid before %s" : "the %s expired at %s",
                         whose, text);
  return refuse (fault, COMMY_PKI_FAULT_EXPIRED, error, why);
}

static gboolean
check_revoked (CommyPkiTrust *self, Chain *chain, CommyPkiFault *fault, GError **error)
{
  gint64 when_s = 0;
  g_autofree char *text = NULL;
  g_autofree char *why = NULL;

  if (!commy_pki_trust_find_revoked (self, chain->crts, chain->n, &when_s))
    return TRUE;
  text = format_time (when_s);
  why = g_strdup_printf ("the certificate was revoked at %s", text);
  return refuse (fault, COMMY_PKI_FAULT_REVOKED, error, why);
}

static char *
leaf_id (gnutls_x509_crt_t leaf, char **out_domain, CommyPkiFault *fault, GError **error)
{
  g_autofree char *id = NULL;
  const char *path = NULL;

  if (!check_leaf_use (leaf, fault, error))
    return NULL;
  if (fault != NULL)
    *fault = COMMY_PKI_FAULT_NAME;
  id = commy_pki_crt_dup_uri (leaf, error);
  if (id == NULL)
    return NULL;
  *out_domain = commy_pki_parse_id (id, strlen (id), &path, error);
  if (*out_domain == NULL)
    return NULL;
  if (*path == '\0')
    return refuse (fault, COMMY_PKI_FAULT_NAME, error, "the certificate names a domain, no node"),
           NULL;
  return g_steal_pointer (&id);
}

char *
commy_pki_trust_verify (CommyPkiTrust *self,
                        GBytes *const *ders,
                        gsize n_ders,
                        CommyPkiPurpose purpose,
                        gint64 now_s,
                        CommyPkiFault *out_fault,
                        GError **error)
{
  g_auto (Chain) chain = { { NULL }, 0 };
  g_autofree char *domain = NULL;
  g_autofree char *id = NULL;
  const CommyPkiAnchor *signer;

  if (!import_chain (&chain, ders, n_ders, out_fault, error))
    return NULL;
  signer = find_signer (self, &chain, purpose, out_fault, error);
  if (signer == NULL)
    return NULL;
  for (guint i = 0; i < chain.n; i++)
    if (!check_time (chain.crts[i], "certificate", now_s, out_fault, error))
      return NULL;
  if (!check_time (signer->crt, "authority", now_s, out_fault, error)
      || (now_s != COMMY_PKI_ANY_TIME && !check_revoked (self, &chain, out_fault, error)))
    return NULL;
  if (!has_purpose (chain.crts[0], purpose_oid (purpose)))
    return refuse (out_fault, COMMY_PKI_FAULT_PURPOSE, error,
                   "the certificate does not say that it is for this side of a connection"),
           NULL;
  id = leaf_id (chain.crts[0], &domain, out_fault, error);
  if (id == NULL)
    return NULL;
  if (strcmp (domain, signer->domain) != 0)
    return refuse (out_fault, COMMY_PKI_FAULT_NAME, error,
                   "the certificate names another trust domain than its authority's"),
           NULL;
  if (out_fault != NULL)
    *out_fault = COMMY_PKI_FAULT_NONE;
  return g_steal_pointer (&id);
}

char *
commy_pki_leaf_id (GBytes *der, GError **error)
{
  g_auto (Chain) chain = { { NULL }, 0 };
  g_autofree char *domain = NULL;

  if (!import_chain (&chain, &der, 1, NULL, error))
    return NULL;
  return leaf_id (chain.crts[0], &domain, NULL, error);
}

/* --- of one that was refused --- */

/* Whoever shows a certificate wrote it, perhaps himself. */
static void
append_harmless (GString *text, const char *what, const char *words, gsize size)
{
  g_string_append (text, what);
  for (gsize i = 0; i < MIN (size, SHOWN_MAX); i++)
    g_string_append_c (text, g_ascii_isgraph (words[i]) || words[i] == ' ' ? words[i] : '?');
  if (size > SHOWN_MAX)
    g_string_append (text, "...");
}

char *
commy_pki_describe_shown (GBytes *const *ders, gsize n)
{
  g_auto (Chain) chain = { { NULL }, 0 };
  g_autoptr (GString) text = g_string_new ("it shows ");
  g_autofree char *name = NULL;
  g_autofree char *uri = NULL;
  gnutls_datum_t issuer = { NULL, 0 };
  gsize size = 0;

  if (n == 0 || !import_chain (&chain, ders, 1, NULL, NULL))
    return NULL;
  name = commy_pki_crt_dup_name (chain.crts[0]);
  append_harmless (text, "", name != NULL ? name : "no serial number",
                   strlen (name != NULL ? name : "no serial number"));
  if (find_uris (chain.crts[0], &uri, &size) != 0 && uri != NULL)
    append_harmless (text, " of ", uri, size);
  if (gnutls_x509_crt_get_issuer_dn3 (chain.crts[0], &issuer, 0) >= 0)
    append_harmless (text, ", issuer ", (const char *) issuer.data, issuer.size);
  gnutls_free (issuer.data);
  return g_string_free (g_steal_pointer (&text), FALSE);
}
