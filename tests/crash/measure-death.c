/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints how long a death takes to be noticed, and to be made up for; not a test.
 *
 *   measure-death [ROUNDS [MEBIBYTES]]
 *
 * noticed: from SIGKILL of a server that has MEBIBYTES of its own memory in use to the moment
 * when a caller that waits for its answer is told, blocking and in a main loop. replaced: from
 * SIGKILL of the serving instance to the first answer of another one.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define ROUNDS 50
#define MEBIBYTES 64
#define SETTLE_US 5000
#define MEMORY "COMMY_MEASURE_MEBIBYTES"

typedef struct
{
  MeshFixture fixture;
  CommyMesh *mesh;
  CommyCallOptions *options;
  guint rounds;
} Bench;

/* --- the server --- */

static void
use_memory (CommyService *service)
{
  const char *text = g_getenv (MEMORY);
  gsize size = text != NULL ? g_ascii_strtoull (text, NULL, 10) << 20 : 0;

  if (size > 0)
    g_object_set_data_full (G_OBJECT (service), "memory", memset (g_malloc (size), 1, size),
                            g_free);
}

/* --- killing --- */

typedef struct
{
  GPid pid;
  gint64 killed_us;
  GMutex lock;
} Killer;

static gpointer
run_killer (gpointer data)
{
  Killer *killer = data;

  g_usleep (SETTLE_US);
  g_mutex_lock (&killer->lock);
  killer->killed_us = g_get_monotonic_time ();
  kill (killer->pid, SIGKILL);
  g_mutex_unlock (&killer->lock);
  return NULL;
}

static gint64
killed_at (Killer *killer)
{
  gint64 us;

  g_mutex_lock (&killer->lock);
  us = killer->killed_us;
  g_mutex_unlock (&killer->lock);
  return us;
}

static void
child_bury (ServiceChild *child)
{
  waitpid (child->pid, NULL, 0);
  child->pid = 0;
  service_child_free (child);
}

/* --- one round each --- */

static gint64
notice_blocking (Bench *bench, CommyClient *client, Killer *killer)
{
  g_autoptr (GThread) thread = g_thread_new ("killer", run_killer, killer);
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Slow", NULL, bench->options, NULL, NULL);
  gint64 now = g_get_monotonic_time ();

  g_assert_null (answer);
  g_thread_join (g_steal_pointer (&thread));
  return now - killer->killed_us;
}

static void
on_told (GObject *client, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (client), result, NULL);

  g_assert_null (answer);
  *(gint64 *) data = g_get_monotonic_time ();
}

static gint64
notice_in_loop (Bench *bench, CommyClient *client, Killer *killer)
{
  g_autoptr (GThread) thread = NULL;
  gint64 told = 0;

  commy_client_call (client, "Slow", NULL, bench->options, NULL, on_told, &told);
  thread = g_thread_new ("killer", run_killer, killer);
  while (told == 0)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (g_steal_pointer (&thread));
  return told - killer->killed_us;
}

static GPid
ask_pid (Bench *bench, CommyClient *client)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Pid", NULL, bench->options, NULL, NULL);
  gint32 pid = 0;

  if (answer != NULL)
    g_variant_get (answer, "(i)", &pid);
  return pid;
}

static gint64
replace (Bench *bench, CommyClient *client, Killer *killer)
{
  g_autoptr (GThread) thread = NULL;
  gint64 now;
  GPid pid;

  killer->pid = ask_pid (bench, client);
  thread = g_thread_new ("killer", run_killer, killer);
  do
    {
      pid = ask_pid (bench, client);
      now = g_get_monotonic_time ();
    }
  while (killed_at (killer) == 0 || pid == 0 || pid == killer->pid);
  g_thread_join (g_steal_pointer (&thread));
  return now - killer->killed_us;
}

/* --- rows --- */

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 difference = *(const gint64 *) a - *(const gint64 *) b;

  return difference < 0 ? -1 : difference > 0;
}

static void
print_row (const char *name, GArray *us)
{
  g_array_sort (us, compare);
  g_print ("%-24s n %u  p50 %" G_GINT64_FORMAT " us  p99 %" G_GINT64_FORMAT
           " us  max %" G_GINT64_FORMAT " us\n",
           name, us->len, g_array_index (us, gint64, us->len / 2),
           g_array_index (us, gint64, us->len - 1 - us->len / 100),
           g_array_index (us, gint64, us->len - 1));
}

typedef gint64 (*Round) (Bench *bench, CommyClient *client, Killer *killer);

static void
measure_notice (Bench *bench, const char *name, Round round)
{
  g_autoptr (GArray) us = g_array_new (FALSE, FALSE, sizeof (gint64));

  for (guint i = 0; i < bench->rounds; i++)
    {
      ServiceChild *child = service_child_start (&bench->fixture, NULL, 1);
      g_autoptr (CommyClient) client = commy_client_new (bench->mesh, TEST_SERVICE);
      Killer killer = { .pid = child->pid };
      gint64 value;

      commy_client_set_instance (client, child->instance);
      g_assert_cmpint (ask_pid (bench, client), ==, child->pid);
      value = round (bench, client, &killer);
      g_array_append_val (us, value);
      child_bury (child);
    }
  print_row (name, us);
}

static void
measure_replacement (Bench *bench)
{
  g_autoptr (GArray) us = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (CommyClient) client = commy_client_new (bench->mesh, TEST_SERVICE);
  ServiceChild *children[2] = { service_child_start (&bench->fixture, NULL, 1), NULL };

  for (guint i = 0; i < bench->rounds; i++)
    {
      Killer killer = { 0 };
      gint64 value;
      guint dead;

      children[1] = service_child_start (&bench->fixture, NULL, 1);
      value = replace (bench, client, &killer);
      g_array_append_val (us, value);
      dead = children[0]->pid == killer.pid ? 0 : 1;
      child_bury (children[dead]);
      children[0] = children[1 - dead];
    }
  service_child_kill (children[0]);
  service_child_free (children[0]);
  print_row ("replaced", us);
}

int
main (int argc, char **argv)
{
  Bench bench = { .rounds = ROUNDS };
  guint mebibytes = MEBIBYTES;
  g_autofree char *text = NULL;
  int status;

  if (service_child_main_with (argc, argv, use_memory, &status))
    return status;
  if (argc > 1)
    bench.rounds = (guint) MAX (atoi (argv[1]), 1);
  if (argc > 2)
    mebibytes = (guint) atoi (argv[2]);
  text = g_strdup_printf ("%u", mebibytes);
  g_setenv (MEMORY, text, TRUE);
  mesh_fixture_set_up (&bench.fixture, NULL);
  bench.mesh = mesh_fixture_join (&bench.fixture, NULL);
  bench.options = commy_call_options_new ();
  commy_call_options_set_timeout (bench.options, 10 * G_USEC_PER_SEC);
  g_print ("killed processes have %u MiB in use\n", mebibytes);
  measure_notice (&bench, "noticed, blocking", notice_blocking);
  measure_notice (&bench, "noticed, main loop", notice_in_loop);
  commy_call_options_set_idempotent (bench.options, TRUE);
  measure_replacement (&bench);
  commy_call_options_free (bench.options);
  commy_mesh_leave_sync (bench.mesh, NULL, NULL);
  g_object_unref (bench.mesh);
  mesh_fixture_tear_down (&bench.fixture, NULL);
  return 0;
}
