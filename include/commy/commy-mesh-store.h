/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mesh's store for applications: keys with revisions, compare and set, and watches of a prefix.
 * It holds who offers what, and has room for small things that the processes of a mesh agree on. It
 * is no data base: values are small, changes are rare, and no call waits for it.
 */
#pragma once

#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * COMMY_STORE_KEY_MAX:
 *
 * The most bytes that a key or prefix of the store has.
 *
 * Since: 0.1
 */
#define COMMY_STORE_KEY_MAX 1024

/**
 * COMMY_STORE_ANY_REVISION:
 *
 * In the place of an expected revision: whatever is there, or is not.
 *
 * Since: 0.1
 */
#define COMMY_STORE_ANY_REVISION ((gint64) -1)

/**
 * CommyStoreWriteFlags:
 * @COMMY_STORE_WRITE_DEFAULT: keys that the mesh keeps itself are refused
 * @COMMY_STORE_WRITE_RESERVED: write below `services/`, `nodes/`, `hosts/`, `denied/` and
 * `sessions/`, too. What is wrong there is what every process of the mesh believes
 *
 * How keys of the store are written.
 *
 * Since: 0.1
 */
typedef enum /*< flags >*/
{
  COMMY_STORE_WRITE_DEFAULT = 0,
  COMMY_STORE_WRITE_RESERVED = 1 << 0,
} CommyStoreWriteFlags;

/**
 * commy_mesh_store_get:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Reads a key. Does not block. Any thread.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_store_get (CommyMesh *mesh,
                                     const char *key,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/**
 * commy_mesh_store_get_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_store_get().
 *
 * Returns: (transfer full) (nullable): as of commy_mesh_store_get_sync()
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_mesh_store_get_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_store_get_sync:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Reads a key. Blocks; iterates no main context. Any thread.
 *
 * Returns: (transfer full) (nullable): an `a{sv}` with `key` (`ay`, a bytestring), `value` (`ay`),
 *   `created` and `revision` (`x`: when the key was made, and changed last), `lease` (`x`: 0, or
 *   under which lease it lives); %NULL without @error if there is no such key, else with @error set
 *   (%COMMY_ERROR_STORE, %COMMY_ERROR_INVALID_ARGUMENT, %COMMY_ERROR_NOT_JOINED)
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_store_get_sync (CommyMesh *mesh,
                                               const char *key,
                                               GCancellable *cancellable,
                                               GError **error);

/**
 * commy_mesh_store_list:
 * @mesh: a joined mesh
 * @prefix: (type filename): at most %COMMY_STORE_KEY_MAX bytes, any but NUL; "" for all keys
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Reads all keys that begin with a prefix. Does not block. Any thread.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_store_list (CommyMesh *mesh,
                                      const char *prefix,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);
/**
 * commy_mesh_store_list_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_store_list().
 *
 * Returns: (transfer full): as of commy_mesh_store_list_sync()
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_mesh_store_list_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_store_list_sync:
 * @mesh: a joined mesh
 * @prefix: (type filename): at most %COMMY_STORE_KEY_MAX bytes, any but NUL; "" for all keys
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Reads all keys that begin with a prefix, at one revision of the store. Blocks; iterates no main
 * context. Any thread.
 *
 * Returns: (transfer full): an `(xaa{sv})`: the store's revision, from which
 *   commy_store_watch_new() goes on, and the entries by key, as commy_mesh_store_get_sync()
 *   describes them; or %NULL with @error set
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_mesh_store_list_sync (CommyMesh *mesh,
                                                const char *prefix,
                                                GCancellable *cancellable,
                                                GError **error);

/**
 * commy_mesh_store_put:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @value: any bytes
 * @expected: which revision the key must have: 0 for none, it must not be there;
 *   %COMMY_STORE_ANY_REVISION: that does not matter
 * @flags: #CommyStoreWriteFlags
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Writes a key. Does not block. Any thread.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_store_put (CommyMesh *mesh,
                                     const char *key,
                                     GBytes *value,
                                     gint64 expected,
                                     CommyStoreWriteFlags flags,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);
/**
 * commy_mesh_store_put_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_store_put().
 *
 * Returns: as of commy_mesh_store_put_sync()
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_mesh_store_put_finish (CommyMesh *mesh,
                                              GAsyncResult *result,
                                              GError **error);
/**
 * commy_mesh_store_put_sync:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @value: any bytes; how many a store takes is its own matter
 * @expected: which revision the key must have: 0 for none, it must not be there;
 *   %COMMY_STORE_ANY_REVISION: that does not matter
 * @flags: #CommyStoreWriteFlags
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Writes a key that stays until somebody deletes it. Blocks; iterates no main context. Any thread.
 *
 * Returns: the store's revision of this change; 0 if the key has another revision than @expected,
 *   and nothing was changed; -1 with @error set. After %COMMY_ERROR_OUTCOME_UNKNOWN,
 *   %COMMY_ERROR_CANCELLED and %COMMY_ERROR_STORE the change may or may not have happened
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_mesh_store_put_sync (CommyMesh *mesh,
                                            const char *key,
                                            GBytes *value,
                                            gint64 expected,
                                            CommyStoreWriteFlags flags,
                                            GCancellable *cancellable,
                                            GError **error);

/**
 * commy_mesh_store_delete:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @expected: which revision the key must have, or %COMMY_STORE_ANY_REVISION
 * @flags: #CommyStoreWriteFlags
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Deletes a key. Does not block. Any thread.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_store_delete (CommyMesh *mesh,
                                        const char *key,
                                        gint64 expected,
                                        CommyStoreWriteFlags flags,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/**
 * commy_mesh_store_delete_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_store_delete().
 *
 * Returns: as of commy_mesh_store_delete_sync()
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_mesh_store_delete_finish (CommyMesh *mesh,
                                                 GAsyncResult *result,
                                                 GError **error);
/**
 * commy_mesh_store_delete_sync:
 * @mesh: a joined mesh
 * @key: (type filename): 1 to %COMMY_STORE_KEY_MAX bytes, any but NUL
 * @expected: which revision the key must have, or %COMMY_STORE_ANY_REVISION
 * @flags: #CommyStoreWriteFlags
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Deletes a key. One that is not there is deleted already. Blocks; iterates no main context. Any
 * thread.
 *
 * Returns: as of commy_mesh_store_put_sync()
 *
 * Since: 0.1
 */
