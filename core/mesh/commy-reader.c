/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One subscriber, on its publisher's side: its stream, what waits for it, and its policy when it
 * does not keep up. `offered = sent + dropped (reason) + waiting` holds all the time.
 */
#include "config.h"

#include "mesh/commy-publisher-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define LONGEST_PARK_NS (60 * INT64_C (1000000000))

/* --- life --- */

CommyReader *
commy_reader_ref (CommyReader *reader)
{
  g_atomic_ref_count_inc (&reader->refs);
  return reader;
}

void
commy_reader_unref (gpointer data)
{
  CommyReader *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_assert (self->ended && self->invocation == NULL);
  commy_post_queue_clear (&self->replay);
  commy_post_queue_clear (&self->waiting);
  g_object_unref (self->stream);
  g_free (self);
}

static void
drop (CommyReader *self, CommyDrop reason, guint n)
{
  CommyPublisher *publisher = self->publisher;

  if (n == 0)
    return;
  self->reasons[reason] += n;
  commy_topic_count (&publisher->counts->dropped, n);
  commy_ledger_add (&publisher->mesh->ledger, reason, n, publisher->endpoint);
}

static void
drop_waiting (CommyReader *self, CommyDrop reason)
{
  drop (self, reason, self->replay.length + self->waiting.length);
  commy_post_queue_clear (&self->replay);
  commy_post_queue_clear (&self->waiting);
}

void
commy_reader_end (CommyReader *self, CommyDrop reason, guint32 code, const char *text)
{
  CommyInvocation *invocation = g_steal_pointer (&self->invocation);

  if (self->ended)
    return;
  self->ended = TRUE;
  commy_reader_ref (self);
  drop_waiting (self, reason);
  commy_stream_watch (self->stream, NULL, NULL);
  if (code != 0)
    commy_pipe_abort (self->stream->pipe, code, text);
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(t)", self->publisher->counts->published));
  commy_publisher_sweep (self->publisher);
  commy_reader_unref (self);
}

/* Credit, room, or the end. */
static void
on_changed (gpointer data)
{
  CommyReader *self = data;
  const CommyPipe *pipe = self->stream->pipe;

  if (!pipe->is_open)
    commy_reader_end (self,
                      g_error_matches (pipe->error, COMMY_ERROR, COMMY_ERROR_CANCELLED)
                          ? COMMY_DROP_CANCELLED
                      : commy_channel_is_hung (pipe->channel) ? COMMY_DROP_HUNG
                                                              : COMMY_DROP_PEER_GONE,
                      0, NULL);
  else
    commy_reader_pump (self);
}

/* The last @n of the publisher's history, or what a subscriber that comes again has missed. */
static guint
replay (CommyReader *self, const CommySubscribeRequest *request)
{
  const CommyPublisher *publisher = self->publisher;
  const CommyPostQueue *history = &publisher->history;
  gboolean again = strcmp (request->publisher, publisher->id) == 0;
  guint first = history->length - MIN (request->history, history->length);

  for (guint i = 0; again && i <= history->length; i++)
    if (i == history->length || commy_post_queue_get (history, i)->sequence > request->after)
      {
        first = i;
        break;
      }
  commy_post_queue_init (&self->replay, G_MAXUINT, G_MAXSIZE);
  for (guint i = first; i < history->length; i++)
    commy_post_queue_push (&self->replay, commy_post_queue_get (history, i));
  return history->length - first;
}

static void
greet (CommyReader *self)
{
  CommyPipe *pipe = self->stream->pipe;
  CommyFrameSpec spec = { .type = COMMY_FRAME_DATA, .stream = pipe->id };
  CommyTopicGreeting greeting
      = { .next = self->publisher->counts->published + 1, .replay = self->replay.length };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  CommyPlugin *serializer;
  gsize size;

  g_strlcpy (greeting.publisher, self->publisher->id, sizeof greeting.publisher);
  value = g_variant_ref_sink (commy_topic_greeting_write (&greeting));
  serializer = commy_stream_serializer_for (self->stream, COMMY_CAP_VALUES, &error);
  if (serializer != NULL
      && commy_payload_send (pipe->channel, &spec, serializer, value, NULL, NULL, TRUE, &size,
                             &error)
             == COMMY_IO_OK)
    commy_pipe_charge (pipe, size);
  else
    commy_reader_end (self, COMMY_DROP_BUSY, (guint32) error->code, commy_error_bare (error));
}

