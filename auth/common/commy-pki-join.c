/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining: from a token to a directory of credentials, or to an error that says what to do. What
 * the authority answers is checked as if it came from a stranger.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <glib/gstdio.h>
#include <string.h>

#define ISSUER_GROUP "issuer"

void
commy_pki_membership_free (CommyPkiMembership *self)
{
  if (self == NULL)
    return;
  g_free (self->id);
  g_free (self->address);
  g_free (self);
}

char *
commy_pki_format_span (gint64 seconds)
{
  gint64 s = ABS (seconds);

  if (s < 120)
    return g_strdup_printf ("%" G_GINT64_FORMAT " s", s);
  if (s < 2 * 3600)
    return g_strdup_printf ("%" G_GINT64_FORMAT " min", s / 60);
  if (s < 2 * COMMY_PKI_SECONDS_PER_DAY)
    return g_strdup_printf ("%" G_GINT64_FORMAT " h %" G_GINT64_FORMAT " min", s / 3600,
                            s / 60 % 60);
  return g_strdup_printf ("%" G_GINT64_FORMAT " days", s / COMMY_PKI_SECONDS_PER_DAY);
}

/* --- the issuer --- */

char **
commy_pki_dup_issuer (const char *dir)
{
  g_autofree char *text = commy_pki_read_file (dir, COMMY_PKI_ISSUER_FILE, FALSE, NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (GStrv) addresses = NULL;
  gsize n = 0;

  if (text == NULL || !g_key_file_load_from_data (file, text, (gsize) -1, G_KEY_FILE_NONE, NULL))
    return NULL;
  addresses = g_key_file_get_string_list (file, ISSUER_GROUP, "addresses", &n, NULL);
  if (n == 0 || n > COMMY_PKI_ADDRESSES_MAX)
    return NULL;
  for (gsize i = 0; i < n; i++)
    if (!commy_pki_check_address (addresses[i], NULL))
      return NULL;
  return g_steal_pointer (&addresses);
}

static gboolean
save_issuer (const CommyPkiJoin *join, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  char **addresses = join->token->addresses;

  g_key_file_set_string_list (file, ISSUER_GROUP, "addresses", (const char *const *) addresses,
                              g_strv_length (addresses));
  text = g_key_file_to_data (file, NULL, NULL);
  return commy_pki_write_file (join->dir, COMMY_PKI_ISSUER_FILE, text, 0644, FALSE, error);
}

/* --- what is there already --- */

static gboolean
is_same_authority (const char *ca_pem, const guint8 *fingerprint)
{
  gnutls_x509_crt_t crts[COMMY_PKI_AUTHORITIES_MAX] = { NULL };
  gnutls_datum_t text = { (guint8 *) ca_pem, (unsigned) strlen (ca_pem) };
  unsigned n = COMMY_PKI_AUTHORITIES_MAX;
  gboolean same = FALSE;

  if (gnutls_x509_crt_list_import (crts, &n, &text, GNUTLS_X509_FMT_PEM,
                                   GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED)
      < 0)
    return FALSE;
  for (unsigned i = 0; i < n; i++)
    {
      guint8 id[32];
      gsize size = sizeof id;

      if (gnutls_x509_crt_get_key_id (crts[i], GNUTLS_KEYID_USE_SHA256, id, &size) >= 0
          && memcmp (id, fingerprint, sizeof id) == 0)
        same = TRUE;
      gnutls_x509_crt_deinit (crts[i]);
    }
  return same;
}

static gboolean
check_dir (const CommyPkiJoin *join, GError **error)
{
  g_autofree char *key = g_build_filename (join->dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  g_autofree char *ca = g_build_filename (join->dir, COMMY_PKI_CA_FILE, NULL);
  g_autofree char *pem = NULL;

  if (g_file_test (key, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
                   "%s holds the key of an authority, which would be lost: join from another "
                   "directory (--dir) or under another mesh (--mesh)",
                   join->dir);
      return FALSE;
    }
  if (join->replace || !g_file_test (ca, G_FILE_TEST_EXISTS))
    return TRUE;
  pem = commy_pki_read_file (join->dir, COMMY_PKI_CA_FILE, FALSE, error);
  if (pem == NULL)
    return FALSE;
  if (is_same_authority (pem, join->token->fingerprint))
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "this host belongs to another authority already (%s): leave that for the new one "
               "with --replace, or join under another mesh (--mesh)",
               join->dir);
  return FALSE;
}

/* --- time --- */

static gboolean
check_expiry (const CommyPkiJoin *join, GError **error)
{
  gint64 over = join->now_s - join->token->expires_s;
  g_autofree char *span = commy_pki_format_span (over);

  if (over < 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "the token expired %s ago by this host's clock: make a new one where the authority "
               "is (commy pki token create)",
               span);
  return FALSE;
}

static gboolean
check_clock (gint64 now_s, gint64 authority_s, GError **error)
{
  gint64 ahead = now_s - authority_s;
  g_autofree char *span = commy_pki_format_span (ahead);

  if (ABS (ahead) <= COMMY_PKI_BACKDATE_S)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "this host's clock is %s %s the authority's, certificates would %s: set one of them "
               "right and try again (the token is not used up)",
               span, ahead > 0 ? "ahead of" : "behind",
               ahead > 0 ? "be expired too soon" : "not be valid yet");
  return FALSE;
}

