/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One token: its three parts, its signature, and then what it says.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "auth/common/commy-jwt.h"

#include <string.h>

#define VALUES_MAX 512u

/* --- base64url --- */

static int
value_of (char c)
{
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '-' ? 62 : c == '_' ? 63 : -1;
}

GBytes *
jwt_base64_decode (const char *text, gsize size)
{
  gsize n = size / 4 * 3 + (size % 4 == 0 ? 0 : size % 4 - 1);
  g_autofree guint8 *bytes = g_malloc (n + 1);
  guint32 bits = 0;
  guint held = 0;
  gsize at = 0;

  if (size % 4 == 1)
    return NULL;
  for (gsize i = 0; i < size; i++)
    {
      int value = value_of (text[i]);

      if (value < 0)
        return NULL;
      bits = bits << 6 | (guint32) value;
      held += 6;
      if (held >= 8)
        {
          held -= 8;
          bytes[at++] = (guint8) (bits >> held);
          bits &= (1u << held) - 1;
        }
    }
  return bits == 0 ? g_bytes_new_take (g_steal_pointer (&bytes), at) : NULL;
}

/* --- the header --- */

static JwtJson *
parse_part (const char *text, gsize size)
{
  g_autoptr (GBytes) bytes = jwt_base64_decode (text, size);
  gsize length;
  const char *json;
  JwtJson *value;

  if (bytes == NULL)
    return NULL;
  json = g_bytes_get_data (bytes, &length);
  value = jwt_json_parse (json, length, VALUES_MAX);
  if (value != NULL && value->type != JWT_JSON_OBJECT)
    g_clear_pointer (&value, jwt_json_free);
  return value;
}

/* Media types are compared without regard to case, and "application/" may be left out (RFC 7515,
 * 4.1.9). */
static gboolean
is_type (const char *said, const char *wanted)
{
  if (said == NULL)
    return FALSE;
  if (g_ascii_strncasecmp (said, "application/", strlen ("application/")) == 0)
    said += strlen ("application/");
  return g_ascii_strcasecmp (said, wanted) == 0;
}

static const char *
check_header (const JwtJson *header, const JwtRules *rules)
{
  /* What would have a verifier look elsewhere for a key, or do what this one does not. */
  static const char *const refused[] = { "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc" };

  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    if (jwt_json_has (header, refused[i]))
      return "its header has a member that is not taken (jwk, jku, x5u, x5c, crit, b64, zip, enc)";
  if (!is_type (jwt_json_get_text (header, "typ"), rules->type))
    return "it is of another type (typ) than param.type";
  if (jwt_json_has (header, "kid") && jwt_json_get_text (header, "kid") == NULL)
    return "its kid is no text";
  return NULL;
}

static const char *
check_signature (JwtKeys *keys,
                 const JwtJson *header,
                 const char *data,
                 gsize data_size,
                 const char *text,
                 gsize size)
{
  const char *name = jwt_json_get_text (header, "alg");
  JwtAlgorithm algorithm = name != NULL ? jwt_algorithm_from_name (name) : (JwtAlgorithm) 0;
  g_autoptr (GBytes) signature = NULL;
  gsize signature_size;
  gconstpointer bytes;

  if (algorithm == 0)
    return "its algorithm is not known";
  signature = jwt_base64_decode (text, size);
  if (signature == NULL)
    return "its signature is no base64url";
  bytes = g_bytes_get_data (signature, &signature_size);
  return jwt_keys_check (keys, jwt_json_get_text (header, "kid"), algorithm, data, data_size, bytes,
                         signature_size);
}

/* --- the claims --- */

/* FALSE: it is there and is no time. */
static gboolean
take_time (const JwtJson *claims, const char *name, gint64 *out_s)
{
  const JwtJson *value = jwt_json_get (claims, name);

  if (value == NULL)
    return TRUE;
  *out_s = value->integer;
  return value->type == JWT_JSON_INTEGER;
}

typedef struct
{
  gint64 expires, issued, not_before; /* issued -1: it does not say */
} Times;

