/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mesh: the root object. Everything else hangs off it; there is no other global state.
 */
#pragma once

#include <commy/commy-types.h>

G_BEGIN_DECLS

#define COMMY_TYPE_MESH (commy_mesh_get_type ())
/**
 * CommyMesh:
 *
 * A named trust domain, and this process's membership in it.
 *
 * A mesh is made from keyfiles (commy.conf(5)), joined, and left; it holds everything else, so a
 * program can have several. Services and clients keep a reference to their mesh. One thread of its
 * own keeps discovery and connections; calls do not pass through it.
 *
 * Any thread may use it. A child of fork() may not: %COMMY_ERROR_FORKED.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyMesh, commy_mesh, COMMY, MESH, GObject)

/**
 * CommyMesh::alert:
 * @mesh: the mesh
 * @name: of the group `[alert NAME]` in the keyfile
 * @firing: whether it fires now; %FALSE: it is over
 * @details: (type GLib.Variant): `a{sv}` with `name`, `severity` (`info`, `warning`, `critical`),
 *   `when`, `service` and `text` (s), `value` (d; a share, ns, bytes or a number) and `since` (x,
 *   Unix time in s)
 *
 * A figure of this process has been beyond its limit for long enough, or is not any more. Emitted
 * in the main context that was the thread's default when the mesh was made.
 *
 * Since: 0.1
 */

/**
 * CommyMesh::drained:
 * @mesh: the mesh
 * @left: calls that were still under way when the time was over
 *
 * The node was drained, by commy_mesh_drain() or from outside (`commy nodes drain`): nothing is
 * offered any more, and who only serves may leave. Emitted in the program's global default main
 * context.
 *
 * Since: 0.1
 */

/**
 * commy_mesh_new:
 * @name: (nullable): name of the mesh; %NULL for the default mesh of this user
 * @error: return location
 *
 * Reads and checks the keyfiles and looks which plugins there are; runs none of them. Any
 * thread; reads files.
 *
 * Returns: (transfer full): a mesh that is not joined yet; or %NULL with @error naming file,
 *   line and the nearest name (%COMMY_ERROR_CONFIG_UNKNOWN), or the directory that cannot be used
 *
 * Since: 0.1
 */
COMMY_API CommyMesh *commy_mesh_new (const char *name, GError **error);
/**
 * commy_mesh_new_with_settings:
 * @name: (nullable): name of the mesh
 * @keyfile: (nullable): text of a keyfile that goes over all other layers but the store's; its
 *   origin is "program"
 * @error: return location
 *
 * As commy_mesh_new(), with settings of the program's own.
 *
 * Returns: (transfer full): a mesh
 *
 * Since: 0.1
 */
COMMY_API CommyMesh *
commy_mesh_new_with_settings (const char *name, const char *keyfile, GError **error);
/**
 * commy_mesh_new_without_policy:
 * @name: (nullable): name of the mesh
 * @error: return location
 *
 * As commy_mesh_new(), but the groups about policy ([policy NAME], [role NAME] and [network-group
 * NAME]) are not read: a mistake there does not keep one from mending it. As without rules, one's
 * own user may do all here and others nothing. For programs that offer nothing.
 *
 * Returns: (transfer full): a mesh
 *
 * Since: 0.1
 */
COMMY_API CommyMesh *commy_mesh_new_without_policy (const char *name, GError **error);

/**
 * commy_mesh_join:
 * @mesh: a mesh
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Starts the mesh thread and the plugins, registers this node. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_join (CommyMesh *mesh,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data);
/**
 * commy_mesh_join_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_join().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_join_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_join_sync:
 * @mesh: a mesh
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Joins and waits for it. Iterates no main context.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_join_sync (CommyMesh *mesh,
                                         GCancellable *cancellable,
                                         GError **error);
/**
 * commy_mesh_leave:
 * @mesh: a mesh
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data) (nullable): called in the caller's thread-default
 * context
 * @user_data: for @callback
 *
 * Stops offering, lets what is under way finish, leaves. Does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_leave (CommyMesh *mesh,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
/**
 * commy_mesh_leave_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_leave().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_leave_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_leave_sync:
 * @mesh: a mesh
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Leaves and waits for it. Services whose handlers run in the calling context are stopped
 * without waiting for calls that only that context could answer.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_leave_sync (CommyMesh *mesh,
                                          GCancellable *cancellable,
                                          GError **error);

/**
 * commy_mesh_get_name:
 * @mesh: a mesh
 *
 * The name it was made with. Any thread.
 *
 * Returns: (transfer none): its name
 *
 * Since: 0.1
 */
