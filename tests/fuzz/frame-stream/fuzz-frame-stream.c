/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any frames in any pieces to a real channel that is in use: calls, streams, trains, credit, and
 * flows that lose their path and go on over another. The input says what the peer sends and takes,
 * what arrives, what the application does, and how time goes. Nothing more is delivered than was
 * sent, what leaves is well-formed and in order, no limit is passed, and nothing is left behind.
 */
#include "config.h"

#include "stream-fuzz.h"

#include "base/commy-error-private.h"
#include "channel/commy-death-watch.h"
#include "channel/commy-flow-table.h"
#include "channel/commy-setup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEPS_MAX 300
#define LIMIT_METHODS 8u
#define LIMIT_PENDING 6u
#define LIMIT_STREAMS 4u
#define LIMIT_BACKLOG (64u << 10)
#define LIMIT_KEPT (64u << 10)
#define OVERHEAD (COMMY_FRAME_HEADER_SIZE + COMMY_FRAME_EXT_MAX)
#define OWN "unix:uid=1"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

typedef struct
{
  FuzzInput input;
  gint64 now_ns;
  CommyEnv env;
  GMainContext *context;
  CommyLedger ledger;
  CommyChannelShared shared;
  CommyPlugin transports[2];
  GPtrArray *paths; /* FuzzPath, the last one is in use */
  FuzzPath *path;
  CommyWorker *worker;
  CommyChannel *channel;
  CommyPrincipal *peer;
  FuzzApp app;
  gboolean in_sync;

  /* the peer */
  guint32 flow, sequence; /* as it numbers what it sends */
  guint32 received;       /* the last of ours that it took */
  guint32 streams[FUZZ_STREAMS_SEEN];
  guint n_streams;
  guint64 n_sent;
  gboolean spoilt;  /* what is on its way may be anything */
  gboolean refused; /* it lied about what it has, and was told that the flow is over */
} Fuzz;

void
fuzz_check (gboolean ok, const char *what)
{
  if (ok)
    return;
  fprintf (stderr, "fuzz-frame-stream: not true: %s\n", what);
  __builtin_trap ();
}

guint64
fuzz_take (FuzzInput *self, guint bytes)
{
  guint64 value = 0;

  for (guint i = 0; i < bytes && self->left > 0; i++, self->left--)
    value |= (guint64) *self->at++ << 8 * i;
  return value;
}

/* --- what there is around a channel --- */

static gint64
now (gpointer data)
{
  return ((Fuzz *) data)->now_ns;
}

static void
not_random (gpointer data, gpointer out, gsize size)
{
  memset (out, 7, size);
}

static CommyPolicy *
make_policy (gboolean allowed)
{
  const char *text = allowed ? "[policy all]\nprincipals=*\neffect=allow\n"
                             : "[policy some]\nprincipals=*\nmethods=a*;s*\neffect=allow\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "fuzz", &error);
  CommyPolicy *policy = config != NULL ? commy_policy_compile (config, NULL, &error) : NULL;

  FUZZ_CHECK (policy != NULL);
  return policy;
}

