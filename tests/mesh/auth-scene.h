/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Callers that have to show a token, for the tests about them.
 */
#pragma once

#include "auth/common/commy-api-key.h"
#include "mesh-fixture.h"

#define ALLOW(WHO)                                                                        \
  "[policy " WHO "]\nprincipals=" WHO ":*\nservices=" TEST_SERVICE "\nverbs=call;offer\n" \
  "effect=allow\n"
#define SERVER(CHAIN)                                                         \
  "auth=peercred;mtls;token\n[auth-chain c]\n" CHAIN "[service " TEST_SERVICE \
  "]\nauth-chain=c\n" ALLOW ("token")

/* Where the nodes of this fixture look for their tokens. */
char *auth_register_dir (MeshFixture *fixture);
/* A token of that name, which counts. */
void auth_make_key (MeshFixture *fixture, const char *name, CommyApiKey *out_key);
/* Settings of a caller with that key. */
char *auth_settings_of (MeshFixture *fixture, const CommyApiKey *key, const char *transport);
/* What a method of @service that returns text says; NULL with @error. Joins, calls and leaves. */
char *auth_ask_of (MeshFixture *fixture,
                   const char *settings,
                   const char *service,
                   const char *method,
                   GError **error);
/* The same of the test service. */
char *auth_ask (MeshFixture *fixture, const char *settings, const char *method, GError **error);
void auth_check_answer (MeshFixture *fixture,
                        const char *settings,
                        const char *method,
                        const char *expected);
void auth_check_refused (MeshFixture *fixture, const char *settings, const char *words);

/* (transfer full): settings of a caller who has a secret for one-time codes of @principal's. */
char *
auth_enrol (MeshFixture *fixture, const char *principal, const char *transport, char **out_id);
/* (transfer full): settings of a node with the provider of tests/fixtures/plugins/chatty.c, which
 * behaves as @how says; and @more. */
char *auth_chatty_settings (MeshFixture *fixture, const char *how, const char *more);
/* In its place it has a code from now on, as somebody typed it: good once. */
void auth_type_code (MeshFixture *fixture);
