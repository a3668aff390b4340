/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the provider share. All of it belongs to the mesh thread and never blocks it;
 * what it asks for comes over HTTPS (or plain HTTP, from this very host and where somebody has
 * allowed it), bounded in size and time, without following where an answer points.
 */
#pragma once

#include "auth/common/commy-jwt.h"
#include "plugins/common/commy-http.h"

#include <commy/commy-plugin.h>

G_BEGIN_DECLS

#define OAUTH2_ANSWER_MAX (64u * 1024u)
#define OAUTH2_SECOND G_GINT64_CONSTANT (1000000000)
#define OAUTH2_TIMEOUT_NS (5 * OAUTH2_SECOND)
/* Between two looks for a key that was not there. */
#define OAUTH2_RELOAD_NS (60 * OAUTH2_SECOND)
#define OAUTH2_BACKOFF_MAX_NS (60 * OAUTH2_SECOND)
#define OAUTH2_WAITS_MAX 256u /* for one thing */
#define OAUTH2_CHECKS_MAX 32u /* introspections under way */
#define OAUTH2_CHECKS_EACH 8u /* for one caller */
#define OAUTH2_TELL_MAX_S 60  /* longest that an introspection's answer counts */
#define OAUTH2_LIFE_MAX_S 86400

/* --- what providers say (commy-oauth2-parse.c; pure) --- */

typedef struct
{
  char *token_endpoint; /* or NULL, as each of them */
  char *introspection_endpoint;
  char *jwks_uri;
} Oauth2Metadata;

void oauth2_metadata_clear (Oauth2Metadata *metadata);
/* OpenID Connect Discovery 1.0, section 3, or RFC 8414. Why not: a phrase. */
const char *oauth2_metadata_parse (const char *text,
                                   gsize size,
                                   const char *issuer,
                                   gboolean allows_loopback,
                                   Oauth2Metadata *out_metadata);

/* RFC 6749, 5.1. @out_token: a secret, for commy_credential_free(). */
const char *oauth2_token_parse (const char *text, gsize size, char **out_token, gint64 *out_life_s);
/* RFC 6749, 5.2: the word for what went wrong, or "". (transfer full) */
char *oauth2_error_parse (const char *text, gsize size);

#define OAUTH2_NO_ANSWER "the issuer's answer is none"

/* RFC 7662, 2.2. OAUTH2_NO_ANSWER says nothing about the token. */
const char *oauth2_introspection_parse (
    const char *text, gsize size, const JwtRules *rules, gint64 now_s, JwtVerdict *out_verdict);

/* A token as it can stand in a header (RFC 6750, 2.1). */
gboolean oauth2_is_token (const char *text, gsize size);

/* --- HTTP (commy-oauth2-http.c) --- */

typedef struct
{
  const char *url;
  const char *form;   /* NULL: GET, else POST of it */
  const char *id;     /* of the client, as which to ask; NULL: as nobody */
  const char *secret; /* of the client */
  gsize max;          /* bytes of an answer */
  CommyHttpReplyFunc done;
  gpointer user_data;
} Oauth2Request;

CommyHttpExchange *oauth2_http_send (CommyHttp *http, const Oauth2Request *request);

/* --- something that is fetched once for all who wait for it (commy-oauth2-flight.c) --- */

typedef struct _Oauth2Flight Oauth2Flight;

/* @why: NULL: it is there. */
typedef void (*Oauth2ReadyFunc) (gpointer user_data, const char *why);

/* Of who waits; zeroed, and not used while another wait goes on. */
typedef struct
{
  Oauth2Flight *flight; /* NULL: not waiting */
  Oauth2ReadyFunc done;
  gpointer user_data;
} Oauth2Wait;

/* @start: begins to fetch; who did says so by oauth2_flight_land(). */
Oauth2Flight *oauth2_flight_new (CommyHost *host, void (*start) (gpointer data), gpointer data);
void oauth2_flight_free (Oauth2Flight *flight);
/* Begins, unless it is under way already or has failed just now. */
void oauth2_flight_begin (Oauth2Flight *flight);
/* Begins, and waits. @done is called once, perhaps at once, unless it is cancelled. */
void oauth2_flight_join (Oauth2Flight *flight,
                         Oauth2Wait *wait,
                         Oauth2ReadyFunc done,
                         gpointer user_data);
