/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: what applications hold of a pipe. Values and bytes, what the interface says about
 * them, who may write, and the end. Operations that wait are in commy-stream-sync.c and
 * commy-stream-async.c.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

#include <string.h>

G_DEFINE_FINAL_TYPE (CommyStream, commy_stream, G_TYPE_OBJECT)

/* --- life --- */

static CommyWorker *
worker_of (CommyStream *self)
{
  return commy_channel_get_worker (self->pipe->channel);
}

static gboolean
is_here (CommyStream *self)
{
  return self->thread == g_thread_self () || commy_worker_is_home (worker_of (self));
}

static void
release_peer (CommyStream *self)
{
  if (self->peer == NULL)
    return;
  commy_peer_end (self->peer);
  g_clear_pointer (&self->peer, commy_peer_unref);
}

/* Inside the worker: nobody reads or writes any more. */
static void
detach (CommyStream *self)
{
  CommyPipe *pipe = self->pipe;

  commy_pipe_own (pipe, NULL, NULL);
  commy_stream_clear_hot (self);
  commy_pipe_abort (pipe, COMMY_ERROR_CANCELLED, "the stream was given up");
  release_peer (self);
  g_clear_pointer (&self->pipe, commy_pipe_unref);
}

static void
unref_here (gpointer data)
{
  g_object_unref (data);
}

/* The last reference may go on any thread, the pipe belongs to its worker: there it comes again. */
static void
commy_stream_dispose (GObject *object)
{
  CommyStream *self = COMMY_STREAM (object);

  if (self->pipe != NULL && !commy_worker_is_inherited (worker_of (self)))
    {
      CommyWorker *worker = commy_worker_hold (worker_of (self));

      if (is_here (self))
        {
          commy_worker_enter (worker);
          detach (self);
          commy_worker_exit (worker);
        }
      else
        commy_worker_post (worker, unref_here, g_object_ref (self));
      commy_worker_release (worker);
    }
  G_OBJECT_CLASS (commy_stream_parent_class)->dispose (object);
}

static void
commy_stream_finalize (GObject *object)
{
  CommyStream *self = COMMY_STREAM (object);

  g_clear_pointer (&self->result, g_variant_unref);
  g_clear_error (&self->result_error);
  g_free (self->method);
  /* A forked child touches nothing that its parent uses. */
  if (self->pipe == NULL)
    {
      g_clear_pointer (&self->keeper, commy_mesh_worker_unref);
      g_clear_object (&self->service);
      g_clear_object (&self->mesh);
    }
  G_OBJECT_CLASS (commy_stream_parent_class)->finalize (object);
}

static void
commy_stream_class_init (CommyStreamClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = commy_stream_dispose;
  G_OBJECT_CLASS (klass)->finalize = commy_stream_finalize;
}

static void
commy_stream_init (CommyStream *self)
{
  self->thread = g_thread_self ();
  g_queue_init (&self->reads);
  g_queue_init (&self->writes);
  g_queue_init (&self->waits);
}

/* --- what the pipe tells --- */

/* A method that only writes gets nothing to read. */
static gboolean
is_unwanted (CommyStream *self)
{
  return self->entry != NULL && self->entry->kind == COMMY_STREAM_KIND_SERVER
         && commy_pipe_peek (self->pipe) != NULL;
}

static void
on_changed (gpointer owner)
{
  CommyStream *self = g_object_ref (owner);

  if (is_unwanted (self))
    {
      g_autofree char *why = g_strdup_printf ("%s.%s reads no messages: give it what it needs as "
                                              "arguments",
                                              self->service->name, self->method);

      commy_pipe_abort (self->pipe, COMMY_ERROR_TYPE, why);
    }
  if (!self->pipe->is_open)
    release_peer (self);
  commy_stream_serve (self);
  if (self->watch != NULL)
    self->watch (self->watch_data);
  g_object_unref (self);
}

void
commy_stream_watch (CommyStream *self, CommyWorkFunc func, gpointer data)
{
  self->watch = func;
  self->watch_data = data;
}

static void
on_answered (gpointer owner, CommyChannel *channel, CommyIncoming *incoming)
{
  CommyStream *self = owner;

  self->result = commy_value_from_incoming (channel, incoming, &self->result_error);
}

static void
on_wanted (gpointer owner)
{
  commy_stream_keep_rest (owner);
}

static const CommyPipeOwner pipe_owner = { on_changed, on_answered, on_wanted };

