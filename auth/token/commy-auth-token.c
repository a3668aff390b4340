/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `token`: the connecting side proves that it has a key, the accepting side that
 * it knows which. By four messages, of which none shows the key, bound to the connection:
 *
 *   -> "T1" id (12)     nonce (32)
 *   <- "T2" pepper (16) nonce (32)
 *   -> "T3" proof (32)
 *   <- "T4" answer (32)
 *
 * The transcript that is proved is of T1, T2 and the channel (auth/common/commy-transcript.h).
 */
#include "config.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-auth-params.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-kept-register.h"
#include "auth/common/commy-transcript.h"

#include <commy/commy-plugin.h>
#include <gnutls/crypto.h>
#include <string.h>

#define LABEL "commy token 1"
#define NONCE_SIZE 32u
#define HEAD_SIZE 2u
#define FIRST_SIZE (HEAD_SIZE + COMMY_API_KEY_ID_SIZE + NONCE_SIZE)
#define SECOND_SIZE (HEAD_SIZE + COMMY_API_KEY_PEPPER_SIZE + NONCE_SIZE)
#define PROOF_SIZE (HEAD_SIZE + COMMY_API_KEY_HASH_SIZE)

typedef struct
{
  CommyHost *host;
  guint8 seed[32]; /* for keys that are not there */
  CommyKeptRegister kept;
} Token;

typedef enum
{
  AWAITS_FIRST, /* accepting; the connecting side begins with it */
  AWAITS_SECOND,
  AWAITS_PROOF,
  AWAITS_ANSWER,
  OVER,
} State;

typedef struct
{
  Token *token;
  State state;
  CommyTranscript transcript;
  char *peer; /* what it has proved to be besides; NULL: nothing yet */
  guint8 first[FIRST_SIZE];
  guint8 second[SECOND_SIZE];
  CommyApiKeyVerifier verifier;           /* accepting */
  gint64 expires_s;                       /* accepting, once it is proved; 0: never */
  gboolean is_proved;                     /* accepting */
  guint8 answer[COMMY_API_KEY_HASH_SIZE]; /* connecting: what must come */
} Session;

#define PROOF_PREFIX "token-id:"

static const CommyParamSpec token_params[] = {
  COMMY_AUTH_STRING (
      "credential",
      "",
      "The file of this node's own token, as an absolute path, or the name of a credential "
      "of the service manager; empty: it has none"),
};

/* --- the file of tokens --- */

/* As the file is now; NULL: it is no good, and lets nobody in. */
static CommyApiKeyRegister *
refresh (Token *self)
{
  const char *dir = self->host->info (self->host, COMMY_HOST_STATE_DIR);
  g_autoptr (GError) error
      = commy_kept_register_refresh (&self->kept, &commy_api_key_register_kind, dir,
                                     COMMY_API_KEYS_FILE, self->host->now_ns (self->host));

  if (error != NULL)
    {
      g_autofree char *line = g_strdup_printf ("no token is accepted: %s", error->message);

      self->host->log (self->host, G_LOG_LEVEL_WARNING, line);
    }
  return self->kept.reg;
}

static gboolean
token_init (gpointer instance, CommyHost *host, GError **error)
{
  Token *self = instance;

  self->host = host;
  host->random (host, self->seed, sizeof self->seed);
  return TRUE;
}

static void
token_fini (gpointer instance)
{
  Token *self = instance;

  commy_kept_register_clear (&self->kept);
  explicit_bzero (self->seed, sizeof self->seed);
}

static CommyAuthVerdict
token_judge (gpointer instance,
             const CommyEvidence *evidence,
             char *principal,
             char *reason,
             gsize reason_size)
{
  return COMMY_AUTH_NOT_MINE;
}

