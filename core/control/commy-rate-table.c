/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buckets as GCRA has them (ITU-T I.371): each call moves the time at which the bucket is full on
 * by what one call costs, unless that came to lie further ahead than a whole bucket. How much a
 * call costs depends on among how many the limit is divided, so a bucket notes for how many its
 * time was reckoned; the first who takes after a division reckons it anew, under the lock.
 */
#include "config.h"

#include "control/commy-rate-table.h"

#include <math.h>

/* When there is no room, how often all are looked at for some. */
#define SWEEP_EVERY_NS G_GINT64_CONSTANT (100000000)
#define WINDOW_MAX_NS (G_GINT64_CONSTANT (1) << 60)
#define GONE G_MAXINT64

struct _CommyRateBucket
{
  gatomicrefcount refs;
  gboolean is_shared;
  gint64 full_ns; /* atomic; GONE: it gave way */
  guint32 n;      /* atomic: among how many the limit was divided for @full_ns */
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

static gint64
get_full (CommyRateBucket *self)
{
  return __atomic_load_n (&self->full_ns, __ATOMIC_ACQUIRE);
}

static gboolean
exchange (CommyRateBucket *self, gint64 from_ns, gint64 to_ns)
{
  return __atomic_compare_exchange_n (&self->full_ns, &from_ns, to_ns, FALSE, __ATOMIC_ACQ_REL,
                                      __ATOMIC_ACQUIRE);
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

/* What a call costs, and how far ahead a bucket may be of which all was taken. */
static gint64
find_cost (const CommyRateTable *self, guint n, gint64 *out_window_ns)
{
  const guint parts = MAX (n, 1);
  double cost = CLAMP (ceil (1e9 * parts / self->whole.rate), 1, (double) WINDOW_MAX_NS);
  double window = cost * MAX (self->whole.burst / parts, 1);

  *out_window_ns = (gint64) MIN (window, (double) WINDOW_MAX_NS);
  return (gint64) cost;
}

static gint64
reckon (const CommyRateTable *self, guint from, guint to, gint64 full_ns, gint64 now_ns)
{
  const CommyRateLimitPolicy before = commy_rate_limit_divide (&self->whole, from);
  const CommyRateLimitPolicy after = commy_rate_limit_divide (&self->whole, to);
  CommyRateLimit limit = { .at_ns = now_ns };
  gint64 window;

  limit.missing = (double) MAX (full_ns - now_ns, 0) / (double) find_cost (self, from, &window);
  commy_rate_limit_resize (&limit, &before, &after, now_ns);
  return now_ns + (gint64) ceil (limit.missing * (double) find_cost (self, to, &window));
}

/* Under the lock. Who takes meanwhile does so before. */
static void
bring_up_to_date (CommyRateTable *self, CommyRateBucket *bucket, gint64 now_ns)
{
  const guint n = __atomic_load_n (&self->n, __ATOMIC_ACQUIRE);
  const guint was = __atomic_load_n (&bucket->n, __ATOMIC_ACQUIRE);
  gint64 full;

  if (n == was)
    return;
  do
    full = get_full (bucket);
  while (full != GONE && !exchange (bucket, full, reckon (self, was, n, full, now_ns)));
  __atomic_store_n (&bucket->n, n, __ATOMIC_RELEASE);
}

static void
drain (CommyRateTable *self, CommyRateBucket *bucket, guint n, gint64 now_ns)
{
  gint64 window, full;

  find_cost (self, n, &window);
  do
    full = get_full (bucket);
  while (full != GONE && !exchange (bucket, full, now_ns + window));
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
  const gint64 full = get_full (bucket);

  /* Who holds on to it and takes at this very moment keeps it. */
  return full <= *now_ns && exchange (bucket, full, GONE);
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
  bucket->full_ns = self->fresh->full_ns;
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
  for (;;)
    {
      const guint n = agree_on_n (self, bucket, now_ns);
      const gint64 full = get_full (bucket);
      gint64 window, next;

      if (full == GONE)
        return COMMY_RATE_GONE;
      next = MAX (full, now_ns) + find_cost (self, n, &window);
      if (next - now_ns > window)
        {
          *out_wait_ns = next - now_ns - window;
          return COMMY_RATE_REFUSED;
        }
      if (exchange (bucket, full, next))
        return COMMY_RATE_TAKEN;
    }
}

void
commy_rate_table_give_back (CommyRateTable *self, CommyRateBucket *bucket)
{
  gint64 window, full;
  const gint64 cost = find_cost (self, commy_rate_table_get_n (self), &window);

  do
    full = get_full (bucket);
  while (full != GONE && !exchange (bucket, full, full - cost));
}
