/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes: traffic of all sizes, peers that are killed in the middle of it, and what the
 * fast path does not do: call the kernel or allocate.
 */
#include "config.h"

#include "plugins/shm/commy-wait.h"
#include "shm-host.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_TRIPS 100000u
#define KILLS 200u
#define SPINS 2000u

/* The linker sends the plugin's own calls here. */
void *__real_malloc (size_t size);
void *__real_calloc (size_t n, size_t size);
void *__real_realloc (void *memory, size_t size);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t n, size_t size);
void *__wrap_realloc (void *memory, size_t size);

static guint *
allocations (void)
{
  static guint n;

  return &n;
}

void *
__wrap_malloc (size_t size)
{
  (*allocations ())++;
  return __real_malloc (size);
}

void *
__wrap_calloc (size_t n, size_t size)
{
  (*allocations ())++;
  return __real_calloc (n, size);
}

void *
__wrap_realloc (void *memory, size_t size)
{
  (*allocations ())++;
  return __real_realloc (memory, size);
}

/* --- messages that can be checked --- */

static gsize
size_of (guint32 i)
{
  guint32 random = i * 2654435761u >> 8;

  switch (random % 16)
    {
    case 0:
      return 2000 + random % 60000;
    case 1:
      return random % 1000 == 1 ? 3 << 20 : 300000;
    default:
      return 16 + random % 1500;
    }
}

static void
write_message (guint8 *data, guint32 i, gsize size)
{
  memcpy (data, &i, sizeof i);
  data[size / 2] = (guint8) i;
  data[size - 1] = (guint8) i;
}

static gboolean
is_message (const CommyMessage *message, guint32 i)
{
  return message->size == size_of (i) && memcmp (message->data, &i, sizeof i) == 0
         && message->data[message->size / 2] == (guint8) i
         && message->data[message->size - 1] == (guint8) i;
}

static gboolean
send_number (ShmTestHost *host, gpointer connection, guint32 i)
{
  gsize size = size_of (i);
  CommySpan span;
  CommyIo io;

  while ((io = host->ops->reserve (connection, size, &span)) == COMMY_IO_WOULD_BLOCK)
    shm_test_sleep (host, connection, COMMY_INTEREST_WRITE | COMMY_INTEREST_READ);
  if (io != COMMY_IO_OK)
    return FALSE;
  write_message (span.data, i, size);
  host->ops->commit (connection, size);
  return host->ops->flush (connection) == COMMY_IO_OK;
}

/* Spins, then parks. */
static gboolean
receive (ShmTestHost *host, gpointer connection, CommyMessage *out_message)
{
  guint32 kick = 0;
  CommyIo io;
  guint spins = 0;

  while ((io = host->ops->peek (connection, out_message)) == COMMY_IO_WOULD_BLOCK)
    if (++spins > SPINS)
      host->ops->wait (connection, &kick, 0, G_MAXINT64);
  return io == COMMY_IO_OK;
}

/* --- the other process --- */

typedef struct
{
  char *directory;
  ShmTestHost *host;
} Scene;

static void
scene_open (Scene *scene)
{
  scene->directory = shm_test_directory_new ();
  scene->host = shm_test_host_new (scene->directory, NULL);
  shm_test_host_listen (scene->host);
}

static void
scene_close (Scene *scene)
{
  shm_test_host_free (scene->host);
  shm_test_directory_free (scene->directory);
}

static pid_t
fork_peer (Scene *scene, void (*run) (ShmTestHost *host, gpointer connection))
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      ShmTestHost *host = shm_test_host_new (scene->directory, NULL);
      gpointer connection = shm_test_host_connect (host, shm_test_host_address (scene->host), NULL);

      if (connection == NULL)
        _exit (1);
      run (host, connection);
      shm_test_host_close (host, connection);
      _exit (0);
    }
  g_assert_cmpint (pid, >, 0);
  return pid;
}