static const char *
read_times (const JwtJson *claims, Times *times)
{
  *times = (Times){ .expires = -1, .issued = -1 };
  if (!take_time (claims, "exp", &times->expires) || !take_time (claims, "iat", &times->issued)
      || !take_time (claims, "nbf", &times->not_before))
    return "one of its times (exp, iat, nbf) is none";
  return times->expires < 0 ? "it has no end (exp)" : NULL;
}

static gint64
begin_of (const Times *times)
{
  return MAX (times->not_before, times->issued) - JWT_SKEW_S;
}

static gint64
end_of (const Times *times)
{
  return times->expires + JWT_SKEW_S;
}

static const char *
check_times (const JwtJson *claims, const JwtRules *rules, gint64 now_s, JwtVerdict *verdict)
{
  Times times;
  const char *why = read_times (claims, &times);

  if (why != NULL)
    return why;
  if (now_s >= end_of (&times))
    return "it has expired";
  if (times.issued > now_s + JWT_SKEW_S)
    return "it was issued in the future";
  if (times.not_before > now_s + JWT_SKEW_S)
    return "it is not valid yet";
  if (times.expires - (times.issued >= 0 ? times.issued : now_s) > rules->max_life_s)
    return "it is valid for longer than param.max-life";
  verdict->expires_s = verdict->ends_s = end_of (&times);
  verdict->not_before_s = begin_of (&times);
  return NULL;
}

gboolean
jwt_read_times (const char *text, gsize size, gint64 *out_from_s, gint64 *out_until_s)
{
  const char *first = size <= JWT_TEXT_MAX ? memchr (text, '.', size) : NULL;
  const char *second
      = first != NULL ? memchr (first + 1, '.', size - (gsize) (first + 1 - text)) : NULL;
  g_autoptr (JwtJson) claims
      = second != NULL ? parse_part (first + 1, (gsize) (second - first - 1)) : NULL;
  Times times;

  if (claims == NULL || read_times (claims, &times) != NULL)
    return FALSE;
  *out_from_s = begin_of (&times);
  *out_until_s = end_of (&times);
  return TRUE;
}

static gboolean
is_for (const JwtJson *audience, const char *wanted)
{
  if (audience == NULL)
    return FALSE;
  if (audience->type == JWT_JSON_STRING)
    return strcmp (audience->text, wanted) == 0;
  if (audience->type != JWT_JSON_ARRAY)
    return FALSE;
  for (guint i = 0; i < audience->items->len; i++)
    {
      const JwtJson *one = g_ptr_array_index (audience->items, i);

      if (one->type == JWT_JSON_STRING && strcmp (one->text, wanted) == 0)
        return TRUE;
    }
  return FALSE;
}

gboolean
jwt_is_name (const char *text)
{
  gsize size = text != NULL ? strlen (text) : 0;

  for (gsize i = 0; i < size; i++)
    if ((guchar) text[i] <= ' ' || text[i] == 0x7f)
      return FALSE;
  return size > 0 && size <= JWT_NAME_MAX;
}

static void
append_escaped (GString *to, const char *text)
{
  for (; *text != '\0'; text++)
    if (*text == '/' || *text == '%')
      g_string_append_printf (to, "%%%02X", (guint) (guchar) *text);
    else
      g_string_append_c (to, *text);
}

/* The '/' behind the issuer is the last one: a subject cannot make itself another issuer's. */
static gboolean
append_subject (GString *principal, const char *subject)
{
  append_escaped (principal, subject);
  return principal->len < 512;
}

static const char *
check_names (const JwtJson *claims, const JwtRules *rules, JwtVerdict *verdict)
{
  const char *issuer = jwt_json_get_text (claims, "iss");
  const char *subject = jwt_json_get_text (claims, "sub");
  g_autoptr (GString) principal = NULL;
  const char *why;

  if (rules->is_told && !jwt_json_has (claims, "iss"))
    issuer = rules->issuer;
  if (rules->is_told && !jwt_json_has (claims, "sub"))
    subject = jwt_json_get_text (claims, "client_id");

  if (issuer == NULL || strcmp (issuer, rules->issuer) != 0)
    return "it is of another issuer (iss) than param.issuer";
  if (!is_for (jwt_json_get (claims, "aud"), rules->audience))
    return "it is for somebody else (aud) than param.audience";
  if (!jwt_is_name (subject))
    return "it has no subject (sub) that can be a name";
  principal = g_string_new ("jwt:");
  g_string_append_printf (principal, "%s/", issuer);
  if (!append_subject (principal, subject))
    return "its subject (sub) is too long";
  why = jwt_append_attributes (principal, claims, rules);
  if (why != NULL)
    return why;
  verdict->principal = g_string_free (g_steal_pointer (&principal), FALSE);
  return NULL;
}

