/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys as text, and what is proved by them. No file, no clock.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"

#include <gnutls/crypto.h>
#include <string.h>

#define PREFIX "cmy_"
#define CHECK_DIGITS 8u
#define SECRET_DIGITS (2 * COMMY_API_KEY_SECRET_SIZE)
#define TEXT_SIZE (4 + COMMY_API_KEY_ID_SIZE + 1 + SECRET_DIGITS + 1 + CHECK_DIGITS)

#define NO_KEY "this is no token: one is cmy_ID_SECRET_CHECK, as commy token create prints it"

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT, why);
  return FALSE;
}

/* --- text --- */

/* CRC-32 of IEEE 802.3, as zlib has it. */
static guint32
crc32_of (const char *text, gsize size)
{
  guint32 crc = G_MAXUINT32;

  for (gsize i = 0; i < size; i++)
    {
      crc ^= (guint8) text[i];
      for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
  return ~crc;
}

static gboolean
is_hex (const char *text, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isdigit (text[i]) && (text[i] < 'a' || text[i] > 'f'))
      return FALSE;
  return TRUE;
}

static void
write_hex (char *out, const guint8 *bytes, gsize size)
{
  static const char digits[] = "0123456789abcdef";

  for (gsize i = 0; i < size; i++)
    {
      out[2 * i] = digits[bytes[i] >> 4];
      out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

gboolean
commy_api_key_is_id (const char *text)
{
  return strlen (text) == COMMY_API_KEY_ID_SIZE && is_hex (text, COMMY_API_KEY_ID_SIZE);
}

gboolean
commy_api_key_is_principal (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > COMMY_API_KEY_PRINCIPAL_MAX || !g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const char *at = text; *at != '\0'; at++)
    if ((guchar) *at <= ' ' || *at == 0x7f)
      return FALSE;
  return strchr (text, ':') != NULL;
}

void
commy_api_key_clear (CommyApiKey *key)
{
  explicit_bzero (key, sizeof *key);
}

gboolean
commy_api_key_new (CommyApiKey *out_key, GError **error)
{
  guint8 id[COMMY_API_KEY_ID_SIZE / 2];

  memset (out_key, 0, sizeof *out_key);
  if (!commy_pki_check (gnutls_rnd (GNUTLS_RND_KEY, out_key->secret, sizeof out_key->secret),
                        "random bytes", error)
      || !commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, id, sizeof id), "random bytes", error))
    return FALSE;
  write_hex (out_key->id, id, sizeof id);
  return TRUE;
}

char *
commy_api_key_to_text (const CommyApiKey *key)
{
  char *text = g_malloc0 (TEXT_SIZE + 1);
  gsize at = strlen (PREFIX);

  memcpy (text, PREFIX, at);
  memcpy (text + at, key->id, COMMY_API_KEY_ID_SIZE);
  at += COMMY_API_KEY_ID_SIZE;
  text[at++] = '_';
  write_hex (text + at, key->secret, sizeof key->secret);
  at += SECRET_DIGITS;
  g_snprintf (text + at, CHECK_DIGITS + 2, "_%08x", crc32_of (text, at));
  return text;
}

gboolean
commy_api_key_parse (const char *text, CommyApiKey *out_key, GError **error)
{
  const char *id, *secret, *check;
  char expected[CHECK_DIGITS + 2];

  if (strlen (text) != TEXT_SIZE)
    return refuse (error, NO_KEY);
  id = text + strlen (PREFIX);
  secret = id + COMMY_API_KEY_ID_SIZE + 1;
  check = secret + SECRET_DIGITS;
  if (!g_str_has_prefix (text, PREFIX) || !is_hex (id, COMMY_API_KEY_ID_SIZE) || secret[-1] != '_'
      || !is_hex (secret, SECRET_DIGITS) || check[0] != '_')
    return refuse (error, NO_KEY);
  g_snprintf (expected, sizeof expected, "_%08x", crc32_of (text, (gsize) (check - text)));
  if (strcmp (check, expected) != 0)
    return refuse (error, "the token is damaged: its check does not fit");
  memset (out_key, 0, sizeof *out_key);
  memcpy (out_key->id, id, COMMY_API_KEY_ID_SIZE);
  for (gsize i = 0; i < sizeof out_key->secret; i++)
    out_key->secret[i] = (guint8) (g_ascii_xdigit_value (secret[2 * i]) << 4
                                   | g_ascii_xdigit_value (secret[2 * i + 1]));
  return TRUE;
}

/* --- proofs --- */

