/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls answered by commands. A pool of threads waits for them, so that neither the main context
 * nor a worker of the mesh does; a command is killed with all its children when nobody waits for
 * the answer any more, or the service ends.
 */
#include "config.h"

#include "cli/commy-serve-command.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STDERR_KEPT 400u /* bytes of the end that the caller is told */
#define GRACE_MS 100     /* after the deadline, so that the caller gives up first and says so */

struct _CommyServeCommands
{
  GThreadPool *pool;
  GCancellable *ending;
};

/* A method. Lives as long as the service. */
typedef struct
{
  CommyServeCommands *commands;
  char *service;
  char *method;
  char *command;
} Entry;

/* One call. */
typedef struct
{
  const Entry *entry;
  CommyService *keep; /* and with it the entry */
  CommyInvocation *invocation;
  GBytes *input;
  char type; /* 'b' raw bytes, 's' string, 'y' byte array */

  GMainLoop *loop;
  GSubprocess *process;
  pid_t group;
  const char *killed; /* why */
  GBytes *output;
  GBytes *errors;
} Job;

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->service);
  g_free (entry->method);
  g_free (entry->command);
  g_free (entry);
}

static void
job_free (Job *job)
{
  g_clear_object (&job->process);
  g_clear_pointer (&job->input, g_bytes_unref);
  g_clear_pointer (&job->output, g_bytes_unref);
  g_clear_pointer (&job->errors, g_bytes_unref);
  g_object_unref (job->keep);
  g_free (job);
}

/* --- the command --- */

/* A group of its own: it can be ended with its children, and an interrupt of the terminal, which
 * only means that no more calls are taken, does not reach it. */
static void
own_group (gpointer data)
{
  setpgid (0, 0);
}

/* The input as a file: a command that does not read it breaks no pipe. */
static int
open_input (GBytes *input, GError **error)
{
  int fd = memfd_create ("commy-input", MFD_CLOEXEC);
  gsize size, done = 0;
  const char *data = g_bytes_get_data (input, &size);

  while (fd >= 0 && done < size)
    {
      ssize_t written = write (fd, data + done, size - done);

      if (written < 0 && errno != EINTR)
        break;
      done += (gsize) MAX (written, 0);
    }
  if (fd >= 0 && done == size && lseek (fd, 0, SEEK_SET) == 0)
    return fd;
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "its input: %s",
               g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

static GSubprocess *
start (const Job *job, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  int input = open_input (job->input, error);
  CommyPrincipal *caller = commy_invocation_get_caller (job->invocation);

  if (input < 0)
    return NULL;
  g_subprocess_launcher_take_stdin_fd (launcher, input);
  g_subprocess_launcher_set_child_setup (launcher, own_group, NULL, NULL);
  g_subprocess_launcher_setenv (launcher, "COMMY_SERVICE", job->entry->service, TRUE);
  g_subprocess_launcher_setenv (launcher, "COMMY_METHOD", job->entry->method, TRUE);
  g_subprocess_launcher_setenv (launcher, "COMMY_CALLER", commy_principal_get_name (caller), TRUE);
  return g_subprocess_launcher_spawn (launcher, error, "/bin/sh", "-c", job->entry->command, NULL);
}

static void
kill_group (Job *job, const char *why)
{
  if (job->killed != NULL)
    return;
  job->killed = why;
  /* The shell was not waited for yet, or it still has a child that holds the pipes open. */
  if (job->group > 0)
    kill (-job->group, SIGKILL);
}

static gboolean
on_deadline (gpointer data)
{
  kill_group (data, "took longer than the caller waits");
  return G_SOURCE_REMOVE;
}

static gboolean
on_ending (gpointer data)
{
  kill_group (data, "was stopped because the service ends");
  return G_SOURCE_REMOVE;
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer data)
{
  Job *job = data;

  g_subprocess_communicate_finish (G_SUBPROCESS (source), result, &job->output, &job->errors, NULL);
  g_main_loop_quit (job->loop);
}

static void
add_source (GSource *source, GSourceFunc func, Job *job, GMainContext *context)
{
  g_source_set_callback (source, func, job, NULL);
  g_source_attach (source, context);
  g_source_unref (source);
}

/* On the thread that ends the service. (GLib's own source for this leaks where it is destroyed
 * while its cancellable still tells others.) */
static void
on_cancelled (GCancellable *ending, gpointer data)
{
  Job *job = data;

  add_source (g_idle_source_new (), on_ending, job, g_main_loop_get_context (job->loop));
}

static void
add_deadline (Job *job, GMainContext *context)
{
  gint64 deadline = commy_invocation_get_deadline (job->invocation);

  if (deadline < G_MAXINT64)
    {
      gint64 left_ms = (deadline - g_get_monotonic_time ()) / 1000;

      add_source (g_timeout_source_new ((guint) CLAMP (left_ms + GRACE_MS, 0, G_MAXINT)),
                  on_deadline, job, context);
    }
}

static gboolean
run_command (Job *job, GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  GCancellable *ending = job->entry->commands->ending;
  gulong connection;

  g_main_context_push_thread_default (context);
  job->process = start (job, error);
  if (job->process != NULL)
    {
      const char *pid = g_subprocess_get_identifier (job->process);

      job->group = pid != NULL ? (pid_t) g_ascii_strtoll (pid, NULL, 10) : 0;
      job->loop = g_main_loop_new (context, FALSE);
      add_deadline (job, context);
      connection = g_cancellable_connect (ending, G_CALLBACK (on_cancelled), job, NULL);
      g_subprocess_communicate_async (job->process, NULL, NULL, on_done, job);
      g_main_loop_run (job->loop);
      g_cancellable_disconnect (ending, connection);
      g_clear_pointer (&job->loop, g_main_loop_unref);
      g_subprocess_wait (job->process, NULL, NULL);
    }
  g_main_context_pop_thread_default (context);
  return job->process != NULL;
}

/* --- the answer --- */

/* NULL: it went well. */
static char *
dup_failure (const Job *job)
{
  int status = g_subprocess_get_status (job->process);
  g_autoptr (GString) text = g_string_new (NULL);
  gsize size = 0;
  const char *errors = job->errors != NULL ? g_bytes_get_data (job->errors, &size) : NULL;
  gsize kept = MIN (size, STDERR_KEPT);

  if (job->killed != NULL)
    return g_strdup_printf ("the command %s", job->killed);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 0)
    return NULL;
  if (WIFEXITED (status))
    g_string_append_printf (text, "the command ended with exit status %d", WEXITSTATUS (status));
  else
    g_string_append_printf (text, "the command was ended by signal %d", WTERMSIG (status));
  if (kept > 0)
    {
      g_autofree char *valid = g_utf8_make_valid (errors + size - kept, (gssize) kept);

      g_string_append_printf (text, ": %s%s", kept < size ? "... " : "", g_strstrip (valid));
    }
  return g_strdup (text->str);
}

