/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One-time codes: from a secret and a time to digits, and secrets as text. No file, no clock.
 */
#include "config.h"

#include "auth/common/commy-totp.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"

#include <gnutls/crypto.h>
#include <string.h>

#define PREFIX "otpauth://totp/"
#define LABEL "commy totp 1"
#define MAC_MAX 64u

static const struct
{
  const char *name;
  gnutls_mac_algorithm_t mac;
  gsize size;
} hashes[] = {
  [COMMY_TOTP_SHA1] = { "SHA1", GNUTLS_MAC_SHA1, 20 },
  [COMMY_TOTP_SHA256] = { "SHA256", GNUTLS_MAC_SHA256, 32 },
  [COMMY_TOTP_SHA512] = { "SHA512", GNUTLS_MAC_SHA512, 64 },
};

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "this is no secret for one-time codes: %s", why);
  return FALSE;
}

gboolean
commy_totp_hash_parse (const char *text, CommyTotpHash *out_hash)
{
  for (gsize i = 0; i < G_N_ELEMENTS (hashes); i++)
    if (g_ascii_strcasecmp (text, hashes[i].name) == 0)
      {
        *out_hash = (CommyTotpHash) i;
        return TRUE;
      }
  return FALSE;
}

const char *
commy_totp_hash_to_text (CommyTotpHash hash)
{
  return hashes[hash].name;
}

gboolean
commy_totp_key_new (CommyTotpHash hash, guint digits, CommyTotpKey *out_key, GError **error)
{
  memset (out_key, 0, sizeof *out_key);
  out_key->hash = hash;
  out_key->digits = digits;
  out_key->secret_size = hashes[hash].size;
  return commy_pki_check (gnutls_rnd (GNUTLS_RND_KEY, out_key->secret, out_key->secret_size),
                          "random bytes", error);
}

void
commy_totp_key_clear (CommyTotpKey *key)
{
  explicit_bzero (key, sizeof *key);
}

/* --- as text --- */

static void
append_secret (GString *text, const CommyTotpKey *key)
{
  gsize from = text->len;

  commy_pki_base32_encode (text, key->secret, key->secret_size);
  for (gsize i = from; i < text->len; i++)
    text->str[i] = g_ascii_toupper (text->str[i]);
}

char *
commy_totp_key_to_uri (const CommyTotpKey *key, const char *issuer, const char *account)
{
  GString *text = g_string_sized_new (COMMY_TOTP_URI_MAX); /* not moved: no copy is left behind */

  g_string_append (text, PREFIX);
  g_string_append_uri_escaped (text, issuer, NULL, FALSE);
  g_string_append_c (text, ':');
  g_string_append_uri_escaped (text, account, NULL, FALSE);
  g_string_append (text, "?secret=");
  append_secret (text, key);
  g_string_append (text, "&issuer=");
  g_string_append_uri_escaped (text, issuer, NULL, FALSE);
  g_string_append_printf (text, "&algorithm=%s&digits=%u&period=%d", hashes[key->hash].name,
                          key->digits, COMMY_TOTP_PERIOD_S);
  return g_string_free (text, FALSE);
}

/* Padding and lower case are taken. */
static gboolean
take_secret (CommyTotpKey *key, const char *text)
{
  char *lower = g_ascii_strdown (text, -1);
  GByteArray *bytes = g_byte_array_sized_new (COMMY_TOTP_URI_MAX);
  gboolean is_good;

  lower[strcspn (lower, "=")] = '\0';
  is_good = commy_pki_base32_decode (bytes, lower) && bytes->len >= COMMY_TOTP_SECRET_MIN
            && bytes->len <= COMMY_TOTP_SECRET_MAX;
  if (is_good)
    {
      key->secret_size = bytes->len;
      memcpy (key->secret, bytes->data, bytes->len);
    }
  commy_credential_free (lower);
  explicit_bzero (bytes->data, bytes->len);
  g_byte_array_unref (bytes);
  return is_good;
}

/* One name=value; NULL: it is good. */
static const char *
take_parameter (CommyTotpKey *key, const char *name, gsize name_size, const char *value)
{
  guint64 number;

  if (name_size == strlen ("secret") && strncmp (name, "secret", name_size) == 0)
    return take_secret (key, value) ? NULL : "its secret is no base32 of 16 to 64 bytes";
  if (name_size == strlen ("algorithm") && strncmp (name, "algorithm", name_size) == 0)
    return commy_totp_hash_parse (value, &key->hash) ? NULL
                                                     : "its algorithm is none of SHA1, SHA256, "
                                                       "SHA512";
  if (name_size == strlen ("digits") && strncmp (name, "digits", name_size) == 0)
    {
      if (!g_ascii_string_to_unsigned (value, 10, 6, COMMY_TOTP_DIGITS_MAX, &number, NULL))
        return "it has other digits than 6, 7 or 8";
      key->digits = (guint) number;
    }
  if (name_size == strlen ("period") && strncmp (name, "period", name_size) == 0
      && strcmp (value, G_STRINGIFY (COMMY_TOTP_PERIOD_S)) != 0)
    return "its period is not 30 seconds";
  return NULL;
}

