/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys of callers that have no certificate: what `commy token` makes and the auth provider `token`
 * checks. Time and chance are arguments.
 *
 * As text: cmy_ID_SECRET_CHECK: 12 and 64 hexadecimal digits, and the CRC-32 of what stands before
 * its '_', by which a scanner for leaked secrets knows one, and a typing error is told from a wrong
 * key.
 *
 * The proof is that of SCRAM (RFC 5802), which neither shows the secret to a listener nor lets who
 * steals the register call: commy-api-key.c.
 */
#pragma once

#include "auth/common/commy-register.h"

G_BEGIN_DECLS

#define COMMY_API_KEY_ID_SIZE 12u
#define COMMY_API_KEY_SECRET_SIZE 32u
#define COMMY_API_KEY_PEPPER_SIZE 16u
#define COMMY_API_KEY_HASH_SIZE 32u
#define COMMY_API_KEY_TEXT_MAX 128u

typedef struct
{
  char id[COMMY_API_KEY_ID_SIZE + 1];
  guint8 secret[COMMY_API_KEY_SECRET_SIZE];
} CommyApiKey;

/* What the register knows of a key: no more than it takes to check it. */
typedef struct
{
  guint8 pepper[COMMY_API_KEY_PEPPER_SIZE];
  guint8 stored[COMMY_API_KEY_HASH_SIZE];
  guint8 server[COMMY_API_KEY_HASH_SIZE];
} CommyApiKeyVerifier;

gboolean commy_api_key_new (CommyApiKey *out_key, GError **error);
gboolean commy_api_key_parse (const char *text, CommyApiKey *out_key, GError **error);
/* A secret, for commy_credential_free(). */
char *commy_api_key_to_text (const CommyApiKey *key);
void commy_api_key_clear (CommyApiKey *key);
gboolean commy_api_key_is_id (const char *text);
/* Whether a second proof can be bound to it: "KIND:..." without white space, 240 bytes at most. */
gboolean commy_api_key_is_principal (const char *text);

/* Of a key, with a new pepper. */
gboolean commy_api_key_make_verifier (const CommyApiKey *key,
                                      CommyApiKeyVerifier *out_verifier,
                                      GError **error);
/* One that no key fits, always the same one for an @id and a @seed: who asks for a key that is not
 * there learns no more than who has the wrong one. */
void commy_api_key_fake_verifier (const guint8 seed[32],
                                  const char *id,
                                  CommyApiKeyVerifier *out_verifier);

/* The caller's proof for @transcript (32 bytes), and what the other side must answer with. */
void commy_api_key_prove (const CommyApiKey *key,
                          const guint8 *pepper,
                          const guint8 *transcript,
                          guint8 *out_proof,
                          guint8 *out_answer);
/* Whether @proof is one; then the answer, too. In constant time. */
gboolean commy_api_key_check (const CommyApiKeyVerifier *verifier,
                              const guint8 *transcript,
                              const guint8 *proof,
                              guint8 *out_answer);

/* --- the register (commy-api-key-register.c) --- */

#define COMMY_API_KEYS_MAX 1024u
#define COMMY_API_KEYS_FILE "tokens"
#define COMMY_API_KEY_PRINCIPAL_MAX 240u

typedef struct
{
  char *id;
  char *name;      /* or NULL: its id is its name */
  char **scopes;   /* words, up to NULL */
  char *principal; /* for whom it is a second proof only; or NULL */
  gint64 created_s;
  gint64 expires_s; /* 0: never */
  gboolean is_revoked;
  CommyApiKeyVerifier verifier;
} CommyApiKeyEntry;

/* See commy-register.h for what has no comment here. */
typedef CommyRegister CommyApiKeyRegister;
extern const CommyRegisterKind commy_api_key_register_kind;

CommyApiKeyRegister *commy_api_key_register_load (const char *dir, GError **error);
CommyApiKeyRegister *commy_api_key_register_open (const char *dir, GError **error);
gboolean commy_api_key_register_save (CommyApiKeyRegister *reg, GError **error);
/* The same of another file than COMMY_API_KEYS_FILE. */
CommyApiKeyRegister *
commy_api_key_register_load_file (const char *dir, const char *file, GError **error);
CommyApiKeyRegister *
commy_api_key_register_open_file (const char *dir, const char *file, GError **error);
void commy_api_key_register_free (CommyApiKeyRegister *reg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyApiKeyRegister, commy_api_key_register_free)

CommyApiKeyRegister *commy_api_key_register_parse (const char *text, gsize size, GError **error);

/* @name and @scopes (nullable): words of letters, digits and ".-_/@+:". */
gboolean commy_api_key_register_add (CommyApiKeyRegister *reg,
                                     const CommyApiKey *key,
                                     const char *name,
                                     const char *const *scopes,
                                     gint64 now_s,
                                     gint64 expires_s,
                                     GError **error);
gboolean commy_api_key_register_revoke (CommyApiKeyRegister *reg, const char *id, GError **error);
/* From now on it counts only beside a proof of being @principal. */
gboolean commy_api_key_register_bind (CommyApiKeyRegister *reg,
                                      const char *id,
                                      const char *principal,
                                      GError **error);
/* From now on it ends at that time. */
gboolean commy_api_key_register_set_end (CommyApiKeyRegister *reg,
                                         const char *id,
                                         gint64 expires_s,
                                         GError **error);
gboolean commy_api_key_register_remove (CommyApiKeyRegister *reg, const char *id, GError **error);
const CommyApiKeyEntry *commy_api_key_register_find (CommyApiKeyRegister *reg, const char *id);
GPtrArray *commy_api_key_register_list (CommyApiKeyRegister *reg);

/* Why it does not count at that time for who has proved to be @peer (nullable), a phrase; NULL: it
 * does. */
const char *
commy_api_key_entry_why_not (const CommyApiKeyEntry *entry, const char *peer, gint64 now_s);

G_END_DECLS
