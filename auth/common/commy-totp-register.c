/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file `totp` of a node: whose second factor is which secret, and what of it was used. A
 * keyfile with a group for each, whole or not there at all, for its owner only.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-pki-seal.h"
#include "auth/common/commy-totp-private.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME COMMY_TOTP_FILE ".lock"
#define FILE_MAX (4u * 1024u * 1024u)
#define SEALED_TEXT_MAX 256u
#define ID_BYTES (COMMY_API_KEY_ID_SIZE / 2)
#define CODE_BYTES 10u

struct _CommyTotpRegister
{
  char *dir;           /* NULL: not from a file */
  char *key;           /* or NULL */
  int lock;            /* -1: not to be saved */
  GHashTable *entries; /* id -> CommyTotpEntry */
};

static void
entry_free (gpointer data)
{
  CommyTotpEntry *entry = data;

  g_free (entry->id);
  g_free (entry->principal);
  g_free (entry->sealed);
  g_free (entry);
}

static CommyTotpRegister *
register_new (void)
{
  CommyTotpRegister *self = g_new0 (CommyTotpRegister, 1);

  self->lock = -1;
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  return self;
}

void
commy_totp_register_free (CommyTotpRegister *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->dir);
  g_free (self->key);
  g_free (self);
}

/* --- reading --- */

/* From 0 to @max; 0 where the key is absent. */
static gboolean
read_number (GKeyFile *file, const char *id, const char *key, gint64 max, gint64 *out)
{
  g_autoptr (GError) error = NULL;

  *out = g_key_file_get_int64 (file, id, key, &error);
  if (g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND))
    return TRUE;
  return error == NULL && *out >= 0 && *out <= max;
}

static gboolean
is_hex (const char *text, gsize size)
{
  return text != NULL && strlen (text) == 2 * size && strspn (text, "0123456789abcdef") == 2 * size;
}

static gboolean
read_codes (GKeyFile *file, const char *id, CommyTotpEntry *entry)
{
  g_autofree char *salt = g_key_file_get_string (file, id, "salt", NULL);
  g_auto (GStrv) codes = g_key_file_get_string_list (file, id, "codes", NULL, NULL);

  if (!is_hex (salt, sizeof entry->salt)
      || !commy_pki_seal_from_hex (salt, sizeof entry->salt, entry->salt))
    return FALSE;
  for (char **code = codes; code != NULL && *code != NULL; code++)
    {
      if (entry->n_codes == COMMY_TOTP_BACKUP_CODES || !is_hex (*code, sizeof entry->codes[0])
          || !commy_pki_seal_from_hex (*code, sizeof entry->codes[0], entry->codes[entry->n_codes]))
        return FALSE;
      entry->n_codes++;
    }
  return TRUE;
}

/* Anything that is there must be right: half an entry could let a code count again. */
static gboolean
read_entry (GKeyFile *file, const char *id, CommyTotpEntry *entry)
{
  g_autofree char *hash = g_key_file_get_string (file, id, "algorithm", NULL);
  g_autoptr (GError) error = NULL;
  gint64 digits, failures;

  entry->principal = g_key_file_get_string (file, id, "principal", NULL);
  entry->sealed = g_key_file_get_string (file, id, "sealed", NULL);
  entry->is_revoked = g_key_file_get_boolean (file, id, "revoked", &error);
  if (error != NULL && !g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND))
    return FALSE;
  if (entry->principal == NULL || !commy_api_key_is_principal (entry->principal) || hash == NULL
      || !commy_totp_hash_parse (hash, &entry->hash) || entry->sealed == NULL
      || strlen (entry->sealed) > SEALED_TEXT_MAX
      || !is_hex (entry->sealed, strlen (entry->sealed) / 2)
      || !read_number (file, id, "digits", COMMY_TOTP_DIGITS_MAX, &digits) || digits < 6
      || !read_number (file, id, "created", G_MAXINT64, &entry->created_s)
      || !read_number (file, id, "last-step", G_MAXINT64, &entry->last_step)
      || !read_number (file, id, "used", G_MAXINT64, &entry->used_s)
      || !read_number (file, id, "failures", COMMY_TOTP_FAILURES_MAX, &failures)
      || !read_number (file, id, "failed", G_MAXINT64, &entry->failed_s))
    return FALSE;
  entry->digits = (guint) digits;
  entry->failures = (guint) failures;
  return read_codes (file, id, entry);
}

