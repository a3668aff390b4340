/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries of the files `tokens` and `sessions` of a node: what it takes to check keys, never a key.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

#define FILE_MAX (1024u * 1024u)
#define WORD_MAX 63u
#define SCOPES_MAX 16u

static gboolean
refuse (GError **error, CommyError code, const char *id, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, code, "token %s %s", id, why);
  return FALSE;
}

/* --- an entry in the file --- */

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
read_entry (GKeyFile *file, const char *id, gpointer entry_)
{
  CommyApiKeyEntry *entry = entry_;
  CommyApiKeyVerifier *verifier = &entry->verifier;

  entry->name = g_key_file_get_string (file, id, "name", NULL);
  entry->scopes = g_key_file_get_string_list (file, id, "scopes", NULL, NULL);
  entry->principal = g_key_file_get_string (file, id, "principal", NULL);
  return (entry->name == NULL || is_word (entry->name))
         && are_words ((const char *const *) entry->scopes)
         && (entry->principal == NULL ? !g_key_file_has_key (file, id, "principal", NULL)
                                      : commy_api_key_is_principal (entry->principal))
         && commy_register_read_flag (file, id, "revoked", &entry->is_revoked)
         && commy_register_read_number (file, id, "created", G_MAXINT64, &entry->created_s)
         && commy_register_read_number (file, id, "expires", G_MAXINT64, &entry->expires_s)
         && commy_register_read_bytes (file, id, "pepper", verifier->pepper,
                                       sizeof verifier->pepper)
         && commy_register_read_bytes (file, id, "stored", verifier->stored,
                                       sizeof verifier->stored)
         && commy_register_read_bytes (file, id, "server", verifier->server,
                                       sizeof verifier->server);
}

static void
write_entry (GKeyFile *file, const char *id, gconstpointer entry_)
{
  const CommyApiKeyEntry *entry = entry_;
  const CommyApiKeyVerifier *verifier = &entry->verifier;

  if (entry->name != NULL)
    g_key_file_set_string (file, id, "name", entry->name);
  if (entry->scopes != NULL && entry->scopes[0] != NULL)
    g_key_file_set_string_list (file, id, "scopes", (const char *const *) entry->scopes,
                                g_strv_length (entry->scopes));
  if (entry->principal != NULL)
    g_key_file_set_string (file, id, "principal", entry->principal);
  commy_register_write_number (file, id, "created", entry->created_s);
  commy_register_write_number (file, id, "expires", entry->expires_s);
  commy_register_write_flag (file, id, "revoked", entry->is_revoked);
  commy_register_write_bytes (file, id, "pepper", verifier->pepper, sizeof verifier->pepper);
  commy_register_write_bytes (file, id, "stored", verifier->stored, sizeof verifier->stored);
  commy_register_write_bytes (file, id, "server", verifier->server, sizeof verifier->server);
}

static void
clear_entry (gpointer entry_)
{
  CommyApiKeyEntry *entry = entry_;

  explicit_bzero (&entry->verifier, sizeof entry->verifier);
  g_free (entry->name);
  g_strfreev (entry->scopes);
  g_free (entry->principal);
}

G_STATIC_ASSERT (G_STRUCT_OFFSET (CommyApiKeyEntry, id) == 0);

const CommyRegisterKind commy_api_key_register_kind = {
  .noun = "token",
  .nouns = "tokens",
  .command = "commy token",
  .file_max = FILE_MAX,
  .entries_max = COMMY_API_KEYS_MAX,
  .entry_size = sizeof (CommyApiKeyEntry),
  .created_offset = G_STRUCT_OFFSET (CommyApiKeyEntry, created_s),
  .revoked_offset = G_STRUCT_OFFSET (CommyApiKeyEntry, is_revoked),
  .read = read_entry,
  .write = write_entry,
  .clear = clear_entry,
};

/* --- the register --- */

CommyApiKeyRegister *
commy_api_key_register_parse (const char *text, gsize size, GError **error)
{
  return commy_register_parse (&commy_api_key_register_kind, text, size, error);
}

CommyApiKeyRegister *
commy_api_key_register_load_file (const char *dir, const char *file, GError **error)
{
  return commy_register_load (&commy_api_key_register_kind, dir, file, error);
}

CommyApiKeyRegister *
commy_api_key_register_load (const char *dir, GError **error)
{
  return commy_api_key_register_load_file (dir, COMMY_API_KEYS_FILE, error);
}

CommyApiKeyRegister *
commy_api_key_register_open_file (const char *dir, const char *file, GError **error)
{
  return commy_register_open (&commy_api_key_register_kind, dir, file, error);
}

CommyApiKeyRegister *
commy_api_key_register_open (const char *dir, GError **error)
{
  return commy_api_key_register_open_file (dir, COMMY_API_KEYS_FILE, error);
}

gboolean
commy_api_key_register_save (CommyApiKeyRegister *self, GError **error)
{
  return commy_register_save (self, error);
}

void
commy_api_key_register_free (CommyApiKeyRegister *self)
{
  commy_register_free (self);
}

gboolean
commy_api_key_register_revoke (CommyApiKeyRegister *self, const char *id, GError **error)
{
  return commy_register_revoke (self, id, error);
}

gboolean
commy_api_key_register_remove (CommyApiKeyRegister *self, const char *id, GError **error)
{
  return commy_register_remove (self, id, error);
}

const CommyApiKeyEntry *
commy_api_key_register_find (CommyApiKeyRegister *self, const char *id)
{
  return commy_register_find (self, id);
}

GPtrArray *
commy_api_key_register_list (CommyApiKeyRegister *self)
{
  return commy_register_list (self);
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

  if (commy_register_is_full (self))
    return refuse (error, COMMY_ERROR_STATE_DIR, key->id,
                   "would be one too many; remove the file's revoked ones (commy token rm)");
  if (commy_register_find (self, key->id) != NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, key->id, "is there already");
  if (name != NULL && (!is_word (name) || commy_api_key_is_id (name)))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, name,
                   "has no name to use: letters, digits and .-_/@+: only, at most 63, and no 12 "
                   "hexadecimal digits, which are an id");
  if (!are_words (scopes))
    return refuse (error, COMMY_ERROR_INVALID_ARGUMENT, key->id,
                   "can have 16 scopes at most, each of letters, digits and .-_/@+: only");
  entry = commy_register_new_entry (&commy_api_key_register_kind, key->id);
  if (!commy_api_key_make_verifier (key, &entry->verifier, error))
    {
      commy_register_free_entry (&commy_api_key_register_kind, entry);
      return FALSE;
    }
  entry->name = g_strdup (name);
  entry->scopes = g_strdupv ((char **) scopes);
  entry->created_s = now_s;
  entry->expires_s = expires_s;
  commy_register_add (self, entry);
  return TRUE;
}

gboolean
commy_api_key_register_bind (CommyApiKeyRegister *self,
                             const char *id,
                             const char *principal,
                             GError **error)
{
  CommyApiKeyEntry *entry = commy_register_find (self, id);

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
  CommyApiKeyEntry *entry = commy_register_find (self, id);

  if (entry == NULL)
    return refuse (error, COMMY_ERROR_STATE_DIR, id, "is not there");
  entry->expires_s = expires_s;
  return TRUE;
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