static void
make_surroundings (Fuzz *self, guint choice)
{
  static char *const own[] = { (char *) OWN, NULL };
  static char *const others[] = { NULL };

  self->env = (CommyEnv){ .now_ns = now, .random = not_random, .data = self };
  self->now_ns = 1;
  self->context = g_main_context_new ();
  self->shared = (CommyChannelShared){
    .owner = g_object_new (G_TYPE_OBJECT, NULL),
    .env = &self->env,
    .ledger = &self->ledger,
    .policy = commy_policy_current_new (make_policy ((choice & 1) == 0)),
    .deaths = commy_death_watch_new (NULL),
    .own_principals = (char **) ((choice & 2) == 0 ? own : others),
    .max_payload = FUZZ_PAYLOAD_MAX,
    .max_methods = LIMIT_METHODS,
    .max_pending = LIMIT_PENDING,
    .max_streams = LIMIT_STREAMS,
    .stream_window = COMMY_FRAME_STREAM_WINDOW + ((choice & 4) != 0 ? 4096 : 0),
    .max_backlog = LIMIT_BACKLOG,
    .max_kept = LIMIT_KEPT,
    .resume_ns = 1000000000,
    .flows = commy_flow_table_new (),
    .wait_mode = COMMY_WAIT_BLOCK,
    .hung_after_ns = (choice & 8) != 0 ? 2000 : 0,
    .hung_policy = (choice >> 4) % (COMMY_HUNG_DISCONNECT + 1),
    .single_cpu = -1,
  };
  fuzz_transport_init (&self->transports[0], FALSE);
  fuzz_transport_init (&self->transports[1], TRUE);
  self->paths = g_ptr_array_new_with_free_func (fuzz_path_free);
  self->worker = commy_worker_new (self->context, FALSE, &self->env, NULL);
  self->peer = commy_principal_new (OWN, "fuzz");
}

static void
clear_surroundings (Fuzz *self)
{
  commy_worker_unref (self->worker);
  FUZZ_CHECK (self->transports[0].connections == 0 && self->transports[1].connections == 0);
  g_ptr_array_unref (self->paths);
  commy_death_watch_free (self->shared.deaths);
  commy_flow_table_free (self->shared.flows);
  commy_policy_current_free (self->shared.policy);
  commy_principal_unref (self->peer);
  g_object_unref (self->shared.owner);
  g_main_context_unref (self->context);
}

/* A path over which what was not taken is told, or copied, or neither. */
static CommyPlugin *
make_path (Fuzz *self, guint choice)
{
  self->path = fuzz_path_new ((choice & 1) != 0);
  g_ptr_array_add (self->paths, self->path);
  return &self->transports[choice >> 1 & 1];
}

static void
make_channel (Fuzz *self, guint choice)
{
  static char *const no_serializers[] = { NULL };
  CommyPlugin *transport = make_path (self, choice >> 4);
  const CommyChannelSetup setup = { .transport = transport,
                                    .connection = fuzz_path_connect (self->path),
                                    .accepting = (choice & 8) == 0,
                                    .peer_node = "0123",
                                    .service = "org.example.Fuzz",
                                    .instance = "4567",
                                    .peer = self->peer,
                                    .serializers = no_serializers,
                                    .peer_cpu = -1 };
  const CommyFlowName flow = { .id = 1 };

  self->channel = commy_channel_new (self->worker, &self->shared, &setup);
  self->channel->handler = &fuzz_handler;
  self->channel->handler_data = &self->app;
  commy_channel_on_closed (self->channel, fuzz_app_on_closed, &self->app);
  commy_channel_on_adrift (self->channel, fuzz_app_on_adrift);
  fuzz_app_init (&self->app, self->channel);
  self->app.want_paths = (choice & 64) != 0;
  if ((choice & 64) != 0 && commy_path_can_tell (transport, self->channel->connection))
    {
      commy_channel_agree_on_moves (self->channel, &flow, (choice & 128) != 0);
      if (setup.accepting)
        commy_flow_table_add (self->shared.flows, self->channel, &flow);
    }
  commy_worker_add_channel (self->worker, self->channel);
  self->flow = 9;
}

/* --- the peer sends --- */

static guint32
choose_stream (Fuzz *self)
{
  guint which = (guint) fuzz_take (&self->input, 1);

  if (which < 128)
    return which % 16;
  return self->streams[which % FUZZ_STREAMS_SEEN];
}

static guint32
choose_sequence (Fuzz *self, guint how)
{
  if (how < 6)
    return ++self->sequence;
  if (how == 6)
    return self->sequence;
  return self->sequence + (guint32) (gint8) fuzz_take (&self->input, 1);
}

/* Mostly small ones; some need pieces. */
static gsize
choose_size (Fuzz *self)
{
  gsize raw = (gsize) fuzz_take (&self->input, 1);

  return raw < 224 ? raw : (raw - 223) * 3001;
}

