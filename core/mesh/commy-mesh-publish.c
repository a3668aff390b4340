/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishing now and then: the mesh keeps a publisher for each topic and thread.
 */
#include "config.h"

#include "mesh/commy-publisher-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define HISTORY 16u

/* (transfer full) (nullable) */
static CommyPublisher *
find (CommyMesh *mesh, const char *topic)
{
  CommyPublisher *found = NULL;

  g_mutex_lock (&mesh->lock);
  for (guint i = 0; mesh->own_publishers != NULL && i < mesh->own_publishers->len; i++)
    {
      CommyPublisher *publisher = mesh->own_publishers->pdata[i];

      if (publisher->thread == g_thread_self () && strcmp (publisher->topic, topic) == 0)
        found = g_object_ref (publisher);
    }
  g_mutex_unlock (&mesh->lock);
  return found;
}

static void
keep (CommyMesh *mesh, CommyPublisher *publisher)
{
  g_mutex_lock (&mesh->lock);
  if (mesh->own_publishers == NULL)
    mesh->own_publishers = g_ptr_array_new_with_free_func (g_object_unref);
  g_ptr_array_add (mesh->own_publishers, g_object_ref (publisher));
  g_mutex_unlock (&mesh->lock);
}

gboolean
commy_mesh_publish (CommyMesh *mesh, const char *topic, GVariant *value, GError **error)
{
  g_autoptr (GVariant) sunk = NULL;
  g_autoptr (CommyPublisherOptions) options = NULL;
  g_autoptr (CommyPublisher) publisher = NULL;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), FALSE);
  g_return_val_if_fail (topic != NULL && value != NULL, FALSE);
  sunk = g_variant_ref_sink (value);
  publisher = find (mesh, topic);
  if (publisher == NULL)
    {
      options = commy_publisher_options_new ();
      commy_publisher_options_set_history (options, HISTORY);
      publisher = commy_publisher_new (mesh, topic, options);
      if (!commy_publisher_start_sync (publisher, NULL, error))
        return FALSE;
      keep (mesh, publisher);
    }
  return commy_publisher_publish (publisher, sunk, error);
}

void
commy_mesh_drop_publishers (CommyMesh *mesh)
{
  g_autoptr (GPtrArray) publishers = NULL;

  g_mutex_lock (&mesh->lock);
  publishers = g_steal_pointer (&mesh->own_publishers);
  g_mutex_unlock (&mesh->lock);
}
