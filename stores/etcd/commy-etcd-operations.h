/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations that are answered: ranges, transactions, grants and revokes, one after the other in
 * the order in which they were asked.
 */
#pragma once

#include "commy-etcd-cluster.h"
#include "commy-etcd-leases.h"

typedef struct _CommyEtcdOperations CommyEtcdOperations;

typedef struct
{
  CommyHost *host;
  CommyEtcdCluster *cluster;
  CommyEtcdLeases *leases;
  gsize max_value;
  guint page;          /* keys that are read at once */
  gint64 lease_ttl_ns; /* no lease is shorter */
} CommyEtcdOperationsSettings;

CommyEtcdOperations *commy_etcd_operations_new (const CommyEtcdOperationsSettings *settings);
/* What was not answered yet hears that the mesh is being left. */
void commy_etcd_operations_free (CommyEtcdOperations *self);

void commy_etcd_operations_range (CommyEtcdOperations *self,
                                  const char *prefix,
                                  CommyStoreDoneFunc done,
                                  gpointer user_data);
void commy_etcd_operations_txn (CommyEtcdOperations *self,
                                const CommyStoreCompare *compares,
                                gsize n_compares,
                                const CommyStoreOp *ops,
                                gsize n_ops,
                                CommyStoreDoneFunc done,
                                gpointer user_data);
void commy_etcd_operations_grant (CommyEtcdOperations *self,
                                  gint64 ttl_ns,
                                  CommyStoreDoneFunc done,
                                  gpointer user_data);
void commy_etcd_operations_revoke (CommyEtcdOperations *self,
                                   gint64 lease,
                                   CommyStoreDoneFunc done,
                                   gpointer user_data);
