/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other process: this very program again, as a service, or as a program that starts, makes
 * one call and ends. It says a byte when it is ready, and ends when its pipe does.
 */
#include "config.h"

#include "bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_FD 3

static const char interface_xml[]
    = "<node><interface name='" BENCH_SERVICE "'>"
      "<method name='Add'><arg type='i' direction='in'/><arg type='i' direction='in'/>"
      "<arg type='i' direction='out'/></method></interface></node>";

char *
bench_keyfile (const Bench *bench, const char *wait, const char *transports)
{
  g_autofree char *selection
      = transports == NULL
            ? NULL
            : g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transports);

  /* The build tree may be writable by a group. */
  return g_strdup_printf ("[plugins]\ntrust=any\nuser-plugins=true\n"
                          "[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\ncredentials-dir=%s/pki\n"
                          "[wait]\nmode=%s\n%s",
                          bench->dir, bench->dir, bench->dir, wait,
                          selection != NULL ? selection : "");
}

CommyMesh *
bench_join (const char *keyfile, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("bench", keyfile, error);

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  return g_steal_pointer (&mesh);
}

/* --- starting and ending it --- */

gboolean
bench_child_start (
    const Bench *bench, const char *role, const char *keyfile, BenchChild *out, GError **error)
{
  g_autofree char *cpu = g_strdup_printf ("%d", bench->cpus[1]);
  const char *argv[] = { "/proc/self/exe", "--role", role, keyfile, cpu, NULL };
  const int target = CHILD_FD;
  int pair[2];
  gboolean ok;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    {
      bench_fail (error, "no pair of sockets for a child");
      return FALSE;
    }
  ok = g_spawn_async_with_pipes_and_fds (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                         -1, -1, -1, &pair[1], &target, 1, &out->pid, NULL, NULL,
                                         NULL, error);
  close (pair[1]);
  out->fd = pair[0];
  if (!ok)
    close (pair[0]);
  return ok;
}

gboolean
bench_child_wait (BenchChild *child, GError **error)
{
  char byte;

  if (read (child->fd, &byte, 1) == 1)
    return TRUE;
  bench_fail (error, "the other process ended before it was ready");
  return FALSE;
}

gboolean
bench_child_end (BenchChild *child, GError **error)
{
  int status = -1;

  close (child->fd);
  waitpid (child->pid, &status, 0);
  g_spawn_close_pid (child->pid);
  return g_spawn_check_wait_status (status, error);
}

/* --- being it --- */

static void
on_span (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  CommySpan out;

  if (commy_span_call_reserve (call, size, &out))
    memcpy (out.data, in, size);
  else
    commy_span_call_fail (call, "no room for the answer");
}

static void
on_echo (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
}

static void
on_sink (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);

  commy_invocation_return_bytes (invocation, nothing);
}

static void
on_add (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint32 a;
  gint32 b;

  g_variant_get (commy_invocation_get_parameters (invocation), "(ii)", &a, &b);
  commy_invocation_return_value (invocation, g_variant_new ("(i)", a + b));
}

static void
await_end (void)
{
  char byte;

  while (read (CHILD_FD, &byte, 1) > 0)
    continue;
}

static gboolean
serve (CommyMesh *mesh, GError **error)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, error);
  g_autoptr (CommyService) service = NULL;

  if (node == NULL)
    return FALSE;
  service = commy_service_new (mesh, BENCH_SERVICE, node->interfaces[0]);
  commy_service_handle_span (service, "Span", on_span, NULL, NULL);
  commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  commy_service_handle (service, "Sink", on_sink, NULL, NULL);
  commy_service_handle (service, "Add", on_add, NULL, NULL);
  commy_service_set_workers (service, 1);
  if (!commy_service_start_sync (service, NULL, error))
    return FALSE;
  if (write (CHILD_FD, "r", 1) == 1)
    await_end ();
  return TRUE;
}

static gboolean
call_once (CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (GVariant) result
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, error);

  if (result == NULL)
    return FALSE;
  if (write (CHILD_FD, "r", 1) == 1)
    await_end ();
  return TRUE;
}

gboolean
bench_child_main (int argc, char **argv, int *out_status)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;

  if (argc != 5 || strcmp (argv[1], "--role") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  bench_pin (atoi (argv[4]));
  mesh = bench_join (argv[3], &error);
  if (mesh != NULL
      && (strcmp (argv[2], "serve") == 0 ? serve (mesh, &error) : call_once (mesh, &error)))
    commy_mesh_leave_sync (mesh, NULL, &error);
  if (error != NULL)
    g_printerr ("commy-bench: %s: %s\n", argv[2], error->message);
  *out_status = error != NULL;
  return TRUE;
}
