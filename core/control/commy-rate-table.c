/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much a call costs depends on among how many the limit is divided, so a bucket notes for how
 * many it is reckoned; the first who takes after a division reckons it anew, under the lock.
 */
#include "config.h"

#include "control/commy-rate-table.h"

/* When there is no room, how often all are looked at for some. */
#define SWEEP_EVERY_NS G_GINT64_CONSTANT (100000000)

struct _CommyRateBucket
{
  gatomicrefcount refs;
  gboolean is_shared;
  CommyRateLimit limit; /* ended: it gave way */
  guint32 n;            /* atomic: among how many the whole is divided that @limit is of */
};

struct _CommyRateTable
{
  CommyRateLimitPolicy whole;
  guint max;
  guint32 n;           /* atomic */
  GMutex lock;         /* of what follows, and of reckoning anew */
  GHashTable *buckets; /* key -> CommyRateBucket (ref) */
  CommyRateBucket *newcomers;
  CommyRateBucket *fresh; /* as a bucket is that nobody has taken of */
  gint64 sweep_ns;
};

/* --- buckets --- */

static CommyRateBucket *
bucket_new (void)
{
  CommyRateBucket *self = g_new0 (CommyRateBucket, 1);

  g_atomic_ref_count_init (&self->refs);
  return self;
}

static CommyRateBucket *
bucket_ref (CommyRateBucket *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
commy_rate_bucket_unref (CommyRateBucket *self)
{
  if (self != NULL && g_atomic_ref_count_dec (&self->refs))
    g_free (self);
}

gboolean
commy_rate_bucket_is_shared (const CommyRateBucket *self)
{
  return self->is_shared;
}

/* --- the table --- */

CommyRateTable *
commy_rate_table_new (const CommyRateLimitPolicy *whole, guint max)
{
  CommyRateTable *self = g_new0 (CommyRateTable, 1);

  g_mutex_init (&self->lock);
  self->whole = *whole;
  self->max = max;
  self->buckets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) commy_rate_bucket_unref);
  self->fresh = bucket_new ();
  self->newcomers = bucket_new ();
  self->newcomers->is_shared = TRUE;
  self->sweep_ns = G_MININT64;
  return self;
}

void
commy_rate_table_free (CommyRateTable *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->buckets);
  commy_rate_bucket_unref (self->fresh);
  commy_rate_bucket_unref (self->newcomers);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Under the lock. Who takes meanwhile does so before. */
static void
bring_up_to_date (CommyRateTable *self, CommyRateBucket *bucket, gint64 now_ns)
{
  const guint n = __atomic_load_n (&self->n, __ATOMIC_ACQUIRE);
  const guint was = __atomic_load_n (&bucket->n, __ATOMIC_ACQUIRE);
  const CommyRateLimitPolicy from = commy_rate_limit_divide (&self->whole, was);
  const CommyRateLimitPolicy to = commy_rate_limit_divide (&self->whole, n);

  if (n == was)
    return;
  commy_rate_limit_resize (&bucket->limit, &from, &to, now_ns);
  __atomic_store_n (&bucket->n, n, __ATOMIC_RELEASE);
}

static void
drain (CommyRateTable *self, CommyRateBucket *bucket, guint n, gint64 now_ns)
{
  const CommyRateLimitPolicy part = commy_rate_limit_divide (&self->whole, n);

  commy_rate_limit_drain (&bucket->limit, &part, now_ns);
  __atomic_store_n (&bucket->n, n, __ATOMIC_RELEASE);
}

void
commy_rate_table_divide (CommyRateTable *self, guint n, gint64 now_ns)
{
  GHashTableIter iter;
  gpointer bucket;
  gboolean joins;

  g_mutex_lock (&self->lock);
  joins = self->n == 0 && n > 1;
  __atomic_store_n (&self->n, n, __ATOMIC_RELEASE);
  g_hash_table_iter_init (&iter, self->buckets);
  while (joins && g_hash_table_iter_next (&iter, NULL, &bucket))
    drain (self, bucket, n, now_ns);
  if (joins)
    {
      drain (self, self->fresh, n, now_ns);
      drain (self, self->newcomers, n, now_ns);
    }
  else
    bring_up_to_date (self, self->fresh, now_ns);
  g_mutex_unlock (&self->lock);
}

