/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large messages over a path that copies: they arrive whole in every way of calling and in both
 * directions, let small ones pass, and can be given up, lost and refused without harm to others.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB ((gsize) 1 << 20)
#define LARGEST (64 * MIB)

/* --- the service's part --- */

static gint sums;      /* lint: allow-static of the child, whose only service this is */
static GString *notes; /* lint: allow-static of the child */

/* Bytes in: pid, how many calls there were, size and checksum of the argument. */
static void
on_sum (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data (commy_invocation_get_bytes (invocation), &size);
  guint64 answer[4] = { (guint64) getpid (), (guint64) g_atomic_int_add (&sums, 1) + 1, size, 0 };
  g_autoptr (GBytes) out = NULL;

  for (gsize i = 0; i < size; i += 997)
    answer[3] = answer[3] * 31 + bytes[i];
  out = g_bytes_new (answer, sizeof answer);
  commy_invocation_return_bytes (invocation, out);
}

/* Gives back what it got; counted, too. */
static void
on_mirror (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_atomic_int_inc (&sums);
  commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
}

static void
on_sums (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(i)", g_atomic_int_get (&sums)));
}

/* (u, ay), one way. */
static void
on_note (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GVariant) bytes = NULL;
  guint32 number;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u@ay)", &number, &bytes);
  if (notes == NULL)
    notes = g_string_new (NULL);
  g_string_append_printf (notes, "%u:%" G_GSIZE_FORMAT " ", number, g_variant_get_size (bytes));
  commy_invocation_return_value (invocation, NULL);
}

static void
on_notes (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(s)", notes != NULL ? notes->str : ""));
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Sum", on_sum, NULL, NULL);
  commy_service_handle (service, "Mirror", on_mirror, NULL, NULL);
  commy_service_handle (service, "Sums", on_sums, NULL, NULL);
  commy_service_handle (service, "Note", on_note, NULL, NULL);
  commy_service_handle (service, "Notes", on_notes, NULL, NULL);
}

/* --- the scene --- */

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyCallOptions *patient;
} Scene;

static gint32
call_int (CommyClient *client, const char *method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_sync (client, method, NULL, NULL, NULL, &error);
  gint32 n;

  g_assert_no_error (error);
  g_variant_get (value, "(i)", &n);
  return n;
}

static Scene *
scene_new_with (MeshFixture *fixture, gconstpointer transport, guint workers, const char *more)
{
  g_autofree char *settings = g_strdup_printf ("%s[selection]\npreference=pin\ntransports=%s\n",
                                               more, (const char *) transport);
  Scene *scene = g_new0 (Scene, 1);

  mesh_fixture_make_credentials (fixture);
  scene->child = service_child_start (fixture, more, workers);
  scene->mesh = mesh_fixture_join (fixture, settings);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  scene->patient = commy_call_options_new ();
  commy_call_options_set_timeout (scene->patient, 100 * G_USEC_PER_SEC);
  call_int (scene->client, "Pid");
  return scene;
}

static Scene *
scene_new (MeshFixture *fixture, gconstpointer transport, guint workers)
{
  return scene_new_with (fixture, transport, workers, "");
}

static void
scene_free (Scene *scene)
{
  g_object_unref (scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  commy_call_options_free (scene->patient);
  service_child_free (scene->child);
  g_free (scene);
}

static GBytes *
make_bytes (gsize size, guint seed)
{
  guint8 *bytes = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (i * 7 + (i >> 11) + seed);
  return g_bytes_new_take (bytes, size);
}

static guint64
count_drops (CommyMesh *mesh, const char *reason)
{
  g_autoptr (GVariant) list = commy_mesh_list_drops (mesh);
  GVariantIter iter;
  GVariant *entry;
  guint64 found = 0;

  g_variant_iter_init (&iter, list);
  while ((entry = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char *name, *culprit;
      guint64 n;

      g_variant_get (entry, "(&st&s)", &name, &n, &culprit);
      if (strcmp (name, reason) == 0)
        found = n;
      g_variant_unref (entry);
    }
  return found;
}

/* --- one asynchronous call --- */

typedef struct
{
  GBytes *answer;
  GError *error;
  gboolean done;
  guint order; /* which of all it was */
} Answer;

static guint answered; /* lint: allow-static counts within a test */

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->answer = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &answer->error);
  answer->done = TRUE;
  answer->order = ++answered;
}

static void
await (Answer *answer)
{
  while (!answer->done)
    g_main_context_iteration (NULL, TRUE);
}

static void
start (Scene *scene,
       const char *method,
       GBytes *bytes,
       int priority,
       GCancellable *cancellable,
       Answer *answer)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_copy (scene->patient);

  memset (answer, 0, sizeof *answer);
  if (priority >= 0)
    commy_call_options_set_priority (options, (guint) priority);
  commy_client_call_bytes (scene->client, method, bytes, options, cancellable, on_answer, answer);
}

