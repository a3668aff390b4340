/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All watches of a process, over few streams.
 */
#pragma once

#include "commy-etcd-cluster.h"

typedef struct _CommyEtcdWatches CommyEtcdWatches;

/* After @probe_ns without a sign of life the member is asked for one. */
CommyEtcdWatches *
commy_etcd_watches_new (CommyHost *host, CommyEtcdCluster *cluster, gint64 probe_ns);
void commy_etcd_watches_free (CommyEtcdWatches *self);
guint commy_etcd_watches_add (CommyEtcdWatches *self,
                              const char *prefix,
                              gint64 after,
                              CommyStoreWatchEventFunc event,
                              gpointer user_data);
void commy_etcd_watches_remove (CommyEtcdWatches *self, guint id);
/* Another member is asked after a pause: the streams move there. */
void commy_etcd_watches_move (CommyEtcdWatches *self, gint64 pause_ns);