guint
commy_rate_table_get_n (CommyRateTable *self)
{
  return __atomic_load_n (&self->n, __ATOMIC_ACQUIRE);
}

/* --- finding --- */

static gboolean
gives_way (gpointer key, gpointer value, gpointer data)
{
  CommyRateBucket *bucket = value;
  const gint64 *now_ns = data;

  /* Who holds on to it and takes at this very moment keeps it. */
  return commy_rate_limit_end (&bucket->limit, *now_ns);
}

static void
make_room (CommyRateTable *self, gint64 now_ns)
{
  GHashTableIter iter;
  gpointer bucket;

  if (now_ns < self->sweep_ns)
    return;
  self->sweep_ns = now_ns + SWEEP_EVERY_NS;
  g_hash_table_iter_init (&iter, self->buckets);
  while (g_hash_table_iter_next (&iter, NULL, &bucket))
    bring_up_to_date (self, bucket, now_ns);
  g_hash_table_foreach_remove (self->buckets, gives_way, &now_ns);
}

static CommyRateBucket *
add (CommyRateTable *self, const char *key, gint64 now_ns)
{
  CommyRateBucket *bucket = bucket_new ();

  bring_up_to_date (self, self->fresh, now_ns);
  bucket->limit = self->fresh->limit;
  bucket->n = self->fresh->n;
  g_hash_table_insert (self->buckets, g_strdup (key), bucket);
  return bucket;
}

CommyRateBucket *
commy_rate_table_find (CommyRateTable *self, const char *key, gint64 now_ns)
{
  CommyRateBucket *bucket;

  g_mutex_lock (&self->lock);
  bucket = g_hash_table_lookup (self->buckets, key);
  if (bucket == NULL && self->max > 0 && g_hash_table_size (self->buckets) >= self->max)
    make_room (self, now_ns);
  if (bucket == NULL && g_hash_table_size (self->buckets) < self->max)
    bucket = add (self, key, now_ns);
  bucket = bucket_ref (bucket != NULL ? bucket : self->newcomers);
  g_mutex_unlock (&self->lock);
  return bucket;
}

/* --- taking --- */

static guint
agree_on_n (CommyRateTable *self, CommyRateBucket *bucket, gint64 now_ns)
{
  guint n = __atomic_load_n (&self->n, __ATOMIC_ACQUIRE);

  if (G_LIKELY (n == __atomic_load_n (&bucket->n, __ATOMIC_ACQUIRE)))
    return n;
  g_mutex_lock (&self->lock);
  bring_up_to_date (self, bucket, now_ns);
  n = self->n;
  g_mutex_unlock (&self->lock);
  return n;
}

CommyRateVerdict
commy_rate_table_take (CommyRateTable *self,
                       CommyRateBucket *bucket,
                       gint64 now_ns,
                       gint64 *out_wait_ns)
{
  const CommyRateLimitPolicy part
      = commy_rate_limit_divide (&self->whole, agree_on_n (self, bucket, now_ns));

  if (commy_rate_limit_take (&bucket->limit, &part, now_ns, out_wait_ns))
    return COMMY_RATE_TAKEN;
  return commy_rate_limit_has_ended (&bucket->limit) ? COMMY_RATE_GONE : COMMY_RATE_REFUSED;
}

void
commy_rate_table_give_back (CommyRateTable *self, CommyRateBucket *bucket)
{
  const CommyRateLimitPolicy part
      = commy_rate_limit_divide (&self->whole, commy_rate_table_get_n (self));

  commy_rate_limit_give_back (&bucket->limit, &part);
}
