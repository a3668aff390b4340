/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What another process of a scenario does: serve; call once, and stay; be there without Commy. It
 * ends when the pipe to the process that started it does.
 */
#include "config.h"

#include "node.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void
bench_node_say_ready (void)
{
  bench_node_send (BENCH_NODE_FD, "r", 1);
}

void
bench_node_await_end (void)
{
  char byte;

  while (bench_node_receive (BENCH_NODE_FD, &byte, 1))
    continue;
}

/* The memory that @argument asks for, in use. */
static gpointer
occupy (const char *argument)
{
  const char *comma = strchr (argument, ',');
  gsize size = comma != NULL ? (gsize) atoi (comma + 1) << 20 : 0;

  return size > 0 ? memset (g_malloc (size), 1, size) : NULL;
}

/* @argument: how many threads, and behind a comma how many MiB of memory are in use. */
static gboolean
role_serve (const char *keyfile, const char *argument, GError **error)
{
  g_autoptr (CommyMesh) mesh = bench_join (keyfile, error);
  g_autoptr (CommyService) service = NULL;
  g_autofree guint8 *memory = occupy (argument);

  if (mesh == NULL)
    return FALSE;
  service = bench_serve (mesh, (guint) atoi (argument), error);
  if (service != NULL)
    {
      bench_node_say_ready ();
      bench_node_await_end ();
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return service != NULL;
}

/* One call, and then nothing. */
static gboolean
role_call (const char *keyfile, const char *argument, GError **error)
{
  g_autoptr (CommyMesh) mesh = bench_join (keyfile, error);
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) result = NULL;

  if (mesh == NULL)
    return FALSE;
  client = commy_client_new (mesh, BENCH_SERVICE);
  result
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, error);
  if (result != NULL)
    {
      bench_node_say_ready ();
      bench_node_await_end ();
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return result != NULL;
}

/* The same program, with nothing of Commy in use. */
static gboolean
role_bare (const char *keyfile, const char *argument, GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();

  bench_node_say_ready ();
  bench_node_await_end ();
  return TRUE;
}

gboolean
bench_node_main (int argc, char **argv, int *out_status)
{
  static const struct
  {
    const char *name;
    gboolean (*be) (const char *keyfile, const char *argument, GError **error);
  } roles[] = {
    { "serve", role_serve },
    { "call", role_call },
    { "bare", role_bare },
    { "many", bench_role_many },
    { "subscribe", bench_role_subscribe },
  };
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;

  if (argc != 6 || strcmp (argv[1], "--role") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  bench_pin (atoi (argv[5]));
  for (gsize i = 0; i < G_N_ELEMENTS (roles); i++)
    if (strcmp (argv[2], roles[i].name) == 0)
      ok = roles[i].be (argv[3], argv[4], &error);
  if (error != NULL)
    g_printerr ("commy-bench: %s: %s\n", argv[2], error->message);
  *out_status = !ok;
  return TRUE;
}
