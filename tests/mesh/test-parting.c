/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last word of an instance that stops. It promises that whoever has no answer may call again
 * elsewhere, so it must not be said once an answer was lost. And a handler that lets go of a call
 * without an answer: the caller is told.
 */
#include "config.h"

#include "fake-scene.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOK "COMMY_TEST_BOOK"
#define CALLS 4000u
#define ANSWER_SIZE 1000u

/* --- the service --- */

static void
write_down (guint8 *book, gconstpointer bytes)
{
  guint32 number;

  memcpy (&number, bytes, sizeof number);
  __atomic_add_fetch (&book[number], 1, __ATOMIC_RELEASE);
}

static void
on_fill (CommyService *service, CommyInvocation *invocation, gpointer book)
{
  g_autoptr (GBytes) answer = g_bytes_new_take (g_malloc0 (ANSWER_SIZE), ANSWER_SIZE);

  write_down (book, g_bytes_get_data (commy_invocation_get_bytes (invocation), NULL));
  commy_invocation_return_bytes (invocation, answer);
}

static void
on_span_fill (CommySpanCall *call, const guint8 *in, gsize size, gpointer book)
{
  CommySpan out;

  write_down (book, in);
  if (commy_span_call_reserve (call, ANSWER_SIZE, &out))
    memset (out.data, 0, out.size);
}

static void
on_fail (CommySpanCall *call, const guint8 *in, gsize size, gpointer book)
{
  char text[ANSWER_SIZE] = { 0 };

  memset (text, 'x', sizeof text - 1);
  write_down (book, in);
  commy_span_call_fail (call, text);
}

static void
on_drop (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_object_unref (invocation);
}

static gpointer
let_go (gpointer invocation)
{
  g_object_unref (invocation);
  return NULL;
}

static void
on_drop_elsewhere (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_thread_unref (g_thread_new ("drop", let_go, invocation));
}

static void
extend (CommyService *service)
{
  guint8 *book = test_book_open (g_getenv (BOOK), CALLS);

  commy_service_handle (service, "Fill", on_fill, book, NULL);
  commy_service_handle_span (service, "SpanFill", on_span_fill, book, NULL);
  commy_service_handle_span (service, "SpanFail", on_fail, book, NULL);
  commy_service_handle (service, "Drop", on_drop, NULL, NULL);
  commy_service_handle (service, "DropElsewhere", on_drop_elsewhere, NULL, NULL);
}

/* --- the scene --- */

typedef struct
{
  guint8 *book;
  ServiceChild *child;
  CommyMesh *mesh;
} Scene;

/* No more than 4 KiB may wait for room. */
static void
scene_open (Scene *self, MeshFixture *fixture)
{
  g_autofree char *path = g_build_filename (fixture->dir, "book", NULL);

  self->book = test_book_open (path, CALLS);
  g_setenv (BOOK, path, TRUE);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, "[limits]\nmessage=4KiB\n", 1);
  self->mesh = mesh_fixture_join (fixture, "[selection]\npreference=pin\ntransports=unix\n");
}

static void
scene_close (Scene *self)
{
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  service_child_free (self->child);
  munmap (self->book, CALLS);
}

static FakeClient *
meet (Scene *self)
{
  g_autofree char *address = fake_scene_find_address (self->mesh, "unix");
  FakeClient *fake = fake_client_new ("unix", NULL);
  CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = self->child->instance };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  CommyFrame frame;

  fake_client_connect (fake, address, &error);
  g_assert_no_error (error);
  fake_client_greet (fake, &hello);
  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_WELCOME);
  return fake;
}

/* --- cases --- */

