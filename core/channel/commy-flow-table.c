/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A locked hash table of flows. It holds a reference of each channel, from its set-up to its end.
 */
#include "config.h"

#include "channel/commy-flow-table.h"

#include <string.h>

typedef struct
{
  CommyFlowName name;
  CommyChannel *channel;
} Entry;

struct _CommyFlowTable
{
  GMutex lock;
  GHashTable *entries; /* id -> Entry */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  commy_channel_unref (entry->channel);
  /* What proves a right does not lie about in freed memory. */
  explicit_bzero (entry, sizeof *entry);
  g_free (entry);
}

CommyFlowTable *
commy_flow_table_new (void)
{
  CommyFlowTable *self = g_new0 (CommyFlowTable, 1);

  g_mutex_init (&self->lock);
  self->entries = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, entry_free);
  return self;
}

void
commy_flow_table_free (CommyFlowTable *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->entries);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
commy_flow_name_make (CommyFlowName *out_name, const CommyEnv *env)
{
  env->random (env->data, out_name->secret, sizeof out_name->secret);
  out_name->id = commy_env_random64 (env) | 1;
}

void
commy_flow_table_add (CommyFlowTable *self, CommyChannel *channel, const CommyFlowName *name)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->name = *name;
  entry->channel = commy_channel_ref (channel);
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->entries, &entry->name.id, entry);
  g_mutex_unlock (&self->lock);
}

void
commy_flow_table_remove (CommyFlowTable *self, const CommyFlowName *name)
{
  gpointer entry = NULL;

  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  g_hash_table_steal_extended (self->entries, &name->id, NULL, &entry);
  g_mutex_unlock (&self->lock);
  if (entry != NULL)
    entry_free (entry); /* without the lock: it may be the last reference */
}

/* In a time that does not depend on where the two differ. */
static gboolean
is_same_secret (const CommyFlowName *a, const CommyFlowName *b)
{
  guint8 difference = 0;

  for (guint i = 0; i < sizeof a->secret; i++)
    difference |= a->secret[i] ^ b->secret[i];
  return difference == 0;
}

CommyChannel *
commy_flow_table_find (CommyFlowTable *self, const CommyFlowName *name)
{
  CommyChannel *channel = NULL;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->entries, &name->id);
  if (entry != NULL && is_same_secret (&entry->name, name))
    channel = commy_channel_ref (entry->channel);
  g_mutex_unlock (&self->lock);
  return channel;
}