static void
reap (pid_t pid)
{
  while (waitpid (pid, NULL, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
}

static void
run_echo (ShmTestHost *host, gpointer connection)
{
  CommyMessage message;

  while (receive (host, connection, &message))
    {
      guint32 number;

      memcpy (&number, message.data, sizeof number);
      if (!is_message (&message, number))
        _exit (2);
      host->ops->release (connection, &message);
      send_number (host, connection, number);
    }
}

static void
test_ping_pong (void)
{
  Scene scene;
  gpointer connection;
  pid_t pid;
  int status;

  scene_open (&scene);
  pid = fork_peer (&scene, run_echo);
  connection = shm_test_host_accept (scene.host);
  for (guint32 i = 0; i < ROUND_TRIPS; i++)
    {
      CommyMessage message;

      g_assert_true (send_number (scene.host, connection, i));
      g_assert_true (receive (scene.host, connection, &message));
      g_assert_true (is_message (&message, i));
      scene.host->ops->release (connection, &message);
    }
  shm_test_host_close (scene.host, connection);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  scene_close (&scene);
}

/* Sends for ever, and reads what comes the other way now and then. */
static void
run_flood (ShmTestHost *host, gpointer connection)
{
  CommyMessage message;

  for (guint32 i = 0; send_number (host, connection, i); i++)
    while (host->ops->peek (connection, &message) == COMMY_IO_OK)
      host->ops->release (connection, &message);
}

static void
check_death (Scene *scene, guint round)
{
  pid_t pid = fork_peer (scene, run_flood);
  gpointer connection = shm_test_host_accept (scene->host);
  guint32 before = (round * 37) % 500;
  g_autofree char *why = g_strdup_printf ("peer process %d died", pid);
  CommyMessage message;
  guint32 i = 0;

  for (; i < before; i++)
    {
      g_assert_true (receive (scene->host, connection, &message));
      g_assert_true (is_message (&message, i));
      scene->host->ops->release (connection, &message);
      if (i % 20 == 0)
        send_number (scene->host, connection, i);
    }
  kill (pid, SIGKILL);
  if (round % 2)
    reap (pid);
  /* Everything that was published arrives, in order and whole; then the end, with its reason. */
  while (round % 3 == 0 ? receive (scene->host, connection, &message)
                        : shm_test_receive (scene->host, connection, &message))
    {
      g_assert_true (is_message (&message, i++));
      scene->host->ops->release (connection, &message);
    }
  g_assert_cmpstr (scene->host->ops->why (connection), ==, why);
  shm_test_host_close (scene->host, connection);
  if (round % 2 == 0)
    reap (pid);
}

static void
test_kill (void)
{
  Scene scene;
  guint n_fds;
  guint n_maps;

  scene_open (&scene);
  n_fds = shm_test_count_fds ();
  n_maps = shm_test_count_maps ();
  for (guint round = 0; round < KILLS; round++)
    check_death (&scene, round);
  g_assert_cmpuint (shm_test_count_fds (), ==, n_fds);
  g_assert_cmpuint (shm_test_count_maps (), ==, n_maps);
  scene_close (&scene);
}

/* Has a child that keeps the socket open; the pidfd tells all the same. */
static void
run_parent (ShmTestHost *host, gpointer connection)
{
  pid_t pid = fork ();
  CommySpan span;

  if (pid == 0)
    for (;;)
      pause ();
  host->ops->reserve (connection, sizeof pid, &span);
  memcpy (span.data, &pid, sizeof pid);
  host->ops->commit (connection, sizeof pid);
  host->ops->flush (connection);
  for (;;)
    pause ();
}

static void
test_kept_socket (void)
{
  Scene scene;
  CommyMessage message;
  gpointer connection;
  pid_t pid;
  pid_t grandchild;

  scene_open (&scene);
  pid = fork_peer (&scene, run_parent);
  connection = shm_test_host_accept (scene.host);
  g_assert_true (receive (scene.host, connection, &message));
  memcpy (&grandchild, message.data, sizeof grandchild);
  scene.host->ops->release (connection, &message);
  kill (pid, SIGKILL);
  /* A zombie is dead. */
  g_assert_false (shm_test_receive (scene.host, connection, &message));
  g_assert_nonnull (strstr (scene.host->ops->why (connection), "died"));
  kill (grandchild, SIGKILL);
  reap (pid);
  shm_test_host_close (scene.host, connection);
  scene_close (&scene);
}

/* --- the fast path --- */

/* As `_exit`, which the leak sanitizer makes more of. */
static void
leave (int code)
{
  syscall (SYS_exit_group, code);
}

static void
allow_nothing (void)
{
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (filter), .filter = filter };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
      || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    leave (77);
}

static void
pass (const CommyTransportOps *ops, gpointer from, gpointer to, gsize size)
{
  CommyMessage message;
  CommySpan span;

  if (ops->peek (to, &message) != COMMY_IO_WOULD_BLOCK
      || ops->reserve (from, size, &span) != COMMY_IO_OK)
    leave (3);
  span.data[0] = 1;
  ops->commit (from, size);
  ops->flush (from);
  if (ops->peek (to, &message) != COMMY_IO_OK || message.size != size)
    leave (4);
  ops->release (to, &message);
}

static void
pass_many (const CommyTransportOps *ops, gpointer a, gpointer b, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      pass (ops, a, b, 64);
      pass (ops, b, a, 2000);
      pass (ops, a, b, 3000);
      pass (ops, b, a, 1 << 20);
    }
}

static void
test_fast_path (void)
{
  int status;
  pid_t pid = fork ();

  /* Both ends in one thread of the child: memory that is forked would not be there. */
  if (pid == 0)
    {
      Scene scene;
      gpointer a;
      gpointer b;
      guint before;

      scene_open (&scene);
      a = shm_test_host_connect (scene.host, shm_test_host_address (scene.host), NULL);
      b = shm_test_host_accept (scene.host);
      shm_test_host_unlisten (scene.host);
      shm_test_directory_free (scene.directory);
      pass_many (scene.host->ops, a, b, 10);
      before = *allocations ();
      allow_nothing ();
      pass_many (scene.host->ops, a, b, 10000);
      leave (before > 0 && *allocations () == before ? 0 : 5);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    {
      g_test_skip ("no seccomp here");
      return;
    }
  g_assert_cmpint (status, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/shm/two-processes/all-sizes-there-and-back", test_ping_pong);
  g_test_add_func ("/shm/two-processes/killed-peer-is-drained-then-closed", test_kill);
  g_test_add_func ("/shm/two-processes/dead-peer-with-an-open-socket", test_kept_socket);
  g_test_add_func ("/shm/fast-path/no-system-call-and-no-allocation", test_fast_path);
  return g_test_run ();
}
