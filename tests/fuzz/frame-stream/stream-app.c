/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The application on the channel: methods whose names begin with another letter do another thing
 * with a call. It answers at once, later or never, keeps what it was lent, reads streams slowly,
 * and closes the channel from inside.
 */
#include "config.h"

#include "stream-fuzz.h"

#include <string.h>

#define LATER_NS 1000000000ll

static const guint8 filler[FUZZ_PAYLOAD_MAX] = { 1 };

/* --- calls that came --- */

static void
answer (CommyChannel *channel, const CommyFrame *frame, gconstpointer payload, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_REPLY,
                          .flags = frame->flags & COMMY_FRAME_FLAG_STREAM,
                          .stream = frame->stream };

  if (frame->type == COMMY_FRAME_CALL)
    commy_channel_send (channel, &spec, payload, size, TRUE);
}

static void
look_at (const guint8 *payload, gsize size)
{
  volatile guint sum = 0;

  for (gsize i = 0; i < size; i++)
    sum += payload[i];
  (void) sum;
}

static gpointer
app_resolve (gpointer data, const char *method)
{
  return method[0] == '-' ? NULL : GINT_TO_POINTER ((guint8) method[0]);
}

static void
keep_call (FuzzApp *self, CommyChannel *channel, CommyIncoming *incoming)
{
  CommyIncoming *kept;

  if (incoming->frame.type == COMMY_FRAME_CALL && !commy_channel_begin_answer (channel))
    {
      commy_channel_refuse_call (channel, incoming, COMMY_DROP_BUSY, COMMY_ERROR_BUSY, "busy");
      return;
    }
  kept = g_new0 (CommyIncoming, 1);
  commy_incoming_steal (channel, incoming, kept);
  g_ptr_array_add (self->calls, kept);
}

static void
on_pipe_changed (gpointer owner)
{
}

static void
on_pipe_answered (gpointer owner, CommyChannel *channel, CommyIncoming *incoming)
{
  FuzzApp *self = owner;

  self->n_delivered++;
  look_at (commy_incoming_payload (incoming), incoming->frame.payload_size);
}

static const CommyPipeOwner pipe_owner
    = { .changed = on_pipe_changed, .answered = on_pipe_answered };

static void
own_pipe (FuzzApp *self, CommyPipe *pipe)
{
  commy_pipe_own (pipe, &pipe_owner, self);
  g_ptr_array_add (self->pipes, commy_pipe_ref (pipe));
}

static void
app_call (gpointer data, CommyChannel *channel, gpointer method, CommyIncoming *incoming)
{
  FuzzApp *self = data;
  const CommyFrame *frame = &incoming->frame;
  const guint8 *payload = commy_incoming_payload (incoming);
  CommyPipe *pipe = (frame->flags & COMMY_FRAME_FLAG_STREAM) != 0
                        ? commy_channel_find_pipe (channel, frame->stream)
                        : NULL;

  self->n_delivered++;
  look_at (payload, frame->payload_size);
  if (pipe != NULL && GPOINTER_TO_UINT (method) % 8 != 6)
    {
      own_pipe (self, pipe);
      return;
    }
  switch (GPOINTER_TO_UINT (method) % 8)
    {
    case 0:
      answer (channel, frame, payload, frame->payload_size);
      break;
    case 1:
      commy_channel_send_error (channel, frame->stream, COMMY_ERROR_FAILED, TRUE, "no");
      break;
    case 2:
      keep_call (self, channel, incoming);
      break;
    case 3:
      g_ptr_array_add (self->payloads, commy_incoming_dup_payload (channel, incoming));
      break;
    case 4:
      answer (channel, frame, filler, FUZZ_PAYLOAD_MAX);
      break;
    case 5:
      commy_channel_close (channel, NULL);
      break;
    case 6:
      break;
    default:
      commy_channel_drain (channel);
      break;
    }
}

static void
app_cancelled (gpointer data, CommyChannel *channel, guint32 stream)
{
}

void
fuzz_app_on_closed (gpointer data, CommyChannel *channel)
{
  FUZZ_CHECK (++((FuzzApp *) data)->n_closed == 1);
}

const CommyChannelHandler fuzz_handler = {
  .resolve = app_resolve, .call = app_call, .cancelled = app_cancelled, .closed = fuzz_app_on_closed
};

/* --- calls of its own --- */

/* What an application may ask of a message besides: each in turn, and all together. */
static void
dress (CommyFrameSpec *spec, guint how)
{
  spec->priority = (guint8) how;
  if ((how & 1) != 0)
    spec->deadline_ns = LATER_NS;
  if ((how & 2) != 0)
    {
      spec->signature = "(ii)";
      spec->signature_size = 4;
    }
}

