/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An authority in its directory: loading it, saving it once, and what there is to know of it.
 */
#include "config.h"

#include "auth/common/commy-pki-admission.h"
#include "auth/common/commy-pki-private.h"

#include <string.h>

/* The certificate in ca.pem, where there may be two while the authority changes, that fits the key.
 */
static gboolean
find_own (CommyPkiAuthority *self, const char *key_file, GError **error)
{
  gnutls_datum_t text = { (guint8 *) self->pem, (unsigned) strlen (self->pem) };
  gnutls_x509_crt_t crts[COMMY_PKI_AUTHORITIES_MAX] = { NULL };
  unsigned n = COMMY_PKI_AUTHORITIES_MAX;
  guint8 ids[2][32];
  gsize size = sizeof ids[0];

  if (!commy_pki_check (gnutls_x509_crt_list_import (crts, &n, &text, GNUTLS_X509_FMT_PEM,
                                                     GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED),
                        "the authority's certificate cannot be read", error))
    return FALSE;
  if (gnutls_x509_privkey_get_key_id (self->key, GNUTLS_KEYID_USE_SHA256, ids[0], &size) < 0)
    memset (ids[0], 0, sizeof ids[0]);
  for (unsigned i = 0; i < n; i++)
    {
      size = sizeof ids[1];
      if (self->crt == NULL
          && gnutls_x509_crt_get_key_id (crts[i], GNUTLS_KEYID_USE_SHA256, ids[1], &size) >= 0
          && memcmp (ids[0], ids[1], sizeof ids[0]) == 0)
        self->crt = crts[i];
      else
        gnutls_x509_crt_deinit (crts[i]);
    }
  if (self->crt != NULL)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
               "%s is not the key of the authority in %s", key_file, COMMY_PKI_CA_FILE);
  return FALSE;
}

static gboolean
import_authority (CommyPkiAuthority *self,
                  const char *key_pem,
                  const char *key_file,
                  GError **error)
{
  gnutls_datum_t key = { (guint8 *) key_pem, (unsigned) strlen (key_pem) };

  if (!commy_pki_check (gnutls_x509_privkey_init (&self->key), "authority's key", error)
      || !commy_pki_check (gnutls_x509_privkey_import (self->key, &key, GNUTLS_X509_FMT_PEM),
                           "the authority's key cannot be read", error)
      || !find_own (self, key_file, error))
    return FALSE;
  self->own_pem = commy_pki_export_crt (self->crt, error);
  return self->own_pem != NULL;
}

CommyPkiAuthority *
commy_pki_authority_load (const char *dir, GError **error)
{
  return commy_pki_authority_load_key (dir, COMMY_PKI_AUTHORITY_KEY_FILE, error);
}

CommyPkiAuthority *
commy_pki_authority_load_key (const char *dir, const char *key_file, GError **error)
{
  g_autoptr (CommyPkiAuthority) self = g_new0 (CommyPkiAuthority, 1);
  char *key_pem = commy_pki_read_file (dir, key_file, TRUE, error);
  gboolean imported = FALSE;

  if (key_pem == NULL)
    {
      g_prefix_error (error, "no authority here (commy pki init makes one): ");
      return NULL;
    }
  self->pem = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, error);
  if (self->pem != NULL)
    imported = import_authority (self, key_pem, key_file, error);
  commy_pki_free_secret (key_pem);
  if (!imported)
    return NULL;
  self->domain = commy_pki_crt_dup_domain (self->crt, error);
  return self->domain == NULL ? NULL : g_steal_pointer (&self);
}

void
commy_pki_authority_free (CommyPkiAuthority *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->key, gnutls_x509_privkey_deinit);
  g_clear_pointer (&self->crt, gnutls_x509_crt_deinit);
  g_free (self->domain);
  g_free (self->pem);
  g_free (self->own_pem);
  g_free (self);
}

const char *
commy_pki_authority_get_domain (CommyPkiAuthority *self)
{
  return self->domain;
}

gboolean
commy_pki_authority_save (CommyPkiAuthority *self, const char *dir, GError **error)
{
  g_autofree char *key_path = g_build_filename (dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  g_autofree char *ca_path = g_build_filename (dir, COMMY_PKI_CA_FILE, NULL);
  char *key_pem;
  gboolean saved;

  if (g_file_test (key_path, G_FILE_TEST_EXISTS) || g_file_test (ca_path, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                   "%s holds an authority already, which is never overwritten: choose another "
                   "directory, or move its files away if no host uses it",
                   dir);
      return FALSE;
    }
  if (!commy_pki_make_dir (dir, error))
    return FALSE;
  key_pem = commy_pki_export_key (self->key, error);
  if (key_pem == NULL)
    return FALSE;
  /* The key goes first and excludes a second `init` that runs at the same time. */
  saved = commy_pki_write_file (dir, COMMY_PKI_AUTHORITY_KEY_FILE, key_pem, 0600, TRUE, error)
          && commy_pki_write_file (dir, COMMY_PKI_CA_FILE, self->pem, 0644, TRUE, error);
  commy_pki_free_secret (key_pem);
  return saved;
}

gboolean
commy_pki_authority_get_fingerprint (CommyPkiAuthority *self,
                                     guint8 out_fingerprint[32],
                                     GError **error)
{
  gsize size = 32;

  return commy_pki_check (
      gnutls_x509_crt_get_key_id (self->crt, GNUTLS_KEYID_USE_SHA256, out_fingerprint, &size),
      "the authority's key has no fingerprint", error);
}
