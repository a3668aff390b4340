/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the provider share about one exchange: commy-auth-totp.c begins it and hands
 * each message to the side that it is for, commy-totp-show.c (connecting) or commy-totp-judge.c
 * (accepting). Mesh thread.
 */
#pragma once

#include "auth/common/commy-bearer.h"
#include "auth/common/commy-session.h"
#include "auth/common/commy-shares.h"
#include "auth/common/commy-totp.h"
#include "auth/common/commy-transcript.h"
#include "auth/totp/commy-totp-kept.h"
#include "auth/totp/commy-totp-shared.h"
#include "auth/totp/commy-totp-standing.h"

#include <commy/commy-plugin.h>

#define TOTP_LABEL "commy totp proof 1"
#define TOTP_LABEL_SESSION "commy session proof 1"
#define TOTP_HEAD_SIZE 2u
#define TOTP_NONCE_SIZE 32u
#define TOTP_HELLO_SIZE (TOTP_HEAD_SIZE + TOTP_NONCE_SIZE)
#define TOTP_CODE_MAX 32u
#define TOTP_SESSION_SIZE (COMMY_API_KEY_ID_SIZE + COMMY_API_KEY_HASH_SIZE)

typedef struct
{
  CommyHost *host;
  CommySessionRules rules;
  TotpKept *kept;
  TotpShared *shared;  /* NULL: sessions are in a file of this host */
  CommyShares *checks; /* under way, those included that nobody waits for any more */
  CommyKeptRegister secrets;
} Totp;

typedef enum
{
  TOTP_AWAITS_FIRST, /* accepting; the connecting side begins with it */
  TOTP_AWAITS_SECOND,
  TOTP_AWAITS_ANSWER,
  TOTP_AWAITS_GRANT, /* connecting: or that a session does not count */
  TOTP_OVER,
} TotpState;

/* In commy-totp-judge.c. */
typedef struct _TotpCheck TotpCheck;

typedef struct
{
  Totp *totp;
  TotpState state;
  CommyBearer bearer;
  CommyTranscript transcript;
  guint8 first[TOTP_HELLO_SIZE];
  guint8 second[TOTP_HELLO_SIZE];
  gboolean has_resumed;                     /* with a session; once */
  gboolean is_kin;                          /* which another host's instance gave */
  char factor[COMMY_API_KEY_ID_SIZE + 1];   /* accepting: what was proved; "": nothing yet */
  char rests_on[COMMY_API_KEY_ID_SIZE + 1]; /* and a session in the store, too; or "" */
  TotpCheck *check;                         /* under way; or NULL */
} TotpSession;

/* The last word of this side. */
void totp_end_with (TotpSession *session,
                    CommyAuthVerdict verdict,
                    CommyAuthStepDoneFunc done,
                    gpointer user_data,
                    const char *why);
void
totp_refuse (TotpSession *session, CommyAuthStepDoneFunc done, gpointer user_data, const char *why);
void totp_make_transcript (const TotpSession *session, const char *label, guint8 *out);
gint64 totp_now_s (void);

/* --- connecting side --- */

/* Answers the challenge. */
void totp_show_answer (TotpSession *session,
                       const guint8 *data,
                       gsize size,
                       CommyAuthStepDoneFunc done,
                       gpointer user_data);
/* What came of a code or session: nothing more to be said, a session, or another try. */
void totp_show_take_grant (TotpSession *session,
                           const guint8 *data,
                           gsize size,
                           CommyAuthStepDoneFunc done,
                           gpointer user_data);

/* --- accepting side --- */

/* Judges the answer, in a thread. */
void totp_judge_answer (TotpSession *session,
                        const guint8 *data,
                        gsize size,
                        CommyAuthStepDoneFunc done,
                        gpointer user_data);
/* Nobody waits for it any more. */
void totp_judge_forget (TotpCheck *check);
