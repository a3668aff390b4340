/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki ...`, `commy join`, `commy token`, `session` and `totp`: what their files share. They
 * are a part of their own, so that a build without GnuTLS leaves it out.
 */
#pragma once

#include "cli/commy-cmd.h"

#include "auth/common/commy-pki-admission.h"

/* argv[0] is the verb. */
CommyExit commy_cmd_pki (CommyCli *cli, char **argv);
CommyExit commy_cmd_join (CommyCli *cli, char **argv);
CommyExit commy_cmd_token (CommyCli *cli, char **argv);
CommyExit commy_cmd_totp (CommyCli *cli, char **argv);
CommyExit commy_cmd_session (CommyCli *cli, char **argv);
CommyExit commy_cmd_cert (CommyCli *cli, char **argv);

/* Revokes the sessions in the mesh's store that stand for the second factor @factor; tells where it
 * cannot. */
CommyExit commy_cmd_session_end_factor (CommyCli *cli, const char *factor);

/* Subcommands: argv[0] is their name. */
CommyExit commy_cmd_pki_revoke (CommyCli *cli, char **argv);
CommyExit commy_cmd_pki_rotate (CommyCli *cli, char **argv);
CommyExit commy_cmd_pki_show (CommyCli *cli, char **argv);
CommyExit commy_cmd_pki_serve (CommyCli *cli, char **argv);
CommyExit commy_cmd_pki_token (CommyCli *cli, char **argv);

/* For the end of each help. */
#define COMMY_CMD_PKI_DIR_HELP                                                               \
  "Without --dir the directory is that of the mesh: $COMMY_STATE_DIR/MESH/pki, else\n"       \
  "/var/lib/commy/MESH/pki for root and ~/.local/state/commy/MESH/pki for others. Where a\n" \
  "keyfile sets credentials-dir, say the same as --dir."

/* --dir, or the directory of the mesh. (transfer full) */
char *commy_cmd_pki_dup_dir (const CommyCli *cli, const char *dir);
/* --dir's default for what lies beside the certificates. (transfer full) */
char *commy_cmd_pki_dup_state_dir (const CommyCli *cli);
/* Tells an error of the certificate helper with its number, and gives the exit code. */
CommyExit commy_cmd_pki_fail (const GError *error);
/* The name of who runs this, in a certificate; a user who has none is called by number, since what
 * GLib calls all of those would make them one user. (transfer full) */
char *commy_cmd_pki_dup_user (void);
gint64 commy_cmd_pki_now (void);                  /* seconds since 1970 */
char *commy_cmd_pki_format_time (gint64 seconds); /* RFC 3339, UTC */
/* A token for the authority in @dir, noted in its register and recorded. @addresses, @host, @user:
 * (nullable). Returns the text, a secret. (transfer full); NULL: it was told why, *@out_status is
 * what to end with. @out_token: (optional) */
char *commy_cmd_pki_make_token (const CommyCli *cli,
                                const char *dir,
                                const char *const *addresses,
                                const char *host,
                                const char *user,
                                gint64 valid_s,
                                CommyPkiToken **out_token,
                                CommyExit *out_status);
