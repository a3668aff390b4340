/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `mtls`: the principal is the SPIFFE id in the peer's certificate. Chain,
 * time and possession of the key were the transport's business; the rules of the name and of
 * the certificate's use are checked again here, whatever the transport did.
 * Beside that it looks after the certificate: it has it renewed, and may serve the authority.
 */
#include "config.h"

#include "auth/mtls/commy-mtls.h"

#include "auth/common/commy-auth-params.h"
#include "auth/common/commy-pki-seal.h"
#include "plugins/common/commy-params.h"

#define DEFAULT_LIFE "86400s"
#define LIFE_MAX (90 * COMMY_PKI_SECONDS_PER_DAY * MTLS_SECOND)

#include <string.h>

typedef struct
{
  CommyHost *host;
  gboolean any_host; /* one's own user is the same person on other hosts, too */
  MtlsRenewal renewal;
  MtlsAuthority authority;
  MtlsProofs proofs;
  CommyPkiSealer *sealer; /* the audit thread's, until fini */
} Mtls;

static const CommyParamSpec mtls_params[] = {
  COMMY_AUTH_STRING (
      "own-user",
      "any-host",
      "Whether the same user's certificate of another host counts as the own user: any-host "
      "or this-host"),
  COMMY_AUTH_STRING (
      "serve-authority",
      "",
      "Numeric address and port on which a node that holds the authority lets hosts join; "
      "empty: it does not"),
  COMMY_AUTH_DURATION ("certificate-life",
                       DEFAULT_LIFE,
                       2 * MTLS_SECOND,
                       LIFE_MAX,
                       "With serve-authority: how long the certificates it gives are valid"),
};

static gboolean
mtls_init (gpointer instance, CommyHost *host, GError **error)
{
  Mtls *self = instance;
  const char *own = host->param (host, "own-user");

  self->host = host;
  self->any_host = strcmp (own, "any-host") == 0;
  if (!self->any_host && strcmp (own, "this-host") != 0)
    return commy_params_refuse (error, "own-user is any-host or this-host, not \"%s\"", own);
  if (!mtls_authority_start (&self->authority, host, host->param (host, "serve-authority"), error))
    return FALSE;
  self->sealer = commy_pki_sealer_new (host->info (host, COMMY_HOST_CREDENTIALS_DIR));
  mtls_proofs_init (&self->proofs, host);
  mtls_renewal_start (&self->renewal, host);
  return TRUE;
}

static void
mtls_fini (gpointer instance)
{
  Mtls *self = instance;

  mtls_renewal_stop (&self->renewal);
  mtls_authority_stop (&self->authority);
  g_clear_pointer (&self->sealer, commy_pki_sealer_free);
  mtls_proofs_clear (&self->proofs);
}

static gboolean
mtls_seal (gpointer instance,
           gboolean first,
           gconstpointer bytes,
           gsize size,
           guint8 *seal,
           gsize *seal_size)
{
  Mtls *self = instance;
  g_autoptr (GError) error = NULL;
  gboolean told;

  if (commy_pki_seal (self->sealer, first, bytes, size, seal, &told, &error))
    {
      *seal_size = COMMY_PKI_SEAL_SIZE;
      return TRUE;
    }
  if (error != NULL && !told)
    self->host->log (self->host, G_LOG_LEVEL_WARNING, error->message);
  return FALSE;
}

G_STATIC_ASSERT (COMMY_PKI_SEAL_SIZE <= COMMY_SEAL_MAX);

static CommyAuthVerdict
mtls_judge (gpointer instance,
            const CommyEvidence *evidence,
            char *principal,
            char *reason,
            gsize reason_size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;

  if (evidence->kind != COMMY_EVIDENCE_X509)
    return COMMY_AUTH_NOT_MINE;
  if (evidence->n_chain == 0 || evidence->chain == NULL)
    {
      g_strlcpy (reason, "the peer showed no certificate", reason_size);
      return COMMY_AUTH_REFUSED;
    }
  id = commy_pki_leaf_id (evidence->chain[0], &error);
  if (id == NULL)
    {
      g_strlcpy (reason, error->message, reason_size);
      return COMMY_AUTH_REFUSED;
    }
  g_strlcpy (principal, id, COMMY_PRINCIPAL_MAX); /* COMMY_PKI_ID_MAX: it fits */
  return COMMY_AUTH_ACCEPTED;
}

/* The name in our own certificate, if there is one. */
static gboolean
mtls_self (gpointer instance, char *principal, gsize size)
{
  Mtls *self = instance;
  const char *dir = self->host->info (self->host, COMMY_HOST_CREDENTIALS_DIR);
  g_auto (CommyPkiPlaces) places = { NULL };
  g_autofree char *pem = dir != NULL && commy_pki_places_find (dir, &places, NULL)
                             ? commy_pki_read_file ("/", places.certificate, FALSE, NULL)
                             : NULL;
  g_autoptr (CommyPkiInfo) info = pem != NULL ? commy_pki_info_new (pem, NULL) : NULL;

  if (info == NULL || info->id[0] == '\0')
    return FALSE;
  g_strlcpy (principal, info->id, size);
  return TRUE;
}

/* Same trust domain, same user: only the host differs. Names of another form are never equal. */
static gboolean
is_same_user (const char *one, const char *other)
{
  g_autofree char *domain = NULL;
  g_autofree char *user = NULL;
  g_autofree char *other_domain = NULL;
  g_autofree char *other_user = NULL;

  return commy_pki_split_id (one, &domain, NULL, &user)
         && commy_pki_split_id (other, &other_domain, NULL, &other_user)
         && strcmp (domain, other_domain) == 0 && strcmp (user, other_user) == 0;
}

static gboolean
mtls_same_user (gpointer instance, const char *principal)
{
  Mtls *self = instance;
  char own[COMMY_PRINCIPAL_MAX];

  return self->any_host && mtls_self (instance, own, sizeof own) && is_same_user (own, principal);
}

static gboolean
mtls_proof (gpointer instance, const CommyEvidence *evidence, gpointer session, CommyProof *proof)
{
  return mtls_proof_describe (&((Mtls *) instance)->proofs, evidence, proof);
}

static CommyProofState
mtls_stands (gpointer instance, const char *id, char *reason, gsize reason_size)
{
  return mtls_proof_judge (&((Mtls *) instance)->proofs, id, reason, reason_size);
}

G_STATIC_ASSERT (COMMY_PKI_ID_MAX < COMMY_PRINCIPAL_MAX);

static const CommyAuthOps mtls_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .judge = mtls_judge,
  .self = mtls_self,
  .same_user = mtls_same_user,
  .seal = mtls_seal,
  .proof = mtls_proof,
  .stands = mtls_stands,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "mtls",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the SPIFFE id in the peer's certificate",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .security = COMMY_SECURITY_MUTUAL,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 20000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Mtls, mtls_init, NULL, mtls_fini, mtls_params, G_N_ELEMENTS (mtls_params), &mtls_ops);
