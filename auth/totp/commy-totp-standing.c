/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session stands for the secret whose code it was granted for, and goes with it. One in the store
 * can be revoked by itself.
 */
#include "config.h"

#include "auth/totp/commy-totp-standing.h"

#include "auth/common/commy-totp.h"

#include <string.h>

#define SECRET "totp-id:"
#define SESSION "session:"

void
totp_standing_name (const char *factor, const char *session, CommyProof *out_proof)
{
  gboolean has_session = session[0] != '\0';

  g_snprintf (out_proof->id, sizeof out_proof->id, SECRET "%s%s%s", factor,
              has_session ? " " SESSION : "", session);
}

/* A file that cannot be read just now takes nothing back. @is_elsewhere: another host may have the
 * secret; who revokes it here ends it all the same. */
static CommyProofState
look_at_secret (CommyHost *host,
                CommyKeptRegister *secrets,
                const char *id,
                gboolean is_elsewhere,
                char *reason,
                gsize reason_size)
{
  const char *dir = host->info (host, COMMY_HOST_STATE_DIR);
  g_autoptr (GError) error = commy_kept_register_refresh (secrets, &commy_totp_register_kind, dir,
                                                          COMMY_TOTP_FILE, host->now_ns (host));
  const CommyTotpEntry *entry;

  if (error != NULL)
    {
      g_autofree char *line
          = g_strdup_printf ("whether one-time codes were revoked: %s", error->message);

      host->log (host, G_LOG_LEVEL_WARNING, line);
    }
  entry = secrets->reg != NULL ? commy_totp_register_find (secrets->reg, id) : NULL;
  if (secrets->reg == NULL || (entry != NULL ? !entry->is_revoked : is_elsewhere))
    return COMMY_PROOF_GOOD;
  g_snprintf (reason, reason_size, "one-time code %s: it is %s", id,
              entry == NULL ? "gone" : "revoked");
  return COMMY_PROOF_REVOKED;
}

CommyProofState
totp_standing_look (CommyHost *host,
                    CommyKeptRegister *secrets,
                    TotpShared *shared,
                    const char *proof,
                    char *reason,
                    gsize reason_size)
{
  g_auto (GStrv) parts = g_strsplit (proof, " ", 2);
  const char *session = NULL;

  if (parts[0] == NULL || !g_str_has_prefix (parts[0], SECRET))
    return COMMY_PROOF_GOOD;
  if (parts[1] != NULL && g_str_has_prefix (parts[1], SESSION))
    session = parts[1] + strlen (SESSION);
  if (session != NULL && shared != NULL && totp_shared_is_revoked (shared, session))
    {
      g_snprintf (reason, reason_size, "%s was revoked", parts[1]);
      return COMMY_PROOF_REVOKED;
    }
  return look_at_secret (host, secrets, parts[0] + strlen (SECRET), session != NULL, reason,
                         reason_size);
}
