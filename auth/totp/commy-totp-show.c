/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connecting side: what this node shows or proves, and what it is given for it.
 */
#include "config.h"

#include "auth/totp/commy-totp-exchange.h"

#include "auth/common/commy-credential.h"

#include <string.h>

/* By the secret, over any path that has a binding. */
static void
prove (TotpSession *session,
       const CommyTotpKey *key,
       CommyAuthStepDoneFunc done,
       gpointer user_data)
{
  guint8 message[TOTP_HEAD_SIZE + 1 + COMMY_TOTP_PROOF_SIZE] = "H3p";
  guint8 transcript[COMMY_TRANSCRIPT_SIZE];
  g_autoptr (GBytes) bytes = NULL;

  totp_make_transcript (session, TOTP_LABEL, transcript);
  commy_totp_prove (key, transcript, message + TOTP_HEAD_SIZE + 1);
  bytes = g_bytes_new (message, sizeof message);
  session->state = TOTP_OVER;
  done (user_data, COMMY_AUTH_NOT_MINE, bytes, NULL);
}

/* By a session that this service granted before. */
static void
resume (TotpSession *session,
        const CommySessionGrant *grant,
        CommyAuthStepDoneFunc done,
        gpointer user_data)
{
  guint8 message[TOTP_HEAD_SIZE + 1 + TOTP_SESSION_SIZE] = "H3s";
  guint8 transcript[COMMY_TRANSCRIPT_SIZE];
  guint8 unused[COMMY_API_KEY_HASH_SIZE];
  g_autoptr (GBytes) bytes = NULL;

  totp_make_transcript (session, TOTP_LABEL_SESSION, transcript);
  memcpy (message + TOTP_HEAD_SIZE + 1, grant->key.id, COMMY_API_KEY_ID_SIZE);
  commy_api_key_prove (&grant->key, grant->pepper, transcript,
                       message + TOTP_HEAD_SIZE + 1 + COMMY_API_KEY_ID_SIZE, unused);
  explicit_bzero (unused, sizeof unused);
  bytes = g_bytes_new (message, sizeof message);
  session->has_resumed = TRUE;
  session->state = TOTP_AWAITS_GRANT;
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

static void
show (TotpSession *session, const char *code, CommyAuthStepDoneFunc done, gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autofree char *why
      = commy_bearer_dup_why_not (&session->bearer, host->param (host, "show-to"), "auth/totp");
  GString *answer;
  g_autoptr (GBytes) bytes = NULL;

  if (why == NULL && strlen (code) > TOTP_CODE_MAX)
    why = g_strdup ("the credential (param.credential) is neither a code nor an otpauth address");
  if (why != NULL)
    {
      totp_refuse (session, done, user_data, why);
      return;
    }
  answer = g_string_sized_new (TOTP_HEAD_SIZE + 1 + TOTP_CODE_MAX + 1);
  g_string_append (answer, "H3c");
  g_string_append (answer, code);
  bytes = commy_bearer_take_bytes (g_string_free (answer, FALSE));
  session->state = TOTP_AWAITS_GRANT;
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

static void
answer_by (TotpSession *session,
           const char *credential,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  CommyTotpKey key;
  char code[COMMY_TOTP_DIGITS_MAX + 1];

  if (!g_str_has_prefix (credential, "otpauth:"))
    {
      show (session, credential, done, user_data);
      return;
    }
  if (!commy_totp_key_parse_uri (credential, &key, &error))
    {
      totp_refuse (session, done, user_data, error->message);
      return;
    }
  if (session->transcript.has_binding)
    prove (session, &key, done, user_data);
  else
    {
      commy_totp_code (&key, commy_totp_step (totp_now_s ()), code);
      show (session, code, done, user_data);
      explicit_bzero (code, sizeof code);
    }
  commy_totp_key_clear (&key);
}

/* By what this node has itself. */
static void
answer_anew (TotpSession *session, CommyAuthStepDoneFunc done, gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autoptr (GError) error = NULL;
  char *credential;
  char *rest;

  credential = commy_credential_get (host->param (host, "credential"), COMMY_TOTP_URI_MAX, &error);
  if (credential == NULL)
    {
      totp_refuse (session, done, user_data, error->message);
      return;
    }
  /* `commy totp enrol` prints backup codes below the address. */
  rest = credential + strcspn (credential, "\r\n");
  explicit_bzero (rest, strlen (rest));
  answer_by (session, credential, done, user_data);
  commy_credential_free (credential);
}

void
totp_show_answer (TotpSession *session,
                  const guint8 *data,
                  gsize size,
                  CommyAuthStepDoneFunc done,
                  gpointer user_data)
{
  const CommySessionGrant *grant = NULL;

  if (size != TOTP_HELLO_SIZE || memcmp (data, "H2", TOTP_HEAD_SIZE) != 0)
    {
      totp_refuse (session, done, user_data, "the other side's challenge is none");
      return;
    }
  memcpy (session->second, data, TOTP_HELLO_SIZE);
  if (session->bearer.peer != NULL && session->transcript.has_binding)
    {
      grant = totp_kept_find (session->totp->kept, session->bearer.peer, totp_now_s ());
      session->is_kin = grant == NULL;
      if (grant == NULL)
        grant = totp_kept_find_kin (session->totp->kept, session->bearer.peer, totp_now_s ());
    }
  if (grant != NULL)
    resume (session, grant, done, user_data);
  else
    answer_anew (session, done, user_data);
}

void
totp_show_take_grant (TotpSession *session,
                      const guint8 *data,
                      gsize size,
                      CommyAuthStepDoneFunc done,
                      gpointer user_data)
{
  CommySessionGrant grant;

  if (size == TOTP_HEAD_SIZE + 1 && memcmp (data, "H4n", size) == 0 && session->has_resumed)
    {
      session->has_resumed = FALSE;
      if (!session->is_kin)
        totp_kept_remove (session->totp->kept, session->bearer.peer);
      answer_anew (session, done, user_data);
      return;
    }
  if (size == TOTP_HEAD_SIZE + 1 + TOTP_GRANT_SIZE && memcmp (data, "H4g", TOTP_HEAD_SIZE + 1) == 0
      && session->bearer.is_private && session->bearer.peer != NULL
      && totp_grant_read (data + TOTP_HEAD_SIZE + 1, &grant))
    totp_kept_add (session->totp->kept, session->bearer.peer, &grant);
  else if (size != 0)
    {
      totp_refuse (session, done, user_data, "the other side's answer is none");
      return;
    }
  session->state = TOTP_OVER;
  done (user_data, COMMY_AUTH_NOT_MINE, NULL, NULL);
}
