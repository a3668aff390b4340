/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Offers org.example.Primes: streams prime numbers, no faster than they are read. */
#include <commy/commy.h>

static gboolean
is_prime (guint32 n)
{
  for (guint32 d = 2; d <= n / d; d++)
    if (n % d == 0)
      return FALSE;
  return TRUE;
}

/* On a thread of the service: it may wait, and does when nobody reads. */
static void
below (CommyService *service, CommyInvocation *call, gpointer user_data)
{
  CommyStream *stream = commy_invocation_get_stream (call);
  g_autoptr (GError) error = NULL;
  guint32 limit, found = 0;

  g_variant_get (commy_invocation_get_parameters (call), "(u)", &limit);
  for (guint32 n = 2; n < limit && error == NULL; n++)
    if (is_prime (n) && commy_stream_write_sync (stream, g_variant_new_uint32 (n), NULL, &error))
      found++;
  if (error != NULL)
    commy_invocation_return_gerror (call, error);
  else
    commy_invocation_return_value (call, g_variant_new ("(u)", found));
}

int
main (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, &error);
  g_autoptr (CommyService) service = NULL;

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    g_error ("%s", error->message);
  service = commy_service_new (mesh, "org.example.Primes", NULL);
  commy_service_handle_stream (service, "Below", COMMY_STREAM_KIND_SERVER, below, NULL, NULL);
  commy_service_set_workers (service, 1);
  if (!commy_service_start_sync (service, NULL, &error))
    g_error ("%s", error->message);
  g_main_loop_run (loop);
  return 0;
}
