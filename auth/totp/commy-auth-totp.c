/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `totp`: a second factor. The peer is who another provider of the chain says,
 * and shows a code of that principal's, or proves that it has the secret of the codes:
 *
 *   -> "H1" nonce (32)
 *   <- "H2" nonce (32)
 *   -> "H3" 'p' proof (32), over H1, H2 and the channel (auth/common/commy-transcript.h)
 *      "H3" 'c' code, over a path on which nobody listens
 *      "H3" 's' id (12) proof (32) of a session that was granted before; if it does not count any
 *               more the answer is "H4n", and another H3 follows
 *   <- nothing, or for a code "H4g" and a session
 *
 * A proof uses up no code, since it can be made for one channel only. Files are read and written
 * by a thread, since a code that is used up is on the disk before it counts.
 */
#include "config.h"

#include "auth/common/commy-auth-params.h"
#include "auth/common/commy-bearer.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-shares.h"
#include "auth/common/commy-totp.h"
#include "auth/common/commy-transcript.h"
#include "auth/totp/commy-totp-kept.h"
#include "auth/totp/commy-totp-shared.h"
#include "auth/totp/commy-totp-standing.h"
#include "plugins/common/commy-params.h"

#include <commy/commy-plugin.h>
#include <string.h>

#define LABEL "commy totp proof 1"
#define LABEL_SESSION "commy session proof 1"
#define SECOND G_GINT64_CONSTANT (1000000000)
#define DAY_S G_GINT64_CONSTANT (86400)
#define HEAD_SIZE 2u
#define NONCE_SIZE 32u
#define HELLO_SIZE (HEAD_SIZE + NONCE_SIZE)
#define CODE_MAX 32u
#define SESSION_SIZE (COMMY_API_KEY_ID_SIZE + COMMY_API_KEY_HASH_SIZE)
#define CHECKS_MAX 32u /* under way */
#define CHECKS_EACH 8u /* of one principal */

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
  AWAITS_FIRST, /* accepting; the connecting side begins with it */
  AWAITS_SECOND,
  AWAITS_ANSWER,
  AWAITS_GRANT, /* connecting: or that a session does not count */
  OVER,
} State;

typedef struct _Check Check;

typedef struct
{
  Totp *totp;
  State state;
  CommyBearer bearer;
  CommyTranscript transcript;
  guint8 first[HELLO_SIZE];
  guint8 second[HELLO_SIZE];
  gboolean has_resumed;                     /* with a session; once */
  gboolean is_kin;                          /* which another host's instance gave */
  char factor[COMMY_API_KEY_ID_SIZE + 1];   /* accepting: what was proved; "": nothing yet */
  char rests_on[COMMY_API_KEY_ID_SIZE + 1]; /* and a session in the store, too; or "" */
  Check *check;                             /* under way; or NULL */
} Session;

