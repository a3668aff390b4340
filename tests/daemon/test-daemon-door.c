/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes of commyd that read what users say: what they can and cannot do, as the kernel
 * tells it, and what becomes of others when one of them dies.
 */
#include "config.h"

#include "daemon-talk.h"

#include "../fixtures/test-child.h"
#include "daemon/commyd-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER_A 54321
#define MOST_DOORS 4
#define MIB (1u << 20)

static void
set_up (TestDaemon **daemon, gconstpointer unused)
{
  *daemon = test_daemon_new ();
}

static void
tear_down (TestDaemon **daemon, gconstpointer unused)
{
  test_daemon_free (*daemon);
}

/* --- looking at a process --- */

static char *
read_status (GPid pid, const char *word)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) pid);
  g_autofree char *text = NULL;
  const char *at;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  at = strstr (text, word);
  return at != NULL ? g_strndup (at + strlen (word) + 1, strcspn (at + strlen (word) + 1, "\n"))
                    : NULL;
}

/* The children of a daemon. */
static guint
list_doors (TestDaemon *daemon, GPid *out_pids)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      GPid pid = (GPid) strtol (name, NULL, 10);
      g_autofree char *parent = pid > 0 ? read_status (pid, "\nPPid:") : NULL;

      if (parent != NULL && strtol (parent, NULL, 10) == daemon->pid && n < MOST_DOORS)
        out_pids[n++] = pid;
    }
  return n;
}

static GPid
only_door (TestDaemon *daemon)
{
  GPid pids[MOST_DOORS];

  g_assert_cmpuint (list_doors (daemon, pids), ==, 1);
  return pids[0];
}

/* Its end, whosever child it is. */
static void
await_end (int pidfd)
{
  struct pollfd ready = { .fd = pidfd, .events = POLLIN };

  g_assert_cmpint (poll (&ready, 1, -1), ==, 1);
  close (pidfd);
}

static char *
ask_report (StoreStream *stream)
{
  StoreWireHeader header;
  const guint8 *payload;
  char *text;

  store_stream_send (stream, store_wire_write_empty (STORE_WIRE_STATUS, 9), NULL);
  g_assert_true (await_frame (stream, &header, &payload));
  text = store_wire_read_report (payload, header.size, NULL);
  g_assert_nonnull (text);
  return text;
}

/* --- the sandbox --- */

static void
assert_status (GPid pid, const char *word, const char *expected)
{
  g_autofree char *said = read_status (pid, word);

  g_assert_nonnull (said);
  g_assert_cmpstr (g_strstrip (said), ==, expected);
}

/* Nowhere, its sockets, and what its loop is woken with: no file, no folder. */
static void
assert_descriptors (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int) pid);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *link = g_build_filename (path, name, NULL);
      g_autofree char *what = g_file_read_link (link, NULL);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
      if (strcmp (name, "2") == 0)
        continue;
#endif
      g_assert_nonnull (what);
      if (strcmp (what, "/dev/null") != 0 && !g_str_has_prefix (what, "socket:")
          && strcmp (what, "anon_inode:[eventfd]") != 0)
        g_error ("descriptor %s is %s", name, what);
    }
}

/* What the service manager said to the keeper is not there. */
static void
assert_environment (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/environ", (int) pid);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;

  g_file_get_contents (path, &text, &size, &error);
  g_assert_no_error (error);
  for (gsize at = 0; at < size; at += strlen (text + at) + 1)
    if (!g_str_has_prefix (text + at, "L") && strstr (text + at, "SAN_OPTIONS=") == NULL
        && !g_str_has_prefix (text + at, "G_MESSAGES_DEBUG="))
      g_error ("%s is in its environment", text + at);
}

/* The number of one of a process, as /proc has it. */
static void
assert_limit_is (GPid pid, const char *name, guint64 number)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/limits", (int) pid);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  const char *at;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  at = strstr (text, name);
  g_assert_nonnull (at);
  g_assert_cmpuint (g_ascii_strtoull (at + strlen (name), NULL, 10), ==, number);
}

