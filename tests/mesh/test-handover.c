/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One instance hands over to the next: each of a row of children gets SIGTERM under a flood of
 * calls, while its successor is there. Every call has a number and a page of a book that all
 * children share has a byte for each: a call is answered, and was carried out once, or the test
 * fails. None of them is idempotent.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOK "COMMY_TEST_BOOK"
#define BOOK_SIZE (64u << 20)
#define SYNC_CALLERS 3u
#define ASYNC_CALLERS 3u
#define AT_ONCE 24u
#define CALLS_BETWEEN 150u /* of each caller, from one hand-over to the next */

/* --- the service --- */

typedef struct
{
  CommyInvocation *invocation;
  guint32 number;
} Later;

static gboolean
answer_later (gpointer data)
{
  Later *later = data;

  commy_invocation_return_value (later->invocation, g_variant_new ("(u)", later->number));
  return G_SOURCE_REMOVE;
}

/* Every other one is answered when the worker gets round to it, so that calls are under way. */
static void
on_work (CommyService *service, CommyInvocation *invocation, gpointer book)
{
  g_autoptr (GSource) source = NULL;
  guint32 number;
  Later *later;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u)", &number);
  __atomic_add_fetch ((guint8 *) book + number, 1, __ATOMIC_RELAXED);
  if (number % 2 == 0)
    {
      commy_invocation_return_value (invocation, g_variant_new ("(u)", number));
      return;
    }
  later = g_new (Later, 1);
  *later = (Later){ invocation, number };
  source = g_idle_source_new ();
  g_source_set_callback (source, answer_later, later, g_free);
  g_source_attach (source, g_main_context_get_thread_default ());
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Work", on_work, test_book_open (g_getenv (BOOK), BOOK_SIZE),
                        NULL);
}

/* --- callers --- */

typedef struct
{
  MeshFixture *fixture;
  const char *settings;
  guint8 *book;
  guint32 *next; /* atomic: number of the next call of all */
  guint32 *stop; /* atomic */
  guint32 done;  /* atomic: calls that were answered */
  guint32 in_flight;
  CommyMesh *mesh;
  CommyClient *client;
  guint64 n_bounced; /* calls that came back unread */
  GThread *thread;
} Caller;

static void
note_answer (Caller *self, guint32 number, GVariant *answer, const GError *error)
{
  guint32 got;

  if (error != NULL)
    g_error ("call %u failed: %s", number, error->message);
  g_variant_get (answer, "(u)", &got);
  g_assert_cmpuint (got, ==, number);
  g_assert_cmpuint (__atomic_load_n (&self->book[number], __ATOMIC_RELAXED), ==, 1);
  __atomic_add_fetch (&self->done, 1, __ATOMIC_RELAXED);
}

static guint32
take_number (Caller *self)
{
  guint32 number = __atomic_fetch_add (self->next, 1, __ATOMIC_RELAXED);

  g_assert_cmpuint (number, <, BOOK_SIZE);
  return number;
}

static gboolean
goes_on (const Caller *self)
{
  return !__atomic_load_n (self->stop, __ATOMIC_RELAXED);
}

