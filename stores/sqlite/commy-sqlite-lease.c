/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lease files: see the header. A file may be found without its row (a crash between the two);
 * it is removed with the next lease that gets the same id, or stays as an empty file.
 */
#include "config.h"

#include "commy-sqlite-lease.h"
#include "commy-sqlite-schema.h"

#include "plugins/common/commy-failpoints.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Held while a file is made or swept. */
/* lint: allow-static locks of files keep processes apart, this the meshes of one */
static GMutex files;

struct _CommySqliteLeases
{
  char *dir;
  int dir_fd;
  GHashTable *own; /* id to descriptor */
};

typedef struct
{
  char text[24];
} Name;

static Name
name_of (gint64 id)
{
  Name name;

  g_snprintf (name.text, sizeof name.text, "%016" G_GINT64_MODIFIER "x", (guint64) id);
  return name;
}

static void
close_own (gpointer data)
{
  close (GPOINTER_TO_INT (data));
}

CommySqliteLeases *
commy_sqlite_leases_new (const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "leases", NULL);
  CommySqliteLeases *self;
  int fd;

  if (!commy_sqlite_check_dir (path, error))
    return NULL;
  fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR, "cannot open %s: %s", path,
                   g_strerror (errno));
      return NULL;
    }
  self = g_new0 (CommySqliteLeases, 1);
  self->dir = g_steal_pointer (&path);
  self->dir_fd = fd;
  self->own = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, close_own);
  return self;
}

void
commy_sqlite_leases_free (CommySqliteLeases *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->own);
  close (self->dir_fd);
  g_free (self->dir);
  g_free (self);
}

/* Locks a file that was just made; it may have been swept away between the two. */
static gboolean
lock_new (int fd)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  return fcntl (fd, F_SETLK, &lock) == 0;
}

/* Whoever sweeps may have taken it for a dead one's before it was locked. */
static gboolean
was_swept (int fd)
{
  struct stat info;

  return fstat (fd, &info) != 0 || info.st_nlink == 0;
}

static gboolean
take (CommySqliteLeases *self, gint64 id, GError **error)
{
  Name name = name_of (id);
  int fd
      = openat (self->dir_fd, name.text, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 && errno == EEXIST)
    return FALSE;
  if (fd < 0)
    {
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR, "cannot make %s/%s: %s",
                   self->dir, name.text, g_strerror (errno));
      return FALSE;
    }
  errno = 0;
  if (COMMY_FAILPOINT ("sqlite-lease") || !lock_new (fd))
    {
      if (errno == EAGAIN || errno == EACCES)
        {
          close (fd);
          return FALSE; /* it is being swept away */
        }
      g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                   "cannot lock %s/%s: %s; the state directory must lie on a file system with"
                   " POSIX locks",
                   self->dir, name.text, g_strerror (errno));
      unlinkat (self->dir_fd, name.text, 0);
      close (fd);
      return FALSE;
    }
  if (was_swept (fd))
    {
      close (fd);
      return FALSE;
    }
  g_hash_table_insert (self->own, g_memdup2 (&id, sizeof id), GINT_TO_POINTER (fd));
  return TRUE;
}

gboolean
commy_sqlite_leases_take (CommySqliteLeases *self, gint64 id, GError **error)
{
  gboolean taken;

  g_mutex_lock (&files);
  taken = take (self, id, error);
  g_mutex_unlock (&files);
  return taken;
}

void
commy_sqlite_leases_drop (CommySqliteLeases *self, gint64 id)
{
  Name name = name_of (id);

  unlinkat (self->dir_fd, name.text, 0);
  g_hash_table_remove (self->own, &id);
}

/* Whether one of this process's descriptors is that file: another mesh's of this process. */
static gboolean
is_open_here (const struct stat *file)
{
  DIR *dir = opendir ("/proc/self/fd");
  gboolean found = FALSE;
  struct dirent *entry;

  if (dir == NULL)
    return TRUE; /* cannot know: never touch what may be ours */
  while (!found && (entry = readdir (dir)) != NULL)
    {
      struct stat info;

      found = entry->d_name[0] != '.' && fstat (atoi (entry->d_name), &info) == 0
              && info.st_dev == file->st_dev && info.st_ino == file->st_ino;
    }
  closedir (dir);
  return found;
}

/* Only the owner's descriptor can write: that it is closed is what others are notified of. */
static gboolean
is_unlocked (CommySqliteLeases *self, const Name *name)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int fd = openat (self->dir_fd, name->text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  gboolean unlocked;

  if (fd < 0)
    return errno == ENOENT;
  unlocked = fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
  close (fd);
  return unlocked;
}

gboolean
commy_sqlite_leases_is_dead (CommySqliteLeases *self, gint64 id, gint64 pid)
{
  Name name = name_of (id);
  struct stat info;

  if (g_hash_table_contains (self->own, &id))
    return FALSE;
  if (fstatat (self->dir_fd, name.text, &info, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT;
  if (pid == getpid () && is_open_here (&info))
    return FALSE;
  return is_unlocked (self, &name);
}

gint64
commy_sqlite_leases_id_of (const char *name)
{
  guint64 id = 0;
  Name again;

  if (!g_ascii_string_to_unsigned (name, 16, 1, G_MAXINT64, &id, NULL))
    return 0;
  again = name_of ((gint64) id);
  return strcmp (again.text, name) == 0 ? (gint64) id : 0;
}

/* With its lock held: who is making it just now gets none, or sees that it is gone. */
static void
remove_dead (CommySqliteLeases *self, const char *name)
{
  int fd = openat (self->dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    return;
  if (lock_new (fd))
    unlinkat (self->dir_fd, name, 0);
  close (fd);
}

void
commy_sqlite_leases_sweep (CommySqliteLeases *self, GHashTable *known)
{
  g_autoptr (GDir) dir = g_dir_open (self->dir, 0, NULL);
  const char *entry;

  g_mutex_lock (&files);
  while (dir != NULL && (entry = g_dir_read_name (dir)) != NULL)
    {
      gint64 id = commy_sqlite_leases_id_of (entry);

      /* Its owner may be another mesh of this process: getpid() makes that be looked at. */
      if (id != 0 && !g_hash_table_contains (known, &id)
          && commy_sqlite_leases_is_dead (self, id, getpid ()))
        remove_dead (self, entry);
    }
  g_mutex_unlock (&files);
}

GArray *
commy_sqlite_leases_list (CommySqliteLeases *self)
{
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (gint64));
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->own);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_array_append_vals (ids, key, 1);
  return ids;
}
