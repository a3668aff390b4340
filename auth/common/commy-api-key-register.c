/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file `tokens` of a node: what it takes to check keys, never a key. A keyfile with a group for
 * each, whole or not there at all, for its owner only.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1024u * 1024u)
#define WORD_MAX 63u
#define SCOPES_MAX 16u

struct _CommyApiKeyRegister
{
  char *dir;           /* NULL: not from a file */
  char *file;          /* its name */
  int lock;            /* -1: not to be saved */
  GHashTable *entries; /* id -> CommyApiKeyEntry */
};

static void
entry_free (gpointer data)
{
  CommyApiKeyEntry *entry = data;

  explicit_bzero (&entry->verifier, sizeof entry->verifier);
  g_free (entry->id);
  g_free (entry->name);
  g_strfreev (entry->scopes);
  g_free (entry->principal);
  g_free (entry);
}

static CommyApiKeyRegister *
register_new (void)
{
  CommyApiKeyRegister *self = g_new0 (CommyApiKeyRegister, 1);

  self->lock = -1;
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  return self;
}

void
commy_api_key_register_free (CommyApiKeyRegister *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->dir);
  g_free (self->file);
  g_free (self);
}

static gboolean
refuse (GError **error, CommyError code, const char *id, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, code, "token %s %s", id, why);
  return FALSE;
}

/* --- reading --- */

static gboolean
is_word (const char *text)
{
  gsize length = strlen (text);

  if (length == 0 || length > WORD_MAX)
    return FALSE;
  for (const char *at = text; *at != '\0'; at++)
    if (!g_ascii_isalnum (*at) && strchr (".-_/@+:", *at) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
are_words (const char *const *words)
{
  guint n = 0;

  for (; words != NULL && *words != NULL; words++)
    if (++n > SCOPES_MAX || !is_word (*words))
      return FALSE;
  return TRUE;
}

static gboolean
read_bytes (GKeyFile *file, const char *id, const char *key, guint8 *out, gsize size)
{
  g_autofree char *hex = g_key_file_get_string (file, id, key, NULL);

  if (hex == NULL || strlen (hex) != 2 * size || strspn (hex, "0123456789abcdef") != 2 * size)
    return FALSE;
  for (gsize i = 0; i < size; i++)
    out[i]
        = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return TRUE;
}

/* Seconds since 1970; 0 where the key is absent. */
static gboolean
read_time (GKeyFile *file, const char *id, const char *key, gint64 *out_s)
{
  g_autoptr (GError) error = NULL;

  *out_s = g_key_file_get_int64 (file, id, key, &error);
  if (g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND))
    return TRUE;
  return error == NULL && *out_s >= 0;
}

/* Anything that is there must be right: half an entry could count longer than it should. */
static gboolean
read_entry (GKeyFile *file, const char *id, CommyApiKeyEntry *entry)
{
  g_autoptr (GError) error = NULL;

  entry->name = g_key_file_get_string (file, id, "name", NULL);
  entry->scopes = g_key_file_get_string_list (file, id, "scopes", NULL, NULL);
  entry->principal = g_key_file_get_string (file, id, "principal", NULL);
  entry->is_revoked = g_key_file_get_boolean (file, id, "revoked", &error);
  if (error != NULL && !g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND))
    return FALSE;
  return (entry->name == NULL || is_word (entry->name))
         && are_words ((const char *const *) entry->scopes)
         && (entry->principal == NULL ? !g_key_file_has_key (file, id, "principal", NULL)
                                      : commy_api_key_is_principal (entry->principal))
         && read_time (file, id, "created", &entry->created_s)
         && read_time (file, id, "expires", &entry->expires_s)
         && read_bytes (file, id, "pepper", entry->verifier.pepper, COMMY_API_KEY_PEPPER_SIZE)
         && read_bytes (file, id, "stored", entry->verifier.stored, COMMY_API_KEY_HASH_SIZE)
         && read_bytes (file, id, "server", entry->verifier.server, COMMY_API_KEY_HASH_SIZE);
}