static void
fill_payload (Fuzz *self, const CommyFrameSpec *spec, guint8 *payload, gsize size)
{
  gsize from_input = spec->type == COMMY_FRAME_METHOD ? MIN (size, 4) : 0;

  memset (payload, 'a', size);
  for (gsize i = 0; i < from_input; i++)
    {
      guint raw = (guint) fuzz_take (&self->input, 1);

      payload[i] = (guint8) (raw < 240 ? 'a' + raw % 16 : raw < 248 ? '-' : raw);
    }
}

static void
add_extensions (Fuzz *self, CommyFrameSpec *spec)
{
  guint which = (guint) fuzz_take (&self->input, 1);

  if ((which & 1) != 0)
    spec->deadline_ns = fuzz_take (&self->input, 1) << (which >> 4);
  if ((which & 2) != 0)
    {
      spec->signature = "(ii)";
      spec->signature_size = 4;
    }
  if ((which & 4) != 0)
    {
      guint32 train = (guint32) fuzz_take (&self->input, 1);

      spec->train = train < 128 ? 1 + train % 6 : train;
      spec->train_size = fuzz_take (&self->input, 2) << (which >> 6);
    }
  if ((which & 8) != 0)
    spec->priority = (guint8) (1 + (which >> 4) % 8);
}

/* Messages that a frame can become, or more. */
static void
put (Fuzz *self, gconstpointer frame, gsize size)
{
  CommyFrame parsed;

  fuzz_path_put (self->path, frame, size);
  self->n_sent++;
  if (commy_frame_parse (frame, size, FUZZ_PAYLOAD_MAX, &parsed) == COMMY_FRAME_OK
      && (parsed.flags & COMMY_FRAME_FLAG_RUN) != 0)
    self->n_sent += commy_frame_messages (parsed.flags, parsed.method, parsed.payload_size);
}

static void
send_frame (Fuzz *self, guint how)
{
  guint type = (guint) fuzz_take (&self->input, 1);
  CommyFrameSpec spec = { .type = (guint8) (type & 31),
                          .flags = (guint16) (type >> 5 & 1 ? COMMY_FRAME_FLAG_STREAM : 0),
                          .ack = self->received };
  g_autofree guint8 *frame = NULL;
  gsize payload, prefix;

  spec.stream = choose_stream (self);
  spec.method = (guint32) fuzz_take (&self->input, 1);
  if (spec.type == COMMY_FRAME_CREDIT)
    spec.method <<= how * 4;
  if (spec.type == COMMY_FRAME_ERROR || spec.type == COMMY_FRAME_CANCEL
      || spec.type == COMMY_FRAME_CLOSE)
    spec.method += how * 100; /* the numbers of errors come by the hundred */
  if (spec.type == COMMY_FRAME_DATA && (how & 1) != 0)
    spec.flags |= COMMY_FRAME_FLAG_RUN;
  payload = choose_size (self);
  if ((type & 64) != 0)
    add_extensions (self, &spec);
  if (commy_channel_is_ordered (spec.type))
    {
      spec.flags |= COMMY_FRAME_FLAG_ORDERED;
      spec.flow = self->flow;
      spec.sequence = choose_sequence (self, how);
    }
  if ((type & 128) != 0)
    spec.ack += (guint32) (gint8) fuzz_take (&self->input, 1);
  prefix = commy_frame_prefix_size (&spec);
  frame = g_malloc0 (prefix + payload);
  commy_frame_write (frame, &spec, payload);
  fill_payload (self, &spec, frame + prefix, payload);
  put (self, frame, prefix + payload);
}

static gsize
put16 (guint8 *at, guint value)
{
  at[0] = (guint8) value;
  at[1] = (guint8) (value >> 8);
  return 2;
}