/* --- all of it --- */

void
jwt_verdict_clear (JwtVerdict *verdict)
{
  g_clear_pointer (&verdict->principal, g_free);
  g_clear_pointer (&verdict->id, g_free);
}

void
jwt_verdict_name (JwtVerdict *verdict, const char *text, gsize size)
{
  const char *end = g_strrstr_len (text, (gssize) size, ".");
  g_autofree char *digits = NULL;

  if (verdict->id != NULL)
    return;
  if (end != NULL && size > 3 && memcmp (text, "eyJ", 3) == 0) /* the beginning of a JSON object */
    size = (gsize) (end - text);
  digits = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *) text, size);
  verdict->id = g_strconcat ("jwt-sha256:", digits, NULL);
}

/* Ids are unique with their issuer only; a '/' in one cannot make it another issuer's. */
static char *
dup_id (const JwtJson *claims, const JwtRules *rules)
{
  const char *jti = jwt_json_get_text (claims, "jti");
  g_autoptr (GString) id = g_string_new ("jwt-id:");

  if (!jwt_is_name (jti) || strlen (jti) > JWT_ID_MAX)
    return NULL;
  g_string_append_printf (id, "%s/", rules->issuer);
  append_escaped (id, jti);
  return g_string_free (g_steal_pointer (&id), FALSE);
}

const char *
jwt_check_claims (const JwtJson *claims,
                  const JwtRules *rules,
                  gint64 now_s,
                  JwtVerdict *out_verdict)
{
  const char *why;

  memset (out_verdict, 0, sizeof *out_verdict);
  /* RFC 7800: of DPoP, or of a certificate (RFC 8705). Who shows it need not have the key. */
  if (jwt_json_has (claims, "cnf"))
    return "it is bound to a key (cnf) that is not looked at";
  why = check_times (claims, rules, now_s, out_verdict);
  if (why == NULL)
    why = check_names (claims, rules, out_verdict);
  if (why == NULL)
    out_verdict->id = dup_id (claims, rules);
  return why;
}

const char *
jwt_check (JwtKeys *keys,
           const JwtRules *rules,
           const char *text,
           gsize size,
           gint64 now_s,
           JwtVerdict *out_verdict)
{
  const char *first = size <= JWT_TEXT_MAX ? memchr (text, '.', size) : NULL;
  const char *second
      = first != NULL ? memchr (first + 1, '.', size - (gsize) (first + 1 - text)) : NULL;
  const char *end = text + size;
  g_autoptr (JwtJson) header = NULL;
  g_autoptr (JwtJson) claims = NULL;
  const char *why;

  memset (out_verdict, 0, sizeof *out_verdict);
  if (second == NULL || memchr (second + 1, '.', (gsize) (end - second - 1)) != NULL)
    return "it does not have three parts, or more than 8 KiB";
  header = parse_part (text, (gsize) (first - text));
  if (header == NULL)
    return "its header is no JSON object as it must be";
  why = check_header (header, rules);
  if (why == NULL)
    why = check_signature (keys, header, text, (gsize) (second - text), second + 1,
                           (gsize) (end - second - 1));
  if (why != NULL)
    return why;
  claims = parse_part (first + 1, (gsize) (second - first - 1));
  if (claims == NULL)
    return "its claims are no JSON object as they must be";
  why = jwt_check_claims (claims, rules, now_s, out_verdict);
  if (why == NULL)
    jwt_verdict_name (out_verdict, text, size);
  return why;
}
