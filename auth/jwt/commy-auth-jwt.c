/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `jwt`: the connecting side shows a signed token, in one message, over a path on
 * which nobody listens; the accepting side checks it by its key set. The other way round there is
 * nothing to prove.
 */
#include "config.h"

#include "auth/common/commy-auth-params.h"
#include "auth/common/commy-bearer.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-jwt.h"
#include "auth/common/commy-kept-register.h"
#include "plugins/common/commy-params.h"

#include <commy/commy-plugin.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND G_GINT64_CONSTANT (1000000000)
#define DAY_S G_GINT64_CONSTANT (86400)

typedef struct
{
  CommyHost *host;
  JwtRules rules;
  guint algorithms;
  JwtCache *cache;
  JwtKeys *keys; /* NULL: the file is no good */
  struct stat seen;
  gint64 tried_ns;
  gboolean has_looked;
} Jwt;

typedef struct
{
  Jwt *jwt;
  CommyBearer bearer;
} Session;

static const CommyParamSpec jwt_params[] = {
  COMMY_AUTH_STRING ("credential",
                     "",
                     "The file of this node's own token, as an absolute path, or the name of a "
                     "credential of the service manager; empty: it has none"),
  COMMY_AUTH_STRING (
      "show-to",
      "",
      "Whom this node's own token is shown to, as patterns of principals with spaces "
      "between; empty: to nobody"),
  COMMY_AUTH_STRING (
      "jwks",
      "",
      "Absolute path of the issuer's key set, which is no link; empty: no token is accepted"),
  COMMY_AUTH_STRING ("issuer", "", "What tokens must say of their issuer (iss), exactly"),
  COMMY_AUTH_STRING ("audience", "", "For whom tokens must be (aud)"),
  COMMY_AUTH_STRING ("type", "at+jwt", "Of which type tokens must be (typ of the header)"),
  COMMY_AUTH_STRING ("algorithms",
                     "EdDSA ES256",
                     "Algorithms of which keys are taken: EdDSA, ES256, RS256, PS256, HS256"),
  COMMY_AUTH_STRING (
      "claims", "", "Claims of tokens that rules can look at, names with spaces between"),
  COMMY_AUTH_DURATION ("max-life",
                       "86400s",
                       SECOND,
                       366 * DAY_S * SECOND,
                       "Longest time from a token's issue to its end"),
};

static void
jwt_fini (gpointer instance)
{
  Jwt *self = instance;

  g_clear_pointer (&self->keys, jwt_keys_free);
  g_clear_pointer (&self->cache, jwt_cache_free);
  g_clear_pointer (&self->rules.claims, g_strfreev);
}

static CommyAuthVerdict
jwt_judge (gpointer instance,
           const CommyEvidence *evidence,
           char *principal,
           char *reason,
           gsize reason_size)
{
  return COMMY_AUTH_NOT_MINE;
}

/* --- the key set --- */

static JwtKeys *
parse_keys (Jwt *self, const char *text, const struct stat *about, GError **error)
{
  JwtKeys *keys = jwt_keys_parse (text, strlen (text), self->algorithms, error);

  if (keys == NULL || !jwt_keys_has_secret (keys) || (about->st_mode & 077) == 0)
    return keys;
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_STATE_DIR,
               "it has a secret key (oct), and others than its owner can read it");
  jwt_keys_free (keys);
  return NULL;
}

/* *@inout_about: of what was read, if anything was. */
static JwtKeys *
load_keys (Jwt *self, const char *path, struct stat *inout_about, GError **error)
{
  struct stat about;
  char *text = commy_credential_read_public ("the key set", path, JWT_KEYS_TEXT_MAX, &about, error);
  JwtKeys *keys;

  if (text == NULL)
    return NULL;
  *inout_about = about;
  keys = parse_keys (self, text, &about, error);
  commy_credential_free (text);
  if (keys == NULL)
    g_prefix_error (error, "the key set %s: ", path);
  return keys;
}

/* Reads it again if it changed; what was checked by the old one is checked again. One that is no
 * good lets nobody in: a key may have been taken out of it. */
static void
refresh (Jwt *self)
{
  const char *path = self->host->param (self->host, "jwks");
  gint64 now_ns = self->host->now_ns (self->host);
  struct stat about = { 0 };
  g_autoptr (GError) error = NULL;
  gboolean known;

  if (lstat (path, &about) != 0)
    memset (&about, 0, sizeof about);
  known = self->has_looked && commy_credential_is_same_file (&about, &self->seen);
  if (known && (self->keys != NULL || now_ns - self->tried_ns < COMMY_KEPT_RETRY_NS))
    return;
  self->has_looked = TRUE;
  self->tried_ns = now_ns;
  jwt_cache_clear (self->cache);
  g_clear_pointer (&self->keys, jwt_keys_free);
  self->keys = load_keys (self, path, &about, &error);
  self->seen = about;
  if (self->keys == NULL && !known) /* it is tried again, and told once */
    {
      g_autofree char *line = g_strdup_printf ("no token is accepted: %s", error->message);

      self->host->log (self->host, G_LOG_LEVEL_WARNING, line);
    }
}

/* --- starting --- */

