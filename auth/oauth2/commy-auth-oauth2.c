/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `oauth2`: the connecting side shows an access token, which it got from an
 * issuer by its own credentials, in one message over a path on which nobody listens; the accepting
 * side checks it by the issuer's keys, or has the issuer check it.
 */
#include "config.h"

#include "auth/common/commy-auth-params.h"
#include "auth/common/commy-bearer.h"
#include "auth/oauth2/commy-oauth2.h"
#include "plugins/common/commy-params.h"

#include <gio/gio.h>
#include <string.h>

#define DAY_S G_GINT64_CONSTANT (86400)
#define KEYS_AGE_MIN_S G_GINT64_CONSTANT (300)

typedef struct
{
  CommyHost *host;
  Oauth2Provider provider;
  Oauth2Token *token;
  Oauth2Keys *keys;
  Oauth2Introspector *introspector; /* NULL: tokens are checked by keys */
  JwtRules rules;
  JwtCache *cache;
} Oauth2;

typedef struct
{
  Oauth2 *oauth2;
  CommyBearer bearer;
  GBytes *bytes; /* the token that is checked */
  CommyAuthStepDoneFunc done;
  gpointer user_data;
  Oauth2Wait wait;
  Oauth2Question *question;
  guint n_fetched; /* sets of keys that had come when the token was shown */
  gboolean has_reloaded;
} Session;

static const CommyParamSpec oauth2_params[] = {
  COMMY_AUTH_STRING ("issuer", "", "The issuer's address, exactly as it says it of itself (https)"),
  COMMY_AUTH_STRING ("client-id", "", "As whom this node gets its token, and asks about others'"),
  COMMY_AUTH_STRING ("client-secret",
                     "",
                     "The file of that client's secret, as an absolute path, or the name of a "
                     "credential of the service manager"),
  COMMY_AUTH_STRING (
      "scope", "", "What this node's own token is to be good for, words with spaces"),
  COMMY_AUTH_STRING ("resource", "", "For whom it is to be (RFC 8707); empty: the issuer knows"),
  COMMY_AUTH_STRING (
      "show-to",
      "",
      "Whom it is shown to, as patterns of principals with spaces between; empty: to "
      "nobody"),
  COMMY_AUTH_STRING (
      "audience", "", "For whom others' tokens must be (aud); empty: no token is accepted"),
  COMMY_AUTH_STRING (
      "check",
      "keys",
      "How others' tokens are checked: keys (of the issuer, for tokens that are signed) "
      "or introspection (the issuer is asked about each)"),
  COMMY_AUTH_STRING ("type", "at+jwt", "Of which type signed tokens must be (typ of the header)"),
  COMMY_AUTH_STRING ("algorithms",
                     "EdDSA ES256",
                     "Algorithms of which keys are taken: EdDSA, ES256, RS256, PS256"),
  COMMY_AUTH_STRING (
      "claims", "", "Claims of tokens that rules can look at, names with spaces between"),
  COMMY_AUTH_DURATION ("max-life",
                       "86400s",
                       OAUTH2_SECOND,
                       366 * DAY_S * OAUTH2_SECOND,
                       "Longest time from a token's issue to its end"),
  COMMY_AUTH_DURATION ("keys-age",
                       "3600s",
                       KEYS_AGE_MIN_S *OAUTH2_SECOND,
                       DAY_S *OAUTH2_SECOND,
                       "How long the issuer's keys count when they cannot be fetched again"),
  COMMY_AUTH_STRING ("ca",
                     "",
                     "Absolute path of the authorities that vouch for the issuer's host "
                     "(PEM); empty: those of the system"),
  COMMY_AUTH_BOOL ("insecure-loopback",
                   "false",
                   "Whether the issuer may be asked by plain HTTP, if it is this very host"),
};

/* --- settings --- */

