/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions that this node was given by services, in memory only: one of each, 64 at most.
 */
#pragma once

#include "auth/common/commy-session.h"

G_BEGIN_DECLS

#define TOTP_KEPT_MAX 64u
/* "H4g": id, secret, pepper, end. */
#define TOTP_GRANT_SIZE \
  (COMMY_API_KEY_ID_SIZE + COMMY_API_KEY_SECRET_SIZE + COMMY_API_KEY_PEPPER_SIZE + 8u)

typedef struct _TotpKept TotpKept;

TotpKept *totp_kept_new (void);
void totp_kept_free (TotpKept *kept);
/* Takes what is in @grant, and wipes that. */
void totp_kept_add (TotpKept *kept, const char *service, CommySessionGrant *grant);
/* NULL: none that is not over. (transfer none) */
const CommySessionGrant *totp_kept_find (TotpKept *kept, const char *service, gint64 now_s);
/* One of the same user on another host, whose service may be of the same instances; else NULL. */
const CommySessionGrant *totp_kept_find_kin (TotpKept *kept, const char *service, gint64 now_s);
void totp_kept_remove (TotpKept *kept, const char *service);
guint totp_kept_get_n (TotpKept *kept);

/* As it is sent. */
void totp_grant_write (const CommySessionGrant *grant, guint8 out[TOTP_GRANT_SIZE]);
gboolean totp_grant_read (const guint8 bytes[TOTP_GRANT_SIZE], CommySessionGrant *out_grant);

G_END_DECLS
