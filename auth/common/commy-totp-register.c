/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries of the file `totp` of a node: whose second factor is which secret, and what of it was
 * used.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-totp-private.h"

#include <gnutls/crypto.h>
#include <string.h>

#define FILE_MAX (4u * 1024u * 1024u)
#define SEALED_TEXT_MAX 256u
#define ID_BYTES (COMMY_API_KEY_ID_SIZE / 2)
#define CODE_BYTES 10u

/* --- an entry in the file --- */

static gboolean
read_codes (GKeyFile *file, const char *id, CommyTotpEntry *entry)
{
  g_auto (GStrv) codes = g_key_file_get_string_list (file, id, "codes", NULL, NULL);

  if (!commy_register_read_bytes (file, id, "salt", entry->salt, sizeof entry->salt))
    return FALSE;
  for (char **code = codes; code != NULL && *code != NULL; code++)
    {
      if (entry->n_codes == COMMY_TOTP_BACKUP_CODES
          || !commy_register_parse_bytes (*code, entry->codes[entry->n_codes],
                                          sizeof entry->codes[0]))
        return FALSE;
      entry->n_codes++;
    }
  return TRUE;
}

static gboolean
is_sealed (const char *text)
{
  gsize size = text != NULL ? strlen (text) : 0;

  return text != NULL && size <= SEALED_TEXT_MAX && size % 2 == 0
         && strspn (text, "0123456789abcdef") == size;
}

static gboolean
read_entry (GKeyFile *file, const char *id, gpointer entry_)
{
  CommyTotpEntry *entry = entry_;
  g_autofree char *hash = g_key_file_get_string (file, id, "algorithm", NULL);
  gint64 digits, failures;

  entry->principal = g_key_file_get_string (file, id, "principal", NULL);
  entry->sealed = g_key_file_get_string (file, id, "sealed", NULL);
  if (entry->principal == NULL || !commy_api_key_is_principal (entry->principal) || hash == NULL
      || !commy_totp_hash_parse (hash, &entry->hash) || !is_sealed (entry->sealed)
      || !commy_register_read_flag (file, id, "revoked", &entry->is_revoked)
      || !commy_register_read_number (file, id, "digits", COMMY_TOTP_DIGITS_MAX, &digits)
      || digits < 6
      || !commy_register_read_number (file, id, "created", G_MAXINT64, &entry->created_s)
      || !commy_register_read_number (file, id, "last-step", G_MAXINT64, &entry->last_step)
      || !commy_register_read_number (file, id, "used", G_MAXINT64, &entry->used_s)
      || !commy_register_read_number (file, id, "failures", COMMY_TOTP_FAILURES_MAX, &failures)
      || !commy_register_read_number (file, id, "failed", G_MAXINT64, &entry->failed_s))
    return FALSE;
  entry->digits = (guint) digits;
  entry->failures = (guint) failures;
  return read_codes (file, id, entry);
}

static void
write_entry (GKeyFile *file, const char *id, gconstpointer entry_)
{
  const CommyTotpEntry *entry = entry_;
  g_autoptr (GPtrArray) codes = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < entry->n_codes; i++)
    g_ptr_array_add (codes, commy_pki_hex (entry->codes[i], sizeof entry->codes[i]));
  g_key_file_set_string (file, id, "principal", entry->principal);
  g_key_file_set_string (file, id, "algorithm", commy_totp_hash_to_text (entry->hash));
  g_key_file_set_int64 (file, id, "digits", entry->digits);
  g_key_file_set_string (file, id, "sealed", entry->sealed);
  commy_register_write_flag (file, id, "revoked", entry->is_revoked);
  commy_register_write_number (file, id, "created", entry->created_s);
  commy_register_write_number (file, id, "last-step", entry->last_step);
  commy_register_write_number (file, id, "used", entry->used_s);
  commy_register_write_number (file, id, "failures", entry->failures);
  commy_register_write_number (file, id, "failed", entry->failed_s);
  commy_register_write_bytes (file, id, "salt", entry->salt, sizeof entry->salt);
  if (codes->len > 0)
    g_key_file_set_string_list (file, id, "codes", (const char *const *) codes->pdata, codes->len);
}

