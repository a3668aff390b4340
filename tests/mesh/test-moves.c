/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ordered flows that move while they are used: numbers both ways in a stream, in calls and in
 * one-way messages, each checked at the other end, between all ordered pairs of three transports.
 * COMMY_MOVES and COMMY_MESSAGES make it longer; COMMY_SEED repeats a run.
 */
#include "config.h"

#include "moves-scene.h"

#include "tests/crash/run-ledger.h"

#include <gio/gunixfdlist.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_FLIGHT 64u
#define IN_FLIGHT_BYTES (160u << 10)

static guint64
number_of (const char *variable, guint64 otherwise)
{
  const char *text = g_getenv (variable);

  return text != NULL && text[0] != '\0' ? g_ascii_strtoull (text, NULL, 10) : otherwise;
}

static gsize
any_size (GRand *rand)
{
  if (g_rand_int_range (rand, 0, 400) == 0)
    return (gsize) g_rand_int_range (rand, 66000, 100000); /* in pieces, where they are cut */
  return (gsize) g_rand_int_range (rand, 8, g_rand_int_range (rand, 0, 16) == 0 ? 6000 : 128);
}

/* --- a stream, synchronously --- */

typedef struct
{
  MovesScene *scene;
  CommyStream *stream;
  guint64 written, read, bytes;
  GQueue sizes; /* of what is in flight */
} Numbers;

static void
write_number (Numbers *self, gsize size)
{
  g_autoptr (GBytes) message = moves_message (self->written, size);
  g_autoptr (GError) error = NULL;

  commy_stream_write_bytes_sync (self->stream, message, NULL, &error);
  g_assert_no_error (error);
  self->written++;
  self->bytes += size;
  g_queue_push_tail (&self->sizes, GSIZE_TO_POINTER (size));
}

static void
read_number (Numbers *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) message = commy_stream_read_bytes_sync (self->stream, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (message);
  g_assert_cmpuint (moves_number (message), ==, self->read);
  g_assert_cmpuint (g_bytes_get_size (message), ==,
                    GPOINTER_TO_SIZE (g_queue_pop_head (&self->sizes)));
  self->read++;
  self->bytes -= g_bytes_get_size (message);
}

static void
run_numbers (Numbers *self, guint64 messages)
{
  MovesScene *scene = self->scene;
  guint64 every = MAX (messages / MAX (6 * scene->wanted, 1), 1);
  guint64 due = every / 2;

  while (self->read < messages || !moves_scene_is_through (scene))
    {
      gsize size = any_size (scene->rand);

      while (self->bytes > 0
             && (self->written - self->read >= IN_FLIGHT || self->bytes + size > IN_FLIGHT_BYTES))
        read_number (self);
      write_number (self, size);
      if (!moves_scene_settled (scene) || self->written < due)
        continue;
      due = self->written + every;
      moves_scene_next (scene);
    }
  while (self->read < self->written || !moves_scene_settled (scene))
    {
      if (self->read == self->written)
        write_number (self, 8);
      read_number (self);
    }
}

static guint64
fewest (const guint n[MOVES_PATHS][MOVES_PATHS])
{
  guint fewest = G_MAXUINT;

  for (int i = 0; i < MOVES_PATHS; i++)
    for (int k = 0; k < MOVES_PATHS; k++)
      if (i != k)
        fewest = MIN (fewest, n[i][k]);
  return fewest;
}

/* Every number came, once and in its place, or the test has ended before. */
static void
record (const MovesScene *scene, guint64 messages)
{
  const RunLedgerRow row = { .messages = messages,
                             .moves = scene->channel->moves.n_moves,
                             .of_each_pair = fewest (scene->n),
                             .of_each_cut = fewest (scene->n_cut),
                             .gap_us = (guint64) scene->channel->moves.largest_gap_ns / 1000 };
  g_autofree char *command = g_strdup_printf (
      "make check-moves COMMY_MOVES=%" G_GUINT64_FORMAT " COMMY_MESSAGES=%" G_GUINT64_FORMAT,
      number_of ("COMMY_MOVES", 60), number_of ("COMMY_MESSAGES", 8000));

  run_ledger_add ("moves", &row, command);
}

