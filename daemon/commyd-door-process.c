/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process of a door, from outside: see the header.
 */
#include "config.h"

#include "daemon/commyd-door-process.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOOR_FD 3
#define SOCKET_BYTES (1 << 20)
#define DESCRIPTORS_BESIDE 16u
/* Buffers are larger than what is in them, and small frames than their bytes. A door that needs
 * more dies; no honest one comes near it. */
#define MEMORY_BESIDE (G_GUINT64_CONSTANT (128) << 20)
#define MEMORY_OF_ONE (G_GUINT64_CONSTANT (512) << 10) /* that a buffer keeps */
#define MEMORY_TIMES 8u                                /* what may wait */

/* A service manager tells each process of a unit to end, and a terminal each of a job. A door that
 * did so before its keeper has heard of it would take the leases of its user along, which are to be
 * there when the daemon is back: it ends with its keeper, and by its hand. */
static void
in_child (gpointer unused)
{
  static const int words[] = { SIGTERM, SIGINT, SIGHUP };

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    signal (words[i], SIG_IGN);
}

/* What the service manager tells the keeper, and whatever else is in its environment, is not for a
 * door: it has what its libraries go by. (transfer full) */
static GStrv
dup_environment (void)
{
  static const char *const names[]
      = { "LD_LIBRARY_PATH", "LC_ALL",       "LANG",         "G_MESSAGES_DEBUG",
          "ASAN_OPTIONS",    "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS" };
  GStrv kept = g_new0 (char *, 1);

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_getenv (names[i]) != NULL)
      kept = g_environ_setenv (kept, names[i], g_getenv (names[i]), TRUE);
  return kept;
}

gboolean
commyd_door_spawn (CommydServer *server, GPid *out_pid, int *out_fd, GError **error)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *mesh = g_strconcat ("--mesh=", server->mesh, NULL);
  g_auto (GStrv) environment = dup_environment ();
  /* The file itself: its name may be another program's by now. */
  char exe[] = "/proc/self/exe";
  char *argv[] = { exe, program != NULL ? program : exe, (char *) "--door", mesh, NULL };
  const GSpawnFlags flags
      = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO | G_SPAWN_STDOUT_TO_DEV_NULL;
  const int size = SOCKET_BYTES;
  const int target = DOOR_FD;
  gboolean is_started;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
    {
      commy_set_error (error, COMMY_ERROR_BUSY, "there is no socket for its door: %s",
                       g_strerror (errno));
      return FALSE;
    }
  for (int i = 0; i < 2; i++)
    setsockopt (fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* as much as the kernel lets */
  is_started = g_spawn_async_with_pipes_and_fds (
      NULL, (const char *const *) argv, (const char *const *) environment, flags, in_child, NULL,
      -1, -1, -1, &fds[1], &target, 1, out_pid, NULL, NULL, NULL, error);
  close (fds[1]);
  if (is_started)
    *out_fd = fds[0];
  else
    close (fds[0]);
  return is_started;
}

/* (transfer full) */
static char *
describe_end (int status)
{
  if (WIFSIGNALED (status))
    return g_strdup_printf ("it was ended by signal %d (%s)", WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));
  return g_strdup_printf ("it ended with status %d", WEXITSTATUS (status));
}

char *
commyd_door_kill (GPid pid)
{
  int status = 0;

  /* One that has begun to end keeps its own reason. */
  kill (pid, SIGKILL);
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    continue;
  return describe_end (status);
}

static void
set_limit (GPid pid, int resource, guint64 most, const char *what)
{
  struct rlimit limit;

  if (prlimit (pid, (guint) resource, NULL, &limit) < 0)
    return;
  limit.rlim_cur = MIN (limit.rlim_max, (rlim_t) most);
  if (prlimit (pid, (guint) resource, &limit, NULL) < 0)
    g_debug ("the %s of a door has no limit of its own: %s", what, g_strerror (errno));
}

void
commyd_door_limit (GPid pid, const CommydLimits *limits)
{
  set_limit (pid, RLIMIT_NOFILE, (guint64) limits->connections + DESCRIPTORS_BESIDE, "descriptors");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  /* A sanitizer takes all addresses there are. */
  set_limit (pid, RLIMIT_AS,
             MEMORY_BESIDE + limits->connections * MEMORY_OF_ONE + limits->waiting * MEMORY_TIMES,
             "memory");
#endif
}