static void
clear_entry (gpointer entry_)
{
  CommyTotpEntry *entry = entry_;

  g_free (entry->principal);
  g_free (entry->sealed);
}

G_STATIC_ASSERT (G_STRUCT_OFFSET (CommyTotpEntry, id) == 0);

const CommyRegisterKind commy_totp_register_kind = {
  .noun = "secret",
  .nouns = "one-time codes",
  .command = "commy totp",
  .file_max = FILE_MAX,
  .entries_max = COMMY_TOTP_MAX,
  .entry_size = sizeof (CommyTotpEntry),
  .created_offset = G_STRUCT_OFFSET (CommyTotpEntry, created_s),
  .revoked_offset = G_STRUCT_OFFSET (CommyTotpEntry, is_revoked),
  .read = read_entry,
  .write = write_entry,
  .clear = clear_entry,
};

/* --- the register; with it goes the name of the key by which secrets are sealed --- */

static CommyTotpRegister *
take_key (CommyRegister *reg, const char *key)
{
  if (reg != NULL)
    commy_register_attach (reg, g_strdup (key), g_free);
  return reg;
}

CommyTotpRegister *
commy_totp_register_parse (const char *text, gsize size, GError **error)
{
  return commy_register_parse (&commy_totp_register_kind, text, size, error);
}

CommyTotpRegister *
commy_totp_register_load (const char *dir, const char *key, GError **error)
{
  return take_key (commy_register_load (&commy_totp_register_kind, dir, COMMY_TOTP_FILE, error),
                   key);
}

CommyTotpRegister *
commy_totp_register_open (const char *dir, const char *key, GError **error)
{
  return take_key (commy_register_open (&commy_totp_register_kind, dir, COMMY_TOTP_FILE, error),
                   key);
}

gboolean
commy_totp_register_save (CommyTotpRegister *self, GError **error)
{
  return commy_register_save (self, error);
}

void
commy_totp_register_free (CommyTotpRegister *self)
{
  commy_register_free (self);
}

gboolean
commy_totp_register_revoke (CommyTotpRegister *self, const char *id, GError **error)
{
  return commy_register_revoke (self, id, error);
}

gboolean
commy_totp_register_remove (CommyTotpRegister *self, const char *id, GError **error)
{
  return commy_register_remove (self, id, error);
}

const CommyTotpEntry *
commy_totp_register_find (CommyTotpRegister *self, const char *id)
{
  return commy_register_find (self, id);
}

GPtrArray *
commy_totp_register_list (CommyTotpRegister *self)
{
  return commy_register_list (self);
}

/* --- entries --- */

static gboolean
refuse (GError **error, CommyError code, const char *what, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, code, "%s %s", what, why);
  return FALSE;
}

/* Text, and its hash into the entry. */
static char *
make_backup_code (CommyTotpEntry *entry)
{
  guint8 bytes[CODE_BYTES];
  g_autoptr (GString) letters = g_string_sized_new (32);
  char *text = g_malloc0 (COMMY_TOTP_BACKUP_TEXT + 1);

  if (gnutls_rnd (GNUTLS_RND_KEY, bytes, sizeof bytes) < 0)
    g_error ("GnuTLS has no random bytes");
  commy_pki_base32_encode (letters, bytes, sizeof bytes);
  g_snprintf (text, COMMY_TOTP_BACKUP_TEXT + 1, "%.4s-%.4s-%.4s-%.4s", letters->str,
              letters->str + 4, letters->str + 8, letters->str + 12);
  commy_totp_hash_backup_code (entry->salt, text, entry->codes[entry->n_codes++]);
  explicit_bzero (bytes, sizeof bytes);
  explicit_bzero (letters->str, letters->len);
  return text;
}

