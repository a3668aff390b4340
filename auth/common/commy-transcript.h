/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a proof is bound to: this channel and nothing else. A path inside a host has a binding of
 * nonces, which somebody between two paths could make equal; but each side sees that one's user
 * there, so the users of both sides as the kernel has them belong to it.
 */
#pragma once

#include <commy/commy-auth.h>

G_BEGIN_DECLS

#define COMMY_TRANSCRIPT_SIZE 32u
#define COMMY_TRANSCRIPT_USERS_SIZE 8u /* the connecting side's, the accepting side's */

typedef struct
{
  gboolean has_binding; /* else nothing is to be proved over it */
  guint8 binding[32];
  guint8 users[COMMY_TRANSCRIPT_USERS_SIZE]; /* 0 where no kernel knows them; little-endian */
} CommyTranscript;

/* In zeroed memory. */
void commy_transcript_begin (CommyTranscript *transcript,
                             const CommyEvidence *evidence,
                             gboolean accepting);
/* SHA-256 of @label, that, and what both sides said. */
void commy_transcript_finish (const CommyTranscript *transcript,
                              const char *label,
                              const guint8 *first,
                              gsize first_size,
                              const guint8 *second,
                              gsize second_size,
                              guint8 out_hash[COMMY_TRANSCRIPT_SIZE]);

G_END_DECLS
