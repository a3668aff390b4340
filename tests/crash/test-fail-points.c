/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every fail point of the core and of the plugins it loads, enumerated from the linker's sections
 * so that none is forgotten. Two nodes, each a process: one dies or fails at the point while it
 * serves, another while it calls, and a third while it recovers from the death of whom it called.
 * Each point must have been passed on one side at least, and those that every recovery passes while
 * recovering; what died leaves nothing that the next does not take over, and what failed can be
 * tried again. Only in builds with --enable-failpoints. Built twice: where it dies, and (with
 * TEST_ERRORS) where it fails, so that each half has time enough beside other tests.
 *
 * Whoever calls tries again until it works, or until its input ends: then nobody is left to answer.
 */
#include "config.h"

#include "base/commy-failpoint.h"
#include "mesh-fixture.h"

#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#ifdef TEST_ERRORS
#define WHAT "failing-there"
#define ACTION "error"
#else
#define WHAT "killed-there"
#define ACTION "kill"
#endif
#define LARGE 200000
#define TOPIC "fail.points"
#define PATIENCE_US (3 * G_USEC_PER_SEC)
#define LONGEST_US (120 * G_USEC_PER_SEC) /* of a process; only so that nothing hangs */

/* --- what the two processes do --- */

/* Between two tries: longer than the first back-off of a path that failed. FALSE: whoever started
 * us has hung up, because nobody is left to answer. */
static gboolean
may_try_again (void)
{
  static gint64 until;
  struct pollfd input = { .fd = 0, .events = POLLIN };

  g_usleep (100000);
  if (until == 0)
    until = g_get_monotonic_time () + LONGEST_US;
  return g_get_monotonic_time () < until
         && !(poll (&input, 1, 0) > 0 && (input.revents & POLLHUP) != 0);
}

static CommyMesh *
join_somehow (const char *settings)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", settings, NULL);

  if (mesh == NULL)
    return NULL;
  do
    if (commy_mesh_join_sync (mesh, NULL, NULL))
      return g_steal_pointer (&mesh);
  while (may_try_again ());
  return NULL;
}

static gboolean
start_somehow (CommyService *service)
{
  do
    if (commy_service_start_sync (service, NULL, NULL))
      return TRUE;
  while (may_try_again ());
  return FALSE;
}

static gboolean
on_end_of_input (int fd, GIOCondition condition, gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
}

/* Offers a service from a thread, and reads a topic in this one. */
static int
serve (const char *settings)
{
  g_autoptr (CommyMesh) mesh = join_somehow (settings);
  g_autoptr (CommyService) service = mesh != NULL ? test_service_new (mesh, 1) : NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (CommySubscription) subscription = NULL;

  if (service == NULL || !start_somehow (service))
    return 2;
  subscription = commy_mesh_subscribe (mesh, TOPIC, NULL, on_publication, NULL, NULL, NULL);
  if (subscription == NULL || write (1, "r", 1) != 1)
    return 2;
  g_unix_fd_add (0, G_IO_IN | G_IO_HUP, on_end_of_input, loop);
  g_main_loop_run (loop);
  commy_subscription_close (subscription);
  return commy_mesh_leave_sync (mesh, NULL, NULL) ? 0 : 3;
}

static gboolean
await_subscriber (CommyPublisher *publisher)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  while (commy_publisher_get_subscribers (publisher) == 0 && g_get_monotonic_time () < until)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (1000);
  return commy_publisher_get_subscribers (publisher) > 0;
}

/* One that is large enough to be written where others read it. */
static gboolean
publish (CommyPublisher *publisher)
{
  CommySpan span;

  if (!await_subscriber (publisher) || !commy_publisher_reserve (publisher, LARGE, &span, NULL))
    return FALSE;
  memset (span.data, 1, LARGE);
  span.size = LARGE;
  return commy_publisher_commit (publisher, &span, NULL)
         && commy_publisher_drain_sync (publisher, PATIENCE_US, NULL);
}

static gboolean
publish_somehow (CommyMesh *mesh)
{
  g_autoptr (CommyPublisher) publisher = commy_publisher_new (mesh, TOPIC, NULL);
  gboolean started = FALSE, done = FALSE;

  do
    started = commy_publisher_start_sync (publisher, NULL, NULL);
  while (!started && may_try_again ());
  do
    done = started && publish (publisher);
  while (started && !done && may_try_again ());
  commy_publisher_close (publisher);
  return done;
}

