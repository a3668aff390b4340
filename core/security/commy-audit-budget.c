/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The budget of strangers in the audit trail: whoever can knock must not be able to fill the disk.
 */
#include "config.h"

#include "security/commy-audit-budget.h"

#define SECOND_NS G_GINT64_CONSTANT (1000000000)

gboolean
commy_audit_budget_take (CommyAuditBudget *self, const CommyAuditRecord *record)
{
  gint64 full_ns;

  if (self->per_second == 0)
    return TRUE;
  full_ns = MAX (self->full_ns, record->boot_ns) + SECOND_NS / self->per_second;
  if (full_ns - record->boot_ns <= COMMY_AUDIT_BUDGET_S * SECOND_NS)
    {
      self->full_ns = full_ns;
      return TRUE;
    }
  if (self->withheld == 0)
    self->since_ns = record->boot_ns;
  self->withheld += MAX (record->count, 1);
  return FALSE;
}

guint64
commy_audit_budget_collect (CommyAuditBudget *self, gint64 boot_ns)
{
  guint64 withheld = self->withheld;

  if (withheld == 0 || boot_ns - self->since_ns < COMMY_AUDIT_BUDGET_TELL_NS)
    return 0;
  self->withheld = 0;
  return withheld;
}
