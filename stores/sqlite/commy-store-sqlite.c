/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "sqlite": etcd's model in one SQLite file of one user on one host. This file joins
 * the parts to a plugin: the database, the lease files and the doorbell; it keeps the watches
 * and decides when they are served. Answers come at once, events from the main context only.
 */
#include "config.h"

#include "commy-sqlite-db.h"
#include "commy-sqlite-doorbell.h"
#include "commy-sqlite-lease.h"
#include "commy-sqlite-neighbour.h"

#include <commy/commy-plugin.h>
#include <string.h>
#include <unistd.h>

/* Without notifications (the system has a limit of them) the store is looked at this often. */
#define POLL_NS (100 * G_GINT64_CONSTANT (1000000))
#define GRANT_ATTEMPTS 16
/* The longer nothing was missed, the more seldom it is looked for: nobody wakes an idle machine. */
#define QUIET_GROWTH 8
#define QUIET_MOST 32
/* The first change is heard at once. Then nobody listens for so many times what it took to tell of
 * it, within these bounds: what is rung for meanwhile is told together, so that many who watch
 * leave the processor to those who write. */
#define REST_SHARE 4
#define REST_LEAST_NS (2 * G_GINT64_CONSTANT (1000000))
#define REST_MOST_NS (20 * G_GINT64_CONSTANT (1000000))

typedef struct
{
  CommyHost *host;
  CommySqliteDb *db;
  CommySqliteLeases *leases;
  CommySqliteDoorbell doorbell;
  CommySqliteNeighbour neighbour;
  guint neighbour_watch; /* 0: nobody is watched */
  GPtrArray *watches;    /* of Watch */
  guint last_watch;
  guint doorbell_watch; /* 0: not listened to */
  guint rest_timer;     /* until it is listened to again; 0: it is */
  guint deliver_timer;  /* 0: nothing to deliver */
  guint reread_timer;
  gint64 reread_ns; /* after something happened */
  gint64 pause_ns;  /* now */
  pid_t pid;        /* who opened all this: a forked child must not use it */
} Store;

typedef struct
{
  grefcount refs;
  guint id;
  char *prefix;
  gint64 after;
  CommyStoreWatchEventFunc event; /* NULL: over */
  gpointer user_data;
} Watch;

static void
watch_unref (gpointer data)
{
  Watch *watch = data;

  if (!g_ref_count_dec (&watch->refs))
    return;
  g_free (watch->prefix);
  g_free (watch);
}

static gpointer
watch_ref (gconstpointer data, gpointer unused)
{
  Watch *watch = (Watch *) data;

  g_ref_count_inc (&watch->refs);
  return watch;
}

static gboolean
check_process (Store *self, GError **error)
{
  if (self->pid == getpid ())
    return TRUE;
  g_set_error_literal (
      error, COMMY_SQLITE_ERROR, COMMY_ERROR_FORKED,
      "the store belongs to the parent process: a forked process must exec before it joins");
  return FALSE;
}

/* What a watch is told. */
typedef struct
{
  Watch *watch;
  GArray *entries; /* NULL: it is over */
  GError *error;
} News;

static void
news_clear (gpointer data)
{
  News *news = data;

  watch_unref (news->watch);
  g_clear_pointer (&news->entries, g_array_unref);
  g_clear_error (&news->error);
}

/* Reads for all watches at one revision; those that have heard of it already are left out. */
static GArray *
read_news (Store *self, gint64 *out_revision)
{
  GArray *all = g_array_new (FALSE, TRUE, sizeof (News));
  g_autoptr (GError) error = NULL;
  CommySqliteState state = { .revision = -1 };
  gboolean ok = commy_sqlite_db_look (self->db, &state, &error);

  g_array_set_clear_func (all, news_clear);
  for (guint i = 0; i < self->watches->len; i++)
    {
      News news = { .watch = g_ptr_array_index (self->watches, i) };

      if (news.watch->after == state.revision)
        continue;
      watch_ref (news.watch, NULL);
      if (ok)
        news.entries = commy_sqlite_db_changes (self->db, &state, news.watch->prefix,
                                                news.watch->after, &news.error);
      else
        news.error = g_error_copy (error);
      g_array_append_val (all, news);
    }
  if (ok)
    commy_sqlite_db_rollback (self->db);
  *out_revision = state.revision;
  return all;
}

