/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ed25519 keys as 32 bytes, for seals.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-pki-seal.h"

#include <gnutls/crypto.h>
#include <string.h>

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_privkey_t, gnutls_privkey_deinit, NULL)

static gnutls_datum_t
datum (gconstpointer data, gsize size)
{
  return (gnutls_datum_t){ (unsigned char *) data, (unsigned) size };
}

/* Takes what GnuTLS allocated. */
static gboolean
take (gnutls_datum_t *from, guint8 *out, gsize size)
{
  gboolean fits = from->size == size;

  if (fits)
    memcpy (out, from->data, size);
  if (from->data != NULL)
    explicit_bzero (from->data, from->size);
  gnutls_free (from->data);
  from->data = NULL;
  return fits;
}

gboolean
commy_pki_seal_key_make (CommyPkiSealKey *key, GError **error)
{
  g_auto (gnutls_privkey_t) made = NULL;
  gnutls_datum_t x = { NULL, 0 }, k = { NULL, 0 };
  gboolean ok;
  int code = gnutls_privkey_init (&made);

  if (code >= 0)
    code = gnutls_privkey_generate2 (made, GNUTLS_PK_EDDSA_ED25519, 0, 0, NULL, 0);
  if (code >= 0)
    code = gnutls_privkey_export_ecc_raw2 (made, NULL, &x, NULL, &k, 0);
  if (!commy_pki_check (code, "cannot make a key for seals", error))
    return FALSE;
  ok = take (&x, key->public_half, sizeof key->public_half);
  ok = take (&k, key->private_half, sizeof key->private_half) && ok;
  return ok || commy_pki_check (GNUTLS_E_INTERNAL_ERROR, "a key for seals has an odd size", error);
}

/* What is signed. (transfer full) */
static GByteArray *
join (const char *what, gconstpointer bytes, gsize size, const guint8 *next)
{
  GByteArray *all = g_byte_array_new ();

  g_byte_array_append (all, (const guint8 *) what, (guint) strlen (what) + 1);
  g_byte_array_append (all, bytes, (guint) size);
  return g_byte_array_append (all, next, COMMY_PKI_SEAL_KEY_SIZE);
}

gboolean
commy_pki_seal_key_sign (const CommyPkiSealKey *key,
                         const char *what,
                         gconstpointer bytes,
                         gsize size,
                         const guint8 next[COMMY_PKI_SEAL_KEY_SIZE],
                         guint8 out_signature[COMMY_PKI_SEAL_SIGNATURE_SIZE],
                         GError **error)
{
  g_auto (gnutls_privkey_t) own = NULL;
  g_autoptr (GByteArray) all = join (what, bytes, size, next);
  gnutls_datum_t x = datum (key->public_half, sizeof key->public_half);
  gnutls_datum_t k = datum (key->private_half, sizeof key->private_half);
  gnutls_datum_t data = datum (all->data, all->len);
  gnutls_datum_t signature = { NULL, 0 };
  int code = gnutls_privkey_init (&own);

  if (code >= 0)
    code = gnutls_privkey_import_ecc_raw (own, GNUTLS_ECC_CURVE_ED25519, &x, NULL, &k);
  if (code >= 0)
    code = gnutls_privkey_sign_data2 (own, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &signature);
  if (code >= 0 && !take (&signature, out_signature, COMMY_PKI_SEAL_SIGNATURE_SIZE))
    code = GNUTLS_E_INTERNAL_ERROR;
  return commy_pki_check (code, "cannot sign a seal", error);
}

gboolean
commy_pki_seal_key_verify (const guint8 key[COMMY_PKI_SEAL_KEY_SIZE],
                           const char *what,
                           gconstpointer bytes,
                           gsize size,
                           const guint8 next[COMMY_PKI_SEAL_KEY_SIZE],
                           const guint8 signature[COMMY_PKI_SEAL_SIGNATURE_SIZE])
{
  g_auto (gnutls_pubkey_t) theirs = NULL;
  g_autoptr (GByteArray) all = join (what, bytes, size, next);
  gnutls_datum_t x = datum (key, COMMY_PKI_SEAL_KEY_SIZE);
  gnutls_datum_t data = datum (all->data, all->len);
  gnutls_datum_t signed_by = datum (signature, COMMY_PKI_SEAL_SIGNATURE_SIZE);

  return gnutls_pubkey_init (&theirs) >= 0
         && gnutls_pubkey_import_ecc_raw (theirs, GNUTLS_ECC_CURVE_ED25519, &x, NULL) >= 0
         && gnutls_pubkey_verify_data2 (theirs, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &signed_by)
                >= 0;
}

void
commy_pki_seal_hash (gconstpointer bytes, gsize size, guint8 *out_hash, gpointer user_data)
{
  if (gnutls_hash_fast (GNUTLS_DIG_SHA256, bytes, size, out_hash) < 0)
    memset (out_hash, 0, 32); /* of no record: whoever compares will notice */
}