static gboolean
call_somehow (CommyClient *client, gsize size)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GBytes) bytes = g_bytes_new_take (g_malloc0 (size), size);

  commy_call_options_set_idempotent (options, TRUE);
  commy_call_options_set_timeout (options, 2 * G_USEC_PER_SEC);
  do
    {
      g_autoptr (GBytes) answer
          = commy_client_call_bytes_sync (client, "Echo", bytes, options, NULL, NULL);

      if (answer != NULL)
        return g_bytes_equal (answer, bytes);
    }
  while (may_try_again ());
  return FALSE;
}

static int
call (const char *settings)
{
  g_autoptr (CommyMesh) mesh = join_somehow (settings);
  g_autoptr (CommyClient) client = mesh != NULL ? commy_client_new (mesh, TEST_SERVICE) : NULL;
  static const gsize sizes[] = { 16, LARGE, 4 * LARGE, 5 * 1024, 64 };
  gboolean ok = client != NULL;

  for (guint i = 0; i < G_N_ELEMENTS (sizes) && ok; i++)
    ok = call_somehow (client, sizes[i]);
  ok = ok && publish_somehow (mesh);
  g_clear_object (&client);
  return ok && commy_mesh_leave_sync (mesh, NULL, NULL) ? 0 : 4;
}

typedef struct
{
  const char *name;
  guint n;
} Passes;

static void
add_passes (const CommyFailpoint *point, void *data)
{
  Passes *passes = data;

  if (strcmp (point->name, passes->name) == 0)
    passes->n += __atomic_load_n (&point->hits, __ATOMIC_RELAXED);
}

static guint
count_passes (const char *name)
{
  Passes passes = { .name = name };

  commy_failpoints_foreach (add_passes, &passes);
  return passes.n;
}

/* From now on: what was passed before does not count. Returns how often that was. */
static guint
arm_point (const char *name, const char *action)
{
  const guint n = count_passes (name);
  g_autofree char *spec = g_strdup_printf ("%s:%u:%s", name, n + 1, action);

  g_setenv ("COMMY_FAILPOINT", spec, TRUE);
  return n;
}

/* Passed by everybody who recovers; what only joining passes is not. */
static gboolean
is_of_recovery (const char *name)
{
  static const char *const names[]
      = { "channel-commit", "channel-received", "setup-hello", "shm-publish", NULL };

  return g_strv_contains (names, name);
}

/* Calls, waits until who answered is dead and another one there, and goes on with the point armed.
 */
static int
recover (const char *settings, const char *name, const char *action)
{
  g_autoptr (CommyMesh) mesh = join_somehow (settings);
  g_autoptr (CommyClient) client = mesh != NULL ? commy_client_new (mesh, TEST_SERVICE) : NULL;
  char byte;
  guint before;
  gboolean ok;

  if (client == NULL || !call_somehow (client, 16) || write (1, "r", 1) != 1
      || read (0, &byte, 1) != 1)
    return 4;
  before = arm_point (name, action);
  ok = call_somehow (client, 16) && call_somehow (client, LARGE) && publish_somehow (mesh);
  /* A path that failed meanwhile is not taken for a while. */
  while (ok && is_of_recovery (name) && count_passes (name) == before && may_try_again ())
    ok = call_somehow (client, 16);
  g_clear_object (&client);
  return ok && commy_mesh_leave_sync (mesh, NULL, NULL) ? 0 : 4;
}

static void
print_point (const CommyFailpoint *point, void *data)
{
  g_print ("%s\n", point->name);
}

/* With all plugins loaded. */
static int
list (const char *settings)
{
  g_autoptr (CommyMesh) mesh = join_somehow (settings);

  commy_failpoints_foreach (print_point, NULL);
  return mesh != NULL && commy_mesh_leave_sync (mesh, NULL, NULL) ? 0 : 5;
}

/* --- the two of them --- */

typedef struct
{
  MeshFixture *fixture;
  const char *name;
  const char *action;
} Case;

static GSubprocess *
start_with (MeshFixture *fixture,
            const char *role,
            const char *failpoint,
            const char *name,
            const char *action)
{
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  /* An arena so small that it must give memory up to find some. */
  g_autofree char *settings = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n"
                                               "[plugin transport/shm]\nparam.arena-max=1MiB\n",
                                               fixture->dir, fixture->dir);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *log = g_build_filename (fixture->dir, role, NULL);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_stderr_file_path (launcher, log);
  if (failpoint != NULL)
    g_subprocess_launcher_setenv (launcher, "COMMY_FAILPOINT", failpoint, TRUE);
  process
      = g_subprocess_launcher_spawn (launcher, &error, self, role, settings, name, action, NULL);
  g_assert_no_error (error);
  return process;
}

