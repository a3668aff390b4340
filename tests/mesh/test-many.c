/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many channels to one service, from several processes: all of them open, all of them answered,
 * none of the processes starved, and nothing but the mesh's own housekeeping moves while nobody
 * speaks. Small here; COMMY_TEST_CHANNELS and COMMY_TEST_CLIENTS make it large (docs/TESTING.md),
 * and then what it took is printed.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNELS 500u
#define CLIENTS 5u
#define ROUNDS 20u      /* of the first client to end, over all of its channels */
#define SAMPLES 100000u /* times of calls that a client keeps */

/* The keyfile that the service needs where more come than a usual one expects. */
#define SETTINGS "[calibration]\nmode=off\n[limits]\nchannels=16384\nhandshake-timeout=60s\n"

/* --- a client: a process with many contexts, each with a channel of its own --- */

typedef struct
{
  GMainContext *context;
  CommyClient *client;
} Caller;

/* What a client says, and is told, over its socket. */
typedef struct
{
  guint64 calls;
  guint64 p50_ns, p99_ns;
  guint64 fds;
} Result;

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

static gboolean
call_once (Caller *caller, guint32 number, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (&number, sizeof number);
  g_autoptr (GBytes) got = NULL;

  g_main_context_push_thread_default (caller->context);
  got = commy_client_call_bytes_sync (caller->client, "Echo", bytes, NULL, NULL, error);
  g_main_context_pop_thread_default (caller->context);
  if (got != NULL && !g_bytes_equal (got, bytes))
    g_error ("another answer came than was sent");
  return got != NULL;
}

