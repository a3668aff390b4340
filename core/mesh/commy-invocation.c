/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Invocations: one call on the answering side, answered once, from any thread; and the hot
 * calls that are answered in place.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-channel-rights.h"
#include "mesh/commy-stream-private.h"

#include <string.h>

struct _CommyInvocation
{
  GObject parent_instance;

  CommyService *service;
  CommyChannel *channel;
  CommyServiceMethod *method; /* lives as long as the service */
  CommyPlugin *serializer;
  GVariant *parameters;
  GBytes *bytes;
  GUnixFDList *handles; /* that came with the call, or NULL */
  guint32 stream;
  CommyStream *opened; /* what the call opened; NULL: it is a plain one */
  gint64 deadline_us;
  gint64 received_ns;
  gboolean one_way;
  gboolean sampled;
  gboolean measured; /* how long it takes is to be learnt */
  guint8 priority;   /* as in a CommyFrameSpec: the answer's is the call's */
  guint32 answered;  /* atomic */

  GVariant *answer_value;
  GBytes *answer_bytes;
  GUnixFDList *answer_handles;
  char *answer_error;
  guint32 answer_code; /* 0: the handler's own error */
};

G_DEFINE_FINAL_TYPE (CommyInvocation, commy_invocation, G_TYPE_OBJECT)

/* The last word on a call that was taken: where it finds no room, none will come. */
static void
send_error (CommyChannel *channel, guint32 stream, guint32 code, gboolean remote, const char *text)
{
  if (commy_channel_send_error (channel, stream, code, remote, text) != COMMY_IO_OK)
    commy_channel_lose_answer (channel);
}

/* What is left of an invocation that its handler gave up. */
typedef struct
{
  CommyService *service; /* reference */
  CommyChannel *channel; /* reference */
  guint32 stream;
  gboolean told; /* the caller, by the stream that the call opened */
} Dropped;

/* On the channel's worker: the caller hears that nothing will come. */
static void
tell_dropped (gpointer data)
{
  Dropped *dropped = data;

  if (!dropped->told)
    send_error (dropped->channel, dropped->stream, COMMY_ERROR_FAILED, FALSE,
                "the handler gave the call up without an answer");
  commy_channel_end_answer (dropped->channel);
  commy_service_call_ended (dropped->service);
  commy_channel_unref (dropped->channel);
  g_object_unref (dropped->service);
  g_free (dropped);
}

/* In the thread that let go of it, whichever that is. */
static void
give_up (CommyInvocation *self)
{
  CommyWorker *worker = commy_channel_get_worker (self->channel);
  Dropped *dropped = g_new (Dropped, 1);

  g_warning ("a call of %s.%s was never answered", self->service->name, self->method->name);
  if (self->opened != NULL)
    commy_stream_dropped (self->opened);
  *dropped = (Dropped){ g_object_ref (self->service), commy_channel_ref (self->channel),
                        self->stream, self->opened != NULL };
  if (commy_worker_is_inside (worker))
    tell_dropped (dropped);
  else
    commy_worker_post (worker, tell_dropped, dropped);
}

static void
commy_invocation_finalize (GObject *object)
{
  CommyInvocation *self = COMMY_INVOCATION (object);

  if (!self->answered && self->one_way)
    commy_service_call_ended (self->service);
  else if (!self->answered)
    give_up (self);
  g_clear_pointer (&self->parameters, g_variant_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_clear_pointer (&self->answer_value, g_variant_unref);
  g_clear_pointer (&self->answer_bytes, g_bytes_unref);
  g_clear_object (&self->handles);
  g_clear_object (&self->answer_handles);
  g_free (self->answer_error);
  g_clear_object (&self->opened);
  g_clear_pointer (&self->channel, commy_channel_unref);
  g_clear_object (&self->service);
  G_OBJECT_CLASS (commy_invocation_parent_class)->finalize (object);
}

static void
commy_invocation_class_init (CommyInvocationClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = commy_invocation_finalize;
}

static void
commy_invocation_init (CommyInvocation *self)
{
}

/* --- facts --- */

const char *
commy_invocation_get_method (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return self->method->name;
}

GVariant *
commy_invocation_get_parameters (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return self->parameters;
}

GBytes *
commy_invocation_get_bytes (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return self->bytes;
}

GUnixFDList *
commy_invocation_get_unix_fd_list (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return self->handles;
}

CommyPrincipal *
commy_invocation_get_caller (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return commy_channel_get_peer (self->channel);
}

const char *
commy_invocation_get_transport (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return commy_channel_get_transport (self->channel);
}

gint64
commy_invocation_get_deadline (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), 0);
  return self->deadline_us;
}

