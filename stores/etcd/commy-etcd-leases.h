/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The leases of this process, kept alive while it lives.
 */
#pragma once

#include "commy-etcd-cluster.h"

typedef struct _CommyEtcdLeases CommyEtcdLeases;

CommyEtcdLeases *commy_etcd_leases_new (CommyHost *host, CommyEtcdCluster *cluster);
void commy_etcd_leases_free (CommyEtcdLeases *self);
/* From now on, @ttl in seconds. */
void commy_etcd_leases_keep (CommyEtcdLeases *self, gint64 lease, gint64 ttl);
/* Not any more. FALSE if it was not kept: it is another's, or has ended. */
gboolean commy_etcd_leases_drop (CommyEtcdLeases *self, gint64 lease);
/* Ends all of them as far as the cluster answers within @timeout_ns; waits for it. */
void commy_etcd_leases_end_all (CommyEtcdLeases *self, gint64 timeout_ns);