static gboolean
fail (GError **error, const char *why)
{
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, why);
  return FALSE;
}

static gboolean
read_entries (CommyTotpRegister *self, GKeyFile *file, GError **error)
{
  gsize n = 0;
  g_auto (GStrv) ids = g_key_file_get_groups (file, &n);

  if (n > COMMY_TOTP_MAX)
    return fail (error, "it has more than 1024 entries");
  for (gsize i = 0; i < n; i++)
    {
      CommyTotpEntry *entry = g_new0 (CommyTotpEntry, 1);

      entry->id = g_strdup (ids[i]);
      g_hash_table_replace (self->entries, entry->id, entry);
      if (commy_api_key_is_id (ids[i]) && read_entry (file, ids[i], entry))
        continue;
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "its entry [%.64s] is damaged",
                   ids[i]);
      return FALSE;
    }
  return TRUE;
}

CommyTotpRegister *
commy_totp_register_parse (const char *text, gsize size, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (CommyTotpRegister) self = register_new ();

  if (!g_key_file_load_from_data (file, text, size, G_KEY_FILE_NONE, error)
      || !read_entries (self, file, error))
    return NULL;
  return g_steal_pointer (&self);
}

CommyTotpRegister *
commy_totp_register_load (const char *dir, const char *key, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_TOTP_FILE, NULL);
  CommyTotpRegister *self = NULL;
  g_autoptr (GError) why = NULL;
  struct stat about;
  char *text;

  if (lstat (path, &about) != 0 && errno == ENOENT)
    self = register_new ();
  else
    {
      text = commy_credential_read (path, FILE_MAX, error);
      if (text == NULL)
        return NULL;
      self = commy_totp_register_parse (text, strlen (text), &why);
      commy_credential_free (text);
    }
  if (self == NULL)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                   "the file of one-time codes %s cannot be used: %s", path, why->message);
      return NULL;
    }
  self->dir = g_strdup (dir);
  self->key = g_strdup (key);
  return self;
}

CommyTotpRegister *
commy_totp_register_open (const char *dir, const char *key, GError **error)
{
  CommyTotpRegister *self;
  int lock;

  if (!commy_pki_make_dir (dir, error))
    return NULL;
  lock = commy_pki_lock (dir, LOCK_NAME, TRUE, error);
  if (lock < 0)
    return NULL;
  self = commy_totp_register_load (dir, key, error);
  if (self == NULL)
    close (lock);
  else
    self->lock = lock;
  return self;
}

/* --- writing --- */

static void
write_number (GKeyFile *file, const char *id, const char *key, gint64 value)
{
  if (value != 0)
    g_key_file_set_int64 (file, id, key, value);
}

static void
write_entry (GKeyFile *file, const CommyTotpEntry *entry)
{
  const char *id = entry->id;
  g_autofree char *salt = commy_pki_hex (entry->salt, sizeof entry->salt);
  g_autoptr (GPtrArray) codes = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < entry->n_codes; i++)
    g_ptr_array_add (codes, commy_pki_hex (entry->codes[i], sizeof entry->codes[i]));
  g_key_file_set_string (file, id, "principal", entry->principal);
  g_key_file_set_string (file, id, "algorithm", commy_totp_hash_to_text (entry->hash));
  g_key_file_set_int64 (file, id, "digits", entry->digits);
  g_key_file_set_string (file, id, "sealed", entry->sealed);
  if (entry->is_revoked)
    g_key_file_set_boolean (file, id, "revoked", TRUE);
  write_number (file, id, "created", entry->created_s);
  write_number (file, id, "last-step", entry->last_step);
  write_number (file, id, "used", entry->used_s);
  write_number (file, id, "failures", entry->failures);
  write_number (file, id, "failed", entry->failed_s);
  g_key_file_set_string (file, id, "salt", salt);
  if (codes->len > 0)
    g_key_file_set_string_list (file, id, "codes", (const char *const *) codes->pdata, codes->len);
}

