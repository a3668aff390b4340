/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offering: a service, its handlers, and the invocations they answer.
 */
#pragma once

#include <commy/commy-mesh.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

#define COMMY_TYPE_PRINCIPAL (commy_principal_get_type ())
/**
 * CommyPrincipal:
 *
 * Who the other side proved to be: a user of this host, or the name in a certificate.
 *
 * It never changes and may be shared between threads.
 *
 * Since: 0.1
 */
COMMY_API GType commy_principal_get_type (void);
/**
 * commy_principal_ref:
 * @principal: a principal
 *
 * Immutable, shared between threads.
 *
 * Returns: (transfer full): the same principal
 *
 * Since: 0.1
 */
COMMY_API CommyPrincipal *commy_principal_ref (CommyPrincipal *principal);
/**
 * commy_principal_unref:
 * @principal: (nullable) (transfer full): a principal
 *
 * Gives a reference back.
 *
 * Since: 0.1
 */
COMMY_API void commy_principal_unref (CommyPrincipal *principal);
/**
 * commy_principal_get_name:
 * @principal: a principal
 *
 * What the other side proved to be.
 *
 * Returns: (transfer none): what the other side proved, such as `unix:uid=1000`
 *
 * Since: 0.1
 */
COMMY_API const char *commy_principal_get_name (CommyPrincipal *principal);
/**
 * commy_principal_get_provider:
 * @principal: a principal
 *
 * Who judged the proof.
 *
 * Returns: (transfer none): id of the auth provider that accepted the proof
 *
 * Since: 0.1
 */
COMMY_API const char *commy_principal_get_provider (CommyPrincipal *principal);

/**
 * commy_principal_get_attributes:
 * @principal: a principal
 *
 * What the peer proved besides its name: what further providers of its chain call it
 * (`token:build`), and what its credential carries (`scope=deploy`). Any thread.
 *
 * Returns: (transfer none) (array zero-terminated=1): the attributes, in the order of the chain
 *
 * Since: 0.1
 */
COMMY_API const char *const *commy_principal_get_attributes (CommyPrincipal *principal);

#define COMMY_TYPE_INVOCATION (commy_invocation_get_type ())
/**
 * CommyInvocation:
 *
 * A call as its handler sees it: method, arguments, who calls, and until when.
 *
 * It is answered exactly once, from any thread, now or later, and valid until then; who wants to
 * look at it afterwards holds a reference. One that is dropped without an answer is a mistake of
 * the program: it is logged, and the caller waits until its deadline.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyInvocation, commy_invocation, COMMY, INVOCATION, GObject)

/**
 * commy_invocation_get_method:
 * @invocation: an invocation
 *
 * Which method is called.
 *
 * Returns: (transfer none): name of the method
 *
 * Since: 0.1
 */
COMMY_API const char *commy_invocation_get_method (CommyInvocation *invocation);
/**
 * commy_invocation_get_parameters:
 * @invocation: an invocation
 *
 * What the caller sent.
 *
 * Returns: (transfer none) (nullable): the arguments, a tuple; %NULL for a call with raw bytes
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_invocation_get_parameters (CommyInvocation *invocation);
/**
 * commy_invocation_get_bytes:
 * @invocation: an invocation
 *
 * What the caller sent with a call of raw bytes.
 *
 * Returns: (transfer none) (nullable): the argument of a call with raw bytes
 *
 * Since: 0.1
 */
COMMY_API GBytes *commy_invocation_get_bytes (CommyInvocation *invocation);
/**
 * commy_invocation_get_unix_fd_list:
 * @invocation: an invocation
 *
 * Values of type `h` in the arguments are indices into it. What is still in it when the
 * invocation ends is closed: take what is kept with g_unix_fd_list_steal_fds() or
 * g_unix_fd_list_get().
 *
 * Returns: (transfer none) (nullable): descriptors that came with the call, closed on exec; %NULL
 *   if none did
 *
 * Since: 0.1
 */
COMMY_API GUnixFDList *commy_invocation_get_unix_fd_list (CommyInvocation *invocation);
/**
 * commy_invocation_get_caller:
 * @invocation: an invocation
 *
 * Who calls, as proved to the core and allowed by the policy.
 *
 * Returns: (transfer none): who calls
 *
 * Since: 0.1
 */
COMMY_API CommyPrincipal *commy_invocation_get_caller (CommyInvocation *invocation);
/**
 * commy_invocation_get_transport:
 * @invocation: an invocation
 *
 * How the call came here.
 *
 * Returns: (transfer none): id of the transport it came over
 *
 * Since: 0.1
 */
