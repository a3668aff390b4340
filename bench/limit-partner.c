/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other side of a limit: a process that shares memory and descriptors with this one.
 */
#include "config.h"

#include "limit.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

gboolean
limit_partner_start (BenchRun *run, LimitPartner func, gpointer data, GPid *out_pid, GError **error)
{
  GPid pid;

  /* It must not have to wait for this processor before it can leave it. */
  bench_pin (bench_cpu_of (run, run->pins, 1));
  pid = fork ();
  if (pid != 0)
    bench_pin (bench_cpu_of (run, run->pins, 0));
  if (pid < 0)
    return bench_fail (error, "no second process: %s", g_strerror (errno));
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      func (data);
      _exit (0);
    }
  g_assert (run->n_nodes < BENCH_NODES_MAX);
  run->nodes[run->n_nodes++] = pid;
  *out_pid = pid;
  return TRUE;
}

void
limit_partner_stop (BenchRun *run, GPid pid)
{
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  g_assert (run->n_nodes > 0 && run->nodes[run->n_nodes - 1] == pid);
  run->n_nodes--;
}

gpointer
limit_share (gsize size, GError **error)
{
  gpointer memory
      = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

  if (memory != MAP_FAILED)
    return memory;
  bench_fail (error, "no shared memory: %s", g_strerror (errno));
  return NULL;
}

void
limit_unshare (gpointer memory, gsize size)
{
  if (memory != NULL)
    munmap (memory, size);
}