void oauth2_wait_cancel (Oauth2Wait *wait);
/* @why: NULL: it is there. */
void oauth2_flight_land (Oauth2Flight *flight, const char *why);
/* Until when it will not begin again, after a failure. */
gint64 oauth2_flight_get_backoff_ns (const Oauth2Flight *flight);

/* --- the issuer (commy-oauth2-provider.c) --- */

typedef struct
{
  CommyHost *host;
  CommyHttp *http;
  const char *issuer;
  const char *client_id;
  const char *client_secret; /* a credential's name */
  gboolean allows_loopback;
  Oauth2Metadata metadata; /* as of `looked_ns` */
  gint64 looked_ns;
  gboolean has_metadata;
  Oauth2Flight *flight;
  CommyHttpExchange *exchange;
} Oauth2Provider;

void oauth2_provider_init (Oauth2Provider *provider);
void oauth2_provider_clear (Oauth2Provider *provider);
/* See oauth2_flight_join(). */
void oauth2_provider_await (Oauth2Provider *provider,
                            Oauth2Wait *wait,
                            Oauth2ReadyFunc done,
                            gpointer user_data);
/* With this node's own credentials; NULL with @error if there are none. */
CommyHttpExchange *oauth2_provider_post (Oauth2Provider *provider,
                                         const char *url,
                                         const char *form,
                                         CommyHttpReplyFunc done,
                                         gpointer user_data,
                                         GError **error);

/* --- this node's token (commy-oauth2-token.c) --- */

typedef struct _Oauth2Token Oauth2Token;

Oauth2Token *oauth2_token_new (Oauth2Provider *provider, const char *scope, const char *resource);
void oauth2_token_free (Oauth2Token *token);
/* Until oauth2_token_get() gives one. See oauth2_flight_join(). */
void
oauth2_token_await (Oauth2Token *token, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data);
/* NULL: it has ended. (transfer none) */
const char *oauth2_token_get (Oauth2Token *token);
/* From when until when the one that it gives counts, seconds since 1970. */
void oauth2_token_get_times (Oauth2Token *token, gint64 *out_from_s, gint64 *out_until_s);

/* --- the issuer's keys (commy-oauth2-keys.c) --- */

typedef struct _Oauth2Keys Oauth2Keys;

/* @on_change: when there are others. */
Oauth2Keys *oauth2_keys_new (Oauth2Provider *provider,
                             guint algorithms,
                             gint64 max_age_ns,
                             void (*on_change) (gpointer data),
                             gpointer data);
void oauth2_keys_free (Oauth2Keys *keys);
void
oauth2_keys_await (Oauth2Keys *keys, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data);
/* A key was not there: looks again, if it was not looked for a while. FALSE: it was. */
gboolean
oauth2_keys_reload (Oauth2Keys *keys, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data);
/* NULL: there are none, or they are too old. (transfer none) */
JwtKeys *oauth2_keys_get (Oauth2Keys *keys);
/* How many sets have come so far: whether one did since. */
guint oauth2_keys_get_n_fetched (const Oauth2Keys *keys);

/* --- asking the issuer (commy-oauth2-introspect.c) --- */

typedef struct _Oauth2Introspector Oauth2Introspector;
typedef struct _Oauth2Question Oauth2Question;

/* @verdict: who it is of; NULL: @why not, and whether that is for want of an answer rather than
 * for the token. */
typedef void (*Oauth2VerdictFunc) (gpointer user_data,
                                   JwtVerdict *verdict,
                                   const char *why,
                                   gboolean is_unable);

Oauth2Introspector *oauth2_introspector_new (Oauth2Provider *provider, const JwtRules *rules);
void oauth2_introspector_free (Oauth2Introspector *introspector);
/* @who: shows it. @done is called once, perhaps at once; then NULL is returned. */
Oauth2Question *oauth2_introspector_ask (Oauth2Introspector *introspector,
                                         const char *who,
                                         const char *token,
                                         gsize size,
                                         Oauth2VerdictFunc done,
                                         gpointer user_data);
void oauth2_question_cancel (Oauth2Question *question);

G_END_DECLS
