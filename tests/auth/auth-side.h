/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One side of an exchange of steps with a provider under test, in memory of exactly its size.
 */
#pragma once

#include <commy/commy-auth.h>

typedef struct
{
  const CommyAuthOps *ops;
  gpointer session;
  guint n_answers;
  CommyAuthVerdict verdict;
  GBytes *bytes;
  char *text;
} AuthSide;

/* @side need not be initialised. */
void auth_side_begin (AuthSide *side,
                      const CommyAuthOps *ops,
                      gpointer instance,
                      gboolean accepting,
                      const CommyEvidence *evidence);
void auth_side_step (AuthSide *side, GBytes *bytes);
/* And waits for the answer. */
void auth_side_step_sync (AuthSide *side, GBytes *bytes);
void auth_side_end (AuthSide *side);

/* What TLS tells: a binding of the bytes @binding, and who the peer is known to be. */
CommyEvidence auth_side_evidence (guint8 binding, const char *principal);

/* What becomes of message @message on its way: bit @bit of message @which, from 0, is turned.
 * (transfer full) */
GBytes *auth_side_spoil (GBytes *bytes, int message, int which, int bit);
