/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tokens of peers, and key sets. The first byte says what the rest is: j JSON, k a key set, t a
 * token as it came, h a header and c claims, each of which is signed here, so that what stands
 * behind the signature is reached, too.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "auth/common/commy-jwt.h"

#include <gnutls/crypto.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT (2000000000)
#define HEADER "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}"
#define CLAIMS "{\"iss\":\"i\",\"aud\":\"a\",\"sub\":\"s\",\"exp\":2000000100}"
#define ALL (JWT_EDDSA | JWT_ES256 | JWT_RS256 | JWT_PS256 | JWT_HS256)

static const char key_set[] = "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":"
                              "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
static const char *const chosen[] = { "team", NULL };
static const JwtRules rules = {
  .issuer = "i", .audience = "a", .type = "at+jwt", .max_life_s = 86400, .claims = (char **) chosen
};

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
append_base64 (GString *text, gconstpointer bytes, gsize size)
{
  g_autofree char *encoded = g_base64_encode (bytes, size);

  for (const char *at = encoded; *at != '\0' && *at != '='; at++)
    g_string_append_c (text, *at == '+' ? '-' : *at == '/' ? '_' : *at);
}

static void
check (const char *text, gsize size)
{
  static JwtKeys *keys;
  JwtVerdict verdict;

  if (keys == NULL)
    keys = jwt_keys_parse (key_set, strlen (key_set), ALL, NULL);
  g_assert_nonnull (keys);
  if (jwt_check (keys, &rules, text, size, NOW, &verdict) != NULL)
    {
      g_assert_null (verdict.principal);
      return;
    }
  g_assert_true (g_str_has_prefix (verdict.principal, "jwt:i/"));
  g_assert_true (g_utf8_validate (verdict.principal, -1, NULL));
  g_assert_cmpint (verdict.expires_s, >, NOW);
  jwt_verdict_clear (&verdict);
}

static void
check_signed (gconstpointer header, gsize header_size, gconstpointer claims, gsize claims_size)
{
  static const uint8_t secret[32];
  g_autoptr (GString) text = g_string_new (NULL);
  uint8_t mac[32];

  append_base64 (text, header, header_size);
  g_string_append_c (text, '.');
  append_base64 (text, claims, claims_size);
  g_assert_cmpint (
      gnutls_hmac_fast (GNUTLS_MAC_SHA256, secret, sizeof secret, text->str, text->len, mac), >=,
      0);
  g_string_append_c (text, '.');
  append_base64 (text, mac, sizeof mac);
  check (text->str, text->len);
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
    case 'j':
      jwt_json_free (jwt_json_parse (rest, size, 100));
      break;
    case 'k':
      jwt_keys_free (jwt_keys_parse (rest, size, ALL, NULL));
      break;
    case 't':
      check (rest, size);
      break;
    case 'h':
      check_signed (rest, size, CLAIMS, strlen (CLAIMS));
      break;
    default:
      check_signed (HEADER, strlen (HEADER), rest, size);
    }
  return 0;
}