static void
token_begin (gpointer instance,
             gpointer session_,
             const CommyEvidence *evidence,
             gboolean accepting)
{
  Session *session = session_;

  session->token = instance;
  session->state = accepting ? AWAITS_FIRST : AWAITS_SECOND;
  commy_transcript_begin (&session->transcript, evidence, accepting);
  if (evidence->struct_size >= G_STRUCT_OFFSET (CommyEvidence, principal) + sizeof (char *))
    session->peer = g_strdup (evidence->principal);
}

static void
token_end (gpointer session_)
{
  Session *session = session_;

  g_free (session->peer);
  explicit_bzero (session, sizeof *session);
}

/* --- steps --- */

static void
refuse (Session *session, CommyAuthStepDoneFunc done, gpointer user_data, const char *why)
{
  session->state = OVER;
  done (user_data, COMMY_AUTH_REFUSED, NULL, why);
}

/* For no fault of the other side's. */
static void
give_up (Session *session, CommyAuthStepDoneFunc done, gpointer user_data)
{
  session->state = OVER;
  done (user_data, COMMY_AUTH_UNABLE, NULL,
        "the file of tokens cannot be read, as the log has told; mend it (commy token ls)");
}

static void
send (CommyAuthStepDoneFunc done,
      gpointer user_data,
      CommyAuthVerdict verdict,
      gconstpointer data,
      gsize size,
      const char *text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);

  done (user_data, verdict, bytes, text);
}

static void
make_transcript (const Session *session, guint8 *out)
{
  commy_transcript_finish (&session->transcript, LABEL, session->first, FIRST_SIZE, session->second,
                           SECOND_SIZE, out);
}

/* Connecting side, to begin with. */
static void
say_who (Session *session, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Token *self = session->token;
  g_autoptr (GError) error = NULL;
  char *text = commy_credential_get (self->host->param (self->host, "credential"),
                                     COMMY_API_KEY_TEXT_MAX, &error);
  CommyApiKey key;

  if (text == NULL || !commy_api_key_parse (text, &key, &error))
    refuse (session, done, user_data, error->message);
  else
    {
      memcpy (session->first, "T1", HEAD_SIZE);
      memcpy (session->first + HEAD_SIZE, key.id, COMMY_API_KEY_ID_SIZE);
      self->host->random (self->host, session->first + FIRST_SIZE - NONCE_SIZE, NONCE_SIZE);
      commy_api_key_clear (&key);
      send (done, user_data, COMMY_AUTH_CONTINUE, session->first, FIRST_SIZE, NULL);
    }
  commy_credential_free (text);
}

static void
copy_id (const Session *session, char *out_id)
{
  memcpy (out_id, session->first + HEAD_SIZE, COMMY_API_KEY_ID_SIZE);
  out_id[COMMY_API_KEY_ID_SIZE] = '\0';
}

/* Accepting side: an answer for each id, whether there is such a token or not. */
static void
challenge (Session *session,
           const guint8 *data,
           gsize size,
           CommyAuthStepDoneFunc done,
           gpointer user_data)
{
  Token *self = session->token;
  CommyApiKeyRegister *reg;
  const CommyApiKeyEntry *entry;
  char id[COMMY_API_KEY_ID_SIZE + 1];

  if (size != FIRST_SIZE || memcmp (data, "T1", HEAD_SIZE) != 0)
    {
      refuse (session, done, user_data, "its first message is none");
      return;
    }
  memcpy (session->first, data, FIRST_SIZE);
  copy_id (session, id);
  if (!commy_api_key_is_id (id))
    {
      refuse (session, done, user_data, "it names no token");
      return;
    }
  reg = refresh (self);
  if (reg == NULL)
    {
      give_up (session, done, user_data);
      return;
    }
  entry = commy_api_key_register_find (reg, id);
  if (entry != NULL)
    session->verifier = entry->verifier;
  else
    commy_api_key_fake_verifier (self->seed, id, &session->verifier);
  memcpy (session->second, "T2", HEAD_SIZE);
  memcpy (session->second + HEAD_SIZE, session->verifier.pepper, COMMY_API_KEY_PEPPER_SIZE);
  self->host->random (self->host, session->second + SECOND_SIZE - NONCE_SIZE, NONCE_SIZE);
  session->state = AWAITS_PROOF;
  send (done, user_data, COMMY_AUTH_CONTINUE, session->second, SECOND_SIZE, NULL);
}

