/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packed events and the table of those that came lately. Whoever is denied a thousand times a
 * second must not be able to fill the disk with it, nor to have it forgotten.
 */
#include "config.h"

#include "security/commy-audit-repeats.h"

#include <string.h>

typedef struct
{
  guint32 size;       /* with this head */
  guint32 texts_size; /* of what is compared */
  gint64 wall_us;
  gint64 boot_ns;
  guint16 sizes[COMMY_AUDIT_N_EVENT_TEXTS]; /* with a NUL; 0: there is no text */
  guint16 peer_size; /* of the text `peer`, behind the others, where another stands in its place */
  guint16 is_stranger;
} Head;

typedef struct
{
  guint8 *texts; /* NULL: free */
  Head first;    /* the one that was written */
  Head last;
  guint64 count; /* since */
} Slot;

struct _CommyAuditRepeats
{
  Slot slots[COMMY_AUDIT_REPEAT_SLOTS];
};

static guint16
measure (const char *text)
{
  return text != NULL ? (guint16) (strnlen (text, COMMY_AUDIT_TEXT_MAX) + 1) : 0;
}

static guint8 *
put (guint8 *out, const char *text, guint16 size)
{
  if (size == 0)
    return out;
  memcpy (out, text, size - 1u);
  out[size - 1] = '\0';
  return out + size;
}

gsize
commy_audit_event_pack (
    const CommyAuditEvent *event, gint64 wall_us, gint64 boot_ns, guint8 *out, gsize room)
{
  Head head = { .wall_us = wall_us, .boot_ns = boot_ns, .is_stranger = event->is_stranger };
  const char *compared[COMMY_AUDIT_N_EVENT_TEXTS];
  gsize size;

  memcpy (compared, event->texts, sizeof compared);
  if (event->alike != NULL)
    {
      compared[COMMY_AUDIT_PEER] = event->alike;
      head.peer_size = measure (event->texts[COMMY_AUDIT_PEER]);
    }
  for (guint i = 0; i < COMMY_AUDIT_N_EVENT_TEXTS; i++)
    {
      head.sizes[i] = measure (compared[i]);
      head.texts_size += head.sizes[i];
    }
  size = (sizeof head + head.texts_size + head.peer_size + 7) & ~(gsize) 7;
  if (size > room)
    return 0;
  head.size = (guint32) size;
  memcpy (out, &head, sizeof head);
  out += sizeof head;
  for (guint i = 0; i < COMMY_AUDIT_N_EVENT_TEXTS; i++)
    out = put (out, compared[i], head.sizes[i]);
  put (out, event->texts[COMMY_AUDIT_PEER], head.peer_size);
  return size;
}

/* @peer_size: 0, or that of the text behind the others. */
static void
give (const Head *head,
      const guint8 *texts,
      gsize peer_size,
      guint64 count,
      CommyAuditRecordFunc add,
      gpointer data)
{
  CommyAuditRecord record = { .wall_us = head->wall_us,
                              .boot_ns = head->boot_ns,
                              .count = count,
                              .is_stranger = head->is_stranger != 0 };

  for (guint i = 0; i < COMMY_AUDIT_N_EVENT_TEXTS; i++)
    if (head->sizes[i] > 0)
      {
        record.texts[i] = (const char *) texts;
        texts += head->sizes[i];
      }
  if (peer_size > 0)
    record.texts[COMMY_AUDIT_PEER] = (const char *) texts;
  add (data, &record);
}

static void
give_slot (Slot *slot, CommyAuditRecordFunc add, gpointer data)
{
  if (slot->count > 0)
    give (&slot->last, slot->texts, 0, slot->count, add, data);
  slot->count = 0;
}

CommyAuditRepeats *
commy_audit_repeats_new (void)
{
  return g_new0 (CommyAuditRepeats, 1);
}

void
commy_audit_repeats_free (CommyAuditRepeats *self)
{
  for (guint i = 0; i < COMMY_AUDIT_REPEAT_SLOTS; i++)
    g_free (self->slots[i].texts);
  g_free (self);
}

/* FNV-1a: who chooses texts that meet in a slot only loses the count's shortness. */
static Slot *
slot_of (CommyAuditRepeats *self, const guint8 *texts, gsize size)
{
  guint32 hash = 2166136261u;

  for (gsize i = 0; i < size; i++)
    hash = (hash ^ texts[i]) * 16777619u;
  return &self->slots[hash % COMMY_AUDIT_REPEAT_SLOTS];
}

static gboolean
is_same (const Slot *slot, const Head *head, const guint8 *texts)
{
  return slot->texts != NULL && slot->first.texts_size == head->texts_size
         && memcmp (slot->first.sizes, head->sizes, sizeof head->sizes) == 0
         && memcmp (slot->texts, texts, head->texts_size) == 0;
}

gsize
commy_audit_repeats_take (CommyAuditRepeats *self,
                          const guint8 *packed,
                          CommyAuditRecordFunc add,
                          gpointer data)
{
  const guint8 *texts = packed + sizeof (Head);
  Head head;
  Slot *slot;

  memcpy (&head, packed, sizeof head);
  slot = slot_of (self, texts, head.texts_size);
  if (is_same (slot, &head, texts) && head.boot_ns - slot->first.boot_ns < COMMY_AUDIT_REPEAT_NS)
    {
      slot->last = head;
      slot->count++;
      return head.size;
    }
  give_slot (slot, add, data);
  if (slot->texts == NULL || slot->first.texts_size < head.texts_size)
    slot->texts = g_realloc (slot->texts, head.texts_size + 1);
  memcpy (slot->texts, texts, head.texts_size);
  slot->first = slot->last = head;
  give (&head, texts, head.peer_size, 1, add, data);
  return head.size;
}

void
commy_audit_repeats_flush (CommyAuditRepeats *self,
                           gint64 boot_ns,
                           CommyAuditRecordFunc add,
                           gpointer data)
{
  for (guint i = 0; i < COMMY_AUDIT_REPEAT_SLOTS; i++)
    if (self->slots[i].count > 0 && boot_ns - self->slots[i].first.boot_ns >= COMMY_AUDIT_REPEAT_NS)
      give_slot (&self->slots[i], add, data);
}
