/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints the primes below a number as org.example.Primes finds them, and how many there are. */
#include <commy/commy.h>

#include <stdlib.h>

static gboolean
print_primes (guint32 limit, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, error);
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (GVariant) result = NULL;
  GVariant *prime;
  guint32 found;

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return FALSE;
  client = commy_client_new (mesh, "org.example.Primes");
  stream = commy_client_open_stream_sync (client, "Below", g_variant_new ("(u)", limit), NULL, NULL,
                                          error);
  while (stream != NULL && (prime = commy_stream_read_sync (stream, NULL, NULL)) != NULL)
    {
      g_print ("%u\n", g_variant_get_uint32 (prime));
      g_variant_unref (prime);
    }
  if (stream == NULL || (result = commy_stream_wait_result_sync (stream, NULL, error)) == NULL)
    return FALSE;
  g_variant_get (result, "(u)", &found);
  g_print ("%u primes below %u\n", found, limit);
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (print_primes (argc > 1 ? (guint32) strtoul (argv[1], NULL, 10) : 100, &error))
    return 0;
  g_printerr ("%s\n", error->message);
  return 1;
}
