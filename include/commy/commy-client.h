/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calling. A client is cheap, belongs to the thread that made it, and keeps its route.
 */
#pragma once

#include <commy/commy-decision.h>
#include <commy/commy-mesh.h>
#include <commy/commy-requirements.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

#define COMMY_TYPE_CLIENT (commy_client_get_type ())
/**
 * CommyClient:
 *
 * Calls the methods of one service.
 *
 * The first call finds an instance, chooses a path and connects; later ones keep what was chosen
 * until instances, settings or measurements change. commy_client_explain() tells what was chosen
 * and why. A client is cheap: make one for each service and thread.
 *
 * It belongs to the thread that made it, which is checked (%COMMY_ERROR_WRONG_THREAD). Asynchronous
 * calls complete in the thread-default context of that thread; synchronous ones iterate none.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyClient, commy_client, COMMY, CLIENT, GObject)

/**
 * CommyClient::requirements-changed:
 * @client: the client
 * @met: whether the requirements are met now
 * @decision: the decision that found out, with every number
 *
 * Measurements changed whether the client's maximum latency and minimum throughput are met. While
 * they are not, calls take another path that meets them, which is no news; if there is none they
 * fail with %COMMY_ERROR_REQUIREMENT, or go on if the requirements are degradable. Requirements
 * count as met before the first call. Emitted in the client's context; on a thread without one,
 * at the end of the next synchronous call.
 *
 * Since: 0.1
 */

/**
 * commy_client_new:
 * @mesh: a joined mesh
 * @service: name of a service
 *
 * A client of a service, for the calling thread and its default context. Touches nothing.
 *
 * Returns: (transfer full): a client
 *
 * Since: 0.1
 */