static gboolean
jwt_init (gpointer instance, CommyHost *host, GError **error)
{
  Jwt *self = instance;
  const char *path = host->param (host, "jwks");

  self->host = host;
  self->rules.issuer = host->param (host, "issuer");
  self->rules.audience = host->param (host, "audience");
  self->rules.type = host->param (host, "type");
  self->rules.max_life_s = g_ascii_strtoll (host->param (host, "max-life"), NULL, 10) / SECOND;
  self->algorithms = jwt_algorithms_parse (host->param (host, "algorithms"));
  if (self->algorithms == 0)
    return commy_params_refuse (error,
                                "algorithms are out of EdDSA, ES256, RS256, PS256 and HS256");
  if (*self->rules.type == '\0' || strlen (self->rules.issuer) > JWT_NAME_MAX)
    return commy_params_refuse (error, "type must not be empty, nor issuer longer than 255");
  if (*path != '\0'
      && (!g_path_is_absolute (path) || *self->rules.issuer == '\0'
          || *self->rules.audience == '\0'))
    return commy_params_refuse (
        error, "jwks is an absolute path, and needs issuer and audience beside it");
  self->rules.claims = jwt_claims_parse (host->param (host, "claims"));
  if (self->rules.claims == NULL)
    return commy_params_refuse (error, "claims are %s", JWT_CLAIMS_RULE);
  self->cache = jwt_cache_new ();
  /* Told now, not when the first caller is turned away. */
  if (*path != '\0')
    refresh (self);
  return TRUE;
}

/* --- steps --- */

static void
jwt_begin (gpointer instance, gpointer session_, const CommyEvidence *evidence, gboolean accepting)
{
  Session *session = session_;

  session->jwt = instance;
  commy_bearer_begin (&session->bearer, evidence, accepting);
}

static void
jwt_end (gpointer session)
{
  commy_bearer_clear (&((Session *) session)->bearer);
}

static void
show (Session *session, CommyAuthStepDoneFunc done, gpointer user_data)
{
  CommyHost *host = session->jwt->host;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *why
      = commy_bearer_dup_why_not (&session->bearer, host->param (host, "show-to"), "auth/jwt");
  char *text;
  gint64 from_s, until_s;

  if (why != NULL)
    {
      done (user_data, COMMY_AUTH_REFUSED, NULL, why);
      return;
    }
  text = commy_credential_get (host->param (host, "credential"), JWT_TEXT_MAX, &error);
  if (text == NULL)
    {
      done (user_data, COMMY_AUTH_REFUSED, NULL, error->message);
      return;
    }
  /* Before its end the connection is replaced, with what is in the file then. */
  if (jwt_read_times (text, strlen (text), &from_s, &until_s))
    commy_bearer_hold (&session->bearer, NULL, from_s, until_s);
  bytes = commy_bearer_take_bytes (text);
  done (user_data, COMMY_AUTH_NOT_MINE, bytes, NULL);
}

static void
check (Session *session, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Jwt *self = session->jwt;
  gsize size = 0;
  const char *text = bytes != NULL ? g_bytes_get_data (bytes, &size) : "";
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  const JwtVerdict *known;
  JwtVerdict verdict;
  const char *why;

  if (*self->host->param (self->host, "jwks") == '\0')
    {
      done (user_data, COMMY_AUTH_REFUSED, NULL, "there is no key set (param.jwks)");
      return;
    }
  refresh (self);
  known = jwt_cache_find (self->cache, text, size, now);
  if (known != NULL)
    {
      commy_bearer_hold (&session->bearer, known->id, known->not_before_s, known->ends_s);
      done (user_data, COMMY_AUTH_ACCEPTED, NULL, known->principal);
      return;
    }
  if (self->keys == NULL)
    {
      done (user_data, COMMY_AUTH_UNABLE, NULL, "no token can be checked: the key set is no good");
      return;
    }
  why = jwt_check (self->keys, &self->rules, text, size, now, &verdict);
  if (why != NULL)
    {
      g_autofree char *reason = g_strdup_printf ("a token is refused: %s", why);

      done (user_data, COMMY_AUTH_REFUSED, NULL, reason);
      return;
    }
  commy_bearer_hold (&session->bearer, verdict.id, verdict.not_before_s, verdict.ends_s);
  done (user_data, COMMY_AUTH_ACCEPTED, NULL, verdict.principal);
  jwt_cache_add (self->cache, text, size, now, &verdict);
}

static void
jwt_step (gpointer session_, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Session *session = session_;

  if (!commy_bearer_take_turn (&session->bearer, bytes))
    done (user_data, COMMY_AUTH_REFUSED, NULL, "a message that nobody waits for");
  else if (session->bearer.accepting)
    check (session, bytes, done, user_data);
  else
    show (session, done, user_data);
}

static gboolean
jwt_proof (gpointer instance, const CommyEvidence *evidence, gpointer session_, CommyProof *proof)
{
  const Session *session = session_;

  return session != NULL && commy_bearer_get_proof (&session->bearer, proof);
}

static const CommyAuthOps jwt_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .session_size = sizeof (Session),
  .judge = jwt_judge,
  .begin = jwt_begin,
  .step = jwt_step,
  .end = jwt_end,
  .proof = jwt_proof,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "jwt",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "a token that an issuer signed",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_AUTHENTICATED,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 200000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Jwt, jwt_init, NULL, jwt_fini, jwt_params, G_N_ELEMENTS (jwt_params), &jwt_ops);
