/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store vtable, in etcd's model: keys with revisions, leases, compare-and-set
 * transactions, and watches of a prefix from a revision. All slots run on the mesh thread.
 * Answers come through a callback, at once or later, on the mesh thread, in order of asking.
 */
#pragma once

#include <commy/commy-descriptor.h>

G_BEGIN_DECLS

/**
 * CommyStoreEntry:
 * @key: any bytes but NUL, at most 1024
 * @value: (nullable): its value; %NULL in a deletion event
 * @create_revision: revision that created it
 * @mod_revision: revision that last changed it (or deleted it)
 * @lease: the lease it lives under; 0 for none
 *
 * A key and its value.
 */
typedef struct
{
  const char *key;
  GBytes *value;
  gint64 create_revision;
  gint64 mod_revision;
  gint64 lease;
} CommyStoreEntry;

/**
 * CommyStoreOpKind:
 * @COMMY_STORE_PUT: writes a key
 * @COMMY_STORE_DELETE: removes a key
 * @COMMY_STORE_DELETE_PREFIX: removes every key that begins with it
 *
 * What a transaction does.
 */
typedef enum
{
  COMMY_STORE_PUT = 1,
  COMMY_STORE_DELETE = 2,
  COMMY_STORE_DELETE_PREFIX = 3,
} CommyStoreOpKind;

/**
 * CommyStoreOp:
 * @kind: a #CommyStoreOpKind
 * @key: the key or prefix
 * @value: (nullable): for puts
 * @lease: for puts: lease to live under, or 0
 *
 * One operation of a transaction.
 */
typedef struct
{
  CommyStoreOpKind kind;
  const char *key;
  GBytes *value;
  gint64 lease;
} CommyStoreOp;

/**
 * CommyStoreCompare:
 * @key: the key
 * @mod_revision: what its `mod_revision` must be; 0: it must not exist
 *
 * A condition of a transaction.
 */
typedef struct
{
  const char *key;
  gint64 mod_revision;
} CommyStoreCompare;

/**
 * CommyStoreResult:
 * @struct_size: size of the struct the store hands over
 * @succeeded: whether every condition held (transactions)
 * @revision: the store's revision after (or at) this
 * @lease: the new lease (grants)
 * @entries: (array length=n_entries): what was found, by key (ranges)
 * @n_entries: how many
 *
 * An answer. Valid during the callback.
 */
typedef struct
{
  gsize struct_size;
  gboolean succeeded;
  gint64 revision;
  gint64 lease;
  const CommyStoreEntry *entries;
  gsize n_entries;
} CommyStoreResult;

/**
 * CommyStoreDoneFunc:
 * @user_data: as given
 * @result: (nullable): the answer
 * @error: (nullable): or why there is none; the operation may or may not have happened if the
 *   store went away in the middle
 *
 * The end of an operation.
 */
typedef void (*CommyStoreDoneFunc) (gpointer user_data,
                                    const CommyStoreResult *result,
                                    const GError *error);

/**
 * CommyStoreRangeFunc:
 * @instance: the plugin's instance
 * @prefix: keys that begin with it; "" for all
 * @done: called exactly once
 * @user_data: for @done
 *
 * Reads all keys below a prefix at one revision.
 */
typedef void (*CommyStoreRangeFunc) (gpointer instance,
                                     const char *prefix,
                                     CommyStoreDoneFunc done,
                                     gpointer user_data);

/**
 * CommyStoreTxnFunc:
 * @instance: the plugin's instance
 * @compares: (array length=n_compares): all must hold
 * @n_compares: how many; may be 0
 * @ops: (array length=n_ops): then all of these happen, at one new revision; no key is in two of
 *   them
 * @n_ops: how many
 * @done: called exactly once
 * @user_data: for @done
 *
 * Compare and set.
 */
typedef void (*CommyStoreTxnFunc) (gpointer instance,
                                   const CommyStoreCompare *compares,
                                   gsize n_compares,
                                   const CommyStoreOp *ops,
                                   gsize n_ops,
                                   CommyStoreDoneFunc done,
                                   gpointer user_data);

/**
 * CommyStoreGrantFunc:
 * @instance: the plugin's instance
 * @ttl_ns: how long after the owner vanished the lease ends at the latest
 * @done: called exactly once; `lease` is its id
 * @user_data: for @done
 *
 * A lease of this process. The plugin keeps it alive while the process lives; keys under it
 * vanish with it.
 */
typedef void (*CommyStoreGrantFunc) (gpointer instance,
                                     gint64 ttl_ns,
                                     CommyStoreDoneFunc done,
                                     gpointer user_data);

/**
 * CommyStoreRevokeFunc:
 * @instance: the plugin's instance
 * @lease: the lease
 * @done: called exactly once
 * @user_data: for @done
 *
 * Ends a lease and removes its keys.
 */
typedef void (*CommyStoreRevokeFunc) (gpointer instance,
                                      gint64 lease,
                                      CommyStoreDoneFunc done,
                                      gpointer user_data);

/**
 * CommyStoreWatchEventFunc:
 * @user_data: as given
 * @entries: (array length=n_entries): changes since the last call, in order of revision;
 *   several changes of one key may be folded into the last one
 * @n_entries: how many
 * @revision: the store's revision now
 * @error: (nullable): the watch is behind or lost (compacted, store gone): read the range again
 *   and watch from its revision; the watch is over
 *
 * Changes. A deletion is an entry without a value.
 */
typedef void (*CommyStoreWatchEventFunc) (gpointer user_data,
                                          const CommyStoreEntry *entries,
                                          gsize n_entries,
                                          gint64 revision,
                                          const GError *error);

/**
 * CommyStoreWatchFunc:
 * @instance: the plugin's instance
 * @prefix: keys that begin with it
 * @from_revision: changes after this revision
 * @event: called until `unwatch`, never from inside this function
 * @user_data: for @event
 *
 * Returns: an id, never 0
 */
typedef guint (*CommyStoreWatchFunc) (gpointer instance,
                                      const char *prefix,
                                      gint64 from_revision,
                                      CommyStoreWatchEventFunc event,
                                      gpointer user_data);

/**
 * CommyStoreUnwatchFunc:
 * @instance: the plugin's instance
 * @watch: its id
 *
 * Ends a watch; its callback is not called any more. Legal from inside the callback.
 */
typedef void (*CommyStoreUnwatchFunc) (gpointer instance, guint watch);

/**
 * CommyStoreSuspectFunc:
 * @instance: the plugin's instance
 * @lease: a lease whose owner seems dead (a connection to it broke)
 *
 * A hint: look now whether the owner of @lease is dead and remove what it left. Optional.
 */
typedef void (*CommyStoreSuspectFunc) (gpointer instance, gint64 lease);

/**
 * CommyStoreOps:
 * @struct_size: `sizeof (CommyStoreOps)`
 * @range: required
 * @txn: required
 * @grant: required
 * @revoke: required
 * @watch: required
 * @unwatch: required
 * @suspect: optional
 *
 * The operations of a store. `init` opens it, `fini` closes it and ends the leases.
 *
 * Since: 0.1
 */
struct _CommyStoreOps
{
  gsize struct_size;
  CommyStoreRangeFunc range;
  CommyStoreTxnFunc txn;
  CommyStoreGrantFunc grant;
  CommyStoreRevokeFunc revoke;
  CommyStoreWatchFunc watch;
  CommyStoreUnwatchFunc unwatch;
  CommyStoreSuspectFunc suspect;
};

G_END_DECLS