CommyReader *
commy_reader_new (CommyPublisher *publisher,
                  CommyInvocation *invocation,
                  const CommySubscribeRequest *request)
{
  CommyReader *self = g_new0 (CommyReader, 1);
  CommyMesh *mesh = publisher->mesh;
  const char *node;

  g_atomic_ref_count_init (&self->refs);
  self->publisher = publisher;
  self->invocation = invocation;
  self->stream = g_object_ref (commy_invocation_get_stream (invocation));
  self->policy = request->policy;
  commy_post_queue_init (&self->waiting,
                         self->policy == COMMY_SLOW_LATEST
                             ? 1
                             : MIN (request->depth, (guint) commy_config_get_int (
                                                        mesh->config, "limits", "topic-depth")),
                         commy_config_get_size (mesh->config, "limits", "topic-memory"));
  self->offered = replay (self, request);
  node = commy_channel_get_peer_node (self->stream->pipe->channel);
  self->unable = strcmp (node, mesh->node) == 0
                 && commy_mesh_subscribes_on (mesh, publisher->topic, publisher->worker);
  commy_stream_watch (self->stream, on_changed, self);
  greet (self);
  commy_reader_pump (self);
  return self;
}

/* --- sending --- */

/* The serializer that the stream's two sides use for such publications. */
static CommyPlugin *
serializer_for (CommyReader *self, const CommyPost *post, GError **error)
{
  CommyPlugin **kept = &self->serializers[post->value != NULL ? 0 : 1];

  if (G_UNLIKELY (*kept == NULL))
    *kept = commy_stream_serializer_for (
        self->stream, post->value != NULL ? COMMY_CAP_VALUES : COMMY_CAP_BYTES, error);
  return *kept;
}

static CommyIo
send_copy (CommyReader *self, CommyFrameSpec *spec, const guint8 *data, gsize size)
{
  CommyChannel *channel = self->stream->pipe->channel;
  CommySpan span;
  CommyIo io = commy_channel_reserve (channel, spec, size, &span);

  if (io != COMMY_IO_OK)
    return io;
  if (size > 0)
    memcpy (span.data, data, size);
  return commy_channel_commit (channel, spec, size);
}

/* Where it lies, if the subscriber may read it there; else as bytes that are kept while they wait.
 */
static CommyIo
send_large (
    CommyReader *self, CommyFrameSpec *spec, CommyPost *post, CommyPlugin *serializer, gsize size)
{
  CommyChannel *channel = self->stream->pipe->channel;
  CommyBuffer *shared = commy_post_shared (post, serializer, channel);
  g_autoptr (GBytes) bytes = NULL;

  if (shared != NULL)
    {
      CommyIo io = commy_channel_send_shared (channel, spec, shared, size);

      if (io != COMMY_IO_UNSUPPORTED)
        return io;
    }
  bytes = commy_post_dup_payload (post, serializer, NULL);
  return commy_channel_send_bytes (channel, spec, bytes, FALSE);
}

/* Sends one publication to this subscriber: the one place where what all share becomes a message of
 * one path. WOULD_BLOCK: no credit, or no room, for which the pipe then waits. */
static CommyIo
send_post (CommyReader *self, CommyPost *post)
{
  CommyPipe *pipe = self->stream->pipe;
  CommyFrameSpec spec
      = { .type = COMMY_FRAME_DATA, .stream = pipe->id, .method = (guint32) post->sequence };
  CommyPlugin *serializer;
  const guint8 *data;
  gsize size;
  CommyIo io;

  if (pipe->tx_credit <= 0)
    return COMMY_IO_WOULD_BLOCK;
  if (!pipe->is_open)
    return COMMY_IO_CLOSED;
  serializer = serializer_for (self, post, NULL);
  if (serializer == NULL || !commy_post_payload (post, serializer, &data, &size, NULL))
    return COMMY_IO_UNSUPPORTED;
  spec.serializer = commy_channel_wire_of (pipe->channel, serializer);
  if (post->value != NULL)
    {
      spec.signature = g_variant_get_type_string (post->value);
      spec.signature_size = strlen (spec.signature);
    }
  io = size < COMMY_POOL_FROM ? send_copy (self, &spec, data, size)
                              : send_large (self, &spec, post, serializer, size);
  if (io == COMMY_IO_OK)
    commy_pipe_charge (pipe, size);
  else if (io == COMMY_IO_WOULD_BLOCK)
    commy_pipe_await_room (pipe);
  return io;
}

