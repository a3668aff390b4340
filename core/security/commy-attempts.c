/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failed attempts by source: those that happened here, and those that others tell of. When a table
 * is full the one goes whose wait ends first: with as many sources as it takes to fill it, each of
 * them still waits for its own.
 */
#include "config.h"

#include "security/commy-attempts.h"

#include <string.h>

/* More are not counted; 2^10 seconds are more than the longest wait already. */
#define FAILURES_MAX 64u
/* A kind that no proof is of. */
#define KIND_UNKNOWN "?"

typedef struct
{
  char *source;
  GPtrArray *kinds; /* of its failures that were not forgiven; NULL: of none in particular */
  guint failures;   /* in a row */
  gint64 until_ns;  /* may try again */
  guint said;       /* heard: what the word said, */
  gint64 end;       /* and until when; it stays when it is forgiven */
  double level;     /* failures that cost nothing yet */
  gint64 level_ns;  /* and when they were so many */
} Entry;

struct _CommyAttempts
{
  guint max;
  guint allowance;
  gint64 first_ns, longest_ns;
  GHashTable *entries;   /* source -> Entry */
  GHashTable *heard;     /* source -> Entry */
  GHashTable *under_way; /* source -> number */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_clear_pointer (&entry->kinds, g_ptr_array_unref);
  g_free (entry->source);
  g_free (entry);
}

CommyAttempts *
commy_attempts_new (guint max)
{
  CommyAttempts *self = g_new0 (CommyAttempts, 1);

  self->max = MAX (max, 1);
  self->first_ns = COMMY_ATTEMPTS_FIRST_NS;
  self->longest_ns = COMMY_ATTEMPTS_LONGEST_NS;
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  self->heard = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
  self->under_way = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
commy_attempts_set_waits (CommyAttempts *self, gint64 first_ns, gint64 longest_ns)
{
  self->first_ns = first_ns;
  self->longest_ns = MAX (longest_ns, first_ns);
}

void
commy_attempts_set_allowance (CommyAttempts *self, guint allowance)
{
  self->allowance = allowance;
}

void
commy_attempts_free (CommyAttempts *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  g_hash_table_unref (self->heard);
  g_hash_table_unref (self->under_way);
  g_free (self);
}

/* --- a table --- */

static gint64
find_wait (GHashTable *table, const char *source, gint64 now_ns)
{
  const Entry *entry = g_hash_table_lookup (table, source);

  return entry != NULL ? MAX (entry->until_ns - now_ns, 0) : 0;
}

/* Who waited as long as can be asked, and as long again without another failure, begins anew. */
static gboolean
is_stale (const CommyAttempts *self, const Entry *entry, gint64 now_ns)
{
  return now_ns - entry->until_ns > self->longest_ns;
}

static void
make_room (const CommyAttempts *self, GHashTable *table, guint max, gint64 now_ns)
{
  const Entry *first = NULL;
  GHashTableIter iter;
  gpointer value;

  if (g_hash_table_size (table) < max)
    return;
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      if (is_stale (self, entry, now_ns))
        g_hash_table_iter_remove (&iter);
      else if (first == NULL || entry->until_ns < first->until_ns)
        first = entry;
    }
  if (first != NULL && g_hash_table_size (table) >= max)
    g_hash_table_remove (table, first->source);
}

static Entry *
add_entry (
    const CommyAttempts *self, GHashTable *table, guint max, const char *source, gint64 now_ns)
{
  Entry *entry;

  make_room (self, table, max, now_ns);
  entry = g_new0 (Entry, 1);
  entry->source = g_strdup (source);
  g_hash_table_insert (table, entry->source, entry);
  return entry;
}

static void
end_wait (GHashTable *table, const char *source, gint64 now_ns)
{
  Entry *entry = g_hash_table_lookup (table, source);

  if (entry != NULL)
    entry->until_ns = MIN (entry->until_ns, now_ns);
}

/* --- kinds --- */

static void
add_kind (Entry *entry, const char *kind)
{
  if (entry->kinds == NULL)
    entry->kinds = g_ptr_array_new_with_free_func (g_free);
  if (g_ptr_array_find_with_equal_func (entry->kinds, kind, g_str_equal, NULL))
    return;
  if (entry->kinds->len < COMMY_ATTEMPTS_KINDS_MAX - 1)
    g_ptr_array_add (entry->kinds, g_strdup (kind));
  else if (entry->kinds->len < COMMY_ATTEMPTS_KINDS_MAX)
    g_ptr_array_add (entry->kinds, g_strdup (KIND_UNKNOWN));
}

static void
add_kinds (Entry *entry, const GPtrArray *kinds)
{
  for (guint i = 0; kinds != NULL && i < kinds->len; i++)
    add_kind (entry, kinds->pdata[i]);
}

/* Whether there is no other left. */
static gboolean
remove_kind (Entry *entry, const char *kind)
{
  guint at;

  if (entry->kinds == NULL)
    return TRUE;
  if (strcmp (kind, KIND_UNKNOWN) != 0
      && g_ptr_array_find_with_equal_func (entry->kinds, kind, g_str_equal, &at))
    g_ptr_array_remove_index_fast (entry->kinds, at);
  return entry->kinds->len == 0;
}

/* --- what happens here --- */

gint64
commy_attempts_wait (CommyAttempts *self, const char *source, gint64 now_ns)
{
  return MAX (find_wait (self->entries, source, now_ns), find_wait (self->heard, source, now_ns));
}

