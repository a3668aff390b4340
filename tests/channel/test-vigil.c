/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a peer that lives and does not serve is found, with a clock of the test's own and a path
 * whose other end is the test: who is asked and when, what ends it, and what each policy does. And
 * what the questions of a peer may cost, who asks and reads no answer.
 */
#include "config.h"

#include "channel/commy-death-watch.h"
#include "tests/fuzz/frame-stream/stream-fuzz.h"

#include <string.h>

#define STEP G_GINT64_CONSTANT (1000000000)

typedef struct
{
  gint64 now_ns;
  CommyEnv env;
  GMainContext *context;
  CommyLedger ledger;
  CommyChannelShared shared;
  CommyPlugin transport;
  CommyWorker *worker;
  CommyChannel *channel;
  FuzzPath *path;
  GError *error; /* the call's */
  guint n_ended;
  gboolean sent;
} Scene;

void
fuzz_check (gboolean ok, const char *what)
{
  if (!ok)
    g_error ("not true: %s", what);
}

static gint64
scene_now (gpointer data)
{
  return ((Scene *) data)->now_ns;
}

static void
scene_random (gpointer data, gpointer out, gsize size)
{
  memset (out, 7, size);
}

static void
scene_set_up (Scene *self, gconstpointer policy)
{
  static char *const none[] = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load_text ("", 0, "test", &error);
  CommyPrincipal *peer = commy_principal_new ("unix:uid=1", "test");
  CommyChannelSetup setup = { .accepting = FALSE,
                              .peer_node = "0123",
                              .service = "org.example.Test",
                              .instance = "4567",
                              .peer = peer,
                              .serializers = none,
                              .peer_cpu = -1 };

  g_assert_no_error (error);
  self->env = (CommyEnv){ .now_ns = scene_now, .random = scene_random, .data = self };
  self->now_ns = STEP;
  self->context = g_main_context_new ();
  self->shared = (CommyChannelShared){ .env = &self->env,
                                       .ledger = &self->ledger,
                                       .policy = commy_policy_current_new (
                                           commy_policy_compile (config, NULL, &error)),
                                       .deaths = commy_death_watch_new (&error),
                                       .own_principals = (char **) none,
                                       .max_payload = FUZZ_PAYLOAD_MAX,
                                       .max_methods = 8,
                                       .max_pending = 8,
                                       .max_streams = 8,
                                       .stream_window = COMMY_FRAME_STREAM_WINDOW,
                                       .max_backlog = 4096,
                                       .wait_mode = COMMY_WAIT_BLOCK,
                                       .hung_after_ns = 2 * STEP,
                                       .hung_policy = GPOINTER_TO_INT (policy),
                                       .single_cpu = -1 };
  g_assert_no_error (error);
  fuzz_transport_init (&self->transport, FALSE);
  self->worker = commy_worker_new (self->context, FALSE, &self->env, &error);
  g_assert_no_error (error);
  self->path = fuzz_path_new (FALSE);
  setup.transport = &self->transport;
  setup.connection = fuzz_path_connect (self->path);
  commy_worker_enter (self->worker);
  self->channel = commy_channel_ref (commy_channel_new (self->worker, &self->shared, &setup));
  commy_worker_add_channel (self->worker, self->channel);
  commy_principal_unref (peer);
}

static void
scene_tear_down (Scene *self, gconstpointer policy)
{
  commy_channel_close (self->channel, NULL);
  commy_channel_unref (self->channel);
  commy_worker_exit (self->worker);
  commy_worker_unref (self->worker);
  fuzz_path_free (self->path);
  commy_death_watch_free (self->shared.deaths);
  commy_policy_current_free (self->shared.policy);
  g_main_context_unref (self->context);
  g_clear_error (&self->error);
}

/* --- what happens --- */

static void
on_ended (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  Scene *self = data;

  self->n_ended++;
  self->sent = sent;
  g_clear_error (&self->error);
  self->error = error != NULL ? g_error_copy (error) : NULL;
}

static guint32
call (Scene *self)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .method = 1 };

  spec.stream = commy_channel_expect (self->channel, G_MAXINT64, on_ended, self);
  g_assert_cmpuint (spec.stream, !=, 0);
  g_assert_cmpint (commy_channel_send (self->channel, &spec, "x", 1, FALSE), ==, COMMY_IO_OK);
  commy_channel_mark_sent (self->channel, spec.stream);
  return spec.stream;
}

static void
send_one_way (Scene *self, gsize size)
{
  g_autofree guint8 *payload = g_malloc0 (size);
  CommyFrameSpec spec = { .type = COMMY_FRAME_ONEWAY, .method = 1 };

  g_assert_cmpint (commy_channel_send (self->channel, &spec, payload, size, TRUE), ==, COMMY_IO_OK);
}

