/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that was stopped, and what each policy makes of it: the log is told, what it owes is
 * given up, or its channel is closed. Nobody waits as long as he would, each message was delivered
 * or is counted as dropped, and after SIGCONT all goes on.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "stream-handlers.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define PATIENCE_US (120 * G_USEC_PER_SEC)
#define SHORT_US (900 * 1000)
#define ONE_WAYS 1000000u

typedef struct
{
  CommyMesh *mesh;
  ServiceChild *child;
  CommyClient *client;
  CommyCallOptions *patient;
} Hung;

typedef struct
{
  const char *transport;
  const char *policy;
} HungCase;

static GVariant *
try_call (Hung *self, const char *method, GVariant *parameters, GError **error)
{
  return commy_client_call_sync (self->client, method, parameters, self->patient, NULL, error);
}

/* A machine may be so slow that an honest answer comes too late for the policy. */
static gint32
insist (Hung *self, const char *method, GVariant *parameters)
{
  g_autoptr (GVariant) kept = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  gint64 end = g_get_monotonic_time () + PATIENCE_US;
  gint32 value = -1;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = try_call (self, method, kept, &error);

      if (answer != NULL)
        {
          g_variant_get (answer, "(i)", &value);
          return value;
        }
      if (g_get_monotonic_time () >= end)
        g_error ("no answer: %s", error->message);
      g_thread_yield ();
    }
}

static Hung *
hung_new (MeshFixture *fixture, const HungCase *test)
{
  Hung *self = g_new0 (Hung, 1);
  g_autofree char *service = g_strdup_printf (
      "[selection]\npreference=pin\ntransports=%s\n[limits]\nhung-after=0s\nresume-within=100ms\n",
      test->transport);
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n"
                         "[limits]\nhung-after=300ms\nhung=%s\nhandshake-timeout=1s\n",
                         test->transport, test->policy);

  mesh_fixture_make_credentials (fixture);
  self->child = service_child_start (fixture, service, 1);
  self->mesh = mesh_fixture_join (fixture, settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  self->patient = commy_call_options_new ();
  commy_call_options_set_timeout (self->patient, PATIENCE_US);
  g_assert_cmpint (insist (self, "Add", g_variant_new ("(ii)", 1, 2)), ==, 3);
  return self;
}

static void
stop (Hung *self)
{
  int status;

  kill (self->child->pid, SIGSTOP);
  g_assert_cmpint (waitpid (self->child->pid, &status, WUNTRACED), ==, self->child->pid);
  g_assert_true (WIFSTOPPED (status));
}

static void
go_on (Hung *self)
{
  kill (self->child->pid, SIGCONT);
  g_assert_cmpint (insist (self, "Add", g_variant_new ("(ii)", 1, 2)), ==, 3);
}

static void
hung_free (Hung *self)
{
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  commy_call_options_free (self->patient);
  service_child_free (self->child);
  g_free (self);
}

static guint64
count_drops (Hung *self, const char *wanted)
{
  g_autoptr (GVariant) list = commy_mesh_list_drops (self->mesh);
  GVariantIter iter;
  const char *reason;
  guint64 count, total = 0;

  g_variant_iter_init (&iter, list);
  while (g_variant_iter_loop (&iter, "(&st&s)", &reason, &count, NULL))
    if (strcmp (reason, wanted) == 0)
      total += count;
  return total;
}

/* What never left. */
static guint64
count_dropped (Hung *self)
{
  return count_drops (self, "hung");
}

/* What was closed is read to its end, and a new path does not wait for that: there is no order. */
static void
assert_delivered (Hung *self, guint expected)
{
  gint64 end = g_get_monotonic_time () + PATIENCE_US;
  guint counted;

  while ((counted = (guint) insist (self, "Counted", NULL)) < expected
         && g_get_monotonic_time () < end)
    g_thread_yield ();
  g_assert_cmpuint (counted, ==, expected);
}

/* --- cases --- */

