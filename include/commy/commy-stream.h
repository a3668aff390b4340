/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: a call whose sides exchange any number of messages before its result. The caller opens
 * one with a method's arguments; the handler ends it by answering its invocation. Both sides hold
 * the same class.
 */
#pragma once

#include <commy/commy-client.h>
#include <commy/commy-service.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommyStreamKind:
 * @COMMY_STREAM_KIND_CLIENT: the caller writes messages, the service answers once
 * @COMMY_STREAM_KIND_SERVER: the service writes messages
 * @COMMY_STREAM_KIND_BOTH: both write, in any order
 *
 * Who writes. The same as the annotation `org.commy.Stream` (`client`, `server`, `both`) of a
 * method in the interface.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_STREAM_KIND_CLIENT = 1,
  COMMY_STREAM_KIND_SERVER = 2,
  COMMY_STREAM_KIND_BOTH = 3,
} CommyStreamKind;

#define COMMY_TYPE_STREAM (commy_stream_get_type ())
/**
 * CommyStream:
 *
 * One side of a stream.
 *
 * A stream belongs to one thread: the client's, or the one that runs the handler. What has no
 * other rule fails elsewhere with %COMMY_ERROR_WRONG_THREAD. Asynchronous operations complete in
 * the thread-default context of their caller, never from inside the call; synchronous ones iterate
 * no main context, and no other handler runs while they wait.
 *
 * Messages are values of any type, or raw bytes; their order is kept. Each side lets the other
 * send about 256 KiB (limit `stream-window`) beyond what the application has read; then writes
 * wait. A message may exceed what is left, so that one of any size passes.
 *
 * A stream ends with the result or the error of the handler; with commy_stream_cancel() of either
 * side (%COMMY_ERROR_CANCELLED); at its deadline (%COMMY_ERROR_DEADLINE); or with its path, which
 * is %COMMY_ERROR_OUTCOME_UNKNOWN for the caller and %COMMY_ERROR_UNREACHABLE for the handler. What
 * had arrived before stays readable, except after a cancellation. Giving back the last reference of
 * a caller's stream cancels it.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyStream, commy_stream, COMMY, STREAM, GObject)

/* --- opening --- */

/**
 * commy_client_open_stream:
 * @client: a client
 * @method: name of a method that streams
 * @parameters: (nullable): its arguments, a tuple; floating is consumed; %NULL for `()`
 * @options: (nullable): options; a timeout is one for the whole stream, without one it has none
 * @cancellable: (nullable): a cancellable for the opening
 * @callback: (scope async) (closure user_data): called in the client's context, never from inside
 *   this
 * @user_data: for @callback
 *
 * Opens a stream: routed, balanced and retried like a call, and done when the path has taken the
 * request. Whether the service accepts it (policy, arguments) shows at the first read. The opening
 * itself takes no longer than the timeout of a call. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_open_stream (CommyClient *client,
                                         const char *method,
                                         GVariant *parameters,
                                         const CommyCallOptions *options,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/**
 * commy_client_open_stream_finish:
 * @client: a client
 * @result: the result
 * @error: return location
 *
 * Ends commy_client_open_stream().
 *
 * Returns: (transfer full): the stream, or %NULL
 *
 * Since: 0.1
 */
COMMY_API CommyStream *
commy_client_open_stream_finish (CommyClient *client, GAsyncResult *result, GError **error);
/**
 * commy_client_open_stream_sync:
 * @client: a client
 * @method: name of a method that streams
 * @parameters: (nullable): its arguments, a tuple; floating is consumed; %NULL for `()`
 * @options: (nullable): options; a timeout is one for the whole stream, without one it has none
 * @cancellable: (nullable): a cancellable for the opening
 * @error: return location
 *
 * As commy_client_open_stream(), and waits. Iterates no main context.
 *
 * Returns: (transfer full): the stream, or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API CommyStream *commy_client_open_stream_sync (CommyClient *client,
                                                      const char *method,
                                                      GVariant *parameters,
                                                      const CommyCallOptions *options,
                                                      GCancellable *cancellable,
                                                      GError **error);
/**
 * commy_service_handle_stream:
 * @service: a service that is not started
 * @method: a method's name
 * @kind: who writes
 * @func: (scope notified) (closure user_data) (destroy destroy): called for each stream that is
 * opened
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets the handler of a method that streams. It finds the stream with commy_invocation_get_stream()
 * and ends it by answering the invocation: with a value, which follows the messages that were
 * written before, or with an error, which drops those that still wait. Methods that the interface
 * annotates with `org.commy.Stream` may be set with commy_service_handle() as well. The annotations
 * `org.commy.Stream.In` and `org.commy.Stream.Out` (type strings) describe the messages to and from
 * the service; they are checked there.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_handle_stream (CommyService *service,
                                            const char *method,
                                            CommyStreamKind kind,
                                            CommyCallFunc func,
                                            gpointer user_data,
                                            GDestroyNotify destroy);
/**
 * commy_invocation_get_stream:
 * @invocation: an invocation
 *
 * The stream of a call that streams.
 *
 * Returns: (transfer none) (nullable): the stream that this call opened; %NULL for other calls
 *
 * Since: 0.1
 */