/* The same with what follows from it. Whether the publication need not be kept for later. */
static gboolean
settle_post (CommyReader *self, CommyPost *post)
{
  CommyIo io = send_post (self, post);

  switch (io == COMMY_IO_WOULD_BLOCK && self->ended ? COMMY_IO_CLOSED : io)
    {
    case COMMY_IO_OK:
      self->sent++;
      self->unflushed = TRUE;
      self->stalled = FALSE;
      commy_topic_count (&self->publisher->counts->sent, 1);
      return TRUE;
    case COMMY_IO_WOULD_BLOCK:
      return FALSE;
    case COMMY_IO_TOO_BIG:
      drop (self, COMMY_DROP_TOO_BIG, 1);
      return TRUE;
    case COMMY_IO_UNSUPPORTED:
      drop (self, COMMY_DROP_MALFORMED, 1);
      return TRUE;
    default:
      drop (self, COMMY_DROP_PEER_GONE, 1);
      return TRUE;
    }
}

static gboolean
pump_queue (CommyReader *self, CommyPostQueue *queue)
{
  CommyPost *post;

  while (!self->ended && (post = commy_post_queue_pop (queue)) != NULL)
    {
      if (!settle_post (self, post))
        {
          commy_post_queue_put_back (queue, post);
          return FALSE;
        }
      commy_post_unref (post);
    }
  return TRUE;
}

void
commy_reader_pump (CommyReader *self)
{
  commy_reader_ref (self);
  if (pump_queue (self, &self->replay))
    pump_queue (self, &self->waiting);
  if (!self->publisher->walking)
    commy_reader_flush (self);
  commy_reader_unref (self);
}

void
commy_reader_flush (CommyReader *self)
{
  CommyChannel *channel = self->stream->pipe->channel;

  if (!self->unflushed)
    return;
  self->unflushed = FALSE;
  if (commy_channel_flush (channel) == COMMY_IO_WOULD_BLOCK)
    commy_worker_set_hot (commy_channel_get_worker (channel), channel);
}

gboolean
commy_reader_is_idle (const CommyReader *self)
{
  return self->replay.length + self->waiting.length == 0;
}

/* --- slow ones --- */

/* Taking messages here disarms the path: the loop must arm it again. */
gboolean
commy_reader_poll (CommyReader *self)
{
  CommyChannel *channel = self->stream->pipe->channel;

  commy_worker_set_hot (commy_channel_get_worker (channel), channel);
  return commy_channel_poll (channel);
}

gboolean
commy_reader_wait (CommyReader *self, gint64 deadline_ns)
{
  CommyPipe *pipe = self->stream->pipe;
  CommyChannel *channel = pipe->channel;
  guint32 kick_seen = commy_channel_kick_seen (channel);
  guint64 sent = self->sent;
  gint64 now;
  gboolean room;

  commy_reader_flush (self);
  if (commy_reader_poll (self) || self->ended)
    return TRUE;
  now = commy_env_now (commy_channel_get_shared (channel)->env);
  if (now >= deadline_ns)
    return FALSE;
  room = commy_channel_push (channel) || pipe->room_waits;
  /* What just went into the path, of whatever stream, must be known to who shall make room. */
  self->unflushed = TRUE;
  commy_reader_flush (self);
  if (self->sent != sent || self->ended)
    return TRUE;
  commy_channel_wait (channel, MIN (deadline_ns, now + LONGEST_PARK_NS), room, kick_seen);
  return TRUE;
}

/* Whether there is a place for @post now. */
static gboolean
await_place (CommyReader *self, CommyPost *post, gint64 deadline_ns)
{
  gboolean may_wait = !self->stalled && !self->unable;

  while (!self->ended && commy_post_queue_is_full (&self->waiting, post->size))
    {
      if (!may_wait || !commy_reader_wait (self, deadline_ns))
        {
          self->stalled = TRUE;
          return FALSE;
        }
      commy_reader_pump (self);
    }
  return !self->ended;
}

