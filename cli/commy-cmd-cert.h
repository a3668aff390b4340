/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy cert ...`: what its two files share.
 */
#pragma once

#include "cli/commy-cmd-pki.h"

CommyExit commy_cmd_cert_ls (CommyCli *cli, char **argv);
CommyExit commy_cmd_cert_expiry (CommyCli *cli, char **argv);

/* Connections of running nodes that rest on a principal or certificate; @out_silent: nodes that did
 * not tell theirs. */
guint commy_cmd_cert_count_connections (CommyMesh *mesh, const char *subject, guint *out_silent);
