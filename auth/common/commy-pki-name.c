/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SPIFFE ids: which bytes are one, and what part says what. Pure text, hostile input; no
 * percent-decoding, no normalising: two ids are the same if their bytes are.
 * Source: SPIFFE-ID, section 2.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

#define SCHEME "spiffe://"
#define DOMAIN_MAX 255

static gboolean
is_domain_char (char c)
{
  return g_ascii_islower (c) || g_ascii_isdigit (c) || c == '.' || c == '-' || c == '_';
}

static gboolean
is_path_char (char c)
{
  return g_ascii_isalnum (c) || c == '.' || c == '-' || c == '_';
}

static gboolean
is_segment (const char *at, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!is_path_char (at[i]))
      return FALSE;
  return size > 0 && !(size <= 2 && memcmp (at, "..", size) == 0);
}

/* What can be shown of a name that may be anything: on one line, without orders to a terminal. */
static char *
show (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *out = g_string_new (NULL);

  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at))
    g_string_append_unichar (out,
                             g_unichar_iscntrl (g_utf8_get_char (at)) ? '?' : g_utf8_get_char (at));
  return g_string_free (out, FALSE);
}

gboolean
commy_pki_check_segment (const char *text, const char *what, GError **error)
{
  g_autofree char *shown = NULL;

  if (is_segment (text, strlen (text)) && strlen (text) <= 128)
    return TRUE;
  shown = show (text);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "the name of the %s cannot stand in a certificate: \"%s\" (allowed are 1 to 128 "
               "letters, digits, '.', '-' and '_')",
               what, shown);
  return FALSE;
}

static char *
refuse_id (GError **error, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "the certificate's name %s", why);
  return NULL;
}

char *
commy_pki_parse_id (const char *id, gsize size, const char **out_path, GError **error)
{
  const gsize scheme_size = strlen (SCHEME);
  gsize domain_size = 0;
  gsize at;

  if (size > COMMY_PKI_ID_MAX)
    return refuse_id (error, "is longer than 511 bytes");
  if (size < scheme_size || memcmp (id, SCHEME, scheme_size) != 0)
    return refuse_id (error, "does not begin with spiffe://");
  id += scheme_size;
  size -= scheme_size;
  while (domain_size < size && is_domain_char (id[domain_size]))
    domain_size++;
  if (domain_size == 0 || domain_size > DOMAIN_MAX)
    return refuse_id (error, "has no trust domain, or one that is too long");
  if (domain_size < size && id[domain_size] != '/')
    return refuse_id (error, "has a trust domain with a character that is not allowed");

  at = domain_size;
  while (at < size)
    {
      gsize next = at + 1;

      while (next < size && id[next] != '/')
        next++;
      if (!is_segment (id + at + 1, next - at - 1))
        return refuse_id (error, "has a path with an empty part or a character not allowed");
      at = next;
    }
  if (out_path != NULL)
    *out_path = id + domain_size;
  return g_strndup (id, domain_size);
}

gboolean
commy_pki_split_id (const char *id, char **out_domain, char **out_host, char **out_user)
{
  const char *path;
  g_autofree char *domain = commy_pki_parse_id (id, strlen (id), &path, NULL);
  g_auto (GStrv) parts = domain != NULL ? g_strsplit (path, "/", -1) : NULL;

  /* "/host/HOST/user/USER" begins with an empty part. */
  if (parts == NULL || g_strv_length (parts) != 5 || strcmp (parts[1], "host") != 0
      || strcmp (parts[3], "user") != 0)
    return FALSE;
  if (out_domain != NULL)
    *out_domain = g_steal_pointer (&domain);
  if (out_host != NULL)
    *out_host = g_strdup (parts[2]);
  if (out_user != NULL)
    *out_user = g_strdup (parts[4]);
  return TRUE;
}
