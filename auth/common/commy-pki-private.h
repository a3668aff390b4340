/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the certificate helper share: errors, and owners for GnuTLS's handles.
 */
#pragma once

#include "auth/common/commy-pki.h"

#include <commy/commy-error.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_x509_crt_t, gnutls_x509_crt_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_x509_privkey_t, gnutls_x509_privkey_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_pubkey_t, gnutls_pubkey_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_subject_alt_names_t, gnutls_subject_alt_names_deinit, NULL)

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_x509_crq_t, gnutls_x509_crq_deinit, NULL)

/* Plugins do not link the core, whose error domain this is. */
#define COMMY_PKI_ERROR (g_quark_from_static_string ("commy-error-quark"))

/* An authority that is trusted. */
typedef struct
{
  gnutls_x509_crt_t crt;          /* owned by the list */
  gnutls_x509_trust_list_t trust; /* of this authority alone: it decides the trust domain */
  char *domain;
} CommyPkiAnchor;

struct _CommyPkiTrust
{
  CommyPkiAnchor anchors[COMMY_PKI_AUTHORITIES_MAX];
  guint n_anchors;
  GHashTable *revoked; /* name of a certificate -> when (gint64 *); NULL: no list was read */
  gint64 crl_end_s;    /* when the first of the lists should have been renewed; 0: never */
};

struct _CommyPkiAuthority
{
  gnutls_x509_privkey_t key;
  gnutls_x509_crt_t crt;
  char *domain;
  char *pem;     /* ca.pem: its own certificate, and while it changes the other one's */
  char *own_pem; /* its own certificate alone */
};

/* The authority whose key is in another file than usual. */
CommyPkiAuthority *
commy_pki_authority_load_key (const char *dir, const char *key_file, GError **error);
/* A new key for the same trust domain: certificates of both bear the same names. */
CommyPkiAuthority *
commy_pki_authority_new_successor (const CommyPkiAuthority *before, gint64 now_s, GError **error);
/* PEM. (transfer full) */
char *commy_pki_export_crt (gnutls_x509_crt_t crt, GError **error);
/* Sets an error "@what: GnuTLS's words" unless @code is a success. */
gboolean commy_pki_check (int code, const char *what, GError **error);
/* The only URI name of a certificate; with none or several an error. (transfer full) */
char *commy_pki_crt_dup_uri (gnutls_x509_crt_t crt, GError **error);
/* The trust domain an authority's certificate speaks for. (transfer full) */
char *commy_pki_crt_dup_domain (gnutls_x509_crt_t crt, GError **error);
#define COMMY_PKI_NAME_SCHEME "x509:"
/* "x509:AUTHORITY:SERIAL", the name of one certificate: the id of the authority's key, or digits of
 * its name where the certificate does not say that. (transfer full) (nullable) */
char *commy_pki_crt_dup_name (gnutls_x509_crt_t crt);
/* How the certificates of @crt, an authority's, begin: by its key, and by its name. */
void commy_pki_crt_issuer_names (gnutls_x509_crt_t crt, char **out_by_key, char **out_by_name);
/* Whether a certificate of this chain was revoked; *@out_when_s. */
gboolean commy_pki_trust_find_revoked (CommyPkiTrust *trust,
                                       gnutls_x509_crt_t *crts,
                                       guint n_crts,
                                       gint64 *out_when_s);
/* (transfer full) */
char *commy_pki_hex (const guint8 *bytes, gsize size);
/* The first 2 * @size digits of @text, in either case; FALSE: they are none. */
gboolean commy_pki_from_hex (const char *text, gsize size, guint8 *out);
/* Base32 in lower case, without padding. */
void commy_pki_base32_encode (GString *text, const guint8 *bytes, gsize size);
/* Appends to @bytes. Only what commy_pki_base32_encode() writes is taken: nothing over at the end
 * but zeros, less than a digit. */
gboolean commy_pki_base32_decode (GByteArray *bytes, const char *text);
/* ECDSA P-256. */
gboolean commy_pki_new_key (gnutls_x509_privkey_t *out_key, GError **error);
/* PEM; a secret. (transfer full) */
char *commy_pki_export_key (gnutls_x509_privkey_t key, GError **error);
/* "/host/HOST/user/USER". (transfer full) */
char *commy_pki_node_path (const char *host, const char *user, GError **error);
/* A certificate for `spiffe://DOMAIN@path` and @key, PEM. (transfer full) */
char *commy_pki_sign (CommyPkiAuthority *authority,
                      gnutls_pubkey_t key,
                      const char *path,
                      gint64 not_before_s,
                      gint64 not_after_s,
                      GError **error);
/* The same, with a new key. */
CommyPkiPair *commy_pki_issue_path (CommyPkiAuthority *authority,
                                    const char *path,
                                    gint64 not_before_s,
                                    gint64 not_after_s,
                                    GError **error);
/* An exclusive lock on @name in @dir, which holds until the descriptor is closed. -1 with an
 * error; -1 without one if @wait is FALSE and another process has it. */
int commy_pki_lock (const char *dir, const char *name, gboolean wait, GError **error);
/* Whether another open file has that lock: asked without taking it. */
gboolean commy_pki_is_locked (const char *dir, const char *name);