/* --- the answer --- */

/* The certificate must be good here and now, of this authority, and for our key. */
static CommyPkiCredentials *
check_answer (const CommyPkiMessage *answer,
              const char *key_pem,
              const guint8 *fingerprint,
              gint64 now_s,
              char **out_ca,
              GError **error)
{
  g_autofree char *cert = commy_pki_message_dup_text (answer, "certificate", 8 * 1024);
  g_autofree char *ca = commy_pki_message_dup_text (answer, "authority", 8 * 1024);
  g_autoptr (CommyPkiCredentials) good = NULL;
  gint64 authority_s = commy_pki_message_get_time (answer);

  if (cert == NULL || ca == NULL || (fingerprint != NULL && !is_same_authority (ca, fingerprint)))
    {
      g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_PROTOCOL,
                           "the authority's answer lacks something, or is of another authority");
      return NULL;
    }
  good = commy_pki_credentials_new (ca, cert, key_pem, error);
  if (good == NULL)
    return NULL;
  if (now_s < good->not_before_s || now_s >= good->not_after_s)
    {
      g_autofree char *span = commy_pki_format_span (now_s - authority_s);

      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                   "the new certificate is %s by this host's clock, which is %s %s the "
                   "authority's: set the clock",
                   now_s < good->not_before_s ? "not valid yet" : "expired already", span,
                   now_s < authority_s ? "behind" : "ahead of");
      return NULL;
    }
  *out_ca = g_steal_pointer (&ca);
  return g_steal_pointer (&good);
}

/* A list that is older than the one that is here does not replace it: only who could take back what
 * was revoked would send such a one. */
static gboolean
is_outdated (const char *dir, const char *crl, CommyPkiTrust *trust)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CRL_FILE, NULL);
  g_autofree char *present = NULL;

  (void) commy_pki_read_crl (path, &present, NULL); /* what cannot be read is replaced */
  return present != NULL && commy_pki_trust_add_crls (trust, present, NULL)
         && (crl == NULL || commy_pki_crl_get_number (crl) < commy_pki_crl_get_number (present));
}

/* Whether those that are trusted here now can judge the list, too: then it goes first. */
static gboolean
fits_present (const char *dir, const char *crl)
{
  g_autofree char *ca = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);
  g_autoptr (CommyPkiTrust) trust = ca != NULL ? commy_pki_trust_new (ca, NULL) : NULL;

  return trust != NULL && commy_pki_trust_add_crls (trust, crl, NULL);
}

static gboolean
remove_crl (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_CRL_FILE, NULL);

  (void) g_unlink (path); /* it may not be there */
  return TRUE;
}

/* Everything of the answer. What is read in between is what was there before or is refused whole,
 * and then the old stays in force until the rest is there. */
