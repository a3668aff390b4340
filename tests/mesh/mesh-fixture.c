/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixture of mesh tests: real processes, real plugins of the build tree, private folders.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki.h"
#endif

void
mesh_fixture_set_up (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->dir = g_dir_make_tmp ("commy-mesh-XXXXXX", &error);
  g_assert_no_error (error);
  fixture->config = g_strdup (g_getenv ("COMMY_CONFIG"));
}

static void
restore_config (MeshFixture *fixture)
{
  if (fixture->config != NULL)
    g_setenv ("COMMY_CONFIG", fixture->config, TRUE);
  else
    g_unsetenv ("COMMY_CONFIG");
}

static void
remove_tree (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          remove_tree (child);
        }
    }
  g_remove (path);
}

void
mesh_fixture_tear_down (MeshFixture *fixture, gconstpointer data)
{
  restore_config (fixture);
  remove_tree (fixture->dir);
  g_free (fixture->dir);
  g_free (fixture->config);
  g_free (fixture->log);
}

void
mesh_fixture_capture_log (MeshFixture *fixture)
{
  g_free (fixture->log);
  fixture->log = g_build_filename (fixture->dir, "children.log", NULL);
}

void
mesh_fixture_await_log (MeshFixture *fixture, const char *words)
{
  gint64 until = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  for (;;)
    {
      g_autofree char *text = NULL;

      g_assert_true (g_file_get_contents (fixture->log, &text, NULL, NULL));
      if (strstr (text, words) != NULL)
        return;
      if (g_get_monotonic_time () > until)
        g_error ("the log does not say \"%s\" but: %s", words, text);
      g_usleep (2000);
    }
}

char *
mesh_fixture_use_keyfile (MeshFixture *fixture, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (fixture->dir, name, NULL);
  g_autofree char *list = NULL;
  g_autoptr (GError) error = NULL;

  restore_config (fixture);
  if (text == NULL)
    return NULL;
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  list = fixture->config != NULL ? g_strjoin (":", fixture->config, path, NULL) : g_strdup (path);
  g_setenv ("COMMY_CONFIG", list, TRUE);
  return g_steal_pointer (&path);
}

static char *
keyfile (MeshFixture *fixture, const char *settings)
{
  return g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n%s", fixture->dir,
                          fixture->dir, settings != NULL ? settings : "");
}

CommyMesh *
mesh_fixture_new (MeshFixture *fixture, const char *settings, GError **error)
{
  g_autofree char *text = keyfile (fixture, settings);

  return commy_mesh_new_with_settings ("test", text, error);
}

CommyMesh *
mesh_fixture_join (MeshFixture *fixture, const char *settings)
{
  g_autoptr (GError) error = NULL;
  CommyMesh *mesh = mesh_fixture_new (fixture, settings, &error);

  g_assert_no_error (error);
  commy_mesh_join_sync (mesh, NULL, &error);
  g_assert_no_error (error);
  return mesh;
}

void
mesh_fixture_make_credentials (MeshFixture *fixture)
{
#ifdef HAVE_GNUTLS
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("test", now, &error);
  g_autoptr (CommyPkiPair) pair = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  commy_pki_authority_save (authority, dir, &error);
  g_assert_no_error (error);
  pair = commy_pki_issue (authority, "testhost", "tester", now - 60, now + 86400, &error);
  g_assert_no_error (error);
  commy_pki_pair_save (pair, authority, dir, &error);
  g_assert_no_error (error);
#endif
}

/* --- the service --- */

static const char xml[] = "<node><interface name='" TEST_SERVICE "'>"
                          "<method name='Add'><arg type='i' direction='in'/>"
                          "<arg type='i' direction='in'/><arg type='i' direction='out'/></method>"
                          "<method name='Lie'><arg type='i' direction='out'/></method>"
                          "<method name='Pid'><arg type='i' direction='out'/></method>"
                          "</interface></node>";

static void
on_echo (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  if (commy_invocation_get_bytes (invocation) != NULL)
    commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
  else
    commy_invocation_return_value (invocation, commy_invocation_get_parameters (invocation));
}

static void
on_add (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint32 a, b;

  g_variant_get (commy_invocation_get_parameters (invocation), "(ii)", &a, &b);
  commy_invocation_return_value (invocation, g_variant_new ("(i)", a + b));
}

static void
on_fail (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_error (invocation, "as you wished");
}

static void
on_lie (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(s)", "no number"));
}

static void
on_slow (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GPtrArray *held = data;

  g_ptr_array_add (held, invocation);
}

static void
on_release (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GPtrArray *held = data;

  for (guint i = 0; i < held->len; i++)
    commy_invocation_return_value (held->pdata[i], NULL);
  g_ptr_array_set_size (held, 0);
  commy_invocation_return_value (invocation, NULL);
}

static void
on_pid (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(i)", getpid ()));
}

static void
on_who (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (
      invocation,
      g_variant_new ("(ss)", commy_principal_get_name (commy_invocation_get_caller (invocation)),
                     commy_invocation_get_transport (invocation)));
}

static void
on_count (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_atomic_int_inc ((gint *) data);
  g_assert_true (commy_invocation_is_one_way (invocation));
  commy_invocation_return_value (invocation, NULL);
}

static void
on_counted (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(i)", g_atomic_int_get ((gint *) data)));
}

static void
on_span (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  CommySpan out;

  if (size > 0 && in[0] == 0xff)
    commy_span_call_fail (call, "first byte is 255");
  else if (commy_span_call_reserve (call, size, &out))
    for (gsize i = 0; i < size; i++)
      out.data[i] = in[size - 1 - i];
}