static void
tell (Store *self, const News *news, gint64 revision)
{
  Watch *watch = news->watch;
  CommyStoreWatchEventFunc event = watch->event;

  if (event == NULL)
    return;
  if (news->entries == NULL)
    {
      watch->event = NULL;
      g_ptr_array_remove (self->watches, watch);
      event (watch->user_data, NULL, 0, watch->after, news->error);
      return;
    }
  watch->after = revision;
  if (news->entries->len > 0)
    event (watch->user_data, (const CommyStoreEntry *) (gpointer) news->entries->data,
           news->entries->len, revision, NULL);
}

/* The callbacks may end any watch or begin new ones: what they are told has been read by then. */
static void
deliver (Store *self)
{
  g_autoptr (GArray) all = NULL;
  gint64 revision;

  if (self->watches->len == 0 || !check_process (self, NULL))
    return;
  all = read_news (self, &revision);
  for (guint i = 0; i < all->len; i++)
    tell (self, &g_array_index (all, News, i), revision);
}

static void
on_deliver (gpointer user_data)
{
  Store *self = user_data;

  self->deliver_timer = 0;
  deliver (self);
}

static void
deliver_soon (Store *self)
{
  if (self->deliver_timer == 0 && self->watches->len > 0)
    self->deliver_timer = self->host->add_timer (self->host, 0, on_deliver, self);
}

/* Others are told at once, our own watches from the main context. */
static void
announce (Store *self, gint64 revision)
{
  commy_sqlite_doorbell_ring (&self->doorbell, revision);
  deliver_soon (self);
}

static void
log_warning (Store *self, const GError *error)
{
  self->host->log (self->host, G_LOG_LEVEL_WARNING, error->message);
}

/* Removes what dead owners left: the rows first, then the files that prove the death. */
static void
reap (Store *self, const GArray *dead)
{
  g_autoptr (GError) error = NULL;
  CommySqliteState state;
  guint ended = 0;

  if (dead->len == 0)
    return;
  if (!commy_sqlite_db_end_leases (self->db, (const gint64 *) (gpointer) dead->data, dead->len,
                                   &ended, &state, &error))
    {
      log_warning (self, error);
      return;
    }
  for (guint i = 0; i < dead->len; i++)
    commy_sqlite_leases_drop (self->leases, g_array_index (dead, gint64, i));
  if (ended > 0)
    announce (self, state.revision);
}

static void
sweep (Store *self, const GArray *rows)
{
  g_autoptr (GHashTable) known = g_hash_table_new (g_int64_hash, g_int64_equal);

  for (guint i = 0; i < rows->len; i++)
    g_hash_table_add (known, &g_array_index (rows, CommySqliteLeaseRow, i).id);
  commy_sqlite_leases_sweep (self->leases, known);
}

/* Looks at one lease, or at all of them with 0. */
static void
look_for_dead (Store *self, gint64 only)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) rows = commy_sqlite_db_list_leases (self->db, &error);
  g_autoptr (GArray) dead = g_array_new (FALSE, FALSE, sizeof (gint64));

  if (rows == NULL)
    {
      log_warning (self, error);
      return;
    }
  for (guint i = 0; i < rows->len; i++)
    {
      const CommySqliteLeaseRow *row = &g_array_index (rows, CommySqliteLeaseRow, i);

      if ((only == 0 || only == row->id)
          && commy_sqlite_leases_is_dead (self->leases, row->id, row->pid))
        g_array_append_val (dead, row->id);
    }
  if (only == 0)
    sweep (self, rows);
  reap (self, dead);
}

/* Over a copy: the callbacks may end any watch or begin new ones. */
static void
end_all_watches (Store *self, const GError *error)
{
  g_autoptr (GPtrArray) watches = g_ptr_array_copy (self->watches, watch_ref, NULL);

  g_ptr_array_set_free_func (watches, watch_unref);
  for (guint i = 0; i < watches->len; i++)
    {
      Watch *watch = g_ptr_array_index (watches, i);
      CommyStoreWatchEventFunc event = watch->event;

      if (event == NULL)
        continue;
      watch->event = NULL;
      g_ptr_array_remove (self->watches, watch);
      event (watch->user_data, NULL, 0, watch->after, error);
    }
}

static void on_reread (gpointer user_data);

static void
plan_reread (Store *self, gint64 pause_ns)
{
  if (self->doorbell.inotify_fd < 0)
    pause_ns = MIN (self->reread_ns, POLL_NS);
  else if (!commy_sqlite_doorbell_hears_all (&self->doorbell))
    pause_ns = self->reread_ns;
  self->pause_ns = pause_ns;
  self->reread_timer = self->host->add_timer (self->host, pause_ns, on_reread, self);
}

