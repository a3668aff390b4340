/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of all chains of a trail, in the order of their times, with the names that were not
 * erased; and erasing a name.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-chain.h"
#include "security/commy-audit-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How far a chain has been read. */
typedef struct
{
  const char *directory;
  char *name;   /* of the chain */
  guint index;  /* orders chains of the same time */
  GQueue files; /* names of those to come */
  CommyAuditFile file;
  gsize at;
  GHashTable *names;                    /* commitment -> text, of the file */
  char time[COMMY_AUDIT_TIME_SIZE + 1]; /* of @line; before the first, that of the chain's name */
  CommyAuditLine line;
  gboolean has_line;
} Cursor;

static void
cursor_free (gpointer data)
{
  Cursor *self = data;

  g_queue_clear_full (&self->files, g_free);
  commy_audit_file_close (&self->file);
  g_clear_pointer (&self->names, g_hash_table_unref);
  g_free (self->name);
  g_free (self);
}

/* 20261122T054949Z as the time of a record, so that files are opened when their turn comes. */
static void
time_of_name (const char *name, char out[COMMY_AUDIT_TIME_SIZE + 1])
{
  out[0] = '\0';
  if (strlen (name) > 16 && name[8] == 'T' && name[15] == 'Z')
    g_snprintf (out, COMMY_AUDIT_TIME_SIZE + 1,
                "%.4s-%.2s-%.2s"
                "T"
                "%.2s:%.2s:%.2s.000000Z",
                name, name + 4, name + 6, name + 9, name + 11, name + 13);
}

static int
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  const Cursor *one = a, *other = b;
  int order = strcmp (one->time, other->time);

  return order != 0 ? order : (one->index > other->index) - (one->index < other->index);
}

static void
keep_name (gpointer data, const CommyAuditName *name, gsize offset, gsize size)
{
  if (!name->is_erased)
    g_hash_table_insert (data, g_strdup (name->commitment), commy_audit_span_dup (name->text));
}

static GHashTable *
read_names (const char *directory, const char *stem)
{
  GHashTable *names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autofree char *name = g_strconcat (stem, COMMY_AUDIT_NAMES_SUFFIX, NULL);
  CommyAuditFile file;

  if (commy_audit_file_open (&file, directory, name, NULL))
    commy_audit_names_each (&file, keep_name, NULL, names);
  commy_audit_file_close (&file);
  return names;
}

static gboolean
open_next (Cursor *self, GError **error)
{
  g_autofree char *name = g_queue_pop_head (&self->files);
  g_autofree char *stem = commy_audit_file_stem (name);

  commy_audit_file_close (&self->file);
  self->at = 0;
  g_clear_pointer (&self->names, g_hash_table_unref);
  self->names = read_names (self->directory, stem);
  return commy_audit_file_open (&self->file, self->directory, name, error);
}

/* To the next legible line. FALSE: there is none, or @error. */
static gboolean
advance (Cursor *self, GError **error)
{
  for (;;)
    {
      const char *text = self->file.bytes + self->at;
      gsize left = self->file.size - self->at;
      const char *end = left > 0 ? memchr (text, '\n', left) : NULL;

      if (end == NULL)
        {
          if (g_queue_is_empty (&self->files) || !open_next (self, error))
            return FALSE;
          continue;
        }
      self->at += (gsize) (end - text) + 1;
      if (commy_audit_line_parse (text, (gsize) (end - text), &self->line) != NULL)
        continue;
      memcpy (self->time, self->line.time, COMMY_AUDIT_TIME_SIZE);
      self->has_line = TRUE;
      return TRUE;
    }
}

static char *
dup_text (const Cursor *self, guint text)
{
  CommyAuditSpan span = self->line.texts[text];
  g_autofree char *commitment = NULL;
  const char *known;

  if (!commy_audit_text_is_personal (text))
    return commy_audit_span_dup (span);
  commitment = g_strndup (span.at, span.size);
  known = g_hash_table_lookup (self->names, commitment);
  return known != NULL ? g_strdup (known) : g_strdup_printf ("erased:%.12s", commitment);
}