static void
return_output (const Job *job)
{
  g_autoptr (GBytes) output
      = job->output != NULL ? g_bytes_ref (job->output) : g_bytes_new (NULL, 0);
  gsize size;
  const char *data = g_bytes_get_data (output, &size);

  if (job->type == 'b')
    commy_invocation_return_bytes (job->invocation, output);
  else if (job->type == 'y')
    {
      GVariant *array = g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, output, TRUE);

      commy_invocation_return_value (job->invocation, g_variant_new_tuple (&array, 1));
    }
  else if (size > 0 && !g_utf8_validate (data, (gssize) size, NULL))
    commy_invocation_return_error (job->invocation,
                                   "what the command wrote is no UTF-8 text; call it with bytes");
  else
    {
      g_autofree char *text = g_strndup (data != NULL ? data : "", size);

      commy_invocation_return_value (job->invocation, g_variant_new ("(s)", text));
    }
}

static void
on_job (gpointer data, gpointer user_data)
{
  Job *job = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *failure = NULL;

  if (!run_command (job, &error))
    failure = g_strdup_printf ("the command cannot be run: %s", error->message);
  else
    failure = dup_failure (job);
  if (failure != NULL)
    commy_invocation_return_error (job->invocation, failure);
  else
    return_output (job);
  job_free (job);
}

/* --- calls --- */

/* What goes to the command: the one argument. FALSE: another type. */
static gboolean
take_input (Job *job)
{
  GVariant *parameters = commy_invocation_get_parameters (job->invocation);
  GBytes *bytes = commy_invocation_get_bytes (job->invocation);
  g_autoptr (GVariant) value = NULL;

  job->type = bytes != NULL ? 'b' : 's';
  if (bytes != NULL)
    job->input = g_bytes_ref (bytes);
  else if (g_variant_is_of_type (parameters, G_VARIANT_TYPE_UNIT))
    job->input = g_bytes_new (NULL, 0);
  else if (g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(s)")))
    {
      value = g_variant_get_child_value (parameters, 0);
      job->input = g_bytes_new (g_variant_get_string (value, NULL),
                                strlen (g_variant_get_string (value, NULL)));
    }
  else if (g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(ay)")))
    {
      job->type = 'y';
      value = g_variant_get_child_value (parameters, 0);
      job->input = g_variant_get_data_as_bytes (value);
    }
  return job->input != NULL;
}

static void
on_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const Entry *entry = data;
  Job *job = g_new0 (Job, 1);

  job->entry = entry;
  job->keep = g_object_ref (service);
  job->invocation = invocation;
  if (take_input (job))
    {
      g_thread_pool_push (entry->commands->pool, job, NULL);
      return;
    }
  commy_invocation_return_error (invocation, "this method is a command: it takes raw bytes, one "
                                             "string, one byte array or nothing");
  job_free (job);
}

/* --- all commands --- */

CommyServeCommands *
commy_serve_commands_new (guint threads)
{
  CommyServeCommands *commands = g_new0 (CommyServeCommands, 1);

  commands->ending = g_cancellable_new ();
  commands->pool = g_thread_pool_new (on_job, commands, (gint) threads, FALSE, NULL);
  return commands;
}

void
commy_serve_commands_end (CommyServeCommands *commands)
{
  g_cancellable_cancel (commands->ending);
}

void
commy_serve_commands_free (CommyServeCommands *commands)
{
  if (commands == NULL)
    return;
  commy_serve_commands_end (commands);
  g_thread_pool_free (commands->pool, FALSE, TRUE);
  g_object_unref (commands->ending);
  g_free (commands);
}

void
commy_serve_commands_add (CommyServeCommands *commands,
                          CommyService *service,
                          const char *service_name,
                          const char *method,
                          const char *command)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->commands = commands;
  entry->service = g_strdup (service_name);
  entry->method = g_strdup (method);
  entry->command = g_strdup (command);
  commy_service_handle (service, method, on_call, entry, entry_free);
}
