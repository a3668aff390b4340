/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeping leases alive: a beat every third of the time to live, asked of another member when one
 * does not answer in that time, and again for as long as the lease may last: what waits in the
 * queue of operations is not before it. etcd says by a time of 0 that a lease has ended while we
 * lived (the process was stopped, or cut off): its keys are gone for everybody, who watches them
 * sees it, and puts under it are refused. Its owner asks for another one.
 */
#include "config.h"

#include "commy-etcd-leases.h"

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define BEATS 3 /* in the time to live */

struct _CommyEtcdLeases
{
  CommyHost *host;
  CommyEtcdCluster *cluster;
  GHashTable *leases; /* gint64 to Lease */
  guint n_ending;
};

typedef struct
{
  gint64 id; /* first: the key of the table */
  CommyEtcdLeases *owner;
  gint64 beat_ns;
  guint timer;
  CommyEtcdCall *call;
} Lease;

static void beat (gpointer user_data);

static void
lease_free (gpointer data)
{
  Lease *self = data;

  if (self->timer != 0)
    self->owner->host->remove (self->owner->host, self->timer);
  if (self->call != NULL)
    commy_etcd_call_cancel (self->call);
  g_free (self);
}

static void
beat_later (Lease *self)
{
  self->timer = self->owner->host->add_timer (self->owner->host, self->beat_ns, beat, self);
}

static void
log_about (Lease *self, const char *what)
{
  g_autofree char *line = g_strdup_printf ("lease %" G_GINT64_FORMAT " %s", self->id, what);

  self->owner->host->log (self->owner->host, G_LOG_LEVEL_MESSAGE, line);
}

static void
on_beat (gpointer user_data, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  Lease *self = user_data;

  self->call = NULL;
  if (error == NULL && answer->ttl <= 0)
    {
      log_about (self, "has ended in etcd although its owner lives, with all that was under it");
      g_hash_table_remove (self->owner->leases, &self->id);
      return;
    }
  if (error != NULL)
    {
      g_autofree char *why = g_strconcat ("is not kept alive: ", error->message, NULL);

      log_about (self, why);
    }
  beat_later (self);
}

static void
beat (gpointer user_data)
{
  Lease *self = user_data;
  const gint64 timeout_ns = commy_etcd_cluster_get_timeout (self->owner->cluster);
  const CommyEtcdAsk ask = { .kind = COMMY_ETCD_KEEPALIVE,
                             .path = "/v3/lease/keepalive",
                             .body = commy_etcd_write_lease (self->id),
                             .is_repeatable = TRUE,
                             .attempt_ns = self->beat_ns,
                             .timeout_ns = MAX (BEATS * self->beat_ns, timeout_ns),
                             .done = on_beat,
                             .user_data = self };

  self->timer = 0;
  self->call = commy_etcd_cluster_call (self->owner->cluster, &ask);
}

void
commy_etcd_leases_keep (CommyEtcdLeases *self, gint64 lease, gint64 ttl)
{
  Lease *kept = g_new0 (Lease, 1);

  kept->id = lease;
  kept->owner = self;
  kept->beat_ns = MIN (ttl, G_MAXINT32) * SECOND_NS / BEATS;
  g_hash_table_replace (self->leases, &kept->id, kept);
  beat_later (kept);
}

gboolean
commy_etcd_leases_drop (CommyEtcdLeases *self, gint64 lease)
{
  return g_hash_table_remove (self->leases, &lease);
}

static void
on_ended (gpointer user_data, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  CommyEtcdLeases *self = user_data;

  self->n_ending--;
}

void
commy_etcd_leases_end_all (CommyEtcdLeases *self, gint64 timeout_ns)
{
  g_autofree gint64 **ids = (gint64 **) g_hash_table_get_keys_as_array (self->leases, NULL);

  for (guint i = 0; ids[i] != NULL; i++)
    {
      const CommyEtcdAsk ask = { .kind = COMMY_ETCD_LEASE,
                                 .path = "/v3/lease/revoke",
                                 .body = commy_etcd_write_lease (*ids[i]),
                                 .is_repeatable = TRUE,
                                 .timeout_ns = timeout_ns,
                                 .done = on_ended,
                                 .user_data = self };

      self->n_ending++;
      commy_etcd_cluster_call (self->cluster, &ask);
    }
  g_hash_table_remove_all (self->leases);
  while (self->n_ending > 0)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

CommyEtcdLeases *
commy_etcd_leases_new (CommyHost *host, CommyEtcdCluster *cluster)
{
  CommyEtcdLeases *self = g_new0 (CommyEtcdLeases, 1);

  self->host = host;
  self->cluster = cluster;
  self->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, lease_free);
  return self;
}

void
commy_etcd_leases_free (CommyEtcdLeases *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->leases);
  g_free (self);
}