/* Its user's connections, and a few; and memory for what may wait, which is 64 MiB. */
static void
assert_limit (GPid pid, guint n)
{
  assert_limit_is (pid, "Max open files", n + 16);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  assert_limit_is (pid, "Max address space", (128 + 8 * 64) * (guint64) MIB + n * (512ul << 10));
#endif
}

static void
test_confined (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *report = NULL;
  StoreStream stream;
  GPid door;

  test_daemon_write_keyfile (*daemon, "[daemon]\nconnections=7\n");
  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  door = only_door (*daemon);
  report = ask_report (&stream);
  g_test_message ("%s", report);
  g_assert_nonnull (strstr (report, "'doors': <uint32 1>"));
  g_assert_nonnull (strstr (report, "'confinement': <'privileges memory limits"));
  assert_status (door, "\nNoNewPrivs:", "1");
  assert_status (door, "\nCapEff:", "0000000000000000");
  assert_status (door, "\nCapPrm:", "0000000000000000");
  assert_limit (door, 7);
  if (geteuid () == 0)
    {
      assert_descriptors (door);
      assert_environment (door);
    }
  else
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int) door);

      g_assert_cmpint (access (path, R_OK), !=, 0); /* not even for its own user */
    }
  store_stream_close (&stream);
#ifdef HAVE_SECCOMP
  assert_status (door, "\nSeccomp:", "2");
  g_assert_nonnull (strstr (report, "seccomp"));
#else
  g_assert_null (strstr (report, "seccomp"));
  g_test_skip ("this build has no libseccomp: a door has no filter of system calls");
#endif
}

/* More connections are more descriptors, also for a door that was there before. */
static void
test_limit_follows (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream streams[30];

  test_daemon_write_keyfile (*daemon, "[daemon]\nconnections=2\n");
  test_daemon_start (*daemon);
  for (guint i = 0; i < 2; i++)
    greet (*daemon, &streams[i]);
  assert_limit (only_door (*daemon), 2);
  reload (*daemon, "[daemon]\nconnections=30\n");
  for (guint i = 2; i < G_N_ELEMENTS (streams); i++)
    greet (*daemon, &streams[i]);
  assert_limit (only_door (*daemon), 30);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    store_stream_close (&streams[i]);
}

/* --- what it can do --- */

/* In a child that has confined itself as a door does: what it tried and could, as bits. */
enum
{
  COULD_READ = 1 << 0,
  COULD_WRITE = 1 << 1,
  COULD_START = 1 << 2,
  COULD_HAVE_SOCKET = 1 << 3,
  COULD_HAVE_NETWORK = 1 << 4,
  COULD_TRACE = 1 << 5,
  COULD_SIGNAL = 1 << 6,
  COULD_FORK = 1 << 7,
  COULD_SEND_TO = 1 << 8,
  COULD_SEND_DESCRIPTORS = 1 << 9,
  COULD_CONNECT = 1 << 10,
  COULD_RUN_MEMORY = 1 << 11,
  COULD_MAKE_IT_RUN = 1 << 12,
  COULD_LIMIT = 1 << 13,
  COULD_CONTROL = 1 << 14,
  CANNOT_SEND = 1 << 15,
};

typedef struct
{
  guint64 confinement;
  guint64 could;
} Tried;

static void
set_if (guint64 *could, guint64 what, gboolean is_so)
{
  *could |= is_so ? what : 0;
}

static void
try_paths (guint64 *could)
{
  set_if (could, COULD_READ, open ("/", O_RDONLY) >= 0);
  set_if (could, COULD_WRITE, open ("/tmp/commyd-door-was-here", O_WRONLY | O_CREAT, 0600) >= 0);
  set_if (could, COULD_START, execl ("/bin/true", "true", NULL) == 0);
}

