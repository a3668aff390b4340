/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server: see the header. The ledger is read from the store at the start and follows what
 * sessions write. Keys of an earlier daemon's leases are kept for a while, so that nobody is
 * missing who is only about to register again.
 */
#include "config.h"

#include "daemon/commyd-door-process.h"
#include "daemon/commyd-sandbox.h"
#include "daemon/commyd-session.h"
#include "daemon/commyd-value.h"

#include "base/commy-env.h"
#include "base/commy-error-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define COMMYD_NOBODY G_MAXUINT32 /* no user has this number */
#define LINGER_MS 5000u
#define STALL_MS 10000u
#define RETRY_MS 1000u
#define PAUSE_MS 100u
#define ACCEPTS_A_TURN 32
#define KEYS_A_TRANSACTION 100 /* a cluster of etcd takes 128 */

typedef struct
{
  CommydWriteFunc func;
  gpointer data;
} Turn;

/* --- writes, one after the other --- */

gboolean
commyd_server_is_writing (CommydServer *self)
{
  return self->is_writing;
}

void
commyd_server_write (CommydServer *self, CommydWriteFunc func, gpointer data)
{
  const Turn turn = { func, data };

  if (self->is_writing)
    {
      g_queue_push_tail (&self->writes, g_memdup2 (&turn, sizeof turn));
      return;
    }
  self->is_writing = TRUE;
  func (data);
}

void
commyd_server_end_write (CommydServer *self)
{
  g_autofree Turn *turn = g_queue_pop_head (&self->writes);

  self->is_writing = turn != NULL;
  if (turn != NULL)
    turn->func (turn->data);
}

/* --- leases --- */

typedef struct
{
  CommydServer *server;
  gint64 lease;
  CommydEndedFunc done;
  gpointer data;
  GPtrArray *keys; /* copies: of those that are being removed */
} Ending;

static void end_some (Ending *ending);

void
commyd_server_note (CommydServer *self, gint64 revision)
{
  self->revision = MAX (self->revision, revision);
}

gint64
commyd_server_grant (CommydServer *self)
{
  gint64 lease;

  do
    lease = (gint64) (commy_env_random64 (commy_env_system ()) >> 1);
  while (lease == 0 || g_hash_table_contains (self->leases, &lease));
  g_hash_table_add (self->leases, g_memdup2 (&lease, sizeof lease));
  return lease;
}

static void
on_some_ended (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Ending *ending = data;

  if (error == NULL)
    {
      commyd_server_note (ending->server, result->revision);
      for (guint i = 0; i < ending->keys->len; i++)
        commyd_ledger_remove (ending->server->ledger, ending->keys->pdata[i]);
      g_ptr_array_set_size (ending->keys, 0);
      end_some (ending);
      return;
    }
  ending->done (ending->data, error);
  g_ptr_array_unref (ending->keys);
  g_free (ending);
}

/* As many as a store takes in one transaction, then the next ones. */
static void
end_some (Ending *ending)
{
  CommydServer *self = ending->server;
  g_autoptr (GPtrArray) keys
      = commyd_ledger_list_lease (self->ledger, ending->lease, KEYS_A_TRANSACTION);
  CommyStoreOp ops[KEYS_A_TRANSACTION];

  for (guint i = 0; i < keys->len; i++)
    {
      char *key = g_strdup (keys->pdata[i]);

      g_ptr_array_add (ending->keys, key);
      ops[i] = (CommyStoreOp){ .kind = COMMY_STORE_DELETE, .key = key };
    }
  if (keys->len > 0)
    {
      self->ops->txn (self->store, NULL, 0, ops, keys->len, on_some_ended, ending);
      return;
    }
  ending->done (ending->data, NULL);
  g_ptr_array_unref (ending->keys);
  g_free (ending);
}

void
commyd_server_end_lease (CommydServer *self, gint64 lease, CommydEndedFunc done, gpointer data)
{
  Ending *ending = g_new0 (Ending, 1);

  g_hash_table_remove (self->leases, &lease);
  ending->server = self;
  ending->lease = lease;
  ending->done = done;
  ending->data = data;
  ending->keys = g_ptr_array_new_with_free_func (g_free);
  end_some (ending);
}

/* --- leases whose owners are gone --- */

typedef struct
{
  CommydServer *server;
  gint64 lease;
} Doom;

static gboolean
on_doom_timer (gpointer data)
{
  CommydServer *self = data;
  g_autoptr (GArray) again = g_steal_pointer (&self->doomed);

  self->doom_timer = 0;
  self->doomed = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < again->len; i++)
    commyd_server_doom (self, g_array_index (again, gint64, i));
  return G_SOURCE_REMOVE;
}