static CommyStream *
stream_new (CommyPipe *pipe, const char *method, CommyPlugin *serializer)
{
  CommyStream *self = g_object_new (COMMY_TYPE_STREAM, NULL);

  self->pipe = commy_pipe_ref (pipe);
  self->mesh = g_object_ref (commy_channel_get_shared (pipe->channel)->owner);
  self->method = g_strdup (method);
  self->serializer = serializer;
  commy_pipe_own (pipe, &pipe_owner, self);
  return self;
}

CommyStream *
commy_stream_new_opened (CommyClient *client,
                         const CommyRequest *request,
                         CommyPipe *pipe,
                         CommyPlugin *serializer,
                         CommyPeer *peer)
{
  CommyStream *self = stream_new (pipe, request->method, serializer);

  self->keeper = commy_mesh_worker_ref (client->worker);
  self->same_context = commy_client_would_deadlock (client, peer);
  self->peer = commy_peer_ref (peer);
  commy_peer_begin (peer);
  commy_pipe_opened (pipe);
  return self;
}

CommyStream *
commy_stream_new_accepted (CommyService *service,
                           CommyServiceMethod *method,
                           CommyPipe *pipe,
                           CommyPlugin *serializer)
{
  CommyStream *self = stream_new (pipe, method->name, serializer);

  self->service = g_object_ref (service);
  self->stops = __atomic_load_n (&service->stops, __ATOMIC_ACQUIRE);
  self->entry = method;
  return self;
}

/* --- facts --- */

const char *
commy_stream_get_method (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  return self->method;
}

CommyPrincipal *
commy_stream_get_peer (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  return commy_channel_get_peer (self->pipe->channel);
}

const char *
commy_stream_get_transport (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  return commy_channel_get_transport (self->pipe->channel);
}

gint64
commy_stream_get_deadline (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), 0);
  return self->pipe->deadline_ns == G_MAXINT64 ? G_MAXINT64 : self->pipe->deadline_ns / 1000;
}

guint
commy_stream_get_unread (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), 0);
  g_return_val_if_fail (is_here (self), 0);
  return self->pipe->n_unread + self->lent_run.n - (self->peeked && self->kept == NULL);
}

gint64
commy_stream_get_credit (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), 0);
  g_return_val_if_fail (is_here (self), 0);
  return self->pipe->tx_credit;
}

GVariant *
commy_stream_get_result (CommyStream *self)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), NULL);
  g_return_val_if_fail (is_here (self), NULL);
  return self->result;
}

gboolean
commy_stream_check (CommyStream *self, GError **error)
{
  if (is_here (self))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_WRONG_THREAD,
                   "the stream of %s belongs to the thread that opened or handles it",
                   self->method);
  return FALSE;
}

/* --- writing --- */

gboolean
commy_stream_may_write (CommyStream *self, GVariant *value, GError **error)
{
  CommyPipe *pipe = self->pipe;
  CommyServiceMethod *entry = self->entry;

  if (pipe->error != NULL)
    g_propagate_error (error, g_error_copy (pipe->error));
  else if (!pipe->is_open)
    commy_set_error (error, COMMY_ERROR_CANCELLED, "the stream of %s has ended: nobody reads",
                     self->method);
  else if (pipe->tx_ended)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "commy_stream_close_write() has ended the writing to %s", self->method);
  else if (entry != NULL && entry->kind == COMMY_STREAM_KIND_CLIENT)
    commy_set_error (error, COMMY_ERROR_TYPE,
                     "the stream of %s takes messages only: answer it with its result",
                     self->method);
  else if (entry != NULL && entry->stream_out != NULL
           && (value == NULL || !g_variant_is_of_type (value, entry->stream_out)))
    commy_set_error (error, COMMY_ERROR_TYPE, "%s.%s writes %s, its interface says %s",
                     self->service->name, self->method,
                     value != NULL ? g_variant_get_type_string (value) : "raw bytes",
                     (const char *) entry->stream_out);
  else
    return TRUE;
  return FALSE;
}

/* The one the route chose if it can carry this, else the first of the channel's that can. */
CommyPlugin *
commy_stream_serializer_for (CommyStream *self, guint64 capability, GError **error)
{
  if (self->serializer != NULL && (self->serializer->profile.capabilities & capability) != 0)
    return self->serializer;
  for (guint16 i = 1; i < COMMY_CHANNEL_SERIALIZERS; i++)
    {
      CommyPlugin *other = commy_channel_get_serializer (self->pipe->channel, i);

      if (other != NULL && other->state == COMMY_PLUGIN_STATE_ACTIVE
          && (other->profile.capabilities & capability) != 0)
        return other;
    }
  commy_set_error (error, COMMY_ERROR_NO_ROUTE, "no serializer that both sides have carries %s",
                   capability == COMMY_CAP_BYTES ? "raw bytes" : "values");
  return NULL;
}

