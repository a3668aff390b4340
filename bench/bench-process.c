/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads /proc of another process.
 */
#include "config.h"

#include "process.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *
read_file (GPid pid, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", pid, name);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

/* The number after @key, which begins a line; 0 if there is none. */
static guint64
find_number (const char *text, const char *key)
{
  gsize length = strlen (key);

  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0)
        return g_ascii_strtoull (line + length + strspn (line + length, ": \t"), NULL, 10);
    }
  return 0;
}

/* --- memory --- */

/* One mapping in /proc/PID/smaps: its first line, and the numbers below it. */
typedef struct
{
  char range[64];
  gboolean is_memfd;
  gboolean is_writable;
} Mapping;

static gboolean
parse_mapping (const char *line, Mapping *out)
{
  char access[8];

  if (sscanf (line, "%63s %7s", out->range, access) != 2 || strchr (out->range, '-') == NULL)
    return FALSE;
  out->is_memfd = strstr (line, "/memfd:") != NULL;
  out->is_writable = access[1] == 'w';
  return TRUE;
}

/* What the system keeps for the file that is mapped there; 0 if only root may ask. */
static guint64
get_blocks (GPid pid, const char *range)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/map_files/%s", pid, range);
  struct stat status;

  return stat (path, &status) == 0 ? (guint64) status.st_blocks * 512 : 0;
}

guint64
bench_process_get_own_memory (GPid pid)
{
  g_autofree char *text = read_file (pid, "smaps");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  Mapping mapping = { 0 };
  guint64 blocks = 0;
  guint64 sum = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      gboolean dirty = g_str_has_prefix (lines[i], "Private_Dirty:")
                       || (mapping.is_memfd && g_str_has_prefix (lines[i], "Shared_Dirty:"));

      if (parse_mapping (lines[i], &mapping))
        {
          /* What it may only read is the other side's. */
          blocks = mapping.is_memfd && mapping.is_writable ? get_blocks (pid, mapping.range) : 0;
          sum += blocks;
        }
      else if (dirty && blocks == 0 && (mapping.is_writable || !mapping.is_memfd))
        sum += 1024
               * find_number (lines[i], mapping.is_memfd && lines[i][0] == 'S' ? "Shared_Dirty"
                                                                               : "Private_Dirty");
    }
  return sum;
}

guint64
bench_process_get_shared_memory (GPid pid)
{
  g_autofree char *text = read_file (pid, "smaps_rollup");

  return text != NULL ? 1024 * find_number (text, "Pss") : 0;
}

/* --- wakes --- */

guint64
bench_process_get_wakes (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint64 sum = 0;
  const char *thread;

  while (dir != NULL && (thread = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *name = g_strdup_printf ("task/%s/status", thread);
      g_autofree char *text = read_file (pid, name);

      if (text != NULL)
        sum += find_number (text, "voluntary_ctxt_switches");
    }
  return sum;
}
