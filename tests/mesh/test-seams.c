/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where trains, streams, descriptors and waiting handlers meet: what each does well alone, they
 * must do together, too.
 */
#include "config.h"

#include "stream-handlers.h"
#include "stream-scene.h"

#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#define KIB ((gsize) 1 << 10)
#define MIB ((gsize) 1 << 20)
#define PATIENCE_S 20 /* what a fault would let wait forever */

/* --- the service --- */

/* (h) to (s): what is in it */
static void
on_read (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GUnixFDList *list = commy_invocation_get_unix_fd_list (invocation);
  char text[64] = "";
  int fd;

  if (list == NULL)
    {
      commy_invocation_return_error (invocation, "nothing came");
      return;
    }
  fd = g_unix_fd_list_get (list, 0, NULL);
  g_assert_cmpint (read (fd, text, sizeof text - 1), >=, 0);
  close (fd);
  commy_invocation_return_value (invocation, g_variant_new ("(s)", text));
}

/* (uay): writes as many KiB; result (u) */
static void
on_pour (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GBytes) block = some_bytes (KIB);
  g_autoptr (GError) error = NULL;
  guint32 n;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u@ay)", &n, NULL);
  for (guint32 i = 0; i < n && error == NULL; i++)
    commy_stream_write_bytes_sync (stream, block, NULL, &error);
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

/* Reads bytes to their end; result (u): how many messages */
static void
on_drain (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  GBytes *bytes;
  guint32 n = 0;

  while ((bytes = commy_stream_read_bytes_sync (stream, NULL, &error)) != NULL)
    {
      g_bytes_unref (bytes);
      n++;
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

/* Bytes in: how many bytes go out. */
static void
on_grow (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GBytes) out = NULL;
  guint32 size;

  memcpy (&size, g_bytes_get_data (commy_invocation_get_bytes (invocation), NULL), sizeof size);
  out = some_bytes (size);
  commy_invocation_return_bytes (invocation, out);
}

/* Gives up writing what finds no credit, after it answered; result (u). */
static void
on_relent (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) block = some_bytes (MIB);

  commy_stream_write_bytes (stream, block, NULL, NULL, NULL);
  commy_stream_write_bytes (stream, block, cancellable, NULL, NULL);
  commy_invocation_return_value (invocation, g_variant_new ("(u)", 1));
  g_cancellable_cancel (cancellable);
}

static void
add_methods (CommyService *service)
{
  stream_handlers_add (service);
  commy_service_handle (service, "Read", on_read, NULL, NULL);
  commy_service_handle (service, "Grow", on_grow, NULL, NULL);
  commy_service_handle_stream (service, "Drain", COMMY_STREAM_KIND_CLIENT, on_drain, NULL, NULL);
  commy_service_handle_stream (service, "Relent", COMMY_STREAM_KIND_SERVER, on_relent, NULL, NULL);
  commy_service_handle_stream (service, "Pour", COMMY_STREAM_KIND_SERVER, on_pour, NULL, NULL);
}

/* --- waiting, but not forever --- */

static gboolean
on_patience_ends (gpointer data)
{
  g_error ("it hangs");
  return G_SOURCE_REMOVE;
}

static void
await (const guint *n, guint wanted)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_patience_ends, NULL);

  while ((guint) g_atomic_int_get (n) < wanted)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
}

/* --- descriptors of a call that waits behind a handler that waits --- */

static void
on_words (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_with_unix_fd_list_finish (COMMY_CLIENT (source), NULL, result, &error);
  const char *text;

  g_assert_no_error (error);
  g_variant_get (answer, "(&s)", &text);
  g_assert_cmpstr (text, ==, "behind the gate");
  ++*(guint *) data;
}

static GUnixFDList *
list_of_words (const char *words)
{
  GUnixFDList *list = g_unix_fd_list_new ();
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], words, strlen (words)), ==, (int) strlen (words));
  close (fds[1]);
  g_unix_fd_list_append (list, fds[0], NULL);
  close (fds[0]);
  return list;
}

static void
test_deferred_handles (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *gate = open_stream (scene, "Gate", NULL);
  g_autoptr (GUnixFDList) list = list_of_words ("behind the gate");
  guint n = 0;

  commy_client_call_with_unix_fd_list (scene->client, "Read", g_variant_new ("(h)", 0), list, NULL,
                                       NULL, on_words, &n);
  write_int (gate, 1);
  await (&n, 1);
  g_object_unref (gate);
  scene_free (scene);
}

