/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host with a commyd and users who meet through it: each has a home of its own, with a
 * certificate of the authority that they have in common, and is this very program once more. Needs
 * root.
 */
#pragma once

#include "daemon-fixture.h"

#include "tests/mesh/mesh-scene.h"

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki.h"
#endif

#define USER_A 54321
#define USER_B 54322

typedef struct
{
  MeshFixture mesh;
  TestDaemon *daemon;
} HostFixture;

void host_fixture_set_up (HostFixture *fixture, gconstpointer unused);
void host_fixture_tear_down (HostFixture *fixture, gconstpointer unused);

/* Has commyd as the store. (transfer full) */
char *host_dup_settings (HostFixture *fixture);
/* The daemon runs, and is for all users. */
void host_open_to_all (TestDaemon *daemon);

#ifdef HAVE_GNUTLS
/* Of this user. (transfer full) */
char *
host_make_home (HostFixture *fixture, CommyPkiAuthority *authority, const char *name, uid_t uid);
#endif
/* For a node of that home, and @policy. (transfer full) */
char *host_dup_keyfile (HostFixture *fixture, const char *home, const char *policy);
/* Runs in @role with the settings @text; @fd: (or -1) is its descriptor 3. */
pid_t host_start_as (uid_t uid, const char *home, const char *role, const char *text, int fd);
/* Its exit status. */
int host_wait_for (pid_t pid);
