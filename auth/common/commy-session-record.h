/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session as it lies in the mesh's store, for all instances of a service: it checks a key and is
 * none, and is sealed by a key that the instances share and the store does not know. So a store can
 * forget a session, and can neither make one nor have one last longer. Time is an argument.
 */
#pragma once

#include "auth/common/commy-session.h"

G_BEGIN_DECLS

/* In the store: behind it the session's id. */
#define COMMY_SESSIONS_PREFIX "sessions/"
#define COMMY_SESSION_RECORD_MAX 2048u
#define COMMY_SESSION_SEAL_SIZE 32u

typedef struct
{
  char id[COMMY_API_KEY_ID_SIZE + 1];
  char *principal;
  char *factor;
  gint64 created_s;
  gint64 expires_s; /* if nobody uses it */
  gint64 ends_s;    /* at the latest */
  CommyApiKeyVerifier verifier;
} CommySessionRecord;

void commy_session_record_free (CommySessionRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySessionRecord, commy_session_record_free)

/* The key by which they are sealed. @name: a credential (commy_credential_get()) that the instances
 * share, of 32 characters or more. */
gboolean
commy_session_seal_key (const char *name, guint8 out_key[COMMY_SESSION_SEAL_SIZE], GError **error);

/* A new one, and what its peer gets. NULL with @error. */
CommySessionRecord *commy_session_record_new (const CommySessionRules *rules,
                                              const char *principal,
                                              const char *factor,
                                              gint64 now_s,
                                              CommySessionGrant *out_grant,
                                              GError **error);
/* It is used: whether that makes it last so much longer that it is to be written. */
gboolean commy_session_record_touch (CommySessionRecord *record,
                                     const CommySessionRules *rules,
                                     gint64 now_s);
/* Why it does not count, a phrase; NULL: it is a session of @principal's, and @proof one of it. */
const char *commy_session_record_why_not (const CommySessionRecord *record,
                                          const CommySessionRules *rules,
                                          const char *principal,
                                          const guint8 *transcript,
                                          const guint8 *proof,
                                          gint64 now_s);

/* (transfer full) */
char *commy_session_record_dup_key (const char *id);
GBytes *commy_session_record_write (const CommySessionRecord *record,
                                    const guint8 seal[COMMY_SESSION_SEAL_SIZE]);
/* @seal: NULL: it is read to be shown, and not believed. NULL with @error: nothing of it counts. */
CommySessionRecord *commy_session_record_read (
    const char *key, gconstpointer bytes, gsize size, const guint8 *seal, GError **error);

G_END_DECLS
