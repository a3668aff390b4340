/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Renewal: when it is due, and doing it, with the authority in the same directory or at the
 * issuer. Several processes share a directory: a lock lets one of them do it.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>
#include <unistd.h>

#define LOCK_NAME "renew.lock"
#define BACKOFF_MIN_S 30
#define BACKOFF_MAX_S 3600

gint64
commy_pki_renewal_due (gint64 not_before_s, gint64 not_after_s, guint32 random)
{
  gint64 life = MAX (not_after_s - not_before_s, 0);
  gint64 spread = life / 20;

  return not_before_s + life * 2 / 3 + (spread > 0 ? (gint64) random % spread : 0);
}

gint64
commy_pki_renewal_backoff (guint failures, gint64 left_s, guint32 random)
{
  gint64 wait = BACKOFF_MIN_S << MIN (failures > 0 ? failures - 1 : 0, 7);

  /* Several more tries must fit into what is left; once nothing is, there is no hurry. */
  wait = MIN (wait, BACKOFF_MAX_S);
  if (left_s > 0)
    wait = MIN (wait, MAX (left_s / 8, 1));
  return MAX (wait / 2 + (gint64) random % MAX (wait / 2, 1), 1);
}

/* What was asked for when the certificate was made: its time without what lies before that. */
static gint64
life_of (const CommyPkiCredentials *old)
{
  gint64 whole = old->not_after_s - old->not_before_s;

  return whole >= 5 * COMMY_PKI_BACKDATE_S ? whole - COMMY_PKI_BACKDATE_S : whole * 4 / 5;
}

/* The same name for a new key, by the authority that lies here; as long as the present one. */
static CommyPkiMembership *
renew_here (const char *dir, const CommyPkiCredentials *old, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (CommyPkiRegister) reg = NULL;
  g_autoptr (CommyPkiPair) pair = NULL;
  g_autofree char *domain = NULL;
  const char *path = NULL;
  gint64 life = life_of (old);
  CommyPkiMembership *membership;

  /* The lock is held to the end: ca.pem is written, too, and a change of the authority meanwhile
   * would be undone by that. */
  reg = commy_pki_register_open_with (dir, &authority, error);
  if (reg == NULL)
    return NULL;
  domain = commy_pki_parse_id (old->id, strlen (old->id), &path, NULL);
  pair = commy_pki_issue_path (authority, path, now_s - commy_pki_backdate (life), now_s + life,
                               error);
  if (pair == NULL || !commy_pki_register_note_issued (reg, pair->cert_pem, now_s, error)
      || !commy_pki_pair_save (pair, authority, dir, error))
    return NULL;
  membership = g_new0 (CommyPkiMembership, 1);
  membership->id = g_strdup (old->id);
  membership->not_before_s = now_s - commy_pki_backdate (life);
  membership->not_after_s = now_s + life;
  return membership;
}

static CommyPkiMembership *
renew_there (const char *dir,
             const CommyPkiCredentials *old,
             const char *const *addresses,
             gint64 now_s,
             GCancellable *cancellable,
             GError **error)
{
  const gint64 began_us = g_get_monotonic_time ();
  const CommyPkiPeer peer
      = { .addresses = addresses, .credentials = old, .timeout_us = COMMY_PKI_TIMEOUT_US };
  g_autoptr (CommyPkiClient) client = commy_pki_client_open (&peer, cancellable, error);
  g_auto (CommyPkiMessage) answer = { 0 };
  g_autoptr (GBytes) csr = NULL;
  CommyPkiMembership *membership = NULL;
  gint64 took_s;
  char *key_pem = NULL;
  GVariantDict fields;

  if (client == NULL || !commy_pki_request_new (&key_pem, &csr, error))
    return NULL;
  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert_value (&fields, "request",
                               g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, csr, TRUE));
  /* What is new is judged by the time when it is there: a short life begins a moment before now. */
  if (commy_pki_client_exchange (
          client, commy_pki_message_write (COMMY_PKI_MESSAGE_RENEW, g_variant_dict_end (&fields)),
          &answer, error))
    {
      took_s = (g_get_monotonic_time () - began_us) / G_USEC_PER_SEC;
      membership = commy_pki_take_answer (dir, &answer, key_pem, NULL, now_s + took_s, error);
    }
  if (membership != NULL)
    membership->address = g_strdup (commy_pki_client_get_address (client));
  commy_pki_free_secret (key_pem);
  return membership;
}

static CommyPkiMembership *
renew (const char *dir,
       gint64 seen_not_after_s,
       gint64 now_s,
       GCancellable *cancellable,
       GError **error)
{
  g_autoptr (CommyPkiCredentials) old = commy_pki_credentials_load (dir, error);
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  g_auto (GStrv) addresses = NULL;

  if (old == NULL || (seen_not_after_s != 0 && old->not_after_s != seen_not_after_s))
    return NULL;
  if (g_file_test (key, G_FILE_TEST_EXISTS))
    return renew_here (dir, old, now_s, error);
  addresses = commy_pki_dup_issuer (dir);
  if (addresses != NULL)
    return renew_there (dir, old, (const char *const *) addresses, now_s, cancellable, error);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "no issuer is known in %s, so nobody can be asked: join with a token (commy join), "
               "or have the authority's host make a certificate (commy pki issue)",
               dir);
  return NULL;
}

CommyPkiMembership *
commy_pki_renew (const char *dir,
                 gint64 seen_not_after_s,
                 gint64 now_s,
                 GCancellable *cancellable,
                 GError **error)
{
  int lock = commy_pki_lock (dir, LOCK_NAME, FALSE, error);
  CommyPkiMembership *membership = NULL;

  if (lock < 0)
    return NULL;
  membership = renew (dir, seen_not_after_s, now_s, cancellable, error);
  close (lock);
  return membership;
}
