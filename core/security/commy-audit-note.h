/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What chains say of files that are not theirs to write any more: where one ended that nobody
 * closed, or that was removed, and why; and under which rules they keep files. Pure: both are texts
 * in records, which anybody may have written.
 */
#pragma once

#include "security/commy-audit-record.h"

typedef enum
{
  COMMY_AUDIT_STAYS, /* it was not removed */
  COMMY_AUDIT_BY_AGE,
  COMMY_AUDIT_BY_SIZE, /* of the whole folder */
} CommyAuditCause;

typedef struct
{
  guint64 sequence; /* of its last whole record; 0: it has none */
  char hash[COMMY_AUDIT_HEX_SIZE + 1];
  guint64 torn;   /* bytes behind it */
  gint64 last_us; /* when that was recorded; of files that were removed */
  CommyAuditCause cause;
} CommyAuditNote;

/* (transfer full) */
char *commy_audit_note_dup (const CommyAuditNote *note);
/* In no other form than the one that is written. */
gboolean commy_audit_note_parse (const char *text, CommyAuditNote *out_note);
gboolean commy_audit_note_is_removal (const CommyAuditNote *note);

/* How a chain keeps files, as the first record of each of its own says. */
typedef struct
{
  gint64 retention_us;    /* 0: for ever */
  guint64 max_total_size; /* 0: no limit */
  gboolean after_seal;    /* the file before this one ended with a seal */
} CommyAuditRules;

/* (transfer full) */
char *commy_audit_rules_dup (const CommyAuditRules *rules);
gboolean commy_audit_rules_parse (const char *text, CommyAuditRules *out_rules);

/* Whether who had these rules could remove that file at @noted_us: NULL, or why not. @rules:
 * (nullable): nobody knows them */
const char *commy_audit_note_why_not (const CommyAuditNote *note,
                                      const CommyAuditRules *rules,
                                      gint64 noted_us);
