/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the provider share: the two tasks it has beside judging, each of which does
 * its blocking work on a thread of its own.
 */
#pragma once

#include "auth/common/commy-pki-admission.h"

#include <commy/commy-plugin.h>

#define MTLS_ERROR (g_quark_from_static_string ("commy-error-quark"))
#define MTLS_SECOND G_GINT64_CONSTANT (1000000000)

/* What open connections rest on (commy-mtls-proof.c). Mesh thread. */
typedef struct
{
  CommyHost *host;
  const char *dir; /* NULL: none */
  CommyPkiReload reload;
  CommyPkiTrust *trust; /* NULL: it could never be read */
  gint64 looked_ns;     /* 0: never */
  gint64 told_end_s;    /* of the list that was said to be old */
} MtlsProofs;

void mtls_proofs_init (MtlsProofs *self, CommyHost *host);
void mtls_proofs_clear (MtlsProofs *self);
/* Both read the folder again if it changed, and look at it at most ten times a second: there may be
 * many connections. */
gboolean mtls_proof_describe (MtlsProofs *self, const CommyEvidence *evidence, CommyProof *proof);
CommyProofState
mtls_proof_judge (MtlsProofs *self, const char *names, char *reason, gsize reason_size);

/* Renews the node's own certificate before it ends (commy-mtls-renewal.c). Mesh thread. */
typedef struct
{
  CommyHost *host;
  const char *dir;
  guint32 random; /* of this process, so that not all come at once */
  guint timer;
  guint failures;
  gint64 told_orphan_s; /* end of the certificate of which was said that nobody renews it */
  GThread *thread;
  GCancellable *cancellable;
  /* the thread's, until it is joined */
  gint64 seen_not_after_s;
  CommyPkiMembership *result;
  GError *error;
} MtlsRenewal;

void mtls_renewal_start (MtlsRenewal *self, CommyHost *host);
void mtls_renewal_stop (MtlsRenewal *self);

/* Serves the authority of this node's directory (commy-mtls-authority.c), if it has one. */
typedef struct
{
  CommyHost *host;
  CommyPkiServerConfig config;
  GThread *thread;
  GMainContext *context;
  gint stopping;         /* atomic */
  GMutex lock;           /* of what follows */
  GPtrArray *handed_out; /* for the audit trail, on their way to the mesh thread */
  /* the thread's */
  CommyPkiServer *server;
  char *told; /* why it does not serve, as logged last */
} MtlsAuthority;

/* @listen: "" for not at all. */
gboolean
mtls_authority_start (MtlsAuthority *self, CommyHost *host, const char *listen, GError **error);
void mtls_authority_stop (MtlsAuthority *self);