static const char *
why_not (CommyHost *host, const Oauth2 *self)
{
  const char *issuer = self->provider.issuer;
  const char *check = host->param (host, "check");
  const char *ca = host->param (host, "ca");
  g_auto (GStrv) claims = jwt_claims_parse (host->param (host, "claims"));
  guint algorithms = jwt_algorithms_parse (host->param (host, "algorithms"));

  if (*issuer == '\0' && (*self->rules.audience != '\0' || *self->provider.client_id != '\0'))
    return "audience and client-id need issuer beside them";
  if (strlen (issuer) > JWT_NAME_MAX)
    return "issuer is longer than 255 bytes";
  if (claims == NULL)
    return "claims are " JWT_CLAIMS_RULE;
  if (algorithms == 0 || (algorithms & JWT_HS256) != 0)
    return "algorithms are out of EdDSA, ES256, RS256 and PS256";
  if (*self->rules.type == '\0')
    return "type must not be empty";
  if (strcmp (check, "keys") != 0 && strcmp (check, "introspection") != 0)
    return "check is keys or introspection";
  if ((*self->provider.client_id == '\0') != (*self->provider.client_secret == '\0'))
    return "client-id and client-secret are needed together";
  if (*ca != '\0' && !g_path_is_absolute (ca))
    return "ca is an absolute path";
  return NULL;
}

static gboolean
check_settings (CommyHost *host, const Oauth2 *self, GError **error)
{
  const char *issuer = self->provider.issuer;
  const char *why = why_not (host, self);

  if (why == NULL && *issuer != '\0') /* else it neither shows a token nor takes one */
    why = commy_http_url_why_not (issuer, self->provider.allows_loopback);
  if (why == NULL)
    return TRUE;
  return commy_params_refuse (error, "issuer \"%s\": %s", issuer, why);
}