COMMY_API gint64 commy_mesh_store_delete_sync (CommyMesh *mesh,
                                               const char *key,
                                               gint64 expected,
                                               CommyStoreWriteFlags flags,
                                               GCancellable *cancellable,
                                               GError **error);

/**
 * commy_mesh_store_status:
 * @mesh: a joined mesh
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data): called in the caller's thread-default context
 * @user_data: for @callback
 *
 * Asks the store for a sign of life. Does not block. Any thread.
 *
 * Since: 0.1
 */
COMMY_API void commy_mesh_store_status (CommyMesh *mesh,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
/**
 * commy_mesh_store_status_finish:
 * @mesh: a mesh
 * @result: the result
 * @error: return location
 *
 * Ends commy_mesh_store_status().
 *
 * Returns: (transfer full): as of commy_mesh_store_status_sync()
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_mesh_store_status_finish (CommyMesh *mesh, GAsyncResult *result, GError **error);
/**
 * commy_mesh_store_status_sync:
 * @mesh: a joined mesh
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * Asks the store for a sign of life. Blocks; iterates no main context. Any thread.
 *
 * Returns: (transfer full): an `a{sv}`: `plugin`, `version`, `summary`, `state-dir` (`s`),
 *   `settings` (`a{ss}`: the parameters that keyfiles set), `reachable` (`b`), with `revision`
 * (`x`) and `answered-ns` (`t`: how long it took) if it is, else `error` (`s`); or %NULL with
 * @error set if it cannot be asked
 *
 * Since: 0.1
 */
COMMY_API GVariant *
commy_mesh_store_status_sync (CommyMesh *mesh, GCancellable *cancellable, GError **error);

/* --- watching --- */

#define COMMY_TYPE_STORE_WATCH (commy_store_watch_get_type ())
/**
 * CommyStoreWatch:
 *
 * Changes of all keys below a prefix, in order of their revision, from a revision on.
 *
 * Nothing is left out: several changes of one key may come as the last of them, but where the store
 * cannot tell what changed the watch ends, and says so. Then read the prefix and watch again.
 *
 * Signals come in the thread-default context of the thread that made it, and not before its maker
 * returns there. It may be used in that thread only, and lives until its last reference is dropped.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyStoreWatch, commy_store_watch, COMMY, STORE_WATCH, GObject)

/**
 * CommyStoreWatch::changed:
 * @watch: the watch
 * @entries: an `aa{sv}`: as of commy_mesh_store_get_sync(); a key that was deleted has no `value`
 * @revision: the store's revision now
 *
 * Keys changed.
 *
 * Since: 0.1
 */
/**
 * CommyStoreWatch::ended:
 * @watch: the watch
 * @error: why: %COMMY_ERROR_STORE (the store is away, or no longer knows what happened since the
 *   revision), %COMMY_ERROR_BUSY (the program does not take what the watch tells),
 *   %COMMY_ERROR_LEAVING (the mesh was left)
 *
 * The watch is over: no other signal follows.
 *
 * Since: 0.1
 */

/**
 * commy_store_watch_new:
 * @mesh: a joined mesh
 * @prefix: (type filename): at most %COMMY_STORE_KEY_MAX bytes, any but NUL; "" for all keys
 * @from_revision: changes after this one, such as commy_mesh_store_list_sync() gave; negative:
 * those from now on
 * @error: return location
 *
 * Watches the keys that begin with a prefix. Does not block.
 *
 * Returns: (transfer full): a watch
 *
 * Since: 0.1
 */
COMMY_API CommyStoreWatch *
commy_store_watch_new (CommyMesh *mesh, const char *prefix, gint64 from_revision, GError **error);
/**
 * commy_store_watch_stop:
 * @watch: a watch
 *
 * Ends it: no signal comes any more. The thread that made it.
 *
 * Since: 0.1
 */
COMMY_API void commy_store_watch_stop (CommyStoreWatch *watch);

G_END_DECLS
