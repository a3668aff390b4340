/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Entries by id; their file, under a lock where it is changed. What they mean is their kind's.
 */
#include "config.h"

#include "auth/common/commy-register.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct _CommyRegister
{
  const CommyRegisterKind *kind;
  char *dir;           /* NULL: not from a file */
  char *file;          /* its name */
  int lock;            /* -1: not to be saved */
  GHashTable *entries; /* id -> entry */
  gpointer data;       /* the kind's */
  GDestroyNotify destroy;
};

/* --- entries --- */

static const char *
id_of (gconstpointer entry)
{
  return *(char *const *) entry;
}

static gint64
created_of (const CommyRegister *self, gconstpointer entry)
{
  return G_STRUCT_MEMBER (const gint64, entry, self->kind->created_offset);
}

gpointer
commy_register_new_entry (const CommyRegisterKind *kind, const char *id)
{
  gpointer entry = g_malloc0 (kind->entry_size);

  *(char **) entry = g_strdup (id);
  return entry;
}

void
commy_register_free_entry (const CommyRegisterKind *kind, gpointer entry)
{
  if (entry == NULL)
    return;
  kind->clear (entry);
  g_free (*(char **) entry);
  g_free (entry);
}

void
commy_register_add (CommyRegister *self, gpointer entry)
{
  gpointer before = g_hash_table_lookup (self->entries, id_of (entry));

  g_hash_table_replace (self->entries, *(char **) entry, entry);
  commy_register_free_entry (self->kind, before);
}

static CommyRegister *
register_new (const CommyRegisterKind *kind)
{
  CommyRegister *self = g_new0 (CommyRegister, 1);

  self->kind = kind;
  self->lock = -1;
  self->entries = g_hash_table_new (g_str_hash, g_str_equal);
  return self;
}

void
commy_register_free (CommyRegister *self)
{
  GHashTableIter iter;
  gpointer entry;

  if (self == NULL)
    return;
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &entry))
    {
      g_hash_table_iter_steal (&iter);
      commy_register_free_entry (self->kind, entry);
    }
  g_hash_table_unref (self->entries);
  if (self->destroy != NULL)
    self->destroy (self->data);
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->dir);
  g_free (self->file);
  g_free (self);
}

void
commy_register_attach (CommyRegister *self, gpointer data, GDestroyNotify destroy)
{
  self->data = data;
  self->destroy = destroy;
}

gpointer
commy_register_get_attached (CommyRegister *self)
{
  return self->data;
}

const CommyRegisterKind *
commy_register_get_kind (CommyRegister *self)
{
  return self->kind;
}

const char *
commy_register_get_dir (CommyRegister *self)
{
  return self->dir;
}

gboolean
commy_register_is_open (CommyRegister *self)
{
  return self->lock >= 0;
}

gboolean
commy_register_is_full (CommyRegister *self)
{
  return g_hash_table_size (self->entries) >= self->kind->entries_max;
}

gpointer
commy_register_find (CommyRegister *self, const char *id)
{
  return g_hash_table_lookup (self->entries, id);
}

static gboolean
refuse_unknown (CommyRegister *self, const char *id, GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "%s %s is not there; see %s ls",
               self->kind->noun, id, self->kind->command);
  return FALSE;
}

gboolean
commy_register_revoke (CommyRegister *self, const char *id, GError **error)
{
  gpointer entry = commy_register_find (self, id);

  if (entry == NULL)
    return refuse_unknown (self, id, error);
  G_STRUCT_MEMBER (gboolean, entry, self->kind->revoked_offset) = TRUE;
  return TRUE;
}

gboolean
commy_register_remove (CommyRegister *self, const char *id, GError **error)
{
  gpointer entry = commy_register_find (self, id);

  if (entry == NULL)
    return refuse_unknown (self, id, error);
  g_hash_table_remove (self->entries, id);
  commy_register_free_entry (self->kind, entry);
  return TRUE;
}

static int
compare (gconstpointer a, gconstpointer b, gpointer self)
{
  gconstpointer one = *(const gconstpointer *) a;
  gconstpointer other = *(const gconstpointer *) b;
  gint64 one_s = created_of (self, one);
  gint64 other_s = created_of (self, other);

  if (one_s != other_s)
    return one_s < other_s ? -1 : 1;
  return strcmp (id_of (one), id_of (other));
}

GPtrArray *
commy_register_list (CommyRegister *self)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer entry;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &entry))
    g_ptr_array_add (list, entry);
  g_ptr_array_sort_with_data (list, compare, self);
  return list;
}

/* --- the file --- */

