/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "etcd": the contract on a real etcd cluster, for many hosts and many users. This file
 * joins the parts to a plugin: the cluster, the queue of operations, the leases and the watches.
 * All of it happens in the mesh thread's main context.
 */
#include "config.h"

#include "commy-etcd-cluster.h"
#include "commy-etcd-leases.h"
#include "commy-etcd-operations.h"
#include "commy-etcd-watches.h"

#include <commy/commy-plugin.h>
#include <string.h>
#include <unistd.h>

#define MAX_MEMBERS 64
#define NAME_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_.:"
/* How long leaving a mesh may wait for the cluster to take the leases back; they end anyway. */
#define LEAVE_NS G_GINT64_CONSTANT (1000000000)

typedef struct
{
  CommyHost *host;
  CommyEtcdCluster *cluster;
  CommyEtcdOperations *operations;
  CommyEtcdLeases *leases;
  CommyEtcdWatches *watches;
  char *prefix;
  pid_t pid; /* who opened all this: a forked child must not use it */
} Store;

/* --- the slots --- */

static gboolean
is_ours (Store *self, CommyStoreDoneFunc done, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (self->pid == getpid ())
    return TRUE;
  g_set_error_literal (
      &error, COMMY_ETCD_ERROR, COMMY_ERROR_FORKED,
      "the store belongs to the parent process: a forked process must exec before it joins");
  done (user_data, NULL, error);
  return FALSE;
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;

  if (is_ours (self, done, user_data))
    commy_etcd_operations_range (self->operations, prefix, done, user_data);
}

static void
store_txn (gpointer instance,
           const CommyStoreCompare *compares,
           gsize n_compares,
           const CommyStoreOp *ops,
           gsize n_ops,
           CommyStoreDoneFunc done,
           gpointer user_data)
{
  Store *self = instance;

  if (is_ours (self, done, user_data))
    commy_etcd_operations_txn (self->operations, compares, n_compares, ops, n_ops, done, user_data);
}

static void
store_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;

  if (is_ours (self, done, user_data))
    commy_etcd_operations_grant (self->operations, ttl_ns, done, user_data);
}

static void
store_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;

  if (is_ours (self, done, user_data))
    commy_etcd_operations_revoke (self->operations, lease, done, user_data);
}

static guint
store_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  Store *self = instance;

  return commy_etcd_watches_add (self->watches, prefix, from_revision, event, user_data);
}

static void
store_unwatch (gpointer instance, guint watch)
{
  Store *self = instance;

  commy_etcd_watches_remove (self->watches, watch);
}

/* --- life --- */

static gint64
number (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

static gboolean
is_loopback (const char *name)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (name);

  return g_strcmp0 (name, "localhost") == 0
         || (address != NULL && g_inet_address_get_is_loopback (address));
}

/* A member as it is asked: scheme, host and port, nothing behind them. */
static char *
read_member (const char *text, gboolean has_password, GError **error)
{
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_NONE, NULL);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : "";
  const char *name = uri != NULL ? g_uri_get_host (uri) : NULL;
  gboolean is_plain = strcmp (scheme, "http") == 0;

  if (name == NULL || name[0] == '\0' || strspn (name, NAME_CHARACTERS) != strlen (name)
      || (!is_plain && strcmp (scheme, "https") != 0) || g_uri_get_userinfo (uri) != NULL
      || g_uri_get_query (uri) != NULL || g_uri_get_fragment (uri) != NULL
      || strlen (g_uri_get_path (uri)) > 1)
    {
      g_set_error (
          error, COMMY_ETCD_ERROR, COMMY_ERROR_CONFIG_VALUE,
          "endpoints: \"%s\" is no member of an etcd cluster, write https://a.example.org:2379 or "
          "http://127.0.0.1:2379",
          text);
      return NULL;
    }
  if (is_plain && has_password && !is_loopback (name))
    {
      g_set_error (error, COMMY_ETCD_ERROR, COMMY_ERROR_CONFIG_VALUE,
                   "endpoints: a password would go to \"%s\" for everybody to read, use https://",
                   text);
      return NULL;
    }
  return g_uri_join (G_URI_FLAGS_NONE, scheme, NULL, name,
                     g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : 2379, "", NULL, NULL);
}

static char **
read_members (CommyHost *host, GError **error)
{
  gboolean has_password = host->param (host, "user")[0] != '\0';
  g_auto (GStrv) texts = g_strsplit (host->param (host, "endpoints"), ";", MAX_MEMBERS + 1);
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; texts[i] != NULL; i++)
    {
      char *member;

      if (g_strstrip (texts[i])[0] == '\0')
        continue;
      member = read_member (texts[i], has_password, error);
      if (member == NULL)
        return NULL;
      g_ptr_array_add (members, member);
    }
  if (members->len == 0 || members->len > MAX_MEMBERS)
    {
      g_set_error (error, COMMY_ETCD_ERROR, COMMY_ERROR_CONFIG_VALUE,
                   "endpoints: an etcd cluster has 1 to %d members", MAX_MEMBERS);
      return NULL;
    }
  g_ptr_array_add (members, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&members), FALSE);
}

static void
on_moved (gpointer data, gint64 pause_ns)
{
  Store *self = data;

  if (self->watches != NULL)
    commy_etcd_watches_move (self->watches, pause_ns);
}