/* The store is away, or its disk is full: what the lease had must not stay for ever. */
static void
on_doomed (gpointer data, const GError *error)
{
  g_autofree Doom *doom = data;
  CommydServer *self = doom->server;

  if (error != NULL)
    {
      g_message ("the keys of a process that has ended stay until the store takes it: %s",
                 error->message);
      g_array_append_val (self->doomed, doom->lease);
      if (self->doom_timer == 0 && !self->is_closing)
        self->doom_timer = g_timeout_add (RETRY_MS, on_doom_timer, self);
    }
  commyd_server_end_write (self);
}

static void
run_doom (gpointer data)
{
  const Doom *doom = data;

  commyd_server_end_lease (doom->server, doom->lease, on_doomed, data);
}

void
commyd_server_doom (CommydServer *self, gint64 lease)
{
  const Doom doom = { self, lease };

  /* From now on, not only when it has its turn: nobody may believe in it. */
  g_hash_table_remove (self->leases, &lease);
  commyd_server_write (self, run_doom, g_memdup2 (&doom, sizeof doom));
}

/* --- what was there before --- */

/* Owners that live have put their keys under new leases by now. */
static gboolean
on_grace_end (gpointer data)
{
  CommydServer *self = data;
  g_autoptr (GArray) leases = commyd_ledger_list_leases (self->ledger);

  self->grace_timer = 0;
  for (guint i = 0; i < leases->len; i++)
    if (!g_hash_table_contains (self->leases, &g_array_index (leases, gint64, i)))
      commyd_server_doom (self, g_array_index (leases, gint64, i));
  return G_SOURCE_REMOVE;
}

static gboolean
enter_all (CommydServer *self, const CommyStoreResult *result, GError **error)
{
  for (gsize i = 0; i < result->n_entries; i++)
    {
      const CommyStoreEntry *entry = &result->entries[i];
      CommydStamp stamp = { 0 };
      g_autoptr (GBytes) value = commyd_value_unwrap (entry->value, &stamp);

      if (value == NULL)
        {
          commy_set_error (error, COMMY_ERROR_STORE,
                           "%s in the store was not written by commyd, which needs a store of its "
                           "own: see state-dir and store of [daemon]",
                           entry->key);
          return FALSE;
        }
      /* No process has outlived its kernel: those of an earlier one need no grace. */
      if (stamp.lease != 0 && stamp.boot != self->boot)
        g_array_append_val (self->doomed, stamp.lease);
      commyd_ledger_put (self->ledger, entry->key, stamp.uid, g_bytes_get_size (value),
                         stamp.lease);
    }
  return TRUE;
}

static void
on_loaded (gpointer data, const CommyStoreResult *result, const GError *error)
{
  CommydServer *self = data;

  self->is_loading = FALSE;
  if (error != NULL)
    self->load_error = g_error_copy (error);
  else if (enter_all (self, result, &self->load_error))
    commyd_server_note (self, result->revision);
  commyd_server_end_write (self);
}

static void
run_load (gpointer data)
{
  CommydServer *self = data;

  self->ops->range (self->store, "", on_loaded, self);
}

/* --- connections --- */

static gboolean
identify (int fd, CommydPeer *out_peer, GError **error)
{
  struct ucred credentials = { 0 };
  socklen_t size = sizeof credentials;
  socklen_t pidfd_size = sizeof out_peer->pidfd;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED, "the kernel does not say who connects: %s",
                       g_strerror (errno));
      return FALSE;
    }
  out_peer->uid = credentials.uid;
  out_peer->pid = credentials.pid;
  if (getsockopt (fd, SOL_SOCKET, SO_PEERPIDFD, &out_peer->pidfd, &pidfd_size) < 0)
    out_peer->pidfd = out_peer->pid > 0 ? (int) syscall (SYS_pidfd_open, out_peer->pid, 0) : -1;
  return TRUE;
}