static void
on_ended (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  FuzzApp *self = data;

  self->n_ended++;
  FUZZ_CHECK ((incoming != NULL) != (error != NULL));
  if (incoming == NULL)
    return;
  self->n_delivered++;
  look_at (commy_incoming_payload (incoming), incoming->frame.payload_size);
  if ((incoming->frame.payload_size & 1) != 0)
    g_ptr_array_add (self->payloads, commy_incoming_dup_payload (channel, incoming));
}

static void
call (FuzzApp *self, guint dressed, FuzzInput *input)
{
  const char name[2] = { (char) ('a' + fuzz_take (input, 1) % 12), '\0' };
  guint8 how = (guint8) fuzz_take (input, 1);
  CommyFrameSpec spec = { .type = (how & 1) != 0 ? COMMY_FRAME_ONEWAY : COMMY_FRAME_CALL };
  gsize size = (how & 2) != 0 ? FUZZ_PAYLOAD_MAX - (how >> 2) : how;
  gint64 deadline = commy_env_now (self->channel->shared->env) + LATER_NS;

  if (self->channel->closed || self->channel->accepting)
    return;
  dress (&spec, dressed);
  spec.method = commy_channel_method (self->channel, name, NULL);
  if (spec.method == 0 || self->channel->closed)
    return;
  if (spec.type == COMMY_FRAME_CALL)
    spec.stream = commy_channel_expect (self->channel, deadline, on_ended, self);
  if (spec.type == COMMY_FRAME_CALL && spec.stream == 0)
    return;
  self->n_expected += spec.stream != 0;
  if (commy_channel_send (self->channel, &spec, filler, size, spec.stream == 0) == COMMY_IO_OK)
    commy_channel_mark_sent (self->channel, spec.stream);
  else if (commy_pending_find (&self->channel->pending, spec.stream) != NULL)
    {
      commy_channel_forget (self->channel, spec.stream);
      self->n_ended++;
    }
}

static void
open_stream (FuzzApp *self, FuzzInput *input)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .flags = COMMY_FRAME_FLAG_STREAM };
  g_autoptr (CommyPipe) pipe = NULL;

  if (self->channel->closed || self->channel->accepting)
    return;
  spec.method = commy_channel_method (self->channel, "s", NULL);
  if (spec.method == 0 || self->channel->closed)
    return;
  pipe = commy_pipe_open (self->channel, commy_env_now (self->channel->shared->env) + LATER_NS,
                          NULL);
  if (pipe == NULL)
    return;
  spec.stream = pipe->id;
  own_pipe (self, pipe);
  if (commy_channel_send (self->channel, &spec, filler, (gsize) fuzz_take (input, 1), FALSE)
      == COMMY_IO_OK)
    commy_pipe_opened (pipe);
  else
    commy_pipe_close (pipe);
}

/* --- streams --- */

static void
write_message (CommyPipe *pipe, guint dressed, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_DATA, .stream = pipe->id };

  dress (&spec, dressed & 6); /* no message of a stream has a deadline */
  if (!pipe->is_open || pipe->tx_ended || pipe->tx_credit <= 0)
    return;
  if (commy_channel_send (pipe->channel, &spec, filler, size, FALSE) == COMMY_IO_OK)
    commy_pipe_charge (pipe, size);
  else
    commy_pipe_await_room (pipe);
}

static void
read_message (FuzzApp *self, CommyPipe *pipe)
{
  g_autoptr (CommyPipeMessage) message = commy_pipe_take (pipe);
  gsize size;
  gconstpointer data;

  if (message == NULL)
    return;
  self->n_delivered++;
  data = g_bytes_get_data (message->bytes, &size);
  look_at (data, size);
  commy_pipe_give_back (pipe, size);
}

static void
finish_stream (CommyPipe *pipe)
{
  const CommyFrame frame
      = { .type = COMMY_FRAME_CALL, .flags = COMMY_FRAME_FLAG_STREAM, .stream = pipe->id };

  if (pipe->is_open && pipe->accepting)
    {
      answer (pipe->channel, &frame, NULL, 0);
      commy_pipe_close (pipe);
    }
  else
    commy_pipe_abort (pipe, COMMY_ERROR_CANCELLED, "enough");
}