COMMY_API const char *commy_mesh_get_name (CommyMesh *mesh);
/**
 * commy_mesh_get_node_id:
 * @mesh: a mesh
 *
 * How this node is called while it is joined; another one each time. Any thread.
 *
 * Returns: (transfer none): id of this node, 32 hex digits
 *
 * Since: 0.1
 */
COMMY_API const char *commy_mesh_get_node_id (CommyMesh *mesh);

/**
 * commy_mesh_get_runtime_dir:
 * @mesh: a mesh
 *
 * Where the sockets of this mesh lie. It need not exist before the mesh was joined. Any thread.
 *
 * Returns: (transfer none): a folder
 *
 * Since: 0.1
 */
COMMY_API const char *commy_mesh_get_runtime_dir (CommyMesh *mesh);
/**
 * commy_mesh_get_state_dir:
 * @mesh: a mesh
 *
 * Where the mesh keeps what outlives it: the store of this user, what was measured. It need not
 * exist before the mesh was joined. Any thread.
 *
 * Returns: (transfer none): a folder
 *
 * Since: 0.1
 */
COMMY_API const char *commy_mesh_get_state_dir (CommyMesh *mesh);
/**
 * commy_mesh_get_credentials_dir:
 * @mesh: a mesh
 *
 * Where certificates and their key are looked for; it need not exist. Any thread.
 *
 * Returns: (transfer none): a folder
 *
 * Since: 0.1
 */
COMMY_API const char *commy_mesh_get_credentials_dir (CommyMesh *mesh);
/**
 * commy_mesh_list_keyfiles:
 *
 * Where this process looks for keyfiles, in the order in which they are read; later ones win.
 * Any thread; reads folders, not the files.
 *
 * Returns: (transfer full): an `a(ss)`: layer and path. Files that do not exist are among them.
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_keyfiles (void);

/**
 * commy_mesh_list_plugins:
 * @mesh: a mesh
 *
 * Every plugin file that was found, the unusable ones too. Any thread.
 *
 * Returns: (transfer full): an `aa{sv}` with `kind`, `id`, `version`, `state`, `reason`, `path`,
 *   `summary`, `licence`, `abi`, `profile`, which has `contradiction` if measurements speak
 *   against it (then also the reason, if there is no other); hooks have `wraps`, what the
 *   keyfile puts them on; what has hooks has `hooks` and `hooks-origin`. States: found, rejected,
 *   hidden, disabled, quarantined, loaded, active, quiesced, failed
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_plugins (CommyMesh *mesh);
/**
 * commy_plugin_inspect:
 * @path: (type filename): of a plugin file, wherever it lies and whoever owns it
 * @load: whether to load it, too: its code then becomes part of this process for good and may do
 *   anything, so let a process of its own do this
 * @error: return location
 *
 * What the file says of itself, checked as a mesh checks it. Without @load nothing of it runs.
 * Any thread; blocks for as long as reading the file takes.
 *
 * Returns: (transfer full): an `a{sv}` with the fields of commy_mesh_list_plugins() and `hook`,
 *   and after loading `parameters`, an `aa{sv}` with `name`, `type`, `default`, `help`; or %NULL
 *   with @error set: %COMMY_ERROR_PLUGIN_FILE, %COMMY_ERROR_PLUGIN_ABI,
 * %COMMY_ERROR_PLUGIN_PROFILE, %COMMY_ERROR_PLUGIN_SLOT, %COMMY_ERROR_PLUGIN_MISMATCH or
 * %COMMY_ERROR_PLUGIN_PARAM
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_plugin_inspect (const char *path, gboolean load, GError **error);
/**
 * commy_mesh_release_plugins:
 * @mesh: a mesh, joined or not
 * @name: (nullable): `kind/id` or `id` of a plugin; %NULL for all
 * @error: return location
 *
 * Lets plugins be started again that are quarantined because a process ended while they were
 * started. Meshes that are made from now on start them. Any thread.
 *
 * Returns: (transfer full): an `aa{sv}` of those that were released: `kind`, `id`, `path`; or %NULL
 *   with @error set: %COMMY_ERROR_PLUGIN_MISSING if none is called so
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_release_plugins (CommyMesh *mesh, const char *name, GError **error);
/**
 * commy_mesh_list_settings:
 * @mesh: a mesh
 *
 * Every setting in force and where it was set. Any thread.
 *
 * Returns: (transfer full): an `a(ssss)`: group, key, value, origin ("file:line" or a layer)
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_settings (CommyMesh *mesh);
/**
 * commy_mesh_deny:
 * @mesh: a joined mesh
 * @subject: a principal, such as `spiffe://DOMAIN/host/H/user/U` or `token:NAME`, or a certificate,
 *   `x509:AUTHORITY:SERIAL`, as commy_mesh_list_denied() and a node's flows name it
 * @reason: why, a phrase of at most 256 bytes that those who are denied may read
 * @until_s: how long, seconds since 1970; 0: until commy_mesh_allow()
 * @error: return location
 *
 * Writes into the store that @subject is denied. Every node of the mesh that follows the store
 * refuses it from then on and closes the connections that rest on it. Who may write there may deny;
 * nobody is let in by it. Blocks; iterates no main context. Any thread.
 *
 * Returns: whether it was written
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_deny (
    CommyMesh *mesh, const char *subject, const char *reason, gint64 until_s, GError **error);
/**
 * commy_mesh_allow:
 * @mesh: a joined mesh
 * @subject: as in commy_mesh_deny()
 * @error: return location
 *
 * Takes a denial back. What a list of revoked certificates names stays refused. Blocks; iterates
 * no main context. Any thread.
 *
 * Returns: whether it was there; %FALSE without @error: it was not
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_allow (CommyMesh *mesh, const char *subject, GError **error);
/**
 * COMMY_DENIED_MAX:
 *
 * How many denials count at a time in each program of a mesh; of more those that end soonest do
 * not. Lock-outs are no denials.
 *
 * Since: 0.1
 */