COMMY_API const char *commy_invocation_get_transport (CommyInvocation *invocation);
/**
 * commy_invocation_get_deadline:
 * @invocation: an invocation
 *
 * Until when the caller waits.
 *
 * Returns: monotonic time in microseconds when nobody waits for the answer any more;
 *   `G_MAXINT64` for a one-way message
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_invocation_get_deadline (CommyInvocation *invocation);
/**
 * commy_invocation_is_one_way:
 * @invocation: an invocation
 *
 * Whether the caller waits for nothing.
 *
 * Returns: whether no answer is wanted; answering is then allowed and does nothing
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_invocation_is_one_way (CommyInvocation *invocation);
/**
 * commy_invocation_return_value:
 * @invocation: an invocation
 * @value: (nullable): the result, a tuple; floating is consumed; %NULL for `()`
 *
 * Answers. Exactly one of the return functions is called, from any thread, now or later; after it
 * only who holds a reference of their own may still look at @invocation.
 *
 * Since: 0.1
 */
COMMY_API void commy_invocation_return_value (CommyInvocation *invocation, GVariant *value);
/**
 * commy_invocation_return_value_with_unix_fd_list:
 * @invocation: (transfer full): an invocation
 * @value: (nullable): the result, a tuple; floating is consumed; %NULL for `()`. Values of type
 *   `h` are indices into @fd_list
 * @fd_list: (nullable) (transfer none): descriptors that go along, at most 253; duplicates are
 *   sent. The call must have come over a transport that carries descriptors, as those made with
 *   commy_client_call_with_unix_fd_list() do; else the caller gets %COMMY_ERROR_TYPE
 *
 * Answers with descriptors.
 *
 * Since: 0.1
 */
COMMY_API void commy_invocation_return_value_with_unix_fd_list (CommyInvocation *invocation,
                                                                GVariant *value,
                                                                GUnixFDList *fd_list);
/**
 * commy_invocation_return_bytes:
 * @invocation: an invocation
 * @bytes: (transfer none): the result
 *
 * Answers with raw bytes.
 *
 * Since: 0.1
 */
COMMY_API void commy_invocation_return_bytes (CommyInvocation *invocation, GBytes *bytes);
/**
 * commy_invocation_return_gerror:
 * @invocation: an invocation
 * @error: (transfer none): why not; the caller gets %COMMY_ERROR_REMOTE with its message
 *
 * Answers with an error.
 *
 * Since: 0.1
 */
COMMY_API void commy_invocation_return_gerror (CommyInvocation *invocation, const GError *error);
/**
 * commy_invocation_return_error:
 * @invocation: an invocation
 * @message: why not
 *
 * Answers with an error.
 *
 * Since: 0.1
 */
COMMY_API void commy_invocation_return_error (CommyInvocation *invocation, const char *message);

/**
 * CommyCallFunc:
 * @service: the service
 * @invocation: (transfer none): the call; valid until it is answered, which is done once
 * @user_data: as given
 *
 * A call arrived. Runs in the main context that was the thread default when the service was
 * made, or on one of its workers. May stop the service.
 *
 * Since: 0.1
 */
typedef void (*CommyCallFunc) (CommyService *service,
                               CommyInvocation *invocation,
                               gpointer user_data);

#define COMMY_TYPE_SERVICE (commy_service_get_type ())
/**
 * CommyService:
 *
 * What a program offers under a name: methods and their handlers.
 *
 * It is set up, started, which makes this process an instance of the name, and stopped. Handlers
 * run in the main context that was the thread default when it was made, or on threads of its own
 * (commy_service_set_workers()). With an interface the types of arguments and results are checked
 * before a handler sees them.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyService, commy_service, COMMY, SERVICE, GObject)

/**
 * commy_service_new:
 * @mesh: a mesh
 * @name: dotted name, such as `org.example.Digest`; names that begin with `org.commy.` are reserved
 * @interface: (nullable): what it offers; arguments and results are then checked against it
 *
 * A service that is not offered yet. Its handlers run in the calling thread's default context. It
 * announces the commy_schema_to_hash() of its @interface, and whoever may call its method
 * `org.freedesktop.DBus.Introspectable.Introspect` gets the description: clients that were written
 * for another version do (commy_client_set_interface()).
 *
 * Returns: (transfer full): a service
 *
 * Since: 0.1
 */
