/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a node's certificate, key and authorities are: in its credentials folder under their usual
 * names, or, where somebody else's authority makes them, where `credentials.conf` of that folder
 * says; the key may then lie in a PKCS#11 token (RFC 7512).
 */
#include "config.h"

#include "auth/common/commy-pki-admission.h"
#include "auth/common/commy-pki-private.h"

#include <string.h>

#define FILE_NAME "credentials.conf"
#define GROUP "credentials"

void
commy_pki_places_clear (CommyPkiPlaces *self)
{
  g_free (self->authority);
  g_free (self->certificate);
  g_free (self->key);
  g_free (self->pin);
  g_free (self->crl);
  g_free (self->trust_domain);
  memset (self, 0, sizeof *self);
}

static gboolean
refuse (const char *dir, const char *why, GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "%s/" FILE_NAME ": %s", dir, why);
  return FALSE;
}

/* The PIN comes from a file that the URI names: there it is in no list of processes, and the file
 * can be its owner's alone. *@out_file: (transfer full) (nullable): the token has none */
static gboolean
find_pin (const char *dir, const char *uri, char **out_file, GError **error)
{
  const char *query = strchr (uri, '?');
  const char *source = query != NULL ? strstr (query, "pin-source=") : NULL;
  g_autofree char *value = NULL;
  g_autofree char *path = NULL;

  if (strstr (uri, "pin-value") != NULL)
    return refuse (dir,
                   "a PIN does not stand in a keyfile: write it into a file of mode 0600 and "
                   "say ?pin-source=FILE in key=",
                   error);
  if (source == NULL)
    return TRUE;
  source += strlen ("pin-source=");
  value = g_strndup (source, strcspn (source, "&"));
  path = g_uri_unescape_string (
      g_str_has_prefix (value, "file:") ? value + strlen ("file:") : value, NULL);
  while (path != NULL && g_str_has_prefix (path, "//"))
    memmove (path, path + 1, strlen (path));
  if (path == NULL || path[0] != '/')
    return refuse (dir, "pin-source of key= is the absolute path of a file", error);
  *out_file = g_steal_pointer (&path);
  return TRUE;
}

static gboolean
check_pin (const char *path, GError **error)
{
  char *pin = commy_pki_read_file ("/", path, TRUE, error);

  if (pin == NULL)
    return FALSE;
  commy_pki_free_secret (pin);
  return TRUE;
}

/* @name as the file says, or @usual; relative to the folder. */
static char *
find_path (GKeyFile *file, const char *dir, const char *name, const char *usual)
{
  g_autofree char *said = file != NULL ? g_key_file_get_string (file, GROUP, name, NULL) : NULL;
  const char *path = said != NULL && said[0] != '\0' ? said : usual;

  return g_path_is_absolute (path) || commy_pki_is_token_key (path)
             ? g_strdup (path)
             : g_build_filename (dir, path, NULL);
}

static gboolean
check_keys (GKeyFile *file, const char *dir, GError **error)
{
  static const char *const known[]
      = { "certificate", "key", "authority", "crl", "trust-domain", NULL };
  g_auto (GStrv) keys = g_key_file_get_keys (file, GROUP, NULL, NULL);

  if (keys == NULL)
    return refuse (dir, "it has no group [" GROUP "]", error);
  for (char **key = keys; *key != NULL; key++)
    {
      g_autofree char *why = NULL;

      if (g_strv_contains (known, *key))
        continue;
      why = g_strdup_printf ("there is no \"%.32s\" in [" GROUP "]: certificate, key, authority, "
                             "crl, trust-domain",
                             *key);
      return refuse (dir, why, error);
    }
  return TRUE;
}

static gboolean
parse_file (const char *dir, const char *text, GKeyFile **out_file, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) why = NULL;

  if (!g_key_file_load_from_data (file, text, (gsize) -1, G_KEY_FILE_NONE, &why))
    return refuse (dir, why->message, error);
  if (!check_keys (file, dir, error))
    return FALSE;
  *out_file = g_steal_pointer (&file);
  return TRUE;
}

gboolean
commy_pki_places_parse (const char *dir, const char *text, CommyPkiPlaces *out, GError **error)
{
  g_autoptr (GKeyFile) file = NULL;

  memset (out, 0, sizeof *out);
  if (text != NULL && !parse_file (dir, text, &file, error))
    return FALSE;
  out->is_external = file != NULL;
  out->authority = find_path (file, dir, "authority", COMMY_PKI_CA_FILE);
  out->certificate = find_path (file, dir, "certificate", COMMY_PKI_CERT_FILE);
  out->key = find_path (file, dir, "key", COMMY_PKI_KEY_FILE);
  out->crl = find_path (file, dir, "crl", COMMY_PKI_CRL_FILE);
  if (file != NULL)
    out->trust_domain = g_key_file_get_string (file, GROUP, "trust-domain", NULL);
  if (!commy_pki_is_token_key (out->key) || find_pin (dir, out->key, &out->pin, error))
    return TRUE;
  commy_pki_places_clear (out);
  return FALSE;
}

gboolean
commy_pki_places_find (const char *dir, CommyPkiPlaces *out, GError **error)
{
  g_autofree char *path = g_build_filename (dir, FILE_NAME, NULL);
  g_autofree char *text = NULL;

  memset (out, 0, sizeof *out);
  if (g_file_test (path, G_FILE_TEST_EXISTS)
      && (text = commy_pki_read_file (dir, FILE_NAME, FALSE, error)) == NULL)
    return FALSE;
  if (!commy_pki_places_parse (dir, text, out, error))
    return FALSE;
  if (out->pin == NULL || check_pin (out->pin, error))
    return TRUE;
  commy_pki_places_clear (out);
  return FALSE;
}

gboolean
commy_pki_is_token_key (const char *key)
{
  return g_str_has_prefix (key, "pkcs11:");
}

CommyPkiTrust *
commy_pki_places_load_trust (const CommyPkiPlaces *self, GError **error)
{
  g_autofree char *ca = commy_pki_read_file ("/", self->authority, FALSE, error);
  g_autoptr (CommyPkiTrust) trust
      = ca != NULL ? commy_pki_trust_new_for (ca, self->trust_domain, error) : NULL;
  g_autofree char *crl = NULL;

  if (trust == NULL || !commy_pki_read_crl (self->crl, &crl, error))
    return NULL;
  return crl == NULL || commy_pki_trust_add_crls (trust, crl, error) ? g_steal_pointer (&trust)
                                                                     : NULL;
}
