/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quarantine: see the header. A build is known by its path and what the kernel says of the file,
 * which costs nothing; its SHA-256 is taken only when it is to be accused. Records are files of
 * the folder .plugins in the user's state folder, one a build, and a record's name says all that
 * a start needs: KIND-ID.PATH.BUILD.proved, .quarantined, or .RANDOM.starting.
 *
 * A marker is locked while its process lives, so neither process ids, which come again, nor clocks
 * are compared. Nothing is synced to disk: a process cannot take its page cache with it, and what
 * a power cut loses is no plugin's fault.
 */
#include "config.h"

#include "base/commy-env.h"
#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"
#include "plugin/commy-quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER ".plugins" /* no mesh is called so */
#define GROUP "start"
#define PROVED ".proved"
#define STARTING ".starting"
#define QUARANTINED ".quarantined"
#define MAX_RECORDS 4096u
#define MAX_RECORD_SIZE 16384

/* A build that took a process down. */
typedef struct
{
  char *file; /* of the record */
  char *key;  /* the record's name without its ending */
  char *name; /* "kind/id" */
  char *path;
  char *step;
  char *date;
  char *sha256; /* "" if unknown */
} Record;

struct _CommyQuarantine
{
  char *folder;
  GHashTable *proved; /* keys */
  GMutex lock;        /* of records: a release may come from any thread */
  GPtrArray *records; /* Record */
  gboolean complained;
};

struct _CommyTrial
{
  CommyQuarantine *owner;
  char *key;
  char *file;
  int folder_fd;
  int fd; /* holds the lock */
};

static void
record_free (gpointer data)
{
  Record *record = data;

  g_free (record->file);
  g_free (record->key);
  g_free (record->name);
  g_free (record->path);
  g_free (record->step);
  g_free (record->date);
  g_free (record->sha256);
  g_free (record);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Record, record_free)

static void
complain (CommyQuarantine *self, const char *what)
{
  if (self->complained)
    return;
  self->complained = TRUE;
  g_message ("plugins are started without quarantine: %s", what);
}

/* --- keys --- */

static char *
short_hash (const char *text, gsize digits)
{
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);

  return g_strndup (hash, digits);
}

/* "transport-shm.PATH.": what all builds at a place have in common. */
static char *
dup_place (const char *name, const char *path)
{
  g_autofree char *stem = g_strdelimit (g_strdup (name), "/", '-');
  g_autofree char *place = short_hash (path, 8);

  return g_strdup_printf ("%s.%s.", stem, place);
}

/* NULL if there is no file. */
static char *
dup_key (const char *name, const char *path)
{
  g_autofree char *place = dup_place (name, path);
  g_autofree char *text = NULL;
  g_autofree char *build = NULL;
  struct stat info;

  if (lstat (path, &info) != 0)
    return NULL;
  text = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT
                          " %" G_GINT64_FORMAT ".%09ld %" G_GINT64_FORMAT ".%09ld",
                          (guint64) info.st_dev, (guint64) info.st_ino, (gint64) info.st_size,
                          (gint64) info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                          (gint64) info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  build = short_hash (text, 16);
  return g_strconcat (place, build, NULL);
}

static char *
hash_path (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  char *hash = fd >= 0 ? commy_trust_hash (fd, path, NULL) : NULL;

  if (fd >= 0)
    close (fd);
  return hash;
}

/* --- the folder --- */

