/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON Web Tokens (RFC 7519) as RFC 8725 wants them checked: a signature first, then the claims;
 * the algorithm is the key's and never the token's choice; nothing in a token is looked up anywhere
 * but in the table of keys. Time is an argument. What a refusal says is for the log of this side.
 */
#pragma once

#include "auth/common/commy-jwt-json.h"

#include <glib.h>

G_BEGIN_DECLS

#define JWT_TEXT_MAX 8192u
#define JWT_KEYS_TEXT_MAX (256u * 1024u)
#define JWT_KEYS_MAX 64u
#define JWT_CACHE_MAX 1024u
#define JWT_NAME_MAX 255u  /* of issuer and subject */
#define JWT_ID_MAX 128u    /* of a jti that is its name */
#define JWT_SCOPES_MAX 30u /* with the values of claims */
#define JWT_CLAIMS_MAX 16u
#define JWT_CLAIMS_RULE \
  "at most 16 names of up to 128 bytes with spaces between, without any of = ; % * ?"
#define JWT_SKEW_S G_GINT64_CONSTANT (60)

/* There is none for "none". */
typedef enum
{
  JWT_EDDSA = 1 << 0, /* Ed25519 */
  JWT_ES256 = 1 << 1,
  JWT_RS256 = 1 << 2,
  JWT_PS256 = 1 << 3,
  JWT_HS256 = 1 << 4,
} JwtAlgorithm;

/* 0: there is none of that name. */
JwtAlgorithm jwt_algorithm_from_name (const char *name);
/* Names with commas or spaces between them; 0: one of them is none. */
guint jwt_algorithms_parse (const char *names);

/* Without padding, white space or bits left over (RFC 7515, 2); NULL: it is no such text. */
GBytes *jwt_base64_decode (const char *text, gsize size);

/* --- keys (commy-jwt-keys.c) --- */

typedef struct _JwtKeys JwtKeys;

/* A JWK set (RFC 7517). Keys of a kind that is not known or not for signatures are left out; one
 * that is broken, private, or has the id of another, makes the whole set unusable. @algorithms: of
 * which there may be keys. */
JwtKeys *jwt_keys_parse (const char *text, gsize size, guint algorithms, GError **error);
void jwt_keys_free (JwtKeys *keys);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (JwtKeys, jwt_keys_free)
guint jwt_keys_get_n (const JwtKeys *keys);
/* Whether one of them is no public key. */
gboolean jwt_keys_has_secret (const JwtKeys *keys);

/* What jwt_keys_check() and jwt_check() say of a key that may be new. */
#define JWT_UNKNOWN_KEY "its key is not in the key set"

/* Whether @signature is the key's with that id for @data; @id NULL: there must be one key only. Why
 * not: a phrase. */
const char *jwt_keys_check (JwtKeys *keys,
                            const char *id,
                            JwtAlgorithm algorithm,
                            const char *data,
                            gsize data_size,
                            const guint8 *signature,
                            gsize signature_size);

/* --- tokens (commy-jwt-check.c) --- */

typedef struct
{
  const char *issuer;
  const char *audience;
  const char *type; /* "typ" of the header */
  gint64 max_life_s;
  gboolean is_told; /* claims come from the issuer itself (RFC 7662): who it is may be left out, and
                       a client that acts for itself has a client_id instead of a subject */
  char **claims;    /* that become attributes; NULL: none */
} JwtRules;

typedef struct
{
  char *id;        /* by which it can be denied: "jwt-id:ISSUER/JTI", or "jwt-sha256:DIGITS" */
  char *principal; /* "jwt:ISSUER/SUBJECT", and "scope=WORD" and "claim:NAME=VALUE" in lines
                       of their own */
  gint64 not_before_s;
  gint64 expires_s; /* from then on it is to be looked at anew */
  gint64 ends_s;    /* the token's own end, with the skew added */
} JwtVerdict;

void jwt_verdict_clear (JwtVerdict *verdict);
/* What counts as its name if its claims (jti) give it none: a hash of what was signed, since other
 * bytes may be as good a signature; of one that is no JWT, of all of it. */
void jwt_verdict_name (JwtVerdict *verdict, const char *text, gsize size);

/* NULL: it counts, and *@out_verdict says for whom; else why not, a phrase. */
const char *jwt_check (JwtKeys *keys,
                       const JwtRules *rules,
                       const char *text,
                       gsize size,
                       gint64 now_s,
                       JwtVerdict *out_verdict);

/* The same of claims whose signature was checked, or that need none. Without a jti it has no id. */
const char *jwt_check_claims (const JwtJson *claims,
                              const JwtRules *rules,
                              gint64 now_s,
                              JwtVerdict *out_verdict);

/* From when until when a token says that it counts, the skew included. Nothing of it is checked:
 * this is for a token of one's own. FALSE: it does not say. */
gboolean jwt_read_times (const char *text, gsize size, gint64 *out_from_s, gint64 *out_until_s);

/* Whether it may stand in a principal: not empty, no spaces, at most JWT_NAME_MAX bytes. */
gboolean jwt_is_name (const char *text);

/* --- what else a token says (commy-jwt-claims.c) --- */

/* Names with spaces between them; NULL: one of them is none, or there are too many. */
char **jwt_claims_parse (const char *names);
/* Adds a line each for scopes and chosen claims; not NULL: why the token does not count. */
const char *
jwt_append_attributes (GString *principal, const JwtJson *claims, const JwtRules *rules);

/* --- what was checked before (commy-jwt-cache.c) --- */

typedef struct _JwtCache JwtCache;

JwtCache *jwt_cache_new (void);
void jwt_cache_free (JwtCache *cache);
/* What it was found to be; NULL: it was not seen, or has expired since. */
const JwtVerdict *jwt_cache_find (JwtCache *cache, const char *text, gsize size, gint64 now_s);
/* Takes what is in @verdict. */
void
jwt_cache_add (JwtCache *cache, const char *text, gsize size, gint64 now_s, JwtVerdict *verdict);
void jwt_cache_clear (JwtCache *cache);
guint jwt_cache_get_n (JwtCache *cache);

G_END_DECLS
