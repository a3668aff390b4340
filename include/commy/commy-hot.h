/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot loop, for C: methods resolved once, memory of the path itself, no strings, no
 * GVariant, no allocation, no GObject. Everything else is the same: the router, policy,
 * deadlines, counters. Not introspected.
 */
#pragma once

#include <commy/commy-client.h>
#include <commy/commy-service.h>
#include <commy/commy-stream.h>
#include <commy/commy-topic.h>
#include <commy/commy-transport.h>

G_BEGIN_DECLS

/**
 * CommyMethod: (skip)
 *
 * A method of one client, resolved. 0 is none.
 */
typedef guint32 CommyMethod;

/**
 * CommyReply: (skip)
 * @data: the answer, read only; borrowed from the path
 * @size: its bytes
 *
 * An answer that lies where it arrived. On shared memory between different users it is a copy.
 */
typedef struct
{
  const guint8 *data;
  gsize size;
  /*< private >*/
  gpointer channel;
  CommyMessage message;
} CommyReply;

/**
 * commy_client_resolve: (skip)
 * @client: a client
 * @method: a method's name
 * @error: return location
 *
 * Resolves a method once. Connects if need be.
 *
 * Returns: the method, or 0 with @error set
 *
 * Since: 0.1
 */
COMMY_API CommyMethod commy_client_resolve (CommyClient *client,
                                            const char *method,
                                            GError **error);
/**
 * commy_client_reserve: (skip)
 * @client: a client
 * @method: a resolved method
 * @size: bytes of the argument
 * @out_span: (out): where to write it
 * @error: return location
 *
 * Room for one argument on the path of choice. Valid until commy_client_exchange(),
 * commy_client_discard() or the next reservation.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_client_reserve (
    CommyClient *client, CommyMethod method, gsize size, CommySpan *out_span, GError **error);
/**
 * commy_client_discard: (skip)
 * @client: a client
 *
 * Gives a reservation back unsent.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_discard (CommyClient *client);
/**
 * commy_client_exchange: (skip)
 * @client: a client
 * @method: a resolved method
 * @in: the reserved span; `size` may have been lowered
 * @out_reply: (out): the answer; commy_reply_clear() it
 * @deadline_us: monotonic microseconds; 0 for the default
 * @error: return location
 *
 * Sends the span and waits for the answer. If the path died before anything was published
 * the span is copied to the next allowed path.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_client_exchange (CommyClient *client,
                                          CommyMethod method,
                                          const CommySpan *in,
                                          CommyReply *out_reply,
                                          gint64 deadline_us,
                                          GError **error);
/**
 * commy_reply_clear: (skip)
 * @reply: an answer, or zeroed
 *
 * Gives the answer's memory back. Must come before the mesh itself is given back.
 *
 * Since: 0.1
 */
COMMY_API void commy_reply_clear (CommyReply *reply);

/**
 * CommySpanCall: (skip)
 *
 * A call that is being handled on the hot path. Only valid inside the handler.
 */
typedef struct _CommySpanCall CommySpanCall;

/**
 * CommySpanFunc: (skip)
 * @call: the call
 * @in: the argument, read only, borrowed
 * @size: its bytes
 * @user_data: as given
 *
 * Handles a call in place, on the thread that owns the connection. Answers with
 * commy_span_call_reserve() and filling it, or commy_span_call_fail(); doing neither answers
 * with nothing (zero bytes).
 */
typedef void (*CommySpanFunc) (CommySpanCall *call,
                               const guint8 *in,
                               gsize size,
                               gpointer user_data);

/**
 * commy_span_call_reserve: (skip)
 * @call: the call
 * @size: bytes of the answer
 * @out_span: (out): where to write it
 *
 * Where the path has no room now the answer is written elsewhere and waits.
 *
 * Returns: success; else fail the call: it wants no answer, or the answer is too large
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_span_call_reserve (CommySpanCall *call, gsize size, CommySpan *out_span);
/**
 * commy_span_call_fail: (skip)
 * @call: the call
 * @message: why
 *
 * Answers with an error.
 *
 * Since: 0.1
 */
