/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many failures an address, a certificate or a token may cause: a bucket each, in a table that
 * never grows beyond its bound. The clock is an argument.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

typedef struct
{
  char *address;
  gint64 full_us; /* when the bucket is full again; every failure moves it on */
} Bucket;

struct _CommyPkiLimiter
{
  GHashTable *buckets; /* address -> Bucket */
};

static void
bucket_free (gpointer data)
{
  Bucket *bucket = data;

  g_free (bucket->address);
  g_free (bucket);
}

CommyPkiLimiter *
commy_pki_limiter_new (void)
{
  CommyPkiLimiter *self = g_new0 (CommyPkiLimiter, 1);

  self->buckets = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, bucket_free);
  return self;
}

void
commy_pki_limiter_free (CommyPkiLimiter *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->buckets);
  g_free (self);
}

gboolean
commy_pki_limiter_allows (CommyPkiLimiter *self, const char *address, gint64 now_us)
{
  const Bucket *bucket = g_hash_table_lookup (self->buckets, address);

  return bucket == NULL
         || bucket->full_us - now_us
                <= (COMMY_PKI_LIMITER_FAILURES - 1) * COMMY_PKI_LIMITER_REFILL_US;
}

/* Room for one more: those whose time is over go, and if there are none the one nearest to it. */
static void
make_room (CommyPkiLimiter *self, gint64 now_us)
{
  const Bucket *first = NULL;
  GHashTableIter iter;
  gpointer value;

  if (g_hash_table_size (self->buckets) < COMMY_PKI_LIMITER_ADDRESSES)
    return;
  g_hash_table_iter_init (&iter, self->buckets);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Bucket *bucket = value;

      if (bucket->full_us <= now_us)
        g_hash_table_iter_remove (&iter);
      else if (first == NULL || bucket->full_us < first->full_us)
        first = bucket;
    }
  if (first != NULL && g_hash_table_size (self->buckets) >= COMMY_PKI_LIMITER_ADDRESSES)
    g_hash_table_remove (self->buckets, first->address);
}

void
commy_pki_limiter_add_failure (CommyPkiLimiter *self, const char *address, gint64 now_us)
{
  Bucket *bucket = g_hash_table_lookup (self->buckets, address);

  if (bucket == NULL)
    {
      make_room (self, now_us);
      bucket = g_new0 (Bucket, 1);
      bucket->address = g_strdup (address);
      g_hash_table_insert (self->buckets, bucket->address, bucket);
    }
  bucket->full_us = MAX (bucket->full_us, now_us) + COMMY_PKI_LIMITER_REFILL_US;
}

guint
commy_pki_limiter_get_n_addresses (CommyPkiLimiter *self)
{
  return g_hash_table_size (self->buckets);
}
