/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offers what polyglot.xml says from C, until it is told to end. Streams run on a thread of the
 * service, where handlers may wait.
 */
#include <commy/commy.h>

#include <glib-unix.h>
#include <signal.h>

#define NAME "org.example.Polyglot"

static void
on_greet (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autofree char *greeting = NULL;
  const char *name;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s)", &name);
  greeting = g_strconcat ("hello, ", name, NULL);
  commy_invocation_return_value (invocation, g_variant_new ("(s)", greeting));
}

static void
on_divide (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint32 a, b;

  g_variant_get (commy_invocation_get_parameters (invocation), "(ii)", &a, &b);
  if (b == 0)
    commy_invocation_return_error (invocation, "division by zero");
  else
    commy_invocation_return_value (invocation, g_variant_new ("(ii)", a / b, a % b));
}

static void
on_fail (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *why;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s)", &why);
  commy_invocation_return_error (invocation, why);
}

static void
on_echo (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GBytes *bytes = commy_invocation_get_bytes (invocation);

  if (bytes != NULL)
    commy_invocation_return_bytes (invocation, bytes);
  else
    commy_invocation_return_value (invocation, commy_invocation_get_parameters (invocation));
}

static void
finish (CommyInvocation *invocation, const GError *error, GVariant *result)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (result);

  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, owned);
}

static void
on_count (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint32 end;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u)", &end);
  for (guint32 i = 0; i < end && error == NULL; i++)
    commy_stream_write_sync (stream, g_variant_new_uint32 (i), NULL, &error);
  finish (invocation, error, g_variant_new ("(u)", end));
}

static void
on_sum (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  GVariant *number;
  gint64 sum = 0;

  while ((number = commy_stream_read_sync (stream, NULL, &error)) != NULL)
    {
      sum += g_variant_get_int64 (number);
      g_variant_unref (number);
    }
  finish (invocation, error, g_variant_new ("(x)", sum));
}

static void
on_shout (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  GVariant *text;

  while (error == NULL && (text = commy_stream_read_sync (stream, NULL, &error)) != NULL)
    {
      char *loud = g_ascii_strup (g_variant_get_string (text, NULL), -1);

      commy_stream_write_sync (stream, g_variant_new_take_string (loud), NULL, &error);
      g_variant_unref (text);
    }
  finish (invocation, error, g_variant_new ("()"));
}

static gboolean
on_end (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
serve (const char *xml, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (xml, error);
  g_autoptr (CommyMesh) mesh = commy_mesh_new ("test", error);
  g_autoptr (CommyService) service = NULL;

  if (node == NULL || mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return FALSE;
  service = commy_service_new (mesh, NAME, g_dbus_node_info_lookup_interface (node, NAME));
  commy_service_handle (service, "Greet", on_greet, NULL, NULL);
  commy_service_handle (service, "Divide", on_divide, NULL, NULL);
  commy_service_handle (service, "Fail", on_fail, NULL, NULL);
  commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  commy_service_handle (service, "Raw", on_echo, NULL, NULL);
  commy_service_handle_stream (service, "Count", COMMY_STREAM_KIND_SERVER, on_count, NULL, NULL);
  commy_service_handle_stream (service, "Sum", COMMY_STREAM_KIND_CLIENT, on_sum, NULL, NULL);
  commy_service_handle_stream (service, "Shout", COMMY_STREAM_KIND_BOTH, on_shout, NULL, NULL);
  commy_service_set_workers (service, 1);
  if (!commy_service_start_sync (service, NULL, error))
    return FALSE;
  g_unix_signal_add (SIGTERM, on_end, loop);
  g_print ("ready\n");
  g_main_loop_run (loop);
  return commy_mesh_leave_sync (mesh, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = NULL;

  if (argc == 2 && g_file_get_contents (argv[1], &xml, NULL, &error) && serve (xml, &error))
    return 0;
  g_printerr ("%s\n", error != NULL ? error->message : "the argument is polyglot.xml");
  return 1;
}
