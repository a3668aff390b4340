/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishing now and then: the mesh keeps a publisher for each topic and thread. And what those of
 * the application offer, to offer it again when the mesh is joined again.
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

/* --- the application's own --- */

void
commy_mesh_add_topic (CommyMesh *mesh, CommyService *service)
{
  g_mutex_lock (&mesh->lock);
  if (mesh->topic_services == NULL)
    mesh->topic_services = g_ptr_array_new ();
  g_ptr_array_add (mesh->topic_services, service);
  g_mutex_unlock (&mesh->lock);
}

void
commy_mesh_remove_topic (CommyMesh *mesh, CommyService *service)
{
  g_mutex_lock (&mesh->lock);
  g_ptr_array_remove_fast (mesh->topic_services, service);
  g_mutex_unlock (&mesh->lock);
}

static void
on_offered (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyService *service = COMMY_SERVICE (source);
  g_autoptr (GError) error = NULL;

  if (!commy_service_start_finish (service, result, &error))
    g_message ("%s is not offered again: %s", service->name, error->message);
}

void
commy_mesh_offer_topics (CommyMesh *mesh)
{
  g_autoptr (GPtrArray) services = g_ptr_array_new_with_free_func (g_object_unref);

  g_mutex_lock (&mesh->lock);
  for (guint i = 0; mesh->topic_services != NULL && i < mesh->topic_services->len; i++)
    g_ptr_array_add (services, g_object_ref (mesh->topic_services->pdata[i]));
  g_mutex_unlock (&mesh->lock);
  for (guint i = 0; i < services->len; i++)
    commy_service_start (services->pdata[i], NULL, on_offered, NULL);
}
