/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a connection rests on where certificates made it: their names, how long they are valid, and
 * whether the authorities and lists of this node's folder still let them stand.
 */
#include "config.h"

#include "auth/mtls/commy-mtls.h"

#include <string.h>

#define LOOK_EVERY_NS (MTLS_SECOND / 10)

static void
tell_stale (MtlsProofs *self)
{
  gint64 end_s = commy_pki_trust_get_crl_end (self->trust);
  gint64 now_s = g_get_real_time () / G_USEC_PER_SEC;

  if (end_s == 0 || end_s >= now_s || end_s == self->told_end_s)
    return;
  self->told_end_s = end_s;
  self->host->log (
      self->host, G_LOG_LEVEL_WARNING,
      "crl.pem should have been replaced by a newer list of revoked certificates; what "
      "it names stays refused");
}

static void
tell_failed (MtlsProofs *self, const CommyPkiStamps *stamps, const GError *why, gint64 now_ns)
{
  g_autofree char *line = NULL;

  if (!commy_pki_reload_failed (&self->reload, stamps, why, now_ns))
    return;
  line = g_strdup_printf ("open connections are judged by what was there before: %s", why->message);
  self->host->log (self->host, G_LOG_LEVEL_WARNING, line);
}

/* The files as they are, or as they were when they could be read last. */
static CommyPkiTrust *
refresh (MtlsProofs *self)
{
  g_auto (CommyPkiPlaces) places = { NULL };
  CommyPkiStamps stamps;
  g_autoptr (GError) error = NULL;
  gint64 now_ns = self->host->now_ns (self->host);
  CommyPkiTrust *fresh;

  if (self->looked_ns != 0 && now_ns - self->looked_ns < LOOK_EVERY_NS)
    return self->trust;
  self->looked_ns = now_ns;
  (void) commy_pki_places_find (self->dir, &places, &error);
  commy_pki_stamps_take ((const char *const[]){ places.authority, places.crl }, 2, &stamps);
  if (error == NULL && !commy_pki_reload_is_due (&self->reload, &stamps, now_ns))
    return self->trust;
  fresh = error == NULL ? commy_pki_places_load_trust (&places, &error) : NULL;
  if (fresh == NULL)
    {
      tell_failed (self, &stamps, error, now_ns);
      return self->trust;
    }
  commy_pki_reload_done (&self->reload, &stamps);
  g_clear_pointer (&self->trust, commy_pki_trust_free);
  self->trust = fresh;
  tell_stale (self);
  return fresh;
}

gboolean
mtls_proof_describe (MtlsProofs *self, const CommyEvidence *evidence, CommyProof *proof)
{
  g_autofree char *names = NULL;
  gint64 from_s, until_s;

  if (evidence->kind != COMMY_EVIDENCE_X509 || evidence->n_chain == 0)
    return FALSE;
  names = commy_pki_chain_dup_names (self->dir != NULL ? refresh (self) : NULL, evidence->chain,
                                     evidence->n_chain, &from_s, &until_s);
  if (g_strlcpy (proof->id, names, sizeof proof->id) >= sizeof proof->id)
    proof->id[strcspn (proof->id, " ")] = '\0'; /* the peer's own alone */
  /* What this side showed ends the other side's proof, which may have none that ends before. */
  if (evidence->struct_size >= G_STRUCT_OFFSET (CommyEvidence, own_until_s) + sizeof (gint64)
      && evidence->own_until_s > 0 && evidence->own_until_s < until_s)
    {
      until_s = evidence->own_until_s;
      from_s = evidence->own_from_s;
    }
  proof->from_s = from_s;
  proof->until_s = until_s;
  return TRUE;
}

CommyProofState
mtls_proof_judge (MtlsProofs *self, const char *names, char *reason, gsize reason_size)
{
  CommyPkiTrust *trust = self->dir != NULL ? refresh (self) : NULL;

  switch (trust != NULL ? commy_pki_trust_judge_names (trust, names) : COMMY_PKI_NAMES_GOOD)
    {
    case COMMY_PKI_NAMES_REVOKED:
      g_strlcpy (reason, "the certificate was revoked", reason_size);
      return COMMY_PROOF_REVOKED;
    case COMMY_PKI_NAMES_STRANGE:
      g_strlcpy (reason, "the certificate's authority is not trusted any more", reason_size);
      return COMMY_PROOF_STALE;
    case COMMY_PKI_NAMES_GOOD:
    default:
      return COMMY_PROOF_GOOD;
    }
}

void
mtls_proofs_init (MtlsProofs *self, CommyHost *host)
{
  const char *dir = host->info (host, COMMY_HOST_CREDENTIALS_DIR);

  self->host = host;
  self->dir = dir != NULL && *dir != '\0' ? dir : NULL;
}

void
mtls_proofs_clear (MtlsProofs *self)
{
  g_clear_pointer (&self->trust, commy_pki_trust_free);
  commy_pki_reload_clear (&self->reload);
}
