/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of revoked certificates (RFC 5280, section 5): read, found to be signed by an authority
 * that is trusted, and asked by the names of certificates. What a list names is refused for good:
 * its own age counts for nothing there.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

#define ANY_TIME_FLAGS                                                           \
  (GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS \
   | GNUTLS_PROFILE_TO_VFLAGS (GNUTLS_PROFILE_MEDIUM))

/* --- names --- */

static char *
hash_name (const gnutls_datum_t *dn)
{
  g_autofree char *hash = g_compute_checksum_for_data (G_CHECKSUM_SHA256, dn->data, dn->size);

  return g_strdup_printf ("dn-%.40s", hash);
}

static char *
make_name (const char *authority, const guint8 *serial, gsize size)
{
  g_autofree char *number = commy_pki_hex (serial, size);

  return g_strconcat (COMMY_PKI_NAME_SCHEME, authority, ":", number, NULL);
}

char *
commy_pki_crt_dup_name (gnutls_x509_crt_t crt)
{
  guint8 serial[64], key[64];
  gsize serial_size = sizeof serial, key_size = sizeof key;
  gnutls_datum_t dn = { NULL, 0 };
  g_autofree char *authority = NULL;

  if (gnutls_x509_crt_get_serial (crt, serial, &serial_size) < 0)
    return NULL;
  if (gnutls_x509_crt_get_authority_key_id (crt, key, &key_size, NULL) >= 0 && key_size > 0)
    authority = commy_pki_hex (key, key_size);
  else if (gnutls_x509_crt_get_raw_issuer_dn (crt, &dn) >= 0)
    {
      authority = hash_name (&dn);
      gnutls_free (dn.data);
    }
  return authority != NULL ? make_name (authority, serial, serial_size) : NULL;
}

void
commy_pki_crt_issuer_names (gnutls_x509_crt_t crt, char **out_by_key, char **out_by_name)
{
  guint8 key[64];
  gsize size = sizeof key;
  gnutls_datum_t dn = { NULL, 0 };

  *out_by_key = *out_by_name = NULL;
  if (gnutls_x509_crt_get_subject_key_id (crt, key, &size, NULL) >= 0 && size > 0)
    *out_by_key = commy_pki_hex (key, size);
  if (gnutls_x509_crt_get_raw_dn (crt, &dn) < 0)
    return;
  *out_by_name = hash_name (&dn);
  gnutls_free (dn.data);
}

/* --- chains --- */

static gboolean
is_signed_by (gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
  unsigned status = 0;

  /* Names first: they cost nothing. */
  return gnutls_x509_crt_check_issuer (crt, issuer) != 0
         && gnutls_x509_crt_verify (crt, &issuer, 1, ANY_TIME_FLAGS, &status) >= 0 && status == 0;
}

static gboolean
is_of_anchor (CommyPkiTrust *self, gnutls_x509_crt_t crt)
{
  for (guint i = 0; self != NULL && i < self->n_anchors; i++)
    if (is_signed_by (crt, self->anchors[i].crt))
      return TRUE;
  return FALSE;
}

static gnutls_x509_crt_t
import_der (GBytes *bytes)
{
  gnutls_datum_t der;
  gnutls_x509_crt_t crt = NULL;
  gsize size;

  der.data = (guint8 *) g_bytes_get_data (bytes, &size);
  der.size = (unsigned) size;
  if (gnutls_x509_crt_init (&crt) < 0)
    return NULL;
  if (gnutls_x509_crt_import (crt, &der, GNUTLS_X509_FMT_DER) >= 0)
    return crt;
  gnutls_x509_crt_deinit (crt);
  return NULL;
}

/* How many of a chain count: up to the one that an anchor signed, or as far as each signed the one
 * before. What is shown behind that is only shown: whoever connects can put there what he likes.
 * Where no anchor signed any of them it is the peer's own alone. */
static guint
count_links (CommyPkiTrust *trust, gnutls_x509_crt_t *crts, guint n)
{
  guint links = MIN (n, 1);

  while (links > 0 && links < n && !is_of_anchor (trust, crts[links - 1])
         && is_signed_by (crts[links - 1], crts[links])
         && gnutls_x509_crt_check_issuer (crts[links], crts[links]) == 0)
    links++;
  return trust == NULL || (links > 0 && is_of_anchor (trust, crts[links - 1])) ? links : MIN (n, 1);
}

