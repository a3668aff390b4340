/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offers org.example.Hello: greets whoever asks, until it is stopped. */
#include <commy/commy.h>

static const char interface_xml[]
    = "<node><interface name='org.example.Hello'><method name='Greet'>"
      "<arg name='name' type='s' direction='in'/>"
      "<arg name='greeting' type='s' direction='out'/>"
      "</method></interface></node>";

static void
greet (CommyService *service, CommyInvocation *call, gpointer user_data)
{
  g_autofree char *greeting = NULL;
  const char *name;

  g_variant_get (commy_invocation_get_parameters (call), "(&s)", &name);
  greeting = g_strdup_printf ("Hello, %s!", name);
  commy_invocation_return_value (call, g_variant_new ("(s)", greeting));
}

int
main (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, &error);
  g_autoptr (CommyService) service = NULL;

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    g_error ("%s", error->message);
  service = commy_service_new (mesh, "org.example.Hello", node->interfaces[0]);
  commy_service_handle (service, "Greet", greet, NULL, NULL);
  if (!commy_service_start_sync (service, NULL, &error))
    g_error ("%s", error->message);
  g_main_loop_run (loop);
  return 0;
}
