/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tool's process: see the header. It leads a group of its own, so that what it forked ends too.
 */
#include "config.h"

#include "cli/commy-conformance-tool.h"

#include "cli/commy-cli.h"

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define TOOL "commy-conformance"

typedef struct
{
  GSubprocess *process;
  GMainLoop *loop;
  GBytes *output, *errors;
  gboolean timed_out;
  guint seconds;
} Job;

void
commy_tool_run_clear (CommyToolRun *run)
{
  g_clear_pointer (&run->failure, g_free);
  g_clear_pointer (&run->output, g_free);
  g_clear_pointer (&run->errors, g_free);
}

/* Beside this program in the tree where it was built, else where it was installed. */
static char *
dup_tool (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = g_path_get_dirname (self != NULL ? self : ".");
  g_autofree char *name = g_path_get_basename (folder);
  g_autofree char *tree = NULL;

  if (strcmp (name, ".libs") != 0)
    return g_build_filename (COMMY_LIBEXEC_DIR, TOOL, NULL);
  tree = g_path_get_dirname (folder);
  return g_build_filename (tree, TOOL, NULL);
}

static void
own_group (gpointer unused)
{
  setpgid (0, 0);
}

static void
kill_group (Job *job)
{
  const char *pid = g_subprocess_get_identifier (job->process);

  if (pid != NULL)
    kill (-(pid_t) g_ascii_strtoll (pid, NULL, 10), SIGKILL);
}

static gboolean
on_deadline (gpointer user_data)
{
  Job *job = user_data;

  job->timed_out = TRUE;
  kill_group (job);
  return G_SOURCE_REMOVE;
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Job *job = user_data;

  g_subprocess_communicate_finish (job->process, result, &job->output, &job->errors, NULL);
  g_main_loop_quit (job->loop);
}

static char *
dup_text (GBytes *bytes)
{
  gsize size = 0;
  const char *data = bytes != NULL ? g_bytes_get_data (bytes, &size) : "";

  return g_utf8_make_valid (data != NULL ? data : "", (gssize) size);
}

static char *
dup_failure (const Job *job)
{
  int number;

  if (job->timed_out)
    return g_strdup_printf ("it was not through after %u s", job->seconds);
  if (!g_subprocess_get_if_signaled (job->process))
    return NULL;
  number = g_subprocess_get_term_sig (job->process);
  if (number == SIGSYS)
    return g_strdup (
        "it asks the kernel for more than looking at it needs, such as to open a socket, "
        "to write a file or to start a process");
  if (number == SIGABRT)
    return g_strdup ("it ended the process (abort)");
  return g_strdup_printf ("it ended the process: %s", g_strsignal (number));
}

gboolean
commy_tool_run (const char *const *arguments, guint seconds, CommyToolRun *out_run, GError **error)
{
  g_autofree char *tool = dup_tool ();
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GSource) deadline = g_timeout_source_new_seconds (seconds);
  g_autoptr (GBytes) output = NULL;
  g_autoptr (GBytes) errors = NULL;
  Job job = { .loop = loop, .seconds = seconds };

  g_ptr_array_add (argv, tool);
  for (guint i = 0; arguments[i] != NULL; i++)
    g_ptr_array_add (argv, (gpointer) arguments[i]);
  g_ptr_array_add (argv, NULL);
  g_subprocess_launcher_set_child_setup (launcher, own_group, NULL, NULL);
  job.process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, error);
  if (job.process == NULL)
    return FALSE;
  g_source_set_callback (deadline, on_deadline, &job, NULL);
  g_source_attach (deadline, NULL);
  g_subprocess_communicate_async (job.process, NULL, NULL, on_ended, &job);
  g_main_loop_run (loop);
  g_source_destroy (deadline);
  kill_group (&job);
  g_subprocess_wait (job.process, NULL, NULL);
  output = job.output;
  errors = job.errors;
  *out_run = (CommyToolRun){
    .ok = g_subprocess_get_successful (job.process),
    .failure = dup_failure (&job),
    .output = dup_text (output),
    .errors = dup_text (errors),
  };
  g_object_unref (job.process);
  return TRUE;
}

char *
commy_tool_dup_last (const char *text, const char *prefix)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  char *found = NULL;

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], prefix))
      {
        g_free (found);
        found = g_strdup (lines[i] + strlen (prefix));
      }
  return found;
}
