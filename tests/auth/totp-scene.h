/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A provider `totp` in a host of its own, with a file in which ann is enrolled, and a credential of
 * hers that it shows itself.
 */
#pragma once

#include "auth/common/commy-totp.h"
#include "tests/conformance/commy-test-host.h"

#define ANN "spiffe://test-00000000/host/h/user/ann"
#define BOB "spiffe://test-00000000/host/h/user/bob"
#define SERVICE "spiffe://test-00000000/host/h/user/service"

typedef struct
{
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  char *state;      /* folder */
  char *credential; /* file */
  CommyTotpKey key; /* ann's */
  char *uri;
  GPtrArray *codes;
} Scene;

void scene_set_up (Scene *scene, gconstpointer data);
void scene_tear_down (Scene *scene, gconstpointer data);
void
scene_enrol (Scene *scene, const char *principal, const CommyTotpKey *key, GPtrArray **out_codes);
void scene_write_credential (Scene *scene, const char *text);
/* The path of the file of one-time codes. */
char *scene_dup_path (Scene *scene);