gboolean
commy_invocation_is_one_way (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), FALSE);
  return self->one_way;
}

CommyStream *
commy_invocation_get_stream (CommyInvocation *self)
{
  g_return_val_if_fail (COMMY_IS_INVOCATION (self), NULL);
  return self->opened;
}

/* --- answering --- */

static guint64
dwell (CommyInvocation *self)
{
  const CommyEnv *env = commy_channel_get_shared (self->channel)->env;

  return self->sampled ? (guint64) MAX (commy_env_now (env) - self->received_ns, 1) : 0;
}

static void
send_failure (CommyInvocation *self)
{
  gboolean remote = self->answer_code == 0;

  send_error (self->channel, self->stream, remote ? COMMY_ERROR_REMOTE : self->answer_code, remote,
              self->answer_error);
}

static void
send_answer (CommyInvocation *self)
{
  g_autoptr (GError) error = NULL;
  CommyFrameSpec spec = { .type = COMMY_FRAME_REPLY,
                          .stream = self->stream,
                          .dwell_ns = dwell (self),
                          .priority = self->priority };
  guint32 code;
  CommyIo io;

  if (self->opened != NULL)
    spec.flags |= COMMY_FRAME_FLAG_STREAM;
  io = commy_payload_send (self->channel, &spec, self->serializer, self->answer_value,
                           self->answer_bytes, self->answer_handles, TRUE, NULL, &error);
  code = io == COMMY_IO_TOO_BIG       ? COMMY_ERROR_TOO_BIG
         : io == COMMY_IO_UNSUPPORTED ? COMMY_ERROR_TYPE
                                      : COMMY_ERROR_BUSY;

  if (io == COMMY_IO_WOULD_BLOCK)
    commy_ledger_add (commy_channel_get_shared (self->channel)->ledger, COMMY_DROP_BUSY, 1,
                      self->service->name);
  if (io == COMMY_IO_CLOSED)
    commy_channel_lose_answer (self->channel);
  else if (io != COMMY_IO_OK)
    send_error (self->channel, self->stream, code, FALSE, commy_error_bare (error));
}

/* The answer has left, or never will. */
static void
answer_left (gpointer data)
{
  CommyInvocation *self = data;

  commy_channel_end_answer (self->channel);
  commy_service_call_ended (self->service);
  g_object_unref (self);
}

/* On the channel's worker. */
static void
deliver (gpointer data)
{
  CommyInvocation *self = data;
  const CommyChannelShared *shared = commy_channel_get_shared (self->channel);

  /* The result follows the messages that were written before. */
  if (self->opened != NULL && self->answer_error == NULL
      && commy_stream_when_written (self->opened, deliver, self))
    return;
  if (COMMY_FAILPOINT ("answer"))
    commy_channel_close (self->channel, NULL);
  if (!commy_channel_is_open (self->channel))
    commy_ledger_add (shared->ledger, COMMY_DROP_PEER_GONE, 1,
                      commy_channel_get_peer_node (self->channel));
  else if (self->opened != NULL && !commy_stream_is_open (self->opened))
    ; /* it was cancelled, or its deadline passed: both sides know */
  else if (self->answer_error != NULL)
    send_failure (self);
  else
    send_answer (self);
  if (self->opened != NULL)
    commy_stream_answered (self->opened);
  if (!commy_channel_on_left (self->channel, COMMY_FRAME_REPLY, self->stream, answer_left, self))
    answer_left (self);
}

/* Takes the handler's reference. Whether the answer counts: the first one does. */
static gboolean
claim_answer (CommyInvocation *self)
{
  guint32 no = 0;

  if (__atomic_compare_exchange_n (&self->answered, &no, 1, FALSE, __ATOMIC_ACQ_REL,
                                   __ATOMIC_RELAXED))
    return TRUE;
  g_critical ("a call of %s.%s was answered twice", self->service->name, self->method->name);
  return FALSE;
}

