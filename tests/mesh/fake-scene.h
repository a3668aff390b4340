/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service in a process of its own, a right client of it, and peers that need not behave: the
 * right client is served before they come and when they are gone.
 */
#pragma once

#include "fake-client.h"
#include "mesh-fixture.h"

/* That @client is served. */
typedef void (*FakeSceneCheckFunc) (CommyClient *client);

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client; /* the right one, over the transport under test */
  FakeSceneCheckFunc check;
  char *address;
  char *credentials;
} FakeScene;

/* Where the one instance of the test service is to be found. (transfer full) */
char *fake_scene_find_address (CommyMesh *mesh, const char *transport);
/* @settings, @workers: of the service. */
FakeScene *fake_scene_new (MeshFixture *fixture,
                           const char *transport,
                           const char *settings,
                           guint workers,
                           FakeSceneCheckFunc check);
void fake_scene_free (FakeScene *scene);
/* A peer that has connected, and has said nothing yet. */
FakeClient *fake_scene_connect (FakeScene *scene, const char *transport);
/* And that is welcome. */
void fake_scene_greet (FakeScene *scene, FakeClient *fake);

/* Calls `Add` of the service. */
void fake_scene_check_add (CommyClient *client);