/* -1 if it is not there, or told why not. */
static int
open_folder (CommyQuarantine *self, gboolean make)
{
  g_autofree char *why = NULL;
  struct stat info;
  int fd;

  if (make && g_mkdir_with_parents (self->folder, 0700) != 0)
    why = g_strdup_printf ("cannot make %s: %s", self->folder, g_strerror (errno));
  fd = why == NULL ? open (self->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (fd < 0)
    {
      if (why == NULL && errno != ENOENT)
        why = g_strdup_printf ("cannot open %s: %s", self->folder, g_strerror (errno));
      if (why != NULL)
        complain (self, why);
      return -1;
    }
  if (fstat (fd, &info) == 0 && info.st_uid == geteuid () && (info.st_mode & 022) == 0)
    return fd;
  why = g_strdup_printf ("%s is not ours alone", self->folder);
  complain (self, why);
  close (fd);
  return -1;
}

static GPtrArray *
list_files (int folder_fd)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  int fd = openat (folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;

  if (dir == NULL)
    {
      if (fd >= 0)
        close (fd);
      return files;
    }
  while (files->len < MAX_RECORDS && (entry = readdir (dir)) != NULL)
    if (entry->d_name[0] != '.' && g_utf8_validate (entry->d_name, -1, NULL))
      g_ptr_array_add (files, g_strdup (entry->d_name));
  closedir (dir);
  return files;
}

/* --- records --- */

/* NULL if the file is no record. */
static Record *
record_read (int fd, const char *file, const char *key, char **out_boot)
{
  g_autoptr (GKeyFile) text = g_key_file_new ();
  g_autoptr (Record) record = g_new0 (Record, 1);
  g_autofree char *bytes = g_malloc (MAX_RECORD_SIZE);
  g_autofree char *path = NULL;
  gssize size = pread (fd, bytes, MAX_RECORD_SIZE, 0);

  if (size <= 0 || !g_key_file_load_from_data (text, bytes, (gsize) size, G_KEY_FILE_NONE, NULL))
    return NULL;
  record->file = g_strdup (file);
  record->key = g_strdup (key);
  record->name = g_key_file_get_string (text, GROUP, "plugin", NULL);
  path = g_key_file_get_string (text, GROUP, "path", NULL);
  record->path = path != NULL ? g_strcompress (path) : NULL;
  record->step = g_key_file_get_string (text, GROUP, "step", NULL);
  record->date = g_key_file_get_string (text, GROUP, "date", NULL);
  record->sha256 = g_key_file_get_string (text, GROUP, "sha256", NULL);
  *out_boot = g_key_file_get_string (text, GROUP, "boot", NULL);
  if (record->name == NULL || strchr (record->name, '/') == NULL || record->path == NULL
      || record->step == NULL || record->date == NULL || *out_boot == NULL)
    {
      g_clear_pointer (out_boot, g_free);
      return NULL;
    }
  return g_steal_pointer (&record);
}

static char *
record_text (const char *name, const char *path, const char *step)
{
  g_autoptr (GKeyFile) text = g_key_file_new ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *escaped = g_strescape (path, NULL); /* a path need not be UTF-8 */
  g_autofree char *date = g_date_time_format (now, "%Y-%m-%d %H:%M UTC");

  g_key_file_set_string (text, GROUP, "plugin", name);
  g_key_file_set_string (text, GROUP, "path", escaped);
  g_key_file_set_string (text, GROUP, "step", step);
  g_key_file_set_string (text, GROUP, "date", date);
  g_key_file_set_int64 (text, GROUP, "pid", getpid ());
  g_key_file_set_string (text, GROUP, "boot", commy_env_host_id ());
  return g_key_file_to_data (text, NULL, NULL);
}

static gboolean
write_text (int fd, const char *text)
{
  gsize size = strlen (text);

  return write (fd, text, size) == (gssize) size;
}

/* Accuses the build: names it by its content too, so that the same bytes put there again are known.
 * Where nothing can be written the judgement still holds for this process. */
static void
convict (CommyQuarantine *self, int folder_fd, int fd, Record *record)
{
  g_autofree char *line = NULL;
  g_autofree char *file = g_strconcat (record->key, QUARANTINED, NULL);

  g_free (record->sha256);
  record->sha256 = hash_path (record->path);
  line = g_strdup_printf ("sha256=%s\n", record->sha256 != NULL ? record->sha256 : "");
  if (lseek (fd, 0, SEEK_END) >= 0 && write_text (fd, line)
      && renameat (folder_fd, record->file, folder_fd, file) == 0)
    {
      g_free (record->file);
      record->file = g_steal_pointer (&file);
    }
  g_message ("%s is quarantined: a process ended when %s (%s)", record->name, record->step,
             record->date);
  g_ptr_array_add (self->records, record);
}

/* @fd holds the lock of a marker whose process is gone. */
static void
judge (CommyQuarantine *self, int folder_fd, int fd, const char *file, const char *key)
{
  g_autofree char *boot = NULL;
  g_autoptr (Record) record = record_read (fd, file, key, &boot);
  g_autofree char *now = record != NULL ? dup_key (record->name, record->path) : NULL;

  if (record == NULL)
    g_message ("%s/%s cannot be read: dropped", self->folder, file);
  else if (g_strcmp0 (now, key) != 0)
    g_info ("%s took a process down, but is another build by now", record->name);
  else if (g_hash_table_contains (self->proved, key))
    g_info ("a start of %s was cut short, others came through", record->name);
  else if (strcmp (boot, commy_env_host_id ()) != 0)
    g_message ("a start of %s (%s) was cut short by the end of this machine's run: it is tried "
               "again",
               record->name, record->date);
  else
    {
      convict (self, folder_fd, fd, g_steal_pointer (&record));
      return;
    }
  unlinkat (folder_fd, file, 0);
}

/* "KEY.RANDOM.starting" */
static void
look_at_marker (CommyQuarantine *self, int folder_fd, const char *file)
{
  g_autofree char *key = g_strndup (file, strlen (file) - strlen (STARTING));
  char *dot = strrchr (key, '.');
  struct stat opened, named;
  int fd = openat (folder_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0)
    return;
  if (dot != NULL)
    *dot = '\0';
  /* Locked: its process lives. Renamed or gone since: it came through. */
  if (flock (fd, LOCK_EX | LOCK_NB) == 0 && fstat (fd, &opened) == 0
      && fstatat (folder_fd, file, &named, AT_SYMLINK_NOFOLLOW) == 0
      && opened.st_ino == named.st_ino)
    judge (self, folder_fd, fd, file, key);
  close (fd);
}

static void
look_at_record (CommyQuarantine *self, int folder_fd, const char *file)
{
  g_autofree char *key = g_strndup (file, strlen (file) - strlen (QUARANTINED));
  g_autofree char *boot = NULL;
  Record *record;
  int fd = openat (folder_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0)
    return;
  record = record_read (fd, file, key, &boot);
  close (fd);
  if (record != NULL)
    g_ptr_array_add (self->records, record);
  else
    {
      g_message ("%s/%s cannot be read: dropped", self->folder, file);
      unlinkat (folder_fd, file, 0);
    }
}

static void
read_folder (CommyQuarantine *self)
{
  int folder_fd = open_folder (self, FALSE);
  g_autoptr (GPtrArray) files = NULL;

  if (folder_fd < 0)
    return;
  files = list_files (folder_fd);
  if (files->len == MAX_RECORDS)
    g_message ("%s holds too many records, the rest is not looked at: remove it", self->folder);
  for (guint i = 0; i < files->len; i++)
    {
      const char *file = files->pdata[i];

      if (g_str_has_suffix (file, PROVED))
        g_hash_table_add (self->proved, g_strndup (file, strlen (file) - strlen (PROVED)));
      else if (g_str_has_suffix (file, QUARANTINED))
        look_at_record (self, folder_fd, file);
    }
  for (guint i = 0; i < files->len; i++)
    if (g_str_has_suffix (files->pdata[i], STARTING))
      look_at_marker (self, folder_fd, files->pdata[i]);
  close (folder_fd);
}

CommyQuarantine *
commy_quarantine_new (const char *state_dir)
{
  CommyQuarantine *self = g_new0 (CommyQuarantine, 1);

  self->proved = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->records = g_ptr_array_new_with_free_func (record_free);
  g_mutex_init (&self->lock);
  if (state_dir != NULL)
    {
      self->folder = g_build_filename (state_dir, FOLDER, NULL);
      read_folder (self);
    }
  return self;
}

void
commy_quarantine_free (CommyQuarantine *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->records);
  g_hash_table_unref (self->proved);
  g_mutex_clear (&self->lock);
  g_free (self->folder);
  g_free (self);
}