CommyApiKeyRegister *
commy_api_key_register_parse (const char *text, gsize size, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (CommyApiKeyRegister) self = register_new ();
  g_auto (GStrv) ids = NULL;
  gsize n = 0;

  if (!g_key_file_load_from_data (file, text, size, G_KEY_FILE_NONE, error))
    return NULL;
  ids = g_key_file_get_groups (file, &n);
  if (n > COMMY_API_KEYS_MAX)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "it has more than %u tokens",
                   COMMY_API_KEYS_MAX);
      return NULL;
    }
  for (gsize i = 0; i < n; i++)
    {
      CommyApiKeyEntry *entry = g_new0 (CommyApiKeyEntry, 1);

      entry->id = g_strdup (ids[i]);
      g_hash_table_insert (self->entries, entry->id, entry);
      if (commy_api_key_is_id (ids[i]) && read_entry (file, ids[i], entry))
        continue;
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "its entry [%.64s] is damaged",
                   ids[i]);
      return NULL;
    }
  return g_steal_pointer (&self);
}

CommyApiKeyRegister *
commy_api_key_register_load_file (const char *dir, const char *file, GError **error)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  CommyApiKeyRegister *self = NULL;
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
      self = commy_api_key_register_parse (text, strlen (text), &why);
      commy_credential_free (text);
    }
  if (self == NULL)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                 "the file of tokens %s cannot be used: %s", path, why->message);
  else
    {
      self->dir = g_strdup (dir);
      self->file = g_strdup (file);
    }
  return self;
}

CommyApiKeyRegister *
commy_api_key_register_load (const char *dir, GError **error)
{
  return commy_api_key_register_load_file (dir, COMMY_API_KEYS_FILE, error);
}

CommyApiKeyRegister *
commy_api_key_register_open_file (const char *dir, const char *file, GError **error)
{
  g_autofree char *lock_name = g_strconcat (file, ".lock", NULL);
  CommyApiKeyRegister *self;
  int lock;

  if (!commy_pki_make_dir (dir, error))
    return NULL;
  lock = commy_pki_lock (dir, lock_name, TRUE, error);
  if (lock < 0)
    return NULL;
  self = commy_api_key_register_load_file (dir, file, error);
  if (self == NULL)
    close (lock);
  else
    self->lock = lock;
  return self;
}

CommyApiKeyRegister *
commy_api_key_register_open (const char *dir, GError **error)
{
  return commy_api_key_register_open_file (dir, COMMY_API_KEYS_FILE, error);
}

/* --- writing --- */

static void
write_bytes (GKeyFile *file, const char *id, const char *key, const guint8 *bytes, gsize size)
{
  g_autofree char *hex = commy_pki_hex (bytes, size);

  g_key_file_set_string (file, id, key, hex);
}

static void
write_entry (GKeyFile *file, const CommyApiKeyEntry *entry)
{
  const char *id = entry->id;

  if (entry->name != NULL)
    g_key_file_set_string (file, id, "name", entry->name);
  if (entry->scopes != NULL && entry->scopes[0] != NULL)
    g_key_file_set_string_list (file, id, "scopes", (const char *const *) entry->scopes,
                                g_strv_length (entry->scopes));
  if (entry->principal != NULL)
    g_key_file_set_string (file, id, "principal", entry->principal);
  g_key_file_set_int64 (file, id, "created", entry->created_s);
  if (entry->expires_s != 0)
    g_key_file_set_int64 (file, id, "expires", entry->expires_s);
  if (entry->is_revoked)
    g_key_file_set_boolean (file, id, "revoked", TRUE);
  write_bytes (file, id, "pepper", entry->verifier.pepper, COMMY_API_KEY_PEPPER_SIZE);
  write_bytes (file, id, "stored", entry->verifier.stored, COMMY_API_KEY_HASH_SIZE);
  write_bytes (file, id, "server", entry->verifier.server, COMMY_API_KEY_HASH_SIZE);
}

gboolean
commy_api_key_register_save (CommyApiKeyRegister *self, GError **error)
{
  g_autoptr (GPtrArray) entries = commy_api_key_register_list (self);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  char *text;
  gboolean saved;

  g_return_val_if_fail (self->lock >= 0, FALSE);
  for (guint i = 0; i < entries->len; i++)
    write_entry (file, entries->pdata[i]);
  text = g_key_file_to_data (file, NULL, NULL);
  if (*text == '\0')
    {
      g_free (text);
      text = g_strdup ("# no tokens\n");
    }
  saved = commy_pki_write_file (self->dir, self->file, text, 0600, FALSE, error);
  commy_credential_free (text);
  return saved;
}

