/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets of one-time codes as they lie in the register: sealed (AES-256-GCM) by a key that lies
 * elsewhere, and bound to whose they are, so that who can change the register alone cannot give one
 * principal the secret of another.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-pki-seal.h"
#include "auth/common/commy-totp-private.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/stat.h>

#define LABEL "commy totp seal 1"
#define NONCE_SIZE 12u
#define TAG_SIZE 16u
#define SEALED_MAX (NONCE_SIZE + COMMY_TOTP_SECRET_MAX + TAG_SIZE)

/* --- the key --- */

static gboolean
make_key (const char *dir, GError **error)
{
  guint8 bytes[COMMY_TOTP_SEAL_KEY_SIZE];
  char *hex;
  gboolean made;

  if (!commy_pki_check (gnutls_rnd (GNUTLS_RND_KEY, bytes, sizeof bytes), "random bytes", error))
    return FALSE;
  hex = commy_pki_hex (bytes, sizeof bytes);
  made = commy_pki_write_file (dir, COMMY_TOTP_KEY_FILE, hex, 0600, TRUE, error);
  explicit_bzero (bytes, sizeof bytes);
  commy_credential_free (hex);
  return made;
}

static char *
read_key (const char *dir, const char *name, gboolean make, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_TOTP_KEY_FILE, NULL);
  struct stat about;

  if (name != NULL && *name != '\0')
    return commy_credential_get (name, COMMY_CREDENTIAL_KEY_TEXT_MAX, error);
  if (make && lstat (path, &about) != 0 && errno == ENOENT && !make_key (dir, error))
    return NULL;
  return commy_credential_read (path, COMMY_CREDENTIAL_KEY_TEXT_MAX, error);
}

gboolean
commy_totp_seal_key (const char *dir,
                     const char *name,
                     gboolean make,
                     guint8 out_key[COMMY_TOTP_SEAL_KEY_SIZE],
                     GError **error)
{
  return commy_credential_derive_key (read_key (dir, name, make, error), LABEL,
                                      "secrets of one-time codes are sealed", out_key, error);
}

/* --- sealing --- */

static gboolean
open_cipher (const guint8 *seal_key, gnutls_aead_cipher_hd_t *out_cipher, GError **error)
{
  gnutls_datum_t datum = { (unsigned char *) seal_key, COMMY_TOTP_SEAL_KEY_SIZE };

  return commy_pki_check (gnutls_aead_cipher_init (out_cipher, GNUTLS_CIPHER_AES_256_GCM, &datum),
                          "AES-256-GCM", error);
}

/* What the secret is for: with any of it changed the seal does not open. */
static char *
describe (const CommyTotpEntry *entry)
{
  return g_strdup_printf (LABEL "\n%s\n%s\n%s\n%u", entry->id, entry->principal,
                          commy_totp_hash_to_text (entry->hash), entry->digits);
}

char *
commy_totp_seal (const guint8 *seal_key,
                 const CommyTotpEntry *entry,
                 const CommyTotpKey *key,
                 GError **error)
{
  g_autofree char *what = describe (entry);
  gnutls_aead_cipher_hd_t cipher;
  guint8 sealed[SEALED_MAX];
  gsize size = sizeof sealed - NONCE_SIZE;
  int code;

  if (!commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, sealed, NONCE_SIZE), "random bytes", error)
      || !open_cipher (seal_key, &cipher, error))
    return NULL;
  code = gnutls_aead_cipher_encrypt (cipher, sealed, NONCE_SIZE, what, strlen (what), TAG_SIZE,
                                     key->secret, key->secret_size, sealed + NONCE_SIZE, &size);
  gnutls_aead_cipher_deinit (cipher);
  if (!commy_pki_check (code, "cannot seal a secret", error))
    return NULL;
  return commy_pki_hex (sealed, NONCE_SIZE + size);
}

gboolean
commy_totp_unseal (const guint8 *seal_key,
                   const CommyTotpEntry *entry,
                   CommyTotpKey *out_key,
                   GError **error)
{
  g_autofree char *what = describe (entry);
  gsize sealed_size = strlen (entry->sealed) / 2;
  gnutls_aead_cipher_hd_t cipher;
  guint8 sealed[SEALED_MAX];
  int code = GNUTLS_E_DECRYPTION_FAILED;

  memset (out_key, 0, sizeof *out_key);
  out_key->hash = entry->hash;
  out_key->digits = entry->digits;
  out_key->secret_size = sizeof out_key->secret;
  if (sealed_size > SEALED_MAX || sealed_size < NONCE_SIZE + TAG_SIZE
      || !commy_pki_from_hex (entry->sealed, sealed_size, sealed)
      || !open_cipher (seal_key, &cipher, error))
    sealed_size = 0;
  else
    {
      code = gnutls_aead_cipher_decrypt (cipher, sealed, NONCE_SIZE, what, strlen (what), TAG_SIZE,
                                         sealed + NONCE_SIZE, sealed_size - NONCE_SIZE,
                                         out_key->secret, &out_key->secret_size);
      gnutls_aead_cipher_deinit (cipher);
    }
  if (code >= 0)
    return TRUE;
  commy_totp_key_clear (out_key);
  if (error != NULL && *error == NULL)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                 "the secret of %s does not open: the entry was changed, or it was sealed by "
                 "another key (param.key of [plugin auth/totp])",
                 entry->id);
  return FALSE;
}
