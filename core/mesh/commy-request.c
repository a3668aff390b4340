/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values go straight from the serializer into the path's memory; only where the path has no
 * room do they pass through a buffer.
 */
#include "config.h"

#include "mesh/commy-request.h"

#include "base/commy-error-private.h"

#include <string.h>

static gboolean
init (CommyRequest *request,
      const CommyEnv *env,
      const char *method,
      GVariant *parameters,
      GBytes *bytes,
      const CommyCallOptions *options,
      gint64 default_timeout_ns,
      GError **error)
{
  gint64 timeout_ns = default_timeout_ns;

  memset (request, 0, sizeof *request);
  if (bytes == NULL)
    {
      request->value = parameters != NULL ? g_variant_ref_sink (parameters)
                                          : g_variant_ref_sink (g_variant_new ("()"));
      if (!g_variant_is_of_type (request->value, G_VARIANT_TYPE_TUPLE))
        {
          commy_set_error (error, COMMY_ERROR_TYPE, "parameters of type %s are not a tuple",
                           g_variant_get_type_string (request->value));
          commy_request_clear (request);
          return FALSE;
        }
      request->size = g_variant_get_size (request->value);
      request->flavour = COMMY_FLAVOUR_VALUE;
    }
  else
    {
      request->flavour = COMMY_FLAVOUR_BYTES;
      request->bytes = g_bytes_ref (bytes);
      request->size = g_bytes_get_size (bytes);
    }
  if (options != NULL && options->timeout_us >= 0)
    timeout_ns
        = options->timeout_us > G_MAXINT64 / 4000 ? G_MAXINT64 / 4 : options->timeout_us * 1000;
  if (options != NULL && options->priority != COMMY_PRIORITY_DEFAULT)
    request->priority = (guint8) (options->priority + 1);
  request->idempotent = options != NULL && options->idempotent;
  request->limited = options != NULL && options->timeout_us >= 0;
  request->sticky = options != NULL ? options->sticky : 0;
  request->now_ns = commy_env_now (env);
  request->deadline_ns = request->now_ns + MIN (timeout_ns, G_MAXINT64 / 4);
  request->call_deadline_ns = request->deadline_ns;
  request->method = method;
  return TRUE;
}

gboolean
commy_value_has_handles (GVariant *value)
{
  return strchr (g_variant_get_type_string (value), 'h') != NULL;
}

gboolean
commy_request_init (CommyRequest *request,
                    const CommyEnv *env,
                    const char *method,
                    GVariant *parameters,
                    GBytes *bytes,
                    const CommyCallOptions *options,
                    gint64 default_timeout_ns,
                    GError **error)
{
  if (!init (request, env, method, parameters, bytes, options, default_timeout_ns, error))
    return FALSE;
  if (bytes != NULL || !commy_value_has_handles (request->value))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_TYPE,
                   "parameters of type %s carry handles; call %s with a list of descriptors "
                   "(commy_client_call_with_unix_fd_list)",
                   g_variant_get_type_string (request->value), method);
  commy_request_clear (request);
  return FALSE;
}

gboolean
commy_request_init_handles (CommyRequest *request,
                            const CommyEnv *env,
                            const char *method,
                            GVariant *parameters,
                            GUnixFDList *handles,
                            const CommyCallOptions *options,
                            gint64 default_timeout_ns,
                            GError **error)
{
  guint n = handles != NULL ? (guint) g_unix_fd_list_get_length (handles) : 0;

  if (!init (request, env, method, parameters, NULL, options, default_timeout_ns, error))
    return FALSE;
  request->flavour = COMMY_FLAVOUR_HANDLES;
  g_set_object (&request->handles, handles);
  if (n > COMMY_FRAME_HANDLES_MAX)
    commy_set_error (error, COMMY_ERROR_TOO_BIG, "%u descriptors, a message carries at most %u", n,
                     COMMY_FRAME_HANDLES_MAX);
  else if (n == 0 && commy_value_has_handles (request->value))
    commy_set_error (error, COMMY_ERROR_TYPE,
                     "parameters of type %s carry handles, but the list of descriptors is empty",
                     g_variant_get_type_string (request->value));
  else
    return TRUE;
  commy_request_clear (request);
  return FALSE;
}