static void
answer (CommyInvocation *self)
{
  CommyWorker *worker = commy_channel_get_worker (self->channel);

  if (self->measured)
    {
      gint64 now_ns = commy_env_now (commy_channel_get_shared (self->channel)->env);

      commy_shed_learn (self->method->shed, now_ns - self->received_ns, now_ns);
    }
  if (self->one_way)
    {
      commy_service_call_ended (self->service);
      g_object_unref (self);
    }
  else if (commy_worker_is_inside (worker))
    deliver (self);
  else
    commy_worker_post (worker, deliver, self);
}

static gboolean
result_fits (CommyInvocation *self)
{
  const GVariantType *expected = self->method->out_type;

  if (expected == NULL || g_variant_is_of_type (self->answer_value, expected))
    return TRUE;
  self->answer_code = COMMY_ERROR_TYPE;
  self->answer_error = g_strdup_printf (
      "%s.%s gives %.*s, its interface says %.*s", self->service->name, self->method->name,
      (int) strlen (g_variant_get_type_string (self->answer_value)),
      g_variant_get_type_string (self->answer_value),
      (int) g_variant_type_get_string_length (expected), g_variant_type_peek_string (expected));
  g_critical ("%s", self->answer_error);
  return FALSE;
}

void
commy_invocation_return_value (CommyInvocation *self, GVariant *value)
{
  commy_invocation_return_value_with_unix_fd_list (self, value, NULL);
}

void
commy_invocation_return_value_with_unix_fd_list (CommyInvocation *self,
                                                 GVariant *value,
                                                 GUnixFDList *fd_list)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (value != NULL ? value : g_variant_new ("()"));

  g_return_if_fail (COMMY_IS_INVOCATION (self));
  g_return_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list));
  if (!claim_answer (self))
    return;
  g_set_object (&self->answer_handles, fd_list);
  self->answer_value = g_steal_pointer (&sunk);
  if (!g_variant_is_of_type (self->answer_value, G_VARIANT_TYPE_TUPLE))
    {
      self->answer_code = COMMY_ERROR_TYPE;
      self->answer_error = g_strdup ("the handler's result is not a tuple");
    }
  else if (result_fits (self) && commy_value_has_handles (self->answer_value)
           && (fd_list == NULL || g_unix_fd_list_get_length (fd_list) == 0))
    {
      self->answer_code = COMMY_ERROR_TYPE;
      self->answer_error
          = g_strdup ("the handler's result has handles and no descriptors: it "
                      "answers with commy_invocation_return_value_with_unix_fd_list");
    }
  if (self->serializer == NULL || !(self->serializer->profile.capabilities & COMMY_CAP_VALUES))
    self->serializer = NULL;
  if (self->serializer == NULL && self->answer_error == NULL)
    {
      self->answer_code = COMMY_ERROR_TYPE;
      self->answer_error = g_strdup ("a value for a caller that sent raw bytes");
    }
  answer (self);
}

void
commy_invocation_return_bytes (CommyInvocation *self, GBytes *bytes)
{
  g_return_if_fail (COMMY_IS_INVOCATION (self));
  g_return_if_fail (bytes != NULL);
  if (!claim_answer (self))
    return;
  self->answer_bytes = g_bytes_ref (bytes);
  if (self->opened != NULL)
    {
      self->answer_code = COMMY_ERROR_TYPE;
      self->answer_error = g_strdup ("the result of a stream is a value, not raw bytes");
    }
  else if (self->serializer == NULL || !(self->serializer->profile.capabilities & COMMY_CAP_BYTES))
    {
      self->answer_code = COMMY_ERROR_TYPE;
      self->answer_error = g_strdup ("raw bytes for a caller that sent a value");
    }
  answer (self);
}

void
commy_invocation_return_error (CommyInvocation *self, const char *message)
{
  g_return_if_fail (COMMY_IS_INVOCATION (self));
  g_return_if_fail (message != NULL);
  if (!claim_answer (self))
    return;
  self->answer_error = g_strdup (message);
  answer (self);
}

void
commy_invocation_return_gerror (CommyInvocation *self, const GError *error)
{
  g_return_if_fail (error != NULL);
  commy_invocation_return_error (self, error->message);
}

gboolean
commy_invocation_may_control (CommyInvocation *self, const char *operation)
{
  g_autoptr (GError) error = NULL;

  if (commy_channel_may_control (self->channel, operation, &error))
    return TRUE;
  if (!claim_answer (self))
    return FALSE;
  self->answer_code = (guint32) error->code;
  self->answer_error = g_strdup (commy_error_bare (error));
  answer (self);
  return FALSE;
}

/* --- arriving --- */

