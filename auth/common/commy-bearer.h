/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The exchange of a secret that is shown: in one message, by the connecting side. Whoever sees it
 * could use it, so it is shown only where nobody listens, and only to whom somebody has named.
 */
#pragma once

#include <commy/commy-auth.h>
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  gboolean accepting;
  gboolean is_over;    /* this side had its turn */
  gboolean is_private; /* nobody can listen on the path */
  char *peer;          /* what it has proved to be; NULL: nothing yet */
  char *source;        /* the same, or what else is known of it; "": nothing */
  char *id;            /* accepting: of the token that counts */
  gint64 from_s;       /* of the token that counts, or that was shown */
  gint64 until_s;      /* 0: none does yet, or that is not known */
} CommyBearer;

/* In zeroed memory. */
void commy_bearer_begin (CommyBearer *bearer, const CommyEvidence *evidence, gboolean accepting);
void commy_bearer_clear (CommyBearer *bearer);

/* Whether it is this side's turn; it has one only. @bytes: what the other side sent. */
gboolean commy_bearer_take_turn (CommyBearer *bearer, GBytes *bytes);

/* Why the secret is not shown, a phrase; NULL: it may be. @show_to: patterns of principals with
 * spaces between. @plugin: whose setting that is, "auth/ID". (transfer full) */
char *commy_bearer_dup_why_not (const CommyBearer *bearer, const char *show_to, const char *plugin);

/* Accepting: the token @id is the one that counts, from @from_s until @until_s. Connecting, without
 * an id: so long counts what is shown, and the connection is to be replaced before. */
void commy_bearer_hold (CommyBearer *bearer, const char *id, gint64 from_s, gint64 until_s);
/* A provider's `proof`: how long what was shown counts, and by which name it can be denied. */
gboolean commy_bearer_get_proof (const CommyBearer *bearer, CommyProof *proof);

/* Takes @secret, of commy_credential_get(), which is wiped when it was sent. (transfer full) */
GBytes *commy_bearer_take_bytes (char *secret);

G_END_DECLS