gboolean
commy_attempts_begin (CommyAttempts *self, const char *source)
{
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (self->under_way, source));
  gboolean has_failed = commy_attempts_get_failures (self, source) > 0;

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
penalty (const CommyAttempts *self, guint failures)
{
  gint64 wait_ns = self->first_ns;

  for (guint i = 1; i < failures && wait_ns < self->longest_ns; i++)
    wait_ns *= 2;
  return MIN (wait_ns, self->longest_ns);
}

/* What costs nothing yet goes with time, all that is allowed in the longest wait: some who fail now
 * and then are no reason to have all who share a source wait. */
static gboolean
is_allowed (const CommyAttempts *self, Entry *entry, gint64 now_ns)
{
  const double gone
      = (double) MAX (now_ns - entry->level_ns, 0) * self->allowance / (double) self->longest_ns;

  entry->level = MAX (entry->level - gone, 0) + 1;
  entry->level_ns = now_ns;
  if (entry->level + 1 <= self->allowance)
    return TRUE;
  entry->level = 0;
  return FALSE;
}

/* Who guesses at one instance after the other is counted by all of them together. */
void
commy_attempts_add_failure (CommyAttempts *self, const char *source, gint64 now_ns)
{
  const Entry *heard = g_hash_table_lookup (self->heard, source);
  Entry *entry = g_hash_table_lookup (self->entries, source);

  if (entry == NULL)
    entry = add_entry (self, self->entries, self->max, source, now_ns);
  else if (is_stale (self, entry, now_ns))
    {
      entry->failures = 0;
      g_clear_pointer (&entry->kinds, g_ptr_array_unref);
    }
  if (is_allowed (self, entry, now_ns))
    {
      /* What it cost to go on after a wait is forgotten in time, however often some fail. */
      if (entry->failures == 0)
        entry->until_ns = now_ns;
      return;
    }
  if (heard != NULL && heard->failures > 0 && !is_stale (self, heard, now_ns))
    {
      entry->failures = MAX (entry->failures, heard->failures);
      add_kinds (entry, heard->kinds);
    }
  entry->failures = MIN (entry->failures + 1, FAILURES_MAX);
  entry->until_ns = now_ns + penalty (self, entry->failures);
}

guint
commy_attempts_get_failures (CommyAttempts *self, const char *source)
{
  const Entry *entry = g_hash_table_lookup (self->entries, source);
  const Entry *heard = g_hash_table_lookup (self->heard, source);

  return MAX (entry != NULL ? entry->failures : 0, heard != NULL ? heard->failures : 0);
}

void
commy_attempts_set_kind (CommyAttempts *self, const char *source, const char *kind)
{
  Entry *entry = g_hash_table_lookup (self->entries, source);

  if (entry != NULL)
    add_kind (entry, kind);
}

const char **
commy_attempts_list_kinds (CommyAttempts *self, const char *source)
{
  const Entry *entry = g_hash_table_lookup (self->entries, source);
  GPtrArray *kinds;

  if (entry == NULL || entry->kinds == NULL)
    return NULL;
  kinds = g_ptr_array_new ();
  for (guint i = 0; i < entry->kinds->len; i++)
    g_ptr_array_add (kinds, entry->kinds->pdata[i]);
  g_ptr_array_add (kinds, NULL);
  return (const char **) g_ptr_array_free (kinds, FALSE);
}

void
commy_attempts_forgive_kind (CommyAttempts *self,
                             const char *source,
                             const char *kind,
                             gint64 now_ns)
{
  Entry *entry = g_hash_table_lookup (self->entries, source);
  Entry *heard = g_hash_table_lookup (self->heard, source);

  if (entry != NULL && remove_kind (entry, kind))
    g_hash_table_remove (self->entries, source);
  if (heard == NULL || !remove_kind (heard, kind))
    return;
  heard->failures = 0; /* it stays, to be known when it is heard again */
  heard->until_ns = MIN (heard->until_ns, now_ns);
}

void
commy_attempts_lift (CommyAttempts *self, const char *source, gint64 now_ns)
{
  end_wait (self->entries, source, now_ns);
  commy_attempts_lift_heard (self, source, now_ns);
}

guint
commy_attempts_get_n (CommyAttempts *self)
{
  return g_hash_table_size (self->entries);
}

/* --- what is heard --- */

void
commy_attempts_hear (CommyAttempts *self,
                     const char *source,
                     guint failures,
                     const char *const *kinds,
                     gint64 wait_ns,
                     gint64 end,
                     gint64 now_ns)
{
  Entry *entry = g_hash_table_lookup (self->heard, source);
  guint said = CLAMP (failures, 1, FAILURES_MAX);

  /* The same word again, as after the store was away, is no reason to wait longer. */
  if (entry != NULL && entry->end == end && entry->said == said)
    return;
  if (entry == NULL)
    entry = add_entry (self, self->heard, COMMY_ATTEMPTS_HEARD_MAX, source, now_ns);
  g_clear_pointer (&entry->kinds, g_ptr_array_unref);
  for (guint i = 0; kinds != NULL && kinds[i] != NULL; i++)
    add_kind (entry, kinds[i]);
  if (entry->kinds == NULL)
    add_kind (entry, KIND_UNKNOWN);
  entry->said = said;
  entry->failures = said;
  entry->until_ns = now_ns + CLAMP (wait_ns, 0, self->longest_ns);
  entry->end = end;
}

gint64
commy_attempts_wait_heard (CommyAttempts *self, const char *source, gint64 now_ns)
{
  return find_wait (self->heard, source, now_ns);
}

void
commy_attempts_lift_heard (CommyAttempts *self, const char *source, gint64 now_ns)
{
  end_wait (self->heard, source, now_ns);
}

guint
commy_attempts_get_n_heard (CommyAttempts *self)
{
  return g_hash_table_size (self->heard);
}