static void
try_processes (guint64 *could, pid_t parent)
{
  struct rlimit limit = { 1, 1 };

  set_if (could, COULD_TRACE, syscall (SYS_ptrace, 0, parent, 0, 0) >= 0);
  set_if (could, COULD_SIGNAL, kill (parent, 0) == 0);
  set_if (could, COULD_FORK, fork () >= 0);
  set_if (could, COULD_LIMIT, prlimit (0, RLIMIT_NOFILE, &limit, NULL) == 0);
}

static void
try_memory (guint64 *could)
{
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  void *plain = mmap (NULL, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);

  if (plain == MAP_FAILED)
    _exit (252);
  set_if (could, COULD_MAKE_IT_RUN, mprotect (plain, 4096, PROT_READ | PROT_EXEC) == 0);
  set_if (could, COULD_RUN_MEMORY,
          mmap (NULL, 4096, PROT_READ | PROT_EXEC, flags, -1, 0) != MAP_FAILED);
}

/* What a client may have given it: a socket on which anybody can be spoken to. */
static void
try_sockets (guint64 *could, int given)
{
  const struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "\0nobody" };
  const socklen_t size = offsetof (struct sockaddr_un, sun_path) + sizeof "\0nobody" - 1;
  struct iovec part = { .iov_base = (char *) "x", .iov_len = 1 };
  const struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  gboolean is_there;

  set_if (could, COULD_HAVE_SOCKET, socket (AF_UNIX, SOCK_STREAM, 0) >= 0);
  set_if (could, COULD_HAVE_NETWORK, socket (AF_INET, SOCK_STREAM, 0) >= 0);
  /* That nobody is there is known to who may ask. */
  is_there = sendto (given, "x", 1, MSG_DONTWAIT, (const struct sockaddr *) &nobody, size) >= 0;
  set_if (could, COULD_SEND_TO, is_there || errno != EPERM);
  is_there = connect (given, (const struct sockaddr *) &nobody, size) == 0;
  set_if (could, COULD_CONNECT, is_there || errno != EPERM);
  set_if (could, COULD_SEND_DESCRIPTORS, sendmsg (given, &message, MSG_DONTWAIT) >= 0);
  set_if (could, COULD_CONTROL, ioctl (given, FIONREAD, &is_there) == 0);
  set_if (could, CANNOT_SEND, send (given, "x", 1, MSG_DONTWAIT) != 1);
}

static Tried
try_all (int given)
{
  const pid_t parent = getppid ();
  Tried tried = { 0 };

  signal (SIGXFSZ, SIG_IGN); /* as it has it from the keeper */
  commyd_sandbox_close_descriptors (given);
  tried.confinement = commyd_sandbox_enter ();
  if ((tried.confinement & (COMMYD_CONFINED_SECCOMP | COMMYD_CONFINED_LANDLOCK)) != 0)
    try_paths (&tried.could);
  if ((tried.confinement & COMMYD_CONFINED_SECCOMP) == 0)
    return tried;
  try_processes (&tried.could, parent);
  try_memory (&tried.could);
  try_sockets (&tried.could, given);
  return tried;
}

static void
test_cannot (TestDaemon **daemon, gconstpointer unused)
{
  Tried tried = { 0 };
  int status = -1;
  int fds[2];
  char byte;
  pid_t pid;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_DGRAM, 0, fds), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      if (dup2 (fds[1], 3) < 0)
        _exit (250);
      tried = try_all (3);
      _exit (send (3, &tried, sizeof tried, 0) == sizeof tried ? 0 : 251);
    }
  close (fds[1]);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  while (recv (fds[0], &tried, sizeof tried, MSG_DONTWAIT) == sizeof byte)
    continue;
  close (fds[0]);
  g_assert_cmpuint (tried.could, ==, 0);
  if ((tried.confinement & COMMYD_CONFINED_SECCOMP) == 0)
    g_test_skip ("nothing filters system calls here: only what needs a path was tried, or nothing");
}