static void
refuse (CommyService *service,
        CommyChannel *channel,
        CommyIncoming *incoming,
        CommyDrop drop,
        const GError *error)
{
  commy_ledger_add (commy_channel_get_shared (channel)->ledger, drop, 1, service->name);
  if (incoming->frame.type == COMMY_FRAME_CALL)
    commy_channel_send_error (channel, incoming->frame.stream, (guint32) error->code, FALSE,
                              commy_error_bare (error));
  else
    commy_counters_add (commy_channel_get_counters (channel), COMMY_COUNT_SERVED_FAILED, 1);
}

gboolean
commy_invocation_fits_kind (CommyService *service,
                            CommyChannel *channel,
                            CommyServiceMethod *method,
                            CommyIncoming *incoming)
{
  gboolean opens = (incoming->frame.flags & COMMY_FRAME_FLAG_STREAM) != 0;
  g_autoptr (GError) error = NULL;

  if (opens == (method->kind != 0))
    return TRUE;
  commy_set_error (&error, COMMY_ERROR_TYPE,
                   opens ? "%s.%s does not stream: call it with commy_client_call()"
                         : "%s.%s streams: open it with commy_client_open_stream()",
                   service->name, method->name);
  refuse (service, channel, incoming, COMMY_DROP_MALFORMED, error);
  return FALSE;
}

static CommyRateCaller *
get_caller (CommyChannel *channel)
{
  CommyRateCaller *caller = commy_channel_get_note (channel);

  if (G_UNLIKELY (caller == NULL))
    {
      caller = commy_rate_caller_new ();
      commy_channel_set_note (channel, caller);
    }
  return caller;
}

/* NULL: the method's limits, if it has any, and the service's have let it through. */
static CommyServiceRate *
find_used_up (CommyService *service,
              CommyServiceMethod *method,
              CommyChannel *channel,
              CommyRateRefusal *out_refusal)
{
  CommyServiceRate *const rates[] = { method->rate, service->rate };
  const char *principal = commy_principal_get_name (commy_channel_get_peer (channel));
  const CommyPolicyPath *path = commy_channel_get_path (channel);
  const gint64 now_ns = commy_env_now (commy_channel_get_shared (channel)->env);
  CommyRateCaller *caller = get_caller (channel);

  for (guint i = 0; i < G_N_ELEMENTS (rates); i++)
    if (rates[i] != NULL
        && !commy_service_rate_take (rates[i], caller, principal, path, now_ns, out_refusal))
      {
        if (i > 0 && rates[0] != NULL)
          commy_service_rate_give_back (rates[0], caller);
        return rates[i];
      }
  return NULL;
}

gboolean
commy_invocation_is_within_rate (CommyService *service,
                                 CommyChannel *channel,
                                 CommyServiceMethod *method,
                                 CommyIncoming *incoming)
{
  CommyRateRefusal refusal = { 0 };
  CommyServiceRate *used_up = find_used_up (service, method, channel, &refusal);
  const char *principal = commy_principal_get_name (commy_channel_get_peer (channel));
  g_autofree char *limit = NULL;
  g_autoptr (GError) error = NULL;

  if (used_up == NULL)
    return TRUE;
  limit = commy_service_rate_describe (used_up, &refusal);
  if (refusal.kind == COMMY_RATE_ALL)
    commy_set_error (&error, COMMY_ERROR_OVERLOADED,
                     "%s.%s: the instance takes no more for now (%s)", service->name, method->name,
                     limit);
  else
    commy_set_error (&error, COMMY_ERROR_TOO_OFTEN, "%s.%s: %s calls the instance too often (%s)",
                     service->name, method->name,
                     refusal.kind == COMMY_RATE_ADDRESS ? "whoever is at this address" : principal,
                     limit);
  refuse (service, channel, incoming,
          refusal.kind == COMMY_RATE_ALL ? COMMY_DROP_BUSY : COMMY_DROP_TOO_OFTEN, error);
  return FALSE;
}