COMMY_API void commy_span_call_fail (CommySpanCall *call, const char *message);
/**
 * commy_span_call_get_caller: (skip)
 * @call: the call
 *
 * Returns: (transfer none): who calls
 *
 * Since: 0.1
 */
COMMY_API CommyPrincipal *commy_span_call_get_caller (CommySpanCall *call);
/**
 * commy_service_handle_span: (skip)
 * @service: a service that is not started
 * @method: a method's name
 * @func: called for each call
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets a hot handler. Such a method takes and gives raw bytes.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_handle_span (CommyService *service,
                                          const char *method,
                                          CommySpanFunc func,
                                          gpointer user_data,
                                          GDestroyNotify destroy);

/**
 * commy_stream_reserve: (skip)
 * @stream: a stream
 * @size: bytes of a message, at most
 * @out_span: (out): where to write it
 * @error: return location
 *
 * Room for one message of raw bytes on the path itself. Waits for credit and room. One at a time,
 * ended by commy_stream_commit(); nothing else of this thread goes over the path meanwhile.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_reserve (CommyStream *stream,
                                         gsize size,
                                         CommySpan *out_span,
                                         GError **error);
/**
 * commy_stream_commit: (skip)
 * @stream: a stream
 * @span: the reserved span; `size` may have been lowered
 * @error: return location
 *
 * The message is written. It leaves with commy_stream_flush(), or when the stream has to wait.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_commit (CommyStream *stream, const CommySpan *span, GError **error);
/**
 * commy_stream_flush: (skip)
 * @stream: a stream
 * @error: return location
 *
 * Sends what was committed. Does not block.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_flush (CommyStream *stream, GError **error);
/**
 * commy_stream_peek: (skip)
 * @stream: a stream
 * @out_data: (out): the message, read only; borrowed until commy_stream_release()
 * @out_size: (out): its bytes
 * @error: return location
 *
 * Waits for the next message of raw bytes and lends it where it arrived. On shared memory between
 * different users, and if it arrived while this thread waited for something else, it is a copy.
 *
 * Returns: whether there is one; %FALSE without @error: the other side sends no more
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_peek (CommyStream *stream,
                                      const guint8 **out_data,
                                      gsize *out_size,
                                      GError **error);
/**
 * commy_stream_release: (skip)
 * @stream: a stream
 *
 * Gives the message back that was lent. The next one may then be peeked at or read.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_release (CommyStream *stream);

/**
 * commy_publisher_reserve: (skip)
 * @publisher: a publisher
 * @size: bytes of a publication, at most
 * @out_span: (out): where to write it
 * @error: return location
 *
 * Room for one publication of raw bytes, shared by all subscribers. One at a time, ended by
 * commy_publisher_commit() or commy_publisher_discard(). Allocates nothing where the last one was
 * taken by everybody and had room enough.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_reserve (CommyPublisher *publisher,
                                            gsize size,
                                            CommySpan *out_span,
                                            GError **error);
/**
 * commy_publisher_commit: (skip)
 * @publisher: a publisher
 * @span: the reserved span; `size` may have been lowered
 * @error: return location
 *
 * Publishes it, as commy_publisher_publish_bytes(). It leaves with commy_publisher_flush(), or with
 * the next publication that is flushed.
 *
 * Returns: whether it was published
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_commit (CommyPublisher *publisher,
                                           const CommySpan *span,
                                           GError **error);
/**
 * commy_publisher_discard: (skip)
 * @publisher: a publisher
 *
 * Gives a reservation back unpublished.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_discard (CommyPublisher *publisher);
/**
 * commy_publisher_flush: (skip)
 * @publisher: a publisher
 *
 * Sends what was committed to every subscriber, and what waits for those that have credit again.
 * Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_flush (CommyPublisher *publisher);

G_END_DECLS
