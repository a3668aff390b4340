/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger: which user wrote which key, how much of the store each user takes, and which keys a
 * lease takes with it. Pure memory; what users may do with it is decided in commyd-rights.
 */
#pragma once

#include <glib.h>

typedef struct _CommydLedger CommydLedger;

typedef struct
{
  guint64 keys;
  guint64 bytes; /* of keys and values */
} CommydUsage;

CommydLedger *commyd_ledger_new (void);
void commyd_ledger_free (CommydLedger *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommydLedger, commyd_ledger_free)

/* @uid wrote @key; whoever wrote it before is forgotten. */
void commyd_ledger_put (
    CommydLedger *self, const char *key, guint32 uid, gsize value_size, gint64 lease);
void commyd_ledger_remove (CommydLedger *self, const char *key);
void commyd_ledger_remove_prefix (CommydLedger *self, const char *prefix);

/* Whether the key is known, and then whose it is and what it takes. */
gboolean
commyd_ledger_find (CommydLedger *self, const char *key, guint32 *out_uid, gsize *out_bytes);
/* A key below @prefix that is not @uid's, and whose it is; NULL: there is none. */
const char *
commyd_ledger_find_foreign (CommydLedger *self, const char *prefix, guint32 uid, guint32 *out_uid);
/* The first key below @prefix of which @is_it says so; NULL: there is none. */
const char *commyd_ledger_find_where (CommydLedger *self,
                                      const char *prefix,
                                      gboolean (*is_it) (gpointer data, const char *key),
                                      gpointer data);
/* At most @max keys that live under a lease; (transfer container), valid until they are forgotten.
 */
GPtrArray *commyd_ledger_list_lease (CommydLedger *self, gint64 lease, guint max);
/* All leases that have keys. (transfer full) */
GArray *commyd_ledger_list_leases (CommydLedger *self);
guint commyd_ledger_count (CommydLedger *self);
CommydUsage commyd_ledger_usage (CommydLedger *self, guint32 uid);