/* Connecting side. The key is read once more rather than kept. */
static void
prove (Session *session,
       const guint8 *data,
       gsize size,
       CommyAuthStepDoneFunc done,
       gpointer user_data)
{
  Token *self = session->token;
  guint8 transcript[COMMY_API_KEY_HASH_SIZE];
  guint8 message[PROOF_SIZE] = "T3";
  g_autoptr (GError) error = NULL;
  CommyApiKey key;
  char *text;

  if (size != SECOND_SIZE || memcmp (data, "T2", HEAD_SIZE) != 0)
    {
      refuse (session, done, user_data, "the other side's challenge is none");
      return;
    }
  memcpy (session->second, data, SECOND_SIZE);
  make_transcript (session, transcript);
  text = commy_credential_get (self->host->param (self->host, "credential"), COMMY_API_KEY_TEXT_MAX,
                               &error);
  if (text == NULL || !commy_api_key_parse (text, &key, &error))
    refuse (session, done, user_data, error->message);
  else if (memcmp (key.id, session->first + HEAD_SIZE, COMMY_API_KEY_ID_SIZE) != 0)
    refuse (session, done, user_data, "the credential was replaced meanwhile; try again");
  else
    {
      commy_api_key_prove (&key, session->second + HEAD_SIZE, transcript, message + HEAD_SIZE,
                           session->answer);
      commy_api_key_clear (&key);
      session->state = AWAITS_ANSWER;
      send (done, user_data, COMMY_AUTH_CONTINUE, message, sizeof message, NULL);
    }
  commy_credential_free (text);
}

/* "token:NAME", and a line each for the id, whose it is, and the scopes. */
static char *
dup_principal (const CommyApiKeyEntry *entry)
{
  GString *text = g_string_new ("token:");

  g_string_append (text, entry->name != NULL ? entry->name : entry->id);
  g_string_append_printf (text, "\ntoken-id=%s", entry->id);
  if (entry->principal != NULL)
    g_string_append_printf (text, "\nfor=%s", entry->principal);
  for (char **scope = entry->scopes; scope != NULL && *scope != NULL; scope++)
    g_string_append_printf (text, "\nscope=%s", *scope);
  return g_string_free (text, FALSE);
}

/* Accepting side. */
static void
check (Session *session,
       const guint8 *data,
       gsize size,
       CommyAuthStepDoneFunc done,
       gpointer user_data)
{
  CommyApiKeyRegister *reg = refresh (session->token); /* it may have been revoked since */
  guint8 transcript[COMMY_API_KEY_HASH_SIZE];
  guint8 message[PROOF_SIZE] = "T4";
  char id[COMMY_API_KEY_ID_SIZE + 1];
  const CommyApiKeyEntry *entry;
  g_autofree char *text = NULL;
  const char *why = NULL;

  copy_id (session, id);
  if (reg == NULL)
    {
      give_up (session, done, user_data);
      return;
    }
  entry = commy_api_key_register_find (reg, id);
  make_transcript (session, transcript);
  if (size != PROOF_SIZE || memcmp (data, "T3", HEAD_SIZE) != 0)
    why = "its proof is none";
  else if (!commy_api_key_check (&session->verifier, transcript, data + HEAD_SIZE,
                                 message + HEAD_SIZE)
           || entry == NULL)
    why = entry != NULL ? "its proof is wrong" : "there is no such token";
  else
    why = commy_api_key_entry_why_not (entry, session->peer, g_get_real_time () / G_USEC_PER_SEC);
  if (why != NULL)
    {
      text = g_strdup_printf ("token %s: %s", id, why);
      refuse (session, done, user_data, text);
      return;
    }
  text = dup_principal (entry);
  session->state = OVER;
  session->is_proved = TRUE;
  session->expires_s = entry->expires_s;
  send (done, user_data, COMMY_AUTH_ACCEPTED, message, sizeof message, text);
}

