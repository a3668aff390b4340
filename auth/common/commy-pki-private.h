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

/* Plugins do not link the core, whose error domain this is. */
#define COMMY_PKI_ERROR (g_quark_from_static_string ("commy-error-quark"))

/* Sets an error "@what: GnuTLS's words" unless @code is a success. */
gboolean commy_pki_check (int code, const char *what, GError **error);
/* The only URI name of a certificate; with none or several an error. (transfer full) */
char *commy_pki_crt_dup_uri (gnutls_x509_crt_t crt, GError **error);
/* The trust domain an authority's certificate speaks for. (transfer full) */
char *commy_pki_crt_dup_domain (gnutls_x509_crt_t crt, GError **error);