/* --- asking --- */

static void
drop_record (CommyQuarantine *self, const Record *record)
{
  int folder_fd = open_folder (self, FALSE);

  if (folder_fd >= 0)
    {
      unlinkat (folder_fd, record->file, 0);
      close (folder_fd);
    }
}

/* The record that is about this file: the same build, or the same bytes elsewhere. */
static const Record *
find_record (CommyQuarantine *self, const char *name, const char *path)
{
  g_autofree char *key = dup_key (name, path);
  g_autofree char *sha256 = NULL;

  for (guint i = 0; i < self->records->len; i++)
    {
      const Record *record = self->records->pdata[i];

      if (strcmp (record->name, name) != 0)
        continue;
      if (g_strcmp0 (record->key, key) == 0)
        return record;
      if (sha256 == NULL)
        sha256 = hash_path (path);
      if (sha256 != NULL && g_strcmp0 (record->sha256, sha256) == 0)
        return record;
      if (strcmp (record->path, path) == 0)
        {
          g_message ("%s is another build than the one that took a process down: it is tried again",
                     name);
          drop_record (self, record);
          g_ptr_array_remove_index (self->records, i--);
        }
    }
  return NULL;
}

char *
commy_quarantine_check (CommyQuarantine *self, const char *name, const char *path)
{
  const Record *record;
  char *reason = NULL;

  if (self->folder == NULL)
    return NULL;
  g_mutex_lock (&self->lock);
  record = find_record (self, name, path);
  if (record != NULL)
    reason = g_strdup_printf ("a process ended when %s, on %s: by a crash, or it was killed; a new "
                              "build is released by itself, or run: commy plugin release %s",
                              record->step, record->date, name);
  g_mutex_unlock (&self->lock);
  return reason;
}

/* --- trying --- */

static void
trial_free (CommyTrial *trial)
{
  if (trial->fd >= 0)
    close (trial->fd);
  close (trial->folder_fd);
  g_free (trial->key);
  g_free (trial->file);
  g_free (trial);
}

