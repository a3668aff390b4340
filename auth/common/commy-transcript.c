/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transcripts: see the header.
 */
#include "config.h"

#include "auth/common/commy-transcript.h"

#include <gnutls/crypto.h>
#include <string.h>
#include <unistd.h>

void
commy_transcript_begin (CommyTranscript *self, const CommyEvidence *evidence, gboolean accepting)
{
  const guint32 own = GUINT32_TO_LE ((guint32) geteuid ());
  const guint32 other = GUINT32_TO_LE (evidence->uid);

  self->has_binding = evidence->has_binding;
  memcpy (self->binding, evidence->binding, sizeof self->binding);
  if (evidence->kind != COMMY_EVIDENCE_KERNEL)
    return;
  memcpy (self->users, accepting ? &other : &own, sizeof own);
  memcpy (self->users + sizeof own, accepting ? &own : &other, sizeof own);
}

void
commy_transcript_finish (const CommyTranscript *self,
                         const char *label,
                         const guint8 *first,
                         gsize first_size,
                         const guint8 *second,
                         gsize second_size,
                         guint8 out_hash[COMMY_TRANSCRIPT_SIZE])
{
  gnutls_hash_hd_t hash;

  if (gnutls_hash_init (&hash, GNUTLS_DIG_SHA256) < 0)
    g_error ("GnuTLS cannot compute SHA-256");
  gnutls_hash (hash, label, strlen (label));
  gnutls_hash (hash, self->binding, sizeof self->binding);
  gnutls_hash (hash, self->users, sizeof self->users);
  gnutls_hash (hash, first, first_size);
  gnutls_hash (hash, second, second_size);
  gnutls_hash_deinit (hash, out_hash);
}
