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
#include "auth/totp/commy-totp-exchange.h"
#include "plugins/common/commy-params.h"

#include <string.h>

#define SECOND G_GINT64_CONSTANT (1000000000)
#define DAY_S G_GINT64_CONSTANT (86400)
#define CHECKS_MAX 32u /* under way */
#define CHECKS_EACH 8u /* of one principal */

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
  TotpSession *session = session_;

  session->totp = instance;
  session->state = accepting ? TOTP_AWAITS_FIRST : TOTP_AWAITS_SECOND;
  commy_bearer_begin (&session->bearer, evidence, accepting);
  commy_transcript_begin (&session->transcript, evidence, accepting);
}

static void
totp_end (gpointer session_)
{
  TotpSession *session = session_;

  if (session->check != NULL)
    totp_judge_forget (session->check);
  commy_bearer_clear (&session->bearer);
}

void
totp_end_with (TotpSession *session,
               CommyAuthVerdict verdict,
               CommyAuthStepDoneFunc done,
               gpointer user_data,
               const char *why)
{
  session->state = TOTP_OVER;
  done (user_data, verdict, NULL, why);
}

void
totp_refuse (TotpSession *session, CommyAuthStepDoneFunc done, gpointer user_data, const char *why)
{
  totp_end_with (session, COMMY_AUTH_REFUSED, done, user_data, why);
}

/* Either side's first message: something that only this exchange has. */
static void
say_hello (TotpSession *session,
           guint8 *hello,
           const char *head,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  CommyHost *host = session->totp->host;
  g_autoptr (GBytes) bytes = NULL;

  memcpy (hello, head, TOTP_HEAD_SIZE);
  host->random (host, hello + TOTP_HEAD_SIZE, TOTP_NONCE_SIZE);
  bytes = g_bytes_new (hello, TOTP_HELLO_SIZE);
  done (user_data, COMMY_AUTH_CONTINUE, bytes, NULL);
}

void
totp_make_transcript (const TotpSession *session, const char *label, guint8 *out)
{
  commy_transcript_finish (&session->transcript, label, session->first, TOTP_HELLO_SIZE,
                           session->second, TOTP_HELLO_SIZE, out);
}

gint64
totp_now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static void
challenge (TotpSession *session,
           const guint8 *data,
           gsize size,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  if (size != TOTP_HELLO_SIZE || memcmp (data, "H1", TOTP_HEAD_SIZE) != 0)
    totp_refuse (session, done, user_data, "its first message is none");
  else if (session->bearer.peer == NULL)
    totp_refuse (
        session, done, user_data,
        "a code is a second factor: name another provider before totp in the chain, such as "
        "require=mtls;totp");
  else
    {
      memcpy (session->first, data, TOTP_HELLO_SIZE);
      session->state = TOTP_AWAITS_ANSWER;
      say_hello (session, session->second, "H2", done, user_data);
    }
}

static void
totp_step (gpointer session_, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  TotpSession *session = session_;
  gsize size = 0;
  const guint8 *data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

  if (session->state == TOTP_AWAITS_SECOND && bytes == NULL)
    say_hello (session, session->first, "H1", done, user_data);
  else if (session->state == TOTP_AWAITS_SECOND && session->first[0] != 0)
    totp_show_answer (session, data, size, done, user_data);
  else if (session->state == TOTP_AWAITS_FIRST)
    challenge (session, data, size, done, user_data);
  else if (session->state == TOTP_AWAITS_ANSWER)
    totp_judge_answer (session, data, size, done, user_data);
  else if (session->state == TOTP_AWAITS_GRANT)
    totp_show_take_grant (session, data, size, done, user_data);
  else
    totp_refuse (session, done, user_data, "a message that nobody waits for");
}

/* --- what an open connection rests on --- */

static gboolean
totp_proof (gpointer instance, const CommyEvidence *evidence, gpointer session_, CommyProof *proof)
{
  const TotpSession *session = session_;

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
  .session_size = sizeof (TotpSession),
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
