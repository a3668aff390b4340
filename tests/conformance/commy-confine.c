/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Confinement: see the header. The filter is a list of what loading a library needs; opening for
 * writing is told apart by its flags.
 */
#include "config.h"

#include "commy-confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gio/gio.h>

#define CPU_SECONDS 300
#define FILE_BYTES (G_GUINT64_CONSTANT (1) << 30)
#define MEMORY_BYTES (G_GUINT64_CONSTANT (8) << 30) /* of addresses */
#define PROCESSES 4096

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define THIS_ARCH AUDIT_ARCH_RISCV64
#endif

static gboolean
fail (GError **error, const char *what)
{
  int code = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: %s", what, g_strerror (code));
  return FALSE;
}

/* --- limits --- */

static void
set_limit (__rlimit_resource_t resource, guint64 value)
{
  struct rlimit limit = { 0, 0 };

  getrlimit (resource, &limit);
  limit.rlim_cur = MIN ((guint64) limit.rlim_max, value);
  limit.rlim_max = limit.rlim_cur;
  setrlimit (resource, &limit);
}

void
commy_confine_limits (void)
{
  set_limit (RLIMIT_CORE, 0);
  set_limit (RLIMIT_CPU, CPU_SECONDS);
  set_limit (RLIMIT_FSIZE, FILE_BYTES);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  set_limit (RLIMIT_AS, MEMORY_BYTES);
#endif
}

/* --- namespaces --- */

static gboolean
write_text (const char *path, const char *text, GError **error)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  gboolean ok = fd >= 0 && write (fd, text, strlen (text)) == (ssize_t) strlen (text);

  if (!ok)
    fail (error, path);
  if (fd >= 0)
    close (fd);
  return ok;
}

static gboolean
raise_loopback (GError **error)
{
  struct ifreq request = { .ifr_name = "lo" };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  gboolean ok = fd >= 0 && ioctl (fd, SIOCGIFFLAGS, &request) == 0;

  request.ifr_flags |= IFF_UP;
  ok = ok && ioctl (fd, SIOCSIFFLAGS, &request) == 0;
  if (!ok)
    fail (error, "cannot set up the loopback");
  if (fd >= 0)
    close (fd);
  return ok;
}

static int
wait_for (pid_t child)
{
  int status = W_EXITCODE (EXIT_FAILURE, 0);
  pid_t ended;

  do
    ended = waitpid (-1, &status, 0);
  while (ended != child && (ended > 0 || errno == EINTR));
  return status;
}

/* Ends as the process did of which waitpid() said @status. */
static void G_GNUC_NORETURN
end_like (int status)
{
  if (WIFSIGNALED (status))
    {
      signal (WTERMSIG (status), SIG_DFL);
      raise (WTERMSIG (status));
    }
  _exit (WIFEXITED (status) ? WEXITSTATUS (status) : EXIT_FAILURE);
}

/* The first process of a namespace: it does not outlive its parent, nor the others it. Its own
 * signals do nothing to it, so that a child of it does the work, in which this returns; how that
 * ended is written to @report. A /proc that cannot be mounted stays that of outside. */
