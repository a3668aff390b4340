/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the files of a folder begin and end, and what chains note of that, for who verifies them:
 * what a note says is compared with what is there, and it excuses a file that is not there only if
 * the one behind goes on where it says, and if its time was over when it went.
 */
#pragma once

#include "security/commy-audit-check.h"
#include "security/commy-audit-heads.h"

typedef struct _CommyAuditEnds CommyAuditEnds;

CommyAuditEnds *commy_audit_ends_new (void);
void commy_audit_ends_free (CommyAuditEnds *ends);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditEnds, commy_audit_ends_free)

/* The files of a chain come now; then each of them; its records; and how it ended. */
void commy_audit_ends_begin_chain (CommyAuditEnds *ends, const char *chain);
void commy_audit_ends_begin_file (CommyAuditEnds *ends, const char *stem);
void commy_audit_ends_look (CommyAuditEnds *ends,
                            const CommyAuditChecker *checker,
                            const CommyAuditLine *line);
void commy_audit_ends_end_file (CommyAuditEnds *ends, const CommyAuditChecker *checker);

typedef struct
{
  void (*fault) (gpointer data,
                 const char *file,
                 const char *fault,
                 guint64 record,
                 guint64 offset,
                 const char *text);
  void (*note) (gpointer data, char *text); /* takes it */
  gpointer data;
} CommyAuditEndsFuncs;

/* Of notes, and how many of those stand under no seal. */
typedef struct
{
  guint64 removals, removals_claimed;
  guint64 ends, ends_claimed;
} CommyAuditEndsCount;

/* When all has been read, and before @heads are judged, which are told which files had to go. */
void commy_audit_ends_judge (CommyAuditEnds *ends,
                             CommyAuditHeads *heads,
                             const CommyAuditEndsFuncs *funcs,
                             CommyAuditEndsCount *out_count);
