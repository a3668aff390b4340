/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting: operations in front of the store's own, which are the same for all meshes.
 */
#include "config.h"

#include "counted-store.h"

#include "mesh/commy-mesh-private.h"

#include <string.h>

static StoreCounts counts; /* atomic */
static CommyStoreOps real;

#define COUNT(what, n) __atomic_add_fetch (&counts.what, (n), __ATOMIC_RELAXED)

typedef struct
{
  CommyStoreDoneFunc done;
  CommyStoreWatchEventFunc event;
  gpointer user_data;
} Wrapped;

static Wrapped *
wrap (CommyStoreDoneFunc done, CommyStoreWatchEventFunc event, gpointer user_data)
{
  Wrapped *wrapped = g_new (Wrapped, 1);

  *wrapped = (Wrapped){ done, event, user_data };
  return wrapped;
}

static void
count_bytes (const CommyStoreEntry *entries, gsize n_entries)
{
  for (gsize i = 0; i < n_entries; i++)
    COUNT (bytes, strlen (entries[i].key)
                      + (entries[i].value != NULL ? g_bytes_get_size (entries[i].value) : 0));
}

static void
on_ranged (gpointer data, const CommyStoreResult *result, const GError *error)
{
  g_autofree Wrapped *wrapped = data;

  if (error == NULL)
    {
      COUNT (listed, result->n_entries);
      count_bytes (result->entries, result->n_entries);
    }
  wrapped->done (wrapped->user_data, result, error);
}

static void
count_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  COUNT (asked, 1);
  real.range (instance, prefix, on_ranged, wrap (done, NULL, user_data));
}

static void
on_written (gpointer data, const CommyStoreResult *result, const GError *error)
{
  g_autofree Wrapped *wrapped = data;

  COUNT (puts, error == NULL);
  COUNT (failed, error != NULL);
  wrapped->done (wrapped->user_data, result, error);
}

static void
count_txn (gpointer instance,
           const CommyStoreCompare *compares,
           gsize n_compares,
           const CommyStoreOp *ops,
           gsize n_ops,
           CommyStoreDoneFunc done,
           gpointer user_data)
{
  real.txn (instance, compares, n_compares, ops, n_ops, on_written, wrap (done, NULL, user_data));
}

static void
on_told (gpointer data,
         const CommyStoreEntry *entries,
         gsize n_entries,
         gint64 revision,
         const GError *error)
{
  const Wrapped *wrapped = data;

  COUNT (told, n_entries);
  COUNT (ended, error != NULL);
  count_bytes (entries, n_entries);
  wrapped->event (wrapped->user_data, entries, n_entries, revision, error);
}

/* What is told comes until the watch ends, which nobody says: it is kept. */
static guint
count_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  static GMutex lock;
  static GSList *kept; /* under the lock */
  Wrapped *wrapped = wrap (NULL, event, user_data);

  g_mutex_lock (&lock);
  kept = g_slist_prepend (kept, wrapped);
  g_mutex_unlock (&lock);
  COUNT (asked, 1);
  return real.watch (instance, prefix, from_revision, on_told, wrapped);
}

void
counted_store_begin (CommyMesh *mesh)
{
  CommyStoreOps *ops = &mesh->store->ops.store;

  real = *ops;
  ops->range = count_range;
  ops->txn = count_txn;
  ops->watch = count_watch;
}

void
counted_store_get (StoreCounts *out)
{
  *out = counts; /* who asks has waited for what is counted */
}