static gboolean
read_entries (CommyRegister *self, GKeyFile *file, GError **error)
{
  gsize n = 0;
  g_auto (GStrv) ids = g_key_file_get_groups (file, &n);

  if (n > self->kind->entries_max)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "it has more than %u %s",
                   self->kind->entries_max, self->kind->nouns);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    {
      gpointer entry = commy_register_new_entry (self->kind, ids[i]);

      commy_register_add (self, entry);
      if (commy_api_key_is_id (ids[i]) && self->kind->read (file, ids[i], entry))
        continue;
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "its entry [%.64s] is damaged",
                   ids[i]);
      return FALSE;
    }
  return TRUE;
}

CommyRegister *
commy_register_parse (const CommyRegisterKind *kind, const char *text, gsize size, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (CommyRegister) self = register_new (kind);

  if (!g_key_file_load_from_data (file, text, size, G_KEY_FILE_NONE, error)
      || !read_entries (self, file, error))
    return NULL;
  return g_steal_pointer (&self);
}

CommyRegister *
commy_register_load (const CommyRegisterKind *kind,
                     const char *dir,
                     const char *file,
                     GError **error)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  CommyRegister *self = NULL;
  g_autoptr (GError) why = NULL;
  struct stat about;
  char *text;

  if (lstat (path, &about) != 0 && errno == ENOENT)
    self = register_new (kind);
  else
    {
      text = commy_credential_read (path, kind->file_max, error);
      if (text == NULL)
        return NULL;
      self = commy_register_parse (kind, text, strlen (text), &why);
      commy_credential_free (text);
    }
  if (self == NULL)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                   "the file of %s %s cannot be used: %s", kind->nouns, path, why->message);
      return NULL;
    }
  self->dir = g_strdup (dir);
  self->file = g_strdup (file);
  return self;
}

CommyRegister *
commy_register_open (const CommyRegisterKind *kind,
                     const char *dir,
                     const char *file,
                     GError **error)
{
  g_autofree char *lock_name = g_strconcat (file, ".lock", NULL);
  CommyRegister *self;
  int lock;

  if (!commy_pki_make_dir (dir, error))
    return NULL;
  lock = commy_pki_lock (dir, lock_name, TRUE, error);
  if (lock < 0)
    return NULL;
  self = commy_register_load (kind, dir, file, error);
  if (self == NULL)
    close (lock);
  else
    self->lock = lock;
  return self;
}

gboolean
commy_register_save (CommyRegister *self, GError **error)
{
  g_autoptr (GPtrArray) entries = commy_register_list (self);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  char *text;
  gboolean saved;

  g_return_val_if_fail (self->lock >= 0, FALSE);
  for (guint i = 0; i < entries->len; i++)
    self->kind->write (file, id_of (entries->pdata[i]), entries->pdata[i]);
  text = g_key_file_to_data (file, NULL, NULL);
  if (*text == '\0')
    {
      g_free (text);
      text = g_strdup_printf ("# no %s\n", self->kind->nouns);
    }
  saved = commy_pki_write_file (self->dir, self->file, text, 0600, FALSE, error);
  commy_credential_free (text);
  return saved;
}

/* --- values --- */

gboolean
commy_register_read_number (
    GKeyFile *file, const char *id, const char *key, gint64 max, gint64 *out)
{
  g_autoptr (GError) error = NULL;

  *out = g_key_file_get_int64 (file, id, key, &error);
  if (g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND))
    return TRUE;
  return error == NULL && *out >= 0 && *out <= max;
}

gboolean
commy_register_read_flag (GKeyFile *file, const char *id, const char *key, gboolean *out)
{
  g_autoptr (GError) error = NULL;

  *out = g_key_file_get_boolean (file, id, key, &error);
  return error == NULL || g_error_matches (error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND);
}

gboolean
commy_register_parse_bytes (const char *hex, guint8 *out, gsize size)
{
  return hex != NULL && strlen (hex) == 2 * size && strspn (hex, "0123456789abcdef") == 2 * size
         && commy_pki_from_hex (hex, size, out);
}

gboolean
commy_register_read_bytes (GKeyFile *file, const char *id, const char *key, guint8 *out, gsize size)
{
  g_autofree char *hex = g_key_file_get_string (file, id, key, NULL);

  return commy_register_parse_bytes (hex, out, size);
}

void
commy_register_write_number (GKeyFile *file, const char *id, const char *key, gint64 value)
{
  if (value != 0)
    g_key_file_set_int64 (file, id, key, value);
}

void
commy_register_write_flag (GKeyFile *file, const char *id, const char *key, gboolean value)
{
  if (value)
    g_key_file_set_boolean (file, id, key, TRUE);
}

void
commy_register_write_bytes (
    GKeyFile *file, const char *id, const char *key, const guint8 *bytes, gsize size)
{
  g_autofree char *hex = commy_pki_hex (bytes, size);

  g_key_file_set_string (file, id, key, hex);
}
