/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The doorbell: see the header.
 */
#include "config.h"

#include "commy-sqlite-doorbell.h"
#include "commy-sqlite-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static gboolean
open_file (CommySqliteDoorbell *self)
{
  self->file_fd = open (self->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (self->file_fd < 0)
    return FALSE;
  if (self->inotify_fd >= 0)
    self->watch = inotify_add_watch (self->inotify_fd, self->path,
                                     IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DONT_FOLLOW);
  return TRUE;
}

static void
close_file (CommySqliteDoorbell *self)
{
  if (self->file_fd >= 0)
    close (self->file_fd);
  if (self->inotify_fd >= 0 && self->watch >= 0)
    inotify_rm_watch (self->inotify_fd, self->watch);
  self->file_fd = -1;
  self->watch = -1;
}

/* An owner that leaves in order removes its file before it closes it: nobody needs to look. */
static int
watch_leases (int inotify_fd, const char *dir)
{
  g_autofree char *path = g_build_filename (dir, "leases", NULL);

  if (inotify_fd < 0)
    return -1;
  return inotify_add_watch (inotify_fd, path,
                            IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK);
}

gboolean
commy_sqlite_doorbell_open (CommySqliteDoorbell *self, const char *dir, GError **error)
{
  self->path = g_build_filename (dir, "changed", NULL);
  self->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  self->watch = -1;
  self->leases_watch = watch_leases (self->inotify_fd, dir);
  if (open_file (self))
    return TRUE;
  g_set_error (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STATE_DIR, "cannot open %s: %s", self->path,
               g_strerror (errno));
  commy_sqlite_doorbell_close (self);
  return FALSE;
}

void
commy_sqlite_doorbell_close (CommySqliteDoorbell *self)
{
  if (self->path == NULL)
    return;
  /* No rm_watch: a forked child shares the notifications with its parent and must not end them. */
  if (self->file_fd >= 0)
    close (self->file_fd);
  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  self->file_fd = -1;
  self->inotify_fd = -1;
  g_clear_pointer (&self->path, g_free);
}

void
commy_sqlite_doorbell_ring (CommySqliteDoorbell *self, gint64 revision)
{
  char text[24];
  int length = g_snprintf (text, sizeof text, "%20" G_GINT64_FORMAT "\n", revision);

  if (self->file_fd >= 0 && pwrite (self->file_fd, text, (gsize) length, 0) != length)
    g_debug ("cannot write %s: %s", self->path, g_strerror (errno));
}

gint64
commy_sqlite_doorbell_read (CommySqliteDoorbell *self)
{
  char text[24] = "";
  gint64 revision = 0;

  if (self->file_fd < 0 || pread (self->file_fd, text, sizeof text - 1, 0) <= 0)
    return 0;
  /* Somebody's scribble is no revision. */
  return g_ascii_string_to_signed (g_strstrip (text), 10, 0, G_MAXINT64 / 2, &revision, NULL)
             ? revision
             : 0;
}

/* Whether the file is somewhere else now, or not at all. */
static gboolean
take_event (CommySqliteDoorbell *self,
            const struct inotify_event *event,
            CommySqliteDoorbellFunc left,
            gpointer data)
{
  if ((event->mask & IN_Q_OVERFLOW) != 0)
    left (data, NULL);
  else if (event->wd == self->leases_watch && event->len > 0)
    left (data, event->name);
  return event->wd == self->watch && (event->mask & (IN_ATTRIB | IN_MOVE_SELF)) != 0;
}

void
commy_sqlite_doorbell_drain (CommySqliteDoorbell *self, CommySqliteDoorbellFunc left, gpointer data)
{
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  gboolean moved = FALSE;
  ssize_t size;

  while ((size = read (self->inotify_fd, buffer, sizeof buffer)) > 0)
    for (ssize_t at = 0; at < size;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (gpointer) (buffer + at);

        moved |= take_event (self, event, left, data);
        at += (ssize_t) (sizeof *event + event->len);
      }
  if (moved)
    commy_sqlite_doorbell_renew (self);
}

gboolean
commy_sqlite_doorbell_hears_all (const CommySqliteDoorbell *self)
{
  return self->inotify_fd >= 0 && self->watch >= 0 && self->leases_watch >= 0;
}

void
commy_sqlite_doorbell_renew (CommySqliteDoorbell *self)
{
  struct stat named;
  struct stat opened;

  if (self->file_fd >= 0 && lstat (self->path, &named) == 0 && fstat (self->file_fd, &opened) == 0
      && named.st_dev == opened.st_dev && named.st_ino == opened.st_ino)
    return;
  close_file (self);
  if (!open_file (self))
    g_debug ("cannot open %s: %s", self->path, g_strerror (errno));
}