/* --- death --- */

static void
assert_ended (StoreStream *stream)
{
  StoreWireHeader header;
  const guint8 *payload;

  g_assert_false (await_frame (stream, &header, &payload));
  store_stream_close (stream);
}

static guint
count_keys (StoreStream *stream, const char *prefix)
{
  g_auto (StoreWireAnswer) answer = { 0 };
  StoreWireHeader header;
  const guint8 *payload;

  store_stream_send (stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, prefix, 0), NULL);
  g_assert_true (await_frame (stream, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
  g_assert_true (store_wire_read_answer (payload, header.size, &answer, NULL));
  return answer.entries->len;
}

/* Registers, waits for a word on @go, and looks whether it is still connected and registered. */
static G_NORETURN void
be_another_user (TestDaemon *daemon, int said, int go)
{
  StoreStream stream;
  char word = 'x';

  if (setgroups (0, NULL) < 0 || setresgid (USER_A, USER_A, USER_A) < 0
      || setresuid (USER_A, USER_A, USER_A) < 0)
    test_child_exit (250);
  greet (daemon, &stream);
  if (write (said, &word, 1) != 1 || read (go, &word, 1) != 1)
    test_child_exit (251);
  count_keys (&stream, "");
  store_stream_close (&stream);
  test_child_exit (0);
}

/* The connections of its user end, and the next one is served. */
static void
test_dies (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *report = NULL;
  StoreStream first, second, next;
  GPid door;

  test_daemon_start (*daemon);
  greet (*daemon, &first);
  greet (*daemon, &second);
  door = only_door (*daemon);
  g_assert_cmpint (kill (door, SIGSEGV), ==, 0);
  assert_ended (&first);
  assert_ended (&second);
  greet (*daemon,
         &next); /* at once, and once: there is another one for it, if this one is ending */
  g_assert_cmpint (only_door (*daemon), !=, door);
  report = ask_report (&next);
  g_assert_nonnull (strstr (report, "'doors-lost': <uint64 1>"));
  store_stream_close (&next);
}

/* Each time somebody comes in the very moment, and nobody is sent away. */
static void
test_dies_again (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *report = NULL;
  StoreStream stream;

  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  for (guint i = 0; i < 4; i++)
    {
      StoreStream next;

      kill (only_door (*daemon), SIGKILL);
      greet (*daemon, &next);
      assert_ended (&stream);
      stream = next;
    }
  report = ask_report (&stream);
  g_assert_nonnull (strstr (report, "'doors-lost': <uint64 4>"));
  g_assert_nonnull (strstr (report, "'connections': <uint32 1>"));
  store_stream_close (&stream);
}

static void
test_dies_alone (TestDaemon **daemon, gconstpointer unused)
{
  GPid doors[MOST_DOORS];
  StoreStream stream;
  char word = 'x';
  int status = -1;
  int said[2], go[2];
  GPid door;
  pid_t pid;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  {
    g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);

    test_daemon_write_keyfile (*daemon, "[daemon]\nmode=0666\n");
    g_assert_cmpint (g_chmod ((*daemon)->dir, 0755), ==, 0);
    g_mkdir_with_parents (folder, 0755);
  }
  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  door = only_door (*daemon);
  g_assert_cmpint (pipe (said), ==, 0);
  g_assert_cmpint (pipe (go), ==, 0);
  pid = fork ();
  if (pid == 0)
    be_another_user (*daemon, said[1], go[0]);
  g_assert_cmpint (read (said[0], &word, 1), ==, 1);
  g_assert_cmpuint (list_doors (*daemon, doors), ==, 2);
  kill (door, SIGKILL);
  assert_ended (&stream);
  g_assert_cmpint (write (go[1], &word, 1), ==, 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  for (int i = 0; i < 2; i++)
    {
      close (said[i]);
      close (go[i]);
    }
}

/* A key under a lease of this connection. */
static void
register_key (StoreStream *stream)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyStoreOp op = { COMMY_STORE_PUT, "services/org.example.X/1", value, 0 };
  g_auto (StoreWireAnswer) answer = { 0 };
  StoreWireHeader header;
  const guint8 *payload;

  store_stream_send (stream, store_wire_write_number (STORE_WIRE_GRANT, 1, 0), NULL);
  g_assert_true (await_frame (stream, &header, &payload));
  g_assert_true (store_wire_read_answer (payload, header.size, &answer, NULL));
  op.lease = answer.lease;
  store_stream_send (stream, store_wire_write_txn (2, NULL, 0, &op, 1), NULL);
  g_assert_true (await_frame (stream, &header, &payload));
  g_assert_cmpuint (count_keys (stream, "services/"), ==, 1);
}