#define COMMY_DENIED_MAX 16384u
/**
 * commy_mesh_list_denied:
 * @mesh: a joined mesh
 * @error: return location
 *
 * Who is denied, as the store says now. Blocks; iterates no main context. Any thread.
 *
 * Returns: (transfer full): an `aa{sv}` of `subject` and `reason` (s), `since` and `until` (x), in
 *   seconds since 1970, `until` 0 for good; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_denied (CommyMesh *mesh, GError **error);
/**
 * commy_mesh_list_policy:
 * @mesh: a mesh, joined or not
 * @error: return location
 *
 * The rules of the groups `[policy NAME]`, in the order in which the last that matches decides. Any
 * thread.
 *
 * Returns: (transfer full): an `aa{sv}` of `rule`, `effect`, `mode`, `verbs`, `who`, `limits` and
 *   `origin` (s); or %NULL with @error set: %COMMY_ERROR_CONFIG_VALUE if there is a mistake
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_policy (CommyMesh *mesh, GError **error);
/**
 * commy_mesh_explain_policy:
 * @mesh: a mesh, joined or not
 * @principal: whom it is about, such as `unix:uid=1000`
 * @verb: `call`, `offer`, `subscribe`, `publish`, `read`, `write` or `control`
 * @resource: `SERVICE/METHOD` of a call, `SERVICE`, `topic:NAME`, `key:KEY` or `control:OPERATION`
 * @circumstances: (nullable): an `a{sv}` of what is known besides: `at` (s), a time in ISO 8601,
 *   now if it is missing; `from` (s), an address or `local`; `security` (s), the level of the path;
 *   `attributes` (as), what was proved besides the name, not known if it is missing; `own` (b),
 * whether it is one's own user; `engine` (b), whether a policy engine is asked where a rule asks
 * it, which is so if it is missing; `why-not` (b), whether rules are wanted that nearly allow what
 * is denied. A floating one is consumed
 * @error: return location
 *
 * Whether the policy allows it, and why. Of a mesh that is not joined the keyfiles are asked, and
 * an engine is started to be asked. Blocks where an engine is asked, no longer than its time limit.
 * Any thread.
 *
 * Returns: (transfer full): an `a{sv}`: `allowed` (b), `origin` (s), the line that decided, `rule`
 *   (s) if one did, `roles` (as) of the principal, `steps` (aa{sv}): the rules that were looked at,
 *   the last one first, with `rule`, `origin`, `why` (s) and `decides` (b); `until_us` (x) if it
 *   may be otherwise from then on; `asks` (s), the engine that the rule asks, and `engine` (s),
 *   what it says: `allows`, or why it does not, and then `not_told` (as), what of a call it would
 *   have been told and nobody has said (`from`, `security`, `own`); `why_not` (aa{sv}), if that is
 *   wanted and it is denied: rules that miss one or two conditions, the closest first, with `rule`,
 *   `origin` (s) and `missing` (aa{sv}): `condition`, what it `is` there, and what to `add` (s); or
 *   %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_explain_policy (CommyMesh *mesh,
                                               const char *principal,
                                               const char *verb,
                                               const char *resource,
                                               GVariant *circumstances,
                                               GError **error);
/**
 * commy_mesh_reload_policy:
 * @mesh: a mesh that has joined
 * @error: return location
 *
 * Reads the keyfiles again, of which the groups about policy come into force as a whole: what is
 * open is decided again, and streams end that are not allowed any more. Other settings stay as they
 * were. With a mistake in the keyfiles the policy stays as it was. Blocks. Any thread.
 *
 * Returns: %TRUE if it is in force
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_reload_policy (CommyMesh *mesh, GError **error);
/**
 * commy_mesh_check_keyfile:
 * @path: a keyfile
 * @error: return location
 *
 * Checks a keyfile without using it: its groups, keys and values, and, on top of the keyfiles that
 * are read anyway, whether a mesh could be joined with it: rules, roles and chains that hang
 * together, plugins that are there and take their parameters. What is said of plugins that are not
 * installed here is not checked; a message says so. Any thread.
 *
 * Returns: whether it is right; else @error names line and nearest name
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_check_keyfile (const char *path, GError **error);
/**
 * commy_mesh_list_services_sync:
 * @mesh: a joined mesh
 * @pattern: (nullable): a glob on the service's name; %NULL for all
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Asks the store, and adds the endpoints that keyfiles and DNS list. Blocks; iterates no main
 * context.
 *
 * Returns: (transfer full): an `aa{sv}`, one an instance: `service`, `instance`, `node`, `host`,
 *   `pid`, `endpoints`, `interface`; with an interface also `interface-hash`, which is its
 *   commy_schema_to_hash(); for an endpoint that no store lists also `origin` (the line of the
 *   keyfile, or the name in DNS) and `priority`, with no `node` until it was connected to
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_services_sync (CommyMesh *mesh,
                                                   const char *pattern,
                                                   GCancellable *cancellable,
                                                   GError **error);
/**
 * commy_mesh_list_nodes_sync:
 * @mesh: a joined mesh
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Every process that joined the mesh, as the store lists them. Blocks; iterates no main context.
 *
 * Returns: (transfer full): an `aa{sv}`, one a node: `node`, `program`, `pid`, `host`, `host-id`,
 *   `zone`, `region`, `version` (of Commy), `mesh`, `state` (`up`, `cordoned`, `draining`),
 * `joined` and `refreshed` (Unix time), `transports`, `serializers`; of the host `cpus`, `load` (of
 * the last minute), `memory-total`, `memory-available`; of the process `resident` (bytes),
 * `open-files`; and `calls`, an `a(sx)` of services that it called in the last hour, at most 64,
 * and when that was seen last (Unix time). The figures are as old as `refreshed` says, or changed
 * little since (`node-refresh` of `[mesh]`)
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_mesh_list_nodes_sync (CommyMesh *mesh, GCancellable *cancellable, GError **error);
/**
 * commy_mesh_cordon:
 * @mesh: a joined mesh
 * @cordoned: whether what is offered here takes no new work
 * @error: return location
 *
 * Says so in the node's record and in those of what it offers now and later; callers look for
 * others, and calls that find none fail. What is under way goes on. Topics are not concerned.
 * Nothing changes while the node is drained. Any thread; does not block.
 *
 * Returns: whether the mesh is joined
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_cordon (CommyMesh *mesh, gboolean cordoned, GError **error);
/**
 * commy_mesh_drain:
 * @mesh: a joined mesh
 * @timeout_us: how long to wait for calls under way, in microseconds, at most a day; -1 for what
 *   `drain-timeout` of `[mesh]` says
 * @cancellable: (nullable): a cancellable; what was begun is not undone
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Cordons the node, waits until no call and no stream is under way, and stops what it offers.
 * Halfway through the time callers that still come are told on their connections. Publishers,
 * subscriptions and the program's own calls go on until the mesh is left. A program ends with this
 * and then commy_mesh_leave(). Who drains while it is being drained waits for the same end.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_drain (CommyMesh *mesh,
                                 gint64 timeout_us,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);
/**
 * commy_mesh_drain_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_drain().
 *
 * Returns: whether everything ended by itself; else %COMMY_ERROR_DEADLINE with how many calls did
 * not, and all is stopped nevertheless, or %COMMY_ERROR_LEAVING
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_drain_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_drain_sync:
 * @mesh: a joined mesh
 * @timeout_us: as of commy_mesh_drain()
 * @cancellable: (nullable): as of commy_mesh_drain()
 * @error: return location
 *
 * As commy_mesh_drain(), and waits for it. Iterates no main context: calls that only the calling
 * thread could answer do not end.
 *
 * Returns: as commy_mesh_drain_finish()
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_drain_sync (CommyMesh *mesh,
                                          gint64 timeout_us,
                                          GCancellable *cancellable,
                                          GError **error);
/**
 * commy_mesh_list_decisions:
 * @mesh: a mesh
 *
 * The last routing decisions of this process, newest last: at most 64, with at most 1536 candidates
 * together. Any thread.
 *
 * Returns: (transfer full) (element-type CommyDecision): decisions
 *
 * Since: 0.1
 */
