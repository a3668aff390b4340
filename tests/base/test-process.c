/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of another process: that it ends, when all of it does, and when a thread of it
 * ended.
 */
#include "config.h"

#include "base/commy-process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3

typedef struct
{
  int control; /* a byte for each thing to do, and for each that is done */
  int pid;
  int pidfd;
} Other;

/* --- the other process --- */

/* Each thread ends with the byte it reads. */
static void *
read_and_end (void *data)
{
  char byte = 't';
  int control = *(int *) data;

  if (write (control, &byte, 1) != 1 || read (control, &byte, 1) != 1)
    _exit (1);
  return NULL;
}

/* Its first thread ends at once where @without_first. */
static void
play (int control, gboolean without_first)
{
  pthread_t threads[THREADS];

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  for (guint i = 0; i < THREADS; i++)
    if (pthread_create (&threads[i], NULL, read_and_end, &control) != 0)
      _exit (1);
  if (without_first)
    pthread_exit (NULL);
  for (;;)
    pause ();
}

/* --- here --- */

static void
hear (const Other *self, guint n)
{
  char byte;

  for (guint i = 0; i < n; i++)
    g_assert_cmpint (read (self->control, &byte, 1), ==, 1);
}

static void
other_start (Other *self, gboolean without_first)
{
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  self->control = pair[0];
  self->pid = fork ();
  g_assert_cmpint (self->pid, >=, 0);
  if (self->pid == 0)
    {
      close (pair[0]);
      play (pair[1], without_first);
    }
  close (pair[1]);
  self->pidfd = (int) syscall (SYS_pidfd_open, self->pid, 0);
  g_assert_cmpint (self->pidfd, >=, 0);
  hear (self, THREADS);
}

static void
await (int pidfd)
{
  struct pollfd ended = { .fd = pidfd, .events = POLLIN };

  g_assert_cmpint (poll (&ended, 1, -1), ==, 1);
}

static void
other_end (Other *self)
{
  kill (self->pid, SIGKILL);
  g_assert_cmpint (waitpid (self->pid, NULL, 0), ==, self->pid);
  g_assert_true (commy_process_is_ending (self->pidfd));
  close (self->pidfd);
  close (self->control);
}

static char
state_of (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return strrchr (text, ')')[2];
}

static void
test_ends (void)
{
  Other other;

  other_start (&other, FALSE);
  g_assert_false (commy_process_is_ending (other.pidfd));
  kill (other.pid, SIGSTOP);
  g_assert_false (commy_process_is_ending (other.pidfd));
  /* From the moment of the kill on, dead or not. */
  kill (other.pid, SIGKILL);
  await (other.pidfd);
  g_assert_true (commy_process_is_ending (other.pidfd));
  other_end (&other);
}

static void
test_first_thread (void)
{
  Other other;

  other_start (&other, TRUE);
  while (state_of (other.pid) != 'Z')
    sched_yield ();
  g_assert_false (commy_process_is_ending (other.pidfd));
  other_end (&other);
}

/* Who cannot look does not say that it is dead. */
static void
test_no_descriptors (void)
{
  struct rlimit before, few;
  int taken[64];
  Other other;

  other_start (&other, FALSE);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  few = before;
  few.rlim_cur = G_N_ELEMENTS (taken);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
  for (guint n_free = 0; n_free < 6; n_free++)
    {
      guint n = 0;
      gboolean ending;

      while (n < G_N_ELEMENTS (taken) && (taken[n] = open ("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
      for (guint i = 0; i < n_free && n > 0; i++)
        close (taken[--n]);
      ending = commy_process_is_ending (other.pidfd);
      while (n > 0)
        close (taken[--n]);
      g_assert_false (ending);
    }
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
  other_end (&other);
}

static gboolean
has_thread_pidfds (const Other *other)
{
  int tid;
  int fd = commy_process_open_thread (other->pidfd, 0, &tid);
  int why = errno;

  if (fd >= 0)
    close (fd);
  if (fd < 0 && why == EINVAL)
    g_test_skip ("this kernel does not tell of the end of a thread (Linux 6.9)");
  else
    g_assert_cmpint (fd, >=, 0);
  return fd >= 0;
}

static void
test_threads (void)
{
  Other other;
  int fds[2], tids[2], tid;

  other_start (&other, FALSE);
  if (has_thread_pidfds (&other))
    {
      fds[0] = commy_process_open_thread (other.pidfd, 0, &tids[0]);
      fds[1] = commy_process_open_thread (other.pidfd, tids[0], &tids[1]);
      g_assert_cmpint (fds[0], >=, 0);
      g_assert_cmpint (fds[1], >=, 0);
      g_assert_cmpint (tids[0], !=, other.pid);
      g_assert_cmpint (tids[0], !=, tids[1]);
      g_assert_cmpint (write (other.control, "abc", THREADS), ==, THREADS);
      await (fds[0]);
      await (fds[1]);
      g_assert_false (commy_process_is_ending (other.pidfd));
      /* The third may still be about to end. */
      while ((fds[0] = (close (fds[0]), commy_process_open_thread (other.pidfd, 0, &tid))) >= 0)
        await (fds[0]);
      g_assert_cmpint (errno, ==, ESRCH);
      close (fds[1]);
    }
  other_end (&other);
}

static void
test_id (void)
{
  Other one, other;
  int again;

  other_start (&one, FALSE);
  other_start (&other, FALSE);
  again = (int) syscall (SYS_pidfd_open, one.pid, 0);
  g_assert_cmpint (again, >=, 0);
  g_assert_cmpuint (commy_process_get_id (again), ==, commy_process_get_id (one.pidfd));
  if (commy_process_get_id (again) != 0)
    g_assert_cmpuint (commy_process_get_id (again), !=, commy_process_get_id (other.pidfd));
  g_assert_cmpuint (commy_process_get_id (one.control), ==, 0);
  close (again);
  other_end (&one);
  other_end (&other);
}

static void
test_nonsense (void)
{
  int pair[2], tid;

  g_assert_cmpint (pipe (pair), ==, 0);
  g_assert_false (commy_process_is_ending (pair[0]));
  g_assert_cmpint (commy_process_open_thread (pair[0], 0, &tid), ==, -1);
  g_assert_cmpuint (commy_process_get_id (-1), ==, 0);
  close (pair[0]);
  close (pair[1]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/process/one-that-was-killed-ends", test_ends);
  g_test_add_func ("/base/process/one-whose-first-thread-left-lives", test_first_thread);
  g_test_add_func ("/base/process/who-cannot-look-takes-nobody-for-dead", test_no_descriptors);
  g_test_add_func ("/base/process/the-end-of-a-thread-is-told", test_threads);
  g_test_add_func ("/base/process/a-process-is-known-by-its-id", test_id);
  g_test_add_func ("/base/process/what-is-no-process-tells-nothing", test_nonsense);
  return g_test_run ();
}