void
commy_request_open_stream (CommyRequest *request, gint64 timeout_ns)
{
  request->streams = TRUE;
  request->stream_deadline_ns = request->limited ? request->deadline_ns : G_MAXINT64;
  request->deadline_ns = MIN (request->deadline_ns, request->now_ns + timeout_ns);
  request->call_deadline_ns = request->deadline_ns;
}

void
commy_request_keep (CommyRequest *request)
{
  request->method = request->kept_method = g_strdup (request->method);
}

void
commy_request_clear (CommyRequest *request)
{
  g_clear_object (&request->handles);
  g_clear_pointer (&request->kept_method, g_free);
  g_clear_pointer (&request->value, g_variant_unref);
  g_clear_pointer (&request->bytes, g_bytes_unref);
}

/* --- writing --- */

static CommyIo
send_encoded (CommyChannel *channel,
              CommyFrameSpec *spec,
              CommyPlugin *serializer,
              GVariant *value,
              gsize bound,
              gboolean queue,
              gsize *out_size,
              GError **error)
{
  /* malloc's memory is aligned for every serializer. */
  g_autofree guint8 *buffer = g_malloc (bound);
  gssize size
      = serializer->ops.serializer.encode (serializer->instance, value, buffer, bound, error);

  if (size < 0)
    return COMMY_IO_UNSUPPORTED;
  *out_size = (gsize) size;
  return commy_channel_send (channel, spec, buffer, (gsize) size, queue);
}

static CommyIo
send_value (CommyChannel *channel,
            CommyFrameSpec *spec,
            CommyPlugin *serializer,
            GVariant *value,
            gboolean queue,
            gsize *out_size,
            GError **error)
{
  gsize bound = serializer->ops.serializer.bound (serializer->instance, value);
  CommySpan span;
  CommyIo io;
  gssize size;

  io = commy_channel_reserve (channel, spec, bound, &span);
  if (io == COMMY_IO_WOULD_BLOCK && queue)
    return send_encoded (channel, spec, serializer, value, MAX (bound, 1), queue, out_size, error);
  if (io != COMMY_IO_OK)
    return io;
  size = serializer->ops.serializer.encode (serializer->instance, value, span.data, bound, error);
  if (size < 0)
    {
      commy_channel_abandon (channel);
      return COMMY_IO_UNSUPPORTED;
    }
  *out_size = (gsize) size;
  io = commy_channel_commit (channel, spec, (gsize) size);
  if (io == COMMY_IO_WOULD_BLOCK && queue) /* no room for its descriptors */
    return send_encoded (channel, spec, serializer, value, MAX (bound, 1), queue, out_size, error);
  if (io != COMMY_IO_OK)
    return io;
  io = commy_channel_flush (channel);
  if (io != COMMY_IO_WOULD_BLOCK)
    return io;
  /* The transport keeps the rest; arming tells it when there is room. */
  commy_worker_set_hot (commy_channel_get_worker (channel), channel);
  return COMMY_IO_OK;
}

