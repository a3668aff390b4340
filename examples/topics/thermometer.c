/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Publishes a temperature ten times a second and keeps the last five for who comes later.
 */
#include <commy/commy.h>
#include <math.h>

static gboolean
on_tick (gpointer data)
{
  double seconds = (double) g_get_monotonic_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;

  if (!commy_publisher_publish (data, g_variant_new_double (21 + sin (seconds)), &error))
    g_printerr ("%s\n", error->message);
  return G_SOURCE_CONTINUE;
}

int
main (int argc, char **argv)
{
  const char *topic = argc > 1 ? argv[1] : "sensors.kitchen.temperature";
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, &error);
  g_autoptr (CommyPublisherOptions) options = commy_publisher_options_new ();
  g_autoptr (CommyPublisher) publisher = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);

  commy_publisher_options_set_history (options, 5);
  if (mesh != NULL && commy_mesh_join_sync (mesh, NULL, &error))
    publisher = commy_publisher_new (mesh, topic, options);
  if (publisher == NULL || !commy_publisher_start_sync (publisher, NULL, &error))
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_timeout_add (100, on_tick, publisher);
  g_main_loop_run (loop);
  return 0;
}