/* One extension, of any type and of a size that its type may have or not. How many bytes. */
static gsize
make_extension (Fuzz *self, guint8 *at)
{
  static const guint8 types[] = { COMMY_EXT_SIGNATURE,
                                  COMMY_EXT_DWELL,
                                  COMMY_EXT_TRACE,
                                  COMMY_EXT_CORRELATION,
                                  COMMY_EXT_PRIORITY,
                                  COMMY_EXT_HANDLES,
                                  COMMY_EXT_DEADLINE,
                                  COMMY_EXT_IDEMPOTENCY,
                                  COMMY_EXT_SCHEMA,
                                  COMMY_EXT_TRAIN,
                                  0,
                                  7,
                                  140 };
  static const guint8 sizes[] = { 8, 0, 12, 25, 64, 65, 7, 1 };
  guint raw = (guint) fuzz_take (&self->input, 1);
  gsize size = sizes[raw >> 5];
  gsize space = (4 + size + 7) & ~(gsize) 7;

  memset (at, 0, space);
  at[0] = types[(raw & 31) % G_N_ELEMENTS (types)];
  put16 (at + 2, (guint) size);
  /* What follows are zeros: small numbers, and texts that are one. */
  if (size > 0)
    at[4] = (guint8) fuzz_take (&self->input, 1);
  return space;
}

/* A frame with any flags and up to three extensions, one after another. */
static void
send_extensions (Fuzz *self, guint how)
{
  enum
  {
    EXTENSIONS = 3,
    EXT_SPACE = 72
  };
  guint type = (guint) fuzz_take (&self->input, 1);
  guint flags = (guint) fuzz_take (&self->input, 1);
  CommyFrameSpec spec = { .type = (guint8) (type & 31), .ack = self->received };
  guint8 frame[COMMY_FRAME_HEADER_SIZE + EXTENSIONS * EXT_SPACE + 256];
  gsize ext = 0, payload;

  spec.flags = (guint16) (flags & 31);
  spec.stream = choose_stream (self);
  spec.method = (guint32) fuzz_take (&self->input, 1);
  for (guint i = 0; i < MIN (how, EXTENSIONS); i++)
    ext += make_extension (self, frame + COMMY_FRAME_HEADER_SIZE + ext);
  if (commy_channel_is_ordered (spec.type) && (flags & 32) == 0)
    {
      spec.flags |= COMMY_FRAME_FLAG_ORDERED;
      spec.flow = self->flow;
      spec.sequence = ++self->sequence;
    }
  payload = (gsize) fuzz_take (&self->input, 1);
  memset (frame + COMMY_FRAME_HEADER_SIZE + ext, 'a', payload);
  commy_frame_write (frame, &spec, ext + payload);
  put16 (frame + 10, (guint) ext);
  put (self, frame, COMMY_FRAME_HEADER_SIZE + ext + payload);
}

/* Frames as no writer makes them. */
static void
send_bytes (Fuzz *self)
{
  guint8 bytes[96];
  gsize size = (gsize) fuzz_take (&self->input, 1) % sizeof bytes;

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) fuzz_take (&self->input, 1);
  put (self, bytes, size);
}

/* Changes a byte that is on its way. */
static void
spoil (Fuzz *self)
{
  GByteArray *wire = self->path->wire;
  gsize at = (gsize) fuzz_take (&self->input, 2);
  guint8 value = (guint8) fuzz_take (&self->input, 1);

  self->spoilt = TRUE;
  if (wire->len > self->path->read)
    wire->data[self->path->read + at % (wire->len - self->path->read)] ^= value;
}

/* --- the peer takes --- */

static void
take_frame (Fuzz *self, GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  CommyFrame frame;

  FUZZ_CHECK (commy_frame_parse (data, size, FUZZ_PAYLOAD_MAX, &frame) == COMMY_FRAME_OK);
  if (frame.type == COMMY_FRAME_CALL)
    self->streams[self->n_streams++ % FUZZ_STREAMS_SEEN] = frame.stream;
  FUZZ_CHECK (((frame.flags & COMMY_FRAME_FLAG_ORDERED) != 0)
              == commy_channel_is_ordered (frame.type));
  if ((frame.flags & COMMY_FRAME_FLAG_ORDERED) == 0)
    return;
  FUZZ_CHECK (self->refused || frame.sequence == self->received + 1);
  self->received = frame.sequence;
}