/* How many frames of a type lie in the path; the peer takes none. */
static guint
count_out (Scene *self, CommyFrameType type)
{
  guint n = 0;

  for (GList *at = self->path->out.head; at != NULL; at = at->next)
    n += ((const guint8 *) g_bytes_get_data (at->data, NULL))[COMMY_FRAME_TYPE_OFFSET] == type;
  return n;
}

/* Of the CLOSE frame, which is the last one. */
static guint32
close_stream (Scene *self)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->path->out.tail->data, &size);
  CommyFrame frame;

  g_assert_cmpint (commy_frame_parse (data, size, FUZZ_PAYLOAD_MAX, &frame), ==, COMMY_FRAME_OK);
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_CLOSE);
  return frame.stream;
}

/* The peer says something, whatever it is. */
static void
hear (Scene *self, CommyFrameType type, guint32 stream)
{
  CommyFrameSpec spec = { .type = (guint8) type, .stream = stream, .flow = 3 };
  guint8 frame[COMMY_FRAME_HEADER_SIZE];

  g_assert_cmpuint (commy_frame_write (frame, &spec, 0), ==, sizeof frame);
  fuzz_path_put (self->path, frame, sizeof frame);
  fuzz_path_arrive (self->path, G_MAXSIZE);
  g_assert_true (commy_channel_poll (self->channel));
}

static void
sleep_and_look (Scene *self, gint64 ns)
{
  guint events;

  if (!self->channel->closed)
    commy_channel_arm (self->channel, &events);
  self->now_ns += ns;
  commy_channel_expire (self->channel, self->now_ns);
}

static void
make_hung (Scene *self)
{
  sleep_and_look (self, STEP);
  g_assert_false (commy_channel_is_hung (self->channel));
  sleep_and_look (self, STEP);
  g_assert_true (commy_channel_is_hung (self->channel));
}

/* --- cases --- */

static void
test_idle (Scene *self, gconstpointer policy)
{
  send_one_way (self, 10);
  for (guint i = 0; i < 100; i++)
    {
      sleep_and_look (self, STEP);
      g_assert_cmpint (self->channel->vigil.look_ns, ==, G_MAXINT64);
    }
  g_assert_cmpuint (self->path->out.length, ==, 1);
}

static void
test_warn (Scene *self, gconstpointer policy)
{
  g_autoptr (GError) error = NULL;
  guint32 stream = call (self);

  sleep_and_look (self, STEP);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 1);
  g_assert_false (commy_channel_is_hung (self->channel));
  sleep_and_look (self, STEP - 1);
  g_assert_false (commy_channel_is_hung (self->channel));
  sleep_and_look (self, 1);
  g_assert_true (commy_channel_is_hung (self->channel));
  sleep_and_look (self, 10 * STEP);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 1);
  g_assert_cmpuint (self->channel->vigil.n_hung, ==, 1);
  g_assert_cmpuint (self->n_ended, ==, 0);
  commy_channel_deadline_error (self->channel, &error);
  g_assert_nonnull (strstr (error->message, "hung"));
  hear (self, COMMY_FRAME_REPLY, stream);
  g_assert_cmpuint (self->n_ended, ==, 1);
  sleep_and_look (self, STEP);
  g_assert_false (commy_channel_is_hung (self->channel));
  g_assert_cmpint (self->channel->vigil.look_ns, ==, G_MAXINT64);
}

static void
test_slow (Scene *self, gconstpointer policy)
{
  call (self);
  for (guint i = 0; i < 100; i++)
    {
      sleep_and_look (self, STEP);
      if (count_out (self, COMMY_FRAME_PING) > i / 2)
        hear (self, COMMY_FRAME_PONG, self->channel->last_ping);
      g_assert_false (commy_channel_is_hung (self->channel));
    }
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 50);
  g_assert_cmpuint (self->n_ended, ==, 0);
  g_assert_true (commy_channel_is_open (self->channel));
}

/* Who was stopped himself heard nothing, and that says nothing. */
static void
test_late (Scene *self, gconstpointer policy)
{
  call (self);
  for (guint i = 0; i < 100; i++)
    sleep_and_look (self, 3 * STEP);
  g_assert_false (commy_channel_is_hung (self->channel));
  g_assert_true (commy_channel_is_open (self->channel));
}