/* As in SCRAM:
 *
 *   salted = HMAC (pepper, secret)       client = HMAC (salted, "Client Key")
 *   stored = SHA-256 (client)            server = HMAC (salted, "Server Key")
 *
 * The register has pepper, stored and server; the proof is client XOR HMAC (stored, transcript),
 * the answer HMAC (server, transcript). A count of iterations is for passwords; these are 256 bits
 * of chance. */

static void
hmac (const guint8 *key, gsize key_size, gconstpointer text, gsize size, guint8 *out)
{
  if (gnutls_hmac_fast (GNUTLS_MAC_SHA256, key, key_size, text, size, out) < 0)
    g_error ("GnuTLS cannot compute HMAC-SHA-256");
}

static void
hash (const guint8 *bytes, gsize size, guint8 *out)
{
  if (gnutls_hash_fast (GNUTLS_DIG_SHA256, bytes, size, out) < 0)
    g_error ("GnuTLS cannot compute SHA-256");
}

static void
exclusive_or (guint8 *bytes, const guint8 *with)
{
  for (gsize i = 0; i < COMMY_API_KEY_HASH_SIZE; i++)
    bytes[i] ^= with[i];
}

static void
derive (const CommyApiKey *key, const guint8 *pepper, guint8 *out_client, guint8 *out_server)
{
  guint8 salted[COMMY_API_KEY_HASH_SIZE];

  hmac (pepper, COMMY_API_KEY_PEPPER_SIZE, key->secret, sizeof key->secret, salted);
  hmac (salted, sizeof salted, "Client Key", strlen ("Client Key"), out_client);
  hmac (salted, sizeof salted, "Server Key", strlen ("Server Key"), out_server);
  explicit_bzero (salted, sizeof salted);
}

gboolean
commy_api_key_make_verifier (const CommyApiKey *key,
                             CommyApiKeyVerifier *out_verifier,
                             GError **error)
{
  guint8 client[COMMY_API_KEY_HASH_SIZE];

  if (!commy_pki_check (
          gnutls_rnd (GNUTLS_RND_KEY, out_verifier->pepper, sizeof out_verifier->pepper),
          "random bytes", error))
    return FALSE;
  derive (key, out_verifier->pepper, client, out_verifier->server);
  hash (client, sizeof client, out_verifier->stored);
  explicit_bzero (client, sizeof client);
  return TRUE;
}

void
commy_api_key_fake_verifier (const guint8 seed[32],
                             const char *id,
                             CommyApiKeyVerifier *out_verifier)
{
  guint8 pepper[COMMY_API_KEY_HASH_SIZE];

  hmac (seed, 32, id, strlen (id), pepper);
  memcpy (out_verifier->pepper, pepper, sizeof out_verifier->pepper);
  hmac (pepper, sizeof pepper, "stored", strlen ("stored"), out_verifier->stored);
  hmac (pepper, sizeof pepper, "server", strlen ("server"), out_verifier->server);
}

void
commy_api_key_prove (const CommyApiKey *key,
                     const guint8 *pepper,
                     const guint8 *transcript,
                     guint8 *out_proof,
                     guint8 *out_answer)
{
  guint8 server[COMMY_API_KEY_HASH_SIZE];
  guint8 stored[COMMY_API_KEY_HASH_SIZE];
  guint8 signature[COMMY_API_KEY_HASH_SIZE];

  derive (key, pepper, out_proof, server);
  hash (out_proof, COMMY_API_KEY_HASH_SIZE, stored);
  hmac (stored, sizeof stored, transcript, COMMY_API_KEY_HASH_SIZE, signature);
  exclusive_or (out_proof, signature);
  hmac (server, sizeof server, transcript, COMMY_API_KEY_HASH_SIZE, out_answer);
  explicit_bzero (server, sizeof server);
  explicit_bzero (stored, sizeof stored);
}

gboolean
commy_api_key_check (const CommyApiKeyVerifier *verifier,
                     const guint8 *transcript,
                     const guint8 *proof,
                     guint8 *out_answer)
{
  guint8 client[COMMY_API_KEY_HASH_SIZE];
  guint8 found[COMMY_API_KEY_HASH_SIZE];
  gboolean fits;

  hmac (verifier->stored, sizeof verifier->stored, transcript, COMMY_API_KEY_HASH_SIZE, client);
  exclusive_or (client, proof);
  hash (client, sizeof client, found);
  explicit_bzero (client, sizeof client);
  fits = gnutls_memcmp (found, verifier->stored, sizeof found) == 0;
  hmac (verifier->server, sizeof verifier->server, transcript, COMMY_API_KEY_HASH_SIZE, out_answer);
  if (!fits)
    explicit_bzero (out_answer, COMMY_API_KEY_HASH_SIZE);
  return fits;
}