static GSubprocess *
start (MeshFixture *fixture, const char *role, const char *failpoint)
{
  return start_with (fixture, role, failpoint, NULL, NULL);
}

/* Waits for its end. Whether it died as the fail point wants it, and not otherwise. */
static gboolean
await_end (GSubprocess *process, gboolean may_be_killed, int may_fail_with)
{
  g_subprocess_wait (process, NULL, NULL);
  if (g_subprocess_get_if_signaled (process))
    {
      g_assert_true (may_be_killed);
      g_assert_cmpint (g_subprocess_get_term_sig (process), ==, SIGKILL);
      return TRUE;
    }
  if (may_fail_with == 0 || g_subprocess_get_exit_status (process) != may_fail_with)
    g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 0);
  return FALSE;
}

/* The same of who goes on until it is told. */
static gboolean
end (GSubprocess *process, gboolean may_be_killed, int may_fail_with)
{
  g_output_stream_close (g_subprocess_get_stdin_pipe (process), NULL, NULL);
  return await_end (process, may_be_killed, may_fail_with);
}

static gboolean
is_ready (GSubprocess *server)
{
  char byte;

  return g_input_stream_read (g_subprocess_get_stdout_pipe (server), &byte, 1, NULL, NULL) == 1;
}

static gboolean
says_it_fired (MeshFixture *fixture, const char *role, const char *name)
{
  g_autofree char *log = g_build_filename (fixture->dir, role, NULL);
  g_autofree char *words = g_strdup_printf ("fail point %s:", name);
  g_autofree char *text = NULL;

  return g_file_get_contents (log, &text, NULL, NULL) && strstr (text, words) != NULL;
}

/* A pair that nothing happens to. */
static void
run_well (MeshFixture *fixture)
{
  g_autoptr (GSubprocess) server = start (fixture, "--serve", NULL);
  g_autoptr (GSubprocess) client = NULL;

  g_assert_true (is_ready (server));
  client = start (fixture, "--call", NULL);
  await_end (client, FALSE, 0);
  end (server, FALSE, 0);
}

static void
on_server_gone (GObject *server, GAsyncResult *result, gpointer client)
{
  if (g_subprocess_wait_finish (G_SUBPROCESS (server), result, NULL))
    g_output_stream_close (g_subprocess_get_stdin_pipe (client), NULL, NULL);
  g_object_unref (client);
}

static void
on_client_gone (GObject *client, GAsyncResult *result, gpointer is_over)
{
  *(gboolean *) is_over = TRUE;
}

/* If the server dies meanwhile, nobody answers any more: the client is told to give up. */
static void
wait_for_client (GSubprocess *client, GSubprocess *server)
{
  g_autoptr (GCancellable) enough = g_cancellable_new ();
  gboolean is_over = FALSE;

  g_subprocess_wait_async (server, enough, on_server_gone, g_object_ref (client));
  g_subprocess_wait_async (client, NULL, on_client_gone, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  g_cancellable_cancel (enough);
}

/* Whether the point was passed. */
static gboolean
run_serving (MeshFixture *fixture, const char *name, const char *spec)
{
  g_autoptr (GSubprocess) server = start (fixture, "--serve", spec);
  g_autoptr (GSubprocess) client = NULL;

  if (is_ready (server))
    {
      client = start (fixture, "--call", NULL);
      wait_for_client (client, server);
    }
  if (!end (server, TRUE, 0) && client != NULL)
    g_assert_cmpint (g_subprocess_get_exit_status (client), ==, 0);
  else if (client != NULL)
    await_end (client, FALSE, 4);
  return says_it_fired (fixture, "--serve", name);
}

static gboolean
run_calling (MeshFixture *fixture, const char *name, const char *spec)
{
  g_autoptr (GSubprocess) server = start (fixture, "--serve", NULL);
  g_autoptr (GSubprocess) client = NULL;

  g_assert_true (is_ready (server));
  client = start (fixture, "--call", spec);
  await_end (client, TRUE, 0);
  end (server, FALSE, 0);
  return says_it_fired (fixture, "--call", name);
}

static gboolean
run_recovering (MeshFixture *fixture, const char *name, const char *action)
{
  g_autoptr (GSubprocess) first = start (fixture, "--serve", NULL);
  g_autoptr (GSubprocess) second = NULL;
  g_autoptr (GSubprocess) client = NULL;

  g_assert_true (is_ready (first));
  client = start_with (fixture, "--recover", NULL, name, action);
  g_assert_true (is_ready (client));
  g_subprocess_force_exit (first);
  g_subprocess_wait (first, NULL, NULL);
  second = start (fixture, "--serve", NULL);
  g_assert_true (is_ready (second));
  g_assert_true (
      g_output_stream_write_all (g_subprocess_get_stdin_pipe (client), "d", 1, NULL, NULL, NULL));
  await_end (client, TRUE, 0);
  end (second, FALSE, 0);
  return says_it_fired (fixture, "--recover", name);
}

/* --- what is left --- */

static void
collect_names (const char *path, GPtrArray *names)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      if (g_file_test (child, G_FILE_TEST_IS_DIR))
        collect_names (child, names);
      else
        g_ptr_array_add (names, g_steal_pointer (&child));
    }
}

