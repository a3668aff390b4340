/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an issuer's documents say. Whoever answers is not trusted further than that he has the
 * issuer's certificate: sizes, numbers and addresses are looked at.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "auth/oauth2/commy-oauth2.h"

#include <string.h>

#define VALUES_MAX 4096u
#define LIFE_UNKNOWN_S 60 /* of a token that does not say how long it is good */
#define WORD_MAX 64u

/* NULL: it is none. */
static JwtJson *
parse_object (const char *text, gsize size)
{
  JwtJson *value = size <= OAUTH2_ANSWER_MAX ? jwt_json_parse (text, size, VALUES_MAX) : NULL;

  if (value != NULL && value->type != JWT_JSON_OBJECT)
    g_clear_pointer (&value, jwt_json_free);
  return value;
}

/* --- metadata --- */

void
oauth2_metadata_clear (Oauth2Metadata *metadata)
{
  g_clear_pointer (&metadata->token_endpoint, g_free);
  g_clear_pointer (&metadata->introspection_endpoint, g_free);
  g_clear_pointer (&metadata->jwks_uri, g_free);
}

static gboolean
take_url (const JwtJson *json, const char *name, gboolean allows_loopback, char **out_url)
{
  const char *url = jwt_json_get_text (json, name);

  if (!jwt_json_has (json, name))
    return TRUE;
  if (url == NULL || commy_http_url_why_not (url, allows_loopback) != NULL)
    return FALSE;
  *out_url = g_strdup (url);
  return TRUE;
}

const char *
oauth2_metadata_parse (const char *text,
                       gsize size,
                       const char *issuer,
                       gboolean allows_loopback,
                       Oauth2Metadata *out_metadata)
{
  g_autoptr (JwtJson) json = parse_object (text, size);
  const char *said = jwt_json_get_text (json, "issuer");

  memset (out_metadata, 0, sizeof *out_metadata);
  if (json == NULL)
    return "its discovery document is no JSON object";
  if (said == NULL || strcmp (said, issuer) != 0)
    return "its discovery document is of another issuer than param.issuer";
  if (take_url (json, "token_endpoint", allows_loopback, &out_metadata->token_endpoint)
      && take_url (json, "introspection_endpoint", allows_loopback,
                   &out_metadata->introspection_endpoint)
      && take_url (json, "jwks_uri", allows_loopback, &out_metadata->jwks_uri))
    return NULL;
  oauth2_metadata_clear (out_metadata);
  return "its discovery document names an address that is not https";
}

/* --- tokens --- */

gboolean
oauth2_is_token (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (text[i]) && memchr ("-._~+/=", text[i], 7) == NULL)
      return FALSE;
  return size > 0 && size <= JWT_TEXT_MAX;
}

const char *
oauth2_token_parse (const char *text, gsize size, char **out_token, gint64 *out_life_s)
{
  g_autoptr (JwtJson) json = parse_object (text, size);
  const char *token = jwt_json_get_text (json, "access_token");
  const char *type = jwt_json_get_text (json, "token_type");
  const JwtJson *life = jwt_json_get (json, "expires_in");

  if (token == NULL || !oauth2_is_token (token, strlen (token)))
    return "its answer has no access_token of at most 8 KiB";
  if (type == NULL || g_ascii_strcasecmp (type, "Bearer") != 0)
    return "its token is of another type (token_type) than Bearer";
  if (life != NULL && (life->type != JWT_JSON_INTEGER || life->integer < 1))
    return "its token's life (expires_in) is no number of seconds";
  *out_life_s = life != NULL ? MIN (life->integer, (gint64) OAUTH2_LIFE_MAX_S) : LIFE_UNKNOWN_S;
  *out_token = g_strdup (token);
  explicit_bzero ((char *) token, strlen (token));
  return NULL;
}

char *
oauth2_error_parse (const char *text, gsize size)
{
  g_autoptr (JwtJson) json = parse_object (text, size);
  const char *word = jwt_json_get_text (json, "error");
  gsize length = word != NULL ? strlen (word) : 0;

  if (length > WORD_MAX
      || (word != NULL && strspn (word, "abcdefghijklmnopqrstuvwxyz_-") != length))
    length = 0;
  return g_strndup (length > 0 ? word : "", length);
}

/* --- introspection --- */

const char *
oauth2_introspection_parse (
    const char *text, gsize size, const JwtRules *rules, gint64 now_s, JwtVerdict *out_verdict)
{
  g_autoptr (JwtJson) json = parse_object (text, size);
  const JwtJson *active = jwt_json_get (json, "active");
  const char *type = jwt_json_get_text (json, "token_type");
  const char *why;

  memset (out_verdict, 0, sizeof *out_verdict);
  if (active == NULL || active->type != JWT_JSON_BOOLEAN)
    return OAUTH2_NO_ANSWER;
  if (!active->integer)
    return "the issuer says that it is not active";
  if (jwt_json_has (json, "token_type")
      && (type == NULL || g_ascii_strcasecmp (type, "Bearer") != 0))
    return "it is bound to something (token_type) that is not looked at";
  why = jwt_check_claims (json, rules, now_s, out_verdict);
  if (why == NULL)
    out_verdict->expires_s = MIN (out_verdict->expires_s, now_s + OAUTH2_TELL_MAX_S);
  return why;
}