/* Complete and locked before it has its name. */
static gboolean
write_marker (CommyTrial *trial, const char *text)
{
  char id[33];
  g_autofree char *draft = NULL;

  commy_env_new_id (commy_env_system (), id);
  id[8] = '\0';
  draft = g_strdup_printf (".%s.%s", trial->key, id);
  trial->file = g_strdup_printf ("%s.%s" STARTING, trial->key, id);
  trial->fd = openat (trial->folder_fd, draft, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (trial->fd < 0)
    return FALSE;
  if (flock (trial->fd, LOCK_EX | LOCK_NB) == 0 && write_text (trial->fd, text)
      && renameat (trial->folder_fd, draft, trial->folder_fd, trial->file) == 0)
    return TRUE;
  unlinkat (trial->folder_fd, draft, 0);
  return FALSE;
}

CommyTrial *
commy_quarantine_begin (CommyQuarantine *self, const char *name, const char *path, const char *step)
{
  g_autofree char *text = NULL;
  g_autofree char *why = NULL;
  g_autofree char *key = self != NULL && self->folder != NULL ? dup_key (name, path) : NULL;
  CommyTrial *trial;
  int folder_fd;

  if (key == NULL || g_hash_table_contains (self->proved, key))
    return NULL;
  folder_fd = open_folder (self, TRUE);
  if (folder_fd < 0)
    return NULL;
  trial = g_new0 (CommyTrial, 1);
  trial->owner = self;
  trial->key = g_steal_pointer (&key);
  trial->folder_fd = folder_fd;
  text = record_text (name, path, step);
  if (write_marker (trial, text))
    return trial;
  why = g_strdup_printf ("cannot write to %s: %s", self->folder, g_strerror (errno));
  complain (self, why);
  trial_free (trial);
  return NULL;
}

/* What was said of earlier builds at this place is of no use any more. */
static void
forget_older (CommyTrial *trial, const char *proved)
{
  g_autoptr (GPtrArray) files = list_files (trial->folder_fd);
  gsize place = (gsize) (strrchr (trial->key, '.') - trial->key) + 1;

  for (guint i = 0; i < files->len; i++)
    {
      const char *file = files->pdata[i];

      if (strncmp (file, trial->key, place) == 0 && g_str_has_suffix (file, PROVED)
          && strcmp (file, proved) != 0)
        unlinkat (trial->folder_fd, file, 0);
    }
}

void
commy_trial_end (CommyTrial *trial, gboolean proved)
{
  g_autofree char *file = NULL;

  if (trial == NULL)
    return;
  if (proved)
    {
      file = g_strconcat (trial->key, PROVED, NULL);
      if (renameat (trial->folder_fd, trial->file, trial->folder_fd, file) == 0)
        {
          g_hash_table_add (trial->owner->proved, g_strdup (trial->key));
          forget_older (trial, file);
        }
    }
  else
    unlinkat (trial->folder_fd, trial->file, 0);
  trial_free (trial);
}

/* --- releasing --- */

static gboolean
is_called (const Record *record, const char *name)
{
  return name == NULL || strcmp (record->name, name) == 0
         || strcmp (strchr (record->name, '/') + 1, name) == 0;
}

static GVariant *
describe (const Record *record)
{
  const char *slash = strchr (record->name, '/');
  g_autofree char *kind = g_strndup (record->name, (gsize) (slash - record->name));
  g_autofree char *path = g_filename_display_name (record->path);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "kind", "s", kind);
  g_variant_dict_insert (&dict, "id", "s", slash + 1);
  g_variant_dict_insert (&dict, "path", "s", path);
  return g_variant_dict_end (&dict);
}

static gboolean
remove_record (int folder_fd, CommyQuarantine *self, const Record *record, GError **error)
{
  if (unlinkat (folder_fd, record->file, 0) == 0 || errno == ENOENT)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_STATE_DIR, "cannot remove %s/%s: %s", self->folder,
                   record->file, g_strerror (errno));
  return FALSE;
}

static gboolean
release_here (
    CommyQuarantine *self, int folder_fd, const char *name, GVariantBuilder *out, GError **error)
{
  guint n = 0;

  for (guint i = self->records->len; i-- > 0;)
    {
      const Record *record = self->records->pdata[i];

      if (!is_called (record, name))
        continue;
      if (!remove_record (folder_fd, self, record, error))
        return FALSE;
      g_variant_builder_add_value (out, describe (record));
      g_ptr_array_remove_index (self->records, i);
      n++;
    }
  if (n > 0 || name == NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                   "no plugin called %s is quarantined: see commy plugin list", name);
  return FALSE;
}

GVariant *
commy_quarantine_release (CommyQuarantine *self, const char *name, GError **error)
{
  g_auto (GVariantBuilder) released = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  int folder_fd = self->folder != NULL ? open_folder (self, FALSE) : -1;
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = release_here (self, folder_fd, name, &released, error);
  g_mutex_unlock (&self->lock);
  if (folder_fd >= 0)
    close (folder_fd);
  return ok ? g_variant_builder_end (&released) : NULL;
}
