/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The heads of a folder's chains for who verifies them: read before any of the chains is, because
 * these may go on meanwhile; asked about each record; judged when all has been read.
 */
#pragma once

#include "security/commy-audit-head.h"

typedef struct _CommyAuditHeads CommyAuditHeads;

/* What @directory has; never fails: what cannot be read is judged. @tools as long as it lives. */
CommyAuditHeads *commy_audit_heads_new (const char *directory, const CommyAuditTools *tools);
void commy_audit_heads_free (CommyAuditHeads *heads);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditHeads, commy_audit_heads_free)

/* The records of a chain come now; then each of them; then how it ended: the number of its last
 * file, and of its first and last record. */
void commy_audit_heads_begin (CommyAuditHeads *heads, const char *chain);
void commy_audit_heads_look (CommyAuditHeads *heads, const CommyAuditLine *line);
void commy_audit_heads_end (CommyAuditHeads *heads, guint number, guint64 first, guint64 last);
/* Somebody recorded that the file @stem was removed, which ended with SEQ:HASH. */
void commy_audit_heads_note_removed (CommyAuditHeads *heads, const char *stem, const char *end);
/* Somebody recorded that the file @stem, which is not here, ended with this record. */
void commy_audit_heads_note_ended (CommyAuditHeads *heads, const char *stem, guint64 sequence);

/* Calls back for each fault; @record: the first that it is about, 0: none. */
typedef void (*CommyAuditHeadsFunc) (
    gpointer data, const char *file, const char *fault, guint64 record, const char *text);
void commy_audit_heads_judge (CommyAuditHeads *heads, CommyAuditHeadsFunc func, gpointer data);
