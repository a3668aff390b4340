/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real issuer, and two nodes with the provider `oauth2`: a caller that gets its token there, and
 * a service that checks it.
 */
#pragma once

#include "auth-side.h"
#include "auth/oauth2/commy-oauth2.h"
#include "oidc-child.h"
#include "tests/conformance/commy-test-host.h"

#define SERVICE "spiffe://test-00000000/host/h/user/service"
#define BUILD "spiffe://test-00000000/host/h/user/build"

typedef struct
{
  OidcChild *child;
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  AuthSide side;
} Node;

typedef struct
{
  OidcChild *child;
  Node caller, service;
} Scene;

/* A secret of the node's. (transfer full): the file's path */
char *node_write_secret (CommyTestHost *host, const char *text);
void node_init (Node *node, OidcChild *child, const char *id, const char *secret);
void node_start (Node *node);

/* FALSE: skipped. The settings are still to be changed. */
gboolean scene_init (Scene *scene);
void scene_clear (Scene *scene);
void scene_advance (Scene *scene, gint64 by_s);
void scene_tell (Scene *scene, const char *command);
void scene_check_count (Scene *scene, const char *what, guint n);
void scene_await_count (Scene *scene, const char *what, guint n);
/* What the caller shows. NULL: @words say why not. (transfer full) */
GBytes *scene_show (Scene *scene, const char *words);
void scene_begin_check (Scene *scene, AuthSide *side);
CommyAuthVerdict scene_ask (Scene *scene, GBytes *bytes);
/* @words: of what is said. */
void scene_check (Scene *scene, GBytes *bytes, gboolean accepted, const char *words);
/* That is no fault of who shows it. */
void scene_check_unable (Scene *scene, GBytes *bytes, const char *words);