/* --- a stream that is opened by a call in pieces --- */

/* The caller's window is wider than what everybody has at first: the service gets to know. */
static void
test_wide_window_of_train (MeshFixture *fixture, gconstpointer transport)
{
  const guint n = 2000;
  g_autofree char *settings = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n"
                                               "[limits]\nstream-window=64MiB\n",
                                               (const char *) transport);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GBytes) argument = some_bytes (MIB);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyStream) stream = NULL;
  Scene scene = { 0 };

  mesh_fixture_make_credentials (fixture);
  scene.child = service_child_start (fixture, NULL, 1);
  scene.mesh = mesh_fixture_join (fixture, settings);
  scene.client = commy_client_new (scene.mesh, TEST_SERVICE);
  commy_call_options_set_timeout (options, PATIENCE_S * G_USEC_PER_SEC);
  stream = commy_client_open_stream_sync (
      scene.client, "Pour",
      g_variant_new ("(u@ay)", n,
                     g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, argument, TRUE)),
      options, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GBytes) bytes = commy_stream_read_bytes_sync (stream, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_bytes_get_size (bytes), ==, KIB);
    }
  g_assert_cmpuint (result_u (stream), ==, n);
  g_clear_object (&stream);
  g_object_unref (scene.client);
  commy_mesh_leave_sync (scene.mesh, NULL, NULL);
  g_object_unref (scene.mesh);
  service_child_free (scene.child);
}

/* --- acknowledgements --- */

static void
on_grown (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer
      = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_bytes_get_size (answer), ==, 8 * MIB);
  ++*(guint *) data;
}

/* While a span is reserved nothing leaves, acknowledgements included: they do afterwards. */
static void
test_acknowledged_after_span (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  guint32 size = 8 * MIB;
  g_autoptr (GBytes) argument = g_bytes_new (&size, sizeof size);
  g_autoptr (GError) error = NULL;
  CommyMethod method;
  CommySpan span;
  guint n = 0;

  g_variant_unref (call (scene, "Pid"));
  method = commy_client_resolve (scene->client, "Span", &error);
  g_assert_no_error (error);
  commy_client_call_bytes (scene->client, "Grow", argument, NULL, NULL, on_grown, &n);
  g_assert_true (commy_client_reserve (scene->client, method, 8, &span, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 200; i++)
    {
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_usleep (1000); /* the answer's first pieces come; the more of them the harder the test */
    }
  commy_client_discard (scene->client);
  await (&n, 1);
  scene_free (scene);
}

typedef struct
{
  guint n;
  guint32 result;
} Drained;

static void
on_drained (GObject *source, GAsyncResult *result, gpointer data)
{
  Drained *drained = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_stream_wait_result_finish (COMMY_STREAM (source), result, &error);

  g_assert_no_error (error);
  g_variant_get (value, "(u)", &drained->result);
  drained->n++;
}

/* Small ones behind a large one, and nobody says anything in the other direction. */
static void
test_followers (MeshFixture *fixture, gconstpointer transport)
{
  enum
  {
    N = 3000
  };
  Scene *scene = scene_new (fixture, transport, 1, "[limits]\nstream-window=64MiB\n");
  CommyStream *stream = open_stream (scene, "Drain", NULL);
  g_autoptr (GBytes) large = some_bytes (MIB);
  g_autoptr (GBytes) small = some_bytes (5 * KIB);
  Drained drained = { 0 };

  while (commy_stream_get_credit (stream) < (gint64) (63 * MIB))
    g_main_context_iteration (NULL, TRUE);
  for (guint i = 0; i < N; i++)
    commy_stream_write_bytes (stream, i == 0 ? large : small, NULL, NULL, NULL);
  close_write (stream);
  commy_stream_wait_result (stream, NULL, on_drained, &drained);
  await (&drained.n, 1);
  g_assert_cmpuint (drained.result, ==, N);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- what waits for a write --- */

/* Nobody reads, so no credit comes that would bring the answer on its way. */
static void
test_cancelled_write (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *stream = open_stream (scene, "Relent", NULL);
  Drained drained = { 0 };

  commy_stream_wait_result (stream, NULL, on_drained, &drained);
  await (&drained.n, 1);
  g_assert_cmpuint (drained.result, ==, 1);
  g_object_unref (stream);
  scene_free (scene);
}

/* --- all at once --- */

typedef struct
{
  CommyMesh *mesh;
  GRand *rand; /* of the thread alone */
  GMutex *lock;
  GPtrArray *cancellables; /* what somebody else cancels; under the lock */
  guint n_ops;
  gboolean deaths; /* of services are to be expected */
  guint n_sent;    /* one-way messages that were taken */
  guint n_good;
} Actor;

static gsize
any_size (Actor *actor)
{
  static const gsize sizes[] = { 1, 5000, 16320, 66000, 300000, 2 * MIB };

  return sizes[g_rand_int_range (actor->rand, 0, G_N_ELEMENTS (sizes))];
}

static GCancellable *
any_cancellable (Actor *actor)
{
  GCancellable *cancellable = g_cancellable_new ();

  if (g_rand_int_range (actor->rand, 0, 4) == 0)
    {
      g_mutex_lock (actor->lock);
      g_ptr_array_add (actor->cancellables, g_object_ref (cancellable));
      g_mutex_unlock (actor->lock);
    }
  return cancellable;
}

static void
may_fail (Actor *actor, const GError *error)
{
  if (error == NULL)
    actor->n_good++;
  else if (!g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CANCELLED)
           && !(actor->deaths
                && (error->code == COMMY_ERROR_UNREACHABLE
                    || error->code == COMMY_ERROR_OUTCOME_UNKNOWN)))
    g_error ("%s", error->message);
}

static void
act_call (Actor *actor, CommyClient *client)
{
  g_autoptr (GCancellable) cancellable = any_cancellable (actor);
  g_autoptr (GBytes) bytes = some_bytes (any_size (actor));
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) back
      = commy_client_call_bytes_sync (client, "Echo", bytes, NULL, cancellable, &error);

  g_assert_true ((back == NULL) == (error != NULL));
  g_assert_true (back == NULL || g_bytes_equal (back, bytes));
  may_fail (actor, error);
}