/* Its leases end as with a closed connection. */
static void
test_leases (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream first, next;

  test_daemon_start (*daemon);
  greet (*daemon, &first);
  register_key (&first);
  kill (only_door (*daemon), SIGKILL);
  assert_ended (&first);
  greet (*daemon, &next);
  while (count_keys (&next, "services/") > 0)
    continue;
  store_stream_close (&next);
}

/* As a service manager or a terminal does, which means the daemon and tells all of its processes:
 * nobody who is registered is missing when it is back. */
static void
test_told_to_end (TestDaemon **daemon, gconstpointer unused)
{
  static const int words[] = { SIGINT, SIGHUP, SIGTERM };
  StoreStream stream, next;
  GPid door;

  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  register_key (&stream);
  door = only_door (*daemon);
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_assert_cmpint (kill (door, words[i]), ==, 0);
      g_assert_cmpuint (count_keys (&stream, "services/"), ==, 1);
    }
  test_daemon_stop (*daemon);
  assert_ended (&stream);
  test_daemon_start (*daemon);
  greet (*daemon, &next);
  g_assert_cmpuint (count_keys (&next, "services/"), ==, 1);
  store_stream_close (&next);
}

/* What it has is nobody's after its keeper. */
static void
test_keeper_dies (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream stream;
  int pidfd;

  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  pidfd = (int) syscall (SYS_pidfd_open, only_door (*daemon), 0);
  g_assert_cmpint (pidfd, >=, 0);
  test_daemon_kill (*daemon);
  await_end (pidfd);
  assert_ended (&stream);
}

/* --- memory --- */

/* A transaction of so many bytes that is refused, since nobody may have so much, and the beginning
 * of another frame. */
static void
ask_much (StoreStream *stream, gsize size)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (size), size);
  const CommyStoreOp op = { COMMY_STORE_PUT, "services/org.example.X/1", value, 0 };
  StoreWireHeader header;
  const guint8 *payload;
  GByteArray *frame = store_wire_write_txn (2, NULL, 0, &op, 1);

  g_byte_array_append (frame, (const guint8 *) "", 1);
  store_stream_send (stream, frame, NULL);
  while (stream->out_bytes > 0)
    {
      struct pollfd ready = { .fd = stream->fd, .events = POLLOUT };

      g_assert_cmpint (poll (&ready, 1, -1), ==, 1);
      g_assert_true (store_stream_flush (stream, NULL));
    }
  g_assert_true (await_frame (stream, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_ERROR);
}

/* Who has said much, and waits, takes no more than who has said little. */
static void
test_memory (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream streams[12];

  test_daemon_start (*daemon);
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      g_autofree char *said = NULL;

      greet (*daemon, &streams[i]);
      ask_much (&streams[i], 17 * MIB);
      said = read_status (only_door (*daemon), "\nVmRSS:");
      g_test_message ("%u have said much: %s", i + 1, said);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
      g_assert_cmpuint (strtoul (said, NULL, 10) / 1024, <, 128);
#endif
    }
  for (guint i = 0; i < G_N_ELEMENTS (streams); i++)
    store_stream_close (&streams[i]);
}