/* Connecting side: the other one knows what only who was given the key's verifier can. */
static void
take_answer (Session *session,
             const guint8 *data,
             gsize size,
             CommyAuthStepDoneFunc done,
             gpointer user_data)
{
  char id[COMMY_API_KEY_ID_SIZE + 1];
  g_autofree char *text = NULL;

  if (size != PROOF_SIZE || memcmp (data, "T4", HEAD_SIZE) != 0
      || gnutls_memcmp (data + HEAD_SIZE, session->answer, sizeof session->answer) != 0)
    {
      refuse (session, done, user_data, "the other side does not know this node's token");
      return;
    }
  session->state = OVER;
  copy_id (session, id);
  text = g_strdup_printf ("token-verifier:%s", id);
  done (user_data, COMMY_AUTH_ACCEPTED, NULL, text);
}

static void
token_step (gpointer session_, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Session *session = session_;
  gsize size = 0;
  const guint8 *data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

  if (!session->transcript.has_binding)
    refuse (session, done, user_data,
            "the transport gives a connection no binding, without which somebody between could "
            "pass the proof on");
  else if (session->state == AWAITS_SECOND && bytes == NULL)
    say_who (session, done, user_data);
  else if (session->state == AWAITS_FIRST)
    challenge (session, data, size, done, user_data);
  else if (session->state == AWAITS_SECOND && session->first[0] != 0)
    prove (session, data, size, done, user_data);
  else if (session->state == AWAITS_PROOF)
    check (session, data, size, done, user_data);
  else if (session->state == AWAITS_ANSWER)
    take_answer (session, data, size, done, user_data);
  else
    refuse (session, done, user_data, "a message that nobody waits for");
}

/* --- afterwards --- */

static gboolean
token_proof (gpointer instance, const CommyEvidence *evidence, gpointer session_, CommyProof *proof)
{
  const Session *session = session_;
  char id[COMMY_API_KEY_ID_SIZE + 1];

  if (session == NULL || !session->is_proved)
    return FALSE;
  copy_id (session, id);
  g_snprintf (proof->id, sizeof proof->id, PROOF_PREFIX "%s", id);
  proof->until_s = session->expires_s;
  return TRUE;
}

/* A file that cannot be read just now takes nothing back: it is on its way, or the log says why. */
static CommyProofState
token_stands (gpointer instance, const char *proof, char *reason, gsize reason_size)
{
  const char *id = proof + strlen (PROOF_PREFIX);
  CommyApiKeyRegister *reg;
  const CommyApiKeyEntry *entry;

  if (!g_str_has_prefix (proof, PROOF_PREFIX))
    return COMMY_PROOF_GOOD;
  reg = refresh (instance);
  entry = reg != NULL ? commy_api_key_register_find (reg, id) : NULL;
  /* What ends by itself has its grace. */
  if (reg == NULL || (entry != NULL && !entry->is_revoked))
    return COMMY_PROOF_GOOD;
  g_snprintf (reason, reason_size, "token %s: it is %s", id, entry == NULL ? "gone" : "revoked");
  return COMMY_PROOF_REVOKED;
}

static const CommyAuthOps token_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .session_size = sizeof (Session),
  .judge = token_judge,
  .begin = token_begin,
  .step = token_step,
  .end = token_end,
  .proof = token_proof,
  .stands = token_stands,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "token",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "a key that the peer proves to have",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_AUTHENTICATED,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 100000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Token, token_init, NULL, token_fini, token_params, G_N_ELEMENTS (token_params), &token_ops);
