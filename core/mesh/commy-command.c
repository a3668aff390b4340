/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GSubprocess, with a group that can be killed.
 */
#include "config.h"

#include "mesh/commy-command.h"

#include "base/commy-error-private.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char *name;
  GSubprocess *process; /* NULL: it could not be started */
  pid_t group;          /* 0: it had ended before anybody looked */
  GCancellable *cancellable;
  gulong cancelled;
  GError *error;
  CommyCommandFunc func;
  gpointer data;
} Run;

static void
own_group (gpointer data)
{
  setpgid (0, 0);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  Run *run = data;

  /* Who has ended has no identifier any more, and its number may be another's. */
  if (run->group > 0 && g_subprocess_get_identifier (run->process) != NULL)
    kill (-run->group, SIGKILL);
}

static void
end (Run *run)
{
  if (run->cancelled != 0)
    g_cancellable_disconnect (run->cancellable, run->cancelled);
  run->func (run->data, run->error);
  g_clear_error (&run->error);
  g_clear_object (&run->process);
  g_object_unref (run->cancellable);
  g_free (run->name);
  g_free (run);
}

static void
on_end (GObject *source, GAsyncResult *result, gpointer data)
{
  Run *run = data;
  GSubprocess *process = G_SUBPROCESS (source);

  g_subprocess_wait_finish (process, result, NULL);
  if (g_cancellable_is_cancelled (run->cancellable))
    commy_set_error (&run->error, COMMY_ERROR_CANCELLED, "%s was killed", run->name);
  else if (g_subprocess_get_if_signaled (process))
    commy_set_error (&run->error, COMMY_ERROR_FAILED, "%s was ended by signal %d", run->name,
                     g_subprocess_get_term_sig (process));
  else if (g_subprocess_get_exit_status (process) != 0)
    commy_set_error (&run->error, COMMY_ERROR_FAILED, "%s ended with status %d", run->name,
                     g_subprocess_get_exit_status (process));
  end (run);
}

static gboolean
on_failed_to_start (gpointer data)
{
  end (data);
  return G_SOURCE_REMOVE;
}

static void
end_soon (Run *run)
{
  g_autoptr (GSource) idle = g_idle_source_new ();

  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_source_set_callback (idle, on_failed_to_start, run, NULL);
  g_source_attach (idle, g_main_context_get_thread_default ());
}

void
commy_command_run (const char *const *argv,
                   const char *const *environment,
                   GCancellable *cancellable,
                   CommyCommandFunc func,
                   gpointer data)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
      G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_autoptr (GError) cause = NULL;
  Run *run = g_new0 (Run, 1);
  const char *identifier;

  run->name = g_path_get_basename (argv[0]);
  run->func = func;
  run->data = data;
  run->cancellable = g_object_ref (cancellable);
  g_subprocess_launcher_set_environ (launcher, (char **) environment);
  g_subprocess_launcher_set_child_setup (launcher, own_group, NULL, NULL);
  run->process = g_subprocess_launcher_spawnv (launcher, argv, &cause);
  if (run->process == NULL)
    {
      commy_set_error (&run->error, COMMY_ERROR_FAILED, "%s cannot be run: %s", run->name,
                       cause->message);
      end_soon (run);
      return;
    }
  identifier = g_subprocess_get_identifier (run->process);
  run->group = identifier != NULL ? (pid_t) atoi (identifier) : 0;
  /* Not cancellable: who is killed is waited for, so that its group is ours until then. */
  g_subprocess_wait_async (run->process, NULL, on_end, run);
  run->cancelled = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), run, NULL);
}
