/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Budgets of the audit trail: whoever can knock must not be able to fill the disk, nor whoever has
 * a name to use up what is there for the records of others.
 */
#include "config.h"

#include "security/commy-audit-budget.h"

#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
/* When there is no room, how often all are looked at for some. */
#define SWEEP_EVERY_NS (SECOND_NS / 10)

typedef struct
{
  gint64 full_ns;   /* when the bucket is full again */
  guint64 withheld; /* events, not told yet */
  gint64 since_ns;  /* of the first of them */
  gboolean is_stranger;
} Bucket;

struct _CommyAuditBudget
{
  guint strangers_per_second;
  guint denied_per_second;
  Bucket strangers;
  Bucket newcomers;       /* of whom there was no room */
  GHashTable *principals; /* name -> Bucket */
  gint64 sweep_ns;
  gint64 due_ns; /* when something is to be told; G_MAXINT64: there is nothing */
};

CommyAuditBudget *
commy_audit_budget_new (guint strangers_per_second, guint denied_per_second)
{
  CommyAuditBudget *self = g_new0 (CommyAuditBudget, 1);

  self->strangers_per_second = strangers_per_second;
  self->denied_per_second = denied_per_second;
  self->strangers.is_stranger = TRUE;
  self->principals = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->sweep_ns = G_MININT64;
  self->due_ns = G_MAXINT64;
  return self;
}

void
commy_audit_budget_free (CommyAuditBudget *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->principals);
  g_free (self);
}

/* A bucket that is full again, and of which everything was told, is as a new one. */
static gboolean
gives_way (gpointer key, gpointer value, gpointer data)
{
  const Bucket *bucket = value;
  const gint64 *now_ns = data;

  return bucket->full_ns <= *now_ns && bucket->withheld == 0;
}

static Bucket *
find (CommyAuditBudget *self, const CommyAuditRecord *record)
{
  const char *name = record->texts[COMMY_AUDIT_PRINCIPAL];
  gint64 now_ns = record->boot_ns;
  Bucket *bucket;

  if (name == NULL)
    return &self->strangers;
  bucket = g_hash_table_lookup (self->principals, name);
  if (bucket != NULL)
    return bucket;
  if (g_hash_table_size (self->principals) >= COMMY_AUDIT_BUDGET_PRINCIPALS
      && now_ns >= self->sweep_ns)
    {
      self->sweep_ns = now_ns + SWEEP_EVERY_NS;
      g_hash_table_foreach_remove (self->principals, gives_way, &now_ns);
    }
  if (g_hash_table_size (self->principals) >= COMMY_AUDIT_BUDGET_PRINCIPALS)
    return &self->newcomers;
  bucket = g_new0 (Bucket, 1);
  bucket->is_stranger = record->is_stranger;
  g_hash_table_insert (self->principals, g_strdup (name), bucket);
  return bucket;
}

/* What was allowed, and what a node does itself, is never withheld. */
static gboolean
is_denial (const CommyAuditRecord *record)
{
  const char *outcome = record->texts[COMMY_AUDIT_OUTCOME];

  return record->texts[COMMY_AUDIT_PRINCIPAL] != NULL
         && (g_strcmp0 (outcome, "denied") == 0 || g_strcmp0 (outcome, "refused") == 0);
}

gboolean
commy_audit_budget_take (CommyAuditBudget *self, const CommyAuditRecord *record)
{
  const guint per_second
      = record->is_stranger ? self->strangers_per_second : self->denied_per_second;
  Bucket *bucket;
  gint64 full_ns;

  if (per_second == 0 || (!record->is_stranger && !is_denial (record)))
    return TRUE;
  bucket = find (self, record);
  full_ns = MAX (bucket->full_ns, record->boot_ns) + SECOND_NS / per_second;
  if (full_ns - record->boot_ns <= COMMY_AUDIT_BUDGET_S * SECOND_NS)
    {
      bucket->full_ns = full_ns;
      return TRUE;
    }
  if (bucket->withheld == 0)
    {
      bucket->since_ns = record->boot_ns;
      self->due_ns = MIN (self->due_ns, record->boot_ns + COMMY_AUDIT_BUDGET_TELL_NS);
    }
  bucket->withheld += MAX (record->count, 1);
  return FALSE;
}

typedef struct
{
  gint64 wall_us;
  gint64 boot_ns;
  gboolean all;
  gint64 due_ns; /* of those that are not told */
  CommyAuditRecordFunc add;
  gpointer data;
} Collection;

static void
collect_one (gpointer name, gpointer value, gpointer data)
{
  Bucket *bucket = value;
  Collection *collection = data;
  const gint64 due_ns = bucket->since_ns + COMMY_AUDIT_BUDGET_TELL_NS;
  CommyAuditRecord record = { .wall_us = collection->wall_us,
                              .boot_ns = collection->boot_ns,
                              .count = bucket->withheld,
                              .texts = { [COMMY_AUDIT_TYPE] = "peer",
                                         [COMMY_AUDIT_OUTCOME] = "refused",
                                         [COMMY_AUDIT_PRINCIPAL] = name,
                                         [COMMY_AUDIT_DETAILS] = COMMY_AUDIT_WITHHELD } };

  if (bucket->withheld == 0)
    return;
  if (!collection->all && collection->boot_ns < due_ns)
    {
      collection->due_ns = MIN (collection->due_ns, due_ns);
      return;
    }
  if (!bucket->is_stranger)
    {
      record.texts[COMMY_AUDIT_OUTCOME] = "denied";
      record.texts[COMMY_AUDIT_DETAILS] = COMMY_AUDIT_WITHHELD_DENIALS;
    }
  bucket->withheld = 0;
  collection->add (collection->data, &record);
}

void
commy_audit_budget_collect (CommyAuditBudget *self,
                            gint64 wall_us,
                            gint64 boot_ns,
                            gboolean all,
                            CommyAuditRecordFunc add,
                            gpointer data)
{
  Collection collection = { wall_us, boot_ns, all, G_MAXINT64, add, data };

  if (self->due_ns == G_MAXINT64 || (!all && boot_ns < self->due_ns))
    return;
  collect_one (NULL, &self->strangers, &collection);
  collect_one (NULL, &self->newcomers, &collection);
  g_hash_table_foreach (self->principals, collect_one, &collection);
  self->due_ns = collection.due_ns;
}
