/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tokens that were found good, by their hash: a token comes with each of a caller's connections.
 * None is kept beyond its end; where there is no room the one that ends first goes.
 */
#include "config.h"

#include "auth/common/commy-jwt.h"

#include <gnutls/crypto.h>
#include <string.h>

#define HASH_SIZE 32u

typedef struct
{
  guint8 hash[HASH_SIZE];
  JwtVerdict verdict;
} Entry;

struct _JwtCache
{
  GHashTable *entries; /* hash -> Entry */
};

static guint
hash_of (gconstpointer key)
{
  guint hash;

  memcpy (&hash, key, sizeof hash);
  return hash;
}

static gboolean
is_equal (gconstpointer one, gconstpointer other)
{
  return memcmp (one, other, HASH_SIZE) == 0;
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  jwt_verdict_clear (&entry->verdict);
  g_free (entry);
}

JwtCache *
jwt_cache_new (void)
{
  JwtCache *self = g_new0 (JwtCache, 1);

  self->entries = g_hash_table_new_full (hash_of, is_equal, NULL, entry_free);
  return self;
}

void
jwt_cache_free (JwtCache *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  g_free (self);
}

void
jwt_cache_clear (JwtCache *self)
{
  g_hash_table_remove_all (self->entries);
}

guint
jwt_cache_get_n (JwtCache *self)
{
  return g_hash_table_size (self->entries);
}

static gboolean
is_valid (const JwtVerdict *verdict, gint64 now_s)
{
  return now_s < verdict->expires_s && now_s >= verdict->not_before_s;
}

const JwtVerdict *
jwt_cache_find (JwtCache *self, const char *text, gsize size, gint64 now_s)
{
  guint8 hash[HASH_SIZE];
  Entry *entry;

  if (gnutls_hash_fast (GNUTLS_DIG_SHA256, text, size, hash) < 0)
    return NULL;
  entry = g_hash_table_lookup (self->entries, hash);
  if (entry == NULL)
    return NULL;
  if (is_valid (&entry->verdict, now_s))
    return &entry->verdict;
  g_hash_table_remove (self->entries, hash);
  return NULL;
}

static void
make_room (JwtCache *self, gint64 now_s)
{
  const Entry *first = NULL;
  GHashTableIter iter;
  gpointer value;

  if (g_hash_table_size (self->entries) < JWT_CACHE_MAX)
    return;
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Entry *entry = value;

      if (!is_valid (&entry->verdict, now_s))
        g_hash_table_iter_remove (&iter);
      else if (first == NULL || entry->verdict.expires_s < first->verdict.expires_s)
        first = entry;
    }
  if (first != NULL && g_hash_table_size (self->entries) >= JWT_CACHE_MAX)
    g_hash_table_remove (self->entries, first->hash);
}

void
jwt_cache_add (JwtCache *self, const char *text, gsize size, gint64 now_s, JwtVerdict *verdict)
{
  Entry *entry = g_new0 (Entry, 1);

  make_room (self, now_s);
  entry->verdict = *verdict;
  memset (verdict, 0, sizeof *verdict);
  if (gnutls_hash_fast (GNUTLS_DIG_SHA256, text, size, entry->hash) < 0)
    entry_free (entry);
  else
    g_hash_table_replace (self->entries, entry->hash, entry);
}
