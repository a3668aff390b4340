/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Join tokens as text: "cmyjoin1", then base32 of id, secret, fingerprint, expiry and addresses,
 * and a checksum that tells a damaged copy from a wrong token. No file, no clock.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <gnutls/crypto.h>
#include <string.h>

#define NAME "cmyjoin"
#define PREFIX NAME "1"
#define CHECK_SIZE 4
#define ID_BYTES (COMMY_PKI_TOKEN_ID_SIZE / 2)
#define FIXED_SIZE (ID_BYTES + COMMY_PKI_SECRET_SIZE + COMMY_PKI_FINGERPRINT_SIZE + 8 + 1)
#define ADDRESS_MAX 255

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN, why);
  return FALSE;
}

void
commy_pki_free_secret (char *text)
{
  if (text != NULL)
    gnutls_memset (text, 0, strlen (text));
  g_free (text);
}

char *
commy_pki_hex (const guint8 *bytes, gsize size)
{
  GString *text = g_string_sized_new (2 * size + 1);

  for (gsize i = 0; i < size; i++)
    g_string_append_printf (text, "%02x", bytes[i]);
  return g_string_free (text, FALSE);
}

gboolean
commy_pki_from_hex (const char *text, gsize size, guint8 *out)
{
  for (gsize i = 0; i < size; i++)
    {
      int high = g_ascii_xdigit_value (text[2 * i]);
      int low = high < 0 ? -1 : g_ascii_xdigit_value (text[2 * i + 1]);

      if (low < 0)
        return FALSE;
      out[i] = (guint8) (high << 4 | low);
    }
  return TRUE;
}

char *
commy_pki_format_fingerprint (const guint8 *fingerprint)
{
  g_autofree char *hex = commy_pki_hex (fingerprint, COMMY_PKI_FINGERPRINT_SIZE);

  return g_strconcat ("sha256:", hex, NULL);
}

/* --- addresses --- */

static gboolean
is_host (const char *at, gsize size)
{
  gboolean bracketed = size > 2 && at[0] == '[' && at[size - 1] == ']';

  if (bracketed)
    {
      at++;
      size -= 2;
    }
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (at[i]) && strchr (bracketed ? ":.%-_" : ".-_", at[i]) == NULL)
      return FALSE;
  return size > 0;
}

gboolean
commy_pki_check_address (const char *text, GError **error)
{
  const char *colon = strrchr (text, ':');
  guint64 port;

  if (colon != NULL && strlen (text) <= ADDRESS_MAX && is_host (text, (gsize) (colon - text))
      && g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT16, &port, NULL))
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "not an address: \"%.64s\" (HOST:PORT, or [V6]:PORT)", text);
  return FALSE;
}

/* --- the token --- */

void
commy_pki_token_free (CommyPkiToken *token)
{
  if (token == NULL)
    return;
  gnutls_memset (token->secret, 0, sizeof token->secret);
  g_strfreev (token->addresses);
  g_free (token);
}

static gboolean
check_addresses (const char *const *addresses, GError **error)
{
  guint n = g_strv_length ((char **) addresses);

  for (guint i = 0; i < n; i++)
    if (!commy_pki_check_address (addresses[i], error))
      return FALSE;
  if (n >= 1 && n <= COMMY_PKI_ADDRESSES_MAX)
    return TRUE;
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                       "a join token has 1 to 4 addresses");
  return FALSE;
}

CommyPkiToken *
commy_pki_token_new (const guint8 *fingerprint,
                     const char *const *addresses,
                     gint64 expires_s,
                     GError **error)
{
  g_autoptr (CommyPkiToken) token = g_new0 (CommyPkiToken, 1);
  g_autofree char *id = NULL;
  guint8 bytes[ID_BYTES];

  if (!check_addresses (addresses, error)
      || !commy_pki_check (gnutls_rnd (GNUTLS_RND_KEY, token->secret, sizeof token->secret),
                           "cannot make a secret", error)
      || !commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, bytes, sizeof bytes),
                           "cannot make a token", error))
    return NULL;
  id = commy_pki_hex (bytes, sizeof bytes);
  g_strlcpy (token->id, id, sizeof token->id);
  memcpy (token->fingerprint, fingerprint, sizeof token->fingerprint);
  token->expires_s = expires_s;
  token->addresses = g_strdupv ((char **) addresses);
  return g_steal_pointer (&token);
}

static void
checksum (const guint8 *bytes, gsize size, guint8 out[CHECK_SIZE])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 digest[32];
  gsize length = sizeof digest;

  g_checksum_update (sum, (const guchar *) PREFIX, strlen (PREFIX));
  g_checksum_update (sum, bytes, (gssize) size);
  g_checksum_get_digest (sum, digest, &length);
  memcpy (out, digest, CHECK_SIZE);
}

static void
append_number (GByteArray *bytes, guint64 value)
{
  guint64 big = GUINT64_TO_BE (value);

  g_byte_array_append (bytes, (const guint8 *) &big, sizeof big);
}