static GVariant *
to_variant (const Cursor *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "time", g_variant_new_string (self->time));
  for (guint i = 0; i < COMMY_AUDIT_BEFORE; i++)
    if (self->line.texts[i].at != NULL)
      g_variant_builder_add (&builder, "{sv}", commy_audit_text_name (i),
                             g_variant_new_take_string (dup_text (self, i)));
  g_variant_builder_add (&builder, "{sv}", "count", g_variant_new_uint64 (self->line.count));
  g_variant_builder_add (&builder, "{sv}", "chain", g_variant_new_string (self->name));
  g_variant_builder_add (&builder, "{sv}", "seq", g_variant_new_uint64 (self->line.sequence));
  g_variant_builder_add (&builder, "{sv}", "boot",
                         g_variant_new_uint64 ((guint64) self->line.boot_ns));
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* (element-type Cursor) */
static GTree *
make_cursors (const char *directory, GPtrArray *names)
{
  GTree *cursors = g_tree_new_full (compare, NULL, cursor_free, NULL);
  Cursor *cursor = NULL;

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *stem = commy_audit_file_stem (names->pdata[i]);
      gsize size;

      commy_audit_file_number (stem, &size);
      if (cursor == NULL || strlen (cursor->name) != size || memcmp (cursor->name, stem, size) != 0)
        {
          cursor = g_new0 (Cursor, 1);
          cursor->directory = directory;
          cursor->name = g_strndup (stem, size);
          cursor->index = i;
          cursor->file.bytes = "";
          time_of_name (cursor->name, cursor->time);
          g_tree_insert (cursors, cursor, cursor);
        }
      g_queue_push_tail (&cursor->files, g_strdup (names->pdata[i]));
    }
  return cursors;
}

static gboolean
first_of (gpointer key, gpointer value, gpointer out_cursor)
{
  *(Cursor **) out_cursor = key;
  return TRUE;
}

gboolean
commy_audit_read (const char *directory, CommyAuditFunc func, gpointer user_data, GError **error)
{
  g_autoptr (GPtrArray) names = commy_audit_list_files (directory, error);
  g_autoptr (GTree) cursors = NULL;
  g_autoptr (GError) cause = NULL;
  gboolean goes_on = TRUE;

  if (names == NULL)
    return FALSE;
  cursors = make_cursors (directory, names);
  while (goes_on && g_tree_nnodes (cursors) > 0)
    {
      Cursor *cursor = NULL;

      g_tree_foreach (cursors, first_of, &cursor);
      g_tree_steal (cursors, cursor);
      if (cursor->has_line)
        {
          g_autoptr (GVariant) record = to_variant (cursor);

          goes_on = func (record, user_data);
        }
      if (goes_on && advance (cursor, &cause))
        g_tree_insert (cursors, cursor, cursor);
      else
        cursor_free (cursor);
      goes_on = goes_on && cause == NULL;
    }
  if (cause == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

/* --- erasing --- */

typedef struct
{
  const char *bytes;
  const char *name;
  int fd;
  guint64 count;
  int code;
} Erasure;

static void
erase_line (gpointer data, const CommyAuditName *name, gsize offset, gsize size)
{
  Erasure *erasure = data;
  g_autofree char *text = name->is_erased ? NULL : commy_audit_span_dup (name->text);
  g_autofree char *line = NULL;

  if (text == NULL || !commy_audit_name_mentions (text, erasure->name))
    return;
  line = g_memdup2 (erasure->bytes + offset, size);
  commy_audit_name_erase (line, size);
  if (pwrite (erasure->fd, line, size, (off_t) offset) == (gssize) size)
    erasure->count++;
  else
    erasure->code = errno != 0 ? errno : EIO;
}

static gboolean
erase_in (const char *directory, const char *name, Erasure *erasure, GError **error)
{
  g_autofree char *path = g_build_filename (directory, name, NULL);
  CommyAuditFile file;

  if (!commy_audit_file_open (&file, directory, name, error))
    return FALSE;
  /* In place, so that a node that appends to it goes on, and so that no copy stays. */
  erasure->fd = open (path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  erasure->bytes = file.bytes;
  erasure->code = erasure->fd < 0 ? errno : 0;
  if (erasure->fd >= 0)
    {
      commy_audit_names_each (&file, erase_line, NULL, erasure);
      if (fdatasync (erasure->fd) < 0)
        erasure->code = errno;
      close (erasure->fd);
    }
  commy_audit_file_close (&file);
  if (erasure->code != 0)
    commy_set_error (error, COMMY_ERROR_AUDIT, "cannot erase in %s: %s", path,
                     g_strerror (erasure->code));
  return erasure->code == 0;
}

gboolean
commy_audit_erase (const char *directory, const char *name, guint64 *out_count, GError **error)
{
  g_autoptr (GPtrArray) files = commy_audit_list_files (directory, error);
  g_autoptr (GPtrArray) names = commy_audit_list_beside (directory, COMMY_AUDIT_NAMES_SUFFIX);
  Erasure erasure = { .name = name };

  /* Those, too, whose records are gone. */
  for (guint i = 0; files != NULL && i < names->len; i++)
    {
      const char *file = names->pdata[i];
      g_autofree char *path = g_build_filename (directory, file, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS) && !erase_in (directory, file, &erasure, error))
        return FALSE;
    }
  if (out_count != NULL)
    *out_count = erasure.count;
  return files != NULL;
}
