/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One-time codes by time (TOTP, RFC 6238) as a second factor: of whom, each code once, and codes
 * for the day on which the device is lost. Time is an argument.
 */
#pragma once

#include "auth/common/commy-register.h"

G_BEGIN_DECLS

#define COMMY_TOTP_PERIOD_S 30
#define COMMY_TOTP_WINDOW 1 /* steps before and behind the present one that count, too */
#define COMMY_TOTP_SECRET_MAX 64u
#define COMMY_TOTP_SECRET_MIN 16u
#define COMMY_TOTP_DIGITS_MAX 8u
#define COMMY_TOTP_URI_MAX 2048u
#define COMMY_TOTP_PROOF_SIZE 32u

typedef enum
{
  COMMY_TOTP_SHA1,
  COMMY_TOTP_SHA256,
  COMMY_TOTP_SHA512,
} CommyTotpHash;

typedef struct
{
  CommyTotpHash hash;
  guint digits; /* 6 to 8 */
  gsize secret_size;
  guint8 secret[COMMY_TOTP_SECRET_MAX];
} CommyTotpKey;

/* "sha1", "sha256", "sha512", in any case. */
gboolean commy_totp_hash_parse (const char *text, CommyTotpHash *out_hash);
const char *commy_totp_hash_to_text (CommyTotpHash hash);

/* A secret as long as the hash. */
gboolean
commy_totp_key_new (CommyTotpHash hash, guint digits, CommyTotpKey *out_key, GError **error);
void commy_totp_key_clear (CommyTotpKey *key);
/* As programs for one-time codes read it: otpauth://totp/... A secret, for
 * commy_credential_free(). */
char *commy_totp_key_to_uri (const CommyTotpKey *key, const char *issuer, const char *account);
/* What that writes, and what other programs write of the kind. */
gboolean commy_totp_key_parse_uri (const char *uri, CommyTotpKey *out_key, GError **error);

gint64 commy_totp_step (gint64 now_s);
void
commy_totp_code (const CommyTotpKey *key, gint64 step, char out_code[COMMY_TOTP_DIGITS_MAX + 1]);
/* Whose code it is: a step of the window, later than @after; or -1. */
gint64 commy_totp_find_step (const CommyTotpKey *key, const char *code, gint64 now_s, gint64 after);

/* Of who has the secret itself, for @transcript (32 bytes): no code is used up by it. */
void commy_totp_prove (const CommyTotpKey *key,
                       const guint8 *transcript,
                       guint8 out_proof[COMMY_TOTP_PROOF_SIZE]);

/* --- the register (commy-totp-register.c) --- */

#define COMMY_TOTP_MAX 1024u
#define COMMY_TOTP_FILE "totp"
#define COMMY_TOTP_KEY_FILE "totp-key"
#define COMMY_TOTP_BACKUP_CODES 10u
#define COMMY_TOTP_BACKUP_TEXT 19u /* four groups of four */
#define COMMY_TOTP_SALT_SIZE 16u
/* Wrong codes in a row, behind which none counts any more (NIST SP 800-63B, 5.2.2). */
#define COMMY_TOTP_FAILURES_MAX 100u
#define COMMY_TOTP_WAIT_MAX_S 900

typedef struct
{
  char *id;
  char *principal; /* whose second factor it is */
  CommyTotpHash hash;
  guint digits;
  char *sealed; /* the secret, which only the key of the register opens */
  gint64 created_s;
  gboolean is_revoked;
  gint64 last_step; /* no code of this one or before counts */
  gint64 used_s;    /* 0: never */
  guint failures;   /* in a row */
  gint64 failed_s;
  guint8 salt[COMMY_TOTP_SALT_SIZE];
  guint n_codes; /* backup codes that are left */
  guint8 codes[COMMY_TOTP_BACKUP_CODES][32];
} CommyTotpEntry;

/* See commy-register.h for what has no comment here. */
typedef CommyRegister CommyTotpRegister;
extern const CommyRegisterKind commy_totp_register_kind;

/* @key: of which its secrets are sealed, as in commy_credential_get(); NULL or "": the file of its
 * own beside it. */
CommyTotpRegister *commy_totp_register_load (const char *dir, const char *key, GError **error);
/* No code counts twice, since the lock is for all processes. */
CommyTotpRegister *commy_totp_register_open (const char *dir, const char *key, GError **error);
gboolean commy_totp_register_save (CommyTotpRegister *reg, GError **error);
void commy_totp_register_free (CommyTotpRegister *reg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyTotpRegister, commy_totp_register_free)

CommyTotpRegister *commy_totp_register_parse (const char *text, gsize size, GError **error);

/* Of an open register. One that counts there is for each principal only. @out_codes: backup codes,
 * secrets. Returns the entry. (transfer none) */
const CommyTotpEntry *commy_totp_register_add (CommyTotpRegister *reg,
                                               const char *principal,
                                               const CommyTotpKey *key,
                                               gint64 now_s,
                                               GPtrArray **out_codes,
                                               GError **error);
gboolean commy_totp_register_revoke (CommyTotpRegister *reg, const char *id, GError **error);
gboolean commy_totp_register_remove (CommyTotpRegister *reg, const char *id, GError **error);
const CommyTotpEntry *commy_totp_register_find (CommyTotpRegister *reg, const char *id);
GPtrArray *commy_totp_register_list (CommyTotpRegister *reg);

/* --- checking (commy-totp-check.c) --- */

/* Whether @code, of time or a backup code, is @principal's and was not used yet. What is used up,
 * or counted as a failure, is on the disk when this returns. Blocks. Returns the id of the entry.
 * (transfer full) NULL with why not, for the log. */
char *commy_totp_check_code (const char *dir,
                             const char *key,
                             const char *principal,
                             const char *code,
                             gint64 now_s,
                             GError **error);
/* The same for commy_totp_prove(). */
char *commy_totp_check_proof (const char *dir,
                              const char *key,
                              const char *principal,
                              const guint8 *transcript,
                              const guint8 *proof,
                              GError **error);
/* Whether what was found good before still is: the entry @id of @principal's. */
gboolean
commy_totp_check_id (const char *dir, const char *principal, const char *id, GError **error);
/* The same where another host may have the entry: one that is not here is good, unless @principal
 * has another one here. */
gboolean commy_totp_check_not_revoked (const char *dir,
                                       const char *principal,
                                       const char *id,
                                       GError **error);

G_END_DECLS