char *
commy_pki_chain_dup_names (
    CommyPkiTrust *trust, GBytes *const *chain, gsize n, gint64 *out_from_s, gint64 *out_until_s)
{
  g_autoptr (GString) names = g_string_new (NULL);
  gnutls_x509_crt_t crts[COMMY_PKI_CHAIN_MAX] = { NULL };
  guint n_crts = 0, n_links;

  *out_from_s = 0;
  *out_until_s = G_MAXINT64;
  while (n_crts < MIN (n, COMMY_PKI_CHAIN_MAX)
         && (crts[n_crts] = import_der (chain[n_crts])) != NULL)
    n_crts++;
  n_links = count_links (trust, crts, n_crts);
  for (guint i = 0; i < n_crts; i++)
    {
      g_autofree char *name = i < n_links ? commy_pki_crt_dup_name (crts[i]) : NULL;

      if (name != NULL)
        {
          gint64 from_s = gnutls_x509_crt_get_activation_time (crts[i]);
          gint64 until_s = gnutls_x509_crt_get_expiration_time (crts[i]);

          *out_from_s = MAX (*out_from_s, from_s);
          *out_until_s = MIN (*out_until_s, until_s);
          g_string_append_printf (names, "%s%s", names->len > 0 ? " " : "", name);
        }
      gnutls_x509_crt_deinit (crts[i]);
    }
  return g_string_free (g_steal_pointer (&names), FALSE);
}

/* --- reading lists --- */

static void
free_crls (gnutls_x509_crl_t *crls, unsigned n)
{
  for (unsigned i = 0; i < n; i++)
    gnutls_x509_crl_deinit (crls[i]);
  gnutls_free (crls);
}

static gboolean
import_crls (const char *pem, gnutls_x509_crl_t **out_crls, unsigned *out_n, GError **error)
{
  gnutls_datum_t text = { (guint8 *) pem, (unsigned) strlen (pem) };

  *out_crls = NULL;
  *out_n = 0;
  if (!commy_pki_check (
          gnutls_x509_crl_list_import2 (out_crls, out_n, &text, GNUTLS_X509_FMT_PEM, 0),
          "the list of revoked certificates cannot be read", error))
    return FALSE;
  if (*out_n <= COMMY_PKI_CRLS_MAX)
    return TRUE;
  free_crls (*out_crls, *out_n);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
               "there are more than %d lists of revoked certificates", COMMY_PKI_CRLS_MAX);
  return FALSE;
}

/* What a list names stays revoked however old the list is; and a clock that is behind does not make
 * it one of nobody. GnuTLS looks at its times although it is told not to. */
static gboolean
is_signature_good (unsigned status)
{
  const unsigned by_time
      = GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;

  return status == 0
         || ((status & by_time) != 0 && (status & ~(by_time | GNUTLS_CERT_INVALID)) == 0);
}

/* The authority that signed it; NULL: none that is trusted. */
static gnutls_x509_crt_t
find_signer (CommyPkiTrust *self, gnutls_x509_crl_t crl)
{
  for (guint i = 0; i < self->n_anchors; i++)
    {
      unsigned status = 0;

      if (gnutls_x509_crl_verify (crl, &self->anchors[i].crt, 1, ANY_TIME_FLAGS, &status) >= 0
          && is_signature_good (status))
        return self->anchors[i].crt;
    }
  return NULL;
}

static void
add_name (GHashTable *revoked, const char *authority, const guint8 *serial, gsize size, gint64 when)
{
  gint64 *kept = g_new (gint64, 1);

  *kept = when;
  g_hash_table_replace (revoked, make_name (authority, serial, size), kept);
}

/* Under each name that its authority may have in a certificate. */
static gboolean
add_serials (GHashTable *revoked, gnutls_x509_crl_t crl, char *const names[2], GError **error)
{
  gnutls_x509_crl_iter_t iter = NULL;
  guint8 serial[64];
  gsize size = sizeof serial;
  time_t when = 0;
  int code;

  while ((code = gnutls_x509_crl_iter_crt_serial (crl, &iter, serial, &size, &when)) >= 0
         && g_hash_table_size (revoked) < COMMY_PKI_REVOKED_MAX)
    {
      for (guint i = 0; i < 2; i++)
        if (names[i] != NULL)
          add_name (revoked, names[i], serial, size, when);
      size = sizeof serial;
    }
  gnutls_x509_crl_iter_deinit (iter);
  if (code == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
    return TRUE;
  if (code >= 0)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_TOO_BIG,
                 "the lists name more than %d revoked certificates", COMMY_PKI_REVOKED_MAX / 2);
  else
    commy_pki_check (code, "a list of revoked certificates cannot be read", error);
  return FALSE;
}

