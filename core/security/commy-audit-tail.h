/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a trail from outside: which there are, and how one ends.
 */
#pragma once

#include "security/commy-audit-record.h"

typedef struct
{
  guint64 sequence; /* of the last whole record; 0: it has none */
  char hash[COMMY_AUDIT_HEX_SIZE + 1];
  gsize torn; /* bytes behind it */
} CommyAuditTail;

/* FALSE: it is no file that can be read. */
gboolean commy_audit_tail_read (int fd, CommyAuditTail *out_tail);

/* Names of the files of records, in order: chains by their start, files of a chain by number. At
 * most COMMY_AUDIT_FILES_MAX. (transfer full), or NULL */
#define COMMY_AUDIT_FILES_MAX 100000u
GPtrArray *commy_audit_list_files (const char *directory, GError **error);
