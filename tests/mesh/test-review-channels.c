/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channels under mixed use: spans beside asynchronous calls, synchronous calls beside a loop,
 * answers that come late and large, deadlines that expire in unlucky moments.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <signal.h>
#include <string.h>

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"

static void
on_value (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
  ++*(guint *) data;
}

static char *
only (const char *transport)
{
  return g_strdup_printf (ONLY ("%s"), transport);
}

/* What is sent while a span is reserved waits behind it, and still arrives in order. */
static void
test_call_beside_span (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = only (transport);
  g_autoptr (GError) error = NULL;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyMethod method;
  guint answered = 0;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  g_variant_unref (commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error));
  method = commy_client_resolve (client, "Span", &error);
  g_assert_no_error (error);
  for (guint i = 1; i <= 20; i++)
    {
      CommySpan span;
      CommyReply reply;

      commy_client_reserve (client, method, 8, &span, &error);
      g_assert_no_error (error);
      memset (span.data, 7, 8);
      commy_client_call (client, "Pid", NULL, NULL, NULL, on_value, &answered);
      commy_client_exchange (client, method, &span, &reply, 0, &error);
      g_assert_no_error (error);
      commy_reply_clear (&reply);
      while (answered < i)
        g_main_context_iteration (NULL, TRUE);
    }
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  service_child_free (child);
}

static void
test_two_spans (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  CommyClient *first = commy_client_new (mesh, TEST_SERVICE);
  CommyClient *second = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) busy = NULL;
  CommyMethod one = commy_client_resolve (first, "Span", &error);
  CommyMethod two = commy_client_resolve (second, "Span", &error);
  CommySpan span, other;
  gint64 began = g_get_monotonic_time ();

  g_assert_true (commy_client_reserve (first, one, 8, &span, &error));
  g_assert_false (commy_client_reserve (second, two, 8, &other, &busy));
  g_assert_error (busy, COMMY_ERROR, COMMY_ERROR_BUSY);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 5 * G_USEC_PER_SEC); /* the default is 10 */
  commy_client_discard (first);
  g_assert_true (commy_client_reserve (second, two, 8, &other, &error));
  commy_client_discard (second);
  g_object_unref (first);
  g_object_unref (second);
  g_object_unref (mesh);
  service_child_free (child);
}

/* --- a service of this process whose answers come from other threads --- */

typedef struct
{
  CommyInvocation *held; /* atomic */
  gsize size;
} Hold;

static void
on_hold (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_atomic_pointer_set (&((Hold *) data)->held, invocation);
}

static void
on_ping (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, NULL);
}

static gpointer
answer_later (gpointer data)
{
  Hold *hold = data;
  g_autofree guint8 *bytes = g_malloc0 (hold->size + 1);

  g_usleep (50000); /* the loop may sleep by then; it need not */
  commy_invocation_return_value (
      hold->held, g_variant_new ("(@ay)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes,
                                                                     hold->size, 1)));
  return NULL;
}

typedef struct
{
  CommyMesh *mesh;
  CommyService *service;
  CommyClient *client;
  Hold hold;
} Own;

static Own *
own_new (MeshFixture *fixture, const char *transport, gsize size)
{
  g_autofree char *settings = only (transport);
  g_autoptr (GError) error = NULL;
  Own *own = g_new0 (Own, 1);

  mesh_fixture_make_credentials (fixture);
  own->hold.size = size;
  own->mesh = mesh_fixture_join (fixture, settings);
  own->service = commy_service_new (own->mesh, "org.example.Hold", NULL);
  commy_service_handle (own->service, "Hold", on_hold, &own->hold, NULL);
  commy_service_handle (own->service, "Ping", on_ping, NULL, NULL);
  commy_service_set_workers (own->service, 1);
  commy_service_start_sync (own->service, NULL, &error);
  g_assert_no_error (error);
  own->client = commy_client_new (own->mesh, "org.example.Hold");
  return own;
}

static void
own_free (Own *own)
{
  g_object_unref (own->client);
  g_object_unref (own->service);
  commy_mesh_leave_sync (own->mesh, NULL, NULL);
  g_object_unref (own->mesh);
  g_free (own);
}

