/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shows every temperature of the sensors, the last two of each first; ends after some if told.
 */
#include <commy/commy.h>
#include <stdlib.h>

typedef struct
{
  GMainLoop *loop;
  int left; /* 0: no end */
} Dashboard;

static void
on_temperature (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Dashboard *dashboard = data;
  GVariant *value = commy_publication_get_value (publication);

  if (value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    g_print ("%s %.2f%s\n", commy_publication_get_topic (publication), g_variant_get_double (value),
             commy_publication_is_history (publication) ? " (before)" : "");
  if (dashboard->left > 0 && --dashboard->left == 0)
    g_main_loop_quit (dashboard->loop);
}

static void
on_lost (CommySubscription *subscription,
         const char *topic,
         const char *publisher,
         guint64 count,
         const char *reason,
         gpointer data)
{
  g_print ("%s: %" G_GUINT64_FORMAT " missed (%s)\n", topic, count, reason);
}

int
main (int argc, char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Dashboard dashboard = { loop, argc > 1 ? atoi (argv[1]) : 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, &error);
  g_autoptr (CommySubscribeOptions) options = commy_subscribe_options_new ();
  g_autoptr (CommySubscription) subscription = NULL;

  commy_subscribe_options_set_policy (options, COMMY_SLOW_LATEST, 1);
  commy_subscribe_options_set_history (options, 2);
  if (mesh != NULL && commy_mesh_join_sync (mesh, NULL, &error))
    subscription = commy_mesh_subscribe (mesh, "sensors.*.temperature", options, on_temperature,
                                         &dashboard, NULL, &error);
  if (subscription == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_signal_connect (subscription, "lost", G_CALLBACK (on_lost), NULL);
  g_main_loop_run (loop);
  return 0;
}
