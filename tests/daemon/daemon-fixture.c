/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixture of a daemon: see the header.
 */
#include "config.h"

#include "daemon-fixture.h"

#include "../conformance/commy-test-host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANDED_OVER 3

static char *
find_program (void)
{
  return g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "commyd", NULL);
}

static int
listen_for_notes (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (strlen (path), <, sizeof address.sun_path);
  memcpy (address.sun_path, path, strlen (path));
  g_assert_cmpint (bind (fd, (const struct sockaddr *) &address, sizeof address), ==, 0);
  return fd;
}

TestDaemon *
test_daemon_new (void)
{
  TestDaemon *self = g_new0 (TestDaemon, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *notify = NULL;

  self->dir = g_dir_make_tmp ("commyd-XXXXXX", &error);
  g_assert_no_error (error);
  self->socket = g_build_filename (self->dir, "run", "store.sock", NULL);
  self->state = g_build_filename (self->dir, "state", NULL);
  notify = g_build_filename (self->dir, "notify", NULL);
  self->notify_fd = listen_for_notes (notify);
  self->heard = g_string_new (NULL);
  self->listener = -1;
  self->said_fd = -1;
  return self;
}

void
test_daemon_free (TestDaemon *self)
{
  if (self->pid != 0)
    test_daemon_stop (self);
  close (self->notify_fd);
  if (self->said_fd >= 0)
    close (self->said_fd);
  commy_test_remove_tree (self->dir);
  g_string_free (self->heard, TRUE);
  g_free (self->dir);
  g_free (self->socket);
  g_free (self->state);
  g_free (self);
}

/* systemd-socket-activate(1) hands on what variables it is told to, and ends at a name that is
 * none, such as a shell's functions have. */
static void
add_activator (TestDaemon *self, GPtrArray *arguments)
{
  static const char *const ours[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "COMMY_CONFIG" };
  g_auto (GStrv) names = g_listenv ();

  g_ptr_array_add (arguments, g_strdup (self->activator));
  g_ptr_array_add (arguments, g_strconcat ("--listen=", self->socket, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (ours); i++)
    g_ptr_array_add (arguments, g_strconcat ("--setenv=", ours[i], NULL));
  for (gsize i = 0; names[i] != NULL; i++)
    if (strspn (names[i], G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_") == strlen (names[i]))
      g_ptr_array_add (arguments, g_strconcat ("--setenv=", names[i], NULL));
}

/* The arguments; those of the fixture's own last, so that a test can say something else. */
static GPtrArray *
make_arguments (TestDaemon *self)
{
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);

  if (self->activator != NULL)
    add_activator (self, arguments);
  g_ptr_array_add (arguments, self->program != NULL ? g_strdup (self->program) : find_program ());
  g_ptr_array_add (arguments, g_strdup ("--mesh=test"));
  g_ptr_array_add (arguments, g_strconcat ("--socket=", self->socket, NULL));
  g_ptr_array_add (arguments, g_strconcat ("--state-dir=", self->state, NULL));
  for (gsize i = 0; self->options != NULL && self->options[i] != NULL; i++)
    g_ptr_array_add (arguments, g_strdup (self->options[i]));
  g_ptr_array_add (arguments, NULL);
  return arguments;
}

/* In the child; what is allocated here goes with it. */
static G_NORETURN void
become_daemon (TestDaemon *self, GPtrArray *arguments, int errors)
{
  g_autofree char *notify = g_build_filename (self->dir, "notify", NULL);
  g_autofree char *pid = g_strdup_printf ("%d", (int) getpid ());
  g_autofree char *watchdog = g_strdup_printf ("%" G_GUINT64_FORMAT, self->watchdog_us);
  const struct rlimit limit = { self->file_limit, self->file_limit };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (self->keyfile != NULL)
    {
      g_autofree char *path = g_build_filename (self->dir, "daemon.conf", NULL);
      g_autofree char *list = g_strjoin (":", g_getenv ("COMMY_CONFIG"), path, NULL);

      g_setenv ("COMMY_CONFIG", list, TRUE);
    }
  g_setenv ("NOTIFY_SOCKET", notify, TRUE);
  if (self->watchdog_us != 0)
    g_setenv ("WATCHDOG_USEC", watchdog, TRUE);
  if (errors >= 0)
    dup2 (errors, STDERR_FILENO);
  if (self->listener >= 0)
    {
      g_setenv ("LISTEN_PID", pid, TRUE);
      g_setenv ("LISTEN_FDS", "1", TRUE);
      if (self->listener != HANDED_OVER)
        dup2 (self->listener, HANDED_OVER);
      else
        fcntl (HANDED_OVER, F_SETFD, 0);
    }
  if (self->file_limit != 0)
    setrlimit (RLIMIT_FSIZE, &limit);
  execv (arguments->pdata[0], (char **) arguments->pdata);
  _exit (127);
}

void
test_daemon_write_keyfile (TestDaemon *self, const char *text)
{
  g_autofree char *path = g_build_filename (self->dir, "daemon.conf", NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  self->keyfile = text;
}

static GPid
spawn (TestDaemon *self, int errors)
{
  g_autoptr (GPtrArray) arguments = make_arguments (self);
  GPid pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    become_daemon (self, arguments, errors);
  return pid;
}

void
test_daemon_await (TestDaemon *self, const char *words)
{
  const char *found;

  while ((found = strstr (self->heard->str, words)) == NULL)
    {
      char bytes[4096];
      ssize_t n = recv (self->notify_fd, bytes, sizeof bytes, 0);

      g_assert_cmpint (n, >, 0);
      g_string_append_len (self->heard, bytes, n);
      g_string_append_c (self->heard, '\n');
      if (strstr (self->heard->str, "did not start") != NULL)
        g_error ("commyd did not start");
    }
  g_string_erase (self->heard, 0, found - self->heard->str + (gssize) strlen (words));
}

void
test_daemon_start (TestDaemon *self)
{
  g_assert_cmpint (self->pid, ==, 0);
  self->pid = spawn (self, -1);
  test_daemon_await (self, "READY=1");
}

void
test_daemon_activate (TestDaemon *self)
{
  g_autoptr (GString) said = g_string_new (NULL);
  int fds[2];

  g_assert_cmpint (self->pid, ==, 0);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  self->pid = spawn (self, fds[1]);
  close (fds[1]);
  self->said_fd = fds[0]; /* stays open: the daemon writes there, too */
  while (strstr (said->str, "Listening on") == NULL)
    {
      char bytes[1024];
      ssize_t n = read (self->said_fd, bytes, sizeof bytes);

      if (n <= 0)
        g_error ("%s does not listen: %s", self->activator, said->str);
      g_string_append_len (said, bytes, n);
    }
}

static int
wait_for (GPid pid)
{
  int status = -1;

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  return status;
}

char *
test_daemon_fail (TestDaemon *self, int *out_status)
{
  GString *said = g_string_new (NULL);
  char bytes[1024];
  int fds[2];
  int status;
  ssize_t n;
  GPid pid;

  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  pid = spawn (self, fds[1]);
  close (fds[1]);
  while ((n = read (fds[0], bytes, sizeof bytes)) > 0)
    g_string_append_len (said, bytes, n);
  close (fds[0]);
  status = wait_for (pid);
  *out_status = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
  g_string_truncate (self->heard, 0);
  while (recv (self->notify_fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
    continue;
  return g_string_free (said, FALSE);
}

void
test_daemon_kill (TestDaemon *self)
{
  kill (self->pid, SIGKILL);
  wait_for (self->pid);
  self->pid = 0;
}

void
test_daemon_stop (TestDaemon *self)
{
  int status;

  kill (self->pid, SIGTERM);
  status = wait_for (self->pid);
  self->pid = 0;
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}