COMMY_API GPtrArray *commy_mesh_list_decisions (CommyMesh *mesh);
/**
 * commy_mesh_dup_audit_directory:
 * @mesh: a mesh, joined or not
 *
 * Where its nodes of this user leave their audit trail, whether they do so or not: `directory` of
 * `[audit]`, or `audit` in the state folder. Any thread.
 *
 * Returns: (transfer full) (type filename): an absolute path
 *
 * Since: 0.1
 */
COMMY_API char *commy_mesh_dup_audit_directory (CommyMesh *mesh);
/**
 * commy_mesh_record_act:
 * @mesh: a mesh, joined or not
 * @act: what somebody does by hand, in a few words of the program's own, such as `token revoke`
 * @about: (nullable): on what: a principal, a node, a file. It may name a person: in the record
 *   stands a commitment only, which commy_audit_erase() takes the text from
 * @outcome: `begun`, before it is done; then `done` or `failed`
 * @details: (nullable): what else is to be said of it, or why it failed; names nobody
 * @error: return location
 *
 * Has an administrative act recorded in the audit trail, as that of this process's user, and waits
 * until that is on the disk. Where the mesh has not joined the trail gets files of their own for
 * that, which are closed with the mesh. Does nothing where `[audit]` is not enabled. Blocks; any
 * thread but one that runs the mesh's own callbacks.
 *
 * Returns: success; %FALSE with %COMMY_ERROR_AUDIT where it cannot be recorded and `on-failure` is
 *   `refuse`: what is only begun must not be done then
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_record_act (CommyMesh *mesh,
                                          const char *act,
                                          const char *about,
                                          const char *outcome,
                                          const char *details,
                                          GError **error);
/**
 * commy_mesh_record_certificate:
 * @mesh: a mesh, joined or not
 * @outcome: `issued` or `renewed`, before the certificate is handed out; or `refused`
 * @principal: (nullable): whom it is for; %NULL where nobody proved to be anybody
 * @address: (nullable): where the request came from
 * @about: (nullable): the name of the certificate, or why it was refused. Like principal and
 *   address it may name a person: in the record stand commitments only, which commy_audit_erase()
 *   takes the texts from
 * @error: return location
 *
 * Has what a service of an authority does recorded in the audit trail, as commy_mesh_record_act()
 * does with acts. Refusals come out of the budget of strangers (`strangers-per-second`) and are not
 * waited for; what is handed out is on the disk first where `on-failure` is `refuse`. Does nothing
 * where `[audit]` is not enabled. May block; any thread but one that runs the mesh's own callbacks.
 *
 * Returns: success; %FALSE with %COMMY_ERROR_AUDIT where it cannot be recorded and `on-failure` is
 *   `refuse`: the certificate must not be handed out then
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_record_certificate (CommyMesh *mesh,
                                                  const char *outcome,
                                                  const char *principal,
                                                  const char *address,
                                                  const char *about,
                                                  GError **error);
/**
 * commy_mesh_list_drops:
 * @mesh: a mesh
 *
 * Messages that were not delivered, by reason. Any thread.
 *
 * Returns: (transfer full): an `a(sts)`: reason, count, last culprit
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_list_drops (CommyMesh *mesh);

G_END_DECLS