static void
test_stream (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  guint moves = (guint) number_of ("COMMY_MOVES", 60);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  Numbers numbers = { .scene = scene };
  guint64 n;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  scene->wanted = (moves + 5) / 6;
  scene->wanted_cut = (scene->wanted * 2 + 2) / 3;
  numbers.stream
      = commy_client_open_stream_sync (scene->client, "Numbers", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  run_numbers (&numbers, number_of ("COMMY_MESSAGES", 8000) / 2);
  commy_stream_close_write (numbers.stream, &error);
  g_assert_no_error (error);
  result = commy_stream_wait_result_sync (numbers.stream, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(t)", &n);
  g_assert_cmpuint (n, ==, numbers.written);
  g_assert_cmpuint (scene->channel->moves.n_moves, >=, scene->total);
  moves_scene_report (scene, 2 * n);
  record (scene, 2 * n);
  g_object_unref (numbers.stream);
  moves_scene_free (scene);
}

/* --- calls and one-way messages, asynchronously --- */

typedef struct
{
  MovesScene *scene;
  GMainLoop *loop;
  guint64 sent, answered, ticks, messages;
  guint64 due, every;
} Calls;

static void send_more (Calls *self);

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Calls *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer
      = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (moves_number (answer), ==, self->answered);
  self->answered++;
  send_more (self);
}

static void
send_one (Calls *self)
{
  g_autoptr (GBytes) message
      = moves_message (self->sent++, (gsize) g_rand_int_range (self->scene->rand, 8, 3000));
  g_autoptr (GError) error = NULL;

  commy_client_call_bytes (self->scene->client, "Next", message, NULL, NULL, on_answer, self);
  if (self->sent % 4 != 0)
    return;
  commy_client_send (self->scene->client, "Tick", g_variant_new ("(t)", self->ticks), NULL, &error);
  if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_BUSY))
    return; /* it was not taken, and says so */
  g_assert_no_error (error);
  self->ticks++;
}

static void
send_more (Calls *self)
{
  gboolean through = self->sent >= self->messages && moves_scene_is_through (self->scene)
                     && moves_scene_settled (self->scene);

  while (!through && self->sent - self->answered < IN_FLIGHT / 2)
    send_one (self);
  if (through && self->answered == self->sent)
    g_main_loop_quit (self->loop);
  if (through || !moves_scene_settled (self->scene) || self->sent < self->due)
    return;
  self->due = self->sent + self->every;
  moves_scene_next (self->scene);
}

static void
test_calls (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Calls calls = { .scene = scene, .loop = loop, .messages = 2000 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) ticks = NULL;
  guint64 n;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  scene->wanted = 4;
  scene->wanted_cut = 2;
  calls.every = calls.messages / 24;
  calls.due = calls.every;
  send_more (&calls);
  g_main_loop_run (loop);
  ticks = commy_client_call_sync (scene->client, "Ticks", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (ticks, "(t)", &n);
  g_assert_cmpuint (n, ==, calls.ticks);
  moves_scene_report (scene, calls.sent + calls.answered + calls.ticks);
  moves_scene_free (scene);
}

/* --- what is on its way when the path goes --- */

/* A span is filled while its path goes; what was written counts. */
static void
test_span (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (GError) error = NULL;
  CommyMethod method;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  method = commy_client_resolve (scene->client, "Span", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 12; i++)
    {
      int to = (moves_path_of (scene->path) + 1 + (int) (i / 6)) % MOVES_PATHS;
      CommyReply reply;
      CommySpan span;

      g_assert_true (commy_client_reserve (scene->client, method, 4, &span, &error));
      g_assert_no_error (error);
      if (i % 2 == 0)
        moves_scene_cut (scene, to);
      else
        moves_scene_move (scene, to);
      memcpy (span.data, "\1\2\3\4", 4);
      g_assert_true (commy_client_exchange (scene->client, method, &span, &reply, 0, &error));
      g_assert_no_error (error);
      g_assert_cmpmem (reply.data, reply.size, "\4\3\2\1", 4);
      commy_reply_clear (&reply);
      while (!moves_scene_settled (scene))
        moves_scene_call (scene);
    }
  moves_scene_report (scene, 12);
  moves_scene_free (scene);
}

/* Descriptors go along: only one transport carries them, so the flow comes back to it. */
static void
test_handles (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  guint fds = 0;

  for (guint i = 0; i < 8; i++)
    {
      g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
      g_autoptr (GUnixFDList) answer = NULL;
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (g_unix_fd_list_append (list, STDERR_FILENO, NULL), ==, 0);
      if (i > 0)
        moves_cut_path (scene->channel, SHUT_RDWR);
      value = commy_client_call_with_unix_fd_list_sync (
          scene->client, "Fd", g_variant_new ("(h)", 0), list, NULL, &answer, NULL, &error);
      g_assert_no_error (error);
      if (i == 0)
        moves_scene_attach (scene);
      if (i == 1)
        fds = count_fds ();
    }
  g_assert_cmpuint (scene->channel->moves.n_moves, ==, 7);
  g_assert_cmpuint (count_fds (), <=, fds + 2);
  moves_scene_free (scene);
}

/* The client may not use its path any more: the stream that is open goes along. */
static void
test_requirements (MeshFixture *fixture, gconstpointer data)
{
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (GError) error = NULL;
  Numbers numbers = { .scene = scene };

  moves_scene_call (scene);
  moves_scene_attach (scene);
  numbers.stream
      = commy_client_open_stream_sync (scene->client, "Numbers", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (int to = MOVES_TLS; to >= MOVES_SHM; to--)
    {
      const char *only[] = { moves_path_name (to), NULL };

      write_number (&numbers, 100);
      commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, only);
      commy_client_set_requirements (scene->client, requirements);
      /* The handler of the stream waits, so that a call would: this only needs a route. */
      commy_client_send (scene->client, "Tick", g_variant_new ("(t)", (guint64) (MOVES_TLS - to)),
                         NULL, &error);
      g_assert_no_error (error);
      read_number (&numbers);
      while (scene->channel->moves.adrift || moves_is_moving (scene))
        {
          write_number (&numbers, 8);
          read_number (&numbers);
        }
      g_assert_cmpstr (commy_channel_get_transport (scene->channel), ==, only[0]);
      g_assert_cmpuint (scene->channel->moves.n_moves, ==, (guint) (MOVES_PATHS - to));
    }
  g_object_unref (numbers.stream);
  moves_scene_free (scene);
}

/* --- rights --- */

/* The service moved to a path on which it has a name that may not offer it any more: what counts is
 * the policy, not where it was met. @data: whose offers are denied. */
static void
test_offer (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *rule = g_strconcat (
      "[policy no-offers]\nverbs=offer\neffect=deny\nservices=" TEST_SERVICE "\nprincipals=", data,
      "\n", NULL);
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "policy.conf", "");
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (GError) error = NULL;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  g_assert_cmpint (moves_path_of (scene->path), !=, MOVES_TLS);
  moves_scene_move (scene, MOVES_TLS);
  do
    moves_scene_call (scene);
  while (!moves_scene_settled (scene));
  g_file_set_contents (file, rule, -1, &error);
  g_assert_no_error (error);
  commy_mesh_reload_policy (scene->mesh, &error);
  g_assert_no_error (error);
  while (g_main_context_iteration (NULL, FALSE))
    ; /* the channels of this thread are looked at there */
  g_assert_true (scene->channel->closed);
  moves_scene_free (scene);
}