static gint64
duration (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

/* A key may have been taken away: what was found good by it is looked at again. */
static void
on_other_keys (gpointer data)
{
  jwt_cache_clear (((Oauth2 *) data)->cache);
}

static gboolean
oauth2_init (gpointer instance, CommyHost *host, GError **error)
{
  Oauth2 *self = instance;

  self->host = self->provider.host = host;
  self->provider.issuer = self->rules.issuer = host->param (host, "issuer");
  self->provider.client_id = host->param (host, "client-id");
  self->provider.client_secret = host->param (host, "client-secret");
  self->provider.allows_loopback = strcmp (host->param (host, "insecure-loopback"), "true") == 0;
  self->rules.audience = host->param (host, "audience");
  self->rules.type = host->param (host, "type");
  self->rules.max_life_s = duration (host, "max-life") / OAUTH2_SECOND;
  if (!check_settings (host, self, error))
    return FALSE;
  self->provider.http
      = commy_http_new (host, &(CommyHttpSettings){ .ca = host->param (host, "ca") }, error);
  if (self->provider.http == NULL)
    return FALSE;
  self->rules.claims = jwt_claims_parse (host->param (host, "claims"));
  oauth2_provider_init (&self->provider);
  self->cache = jwt_cache_new ();
  self->token = oauth2_token_new (&self->provider, host->param (host, "scope"),
                                  host->param (host, "resource"));
  self->keys
      = oauth2_keys_new (&self->provider, jwt_algorithms_parse (host->param (host, "algorithms")),
                         duration (host, "keys-age"), on_other_keys, self);
  if (strcmp (host->param (host, "check"), "introspection") == 0)
    {
      self->rules.is_told = TRUE;
      self->introspector = oauth2_introspector_new (&self->provider, &self->rules);
    }
  return TRUE;
}

static void
oauth2_fini (gpointer instance)
{
  Oauth2 *self = instance;

  g_clear_pointer (&self->token, oauth2_token_free);
  g_clear_pointer (&self->keys, oauth2_keys_free);
  g_clear_pointer (&self->introspector, oauth2_introspector_free);
  oauth2_provider_clear (&self->provider);
  g_clear_pointer (&self->provider.http, commy_http_free);
  g_clear_pointer (&self->cache, jwt_cache_free);
  g_clear_pointer (&self->rules.claims, g_strfreev);
}

static CommyAuthVerdict
oauth2_judge (gpointer instance,
              const CommyEvidence *evidence,
              char *principal,
              char *reason,
              gsize reason_size)
{
  return COMMY_AUTH_NOT_MINE;
}

/* --- exchanges --- */

static void
oauth2_begin (gpointer instance,
              gpointer session_,
              const CommyEvidence *evidence,
              gboolean accepting)
{
  Session *session = session_;

  session->oauth2 = instance;
  commy_bearer_begin (&session->bearer, evidence, accepting);
}

static void
oauth2_end (gpointer session_)
{
  Session *session = session_;

  oauth2_wait_cancel (&session->wait);
  oauth2_question_cancel (g_steal_pointer (&session->question));
  g_clear_pointer (&session->bytes, g_bytes_unref);
  commy_bearer_clear (&session->bearer);
}

static void
refuse (Session *session, const char *why)
{
  session->done (session->user_data, COMMY_AUTH_REFUSED, NULL, why);
}

/* --- connecting side --- */

static void
on_token (gpointer user_data, const char *why)
{
  Session *session = user_data;
  const char *text = why == NULL ? oauth2_token_get (session->oauth2->token) : NULL;
  g_autoptr (GBytes) bytes = NULL;
  gint64 from_s, until_s;

  if (text == NULL)
    {
      refuse (session, why != NULL ? why : "the token that the issuer gave has ended already");
      return;
    }
  oauth2_token_get_times (session->oauth2->token, &from_s, &until_s);
  commy_bearer_hold (&session->bearer, NULL, from_s, until_s + JWT_SKEW_S);
  bytes = commy_bearer_take_bytes (g_strdup (text));
  session->done (session->user_data, COMMY_AUTH_NOT_MINE, bytes, NULL);
}

static void
show (Session *session)
{
  Oauth2 *self = session->oauth2;
  g_autofree char *why = commy_bearer_dup_why_not (
      &session->bearer, self->host->param (self->host, "show-to"), "auth/oauth2");

  if (why == NULL && *self->provider.client_id == '\0')
    why = g_strdup ("param.client-id of [plugin auth/oauth2] is empty, so this node has no token");
  if (why != NULL)
    refuse (session, why);
  else
    oauth2_token_await (self->token, &session->wait, on_token, session);
}

/* --- accepting side --- */

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static void
accept (Session *session, const JwtVerdict *verdict)
{
  g_autofree char *principal = g_strdup (verdict->principal);

  commy_bearer_hold (&session->bearer, verdict->id, verdict->not_before_s, verdict->ends_s);
  session->done (session->user_data, COMMY_AUTH_ACCEPTED, NULL, principal);
}

/* Takes what is in @verdict. */
static void
keep_and_accept (Session *session, JwtVerdict *verdict)
{
  gsize size;
  const char *text = g_bytes_get_data (session->bytes, &size);
  JwtVerdict kept;

  jwt_verdict_name (verdict, text, size);
  kept = *verdict;
  kept.id = g_strdup (verdict->id);
  kept.principal = g_strdup (verdict->principal);
  jwt_cache_add (session->oauth2->cache, text, size, now_s (), &kept);
  accept (session, verdict);
  jwt_verdict_clear (verdict);
}

/* FALSE: it was not found good before, or that is too long ago. */
static gboolean
accept_known (Session *session)
{
  gsize size;
  const char *text = g_bytes_get_data (session->bytes, &size);
  const JwtVerdict *known = jwt_cache_find (session->oauth2->cache, text, size, now_s ());

  if (known != NULL)
    accept (session, known);
  return known != NULL;
}

static void
refuse_token (Session *session, const char *why)
{
  g_autofree char *reason = g_strdup_printf ("a token is refused: %s", why);

  refuse (session, reason);
}

/* For no fault of the token's, or none that is known. */
static void
give_up (Session *session, const char *why)
{
  g_autofree char *reason = g_strdup_printf ("a token cannot be checked: %s", why);

  session->done (session->user_data, COMMY_AUTH_UNABLE, NULL, reason);
}

static void on_keys (gpointer user_data, const char *why);

/* A set from before the token says nothing about a key that it does not have: only one that came
 * since can put the token in the wrong. @no_news: why none did. */
static void
look_again (Session *session, const char *no_news)
{
  Oauth2 *self = session->oauth2;

  if (session->has_reloaded)
    {
      give_up (session, no_news != NULL ? no_news : "no keys came");
      return;
    }
  session->has_reloaded = TRUE;
  if (!oauth2_keys_reload (self->keys, &session->wait, on_keys, session))
    give_up (session, JWT_UNKNOWN_KEY ", which was asked for less than a minute ago");
}

static void
check_by_keys (Session *session, JwtKeys *keys, const char *no_news)
{
  Oauth2 *self = session->oauth2;
  JwtVerdict verdict;
  gsize size;
  const char *text = g_bytes_get_data (session->bytes, &size);
  const char *why = jwt_check (keys, &self->rules, text, size, now_s (), &verdict);

  if (why == NULL)
    keep_and_accept (session, &verdict);
  else if (strcmp (why, JWT_UNKNOWN_KEY) != 0
           || oauth2_keys_get_n_fetched (self->keys) != session->n_fetched)
    refuse_token (session, why);
  else
    look_again (session, no_news);
}

static void
on_keys (gpointer user_data, const char *why)
{
  Session *session = user_data;
  JwtKeys *keys = oauth2_keys_get (session->oauth2->keys);

  if (keys == NULL)
    give_up (session, why != NULL ? why : "there are no keys");
  else if (!accept_known (session))     /* what was checked by keys counts as long as they do */
    check_by_keys (session, keys, why); /* if none could be fetched, by those of before */
}

static void
on_verdict (gpointer user_data, JwtVerdict *verdict, const char *why, gboolean is_unable)
{
  Session *session = user_data;

  session->question = NULL;
  if (verdict != NULL)
    keep_and_accept (session, verdict);
  else if (is_unable)
    give_up (session, why);
  else
    refuse_token (session, why);
}

static void
check (Session *session, GBytes *bytes)
{
  Oauth2 *self = session->oauth2;
  gsize size = 0;
  const char *text = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

  if (*self->rules.audience == '\0')
    {
      refuse (session, "no token is accepted (param.audience is empty)");
      return;
    }
  if (!oauth2_is_token (text, size))
    {
      refuse (session, "what the other side shows is no token");
      return;
    }
  session->bytes = g_bytes_ref (bytes);
  session->n_fetched = oauth2_keys_get_n_fetched (self->keys);
  if (self->introspector == NULL)
    oauth2_keys_await (self->keys, &session->wait, on_keys, session);
  else if (!accept_known (session))
    session->question = oauth2_introspector_ask (self->introspector, session->bearer.source, text,
                                                 size, on_verdict, session);
}

static void
oauth2_step (gpointer session_, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  Session *session = session_;

  session->done = done;
  session->user_data = user_data;
  if (!commy_bearer_take_turn (&session->bearer, bytes))
    refuse (session, "a message that nobody waits for");
  else if (session->bearer.accepting)
    check (session, bytes);
  else
    show (session);
}

static gboolean
oauth2_proof (gpointer instance,
              const CommyEvidence *evidence,
              gpointer session_,
              CommyProof *proof)
{
  const Session *session = session_;

  return session != NULL && commy_bearer_get_proof (&session->bearer, proof);
}

static const CommyAuthOps oauth2_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .session_size = sizeof (Session),
  .judge = oauth2_judge,
  .begin = oauth2_begin,
  .step = oauth2_step,
  .end = oauth2_end,
  .proof = oauth2_proof,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "oauth2",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "an access token, of an issuer that is asked",
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

COMMY_PLUGIN_DEFINE (Oauth2,
                     oauth2_init,
                     NULL,
                     oauth2_fini,
                     oauth2_params,
                     G_N_ELEMENTS (oauth2_params),
                     &oauth2_ops);