static const char *
parse_parameters (CommyTotpKey *key, char *at)
{
  while (at != NULL && *at != '\0')
    {
      char *next = strchr (at, '&');
      char *value = strchr (at, '=');
      const char *why;

      if (next != NULL)
        *next++ = '\0';
      if (value == NULL || (next != NULL && value > next))
        return "its parameters are no NAME=VALUE";
      why = take_parameter (key, at, (gsize) (value - at), value + 1);
      if (why != NULL)
        return why;
      at = next;
    }
  return key->secret_size > 0 ? NULL : "it has no secret";
}

gboolean
commy_totp_key_parse_uri (const char *uri, CommyTotpKey *out_key, GError **error)
{
  const char *query = strchr (uri, '?');
  const char *why;
  char *copy;
  gsize size;

  memset (out_key, 0, sizeof *out_key);
  out_key->digits = 6;
  if (!g_str_has_prefix (uri, PREFIX) || query == NULL || strlen (uri) > COMMY_TOTP_URI_MAX)
    return refuse (error, "it does not begin as " PREFIX "NAME?secret=");
  copy = g_strdup (query + 1);
  size = strlen (copy);
  why = parse_parameters (out_key, copy);
  explicit_bzero (copy, size);
  g_free (copy);
  if (why == NULL)
    return TRUE;
  commy_totp_key_clear (out_key);
  return refuse (error, why);
}

/* --- codes --- */

gint64
commy_totp_step (gint64 now_s)
{
  return now_s / COMMY_TOTP_PERIOD_S;
}

static void
hmac (const CommyTotpKey *key,
      gnutls_mac_algorithm_t mac,
      gconstpointer data,
      gsize size,
      guint8 *out)
{
  if (gnutls_hmac_fast (mac, key->secret, key->secret_size, data, size, out) < 0)
    g_error ("GnuTLS cannot compute an HMAC");
}

/* RFC 4226, 5.3. */
void
commy_totp_code (const CommyTotpKey *key, gint64 step, char out_code[COMMY_TOTP_DIGITS_MAX + 1])
{
  guint64 counter = GUINT64_TO_BE ((guint64) step);
  guint32 modulus = 1;
  guint8 mac[MAC_MAX] = { 0 };
  const guint8 *at;
  guint32 number;

  hmac (key, hashes[key->hash].mac, &counter, sizeof counter, mac);
  at = mac + (mac[hashes[key->hash].size - 1] & 15);
  number = (guint32) (at[0] & 0x7f) << 24 | (guint32) at[1] << 16 | (guint32) at[2] << 8 | at[3];
  for (guint i = 0; i < key->digits; i++)
    modulus *= 10;
  g_snprintf (out_code, COMMY_TOTP_DIGITS_MAX + 1, "%0*u", (int) key->digits, number % modulus);
  explicit_bzero (mac, sizeof mac);
}

gint64
commy_totp_find_step (const CommyTotpKey *key, const char *code, gint64 now_s, gint64 after)
{
  gint64 now = commy_totp_step (now_s);
  gint64 found = -1;
  char given[COMMY_TOTP_DIGITS_MAX + 1] = "";

  if (strlen (code) != key->digits)
    return -1;
  memcpy (given, code, key->digits);
  /* All of them are compared, so that the time it takes tells nothing. */
  for (gint64 step = now - COMMY_TOTP_WINDOW; step <= now + COMMY_TOTP_WINDOW; step++)
    {
      char right[COMMY_TOTP_DIGITS_MAX + 1] = "";
      gboolean fits;

      commy_totp_code (key, step, right);
      fits = gnutls_memcmp (given, right, sizeof right) == 0;
      if (fits && step > after)
        found = step;
      explicit_bzero (right, sizeof right);
    }
  explicit_bzero (given, sizeof given);
  return found;
}

/* --- proofs --- */

void
commy_totp_prove (const CommyTotpKey *key,
                  const guint8 *transcript,
                  guint8 out_proof[COMMY_TOTP_PROOF_SIZE])
{
  guint8 derived[32];

  /* Of its own, so that a proof can be no code, nor a code one. */
  hmac (key, GNUTLS_MAC_SHA256, LABEL, strlen (LABEL), derived);
  if (gnutls_hmac_fast (GNUTLS_MAC_SHA256, derived, sizeof derived, transcript, 32, out_proof) < 0)
    g_error ("GnuTLS cannot compute an HMAC");
  explicit_bzero (derived, sizeof derived);
}
