/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real OpenID Connect provider (npm oidc-provider), as a child on loopback that is told what to
 * do: tests/auth/oidc/provider.mjs.
 */
#pragma once

#include <gio/gio.h>

typedef struct
{
  GSubprocess *process;
  GDataInputStream *output;
  GOutputStream *input;
  char *issuer;
} OidcChild;

/* Skips the test where it is not installed: NULL. @certificate, @key: (nullable): for HTTPS. */
OidcChild *oidc_child_start (const char *certificate, const char *key);
void oidc_child_free (OidcChild *child);
/* "rotate": other keys; "forget": all that was issued; "mode MODE": how it answers. Returns its
 * answer. (transfer full) */
char *oidc_child_tell (OidcChild *child, const char *command);
/* How often it was asked: "discovery", "jwks", "token", "introspection". */
guint oidc_child_count (OidcChild *child, const char *what);
