/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks at a port of the instance's host: whether it takes a connection, and for HTTP what the
 * status of one answer is. Of that only the status line is read (RFC 9112, section 4), which has
 * to fit into a buffer; whatever follows, however much, is not.
 */
#include "config.h"

#include "mesh/commy-check.h"

#include <string.h>

#define STATUS_LINE_MAX 512u

typedef struct
{
  CommyCheck *check;
  GSocketConnection *connection;
  char *request;
  char line[STATUS_LINE_MAX];
  gsize length;
} Look;

/* --- the end --- */

static void
look_free (Look *look)
{
  /* A socket that is closed at once does not block; closing in good form might. */
  g_clear_object (&look->connection);
  g_free (look->request);
  g_free (look);
}

static void
look_fail (Look *look, const GError *error)
{
  CommyCheck *check = look->check;

  look_free (look);
  commy_check_fail (check, error);
}

/* --- HTTP --- */

/* "HTTP/1.1 200" and then the end or a space: the status, or 0. */
static guint
read_status (const char *line, gsize length)
{
  if (length < 12 || strncmp (line, "HTTP/1.", 7) != 0 || !g_ascii_isdigit (line[7])
      || line[8] != ' ' || !g_ascii_isdigit (line[9]) || !g_ascii_isdigit (line[10])
      || !g_ascii_isdigit (line[11]) || (length > 12 && line[12] != ' ') || line[9] == '0')
    return 0;
  return (guint) ((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
}

/* Whether the line is complete; its length without what ends it. */
static gboolean
has_line (const Look *look, gsize *out_length)
{
  const char *end = memchr (look->line, '\n', look->length);

  if (end == NULL)
    return FALSE;
  *out_length = (gsize) (end - look->line);
  if (*out_length > 0 && look->line[*out_length - 1] == '\r')
    (*out_length)--;
  return TRUE;
}

static void
judge (Look *look, gsize length)
{
  CommyCheck *check = look->check;
  guint status = read_status (look->line, length);

  look_free (look);
  if (status == 0)
    commy_check_end (check, "port %u does not speak HTTP", check->spec->port);
  else if (status >= 200 && status < 400)
    commy_check_end (check, NULL);
  else
    commy_check_end (check, "HTTP status %u", status);
}

static void read_more (Look *look);

static void
on_read (GObject *source, GAsyncResult *result, gpointer data)
{
  Look *look = data;
  g_autoptr (GError) error = NULL;
  gssize n = g_input_stream_read_finish (G_INPUT_STREAM (source), result, &error);
  gsize length = 0;

  if (n < 0)
    {
      look_fail (look, error);
      return;
    }
  look->length += (gsize) n;
  if (has_line (look, &length))
    judge (look, length);
  else if (n == 0 || look->length == sizeof look->line)
    judge (look, 0);
  else
    read_more (look);
}

static void
read_more (Look *look)
{
  GInputStream *input = g_io_stream_get_input_stream (G_IO_STREAM (look->connection));

  g_input_stream_read_async (input, look->line + look->length, sizeof look->line - look->length,
                             G_PRIORITY_DEFAULT, look->check->cancellable, on_read, look);
}

static void
on_written (GObject *source, GAsyncResult *result, gpointer data)
{
  Look *look = data;
  g_autoptr (GError) error = NULL;

  if (g_output_stream_write_all_finish (G_OUTPUT_STREAM (source), result, NULL, &error))
    read_more (look);
  else
    look_fail (look, error);
}

static void
ask (Look *look)
{
  const CommyCheckSpec *spec = look->check->spec;
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (look->connection));

  look->request = g_strdup_printf ("GET %s HTTP/1.1\r\nHost: localhost:%u\r\n"
                                   "User-Agent: commy\r\nConnection: close\r\n\r\n",
                                   spec->path, spec->port);
  g_output_stream_write_all_async (output, look->request, strlen (look->request),
                                   G_PRIORITY_DEFAULT, look->check->cancellable, on_written, look);
}

/* --- connecting --- */

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Look *look = data;
  CommyCheck *check = look->check;
  g_autoptr (GError) error = NULL;

  look->connection = g_socket_client_connect_finish (G_SOCKET_CLIENT (source), result, &error);
  if (look->connection == NULL)
    look_fail (look, error);
  else if (check->spec->kind == COMMY_CHECK_HTTP)
    ask (look);
  else
    {
      look_free (look);
      commy_check_end (check, NULL);
    }
}

/* Of an endpoint in a keyfile its host; of the store, this one or the one it names. (transfer full)
 */
static char *
find_host (const CommyInstance *instance)
{
  for (guint i = 0; instance->origin != NULL && i < instance->n_endpoints; i++)
    {
      const char *address = instance->endpoints[i].address;
      const char *colon = strrchr (address, ':');

      if (colon == NULL || address[0] == '/')
        continue;
      if (address[0] == '[' && colon > address + 1 && colon[-1] == ']')
        return g_strndup (address + 1, (gsize) (colon - address) - 2);
      return g_strndup (address, (gsize) (colon - address));
    }
  if (g_strcmp0 (instance->host_id, commy_env_host_id ()) == 0 || instance->host == NULL)
    return g_strdup ("127.0.0.1");
  return g_strdup (instance->host);
}

void
commy_check_begin_socket (CommyCheck *check)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autofree char *host = find_host (check->instance);
  g_autoptr (GSocketConnectable) address = g_network_address_new (host, check->spec->port);
  Look *look = g_new0 (Look, 1);

  look->check = check;
  /* A look is at the host itself, whatever proxy this process's environment names. */
  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_async (client, address, check->cancellable, on_connected, look);
}