/* Waits until each was carried out, and nobody read an answer. */
static void
call_all (Scene *self, FakeClient *fake, const char *method, guint32 n)
{
  CommyFrameSpec announced = { .type = COMMY_FRAME_METHOD, .method = 1 };

  fake_client_send_frame (fake, &announced, method, strlen (method));
  for (guint32 i = 0; i < n; i++)
    {
      CommyFrameSpec spec = { .type = COMMY_FRAME_CALL,
                              .serializer = fake_client_wire_of (fake, "raw"),
                              .stream = i + 1,
                              .method = 1 };

      fake_client_send_frame (fake, &spec, &i, sizeof i);
    }
  for (guint32 i = 0; i < n; i++)
    while (__atomic_load_n (&self->book[i], __ATOMIC_ACQUIRE) == 0)
      g_usleep (500);
}

/* Reads to the end; how many answers there were, and whether there was a promise with it. */
static guint
read_all (FakeClient *fake, gboolean *out_promise)
{
  guint n = 0;

  for (;;)
    {
      g_autofree char *text = NULL;
      CommyFrame frame;

      g_assert_true (fake_client_receive (fake, &frame, &text));
      if (frame.type == COMMY_FRAME_PING)
        {
          CommyFrameSpec pong = { .type = COMMY_FRAME_PONG, .stream = frame.stream };

          fake_client_send_frame (fake, &pong, NULL, 0);
        }
      n += frame.type == COMMY_FRAME_REPLY || frame.type == COMMY_FRAME_ERROR;
      if (frame.type != COMMY_FRAME_CLOSE)
        continue;
      g_assert_cmpuint (frame.method, ==, COMMY_ERROR_LEAVING);
      *out_promise = frame.stream == COMMY_FRAME_CLOSE_ALL_ANSWERED;
      return n;
    }
}

static void
stop_child (Scene *self)
{
  g_assert_no_errno (kill (self->child->pid, SIGTERM));
}

static void
test_lost (MeshFixture *fixture, gconstpointer method)
{
  FakeClient *fake;
  gboolean promise;
  Scene scene;
  guint n;

  scene_open (&scene, fixture);
  fake = meet (&scene);
  call_all (&scene, fake, method, CALLS);
  stop_child (&scene);
  n = read_all (fake, &promise);
  g_test_message ("%u of %u calls were answered", n, CALLS);
  g_assert_cmpuint (n, <, CALLS);
  g_assert_false (promise);
  fake_client_free (fake);
  scene_close (&scene);
}

static void
test_all (MeshFixture *fixture, gconstpointer method)
{
  FakeClient *fake;
  gboolean promise;
  Scene scene;

  scene_open (&scene, fixture);
  fake = meet (&scene);
  call_all (&scene, fake, method, 10);
  stop_child (&scene);
  g_assert_cmpuint (read_all (fake, &promise), ==, 10);
  g_assert_true (promise);
  fake_client_free (fake);
  scene_close (&scene);
}

static void
test_dropped (MeshFixture *fixture, gconstpointer method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) answer = NULL;
  Scene scene;

  scene_open (&scene, fixture);
  client = commy_client_new (scene.mesh, TEST_SERVICE);
  answer = commy_client_call_sync (client, method, NULL, NULL, NULL, &error);
  g_assert_null (answer);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "without an answer"));
  mesh_fixture_await_log (fixture, "was never answered");
  g_clear_object (&client);
  scene_close (&scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, METHOD, FUNC)                                                      \
  g_test_add ("/mesh/parting/" NAME, MeshFixture, METHOD, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("promises-when-all-was-answered/value", "Fill", test_all);
  ADD ("promises-when-all-was-answered/span", "SpanFill", test_all);
  ADD ("promises-nothing-after-a-loss/value", "Fill", test_lost);
  ADD ("promises-nothing-after-a-loss/span", "SpanFill", test_lost);
  ADD ("promises-nothing-after-a-loss/failure", "SpanFail", test_lost);
  ADD ("a-dropped-call-is-told/here", "Drop", test_dropped);
  ADD ("a-dropped-call-is-told/elsewhere", "DropElsewhere", test_dropped);
  return g_test_run ();
}
