/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the machine and its kernel give: each is tried, not looked up by version.
 */
#include "config.h"

#include "cli/commy-doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define PROC_MAGIC 0x9fa0
#define FEW_FILES 1024u
#define NEEDED_FILES 64u
#define SANE_YEAR 2024

/* --- shared memory and waiting --- */

void
commy_doctor_check_seals (CommyDoctor *doctor, CommyFinding *finding)
{
  int fd = memfd_create ("commy-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0)
    {
      commy_finding_fail (finding, "memfd_create: %s", g_strerror (errno));
      commy_finding_way_out (finding, "allow memfd_create in the container, or do without shm");
      return;
    }
  if (ftruncate (fd, 4096) == 0 && fcntl (fd, F_ADD_SEALS, SEALS) == 0)
    commy_finding_ok (finding, "memory can be shared read-only");
  else
    {
      commy_finding_fail (finding, "memory cannot be sealed: %s", g_strerror (errno));
      commy_finding_way_out (finding, "a kernel from 5.1 on");
    }
  close (fd);
}

void
commy_doctor_check_peer_pidfd (CommyDoctor *doctor, CommyFinding *finding)
{
  int pair[2], pidfd = -1;
  socklen_t size = sizeof pidfd;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    {
      commy_finding_fail (finding, "no sockets: %s", g_strerror (errno));
      return;
    }
  if (getsockopt (pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
    {
      commy_finding_ok (finding, "SO_PEERPIDFD works");
      close (pidfd);
    }
  else
    {
      commy_finding_warn (finding, "SO_PEERPIDFD: %s; processes are found by number",
                          g_strerror (errno));
      commy_finding_way_out (finding, "a kernel from 6.5 on");
    }
  close (pair[0]);
  close (pair[1]);
}

void
commy_doctor_check_futex (CommyDoctor *doctor, CommyFinding *finding)
{
  int error = ENOSYS;
#ifdef SYS_futex_waitv
  guint32 word = 1;
  struct futex_waitv waiter
      = { .uaddr = (guint64) (gsize) &word, .val = 0, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };

  /* The word differs from what is waited for: comes back at once where the call is known. */
  error = syscall (SYS_futex_waitv, &waiter, 1, 0, NULL, CLOCK_MONOTONIC) < 0 ? errno : 0;
#endif
  if (error == 0 || error == EAGAIN)
    commy_finding_ok (finding, "futex_waitv works");
  else
    {
      commy_finding_warn (finding, "futex_waitv: %s; sleeping callers look every millisecond",
                          g_strerror (error));
      commy_finding_way_out (finding, "a kernel from 5.16 on, or let the container use it");
    }
}

/* --- what this process may --- */

void
commy_doctor_check_user_namespaces (CommyDoctor *doctor, CommyFinding *finding)
{
  pid_t child = fork ();
  int status = -1;

  if (child == 0)
    _exit (unshare (CLONE_NEWUSER) == 0 ? 0 : 1);
  if (child > 0 && waitpid (child, &status, 0) == child && status == 0)
    commy_finding_ok (finding, "allowed");
  else if (geteuid () == 0)
    commy_finding_ok (finding, "refused, but root does not need them");
  else
    {
      commy_finding_warn (finding, "refused: the demo with two hosts needs root");
      commy_finding_way_out (finding, "run that demo as root, or allow user namespaces");
    }
}

gboolean
commy_doctor_has_files (CommyFinding *finding)
{
  struct rlimit limit = { 0 };

  getrlimit (RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= NEEDED_FILES)
    return TRUE;
  commy_finding_fail (finding, "at most %lu (hard limit %lu)", (gulong) limit.rlim_cur,
                      (gulong) limit.rlim_max);
  commy_finding_way_out (finding, "ulimit -n 4096, or LimitNOFILE=4096 in the unit");
  return FALSE;
}

void
commy_doctor_check_open_files (CommyDoctor *doctor, CommyFinding *finding)
{
  struct rlimit limit = { 0 };

  if (!commy_doctor_has_files (finding))
    return;
  getrlimit (RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < FEW_FILES)
    {
      commy_finding_warn (finding, "at most %lu (hard limit %lu)", (gulong) limit.rlim_cur,
                          (gulong) limit.rlim_max);
      commy_finding_way_out (finding, "ulimit -n 4096, or LimitNOFILE=4096 in the unit");
    }
  else
    commy_finding_ok (finding, "at most %lu", (gulong) limit.rlim_cur);
}

void
commy_doctor_check_locked_memory (CommyDoctor *doctor, CommyFinding *finding)
{
  struct rlimit limit = { 0 };

  getrlimit (RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY)
    commy_finding_ok (finding, "no limit");
  else
    commy_finding_ok (finding, "at most %lu KiB; Commy itself locks nothing",
                      (gulong) limit.rlim_cur / 1024);
}

void
commy_doctor_check_proc (CommyDoctor *doctor, CommyFinding *finding)
{
  struct statfs mounted;
  g_autofree char *id = NULL;

  if (statfs ("/proc", &mounted) < 0 || mounted.f_type != PROC_MAGIC
      || access ("/proc/self/fd", R_OK | X_OK) < 0)
    {
      commy_finding_fail (finding, "/proc/self/fd cannot be used");
      commy_finding_way_out (finding, "mount -t proc proc /proc");
    }
  else if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &id, NULL, NULL))
    {
      commy_finding_warn (finding,
                          "mounted, but the boot id is hidden: each program takes this for "
                          "another host");
      commy_finding_way_out (finding, "let the container read /proc/sys/kernel/random/boot_id");
    }
  else
    commy_finding_ok (finding, "mounted and readable");
}

/* --- time --- */

void
commy_doctor_check_clock (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *text = g_date_time_format (now, "%Y-%m-%d %H:%M:%S UTC");
  struct timespec boot = { 0 };

  clock_gettime (CLOCK_BOOTTIME, &boot);
  if (g_date_time_get_year (now) < SANE_YEAR || g_date_time_to_unix (now) < boot.tv_sec)
    {
      commy_finding_fail (finding, "the clock says %s, which cannot be", text);
      commy_finding_way_out (finding, "set the clock: date -s, or a time service");
    }
  else
    commy_finding_ok (finding, "%s, up for %ld minutes", text, (glong) boot.tv_sec / 60);
}

void
commy_doctor_check_time_service (CommyDoctor *doctor, CommyFinding *finding)
{
  struct timex state = { 0 };
  int result = adjtimex (&state);

  if (result < 0)
    commy_finding_ok (finding, "cannot be asked here: %s", g_strerror (errno));
  else if (result == TIME_ERROR || (state.status & STA_UNSYNC) != 0)
    {
      commy_finding_warn (finding, "no time service keeps the clock right");
      commy_finding_way_out (finding, "matters between hosts only: install chrony, or let the "
                                      "machine's host keep the time");
    }
  else
    commy_finding_ok (finding, "the clock is kept right to %ld ms", state.maxerror / 1000);
}

/* --- processors --- */

void
commy_doctor_check_processors (CommyDoctor *doctor, CommyFinding *finding)
{
  cpu_set_t allowed;
  int n;

  CPU_ZERO (&allowed);
  n = sched_getaffinity (0, sizeof allowed, &allowed) == 0 ? CPU_COUNT (&allowed)
                                                           : (int) g_get_num_processors ();
  if (n >= 2)
    commy_finding_ok (finding, "%d may be used", n);
  else
    {
      commy_finding_warn (finding, "only one may be used: caller and service take turns");
      commy_finding_way_out (finding, "taskset -c 0,1, or a wider cpuset of the container");
    }
}