CommyService *
test_service_new (CommyMesh *mesh, guint workers)
{
  const char *told = g_getenv (TEST_INTERFACE);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (told != NULL ? told : xml, NULL);
  CommyService *service = commy_service_new (
      mesh, TEST_SERVICE, node != NULL && node->interfaces != NULL ? node->interfaces[0] : NULL);
  gint *count = g_new0 (gint, 1);
  GPtrArray *held = g_ptr_array_new ();

  commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  commy_service_handle (service, "Add", on_add, NULL, NULL);
  commy_service_handle (service, "Fail", on_fail, NULL, NULL);
  commy_service_handle (service, "Lie", on_lie, NULL, NULL);
  commy_service_handle (service, "Slow", on_slow, held, NULL);
  commy_service_handle (service, "Release", on_release, held, (GDestroyNotify) g_ptr_array_unref);
  commy_service_handle (service, "Pid", on_pid, NULL, NULL);
  commy_service_handle (service, "Who", on_who, NULL, NULL);
  commy_service_handle (service, "Count", on_count, count, NULL);
  commy_service_handle (service, "Counted", on_counted, count, g_free);
  commy_service_handle_span (service, "Span", on_span, NULL, NULL);
  commy_service_set_workers (service, workers);
  return service;
}

/* --- children --- */

static gboolean
on_stop (int fd, GIOCondition condition, gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

/* A child that is told to end hands over first. */
typedef struct
{
  CommyMesh *mesh;
  GMainLoop *loop;
  gboolean failed;
} Ending;

static void
on_drained (GObject *source, GAsyncResult *result, gpointer data)
{
  Ending *ending = data;
  g_autoptr (GError) error = NULL;

  ending->failed = !commy_mesh_drain_finish (COMMY_MESH (source), result, &error);
  if (ending->failed)
    g_printerr ("child: %s\n", error->message);
  g_main_loop_quit (ending->loop);
}

static gboolean
on_terminate (gpointer data)
{
  Ending *ending = data;

  commy_mesh_drain (ending->mesh, -1, NULL, on_drained, ending);
  return G_SOURCE_REMOVE;
}

gboolean
service_child_main (int argc, char **argv, int *out_status)
{
  return service_child_main_with (argc, argv, NULL, out_status);
}

gboolean
service_child_main_with (int argc,
                         char **argv,
                         void (*extend) (CommyService *service),
                         int *out_status)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyService) service = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  Ending ending = { .loop = loop };

  if (argc < 4 || strcmp (argv[1], "--service-child") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  *out_status = 1;
  mesh = commy_mesh_new_with_settings ("test", argv[2], &error);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    {
      g_printerr ("child: %s\n", error->message);
      return TRUE;
    }
  service = test_service_new (mesh, (guint) atoi (argv[3]));
  if (extend != NULL)
    extend (service);
  if (!commy_service_start_sync (service, NULL, &error))
    {
      g_printerr ("child: %s\n", error->message);
      return TRUE;
    }
  ending.mesh = mesh;
  g_unix_signal_add (SIGTERM, on_terminate, &ending);
  if (write (3, commy_service_get_instance_id (service), 32) != 32)
    return TRUE;
  g_unix_fd_add (3, G_IO_IN | G_IO_HUP, on_stop, loop);
  g_main_loop_run (loop);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_run_dispose (G_OBJECT (service)); /* handlers may hold what holds the service */
  *out_status = ending.failed;
  return TRUE;
}

typedef struct
{
  int stop_fd;
  int log_fd; /* or -1 */
} ChildFds;

static void
child_setup (gpointer data)
{
  const ChildFds *fds = data;

  if (fds->log_fd >= 0)
    dup2 (fds->log_fd, 2);
  dup2 (fds->stop_fd, 3);
}

ServiceChild *
service_child_start (MeshFixture *fixture, const char *settings, guint workers)
{
  g_autofree char *text = keyfile (fixture, settings);
  g_autofree char *number = g_strdup_printf ("%u", workers);
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  char *argv[] = { self, (char *) "--service-child", text, number, NULL };
  ServiceChild *child = g_new0 (ServiceChild, 1);
  g_autoptr (GError) error = NULL;
  char id[33] = "";
  int pair[2];
  ChildFds fds = { .log_fd = -1 };

  if (fixture->log != NULL)
    fds.log_fd = open (fixture->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  fds.stop_fd = pair[1];
  g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                 child_setup, &fds, &child->pid, &error);
  g_assert_no_error (error);
  close (pair[1]);
  if (fds.log_fd >= 0)
    close (fds.log_fd);
  g_assert_cmpint (read (pair[0], id, 32), ==, 32);
  child->stop_fd = pair[0];
  child->instance = g_strdup (id);
  return child;
}

void
service_child_kill (ServiceChild *child)
{
  kill (child->pid, SIGKILL);
  waitpid (child->pid, NULL, 0);
  child->pid = 0;
}

void
service_child_free (ServiceChild *child)
{
  int status = 0;

  close (child->stop_fd);
  if (child->pid != 0)
    {
      waitpid (child->pid, &status, 0);
      g_assert_cmpint (status, ==, 0);
    }
  g_free (child->instance);
  g_free (child);
}

guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

guint8 *
test_book_open (const char *path, gsize size)
{
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  guint8 *book;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
  book = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert_true (book != MAP_FAILED);
  close (fd);
  return book;
}
