/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names in certificates: a certificate that is shown may have any. The first byte says what the
 * rest is: n a SPIFFE id, w names of proofs as they come back, and else a certificate (DER).
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What a principal may be: nothing in it means anything to a shell, a terminal or a path. */
static void
check_plain (const char *id)
{
  const char *domain = id + strlen ("spiffe://");
  g_auto (GStrv) parts = NULL;

  g_assert_cmpuint (strlen (id), <=, COMMY_PKI_ID_MAX);
  g_assert_true (g_str_has_prefix (id, "spiffe://"));
  for (const char *at = domain; *at != '\0'; at++)
    g_assert_true (g_ascii_isalnum (*at) || strchr (".-_/", *at) != NULL);
  parts = g_strsplit (domain, "/", -1);
  g_assert_cmpstr (parts[0], !=, "");
  for (char **part = parts + 1; *part != NULL; part++)
    {
      g_assert_cmpstr (*part, !=, "");
      g_assert_cmpstr (*part, !=, ".");
      g_assert_cmpstr (*part, !=, "..");
    }
}

static void
check_split (const char *text)
{
  g_autofree char *domain = NULL;
  g_autofree char *host = NULL;
  g_autofree char *user = NULL;
  g_autofree char *again = NULL;

  if (!commy_pki_split_id (text, &domain, &host, &user))
    return;
  again = g_strdup_printf ("spiffe://%s/host/%s/user/%s", domain, host, user);
  g_assert_cmpstr (again, ==, text);
}

static void
try_name (const char *text, gsize size)
{
  g_autoptr (GError) error = NULL;
  const char *path = NULL;
  g_autofree char *domain = commy_pki_parse_id (text, size, &path, &error);
  g_autofree char *whole = g_strndup (text, size);
  g_autofree char *again = NULL;

  check_split (whole);
  g_assert_true ((domain == NULL) == (error != NULL));
  if (domain == NULL)
    return;
  g_assert_cmpuint (strlen (whole), ==, size);
  check_plain (whole);
  again = g_strconcat ("spiffe://", domain, whole + (path - text), NULL);
  g_assert_cmpstr (again, ==, whole);
}

static void
try_names (const char *text, gsize size)
{
  static CommyPkiTrust *trust;
  g_autofree char *names = g_strndup (text, size);

  if (trust == NULL)
    {
      g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("fuzz", 1000000000, NULL);

      trust = commy_pki_trust_new (authority->pem, NULL);
    }
  g_assert_cmpint (commy_pki_trust_judge_names (trust, names), !=, COMMY_PKI_NAMES_REVOKED);
}

static void
try_certificate (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) der = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL;
  g_autofree char *id = commy_pki_leaf_id (der, &error);
  GBytes *chain[] = { der, der };
  gint64 from_s, until_s;
  g_autofree char *names
      = commy_pki_chain_dup_names (NULL, chain, G_N_ELEMENTS (chain), &from_s, &until_s);

  g_assert_true ((id == NULL) == (error != NULL));
  if (id != NULL)
    check_plain (id);
  else
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_true (*names == '\0' || g_str_has_prefix (names, COMMY_PKI_NAME_SCHEME));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  if (*data == 'n')
    try_name ((const char *) data + 1, size - 1);
  else if (*data == 'w')
    try_names ((const char *) data + 1, size - 1);
  else
    try_certificate (data + 1, size - 1);
  return 0;
}