gboolean
commy_totp_register_save (CommyTotpRegister *self, GError **error)
{
  g_autoptr (GPtrArray) entries = commy_totp_register_list (self);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;

  g_return_val_if_fail (self->lock >= 0, FALSE);
  for (guint i = 0; i < entries->len; i++)
    write_entry (file, entries->pdata[i]);
  text = g_key_file_to_data (file, NULL, NULL);
  return commy_pki_write_file (self->dir, COMMY_TOTP_FILE,
                               *text != '\0' ? text : "# no one-time codes\n", 0600, FALSE, error);
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
    return refuse (error, COMMY_ERROR_STATE_DIR, principal,
                   "has a secret already; revoke it first (commy totp ls)");
  if (g_hash_table_size (self->entries) >= COMMY_TOTP_MAX)
    return refuse (error, COMMY_ERROR_STATE_DIR, principal,
                   "would be one too many; remove what is revoked (commy totp rm)");
  return TRUE;
}

static CommyTotpEntry *
make_entry (CommyTotpRegister *self, const char *principal, const CommyTotpKey *key, GError **error)
{
  CommyTotpEntry *entry = g_new0 (CommyTotpEntry, 1);
  guint8 seal_key[COMMY_TOTP_SEAL_KEY_SIZE];
  guint8 id[ID_BYTES];

  entry->principal = g_strdup (principal);
  entry->hash = key->hash;
  entry->digits = key->digits;
  if (commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, id, sizeof id), "random bytes", error)
      && commy_pki_check (gnutls_rnd (GNUTLS_RND_NONCE, entry->salt, sizeof entry->salt),
                          "random bytes", error)
      && commy_totp_seal_key (self->dir, self->key, TRUE, seal_key, error))
    {
      entry->id = commy_pki_hex (id, sizeof id);
      entry->sealed = commy_totp_seal (seal_key, entry, key, error);
    }
  explicit_bzero (seal_key, sizeof seal_key);
  if (entry->sealed != NULL)
    return entry;
  entry_free (entry);
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

  g_return_val_if_fail (self->lock >= 0, NULL);
  entry = check_new (self, principal, error) ? make_entry (self, principal, key, error) : NULL;
  if (entry == NULL)
    return NULL;
  entry->created_s = now_s;
  *out_codes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_credential_free);
  while (entry->n_codes < COMMY_TOTP_BACKUP_CODES)
    g_ptr_array_add (*out_codes, make_backup_code (entry));
  g_hash_table_replace (self->entries, entry->id, entry);
  return entry;
}

gboolean
commy_totp_register_revoke (CommyTotpRegister *self, const char *id, GError **error)
{
  CommyTotpEntry *entry = g_hash_table_lookup (self->entries, id);

  if (entry == NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there; see commy totp ls");
  entry->is_revoked = TRUE;
  return TRUE;
}

gboolean
commy_totp_register_remove (CommyTotpRegister *self, const char *id, GError **error)
{
  if (g_hash_table_remove (self->entries, id))
    return TRUE;
  return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there; see commy totp ls");
}

const CommyTotpEntry *
commy_totp_register_find (CommyTotpRegister *self, const char *id)
{
  return g_hash_table_lookup (self->entries, id);
}

CommyTotpEntry *
commy_totp_register_find_principal (CommyTotpRegister *self, const char *principal)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyTotpEntry *entry = value;

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
  gboolean opened = commy_totp_seal_key (self->dir, self->key, FALSE, seal_key, error)
                    && commy_totp_unseal (seal_key, entry, out_key, error);

  explicit_bzero (seal_key, sizeof seal_key);
  return opened;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  const CommyTotpEntry *one = *(CommyTotpEntry *const *) a;
  const CommyTotpEntry *other = *(CommyTotpEntry *const *) b;

  if (one->created_s != other->created_s)
    return one->created_s < other->created_s ? -1 : 1;
  return strcmp (one->id, other->id);
}

GPtrArray *
commy_totp_register_list (CommyTotpRegister *self)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer entry;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &entry))
    g_ptr_array_add (list, entry);
  g_ptr_array_sort (list, compare);
  return list;
}