static void
take_frames (Fuzz *self, guint n)
{
  while (n-- > 0 && self->path->out.length > 0)
    {
      g_autoptr (GBytes) bytes = g_queue_pop_head (&self->path->out);

      self->path->out_bytes -= g_bytes_get_size (bytes);
      take_frame (self, bytes);
    }
}

/* --- paths come and go --- */

static void
lose_path (Fuzz *self, guint how)
{
  if ((how & 1) != 0 && commy_channel_can_move (self->channel) && !self->channel->moves.adrift)
    commy_channel_cast_off (self->channel);
  else if ((how & 4) != 0)
    self->path->deaf = TRUE;
  else
    self->path->ended = TRUE;
}

/* The peer comes back over another path and says what it has: the truth, less, or more. */
static void
land (Fuzz *self, guint how)
{
  CommyNewPath *path;
  gint8 lie = how >= 6 ? (gint8) fuzz_take (&self->input, 1) : 0;

  if (self->channel->closed || !self->channel->moves.adrift || self->channel->span != NULL)
    return;
  path = g_new0 (CommyNewPath, 1);
  path->transport = make_path (self, how);
  path->connection = fuzz_path_connect (self->path);
  if (!commy_path_can_tell (path->transport, path->connection))
    self->path->keeps = TRUE;
  path->number = commy_channel_next_move (self->channel);
  path->received = self->received + (guint32) lie;
  path->peer_keeps = (how & 4) != 0;
  path->peer_cpu = -1;
  path->peer = commy_principal_ref (self->peer);
  self->sequence = self->channel->rx_sequence;
  self->received += (guint32) lie;
  commy_channel_land (self->channel, path);
  self->refused = lie != 0 && self->channel->closed;
}

/* --- what must hold --- */

static gsize
inbox_bytes (const CommyPipe *pipe)
{
  gsize bytes = 0;

  for (GList *at = pipe->inbox.head; at != NULL; at = at->next)
    bytes += g_bytes_get_size (((const CommyPipeMessage *) at->data)->bytes)
             + COMMY_FRAME_STREAM_COST;
  return bytes;
}

static void
check_limits (Fuzz *self)
{
  CommyChannel *channel = self->channel;

  /* What is sent again was within a limit before; what was being written when the path went is one
   * message more. A peer that lied about what it has finds the same, closed. */
  FUZZ_CHECK (channel->moves.n_moves > 0 || channel->moves.adrift || self->refused
              || channel->backlog_bytes <= LIMIT_BACKLOG);
  FUZZ_CHECK (channel->moves.n_moves > 0 || self->refused
              || channel->backlog_bytes <= LIMIT_BACKLOG + FUZZ_PAYLOAD_MAX + OVERHEAD);
  FUZZ_CHECK (channel->deferred_bytes <= LIMIT_BACKLOG);
  FUZZ_CHECK (channel->deferred.length <= LIMIT_PENDING);
  FUZZ_CHECK (channel->methods_in->len <= LIMIT_METHODS);
  FUZZ_CHECK (channel->pending.n_used <= LIMIT_PENDING);
  FUZZ_CHECK (channel->unanswered <= LIMIT_PENDING);
  FUZZ_CHECK (channel->pipes == NULL || g_hash_table_size (channel->pipes) <= LIMIT_STREAMS);
  FUZZ_CHECK (channel->scratch_size <= FUZZ_PAYLOAD_MAX + OVERHEAD);
  FUZZ_CHECK (channel->trains_in.n <= COMMY_TRAINS_OPEN_MAX);
  FUZZ_CHECK (channel->trains_in.bytes
              <= 2 * (FUZZ_PAYLOAD_MAX + OVERHEAD) + OVERHEAD * channel->trains_in.n);
  for (guint i = 0; i < self->app.pipes->len; i++)
    FUZZ_CHECK (inbox_bytes (self->app.pipes->pdata[i])
                <= (gsize) self->shared.stream_window + FUZZ_PAYLOAD_MAX + COMMY_FRAME_STREAM_COST);
  FUZZ_CHECK (self->spoilt || self->app.n_delivered <= self->n_sent);
  FUZZ_CHECK (self->spoilt
              || commy_counters_get (&channel->counters, COMMY_COUNT_RECEIVED) <= self->n_sent);
}

