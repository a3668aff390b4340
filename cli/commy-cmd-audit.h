/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy audit ...`: what its files share.
 */
#pragma once

#include "cli/commy-cmd.h"

/* --dir, or the trail of the mesh. (transfer full), or NULL with @error */
char *commy_cmd_audit_dup_dir (const CommyCli *cli, const char *dir, GError **error);

/* Subcommands: argv[0] is their name. */
CommyExit commy_cmd_audit_verify (CommyCli *cli, char **argv);

/* What a build with GnuTLS brings along for verifying (commy-audit-tools.c). */
typedef struct
{
  CommyAuditTools tools;
  char *anchor;  /* first key of the list, or NULL */
  char *why_not; /* seals cannot be judged */
  gpointer judge;
} CommyAuditSeals;

/* @keys: the folder with the list of keys; NULL: that of the mesh. Of the mesh's own it may be
 * missing. */
gboolean commy_audit_seals_init (CommyAuditSeals *seals,
                                 const CommyCli *cli,
                                 const char *keys,
                                 GError **error);
void commy_audit_seals_clear (CommyAuditSeals *seals);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyAuditSeals, commy_audit_seals_clear)
