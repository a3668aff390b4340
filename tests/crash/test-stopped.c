/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that is stopped and not dead: nobody notices a hang-up. Calls end when their deadline
 * passes, writers of streams when theirs does, one-way messages are refused once the path is
 * full; what was taken arrives after SIGCONT, once, and all goes on.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"

#include <signal.h>
#include <sys/wait.h>

#define SHORT_US (300 * 1000)
#define LONG_US (30 * G_USEC_PER_SEC)
#define ONE_WAYS 1000000u

typedef struct
{
  CommyMesh *mesh;
  ServiceChild *child;
  CommyClient *client;
  CommyCallOptions *patient;
  CommyCallOptions *impatient;
} Stopped;

static CommyCallOptions *
options_with (gint64 timeout_us)
{
  CommyCallOptions *options = commy_call_options_new ();

  commy_call_options_set_timeout (options, timeout_us);
  return options;
}

static void
expect_answer (Stopped *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) sum = commy_client_call_sync (
      self->client, "Add", g_variant_new ("(ii)", 1, 2), self->patient, NULL, &error);

  g_assert_no_error (error);
}

/* Connected over @transport, then stopped. */
static Stopped *
stopped_new (MeshFixture *fixture, const char *transport)
{
  Stopped *self = g_new0 (Stopped, 1);
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);

  mesh_fixture_make_credentials (fixture);
  self->child = service_child_start (fixture, settings, 1);
  self->mesh = mesh_fixture_join (fixture, settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  self->patient = options_with (LONG_US);
  self->impatient = options_with (SHORT_US);
  expect_answer (self);
  return self;
}

static void
stop (Stopped *self)
{
  int status;

  kill (self->child->pid, SIGSTOP);
  g_assert_cmpint (waitpid (self->child->pid, &status, WUNTRACED), ==, self->child->pid);
  g_assert_true (WIFSTOPPED (status));
}

static void
go_on (Stopped *self)
{
  kill (self->child->pid, SIGCONT);
  expect_answer (self);
}

static void
stopped_free (Stopped *self)
{
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  commy_call_options_free (self->patient);
  commy_call_options_free (self->impatient);
  service_child_free (self->child);
  g_free (self);
}

static void
test_call (MeshFixture *fixture, gconstpointer transport)
{
  Stopped *self = stopped_new (fixture, transport);

  stop (self);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) sum = commy_client_call_sync (
          self->client, "Add", g_variant_new ("(ii)", 1, 2), self->impatient, NULL, &error);

      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
    }
  go_on (self);
  stopped_free (self);
}

static gint32
counted (Stopped *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (self->client, "Counted", NULL, self->patient, NULL, &error);
  gint32 n;

  g_assert_no_error (error);
  g_variant_get (answer, "(i)", &n);
  return n;
}

static void
test_one_way (MeshFixture *fixture, gconstpointer transport)
{
  Stopped *self = stopped_new (fixture, transport);
  g_autoptr (GError) error = NULL;
  guint taken = 0;

  stop (self);
  while (taken < ONE_WAYS
         && commy_client_send (self->client, "Count", NULL, self->impatient, &error))
    taken++;
  g_assert_nonnull (error);
  g_test_message ("%u were taken, then: %s", taken, error->message);
  go_on (self);
  g_assert_cmpint (counted (self), ==, (gint32) taken);
  stopped_free (self);
}

static void
test_stream (MeshFixture *fixture, gconstpointer transport)
{
  Stopped *self = stopped_new (fixture, transport);
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  guint written = 0;

  stream = commy_client_open_stream_sync (self->client, "Sum", NULL, self->impatient, NULL, &error);
  g_assert_no_error (error);
  stop (self);
  while (commy_stream_write_sync (stream, g_variant_new_int32 (1), NULL, &error))
    written++;
  g_test_message ("%u were written, then: %s", written, error->message);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  go_on (self);
  stopped_free (self);
}

static void
add (const char *what, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/crash/stopped/%s/%s", transport, what);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
#ifdef HAVE_GNUTLS
  static const char *const transports[] = { "shm", "unix", "tls" };
#else
  static const char *const transports[] = { "shm", "unix" };
#endif
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      add ("calls-end-at-their-deadline", transports[i], test_call);
      add ("one-ways-are-refused-and-not-lost", transports[i], test_one_way);
      add ("writers-end-at-their-deadline", transports[i], test_stream);
    }
  return g_test_run ();
}