static void
be_first (int report)
{
  struct pollfd parent = { .fd = report };
  int status;
  pid_t child;

  if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0 || poll (&parent, 1, 0) != 0)
    _exit (EXIT_FAILURE);
  if (mount (NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) == 0)
    mount ("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  child = fork ();
  if (child == 0)
    {
      close (report);
      return;
    }
  status = wait_for (child);
  _exit (write (report, &status, sizeof status) == sizeof status ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Waits for the first process of a namespace. Without a word of how the work ended it was killed.
 */
static void G_GNUC_NORETURN
stand_for (pid_t first, int report)
{
  int status;

  if (read (report, &status, sizeof status) != sizeof status)
    status = W_EXITCODE (0, SIGKILL);
  wait_for (first);
  end_like (status);
}

static gboolean
enter_processes (GError **error)
{
  int report[2];
  pid_t first;

  if (pipe2 (report, O_CLOEXEC) != 0)
    return fail (error, "cannot make a pipe");
  first = unshare (CLONE_NEWPID | CLONE_NEWNS) == 0 ? fork () : -1;
  if (first < 0)
    fail (error, "the kernel refuses namespaces of processes");
  close (report[first > 0 ? 1 : 0]);
  if (first > 0)
    stand_for (first, report[0]);
  if (first == 0)
    be_first (report[1]);
  else
    close (report[1]);
  return first == 0;
}

gboolean
commy_confine_namespaces (GError **error)
{
  guint uid = (guint) geteuid (), gid = (guint) getegid ();
  g_autofree char *uids = g_strdup_printf ("%u %u 1\n", uid, uid);
  g_autofree char *gids = g_strdup_printf ("%u %u 1\n", gid, gid);

  if (unshare (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0)
    return fail (error, "the kernel refuses user and network namespaces");
  set_limit (RLIMIT_NPROC, PROCESSES);
  return write_text ("/proc/self/setgroups", "deny", error)
         && write_text ("/proc/self/uid_map", uids, error)
         && write_text ("/proc/self/gid_map", gids, error) && raise_loopback (error)
         && (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
             || fail (error, "cannot give up new privileges"))
         && enter_processes (error);
}

/* --- system calls --- */

#ifdef THIS_ARCH

/* What GLib, the loader and the C library need to load a plugin and to print; sanitizers and
 * coverage ask for a few more of the harmless ones. */
static const guint32 allowed[] = {
  SYS_read,
  SYS_pread64,
  SYS_readv,
  SYS_write,
  SYS_writev,
  SYS_close,
  SYS_fstat,
  SYS_lseek,
  SYS_mmap,
  SYS_mprotect,
  SYS_munmap,
  SYS_mremap,
  SYS_madvise,
  SYS_brk,
  SYS_futex,
  SYS_exit,
  SYS_exit_group,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_rt_sigreturn,
  SYS_sigaltstack,
  SYS_getpid,
  SYS_gettid,
  SYS_getuid,
  SYS_geteuid,
  SYS_getgid,
  SYS_getegid,
  SYS_getrandom,
  SYS_clock_gettime,
  SYS_clock_getres,
  SYS_gettimeofday,
  SYS_uname,
  SYS_sysinfo,
  SYS_getrusage,
  SYS_readlinkat,
  SYS_faccessat,
  SYS_faccessat2,
  SYS_newfstatat,
  SYS_statx,
  SYS_getcwd,
  SYS_sched_yield,
  SYS_sched_getaffinity,
  SYS_membarrier,
  SYS_rseq,
  SYS_set_robust_list,
  SYS_dup,
  SYS_getdents64,
#ifdef SYS_readlink
  SYS_readlink,
#endif
#ifdef SYS_access
  SYS_access,
#endif
#ifdef SYS_stat
  SYS_stat,
  SYS_lstat,
#endif
#ifdef SYS_arch_prctl
  SYS_arch_prctl,
#endif
#ifdef SYS_time
  SYS_time,
#endif
};

#define LOAD(FIELD) BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, FIELD))
#define ANSWER(WHAT) BPF_STMT (BPF_RET | BPF_K, WHAT)
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static void
add (GArray *program, struct sock_filter instruction)
{
  g_array_append_val (program, instruction);
}

/* @call is allowed if its flags, argument @index, open nothing for writing. */
static void
add_open (GArray *program, guint32 call, guint index)
{
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4));
  add (program, (struct sock_filter) LOAD (args[index]));
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JSET | BPF_K, WRITES, 0, 1));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_KILL_PROCESS));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_ALLOW));
}

/* @call is allowed if its first argument is @process. */
static void
add_own (GArray *program, guint32 call, guint32 process)
{
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4));
  add (program, (struct sock_filter) LOAD (args[0]));
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, process, 1, 0));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_KILL_PROCESS));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_ALLOW));
}

static GArray *
make_filter (void)
{
  GArray *program = g_array_new (FALSE, FALSE, sizeof (struct sock_filter));

  add (program, (struct sock_filter) LOAD (arch));
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_KILL_PROCESS));
  add (program, (struct sock_filter) LOAD (nr));
  for (gsize i = 0; i < G_N_ELEMENTS (allowed); i++)
    {
      add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1));
      add (program, (struct sock_filter) ANSWER (SECCOMP_RET_ALLOW));
    }
#ifdef SYS_open
  add_open (program, SYS_open, 1);
#endif
  add_open (program, SYS_openat, 2);
  add_own (program, SYS_tgkill, (guint32) getpid ());
  add_own (program, SYS_prlimit64, 0);
  /* The loader asks; "no" makes it go on. */
  add (program, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 1));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_ERRNO | ENOTTY));
  add (program, (struct sock_filter) ANSWER (SECCOMP_RET_KILL_PROCESS));
  return program;
}

gboolean
commy_confine_system_calls (GError **error)
{
  g_autoptr (GArray) program = make_filter ();
  struct sock_fprog filter
      = { .len = (unsigned short) program->len, .filter = (gpointer) program->data };

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
      && prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
    return TRUE;
  return fail (error, "the kernel refuses a filter of system calls");
}

#else

gboolean
commy_confine_system_calls (GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                       "no filter of system calls is known for this processor");
  return FALSE;
}

#endif
