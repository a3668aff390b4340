/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates for tests, good ones and every kind of odd one, made when the test runs.
 */
#pragma once

#include "auth/common/commy-pki.h"

typedef enum
{
  ODD_NOTHING,
  ODD_TWO_URIS,
  ODD_NO_URI,
  ODD_NO_PURPOSE,
  ODD_WRONG_PURPOSE,
  ODD_IS_AUTHORITY,
  ODD_SIGNS_CERTIFICATES,
  ODD_OTHER_DOMAIN,
  ODD_NUL_IN_URI,
  ODD_NO_PATH,
} OddKind;

#define DAY COMMY_PKI_SECONDS_PER_DAY

gint64 fixture_now (void);
/* A new directory with a new authority of mesh "test" in it. (transfer full) */
char *fixture_authority_dir (void);
/* A new directory with credentials of that authority, valid between two days from now. */
char *fixture_credentials_dir (const char *authority_dir, int from_day, int until_day);
/* Puts fresh credentials into an existing directory. */
void fixture_issue (const char *authority_dir, const char *dir, int from_day, int until_day);
/* Replaces the certificate in @dir by one that is odd in one way; the key stays. */
void fixture_make_odd (const char *authority_dir, const char *dir, OddKind kind);
/* DER of cert.pem in @dir, as a chain of one. (transfer full) */
GBytes *fixture_der (const char *dir);
void fixture_remove (char *dir); /* with its files; frees @dir */
