/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accepting side: what a peer shows is checked by a thread, because a code that is used up is
 * on the disk before it counts.
 */
#include "config.h"

#include "auth/totp/commy-totp-exchange.h"

#include "auth/common/commy-credential.h"

#include <string.h>

/* What a thread needs, all of it its own. */
struct _TotpCheck
{
  Totp *totp;
  TotpSession *session; /* NULL: it is gone */
  CommyAuthStepDoneFunc done;
  gpointer user_data;
  char *dir;
  char *key;
  char *principal;
  gint64 now_s;
  CommySessionRules rules;
  char kind;  /* of the answer: 'p', 'c' or 's' */
  char *code; /* or NULL */
  char id[COMMY_API_KEY_ID_SIZE + 1];
  guint8 transcript[COMMY_TRANSCRIPT_SIZE];
  guint8 proof[COMMY_TOTP_PROOF_SIZE];
  gboolean may_grant;
  CommySessionGrant grant; /* without an id: none */
  char *factor;            /* that a session in the store stands for; or NULL */
  char *accepted;          /* id of the second factor; or NULL */
  char *complaint;         /* for the log; or NULL */
};

static void
check_free (TotpCheck *check)
{
  commy_credential_free (check->code);
  commy_session_grant_clear (&check->grant);
  g_free (check->factor);
  g_free (check->accepted);
  g_free (check->complaint);
  g_free (check->dir);
  g_free (check->key);
  g_free (check->principal);
  g_free (check);
}

/* It has been answered, if anybody waited. */
static void
check_end (TotpCheck *check)
{
  commy_shares_give (check->totp->checks, check->principal);
  check_free (check);
}

/* Where there is none, another code is asked for next time; the one that was shown counts. */
static void
grant (TotpCheck *check, const char *id)
{
  g_autoptr (GError) error = NULL;

  if (!check->may_grant || check->totp->shared != NULL
      || commy_session_issue (check->dir, &check->rules, check->principal, id, check->now_s,
                              &check->grant, &error))
    return;
  check->complaint = g_strdup_printf ("no session for %s: %s", check->principal, error->message);
}

/* A session ends with the secret whose code it stands for. */
static char *
check_session (TotpCheck *check, GError **error)
{
  g_autofree char *id = NULL;

  if (check->factor
      != NULL) /* another host may have the secret, and who revokes it there ends it */
    return commy_totp_check_not_revoked (check->dir, check->principal, check->factor, error)
               ? g_strdup (check->factor)
               : NULL;
  id = commy_session_check (check->dir, &check->rules, check->principal, check->id,
                            check->transcript, check->proof, check->now_s, error);

  return id != NULL && commy_totp_check_id (check->dir, check->principal, id, error)
             ? g_steal_pointer (&id)
             : NULL;
}

static void
run_check (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  TotpCheck *check = data;
  GError *error = NULL;
  char *id;

  if (check->kind == 's')
    id = check_session (check, &error);
  else if (check->kind == 'c')
    id = commy_totp_check_code (check->dir, check->key, check->principal, check->code, check->now_s,
                                &error);
  else
    id = commy_totp_check_proof (check->dir, check->key, check->principal, check->transcript,
                                 check->proof, &error);
  if (id == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  if (check->kind == 'c')
    grant (check, id);
  g_task_return_pointer (task, id, g_free);
}

static void
accept (TotpSession *session, const TotpCheck *check)
{
  CommyHost *host = check->totp->host;
  g_autofree char *text = g_strdup_printf ("totp:%s\nfor=%s%s%s", check->accepted, check->principal,
                                           check->kind == 's' ? "\nsession=" : "", check->id);
  guint8 message[TOTP_HEAD_SIZE + 1 + TOTP_GRANT_SIZE] = "H4g";
  g_autoptr (GBytes) bytes = NULL;

  if (check->complaint != NULL)
    host->log (host, G_LOG_LEVEL_WARNING, check->complaint);
  if (check->totp->shared != NULL)
    g_strlcpy (session->rests_on, check->kind == 's' ? check->id : check->grant.key.id,
               sizeof session->rests_on);
  if (check->grant.key.id[0] != '\0')
    {
      totp_grant_write (&check->grant, message + TOTP_HEAD_SIZE + 1);
      bytes = commy_credential_new_bytes (message, sizeof message);
      explicit_bzero (message, sizeof message);
    }
  g_strlcpy (session->factor, check->accepted, sizeof session->factor);
  check->done (check->user_data, COMMY_AUTH_ACCEPTED, bytes, text);
}

/* The peer shows a code instead. */
static void
ask_again (TotpSession *session, const TotpCheck *check)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("H4n", TOTP_HEAD_SIZE + 1);

  session->has_resumed = TRUE;
  session->state = TOTP_AWAITS_ANSWER;
  check->done (check->user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

/* It is answered, and over; @error: unless it was accepted. */
static void
conclude (TotpCheck *check, const GError *error)
{
  TotpSession *session = check->session;

  if (session != NULL)
    session->check = NULL;
  if (session != NULL && check->accepted != NULL)
    accept (session, check);
  else if (session != NULL && check->kind == 's')
    ask_again (session, check);
  else if (session != NULL)
    /* Of all that goes wrong only what a code or proof is not good enough for is the peer's. */
    totp_end_with (session,
                   error->code == COMMY_ERROR_REFUSED ? COMMY_AUTH_REFUSED : COMMY_AUTH_UNABLE,
                   check->done, check->user_data, error->message);
  check_end (check);
}

static void
on_given (gpointer data, const CommySessionGrant *given, const char *why)
{
  TotpCheck *check = data;

  if (given != NULL)
    check->grant = *given;
  else
    check->complaint = g_strdup_printf ("no session for %s: %s", check->principal, why);
  conclude (check, NULL);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TotpCheck *check = user_data;
  TotpShared *shared = check->totp->shared;
  g_autoptr (GError) error = NULL;

  check->accepted = g_task_propagate_pointer (G_TASK (result), &error);
  if (check->accepted != NULL && check->kind == 'c' && check->may_grant && shared != NULL
      && check->session != NULL)
    totp_shared_give (shared, check->principal, check->accepted, check->now_s, on_given, check);
  else
    conclude (check, error);
}

static void
run_in_thread (TotpCheck *check)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_checked, check);

  g_task_set_task_data (task, check, NULL);
  g_task_run_in_thread (task, run_check);
}