static void
answer_clear (Answer *answer)
{
  g_clear_pointer (&answer->answer, g_bytes_unref);
  g_clear_error (&answer->error);
}

/* A small call while others are under way. */
static void
small_call (Scene *scene)
{
  g_autoptr (GBytes) bytes = make_bytes (64, 1);
  Answer answer;

  start (scene, "Echo", bytes, -1, NULL, &answer);
  await (&answer);
  g_assert_no_error (answer.error);
  g_assert_true (g_bytes_equal (answer.answer, bytes));
  answer_clear (&answer);
}

/* --- whole, in every way of calling --- */

static void
test_async (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 0);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  Answer answer;

  start (scene, "Echo", bytes, -1, NULL, &answer);
  await (&answer);
  g_assert_no_error (answer.error);
  g_assert_true (g_bytes_equal (answer.answer, bytes));
  answer_clear (&answer);
  scene_free (scene);
}

static void
test_sync (MeshFixture *fixture, gconstpointer transport)
{
  static const gsize sizes[] = { 16 * 1024 - 65, 16 * 1024 - 64,       16 * 1024 - 63, 16 * 1024,
                                 65 * 1024,      2 * (16 * 1024 - 64), MIB + 1,        LARGEST };
  Scene *scene = scene_new (fixture, transport, 1);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = make_bytes (sizes[i], i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) got = commy_client_call_bytes_sync (scene->client, "Echo", bytes,
                                                             scene->patient, NULL, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (got, bytes));
    }
  scene_free (scene);
}

/* Two largest are on their way already: a caller that waits waits for room, one that does not
 * is told. */
static void
test_room (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 9);
  g_autoptr (GBytes) more = make_bytes (MIB, 9);
  g_autoptr (GBytes) got = NULL;
  g_autoptr (GError) error = NULL;
  Answer one, two, three;

  start (scene, "Sum", bytes, -1, NULL, &one);
  start (scene, "Sum", bytes, -1, NULL, &two);
  start (scene, "Sum", bytes, -1, NULL, &three);
  await (&three);
  g_assert_error (three.error, COMMY_ERROR, COMMY_ERROR_BUSY);
  g_assert_false (one.done || two.done);
  got = commy_client_call_bytes_sync (scene->client, "Echo", more, scene->patient, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (got, more));
  await (&one);
  await (&two);
  g_assert_no_error (one.error);
  g_assert_no_error (two.error);
  answer_clear (&one);
  answer_clear (&two);
  answer_clear (&three);
  scene_free (scene);
}

static void
test_value (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 0);
  g_autoptr (GBytes) bytes = make_bytes (20 * MIB + 3, 5);
  g_autoptr (GVariant) array
      = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) got = commy_client_call_sync (
      scene->client, "Echo", g_variant_new ("(u@ay)", 77, array), scene->patient, NULL, &error);
  g_autoptr (GVariant) back = NULL;
  guint32 n;

  g_assert_no_error (error);
  g_variant_get (got, "(u@ay)", &n, &back);
  g_assert_cmpuint (n, ==, 77);
  g_assert_true (g_variant_equal (array, back));
  scene_free (scene);
}

static void
test_span (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (scene->client, "Span", &error);

  for (gsize size = 30000; size <= LARGEST / 2; size = size * 4 + 1)
    {
      CommySpan span;
      CommyReply reply;

      g_assert_true (commy_client_reserve (scene->client, method, size, &span, &error));
      commy_client_discard (scene->client);
      g_assert_true (commy_client_reserve (scene->client, method, size, &span, &error));
      for (gsize i = 0; i < size; i++)
        span.data[i] = (guint8) (i % 251);
      commy_client_exchange (scene->client, method, &span, &reply, 0, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (reply.size, ==, size);
      for (gsize i = 0; i < size; i += 13)
        g_assert_cmpuint (reply.data[i], ==, (guint8) ((size - 1 - i) % 251));
      commy_reply_clear (&reply);
    }
  scene_free (scene);
}

/* More was reserved than is used in the end. */
static void
test_small_after_all (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 0);
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (scene->client, "Span", &error);
  CommySpan span;
  CommyReply reply;

  g_assert_true (commy_client_reserve (scene->client, method, MIB, &span, &error));
  span.data[0] = 42;
  span.size = 1;
  commy_client_exchange (scene->client, method, &span, &reply, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (reply.size, ==, 1);
  g_assert_cmpuint (reply.data[0], ==, 42);
  commy_reply_clear (&reply);
  scene_free (scene);
}

/* Neither side's transport takes a piece of the usual size. */
static void
test_small_path (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene
      = scene_new_with (fixture, transport, 1, "[plugin transport/tls]\nparam.max-message=5000\n");
  g_autoptr (GBytes) bytes = make_bytes (MIB, 3);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) got
      = commy_client_call_bytes_sync (scene->client, "Echo", bytes, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (got, bytes));
  scene_free (scene);
}

