/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door. Paths may be longer than the 108 bytes of a socket address, so everything goes
 * through descriptors: the directory's for binding, the socket file's own for connecting, which
 * also pins what was checked.
 *
 * A socket gets its final name only when it listens already. Under a final name a refused
 * connection therefore means that the owner is dead, and the name may be taken or removed.
 */
#include "config.h"

#include "commy-door.h"

#include "commy-defence.h"
#include "commy-failpoints.h"

#include <commy/commy-plugin.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define BACKLOG 128
#define WRITABLE_BY_OTHERS (S_IWGRP | S_IWOTH)

void
commy_door_set_error (GError **error, int code, const char *format, ...)
{
  va_list arguments;
  g_autofree char *text = NULL;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, g_quark_from_static_string ("commy-error-quark"), code, text);
}

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static int
open_socket (const DoorStyle *style)
{
  return socket (AF_UNIX, style->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* "/proc/self/fd/N/name", or without a name the thing behind the descriptor itself. */
static gboolean
address_through (int fd, const char *name, struct sockaddr_un *out_address)
{
  int n;

  *out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  n = snprintf (out_address->sun_path, sizeof out_address->sun_path, "/proc/self/fd/%d%s%s", fd,
                name != NULL ? "/" : "", name != NULL ? name : "");
  return n > 0 && (gsize) n < sizeof out_address->sun_path;
}

static gboolean
is_ours_alone (int directory_fd)
{
  struct stat status;

  return fstat (directory_fd, &status) == 0 && status.st_uid == geteuid ()
         && (status.st_mode & WRITABLE_BY_OTHERS) == 0;
}

/* Whether nobody can put another directory in the place of this one: what lies above is writable
 * by everybody only where the sticky bit keeps others' things from being moved. */
static gboolean
is_safely_above (int directory_fd)
{
  int fd = fcntl (directory_fd, F_DUPFD_CLOEXEC, 0);
  struct stat below;
  struct stat status;
  gboolean is_safe = fd >= 0 && fstat (fd, &below) == 0;

  while (is_safe)
    {
      int above = openat (fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

      close (fd);
      fd = above;
      is_safe = fd >= 0 && fstat (fd, &status) == 0
                && ((status.st_mode & S_IWOTH) == 0 || (status.st_mode & S_ISVTX) != 0);
      if (is_safe && status.st_dev == below.st_dev && status.st_ino == below.st_ino)
        break; /* nothing is above the root */
      below = status;
    }
  clear_fd (&fd);
  return is_safe;
}

static gboolean
check_directory (int fd, const char *path, GError **error)
{
  if (!is_ours_alone (fd))
    commy_door_set_error (error, COMMY_ERROR_STATE_DIR,
                          "the runtime directory %s belongs to or can be written by others; "
                          "give it to user %u with mode 0700",
                          path, (unsigned) geteuid ());
  else if (!is_safely_above (fd))
    commy_door_set_error (error, COMMY_ERROR_STATE_DIR,
                          "a folder above the runtime directory %s can be written by everybody; "
                          "choose another runtime-dir",
                          path);
  else
    return TRUE;
  return FALSE;
}

/* The runtime directory, if nobody else can put or swap things in it. */
static int
open_directory (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    commy_door_set_error (error, COMMY_ERROR_STATE_DIR,
                          "the runtime directory %s cannot be opened: %s", path,
                          g_strerror (errno));
  else if (COMMY_DEFENCE (14, !check_directory (fd, path, error)))
    clear_fd (&fd);
  return fd;
}

static int
connect_to (const DoorStyle *style, int file_fd)
{
  struct sockaddr_un address;
  int fd = open_socket (style);
  int saved_errno;

  if (fd < 0)
    return -1;
  address_through (file_fd, NULL, &address);
  if (connect (fd, (const struct sockaddr *) &address, sizeof address) == 0)
    return fd;
  saved_errno = errno;
  close (fd);
  errno = saved_errno;
  return -1;
}

/* Whether the name is free: not there, or a socket that nobody listens at any more. */
static gboolean
check_name (const DoorStyle *style, int directory_fd, const char *name, GError **error)
{
  struct stat status;
  int file_fd = openat (directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int fd;
  gboolean dead;

  if (file_fd < 0 && errno == ENOENT)
    return TRUE;
  if (file_fd < 0 || fstat (file_fd, &status) < 0 || !S_ISSOCK (status.st_mode)
      || status.st_uid != geteuid ())
    {
      commy_door_set_error (error, COMMY_ERROR_STATE_DIR,
                            "%s is there and is not a socket of ours; remove it", name);
      clear_fd (&file_fd);
      return FALSE;
    }
  fd = connect_to (style, file_fd);
  dead = fd < 0 && errno == ECONNREFUSED;
  clear_fd (&fd);
  close (file_fd);
  if (!dead)
    commy_door_set_error (error, COMMY_ERROR_STATE_DIR, "another process listens at %s", name);
  return dead;
}

/* Whether nobody holds the socket any more. Asked with another kind of socket, so that a living
 * owner does not even notice. */
static gboolean
is_dead (int directory_fd, const char *name)
{
  int file_fd = openat (directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un address;
  struct stat status;
  gboolean dead = FALSE;

  if (file_fd >= 0 && fd >= 0 && fstat (file_fd, &status) == 0 && S_ISSOCK (status.st_mode)
      && status.st_uid == geteuid () && address_through (file_fd, NULL, &address))
    dead = connect (fd, (const struct sockaddr *) &address, sizeof address) < 0
           && errno == ECONNREFUSED;
  clear_fd (&fd);
  clear_fd (&file_fd);
  return dead;
}

/* PREFIX-NODE.sock, or what it is called before it is ready: .PREFIX-NODE.sock.PID. */
static gboolean
is_door (const char *name, const char *prefix)
{
  return g_str_has_prefix (name + (name[0] == '.'), prefix) && strstr (name, ".sock") != NULL;
}

/* Nodes that were killed left their doors behind: whoever comes next takes them away. */
static void
sweep_dead (const DoorStyle *style, const char *directory, int directory_fd)
{
  g_autofree char *prefix = g_strconcat (style->prefix, "-", NULL);
  DIR *dir = opendir (directory);
  struct dirent *entry;

  while (dir != NULL && (entry = readdir (dir)) != NULL)
    if (is_door (entry->d_name, prefix) && is_dead (directory_fd, entry->d_name))
      unlinkat (directory_fd, entry->d_name, 0);
  if (dir != NULL)
    closedir (dir);
}

static gboolean
bind_and_listen (int fd, int directory_fd, const char *name, GError **error)
{
  g_autofree char *early = g_strdup_printf (".%s.%d", name, (int) getpid ());
  struct sockaddr_un address;

  if (!address_through (directory_fd, early, &address))
    {
      commy_door_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "the socket name %s is too long",
                            name);
      return FALSE;
    }
  unlinkat (directory_fd, early, 0);
  /* The mode of the socket becomes the file's; the process's umask is left alone. */
  if (fchmod (fd, S_IRUSR | S_IWUSR) == 0
      && bind (fd, (const struct sockaddr *) &address, sizeof address) == 0)
    {
      if (!COMMY_FAILPOINT ("door-bound") && listen (fd, BACKLOG) == 0
          && renameat (directory_fd, early, directory_fd, name) == 0)
        return TRUE;
    }
  commy_door_set_error (error, COMMY_ERROR_STATE_DIR, "cannot listen at %s: %s", name,
                        g_strerror (errno));
  unlinkat (directory_fd, early, 0);
  return FALSE;
}

int
commy_door_open (const DoorStyle *style,
                 const char *directory,
                 const char *node,
                 char **out_address,
                 GError **error)
{
  g_autofree char *name = g_strdup_printf ("%s-%s.sock", style->prefix, node);
  int directory_fd = open_directory (directory, error);
  int fd = -1;

  if (directory_fd < 0)
    return -1;
  sweep_dead (style, directory, directory_fd);
  if (check_name (style, directory_fd, name, error))
    {
      fd = open_socket (style);
      if (fd < 0)
        commy_door_set_error (error, COMMY_ERROR_FAILED, "cannot make a socket: %s",
                              g_strerror (errno));
      else if (bind_and_listen (fd, directory_fd, name, error))
        *out_address = g_build_filename (directory, name, NULL);
      else
        clear_fd (&fd);
    }
  close (directory_fd);
  return fd;
}

void
commy_door_close (int fd, const char *address)
{
  g_unlink (address);
  close (fd);
}

/* The file behind an address, pinned; -1 with a reason. */
static int
open_file (const char *address, char *reason, gsize reason_size)
{
  struct stat status;
  int fd;

  if (address == NULL || !g_path_is_absolute (address))
    {
      g_strlcpy (reason, "the address is not an absolute path", reason_size);
      return -1;
    }
  fd = open (address, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    {
      g_snprintf (reason, reason_size, "there is no socket %s on this host: %s", address,
                  g_strerror (errno));
      return -1;
    }
  if (fstat (fd, &status) == 0 && S_ISSOCK (status.st_mode))
    return fd;
  g_snprintf (reason, reason_size, "%s is not a socket", address);
  close (fd);
  return -1;
}

gboolean
commy_door_check (const char *address, char *reason, gsize reason_size)
{
  int fd = open_file (address, reason, reason_size);

  if (fd < 0)
    return FALSE;
  close (fd);
  if (faccessat (AT_FDCWD, address, W_OK, AT_EACCESS) == 0)
    return TRUE;
  g_snprintf (reason, reason_size, "user %u may not connect to %s", (unsigned) geteuid (), address);
  return FALSE;
}

/* The socket file of a dead node of ours; nobody else will ever remove it. */
static void
remove_dead (const char *address, int file_fd)
{
  struct stat pinned;
  struct stat named;

  if (fstat (file_fd, &pinned) == 0 && pinned.st_uid == geteuid () && lstat (address, &named) == 0
      && named.st_dev == pinned.st_dev && named.st_ino == pinned.st_ino)
    g_unlink (address);
}

int
commy_door_knock (const DoorStyle *style, const char *address, GError **error)
{
  char reason[256];
  int file_fd = open_file (address, reason, sizeof reason);
  int fd;
  int saved_errno;

  if (file_fd < 0)
    {
      commy_door_set_error (error, COMMY_ERROR_UNREACHABLE, "%s", reason);
      return -1;
    }
  fd = connect_to (style, file_fd);
  saved_errno = errno;
  if (fd < 0 && saved_errno == ECONNREFUSED)
    remove_dead (address, file_fd);
  close (file_fd);
  if (fd < 0 && saved_errno == EAGAIN)
    commy_door_set_error (error, COMMY_ERROR_BUSY, "too many wait at %s", address);
  else if (fd < 0)
    commy_door_set_error (error, COMMY_ERROR_UNREACHABLE, "cannot connect to %s: %s", address,
                          saved_errno == ECONNREFUSED ? "its node is gone"
                                                      : g_strerror (saved_errno));
  return fd;
}

/* Before Linux 6.5 a pid is all there is: its pidfd counts only if the peer was still there
 * after it was opened, because then the pid was still its own. */
static int
open_pidfd_by_pid (int fd, pid_t pid)
{
  struct pollfd still = { .fd = fd, .events = POLLRDHUP };
  int pidfd = pid > 0 ? (int) syscall (SYS_pidfd_open, pid, 0) : -1;

  if (pidfd >= 0)
    fcntl (pidfd, F_SETFD, FD_CLOEXEC);
  if (pidfd >= 0 && poll (&still, 1, 0) != 0 && (still.revents & (POLLHUP | POLLRDHUP)) != 0)
    clear_fd (&pidfd);
  return pidfd;
}

gboolean
commy_door_identify (int fd, gboolean force_fallback, DoorPeer *out_peer, GError **error)
{
  struct ucred credentials = { 0 };
  socklen_t size = sizeof credentials;
  int pidfd = -1;
  socklen_t pidfd_size = sizeof pidfd;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
    {
      commy_door_set_error (error, COMMY_ERROR_HANDSHAKE, "the kernel does not name the peer: %s",
                            g_strerror (errno));
      return FALSE;
    }
  if (force_fallback || getsockopt (fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &pidfd_size) < 0)
    pidfd = open_pidfd_by_pid (fd, credentials.pid);
  if (!COMMY_DEFENCE (13, true))
    clear_fd (&pidfd);
  *out_peer = (DoorPeer){
    .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid, .pidfd = pidfd
  };
  return TRUE;
}
