/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The node's own certificate and the authorities it trusts, read from files that may be
 * replaced at any moment. What was loaded once stays good for the sessions that use it.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include "auth/common/commy-pki-wire.h"

#define NO_CERTIFICATE "no certificate; run commy pki init or commy join"

static void
credentials_clear (gpointer data)
{
  TlsCredentials *self = data;

  if (self->gnutls != NULL)
    gnutls_certificate_free_credentials (self->gnutls);
  commy_pki_trust_free (self->trust);
}

void
tls_credentials_unref (TlsCredentials *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, credentials_clear);
}

void
tls_credential_cache_clear (TlsCredentialCache *cache)
{
  g_clear_pointer (&cache->current, tls_credentials_unref);
  commy_pki_reload_clear (&cache->reload);
}

static void
take_stamps (const char *dir, CommyPkiStamps *out)
{
  g_auto (CommyPkiPlaces) places = { NULL };

  /* A file that says where they are and cannot be read is found out when they are. */
  (void) commy_pki_places_find (dir, &places, NULL);
  const char *const files[]
      = { places.authority, places.certificate, places.key, places.crl, places.pin };
  commy_pki_stamps_take (files, G_N_ELEMENTS (files), out);
}

static TlsCredentials *
load (const char *dir, GError **error)
{
  g_autoptr (CommyPkiCredentials) files_read = commy_pki_credentials_load (dir, error);
  TlsCredentials *self;
  int code;

  if (files_read == NULL)
    return NULL;
  self = g_atomic_rc_box_new0 (TlsCredentials);
  code = commy_pki_tls_credentials (&self->gnutls, files_read->cert_pem, files_read->key_pem);
  if (code < 0)
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_CERTIFICATE,
                   "GnuTLS does not take the credentials in %s: %s", dir, gnutls_strerror (code));
      tls_credentials_unref (self);
      return NULL;
    }
  self->trust = g_steal_pointer (&files_read->trust);
  self->not_before_s = files_read->not_before_s;
  self->not_after_s = files_read->not_after_s;
  return self;
}

static gboolean
is_expired (const TlsCredentials *self)
{
  return self->not_after_s < g_get_real_time () / G_USEC_PER_SEC;
}

/* A new certificate that is out of date does not replace one that is not. */
static gboolean
is_worse (TlsInstance *instance, const TlsCredentials *fresh, GError **error)
{
  const TlsCredentials *current = instance->credentials.current;

  if (!is_expired (fresh))
    return FALSE;
  if (current == NULL || is_expired (current))
    {
      instance->host->log (instance->host, G_LOG_LEVEL_WARNING,
                           "this node's certificate has expired, others will refuse it: `commy pki "
                           "renew` tells why it was not renewed");
      return FALSE;
    }
  g_set_error_literal (error, TLS_ERROR, COMMY_ERROR_CERTIFICATE,
                       "the new certificate has expired already");
  return TRUE;
}

static gboolean
is_external (TlsInstance *instance)
{
  const char *dir = instance->host->info (instance->host, COMMY_HOST_CREDENTIALS_DIR);
  g_auto (CommyPkiPlaces) places = { NULL };

  return !commy_pki_places_find (dir, &places, NULL) || places.is_external;
}

/* The first time there must be something; later there is always the old. */
static TlsCredentials *
keep_old (TlsInstance *instance, const CommyPkiStamps *stamps, const GError *why, GError **error)
{
  TlsCredentialCache *cache = &instance->credentials;
  g_autofree char *line = NULL;

  if (cache->current == NULL)
    {
      if (stamps->files[0].inode == 0 && stamps->files[1].inode == 0 && !is_external (instance))
        g_set_error_literal (error, TLS_ERROR, COMMY_ERROR_CERTIFICATE, NO_CERTIFICATE);
      else
        g_set_error (error, TLS_ERROR, COMMY_ERROR_CERTIFICATE, "no usable certificate: %s",
                     why->message);
      return NULL;
    }
  if (commy_pki_reload_failed (&cache->reload, stamps, why,
                               instance->host->now_ns (instance->host)))
    {
      line = g_strdup_printf ("the changed credentials are not taken, the old ones stay: %s",
                              why->message);
      instance->host->log (instance->host, G_LOG_LEVEL_WARNING, line);
    }
  return g_atomic_rc_box_acquire (cache->current);
}

TlsCredentials *
tls_credentials_get (TlsInstance *instance, GError **error)
{
  TlsCredentialCache *cache = &instance->credentials;
  const char *dir = instance->host->info (instance->host, COMMY_HOST_CREDENTIALS_DIR);
  CommyPkiStamps stamps;
  g_autoptr (GError) why = NULL;
  TlsCredentials *fresh;

  if (dir == NULL || *dir == '\0')
    {
      g_set_error_literal (error, TLS_ERROR, COMMY_ERROR_CERTIFICATE, NO_CERTIFICATE);
      return NULL;
    }
  take_stamps (dir, &stamps);
  if (cache->current != NULL
      && !commy_pki_reload_is_due (&cache->reload, &stamps,
                                   instance->host->now_ns (instance->host)))
    return g_atomic_rc_box_acquire (cache->current);
  fresh = load (dir, &why);
  if (fresh == NULL)
    return keep_old (instance, &stamps, why, error);
  if (is_worse (instance, fresh, &why))
    {
      tls_credentials_unref (fresh);
      return keep_old (instance, &stamps, why, error);
    }
  tls_credentials_unref (cache->current);
  cache->current = fresh;
  commy_pki_reload_done (&cache->reload, &stamps);
  return g_atomic_rc_box_acquire (fresh);
}