static void
act_send (Actor *actor, CommyClient *client)
{
  g_autoptr (GError) error = NULL;

  actor->n_sent += commy_client_send (client, "Count", NULL, NULL, &error);
  may_fail (actor, error);
}

static void
act_span (Actor *actor, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  gsize size = any_size (actor);
  CommyMethod method = commy_client_resolve (client, "Span", &error);
  CommyReply reply = { 0 };
  CommySpan span;

  if (method != 0 && commy_client_reserve (client, method, size, &span, &error))
    {
      for (gsize i = 0; i < size; i++)
        span.data[i] = (guint8) (i % 251);
      if (commy_client_exchange (client, method, &span, &reply, 0, &error))
        {
          g_assert_cmpuint (reply.size, ==, size);
          for (gsize i = 0; i < size; i += 13)
            g_assert_cmpuint (reply.data[i], ==, (guint8) ((size - 1 - i) % 251));
        }
      commy_reply_clear (&reply);
    }
  may_fail (actor, error);
}

static void
act_stream (Actor *actor, CommyClient *client)
{
  g_autoptr (GCancellable) cancellable = any_cancellable (actor);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyStream) stream
      = commy_client_open_stream_sync (client, "Mirror", NULL, NULL, cancellable, &error);
  guint n = (guint) g_rand_int_range (actor->rand, 0, 6);

  for (guint i = 0; i < n && error == NULL; i++)
    {
      g_autoptr (GBytes) bytes = some_bytes (any_size (actor));
      g_autoptr (GBytes) back = NULL;

      if (!commy_stream_write_bytes_sync (stream, bytes, cancellable, &error))
        break;
      back = commy_stream_read_bytes_sync (stream, cancellable, &error);
      g_assert_true ((back == NULL) == (error != NULL));
      g_assert_true (back == NULL || g_bytes_equal (back, bytes));
    }
  if (error == NULL && g_rand_boolean (actor->rand) && commy_stream_close_write (stream, &error))
    {
      g_autoptr (GVariant) value = commy_stream_wait_result_sync (stream, cancellable, &error);
      guint32 result = n;

      if (value != NULL)
        g_variant_get (value, "(u)", &result);
      g_assert_cmpuint (result, ==, n);
    }
  may_fail (actor, error);
}

