/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks org.example.Hello for a greeting. No address, no port, no certificate: a name will do. */
#include <commy/commy.h>

static GVariant *
ask (const char *name, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, error);
  g_autoptr (CommyClient) client = NULL;

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  client = commy_client_new (mesh, "org.example.Hello");
  return commy_client_call_sync (client, "Greet", g_variant_new ("(s)", name), NULL, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = ask (argc > 1 ? argv[1] : "world", &error);
  const char *greeting;

  if (answer == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  g_variant_get (answer, "(&s)", &greeting);
  g_print ("%s\n", greeting);
  return 0;
}