static void
drop_oldest (CommyReader *self, gsize size)
{
  while (commy_post_queue_is_full (&self->waiting, size))
    {
      commy_post_unref (commy_post_queue_pop (&self->waiting));
      drop (self, COMMY_DROP_BUSY, 1);
    }
}

static void
fall_behind (CommyReader *self)
{
  g_autofree char *why
      = g_strdup_printf ("the subscriber fell behind: %u publications of %s wait for it",
                         self->waiting.length, self->publisher->topic);

  drop (self, COMMY_DROP_BUSY, 1);
  commy_reader_end (self, COMMY_DROP_BUSY, COMMY_ERROR_BUSY, why);
}

/* @post cannot go now. */
static void
let_wait (CommyReader *self, CommyPost *post, gint64 deadline_ns)
{
  switch (self->policy)
    {
    case COMMY_SLOW_BLOCK:
      if (await_place (self, post, deadline_ns))
        break;
      drop (self, self->ended ? COMMY_DROP_PEER_GONE : COMMY_DROP_DEADLINE, 1);
      return;
    case COMMY_SLOW_ERROR:
      if (!commy_post_queue_is_full (&self->waiting, post->size))
        break;
      fall_behind (self);
      return;
    case COMMY_SLOW_DROP_OLDEST:
    case COMMY_SLOW_LATEST:
    default:
      drop_oldest (self, post->size);
      break;
    }
  commy_post_queue_push (&self->waiting, post);
  if (self->policy == COMMY_SLOW_BLOCK)
    commy_reader_pump (self); /* waiting may have brought credit for it, too */
}

void
commy_reader_offer (CommyReader *self, CommyPost *post, gint64 deadline_ns)
{
  CommyPipe *pipe = self->stream->pipe;

  if (self->ended)
    return;
  commy_reader_ref (self);
  self->offered++;
  /* Credit may be here and not looked at. */
  while (pipe->tx_credit <= 0 && pipe->is_open && commy_reader_poll (self))
    ;
  if (!self->ended)
    commy_reader_pump (self);
  if (self->ended)
    drop (self, COMMY_DROP_PEER_GONE, 1);
  else if (!commy_reader_is_idle (self) || !settle_post (self, post))
    let_wait (self, post, deadline_ns);
  commy_reader_unref (self);
}

/* --- telling --- */

GVariant *
commy_reader_describe (CommyReader *self)
{
  CommyChannel *channel = self->stream->pipe->channel;
  static const char *const policies[] = { "", "block", "drop-oldest", "latest", "error" };
  guint64 dropped = 0;
  GVariantBuilder builder, reasons;

  g_variant_builder_init (&reasons, G_VARIANT_TYPE ("a{st}"));
  for (guint i = 0; i < COMMY_DROP_LAST; i++)
    if (self->reasons[i] > 0)
      {
        dropped += self->reasons[i];
        g_variant_builder_add (&reasons, "{st}", commy_drop_to_string (i), self->reasons[i]);
      }
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (
      &builder, "{sv}", "principal",
      g_variant_new_string (commy_principal_get_name (commy_channel_get_peer (channel))));
  g_variant_builder_add (&builder, "{sv}", "node",
                         g_variant_new_string (commy_channel_get_peer_node (channel)));
  g_variant_builder_add (&builder, "{sv}", "transport",
                         g_variant_new_string (commy_channel_get_transport (channel)));
  g_variant_builder_add (&builder, "{sv}", "policy", g_variant_new_string (policies[self->policy]));
  g_variant_builder_add (&builder, "{sv}", "depth",
                         g_variant_new_uint32 (self->waiting.max_length));
  g_variant_builder_add (&builder, "{sv}", "waiting",
                         g_variant_new_uint32 (self->replay.length + self->waiting.length));
  g_variant_builder_add (&builder, "{sv}", "offered", g_variant_new_uint64 (self->offered));
  g_variant_builder_add (&builder, "{sv}", "sent", g_variant_new_uint64 (self->sent));
  g_variant_builder_add (&builder, "{sv}", "dropped", g_variant_new_uint64 (dropped));
  g_variant_builder_add (&builder, "{sv}", "reasons", g_variant_builder_end (&reasons));
  return g_variant_builder_end (&builder);
}
