/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads /proc/PID/task, whose first entry is the process's first thread and whose others follow
 * in the order in which they were made.
 */
#include "config.h"

#include "base/commy-process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Of <linux/pidfd.h> and <linux/magic.h>, which are younger than the library we build with. */
#define THREAD_PIDFD O_EXCL
#define PIDFS_MAGIC 0x50494446

/* PF_EXITING of the kernel, in the line of a thread since there is such a file. */
#define FLAG_EXITING 4u
/* Counted from the end of the name. */
#define FIELD_STATE 1
#define FIELD_FLAGS 7
#define FIELD_PENDING 29
#define FIELDS 31u
#define BIT_OF(signal) (1ul << ((signal) -1))

/* Of a process with more threads these speak for all. */
#define THREADS_MAX 256

guint64
commy_process_get_id (int pidfd)
{
  struct statfs file_system;
  struct stat status;

  if (fstatfs (pidfd, &file_system) < 0 || file_system.f_type != PIDFS_MAGIC
      || fstat (pidfd, &status) < 0)
    return 0;
  return status.st_ino;
}

/* As this process's namespace numbers it; 0: nobody says. */
static int
pid_of (int pidfd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  line = strstr (text, "\nPid:");
  return line != NULL ? atoi (line + strlen ("\nPid:")) : 0;
}

static gboolean
has_ended (int pidfd)
{
  struct pollfd ended = { .fd = pidfd, .events = POLLIN };

  return poll (&ended, 1, 0) > 0;
}

/* Who is killed never returns from the kernel. */
static gboolean
says_that_it_ends (const char *stat)
{
  const char *end_of_name = strrchr (stat, ')'); /* which may contain anything */
  g_auto (GStrv) fields = end_of_name != NULL ? g_strsplit (end_of_name, " ", FIELDS) : NULL;

  if (fields == NULL || g_strv_length (fields) < FIELDS)
    return FALSE;
  return strchr ("ZX", fields[FIELD_STATE][0]) != NULL
         || (strtoul (fields[FIELD_FLAGS], NULL, 10) & FLAG_EXITING) != 0
         || (strtoul (fields[FIELD_PENDING], NULL, 10) & BIT_OF (SIGKILL)) != 0;
}

/* One that is gone has ended; one that cannot be asked, for want of a descriptor, may live. */
static gboolean
is_thread_ending (int pid, const char *tid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%s/stat", pid, tid);
  g_autofree char *text = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL))
    return says_that_it_ends (text);
  return access (path, F_OK) < 0 && errno == ENOENT;
}

static GDir *
open_threads (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);

  return g_dir_open (path, 0, NULL);
}

static gboolean
are_all_ending (int pid)
{
  g_autoptr (GDir) threads = open_threads (pid);
  const char *tid;
  guint n = 0;

  while (threads != NULL && n < THREADS_MAX && (tid = g_dir_read_name (threads)) != NULL)
    {
      if (!is_thread_ending (pid, tid))
        return FALSE;
      n++;
    }
  return n > 0;
}

gboolean
commy_process_is_ending (int pidfd)
{
  int pid;
  gboolean ending;

  if (has_ended (pidfd))
    return TRUE;
  pid = pid_of (pidfd);
  if (pid <= 0)
    return FALSE;
  /* Twice: the list may miss a thread that was made by one which has ended since. */
  ending = are_all_ending (pid) && are_all_ending (pid);
  /* The number was that process's all the time if it is not reaped even now. */
  return ending || has_ended (pidfd);
}

/* The number may have gone to a thread elsewhere before it was opened; then it is not here now. */
static int
open_thread (int pid, const char *tid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%s", pid, tid);
  int fd = (int) syscall (SYS_pidfd_open, atoi (tid), THREAD_PIDFD);

  if (fd < 0 || access (path, F_OK) == 0)
    return fd;
  close (fd);
  errno = ESRCH;
  return -1;
}

int
commy_process_open_thread (int pidfd, int but, int *out_tid)
{
  int pid = pid_of (pidfd);
  g_autoptr (GDir) threads = pid > 0 ? open_threads (pid) : NULL;
  const char *tid;
  int fd = -1;

  errno = ESRCH;
  for (guint i = 0; fd < 0 && errno == ESRCH && i < THREADS_MAX && threads != NULL; i++)
    {
      tid = g_dir_read_name (threads);
      if (tid == NULL)
        return -1;
      *out_tid = atoi (tid);
      if (*out_tid != pid && *out_tid != but && !is_thread_ending (pid, tid))
        fd = open_thread (pid, tid);
      else
        errno = ESRCH;
    }
  return fd;
}