/* A synchronous call takes messages without the loop; the loop must still be woken later. */
static void
test_loop_after_sync (MeshFixture *fixture, gconstpointer transport)
{
  Own *own = own_new (fixture, transport, 10);
  g_autoptr (GError) error = NULL;
  guint answered = 0;
  GThread *thread;

  commy_client_call (own->client, "Hold", NULL, NULL, NULL, on_value, &answered);
  while (g_atomic_pointer_get (&own->hold.held) == NULL)
    g_main_context_iteration (NULL, FALSE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_variant_unref (commy_client_call_sync (own->client, "Ping", NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  thread = g_thread_new ("answer", answer_later, &own->hold);
  while (answered == 0)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (thread);
  own_free (own);
}

/* What the kernel does not take at once is sent on, also for an answer that comes from outside. */
static void
test_big_late_answer (MeshFixture *fixture, gconstpointer transport)
{
  Own *own = own_new (fixture, transport, 8 << 20);
  guint answered = 0;
  GThread *thread;

  commy_client_call (own->client, "Hold", NULL, NULL, NULL, on_value, &answered);
  while (g_atomic_pointer_get (&own->hold.held) == NULL)
    g_main_context_iteration (NULL, FALSE);
  thread = g_thread_new ("answer", answer_later, &own->hold);
  while (answered == 0)
    g_main_context_iteration (NULL, TRUE);
  g_thread_join (thread);
  own_free (own);
}

/* --- a handler that runs the loop --- */

typedef struct
{
  CommyClient *client;
  guint pinged, answered, turns;
} Nest;

static gboolean
on_time (gpointer over)
{
  *(gboolean *) over = TRUE;
  return G_SOURCE_REMOVE;
}

/* Something waits for this very worker all the time. */
static void
on_nest (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Nest *nest = data;
  gboolean over = FALSE;

  commy_client_call (nest->client, "Ping", NULL, NULL, NULL, on_value, &nest->pinged);
  g_timeout_add (20, on_time, &over);
  nest->turns = 0;
  while (!over)
    {
      g_main_context_iteration (NULL, TRUE);
      nest->turns++;
    }
  g_assert_cmpuint (nest->pinged, ==, 0);
  commy_invocation_return_value (invocation, NULL);
}

/* What comes meanwhile waits, as it does for any handler, and does not keep that loop awake. */
static void
test_nested_loop (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = only (transport);
  g_autoptr (GError) error = NULL;
  CommyService *service;
  CommyMesh *mesh;
  Nest nest = { .client = NULL };

  mesh_fixture_make_credentials (fixture);
  mesh = mesh_fixture_join (fixture, settings);
  service = commy_service_new (mesh, "org.example.Nest", NULL);
  commy_service_handle (service, "Nest", on_nest, &nest, NULL);
  commy_service_handle (service, "Ping", on_ping, NULL, NULL);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  nest.client = commy_client_new (mesh, "org.example.Nest");
  for (guint i = 1; i <= 3; i++)
    {
      commy_client_call (nest.client, "Nest", NULL, NULL, NULL, on_value, &nest.answered);
      while (nest.answered < i || nest.pinged < 1)
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpuint (nest.turns, <, 1000);
      nest.pinged = 0;
    }
  g_object_unref (nest.client);
  g_object_unref (service);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
}

/* --- deadlines --- */

static void
on_late (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  guint *ended = data;

  g_assert_null (commy_client_call_finish (COMMY_CLIENT (source), result, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  commy_call_options_set_timeout (options, 20000);
  if (++*ended < 3)
    commy_client_call (COMMY_CLIENT (source), "Slow", NULL, options, NULL, on_late, ended);
}

/* A call made from the callback of one that timed out has a deadline too. */
static void
test_deadline_in_callback (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  guint ended = 0;

  commy_call_options_set_timeout (options, 20000);
  commy_client_call (client, "Slow", NULL, options, NULL, on_late, &ended);
  while (ended < 3)
    g_main_context_iteration (NULL, TRUE);
  g_variant_unref (commy_client_call_sync (client, "Release", NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, &error); /* late callbacks may still hold it */
  g_assert_no_error (error);
  g_object_unref (mesh);
  service_child_free (child);
}

static void
on_timed_out (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_client_call_finish (COMMY_CLIENT (source), result, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  ++*(guint *) data;
}

/* The peer hangs before the connection is there. */
static void
test_deadline_while_connecting (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  guint ended = 0;

  kill (child->pid, SIGSTOP);
  commy_call_options_set_timeout (options, 50000);
  commy_client_call (client, "Pid", NULL, options, NULL, on_timed_out, &ended);
  while (ended == 0)
    g_main_context_iteration (NULL, TRUE);
  /* The set-up is still under way: leaving ends it. */
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_add_weak_pointer (G_OBJECT (mesh), (gpointer *) &mesh);
  g_object_unref (mesh);
  while (mesh != NULL)
    g_main_context_iteration (NULL, FALSE);
  kill (child->pid, SIGCONT);
  service_child_free (child);
}

static void
add (const char *path, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("/review/shm/call-beside-span", "shm", test_call_beside_span);
  add ("/review/shm/two-spans-of-one-path-are-busy", NULL, test_two_spans);
  add ("/review/shm/loop-is-woken-after-sync-call", "shm", test_loop_after_sync);
  add ("/review/shm/big-answer-from-outside", "shm", test_big_late_answer);
  add ("/review/shm/a-handler-may-run-the-loop", "shm", test_nested_loop);
  add ("/review/unix/a-handler-may-run-the-loop", "unix", test_nested_loop);
  add ("/review/deadline-of-a-call-made-in-a-late-callback", NULL, test_deadline_in_callback);
  add ("/review/deadline-while-connecting", NULL, test_deadline_while_connecting);
#ifdef HAVE_GNUTLS
  add ("/review/tls/call-beside-span", "tls", test_call_beside_span);
  add ("/review/tls/loop-is-woken-after-sync-call", "tls", test_loop_after_sync);
  add ("/review/tls/big-answer-from-outside", "tls", test_big_late_answer);
#endif
  return g_test_run ();
}