/* Something happens: it is looked at soon whether all of it was heard. */
static void
look_again_soon (Store *self)
{
  if (self->pause_ns <= self->reread_ns)
    return;
  self->host->remove (self->host, self->reread_timer);
  plan_reread (self, self->reread_ns);
}

static void watch_neighbour (Store *self);

static void
forget_neighbour (gpointer user_data)
{
  Store *self = user_data;

  if (self->neighbour_watch != 0)
    self->host->remove (self->host, self->neighbour_watch);
  self->neighbour_watch = 0;
}

static void
on_neighbour_died (gpointer user_data, int fd, guint condition)
{
  Store *self = user_data;

  forget_neighbour (self);
  commy_sqlite_neighbour_close (&self->neighbour);
  if (!check_process (self, NULL))
    return;
  look_for_dead (self, 0);
  watch_neighbour (self);
}

/* Who is dead already is removed by the look, and is not the next one any more. */
static void
watch_neighbour (Store *self)
{
  CommySqliteNeighbourNews news = commy_sqlite_neighbour_choose (
      &self->neighbour, self->db, self->leases, forget_neighbour, self);

  if (news == COMMY_SQLITE_NEIGHBOUR_DEAD)
    {
      look_for_dead (self, 0);
      news = commy_sqlite_neighbour_choose (&self->neighbour, self->db, self->leases,
                                            forget_neighbour, self);
    }
  if (news == COMMY_SQLITE_NEIGHBOUR_NEW && self->neighbour.fd >= 0)
    self->neighbour_watch
        = self->host->watch_fd (self->host, self->neighbour.fd, G_IO_IN, on_neighbour_died, self);
}

static void
on_owner_left (gpointer user_data, const char *name)
{
  gint64 id = name != NULL ? commy_sqlite_leases_id_of (name) : 0;

  if (name == NULL || id != 0)
    look_for_dead (user_data, id);
}

static void on_doorbell (gpointer user_data, int fd, guint condition);

static void
listen_to_doorbell (gpointer user_data)
{
  Store *self = user_data;

  self->rest_timer = 0;
  self->doorbell_watch
      = self->host->watch_fd (self->host, self->doorbell.inotify_fd, G_IO_IN, on_doorbell, self);
}

static void
rest (Store *self, gint64 took_ns)
{
  gint64 pause_ns = CLAMP (took_ns * REST_SHARE, REST_LEAST_NS, REST_MOST_NS);

  self->host->remove (self->host, self->doorbell_watch);
  self->doorbell_watch = 0;
  self->rest_timer = self->host->add_timer (self->host, pause_ns, listen_to_doorbell, self);
}

static void
on_doorbell (gpointer user_data, int fd, guint condition)
{
  Store *self = user_data;
  gint64 start_ns = self->host->now_ns (self->host);

  if (!check_process (self, NULL))
    return;
  commy_sqlite_doorbell_drain (&self->doorbell, on_owner_left, self);
  look_again_soon (self);
  deliver (self);
  watch_neighbour (self);
  rest (self, self->host->now_ns (self->host) - start_ns);
}

/* The safety net under everything that is notified. */
static void
on_reread (gpointer user_data)
{
  Store *self = user_data;
  g_autoptr (GError) error = NULL;

  self->reread_timer = 0;
  if (!check_process (self, NULL))
    return;
  plan_reread (self, MIN (self->pause_ns * QUIET_GROWTH, self->reread_ns * QUIET_MOST));
  if (!commy_sqlite_db_check_file (self->db, &error))
    {
      log_warning (self, error);
      end_all_watches (self, error);
      return;
    }
  commy_sqlite_doorbell_renew (&self->doorbell);
  look_for_dead (self, 0);
  deliver (self);
  watch_neighbour (self);
}

static gboolean
check_usable (Store *self, GError **error)
{
  return check_process (self, error) && commy_sqlite_db_check_file (self->db, error);
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;
  CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult), .succeeded = TRUE };
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) entries = NULL;

  if (check_usable (self, &error))
    entries = commy_sqlite_db_range (self->db, prefix, &result.revision, &error);
  if (entries == NULL)
    {
      done (user_data, NULL, error);
      return;
    }
  result.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  result.n_entries = entries->len;
  done (user_data, &result, NULL);
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
  CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult) };
  CommySqliteState state = { 0 };
  g_autoptr (GError) error = NULL;

  if (!check_process (self, &error)
      || !commy_sqlite_db_txn (self->db, compares, n_compares, ops, n_ops, &result.succeeded,
                               &state, &error))
    {
      done (user_data, NULL, error);
      return;
    }
  if (result.succeeded && n_ops > 0)
    announce (self, state.revision);
  result.revision = state.revision;
  done (user_data, &result, NULL);
}

