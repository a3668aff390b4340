/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a code counts, once. All of it under the lock of the register: of two processes, or
 * connections, that come with the same code, one is late; and who guesses by many connections at a
 * time waits as if he had come by one.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-totp-private.h"

#include <gnutls/crypto.h>
#include <string.h>

#define BACKUP_LETTERS 16u

static gboolean
refuse (GError **error, const CommyTotpEntry *entry, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED, "one-time code %s of %s: %s", entry->id,
               entry->principal, why);
  return FALSE;
}

/* --- backup codes --- */

gboolean
commy_totp_hash_backup_code (const guint8 salt[COMMY_TOTP_SALT_SIZE],
                             const char *code,
                             guint8 out_hash[32])
{
  char letters[BACKUP_LETTERS];
  gsize n = 0;

  for (const char *at = code; *at != '\0'; at++)
    {
      if (*at == '-' || *at == ' ')
        continue;
      if (n == sizeof letters || !g_ascii_isalnum (*at))
        return FALSE;
      letters[n++] = g_ascii_tolower (*at);
    }
  /* 80 bits of chance need no slow hash. */
  if (n == sizeof letters
      && gnutls_hmac_fast (GNUTLS_MAC_SHA256, salt, COMMY_TOTP_SALT_SIZE, letters, n, out_hash) < 0)
    g_error ("GnuTLS cannot compute HMAC-SHA-256");
  explicit_bzero (letters, sizeof letters);
  return n == sizeof letters;
}

/* Uses it up. */
static gboolean
take_backup_code (CommyTotpEntry *entry, const char *code)
{
  guint8 hash[32];
  guint found = COMMY_TOTP_BACKUP_CODES;

  if (!commy_totp_hash_backup_code (entry->salt, code, hash))
    return FALSE;
  for (guint i = 0; i < entry->n_codes; i++)
    if (gnutls_memcmp (entry->codes[i], hash, sizeof hash) == 0)
      found = i;
  if (found == COMMY_TOTP_BACKUP_CODES)
    return FALSE;
  entry->n_codes--;
  memcpy (entry->codes[found], entry->codes[entry->n_codes], sizeof hash);
  return TRUE;
}

/* --- codes --- */

/* A failure of a time that is still to come was noted by a clock that has been set back since: who
 * has to wait begins now. */
static gboolean
keep_behind (CommyTotpRegister *reg, CommyTotpEntry *entry, gint64 now_s, GError **error)
{
  if (now_s >= entry->failed_s)
    return TRUE;
  entry->failed_s = now_s;
  return commy_totp_register_save (reg, error);
}

/* As long as core makes a guesser wait; but this count is on the disk, for all processes, and is
 * not forgiven for another proof. */
static gboolean
may_try (CommyTotpRegister *reg, CommyTotpEntry *entry, gint64 now_s, GError **error)
{
  gint64 wait_s = entry->failures > 10
                      ? COMMY_TOTP_WAIT_MAX_S
                      : MIN (((gint64) 1 << entry->failures) / 2, (gint64) COMMY_TOTP_WAIT_MAX_S);

  if (entry->failures >= COMMY_TOTP_FAILURES_MAX)
    return refuse (error, entry,
                   "a hundred wrong codes in a row were the last; revoke it and enrol anew");
  if (!keep_behind (reg, entry, now_s, error))
    return FALSE;
  if (now_s < entry->failed_s + wait_s)
    return refuse (error, entry, "the next attempt after a wrong code comes too early");
  return TRUE;
}

static gboolean
take_code (CommyTotpEntry *entry, const CommyTotpKey *key, const char *code, gint64 now_s)
{
  gint64 step = commy_totp_find_step (key, code, now_s, entry->last_step);

  if (step < 0)
    return take_backup_code (entry, code);
  entry->last_step = step;
  return TRUE;
}

