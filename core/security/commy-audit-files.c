/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening files of a trail for reading. They belong to this user alone: what another one could
 * change under the reader is not opened.
 */
#include "config.h"

#include "security/commy-audit-files.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-chain.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

static gboolean
map (CommyAuditFile *file, int fd)
{
  struct stat status;

  if (fstat (fd, &status) < 0)
    return FALSE;
  errno = EINVAL;
  if (!S_ISREG (status.st_mode))
    return FALSE;
  file->bytes = "";
  file->size = (gsize) status.st_size;
  file->is_live = flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  if (file->size == 0)
    return TRUE;
  file->map = mmap (NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (file->map == MAP_FAILED)
    {
      file->map = NULL;
      return FALSE;
    }
  madvise (file->map, file->size, MADV_SEQUENTIAL);
  file->bytes = file->map;
  return TRUE;
}

gboolean
commy_audit_file_open (CommyAuditFile *file,
                       const char *directory,
                       const char *name,
                       GError **error)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  int fd = open (path, FLAGS);
  gboolean ok;
  int code;

  memset (file, 0, sizeof *file);
  if (fd < 0 && errno == ENOENT && g_str_has_suffix (path, COMMY_AUDIT_LIVE_SUFFIX))
    {
      /* It was closed meanwhile. */
      path[strlen (path) - strlen (".open")] = '\0';
      fd = open (path, FLAGS);
    }
  ok = fd >= 0 && map (file, fd);
  code = errno;
  if (fd >= 0)
    close (fd);
  if (!ok)
    commy_set_error (error, COMMY_ERROR_AUDIT, "cannot read %s: %s", path, g_strerror (code));
  return ok;
}

void
commy_audit_file_close (CommyAuditFile *file)
{
  if (file->map != NULL)
    munmap (file->map, file->size);
  memset (file, 0, sizeof *file);
}

char *
commy_audit_file_stem (const char *name)
{
  const char *suffix = strstr (name, COMMY_AUDIT_SUFFIX);

  return suffix != NULL ? g_strndup (name, (gsize) (suffix - name)) : g_strdup (name);
}

guint
commy_audit_file_number (const char *stem, gsize *out_chain_size)
{
  const char *dash = strrchr (stem, '-');

  *out_chain_size = dash != NULL ? (gsize) (dash - stem) : strlen (stem);
  return dash != NULL ? (guint) g_ascii_strtoull (dash + 1, NULL, 10) : 0;
}

void
commy_audit_names_each (const CommyAuditFile *file,
                        CommyAuditNameFunc func,
                        void (*bad) (gpointer data, gsize offset),
                        gpointer data)
{
  gsize offset = 0;

  while (offset < file->size)
    {
      const char *line = file->bytes + offset;
      const char *end = memchr (line, '\n', file->size - offset);
      CommyAuditName name;

      if (end != NULL && commy_audit_name_parse (line, (gsize) (end - line), &name))
        func (data, &name, offset, (gsize) (end - line));
      else if (bad != NULL)
        bad (data, offset);
      if (end == NULL)
        return;
      offset = (gsize) (end - file->bytes) + 1;
    }
}
