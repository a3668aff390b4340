/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "auth-side.h"

#include <stdlib.h>
#include <string.h>

void
auth_side_begin (AuthSide *side,
                 const CommyAuthOps *ops,
                 gpointer instance,
                 gboolean accepting,
                 const CommyEvidence *evidence)
{
  gsize size = (ops->session_size + 63) / 64 * 64;

  memset (side, 0, sizeof *side);
  side->ops = ops;
  side->session = aligned_alloc (64, size);
  memset (side->session, 0, size);
  ops->begin (instance, side->session, evidence, accepting);
}

static void
on_done (gpointer user_data, CommyAuthVerdict verdict, GBytes *bytes, const char *text)
{
  AuthSide *side = user_data;

  side->n_answers++;
  side->verdict = verdict;
  g_clear_pointer (&side->bytes, g_bytes_unref);
  side->bytes = bytes != NULL ? g_bytes_ref (bytes) : NULL;
  g_free (side->text);
  side->text = g_strdup (text);
}

void
auth_side_step (AuthSide *side, GBytes *bytes)
{
  side->ops->step (side->session, bytes, on_done, side);
}

void
auth_side_step_sync (AuthSide *side, GBytes *bytes)
{
  guint before = side->n_answers;

  auth_side_step (side, bytes);
  while (side->n_answers == before)
    g_main_context_iteration (NULL, TRUE);
}

void
auth_side_end (AuthSide *side)
{
  side->ops->end (side->session);
  free (side->session);
  g_clear_pointer (&side->bytes, g_bytes_unref);
  g_clear_pointer (&side->text, g_free);
}

CommyEvidence
auth_side_evidence (guint8 binding, const char *principal)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence,
                             .kind = COMMY_EVIDENCE_X509,
                             .security = COMMY_SECURITY_MUTUAL,
                             .pidfd = -1,
                             .has_binding = TRUE,
                             .principal = principal };

  memset (evidence.binding, binding, sizeof evidence.binding);
  return evidence;
}

GBytes *
auth_side_spoil (GBytes *bytes, int message, int which, int bit)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  guint8 *copy = g_memdup2 (data, size);

  if (message == which && bit / 8 < (int) size)
    copy[bit / 8] ^= (guint8) (1 << bit % 8);
  return g_bytes_new_take (copy, size);
}