/* What a thread needs, all of it its own. */
struct _Check
{
  Totp *totp;
  Session *session; /* NULL: it is gone */
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

static const CommyParamSpec totp_params[] = {
  COMMY_AUTH_STRING ("credential",
                     "",
                     "This node's own second factor: the file of a code, or of the otpauth "
                     "address of its secret, as an absolute path, or the name of a credential of "
                     "the service manager; empty: it has none"),
  COMMY_AUTH_STRING ("show-to",
                     "",
                     "Whom a code is shown to, as patterns of principals with spaces between; "
                     "empty: to nobody. What is proved by a secret needs no such leave"),
  COMMY_AUTH_STRING ("key",
                     "",
                     "By which the secrets of others are sealed: the file of it, as an absolute "
                     "path, or the name of a credential of the service manager; empty: totp-key "
                     "in the state folder"),
  COMMY_AUTH_DURATION ("session-life",
                       "0s",
                       0,
                       30 * DAY_S * SECOND,
                       "How long who has shown a code need not show another one; 0: not at all"),
  COMMY_AUTH_DURATION ("session-idle",
                       "3600s",
                       SECOND,
                       30 * DAY_S * SECOND,
                       "And how long if no connection is set up meanwhile"),
  COMMY_AUTH_STRING (
      "session-key",
      "",
      "By which sessions are sealed that all instances of a service honour, through the "
      "mesh's store: the file of it, as an absolute path, or the name of a credential of the "
      "service manager, the same at all of them; empty: sessions are of one host"),
};

/* FALSE: with @error. */
static gboolean
share_sessions (Totp *self, GError **error)
{
  const char *name = self->host->param (self->host, "session-key");
  guint8 seal[COMMY_SESSION_SEAL_SIZE];

  if (*name == '\0')
    return TRUE;
  if (self->host->struct_size < G_STRUCT_OFFSET (CommyHost, store) + sizeof self->host->store
      || self->host->store == NULL)
    return commy_params_refuse (error,
                                "session-key is set, but there is no store for plugins here");
  if (!commy_session_seal_key (name, seal, error))
    return FALSE;
  self->shared = totp_shared_new (self->host, &self->rules, seal);
  explicit_bzero (seal, sizeof seal);
  return TRUE;
}

static gboolean
totp_init (gpointer instance, CommyHost *host, GError **error)
{
  Totp *self = instance;

  self->host = host;
  self->kept = totp_kept_new ();
  self->checks = commy_shares_new (CHECKS_MAX, CHECKS_EACH);
  self->rules.life_s = g_ascii_strtoll (host->param (host, "session-life"), NULL, 10) / SECOND;
  self->rules.idle_s = g_ascii_strtoll (host->param (host, "session-idle"), NULL, 10) / SECOND;
  if (share_sessions (self, error))
    return TRUE;
  g_clear_pointer (&self->checks, commy_shares_free);
  g_clear_pointer (&self->kept, totp_kept_free);
  return FALSE;
}

static void
totp_quiesce (gpointer instance)
{
  Totp *self = instance;

  if (self->shared != NULL)
    totp_shared_stop (self->shared);
}

/* Each check ends: it waits for files, and for a store that has answered everything by now. */
static void
totp_fini (gpointer instance)
{
  Totp *self = instance;

  while (self->checks != NULL && commy_shares_get_n (self->checks) > 0)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
  g_clear_pointer (&self->checks, commy_shares_free);
  g_clear_pointer (&self->kept, totp_kept_free);
  commy_kept_register_clear (&self->secrets);
  g_clear_pointer (&self->shared, totp_shared_free);
}

static CommyAuthVerdict
totp_judge (gpointer instance,
            const CommyEvidence *evidence,
            char *principal,
            char *reason,
            gsize reason_size)
{
  return COMMY_AUTH_NOT_MINE;
}

static void
totp_begin (gpointer instance, gpointer session_, const CommyEvidence *evidence, gboolean accepting)
{
  Session *session = session_;

  session->totp = instance;
  session->state = accepting ? AWAITS_FIRST : AWAITS_SECOND;
  commy_bearer_begin (&session->bearer, evidence, accepting);
  commy_transcript_begin (&session->transcript, evidence, accepting);
}

static void
totp_end (gpointer session_)
{
  Session *session = session_;

  if (session->check != NULL)
    session->check->session = NULL;
  commy_bearer_clear (&session->bearer);
}

static void
end_with (Session *session,
          CommyAuthVerdict verdict,
          CommyAuthStepDoneFunc done,
          gpointer user_data,
          const char *why)
{
  session->state = OVER;
  done (user_data, verdict, NULL, why);
}

static void
refuse (Session *session, CommyAuthStepDoneFunc done, gpointer user_data, const char *why)
{
  end_with (session, COMMY_AUTH_REFUSED, done, user_data, why);
}

/* Either side's first message: something that only this exchange has. */
static void
say_hello (Session *session,
           guint8 *hello,
           const char *head,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autoptr (GBytes) bytes = NULL;

  memcpy (hello, head, HEAD_SIZE);
  host->random (host, hello + HEAD_SIZE, NONCE_SIZE);
  bytes = g_bytes_new (hello, HELLO_SIZE);
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

static void
make_transcript (const Session *session, const char *label, guint8 *out)
{
  commy_transcript_finish (&session->transcript, label, session->first, HELLO_SIZE, session->second,
                           HELLO_SIZE, out);
}

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* --- connecting side --- */

/* By the secret, over any path that has a binding. */
static void
prove (Session *session, const CommyTotpKey *key, CommyAuthStepDoneFunc done, gpointer user_data)
{
  guint8 message[HEAD_SIZE + 1 + COMMY_TOTP_PROOF_SIZE] = "H3p";
  guint8 transcript[COMMY_TRANSCRIPT_SIZE];
  g_autoptr (GBytes) bytes = NULL;

  make_transcript (session, LABEL, transcript);
  commy_totp_prove (key, transcript, message + HEAD_SIZE + 1);
  bytes = g_bytes_new (message, sizeof message);
  session->state = OVER;
  done (user_data, COMMY_AUTH_NOT_MINE, bytes, NULL);
}

/* By a session that this service granted before. */
static void
resume (Session *session,
        const CommySessionGrant *grant,
        CommyAuthStepDoneFunc done,
        gpointer user_data)
{
  guint8 message[HEAD_SIZE + 1 + SESSION_SIZE] = "H3s";
  guint8 transcript[COMMY_TRANSCRIPT_SIZE];
  guint8 unused[COMMY_API_KEY_HASH_SIZE];
  g_autoptr (GBytes) bytes = NULL;

  make_transcript (session, LABEL_SESSION, transcript);
  memcpy (message + HEAD_SIZE + 1, grant->key.id, COMMY_API_KEY_ID_SIZE);
  commy_api_key_prove (&grant->key, grant->pepper, transcript,
                       message + HEAD_SIZE + 1 + COMMY_API_KEY_ID_SIZE, unused);
  explicit_bzero (unused, sizeof unused);
  bytes = g_bytes_new (message, sizeof message);
  session->has_resumed = TRUE;
  session->state = AWAITS_GRANT;
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

static void
show (Session *session, const char *code, CommyAuthStepDoneFunc done, gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autofree char *why
      = commy_bearer_dup_why_not (&session->bearer, host->param (host, "show-to"), "auth/totp");
  GString *answer;
  g_autoptr (GBytes) bytes = NULL;

  if (why == NULL && strlen (code) > CODE_MAX)
    why = g_strdup ("the credential (param.credential) is neither a code nor an otpauth address");
  if (why != NULL)
    {
      refuse (session, done, user_data, why);
      return;
    }
  answer = g_string_sized_new (HEAD_SIZE + 1 + CODE_MAX + 1);
  g_string_append (answer, "H3c");
  g_string_append (answer, code);
  bytes = commy_bearer_take_bytes (g_string_free (answer, FALSE));
  session->state = AWAITS_GRANT;
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

static void
answer_by (Session *session, const char *credential, CommyAuthStepDoneFunc done, gpointer user_data)
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
      refuse (session, done, user_data, error->message);
      return;
    }
  if (session->transcript.has_binding)
    prove (session, &key, done, user_data);
  else
    {
      commy_totp_code (&key, commy_totp_step (now_s ()), code);
      show (session, code, done, user_data);
      explicit_bzero (code, sizeof code);
    }
  commy_totp_key_clear (&key);
}

/* By what this node has itself. */
static void
answer_anew (Session *session, CommyAuthStepDoneFunc done, gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autoptr (GError) error = NULL;
  char *credential;
  char *rest;

  credential = commy_credential_get (host->param (host, "credential"), COMMY_TOTP_URI_MAX, &error);
  if (credential == NULL)
    {
      refuse (session, done, user_data, error->message);
      return;
    }
  /* `commy totp enrol` prints backup codes below the address. */
  rest = credential + strcspn (credential, "\r\n");
  explicit_bzero (rest, strlen (rest));
  answer_by (session, credential, done, user_data);
  commy_credential_free (credential);
}

static void
answer (Session *session,
        const guint8 *data,
        gsize size,
        CommyAuthStepDoneFunc done,
        gpointer user_data)
{
  const CommySessionGrant *grant = NULL;

  if (size != HELLO_SIZE || memcmp (data, "H2", HEAD_SIZE) != 0)
    {
      refuse (session, done, user_data, "the other side's challenge is none");
      return;
    }
  memcpy (session->second, data, HELLO_SIZE);
  if (session->bearer.peer != NULL && session->transcript.has_binding)
    {
      grant = totp_kept_find (session->totp->kept, session->bearer.peer, now_s ());
      session->is_kin = grant == NULL;
      if (grant == NULL)
        grant = totp_kept_find_kin (session->totp->kept, session->bearer.peer, now_s ());
    }
  if (grant != NULL)
    resume (session, grant, done, user_data);
  else
    answer_anew (session, done, user_data);
}

/* What came of a code or session: nothing more to be said, a session, or another try. */
static void
take_grant (Session *session,
            const guint8 *data,
            gsize size,
            CommyAuthStepDoneFunc done,
            gpointer user_data)
{
  CommySessionGrant grant;

  if (size == HEAD_SIZE + 1 && memcmp (data, "H4n", size) == 0 && session->has_resumed)
    {
      session->has_resumed = FALSE;
      if (!session->is_kin)
        totp_kept_remove (session->totp->kept, session->bearer.peer);
      answer_anew (session, done, user_data);
      return;
    }
  if (size == HEAD_SIZE + 1 + TOTP_GRANT_SIZE && memcmp (data, "H4g", HEAD_SIZE + 1) == 0
      && session->bearer.is_private && session->bearer.peer != NULL
      && totp_grant_read (data + HEAD_SIZE + 1, &grant))
    totp_kept_add (session->totp->kept, session->bearer.peer, &grant);
  else if (size != 0)
    {
      refuse (session, done, user_data, "the other side's answer is none");
      return;
    }
  session->state = OVER;
  done (user_data, COMMY_AUTH_NOT_MINE, NULL, NULL);
}

/* --- accepting side --- */

static void
check_free (Check *check)
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
check_end (Check *check)
{
  commy_shares_give (check->totp->checks, check->principal);
  check_free (check);
}

/* Where there is none, another code is asked for next time; the one that was shown counts. */
static void
grant (Check *check, const char *id)
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
check_session (Check *check, GError **error)
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
  Check *check = data;
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
accept (Session *session, const Check *check)
{
  CommyHost *host = check->totp->host;
  g_autofree char *text = g_strdup_printf ("totp:%s\nfor=%s%s%s", check->accepted, check->principal,
                                           check->kind == 's' ? "\nsession=" : "", check->id);
  guint8 message[HEAD_SIZE + 1 + TOTP_GRANT_SIZE] = "H4g";
  g_autoptr (GBytes) bytes = NULL;

  if (check->complaint != NULL)
    host->log (host, G_LOG_LEVEL_WARNING, check->complaint);
  if (check->totp->shared != NULL)
    g_strlcpy (session->rests_on, check->kind == 's' ? check->id : check->grant.key.id,
               sizeof session->rests_on);
  if (check->grant.key.id[0] != '\0')
    {
      totp_grant_write (&check->grant, message + HEAD_SIZE + 1);
      bytes = commy_credential_new_bytes (message, sizeof message);
      explicit_bzero (message, sizeof message);
    }
  g_strlcpy (session->factor, check->accepted, sizeof session->factor);
  check->done (check->user_data, COMMY_AUTH_ACCEPTED, bytes, text);
}

/* The peer shows a code instead. */
static void
ask_again (Session *session, const Check *check)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("H4n", HEAD_SIZE + 1);

  session->has_resumed = TRUE;
  session->state = AWAITS_ANSWER;
  check->done (check->user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

/* It is answered, and over; @error: unless it was accepted. */
static void
conclude (Check *check, const GError *error)
{
  Session *session = check->session;

  if (session != NULL)
    session->check = NULL;
  if (session != NULL && check->accepted != NULL)
    accept (session, check);
  else if (session != NULL && check->kind == 's')
    ask_again (session, check);
  else if (session != NULL)
    /* Of all that goes wrong only what a code or proof is not good enough for is the peer's. */
    end_with (session, error->code == COMMY_ERROR_REFUSED ? COMMY_AUTH_REFUSED : COMMY_AUTH_UNABLE,
              check->done, check->user_data, error->message);
  check_end (check);
}

static void
on_given (gpointer data, const CommySessionGrant *given, const char *why)
{
  Check *check = data;

  if (given != NULL)
    check->grant = *given;
  else
    check->complaint = g_strdup_printf ("no session for %s: %s", check->principal, why);
  conclude (check, NULL);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Check *check = user_data;
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
run_in_thread (Check *check)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_checked, check);

  g_task_set_task_data (task, check, NULL);
  g_task_run_in_thread (task, run_check);
}

/* Whether the store has that session. */
static void
on_shared_checked (gpointer data, const char *factor, const char *why)
{
  Check *check = data;

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
start_check (Session *session, Check *check, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Totp *self = session->totp;

  check->totp = self;
  check->session = session;
  check->done = done;
  check->user_data = user_data;
  check->dir = g_strdup (self->host->info (self->host, COMMY_HOST_STATE_DIR));
  check->key = g_strdup (self->host->param (self->host, "key"));
  check->principal = g_strdup (session->bearer.peer);
  check->now_s = now_s ();
  check->rules = self->rules;
  check->may_grant = self->rules.life_s > 0 && session->bearer.is_private;
  session->check = check;
  session->state = OVER;
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
  return size > 0 && size <= CODE_MAX;
}

static gboolean
is_answer (const Session *session, char kind, const guint8 *rest, gsize size)
{
  switch (kind)
    {
    case 'p':
      return size == COMMY_TOTP_PROOF_SIZE;
    case 'c':
      return is_code (rest, size);
    case 's':
      return size == SESSION_SIZE && !session->has_resumed;
    default:
      return FALSE;
    }
}

static Check *
make_check (const Session *session, char kind, const guint8 *rest, gsize size)
{
  Check *check = g_new0 (Check, 1);

  check->kind = kind;
  if (kind == 'c')
    {
      check->code = g_strndup ((const char *) rest, size);
      return check;
    }
  make_transcript (session, kind == 's' ? LABEL_SESSION : LABEL, check->transcript);
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
take_check (Session *session, const guint8 *data, gsize size, Check **out_check)
{
  const guint8 *rest;
  char kind;

  if (size < HEAD_SIZE + 2 || memcmp (data, "H3", HEAD_SIZE) != 0)
    return "its answer is none";
  kind = (char) data[HEAD_SIZE];
  rest = data + HEAD_SIZE + 1;
  size -= HEAD_SIZE + 1;
  if (kind != 'c' && !session->transcript.has_binding)
    return "the transport gives a connection no binding, without which a proof can be passed on";
  if (!is_answer (session, kind, rest, size))
    return "its answer is neither a proof nor a code nor a session";
  *out_check = make_check (session, kind, rest, size);
  return NULL;
}

static void
check (Session *session,
       const guint8 *data,
       gsize size,
       CommyAuthStepDoneFunc done,
       gpointer user_data)
{
  Check *new_check = NULL;
  const char *why = take_check (session, data, size, &new_check);

  if (why != NULL)
    refuse (session, done, user_data, why);
  else if (commy_shares_take (session->totp->checks, session->bearer.peer))
    start_check (session, new_check, done, user_data);
  else
    {
      check_free (new_check);
      end_with (session, COMMY_AUTH_UNABLE, done, user_data, "too many checks are under way");
    }
}

static void
challenge (Session *session,
           const guint8 *data,
           gsize size,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  if (size != HELLO_SIZE || memcmp (data, "H1", HEAD_SIZE) != 0)
    refuse (session, done, user_data, "its first message is none");
  else if (session->bearer.peer == NULL)
    refuse (session, done, user_data,
            "a code is a second factor: name another provider before totp in the chain, such as "
            "require=mtls;totp");
  else
    {
      memcpy (session->first, data, HELLO_SIZE);
      session->state = AWAITS_ANSWER;
      say_hello (session, session->second, "H2", done, user_data);
    }
}

static void
totp_step (gpointer session_, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Session *session = session_;
  gsize size = 0;
  const guint8 *data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

  if (session->state == AWAITS_SECOND && bytes == NULL)
    say_hello (session, session->first, "H1", done, user_data);
  else if (session->state == AWAITS_SECOND && session->first[0] != 0)
    answer (session, data, size, done, user_data);
  else if (session->state == AWAITS_FIRST)
    challenge (session, data, size, done, user_data);
  else if (session->state == AWAITS_ANSWER)
    check (session, data, size, done, user_data);
  else if (session->state == AWAITS_GRANT)
    take_grant (session, data, size, done, user_data);
  else
    refuse (session, done, user_data, "a message that nobody waits for");
}

/* --- what an open connection rests on --- */

static gboolean
totp_proof (gpointer instance, const CommyEvidence *evidence, gpointer session_, CommyProof *proof)
{
  const Session *session = session_;

  if (session == NULL || session->factor[0] == '\0')
    return FALSE;
  totp_standing_name (session->factor, session->rests_on, proof);
  return TRUE;
}

static CommyProofState
totp_stands (gpointer instance, const char *proof, char *reason, gsize reason_size)
{
  Totp *self = instance;

  return totp_standing_look (self->host, &self->secrets, self->shared, proof, reason, reason_size);
}

static const CommyAuthOps totp_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .session_size = sizeof (Session),
  .judge = totp_judge,
  .begin = totp_begin,
  .step = totp_step,
  .end = totp_end,
  .proof = totp_proof,
  .stands = totp_stands,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "totp",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "a one-time code beside another proof",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_AUTHENTICATED,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 2000000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Totp, totp_init, totp_quiesce, totp_fini, totp_params, G_N_ELEMENTS (totp_params), &totp_ops);