CommyIo
commy_payload_send (CommyChannel *channel,
                    CommyFrameSpec *spec,
                    CommyPlugin *serializer,
                    GVariant *value,
                    GBytes *bytes,
                    GUnixFDList *handles,
                    gboolean queue,
                    gsize *out_size,
                    GError **error)
{
  g_autoptr (GError) cause = NULL;
  gsize size = 0;
  CommyIo io;

  if (handles != NULL)
    {
      if (!commy_channel_set_handles (channel, handles, error))
        return COMMY_IO_UNSUPPORTED;
      spec->n_handles = (guint32) g_unix_fd_list_get_length (handles);
    }
  spec->serializer = commy_channel_wire_of (channel, serializer);
  if (value != NULL)
    {
      spec->signature = g_variant_get_type_string (value);
      spec->signature_size = strlen (spec->signature);
      io = send_value (channel, spec, serializer, value, queue, &size, &cause);
    }
  else
    {
      size = g_bytes_get_size (bytes);
      io = commy_channel_send_bytes (channel, spec, bytes, queue);
    }
  if (handles != NULL && io != COMMY_IO_OK)
    commy_channel_drop_handles (channel);
  if (out_size != NULL)
    *out_size = size;
  if (cause != NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  else if (io != COMMY_IO_OK)
    commy_channel_io_error (channel, io, error);
  return io;
}

/* The one that was decided for; where the peer, of whom nothing was known, turns out not to know
 * it, another that both know and that fits. */
static CommyPlugin *
common_serializer (CommyChannel *channel, CommyPlugin *wanted, gboolean is_value)
{
  guint64 caps = is_value ? COMMY_CAP_VALUES : COMMY_CAP_BYTES;

  if (commy_channel_wire_of (channel, wanted) != 0)
    return wanted;
  for (guint16 i = 1; i < COMMY_CHANNEL_SERIALIZERS; i++)
    {
      CommyPlugin *plugin = commy_channel_get_serializer (channel, i);

      if (plugin != NULL && (plugin->profile.capabilities & caps) == caps
          && !(is_value && (plugin->profile.capabilities & COMMY_CAP_NATIVE_ENDIAN)))
        return plugin;
    }
  return wanted;
}

CommyIo
commy_request_send (CommyRequest *request,
                    CommyChannel *channel,
                    CommyPlugin *serializer,
                    guint32 stream,
                    gboolean sampled,
                    gboolean queue,
                    GError **error)
{
  gint64 deadline_ns = request->streams ? request->stream_deadline_ns : request->deadline_ns;
  gint64 left = deadline_ns - request->now_ns;
  CommyFrameSpec spec = { .type = request->one_way ? COMMY_FRAME_ONEWAY : COMMY_FRAME_CALL,
                          .flags = sampled ? COMMY_FRAME_FLAG_SAMPLED : 0,
                          .stream = stream,
                          .deadline_ns = (guint64) MAX (left, 1),
                          .priority = request->priority };

  if (request->streams)
    {
      spec.flags |= COMMY_FRAME_FLAG_STREAM;
      if (deadline_ns == G_MAXINT64)
        spec.deadline_ns = 0;
    }

  spec.method = commy_channel_method (channel, request->method, error);
  if (spec.method == 0)
    return COMMY_IO_WOULD_BLOCK;
  serializer = common_serializer (channel, serializer, request->value != NULL);
  return commy_payload_send (channel, &spec, serializer, request->value, request->bytes,
                             request->handles, queue, NULL, error);
}

/* --- reading --- */

GVariant *
commy_value_decode (
    CommyChannel *channel, guint16 wire, const char *signature, GBytes *bytes, GError **error)
{
  CommyPlugin *serializer = commy_channel_get_serializer (channel, wire);

  if (serializer == NULL || !(serializer->profile.capabilities & COMMY_CAP_VALUES))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "an encoding that was not agreed on");
      return NULL;
    }
  if (!g_variant_type_string_is_valid (signature)
      || !g_variant_type_is_definite (G_VARIANT_TYPE (signature)))
    {
      commy_set_error (error, COMMY_ERROR_TYPE, "\"%.32s\" is not the type of a value", signature);
      return NULL;
    }
  return serializer->ops.serializer.decode (serializer->instance, bytes, G_VARIANT_TYPE (signature),
                                            error);
}

GVariant *
commy_value_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error)
{
  const CommyFrame *frame = &incoming->frame;
  g_autofree char *signature
      = g_strndup ((const char *) incoming->bytes + frame->signature_offset, frame->signature_size);
  g_autoptr (GBytes) bytes = commy_incoming_dup_payload (channel, incoming);

  return commy_value_decode (channel, frame->serializer, signature, bytes, error);
}

GBytes *
commy_bytes_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error)
{
  CommyPlugin *serializer = commy_channel_get_serializer (channel, incoming->frame.serializer);

  if (incoming->frame.signature_size > 0 || serializer == NULL
      || !(serializer->profile.capabilities & COMMY_CAP_BYTES))
    {
      commy_set_error (error, COMMY_ERROR_TYPE, "a value where raw bytes were expected");
      return NULL;
    }
  return commy_incoming_dup_payload (channel, incoming);
}
