/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An administrative act of a verb, as the audit trail has it: once before it is done, and once with
 * what came of it. Where the keyfile wants no trail nothing happens.
 */
#pragma once

#include "cli/commy-cli.h"

typedef struct
{
  CommyMesh *mesh; /* a reference */
  const char *what;
  char *about;
  CommyExit status; /* to end with, where it must not be done */
  char *details;    /* what else came of it, or NULL; names nobody */
} CommyAct;

/* One that records acts, and need not join. (transfer full): NULL with @error: without a keyfile
 * that can be read nobody knows what is to be recorded. */
CommyMesh *commy_act_dup_mesh (const CommyCli *cli, GError **error);
/* @mesh: (nullable): that the verb has joined. @what: "token revoke"; a literal. @about:
 * (nullable): on what; may be personal. FALSE: it was told why it must not be done; end with
 * act->status. */
gboolean commy_act_begin (
    CommyAct *act, const CommyCli *cli, CommyMesh *mesh, const char *what, const char *about);
/* @status: how it went. What the verb ends with. */
CommyExit commy_act_end (CommyAct *act, CommyExit status);
