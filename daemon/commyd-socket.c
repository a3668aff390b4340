/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Door and locks: see the header.
 */
#include "config.h"

#include "daemon/commyd-socket.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define LOCK_ATTEMPTS 16

static gboolean
fail (GError **error, const char *what, const char *path)
{
  int number = errno;

  commy_set_error (error, COMMY_ERROR_STATE_DIR, "cannot %s %s: %s", what, path,
                   g_strerror (number));
  return FALSE;
}

/* --- locks --- */

static void
say_locked (const char *path, const char *what, int fd, GError **error)
{
  char holder[32] = "";

  if (pread (fd, holder, sizeof holder - 1, 0) <= 0)
    holder[0] = '\0';
  commy_set_error (error, COMMY_ERROR_STATE_DIR,
                   "another commyd (process %s) has %s (%s is locked)",
                   holder[0] != '\0' ? g_strchomp (holder) : "?", what, path);
}

/* Whether the name is still that of the file: who had it may have removed it meanwhile. */
static gboolean
is_still_there (int fd, const char *path)
{
  struct stat ours, theirs;

  return fstat (fd, &ours) == 0 && stat (path, &theirs) == 0 && ours.st_ino == theirs.st_ino
         && ours.st_dev == theirs.st_dev;
}

gboolean
commyd_lock_take (CommydLock *self, const char *path, const char *what, GError **error)
{
  for (int i = 0; i < LOCK_ATTEMPTS; i++)
    {
      char holder[32];
      int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     0600); /* who can open it can lock it */

      if (fd < 0)
        return fail (error, "open", path);
      if (flock (fd, LOCK_EX | LOCK_NB) < 0)
        {
          say_locked (path, what, fd, error);
          close (fd);
          return FALSE;
        }
      if (!is_still_there (fd, path))
        {
          close (fd);
          continue;
        }
      g_snprintf (holder, sizeof holder, "%d\n", (int) getpid ());
      if (ftruncate (fd, 0) < 0 || pwrite (fd, holder, strlen (holder), 0) < 0)
        g_debug ("%s does not say who has it", path); /* a full disk; the lock is what counts */
      self->fd = fd;
      self->path = g_strdup (path);
      return TRUE;
    }
  commy_set_error (error, COMMY_ERROR_STATE_DIR, "%s is made and removed all the time", path);
  return FALSE;
}

void
commyd_lock_release (CommydLock *self)
{
  if (self->fd < 0)
    return;
  g_unlink (self->path);
  close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->path, g_free);
}

/* --- the socket --- */

char *
commyd_socket_default (const char *mesh, gboolean is_system)
{
  const char *from_env = g_getenv ("COMMY_RUNTIME_DIR");
  g_autofree char *base = NULL;

  if (is_system)
    return g_build_filename ("/run/commyd", mesh, "store.sock", NULL);
  if (from_env != NULL && from_env[0] != '\0')
    base = g_strdup (from_env);
  else if (g_getenv ("XDG_RUNTIME_DIR") != NULL)
    base = g_build_filename (g_getenv ("XDG_RUNTIME_DIR"), "commy", NULL);
  else
    base = g_build_filename (g_get_user_cache_dir (), "commy", NULL);
  return g_build_filename (base, mesh, "store.sock", NULL);
}

static gboolean
set_address (const char *path, struct sockaddr_un *out_address, GError **error)
{
  *out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (strlen (path) < sizeof out_address->sun_path)
    {
      memcpy (out_address->sun_path, path, strlen (path));
      return TRUE;
    }
  commy_set_error (
      error, COMMY_ERROR_STATE_DIR,
      "the name of a socket has room for %d bytes, %s is longer: set socket in [daemon]",
      (int) sizeof out_address->sun_path - 1, path);
  return FALSE;
}

static int
open_socket (GError **error)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    fail (error, "make", "a socket");
  return fd;
}

/* Gets its final name only when it listens, and over what a dead daemon left in one step. */
int
commyd_socket_listen (const char *path, guint mode, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  g_autofree char *beside = g_strconcat (path, ".new", NULL);
  struct sockaddr_un address;
  int fd;

  if (g_mkdir_with_parents (directory, mode == 0600 ? 0700 : 0755) < 0)
    {
      fail (error, "make the folder", directory);
      return -1;
    }
  if (!set_address (beside, &address, error) || (fd = open_socket (error)) < 0)
    return -1;
  g_unlink (beside);
  /* Nobody comes in between: the name is not the one that is looked for. */
  if (bind (fd, (const struct sockaddr *) &address, sizeof address) == 0
      && g_chmod (beside, (int) mode) == 0 && listen (fd, BACKLOG) == 0
      && g_rename (beside, path) == 0)
    return fd;
  fail (error, "listen at", path);
  g_unlink (beside);
  close (fd);
  return -1;
}

gboolean
commyd_socket_check (int fd, GError **error)
{
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  int type = 0;
  int listens = 0;
  socklen_t number_size = sizeof type;

  if (getsockname (fd, (struct sockaddr *) &address, &size) == 0 && address.sun_family == AF_UNIX
      && getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &number_size) == 0 && type == SOCK_STREAM
      && getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &number_size) == 0 && listens == 1
      && fcntl (fd, F_SETFL, O_NONBLOCK) == 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "what the service manager handed over is no listening Unix stream socket: see "
                   "ListenStream= of commyd.socket");
  return FALSE;
}