static gpointer
actor_thread (gpointer data)
{
  static void (*const acts[]) (Actor *, CommyClient *)
      = { act_call, act_send, act_span, act_stream };
  Actor *actor = data;
  g_autoptr (CommyClient) client = commy_client_new (actor->mesh, TEST_SERVICE);

  for (guint i = 0; i < actor->n_ops; i++)
    acts[g_rand_int_range (actor->rand, 0, G_N_ELEMENTS (acts))](actor, client);
  g_mutex_lock (actor->lock);
  g_ptr_array_add (actor->cancellables, NULL); /* done */
  g_mutex_unlock (actor->lock);
  return NULL;
}

/* Cancels what it finds until @n_actors are done; @victim (nullable) is killed meanwhile. */
static void
cancel_all (GMutex *lock, GPtrArray *cancellables, guint n_actors, ServiceChild *victim)
{
  guint n_done = 0, n_cancelled = 0;

  while (n_done < n_actors)
    {
      GCancellable *cancellable = NULL;
      gboolean any;

      g_mutex_lock (lock);
      any = cancellables->len > 0;
      if (any)
        cancellable = g_ptr_array_steal_index (cancellables, 0);
      g_mutex_unlock (lock);
      if (cancellable != NULL)
        {
          g_cancellable_cancel (cancellable);
          g_object_unref (cancellable);
          if (++n_cancelled == 10 && victim != NULL)
            service_child_kill (victim);
        }
      n_done += any && cancellable == NULL;
      if (!any)
        g_usleep (200);
    }
}

static void
stress (MeshFixture *fixture, const char *transport, gboolean deaths)
{
  enum
  {
    N = 4,
    OPS = 60
  };
  Scene *scene = scene_new (fixture, transport, 2, NULL);
  ServiceChild *victim = deaths ? service_child_start (fixture, NULL, 2) : NULL;
  g_autoptr (GPtrArray) cancellables = g_ptr_array_new ();
  GMutex lock;
  Actor actors[N];
  GThread *threads[N];
  guint n_sent = 0, n_good = 0;
  gint32 counted = -1;

  g_mutex_init (&lock);
  for (guint i = 0; i < N; i++)
    {
      actors[i] = (Actor){ .mesh = scene->mesh,
                           .rand = g_rand_new_with_seed ((guint32) g_test_rand_int ()),
                           .lock = &lock,
                           .cancellables = cancellables,
                           .n_ops = OPS,
                           .deaths = deaths };
      threads[i] = g_thread_new ("actor", actor_thread, &actors[i]);
    }
  cancel_all (&lock, cancellables, N, victim);
  for (guint i = 0; i < N; i++)
    {
      g_thread_join (threads[i]);
      g_rand_free (actors[i].rand);
      n_sent += actors[i].n_sent;
      n_good += actors[i].n_good;
    }
  g_assert_cmpuint (n_good, >, N * OPS / 2);
  if (!deaths)
    {
      g_autoptr (GVariant) value = call (scene, "Counted");

      /* A caller that goes may take some along, but none arrives twice. */
      g_variant_get (value, "(i)", &counted);
      g_assert_cmpint (counted, <=, (gint32) n_sent);
    }
  g_mutex_clear (&lock);
  g_clear_pointer (&victim, service_child_free);
  scene_free (scene);
}

static void
test_stress (MeshFixture *fixture, gconstpointer transport)
{
  stress (fixture, transport, FALSE);
}

static void
test_stress_deaths (MeshFixture *fixture, gconstpointer transport)
{
  stress (fixture, transport, TRUE);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/seams/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const cutting[] = {
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  int status;

  if (service_child_main_with (argc, argv, add_methods, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("threads-mix-everything-and-cancel", "inproc", test_stress);
  add ("threads-mix-everything-and-cancel", "shm", test_stress);
  add ("and-a-service-dies", "shm", test_stress_deaths);
  add ("a-call-that-waits-keeps-its-descriptors", "unix", test_deferred_handles);
  for (guint i = 0; i < G_N_ELEMENTS (cutting); i++)
    {
      add ("a-stream-opened-in-pieces-has-its-window", cutting[i], test_wide_window_of_train);
      add ("acknowledgements-survive-a-span", cutting[i], test_acknowledged_after_span);
      add ("an-answer-goes-when-the-write-before-it-is-given-up", cutting[i], test_cancelled_write);
      add ("threads-mix-everything-and-cancel", cutting[i], test_stress);
      add ("and-a-service-dies", cutting[i], test_stress_deaths);
      add ("small-ones-behind-a-large-one-arrive", cutting[i], test_followers);
    }
  return g_test_run ();
}