static void
append_id (GByteArray *bytes, const char *id)
{
  for (guint i = 0; i < ID_BYTES; i++)
    {
      guint8 byte
          = (guint8) (g_ascii_xdigit_value (id[2 * i]) << 4 | g_ascii_xdigit_value (id[2 * i + 1]));

      g_byte_array_append (bytes, &byte, 1);
    }
}

char *
commy_pki_token_to_text (const CommyPkiToken *token)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  GString *text = g_string_new (PREFIX);
  guint8 n = (guint8) g_strv_length (token->addresses);
  guint8 check[CHECK_SIZE];

  append_id (bytes, token->id);
  g_byte_array_append (bytes, token->secret, sizeof token->secret);
  g_byte_array_append (bytes, token->fingerprint, sizeof token->fingerprint);
  append_number (bytes, (guint64) token->expires_s);
  g_byte_array_append (bytes, &n, 1);
  for (guint i = 0; i < n; i++)
    {
      guint8 size = (guint8) strlen (token->addresses[i]);

      g_byte_array_append (bytes, &size, 1);
      g_byte_array_append (bytes, (const guint8 *) token->addresses[i], size);
    }
  checksum (bytes->data, bytes->len, check);
  g_byte_array_append (bytes, check, sizeof check);
  commy_pki_base32_encode (text, bytes->data, bytes->len);
  gnutls_memset (bytes->data, 0, bytes->len);
  return g_string_free (text, FALSE);
}

/* Without the blanks and line ends that copying adds; upper case as lower. */
static char *
squeeze (const char *text)
{
  char *tight = g_malloc (strlen (text) + 1);
  gsize size = 0;

  for (; *text != '\0'; text++)
    if (!g_ascii_isspace (*text))
      tight[size++] = g_ascii_tolower (*text);
  tight[size] = '\0';
  return tight;
}

static gboolean
read_addresses (CommyPkiToken *token, const guint8 *at, gsize size, guint8 n)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < n; i++)
    {
      char *address;

      if (size < 1 || size < 1u + at[0] || memchr (at + 1, 0, at[0]) != NULL)
        return FALSE;
      address = g_strndup ((const char *) at + 1, at[0]);
      g_ptr_array_add (list, address);
      size -= 1u + at[0];
      at += 1u + at[0];
    }
  g_ptr_array_add (list, NULL);
  token->addresses = (char **) g_ptr_array_free (g_steal_pointer (&list), FALSE);
  return size == 0 && check_addresses ((const char *const *) token->addresses, NULL);
}

static gboolean
read_payload (CommyPkiToken *token, const GByteArray *bytes, GError **error)
{
  const guint8 *at = bytes->data;
  gsize size = bytes->len;
  g_autofree char *id = NULL;
  guint8 check[CHECK_SIZE];
  guint64 big;

  if (size < FIXED_SIZE + CHECK_SIZE)
    return refuse (error, "the join token is cut off: copy the whole of it");
  size -= CHECK_SIZE;
  checksum (at, size, check);
  if (memcmp (check, at + size, CHECK_SIZE) != 0)
    return refuse (error, "the join token is damaged, its checksum does not fit: copy it again");
  id = commy_pki_hex (at, ID_BYTES);
  g_strlcpy (token->id, id, sizeof token->id);
  at += ID_BYTES;
  memcpy (token->secret, at, sizeof token->secret);
  at += sizeof token->secret;
  memcpy (token->fingerprint, at, sizeof token->fingerprint);
  at += sizeof token->fingerprint;
  memcpy (&big, at, sizeof big);
  at += sizeof big;
  token->expires_s = (gint64) GUINT64_FROM_BE (big);
  if (token->expires_s < 0 || !read_addresses (token, at + 1, size - FIXED_SIZE, *at))
    return refuse (error, "the join token names no address that can be used");
  return TRUE;
}

CommyPkiToken *
commy_pki_token_parse (const char *text, GError **error)
{
  g_autoptr (CommyPkiToken) token = g_new0 (CommyPkiToken, 1);
  GByteArray *bytes;
  char *tight;
  gboolean read = FALSE;

  if (strlen (text) > COMMY_PKI_TOKEN_TEXT_MAX)
    return refuse (error, "this is no join token: it is too long"), NULL;
  tight = squeeze (text);
  bytes = g_byte_array_new ();
  if (!g_str_has_prefix (tight, NAME))
    refuse (error, "this is no join token: one begins with \"" PREFIX "\" (make one where the "
                   "authority is: commy pki token create)");
  else if (!g_str_has_prefix (tight, PREFIX))
    g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_VERSION,
                         "the join token is of another version than \"" PREFIX "\": use the same "
                         "version of Commy on both hosts");
  else if (!commy_pki_base32_decode (bytes, tight + strlen (PREFIX)))
    refuse (error, "the join token is damaged, a character does not belong there: copy it again");
  else
    read = read_payload (token, bytes, error);
  commy_pki_free_secret (tight);
  if (bytes->len > 0)
    gnutls_memset (bytes->data, 0, bytes->len);
  g_byte_array_unref (bytes);
  return read ? g_steal_pointer (&token) : NULL;
}