/* Only the deadline ends it, and then it is known why. */
static void
test_warn (MeshFixture *fixture, gconstpointer data)
{
  Hung *self = hung_new (fixture, data);
  CommyCallOptions *options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = NULL;

  commy_call_options_set_timeout (options, SHORT_US);
  stop (self);
  answer = commy_client_call_sync (self->client, "Add", g_variant_new ("(ii)", 1, 2), options, NULL,
                                   &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_nonnull (strstr (error->message, "hung"));
  g_assert_cmpuint (count_dropped (self), ==, 0);
  go_on (self);
  commy_call_options_free (options);
  hung_free (self);
}

/* Long before its deadline the caller is told. His message lies with the path: it arrives later, or
 * nobody can say once the path is closed. */
static void
test_call (MeshFixture *fixture, gconstpointer data)
{
  const HungCase *test = data;
  Hung *self = hung_new (fixture, test);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = NULL;

  stop (self);
  answer = try_call (self, "Add", g_variant_new ("(ii)", 1, 2), &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_assert_nonnull (strstr (error->message, "does not serve"));
  g_assert_cmpuint (count_dropped (self), ==, 0);
  if (strcmp (test->policy, "disconnect") == 0)
    g_assert_cmpuint (count_drops (self, "unknown"), >=, 1);
  else
    g_assert_cmpuint (count_drops (self, "unknown"), ==, 0);
  go_on (self);
  hung_free (self);
}

static void
on_told (GObject *client, GAsyncResult *result, gpointer data)
{
  GError **error = data;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (client), result, error);

  g_assert_null (answer);
}

/* The same for who does not wait: the worker's timer looks. */
static void
test_loop (MeshFixture *fixture, gconstpointer data)
{
  Hung *self = hung_new (fixture, data);
  g_autoptr (GError) error = NULL;

  stop (self);
  commy_client_call (self->client, "Add", g_variant_new ("(ii)", 1, 2), self->patient, NULL,
                     on_told, &error);
  while (error == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_assert_nonnull (strstr (error->message, "does not serve"));
  go_on (self);
  hung_free (self);
}

/* sent = delivered + dropped (hung) */
static void
test_one_way (MeshFixture *fixture, gconstpointer data)
{
  Hung *self = hung_new (fixture, data);
  g_autoptr (GError) error = NULL;
  guint taken = 0, dropped;

  stop (self);
  while (taken < ONE_WAYS && commy_client_send (self->client, "Count", NULL, self->patient, &error))
    taken++;
  g_assert_nonnull (error);
  g_test_message ("%u were taken, then: %s", taken, error->message);
  /* Now: calls that come too early for who has much to catch up with are dropped, too. */
  dropped = count_dropped (self);
  go_on (self);
  assert_delivered (self, taken - dropped);
  hung_free (self);
}

/* A writer without credit is not held up for as long as its deadline lets it. */
static void
test_stream (MeshFixture *fixture, gconstpointer data)
{
  Hung *self = hung_new (fixture, data);
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  guint written = 0;

  stream = commy_client_open_stream_sync (self->client, "Sum", NULL, self->patient, NULL, &error);
  g_assert_no_error (error);
  stop (self);
  while (commy_stream_write_sync (stream, g_variant_new_int32 (1), NULL, &error))
    written++;
  g_test_message ("%u were written, then: %s", written, error->message);
  g_assert_nonnull (strstr (error->message, "does not serve"));
  go_on (self);
  hung_free (self);
}

/* Whom a client talks to hangs: what may be repeated is answered by who serves. */
static void
test_replacement (MeshFixture *fixture, gconstpointer data)
{
  Hung *self = hung_new (fixture, data);
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n[limits]\nhung-after=0s\n",
                         ((const HungCase *) data)->transport);
  ServiceChild *other = service_child_start (fixture, settings, 1);
  ServiceChild *first = self->child;
  GPid asked;

  commy_call_options_set_idempotent (self->patient, TRUE);
  asked = insist (self, "Pid", NULL);
  self->child = asked == first->pid ? first : other;
  stop (self);
  g_assert_cmpint (insist (self, "Pid", NULL), ==, asked == first->pid ? other->pid : first->pid);
  kill (asked, SIGCONT);
  self->child = first;
  service_child_free (other);
  hung_free (self);
}

static void
add (const char *what, const HungCase *test, void (*run) (MeshFixture *, gconstpointer))
{
  g_autofree char *path
      = g_strdup_printf ("/crash/hung/%s/%s/%s", test->transport, test->policy, what);

  g_test_add (path, MeshFixture, test, mesh_fixture_set_up, run, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const HungCase warn = { "shm", "warn" };
  static const HungCase cases[] = {
    { "shm", "drop" }, { "shm", "disconnect" }, { "unix", "drop" }, { "unix", "disconnect" },
#ifdef HAVE_GNUTLS
    { "tls", "drop" }, { "tls", "disconnect" },
#endif
  };
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("the-deadline-says-why", &warn, test_warn);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      add ("calls-end-before-their-deadline", &cases[i], test_call);
      add ("calls-of-a-loop-do-too", &cases[i], test_loop);
      add ("one-ways-are-delivered-or-counted", &cases[i], test_one_way);
      add ("writers-are-not-held-up", &cases[i], test_stream);
      if (strcmp (cases[i].policy, "disconnect") == 0)
        add ("another-instance-takes-over", &cases[i], test_replacement);
    }
  return g_test_run ();
}
