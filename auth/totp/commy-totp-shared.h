/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions that the instances of a service share, through the mesh's store: followed there, so that
 * a connection waits for it only where a session is newer than what was heard. Mesh thread.
 */
#pragma once

#include "auth/common/commy-session-record.h"

#include <commy/commy-auth.h>

G_BEGIN_DECLS

#define TOTP_SHARED_MAX 4096u   /* sessions that are followed */
#define TOTP_SHARED_GIVEN 1024u /* with as many no other is given */
#define TOTP_REVOKED_MAX 4096u

typedef struct _TotpShared TotpShared;

/* @factor: of the second factor that the session stands for; NULL: it does not count, and why. */
typedef void (*TotpSharedCheckedFunc) (gpointer data, const char *factor, const char *why);
/* @grant: NULL: there is none, and why. */
typedef void (*TotpSharedGivenFunc) (gpointer data,
                                     const CommySessionGrant *grant,
                                     const char *why);

TotpShared *totp_shared_new (CommyHost *host,
                             const CommySessionRules *rules,
                             const guint8 seal[COMMY_SESSION_SEAL_SIZE]);
/* The store is going: nothing is followed any more. */
void totp_shared_stop (TotpShared *shared);
/* What is under way is not answered. */
void totp_shared_free (TotpShared *shared);

/* Whether that is a proof of a session of @principal's; it counts longer then. @checked comes once,
 * at once or later. */
void totp_shared_check (TotpShared *shared,
                        const char *principal,
                        const char *id,
                        const guint8 *transcript,
                        const guint8 *proof,
                        gint64 now_s,
                        TotpSharedCheckedFunc checked,
                        gpointer data);
/* A new one. @given comes once, at once or later. */
void totp_shared_give (TotpShared *shared,
                       const char *principal,
                       const char *factor,
                       gint64 now_s,
                       TotpSharedGivenFunc given,
                       gpointer data);
/* Whether somebody has revoked it. */
gboolean totp_shared_is_revoked (TotpShared *shared, const char *id);
/* How many sessions are known. */
guint totp_shared_get_n (TotpShared *shared);

G_END_DECLS
