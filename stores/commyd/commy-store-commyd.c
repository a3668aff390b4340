/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "commyd": the contract over a socket to the daemon of this host, for programs of
 * several users. This file is the plugin's slots and parameters; the link to the daemon is in
 * commy-commyd-link.
 */
#include "config.h"

#include "commy-commyd-link.h"

#include <string.h>
#include <unistd.h>

/* How long leaving a mesh waits for the daemon to end the leases; they end anyway. */
#define LEAVE_NS G_GINT64_CONSTANT (1000000000)
#define SYSTEM_DIR "/run/commyd"

typedef struct
{
  CommydLink *link;
  pid_t pid; /* who opened it: a forked child must not speak in its name */
} Store;

static gboolean
is_ours (Store *self, CommyStoreDoneFunc done, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  if (self->pid == getpid ())
    return TRUE;
  store_wire_set_error (
      &error, COMMY_ERROR_FORKED,
      "the store belongs to the parent process: a forked process must exec before it joins");
  done (user_data, NULL, error);
  return FALSE;
}

static gboolean
check_key (const char *key, GError **error)
{
  if (strlen (key) <= STORE_WIRE_MAX_TEXT)
    return TRUE;
  store_wire_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                        "a key has at most 1024 bytes, not %" G_GSIZE_FORMAT, strlen (key));
  return FALSE;
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;
  g_autoptr (GError) error = NULL;
  guint64 id;

  if (!is_ours (self, done, user_data))
    return;
  id = commyd_link_next_id (self->link);
  if (check_key (prefix, &error))
    commyd_link_ask (self->link, id, store_wire_write_prefix (STORE_WIRE_RANGE, id, prefix, 0),
                     done, user_data);
  else
    commyd_link_fail (self->link, error, done, user_data);
}

/* Checked before it is written down: sizes add up in a frame of bounded size. */
static gboolean
check_txn (const CommyStoreCompare *compares,
           gsize n_compares,
           const CommyStoreOp *ops,
           gsize n_ops,
           GError **error)
{
  gsize size = 0;

  for (gsize i = 0; i < n_compares; i++)
    if (!check_key (compares[i].key, error))
      return FALSE;
  for (gsize i = 0; i < n_ops; i++)
    {
      if (!check_key (ops[i].key, error))
        return FALSE;
      size += strlen (ops[i].key) + (ops[i].value != NULL ? g_bytes_get_size (ops[i].value) : 0);
    }
  if (n_compares <= STORE_WIRE_MAX_PARTS && n_ops <= STORE_WIRE_MAX_PARTS
      && size <= STORE_WIRE_MAX_VALUES)
    return TRUE;
  store_wire_set_error (error, COMMY_ERROR_TOO_BIG,
                        "a transaction over commyd has at most %u conditions, %u changes and %u "
                        "bytes",
                        STORE_WIRE_MAX_PARTS, STORE_WIRE_MAX_PARTS, STORE_WIRE_MAX_VALUES);
  return FALSE;
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
  g_autoptr (GError) error = NULL;
  guint64 id;

  if (!is_ours (self, done, user_data))
    return;
  id = commyd_link_next_id (self->link);
  if (check_txn (compares, n_compares, ops, n_ops, &error))
    commyd_link_ask (self->link, id, store_wire_write_txn (id, compares, n_compares, ops, n_ops),
                     done, user_data);
  else
    commyd_link_fail (self->link, error, done, user_data);
}

static void
ask_number (
    Store *self, StoreWireType type, gint64 number, CommyStoreDoneFunc done, gpointer user_data)
{
  guint64 id;

  if (!is_ours (self, done, user_data))
    return;
  id = commyd_link_next_id (self->link);
  commyd_link_ask (self->link, id, store_wire_write_number (type, id, number), done, user_data);
}

static void
store_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  ask_number (instance, STORE_WIRE_GRANT, ttl_ns, done, user_data);
}

static void
store_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  ask_number (instance, STORE_WIRE_REVOKE, lease, done, user_data);
}

static guint
store_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  Store *self = instance;

  return commyd_link_watch (self->link, prefix, from_revision, event, user_data);
}

static void
store_unwatch (gpointer instance, guint watch)
{
  Store *self = instance;

  commyd_link_unwatch (self->link, watch);
}

static gboolean
store_init (gpointer instance, CommyHost *host, GError **error)
{
  Store *self = instance;
  const char *path = host->param (host, "socket");
  const char *runtime = host->info (host, COMMY_HOST_RUNTIME_DIR);
  CommydLinkSettings settings = {
    .host = host,
    .timeout_ns = g_ascii_strtoll (host->param (host, "timeout"), NULL, 10),
    .max_answer = (gsize) g_ascii_strtoull (host->param (host, "max-answer"), NULL, 10),
  };

  if (path[0] != '\0' && !g_path_is_absolute (path))
    {
      store_wire_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                            "socket: \"%s\" is no absolute path of a socket", path);
      return FALSE;
    }
  if (path[0] != '\0')
    settings.system_path = g_strdup (path);
  else
    {
      settings.own_path = g_build_filename (runtime, "store.sock", NULL);
      settings.system_path
          = g_build_filename (SYSTEM_DIR, host->info (host, COMMY_HOST_MESH), "store.sock", NULL);
    }
  self->pid = getpid ();
  self->link = commyd_link_new (&settings);
  return TRUE;
}

static void
store_fini (gpointer instance)
{
  Store *self = instance;

  /* A forked child says nothing on its parent's connection, not even that it closes it. */
  if (self->pid == getpid ())
    commyd_link_free (g_steal_pointer (&self->link), LEAVE_NS);
}

static const CommyParamSpec store_params[] = {
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_STRING,
      .name = "socket",
      .default_value = "",
      .help = "Where the daemon listens; empty: one's own daemon, else the system's",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_DURATION,
      .name = "timeout",
      .default_value = "5s",
      .minimum = 10000000,
      .maximum = G_GINT64_CONSTANT (600000000000),
      .help = "How long an operation waits for the daemon to be there and to answer",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_SIZE,
      .name = "max-answer",
      .default_value = "256 MiB",
      .minimum = 64 * 1024,
      .maximum = G_GINT64_CONSTANT (1024) * 1024 * 1024,
      .help = "The largest answer that is read",
  },
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
                   "commyd",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the daemon commyd, for the users of one host",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST,
                   .connect_ns = 1000000,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 50000,
                                   .send_cpu_ns_per_byte = 1.5,
                                   .recv_cpu_ns = 20000,
                                   .recv_cpu_ns_per_byte = 0.5 } });
COMMY_PLUGIN_DEFINE (
    Store, store_init, NULL, store_fini, store_params, G_N_ELEMENTS (store_params), &store_ops);
