/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Generated code on both sides of a bus: a skeleton that is exported, a proxy of what is imported.
 */
#include "config.h"

#include "bridge-scene.h"

#include "tests/codegen/foreign-generated.h"

#define MONITOR "org.freedesktop.portal.NetworkMonitor"
#define AGAIN "org.example.Again"

static void
on_loaded (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  real_portal_network_monitor_proxy_load_finish (REAL_PORTAL_NETWORK_MONITOR_PROXY (source), result,
                                                 &error);
  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

static gboolean
on_tick (gpointer waiting)
{
  *(gboolean *) waiting = FALSE;
  return G_SOURCE_REMOVE;
}

/* What is published before the publishers are reached is not for this subscription. */
static void
change_until_told (RealPortalNetworkMonitor *skeleton, RealPortalNetworkMonitor *proxy)
{
  for (guint version = 4; real_portal_network_monitor_get_version (proxy) == 3; version++)
    {
      gboolean waiting = TRUE;

      real_portal_network_monitor_set_version (skeleton, version);
      g_timeout_add (5, on_tick, &waiting);
      while (waiting)
        g_main_context_iteration (NULL, TRUE);
    }
}

static void
test_properties (Scene *scene, gconstpointer data)
{
  g_autoptr (RealPortalNetworkMonitor) skeleton = real_portal_network_monitor_skeleton_new ();
  g_autoptr (RealPortalNetworkMonitor) proxy
      = real_portal_network_monitor_proxy_new (scene->mesh, AGAIN);
  Bridge *import, *export;
  gboolean loaded = FALSE;
  g_autoptr (GError) error = NULL;

  real_portal_network_monitor_set_version (skeleton, 3);
  scene->service = real_portal_network_monitor_skeleton_new_service (
      REAL_PORTAL_NETWORK_MONITOR_SKELETON (skeleton), scene->mesh, MONITOR);
  commy_service_start_sync (scene->service, NULL, &error);
  g_assert_no_error (error);
  export = bridge_start (scene, "export", MONITOR, NULL);
  g_assert_nonnull (export->line);
  import = bridge_start (scene, "import", MONITOR, "--as", AGAIN, NULL);
  g_assert_nonnull (import->line);
  real_portal_network_monitor_proxy_load (REAL_PORTAL_NETWORK_MONITOR_PROXY (proxy), NULL,
                                          on_loaded, &loaded);
  while (!loaded)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (real_portal_network_monitor_get_version (proxy), ==, 3);
  real_portal_network_monitor_proxy_subscribe (REAL_PORTAL_NETWORK_MONITOR_PROXY (proxy), NULL,
                                               &error);
  g_assert_no_error (error);
  change_until_told (skeleton, proxy);
  g_assert_cmpuint (real_portal_network_monitor_get_version (proxy), >=, 4);
  bridge_stop (import);
  bridge_stop (export);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/bridge/generated/properties-pass-and-are-told", Scene, NULL, scene_set_up,
              test_properties, scene_tear_down);
  return g_test_run ();
}