static guint
count_files (MeshFixture *fixture, const char *folder)
{
  g_autofree char *path = g_build_filename (fixture->dir, folder, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  collect_names (path, names);
  for (guint i = 0; i < names->len; i++)
    g_test_message ("left: %s", (char *) names->pdata[i]);
  return names->len;
}

/* Whoever joins next finds nobody. */
static void
check_nothing_is_offered (MeshFixture *fixture)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) services = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (services), ==, 0);
  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
}

static void
check_point (MeshFixture *fixture, gconstpointer data)
{
  const char *spec = data;
  g_auto (GStrv) parts = g_strsplit (spec, ":", -1);
  guint n_run, n_state;
  gboolean served, called, recovered;

  run_well (fixture);
  check_nothing_is_offered (fixture);
  n_run = count_files (fixture, "run");
  n_state = count_files (fixture, "state");
  served = run_serving (fixture, parts[0], spec);
  run_well (fixture);
  called = run_calling (fixture, parts[0], spec);
  run_well (fixture);
  recovered = run_recovering (fixture, parts[0], parts[2]);
  g_test_message ("%s: %s%s%s", spec, served ? "serving " : "", called ? "calling " : "",
                  recovered ? "recovering" : "");
  g_assert_true (served || called);
  g_assert_true (recovered || !is_of_recovery (parts[0]));
  run_well (fixture);
  check_nothing_is_offered (fixture);
  g_assert_cmpuint (count_files (fixture, "run"), ==, n_run);
  g_assert_cmpuint (count_files (fixture, "state"), ==, n_state);
}

static void
add (GPtrArray *specs, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/fail-points/%s/" WHAT, name);
  char *spec = g_strdup_printf ("%s:1:" ACTION, name);

  g_ptr_array_add (specs, spec);
  g_test_add (path, MeshFixture, spec, mesh_fixture_set_up, check_point, mesh_fixture_tear_down);
}

static void
add_all (GPtrArray *specs)
{
  MeshFixture fixture = { 0 };
  g_autoptr (GSubprocess) lister = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) names = NULL;
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GError) error = NULL;

  mesh_fixture_set_up (&fixture, NULL);
  lister = start (&fixture, "--list", NULL);
  g_subprocess_communicate_utf8 (lister, NULL, NULL, &text, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (lister));
  mesh_fixture_tear_down (&fixture, NULL);
  names = g_strsplit (g_strchomp (text), "\n", -1);
  for (char **name = names; *name != NULL; name++)
    /* What plugins share is in each of them; and those of the audit trail, which these nodes do not
     * keep, are tests/security/test-audit-crash's. */
    if (g_hash_table_add (known, *name) && !g_str_has_prefix (*name, "audit-"))
      add (specs, *name);
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) specs = g_ptr_array_new_with_free_func (g_free);

  if (argc == 3 && strcmp (argv[1], "--serve") == 0)
    return serve (argv[2]);
  if (argc == 3 && strcmp (argv[1], "--call") == 0)
    return call (argv[2]);
  if (argc == 5 && strcmp (argv[1], "--recover") == 0)
    return recover (argv[2], argv[3], argv[4]);
  if (argc == 3 && strcmp (argv[1], "--list") == 0)
    return list (argv[2]);
  g_test_init (&argc, &argv, NULL);
  add_all (specs);
  return g_test_run ();
}
