/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failed attempts by source. When the table is full the one goes whose wait ends first: with as
 * many sources as it takes to fill it, each of them still waits for its own.
 */
#include "config.h"

#include "security/commy-attempts.h"

typedef struct
{
  char *source;
  guint failures;  /* in a row */
  gint64 until_ns; /* may try again */
} Entry;

struct _CommyAttempts
{
  guint max;
  GHashTable *entries;   /* source -> Entry */
  GHashTable *under_way; /* source -> number */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->source);
  g_free (entry);
}

CommyAttempts *
commy_attempts_new (guint max)
{
  CommyAttempts *self = g_new0 (CommyAttempts, 1);

  self->max = MAX (max, 1);
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  self->under_way = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
commy_attempts_free (CommyAttempts *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  g_hash_table_unref (self->under_way);
  g_free (self);
}

gint64
commy_attempts_wait (CommyAttempts *self, const char *source, gint64 now_ns)
{
  const Entry *entry = g_hash_table_lookup (self->entries, source);

  return entry != NULL ? MAX (entry->until_ns - now_ns, 0) : 0;
}

gboolean
commy_attempts_begin (CommyAttempts *self, const char *source)
{
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (self->under_way, source));
  gboolean has_failed = g_hash_table_contains (self->entries, source);

  if (n >= (has_failed ? 1 : COMMY_ATTEMPTS_AT_ONCE))
    return FALSE;
  g_hash_table_insert (self->under_way, g_strdup (source), GUINT_TO_POINTER (n + 1));
  return TRUE;
}

void
commy_attempts_end (CommyAttempts *self, const char *source)
{
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (self->under_way, source));

  if (n > 1)
    g_hash_table_insert (self->under_way, g_strdup (source), GUINT_TO_POINTER (n - 1));
  else
    g_hash_table_remove (self->under_way, source);
}

static gint64
penalty (guint failures)
{
  /* 2^10 seconds are more than the longest. */
  return failures > 10 ? COMMY_ATTEMPTS_LONGEST_NS
                       : MIN (COMMY_ATTEMPTS_FIRST_NS << (failures - 1), COMMY_ATTEMPTS_LONGEST_NS);
}

/* Who waited as long as can be asked, and as long again without another failure, begins anew. */
static gboolean
is_stale (const Entry *entry, gint64 now_ns)
{
  return now_ns - entry->until_ns > COMMY_ATTEMPTS_LONGEST_NS;
}

static void
make_room (CommyAttempts *self, gint64 now_ns)
{
  const Entry *first = NULL;
  GHashTableIter iter;
  gpointer value;

  if (g_hash_table_size (self->entries) < self->max)
    return;
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      if (is_stale (entry, now_ns))
        g_hash_table_iter_remove (&iter);
      else if (first == NULL || entry->until_ns < first->until_ns)
        first = entry;
    }
  if (first != NULL && g_hash_table_size (self->entries) >= self->max)
    g_hash_table_remove (self->entries, first->source);
}

void
commy_attempts_add_failure (CommyAttempts *self, const char *source, gint64 now_ns)
{
  Entry *entry = g_hash_table_lookup (self->entries, source);

  if (entry == NULL)
    {
      make_room (self, now_ns);
      entry = g_new0 (Entry, 1);
      entry->source = g_strdup (source);
      g_hash_table_insert (self->entries, entry->source, entry);
    }
  else if (is_stale (entry, now_ns))
    entry->failures = 0;
  entry->failures = MIN (entry->failures + 1, 64);
  entry->until_ns = now_ns + penalty (entry->failures);
}

void
commy_attempts_forgive (CommyAttempts *self, const char *source)
{
  g_hash_table_remove (self->entries, source);
}

guint
commy_attempts_get_n (CommyAttempts *self)
{
  return g_hash_table_size (self->entries);
}