COMMY_API CommyService *
commy_service_new (CommyMesh *mesh, const char *name, GDBusInterfaceInfo *interface);
/**
 * commy_service_handle:
 * @service: a service that is not started
 * @method: a method's name
 * @func: (scope notified) (closure user_data) (destroy destroy): called for each call
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data
 *
 * Sets the handler of a method.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_handle (CommyService *service,
                                     const char *method,
                                     CommyCallFunc func,
                                     gpointer user_data,
                                     GDestroyNotify destroy);
/**
 * commy_service_set_workers:
 * @service: a service that is not started
 * @threads: worker threads of its own that poll, spin and park; 0 for the main context; at most 64
 *
 * Where handlers run.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_set_workers (CommyService *service, guint threads);
/**
 * commy_service_set_version:
 * @service: a service
 * @version: (nullable): its version, such as `2.1.0`; %NULL: it does not say
 * @error: return location
 *
 * What callers select by (commy_client_set_selector()): one to three numbers, maybe with what
 * Semantic Versioning puts behind them. While the service is offered its record is written anew,
 * and others know it as soon as their watch tells them. `version` of `[service NAME]` in a keyfile
 * wins. Any thread; does not block.
 *
 * Returns: whether it is one; else %COMMY_ERROR_INVALID_ARGUMENT, and nothing changed
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_set_version (CommyService *service,
                                              const char *version,
                                              GError **error);
/**
 * commy_service_set_tags:
 * @service: a service
 * @tags: (nullable) (array zero-terminated=1): at most 64 words of letters, digits, `_`, `.`, `/`
 *   and `-`; %NULL for none
 * @error: return location
 *
 * As commy_service_set_version(), of its tags. `tags` of `[service NAME]` wins.
 *
 * Returns: whether they are tags; else %COMMY_ERROR_INVALID_ARGUMENT, and nothing changed
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_set_tags (CommyService *service,
                                           const char *const *tags,
                                           GError **error);
/**
 * commy_service_set_metadata:
 * @service: a service
 * @metadata: (nullable): an `a{ss}` of at most 64 pairs, floating is consumed; %NULL for none. Keys
 *   are like tags, values one line of at most 255 bytes
 * @error: return location
 *
 * As commy_service_set_version(), of what else there is to know. `metadata` of `[service NAME]`
 * wins, as a whole.
 *
 * Returns: whether it is; else %COMMY_ERROR_INVALID_ARGUMENT, and nothing changed
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_set_metadata (CommyService *service,
                                               GVariant *metadata,
                                               GError **error);
/**
 * commy_service_set_weight:
 * @service: a service
 * @weight: from 1 to 1000; what lies outside counts as the nearer of both
 *
 * Its share of the calls among the instances of its name, where the caller's balancer heeds
 * weights, as `weighted` does; 1 unless it is set. As commy_service_set_version(); `weight` of
 * `[service NAME]` wins.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_set_weight (CommyService *service, guint weight);
/**
 * commy_service_set_health:
 * @service: a service, started or not
 * @serving: whether it can do its work; that is what is told of one that never calls this
 * @reason: (nullable): why not, one line for people, cut after 127 bytes
 *
 * What the instance says of its own health, as in gRPC's health protocol.
 *
 * It stands in the instance's record, so clients hear of it by their watch at once, and in
 * org.commy.Node1. Callers leave out who does not serve while there is another one; calls that
 * come all the same are handled as ever. Any thread; does not block. What is said stays when the
 * service is stopped and started again.
 *
 * Since: 0.1
 */
COMMY_API void
commy_service_set_health (CommyService *service, gboolean serving, const char *reason);
/**
 * commy_service_start:
 * @service: a service of a joined mesh
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Offers the service. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_start (CommyService *service,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data);
/**
 * commy_service_start_finish:
 * @service: a service
 * @result: the result
 * @error: return location
 *
 * Ends commy_service_start().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_start_finish (CommyService *service,
                                               GAsyncResult *result,
                                               GError **error);
/**
 * commy_service_start_sync:
 * @service: a service of a joined mesh
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Offers the service and waits until others can find it. Iterates no main context. An offered
 * service keeps its mesh joined until it is stopped or the mesh is left.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_start_sync (CommyService *service,
                                             GCancellable *cancellable,
                                             GError **error);
/**
 * commy_service_stop:
 * @service: a service
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data) (nullable): called in the caller's thread-default
 * context
 * @user_data: for @callback
 *
 * Stops offering; calls under way are finished first. Legal from inside a handler.
 *
 * Since: 0.1
 */
COMMY_API void commy_service_stop (CommyService *service,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
/**
 * commy_service_stop_finish:
 * @service: a service
 * @result: the result
 * @error: return location
 *
 * Ends commy_service_stop().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_service_stop_finish (CommyService *service,
                                              GAsyncResult *result,
                                              GError **error);
/**
 * commy_service_get_instance_id:
 * @service: a service
 *
 * How this offer of the service is called. Any thread.
 *
 * Returns: (transfer none) (nullable): id of this instance while it is offered
 *
 * Since: 0.1
 */
COMMY_API const char *commy_service_get_instance_id (CommyService *service);

G_END_DECLS