CommyIo
commy_stream_try_write (
    CommyStream *self, GVariant *value, GBytes *bytes, gboolean *out_room, GError **error)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_DATA, .stream = self->pipe->id };
  g_autoptr (GError) cause = NULL;
  CommyPlugin *serializer;
  gsize size;
  CommyIo io;

  *out_room = FALSE;
  if (!commy_stream_may_write (self, value, error))
    return COMMY_IO_CLOSED;
  if (value != NULL && commy_value_has_handles (value))
    {
      commy_set_error (error, COMMY_ERROR_TYPE,
                       "a message of type %s carries handles, which streams do not take: pass them "
                       "in a call of their own",
                       g_variant_get_type_string (value));
      return COMMY_IO_UNSUPPORTED;
    }
  if (self->pipe->tx_credit <= 0)
    return COMMY_IO_WOULD_BLOCK;
  serializer = commy_stream_serializer_for (
      self, value != NULL ? COMMY_CAP_VALUES : COMMY_CAP_BYTES, error);
  if (serializer == NULL)
    return COMMY_IO_UNSUPPORTED;
  io = commy_payload_send (self->pipe->channel, &spec, serializer, value, bytes, NULL, FALSE, &size,
                           &cause);
  if (io == COMMY_IO_OK)
    commy_pipe_charge (self->pipe, size);
  else if (io == COMMY_IO_WOULD_BLOCK)
    *out_room = TRUE;
  else
    g_propagate_error (error, g_steal_pointer (&cause));
  return io;
}

gboolean
commy_stream_close_write (CommyStream *self, GError **error)
{
  g_return_val_if_fail (COMMY_IS_STREAM (self), FALSE);
  if (!commy_stream_check (self, error))
    return FALSE;
  if (self->pipe->error != NULL)
    {
      g_propagate_error (error, g_error_copy (self->pipe->error));
      return FALSE;
    }
  commy_worker_enter (worker_of (self));
  commy_stream_end_run (self);
  self->closed_write = TRUE;
  commy_stream_serve (self);
  commy_worker_exit (worker_of (self));
  return TRUE;
}

/* --- reading --- */

/* A message that the interface does not allow ends the stream: its sender must know. */
static gboolean
fits (CommyStream *self, GVariant *value, GError **error)
{
  CommyServiceMethod *entry = self->entry;
  g_autofree char *why = NULL;

  if (entry == NULL || entry->stream_in == NULL
      || (value != NULL && g_variant_is_of_type (value, entry->stream_in)))
    return TRUE;
  why = g_strdup_printf ("%s.%s reads %s, the message has %s", self->service->name, self->method,
                         (const char *) entry->stream_in,
                         value != NULL ? g_variant_get_type_string (value) : "raw bytes");
  commy_set_error (error, COMMY_ERROR_TYPE, "%s", why);
  commy_pipe_abort (self->pipe, COMMY_ERROR_TYPE, why);
  return FALSE;
}

/* (transfer full) @message */
static GBytes *
take_bytes (CommyStream *self, guint16 wire, GBytes *message, GError **error)
{
  CommyPlugin *serializer = commy_channel_get_serializer (self->pipe->channel, wire);
  g_autoptr (GBytes) bytes = message;

  if (serializer == NULL || !(serializer->profile.capabilities & COMMY_CAP_BYTES))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "an encoding that was not agreed on");
      return NULL;
    }
  return fits (self, NULL, error) ? g_steal_pointer (&bytes) : NULL;
}

static void
set_other_kind (CommyStream *self, gboolean as_bytes, GError **error)
{
  commy_set_error (error, COMMY_ERROR_TYPE,
                   as_bytes ? "the next message of %s is a value: use commy_stream_read()"
                            : "the next message of %s is raw bytes: use "
                              "commy_stream_read_bytes()",
                   self->method);
}