/* --- entries --- */

gboolean
commy_api_key_register_add (CommyApiKeyRegister *self,
                            const CommyApiKey *key,
                            const char *name,
                            const char *const *scopes,
                            gint64 now_s,
                            gint64 expires_s,
                            GError **error)
{
  CommyApiKeyEntry *entry;

  if (g_hash_table_size (self->entries) >= COMMY_API_KEYS_MAX)
    return refuse (error, COMMY_ERROR_STATE_DIR, key->id,
                   "would be one too many; remove the file's revoked ones (commy token rm)");
  if (g_hash_table_contains (self->entries, key->id))
    return refuse (error, COMMY_ERROR_STATE_DIR, key->id, "is there already");
  if (name != NULL && (!is_word (name) || commy_api_key_is_id (name)))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, name,
                   "has no name to use: letters, digits and .-_/@+: only, at most 63, and no 12 "
                   "hexadecimal digits, which are an id");
  if (!are_words (scopes))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, key->id,
                   "can have 16 scopes at most, each of letters, digits and .-_/@+: only");
  entry = g_new0 (CommyApiKeyEntry, 1);
  if (!commy_api_key_make_verifier (key, &entry->verifier, error))
    {
      entry_free (entry);
      return FALSE;
    }
  entry->id = g_strdup (key->id);
  entry->name = g_strdup (name);
  entry->scopes = g_strdupv ((char **) scopes);
  entry->created_s = now_s;
  entry->expires_s = expires_s;
  g_hash_table_insert (self->entries, entry->id, entry);
  return TRUE;
}

gboolean
commy_api_key_register_revoke (CommyApiKeyRegister *self, const char *id, GError **error)
{
  CommyApiKeyEntry *entry = g_hash_table_lookup (self->entries, id);

  if (entry == NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there; see commy token ls");
  entry->is_revoked = TRUE;
  return TRUE;
}

gboolean
commy_api_key_register_bind (CommyApiKeyRegister *self,
                             const char *id,
                             const char *principal,
                             GError **error)
{
  CommyApiKeyEntry *entry = g_hash_table_lookup (self->entries, id);

  if (entry == NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there; see commy token ls");
  if (!commy_api_key_is_principal (principal))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, id,
                   "can be bound to a principal such as unix:uid=1000 only, of at most 240 bytes");
  g_free (entry->principal);
  entry->principal = g_strdup (principal);
  return TRUE;
}

gboolean
commy_api_key_register_set_end (CommyApiKeyRegister *self,
                                const char *id,
                                gint64 expires_s,
                                GError **error)
{
  CommyApiKeyEntry *entry = g_hash_table_lookup (self->entries, id);

  if (entry == NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there");
  entry->expires_s = expires_s;
  return TRUE;
}

gboolean
commy_api_key_register_remove (CommyApiKeyRegister *self, const char *id, GError **error)
{
  if (g_hash_table_remove (self->entries, id))
    return TRUE;
  return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there; see commy token ls");
}

const CommyApiKeyEntry *
commy_api_key_register_find (CommyApiKeyRegister *self, const char *id)
{
  return g_hash_table_lookup (self->entries, id);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  const CommyApiKeyEntry *one = *(CommyApiKeyEntry *const *) a;
  const CommyApiKeyEntry *other = *(CommyApiKeyEntry *const *) b;

  if (one->created_s != other->created_s)
    return one->created_s < other->created_s ? -1 : 1;
  return strcmp (one->id, other->id);
}

GPtrArray *
commy_api_key_register_list (CommyApiKeyRegister *self)
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

const char *
commy_api_key_entry_why_not (const CommyApiKeyEntry *entry, const char *peer, gint64 now_s)
{
  if (entry->is_revoked)
    return "it is revoked";
  if (entry->expires_s != 0 && now_s >= entry->expires_s)
    return "it has expired";
  if (entry->principal != NULL && g_strcmp0 (peer, entry->principal) != 0)
    return "it counts only as a second proof of the principal that it was made for";
  return NULL;
}