static void
act_on_stream (FuzzApp *self, guint what, guint how, FuzzInput *input)
{
  guint8 raw = (guint8) fuzz_take (input, 1);
  g_autoptr (CommyPipe) pipe = NULL;

  if (self->pipes->len == 0)
    return;
  pipe = commy_pipe_ref (self->pipes->pdata[raw % self->pipes->len]);
  switch (what)
    {
    case 0:
      read_message (self, pipe);
      break;
    case 1:
      write_message (pipe, how, (raw & 64) != 0 ? FUZZ_PAYLOAD_MAX - raw : raw);
      break;
    case 2:
      commy_pipe_end_write (pipe);
      break;
    default:
      finish_stream (pipe);
      pipe->owner = NULL;
      g_ptr_array_remove_fast (self->pipes, pipe);
      break;
    }
}

/* --- what it does by itself --- */

static void
answer_later (FuzzApp *self, guint8 raw)
{
  CommyIncoming *kept;

  if (self->calls->len == 0)
    return;
  kept = g_ptr_array_steal_index_fast (self->calls, raw % self->calls->len);
  look_at (commy_incoming_payload (kept), kept->frame.payload_size);
  if (!self->channel->closed)
    answer (self->channel, &kept->frame, commy_incoming_payload (kept), kept->frame.payload_size);
  if (kept->frame.type == COMMY_FRAME_CALL)
    commy_channel_end_answer (self->channel);
  commy_incoming_release (self->channel, kept);
  g_free (kept);
}

static void
give_payload_back (FuzzApp *self, guint8 raw)
{
  if (self->payloads->len > 0)
    g_ptr_array_remove_index_fast (self->payloads, raw % self->payloads->len);
}

/* A message that is written over some steps, while anything else may happen; a large one leaves in
 * pieces. */
static void
begin_building (FuzzApp *self, guint8 raw)
{
  gsize size = raw >= 128 ? FUZZ_PAYLOAD_MAX - raw : raw;
  CommySpan span;

  self->built = (CommyFrameSpec){ .type = COMMY_FRAME_REPLY, .stream = 1 };
  if (commy_channel_reserve (self->channel, &self->built, size, &span) != COMMY_IO_OK)
    return;
  commy_channel_pin (self->channel);
  memset (span.data, 'b', size);
  self->building = size;
}

static void
end_building (FuzzApp *self, guint8 raw)
{
  gsize used = raw >= 128 ? self->building : MIN (raw, self->building);

  if ((raw & 1) != 0 || self->channel->closed)
    commy_channel_abandon (self->channel);
  else
    {
      commy_channel_commit (self->channel, &self->built, used);
      commy_channel_flush (self->channel);
    }
  commy_channel_unpin (self->channel);
}

static void
build (FuzzApp *self, guint8 raw)
{
  if (commy_channel_is_reserved (self->channel))
    end_building (self, raw);
  else
    begin_building (self, raw);
}

void
fuzz_app_act (FuzzApp *self, guint what, guint how, FuzzInput *input)
{
  guint32 ping;

  switch (what)
    {
    case 0:
      call (self, how, input);
      break;
    case 1:
      open_stream (self, input);
      break;
    case 2:
    case 3:
    case 4:
    case 5:
      act_on_stream (self, what - 2, how, input);
      break;
    case 6:
      answer_later (self, (guint8) fuzz_take (input, 1));
      break;
    case 7:
      give_payload_back (self, (guint8) fuzz_take (input, 1));
      break;
    case 8:
      build (self, (guint8) fuzz_take (input, 1));
      break;
    default:
      if (!self->channel->closed)
        commy_channel_ping (self->channel, filler, (gsize) fuzz_take (input, 1), &ping);
      break;
    }
}

gboolean
fuzz_app_on_adrift (gpointer data, CommyChannel *channel, const GError *error)
{
  return ((FuzzApp *) data)->want_paths;
}

void
fuzz_app_init (FuzzApp *self, CommyChannel *channel)
{
  self->channel = commy_channel_ref (channel);
  self->calls = g_ptr_array_new ();
  self->payloads = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  self->pipes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_pipe_unref);
}

void
fuzz_app_clear (FuzzApp *self)
{
  if (commy_channel_is_reserved (self->channel))
    end_building (self, 1);
  commy_channel_close (self->channel, NULL);
  FUZZ_CHECK (self->n_closed == 1);
  FUZZ_CHECK (self->n_expected == self->n_ended);
  while (self->calls->len > 0)
    answer_later (self, 0);
  g_ptr_array_unref (self->calls);
  g_ptr_array_unref (self->payloads);
  for (guint i = 0; i < self->pipes->len; i++)
    {
      CommyPipe *pipe = self->pipes->pdata[i];

      FUZZ_CHECK (!pipe->is_open);
      pipe->owner = NULL;
    }
  g_ptr_array_unref (self->pipes);
  commy_channel_unref (self->channel);
}
