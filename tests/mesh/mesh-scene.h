/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mesh with a client, and children that offer the test service, each made to behave in its own
 * way; and what a node says of itself.
 */
#pragma once

#include "mesh-fixture.h"

#define MESH_SCENE_BEHAVIOUR "COMMY_TEST_BEHAVIOUR" /* environment of a child */
#define MESH_SCENE_MAX_CHILDREN 4

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
  ServiceChild *children[MESH_SCENE_MAX_CHILDREN];
  guint n_children;
  guint calls[MESH_SCENE_MAX_CHILDREN]; /* as the test counts them */
} MeshScene;

/* @behaviours: of the children, separated by spaces. */
void mesh_scene_init (MeshScene *scene,
                      MeshFixture *fixture,
                      const char *behaviours,
                      const char *settings);
void mesh_scene_clear (MeshScene *scene);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MeshScene, mesh_scene_clear)

/* (transfer full): of the node of @mesh itself. Asks the store once. */
CommyClient *mesh_node_client_new (CommyMesh *mesh);
/* (transfer full): what it answers, as mesh_ask_node() */
GVariant *mesh_ask_client (CommyClient *client, const char *method, GVariant *parameters);
/* (transfer full): what the node of @mesh answers. The main context is iterated meanwhile, so this
 * thread can be looked into. */
GVariant *mesh_ask_node (CommyMesh *mesh, const char *method, GVariant *parameters);