static gboolean
open_cluster (Store *self, GError **error)
{
  CommyHost *host = self->host;
  CommyEtcdClusterSettings settings = { .host = host,
                                        .prefix = self->prefix,
                                        .user = host->param (host, "user"),
                                        .password_file = host->param (host, "password-file"),
                                        .timeout_ns = number (host, "timeout"),
                                        .attempt_ns = number (host, "attempt"),
                                        .max_answer = (gsize) number (host, "max-answer"),
                                        .moved = on_moved,
                                        .moved_data = self };
  const CommyHttpSettings http = { .ca = host->param (host, "ca"),
                                   .certificate = host->param (host, "certificate"),
                                   .key = host->param (host, "key") };
  g_auto (GStrv) members = read_members (host, error);

  if (members == NULL)
    return FALSE;
  settings.http = commy_http_new (host, &http, error);
  if (settings.http == NULL)
    return FALSE;
  settings.members = g_steal_pointer (&members);
  self->cluster = commy_etcd_cluster_new (&settings);
  return TRUE;
}

static gboolean
store_init (gpointer instance, CommyHost *host, GError **error)
{
  Store *self = instance;
  CommyEtcdOperationsSettings settings = { .host = host,
                                           .max_value = (gsize) number (host, "max-value"),
                                           .page = (guint) number (host, "page"),
                                           .lease_ttl_ns = number (host, "lease-ttl") };

  self->host = host;
  self->pid = getpid ();
  /* Meshes share a cluster, and Commy shares it with others. */
  self->prefix
      = g_strdup_printf ("%s%s/", host->param (host, "prefix"), host->info (host, COMMY_HOST_MESH));
  if (!open_cluster (self, error))
    {
      g_clear_pointer (&self->prefix, g_free);
      return FALSE;
    }
  self->leases = commy_etcd_leases_new (host, self->cluster);
  settings.cluster = self->cluster;
  settings.leases = self->leases;
  self->operations = commy_etcd_operations_new (&settings);
  self->watches = commy_etcd_watches_new (host, self->cluster, number (host, "probe"));
  return TRUE;
}

static void
store_fini (gpointer instance)
{
  Store *self = instance;

  /* A forked child says nothing on its parent's connections, not even that it closes them. */
  if (self->pid != getpid ())
    return;
  g_clear_pointer (&self->watches, commy_etcd_watches_free);
  g_clear_pointer (&self->operations, commy_etcd_operations_free);
  commy_etcd_leases_end_all (self->leases, LEAVE_NS);
  g_clear_pointer (&self->leases, commy_etcd_leases_free);
  g_clear_pointer (&self->cluster, commy_etcd_cluster_free);
  g_clear_pointer (&self->prefix, g_free);
}

#define PARAM(TYPE, NAME, DEFAULT, MINIMUM, MAXIMUM, HELP)                            \
  {                                                                                   \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_##TYPE, .name = NAME, \
    .default_value = DEFAULT, .minimum = MINIMUM, .maximum = MAXIMUM, .help = HELP,   \
  }
#define MS G_GINT64_CONSTANT (1000000)
#define KIB 1024

static const CommyParamSpec store_params[] = {
  PARAM (STRING,
         "endpoints",
         "http://127.0.0.1:2379",
         0,
         0,
         "The members of the cluster, https://a.example.org:2379, separated by semicolons"),
  PARAM (STRING, "prefix", "commy/", 0, 0, "What all keys begin with, before the mesh's name"),
  PARAM (STRING,
         "ca",
         "",
         0,
         0,
         "File with the authorities that sign the members' certificates; empty: the system's"),
  PARAM (STRING, "certificate", "", 0, 0, "File with the certificate that is shown to members"),
  PARAM (STRING, "key", "", 0, 0, "File with its key; empty: it is in the same file"),
  PARAM (STRING, "user", "", 0, 0, "User of etcd's own authentication; empty: it is not used"),
  PARAM (STRING, "password-file", "", 0, 0, "File with the user's password, for its owner only"),
  PARAM (DURATION,
         "timeout",
         "5s",
         10 * MS,
         600000 * MS,
         "How long an operation, or a watch without a stream, looks for a member that answers"),
  PARAM (DURATION,
         "attempt",
         "1500ms",
         10 * MS,
         60000 * MS,
         "How long one member may take before another one is asked"),
  PARAM (DURATION,
         "probe",
         "2s",
         10 * MS,
         600000 * MS,
         "How long a member that is watched may be silent before it is asked for a sign of life"),
  PARAM (DURATION,
         "lease-ttl",
         "2s",
         1000 * MS,
         3600000 * MS,
         "No lease is shorter; longer ones survive longer pauses of a host"),
  PARAM (SIZE,
         "max-value",
         "1 MiB",
         KIB,
         512 * KIB * KIB,
         "The largest value that can be put; etcd's own limit is that of a request"),
  PARAM (SIZE,
         "max-answer",
         "64 MiB",
         64 * KIB,
         G_GINT64_CONSTANT (1024) * KIB * KIB,
         "The largest answer that is read"),
  PARAM (INT, "page", "1000", 1, 100000, "How many keys are read at once"),
};

static const CommyStoreOps store_ops = {
  .struct_size = sizeof (CommyStoreOps),
  .range = store_range,
  .txn = store_txn,
  .grant = store_grant,
  .revoke = store_revoke,
  .watch = store_watch,
  .unwatch = store_unwatch,
};

COMMY_PLUGIN_NOTE (STORE,
                   "etcd",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "an etcd cluster, for many hosts and many users",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .connect_ns = 1000000,
                   .size_factor = 1.4,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 550000,
                                   .send_cpu_ns_per_byte = 4,
                                   .recv_cpu_ns = 320000,
                                   .recv_cpu_ns_per_byte = 4 } });
COMMY_PLUGIN_DEFINE (
    Store, store_init, NULL, store_fini, store_params, G_N_ELEMENTS (store_params), &store_ops);
