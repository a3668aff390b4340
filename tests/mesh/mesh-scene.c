/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scenes of several children, which mesh tests of balancing and of failing calls share.
 */
#include "config.h"

#include "mesh-scene.h"

#include <string.h>

void
mesh_scene_init (MeshScene *self,
                 MeshFixture *fixture,
                 const char *behaviours,
                 const char *settings)
{
  g_auto (GStrv) list = g_strsplit (behaviours, " ", -1);

  memset (self, 0, sizeof *self);
  for (char **behaviour = list; *behaviour != NULL; behaviour++)
    {
      g_assert_cmpuint (self->n_children, <, MESH_SCENE_MAX_CHILDREN);
      g_setenv (MESH_SCENE_BEHAVIOUR, *behaviour, TRUE);
      self->children[self->n_children++] = service_child_start (fixture, NULL, 0);
    }
  self->mesh = mesh_fixture_join (fixture, settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

void
mesh_scene_clear (MeshScene *self)
{
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  for (guint i = 0; i < self->n_children; i++)
    service_child_free (self->children[i]);
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

CommyClient *
mesh_node_client_new (CommyMesh *mesh)
{
  CommyClient *client = commy_client_new (mesh, "org.commy.Node1");
  g_autoptr (GVariant) all = NULL;
  g_autoptr (GError) error = NULL;

  all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_assert_true (g_variant_lookup (record, "node", "&s", &node));
      g_assert_true (g_variant_lookup (record, "instance", "&s", &id));
      if (strcmp (node, commy_mesh_get_node_id (mesh)) == 0)
        commy_client_set_instance (client, id);
    }
  return client;
}

GVariant *
mesh_ask_client (CommyClient *client, const char *method, GVariant *parameters)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  commy_client_call (client, method, parameters, NULL, NULL, on_answer, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  answer = commy_client_call_finish (client, result, &error);
  g_assert_no_error (error);
  return g_variant_get_child_value (answer, 0);
}

GVariant *
mesh_ask_node (CommyMesh *mesh, const char *method, GVariant *parameters)
{
  g_autoptr (CommyClient) client = mesh_node_client_new (mesh);

  return mesh_ask_client (client, method, parameters);
}
