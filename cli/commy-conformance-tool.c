/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tool's process: see the header. It leads a group of its own and dies with this process. Its
 * end is told by a descriptor, not by its pipes: what it left behind may hold these open.
 */
#include "config.h"

#include "cli/commy-conformance-tool.h"

#include "cli/commy-cli.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOOL "commy-conformance"
#define OUTPUT_MIB 8u
#define OUTPUT_BYTES (OUTPUT_MIB << 20)

enum
{
  OUTPUT,
  ERRORS,
  N_STREAMS,
};

typedef struct
{
  int fd; /* -1 once it has ended */
  GByteArray *bytes;
} Stream;

typedef struct
{
  GPid pid;
  Stream streams[N_STREAMS];
  guint seconds;
  gboolean timed_out, flooded;
  int status; /* of waitpid() */
} Job;

void
commy_tool_run_clear (CommyToolRun *run)
{
  g_clear_pointer (&run->failure, g_free);
  g_clear_pointer (&run->output, g_free);
  g_clear_pointer (&run->errors, g_free);
}

char *
commy_tool_dup_path (const char *name)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = g_path_get_dirname (self != NULL ? self : ".");
  g_autofree char *last = g_path_get_basename (folder);
  g_autofree char *tree = NULL;

  if (strcmp (last, ".libs") != 0)
    return g_build_filename (COMMY_LIBEXEC_DIR, name, NULL);
  tree = g_path_get_dirname (folder);
  return g_build_filename (tree, name, NULL);
}

/* In the child: a group of its own, and no life after that of @user_data, its parent. */
static void
own_group (gpointer user_data)
{
  const pid_t *parent = user_data;

  setpgid (0, 0);
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid () != *parent)
    _exit (127);
}

/* What there is; FALSE: nothing now, or nothing any more. */
static gboolean
read_some (Stream *stream)
{
  guint8 buffer[16384];
  gssize n = stream->fd >= 0 ? read (stream->fd, buffer, sizeof buffer) : -1;

  if (n > 0)
    g_byte_array_append (stream->bytes, buffer, (guint) n);
  else if (stream->fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR)))
    {
      close (stream->fd);
      stream->fd = -1;
    }
  return n > 0;
}

static gboolean
is_flooded (const Job *job)
{
  return job->streams[OUTPUT].bytes->len > OUTPUT_BYTES
         || job->streams[ERRORS].bytes->len > OUTPUT_BYTES;
}

/* Until it ended, its time is over, or it said more than anybody reads. */
static void
follow (Job *job, int process)
{
  gint64 until = g_get_monotonic_time () + job->seconds * G_USEC_PER_SEC;

  while (!job->timed_out && !job->flooded)
    {
      gint64 left_ms = (until - g_get_monotonic_time ()) / 1000;
      struct pollfd fds[] = { { .fd = process, .events = POLLIN },
                              { .fd = job->streams[OUTPUT].fd, .events = POLLIN },
                              { .fd = job->streams[ERRORS].fd, .events = POLLIN } };

      poll (fds, G_N_ELEMENTS (fds), (int) CLAMP (left_ms + 1, 0, G_MAXINT));
      for (guint i = 0; i < N_STREAMS; i++)
        if (fds[i + 1].revents != 0)
          read_some (&job->streams[i]);
      if ((fds[0].revents & POLLIN) != 0)
        return;
      job->timed_out = left_ms < 0;
      job->flooded = is_flooded (job);
    }
}

/* Its id stays its group's until it is waited for, so nobody else's group can be hit. What is in
 * the pipes is what it said. */
static void
finish (Job *job)
{
  kill (-job->pid, SIGKILL);
  while (waitpid (job->pid, &job->status, 0) < 0 && errno == EINTR)
    continue;
  for (guint i = 0; i < N_STREAMS; i++)
    while (!is_flooded (job) && read_some (&job->streams[i]))
      continue;
  job->flooded = is_flooded (job);
}

static char *
dup_text (const Stream *stream)
{
  guint length = stream->bytes->len;

  return g_utf8_make_valid (length > 0 ? (const char *) stream->bytes->data : "", length);
}

static char *
dup_failure (const Job *job)
{
  int number;

  if (job->timed_out)
    return g_strdup_printf ("it was not through after %u s", job->seconds);
  if (job->flooded)
    return g_strdup_printf ("it printed more than %u MiB", OUTPUT_MIB);
  if (!WIFSIGNALED (job->status))
    return NULL;
  number = WTERMSIG (job->status);
  if (number == SIGSYS)
    return g_strdup (
        "it asks the kernel for more than looking at it needs, such as to open a socket, "
        "to write a file or to start a process");
  if (number == SIGABRT)
    return g_strdup ("it ended the process (abort)");
  return g_strdup_printf ("it ended the process: %s", g_strsignal (number));
}

static gboolean
start (Job *job, const char *const *arguments, GError **error)
{
  g_autofree char *tool = commy_tool_dup_path (TOOL);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  pid_t self = getpid ();

  g_ptr_array_add (argv, tool);
  for (guint i = 0; arguments[i] != NULL; i++)
    g_ptr_array_add (argv, (gpointer) arguments[i]);
  g_ptr_array_add (argv, NULL);
  if (!g_spawn_async_with_pipes (NULL, (char **) argv->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD,
                                 own_group, &self, &job->pid, NULL, &job->streams[OUTPUT].fd,
                                 &job->streams[ERRORS].fd, error))
    return FALSE;
  for (guint i = 0; i < N_STREAMS; i++)
    {
      g_unix_set_fd_nonblocking (job->streams[i].fd, TRUE, NULL);
      job->streams[i].bytes = g_byte_array_new ();
    }
  return TRUE;
}

gboolean
commy_tool_run (const char *const *arguments, guint seconds, CommyToolRun *out_run, GError **error)
{
  Job job = { .seconds = seconds };
  int process, code;

  if (!start (&job, arguments, error))
    return FALSE;
  process = (int) syscall (SYS_pidfd_open, job.pid, 0);
  code = errno;
  if (process >= 0)
    follow (&job, process);
  else
    commy_cli_set_error (error, COMMY_ERROR_FAILED, "cannot follow " TOOL ": %s",
                         g_strerror (code));
  finish (&job);
  *out_run = (CommyToolRun){
    .ok = !job.timed_out && !job.flooded && WIFEXITED (job.status) && WEXITSTATUS (job.status) == 0,
    .failure = dup_failure (&job),
    .output = dup_text (&job.streams[OUTPUT]),
    .errors = dup_text (&job.streams[ERRORS]),
  };
  for (guint i = 0; i < N_STREAMS; i++)
    {
      if (job.streams[i].fd >= 0)
        close (job.streams[i].fd);
      g_byte_array_unref (job.streams[i].bytes);
    }
  if (process < 0)
    return FALSE;
  close (process);
  return TRUE;
}

char *
commy_tool_dup_first (const char *text, const char *prefix)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], prefix))
      return g_strdup (lines[i] + strlen (prefix));
  return NULL;
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
