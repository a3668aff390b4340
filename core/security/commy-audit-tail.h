/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a trail from outside: which there are, and how one ends.
 */
#pragma once

#include "security/commy-audit-note.h"
#include "security/commy-audit-record.h"

typedef struct
{
  guint64 sequence; /* of the last whole record; 0: it has none */
  char hash[COMMY_AUDIT_HEX_SIZE + 1];
  gint64 wall_us;     /* when that was recorded */
  gboolean fits;      /* its hash, behind that of the record before it */
  gboolean is_sealed; /* it is a checkpoint */
  gsize torn;         /* bytes behind it */
} CommyAuditTail;

/* FALSE: it is no file that can be read. */
gboolean commy_audit_tail_read (int fd, const CommyAuditTools *tools, CommyAuditTail *out_tail);

typedef struct
{
  guint64 sequence; /* of the first record; 0: it is no file's first one */
  char before[COMMY_AUDIT_HEX_SIZE + 1];
  guint64 gap; /* records that the file before may lack, because its disk failed */
  gboolean has_rules;
  CommyAuditRules rules; /* all zero where it has none */

  guint n_lines;     /* that it was told by */
  gboolean is_empty; /* no record has come to it */
} CommyAuditStart;

/* The lines of a file, one after the other, which begins with all zero: what is behind the second
 * changes nothing. */
void commy_audit_start_take (CommyAuditStart *start, const CommyAuditLine *line);
/* FALSE: it is no file that can be read. */
gboolean commy_audit_start_read (int fd, CommyAuditStart *out_start);
/* Whether a file that ends with record @sequence can be the one before. */
gboolean
commy_audit_start_follows (const CommyAuditStart *start, guint64 sequence, const char *hash);

/* Names of the files of records, in order: chains by their start, files of a chain by number. All
 * of them: a trail of which only a part is looked at would be called whole, and only the processes
 * of its owner leave files there. (transfer full), or NULL */
GPtrArray *commy_audit_list_files (const char *directory, GError **error);
/* Names of what lies beside them and ends with @suffix, in no order. (transfer full): never NULL */
GPtrArray *commy_audit_list_beside (const char *directory, const char *suffix);
