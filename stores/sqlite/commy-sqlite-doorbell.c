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
    self->watch = inotify_add_watch (self->inotify_fd, self->path, IN_MODIFY | IN_DONT_FOLLOW);
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

gboolean
commy_sqlite_doorbell_open (CommySqliteDoorbell *self, const char *dir, GError **error)
{
  self->path = g_build_filename (dir, "changed", NULL);
  self->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  self->watch = -1;
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

void
commy_sqlite_doorbell_drain (CommySqliteDoorbell *self)
{
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));

  while (read (self->inotify_fd, buffer, sizeof buffer) > 0)
    continue;
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
