/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Heads of chains: their line, and the file that it is in.
 */
#include "config.h"

#include "security/commy-audit-head.h"

#include "base/commy-failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* --- the line --- */

void
commy_audit_head_write (const CommyAuditHead *head, char out[COMMY_AUDIT_HEAD_SIZE])
{
  char hash[COMMY_AUDIT_HEX_SIZE + 1] = "";
  char secret[COMMY_AUDIT_HEX_SIZE + 1] = "";
  char line[COMMY_AUDIT_HEAD_SIZE + 1];

  commy_audit_to_hex (head->hash, sizeof head->hash, hash);
  commy_audit_to_hex (head->secret, sizeof head->secret, secret);
  g_snprintf (line, sizeof line, "%020" G_GUINT64_FORMAT " %.64s %.64s\n", head->sequence, hash,
              secret);
  memcpy (out, line, COMMY_AUDIT_HEAD_SIZE);
}

gboolean
commy_audit_head_parse (const char *text, gsize size, CommyAuditHead *out_head)
{
  const char *hash = text + COMMY_AUDIT_HEAD_DIGITS + 1;
  const char *secret = hash + COMMY_AUDIT_HEX_SIZE + 1;
  char number[COMMY_AUDIT_HEAD_DIGITS + 1] = "";
  char again[COMMY_AUDIT_HEAD_SIZE];

  if (size != COMMY_AUDIT_HEAD_SIZE)
    return FALSE;
  memcpy (number, text, COMMY_AUDIT_HEAD_DIGITS);
  out_head->sequence = g_ascii_strtoull (number, NULL, 10);
  if (!commy_audit_from_hex (hash, sizeof out_head->hash, out_head->hash)
      || !commy_audit_from_hex (secret, sizeof out_head->secret, out_head->secret))
    return FALSE;
  commy_audit_head_write (out_head, again);
  return memcmp (text, again, sizeof again) == 0;
}

/* --- the secret --- */

void
commy_audit_head_renew (CommyAuditHead *head, const CommyEnv *env)
{
  env->random (env->data, head->secret, sizeof head->secret);
}

void
commy_audit_head_commit (const CommyAuditHead *head,
                         const CommyAuditTools *tools,
                         char out_hex[COMMY_AUDIT_HEX_SIZE + 1])
{
  guint8 hash[COMMY_AUDIT_HASH_SIZE];

  tools->hash (head->secret, sizeof head->secret, hash, tools->user_data);
  commy_audit_to_hex (hash, sizeof hash, out_hex);
  out_hex[COMMY_AUDIT_HEX_SIZE] = '\0';
}

/* --- the file --- */

int
commy_audit_head_open (int dir_fd, const char *name, const CommyAuditHead *head)
{
  int fd = openat (dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int code;

  if (fd < 0)
    return -1;
  while (flock (fd, LOCK_EX) < 0 && errno == EINTR)
    ;
  errno = EIO;
  if (!COMMY_FAILPOINT ("audit-head-empty") && commy_audit_head_put (fd, head))
    return fd;
  code = errno;
  unlinkat (dir_fd, name, 0);
  close (fd);
  errno = code;
  return -1;
}

gboolean
commy_audit_head_put (int fd, const CommyAuditHead *head)
{
  char line[COMMY_AUDIT_HEAD_SIZE];
  gssize wrote;

  commy_audit_head_write (head, line);
  do
    wrote = pwrite (fd, line, sizeof line, 0);
  while (wrote < 0 && errno == EINTR);
  if (wrote >= 0 && wrote < (gssize) sizeof line)
    errno = ENOSPC;
  return wrote == (gssize) sizeof line;
}

CommyAuditHeadState
commy_audit_head_read (const char *directory,
                       const char *name,
                       CommyAuditHead *out_head,
                       gboolean *out_is_live)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  int fd = open (path, READ_FLAGS);
  char text[COMMY_AUDIT_HEAD_SIZE + 1];
  struct stat status;
  gssize size = -1;

  if (fd < 0 && errno == ENOENT)
    return COMMY_AUDIT_HEAD_NONE;
  if (fd >= 0 && fstat (fd, &status) == 0 && S_ISREG (status.st_mode))
    size = pread (fd, text, sizeof text, 0);
  if (fd >= 0 && out_is_live != NULL)
    *out_is_live = flock (fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  if (fd >= 0)
    close (fd);
  if (size == 0)
    return COMMY_AUDIT_HEAD_EMPTY;
  return size >= 0 && commy_audit_head_parse (text, (gsize) size, out_head) ? COMMY_AUDIT_HEAD_GOOD
                                                                            : COMMY_AUDIT_HEAD_BAD;
}

void
commy_audit_head_remove (int dir_fd, const char *name, gint64 before_s)
{
  int fd = openat (dir_fd, name, READ_FLAGS);
  struct stat status;

  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0 && fstat (fd, &status) == 0
      && status.st_mtim.tv_sec <= before_s)
    unlinkat (dir_fd, name, 0);
  if (fd >= 0)
    close (fd);
}
