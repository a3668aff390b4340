/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls what polyglot.xml says from C, over the transport that the first argument names;
 * synchronous only, asynchronous calls are what the other languages do.
 */
#include <commy/commy.h>

#include <string.h>

#define NAME "org.example.Polyglot"
#define BYTES 256000

static void
check (const char *name, gboolean passed)
{
  g_print ("%s %s\n", passed ? "ok" : "not ok", name);
}

static gboolean
refuses (CommyClient *client, const char *method, GVariant *parameters, gint code, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, method, parameters, NULL, NULL, &error);

  return answer == NULL && g_error_matches (error, COMMY_ERROR, code)
         && strstr (error->message, text) != NULL;
}

static gboolean
greets (CommyClient *client)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Greet", g_variant_new ("(s)", "Ada"), NULL, NULL, NULL);
  const char *text = "";

  if (answer != NULL)
    g_variant_get (answer, "(&s)", &text);
  return strcmp (text, "hello, Ada") == 0;
}

static gboolean
divides (CommyClient *client)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Divide", g_variant_new ("(ii)", 17, 5), NULL, NULL, NULL);
  gint32 quotient = 0, rest = 0;

  if (answer != NULL)
    g_variant_get (answer, "(ii)", &quotient, &rest);
  return quotient == 3 && rest == 2;
}

static gboolean
echoes (CommyClient *client)
{
  g_autofree guint8 *data = g_malloc (BYTES);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) answer = NULL;

  for (guint i = 0; i < BYTES; i++)
    data[i] = (guint8) (i * 7);
  bytes = g_bytes_new (data, BYTES);
  answer = commy_client_call_bytes_sync (client, "Raw", bytes, NULL, NULL, NULL);
  return answer != NULL && g_bytes_equal (answer, bytes);
}

static CommyStream *
open_stream (CommyClient *client, const char *method, GVariant *parameters)
{
  return commy_client_open_stream_sync (client, method, parameters, NULL, NULL, NULL);
}

/* What the handler returns: one value as text, such as "(uint32 5,)". */
static gboolean
ends_with (CommyStream *stream, const char *expected)
{
  g_autoptr (GVariant) result = commy_stream_wait_result_sync (stream, NULL, NULL);
  g_autofree char *text = result != NULL ? g_variant_print (result, TRUE) : NULL;

  return g_strcmp0 (text, expected) == 0;
}

static gboolean
reads (CommyClient *client)
{
  g_autoptr (CommyStream) stream = open_stream (client, "Count", g_variant_new ("(u)", 3000));
  GVariant *number;
  guint32 expected = 0;

  while (stream != NULL && (number = commy_stream_read_sync (stream, NULL, NULL)) != NULL)
    {
      if (g_variant_get_uint32 (number) == expected)
        expected++;
      g_variant_unref (number);
    }
  return expected == 3000 && ends_with (stream, "(uint32 3000,)");
}

static gboolean
writes (CommyClient *client)
{
  g_autoptr (CommyStream) stream = open_stream (client, "Sum", NULL);
  gboolean well = stream != NULL;

  for (gint64 i = 0; well && i < 1000; i++)
    well = commy_stream_write_sync (stream, g_variant_new_int64 (i), NULL, NULL);
  return well && commy_stream_close_write (stream, NULL) && ends_with (stream, "(int64 499500,)");
}

static gboolean
talks (CommyClient *client)
{
  g_autoptr (CommyStream) stream = open_stream (client, "Shout", NULL);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GVariant) end = NULL;

  if (stream == NULL || !commy_stream_write_sync (stream, g_variant_new_string ("one"), NULL, NULL))
    return FALSE;
  answer = commy_stream_read_sync (stream, NULL, NULL);
  commy_stream_close_write (stream, NULL);
  end = commy_stream_read_sync (stream, NULL, NULL);
  return answer != NULL && strcmp (g_variant_get_string (answer, NULL), "ONE") == 0 && end == NULL
         && ends_with (stream, "()");
}

static gboolean
explains (CommyClient *client, const char *transport)
{
  g_autoptr (CommyDecision) decision = commy_client_explain (client, 64, NULL, NULL, NULL);

  return decision != NULL && g_strcmp0 (commy_decision_get_transport (decision), transport) == 0;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new ("test", &error);
  g_autoptr (CommyClient) client = NULL;

  if (argc != 2 || mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    {
      g_printerr ("%s\n", error != NULL ? error->message : "the argument is a transport");
      return 1;
    }
  client = commy_client_new (mesh, NAME);
  check ("a-call-is-answered", greets (client));
  check ("several-results-come-back", divides (client));
  check ("raw-bytes-come-back", echoes (client));
  check ("an-error-arrives", refuses (client, "Fail", g_variant_new ("(s)", "as asked"),
                                      COMMY_ERROR_REMOTE, "as asked"));
  check ("what-is-not-there-is-told",
         refuses (client, "Nope", NULL, COMMY_ERROR_NO_METHOD, "Nope"));
  check ("wrong-types-are-told",
         refuses (client, "Greet", g_variant_new ("(i)", 5), COMMY_ERROR_TYPE, ""));
  check ("a-stream-is-read", reads (client));
  check ("a-stream-is-written", writes (client));
  check ("a-stream-goes-both-ways", talks (client));
  check ("the-decision-names-the-path", explains (client, argv[1]));
  return commy_mesh_leave_sync (mesh, NULL, NULL) ? 0 : 1;
}