static gboolean
read_arguments (CommyInvocation *self, CommyIncoming *incoming, GError **error)
{
  const GVariantType *expected = self->method->in_type;

  if (incoming->frame.signature_size == 0 && expected != NULL)
    {
      commy_set_error (error, COMMY_ERROR_TYPE, "%s.%s takes %.*s, the call has raw bytes",
                       self->service->name, self->method->name,
                       (int) g_variant_type_get_string_length (expected),
                       g_variant_type_peek_string (expected));
      return FALSE;
    }
  if (incoming->frame.signature_size == 0)
    {
      self->bytes = commy_bytes_from_incoming (self->channel, incoming, error);
      return self->bytes != NULL;
    }
  self->parameters = commy_value_from_incoming (self->channel, incoming, error);
  if (self->parameters == NULL)
    return FALSE;
  if (expected == NULL || g_variant_is_of_type (self->parameters, expected))
    return TRUE;
  commy_set_error (
      error, COMMY_ERROR_TYPE, "%s.%s takes %.*s, the call has %s", self->service->name,
      self->method->name, (int) g_variant_type_get_string_length (expected),
      g_variant_type_peek_string (expected), g_variant_get_type_string (self->parameters));
  return FALSE;
}

static guint8
priority_of_answer (const CommyFrame *call)
{
  return call->priority == COMMY_FRAME_PRIORITY_DEFAULT ? 0 : (guint8) (call->priority + 1);
}

static CommyInvocation *
invocation_new (CommyService *service,
                CommyChannel *channel,
                CommyServiceMethod *method,
                const CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  CommyInvocation *self = g_object_new (COMMY_TYPE_INVOCATION, NULL);

  self->service = g_object_ref (service);
  self->channel = commy_channel_ref (channel);
  self->method = method;
  self->serializer = commy_channel_get_serializer (channel, frame->serializer);
  self->stream = frame->stream;
  self->one_way = frame->type == COMMY_FRAME_ONEWAY;
  self->sampled = (frame->flags & COMMY_FRAME_FLAG_SAMPLED) != 0;
  self->priority = priority_of_answer (frame);
  self->received_ns = commy_env_now (commy_channel_get_shared (channel)->env);
  self->deadline_us = frame->has_deadline && !self->one_way && frame->deadline_ns < G_MAXINT64 / 2
                          ? (self->received_ns + (gint64) frame->deadline_ns) / 1000
                          : G_MAXINT64;
  return self;
}

/* Whether it can be answered in time. */
static gboolean
is_in_time (CommyInvocation *self, const CommyFrame *frame)
{
  gboolean try;

  self->measured = self->sampled && !self->one_way;
  if (self->one_way || !frame->has_deadline || (frame->flags & COMMY_FRAME_FLAG_STREAM) != 0)
    return TRUE;
  if (!commy_shed_admits (self->method->shed, (gint64) MIN (frame->deadline_ns, G_MAXINT64),
                          self->received_ns, &try))
    return FALSE;
  self->measured |= try;
  return TRUE;
}

void
commy_invocation_dispatch (CommyService *service,
                           CommyChannel *channel,
                           CommyServiceMethod *method,
                           CommyIncoming *incoming)
{
  CommyInvocation *self = invocation_new (service, channel, method, incoming);
  g_autoptr (GError) error = NULL;

  self->handles = g_steal_pointer (&incoming->handles);
  if (!is_in_time (self, &incoming->frame))
    {
      self->answered = 1;
      commy_set_error (&error, COMMY_ERROR_OVERLOADED,
                       "%s.%s cannot be answered in the time that is left (shed)", service->name,
                       method->name);
      refuse (service, channel, incoming, COMMY_DROP_DEADLINE, error);
      g_object_unref (self);
      return;
    }
  if (!read_arguments (self, incoming, &error))
    {
      self->answered = 1;
      refuse (service, channel, incoming, COMMY_DROP_MALFORMED, error);
      g_object_unref (self);
      return;
    }
  if (!self->one_way && !commy_channel_begin_answer (channel))
    {
      self->answered = 1;
      commy_set_error (&error, COMMY_ERROR_BUSY,
                       "too many unanswered calls (limit \"pending-calls\")");
      refuse (service, channel, incoming, COMMY_DROP_BUSY, error);
      g_object_unref (self);
      return;
    }
  commy_service_call_began (service);
  if ((incoming->frame.flags & COMMY_FRAME_FLAG_STREAM) != 0)
    {
      CommyPipe *pipe = commy_channel_find_pipe (channel, self->stream);

      self->opened = commy_stream_new_accepted (service, method, pipe, self->serializer);
      /* The handler may wait here for what comes next: the path needs its memory back. */
      commy_incoming_release (channel, incoming);
    }
  method->func (service, self, method->user_data);
}

/* --- hot --- */

/* The argument of so large a call is given back before the answer leaves, not behind it: who asked
 * wants its memory for the next one. */
