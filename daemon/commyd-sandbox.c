/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sandbox of a door: see the header. Each part is for the case that another one is missing.
 */
#include "config.h"

#include "daemon/commyd-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef HAVE_SECCOMP
#include <seccomp.h>
#endif

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

/* A report of a sanitizer has to be read by somebody. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#define LAST_TO_NOWHERE STDOUT_FILENO
#else
#define LAST_TO_NOWHERE STDERR_FILENO
#endif

void
commyd_sandbox_close_descriptors (int keep)
{
  int nowhere = open ("/dev/null", O_RDWR | O_CLOEXEC);

  for (int fd = STDIN_FILENO; fd <= LAST_TO_NOWHERE; fd++)
    if (nowhere < 0 || dup2 (nowhere, fd) < 0)
      close (fd);
  if (syscall (SYS_close_range, (guint) keep + 1, ~0U, 0) == 0)
    return;
  for (long fd = keep + 1; fd < sysconf (_SC_OPEN_MAX); fd++)
    close ((int) fd);
}

/* A daemon that root has started has capabilities, of which a door needs none. A service manager
 * that forbids to set them has left none. */
static gboolean
drop_privileges (void)
{
  struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
  guint32 left = 0;

  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return FALSE;
  if (syscall (SYS_capset, &head, sets) == 0)
    return TRUE;
  if (syscall (SYS_capget, &head, sets) < 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (sets); i++)
    left |= sets[i].permitted;
  return left == 0;
}

static gboolean
limit (void)
{
  static const int resources[] = { RLIMIT_NPROC, RLIMIT_CORE,
#ifndef HAS_SANITIZER /* its report may go into a file */
                                   RLIMIT_FSIZE
#endif
  };
  static const struct rlimit none = { 0, 0 };
  gboolean are_set = TRUE;

  for (gsize i = 0; i < G_N_ELEMENTS (resources); i++)
    are_set = setrlimit ((guint) resources[i], &none) == 0 && are_set;
  return are_set;
}

/* --- paths, ports, signals --- */

/* As the kernel has it; headers may be older than it is. */
typedef struct
{
  guint64 paths;
  guint64 ports;  /* since version 4 */
  guint64 scopes; /* since version 6 */
} LandlockRules;

#define VERSION_FLAG 1u
#define ALL_PORTS 3u
#define ALL_SCOPES 3u

static const guint8 n_path_rights[] = { 0, 13, 14, 15, 15, 16 };

static gboolean
forbid_paths (void)
{
  long version = syscall (SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
  const gsize known = (gsize) CLAMP (version, 0, (long) G_N_ELEMENTS (n_path_rights) - 1);
  const LandlockRules rules = { .paths = (G_GUINT64_CONSTANT (1) << n_path_rights[known]) - 1,
                                .ports = version >= 4 ? ALL_PORTS : 0,
                                .scopes = version >= 6 ? ALL_SCOPES : 0 };
  const gsize size = version >= 6   ? sizeof rules
                     : version >= 4 ? G_STRUCT_OFFSET (LandlockRules, scopes)
                                    : G_STRUCT_OFFSET (LandlockRules, ports);
  gboolean is_done;
  long fd;

  if (version < 1)
    return FALSE;
  fd = syscall (SYS_landlock_create_ruleset, &rules, size, 0);
  if (fd < 0)
    return FALSE;
  is_done = syscall (SYS_landlock_restrict_self, fd, 0) == 0; /* no rule: nothing is allowed */
  close ((int) fd);
  return is_done;
}

/* --- system calls --- */

#ifdef HAVE_SECCOMP

/* What waiting, reading, sending and taking memory need. */
static const int calls[] = {
  SCMP_SYS (read),
  SCMP_SYS (readv),
  SCMP_SYS (write),
  SCMP_SYS (writev),
  SCMP_SYS (recvfrom),
  SCMP_SYS (recvmsg),
  SCMP_SYS (close),
  SCMP_SYS (poll),
  SCMP_SYS (ppoll),
  SCMP_SYS (brk),
  SCMP_SYS (munmap),
  SCMP_SYS (mremap),
  SCMP_SYS (madvise),
  SCMP_SYS (futex),
  SCMP_SYS (clock_gettime),
  SCMP_SYS (gettimeofday),
  SCMP_SYS (getpid),
  SCMP_SYS (gettid),
  SCMP_SYS (getrandom),
  SCMP_SYS (sched_yield),
  SCMP_SYS (rt_sigprocmask),
  SCMP_SYS (rt_sigreturn),
  SCMP_SYS (restart_syscall),
  SCMP_SYS (exit),
  SCMP_SYS (exit_group),
#ifdef HAS_SANITIZER
  SCMP_SYS (sigaltstack), /* before whatever does not return */
#endif
};

/* Memory, but none that can be run. */
static const int memory_calls[] = { SCMP_SYS (mmap), SCMP_SYS (mprotect) };

/* What is sent goes to whom the socket has, and takes no descriptor along: a client may give one
 * that is taken over an open socket, on which the daemon's user could speak to anybody, and get
 * from it the end of the keeper's, which would then be in a process that nothing confines. */
static gboolean
add_sending (scmp_filter_ctx filter)
{
  return seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (sendto), 1, SCMP_A4 (SCMP_CMP_EQ, 0))
         == 0;
}

static gboolean
add_rules (scmp_filter_ctx filter)
{
  for (gsize i = 0; i < G_N_ELEMENTS (calls); i++)
    if (seccomp_rule_add (filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
      return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (memory_calls); i++)
    if (seccomp_rule_add (filter, SCMP_ACT_ALLOW, memory_calls[i], 1,
                          SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0))
        < 0)
      return FALSE;
  return add_sending (filter);
}

static gboolean
filter_calls (void)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ERRNO (EPERM));
  gboolean is_done = filter != NULL && add_rules (filter) && seccomp_load (filter) == 0;

  if (filter != NULL)
    seccomp_release (filter);
  return is_done;
}

#else

static gboolean
filter_calls (void)
{
  return FALSE;
}

#endif

guint64
commyd_sandbox_enter (void)
{
  guint64 confinement = 0;

  if (drop_privileges ())
    confinement |= COMMYD_CONFINED_PRIVILEGES;
  if (prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    confinement |= COMMYD_CONFINED_MEMORY;
  if (limit ())
    confinement |= COMMYD_CONFINED_LIMITS;
  if (forbid_paths ())
    confinement |= COMMYD_CONFINED_LANDLOCK;
  if (filter_calls ())
    confinement |= COMMYD_CONFINED_SECCOMP;
  return confinement;
}

char *
commyd_sandbox_describe (guint64 confinement)
{
  static const char *const words[] = { "privileges", "memory", "limits", "landlock", "seccomp" };
  GString *text = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if ((confinement & (G_GUINT64_CONSTANT (1) << i)) != 0)
      g_string_append_printf (text, "%s%s", text->len > 0 ? " " : "", words[i]);
  return g_string_free (text, FALSE);
}
