/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of one-time codes share: entries that may be changed, and how a secret is sealed.
 */
#pragma once

#include "auth/common/commy-totp.h"

G_BEGIN_DECLS

/* One that counts; NULL: there is none. */
CommyTotpEntry *commy_totp_register_find_principal (CommyTotpRegister *reg, const char *principal);
/* For commy_totp_key_clear(). */
gboolean commy_totp_register_unseal (CommyTotpRegister *reg,
                                     const CommyTotpEntry *entry,
                                     CommyTotpKey *out_key,
                                     GError **error);

/* --- commy-totp-seal.c --- */

#define COMMY_TOTP_SEAL_KEY_SIZE 32u

/* The key by which secrets are sealed. @name: see commy_totp_register_load(). @make: the file of
 * the register's own is made where it is not there. */
gboolean commy_totp_seal_key (const char *dir,
                              const char *name,
                              gboolean make,
                              guint8 out_key[COMMY_TOTP_SEAL_KEY_SIZE],
                              GError **error);
/* Bound to everything that says what the secret is for. (transfer full) */
char *commy_totp_seal (const guint8 *seal_key,
                       const CommyTotpEntry *entry,
                       const CommyTotpKey *key,
                       GError **error);
gboolean commy_totp_unseal (const guint8 *seal_key,
                            const CommyTotpEntry *entry,
                            CommyTotpKey *out_key,
                            GError **error);

/* --- backup codes (commy-totp-check.c) --- */

/* As it was typed: spaces, hyphens and case do not matter. FALSE: it is no backup code. */
gboolean commy_totp_hash_backup_code (const guint8 salt[COMMY_TOTP_SALT_SIZE],
                                      const char *code,
                                      guint8 out_hash[32]);

G_END_DECLS
