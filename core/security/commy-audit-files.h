/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a trail as their readers see them: mapped, with the names that belong to them, and
 * grouped into chains.
 */
#pragma once

#include "security/commy-audit-tail.h"

typedef struct
{
  const char *bytes; /* "" where it is empty */
  gsize size;
  gboolean is_live; /* somebody writes it */
  gpointer map;
} CommyAuditFile;

/* Regular files only, and no link. */
gboolean commy_audit_file_open (CommyAuditFile *file,
                                const char *directory,
                                const char *name,
                                GError **error);
void commy_audit_file_close (CommyAuditFile *file);

/* The name without what tells its kind: what its file of names and notes about it share.
 * (transfer full) */
char *commy_audit_file_stem (const char *name);
/* The number in it, and how much of @stem is the chain's name. 0: it has none. */
guint commy_audit_file_number (const char *stem, gsize *out_chain_size);

/* Calls back for every line of a file of names; the line's offset and size in it. */
typedef void (*CommyAuditNameFunc) (gpointer data,
                                    const CommyAuditName *name,
                                    gsize offset,
                                    gsize size);
/* @bad: (nullable): called for lines that are none. */
void commy_audit_names_each (const CommyAuditFile *file,
                             CommyAuditNameFunc func,
                             void (*bad) (gpointer data, gsize offset),
                             gpointer data);
