/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many records those may cause of whom nothing is known: a bucket, and what did not fit into
 * it. Time is an argument. One thread at a time.
 */
#pragma once

#include "security/commy-audit-record.h"

#define COMMY_AUDIT_BUDGET_S 60 /* a minute's worth may come at once */
#define COMMY_AUDIT_BUDGET_TELL_NS (COMMY_AUDIT_BUDGET_S * G_GINT64_CONSTANT (1000000000))

/* Zeroed at first, but for the rate. */
typedef struct
{
  guint per_second; /* 0: there is no limit */
  gint64 full_ns;   /* when the bucket is full again */
  guint64 withheld; /* events, not told yet */
  gint64 since_ns;  /* of the first of them */
} CommyAuditBudget;

/* TRUE: @record may be written. FALSE: it is counted. */
gboolean commy_audit_budget_take (CommyAuditBudget *self, const CommyAuditRecord *record);
/* How many were counted; from then on it counts anew. 0: nothing is due at @boot_ns. */
guint64 commy_audit_budget_collect (CommyAuditBudget *self, gint64 boot_ns);
