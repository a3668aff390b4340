/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a file of the trail ends, read from its end; and the list of a folder's files.
 */
#include "config.h"

#include "security/commy-audit-tail.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-chain.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Enough for a whole line and a torn one. */
#define LOOK (2u * COMMY_AUDIT_LINE_MAX)

static gssize
read_end (int fd, char *out)
{
  struct stat status;
  gsize size = 0;
  off_t from;

  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode))
    return -1;
  from = MAX (status.st_size - (off_t) LOOK, 0);
  while (size < LOOK)
    {
      gssize got = pread (fd, out + size, LOOK - size, from + (off_t) size);

      if (got <= 0)
        break;
      size += (gsize) got;
    }
  return (gssize) size;
}

gboolean
commy_audit_tail_read (int fd, CommyAuditTail *out_tail)
{
  g_autofree char *text = g_malloc (LOOK);
  gssize size = read_end (fd, text);
  gssize end = size;

  memset (out_tail, 0, sizeof *out_tail);
  memset (out_tail->hash, '0', COMMY_AUDIT_HEX_SIZE);
  if (size < 0)
    return FALSE;
  while (end > 0)
    {
      CommyAuditLine line;
      gssize begin;

      while (end > 0 && text[end - 1] != '\n')
        end--;
      for (begin = end - 1; begin > 0 && text[begin - 1] != '\n'; begin--)
        ;
      if (end > 0
          && commy_audit_line_parse (text + begin, (gsize) (end - 1 - begin), &line) == NULL)
        {
          out_tail->sequence = line.sequence;
          commy_audit_to_hex (line.hash, sizeof line.hash, out_tail->hash);
          break;
        }
      end = MAX (begin, 0);
    }
  out_tail->torn = (gsize) (size - end);
  return TRUE;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
commy_audit_list_files (const char *directory, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) cause = NULL;
  g_autoptr (GDir) dir = g_dir_open (directory, 0, &cause);
  const char *name;

  if (dir == NULL)
    {
      commy_set_error (error, COMMY_ERROR_AUDIT, "there is no audit trail to read: %s",
                       cause->message);
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (name[0] != '.' && names->len < COMMY_AUDIT_FILES_MAX
        && (g_str_has_suffix (name, COMMY_AUDIT_SUFFIX)
            || g_str_has_suffix (name, COMMY_AUDIT_LIVE_SUFFIX)))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare);
  return g_steal_pointer (&names);
}
