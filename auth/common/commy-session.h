/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions: who has shown a second factor gets a key of its own for a while, by which later
 * connections prove the same. They end when they are not used, when their longest life is over, or
 * when somebody revokes them; for all processes of the service's user on this host. Time is an
 * argument. All of it blocks on files.
 */
#pragma once

#include "auth/common/commy-api-key.h"

G_BEGIN_DECLS

#define COMMY_SESSIONS_FILE "sessions"
/* Of one principal; who has as many gets no other. */
#define COMMY_SESSIONS_PRINCIPAL_MAX 16u

/* What the peer gets, once. */
typedef struct
{
  CommyApiKey key;
  guint8 pepper[COMMY_API_KEY_PEPPER_SIZE];
  gint64 ends_s; /* at the latest */
} CommySessionGrant;

void commy_session_grant_clear (CommySessionGrant *grant);

typedef struct
{
  gint64 idle_s; /* how long it lives without being used */
  gint64 life_s; /* and with; 0: there are no sessions */
} CommySessionRules;

/* @factor: id of the second factor that it stands for, a word. */
gboolean commy_session_issue (const char *dir,
                              const CommySessionRules *rules,
                              const char *principal,
                              const char *factor,
                              gint64 now_s,
                              CommySessionGrant *out_grant,
                              GError **error);
/* Whether that is a proof (commy_api_key_prove()) of a session of @principal's that counts; it
 * counts longer then. Returns its second factor. (transfer full) NULL with why not. */
char *commy_session_check (const char *dir,
                           const CommySessionRules *rules,
                           const char *principal,
                           const char *id,
                           const guint8 *transcript,
                           const guint8 *proof,
                           gint64 now_s,
                           GError **error);

G_END_DECLS
