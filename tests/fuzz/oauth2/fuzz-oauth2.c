/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an issuer may answer. The first byte says what the rest is: u an address, m a discovery
 * document, t an answer with a token, e one without, and else an introspection.
 */
#include "config.h"

#include "auth/oauth2/commy-oauth2.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT (2000000000)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_url (const char *text, gsize size)
{
  g_autofree char *url = g_strndup (text, size);

  if (commy_http_url_why_not (url, FALSE) != NULL)
    return;
  g_assert_true (g_ascii_strncasecmp (url, "https:", strlen ("https:")) == 0);
  g_assert_cmpstr (commy_http_url_why_not (url, TRUE), ==, NULL);
}

static void
check_metadata (const char *text, gsize size)
{
  Oauth2Metadata metadata;

  if (oauth2_metadata_parse (text, size, "i", TRUE, &metadata) != NULL)
    {
      g_assert_null (metadata.token_endpoint);
      return;
    }
  if (metadata.token_endpoint != NULL)
    g_assert_cmpstr (commy_http_url_why_not (metadata.token_endpoint, TRUE), ==, NULL);
  oauth2_metadata_clear (&metadata);
}

static void
check_token (const char *text, gsize size)
{
  char *token = NULL;
  gint64 life_s = 0;

  if (oauth2_token_parse (text, size, &token, &life_s) != NULL)
    {
      g_assert_null (token);
      return;
    }
  g_assert_true (oauth2_is_token (token, strlen (token)));
  g_assert_cmpint (life_s, >, 0);
  g_assert_cmpint (life_s, <=, OAUTH2_LIFE_MAX_S);
  g_free (token);
}

static void
check_introspection (const char *text, gsize size)
{
  static const JwtRules rules
      = { .issuer = "i", .audience = "a", .type = "x", .max_life_s = 86400, .is_told = TRUE };
  JwtVerdict verdict;

  if (oauth2_introspection_parse (text, size, &rules, NOW, &verdict) != NULL)
    {
      g_assert_null (verdict.principal);
      return;
    }
  g_assert_true (g_str_has_prefix (verdict.principal, "jwt:i/"));
  g_assert_true (g_utf8_validate (verdict.principal, -1, NULL));
  g_assert_cmpint (verdict.expires_s, <=, NOW + OAUTH2_TELL_MAX_S);
  jwt_verdict_clear (&verdict);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *rest = (const char *) data + 1;

  if (size == 0)
    return 0;
  size--;
  switch (*data)
    {
    case 'u':
      check_url (rest, size);
      break;
    case 'm':
      check_metadata (rest, size);
      break;
    case 't':
      check_token (rest, size);
      break;
    case 'e':
      g_free (oauth2_error_parse (rest, size));
      break;
    default:
      check_introspection (rest, size);
    }
  return 0;
}