/* --- a step --- */

static void
toggle_sync (Fuzz *self)
{
  self->in_sync = !self->in_sync;
  if (self->in_sync)
    commy_worker_enter_sync (self->worker);
  else
    commy_worker_leave_sync (self->worker);
}

static void
serve (Fuzz *self, guint how)
{
  guint events;

  if (how < 4)
    commy_worker_turn (self->worker);
  else if (how < 6)
    commy_channel_poll (self->channel);
  else if (how == 6)
    commy_channel_push (self->channel);
  else if (!self->channel->closed)
    commy_channel_arm (self->channel, &events);
}

static void
pass_time (Fuzz *self, guint how)
{
  self->now_ns += (gint64) fuzz_take (&self->input, 1) << (how * 4);
  commy_channel_expire (self->channel, self->now_ns);
}

static void
step (Fuzz *self)
{
  guint op = (guint) fuzz_take (&self->input, 1);
  guint how = op >> 5;
  guint which = op & 31;

  if (which < 8)
    send_frame (self, how);
  else if (which < 11)
    fuzz_path_arrive (self->path, which == 8 ? G_MAXSIZE : (gsize) fuzz_take (&self->input, 1));
  else if (which < 14)
    serve (self, how);
  else if (which < 16)
    take_frames (self, 1 + how * how);
  else if (which < 26)
    fuzz_app_act (&self->app, which - 16, how, &self->input);
  else if (which == 26)
    self->path->room = how == 0 ? G_MAXSIZE / 2 : (gsize) fuzz_take (&self->input, 1) << how;
  else if (which == 27)
    pass_time (self, how);
  else if (which == 28)
    lose_path (self, how);
  else if (which == 29)
    land (self, how);
  else if (which == 30)
    toggle_sync (self);
  else if (how == 0)
    send_bytes (self);
  else if (how < 5)
    send_extensions (self, how - 1);
  else
    spoil (self);
}

static void
run (Fuzz *self)
{
  for (guint i = 0; i < STEPS_MAX && self->input.left > 0; i++)
    {
      commy_worker_enter (self->worker);
      step (self);
      check_limits (self);
      commy_worker_exit (self->worker);
    }
  commy_worker_enter (self->worker);
  if (self->in_sync)
    toggle_sync (self);
  fuzz_app_clear (&self->app);
  commy_worker_exit (self->worker);
}

/* What the peer does is told at any time, and nobody reads it here; what should never be ends the
 * run. */
static GLogWriterOutput
on_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  if ((level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) == 0)
    return G_LOG_WRITER_HANDLED;
  g_log_writer_default (level, fields, n_fields, data);
  __builtin_trap ();
}

/* Done once in a process, so that no input is the one that does it. */
static void __attribute__ ((constructor)) prepare_process (void)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_FAILED, "no");
  g_log_set_writer_func (on_log, NULL, NULL);
}

/* The lowest number that is free: a leak raises it. */
static int
next_fd (void)
{
  int fd = dup (STDERR_FILENO);

  close (fd);
  return fd;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Fuzz *self = g_new0 (Fuzz, 1);
  int fd = next_fd ();

  self->input = (FuzzInput){ .at = data, .left = size };
  make_surroundings (self, (guint) fuzz_take (&self->input, 1));
  make_channel (self, (guint) fuzz_take (&self->input, 1));
  run (self);
  clear_surroundings (self);
  FUZZ_CHECK (next_fd () == fd);
  return 0;
}