/* An id nobody has, positive and never 0. */
static gint64
take_new (Store *self, GError **error)
{
  for (int i = 0; i < GRANT_ATTEMPTS; i++)
    {
      g_autoptr (GError) failure = NULL;
      guint64 random = 0;
      gint64 id;

      self->host->random (self->host, &random, sizeof random);
      id = (gint64) (random >> 1);
      if (id != 0 && commy_sqlite_leases_take (self->leases, id, &failure))
        return id;
      if (failure != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&failure));
          return 0;
        }
    }
  g_set_error_literal (error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                       "every id tried for a lease is taken: random numbers are not random");
  return 0;
}

static void
store_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;
  CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult), .succeeded = TRUE };
  CommySqliteState state = { 0 };
  g_autoptr (GError) error = NULL;

  if (check_usable (self, &error))
    result.lease = take_new (self, &error);
  if (result.lease != 0
      && !commy_sqlite_db_add_lease (self->db, result.lease, ttl_ns, &state, &error))
    commy_sqlite_leases_drop (self->leases, result.lease);
  if (error != NULL)
    {
      done (user_data, NULL, error);
      return;
    }
  result.revision = state.revision;
  watch_neighbour (self);
  done (user_data, &result, NULL);
}

static void
store_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;
  CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult), .succeeded = TRUE };
  CommySqliteState state = { 0 };
  g_autoptr (GError) error = NULL;
  guint ended = 0;

  if (check_process (self, &error)
      && commy_sqlite_db_end_leases (self->db, &lease, 1, &ended, &state, &error))
    {
      commy_sqlite_leases_drop (self->leases, lease);
      if (ended == 0)
        g_set_error (&error, COMMY_SQLITE_ERROR, COMMY_ERROR_STORE,
                     "there is no lease %" G_GINT64_FORMAT " to end", lease);
      else
        announce (self, state.revision);
    }
  result.lease = lease;
  result.revision = state.revision;
  done (user_data, error == NULL ? &result : NULL, error);
}

static guint
store_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  Store *self = instance;
  Watch *watch = g_new0 (Watch, 1);

  g_ref_count_init (&watch->refs);
  if (++self->last_watch == 0)
    self->last_watch = 1;
  watch->id = self->last_watch;
  watch->prefix = g_strdup (prefix);
  watch->after = from_revision;
  watch->event = event;
  watch->user_data = user_data;
  g_ptr_array_add (self->watches, watch);
  deliver_soon (self);
  return watch->id;
}

static void
store_unwatch (gpointer instance, guint id)
{
  Store *self = instance;

  for (guint i = 0; i < self->watches->len; i++)
    {
      Watch *watch = g_ptr_array_index (self->watches, i);

      if (watch->id != id)
        continue;
      watch->event = NULL;
      g_ptr_array_remove_index (self->watches, i);
      return;
    }
}

static void
store_suspect (gpointer instance, gint64 lease)
{
  Store *self = instance;

  if (lease != 0 && check_usable (self, NULL))
    look_for_dead (self, lease);
}

