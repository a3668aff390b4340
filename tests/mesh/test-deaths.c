/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the death of a process is known before the kernel is done with it: a child of it keeps its
 * connections open and a tracer keeps the last of its threads, so that neither a hang-up nor the
 * pidfd tells. And that a thread that ends is no death.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_FD 3 /* of a service child */
#define PATIENCE_US (600 * G_USEC_PER_SEC)
#define EARLY 2

/* --- the service --- */

typedef struct
{
  GMutex lock;
  GCond cond;
  gboolean may_go;
  GThread *threads[EARLY];
} Early;

static gpointer
wait_to_go (gpointer data)
{
  Early *self = data;

  g_mutex_lock (&self->lock);
  while (!self->may_go)
    g_cond_wait (&self->cond, &self->lock);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* Of a service child, older than all threads of its mesh. */
static void
start_early (int argc, char **argv)
{
  Early *self;

  if (argc < 2 || strcmp (argv[1], "--service-child") != 0)
    return;
  self = g_new0 (Early, 1);
  for (guint i = 0; i < EARLY; i++)
    self->threads[i] = g_thread_new ("early", wait_to_go, self);
  g_dataset_set_data (g_main_context_default (), "early", self);
}

static void
on_let_go (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Early *self = data;

  g_mutex_lock (&self->lock);
  self->may_go = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < EARLY; i++)
    g_thread_join (self->threads[i]);
  commy_invocation_return_value (invocation, NULL);
}

/* The child has all descriptors of its parent, and lives until the test has done. */
static void
on_fork (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  char byte;

  if (fork () == 0)
    {
      while (read (STOP_FD, &byte, 1) < 0 && errno == EINTR)
        ;
      _exit (0);
    }
  commy_invocation_return_value (invocation, NULL);
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Fork", on_fork, NULL, NULL);
  commy_service_handle (service, "LetGo", on_let_go,
                        g_dataset_get_data (g_main_context_default (), "early"), NULL);
}

/* --- what a test does --- */

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
  CommyCallOptions *options;
  ServiceChild *child;
  GPid traced;
  int pidfd;
} Scene;

static void
call (Scene *self, const char *method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (self->client, method, NULL, self->options, NULL, &error);

  g_assert_no_error (error);
}

static GPid
get_last_thread (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);
  g_autoptr (GDir) threads = g_dir_open (path, 0, NULL);
  const char *tid;
  GPid last = 0;

  while ((tid = g_dir_read_name (threads)) != NULL)
    last = MAX (last, atoi (tid));
  return last;
}

/* FALSE, and the test is skipped, where this cannot be tried. */
static gboolean
scene_open (Scene *self, MeshFixture *fixture, const char *transport)
{
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);

  *self = (Scene){ .pidfd = -1 };
  if (syscall (SYS_pidfd_open, gettid (), O_EXCL) < 0)
    {
      g_test_skip ("this kernel does not tell of the end of a thread (Linux 6.9)");
      return FALSE;
    }
  self->mesh = mesh_fixture_join (fixture, settings);
  self->child = service_child_start (fixture, NULL, 0);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  self->options = commy_call_options_new ();
  commy_call_options_set_timeout (self->options, PATIENCE_US);
  self->pidfd = (int) syscall (SYS_pidfd_open, self->child->pid, 0);
  g_assert_cmpint (self->pidfd, >=, 0);
  return TRUE;
}

/* From now on the process does not end before scene_close(). */
static gboolean
scene_hold (Scene *self)
{
  self->traced = get_last_thread (self->child->pid);
  if (ptrace (PTRACE_SEIZE, self->traced, NULL, NULL) == 0)
    return TRUE;
  self->traced = 0;
  g_test_skip ("this process may not trace its children");
  return FALSE;
}

static void
scene_close (Scene *self)
{
  if (self->traced != 0)
    {
      struct pollfd ended = { .fd = self->pidfd, .events = POLLIN };

      g_assert_cmpint (poll (&ended, 1, 0), ==, 0);
      g_assert_cmpint (waitpid (self->traced, NULL, __WALL), ==, self->traced);
      g_assert_cmpint (waitpid (self->child->pid, NULL, 0), ==, self->child->pid);
    }
  else
    service_child_kill (self->child);
  self->child->pid = 0;
  service_child_free (self->child);
  close (self->pidfd);
  while (waitpid (-1, NULL, 0) > 0)
    ;
  commy_call_options_free (self->options);
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
}

/* --- in a main loop --- */

typedef struct
{
  gboolean done;
  GError *error;
} Told;

static void
on_told (GObject *client, GAsyncResult *result, gpointer data)
{
  Told *told = data;
  g_autoptr (GVariant) answer
      = commy_client_call_finish (COMMY_CLIENT (client), result, &told->error);

  told->done = TRUE;
}

/* Over the channel that Slow waits on, and after it. */
static void
fork_in_loop (Scene *self)
{
  Told forked = { 0 };

  commy_client_call (self->client, "Fork", NULL, self->options, NULL, on_told, &forked);
  while (!forked.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_no_error (forked.error);
}

static void
be_told (Scene *self)
{
  Told told = { 0 };

  commy_client_call (self->client, "Slow", NULL, self->options, NULL, on_told, &told);
  fork_in_loop (self);
  kill (self->child->pid, SIGKILL);
  while (!told.done)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (told.error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_clear_error (&told.error);
}

static void
told_in_a_loop (MeshFixture *fixture, gconstpointer transport)
{
  Scene scene;

  if (!scene_open (&scene, fixture, transport))
    return;
  if (scene_hold (&scene))
    be_told (&scene);
  scene_close (&scene);
}

static void
thread_is_no_death (MeshFixture *fixture, gconstpointer transport)
{
  Scene scene;

  if (!scene_open (&scene, fixture, transport))
    return;
  call (&scene, "Pid");
  call (&scene, "LetGo");
  call (&scene, "Pid");
  if (scene_hold (&scene))
    be_told (&scene);
  scene_close (&scene);
}

/* --- asleep in a call --- */

/* Ends whatever the caller does, asleep or on its way there. */
static gpointer
kill_child (gpointer data)
{
  Scene *self = data;

  kill (self->child->pid, SIGKILL);
  return NULL;
}

static void
told_in_a_call (MeshFixture *fixture, gconstpointer transport)
{
  Scene scene;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = NULL;

  if (!scene_open (&scene, fixture, transport))
    return;
  call (&scene, "Fork");
  if (scene_hold (&scene))
    {
      GThread *killer = g_thread_new ("killer", kill_child, &scene);

      answer = commy_client_call_sync (scene.client, "Slow", NULL, scene.options, NULL, &error);
      g_assert_nonnull (error);
      g_assert_false (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE));
      g_thread_join (killer);
    }
  scene_close (&scene);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = { "shm", "unix" };
  int status = 0;

  start_early (argc, argv);
  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  prctl (PR_SET_CHILD_SUBREAPER, 1); /* what its service forked is this process's to await */
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
#define ADD(PATH, FUNC)                                                               \
  {                                                                                   \
    g_autofree char *path = g_strdup_printf ("/mesh/deaths/%s/" PATH, transports[i]); \
    g_test_add (path, MeshFixture, transports[i], mesh_fixture_set_up, FUNC,          \
                mesh_fixture_tear_down);                                              \
  }
      ADD ("a-loop-is-told-before-the-process-is-gone", told_in_a_loop);
      ADD ("who-sleeps-in-a-call-is-told-before-the-process-is-gone", told_in_a_call);
      ADD ("a-thread-that-ends-is-no-death-and-others-are-watched", thread_is_no_death);
    }
  return g_test_run ();
}