static int
compare_ns (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

/* Calls over one channel after the other until it is told to stop, or has done its rounds. */
static void
call_on (Caller *callers, guint n, guint rounds, int fd, Result *result)
{
  g_autofree gint64 *ns = g_new (gint64, SAMPLES);
  g_autoptr (GError) error = NULL;
  gboolean stop = FALSE;
  char byte;

  for (guint round = 0; round < rounds && !stop; round++)
    for (guint i = 0; i < n && !stop; i++)
      {
        gint64 start = now_ns ();

        if (!call_once (&callers[i], round * n + i, &error))
          g_error ("call %u: %s", i, error->message);
        ns[result->calls % SAMPLES] = now_ns () - start;
        result->calls++;
        stop = result->calls % 16 == 0 && recv (fd, &byte, 1, MSG_DONTWAIT) > 0;
      }
  qsort (ns, MIN (result->calls, SAMPLES), sizeof *ns, compare_ns);
  result->p50_ns = (guint64) ns[MIN (result->calls, SAMPLES) / 2];
  result->p99_ns = (guint64) ns[MIN (result->calls, SAMPLES) * 99 / 100];
}

static void
say (int fd, char what)
{
  g_assert_cmpint (write (fd, &what, 1), ==, 1);
}

static void
hear (int fd, char what)
{
  char byte = 0;

  /* Who had done its rounds was told to stop all the same. */
  do
    if (read (fd, &byte, 1) != 1)
      byte = 0;
  while (byte == 's');
  if (byte != what)
    g_error ("expected '%c' from the other process, got '%c'", what, byte);
}

static void
be_client (const char *keyfile, guint n, guint rounds)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", keyfile, &error);
  g_autofree Caller *callers = g_new0 (Caller, n);
  Result result = { 0 };
  int fd = 3;

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    g_error ("client: %s", error->message);
  for (guint i = 0; i < n; i++)
    {
      callers[i].context = g_main_context_new ();
      callers[i].client = commy_client_new (mesh, TEST_SERVICE);
      if (!call_once (&callers[i], i, &error))
        g_error ("channel %u: %s", i, error->message);
    }
  say (fd, 'o'); /* open */
  hear (fd, 'g');
  call_on (callers, n, rounds, fd, &result);
  result.fds = count_fds ();
  g_assert_cmpint (write (fd, &result, sizeof result), ==, sizeof result);
  hear (fd, 'e');
  for (guint i = 0; i < n; i++)
    {
      g_object_unref (callers[i].client);
      g_main_context_unref (callers[i].context);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static gboolean
client_main (int argc, char **argv)
{
  if (argc < 5 || strcmp (argv[1], "--client") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  be_client (argv[2], (guint) atoi (argv[3]), (guint) atoi (argv[4]));
  return TRUE;
}

/* --- the test's side --- */

typedef struct
{
  GPid pid;
  int fd;
  Result result;
} Client;

static void
client_setup (gpointer fd)
{
  dup2 (*(int *) fd, 3);
}

static void
client_start (Client *client, const char *keyfile, guint channels, guint rounds)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *n = g_strdup_printf ("%u", channels);
  g_autofree char *times = g_strdup_printf ("%u", rounds);
  char *argv[] = { self, (char *) "--client", (char *) keyfile, n, times, NULL };
  g_autoptr (GError) error = NULL;
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                 client_setup, &pair[1], &client->pid, &error);
  g_assert_no_error (error);
  close (pair[1]);
  client->fd = pair[0];
}

static void
client_end (Client *client)
{
  int status = -1;

  say (client->fd, 'e');
  g_assert_cmpint (waitpid (client->pid, &status, 0), ==, client->pid);
  g_assert_cmpint (status, ==, 0);
  close (client->fd);
}

static guint
number_from (const char *name, guint usual)
{
  const char *text = g_getenv (name);

  return text != NULL ? (guint) atoi (text) : usual;
}

/* Of one process, kB: what is its own, and its share of what several have. */
static guint64
pss_of (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", pid);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (line = strstr (text, "\nPss:")) == NULL)
    return 0;
  return g_ascii_strtoull (line + 5, NULL, 10);
}

static guint
fds_of (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* How often the threads of a process were woken so far. */
static guint64
wakeups_of (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *task;
  guint64 sum = 0;

  while (dir != NULL && (task = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_strdup_printf ("%s/%s/status", path, task);
      g_autofree char *text = NULL;
      const char *line;

      if (g_file_get_contents (file, &text, NULL, NULL)
          && (line = strstr (text, "\nvoluntary_ctxt_switches:")) != NULL)
        sum += g_ascii_strtoull (line + strlen ("\nvoluntary_ctxt_switches:"), NULL, 10);
    }
  return sum;
}

typedef struct
{
  MeshFixture mesh;
  guint n_channels, n_clients;
  char *keyfile;
  ServiceChild *service;
  Client *clients;
} Scene;

/* Prints what an idle mesh does in ten seconds; where people look, not a test. */
static void
watch_idle (const Scene *scene)
{
  guint64 service = wakeups_of (scene->service->pid), clients = 0;

  for (guint i = 0; i < scene->n_clients; i++)
    clients -= wakeups_of (scene->clients[i].pid);
  g_usleep (10 * G_USEC_PER_SEC);
  service = wakeups_of (scene->service->pid) - service;
  for (guint i = 0; i < scene->n_clients; i++)
    clients += wakeups_of (scene->clients[i].pid);
  g_test_message ("idle for 10 s: the service was woken %" G_GUINT64_FORMAT
                  " times, all clients together %" G_GUINT64_FORMAT,
                  service, clients);
}

static void
print_memory (const Scene *scene)
{
  guint64 service = pss_of (scene->service->pid), clients = 0;

  for (guint i = 0; i < scene->n_clients; i++)
    clients += pss_of (scene->clients[i].pid);
  g_test_message ("%u channels from %u processes: service %" G_GUINT64_FORMAT
                  " KiB, clients %" G_GUINT64_FORMAT " KiB, together %.1f KiB a channel",
                  scene->n_channels, scene->n_clients, service, clients,
                  (double) (service + clients) / scene->n_channels);
  g_test_message ("descriptors: service %u, a client %u", fds_of (scene->service->pid),
                  fds_of (scene->clients[0].pid));
}

static int
compare_calls (gconstpointer a, gconstpointer b)
{
  guint64 x = ((const Client *) a)->result.calls, y = ((const Client *) b)->result.calls;

  return x < y ? -1 : x > y;
}

/* All call at the same time; when the first has done its rounds, the others are stopped. */
static void
call_all (Scene *scene)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, scene->n_clients);

  for (guint i = 0; i < scene->n_clients; i++)
    {
      fds[i] = (struct pollfd){ .fd = scene->clients[i].fd, .events = POLLIN };
      say (scene->clients[i].fd, 'g');
    }
  g_assert_cmpint (poll (fds, scene->n_clients, -1), >, 0);
  for (guint i = 0; i < scene->n_clients; i++)
    say (scene->clients[i].fd, 's');
  for (guint i = 0; i < scene->n_clients; i++)
    {
      Result *result = &scene->clients[i].result;

      g_assert_cmpint (recv (scene->clients[i].fd, result, sizeof *result, MSG_WAITALL), ==,
                       sizeof *result);
    }
}

static void
open_all (Scene *scene, guint rounds)
{
  guint each = scene->n_channels / scene->n_clients;

  for (guint i = 0; i < scene->n_clients; i++)
    client_start (&scene->clients[i], scene->keyfile, each, rounds);
  for (guint i = 0; i < scene->n_clients; i++)
    hear (scene->clients[i].fd, 'o');
}

static void
set_up (Scene *scene, gconstpointer data)
{
  scene->n_channels = number_from ("COMMY_TEST_CHANNELS", CHANNELS);
  scene->n_clients = number_from ("COMMY_TEST_CLIENTS", CLIENTS);
  mesh_fixture_set_up (&scene->mesh, NULL);
  scene->keyfile = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n" SETTINGS,
                                    scene->mesh.dir, scene->mesh.dir);
  scene->service = service_child_start (&scene->mesh, SETTINGS, 1);
  scene->clients = g_new0 (Client, scene->n_clients);
}

