/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates and keys on disk: written whole or not at all, keys for their owner only.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024)
G_STATIC_ASSERT (FILE_MAX < COMMY_PKI_CRL_TEXT_MAX);

static gboolean
fail (GError **error, const char *verb, const char *path, int code)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot %s %s: %s", verb, path,
               g_strerror (code));
  return FALSE;
}

gboolean
commy_pki_make_dir (const char *dir, GError **error)
{
  if (g_mkdir_with_parents (dir, 0700) != 0)
    return fail (error, "make directory", dir, errno);
  return TRUE;
}

static gboolean
write_all (int fd, const char *text)
{
  gsize left = strlen (text);

  while (left > 0)
    {
      gssize wrote = write (fd, text, left);

      if (wrote < 0 && errno == EINTR)
        continue;
      if (wrote < 0)
        return FALSE;
      text += wrote;
      left -= (gsize) wrote;
    }
  return fsync (fd) == 0;
}

/* Gives the finished temporary file its name. A link, unlike a rename, never replaces. */
static gboolean
give_name (const char *temporary, const char *path, gboolean exclusive)
{
  if (!exclusive)
    return g_rename (temporary, path) == 0;
  if (link (temporary, path) != 0)
    return FALSE;
  g_unlink (temporary);
  return TRUE;
}

static void
sync_dir (const char *dir)
{
  int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return;
  fsync (fd); /* some file systems cannot; the data itself is safe already */
  close (fd);
}

gboolean
commy_pki_write_file (const char *dir,
                      const char *name,
                      const char *text,
                      guint mode,
                      gboolean exclusive,
                      GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *temporary = g_strconcat (path, ".XXXXXX", NULL);
  int fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0600);
  gboolean written;
  int code;

  if (fd < 0)
    return fail (error, "write", path, errno);
  written = write_all (fd, text) && fchmod (fd, mode) == 0;
  code = errno;
  close (fd);
  if (written && give_name (temporary, path, exclusive))
    {
      sync_dir (dir);
      return TRUE;
    }
  if (written)
    code = errno;
  g_unlink (temporary);
  return fail (error, "write", path, code);
}

static char *
read_open_file (int fd, const char *path, gsize max, gboolean secret, GError **error)
{
  g_autofree char *text = NULL;
  struct stat about;
  gsize size = 0;

  if (fstat (fd, &about) != 0)
    return fail (error, "look at", path, errno), NULL;
  if (!S_ISREG (about.st_mode) || about.st_size > (off_t) max)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                   "%s is not a regular file of at most %" G_GSIZE_FORMAT " KiB", path, max / 1024);
      return NULL;
    }
  if (secret && (about.st_mode & 077) != 0)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                   "the key %s is open to others than its owner (mode %04o): chmod 600", path,
                   (guint) (about.st_mode & 07777));
      return NULL;
    }
  if ((about.st_mode & S_IWOTH) != 0)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                   "everybody could write %s (mode %04o): chmod o-w", path,
                   (guint) (about.st_mode & 07777));
      return NULL;
    }
  text = g_malloc0 ((gsize) about.st_size + 1);
  while (size < (gsize) about.st_size)
    {
      gssize got = read (fd, text + size, (gsize) about.st_size - size);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return fail (error, "read", path, errno), NULL;
      if (got == 0)
        break;
      size += (gsize) got;
    }
  return g_steal_pointer (&text);
}

/* @out_missing: (nullable): no file of that name is no error, and told here. */
static char *
read_path (const char *path, gsize max, gboolean secret, gboolean *out_missing, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  char *text;

  if (fd < 0 && errno == ENOENT && out_missing != NULL)
    {
      *out_missing = TRUE;
      return NULL;
    }
  if (fd < 0)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "cannot read %s: %s", path,
                   g_strerror (errno));
      return NULL;
    }
  text = read_open_file (fd, path, max, secret, error);
  close (fd);
  return text;
}

char *
commy_pki_read_file (const char *dir, const char *name, gboolean secret, GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return read_path (path, FILE_MAX, secret, NULL, error);
}

gboolean
commy_pki_read_crl (const char *path, char **out_pem, GError **error)
{
  gboolean missing = FALSE;

  *out_pem = read_path (path, COMMY_PKI_CRL_TEXT_MAX, FALSE, &missing, error);
  return *out_pem != NULL || missing;
}

/* Locks of the open file, not of the process: they hold between threads too. */
int
commy_pki_lock (const char *dir, const char *name, gboolean wait, GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
  int code = errno;

  if (fd < 0)
    return fail (error, "open", path, code), -1;
  do
    code = fcntl (fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole) == 0 ? 0 : errno;
  while (code == EINTR);
  if (code == 0)
    return fd;
  close (fd);
  if (code != EAGAIN && code != EACCES)
    fail (error, "lock", path, code);
  return -1;
}

gboolean
commy_pki_is_locked (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  int fd = open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
  gboolean locked = fd >= 0 && fcntl (fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;

  if (fd >= 0)
    close (fd);
  return locked;
}

char *
commy_pki_default_dir (const char *mesh)
{
  const char *base = g_getenv ("COMMY_STATE_DIR");

  if (base != NULL && *base != '\0')
    return g_build_filename (base, mesh, "pki", NULL);
  if (geteuid () == 0)
    return g_build_filename (COMMY_LOCALSTATE_DIR "/lib/commy", mesh, "pki", NULL);
  return g_build_filename (g_get_user_state_dir (), "commy", mesh, "pki", NULL);
}
