/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger: see the header. Keys are kept in order, so that what lies below a prefix is found
 * without looking at all of them.
 */
#include "config.h"

#include "daemon/commyd-ledger.h"

#include <string.h>

typedef struct
{
  char *name;
  guint32 uid;
  gsize bytes;
  gint64 lease;
} Key;

struct _CommydLedger
{
  GTree *keys;        /* name to Key */
  GHashTable *leases; /* gint64 to a set of Key */
  GHashTable *users;  /* uid to CommydUsage */
};

static void
key_free (gpointer data)
{
  Key *key = data;

  g_free (key->name);
  g_free (key);
}

static int
compare_names (gconstpointer a, gconstpointer b, gpointer unused)
{
  return strcmp (a, b);
}

CommydLedger *
commyd_ledger_new (void)
{
  CommydLedger *self = g_new0 (CommydLedger, 1);

  self->keys = g_tree_new_full (compare_names, NULL, NULL, key_free);
  self->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free,
                                        (GDestroyNotify) g_hash_table_unref);
  self->users = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  return self;
}

void
commyd_ledger_free (CommydLedger *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->leases);
  g_hash_table_unref (self->users);
  g_tree_unref (self->keys);
  g_free (self);
}

static CommydUsage *
usage_of (CommydLedger *self, guint32 uid)
{
  CommydUsage *usage = g_hash_table_lookup (self->users, GUINT_TO_POINTER (uid));

  if (usage == NULL)
    {
      usage = g_new0 (CommydUsage, 1);
      g_hash_table_insert (self->users, GUINT_TO_POINTER (uid), usage);
    }
  return usage;
}

static void
leave_lease (CommydLedger *self, Key *key)
{
  GHashTable *set = key->lease != 0 ? g_hash_table_lookup (self->leases, &key->lease) : NULL;

  if (set == NULL)
    return;
  g_hash_table_remove (set, key);
  if (g_hash_table_size (set) == 0)
    g_hash_table_remove (self->leases, &key->lease);
}

static void
enter_lease (CommydLedger *self, Key *key)
{
  GHashTable *set;

  if (key->lease == 0)
    return;
  set = g_hash_table_lookup (self->leases, &key->lease);
  if (set == NULL)
    {
      set = g_hash_table_new (NULL, NULL);
      g_hash_table_insert (self->leases, g_memdup2 (&key->lease, sizeof key->lease), set);
    }
  g_hash_table_add (set, key);
}

static void
forget (CommydLedger *self, Key *key)
{
  CommydUsage *usage = usage_of (self, key->uid);

  usage->keys--;
  usage->bytes -= key->bytes;
  if (usage->keys == 0)
    g_hash_table_remove (self->users, GUINT_TO_POINTER (key->uid));
  leave_lease (self, key);
  g_tree_remove (self->keys, key->name);
}

void
commyd_ledger_put (CommydLedger *self, const char *key, guint32 uid, gsize value_size, gint64 lease)
{
  Key *entry = g_tree_lookup (self->keys, key);
  CommydUsage *usage;

  if (entry != NULL)
    forget (self, entry);
  entry = g_new0 (Key, 1);
  entry->name = g_strdup (key);
  entry->uid = uid;
  entry->bytes = strlen (key) + value_size;
  entry->lease = lease;
  g_tree_insert (self->keys, entry->name, entry);
  enter_lease (self, entry);
  usage = usage_of (self, uid);
  usage->keys++;
  usage->bytes += entry->bytes;
}

void
commyd_ledger_remove (CommydLedger *self, const char *key)
{
  Key *entry = g_tree_lookup (self->keys, key);

  if (entry != NULL)
    forget (self, entry);
}

void
commyd_ledger_remove_prefix (CommydLedger *self, const char *prefix)
{
  GTreeNode *node = g_tree_lower_bound (self->keys, prefix);

  while (node != NULL && g_str_has_prefix (g_tree_node_key (node), prefix))
    {
      forget (self, g_tree_node_value (node));
      node = g_tree_lower_bound (self->keys, prefix);
    }
}

gboolean
commyd_ledger_find (CommydLedger *self, const char *key, guint32 *out_uid, gsize *out_bytes)
{
  const Key *entry = g_tree_lookup (self->keys, key);

  if (entry == NULL)
    return FALSE;
  *out_uid = entry->uid;
  *out_bytes = entry->bytes;
  return TRUE;
}

const char *
commyd_ledger_find_foreign (CommydLedger *self, const char *prefix, guint32 uid, guint32 *out_uid)
{
  for (GTreeNode *node = g_tree_lower_bound (self->keys, prefix);
       node != NULL && g_str_has_prefix (g_tree_node_key (node), prefix);
       node = g_tree_node_next (node))
    {
      const Key *entry = g_tree_node_value (node);

      if (entry->uid == uid)
        continue;
      *out_uid = entry->uid;
      return entry->name;
    }
  return NULL;
}

const char *
commyd_ledger_find_where (CommydLedger *self,
                          const char *prefix,
                          gboolean (*is_it) (gpointer data, const char *key),
                          gpointer data)
{
  for (GTreeNode *node = g_tree_lower_bound (self->keys, prefix);
       node != NULL && g_str_has_prefix (g_tree_node_key (node), prefix);
       node = g_tree_node_next (node))
    {
      const Key *entry = g_tree_node_value (node);

      if (is_it (data, entry->name))
        return entry->name;
    }
  return NULL;
}

GPtrArray *
commyd_ledger_list_lease (CommydLedger *self, gint64 lease, guint max)
{
  GHashTable *set = g_hash_table_lookup (self->leases, &lease);
  GPtrArray *names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer key;

  if (set == NULL)
    return names;
  g_hash_table_iter_init (&iter, set);
  while (names->len < max && g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (names, ((Key *) key)->name);
  return names;
}

GArray *
commyd_ledger_list_leases (CommydLedger *self)
{
  GArray *leases = g_array_new (FALSE, FALSE, sizeof (gint64));
  GHashTableIter iter;
  gpointer lease;

  g_hash_table_iter_init (&iter, self->leases);
  while (g_hash_table_iter_next (&iter, &lease, NULL))
    g_array_append_vals (leases, lease, 1);
  return leases;
}

guint
commyd_ledger_count (CommydLedger *self)
{
  return (guint) g_tree_nnodes (self->keys);
}

CommydUsage
commyd_ledger_usage (CommydLedger *self, guint32 uid)
{
  const CommydUsage *usage = g_hash_table_lookup (self->users, GUINT_TO_POINTER (uid));

  return usage != NULL ? *usage : (CommydUsage){ 0 };
}