static void
tear_down (Scene *scene, gconstpointer data)
{
  for (guint i = 0; i < scene->n_clients; i++)
    client_end (&scene->clients[i]);
  service_child_free (scene->service);
  g_free (scene->clients);
  g_free (scene->keyfile);
  mesh_fixture_tear_down (&scene->mesh, NULL);
}

static void
all_are_answered_and_none_is_starved (Scene *scene, gconstpointer data)
{
  gint64 start = now_ns ();
  guint64 least, median;

  open_all (scene, ROUNDS);
  g_test_message ("opened in %" G_GINT64_FORMAT " ms", (now_ns () - start) / 1000000);
  print_memory (scene);
  if (g_getenv ("COMMY_TEST_CHANNELS") != NULL)
    watch_idle (scene);
  call_all (scene);
  qsort (scene->clients, scene->n_clients, sizeof *scene->clients, compare_calls);
  least = scene->clients[0].result.calls;
  median = scene->clients[scene->n_clients / 2].result.calls;
  for (guint i = 0; i < scene->n_clients; i++)
    g_test_message ("client %u: %" G_GUINT64_FORMAT " calls, p50 %.1f us, p99 %.1f us", i,
                    scene->clients[i].result.calls, scene->clients[i].result.p50_ns / 1e3,
                    scene->clients[i].result.p99_ns / 1e3);
  g_assert_cmpuint (3 * least, >=, median);
}

/* Every descriptor that the service has for a channel counts where there are ten thousand. */
static void
a_channel_costs_the_service_one_descriptor (Scene *scene, gconstpointer data)
{
  guint before = fds_of (scene->service->pid);

  open_all (scene, 1);
  g_assert_cmpuint (fds_of (scene->service->pid), <=,
                    before + scene->n_channels + 16 * scene->n_clients);
  call_all (scene);
}

/* --- the limit --- */

#define FEW 8u

static void
ones_own_user_may_have_all_of_the_limit (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child
      = service_child_start (fixture, "[calibration]\nmode=off\n[limits]\nchannels=8\n", 0);
  CommyMesh *mesh = mesh_fixture_join (
      fixture, "[calibration]\nmode=off\n[selection]\npreference=pin\ntransports=shm\n");
  Caller callers[FEW + 1];
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i <= FEW; i++)
    {
      callers[i].context = g_main_context_new ();
      callers[i].client = commy_client_new (mesh, TEST_SERVICE);
      g_assert_true (call_once (&callers[i], i, &error) == (i < FEW));
    }
  g_assert_nonnull (strstr (error->message, "limit \"channels\""));
  for (guint i = 0; i <= FEW; i++)
    {
      g_object_unref (callers[i].client);
      g_main_context_unref (callers[i].context);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  service_child_free (child);
}

int
main (int argc, char **argv)
{
  struct rlimit limit;
  int status = 0;

  /* Children inherit it. */
  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
  if (client_main (argc, argv) || service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add ("/mesh/many/" PATH, Scene, NULL, set_up, FUNC, tear_down)
  ADD ("all-are-answered-and-none-is-starved", all_are_answered_and_none_is_starved);
  ADD ("a-channel-costs-the-service-one-descriptor", a_channel_costs_the_service_one_descriptor);
  g_test_add ("/mesh/many/ones-own-user-may-have-all-of-the-limit", MeshFixture, NULL,
              mesh_fixture_set_up, ones_own_user_may_have_all_of_the_limit, mesh_fixture_tear_down);
  return g_test_run ();
}