static gboolean
check_new (CommyTotpRegister *self, const char *principal, GError **error)
{
  if (!commy_api_key_is_principal (principal))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, principal,
                   "is no principal such as unix:uid=1000, of at most 240 bytes");
  if (commy_totp_register_find_principal (self, principal) != NULL)
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, principal,
                   "has a secret already; revoke it first (commy totp ls)");
  if (commy_register_is_full (self))
    return refuse (error, COMMY_ERROR_STATE_DIR, principal,
                   "would be one too many; remove what is revoked (commy totp rm)");
  return TRUE;
}

/* By which secrets are sealed. @make: it is made where it is not there. */
static gboolean
get_seal_key (CommyTotpRegister *self,
              gboolean make,
              guint8 out_key[COMMY_TOTP_SEAL_KEY_SIZE],
              GError **error)
{
  return commy_totp_seal_key (commy_register_get_dir (self), commy_register_get_attached (self),
                              make, out_key, error);
}

/* (transfer full) */
static char *
make_id (GError **error)
{
  guint8 id[ID_BYTES];

  return commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, id, sizeof id), "random bytes", error)
             ? commy_pki_hex (id, sizeof id)
             : NULL;
}

static CommyTotpEntry *
make_entry (CommyTotpRegister *self, const char *principal, const CommyTotpKey *key, GError **error)
{
  g_autofree char *id = make_id (error);
  CommyTotpEntry *entry
      = id != NULL ? commy_register_new_entry (&commy_totp_register_kind, id) : NULL;
  guint8 seal_key[COMMY_TOTP_SEAL_KEY_SIZE];

  if (entry == NULL)
    return NULL;
  entry->principal = g_strdup (principal);
  entry->hash = key->hash;
  entry->digits = key->digits;
  if (commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, entry->salt, sizeof entry->salt),
                       "random bytes", error)
      && get_seal_key (self, TRUE, seal_key, error))
    entry->sealed = commy_totp_seal (seal_key, entry, key, error);
  explicit_bzero (seal_key, sizeof seal_key);
  if (entry->sealed != NULL)
    return entry;
  commy_register_free_entry (&commy_totp_register_kind, entry);
  return NULL;
}

const CommyTotpEntry *
commy_totp_register_add (CommyTotpRegister *self,
                         const char *principal,
                         const CommyTotpKey *key,
                         gint64 now_s,
                         GPtrArray **out_codes,
                         GError **error)
{
  CommyTotpEntry *entry;

  g_return_val_if_fail (commy_register_is_open (self), NULL);
  entry = check_new (self, principal, error) ? make_entry (self, principal, key, error) : NULL;
  if (entry == NULL)
    return NULL;
  entry->created_s = now_s;
  *out_codes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_credential_free);
  while (entry->n_codes < COMMY_TOTP_BACKUP_CODES)
    g_ptr_array_add (*out_codes, make_backup_code (entry));
  commy_register_add (self, entry);
  return entry;
}

CommyTotpEntry *
commy_totp_register_find_principal (CommyTotpRegister *self, const char *principal)
{
  g_autoptr (GPtrArray) entries = commy_register_list (self);

  for (guint i = 0; i < entries->len; i++)
    {
      CommyTotpEntry *entry = entries->pdata[i];

      if (!entry->is_revoked && strcmp (entry->principal, principal) == 0)
        return entry;
    }
  return NULL;
}

gboolean
commy_totp_register_unseal (CommyTotpRegister *self,
                            const CommyTotpEntry *entry,
                            CommyTotpKey *out_key,
                            GError **error)
{
  guint8 seal_key[COMMY_TOTP_SEAL_KEY_SIZE];
  gboolean opened = get_seal_key (self, FALSE, seal_key, error)
                    && commy_totp_unseal (seal_key, entry, out_key, error);

  explicit_bzero (seal_key, sizeof seal_key);
  return opened;
}