/* Twenty at a time, both ways, and small ones between them. */
static void
test_many (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  GBytes *bytes[20];
  Answer answers[20];

  for (guint i = 0; i < 20; i++)
    {
      bytes[i] = make_bytes (MIB + 10000 * i, i);
      start (scene, "Echo", bytes[i], (int) i % 8, NULL, &answers[i]);
    }
  for (guint i = 0; i < 50; i++)
    small_call (scene);
  for (guint i = 0; i < 20; i++)
    {
      await (&answers[i]);
      g_assert_no_error (answers[i].error);
      g_assert_true (g_bytes_equal (answers[i].answer, bytes[i]));
      answer_clear (&answers[i]);
      g_bytes_unref (bytes[i]);
    }
  scene_free (scene);
}

/* --- who goes first --- */

static void
test_small_passes (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  g_autoptr (GError) error = NULL;
  Answer large;

  start (scene, "Sum", bytes, -1, NULL, &large);
  for (guint i = 0; i < 20; i++)
    {
      small_call (scene);
      call_int (scene->client, "Pid"); /* one that waits pushes the other's pieces, too */
      g_assert_false (large.done);
    }
  await (&large);
  g_assert_no_error (large.error);
  answer_clear (&large);
  scene_free (scene);
}

static void
test_priorities (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) large = make_bytes (32 * MIB, 3);
  g_autoptr (GBytes) smaller = make_bytes (8 * MIB, 3);
  Answer low, high, equal;

  answered = 0;
  start (scene, "Sum", large, 0, NULL, &low);
  start (scene, "Sum", large, 7, NULL, &high);
  start (scene, "Sum", smaller, 7, NULL, &equal);
  await (&low);
  g_assert_true (high.done && equal.done);
  g_assert_cmpuint (equal.order, ==, 1); /* in turns with the large one, of which there is more */
  g_assert_cmpuint (high.order, ==, 2);
  g_assert_cmpuint (low.order, ==, 3);
  answer_clear (&low);
  answer_clear (&high);
  answer_clear (&equal);
  scene_free (scene);
}

static void
test_one_ways (MeshFixture *fixture, gconstpointer transport)
{
  static const gsize sizes[] = { 3 * MIB, 10, 100000, 1, 16384, 70000, 0 };
  Scene *scene = scene_new (fixture, transport, 0);
  g_autoptr (GString) expected = g_string_new (NULL);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  const char *got;

  for (guint32 i = 0; i < 3 * G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];
      g_autoptr (GBytes) bytes = make_bytes (size, i);
      GVariant *array = g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE);

      g_string_append_printf (expected, "%u:%" G_GSIZE_FORMAT " ", i, size);
      commy_client_send (scene->client, "Note", g_variant_new ("(u@ay)", i, array), NULL, &error);
      g_assert_no_error (error);
    }
  value = commy_client_call_sync (scene->client, "Notes", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (value, "(&s)", &got);
  g_assert_cmpstr (got, ==, expected->str);
  scene_free (scene);
}

/* --- what does not arrive --- */

static void
test_cancel (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);

  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Answer large;

      start (scene, "Sum", bytes, -1, cancellable, &large);
      for (guint k = 0; k < i; k++)
        small_call (scene);
      g_assert_false (large.done);
      g_cancellable_cancel (cancellable);
      await (&large);
      g_assert_error (large.error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
      answer_clear (&large);
    }
  small_call (scene);
  g_assert_cmpint (call_int (scene->client, "Sums"), ==, 0);
  g_assert_cmpuint (count_drops (scene->mesh, "cancelled"), ==, 5);
  scene_free (scene);
}