COMMY_API CommyClient *commy_client_new (CommyMesh *mesh, const char *service);
/**
 * commy_client_set_requirements:
 * @client: a client
 * @requirements: (nullable): what its routes must fulfil; %NULL for nothing special
 *
 * Copied; the route is decided anew at the next call.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_set_requirements (CommyClient *client,
                                              const CommyRequirements *requirements);
/**
 * commy_client_set_instance:
 * @client: a client
 * @instance: (nullable): id of the only instance to talk to; %NULL for any
 *
 * Restricts the client to one instance.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_set_instance (CommyClient *client, const char *instance);
/**
 * commy_client_set_selector:
 * @client: a client
 * @selector: (nullable): words with spaces between them, which must all fit; "" for any instance;
 *   %NULL for what `select` of `[service NAME]` in a keyfile says
 * @error: return location
 *
 * Which instances are called, by what they say of themselves (commy_service_set_version() and so
 * on):
 * `>=2.1`, `>2.1`, `<3`, `<=3` and `=2.1` are about the version, by the precedence of Semantic
 * Versioning, what is missing counting as 0; `gpu` is a tag; `rack:7` is a pair of the metadata. An
 * instance that does not say is not wanted, such as one that a keyfile lists with `endpoints`.
 * Others stand in the decision with the filter `selector`; where nobody is wanted calls fail with
 * %COMMY_ERROR_NO_ROUTE, which says what was wanted and what there is. Topics know no selectors.
 *
 * The route is decided anew at the next call.
 *
 * Returns: whether it can be read; else %COMMY_ERROR_INVALID_ARGUMENT, and nothing changed
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_client_set_selector (CommyClient *client,
                                              const char *selector,
                                              GError **error);
/**
 * commy_client_set_sticky_key:
 * @client: a client
 * @key: (nullable): any text, as the id of a user or a session; %NULL for none
 *
 * The key of all its calls that name none of their own (commy_call_options_set_sticky_key()), hot
 * ones too. Calls with the same key go to the same instance as long as it is there, whoever calls,
 * if the service's balancer knows keys, as `consistent-hash` does; others ignore it. Streams too,
 * each as a whole.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_set_sticky_key (CommyClient *client, const char *key);
/**
 * commy_client_set_balancer:
 * @client: a client of a mesh that is joined
 * @balancer: (nullable): id of a balancer; %NULL for the one that the keyfile names
 * @error: return location
 *
 * How one of several instances that are equally good is picked, instead of what `balancer` of
 * `[service NAME]` or `[mesh]` says. What the last one has learned is forgotten. Starts the plugin
 * if nobody used it yet, and waits for that. Fails with %COMMY_ERROR_PLUGIN_MISSING, or with the
 * reason why the plugin does not start; the client then stays as it was.
 *
 * Returns: whether it is so
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_client_set_balancer (CommyClient *client,
                                              const char *balancer,
                                              GError **error);

/**
 * commy_client_set_interface:
 * @client: a client
 * @interface: (nullable) (transfer none): what the client was written for; %NULL: it does not say
 *
 * States which interface the caller knows. An instance that offers another one is asked once for
 * its description, which is compared as commy_schema_compare() does; the verdict is kept. Instances
 * that are incompatible are not called, and commy_client_explain() names the first difference;
 * where no other is left, calls fail with %COMMY_ERROR_NO_ROUTE. What is worth a look is logged
 * once. Instances that do not say what they offer are used as without this. The setting
 * `interface-check` of the service may make it warn only, or turn it off.
 *
 * Its annotations then count where the options of a call say nothing else: `org.commy.Deadline` is
 * the method's timeout unless a keyfile sets one (`[method SERVICE.METHOD]`),
 * `org.commy.Idempotent` makes its calls idempotent. Without an @interface nothing is compared.
 * Call it on the client's thread, before its calls; the route is decided anew at the next one.
 * Generated proxies do it themselves.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_set_interface (CommyClient *client, GDBusInterfaceInfo *interface);

/**
 * commy_client_call:
 * @client: a client
 * @method: a method's name
 * @parameters: (nullable): a tuple; floating is consumed; %NULL for `()`
 * @options: (nullable): options
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the client's context, never from inside
 * this
 * @user_data: for @callback
 *
 * Calls. Does not block. Calls are independent: a small one may overtake a large one that was
 * begun before it, and so may their answers. Two large ones that have not left are kept for a
 * path; the next fails with %COMMY_ERROR_BUSY.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_call (CommyClient *client,
                                  const char *method,
                                  GVariant *parameters,
                                  const CommyCallOptions *options,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
/**
 * commy_client_call_finish:
 * @client: a client
 * @result: the result
 * @error: return location
 *
 * Ends commy_client_call().
 *
 * Returns: (transfer full): the answer, a tuple; or %NULL
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_client_call_finish (CommyClient *client, GAsyncResult *result, GError **error);
/**
 * commy_client_call_sync:
 * @client: a client
 * @method: a method's name
 * @parameters: (nullable): a tuple; floating is consumed; %NULL for `()`
 * @options: (nullable): options
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Calls and waits: spins for a short time, then parks. Never iterates a main context, so
 * nothing else of the program runs meanwhile. A call to a service of the calling context fails
 * with %COMMY_ERROR_WOULD_DEADLOCK.
 *
 * Returns: (transfer full): the answer, a tuple; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_client_call_sync (CommyClient *client,
                                            const char *method,
                                            GVariant *parameters,
                                            const CommyCallOptions *options,
                                            GCancellable *cancellable,
                                            GError **error);
/**
 * commy_client_call_with_unix_fd_list:
 * @client: a client
 * @method: a method's name
 * @parameters: (nullable): a tuple; floating is consumed; %NULL for `()`. Values of type `h` are
 *   indices into @fd_list
 * @fd_list: (nullable) (transfer none): descriptors that go along, at most 253; duplicates are
 *   sent, the list stays the caller's
 * @options: (nullable): options
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the client's context
 * @user_data: for @callback
 *
 * As commy_client_call(), with descriptors there and back. Only a path that carries descriptors
 * is taken; where there is none, the error is %COMMY_ERROR_NO_ROUTE and says why.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_call_with_unix_fd_list (CommyClient *client,
                                                    const char *method,
                                                    GVariant *parameters,
                                                    GUnixFDList *fd_list,
                                                    const CommyCallOptions *options,
                                                    GCancellable *cancellable,
                                                    GAsyncReadyCallback callback,
                                                    gpointer user_data);
/**
 * commy_client_call_with_unix_fd_list_finish:
 * @client: a client
 * @out_fd_list: (out) (optional) (nullable) (transfer full): descriptors of the answer; %NULL if
 *   it has none; set on success only
 * @result: the result
 * @error: return location
 *
 * Ends commy_client_call_with_unix_fd_list().
 *
 * Returns: (transfer full): the answer, a tuple; or %NULL
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_client_call_with_unix_fd_list_finish (CommyClient *client,
                                                                GUnixFDList **out_fd_list,
                                                                GAsyncResult *result,
                                                                GError **error);
/**
 * commy_client_call_with_unix_fd_list_sync:
 * @client: a client
 * @method: a method's name
 * @parameters: (nullable): a tuple; floating is consumed; %NULL for `()`
 * @fd_list: (nullable) (transfer none): descriptors that go along, at most 253
 * @options: (nullable): options
 * @out_fd_list: (out) (optional) (nullable) (transfer full): descriptors of the answer; %NULL if
 *   it has none; set on success only
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * As commy_client_call_sync(), with descriptors there and back: see
 * commy_client_call_with_unix_fd_list().
 *
 * Returns: (transfer full): the answer, a tuple; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_client_call_with_unix_fd_list_sync (CommyClient *client,
                                                              const char *method,
                                                              GVariant *parameters,
                                                              GUnixFDList *fd_list,
                                                              const CommyCallOptions *options,
                                                              GUnixFDList **out_fd_list,
                                                              GCancellable *cancellable,
                                                              GError **error);
/**
 * commy_client_call_bytes:
 * @client: a client
 * @method: a method's name
 * @bytes: (transfer none): the argument
 * @options: (nullable): options
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the client's context
 * @user_data: for @callback
 *
 * Calls with raw bytes. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_client_call_bytes (CommyClient *client,
                                        const char *method,
                                        GBytes *bytes,
                                        const CommyCallOptions *options,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/**
 * commy_client_call_bytes_finish:
 * @client: a client
 * @result: the result
 * @error: return location
 *
 * Ends commy_client_call_bytes().
 *
 * Returns: (transfer full): the answer; or %NULL
 *
 * Since: 0.1
 */