static const char *
why_wrong (const CommyTotpEntry *entry, const CommyTotpKey *key, const char *code, gint64 now_s)
{
  return commy_totp_find_step (key, code, now_s, -1) >= 0 && entry->last_step > 0
             ? "the code, or a later one, was used before"
             : "the code is wrong";
}

/* What came of it is on the disk before anybody learns of it. */
static gboolean
check_entry (CommyTotpRegister *reg,
             CommyTotpEntry *entry,
             const CommyTotpKey *key,
             const char *code,
             gint64 now_s,
             GError **error)
{
  gboolean fits = take_code (entry, key, code, now_s);

  if (fits)
    {
      entry->failures = 0;
      entry->failed_s = 0;
      entry->used_s = now_s;
    }
  else
    {
      entry->failures++;
      entry->failed_s = now_s;
    }
  if (!commy_totp_register_save (reg, error))
    return FALSE;
  return fits || refuse (error, entry, why_wrong (entry, key, code, now_s));
}

static CommyTotpEntry *
find (CommyTotpRegister *reg, const char *principal, GError **error)
{
  CommyTotpEntry *entry = commy_totp_register_find_principal (reg, principal);

  if (entry == NULL)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED,
                 "%s has no one-time codes here (commy totp enrol)", principal);
  return entry;
}

char *
commy_totp_check_code (const char *dir,
                       const char *key_name,
                       const char *principal,
                       const char *code,
                       gint64 now_s,
                       GError **error)
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (dir, key_name, error);
  CommyTotpEntry *entry = reg != NULL ? find (reg, principal, error) : NULL;
  gboolean fits = FALSE;
  CommyTotpKey key;

  if (entry == NULL || !may_try (reg, entry, now_s, error)
      || !commy_totp_register_unseal (reg, entry, &key, error))
    return NULL;
  fits = check_entry (reg, entry, &key, code, now_s, error);
  commy_totp_key_clear (&key);
  return fits ? g_strdup (entry->id) : NULL;
}

char *
commy_totp_check_proof (const char *dir,
                        const char *key_name,
                        const char *principal,
                        const guint8 *transcript,
                        const guint8 *proof,
                        GError **error)
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_load (dir, key_name, error);
  CommyTotpEntry *entry = reg != NULL ? find (reg, principal, error) : NULL;
  guint8 right[COMMY_TOTP_PROOF_SIZE];
  CommyTotpKey key;

  if (entry == NULL || !commy_totp_register_unseal (reg, entry, &key, error))
    return NULL;
  commy_totp_prove (&key, transcript, right);
  commy_totp_key_clear (&key);
  if (gnutls_memcmp (right, proof, sizeof right) != 0)
    {
      refuse (error, entry, "its proof is wrong");
      return NULL;
    }
  return g_strdup (entry->id);
}

gboolean
commy_totp_check_id (const char *dir, const char *principal, const char *id, GError **error)
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_load (dir, NULL, error);
  const CommyTotpEntry *entry = reg != NULL ? find (reg, principal, error) : NULL;

  if (entry == NULL || strcmp (entry->id, id) == 0)
    return entry != NULL;
  return refuse (error, entry, "the principal was enrolled anew");
}

gboolean
commy_totp_check_not_revoked (const char *dir,
                              const char *principal,
                              const char *id,
                              GError **error)
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_load (dir, NULL, error);
  const CommyTotpEntry *entry = reg != NULL ? commy_totp_register_find (reg, id) : NULL;

  if (reg == NULL)
    return FALSE;
  if (entry == NULL)
    {
      /* A secret that was revoked here may be forgotten by now. */
      entry = commy_totp_register_find_principal (reg, principal);
      return entry == NULL || refuse (error, entry, "the principal was enrolled anew");
    }
  if (strcmp (entry->principal, principal) != 0)
    return refuse (error, entry, "it is somebody else's");
  return !entry->is_revoked || refuse (error, entry, "it was revoked");
}