/* Whether the store has that session. */
static void
on_shared_checked (gpointer data, const char *factor, const char *why)
{
  TotpCheck *check = data;

  if (factor == NULL || check->session == NULL)
    {
      conclude (check, NULL);
      return;
    }
  check->factor = g_strdup (factor);
  run_in_thread (check);
}

/* Takes @check, and has a place for it. */
static void
start_check (TotpSession *session, TotpCheck *check, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Totp *self = session->totp;

  check->totp = self;
  check->session = session;
  check->done = done;
  check->user_data = user_data;
  check->dir = g_strdup (self->host->info (self->host, COMMY_HOST_STATE_DIR));
  check->key = g_strdup (self->host->param (self->host, "key"));
  check->principal = g_strdup (session->bearer.peer);
  check->now_s = totp_now_s ();
  check->rules = self->rules;
  check->may_grant = self->rules.life_s > 0 && session->bearer.is_private;
  session->check = check;
  session->state = TOTP_OVER;
  if (check->kind == 's' && self->shared != NULL)
    totp_shared_check (self->shared, check->principal, check->id, check->transcript, check->proof,
                       check->now_s, on_shared_checked, check);
  else
    run_in_thread (check);
}

static gboolean
is_code (const guint8 *data, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum ((char) data[i]) && data[i] != '-' && data[i] != ' ')
      return FALSE;
  return size > 0 && size <= TOTP_CODE_MAX;
}

static gboolean
is_answer (const TotpSession *session, char kind, const guint8 *rest, gsize size)
{
  switch (kind)
    {
    case 'p':
      return size == COMMY_TOTP_PROOF_SIZE;
    case 'c':
      return is_code (rest, size);
    case 's':
      return size == TOTP_SESSION_SIZE && !session->has_resumed;
    default:
      return FALSE;
    }
}

static TotpCheck *
make_check (const TotpSession *session, char kind, const guint8 *rest, gsize size)
{
  TotpCheck *check = g_new0 (TotpCheck, 1);

  check->kind = kind;
  if (kind == 'c')
    {
      check->code = g_strndup ((const char *) rest, size);
      return check;
    }
  totp_make_transcript (session, kind == 's' ? TOTP_LABEL_SESSION : TOTP_LABEL, check->transcript);
  if (kind == 's')
    {
      memcpy (check->id, rest, COMMY_API_KEY_ID_SIZE);
      rest += COMMY_API_KEY_ID_SIZE;
    }
  memcpy (check->proof, rest, sizeof check->proof);
  return check;
}

/* NULL: *@out_check is to be started. */
static const char *
take_check (TotpSession *session, const guint8 *data, gsize size, TotpCheck **out_check)
{
  const guint8 *rest;
  char kind;

  if (size < TOTP_HEAD_SIZE + 2 || memcmp (data, "H3", TOTP_HEAD_SIZE) != 0)
    return "its answer is none";
  kind = (char) data[TOTP_HEAD_SIZE];
  rest = data + TOTP_HEAD_SIZE + 1;
  size -= TOTP_HEAD_SIZE + 1;
  if (kind != 'c' && !session->transcript.has_binding)
    return "the transport gives a connection no binding, without which a proof can be passed on";
  if (!is_answer (session, kind, rest, size))
    return "its answer is neither a proof nor a code nor a session";
  *out_check = make_check (session, kind, rest, size);
  return NULL;
}

void
totp_judge_answer (TotpSession *session,
                   const guint8 *data,
                   gsize size,
                   CommyAuthStepDoneFunc done,
                   gpointer user_data)
{
  TotpCheck *new_check = NULL;
  const char *why = take_check (session, data, size, &new_check);

  if (why != NULL)
    totp_refuse (session, done, user_data, why);
  else if (commy_shares_take (session->totp->checks, session->bearer.peer))
    start_check (session, new_check, done, user_data);
  else
    {
      check_free (new_check);
      totp_end_with (session, COMMY_AUTH_UNABLE, done, user_data, "too many checks are under way");
    }
}

void
totp_judge_forget (TotpCheck *check)
{
  check->session = NULL;
}
