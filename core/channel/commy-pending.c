/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that wait for their answer: a table of slots with a free list. A stream id is index
 * and generation, so that a late answer to a call that ended never meets another call.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

#define INDEX_BITS 16
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define FIRST_SIZE 16u

static gboolean
grow (CommyPendingTable *table, guint32 limit)
{
  guint32 size = table->n_slots == 0 ? FIRST_SIZE : table->n_slots * 2;

  size = MIN (size, MIN (limit, INDEX_MASK));
  if (size <= table->n_slots)
    return FALSE;
  table->slots = g_renew (CommyPendingSlot, table->slots, size);
  for (guint32 i = size; i-- > table->n_slots;)
    {
      table->slots[i] = (CommyPendingSlot){ .generation = 1, .next_free = table->first_free };
      table->first_free = i + 1;
    }
  table->n_slots = size;
  return TRUE;
}

guint32
commy_pending_stream (CommyPendingTable *table, const CommyPendingSlot *slot)
{
  return (guint32) slot->generation << INDEX_BITS | ((guint32) (slot - table->slots) + 1);
}

guint32
commy_pending_add (CommyPendingTable *table,
                   guint32 limit,
                   gint64 deadline_ns,
                   CommyPendingFunc func,
                   gpointer data)
{
  CommyPendingSlot *slot;

  if (table->first_free == 0 && !grow (table, limit))
    return 0;
  slot = &table->slots[table->first_free - 1];
  table->first_free = slot->next_free;
  table->n_used++;
  slot->func = func;
  slot->data = data;
  slot->deadline_ns = deadline_ns;
  slot->sent = FALSE;
  return commy_pending_stream (table, slot);
}

CommyPendingSlot *
commy_pending_find (CommyPendingTable *table, guint32 stream)
{
  guint32 index = stream & INDEX_MASK;
  CommyPendingSlot *slot;

  if (index == 0 || index > table->n_slots)
    return NULL;
  slot = &table->slots[index - 1];
  if (slot->func == NULL || slot->generation != stream >> INDEX_BITS)
    return NULL;
  return slot;
}

void
commy_pending_remove (CommyPendingTable *table, CommyPendingSlot *slot)
{
  slot->func = NULL;
  slot->generation++;
  slot->next_free = table->first_free;
  table->first_free = (guint32) (slot - table->slots) + 1;
  table->n_used--;
}

void
commy_pending_clear (CommyPendingTable *table)
{
  g_clear_pointer (&table->slots, g_free);
  table->n_slots = table->n_used = table->first_free = 0;
}