static gpointer
take_message (CommyStream *self, gboolean as_bytes, GError **error)
{
  CommyPipeMessage *first = commy_pipe_peek (self->pipe);
  g_autoptr (CommyPipeMessage) message = NULL;
  g_autoptr (GVariant) value = NULL;

  if ((first->signature == NULL) != as_bytes)
    {
      set_other_kind (self, as_bytes, error);
      return NULL;
    }
  message = commy_pipe_take (self->pipe);
  commy_pipe_give_back (self->pipe, message->credit);
  if (as_bytes)
    return take_bytes (self, message->serializer, g_bytes_ref (message->bytes), error);
  value = commy_value_decode (self->pipe->channel, message->serializer, message->signature,
                              message->bytes, error);
  return value != NULL && fits (self, value, error) ? g_steal_pointer (&value) : NULL;
}

gboolean
commy_stream_try_read (CommyStream *self, gboolean as_bytes, gpointer *out, GError **error)
{
  CommyPipe *pipe = self->pipe;

  *out = NULL;
  if (self->peeked)
    {
      commy_set_error (error, COMMY_ERROR_BUSY,
                       "a message of %s is lent: commy_stream_release() it first", self->method);
      return TRUE;
    }
  if (self->lent_run.n > 0)
    {
      guint16 wire = self->lent.frame.serializer;
      GBytes *rest = as_bytes ? commy_stream_take_lent (self) : NULL;

      if (!as_bytes)
        set_other_kind (self, FALSE, error);
      else if (rest != NULL)
        *out = take_bytes (self, wire, rest, error);
      if (!as_bytes || rest != NULL)
        return TRUE;
    }
  if (commy_pipe_peek (pipe) != NULL)
    {
      *out = take_message (self, as_bytes, error);
      return TRUE;
    }
  if (pipe->error != NULL)
    g_propagate_error (error, g_error_copy (pipe->error));
  else if (self->result_error != NULL)
    g_propagate_error (error, g_error_copy (self->result_error));
  else if (!pipe->rx_ended
           && !(self->entry != NULL && self->entry->kind == COMMY_STREAM_KIND_SERVER))
    return FALSE;
  return TRUE;
}

gboolean
commy_stream_try_result (CommyStream *self, GVariant **out_result, GError **error)
{
  CommyPipe *pipe = self->pipe;

  *out_result = NULL;
  if (self->service != NULL)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "the handler of %s gives the result: answer the invocation", self->method);
  else if (pipe->is_open)
    return FALSE;
  else if (self->result != NULL)
    *out_result = g_variant_ref (self->result);
  else
    g_propagate_error (error,
                       g_error_copy (pipe->error != NULL ? pipe->error : self->result_error));
  return TRUE;
}

/* --- the end --- */

gboolean
commy_stream_is_open (CommyStream *self)
{
  return self->pipe->is_open;
}

gboolean
commy_stream_when_written (CommyStream *self, CommyWorkFunc func, gpointer data)
{
  if (!self->pipe->is_open || self->writes.length == 0)
    return FALSE;
  self->written = func;
  self->written_data = data;
  return TRUE;
}

void
commy_stream_answered (CommyStream *self)
{
  commy_pipe_close (self->pipe);
  commy_stream_serve (self);
}

typedef struct
{
  CommyStream *stream; /* reference */
  guint32 code;
  char *text;
} End;

static void
end_here (gpointer data)
{
  End *end = data;

  commy_pipe_abort (end->stream->pipe, end->code, end->text);
  g_object_unref (end->stream);
  g_free (end->text);
  g_free (end);
}

static void
end_from_anywhere (CommyStream *self, guint32 code, const char *text)
{
  CommyWorker *worker = commy_worker_hold (worker_of (self));
  End *end = g_new (End, 1);

  end->stream = g_object_ref (self);
  end->code = code;
  end->text = g_strdup (text);
  if (is_here (self))
    {
      commy_worker_enter (worker);
      end_here (end);
      commy_worker_exit (worker);
    }
  else
    commy_worker_post (worker, end_here, end);
  commy_worker_release (worker);
}

void
commy_stream_dropped (CommyStream *self)
{
  end_from_anywhere (self, COMMY_ERROR_FAILED, "the handler gave the stream up without an answer");
}

void
commy_stream_cancel (CommyStream *self, const char *message)
{
  g_autofree char *text = NULL;

  g_return_if_fail (COMMY_IS_STREAM (self));
  text = g_strdup_printf ("%s%s%s",
                          self->service != NULL ? "the service cancelled the stream"
                                                : "the caller cancelled the stream",
                          message != NULL ? ": " : "", message != NULL ? message : "");
  end_from_anywhere (self, COMMY_ERROR_CANCELLED, text);
}
