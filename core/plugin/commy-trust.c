/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a plugin file may be trusted: whoever can write it, or rename anything above it,
 * runs code here. Folders are walked by descriptor from the root, without links, so what was
 * checked is what is opened. Or the bytes are pinned: then neither place nor owner matters.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

#define AUTO_FD __attribute__ ((cleanup (close_fd))) int

static int
steal_fd (int *fd)
{
  int stolen = *fd;

  *fd = -1;
  return stolen;
}

static gboolean
check_owner (const struct stat *info, const char *what, const char *path, GError **error)
{
  if (info->st_uid == 0 || info->st_uid == geteuid ())
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST,
                   "%s %s belongs to user %u, neither root nor the user of this process", what,
                   path, (guint) info->st_uid);
  return FALSE;
}

static gboolean
check_folder (int fd, const char *path, GError **error)
{
  struct stat info;

  if (fstat (fd, &info) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "folder %s: %s", path, g_strerror (errno));
      return FALSE;
    }
  if (!check_owner (&info, "folder", path, error))
    return FALSE;
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) == 0)
    return TRUE;
  /* Others can write, but nobody can move what is not his own. */
  if ((info.st_mode & S_ISVTX) != 0 && info.st_uid == 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST,
                   "folder %s is writable by group or others; chmod go-w it", path);
  return FALSE;
}

/* Opens the real folder @folder, checking it and everything above. */
static int
open_folder (const char *folder, GError **error)
{
  const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  g_auto (GStrv) parts = g_strsplit (folder, "/", -1);
  g_autoptr (GString) path = g_string_new ("/");
  AUTO_FD fd = open ("/", flags);

  if (fd < 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "folder /: %s", g_strerror (errno));
      return -1;
    }
  if (!check_folder (fd, path->str, error))
    return -1;
  for (gsize i = 0; parts[i] != NULL; i++)
    {
      int next;

      if (parts[i][0] == '\0')
        continue;
      if (path->len > 1)
        g_string_append_c (path, '/');
      g_string_append (path, parts[i]);
      next = openat (fd, parts[i], flags);
      if (next < 0)
        {
          commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "folder %s: %s", path->str,
                           g_strerror (errno));
          return -1;
        }
      close (fd);
      fd = next;
      if (!check_folder (fd, path->str, error))
        return -1;
    }
  return steal_fd (&fd);
}

/* The folder of @path, checked. */
static int
open_folder_of (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  char *real = realpath (folder, NULL);
  int fd = -1;

  if (real == NULL)
    commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "folder %s: %s", folder, g_strerror (errno));
  else
    fd = open_folder (real, error);
  free (real);
  return fd;
}

static int
open_file (const char *path, gboolean check, GError **error)
{
  /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
  const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  g_autofree char *name = g_path_get_basename (path);
  AUTO_FD folder = -1;
  int fd;

  if (check && (folder = open_folder_of (path, error)) < 0)
    return -1;
  fd = check ? openat (folder, name, flags) : open (path, flags);
  if (fd >= 0)
    return fd;
  if (errno == ELOOP)
    commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST,
                     "%s is a symbolic link; put the file itself there", path);
  else
    commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s: %s", path, g_strerror (errno));
  return -1;
}

static gboolean
check_file (int fd, const char *path, CommyTrust trust, GError **error)
{
  struct stat info;

  if (fstat (fd, &info) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s: %s", path, g_strerror (errno));
      return FALSE;
    }
  if (!S_ISREG (info.st_mode))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s is not a regular file", path);
      return FALSE;
    }
  if ((info.st_mode & (S_ISUID | S_ISGID)) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s has a set-id bit; chmod ug-s it", path);
      return FALSE;
    }
  if (trust != COMMY_TRUST_OWNER)
    return TRUE;
  if (!check_owner (&info, "file", path, error))
    return FALSE;
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST,
                       "%s is writable by group or others; chmod go-w it", path);
      return FALSE;
    }
  return TRUE;
}

static gboolean
write_all (int to, const guint8 *bytes, gsize size)
{
  while (size > 0)
    {
      gssize n = write (to, bytes, size);

      if (n < 0 && errno != EINTR)
        return FALSE;
      bytes += MAX (n, 0);
      size -= (gsize) MAX (n, 0);
    }
  return TRUE;
}

/* SHA-256 of what is read; every byte also goes to @to, unless that is -1. */
static char *
hash_and_copy (int fd, int to, const char *path, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 buffer[16384];
  off_t at = 0;

  while (at <= COMMY_PLUGIN_MAX_FILE)
    {
      gssize n = pread (fd, buffer, sizeof buffer, at);

      if (n == 0)
        return g_strdup (g_checksum_get_string (checksum));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 || (to >= 0 && !write_all (to, buffer, (gsize) n)))
        {
          commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s: %s", path, g_strerror (errno));
          return NULL;
        }
      g_checksum_update (checksum, buffer, n);
      at += n;
    }
  commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "%s is larger than 256 MiB", path);
  return NULL;
}

char *
commy_trust_hash (int fd, const char *path, GError **error)
{
  return hash_and_copy (fd, -1, path, error);
}

/* Kernels before 6.3 do not know the flag; those after may want it. */
static int
make_memory_file (void)
{
#ifdef MFD_EXEC
  int fd = memfd_create ("commy-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

  if (fd >= 0 || errno != EINVAL)
    return fd;
#endif
  return memfd_create ("commy-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* The pinned bytes in a sealed memory file. Who may write the plugin's file can write it in place,
 * also after it was checked and even after it was mapped; nobody can change these. */
static int
copy_pinned (int fd, const char *path, const char *sha256, GError **error)
{
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  g_autofree char *actual = NULL;
  AUTO_FD copy = -1;

  if (sha256 == NULL || sha256[0] == '\0')
    {
      commy_set_error (
          error, COMMY_ERROR_PLUGIN_TRUST,
          "%s has no pinned SHA-256; set sha256= in its plugin group as \"commy plugin "
          "pin\" prints it",
          path);
      return -1;
    }
  copy = make_memory_file ();
  if (copy < 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s: no memory file for it: %s", path,
                       g_strerror (errno));
      return -1;
    }
  actual = hash_and_copy (fd, copy, path, error);
  if (actual == NULL)
    return -1;
  if (g_ascii_strcasecmp (actual, sha256) != 0)
    commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s has SHA-256 %s, pinned is %s", path,
                     actual, sha256);
  else if (fcntl (copy, F_ADD_SEALS, seals) != 0)
    commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s: its copy cannot be sealed: %s", path,
                     g_strerror (errno));
  else
    return steal_fd (&copy);
  return -1;
}

int
commy_trust_open (const char *path, CommyTrust trust, const char *sha256, GError **error)
{
  AUTO_FD fd = -1;

  if (!g_path_is_absolute (path))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_TRUST, "%s is not an absolute path", path);
      return -1;
    }
  fd = open_file (path, trust == COMMY_TRUST_OWNER, error);
  if (fd < 0 || !check_file (fd, path, trust, error))
    return -1;
  return trust == COMMY_TRUST_HASH ? copy_pinned (fd, path, sha256, error) : steal_fd (&fd);
}