static gboolean
add_crl (
    CommyPkiTrust *self, GHashTable *revoked, gnutls_x509_crl_t crl, gint64 *end_s, GError **error)
{
  gnutls_x509_crt_t signer = find_signer (self, crl);
  gint64 next = gnutls_x509_crl_get_next_update (crl);
  g_autofree char *by_key = NULL;
  g_autofree char *by_name = NULL;

  if (signer == NULL)
    {
      g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                           "a list of revoked certificates is not signed by an authority of "
                           "ca.pem");
      return FALSE;
    }
  if (next > 0)
    *end_s = *end_s == 0 ? next : MIN (*end_s, next);
  commy_pki_crt_issuer_names (signer, &by_key, &by_name);
  return add_serials (revoked, crl, (char *const[2]){ by_key, by_name }, error);
}

gboolean
commy_pki_trust_add_crls (CommyPkiTrust *self, const char *pem, GError **error)
{
  g_autoptr (GHashTable) revoked = NULL;
  gnutls_x509_crl_t *crls;
  gint64 end_s = 0;
  gboolean good = TRUE;
  unsigned n;

  if (!import_crls (pem, &crls, &n, error))
    return FALSE;
  revoked = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (unsigned i = 0; good && i < n; i++)
    good = add_crl (self, revoked, crls[i], &end_s, error);
  free_crls (crls, n);
  if (!good)
    return FALSE;
  g_clear_pointer (&self->revoked, g_hash_table_unref);
  self->revoked = g_steal_pointer (&revoked);
  self->crl_end_s = end_s;
  return TRUE;
}

gint64
commy_pki_trust_get_crl_end (CommyPkiTrust *self)
{
  return self->crl_end_s;
}

static gint64
read_number (gnutls_x509_crl_t crl)
{
  guint8 bytes[32];
  gsize size = sizeof bytes;
  guint64 number = 0;

  if (gnutls_x509_crl_get_number (crl, bytes, &size, NULL) < 0)
    return -1;
  for (gsize i = 0; i < size; i++)
    number = number >> 55 != 0 ? G_MAXINT64 : number << 8 | bytes[i];
  return (gint64) MIN (number, (guint64) G_MAXINT64);
}

gint64
commy_pki_crl_get_number (const char *pem)
{
  gnutls_x509_crl_t *crls;
  gint64 number = -1;
  unsigned n;

  if (!import_crls (pem, &crls, &n, NULL))
    return -1;
  for (unsigned i = 0; i < n; i++)
    number = MAX (number, read_number (crls[i]));
  free_crls (crls, n);
  return number;
}

/* --- asking --- */

gboolean
commy_pki_trust_find_revoked (CommyPkiTrust *self,
                              gnutls_x509_crt_t *crts,
                              guint n_crts,
                              gint64 *out_when_s)
{
  for (guint i = 0; self->revoked != NULL && i < n_crts; i++)
    {
      g_autofree char *name = commy_pki_crt_dup_name (crts[i]);
      const gint64 *when = name != NULL ? g_hash_table_lookup (self->revoked, name) : NULL;

      if (when == NULL)
        continue;
      *out_when_s = *when;
      return TRUE;
    }
  return FALSE;
}

/* Whether @name is of a certificate that one of the authorities signed. */
static gboolean
is_known (CommyPkiTrust *self, const char *name)
{
  const char *authority = name + strlen (COMMY_PKI_NAME_SCHEME);
  gsize size = strcspn (authority, ":");

  for (guint i = 0; i < self->n_anchors; i++)
    {
      g_autofree char *by_key = NULL;
      g_autofree char *by_name = NULL;

      commy_pki_crt_issuer_names (self->anchors[i].crt, &by_key, &by_name);
      if ((by_key != NULL && strlen (by_key) == size && strncmp (by_key, authority, size) == 0)
          || (by_name != NULL && strlen (by_name) == size
              && strncmp (by_name, authority, size) == 0))
        return TRUE;
    }
  return FALSE;
}

CommyPkiNamesState
commy_pki_trust_judge_names (CommyPkiTrust *self, const char *names)
{
  g_auto (GStrv) words = g_strsplit (names, " ", -1);
  gboolean any = FALSE, known = FALSE;

  for (char **word = words; *word != NULL; word++)
    {
      if (!g_str_has_prefix (*word, COMMY_PKI_NAME_SCHEME))
        continue;
      if (self->revoked != NULL && g_hash_table_contains (self->revoked, *word))
        return COMMY_PKI_NAMES_REVOKED;
      any = TRUE;
      known = known || is_known (self, *word);
    }
  /* Any link: what is trusted may be an authority in the middle of a chain. */
  return !any || known ? COMMY_PKI_NAMES_GOOD : COMMY_PKI_NAMES_STRANGE;
}
