/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Real etcd-servers on ports of the kernel's choice, with a folder of their own, for tests: one
 * or three members, plain or with TLS, that can be killed, stopped and started again.
 */
#pragma once

#include <gio/gio.h>

#define ETCD_MAX_MEMBERS 3
/* What a user of the secure cluster proves it with. */
#define ETCD_USER "mesh"
#define ETCD_PASSWORD "a password"

typedef struct _EtcdCluster EtcdCluster;

/* Whether etcd is installed. */
gboolean etcd_is_there (void);
/* Started, and ready to serve. */
EtcdCluster *etcd_cluster_new (guint n_members, gboolean is_secure);
/* Kills all of it and removes its folder. */
void etcd_cluster_free (EtcdCluster *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EtcdCluster, etcd_cluster_free)

/* "https://127.0.0.1:1;https://127.0.0.1:2" */
const char *etcd_cluster_get_endpoints (EtcdCluster *self);
const char *etcd_cluster_get_member (EtcdCluster *self, guint member);
/* Of a secure cluster: ca.pem, client.pem with its key, other.pem that nobody trusts, password. */
const char *etcd_cluster_get_dir (EtcdCluster *self);
/* The member that leads. */
guint etcd_cluster_find_leader (EtcdCluster *self);

void etcd_cluster_kill (EtcdCluster *self, guint member);
void etcd_cluster_signal (EtcdCluster *self, guint member, int number);
void etcd_cluster_start (EtcdCluster *self, guint member);
/* Until those that were started serve: of three, two must run. */
void etcd_cluster_wait (EtcdCluster *self, guint member);

/* A request of the test's own; the answer's text. (transfer full) */
char *etcd_cluster_post (EtcdCluster *self, guint member, const char *path, const char *body);