static void
test_drop (Scene *self, gconstpointer policy)
{
  guint32 stream = call (self);

  make_hung (self);
  g_assert_cmpuint (self->n_ended, ==, 1);
  g_assert_error (self->error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_assert_nonnull (strstr (self->error->message, "does not serve"));
  g_assert_true (commy_channel_is_open (self->channel));
  /* Its message had left, and may arrive yet. */
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 0);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_CANCEL), ==, 1);
  hear (self, COMMY_FRAME_REPLY, stream); /* too late */
  g_assert_cmpuint (self->n_ended, ==, 1);
  stream = call (self);
  sleep_and_look (self, STEP);
  g_assert_false (commy_channel_is_hung (self->channel));
  hear (self, COMMY_FRAME_REPLY, stream);
  g_assert_cmpuint (self->n_ended, ==, 2);
  g_assert_no_error (self->error);
}

/* sent = left + dropped (hung) */
static void
test_drop_one_ways (Scene *self, gconstpointer policy)
{
  g_autoptr (GError) error = NULL;

  self->path->room = 500;
  for (guint i = 0; i < 10; i++)
    send_one_way (self, 100);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_ONEWAY), ==, 3);
  g_assert_cmpuint (self->channel->backlog.length, ==, 7);
  make_hung (self);
  g_assert_cmpuint (self->channel->backlog.length, ==, 0);
  g_assert_cmpuint (self->channel->backlog_bytes, ==, 0);
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 7);
  commy_channel_io_error (self->channel, COMMY_IO_WOULD_BLOCK, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_UNREACHABLE);
  g_assert_true (commy_channel_is_open (self->channel));
  /* What is sent from now on follows what had left: no number of the flow is missing. */
  self->path->room = G_MAXSIZE / 2;
  send_one_way (self, 100);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_ONEWAY), ==, 4);
  g_assert_cmpuint (self->channel->tx_sequence, ==, 4);
}

/* A call that had not left is given up as its message is: counted once, and not sent any more. */
static void
test_drop_waiting_call (Scene *self, gconstpointer policy)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .method = 1 };

  self->path->room = 0;
  spec.stream = commy_channel_expect (self->channel, G_MAXINT64, on_ended, self);
  g_assert_cmpint (commy_channel_send (self->channel, &spec, "x", 1, TRUE), ==, COMMY_IO_OK);
  commy_channel_mark_sent (self->channel, spec.stream);
  make_hung (self);
  g_assert_cmpuint (self->n_ended, ==, 1);
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 1);
  self->path->room = G_MAXSIZE / 2;
  send_one_way (self, 100);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_CALL), ==, 0);
  commy_channel_close (self->channel, NULL);
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 1);
}

static void
note_left (gpointer n)
{
  ++*(guint *) n;
}

/* Answers that are given up: who waits for them to leave is told, and there is no promise. */
static void
test_drop_answers (Scene *self, gconstpointer policy)
{
  guint n_left = 0;

  self->path->room = 250;
  for (guint32 i = 1; i <= 5; i++)
    {
      CommyFrameSpec spec = { .type = COMMY_FRAME_REPLY, .stream = i };
      guint8 payload[100] = { 0 };

      g_assert_cmpint (commy_channel_send (self->channel, &spec, payload, sizeof payload, TRUE), ==,
                       COMMY_IO_OK);
      n_left += !commy_channel_on_left (self->channel, spec.type, i, note_left, &n_left);
    }
  g_assert_cmpuint (n_left, ==, 1);
  make_hung (self);
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 4);
  g_assert_cmpuint (n_left, ==, 5);
  self->path->room = G_MAXSIZE / 2;
  g_assert_true (commy_channel_part (self->channel, FALSE));
  g_assert_cmpuint (close_stream (self), ==, 0);
}

static void
test_part (Scene *self, gconstpointer policy)
{
  g_assert_true (commy_channel_part (self->channel, FALSE));
  g_assert_cmpuint (close_stream (self), ==, COMMY_FRAME_CLOSE_ALL_ANSWERED);
}

static void
test_disconnect (Scene *self, gconstpointer policy)
{
  call (self);
  call (self);
  make_hung (self);
  g_assert_cmpuint (self->n_ended, ==, 2);
  g_assert_error (self->error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  g_assert_false (commy_channel_is_open (self->channel));
  /* What had left is not lost. */
  g_assert_cmpuint (commy_ledger_get (&self->ledger, COMMY_DROP_HUNG), ==, 0);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_CLOSE), ==, 1);
}

/* A stream that is open owes nothing; one without credit does. */
static void
test_stream (Scene *self, gconstpointer policy)
{
  g_autoptr (CommyPipe) pipe = commy_pipe_open (self->channel, G_MAXINT64, NULL);

  commy_pipe_opened (pipe);
  for (guint i = 0; i < 10; i++)
    sleep_and_look (self, STEP);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 0);
  commy_pipe_charge (pipe, COMMY_FRAME_STREAM_WINDOW);
  sleep_and_look (self, STEP);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 1);
  g_assert_true (pipe->is_open);
  sleep_and_look (self, STEP);
  g_assert_false (pipe->is_open);
  g_assert_error (pipe->error, COMMY_ERROR, COMMY_ERROR_UNREACHABLE);
  g_assert_cmpuint (self->channel->n_starved, ==, 0);
  g_assert_true (commy_channel_is_open (self->channel));
}

