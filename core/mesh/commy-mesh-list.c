/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is in the mesh, for applications: its services and its nodes, asked of the registry.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "control/commy-instance.h"
#include "control/commy-node.h"
#include "mesh/commy-mesh-private.h"

#define LIST_TIMEOUT_US (10 * G_USEC_PER_SEC)

typedef struct
{
  CommyMesh *mesh; /* reference */
  gboolean nodes;  /* rather than services */
  char *pattern;   /* of services, or NULL */
  CommyLatch *latch;
} List;

static GVariant *
to_variant (const List *list, gpointer item)
{
  return list->nodes ? commy_node_to_variant (item) : commy_instance_to_variant (item);
}

static void
list_done (gpointer data, GPtrArray *items, const GError *error)
{
  List *list = data;
  CommyLatch *latch = list->latch;
  GVariantBuilder builder;
  GVariant *value = NULL;

  if (error == NULL)
    {
      g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
      for (guint i = 0; i < items->len; i++)
        g_variant_builder_add_value (&builder, to_variant (list, items->pdata[i]));
      value = g_variant_ref_sink (g_variant_builder_end (&builder));
    }
  /* The waiter may drop the mesh at once: ours must not be the last reference. */
  g_object_unref (list->mesh);
  g_free (list->pattern);
  g_free (list);
  commy_latch_answer (latch, value, (GDestroyNotify) g_variant_unref, error);
}

static void
list_here (gpointer data)
{
  List *list = data;
  CommyRegistry *registry = list->mesh->registry;
  g_autoptr (GError) error = NULL;

  if (registry == NULL)
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      list_done (list, NULL, error);
    }
  else if (list->nodes)
    commy_registry_list_nodes (registry, list_done, list);
  else
    commy_registry_list (registry, list->pattern, list_done, list);
}

static GVariant *
list_sync (
    CommyMesh *self, gboolean nodes, const char *pattern, GCancellable *cancellable, GError **error)
{
  gpointer value = NULL;
  CommyLatch *latch;
  List *list;

  if (!commy_mesh_check_joined (self, error))
    return NULL;
  latch = commy_latch_new ();
  list = g_new0 (List, 1);
  list->mesh = g_object_ref (self);
  list->nodes = nodes;
  list->pattern = g_strdup (pattern);
  list->latch = latch;
  commy_mesh_invoke (self, list_here, list);
  commy_latch_wait (latch, g_get_monotonic_time () + LIST_TIMEOUT_US, cancellable, &value, error);
  return value;
}

GVariant *
commy_mesh_list_services_sync (CommyMesh *self,
                               const char *pattern,
                               GCancellable *cancellable,
                               GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return list_sync (self, FALSE, pattern, cancellable, error);
}

GVariant *
commy_mesh_list_nodes_sync (CommyMesh *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return list_sync (self, TRUE, NULL, cancellable, error);
}