/* The caller gives up while the answer is on its way: the rest of it is not sent. */
static void
test_cancel_answer (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Answer large;

  start (scene, "Mirror", bytes, -1, cancellable, &large);
  while (call_int (scene->client, "Sums") == 0)
    continue;
  g_assert_false (large.done);
  g_cancellable_cancel (cancellable);
  await (&large);
  g_assert_error (large.error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  answer_clear (&large);
  for (guint i = 0; i < 20; i++)
    small_call (scene);
  scene_free (scene);
}

static void
test_deadline (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  g_autoptr (CommyCallOptions) hasty = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  Answer large;

  commy_call_options_set_timeout (hasty, 100000);
  kill (scene->child->pid, SIGSTOP);
  g_assert_null (commy_client_call_bytes_sync (scene->client, "Sum", bytes, hasty, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  memset (&large, 0, sizeof large);
  commy_client_call_bytes (scene->client, "Sum", bytes, hasty, NULL, on_answer, &large);
  await (&large);
  g_assert_error (large.error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  kill (scene->child->pid, SIGCONT);
  small_call (scene);
  g_assert_cmpint (call_int (scene->client, "Sums"), ==, 0);
  answer_clear (&large);
  scene_free (scene);
}

/* Whoever had not got a request whole did not execute it: the other instance does, once. */
static void
test_killed (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  ServiceChild *other = service_child_start (fixture, NULL, 1);
  g_autoptr (GBytes) bytes = make_bytes (16 * MIB, 3);
  GPid other_pid = other->pid;
  Answer answers[6];
  guint64 highest = 0;

  while (call_int (scene->client, "Pid") != other_pid)
    g_usleep (1000); /* until it is known */
  kill (scene->child->pid, SIGSTOP);
  kill (other->pid, SIGSTOP);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    start (scene, "Sum", bytes, -1, NULL, &answers[i]);
  service_child_kill (scene->child);
  kill (other->pid, SIGCONT);
  for (guint i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      guint64 sum[4];

      await (&answers[i]);
      g_assert_no_error (answers[i].error);
      memcpy (sum, g_bytes_get_data (answers[i].answer, NULL), sizeof sum);
      g_assert_cmpuint (sum[0], ==, (guint64) other_pid);
      g_assert_cmpuint (sum[2], ==, 16 * MIB);
      highest = MAX (highest, sum[1]);
      answer_clear (&answers[i]);
    }
  g_assert_cmpuint (highest, ==, G_N_ELEMENTS (answers));
  service_child_free (other);
  scene_free (scene);
}

static void
test_alone_killed (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  Answer large;

  kill (scene->child->pid, SIGSTOP);
  start (scene, "Sum", bytes, -1, NULL, &large);
  service_child_kill (scene->child);
  await (&large);
  g_assert_nonnull (large.error);
  g_assert_false (g_error_matches (large.error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN));
  g_test_message ("%s", large.error->message);
  answer_clear (&large);
  scene_free (scene);
}

/* A service that leaves finishes the answer that is leaving. */
static void
test_leaving (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  Answer large;

  start (scene, "Mirror", bytes, -1, NULL, &large);
  while (call_int (scene->client, "Sums") == 0)
    continue;
  g_assert_false (large.done);
  shutdown (scene->child->stop_fd, 2);
  await (&large);
  g_assert_no_error (large.error);
  g_assert_true (g_bytes_equal (large.answer, bytes));
  answer_clear (&large);
  scene_free (scene);
}

/* The caller's mesh is left while everything is on its way. */
static void
test_left (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1);
  g_autoptr (GBytes) bytes = make_bytes (LARGEST, 3);
  Answer one, two;

  start (scene, "Echo", bytes, -1, NULL, &one);
  start (scene, "Echo", bytes, 2, NULL, &two);
  small_call (scene);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  await (&one);
  await (&two);
  g_assert_nonnull (one.error);
  g_assert_nonnull (two.error);
  answer_clear (&one);
  answer_clear (&two);
  scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/trains/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#ifdef HAVE_GNUTLS
  add ("asynchronous-calls-arrive-whole", "tls", test_async);
  add ("synchronous-calls-arrive-whole", "tls", test_sync);
  add ("values-arrive-whole", "tls", test_value);
  add ("spans-arrive-whole", "tls", test_span);
  add ("a-span-may-turn-out-small", "tls", test_small_after_all);
  add ("many-at-a-time-both-ways", "tls", test_many);
  add ("who-waits-gets-room-and-who-does-not-is-told", "tls", test_room);
  add ("a-path-of-small-messages-takes-smaller-pieces", "tls", test_small_path);
  add ("small-ones-pass", "tls", test_small_passes);
  add ("the-more-urgent-goes-first", "tls", test_priorities);
  add ("one-way-messages-keep-their-order", "tls", test_one_ways);
  add ("a-cancelled-one-is-not-executed", "tls", test_cancel);
  add ("a-cancelled-answer-stops", "tls", test_cancel_answer);
  add ("a-deadline-ends-it", "tls", test_deadline);
  add ("a-killed-peer-did-not-execute-it", "tls", test_killed);
  add ("the-only-peer-killed-is-no-unknown-outcome", "tls", test_alone_killed);
  add ("a-leaving-service-finishes-its-answer", "tls", test_leaving);
  add ("leaving-ends-all", "tls", test_left);
#endif
  return g_test_run ();
}