COMMY_API GBytes *
commy_client_call_bytes_finish (CommyClient *client, GAsyncResult *result, GError **error);
/**
 * commy_client_call_bytes_sync:
 * @client: a client
 * @method: a method's name
 * @bytes: (transfer none): the argument
 * @options: (nullable): options
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * As commy_client_call_sync(), with raw bytes.
 *
 * Returns: (transfer full): the answer; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GBytes *commy_client_call_bytes_sync (CommyClient *client,
                                                const char *method,
                                                GBytes *bytes,
                                                const CommyCallOptions *options,
                                                GCancellable *cancellable,
                                                GError **error);
/**
 * commy_client_send:
 * @client: a client
 * @method: a method's name
 * @parameters: (nullable): a tuple; floating is consumed; %NULL for `()`
 * @options: (nullable): options
 * @error: return location
 *
 * Sends a one-way message: returns when the path has taken it, not when it was handled. Waits
 * for a connection if there is none yet; fails with %COMMY_ERROR_BUSY where the peer does not
 * keep up. A large one is waited for until it has left; if its deadline passes meanwhile, it may
 * still arrive. One-way messages of one client and one priority arrive in order on one path.
 *
 * Returns: whether it was taken
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_client_send (CommyClient *client,
                                      const char *method,
                                      GVariant *parameters,
                                      const CommyCallOptions *options,
                                      GError **error);
/**
 * commy_client_explain:
 * @client: a client
 * @size: of a message, in bytes
 * @what_if: (nullable): other settings
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * How a message of @size would go, and why. Finds the service if need be (blocks like a
 * synchronous call); opens no connection.
 *
 * Returns: (transfer full): the decision, also when nothing was allowed; %NULL with @error if
 *   nobody offers the service
 *
 * Since: 0.1
 */
COMMY_API CommyDecision *commy_client_explain (CommyClient *client,
                                               gsize size,
                                               const CommyWhatIf *what_if,
                                               GCancellable *cancellable,
                                               GError **error);

G_END_DECLS