/* --- ends --- */

/* Whoever waits is told, and nobody hangs. @data: where to; with a "!" the path is cut. */
static void
test_death (MeshFixture *fixture, gconstpointer data)
{
  const char *to = data;
  MovesScene *scene = moves_scene_new (fixture, NULL, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) message = NULL;
  CommyStream *stream;

  moves_scene_call (scene);
  moves_scene_attach (scene);
  stream = commy_client_open_stream_sync (scene->client, "Numbers", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  if (to[0] == '!')
    moves_scene_cut (scene, strcmp (to + 1, "unix") == 0 ? MOVES_UNIX : MOVES_TLS);
  else
    moves_scene_move (scene, strcmp (to, "unix") == 0 ? MOVES_UNIX : MOVES_TLS);
  service_child_kill (scene->child);
  service_child_free (g_steal_pointer (&scene->child));
  message = commy_stream_read_bytes_sync (stream, NULL, &error);
  g_assert_null (message);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_test_message ("%s", error->message);
  g_object_unref (stream);
  moves_scene_free (scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, moves_service_extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/moves/a-stream-goes-on-in-order", MeshFixture, NULL, mesh_fixture_set_up,
              test_stream, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/calls-and-one-way-messages-go-on-in-order", MeshFixture, NULL,
              mesh_fixture_set_up, test_calls, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/a-reserved-span-goes-on", MeshFixture, NULL, mesh_fixture_set_up,
              test_span, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/descriptors-go-along", MeshFixture, NULL, mesh_fixture_set_up,
              test_handles, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/a-client-that-may-not-stay-takes-its-stream-along", MeshFixture, NULL,
              mesh_fixture_set_up, test_requirements, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/an-offer-is-denied-by-the-name-on-the-path", MeshFixture, "spiffe://*",
              mesh_fixture_set_up, test_offer, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/an-offer-is-denied-by-the-name-of-the-set-up", MeshFixture, "unix:*",
              mesh_fixture_set_up, test_offer, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/the-peer-dies/on-the-way-to-unix", MeshFixture, "unix",
              mesh_fixture_set_up, test_death, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/the-peer-dies/on-the-way-to-tls", MeshFixture, "tls",
              mesh_fixture_set_up, test_death, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves/the-peer-dies/after-a-cut", MeshFixture, "!unix", mesh_fixture_set_up,
              test_death, mesh_fixture_tear_down);
  return g_test_run ();
}