COMMY_API CommyStream *commy_invocation_get_stream (CommyInvocation *invocation);

/* --- facts --- */

/**
 * commy_stream_get_method:
 * @stream: a stream
 *
 * Any thread.
 *
 * Returns: (transfer none): name of the method
 *
 * Since: 0.1
 */
COMMY_API const char *commy_stream_get_method (CommyStream *stream);
/**
 * commy_stream_get_peer:
 * @stream: a stream
 *
 * Any thread.
 *
 * Returns: (transfer none): who is on the other side
 *
 * Since: 0.1
 */
COMMY_API CommyPrincipal *commy_stream_get_peer (CommyStream *stream);
/**
 * commy_stream_get_transport:
 * @stream: a stream
 *
 * Any thread.
 *
 * Returns: (transfer none): id of the transport it runs over
 *
 * Since: 0.1
 */
COMMY_API const char *commy_stream_get_transport (CommyStream *stream);
/**
 * commy_stream_get_deadline:
 * @stream: a stream
 *
 * Any thread.
 *
 * Returns: monotonic time in microseconds when the stream ends by itself; `G_MAXINT64`: never
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_stream_get_deadline (CommyStream *stream);
/**
 * commy_stream_get_unread:
 * @stream: a stream
 *
 * How much has arrived and waits to be read.
 *
 * Returns: messages that have arrived and were not read
 *
 * Since: 0.1
 */
COMMY_API guint commy_stream_get_unread (CommyStream *stream);
/**
 * commy_stream_get_credit:
 * @stream: a stream
 *
 * How much may be sent now.
 *
 * Returns: bytes that the other side lets this one send now; a write waits unless it is positive
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_stream_get_credit (CommyStream *stream);
/**
 * commy_stream_get_result:
 * @stream: a stream of a client
 *
 * What the handler answered.
 *
 * Returns: (transfer none) (nullable): the handler's result, a tuple, once it has arrived
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_stream_get_result (CommyStream *stream);

/* --- writing --- */

/**
 * commy_stream_write:
 * @stream: a stream
 * @message: a value of any type; floating is consumed
 * @cancellable: (nullable): a cancellable: the message is then not sent
 * @callback: (scope async) (closure user_data) (nullable): called when the path has taken the
 * message
 * @user_data: for @callback
 *
 * Writes a message as soon as the other side lets it. Several writes may be under way; they keep
 * their order. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_write (CommyStream *stream,
                                   GVariant *message,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
/**
 * commy_stream_write_finish:
 * @stream: a stream
 * @result: the result
 * @error: return location
 *
 * Ends commy_stream_write().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_write_finish (CommyStream *stream,
                                              GAsyncResult *result,
                                              GError **error);
/**
 * commy_stream_write_sync:
 * @stream: a stream
 * @message: a value of any type; floating is consumed
 * @cancellable: (nullable): a cancellable: the message is then not sent
 * @error: return location
 *
 * Writes a message, and waits while the other side does not let it.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_write_sync (CommyStream *stream,
                                            GVariant *message,
                                            GCancellable *cancellable,
                                            GError **error);
/**
 * commy_stream_write_bytes:
 * @stream: a stream
 * @bytes: (transfer none): a message
 * @cancellable: (nullable): a cancellable: the message is then not sent
 * @callback: (scope async) (closure user_data) (nullable): called when the path has taken the
 * message
 * @user_data: for @callback
 *
 * As commy_stream_write(), with raw bytes.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_write_bytes (CommyStream *stream,
                                         GBytes *bytes,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/**
 * commy_stream_write_bytes_finish:
 * @stream: a stream
 * @result: the result
 * @error: return location
 *
 * Ends commy_stream_write_bytes().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_write_bytes_finish (CommyStream *stream,
                                                    GAsyncResult *result,
                                                    GError **error);
/**
 * commy_stream_write_bytes_sync:
 * @stream: a stream
 * @bytes: (transfer none): a message
 * @cancellable: (nullable): a cancellable: the message is then not sent
 * @error: return location
 *
 * As commy_stream_write_sync(), with raw bytes.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_write_bytes_sync (CommyStream *stream,
                                                  GBytes *bytes,
                                                  GCancellable *cancellable,
                                                  GError **error);
/**
 * commy_stream_close_write:
 * @stream: a stream
 * @error: return location
 *
 * Says that no more messages come from this side; those that still wait are sent before. The other
 * side reads the end. Does not block; once is enough.
 *
 * Returns: success; %FALSE if the stream had failed before
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_stream_close_write (CommyStream *stream, GError **error);

/* --- reading --- */