static gboolean
save_answer (const char *dir,
             const char *ca,
             CommyPkiCredentials *good,
             const char *key_pem,
             const char *crl,
             GError **error)
{
  gboolean keep = is_outdated (dir, crl, good->trust);
  gboolean first = crl != NULL && !keep && fits_present (dir, crl);

  if (first && !commy_pki_write_file (dir, COMMY_PKI_CRL_FILE, crl, 0644, FALSE, error))
    return FALSE;
  if (!commy_pki_credentials_save (dir, ca, good->cert_pem, key_pem, error))
    return FALSE;
  if (first || keep)
    return TRUE;
  return crl == NULL ? remove_crl (dir)
                     : commy_pki_write_file (dir, COMMY_PKI_CRL_FILE, crl, 0644, FALSE, error);
}

CommyPkiMembership *
commy_pki_take_answer (const char *dir,
                       const CommyPkiMessage *answer,
                       const char *key_pem,
                       const guint8 *fingerprint,
                       gint64 now_s,
                       GError **error)
{
  g_autofree char *ca = NULL;
  g_autofree char *crl = commy_pki_message_dup_text (answer, "revoked", COMMY_PKI_CRL_TEXT_MAX);
  g_autoptr (CommyPkiCredentials) good
      = check_answer (answer, key_pem, fingerprint, now_s, &ca, error);
  CommyPkiMembership *membership;

  if (good == NULL || (crl != NULL && !commy_pki_trust_add_crls (good->trust, crl, error))
      || !save_answer (dir, ca, good, key_pem, crl, error))
    return NULL;
  membership = g_new0 (CommyPkiMembership, 1);
  membership->id = g_strdup (good->id);
  membership->not_before_s = good->not_before_s;
  membership->not_after_s = good->not_after_s;
  return membership;
}

/* --- joining --- */

static GBytes *
make_request (const CommyPkiJoin *join, GBytes *csr)
{
  GVariantDict fields;

  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "token", "s", join->token->id);
  g_variant_dict_insert_value (&fields, "secret",
                               g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, join->token->secret,
                                                          COMMY_PKI_SECRET_SIZE, 1));
  g_variant_dict_insert (&fields, "host", "s", join->host);
  g_variant_dict_insert (&fields, "user", "s", join->user);
  g_variant_dict_insert_value (&fields, "request",
                               g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, csr, TRUE));
  return commy_pki_message_write (COMMY_PKI_MESSAGE_JOIN, g_variant_dict_end (&fields));
}

static CommyPkiMembership *
ask (const CommyPkiJoin *join, CommyPkiClient *client, GError **error)
{
  g_auto (CommyPkiMessage) answer = { 0 };
  g_autoptr (GBytes) csr = NULL;
  CommyPkiMembership *membership = NULL;
  char *key_pem = NULL;

  if (!commy_pki_request_new (&key_pem, &csr, error))
    return NULL;
  if (commy_pki_client_exchange (client, make_request (join, csr), &answer, error))
    membership = commy_pki_take_answer (join->dir, &answer, key_pem, join->token->fingerprint,
                                        join->now_s, error);
  commy_pki_free_secret (key_pem);
  return membership;
}

CommyPkiMembership *
commy_pki_join (const CommyPkiJoin *join, GCancellable *cancellable, GError **error)
{
  const CommyPkiPeer peer = {
    .addresses = (const char *const *) join->token->addresses,
    .fingerprint = join->token->fingerprint,
    .timeout_us = join->timeout_us > 0 ? join->timeout_us : COMMY_PKI_TIMEOUT_US,
  };
  g_autoptr (CommyPkiClient) client = NULL;
  g_autoptr (CommyPkiMembership) membership = NULL;

  /* All that can be wrong on this side is found before the token is used up. */
  if (!commy_pki_check_segment (join->host, "host", error)
      || !commy_pki_check_segment (join->user, "user", error) || !check_expiry (join, error)
      || !commy_pki_make_dir (join->dir, error) || !check_dir (join, error))
    return NULL;
  client = commy_pki_client_open (&peer, cancellable, error);
  if (client == NULL || !check_clock (join->now_s, commy_pki_client_get_time (client), error))
    return NULL;
  membership = ask (join, client, error);
  if (membership == NULL || !save_issuer (join, error))
    return NULL;
  membership->address = g_strdup (commy_pki_client_get_address (client));
  return g_steal_pointer (&membership);
}