/* --- what it costs: -m perf --- */

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
  const gint64 left = *(const gint64 *) a;
  const gint64 right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

/* Sends @frame @n times, each when the one before is answered; the median of the times. */
static double
measure (StoreStream *stream, GByteArray *frame, guint n)
{
  g_autofree gint64 *times = g_new (gint64, n);
  g_autoptr (GByteArray) whole = frame;

  for (guint i = 0; i < n; i++)
    {
      const gint64 begin = g_get_monotonic_time ();
      StoreWireHeader header;
      const guint8 *payload;

      store_stream_send (stream, g_byte_array_ref (whole), NULL);
      do
        g_assert_true (await_frame (stream, &header, &payload));
      while ((header.flags & STORE_WIRE_MORE) != 0);
      g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
      times[i] = g_get_monotonic_time () - begin;
    }
  qsort (times, n, sizeof *times, compare_numbers);
  return (double) times[n / 2];
}

static void
report (double us, const char *what)
{
  g_test_minimized_result (us, "%s: %.0f us", what, us);
}

static void
test_costs (TestDaemon **daemon, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (200), 200);
  const CommyStoreOp again = { COMMY_STORE_PUT, "services/org.example.X/0", value, 0 };
  StoreStream stream, other;
  gint64 begin;

  test_daemon_start (*daemon);
  begin = g_get_monotonic_time ();
  greet (*daemon, &stream);
  report ((double) (g_get_monotonic_time () - begin), "first connection of a user");
  begin = g_get_monotonic_time ();
  greet (*daemon, &other);
  report ((double) (g_get_monotonic_time () - begin), "second connection");
  store_stream_close (&other);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *key = g_strdup_printf ("services/org.example.X/%u", i);
      const CommyStoreOp op = { COMMY_STORE_PUT, key, value, 0 };

      measure (&stream, store_wire_write_txn (1, NULL, 0, &op, 1), 1);
    }
  report (measure (&stream, store_wire_write_txn (1, NULL, 0, &again, 1), 1000), "registration");
  report (measure (&stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, "none/", 0), 2000),
          "range of nothing");
  report (measure (&stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, "services/", 0), 200),
          "range of 1000 keys");
  store_stream_close (&stream);
}

#define ADD(path, test) \
  g_test_add ("/daemon/door/" path, TestDaemon *, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: find a fault in what reads one's frames at commyd, and look for files, other processes
   * and the network from there; defence: that is a process of its own for each user, which has
   * confined itself before the first byte; test: /daemon/door/is-confined */
  ADD ("is-confined", test_confined);
  /* attack: take over one's door and let it have all memory of the host; defence: it gets so much,
   * and ends alone; test: /daemon/door/has-limits-that-follow-settings */
  ADD ("has-limits-that-follow-settings", test_limit_follows);
  ADD ("can-do-nothing-but-read-and-send", test_cannot);
  /* attack: have commyd keep what many connections once needed, and let them lie; defence: what was
   * handed on is given back; test: /daemon/door/keeps-no-more-than-what-waits */
  ADD ("keeps-no-more-than-what-waits", test_memory);
  /* attack: end the process that reads one's frames at commyd, again and again; defence: it is
   * one's own; others have theirs; test: /daemon/door/dies-alone */
  ADD ("dies-alone", test_dies_alone);
  ADD ("dies-and-there-is-another-one", test_dies);
  ADD ("dies-and-nobody-is-sent-away", test_dies_again);
  ADD ("takes-its-leases-with-it", test_leases);
  ADD ("is-ended-by-its-keeper-alone", test_told_to_end);
  ADD ("does-not-outlive-its-keeper", test_keeper_dies);
  if (g_test_perf ())
    ADD ("costs", test_costs);
  return g_test_run ();
}