static void
begin (Caller *self)
{
  self->mesh = mesh_fixture_join (self->fixture, self->settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

static void
end (Caller *self)
{
  g_autoptr (GVariant) drops = commy_mesh_list_drops (self->mesh);
  const char *reason;
  guint64 n;
  GVariantIter iter;

  g_variant_iter_init (&iter, drops);
  while (g_variant_iter_next (&iter, "(&st&s)", &reason, &n, NULL))
    self->n_bounced += strcmp (reason, "peer-gone") == 0 ? n : 0;
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
}

static gpointer
call_in_a_row (gpointer data)
{
  Caller *self = data;

  begin (self);
  while (goes_on (self))
    {
      guint32 number = take_number (self);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = commy_client_call_sync (
          self->client, "Work", g_variant_new ("(u)", number), NULL, NULL, &error);

      note_answer (self, number, answer, error);
    }
  end (self);
  return NULL;
}

typedef struct
{
  Caller *caller;
  guint32 number;
} Call;

static void begin_call (Caller *self);

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Call *call = data;
  Caller *self = call->caller;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  note_answer (self, call->number, answer, error);
  self->in_flight--;
  if (goes_on (self))
    begin_call (self);
}

static void
begin_call (Caller *self)
{
  Call *call = g_new (Call, 1);

  *call = (Call){ self, take_number (self) };
  self->in_flight++;
  commy_client_call (self->client, "Work", g_variant_new ("(u)", call->number), NULL, NULL,
                     on_answer, call);
}

static gpointer
call_at_once (gpointer data)
{
  Caller *self = data;
  g_autoptr (GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  begin (self);
  for (guint i = 0; i < AT_ONCE; i++)
    begin_call (self);
  while (self->in_flight > 0)
    g_main_context_iteration (context, TRUE);
  end (self);
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* --- the scene --- */

typedef struct
{
  guint8 *book;
  guint32 next, stop;
  Caller callers[SYNC_CALLERS + ASYNC_CALLERS];
} Scene;

static void
scene_begin (Scene *self, MeshFixture *fixture, const char *settings)
{
  g_autofree char *path = g_build_filename (fixture->dir, "book", NULL);

  self->book = test_book_open (path, BOOK_SIZE);
  g_setenv (BOOK, path, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    self->callers[i] = (Caller){ .fixture = fixture,
                                 .settings = settings,
                                 .book = self->book,
                                 .next = &self->next,
                                 .stop = &self->stop };
}

static void
scene_flood (Scene *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    self->callers[i].thread = g_thread_new (
        "caller", i < SYNC_CALLERS ? call_in_a_row : call_at_once, &self->callers[i]);
}

/* Everybody has made so many more calls. */
static void
scene_await_calls (Scene *self, guint n)
{
  guint32 before[G_N_ELEMENTS (self->callers)];

  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    before[i] = __atomic_load_n (&self->callers[i].done, __ATOMIC_RELAXED);
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    while (__atomic_load_n (&self->callers[i].done, __ATOMIC_RELAXED) - before[i] < n)
      g_usleep (500);
}

static void
scene_end (Scene *self)
{
  __atomic_store_n (&self->stop, 1, __ATOMIC_RELAXED);
  for (guint i = 0; i < G_N_ELEMENTS (self->callers); i++)
    g_thread_join (self->callers[i].thread);
  for (guint32 i = 0; i < self->next; i++)
    g_assert_cmpuint (self->book[i], ==, 1);
  munmap (self->book, BOOK_SIZE);
}

/* Its end is that of a drain in time: a child that had to cut calls off ends with an error. */
static gint64
take_out (ServiceChild *child)
{
  gint64 begun_us = g_get_monotonic_time (), ended_us;
  int status;

  g_assert_no_errno (kill (child->pid, SIGTERM));
  g_assert_cmpint (waitpid (child->pid, &status, 0), ==, child->pid);
  ended_us = g_get_monotonic_time ();
  g_assert_cmpint (status, ==, 0);
  child->pid = 0;
  service_child_free (child);
  return ended_us - begun_us;
}

static guint
get_rounds (void)
{
  const char *text = g_getenv ("COMMY_TEST_ROUNDS");

  return text != NULL ? (guint) atoi (text) : 6;
}

static void
test_flood (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings
      = g_strdup_printf ("drain-timeout=20s\n[selection]\npreference=pin\ntransports=%s\n"
                         "[service " TEST_SERVICE "]\nbalancer=round-robin\n",
                         (const char *) transport);
  Scene scene = { 0 };
  ServiceChild *child;
  gint64 took_us, longest_us = 0;
  guint64 n_bounced = 0;

  mesh_fixture_make_credentials (fixture);
  scene_begin (&scene, fixture, settings);
  child = service_child_start (fixture, settings, 2);
  scene_flood (&scene);
  for (guint i = 0; i < get_rounds (); i++)
    {
      ServiceChild *next = service_child_start (fixture, settings, 2);

      scene_await_calls (&scene, CALLS_BETWEEN);
      took_us = take_out (child);
      longest_us = MAX (longest_us, took_us);
      child = next;
    }
  scene_await_calls (&scene, CALLS_BETWEEN);
  scene_end (&scene);
  service_child_free (child);
  for (guint i = 0; i < G_N_ELEMENTS (scene.callers); i++)
    n_bounced += scene.callers[i].n_bounced;
  g_test_message (
      "%s: %u calls over %u hand-overs, none failed or was made twice; %" G_GUINT64_FORMAT
      " came back unread; a drain took %.1f ms at most",
      (const char *) transport, scene.next, get_rounds (), n_bounced, (double) longest_us / 1000);
  /* Who has a loop has heard the goodbye, and nothing of his is on its way when it closes. */
  for (guint i = SYNC_CALLERS; i < G_N_ELEMENTS (scene.callers); i++)
    g_assert_cmpuint (scene.callers[i].n_bounced, ==, 0);
}

/* --- who hears nothing of it --- */

static guint32
work (CommyClient *client, guint32 number)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Work", g_variant_new ("(u)", number), NULL, NULL, &error);
  guint32 got;

  g_assert_no_error (error);
  g_variant_get (answer, "(u)", &got);
  return got;
}

/* A caller that is in no call has its channel closed behind its back. */
static void
test_idle_caller (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", (const char *) transport);
  g_autofree char *path = g_build_filename (fixture->dir, "book", NULL);
  guint8 *book = test_book_open (path, BOOK_SIZE);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  ServiceChild *first, *second;

  g_setenv (BOOK, path, TRUE);
  mesh_fixture_make_credentials (fixture);
  first = service_child_start (fixture, settings, 1);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  g_assert_cmpuint (work (client, 0), ==, 0);
  second = service_child_start (fixture, settings, 1);
  take_out (first);
  g_assert_cmpuint (work (client, 1), ==, 1);
  g_assert_cmpuint (work (client, 2), ==, 2);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (book[i], ==, 1);
  munmap (book, BOOK_SIZE);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (second);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, TRANSPORT, FUNC)                                                       \
  g_test_add ("/mesh/handover/" NAME, MeshFixture, TRANSPORT, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("no-call-fails/shm", "shm", test_flood);
  ADD ("no-call-fails/unix", "unix", test_flood);
  ADD ("idle-caller-goes-on/shm", "shm", test_idle_caller);
  ADD ("idle-caller-goes-on/unix", "unix", test_idle_caller);
#ifdef HAVE_GNUTLS
  ADD ("no-call-fails/tls", "tls", test_flood);
  ADD ("idle-caller-goes-on/tls", "tls", test_idle_caller);
#endif
  return g_test_run ();
}
