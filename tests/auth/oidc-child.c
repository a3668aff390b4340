/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "oidc-child.h"

#include <string.h>

static char *
read_line (OidcChild *child)
{
  g_autoptr (GError) error = NULL;
  char *line = g_data_input_stream_read_line (child->output, NULL, NULL, &error);

  g_assert_no_error (error);
  if (line == NULL)
    g_error ("the provider has ended");
  return line;
}

OidcChild *
oidc_child_start (const char *certificate, const char *key)
{
  const char *source = g_getenv ("COMMY_SOURCE_DIR");
  g_autofree char *modules = g_build_filename (source, "_build", "oidc", "node_modules", NULL);
  g_autofree char *library = g_build_filename (modules, "oidc-provider", NULL);
  g_autofree char *script
      = g_build_filename (source, "tests", "auth", "oidc", "provider.mjs", NULL);
  g_autofree char *node = g_find_program_in_path ("node");
  g_autoptr (GError) error = NULL;
  OidcChild *child;

  if (node == NULL || !g_file_test (library, G_FILE_TEST_IS_DIR))
    {
      g_test_skip ("oidc-provider is not installed; ./bootstrap deps does that");
      return NULL;
    }
  child = g_new0 (OidcChild, 1);
  child->process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                         | G_SUBPROCESS_FLAGS_STDERR_SILENCE,
                                     &error, node, script, modules, certificate, key, NULL);
  g_assert_no_error (error);
  child->output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (child->process));
  child->input = g_subprocess_get_stdin_pipe (child->process);
  child->issuer = read_line (child);
  return child;
}

/* It ends with its input. */
void
oidc_child_free (OidcChild *child)
{
  if (child == NULL)
    return;
  g_output_stream_close (child->input, NULL, NULL);
  g_assert_true (g_subprocess_wait (child->process, NULL, NULL));
  g_object_unref (child->output);
  g_object_unref (child->process);
  g_free (child->issuer);
  g_free (child);
}

char *
oidc_child_tell (OidcChild *child, const char *command)
{
  g_autofree char *line = g_strconcat (command, "\n", NULL);
  g_autoptr (GError) error = NULL;

  g_output_stream_write_all (child->input, line, strlen (line), NULL, NULL, &error);
  g_assert_no_error (error);
  return read_line (child);
}

guint
oidc_child_count (OidcChild *child, const char *what)
{
  g_autofree char *counts = oidc_child_tell (child, "counts");
  g_autofree char *mark = g_strconcat (what, "=", NULL);
  const char *at = strstr (counts, mark);

  g_assert_nonnull (at);
  return (guint) g_ascii_strtoull (at + strlen (mark), NULL, 10);
}