/* Who is refused is told, if there is room for it in the socket, and not waited for. */
static void
tell_refused (int fd, const GError *error)
{
  g_autoptr (GByteArray) frame
      = store_wire_write_error (STORE_WIRE_REFUSED, 0, error->code, commy_error_bare (error));

  if (send (fd, frame->data, frame->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    g_debug ("who is refused is not told: %s", g_strerror (errno));
}

gboolean
commyd_server_admit (CommydServer *self, int fd, const CommydPeer *peer, GError **error)
{
  CommydPeer asked = { .uid = COMMYD_NOBODY, .pidfd = -1 };
  g_autoptr (GError) cause = NULL;
  CommydUser *user = NULL;

  if (peer != NULL)
    asked = *peer;
  if (peer != NULL || identify (fd, &asked, &cause))
    user = commyd_keeper_enter (self, asked.uid, &cause);
  if (user != NULL)
    {
      commyd_session_start (user, fd, &asked);
      return TRUE;
    }
  tell_refused (fd, cause);
  commyd_audit_refused (self->audit, asked.uid != COMMYD_NOBODY ? &asked.uid : NULL, cause);
  if (asked.pidfd >= 0)
    close (asked.pidfd);
  close (fd);
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

static gboolean on_connection (int fd, GIOCondition condition, gpointer data);

static gboolean
on_pause_end (gpointer data)
{
  CommydServer *self = data;

  self->pause_timer = 0;
  self->listener_source = g_unix_fd_add (self->listener, G_IO_IN, on_connection, self);
  return G_SOURCE_REMOVE;
}

/* Without descriptors the socket would be ready again at once, and nobody else served. */
static void
pause_listening (CommydServer *self, int number)
{
  g_warning ("no further connection can be taken: %s", g_strerror (number));
  g_source_remove (self->listener_source);
  self->listener_source = 0;
  self->pause_timer = g_timeout_add (PAUSE_MS, on_pause_end, self);
}

static gboolean
on_connection (int fd, GIOCondition condition, gpointer data)
{
  CommydServer *self = data;

  for (int i = 0; i < ACCEPTS_A_TURN; i++)
    {
      g_autoptr (GError) error = NULL;
      int connection = accept4 (fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

      if (connection < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        pause_listening (self, errno);
      if (connection < 0 && errno == ECONNABORTED)
        continue;
      if (connection < 0)
        break;
      if (!commyd_server_admit (self, connection, NULL, &error))
        g_debug ("a connection is refused: %s", error->message);
    }
  return G_SOURCE_CONTINUE;
}

void
commyd_server_listen (CommydServer *self, int fd)
{
  self->listener = fd;
  self->listener_source = g_unix_fd_add (fd, G_IO_IN, on_connection, self);
}

/* --- life --- */

gboolean
commyd_server_configure (CommydServer *self, CommyConfig *config, GError **error)
{
  g_autoptr (GError) cause = NULL;
  CommyPolicy *policy = commy_policy_compile (config, NULL, &cause);
  GHashTableIter iter;
  gpointer user;

  if (!commyd_audit_policy (self->audit, config, cause, error))
    {
      g_clear_pointer (&policy, commy_policy_unref);
      return FALSE;
    }
  if (policy == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  g_clear_pointer (&self->rights.policy, commy_policy_unref);
  self->rights.policy = policy;
  self->rights.limits = (CommydLimits){
    .users = (guint) commy_config_get_int (config, "daemon", "users"),
    .connections = (guint) commy_config_get_int (config, "daemon", "connections"),
    .watches = (guint) commy_config_get_int (config, "daemon", "watches"),
    .leases = (guint) commy_config_get_int (config, "daemon", "leases"),
    .keys = (guint) commy_config_get_int (config, "daemon", "keys"),
    .bytes = commy_config_get_size (config, "daemon", "bytes"),
    .waiting = commy_config_get_size (config, "daemon", "waiting"),
  };
  self->grace_ns = commy_config_get_duration (config, "daemon", "grace");
  g_hash_table_iter_init (&iter, self->users);
  while (g_hash_table_iter_next (&iter, NULL, &user))
    commyd_keeper_configure (user);
  return TRUE;
}

static gboolean
load_and_wait (CommydServer *self, GError **error)
{
  self->is_loading = TRUE;
  commyd_server_write (self, run_load, self);
  while (self->is_loading)
    g_main_context_iteration (NULL, TRUE);
  if (self->load_error == NULL)
    {
      if (self->doomed->len > 0)
        on_doom_timer (self);
      self->grace_timer = g_timeout_add ((guint) (self->grace_ns / 1000000), on_grace_end, self);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&self->load_error));
  return FALSE;
}

/* Of the boot id, which is random: its first digits will do. */
static guint64
hash_of_boot (void)
{
  g_auto (GStrv) parts = g_strsplit (commy_env_host_id (), "-", -1);
  g_autofree char *digits = g_strjoinv ("", parts);
  g_autofree char *first = g_strndup (digits, 16);

  return g_ascii_strtoull (first, NULL, 16);
}

CommydServer *
commyd_server_new (const CommyStoreOps *ops,
                   gpointer store,
                   const char *store_name,
                   const char *mesh,
                   CommyAuditLog *audit,
                   CommyConfig *config,
                   GError **error)
{
  g_autoptr (CommydServer) self = g_new0 (CommydServer, 1);

  self->ops = ops;
  self->store = store;
  self->store_name = store_name;
  self->mesh = g_strdup (mesh);
  self->audit = audit;
  self->ledger = commyd_ledger_new ();
  self->rights.ledger = self->ledger;
  self->rights.own_uid = geteuid ();
  self->since = g_get_real_time () / G_USEC_PER_SEC;
  self->boot = hash_of_boot ();
  self->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->users = g_hash_table_new_full (NULL, NULL, NULL, commyd_keeper_user_leave);
  self->spawn = commyd_door_spawn;
  self->linger_ms = LINGER_MS;
  self->stall_ms = STALL_MS;
  self->listener = -1;
  self->doomed = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_queue_init (&self->writes);
  if (!commyd_server_configure (self, config, error) || !load_and_wait (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

static void
clear_source (guint *id)
{
  if (*id != 0)
    g_source_remove (*id);
  *id = 0;
}

void
commyd_server_free (CommydServer *self)
{
  if (self == NULL)
    return;
  self->is_closing = TRUE;
  clear_source (&self->listener_source);
  clear_source (&self->pause_timer);
  clear_source (&self->grace_timer);
  commyd_host_stop (self);
  g_hash_table_remove_all (self->users);
  /* What is with the store is waited for: its answers come back to what is freed below. */
  while (self->is_writing)
    g_main_context_iteration (NULL, TRUE);
  clear_source (&self->doom_timer);
  g_array_unref (self->doomed);
  g_hash_table_unref (self->users);
  g_hash_table_unref (self->leases);
  g_clear_pointer (&self->rights.policy, commy_policy_unref);
  if (self->audit != NULL)
    commyd_audit_stop (self->audit);
  commyd_ledger_free (self->ledger);
  g_clear_error (&self->load_error);
  g_free (self->host_key);
  g_free (self->mesh);
  g_free (self);
}

typedef struct
{
  guint users, connections, watches, leases, doors;
  guint64 confinement; /* of all doors */
} CommydTotals;

static CommydTotals
sum_users (CommydServer *self)
{
  CommydTotals totals = { .confinement = G_MAXUINT64 };
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const CommydUser *user = value;
      guint n_sessions = g_hash_table_size (user->sessions);

      totals.users += n_sessions > 0;
      totals.connections += n_sessions;
      totals.watches += user->n_watches;
      totals.leases += user->n_leases;
      totals.doors += user->link.fd >= 0;
      if (user->is_ready)
        totals.confinement &= user->confinement;
    }
  return totals;
}

char *
commyd_server_report (CommydServer *self)
{
  g_autoptr (GVariant) report = NULL;
  const CommydTotals totals = sum_users (self);
  g_autofree char *confinement = commyd_sandbox_describe (totals.confinement);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "mesh", "s", self->mesh);
  g_variant_dict_insert (&dict, "version", "s", PACKAGE_VERSION);
  g_variant_dict_insert (&dict, "pid", "u", (guint32) getpid ());
  g_variant_dict_insert (&dict, "user", "u", (guint32) geteuid ());
  g_variant_dict_insert (&dict, "since", "x", self->since);
  g_variant_dict_insert (&dict, "store", "s", self->store_name);
  g_variant_dict_insert (&dict, "connections", "u", totals.connections);
  g_variant_dict_insert (&dict, "users", "u", totals.users);
  g_variant_dict_insert (&dict, "keys", "u", commyd_ledger_count (self->ledger));
  g_variant_dict_insert (&dict, "leases", "u", totals.leases);
  g_variant_dict_insert (&dict, "watches", "u", totals.watches);
  g_variant_dict_insert (&dict, "refused", "t", self->n_refused);
  g_variant_dict_insert (&dict, "limited", "t", self->n_limited);
  g_variant_dict_insert (&dict, "cut", "t", self->n_cut);
  g_variant_dict_insert (&dict, "doors", "u", totals.doors);
  g_variant_dict_insert (&dict, "doors-lost", "t", self->n_doors_lost);
  g_variant_dict_insert (&dict, "confinement", "s", confinement);
  report = g_variant_ref_sink (g_variant_dict_end (&dict));
  return g_variant_print (report, TRUE);
}