#define RELEASED_FIRST_FROM 2048u

struct _CommySpanCall
{
  CommyService *service;
  CommyChannel *channel;
  CommyIncoming *incoming;
  CommyFrameSpec spec;
  gsize size;
  guint8 *own; /* the answer, where the path had no room; NULL: it is on the path */
  gboolean reserved;
  gboolean failed;
};

/* Only what this call reserved: a stream may write to the same path. */
static void
give_back (CommySpanCall *call)
{
  if (call->reserved && call->own == NULL)
    commy_channel_abandon (call->channel);
  g_clear_pointer (&call->own, g_free);
  call->reserved = FALSE;
}

gboolean
commy_span_call_reserve (CommySpanCall *call, gsize size, CommySpan *out_span)
{
  CommyIo io;

  if (call->failed || call->incoming->frame.type != COMMY_FRAME_CALL)
    return FALSE;
  give_back (call);
  io = commy_channel_reserve (call->channel, &call->spec, MAX (size, 1), out_span);
  if (G_UNLIKELY (io == COMMY_IO_WOULD_BLOCK))
    out_span->data = call->own = g_malloc0 (MAX (size, 1));
  call->reserved = io == COMMY_IO_OK || io == COMMY_IO_WOULD_BLOCK;
  call->size = size;
  out_span->size = size;
  return call->reserved;
}

void
commy_span_call_fail (CommySpanCall *call, const char *message)
{
  if (call->failed || call->incoming->frame.type != COMMY_FRAME_CALL)
    return;
  give_back (call);
  call->failed = TRUE;
  send_error (call->channel, call->incoming->frame.stream, COMMY_ERROR_REMOTE, TRUE, message);
}

CommyPrincipal *
commy_span_call_get_caller (CommySpanCall *call)
{
  return commy_channel_get_peer (call->channel);
}

/* An answer that is not on the path: it waits for room in the channel's memory. */
static void
send_own (CommySpanCall *call)
{
  g_autofree guint8 *own = g_steal_pointer (&call->own);
  CommyIo io
      = commy_channel_send (call->channel, &call->spec, own, call->reserved ? call->size : 0, TRUE);

  if (io == COMMY_IO_OK)
    return;
  if (io == COMMY_IO_WOULD_BLOCK)
    commy_ledger_add (commy_channel_get_shared (call->channel)->ledger, COMMY_DROP_BUSY, 1,
                      call->service->name);
  send_error (call->channel, call->spec.stream, COMMY_ERROR_BUSY, FALSE,
              "the path takes no more at present");
}

void
commy_span_call_dispatch (CommyService *service,
                          CommyChannel *channel,
                          CommyServiceMethod *method,
                          CommyIncoming *incoming)
{
  const CommyFrame *frame = &incoming->frame;
  gboolean sampled = (frame->flags & COMMY_FRAME_FLAG_SAMPLED) != 0;
  const CommyEnv *env = commy_channel_get_shared (channel)->env;
  gint64 began = sampled ? commy_env_now (env) : 0;
  CommySpanCall call = { .service = service, .channel = channel, .incoming = incoming };

  if (G_UNLIKELY (frame->signature_size > 0))
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_TYPE, "%s.%s takes raw bytes", service->name,
                       method->name);
      refuse (service, channel, incoming, COMMY_DROP_MALFORMED, error);
      return;
    }
  call.spec = (CommyFrameSpec){ .type = COMMY_FRAME_REPLY,
                                .serializer = frame->serializer,
                                .stream = frame->stream,
                                .dwell_ns = sampled ? 1 : 0,
                                .priority = priority_of_answer (frame) };
  method->span_func (&call, commy_incoming_payload (incoming), frame->payload_size,
                     method->user_data);
  if (frame->type != COMMY_FRAME_CALL || call.failed)
    return;
  commy_channel_pin (channel); /* the answer may lie in a path that went meanwhile */
  if (frame->payload_size >= RELEASED_FIRST_FROM)
    commy_incoming_release (channel, incoming);
  if (sampled)
    call.spec.dwell_ns = (guint64) MAX (commy_env_now (env) - began, 1);
  if (G_UNLIKELY (call.own != NULL || !call.reserved))
    send_own (&call);
  else if (commy_channel_commit (channel, &call.spec, call.size) == COMMY_IO_OK)
    commy_channel_flush (channel);
  else
    commy_channel_lose_answer (channel);
  commy_channel_unpin (channel);
}
