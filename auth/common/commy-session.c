/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions in a file like that of tokens: it checks their keys and has none, and each is bound to
 * its principal.
 */
#include "config.h"

#include "auth/common/commy-session.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

void
commy_session_grant_clear (CommySessionGrant *grant)
{
  explicit_bzero (grant, sizeof *grant);
}

/* What does not count any more goes. Who has as many as it may gets no other, so that whoever has
 * got hold of a code ends nobody's session by it. */
static gboolean
make_room (CommyApiKeyRegister *reg, const char *principal, gint64 now_s, GError **error)
{
  g_autoptr (GPtrArray) entries = commy_api_key_register_list (reg);
  guint n = 0;

  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];

      if (commy_api_key_entry_why_not (entry, entry->principal, now_s) != NULL)
        commy_api_key_register_remove (reg, entry->id, NULL);
      else if (g_strcmp0 (entry->principal, principal) == 0)
        n++;
    }
  if (n < COMMY_SESSIONS_PRINCIPAL_MAX)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_BUSY,
               "%s has %u sessions, which is as many as it may: it gets another one when one of "
               "them ends or is revoked (commy session revoke)",
               principal, COMMY_SESSIONS_PRINCIPAL_MAX);
  return FALSE;
}

gboolean
commy_session_issue (const char *dir,
                     const CommySessionRules *rules,
                     const char *principal,
                     const char *factor,
                     gint64 now_s,
                     CommySessionGrant *out_grant,
                     GError **error)
{
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_open_file (dir, COMMY_SESSIONS_FILE, error);
  const char *const scopes[] = { factor, NULL };
  const gint64 ends_s = now_s + MIN (rules->idle_s, rules->life_s);
  const CommyApiKeyEntry *entry;

  memset (out_grant, 0, sizeof *out_grant);
  if (reg == NULL || !commy_api_key_new (&out_grant->key, error))
    return FALSE;
  if (!make_room (reg, principal, now_s, error)
      || !commy_api_key_register_add (reg, &out_grant->key, NULL, scopes, now_s, ends_s, error)
      || !commy_api_key_register_bind (reg, out_grant->key.id, principal, error)
      || !commy_api_key_register_save (reg, error))
    {
      commy_session_grant_clear (out_grant);
      return FALSE;
    }
  entry = commy_api_key_register_find (reg, out_grant->key.id);
  memcpy (out_grant->pepper, entry->verifier.pepper, sizeof out_grant->pepper);
  out_grant->ends_s = now_s + rules->life_s;
  return TRUE;
}

/* Not for each connection: a quarter of the time without use is the step. */
static gboolean
refresh (
    const char *dir, const CommySessionRules *rules, const char *id, gint64 now_s, GError **error)
{
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_open_file (dir, COMMY_SESSIONS_FILE, error);
  const CommyApiKeyEntry *entry = reg != NULL ? commy_api_key_register_find (reg, id) : NULL;
  gint64 ends_s;

  if (reg != NULL && (entry == NULL || entry->is_revoked))
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED, "session %s has just ended", id);
  if (entry == NULL || entry->is_revoked)
    return FALSE;
  ends_s = MIN (now_s + rules->idle_s, entry->created_s + rules->life_s);
  if (ends_s - entry->expires_s < rules->idle_s / 4)
    return TRUE;
  return commy_api_key_register_set_end (reg, id, ends_s, error)
         && commy_api_key_register_save (reg, error);
}

static const char *
why_not (CommyApiKeyRegister *reg,
         const CommySessionRules *rules,
         const char *principal,
         const char *id,
         const guint8 *transcript,
         const guint8 *proof,
         gint64 now_s)
{
  const CommyApiKeyEntry *entry
      = commy_api_key_is_id (id) ? commy_api_key_register_find (reg, id) : NULL;
  guint8 answer[COMMY_API_KEY_HASH_SIZE];

  if (entry == NULL)
    return "there is no such session";
  if (!commy_api_key_check (&entry->verifier, transcript, proof, answer))
    return "its proof is wrong";
  if (entry->principal == NULL || entry->scopes == NULL || entry->scopes[0] == NULL)
    return "it is of nobody";
  if (now_s >= entry->created_s + rules->life_s)
    return "it has expired";
  return commy_api_key_entry_why_not (entry, principal, now_s);
}

char *
commy_session_check (const char *dir,
                     const CommySessionRules *rules,
                     const char *principal,
                     const char *id,
                     const guint8 *transcript,
                     const guint8 *proof,
                     gint64 now_s,
                     GError **error)
{
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_load_file (dir, COMMY_SESSIONS_FILE, error);
  const CommyApiKeyEntry *entry;
  const char *why;

  if (reg == NULL)
    return NULL;
  why = why_not (reg, rules, principal, id, transcript, proof, now_s);
  if (why != NULL)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED, "session %.12s of %s: %s", id,
                   principal, why);
      return NULL;
    }
  entry = commy_api_key_register_find (reg, id);
  return refresh (dir, rules, id, now_s, error) ? g_strdup (entry->scopes[0]) : NULL;
}
