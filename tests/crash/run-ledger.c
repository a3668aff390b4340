/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line a run, with tabs between: name, the numbers, the command of the last time. Numbers add
 * up, but for the largest gap.
 */
#include "config.h"

#include "run-ledger.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define HEAD                                                                             \
  "run\tkills\tboundaries\tmessages\tmoves\tof-each-pair\tof-each-cut\tlost\trepeated\t" \
  "gap-us\tcommand"
#define NUMBERS 9
#define GAP (NUMBERS - 1)

static char **
read_lines (const char *path)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    text = g_strdup (HEAD "\n");
  return g_strsplit (g_strchomp (text), "\n", -1);
}

static guint64
together (guint which, guint64 now, guint64 before)
{
  return which == GAP ? MAX (now, before) : now + before;
}

static char *
line_new (const char *run, const char *before, const RunLedgerRow *row, const char *command)
{
  guint64 numbers[NUMBERS]
      = { row->kills,       row->boundaries, row->messages, row->moves, row->of_each_pair,
          row->of_each_cut, row->lost,       row->repeated, row->gap_us };
  g_auto (GStrv) fields = g_strsplit (before != NULL ? before : "", "\t", NUMBERS + 2);
  GString *line = g_string_new (run);

  for (guint i = 0; i < NUMBERS; i++)
    {
      if (g_strv_length (fields) == NUMBERS + 2)
        numbers[i] = together (i, numbers[i], g_ascii_strtoull (fields[i + 1], NULL, 10));
      g_string_append_printf (line, "\t%" G_GUINT64_FORMAT, numbers[i]);
    }
  g_string_append_printf (line, "\t%s", command);
  return g_string_free (line, FALSE);
}

/* Several programs may end at a time. Its folder is what is locked: the table itself is replaced.
 */
static int
lock_beside (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (flock (fd, LOCK_EX), ==, 0);
  return fd;
}

static void
add_to (const char *path, const char *run, const RunLedgerRow *row, const char *command)
{
  g_autofree char *key = g_strconcat (run, "\t", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;
  gboolean found = FALSE;

  lines = read_lines (path);
  for (char **line = lines; *line != NULL; line++)
    {
      g_autofree char *added
          = g_str_has_prefix (*line, key) ? line_new (run, *line, row, command) : NULL;

      found |= added != NULL;
      g_string_append_printf (text, "%s\n", added != NULL ? added : *line);
    }
  if (!found)
    {
      g_autofree char *added = line_new (run, NULL, row, command);

      g_string_append_printf (text, "%s\n", added);
    }
  g_file_set_contents (path, text->str, -1, &error);
  g_assert_no_error (error);
}

void
run_ledger_add (const char *run, const RunLedgerRow *row, const char *command)
{
  const char *path = g_getenv ("COMMY_RUN_LEDGER");
  int lock;

  if (path == NULL)
    return;
  lock = lock_beside (path);
  add_to (path, run, row, command);
  close (lock);
}
