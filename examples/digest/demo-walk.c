/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds every regular file below some paths, and reads files piece by piece. Names are bytes;
 * links are not followed; what cannot be read is told, never skipped in silence.
 */
#include "config.h"

#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_BLOCK 4096u

static void
file_free (gpointer data)
{
  DemoFile *file = data;

  g_clear_pointer (&file->digests, g_byte_array_unref);
  g_free (file->path);
  g_free (file);
}

char *
demo_show_name (const char *path)
{
  char high[129];

  /* Control characters would break the line; bytes that are no UTF-8 would spoil it. */
  for (guint i = 0; i < 128; i++)
    high[i] = (char) (128 + i);
  high[128] = '\0';
  return g_strescape (path, g_utf8_validate (path, -1, NULL) ? high : NULL);
}

void
demo_tree_add_unreadable (DemoTree *self, const char *path, const char *reason)
{
  g_autofree char *name = demo_show_name (path);

  g_ptr_array_add (self->unreadable, g_strdup_printf ("%s: %s", name, reason));
}

/* --- walking --- */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Entries of a directory in the order of their bytes; NULL with errno's message in @reason. */
static GPtrArray *
list_dir (const char *path, const char **reason)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = NULL;
  GPtrArray *names;
  const char *name;

  errno = 0;
  dir = g_dir_open (path, 0, &error);
  if (dir == NULL)
    {
      *reason = g_strerror (errno);
      return NULL;
    }
  names = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  return names;
}

static void
add_file (DemoTree *self, const char *path, guint64 size)
{
  DemoFile *file = g_new0 (DemoFile, 1);

  file->path = g_strdup (path);
  file->size = size;
  self->bytes += size;
  g_ptr_array_add (self->files, file);
}

static void
walk (DemoTree *self, const char *path, gboolean follow)
{
  g_autoptr (GPtrArray) names = NULL;
  const char *reason = NULL;
  GStatBuf status;

  if ((follow ? g_stat (path, &status) : g_lstat (path, &status)) < 0)
    {
      demo_tree_add_unreadable (self, path, g_strerror (errno));
      return;
    }
  if (S_ISREG (status.st_mode))
    add_file (self, path, (guint64) status.st_size);
  else if (!S_ISDIR (status.st_mode))
    self->others++;
  if (!S_ISDIR (status.st_mode))
    return;
  names = list_dir (path, &reason);
  if (names == NULL)
    demo_tree_add_unreadable (self, path, reason);
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autofree char *below = g_build_filename (path, names->pdata[i], NULL);

      walk (self, below, FALSE);
    }
}

DemoTree *
demo_tree_new (const char *const *roots)
{
  DemoTree *self = g_new0 (DemoTree, 1);

  self->files = g_ptr_array_new_with_free_func (file_free);
  self->unreadable = g_ptr_array_new_with_free_func (g_free);
  for (; *roots != NULL; roots++)
    walk (self, *roots, TRUE);
  return self;
}

void
demo_tree_free (DemoTree *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->files);
  g_ptr_array_unref (self->unreadable);
  g_free (self);
}

/* --- reading --- */

static gboolean
fail (GError **error)
{
  g_set_error_literal (error, G_FILE_ERROR, (int) g_file_error_from_errno (errno),
                       g_strerror (errno));
  return FALSE;
}

gboolean
demo_reader_open (DemoReader *self, const char *path, GError **error)
{
  GStatBuf status;

  *self = (DemoReader){ .fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) };
  if (self->fd < 0)
    return fail (error);
  if (fstat (self->fd, &status) == 0 && S_ISREG (status.st_mode))
    {
      self->left = (guint64) status.st_size;
      return TRUE;
    }
  g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "is no regular file any more");
  demo_reader_close (self);
  return FALSE;
}

GBytes *
demo_reader_next (DemoReader *self, GError **error)
{
  gsize room = (gsize) CLAMP (self->left + 1, FIRST_BLOCK, DEMO_PIECE_MAX);
  g_autofree guint8 *data = g_malloc (room);
  gsize used = 0;

  for (;;)
    {
      gssize got = read (self->fd, data + used, room - used);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        {
          fail (error);
          return NULL;
        }
      used += (gsize) got;
      if (got == 0 || used == DEMO_PIECE_MAX)
        break;
      if (used == room)
        {
          /* It grew, or never told its size: take what comes. */
          room = MIN (room * 2, DEMO_PIECE_MAX);
          data = g_realloc (data, room);
        }
    }
  if (used == 0 && self->pieces > 0)
    return NULL;
  self->pieces++;
  self->left -= MIN (self->left, used);
  return g_bytes_new_take (g_steal_pointer (&data), used);
}

void
demo_reader_close (DemoReader *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
}
