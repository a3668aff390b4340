/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting, asking and ending the other processes of a scenario, and their settings.
 */
#include "config.h"

#include "node.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

char *
bench_keyfile (const BenchRun *run, const char *wait, const char *transport, const char *more)
{
  g_autofree char *selection
      = transport == NULL
            ? g_strdup ("")
            : g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);

  /* The build tree may be writable by a group. */
  return g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\ncredentials-dir=%s/pki\n"
                          "[wait]\nmode=%s\n[log]\nlevel=error\n[policy "
                          "bench]\nprincipals=*\nservices=*\nverbs=call;offer\neffect=allow\n"
                          "%s[plugins]\ntrust=any\nuser-plugins=true\n%s",
                          run->dir, run->dir, run->dir, wait, selection, more != NULL ? more : "");
}

CommyMesh *
bench_join (const char *keyfile, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("bench", keyfile, error);

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  return g_steal_pointer (&mesh);
}

/* --- other processes --- */

gboolean
bench_node_start (BenchRun *run,
                  const char *role,
                  const char *keyfile,
                  const char *argument,
                  int cpu,
                  BenchNode *out,
                  GError **error)
{
  g_autofree char *cpu_text = g_strdup_printf ("%d", cpu);
  const char *argv[] = { "/proc/self/exe", "--role", role, keyfile, argument, cpu_text, NULL };
  const int target = BENCH_NODE_FD;
  int pair[2];
  gboolean ok;

  if (run->n_nodes == BENCH_NODES_MAX)
    return bench_fail (error, "more than %d other processes", BENCH_NODES_MAX);
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return bench_fail (error, "no pair of sockets for another process: %s", g_strerror (errno));
  ok = g_spawn_async_with_pipes_and_fds (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                         -1, -1, -1, &pair[1], &target, 1, &out->pid, NULL, NULL,
                                         NULL, error);
  close (pair[1]);
  out->fd = pair[0];
  if (ok)
    run->nodes[run->n_nodes++] = out->pid;
  else
    close (pair[0]);
  return ok;
}

static void
forget (BenchRun *run, const BenchNode *node)
{
  for (guint i = 0; i < run->n_nodes; i++)
    if (run->nodes[i] == node->pid)
      {
        for (run->n_nodes--; i < run->n_nodes; i++)
          run->nodes[i] = run->nodes[i + 1];
        return;
      }
}

gboolean
bench_node_send (int fd, gconstpointer bytes, gsize size)
{
  const guint8 *next = bytes;

  while (size > 0)
    {
      ssize_t sent = send (fd, next, size, MSG_NOSIGNAL);

      if (sent < 0 && errno == EINTR)
        continue;
      if (sent <= 0)
        return FALSE;
      next += sent;
      size -= (gsize) sent;
    }
  return TRUE;
}

gboolean
bench_node_receive (int fd, gpointer bytes, gsize size)
{
  guint8 *next = bytes;

  while (size > 0)
    {
      ssize_t got = recv (fd, next, size, 0);

      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return FALSE;
      next += got;
      size -= (gsize) got;
    }
  return TRUE;
}

gboolean
bench_node_wait (const BenchNode *node, GError **error)
{
  char byte;

  return bench_node_receive (node->fd, &byte, 1)
         || bench_fail (error, "the other process ended before it was ready");
}

gboolean
bench_node_end (BenchRun *run, BenchNode *node, GError **error)
{
  int status = -1;

  close (node->fd);
  waitpid (node->pid, &status, 0);
  forget (run, node);
  return g_spawn_check_wait_status (status, error);
}

void
bench_node_kill (const BenchNode *node)
{
  kill (node->pid, SIGKILL);
}

void
bench_node_reap (BenchRun *run, BenchNode *node)
{
  close (node->fd);
  waitpid (node->pid, NULL, 0);
  forget (run, node);
}

/* --- a mesh in which somebody serves --- */

/* The service's threads are made while this one is pinned to the other end's processor. */
static gboolean
with_own_service (
    BenchRun *run, const BenchScene *scene, const char *keyfile, BenchWithMesh func, GError **error)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyService) service = NULL;
  gboolean ok = FALSE;

  bench_pin (bench_cpu_of (run, scene->pins, 1));
  mesh = bench_join (keyfile, error);
  if (mesh == NULL)
    return FALSE;
  service = bench_serve (mesh, 1, error);
  bench_pin (bench_cpu_of (run, scene->pins, 0));
  if (service != NULL)
    ok = func (run, scene, mesh, error);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return ok;
}

gboolean
bench_with_service (
    BenchRun *run, const BenchScene *scene, const char *more, BenchWithMesh func, GError **error)
{
  g_autofree char *theirs = bench_keyfile (run, scene->wait, NULL, more);
  g_autofree char *mine = bench_keyfile (run, scene->wait, scene->transport, more);
  g_autoptr (CommyMesh) mesh = NULL;
  BenchNode node;
  gboolean ok = FALSE;

  if (g_strcmp0 (scene->transport, "inproc") == 0)
    return with_own_service (run, scene, mine, func, error);
  if (!bench_node_start (run, "serve", theirs, "1", bench_cpu_of (run, scene->pins, 1), &node,
                         error))
    return FALSE;
  bench_pin (bench_cpu_of (run, scene->pins, 0));
  if (bench_node_wait (&node, error) && (mesh = bench_join (mine, error)) != NULL)
    {
      ok = func (run, scene, mesh, error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  return bench_node_end (run, &node, ok ? error : NULL) && ok;
}
