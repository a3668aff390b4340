/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an open connection rests on: a secret of one-time codes, "totp-id:ID", and where a session
 * in the store stood for the code, that, too, " session:ID". Mesh thread.
 */
#pragma once

#include "auth/common/commy-kept-register.h"
#include "auth/totp/commy-totp-shared.h"

#include <commy/commy-auth.h>

G_BEGIN_DECLS

/* @session: "": none. */
void totp_standing_name (const char *factor, const char *session, CommyProof *out_proof);
/* Whether it still does. @secrets: those of this host, read again where the file has changed;
 * @shared: or NULL. */
CommyProofState totp_standing_look (CommyHost *host,
                                    CommyKeptRegister *secrets,
                                    TotpShared *shared,
                                    const char *proof,
                                    char *reason,
                                    gsize reason_size);

G_END_DECLS
