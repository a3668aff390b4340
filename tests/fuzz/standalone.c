/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A main() for fuzzers without libFuzzer: runs every file that is named, and every file of
 * every folder that is named, once; of a file NAME.pack every input in it (tools/fuzz.py). Ends
 * with an error if nothing was run.
 */
#include "config.h"

#include <glib.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Inputs that were found, each behind its length. */
static guint
run_pack (const char *text, gsize size)
{
  guint count = 0;
  guint32 length;

  for (gsize at = 0; at + sizeof length <= size; at += length)
    {
      g_autofree uint8_t *exact = NULL;

      memcpy (&length, text + at, sizeof length);
      at += sizeof length;
      length = (guint32) MIN (GUINT32_FROM_LE (length), size - at);
      exact = length > 0 ? g_memdup2 (text + at, length) : g_malloc (1);
      LLVMFuzzerTestOneInput (exact, length);
      count++;
    }
  return count;
}

static guint
run_file (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree uint8_t *exact = NULL;
  gsize size;

  if (!g_file_get_contents (path, &text, &size, &error))
    g_error ("%s", error->message);
  if (g_str_has_suffix (path, ".pack"))
    return run_pack (text, size);
  /* Without the NUL that GLib puts behind, so that a sanitizer sees a read past the end. */
  exact = g_memdup2 (text, size);
  LLVMFuzzerTestOneInput (exact, size);
  return 1;
}

static guint
run_path (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  guint count = 0;

  if (dir == NULL)
    return run_file (path);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      count += run_path (inner);
    }
  return count;
}

int
main (int argc, char **argv)
{
  guint count = 0;

  for (int i = 1; i < argc; i++)
    count += run_path (argv[i]);
  g_print ("ran %u inputs\n", count);
  return count > 0 ? 0 : 1;
}