/**
 * commy_stream_read:
 * @stream: a stream
 * @cancellable: (nullable): a cancellable: the next read then gets the message
 * @callback: (scope async) (closure user_data): called when there is a message or the end
 * @user_data: for @callback
 *
 * Reads a message. Several reads may be under way; they are served in order. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_read (CommyStream *stream,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
/**
 * commy_stream_read_finish:
 * @stream: a stream
 * @result: the result
 * @error: return location
 *
 * Ends commy_stream_read().
 *
 * Returns: (transfer full) (nullable): the message; %NULL without @error: the other side sends no
 *   more; %NULL with %COMMY_ERROR_TYPE: the next message is raw bytes and stays to be read as such
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_stream_read_finish (CommyStream *stream, GAsyncResult *result, GError **error);
/**
 * commy_stream_read_sync:
 * @stream: a stream
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Reads a message, and waits for it.
 *
 * Returns: (transfer full) (nullable): as commy_stream_read_finish()
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_stream_read_sync (CommyStream *stream, GCancellable *cancellable, GError **error);
/**
 * commy_stream_read_bytes:
 * @stream: a stream
 * @cancellable: (nullable): a cancellable: the next read then gets the message
 * @callback: (scope async) (closure user_data): called when there is a message or the end
 * @user_data: for @callback
 *
 * As commy_stream_read(), for raw bytes.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_read_bytes (CommyStream *stream,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/**
 * commy_stream_read_bytes_finish:
 * @stream: a stream
 * @result: the result
 * @error: return location
 *
 * Ends commy_stream_read_bytes().
 *
 * Returns: (transfer full) (nullable): the message; %NULL without @error: the other side sends no
 *   more; %NULL with %COMMY_ERROR_TYPE: the next message is a value and stays to be read as such
 *
 * Since: 0.1
 */
COMMY_API GBytes *
commy_stream_read_bytes_finish (CommyStream *stream, GAsyncResult *result, GError **error);
/**
 * commy_stream_read_bytes_sync:
 * @stream: a stream
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * As commy_stream_read_sync(), for raw bytes.
 *
 * Returns: (transfer full) (nullable): as commy_stream_read_bytes_finish()
 *
 * Since: 0.1
 */
COMMY_API GBytes *
commy_stream_read_bytes_sync (CommyStream *stream, GCancellable *cancellable, GError **error);

/* --- the end --- */

/**
 * commy_stream_wait_result:
 * @stream: a stream of a client
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called when the stream has ended
 * @user_data: for @callback
 *
 * Waits for the handler's answer. Messages stay to be read; a handler that writes more than the
 * window takes answers only after they were. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_wait_result (CommyStream *stream,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/**
 * commy_stream_wait_result_finish:
 * @stream: a stream
 * @result: the result
 * @error: return location
 *
 * Ends commy_stream_wait_result().
 *
 * Returns: (transfer full): the handler's result, a tuple; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_stream_wait_result_finish (CommyStream *stream, GAsyncResult *result, GError **error);
/**
 * commy_stream_wait_result_sync:
 * @stream: a stream of a client
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * As commy_stream_wait_result(), and waits.
 *
 * Returns: (transfer full): the handler's result, a tuple; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_stream_wait_result_sync (CommyStream *stream, GCancellable *cancellable, GError **error);
/**
 * commy_stream_cancel:
 * @stream: a stream
 * @message: (nullable): why, for the other side
 *
 * Ends the stream from this side. Operations under way on either side fail with
 * %COMMY_ERROR_CANCELLED and unread messages are dropped. A handler still answers its invocation;
 * the answer then goes nowhere. Any thread; nothing happens to a stream that has ended.
 *
 * Since: 0.1
 */
COMMY_API void commy_stream_cancel (CommyStream *stream, const char *message);

G_END_DECLS