static void
test_never (Scene *self, gconstpointer policy)
{
  self->shared.hung_after_ns = 0;
  call (self);
  for (guint i = 0; i < 10; i++)
    sleep_and_look (self, STEP);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PING), ==, 0);
  g_assert_false (commy_channel_is_hung (self->channel));
}

static guint32
last_pong (Scene *self)
{
  guint32 stream = 0;

  for (GList *at = self->path->out.head; at != NULL; at = at->next)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (at->data, &size);
      CommyFrame frame;

      g_assert_cmpint (commy_frame_parse (data, size, FUZZ_PAYLOAD_MAX, &frame), ==,
                       COMMY_FRAME_OK);
      if (frame.type == COMMY_FRAME_PONG)
        stream = frame.stream;
    }
  return stream;
}

/* One answer waits, however many PINGs come, behind what waited before it; the last is answered. */
static void
test_pings (Scene *self, gconstpointer policy)
{
  self->path->room = 250;
  send_one_way (self, 100);
  send_one_way (self, 100);
  for (guint32 i = 1; i <= 1000; i++)
    hear (self, COMMY_FRAME_PING, i);
  g_assert_cmpuint (self->channel->backlog.length, ==, 2);
  g_assert_cmpuint (self->channel->backlog_bytes, <, 1024);
  send_one_way (self, 100);
  self->path->room = G_MAXSIZE / 2;
  g_assert_true (commy_channel_flush_backlog (self->channel));
  g_assert_cmpuint (count_out (self, COMMY_FRAME_ONEWAY), ==, 3);
  g_assert_cmpuint (count_out (self, COMMY_FRAME_PONG), ==, 2);
  g_assert_cmpuint (last_pong (self), ==, 1000);
  g_assert_cmpuint (self->channel->backlog_bytes, ==, 0);
  hear (self, COMMY_FRAME_PING, 1001);
  g_assert_cmpuint (last_pong (self), ==, 1001);
}

/* Of small frames it is what keeps them that takes memory. */
static void
test_small_frames (Scene *self, gconstpointer policy)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_ONEWAY, .method = 1 };
  guint n = 0;

  self->path->room = 0;
  while (commy_channel_send (self->channel, &spec, NULL, 0, TRUE) == COMMY_IO_OK)
    n++;
  g_assert_cmpuint (n, >, 10);
  g_assert_cmpuint (n, <=, self->shared.max_backlog / (COMMY_FRAME_HEADER_SIZE + 128));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define CASE(path, policy, func) \
  g_test_add (path, Scene, GINT_TO_POINTER (policy), scene_set_up, func, scene_tear_down)
  CASE ("/vigil/nobody-asks-while-nothing-is-owed", COMMY_HUNG_DISCONNECT, test_idle);
  CASE ("/vigil/silence-is-asked-and-then-told", COMMY_HUNG_WARN, test_warn);
  CASE ("/vigil/who-answers-pings-is-slow-and-not-hung", COMMY_HUNG_DISCONNECT, test_slow);
  CASE ("/vigil/who-was-stopped-himself-begins-again", COMMY_HUNG_DISCONNECT, test_late);
  CASE ("/vigil/drop-gives-calls-up-and-goes-on", COMMY_HUNG_DROP, test_drop);
  CASE ("/vigil/drop-counts-what-had-not-left", COMMY_HUNG_DROP, test_drop_one_ways);
  CASE ("/vigil/drop-counts-a-call-once", COMMY_HUNG_DROP, test_drop_waiting_call);
  CASE ("/vigil/drop-of-answers-takes-the-promise-away", COMMY_HUNG_DROP, test_drop_answers);
  CASE ("/vigil/parting-promises", COMMY_HUNG_DROP, test_part);
  CASE ("/vigil/disconnect-closes", COMMY_HUNG_DISCONNECT, test_disconnect);
  CASE ("/vigil/a-stream-owes-only-without-credit", COMMY_HUNG_DROP, test_stream);
  CASE ("/vigil/none-without-a-limit", COMMY_HUNG_DISCONNECT, test_never);
  CASE ("/vigil/pings-are-owed-one-answer", COMMY_HUNG_DISCONNECT, test_pings);
  CASE ("/vigil/small-frames-count-as-what-they-cost", COMMY_HUNG_DISCONNECT, test_small_frames);
  return g_test_run ();
}
