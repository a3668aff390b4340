/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many records somebody may cause by being denied: those of whom nothing is known have a bucket
 * together, and each principal has one of its own, so that none of them crowds out what others do.
 * What did not fit is counted. Time is an argument. One thread at a time.
 */
#pragma once

#include "security/commy-audit-repeats.h"

#define COMMY_AUDIT_BUDGET_S 60 /* a minute's worth may come at once */
#define COMMY_AUDIT_BUDGET_TELL_NS (COMMY_AUDIT_BUDGET_S * G_GINT64_CONSTANT (1000000000))
/* Principals with a bucket; while there is no room newcomers share one. */
#define COMMY_AUDIT_BUDGET_PRINCIPALS 4096u

typedef struct _CommyAuditBudget CommyAuditBudget;

/* Of strangers, together or, where they have a name, each; and of each other principal. 0: there is
 * no limit. */
CommyAuditBudget *commy_audit_budget_new (guint strangers_per_second, guint denied_per_second);
void commy_audit_budget_free (CommyAuditBudget *budget);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditBudget, commy_audit_budget_free)

/* TRUE: @record may be written. FALSE: it is counted. */
gboolean commy_audit_budget_take (CommyAuditBudget *budget, const CommyAuditRecord *record);
/* Gives out records of how many were counted, of whom, a minute after the first; @all: now. From
 * then on it counts anew. */
void commy_audit_budget_collect (CommyAuditBudget *budget,
                                 gint64 wall_us,
                                 gint64 boot_ns,
                                 gboolean all,
                                 CommyAuditRecordFunc add,
                                 gpointer data);
