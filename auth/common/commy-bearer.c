/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * To whom a secret is shown, and over what; and how long one that was taken counts.
 */
#include "config.h"

#include "auth/common/commy-bearer.h"

#include "auth/common/commy-credential.h"

#include <string.h>

/* What is not proved to be somebody's is told apart by what it came with. */
static char *
dup_source (const CommyEvidence *evidence)
{
  if (evidence->kind == COMMY_EVIDENCE_KERNEL)
    return g_strdup_printf ("user/%u", evidence->uid);
  if (evidence->kind == COMMY_EVIDENCE_X509 && evidence->n_chain > 0)
    return g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, evidence->chain[0]);
  return g_strdup ("");
}

void
commy_bearer_begin (CommyBearer *self, const CommyEvidence *evidence, gboolean accepting)
{
  self->accepting = accepting;
  /* Between two processes of one host there is nobody, once the kernel has named the other one. */
  self->is_private = evidence->security >= COMMY_SECURITY_CONFIDENTIAL
                     || evidence->kind == COMMY_EVIDENCE_SELF
                     || evidence->kind == COMMY_EVIDENCE_KERNEL;
  if (evidence->struct_size >= G_STRUCT_OFFSET (CommyEvidence, principal) + sizeof (char *))
    self->peer = g_strdup (evidence->principal);
  self->source = self->peer != NULL ? g_strdup (self->peer) : dup_source (evidence);
}

void
commy_bearer_clear (CommyBearer *self)
{
  g_clear_pointer (&self->peer, g_free);
  g_clear_pointer (&self->source, g_free);
  g_clear_pointer (&self->id, g_free);
}

gboolean
commy_bearer_take_turn (CommyBearer *self, GBytes *bytes)
{
  gboolean first = !self->is_over;

  self->is_over = TRUE;
  return first && (self->accepting || bytes == NULL);
}

static gboolean
is_shown_to (const char *patterns, const char *principal)
{
  g_auto (GStrv) words = g_strsplit (patterns, " ", -1);

  for (char **word = words; *word != NULL; word++)
    if (**word != '\0' && g_pattern_match_simple (*word, principal))
      return TRUE;
  return FALSE;
}

char *
commy_bearer_dup_why_not (const CommyBearer *self, const char *show_to, const char *plugin)
{
  if (!self->is_private)
    return g_strdup ("the path is not confidential: a token or code is shown over one that is, "
                     "such as tls");
  if (self->peer == NULL)
    return g_strdup ("the other side has not proved who it is: no token or code is shown to it");
  if (!is_shown_to (show_to, self->peer))
    return g_strdup_printf ("param.show-to of [plugin %s] does not name %s, so it is not shown "
                            "this node's token or code",
                            plugin, self->peer);
  return NULL;
}

void
commy_bearer_hold (CommyBearer *self, const char *id, gint64 from_s, gint64 until_s)
{
  g_free (self->id);
  self->id = g_strdup (id);
  self->from_s = MAX (from_s, 0);
  self->until_s = until_s;
}

gboolean
commy_bearer_get_proof (const CommyBearer *self, CommyProof *proof)
{
  if (self->until_s == 0)
    return FALSE;
  if (self->id != NULL)
    g_strlcpy (proof->id, self->id, sizeof proof->id);
  proof->from_s = self->from_s;
  proof->until_s = self->until_s;
  return TRUE;
}

GBytes *
commy_bearer_take_bytes (char *secret)
{
  return g_bytes_new_with_free_func (secret, strlen (secret),
                                     (GDestroyNotify) commy_credential_free, secret);
}
