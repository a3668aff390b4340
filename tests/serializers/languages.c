/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs in other languages: see the header.
 */
#include "config.h"

#include "languages.h"
#include "vectors.h"

#include <string.h>

#define NOT_THERE 77 /* how the programs end if they find no library */

/* What `./bootstrap deps` brings, and where Debian has the rest. */
static char *
node_path (void)
{
  const char *source = g_getenv ("COMMY_SOURCE_DIR");

  return g_strdup_printf ("%s/_build/node_modules:/usr/share/nodejs", source != NULL ? source : "");
}

GSubprocess *
language_start (Language language, const char *name, const char *argument)
{
  /* Debian's packages are for its own Python; there may be another on PATH. */
  g_autofree char *program = language == LANGUAGE_PYTHON ? g_strdup ("/usr/bin/python3")
                                                         : g_find_program_in_path ("node");
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "serializers", name, NULL);
  g_autofree char *modules = node_path ();
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                   | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  if (program == NULL || !g_file_test (program, G_FILE_TEST_IS_EXECUTABLE))
    {
      g_test_skip (language == LANGUAGE_PYTHON ? "there is no python3" : "there is no node");
      return NULL;
    }
  g_subprocess_launcher_setenv (launcher, "NODE_PATH", modules, TRUE);
  g_subprocess_launcher_setenv (launcher, "PYTHONIOENCODING", "utf-8", TRUE);
  if (language == LANGUAGE_PYTHON)
    process = g_subprocess_launcher_spawn (launcher, &error, program, "-I", "-B", script, argument,
                                           NULL);
  else
    process = g_subprocess_launcher_spawn (launcher, &error, program, script, argument, NULL);
  g_assert_no_error (error);
  return process;
}

void
language_add (GString *lines, const GVariantType *type, GBytes *bytes)
{
  g_autofree char *letters = g_variant_type_dup_string (type);
  g_autofree char *hex = vector_to_hex (bytes);

  g_string_append_printf (lines, "%s\t%s\n", letters, hex);
}

/* Lines as they came; NULL if the program found nothing. */
static GStrv
ask (Language language, const char *format, const char *lines)
{
  const char *name = language == LANGUAGE_PYTHON ? "through-python.py" : "through-node.js";
  g_autoptr (GSubprocess) process = language_start (language, name, format);
  g_autofree char *output = NULL;
  g_autofree char *complaint = NULL;
  g_autoptr (GError) error = NULL;

  if (process == NULL)
    return NULL;
  g_subprocess_communicate_utf8 (process, lines, NULL, &output, &complaint, &error);
  g_assert_no_error (error);
  if (g_subprocess_get_if_exited (process) && g_subprocess_get_exit_status (process) == NOT_THERE)
    {
      g_test_skip (g_strchomp (complaint));
      return NULL;
    }
  if (!g_subprocess_get_successful (process))
    g_error ("%s %s: %s", name, format, complaint);
  g_assert_true (g_str_has_suffix (output, "\n"));
  output[strlen (output) - 1] = '\0'; /* not more: the last value may have no bytes */
  return g_strsplit (output, "\n", -1);
}

GPtrArray *
language_through (Language language, const char *format, const GString *lines, char **out_library)
{
  g_auto (GStrv) written = ask (language, format, lines->str);
  GPtrArray *all;

  if (written == NULL)
    return NULL;
  *out_library = g_strdup (written[0]);
  all = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 1; written[0] != NULL && written[i] != NULL; i++)
    g_ptr_array_add (all, vector_from_hex (written[i]));
  return all;
}