static gint64
number (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

static void
close_all (Store *self)
{
  if (self->pid == getpid ())
    commy_sqlite_db_free (self->db);
  else
    commy_sqlite_db_abandon (self->db);
  commy_sqlite_leases_free (self->leases);
  commy_sqlite_neighbour_close (&self->neighbour);
  commy_sqlite_doorbell_close (&self->doorbell);
  g_clear_pointer (&self->watches, g_ptr_array_unref);
}

/* What was told was committed: if it is not there, the file's log was taken away, or the power
 * failed. Those who know better must not be told old revisions as if they were new. */
static gboolean
check_revision (Store *self, GError **error)
{
  const gint64 told = commy_sqlite_doorbell_read (&self->doorbell);
  g_autofree char *text = NULL;
  gint64 revision;

  if (!commy_sqlite_db_get_revision (self->db, &revision, error))
    return FALSE;
  if (revision >= told)
    return TRUE;
  text = g_strdup_printf ("%s has revision %" G_GINT64_FORMAT ", but %" G_GINT64_FORMAT
                          " was told: its last changes are lost, because its -wal file was taken "
                          "away, the power failed, or it is a new one; it goes on from there",
                          self->db->path, revision, told);
  self->host->log (self->host, G_LOG_LEVEL_WARNING, text);
  return commy_sqlite_db_raise (self->db, told, error);
}

static gboolean
open_all (Store *self, GError **error)
{
  CommyHost *host = self->host;
  const char *dir = host->info (host, COMMY_HOST_STATE_DIR);
  gboolean full_sync = strcmp (host->param (host, "sync"), "full") == 0;

  if (!commy_sqlite_check_dir (dir, error))
    return FALSE;
  self->db = commy_sqlite_db_new (dir, (int) (number (host, "busy-timeout") / 1000000), full_sync,
                                  error);
  if (self->db == NULL)
    return FALSE;
  self->db->history = number (host, "history");
  self->db->max_value = (gsize) number (host, "max-value");
  self->leases = commy_sqlite_leases_new (dir, error);
  return self->leases != NULL && commy_sqlite_doorbell_open (&self->doorbell, dir, error)
         && check_revision (self, error);
}

static gboolean
store_init (gpointer instance, CommyHost *host, GError **error)
{
  Store *self = instance;

  self->host = host;
  self->pid = getpid ();
  self->neighbour.fd = -1;
  self->doorbell.file_fd = -1;
  self->doorbell.inotify_fd = -1;
  self->doorbell.watch = -1;
  self->doorbell.leases_watch = -1;
  self->reread_ns = number (host, "reread");
  self->watches = g_ptr_array_new_with_free_func (watch_unref);
  if (!open_all (self, error))
    {
      close_all (self);
      return FALSE;
    }
  if (self->doorbell.inotify_fd >= 0)
    listen_to_doorbell (self);
  else
    host->log (host, G_LOG_LEVEL_WARNING,
               "no inotify instance is left (fs.inotify.max_user_instances): the store is polled");
  look_for_dead (self, 0);
  plan_reread (self, self->reread_ns);
  return TRUE;
}

static void
end_own_leases (Store *self)
{
  g_autoptr (GArray) own = commy_sqlite_leases_list (self->leases);

  reap (self, own);
}

static void
store_fini (gpointer instance)
{
  Store *self = instance;
  CommyHost *host = self->host;

  g_ptr_array_set_size (self->watches, 0);
  if (self->pid == getpid ())
    end_own_leases (self);
  forget_neighbour (self);
  if (self->deliver_timer != 0)
    host->remove (host, self->deliver_timer);
  if (self->reread_timer != 0)
    host->remove (host, self->reread_timer);
  if (self->doorbell_watch != 0)
    host->remove (host, self->doorbell_watch);
  if (self->rest_timer != 0)
    host->remove (host, self->rest_timer);
  close_all (self);
}

static const CommyParamSpec store_params[] = {
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_DURATION,
      .name = "busy-timeout",
      .default_value = "2s",
      .minimum = 1000000,
      .maximum = G_GINT64_CONSTANT (60000000000),
      .help = "How long an operation waits for a process that holds the file",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_DURATION,
      .name = "reread",
      .default_value = "2s",
      .minimum = 10000000,
      .maximum = G_GINT64_CONSTANT (3600000000000),
      .help = "How often the store is read and dead owners are looked for without being notified",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_INT,
      .name = "history",
      .default_value = "10000",
      .minimum = 1,
      .maximum = 1000000,
      .help = "How many deletions are remembered at least for watches that are behind",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_SIZE,
      .name = "max-value",
      .default_value = "16 MiB",
      .minimum = 1024,
      .maximum = 512 * 1024 * 1024,
      .help = "The largest value that can be put",
  },
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_CHOICE,
      .name = "sync",
      .default_value = "normal",
      .choices = "normal;full",
      .help = "With normal a power failure may undo the last commits, with full it does not",
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
  .suspect = store_suspect,
};

COMMY_PLUGIN_NOTE (STORE,
                   "sqlite",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "one SQLite file for the processes of one user on one host",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST,
                   .connect_ns = 1000000,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 30000,
                                   .send_cpu_ns_per_byte = 1,
                                   .recv_cpu_ns = 6000,
                                   .recv_cpu_ns_per_byte = 0.2 } });
COMMY_PLUGIN_DEFINE (
    Store, store_init, NULL, store_fini, store_params, G_N_ELEMENTS (store_params), &store_ops);
